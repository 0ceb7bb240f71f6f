"""listenkit's whole endpointer as a Pipecat turn analyzer.

Pipecat asks a turn model once per pause and waits ``stop_secs`` if the answer is no. Here the pause itself is judged: a
`listenkit.Detector` asks the model early and again, and the wait is the longer the less finished the turn sounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

from loguru import logger
from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer, BaseTurnParams, EndOfTurnState
from pipecat.metrics.metrics import MetricsData
from pydantic import Field, field_validator

import listenkit

from ._language import checked, known, threshold_of
from .turn import MODEL_NAME, ListenkitTurnMetricsData

_DEFAULT_RATE = 16_000


class ListenkitPolicyParams(BaseTurnParams):
    """How a ``ListenkitPolicyTurnAnalyzer`` waits.

    Parameters:
        policy: "fast" waits 0.2 to 0.8 s after the last voiced sample, "balanced" 0.3 to 1.5 s, "patient" 0.5 to 3 s.
        thresholds: Thresholds of the turn model by language, 0 to 1. Without one the policy's holds.
        language: The language of the first turn, or None if not known.
    """

    policy: Literal["fast", "balanced", "patient"] = "balanced"
    thresholds: dict[str, float] = Field(default_factory=dict)
    language: str | None = None

    @field_validator("thresholds")
    @classmethod
    def _tags_and_ranges(cls, thresholds: dict[str, float]) -> dict[str, float]:
        return checked(thresholds)


class ListenkitPolicyTurnAnalyzer(BaseTurnAnalyzer):
    """End of turn by a ``listenkit.Detector``: graded waits, repeated questions, and the wording of transcripts.

    It hears the audio with a VAD of its own; Pipecat's still says when a turn starts, and no turn ends while it says that
    the user speaks. The model runs in the analyzer's thread.
    """

    def __init__(
        self,
        *,
        sample_rate: int | None = None,
        params: ListenkitPolicyParams | None = None,
        policy: Literal["fast", "balanced", "patient"] | None = None,
        thresholds: Mapping[str, float] | None = None,
        language: str | None = None,
        options: listenkit.DetectorOptions | None = None,
        models: listenkit.Models | None = None,
    ) -> None:
        """Make an analyzer and load the turn model.

        Args:
            sample_rate: Rate of the audio in Hz. None: the pipeline's, which Pipecat sets at its start.
            params: The parameters. None: the defaults.
            policy: Shorthand for ``params.policy``.
            thresholds: Shorthand for ``params.thresholds``.
            language: Shorthand for ``params.language``.
            options: The detector's other settings. None: its defaults. The policy overrides its delays.
            models: Weights, to use others than the default ones. None: ``listenkit.default_models()``.

        Raises:
            listenkit.ListenkitError: this build, or ``models``, has no turn model.
        """
        super().__init__(sample_rate=sample_rate)
        given = params.model_dump() if params is not None else {}
        shorthand = {"policy": policy, "thresholds": thresholds, "language": language}
        given.update({name: value for name, value in shorthand.items() if value is not None})
        self._params = ListenkitPolicyParams(**given)
        self._models = models
        base = (options or listenkit.DetectorOptions()).with_policy(self._params.policy)
        # Only ends of turns are used here.
        self._options = base.replace(segment_audio=False, report_windows=False, channels=1)
        self._language: str | None = None
        self._model = listenkit.TurnModel(models=models)
        self._executor: ThreadPoolExecutor | None = None
        self._sample_rate = sample_rate or _DEFAULT_RATE
        self._begin_stream()

    def _begin_stream(self) -> None:
        self._detector = listenkit.Detector(
            self._sample_rate, options=self._options, models=self._models
        )
        self._answers: list[tuple[int, Future[float]]] = []
        self._metrics: ListenkitTurnMetricsData | None = None
        self._words: list[str] = []
        # The detector has ended the turn and has not heard speech since.
        self._over = False
        # Pipecat has been told so.
        self._told = False
        self._is_speech = False
        # Pipecat's VAD has agreed that the turn which is open in the detector is speech.
        self._confirmed = False
        self.set_language(self._language or self._params.language)

    @property
    def speech_triggered(self) -> bool:
        """Whether the user has spoken in a turn that is open."""
        return self._detector.open_turn is not None

    @property
    def params(self) -> ListenkitPolicyParams:
        """The parameters it was made with."""
        return self._params

    @property
    def detector(self) -> listenkit.Detector:
        """The detector, to tell it more: what the agent has asked (``expect``), say. A new one with every stream."""
        return self._detector

    @property
    def language(self) -> str | None:
        """The language thresholds are chosen for, in lower case, or None."""
        return self._language

    @property
    def threshold(self) -> float:
        """The turn model's threshold: the language's if it has one, or the policy's."""
        return threshold_of(self._language, self._params.thresholds, self._options.turn_threshold)

    def set_language(self, language: str | None) -> None:
        """Say which language the user speaks, as a BCP 47 tag. "multi" and the like leave the last known one."""
        self._language = known(language, self._language)
        self._take(self._detector.turn_threshold(self.threshold))

    def set_sample_rate(self, sample_rate: int) -> None:
        """Begin a new stream of audio at ``sample_rate`` Hz, or at the constructor's rate if it was given one."""
        super().set_sample_rate(sample_rate)
        self._begin_stream()

    def append_audio(self, buffer: bytes, is_speech: bool) -> EndOfTurnState:
        """Hear the next ``buffer`` of 16-bit samples. COMPLETE when the turn is over."""
        self._is_speech = is_speech
        self._give_answers()
        self._take(self._detector.process(buffer))
        self._confirmed = self._detector.open_turn is not None and (self._confirmed or is_speech)
        if self._over and not self._told and not is_speech:
            self._told = True
            return EndOfTurnState.COMPLETE
        return EndOfTurnState.INCOMPLETE

    async def analyze_end_of_turn(self) -> tuple[EndOfTurnState, MetricsData | None]:
        """Whether the turn is over as far as it has been heard, and the newest prediction that was not taken yet."""
        metrics, self._metrics = self._metrics, None
        return EndOfTurnState.COMPLETE if self._over else EndOfTurnState.INCOMPLETE, metrics

    def hear_transcript(self, text: str, *, final: bool = True) -> None:
        """Take the wording into account: the next part of what the user says, or with ``final=False`` a guess at it."""
        turn = self._detector.open_turn
        if turn is None or not text.strip():
            return
        words = [*self._words, text]
        if final:
            self._words = words
        vote = listenkit.judge_text(" ".join(words), language=self._language)
        self._take(self._detector.text_cues(turn, vote))

    def clear(self) -> None:
        """Forget the turn, unless it is a new one that Pipecat's VAD has not heard yet."""
        if self._confirmed:
            self._take(self._detector.clear_turn())
            self._confirmed = False
        self._words = []
        self._over = self._told = False

    async def cleanup(self) -> None:
        """Give back the thread. It is started again when another turn needs it."""
        await super().cleanup()
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None

    def _give_answers(self) -> None:
        # One at a time: an answer can end the turn, which drops the questions beside it.
        while there := next((pair for pair in self._answers if pair[1].done()), None):
            self._answers.remove(there)
            query, answer = there
            if (error := answer.exception()) is not None:
                # Without an answer the detector goes by silence.
                logger.error(f"the turn model failed: {error}")
            else:
                self._take(self._detector.answer_turn(query, answer.result()))

    def _take(self, events: Iterable[listenkit.Event]) -> None:
        for event in events:
            if isinstance(event, listenkit.TurnQuery):
                if self._executor is None:
                    self._executor = ThreadPoolExecutor(1, thread_name_prefix="listenkit-turn")
                assert event.audio is not None
                self._answers.append((event.id, self._executor.submit(self._model, event.audio)))
            elif isinstance(event, listenkit.TurnQueryCancelled):
                for query, answer in self._answers:
                    if query <= event.id:
                        answer.cancel()
                self._answers = [(query, answer) for query, answer in self._answers if query > event.id]
            elif isinstance(event, listenkit.StartOfSpeech):
                self._over = self._told = False
            elif isinstance(event, (listenkit.TurnPrediction, listenkit.EndOfTurn)):
                self._record(event)

    def _record(self, event: listenkit.TurnPrediction | listenkit.EndOfTurn) -> None:
        complete = isinstance(event, listenkit.EndOfTurn)
        if complete:
            logger.debug(f"end of turn: {event}")
            self._over, self._told, self._words = True, False, []
        if event.probability is None:
            return
        self._metrics = ListenkitTurnMetricsData(
            processor=type(self).__name__,
            model=MODEL_NAME,
            is_complete=complete,
            probability=event.probability,
            e2e_processing_time_ms=(event.decided_at - event.at) / event.sample_rate * 1000.0,
            threshold=self.threshold if event.threshold is None else event.threshold,
            language=self._language,
        )
