"""listenkit's end-of-turn model as LiveKit Agents wants it: Smart Turn, with a text model and the wording beside it if there are any.

The session pushes audio, asks at every pause, and compares the probability with a threshold. It tells a streaming detector nothing
of the words. So what the words say moves the threshold, by exactly as much as it would have moved the probability: the comparison
comes out as the library's fusion of the votes has it.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import os
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

from livekit import rtc
from livekit.agents.language import LanguageCode
from livekit.agents.llm import ChatContext
from livekit.agents.log import logger
from livekit.agents.metrics import EOTInferenceMetrics
from livekit.agents.metrics.base import Metadata
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGiven, NotGivenOr
from livekit.agents.voice.turn import TurnDetectionEvent

import listenkit

from .turn_frames import TurnFrames

if TYPE_CHECKING:
    from livekit.agents import AgentSession, UserInputTranscribedEvent

#: Audio before the start of speech that belongs to a turn, in seconds: as the detector's prefix padding.
PREFIX_SECONDS = 0.5

#: How old speech is when its start is reported: two windows of 32 ms, by default.
START_SECONDS = 0.064

#: Smart Turn says 0.5 in all its languages.
DEFAULT_THRESHOLD = 0.5


@runtime_checkable
class TextModel(Protocol):
    """A text model of LiveKit Agents, such as ``MultilingualModel`` of livekit-plugins-turn-detector."""

    async def unlikely_threshold(self, language: LanguageCode | None) -> float | None: ...
    async def supports_language(self, language: LanguageCode | None) -> bool: ...
    async def predict_end_of_turn(self, chat_ctx: ChatContext, *, timeout: float | None = None) -> float: ...


#: Or a function of the conversation, which ends with what the user has said so far: the probability that this is all.
TextFunction: TypeAlias = Callable[[ChatContext], "float | Awaitable[float]"]

#: One threshold, or one for each language (``{"de": 0.4, "pt-BR": 0.3}``), 0.5 for the others.
Thresholds: TypeAlias = float | Mapping[str, float]

_language: ContextVar[LanguageCode | None] = ContextVar("listenkit_turn_language", default=None)


class TurnDetector(rtc.EventEmitter[Literal["metrics_collected"]]):
    """Says whether the user is finished: ``AgentSession(turn_handling={"turn_detection": TurnDetector()}, vad=VAD(), ...)``.

    It listens: no transcript is needed, nor a language. The model takes 25 ms of CPU a pause, in a thread.

    With :meth:`attach` the wording counts too, and a text model if one is given. Used as a text detector, through
    :meth:`predict_end_of_turn`, it needs that text model.
    """

    def __init__(
        self,
        *,
        unlikely_threshold: Thresholds = DEFAULT_THRESHOLD,
        text_model: TextModel | TextFunction | None = None,
        text_threshold: float = 0.5,
        text_timeout: float = 1.0,
        fusion_audio: float = 1.0,
        fusion_text: float = 1.0,
        fusion_cues: float = 2.2,
        fusion_limit: float = 6.0,
        executor: Executor | None = None,
        models: listenkit.Models | None = None,
    ) -> None:
        """
        Args:
            unlikely_threshold: Below this probability the user is not finished, and the session waits for ``max_delay``.
            text_model: A second opinion, from the words: an object with LiveKit's text protocol, or a function.
            text_threshold: What a function's probability is compared with. Objects bring their own.
            text_timeout: How long the text model is waited for, in seconds. Without an answer the audio decides.
            fusion_audio: Weight of the audio model in log-odds, as in ``DetectorOptions``; above 0.
            fusion_text: Weight of the text model.
            fusion_cues: Log-odds of the wording at full lean; 0 leaves it out.
            fusion_limit: Largest distance of one model from its threshold that counts, in log-odds.
            executor: Where the model runs. Default: threads of this detector, at most four.
            models: Weights of your own.

        Raises:
            NoModelError: This build of listenkit has no turn model.
            ValueError: A setting is out of range; the message names it.
        """
        super().__init__()
        _within("fusion_audio", fusion_audio, 0.0, 10.0)
        _within("fusion_text", fusion_text, 0.0, 10.0)
        _within("fusion_cues", fusion_cues, 0.0, 10.0)
        _within("fusion_limit", fusion_limit, 0.1, 100.0)
        _within("text_threshold", text_threshold, 0.0, 1.0)
        _within("text_timeout", text_timeout, 0.0, 60.0)
        if fusion_audio == 0.0:
            raise ValueError("fusion_audio is 0: without the audio model, use the text model alone")
        if not (text_model is None or callable(text_model) or isinstance(text_model, TextModel)):
            raise ValueError(f"text_model is a {type(text_model).__name__}: give an object with LiveKit's text protocol, or a function")
        self._thresholds = _thresholds(unlikely_threshold)
        self._text_model = text_model
        self._text_threshold = text_threshold
        self._text_timeout = text_timeout
        self._weights = (fusion_audio, fusion_text, fusion_cues, fusion_limit)
        self._models = listenkit.default_models() if models is None else models
        # One model for each thread that is at work; the first is made here, so that a build without one says so at once.
        self._idle = [listenkit.TurnModel(models=self._models)]
        if executor is None:
            threads = min(4, os.cpu_count() or 1)
            executor = ThreadPoolExecutor(threads, thread_name_prefix="listenkit-turn")
            weakref.finalize(self, executor.shutdown, wait=False)
        self._executor = executor
        self._streams: weakref.WeakSet[TurnDetectorStream] = weakref.WeakSet()
        self._conversation: _Conversation | None = None
        self._complained: set[str] = set()

    @property
    def model(self) -> str:
        return "smart-turn-v3.2"

    @property
    def provider(self) -> str:
        return "listenkit"

    def describe_options(self) -> Mapping[str, Any]:
        """For LiveKit's session report."""
        audio, text, cues, limit = self._weights
        return {
            "model": self.model,
            "unlikely_threshold": dict(self._thresholds),
            "text_model": self._text_model is not None,
            "fusion_audio": audio,
            "fusion_text": text,
            "fusion_cues": cues,
            "fusion_limit": limit,
        }

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> TurnDetectorStream:
        """A stream of one user's audio. Nothing is connected to, so ``conn_options`` are of no use."""
        stream = TurnDetectorStream(self)
        self._streams.add(stream)
        return stream

    def attach(self, session: AgentSession[Any]) -> None:
        """Lets the words count: transcripts and history of this session go to the text model and to the judge of wordings.

        Call it once, before or after ``session.start``. A detector has one session then.
        """
        if self._conversation is not None and self._conversation.session is not session:
            raise ValueError("this TurnDetector has a session already: make one detector for each session")
        if self._conversation is None:
            self._conversation = _Conversation(session)

    def update_options(self, *, unlikely_threshold: NotGivenOr[Thresholds] = NOT_GIVEN) -> None:
        """Other thresholds, from the next decision on."""
        if not isinstance(unlikely_threshold, NotGiven):
            self._thresholds = _thresholds(unlikely_threshold)

    # LiveKit's protocol: what holds without the words

    async def supports_language(self, language: LanguageCode | None) -> bool:
        """Always: it is the sound that is judged."""
        _language.set(language)
        return True

    async def unlikely_threshold(self, language: LanguageCode | None) -> float | None:
        return self._threshold(language)

    async def backchannel_threshold(self, language: LanguageCode | None) -> float | None:
        return None

    # LiveKit's text protocol

    async def predict_end_of_turn(self, chat_ctx: ChatContext, *, timeout: float | None = None) -> float:
        """The probability that the user is finished, by the text model, the wording, and the audio if a stream has heard any.

        It is to be compared with :meth:`unlikely_threshold`. The language is that of the last :meth:`supports_language` in this task.

        Raises:
            RuntimeError: There is no text model.
        """
        if self._text_model is None:
            raise RuntimeError("predict_end_of_turn needs a text model: TurnDetector(text_model=...)")
        language = _language.get()
        threshold = self._threshold(language)
        distance = await self._text_distance(chat_ctx, language, timeout or self._text_timeout)
        heard = [stream for stream in self._streams if not stream.closed]
        if len(heard) == 1:
            event = await heard[0].predict()
            distance += self._weights[0] * self._limited(event.end_of_turn_probability, threshold)
        return _sigmoid(_logit(threshold) + distance)

    # Votes

    def _threshold(self, language: LanguageCode | None) -> float:
        """For a language with its region, else for the language, else for all."""
        tags = () if language is None else (language.iso.lower(), language.language.lower())
        return next((self._thresholds[tag] for tag in tags if tag in self._thresholds), self._thresholds["*"])

    async def _moved_threshold(self, language: LanguageCode | None) -> float:
        """The threshold that decides on the audio's probability as the fusion of all votes would.

        Finished means ``audio * (logit(p) - logit(threshold)) + words >= 0``, so ``p >= sigmoid(logit(threshold) - words / audio)``.
        """
        threshold = self._threshold(language)
        conversation = self._conversation
        if conversation is None or not conversation.transcript:
            return threshold
        words = await self._text_distance(conversation.chat_ctx(), language, self._text_timeout)
        audio, _, _, limit = self._weights
        # The audio's own distance counts up to the limit: words that say more than that decide alone.
        if abs(words) > audio * limit:
            return 0.0 if words > 0.0 else 1.0 + 1e-6
        return _sigmoid(_logit(threshold) - words / audio)

    async def _text_distance(self, chat_ctx: ChatContext, language: LanguageCode | None, timeout: float) -> float:
        """What the words say, in log-odds: above 0 is finished."""
        _, text, cues, _ = self._weights
        distance = 0.0
        # Whatever goes wrong here, the audio decides: an exception would leave the session without an end of turn.
        if cues > 0.0 and (said := _last_of_user(chat_ctx)):
            try:
                tag = None if language is None else str(language)
                distance += cues * listenkit.judge_text(said, language=tag).lean
            except Exception as error:
                self._complain("judge of wordings", error)
        if text > 0.0 and self._text_model is not None:
            try:
                vote = await asyncio.wait_for(self._ask_text_model(chat_ctx, language, timeout), timeout)
                if vote is not None:
                    distance += text * self._limited(*vote)
            except Exception as error:
                self._complain("text model", error)
        return distance

    async def _ask_text_model(
        self, chat_ctx: ChatContext, language: LanguageCode | None, timeout: float
    ) -> tuple[float, float] | None:
        """Probability and threshold; None if it has nothing to say about this language."""
        model = self._text_model
        if isinstance(model, TextModel):
            if not await model.supports_language(language):
                return None
            probability = await model.predict_end_of_turn(chat_ctx, timeout=timeout)
            threshold = await model.unlikely_threshold(language)
            return None if threshold is None else (float(probability), float(threshold))
        assert model is not None, "asked only if there is one"
        answer = model(chat_ctx)
        if inspect.isawaitable(answer):
            answer = await answer
        return float(answer), self._text_threshold

    def _limited(self, probability: float, threshold: float) -> float:
        limit = self._weights[3]
        return min(limit, max(-limit, _logit(probability) - _logit(threshold)))

    def _complain(self, what: str, error: BaseException) -> None:
        """Once for each kind of trouble: a model that fails, fails at every pause."""
        kind = f"{what} {type(error).__name__}"
        if kind not in self._complained:
            self._complained.add(kind)
            logger.error("%s has failed, turns are decided without it: %r", what, error)

    def _judge(self, audio: TurnFrames) -> tuple[float, float]:
        """In a thread of the executor: probability, and seconds that it took."""
        started = time.perf_counter()
        try:
            model = self._idle.pop()
        except IndexError:
            model = listenkit.TurnModel(models=self._models)
        probability = model(audio.samples())
        self._idle.append(model)  # one that has failed is not used again
        return probability, time.perf_counter() - started


