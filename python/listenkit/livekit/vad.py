"""listenkit's voice activity detection as LiveKit Agents wants it.

A thin skin: a frame goes into a :class:`listenkit.Detector`, and what that says comes out as LiveKit's events. Nothing of the
decision is made here. Frames are processed inside ``push_frame``, without a thread or a task: one millisecond of work for a second
of audio is less than what handing it to another thread costs.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from livekit import rtc
from livekit.agents import vad
from livekit.agents.log import logger
from livekit.agents.metrics import VADMetrics
from livekit.agents.metrics.base import Metadata
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from livekit.agents.utils import aio, is_given
from livekit.agents.vad import VADEvent, VADEventType

import listenkit

Preset = Literal["listenkit", "livekit", "livekit-silero"]

#: Samples of a model window per second of it; ``samples_index`` of LiveKit's events counts in these.
MODEL_RATE = 16_000

#: Length of a model window in seconds.
WINDOW = 0.032

#: LiveKit reports metrics each time so many windows have been heard: a second of them, rounded up.
METRICS_EVERY = 32

#: Ends of turns are decided by the session, not by this detector: its own delays only have to be out of the way. The longest there is.
_NO_TURNS = 60.0


#: A day, which is as good as no limit.
_MOST_BUFFERED = 86_400.0


@dataclass(frozen=True)
class _Options:
    preset: Preset
    min_speech_duration: float
    min_silence_duration: float
    prefix_padding_duration: float
    max_buffered_speech: float
    activation_threshold: float
    deactivation_threshold: float | None
    state_guard: bool

    @property
    def deactivation(self) -> float:
        """What holds if none was given, as the library derives it."""
        given = self.deactivation_threshold
        return max(self.activation_threshold - 0.15, 0.01) if given is None else given

    def tuning(self) -> dict[str, Any]:
        """What may change while a stream runs."""
        return {
            "activation_threshold": self.activation_threshold,
            "deactivation_threshold": self.deactivation_threshold,
            "min_speech_duration": self.min_speech_duration,
            "min_silence_duration": self.min_silence_duration,
            "prefix_padding_duration": self.prefix_padding_duration,
        }

    def detector(self, sample_rate: int) -> listenkit.DetectorOptions:
        settings: dict[str, Any] = {
            **self.tuning(),
            "sample_format": "int16",
            "report_windows": True,
            "state_guard": self.state_guard,
            "min_delay": _NO_TURNS,
            "max_delay": _NO_TURNS,
        }
        if self.preset == "livekit":
            return listenkit.DetectorOptions.livekit_core(sample_rate, **settings)
        if self.preset == "livekit-silero":
            return listenkit.DetectorOptions.livekit_plugin(sample_rate, **settings)
        return listenkit.DetectorOptions(sample_rate, **settings)


class VAD(vad.VAD):
    """A ``livekit.agents.vad.VAD``: ``AgentSession(vad=listenkit.livekit.VAD())``.

    Make one for all sessions of a process; the weights are shared, and a stream costs some 20 KB and the audio of the speech it
    is in.
    """

    def __init__(
        self,
        *,
        preset: Preset = "listenkit",
        min_speech_duration: float = 0.05,
        min_silence_duration: NotGivenOr[float] = NOT_GIVEN,
        prefix_padding_duration: float = 0.5,
        max_buffered_speech: float = 60.0,
        activation_threshold: float = 0.5,
        deactivation_threshold: NotGivenOr[float] = NOT_GIVEN,
        state_guard: NotGivenOr[bool] = NOT_GIVEN,
        models: listenkit.Models | None = None,
    ) -> None:
        """
        Args:
            preset: "listenkit", or the rules of a VAD of LiveKit Agents 1.8.9 to the window, for comparing: "livekit" those of
                ``inference.VAD``, "livekit-silero" those of the silero plugin.
            min_speech_duration: Speech that starts a segment, in seconds.
            min_silence_duration: Silence that ends it. Default 0.25, which LiveKit's turn detectors need at least; 0.55 in the preset
                "livekit-silero".
            prefix_padding_duration: Audio before the speech that comes with it.
            max_buffered_speech: Audio of one segment that is kept for its end, beyond the prefix. Later speech is not in the frames
                of the end; :class:`~listenkit.livekit.StreamAdapter` does not depend on them.
            activation_threshold: Probability from which a window is speech.
            deactivation_threshold: While the user speaks, above this too. Default 0.15 less.
            state_guard: Keep the model from going deaf in long noise. Default on, but off in the presets of LiveKit.
            models: Weights of your own.

        Raises:
            ValueError: A setting is out of range, or two contradict each other; the message names them.
        """
        super().__init__(capabilities=vad.VADCapabilities(update_interval=WINDOW))
        self._models = listenkit.default_models() if models is None else models
        silence = 0.55 if preset == "livekit-silero" else 0.25
        self._options = _Options(
            preset=preset,
            min_speech_duration=min_speech_duration,
            min_silence_duration=min_silence_duration if is_given(min_silence_duration) else silence,
            prefix_padding_duration=prefix_padding_duration,
            max_buffered_speech=max_buffered_speech,
            activation_threshold=activation_threshold,
            deactivation_threshold=deactivation_threshold if is_given(deactivation_threshold) else None,
            state_guard=state_guard if is_given(state_guard) else preset == "listenkit",
        )
        self._check(self._options)
        self._streams: weakref.WeakSet[VADStream] = weakref.WeakSet()

    @classmethod
    def load(cls, **options: Any) -> VAD:
        """As the constructor, under the name of the silero plugin; ``sample_rate``, ``force_cpu`` and ``onnx_file_path`` are of no
        meaning here and are refused."""
        gone = [name for name in ("sample_rate", "force_cpu", "onnx_file_path", "padding_duration") if name in options]
        if gone:
            raise TypeError(f"leave out {', '.join(gone)}: listenkit's VAD hears any rate, has its weights inside and needs no GPU")
        return cls(**options)

    @property
    def model(self) -> str:
        return "silero"

    @property
    def provider(self) -> str:
        return "listenkit"

    @property
    def min_silence_duration(self) -> float:
        """What LiveKit's session checks before it uses a turn detector."""
        return self._options.min_silence_duration

    def describe_options(self) -> Mapping[str, Any]:
        """For LiveKit's session report."""
        options = self._options
        return {"model": self.model, "preset": options.preset, **options.tuning(), "state_guard": options.state_guard}

    def stream(self) -> VADStream:
        stream = VADStream(self)
        self._streams.add(stream)
        return stream

    def update_options(
        self,
        *,
        min_speech_duration: NotGivenOr[float] = NOT_GIVEN,
        min_silence_duration: NotGivenOr[float] = NOT_GIVEN,
        prefix_padding_duration: NotGivenOr[float] = NOT_GIVEN,
        max_buffered_speech: NotGivenOr[float] = NOT_GIVEN,
        activation_threshold: NotGivenOr[float] = NOT_GIVEN,
        deactivation_threshold: NotGivenOr[float | None] = NOT_GIVEN,
    ) -> None:
        """Changes settings of this VAD and of its streams, from their next window on. Nothing is interrupted.

        If ``deactivation_threshold`` has never been given, it follows ``activation_threshold``; ``None`` makes it follow again.

        Raises:
            ValueError: A setting is out of range; nothing has changed then.
        """
        given = {
            "min_speech_duration": min_speech_duration,
            "min_silence_duration": min_silence_duration,
            "prefix_padding_duration": prefix_padding_duration,
            "max_buffered_speech": max_buffered_speech,
            "activation_threshold": activation_threshold,
            "deactivation_threshold": deactivation_threshold,
        }
        changes: dict[str, Any] = {name: value for name, value in given.items() if is_given(value)}
        options = replace(self._options, **changes)
        self._check(options)
        self._options = options
        for stream in self._streams:
            stream._tune(options)

    def _check(self, options: _Options) -> None:
        if options.preset not in ("listenkit", "livekit", "livekit-silero"):
            raise ValueError(f"preset is {options.preset!r}: use 'listenkit', 'livekit' or 'livekit-silero'")
        if not 0.0 <= options.max_buffered_speech <= _MOST_BUFFERED:
            raise ValueError(f"max_buffered_speech is {options.max_buffered_speech}: use 0 to {_MOST_BUFFERED:g} s")
        # The library says what is wrong with the others.
        listenkit.Detector(options=options.detector(MODEL_RATE), models=self._models)


