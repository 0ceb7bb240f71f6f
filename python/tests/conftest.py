"""What the tests share. They test the installed package, on the recordings of `fixtures/`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from recordings import ROOT, audio

import listenkit


@pytest.fixture(scope="session")
def speech():
    """English at 16 kHz, int16, three words and more."""
    samples, rate = audio("speech-quiet")
    assert rate == 16_000 and samples.dtype == np.int16
    return samples


@pytest.fixture(scope="session")
def conversation():
    """17 s at 48 kHz, int16, one side of a call."""
    samples, rate = audio("conversation-en")
    assert rate == 48_000 and samples.dtype == np.int16
    return samples


@pytest.fixture(scope="session")
def turn_model():
    if not listenkit.default_models().has_turn_model:
        pytest.skip("this build has no turn model")
    return listenkit.TurnModel()


@pytest.fixture(scope="session")
def command_line():
    """The command line, built from the same source: an independent path through the same core."""
    given = os.environ.get("LISTENKIT_CLI")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    for path in [given] if given else [target / "release" / "listenkit", shutil.which("listenkit-cli")]:
        if path and Path(path).is_file():
            return str(path)
    pytest.skip("needs the command line: cargo build --release -p listenkit-cli, or set LISTENKIT_CLI")
