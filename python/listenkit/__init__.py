"""The listening half of a voice agent: PCM in, "the user started, stopped, finished their turn" out.

    import listenkit

    for turn in listenkit.detect("call.wav").turns:
        print(turn.start_seconds, turn.last_voiced_seconds, turn.reason)

`detect` hears a whole recording, `Detector` a live stream; `aevents` does so in an event loop. `VAD`, `VadBatch`, `Resampler`, `Segmenter` and
`TurnModel` are the parts, each of use alone. Positions are samples, durations in settings are seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._lib import version as _version
from ._wav import read as read_wav
from .detection import Detection, detect
from .detector import Detector, Stats
from .errors import (
    BusyError,
    ClosedError,
    ConfigError,
    InputError,
    InputTypeError,
    ListenkitError,
    ModelError,
    NoModelError,
    OverwrittenError,
    PoisonedError,
    ReadError,
)
from .events import (
    CueVote,
    EndOfSpeech,
    EndOfTurn,
    Event,
    FalseInterruption,
    Format,
    FormatChanged,
    Gap,
    ModelVote,
    OverlapBrief,
    OverlapClaim,
    Segment,
    StartOfSpeech,
    TurnAmended,
    TurnPrediction,
    TurnQuery,
    TurnQueryCancelled,
    Votes,
    Window,
)
from .models import Models, default_models
from .options import DetectorOptions
from .resampler import Resampler
from .segmenter import Segmenter
from .turn_model import TurnAudio, TurnModel, judge_text
from .vad import VAD, VadBatch

if TYPE_CHECKING:
    from .aio import aevents

__version__: str = _version()

__all__ = [
    "VAD",
    "BusyError",
    "ClosedError",
    "ConfigError",
    "CueVote",
    "Detection",
    "Detector",
    "DetectorOptions",
    "EndOfSpeech",
    "EndOfTurn",
    "Event",
    "FalseInterruption",
    "Format",
    "FormatChanged",
    "Gap",
    "InputError",
    "InputTypeError",
    "ListenkitError",
    "ModelError",
    "ModelVote",
    "Models",
    "NoModelError",
    "OverlapBrief",
    "OverlapClaim",
    "OverwrittenError",
    "PoisonedError",
    "ReadError",
    "Resampler",
    "Segment",
    "Segmenter",
    "StartOfSpeech",
    "Stats",
    "TurnAmended",
    "TurnAudio",
    "TurnModel",
    "TurnPrediction",
    "TurnQuery",
    "TurnQueryCancelled",
    "VadBatch",
    "Votes",
    "Window",
    "__version__",
    "aevents",
    "default_models",
    "detect",
    "judge_text",
    "read_wav",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name == "aevents":  # asyncio takes longer to import than all the rest
        from .aio import aevents

        return aevents
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