class TurnDetectorStream:
    """What :meth:`TurnDetector.stream` gives: the streaming protocol of LiveKit's turn detectors."""

    def __init__(self, detector: TurnDetector) -> None:
        self._detector = detector
        self._audio = TurnFrames()
        self._closed = False
        #: Between a flush and the next start of speech, and where the flush was, in seconds of audio.
        self._waiting = True
        self._flushed_at = 0.0
        self._asked: tuple[asyncio.Future[TurnDetectionEvent], Future[tuple[float, float]]] | None = None

    @property
    def model(self) -> str:
        return self._detector.model

    @property
    def provider(self) -> str:
        return self._detector.provider

    @property
    def is_fallback(self) -> bool:
        return False

    @property
    def prediction_timeout(self) -> float:
        """How long the session should wait for a prediction, in seconds: as LiveKit's."""
        return 1.0

    @property
    def closed(self) -> bool:
        """Whether the input has ended."""
        return self._closed

    async def supports_language(self, language: LanguageCode | None) -> bool:
        return await self._detector.supports_language(language)

    async def unlikely_threshold(self, language: LanguageCode | None) -> float | None:
        """The threshold for the prediction that was just made; asks the text model, if there is one and a session is attached."""
        return await self._detector._moved_threshold(language)

    async def backchannel_threshold(self, language: LanguageCode | None) -> float | None:
        return None

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        """Keeps a frame of any rate and number of channels. It is converted when there is a question."""
        if not self._closed:
            self._audio.push(frame)

    def predict(self) -> asyncio.Future[TurnDetectionEvent]:
        """Asks about the turn so far. An earlier question that is still open is answered with 0.0: not finished, speech went on.

        A model that fails is undecided: the words decide if there are any, else turns end after ``min_delay``, as without a detector.
        """
        answer: asyncio.Future[TurnDetectionEvent] = asyncio.get_running_loop().create_future()
        if self._closed:
            answer.set_result(_event(1.0))
            return answer
        self._supersede()
        if self._waiting:
            # The start of this turn was not told of: it was cleared in mid-speech.
            self._begin_turn(self._audio.heard - self._flushed_at)
        asked_at = time.perf_counter()
        try:
            work = self._detector._executor.submit(self._detector._judge, self._audio.copy())
        except RuntimeError as error:  # it has been shut down; raised here, it would end the session's listening
            answer.set_result(self._undecided(error))
            return answer
        self._asked = (answer, work)
        loop = answer.get_loop()

        def done(work: Future[tuple[float, float]]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._answered, answer, work, asked_at)

        work.add_done_callback(done)
        return answer

    def _answered(
        self,
        answer: asyncio.Future[TurnDetectionEvent],
        work: Future[tuple[float, float]],
        asked_at: float,
    ) -> None:
        if answer.done() or work.cancelled():
            return
        self._asked = None
        delay = time.perf_counter() - asked_at
        if (error := work.exception()) is not None:
            answer.set_result(self._undecided(error, detection_delay=delay))
            return
        probability, took = work.result()
        answer.set_result(_event(probability, inference_duration=took, detection_delay=delay))
        detector = self._detector
        detector.emit(
            "metrics_collected",
            EOTInferenceMetrics(
                timestamp=time.time(),
                total_duration=delay,
                prediction_duration=took,
                detection_delay=delay,
                num_requests=1,
                metadata=Metadata(model_name=detector.model, model_provider=detector.provider),
            ),
        )

    def _undecided(self, error: BaseException, **timing: float) -> TurnDetectionEvent:
        self._detector._complain("turn model", error)
        return _event(max(self._detector._thresholds.values()), **timing)

    def cancel_inference(self, *, timed_out: bool = False) -> None:
        """The question is void: the user speaks on, or nobody waits any more. LiveKit's session calls this at every start of speech."""
        self._supersede()
        if self._waiting and not timed_out:
            # The first speech since the last turn: this turn begins here.
            self._begin_turn(START_SECONDS)

    def flush(self, reason: str | None = None) -> None:
        """The turn is over: what follows is another one. The audio stays until that begins, because it may have begun already."""
        self._supersede()
        self._waiting, self._flushed_at = True, self._audio.heard
        if self._detector._conversation is not None:
            self._detector._conversation.transcript = ""

    def end_input(self) -> None:
        """No more audio; a question that is open is void."""
        self._supersede()
        self._closed = True

    async def aclose(self) -> None:
        self.end_input()
        self._audio = TurnFrames()

    def _begin_turn(self, ago: float) -> None:
        """What was heard more than a prefix before is not part of this turn."""
        self._waiting = False
        self._audio.keep_last(ago + PREFIX_SECONDS)

    def _supersede(self) -> None:
        if self._asked is None:
            return
        answer, work = self._asked
        self._asked = None
        work.cancel()
        if not answer.done():
            answer.set_result(_event(0.0))


