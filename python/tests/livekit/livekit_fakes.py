"""Stand-ins for the parts of a voice agent that need a network: recogniser, language model, voice, microphone, loudspeaker."""

from __future__ import annotations

import asyncio
import time
import wave
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import llm, stt, tts, vad
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions
from livekit.agents.voice import io

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
RATE = 16000


def frame_of(samples: np.ndarray, rate: int = RATE, channels: int = 1) -> rtc.AudioFrame:
    data = np.ascontiguousarray(samples, dtype=np.int16)
    return rtc.AudioFrame(data.tobytes(), rate, channels, data.size // channels)


def frames_of(samples: np.ndarray, rate: int = RATE, ms: int = 10) -> list[rtc.AudioFrame]:
    step = rate * ms // 1000
    return [frame_of(samples[i : i + step], rate) for i in range(0, len(samples), step)]


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    with wave.open(str(path)) as file:
        assert file.getsampwidth() == 2
        data = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
        return data.reshape(-1, file.getnchannels()), file.getframerate()


def bursts(*spans: tuple[float, float], until: float, rate: int = RATE) -> np.ndarray:
    """A 300 Hz tone in the given spans of seconds, silence elsewhere. Each burst has a level of its own, to tell them apart."""
    samples = np.zeros(int(until * rate), dtype=np.int16)
    for k, (start, end) in enumerate(spans):
        t = np.arange(int(start * rate), int(min(end, until) * rate))
        samples[t] = (4000 + 1000 * k) * np.sin(2 * np.pi * 300 * t / rate)
    return samples


class LoudVAD(vad.VAD):
    """Loud is speech, in windows of 32 ms at 16 kHz. At a flush and at the end of its input it forgets open speech, as LiveKit's
    VADs do."""

    def __init__(self, min_silence: int = 8, frames_on_windows: bool = True) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.032))
        self.min_silence = min_silence
        self.frames_on_windows = frames_on_windows

    def stream(self) -> vad.VADStream:
        return _LoudStream(self)


class _LoudStream(vad.VADStream):
    async def _main_task(self) -> None:
        options = self._vad
        assert isinstance(options, LoudVAD)
        held = np.zeros(0, dtype=np.int16)
        segment: list[np.ndarray] = []
        speaking, silent, voiced, windows = False, 0, 0, 0

        def say(kind: vad.VADEventType, audio: np.ndarray, **values: Any) -> None:
            event = vad.VADEvent(
                type=kind,
                samples_index=windows * 512,
                timestamp=windows * 0.032,
                speech_duration=values.pop("speech", 0.0),
                silence_duration=silent * 0.032,
                frames=[frame_of(audio)],
                speaking=speaking,
                **values,
            )
            self._event_ch.send_nowait(event)

        async for item in self._input_ch:
            if not isinstance(item, rtc.AudioFrame):
                held, segment = np.zeros(0, dtype=np.int16), []
                speaking, silent, voiced, windows = False, 0, 0, 0
                continue
            held = np.concatenate([held, np.frombuffer(item.data, dtype=np.int16)])
            while len(held) >= 512:
                window, held = held[:512], held[512:]
                windows += 1
                loud = np.abs(window).max() > 1000
                shown = window if options.frames_on_windows else window[:0]
                say(vad.VADEventType.INFERENCE_DONE, shown, probability=float(loud))
                segment.append(window)
                if loud:
                    silent, voiced = 0, voiced + 1
                    if not speaking and voiced >= 2:
                        speaking = True
                        say(
                            vad.VADEventType.START_OF_SPEECH,
                            np.concatenate(segment),
                            speech=voiced * 0.032,
                        )
                else:
                    silent, voiced = silent + 1, 0
                    if speaking and silent >= options.min_silence:
                        speaking = False
                        say(vad.VADEventType.END_OF_SPEECH, np.concatenate(segment))
                    if not speaking:
                        segment = segment[-4:]


