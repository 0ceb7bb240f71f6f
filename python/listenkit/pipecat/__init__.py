"""listenkit in a Pipecat pipeline: a VAD analyzer and a turn analyzer that take the place of Pipecat's own.

    from listenkit.pipecat import ListenkitUserTurnStrategies, ListenkitVADAnalyzer

    LLMUserAggregatorParams(
        vad_analyzer=ListenkitVADAnalyzer(),
        user_turn_strategies=ListenkitUserTurnStrategies(threshold=0.5),
    )

Made for and tested against pipecat-ai 1.14.0. What differs from Pipecat's own: docs/pipecat.md.
"""

from __future__ import annotations

try:
    import pipecat.audio.vad.vad_analyzer  # noqa: F401
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "pipecat":
        raise
    raise ImportError(
        "listenkit.pipecat needs Pipecat, which is not installed here: pip install 'listenkit[pipecat]'"
    ) from error

from .policy import ListenkitPolicyParams, ListenkitPolicyTurnAnalyzer
from .strategies import ListenkitUserTurnStopStrategy, ListenkitUserTurnStrategies
from .turn import (
    ListenkitTurnAnalyzer,
    ListenkitTurnMetricsData,
    ListenkitTurnParams,
    TurnDecision,
)
from .vad import ListenkitVADAnalyzer

__all__ = [
    "ListenkitPolicyParams",
    "ListenkitPolicyTurnAnalyzer",
    "ListenkitTurnAnalyzer",
    "ListenkitTurnMetricsData",
    "ListenkitTurnParams",
    "ListenkitUserTurnStopStrategy",
    "ListenkitUserTurnStrategies",
    "ListenkitVADAnalyzer",
    "TurnDecision",
]
