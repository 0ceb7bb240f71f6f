"""listenkit for LiveKit Agents: a VAD, a turn detector and a stream adapter for recognisers that do not stream.

>>> from livekit.agents import AgentSession
>>> from listenkit.livekit import VAD, StreamAdapter, TurnDetector
>>> vad = VAD()
>>> session = AgentSession(  # doctest: +SKIP
...     vad=vad,
...     turn_handling={"turn_detection": TurnDetector()},
...     stt=StreamAdapter(my_batch_stt, vad=vad),
... )

Everything runs in the process of the agent: no network, no download, no ONNX Runtime.
"""

from __future__ import annotations

try:
    import livekit.agents  # noqa: F401
except ImportError as error:
    raise ImportError(
        "listenkit.livekit needs livekit-agents, which is not installed: pip install 'listenkit[livekit]'"
    ) from error

from .stream_adapter import FailedSegment, StreamAdapter, StreamAdapterStream, StreamClosedError
from .turn_detector import TurnDetector, TurnDetectorStream
from .vad import VAD, VADStream

__all__ = [
    "VAD",
    "FailedSegment",
    "StreamAdapter",
    "StreamAdapterStream",
    "StreamClosedError",
    "TurnDetector",
    "TurnDetectorStream",
    "VADStream",
]