class BatchSTT(stt.STT):
    """Recognises whole clips, one request at a time or many; each answer is computed by ``answer(n, clip)`` for the n-th request,
    which gives the text or raises."""

    def __init__(self, answer: Callable[[int, np.ndarray], str], delay: float | Sequence[float] = 0.0) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self.answer = answer
        self.delay = delay
        self.clips: list[np.ndarray] = []
        self.running = 0
        self.most_running = 0

    @property
    def model(self) -> str:
        return "fake"

    async def _recognize_impl(
        self,
        buffer: Any,
        *,
        language: Any = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.SpeechEvent:
        frame = rtc.combine_audio_frames(buffer)
        clip = np.frombuffer(frame.data, dtype=np.int16).copy()
        n = len(self.clips)
        self.clips.append(clip)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            delay = self.delay if isinstance(self.delay, (int, float)) else self.delay[min(n, len(self.delay) - 1)]
            await asyncio.sleep(delay)
            text = self.answer(n, clip)
        finally:
            self.running -= 1
        return stt.SpeechEvent(
            stt.SpeechEventType.FINAL_TRANSCRIPT,
            request_id=f"request-{n}",
            alternatives=[stt.SpeechData(language="en", text=text, confidence=1.0)],
        )


def loudest(clip: np.ndarray) -> int:
    """Which burst of :func:`bursts` a clip holds, from 0."""
    return round((np.abs(clip).max() - 4000) / 1000)


class FakeLLM(llm.LLM):
    """Answers every turn with ``reply(text of the user)`` after ``delay`` seconds; remembers what it was asked."""

    def __init__(self, reply: Callable[[str], str], delay: float = 0.05) -> None:
        super().__init__()
        self.reply = reply
        self.delay = delay
        self.asked: list[str] = []

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: Any = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        return _FakeLLMStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _FakeLLMStream(llm.LLMStream):
    async def _run(self) -> None:
        model = self._llm
        assert isinstance(model, FakeLLM)
        users = [item for item in self._chat_ctx.items if item.type == "message" and item.role == "user"]
        text = users[-1].text_content or ""
        model.asked.append(text)
        await asyncio.sleep(model.delay)
        delta = llm.ChoiceDelta(role="assistant", content=model.reply(text))
        self._event_ch.send_nowait(llm.ChatChunk(id="fake", delta=delta))


class FakeTTS(tts.TTS):
    """Speaks silence, ``duration`` seconds for every text."""

    def __init__(self, duration: float = 0.4) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)
        self.duration = duration

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _FakeSpeech(tts=self, input_text=text, conn_options=conn_options)


class _FakeSpeech(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        voice = self._tts
        assert isinstance(voice, FakeTTS)
        output_emitter.initialize(
            request_id="fake", sample_rate=RATE, num_channels=1, mime_type="audio/pcm"
        )
        output_emitter.push(bytes(2 * int(RATE * voice.duration)))
        output_emitter.flush()


class Microphone(io.AudioInput):
    """Audio that arrives as it would from a room: each frame when it has been spoken. Silence follows the recording."""

    def __init__(self, samples: np.ndarray, rate: int, ms: int = 20) -> None:
        super().__init__(label="microphone")
        self._frames = iter(frames_of(samples, rate, ms))
        self._silence = frame_of(np.zeros(rate * ms // 1000, dtype=np.int16), rate)
        self._step = ms / 1000
        self._due: float | None = None
        self.started_at: float | None = None

    async def __anext__(self) -> rtc.AudioFrame:
        now = time.perf_counter()
        if self._due is None:
            self._due, self.started_at = now, time.time()
        self._due += self._step
        await asyncio.sleep(max(0.0, self._due - now))
        return next(self._frames, self._silence)


class Loudspeaker(io.AudioOutput):
    """Plays in real time, so that the agent speaks for as long as its audio lasts. Can be paused."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=io.AudioOutputCapabilities(pause=True))
        self._pushed = self._played = 0.0
        self._playing_since: float | None = None
        self._flushed = False
        self._timer: asyncio.TimerHandle | None = None
        self.interruptions = 0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if self._pushed == 0.0:
            self._playing_since = time.time()
            self.on_playback_started(created_at=self._playing_since)
        self._pushed += frame.duration

    def flush(self) -> None:
        super().flush()
        self._flushed = self._pushed > 0.0
        self._wait()

    def pause(self) -> None:
        super().pause()
        self._played, self._playing_since = self._position(), None
        self._wait()

    def resume(self) -> None:
        super().resume()
        if self._pushed > 0.0 and self._playing_since is None:
            self._playing_since = time.time()
            self._wait()

    def clear_buffer(self) -> None:
        if self._pushed > 0.0:
            self.interruptions += 1
            self._finish(True)

    def _position(self) -> float:
        since = self._playing_since
        return self._played + (0.0 if since is None else time.time() - since)

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flushed and self._playing_since is not None:
            left = max(0.0, self._pushed - self._position())
            self._timer = asyncio.get_running_loop().call_later(left, self._finish, False)

    def _finish(self, interrupted: bool) -> None:
        position = min(self._pushed, self._position())
        self._pushed = self._played = 0.0
        self._flushed, self._playing_since = False, None
        self._wait()
        self.on_playback_finished(playback_position=position, interrupted=interrupted)


async def take(events: AsyncIterator[Any], seconds: float = 10.0) -> list[Any]:
    """All events until the end, or a failure if that does not come."""

    async def all_of() -> list[Any]:
        return [event async for event in events]

    return await asyncio.wait_for(all_of(), seconds)


