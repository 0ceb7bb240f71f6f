"""A recogniser that takes whole utterances, made to stream by a VAD.

The VAD is never kept waiting: starts and ends come out when they happen, recognition runs beside them, and only the transcripts
wait for each other. An utterance whose recognition fails is reported with its audio, and the stream goes on.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from livekit import rtc
from livekit.agents import APIConnectionError, APIError
from livekit.agents.log import logger
from livekit.agents.stt import (
    STT,
    RecognizeStream,
    SpeechData,
    SpeechEvent,
    SpeechEventType,
    STTCapabilities,
    STTError,
)
from livekit.agents.types import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    NotGivenOr,
    TimedString,
)
from livekit.agents.utils import AudioBuffer, aio, is_given
from livekit.agents.vad import VAD, VADEvent, VADEventType, VADStream

from .open_speech import OpenSpeech

if TYPE_CHECKING:
    from livekit.agents.voice.events import ConversationItemAddedEvent

#: Wait before the first retry, in seconds; it doubles up to ``retry_interval`` of the connect options. LiveKit Agents waits as long
#: before its first.
FIRST_RETRY = 0.1

#: Utterances that wait for a free request before a warning is logged: at conversational pace half a minute of backlog.
BACKLOG_WARNING = 8


class StreamClosedError(Exception):
    """The stream was closed before this utterance was recognised."""


@dataclass
class FailedSegment:
    """An utterance that was not recognised. Its audio is complete: submit it again, keep it, or drop it."""

    audio: rtc.AudioFrame
    """What was to be recognised: prefix, speech and the silence behind it, mono, at the rate of the input."""
    error: BaseException
    """Why the last attempt failed; :class:`StreamClosedError` if the stream was closed first."""
    attempts: int
    """Requests that were made."""
    start_time: float
    """Start of speech, in seconds since the start of the stream."""
    end_time: float
    """End of speech, in seconds since the start of the stream."""
    _stream: StreamAdapterStream = field(repr=False)
    _segment: _Segment = field(repr=False)

    def resubmit(self) -> None:
        """Asks for this utterance again. Its transcript comes after those of all utterances so far.

        Raises:
            RuntimeError: The stream has ended. ``await adapter.recognize(segment.audio)`` works at any time.
        """
        self._stream._resubmit(self._segment)


class StreamAdapter(STT[Literal["segment_failed"]]):
    """Makes any non-streaming STT a streaming one.

    Events come as with ``livekit.agents.stt.StreamAdapter``: start of speech, end of speech, final transcript; the last may come
    after the next start. Transcripts keep the order of their utterances.

    ``adapter.on("segment_failed", handler)`` hears of every utterance that was given up, as a :class:`FailedSegment`. The newest of
    them are also in :attr:`failed`. The ``error`` event of LiveKit comes once for each, with ``recoverable=False``: this is what
    ``AgentSession`` counts, and it closes after more than ``max_unrecoverable_errors`` of them without a transcript between.
    """

    def __init__(
        self,
        stt: STT[Any],
        *,
        vad: VAD | None = None,
        max_parallel: int = 2,
        max_segment_duration: float = 30.0,
        keep_failed: int = 8,
    ) -> None:
        """
        Args:
            stt: The recogniser to wrap.
            vad: What finds the utterances; a new :class:`listenkit.livekit.VAD` if none is given. LiveKit's own work as well.
            max_parallel: Requests at the same time, for each stream. 1 for a recogniser that has one model and one device.
            max_segment_duration: Longest audio of one request, in seconds, from 2. Longer speech is cut at its quietest place in the last
                third and recognised in parts; 30 s is what Whisper-like models take.
            keep_failed: How many failed utterances stay in :attr:`failed`.
        """
        if not isinstance(stt, STT):
            raise TypeError(f"stt is a {type(stt).__name__}: give a livekit.agents.stt.STT")
        if max_parallel < 1:
            raise ValueError(f"max_parallel must be at least 1, not {max_parallel}")
        if max_segment_duration < 2.0:
            raise ValueError(f"max_segment_duration must be at least 2.0 s, not {max_segment_duration}")
        if stt.capabilities.streaming and not stt.capabilities.offline_recognize:
            raise ValueError(f"{stt.label} recognises streams only: use it without an adapter")
        super().__init__(
            capabilities=STTCapabilities(
                streaming=True,
                interim_results=False,
                diarization=False,
                aligned_transcript=stt.capabilities.aligned_transcript,
                keyterms=stt.capabilities.keyterms,
                chat_context=stt.capabilities.chat_context,
            )
        )
        if vad is None:
            from .vad import VAD as ListenkitVAD

            vad = ListenkitVAD()
        self._stt = stt
        self._vad = vad
        self._max_parallel = max_parallel
        self._max_segment_duration = max_segment_duration
        self.failed: deque[FailedSegment] = deque(maxlen=keep_failed)
        # The metrics of a request are those of the wrapped recogniser, passed on below.
        self._recognize_metrics_needed = False
        stt.on("metrics_collected", self._on_metrics)

    @property
    def wrapped_stt(self) -> STT[Any]:
        """The recogniser inside."""
        return self._stt

    @property
    def model(self) -> str:
        return self._stt.model

    @property
    def provider(self) -> str:
        return self._stt.provider

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> StreamAdapterStream:
        """A new stream. ``conn_options`` are those of each utterance: ``max_retry`` times again after a failure, after waits that
        double from 0.1 s up to ``retry_interval``, each shortened by up to a half at random."""
        return StreamAdapterStream(self, language=language, conn_options=conn_options)

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> SpeechEvent:
        # The base class tries again; what is inside would, too, and each failure would cost the square of the requests.
        return await self._stt.recognize(buffer, language=language, conn_options=replace(conn_options, max_retry=0))

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        self._stt._update_session_keyterms(keyterms)

    def _push_conversation_item(self, ev: ConversationItemAddedEvent) -> None:
        self._stt._push_conversation_item(ev)

    def prewarm(self) -> None:
        self._stt.prewarm()

    async def aclose(self) -> None:
        """Lets go of the wrapped recogniser; closing that is its owner's task."""
        self._stt.off("metrics_collected", self._on_metrics)

    def _on_metrics(self, *args: Any, **kwargs: Any) -> None:
        self.emit("metrics_collected", *args, **kwargs)


