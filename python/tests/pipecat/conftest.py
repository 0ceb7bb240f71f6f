"""Which tests run without Pipecat, and the recording they share."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pipecat_audio import FIXTURES, read_wav

if importlib.util.find_spec("pipecat") is None or importlib.util.find_spec("pipecat.audio") is None:
    # Without Pipecat there is nothing here to test but what the import says.
    collect_ignore_glob = ["test_pipecat_[!m]*.py"]
else:
    # What Pipecat and its dependencies warn of when they are imported is not ours to fix.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pipecat.audio.turn.smart_turn.local_smart_turn_v3
        import pipecat.audio.vad.silero
        import pipecat.processors.aggregators.llm_response_universal
        import pipecat.transports.base_input
        import pipecat.workers.runner  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nor what they warn of when they are used."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default", "ignore::DeprecationWarning:pipecat"))


@pytest.fixture(scope="session")
def conversation() -> tuple[npt.NDArray[np.int16], int]:
    """One side of a phone call at 48 kHz: two complete sentences, two short answers, one pause inside a sentence."""
    return read_wav(FIXTURES / "conversation-en" / "audio.wav")


@pytest.fixture(scope="session")
def conversation_16k(conversation: tuple[npt.NDArray[np.int16], int]) -> npt.NDArray[np.int16]:
    """The same at 16 kHz, by an independent resampler."""
    import soxr

    samples, rate = conversation
    return soxr.resample(samples, rate, 16_000)