class _Conversation:
    """The words of a session: its history, and what the user has said of the turn that is open."""

    def __init__(self, session: AgentSession[Any]) -> None:
        self.session = session
        self.transcript = ""
        session.on("user_input_transcribed", self._transcribed)

    def _transcribed(self, event: UserInputTranscribedEvent) -> None:
        if event.is_final and event.transcript.strip():
            self.transcript = f"{self.transcript} {event.transcript}".strip()

    def chat_ctx(self) -> ChatContext:
        chat_ctx: ChatContext = self.session.history.copy()
        chat_ctx.add_message(role="user", content=self.transcript)
        return chat_ctx


def _event(probability: float, **timing: float) -> TurnDetectionEvent:
    return TurnDetectionEvent(
        type="eot_prediction", end_of_turn_probability=probability, last_speaking_time=time.time(), **timing
    )


def _last_of_user(chat_ctx: ChatContext) -> str:
    for item in reversed(chat_ctx.items):
        if item.type == "message":
            return (item.text_content or "") if item.role == "user" else ""
    return ""


def _thresholds(given: Thresholds) -> dict[str, float]:
    """By language tag in lower case; "*" for all others."""
    named = {"*": DEFAULT_THRESHOLD, **given} if isinstance(given, Mapping) else {"*": given}
    for name, value in named.items():
        _within("unlikely_threshold" if name == "*" else f"unlikely_threshold of {name}", value, 0.0, 1.0)
    return {name if name == "*" else LanguageCode(name).lower(): float(value) for name, value in named.items()}


def _within(name: str, value: float, least: float, most: float) -> None:
    try:
        inside = least <= value <= most
    except TypeError:
        inside = False
    if not inside:
        raise ValueError(f"{name} is {value!r}: use {least:g} to {most:g}")


def _logit(probability: float) -> float:
    if probability <= 0.0:
        return -110.0
    return 110.0 if probability >= 1.0 else math.log(probability) - math.log1p(-probability)


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else 0.0