class VADStream(vad.VADStream):
    """What :meth:`VAD.stream` gives. Frames may have any rate from 4 to 192 kHz and up to 8 channels, and may change both.

    Every start of speech gets its end, also at ``flush`` and ``end_input``; ``timestamp`` and ``samples_index`` go on after a flush.
    """

    #: For the stream adapter: a flush ends open speech, it does not drop it.
    ends_speech_on_flush = True

    def __init__(self, owner: VAD) -> None:
        self._owner: VAD = owner
        self._detector: listenkit.Detector | None = None
        self._rate = 0
        #: Mono int16 at the input's rate, from sample `_base` of the stream on.
        self._audio = bytearray()
        self._base = 0
        #: How much there is, how much of it the detector has, and from where on it will have something to say: the window after
        #: the last one, and what the filter needs behind it.
        self._pushed = self._processed = self._due = 0
        self._step = 0
        #: End of the newest window.
        self._heard = 0
        self._speaking = False
        #: First sample of the open segment, prefix included.
        self._segment_start = 0
        #: No prefix reaches before this: the end of the segment before.
        self._floor = 0
        #: The head of a segment that is longer than may be buffered.
        self._full: bytes | None = None
        # What LiveKit's events tell of the past, in seconds.
        self._speech = self._silence = 0.0
        self._voiced_run = self._silent_run = 0.0
        self._metrics_time = 0.0
        self._metrics_windows = 0
        self._apply(owner._options)
        super().__init__(owner)

    # Input

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        """Hears a frame, at once."""
        if self._input_ch.closed or self._event_ch.closed:
            self._check_input_not_ended()
            self._check_not_closed()
        if frame.sample_rate != self._rate:
            self._adopt_rate(frame.sample_rate)
        block = mono(frame)
        self._audio += block
        self._pushed += len(block)
        if self._pushed >= self._due:
            self._process()

    def flush(self) -> None:
        """The end of a segment: open speech ends, with its audio; what follows is a new beginning at the same position."""
        self._check_input_not_ended()
        self._check_not_closed()
        self._end_all()

    def end_input(self) -> None:
        self.flush()
        self._input_ch.close()

    async def _main_task(self) -> None:
        # All work is done in push_frame; the base class waits for this task to know that the input has ended.
        async for _ in self._input_ch:
            pass

    async def __anext__(self) -> VADEvent:
        # Without the base class's tee: the metrics are counted where the events are made.
        try:
            return await self._event_ch.recv()
        except aio.ChanClosed:
            raise StopAsyncIteration from None

    async def _metrics_monitor_task(self, event_aiter: AsyncIterable[VADEvent]) -> None:
        pass

    def _tune(self, options: _Options) -> None:
        if self._detector is not None:
            self._detector.tune(**options.tuning())
        self._apply(options)

    def _adopt_rate(self, rate: int) -> None:
        if self._detector is None:
            options = self._options.detector(rate)
            self._detector = listenkit.Detector(options=options, models=self._owner._models)
        else:
            # What was open ends now, with audio of one rate.
            self._end_all()
            self._detector.set_format(sample_rate=rate)
            # The library does the same sum, rounded up, when the next block comes.
            position = -(-self._pushed * rate // self._rate)
            self._base = self._floor = self._heard = self._pushed = self._processed = position
            self._audio.clear()
        self._rate = rate
        self._apply(self._options)
        # A sample less, because the ends of windows are rounded.
        self._step = int(WINDOW * rate) + self._detector.delay - 1
        self._due = self._heard + self._step

    def _apply(self, options: _Options) -> None:
        self._options = options
        self._activation = options.activation_threshold
        self._deactivation = options.deactivation
        self._speech_only = options.preset == "listenkit"
        self._prefix = int(options.prefix_padding_duration * self._rate)
        self._room = self._prefix + int(options.max_buffered_speech * self._rate)
        # An onset of n windows may hold n - 1 dips, and the window that is being filled follows it.
        self._keep = self._prefix + int((2.0 * options.min_speech_duration + 4.0 * WINDOW) * self._rate)

    def _process(self) -> None:
        detector = self._detector
        assert detector is not None, "a rate has been adopted"
        block = self._audio[2 * (self._processed - self._base) :]
        self._processed = self._pushed
        started = time.perf_counter()
        try:
            events = detector.process(block)
        except listenkit.PoisonedError:
            self._start_over()
            return
        self._handle(events, time.perf_counter() - started)
        self._due = self._heard + self._step

    def _start_over(self) -> None:
        """A bug of the library has made the detector useless: open speech ends, and a new one takes its place."""
        logger.exception("the detector has failed and is replaced")
        self._heard = self._pushed
        if self._speaking:
            self._speaking = False
            self._edge(VADEventType.END_OF_SPEECH, 0.0, self._full)
        self._new_segment()
        options = self._options.detector(self._rate).replace(start_at=self._pushed)
        self._detector = listenkit.Detector(options=options, models=self._owner._models)

    def _end_all(self) -> None:
        if self._detector is None:
            return
        self._process()
        started = time.perf_counter()
        events = self._detector.flush()
        self._handle(events, time.perf_counter() - started)
        self._new_segment()

    def _new_segment(self) -> None:
        """Nothing of what was heard counts any more."""
        self._silence = self._speech = self._voiced_run = self._silent_run = 0.0
        self._full = None
        self._heard = self._floor = self._pushed
        self._due = self._heard + self._step

    # Output

    def _handle(self, events: list[listenkit.Event], took: float) -> None:
        for event in events:
            if isinstance(event, listenkit.Window):
                self._window(event, took)
            elif isinstance(event, listenkit.StartOfSpeech):
                self._start(event, took)
            elif isinstance(event, listenkit.EndOfSpeech):
                self._end(event, took)

    def _window(self, window: listenkit.Window, took: float) -> None:
        start, self._heard, probability, rate = window.at, window.end, window.probability, self._rate
        length = (self._heard - start) / rate
        speaking = self._speaking
        voiced = probability >= self._activation or (speaking and probability > self._deactivation)
        if speaking:
            self._speech += length
        else:
            self._silence += length
        speech = self._speech
        if self._speech_only and speaking and not voiced:
            # LiveKit's counts the silence that has not yet ended the segment as speech, and barge-in compares this number.
            speech -= self._silent_run + length
        timestamp = self._heard / rate
        audio = self._audio[2 * (start - self._base) : 2 * (self._heard - self._base)]
        self._event_ch.send_nowait(
            VADEvent(
                VADEventType.INFERENCE_DONE,
                round(timestamp * MODEL_RATE),
                timestamp,
                speech,
                self._silence,
                [rtc.AudioFrame(audio, rate, 1, self._heard - start)],
                probability,
                took,
                speaking,
                # Those before this window, as LiveKit's.
                self._silent_run,
                self._voiced_run,
            )
        )
        if voiced:
            self._voiced_run += length
            self._silent_run = 0.0
        else:
            self._silent_run += length
            self._voiced_run = 0.0
        self._metrics_time += took
        self._metrics_windows += 1
        if self._metrics_windows >= METRICS_EVERY:
            self._emit_metrics()
        if speaking and self._full is None:
            if self._heard - self._segment_start >= self._room:
                self._overflow()
        elif self._heard - self._keep - self._base > rate:
            self._forget_before(self._heard - self._keep)

    def _start(self, event: listenkit.StartOfSpeech, took: float) -> None:
        self._speaking = True
        self._silence = 0.0
        self._speech = (self._heard - event.at) / self._rate
        self._segment_start = max(self._base, self._floor, event.at - self._prefix)
        self._edge(VADEventType.START_OF_SPEECH, took)

    def _end(self, event: listenkit.EndOfSpeech, took: float) -> None:
        self._speaking = False
        self._silence = max(0.0, (self._heard - event.at) / self._rate)
        self._speech = event.segment_duration / self._rate
        self._edge(VADEventType.END_OF_SPEECH, took, self._full)
        self._speech = 0.0
        self._full = None
        if self._options.preset == "listenkit":
            self._floor = self._heard

    def _edge(self, kind: VADEventType, took: float, audio: bytes | None = None) -> None:
        """Start or end of speech, with the segment so far."""
        self._last_activity_time = time.perf_counter()
        timestamp = self._heard / self._rate
        if audio is None:
            audio = bytes(self._audio[2 * (self._segment_start - self._base) : 2 * (self._heard - self._base)])
        self._event_ch.send_nowait(
            VADEvent(
                kind,
                round(timestamp * MODEL_RATE),
                timestamp,
                self._speech,
                self._silence,
                [rtc.AudioFrame(audio, self._rate, 1, len(audio) // 2)],
                inference_duration=took,
                speaking=self._speaking,
            )
        )

    def _overflow(self) -> None:
        """The segment is as long as may be buffered: its head stays, the buffer goes on with what the next prefix needs."""
        start = self._segment_start - self._base
        self._full = bytes(self._audio[2 * start : 2 * (start + self._room)])
        logger.warning(
            "max_buffered_speech reached: the frames at the end of this speech will hold its beginning only",
            extra={"max_buffered_speech": self._options.max_buffered_speech},
        )

    def _forget_before(self, position: int) -> None:
        del self._audio[: 2 * (position - self._base)]
        self._base = position

    def _emit_metrics(self) -> None:
        self._owner.emit(
            "metrics_collected",
            VADMetrics(
                timestamp=time.time(),
                idle_time=time.perf_counter() - self._last_activity_time,
                inference_duration_total=self._metrics_time,
                inference_count=self._metrics_windows,
                label=self._owner._label,
                metadata=Metadata(model_name=self._owner.model, model_provider=self._owner.provider),
            ),
        )
        self._metrics_time, self._metrics_windows = 0.0, 0


def mono(frame: rtc.AudioFrame) -> memoryview:
    """The samples of a frame, of several channels their mean."""
    channels, count = frame.num_channels, frame.samples_per_channel
    data = frame.data
    if len(data) != channels * count:
        data = data[: channels * count]
    if channels == 1:
        return data
    mean = np.asarray(data).reshape(count, channels).mean(axis=1)
    return memoryview(np.rint(mean).astype(np.int16))
