"""A Pipecat turn analyzer over listenkit's Smart Turn.

It hears the user's turn from a little before its start and says, when the VAD reports a pause, how likely the turn is
over. The one idea: time is a count of samples, so the answer belongs to the audio and not to when it was processed.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from loguru import logger
from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer, EndOfTurnState
from pipecat.audio.turn.smart_turn.base_smart_turn import SmartTurnParams
from pipecat.metrics.metrics import MetricsData, TurnMetricsData
from pydantic import Field, field_validator

import listenkit

from ._language import checked, known, threshold_of

MODEL_NAME = "smart-turn-v3.2"

_MODEL_RATE = 16_000
_BYTES = 2
# The VAD decides at the end of a window of 32 ms = 4/125 s; see `_window_edge`.
_WINDOW_NUMERATOR, _WINDOW_DENOMINATOR = 4, 125


class ListenkitTurnParams(SmartTurnParams):
    """Pipecat's ``SmartTurnParams`` and what it takes to judge the model's answer.

    Parameters:
        threshold: The turn is complete above this probability, 0 to 1. 0.5 is what Pipecat's own analyzers use.
        thresholds: Other thresholds by language: ``{"de": 0.4, "en-GB": 0.6}``. ``en-GB`` is looked up first, then ``en``.
        language: The language of the first turn, or None if not known.
    """

    threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    thresholds: dict[str, float] = Field(default_factory=dict)
    language: str | None = None

    @field_validator("thresholds")
    @classmethod
    def _tags_and_ranges(cls, thresholds: dict[str, float]) -> dict[str, float]:
        return checked(thresholds)


class ListenkitTurnMetricsData(TurnMetricsData):
    """Pipecat's ``TurnMetricsData`` with what the probability was compared to.

    Parameters:
        threshold: The threshold used for this decision.
        language: The language it was chosen for, or None.
        audio_secs: Seconds of the turn that the model heard.
    """

    threshold: float
    language: str | None = None
    audio_secs: float = 0.0


@dataclass(frozen=True, slots=True)
class TurnDecision:
    """One answer of the turn model."""

    is_complete: bool
    probability: float
    """Probability that the turn is over, 0 to 1."""
    threshold: float
    language: str | None
    at: int
    """Where the audio that was judged ends, in samples since the stream began."""
    audio_secs: float
    """Seconds of the turn that the model heard."""
    processing_ms: float
    """Time from asking to the answer, waiting for the thread included."""


class ListenkitTurnAnalyzer(BaseTurnAnalyzer):
    """End of turn by listenkit's Smart Turn, in the place of Pipecat's ``LocalSmartTurnAnalyzerV3``.

    The same weights, but with activations that are quantised as they come instead of by fixed scales: the answers stay
    near those of the float model (docs/pipecat.md). Any sample rate; the model's audio is resampled.

    ``last_decision`` and the ``ListenkitTurnMetricsData`` in Pipecat's ``MetricsFrame`` carry probability and threshold.
    One analyzer hears one user; all of them share one set of weights.
    """

    def __init__(
        self,
        *,
        sample_rate: int | None = None,
        params: SmartTurnParams | None = None,
        threshold: float | None = None,
        thresholds: dict[str, float] | None = None,
        language: str | None = None,
        models: listenkit.Models | None = None,
    ) -> None:
        """Make an analyzer and load the turn model.

        Args:
            sample_rate: Rate of the audio in Hz. None: the pipeline's, which Pipecat sets at its start.
            params: ``ListenkitTurnParams``, or Pipecat's ``SmartTurnParams``. None: the defaults of both.
            threshold: Shorthand for ``params.threshold``.
            thresholds: Shorthand for ``params.thresholds``.
            language: Shorthand for ``params.language``.
            models: Weights, to use others than the default ones. None: ``listenkit.default_models()``.

        Raises:
            listenkit.ListenkitError: this build, or ``models``, has no turn model.
            pydantic.ValidationError: a parameter is out of range.
        """
        super().__init__(sample_rate=sample_rate)
        given = params.model_dump() if params is not None else {}
        shorthand = {"threshold": threshold, "thresholds": thresholds, "language": language}
        given.update({name: value for name, value in shorthand.items() if value is not None})
        self._params = ListenkitTurnParams(**given)
        self._language: str | None = None
        self.set_language(self._params.language)
        self._sample_rate = sample_rate or _MODEL_RATE
        self._model = listenkit.TurnModel(models=models)
        # One thread: a model holds the memory it computes in. Started when the first turn needs it.
        self._executor: ThreadPoolExecutor | None = None
        self._vad_start_secs = 0.0
        self._last_decision: TurnDecision | None = None
        self._begin_stream()

    def _begin_stream(self) -> None:
        self._audio = bytearray()
        self._audio_at = 0
        self._position = 0
        self._speech_at: int | None = None
        self._speaking = False
        self._silence_at = 0
        self._timed_out = False
        self._turn = 0

    @property
    def speech_triggered(self) -> bool:
        """Whether the user has spoken in the turn that is open."""
        return self._speech_at is not None

    @property
    def params(self) -> ListenkitTurnParams:
        """The parameters; ``threshold`` and ``thresholds`` may be changed at any time."""
        return self._params

    @property
    def last_decision(self) -> TurnDecision | None:
        """The model's newest answer, of this turn or an earlier one. None before the first."""
        return self._last_decision

    @property
    def last_probability(self) -> float | None:
        """The newest answer's probability, 0 to 1. None before the first."""
        return None if self._last_decision is None else self._last_decision.probability

    @property
    def language(self) -> str | None:
        """The language thresholds are chosen for, in lower case, or None."""
        return self._language

    @property
    def threshold(self) -> float:
        """The threshold of the next decision: the language's if it has one, or ``params.threshold``."""
        return threshold_of(self._language, self._params.thresholds, self._params.threshold)

    def set_language(self, language: str | None) -> None:
        """Say which language the user speaks, as a BCP 47 tag. "multi" and the like leave the last known one."""
        self._language = known(language, self._language)

    def set_sample_rate(self, sample_rate: int) -> None:
        """Begin a new stream of audio at ``sample_rate`` Hz, or at the constructor's rate if it was given one."""
        super().set_sample_rate(sample_rate)
        self._begin_stream()

    def update_vad_start_secs(self, vad_start_secs: float) -> None:
        """Say how much speech the VAD hears before it reports it; the turn begins that much earlier."""
        self._vad_start_secs = vad_start_secs

    def append_audio(self, buffer: bytes, is_speech: bool) -> EndOfTurnState:
        """Hear the next ``buffer`` of 16-bit samples. COMPLETE when ``stop_secs`` have passed without speech.

        Raises:
            ValueError: ``buffer`` is not whole samples.
        """
        if len(buffer) % _BYTES:
            raise ValueError(f"{len(buffer)} bytes are not whole samples of 16 bits")
        before = self._position
        self._audio += buffer
        self._position += len(buffer) // _BYTES
        self._forget_before(
            self._window_edge(self._position) - self._samples(self._params.max_duration_secs)
        )

        if is_speech:
            self._timed_out = False
            if self._speech_at is None:
                self._speech_at = self._window_edge(before)
        elif self._speaking:
            self._silence_at = before
        self._speaking = is_speech

        silent = self._position - self._silence_at
        if self._speech_at is None or is_speech or silent < self._samples(self._params.stop_secs):
            return EndOfTurnState.INCOMPLETE
        logger.debug(f"end of turn after {silent / self._sample_rate:.2f} s of silence")
        self._end_turn()
        self._timed_out = True
        return EndOfTurnState.COMPLETE

    async def analyze_end_of_turn(self) -> tuple[EndOfTurnState, MetricsData | None]:
        """Ask the model whether the turn is over; it runs in the analyzer's thread.

        If it fails, the error is logged and the answer is INCOMPLETE, so the turn ends after ``stop_secs`` of silence.
        """
        if self._timed_out:
            self._timed_out = False
            return EndOfTurnState.COMPLETE, None
        start, end = self._extent()
        if start >= end:
            return EndOfTurnState.INCOMPLETE, None
        audio = np.frombuffer(
            bytes(self._audio[(start - self._audio_at) * _BYTES : (end - self._audio_at) * _BYTES]),
            np.int16,
        )
        turn, threshold, language = self._turn, self.threshold, self._language
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="listenkit-turn")
        asked = time.perf_counter()
        try:
            probability = await asyncio.get_running_loop().run_in_executor(
                self._executor, self._probability, audio, self._sample_rate
            )
        except listenkit.ListenkitError as error:
            logger.error(f"the turn model failed, silence will end this turn: {error}")
            return EndOfTurnState.INCOMPLETE, None
        decision = TurnDecision(
            is_complete=probability > threshold,
            probability=probability,
            threshold=threshold,
            language=language,
            at=end,
            audio_secs=(end - start) / self._sample_rate,
            processing_ms=(time.perf_counter() - asked) * 1000.0,
        )
        self._last_decision = decision
        logger.debug(f"end of turn: {decision}")
        # If the turn was cleared while the model ran, its answer is about nothing that is still open.
        complete = decision.is_complete and turn == self._turn
        if complete:
            self._end_turn()
        metrics = ListenkitTurnMetricsData(
            processor=type(self).__name__,
            model=MODEL_NAME,
            is_complete=decision.is_complete,
            probability=probability,
            e2e_processing_time_ms=decision.processing_ms,
            threshold=threshold,
            language=language,
            audio_secs=decision.audio_secs,
        )
        return EndOfTurnState.COMPLETE if complete else EndOfTurnState.INCOMPLETE, metrics

    def clear(self) -> None:
        """Forget the turn. Audio since the user fell silent stays, as what may come before the next turn."""
        self._end_turn()
        self._timed_out = False

    async def cleanup(self) -> None:
        """Give back the thread. It is started again when another turn needs it."""
        await super().cleanup()
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None

    def _end_turn(self) -> None:
        if self._speech_at is not None:
            heard = self._position if self._speaking else self._silence_at
            self._forget_before(self._window_edge(heard))
        self._speech_at = None
        self._turn += 1

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._sample_rate)

    def _window_edge(self, position: int) -> int:
        """The end of the last whole VAD window at ``position``.

        Speech flags come with frames, but are decided at windows. With this the model hears the same samples for every
        cut into frames of up to 32 ms.
        """
        rate = self._sample_rate * _WINDOW_NUMERATOR
        return position * _WINDOW_DENOMINATOR // rate * rate // _WINDOW_DENOMINATOR

    def _extent(self) -> tuple[int, int]:
        """From where to where the model hears, in samples since the stream began."""
        end = self._window_edge(self._position)
        start = end - self._samples(self._params.max_duration_secs)
        if self._speech_at is not None:
            before = self._samples(self._params.pre_speech_ms / 1000.0 + self._vad_start_secs)
            start = max(start, self._speech_at - before)
        return max(start, self._audio_at), end

    def _forget_before(self, position: int) -> None:
        count = position - self._audio_at
        if count > 0:
            del self._audio[: count * _BYTES]
            self._audio_at += count

    def _probability(self, audio: npt.NDArray[np.int16], sample_rate: int) -> float:
        samples = audio.astype(np.float32) / 32768.0
        if sample_rate != _MODEL_RATE:
            resampler = listenkit.Resampler(sample_rate, _MODEL_RATE, aligned=True)
            samples = np.concatenate([resampler.process(samples), resampler.flush()])
        return float(self._model(samples))
