"""listenkit's turn analyzer as a Pipecat pipeline takes it: a stop strategy, and the strategies of a user in one word."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pipecat.audio.turn.smart_turn.base_smart_turn import SmartTurnParams
from pipecat.frames.frames import Frame, InterimTranscriptionFrame, TranscriptionFrame
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_stop import TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

import listenkit

from .policy import ListenkitPolicyTurnAnalyzer
from .turn import ListenkitTurnAnalyzer


class ListenkitUserTurnStopStrategy(TurnAnalyzerUserTurnStopStrategy):
    """Pipecat's stop strategy with a listenkit analyzer, which it also tells what transcripts say and in which language."""

    def __init__(
        self,
        *,
        turn_analyzer: ListenkitTurnAnalyzer | ListenkitPolicyTurnAnalyzer | None = None,
        **kwargs: Any,
    ) -> None:
        """Make a strategy; ``kwargs`` are Pipecat's, such as ``wait_for_transcript``."""
        self._listenkit = turn_analyzer or ListenkitTurnAnalyzer()
        super().__init__(turn_analyzer=self._listenkit, **kwargs)

    @property
    def turn_analyzer(self) -> ListenkitTurnAnalyzer | ListenkitPolicyTurnAnalyzer:
        """The analyzer."""
        return self._listenkit

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Note what a transcript says, then do as Pipecat does."""
        if isinstance(frame, (TranscriptionFrame, InterimTranscriptionFrame)):
            if frame.language:
                self._listenkit.set_language(str(frame.language))
            if isinstance(self._listenkit, ListenkitPolicyTurnAnalyzer):
                self._listenkit.hear_transcript(frame.text, final=isinstance(frame, TranscriptionFrame))
        return await super().process_frame(frame)


@dataclass
class ListenkitUserTurnStrategies(UserTurnStrategies):
    """Pipecat's default strategies, with listenkit in the place of ``LocalSmartTurnAnalyzerV3``.

    Parameters:
        policy: None keeps Pipecat's rule: one question per pause, and ``stop_secs`` of waiting if the answer is no. "fast",
            "balanced" or "patient" takes listenkit's instead (``ListenkitPolicyTurnAnalyzer``).
        params: Parameters of the turn analyzer; not with a policy.
        threshold: Shorthand for ``params.threshold``; not with a policy, which has its own.
        thresholds: Thresholds by language.
        language: The language of the first turn, or None if not known.
        wait_for_transcript: Whether a turn ends only when its transcript is there.
        models: Weights, to use others than the default ones.
    """

    policy: Literal["fast", "balanced", "patient"] | None = None
    params: SmartTurnParams | None = None
    threshold: float | None = None
    thresholds: dict[str, float] | None = None
    language: str | None = None
    wait_for_transcript: bool = True
    models: listenkit.Models | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Make the stop strategy, unless ``stop`` was given."""
        if not self.stop:
            self.stop = [
                ListenkitUserTurnStopStrategy(
                    turn_analyzer=self._make_analyzer(), wait_for_transcript=self.wait_for_transcript
                )
            ]
        super().__post_init__()

    def _make_analyzer(self) -> ListenkitTurnAnalyzer | ListenkitPolicyTurnAnalyzer:
        if self.policy is None:
            return ListenkitTurnAnalyzer(
                params=self.params,
                threshold=self.threshold,
                thresholds=self.thresholds,
                language=self.language,
                models=self.models,
            )
        if self.params is not None or self.threshold is not None:
            raise ValueError("a policy has its own delays and threshold: leave out params and threshold, or the policy")
        return ListenkitPolicyTurnAnalyzer(
            policy=self.policy, thresholds=self.thresholds, language=self.language, models=self.models
        )

    @property
    def turn_analyzer(self) -> ListenkitTurnAnalyzer | ListenkitPolicyTurnAnalyzer | None:
        """The first listenkit analyzer among the stop strategies."""
        for strategy in self.stop or []:
            if isinstance(strategy, ListenkitUserTurnStopStrategy):
                return strategy.turn_analyzer
        return None