@dataclass
class _Segment:
    """One request: an utterance, or a part of a long one."""

    audio: rtc.AudioFrame
    #: First sample of the audio, start and end of the speech in it: seconds since the start of the stream.
    audio_at: float
    start_time: float
    end_time: float
    #: Wall clock.
    speech_end_time: float
    attempts: int = 0
    result: SpeechEvent | None = None
    error: BaseException | None = None
    done: bool = False


class StreamAdapterStream(RecognizeStream):
    """What :meth:`StreamAdapter.stream` gives."""

    def __init__(
        self, adapter: StreamAdapter, *, language: NotGivenOr[str], conn_options: APIConnectOptions
    ) -> None:
        # Every utterance is retried by itself; there is no connection to retry.
        super().__init__(stt=adapter, conn_options=replace(conn_options, max_retry=0))
        self._adapter = adapter
        self._language = language
        self._request_options = conn_options
        self._speech: OpenSpeech | None = None
        self._order: deque[_Segment] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests = asyncio.Semaphore(adapter._max_parallel)
        #: Seconds of audio before the start of the VAD's stream.
        self._vad_origin = 0.0
        self._pushed = 0.0
        self._closing = False

    async def _metrics_monitor_task(self, event_aiter: AsyncIterable[SpeechEvent]) -> None:
        # Each request has been counted by the wrapped recogniser.
        async for _ in event_aiter:
            pass

    async def _run(self) -> None:
        ears = self._adapter._vad.stream()
        listener = asyncio.create_task(self._listen(ears), name="listenkit.StreamAdapter.listen")
        try:
            async for item in self._input_ch:
                if listener.done():
                    listener.result()  # raises what has ended it: without it nobody hears the VAD
                if isinstance(item, rtc.AudioFrame):
                    try:
                        ears.push_frame(item)
                    except RuntimeError:  # the VAD has ended: what has ended it says more
                        await listener
                        raise
                    self._pushed += item.duration
                elif getattr(ears, "ends_speech_on_flush", False):
                    ears.flush()
                else:
                    # Other VADs drop what they have heard at a flush. Ending their input makes them hear it first.
                    ears.end_input()
                    await listener
                    await ears.aclose()
                    ears = self._adapter._vad.stream()
                    self._vad_origin = self._pushed
                    listener = asyncio.create_task(self._listen(ears))
            ears.end_input()
            await listener
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            self._closing = True
            await aio.cancel_and_wait(listener, *self._tasks)
            await ears.aclose()
            self._give_up()

    async def _listen(self, ears: VADStream) -> None:
        timestamp = 0.0
        async for event in ears:
            timestamp = self._vad_origin + event.timestamp
            if event.type == VADEventType.START_OF_SPEECH:
                self._start(event, timestamp)
            elif event.type == VADEventType.END_OF_SPEECH:
                now = time.time()
                silence = event.silence_duration
                self._prefer(event.frames, timestamp)
                self._end(timestamp - silence, now - silence - event.inference_duration)
            elif self._speech is not None:
                self._speech.add(event.frames, event.probability)
                if self._speech.duration > self._adapter._max_segment_duration:
                    self._cut(self._speech)
        if self._speech is not None:
            # A VAD that says nothing of open speech when its input ends.
            self._end(timestamp, time.time())

    def _start(self, event: VADEvent, timestamp: float) -> None:
        rate = event.frames[0].sample_rate if event.frames else 16000
        speech = OpenSpeech(rate, timestamp, timestamp - event.speech_duration)
        speech.add(event.frames, 1.0)
        speech.audio_at -= speech.duration
        self._speech = speech
        onset = time.time() - event.speech_duration - event.inference_duration
        self._say(SpeechEvent(SpeechEventType.START_OF_SPEECH, speech_start_time=onset))

    def _prefer(self, frames: list[rtc.AudioFrame], timestamp: float) -> None:
        """The frames of the end, if they hold more: from a VAD whose windows carry none."""
        speech = self._speech
        if speech is None or speech.cut or sum(f.samples_per_channel for f in frames) <= speech.samples:
            return
        self._speech = OpenSpeech(frames[0].sample_rate, timestamp, speech.start_time)
        self._speech.add(frames, 1.0)
        self._speech.audio_at -= self._speech.duration

    def _end(self, end_time: float, speech_end_time: float) -> None:
        speech, self._speech = self._speech, None
        self._say(SpeechEvent(SpeechEventType.END_OF_SPEECH, speech_end_time=speech_end_time))
        if speech is not None and speech.samples > 0:
            start, at = speech.start_time, speech.audio_at
            audio = speech.take(len(speech.blocks))
            self._submit(_Segment(audio, at, start, max(start, end_time), speech_end_time))

    def _cut(self, speech: OpenSpeech) -> None:
        start, at = speech.start_time, speech.audio_at
        audio = speech.take(speech.best_cut())
        speech.cut = True
        end = speech.start_time = speech.audio_at
        self._submit(_Segment(audio, at, start, end, time.time() - speech.duration))

    def _submit(self, segment: _Segment) -> None:
        self._order.append(segment)
        waiting = len(self._order)
        if waiting > BACKLOG_WARNING and waiting % BACKLOG_WARNING == 1:
            logger.warning(
                "recognition is slower than the user speaks",
                extra={"stt": self._adapter.wrapped_stt.label, "utterances_waiting": waiting},
            )
        task = asyncio.create_task(self._recognize(segment), name="listenkit.StreamAdapter.recognize")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _resubmit(self, segment: _Segment) -> None:
        if self._closing:
            raise RuntimeError("this stream has ended: use recognize() of the adapter")
        self._submit(replace(segment, attempts=0, result=None, error=None, done=False))

    async def _recognize(self, segment: _Segment) -> None:
        while not segment.done:
            try:
                async with self._requests:
                    segment.attempts += 1
                    segment.result = await self._request(segment)
                segment.error, segment.done = None, True
            except Exception as error:
                retry = segment.attempts <= self._request_options.max_retry and _may_pass(error)
                segment.error, segment.done = error, not retry
                self._report(error, recoverable=retry)
            if not segment.done:
                # Others may ask meanwhile.
                await asyncio.sleep(self._backoff(segment.attempts))
        self._deliver()

    async def _request(self, segment: _Segment) -> SpeechEvent:
        # A local recogniser needs longer for longer audio, and a request without an end would hold back all transcripts behind it.
        limit = self._request_options.timeout + segment.audio.duration
        recognition = self._adapter.wrapped_stt.recognize(
            segment.audio, language=self._language, conn_options=replace(self._request_options, max_retry=0)
        )
        try:
            return await asyncio.wait_for(recognition, limit)
        except asyncio.CancelledError as error:
            if self._closing:
                raise
            # Of the recogniser's own making. Left alone it would end this task, and hold back all transcripts behind it.
            raise APIConnectionError("the recogniser has cancelled the request") from error

    def _backoff(self, attempts: int) -> float:
        longest: float = self._request_options.retry_interval
        return min(longest, FIRST_RETRY * 2.0 ** (attempts - 1)) * random.uniform(0.5, 1.0)

    def _deliver(self) -> None:
        """Hands out what is ready and not behind anything that is not."""
        while self._order and self._order[0].done:
            segment = self._order.popleft()
            if segment.result is not None:
                self._transcript(segment, segment.result)
            elif segment.error is not None:
                self._fail(segment, segment.error)

    def _transcript(self, segment: _Segment, result: SpeechEvent) -> None:
        if not result.alternatives or not result.alternatives[0].text.strip():
            return
        speech_end = result.speech_end_time
        self._say(
            SpeechEvent(
                SpeechEventType.FINAL_TRANSCRIPT,
                request_id=result.request_id,
                alternatives=[self._on_stream_clock(data, segment) for data in result.alternatives],
                speech_end_time=segment.speech_end_time if speech_end is None else speech_end,
            )
        )

    def _on_stream_clock(self, data: SpeechData, segment: _Segment) -> SpeechData:
        """The times of a recogniser count from the start of its clip, those of a stream from the start of the stream."""
        offset = self.start_time_offset
        if data.end_time <= 0.0:
            return replace(
                data, start_time=offset + segment.start_time, end_time=offset + segment.end_time
            )
        shift = offset + segment.audio_at
        words = data.words and [_shifted(word, shift) for word in data.words]
        return replace(
            data, start_time=data.start_time + shift, end_time=data.end_time + shift, words=words
        )

    def _fail(self, segment: _Segment, error: BaseException) -> None:
        failed = FailedSegment(
            segment.audio, error, segment.attempts, segment.start_time, segment.end_time, self, segment
        )
        self._adapter.failed.append(failed)
        logger.warning(
            "an utterance was not recognised, its audio is kept",
            extra={
                "stt": self._adapter.wrapped_stt.label,
                "attempts": segment.attempts,
                "error": repr(error),
            },
        )
        self._tell("segment_failed", failed)

    def _give_up(self) -> None:
        """The stream is over: what it still holds is handed back."""
        if self._speech is not None and self._speech.samples > 0:
            speech, self._speech = self._speech, None
            start, at, end = speech.start_time, speech.audio_at, speech.audio_at + speech.duration
            audio = speech.take(len(speech.blocks))
            self._order.append(_Segment(audio, at, start, end, time.time()))
        while self._order:
            segment = self._order.popleft()
            # One that has its transcript was held back by one before it: nobody has seen that transcript either.
            closed = StreamClosedError("the stream was closed before its transcript was delivered")
            self._fail(segment, segment.error if segment.done and segment.error else closed)

    def _say(self, event: SpeechEvent) -> None:
        if not self._event_ch.closed:
            self._event_ch.send_nowait(event)

    def _report(self, error: Exception, *, recoverable: bool) -> None:
        label = self._adapter.wrapped_stt.label
        self._tell("error", STTError(timestamp=time.time(), label=label, error=error, recoverable=recoverable))

    def _tell(self, event: Literal["error", "segment_failed"], what: STTError | FailedSegment) -> None:
        try:
            self._adapter.emit(event, what)
        except TypeError:  # LiveKit's emitter logs what a handler raises, but for this
            logger.exception("a handler of %s has failed", event)


def _may_pass(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(error, APIError):
        return error.retryable
    return isinstance(error, (asyncio.TimeoutError, TimeoutError, OSError))


def _shifted(word: TimedString, shift: float) -> TimedString:
    start, end = word.start_time, word.end_time
    return TimedString(
        str(word),
        start_time=start + shift if is_given(start) else start,
        end_time=end + shift if is_given(end) else end,
        confidence=word.confidence,
        start_time_offset=word.start_time_offset,
        speaker_id=word.speaker_id,
    )
