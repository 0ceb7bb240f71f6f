"""The VAD as LiveKit sees it, and beside LiveKit's own."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import inference, vad
from livekit.agents.vad import VADEvent, VADEventType
from livekit_fakes import FIXTURES, frame_of, frames_of, read_wav, take

import listenkit
from listenkit.livekit import VAD

START, WINDOW, END = VADEventType.START_OF_SPEECH, VADEventType.INFERENCE_DONE, VADEventType.END_OF_SPEECH


@pytest.fixture(scope="module")
def conversation() -> np.ndarray:
    """The conversation at 48 kHz."""
    samples, rate = read_wav(FIXTURES / "conversation-en" / "audio.wav")
    assert rate == 48_000
    return samples[:, 0]


@pytest.fixture(scope="module")
def narrow(conversation: np.ndarray) -> np.ndarray:
    """The same at 16 kHz."""
    return resampled(conversation, 16_000)


def resampled(samples: np.ndarray, rate: int, source: int = 48_000) -> np.ndarray:
    resampler = listenkit.Resampler(source, rate, aligned=True)
    return np.concatenate([resampler.process(samples), resampler.flush()])


async def hear(made: vad.VAD, frames: list[rtc.AudioFrame]) -> list[VADEvent]:
    stream = made.stream()
    for frame in frames:
        stream.push_frame(frame)
    stream.end_input()
    events = await take(stream)
    await stream.aclose()
    return events


def edges(events: list[VADEvent]) -> list[tuple[VADEventType, int]]:
    return [(event.type, event.samples_index) for event in events if event.type != WINDOW]


def pcm(event: VADEvent) -> np.ndarray:
    [frame] = event.frames
    assert frame.num_channels == 1 and len(frame.data) == frame.samples_per_channel
    return np.frombuffer(frame.data, dtype=np.int16)


def test_it_is_what_a_session_asks_for() -> None:
    made = VAD()
    assert isinstance(made, vad.VAD)
    assert (made.model, made.provider) == ("silero", "listenkit")
    assert made.capabilities.update_interval == 0.032
    assert made.min_silence_duration == 0.25
    assert made.describe_options()["preset"] == "listenkit"
    assert VAD.load(min_silence_duration=0.4).min_silence_duration == 0.4


async def test_every_field_is_filled_as_livekit_fills_it(narrow: np.ndarray) -> None:
    """The fixture ends in silence, so that the peer loses no segment."""
    ours = await hear(VAD(preset="livekit"), frames_of(narrow))
    peer = await hear(inference.VAD(), frames_of(narrow))
    whole = len(narrow) // 512
    assert len([event for event in peer if event.type == WINDOW]) == whole
    ours = ours[: len(peer)]  # at the end we hear the incomplete window as well
    assert edges(ours) == edges(peer) and len(edges(ours)) == 10
    for mine, theirs in zip(ours, peer, strict=True):
        assert mine.type == theirs.type
        assert mine.samples_index == theirs.samples_index
        assert mine.speaking == theirs.speaking
        for name in ("timestamp", "speech_duration", "silence_duration"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), abs=1e-6), (mine.type, name)
        for name in ("raw_accumulated_silence", "raw_accumulated_speech"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), abs=1e-6), (mine.type, name)
        # Measured over the corpus: 2.5e-5 between the two implementations of the model.
        assert mine.probability == pytest.approx(theirs.probability, abs=1e-3)
        assert 0.0 <= mine.inference_duration < 5.0  # another program may have had its turn meanwhile
        np.testing.assert_array_equal(pcm(mine), pcm(theirs))


@pytest.mark.parametrize("how", ["flush", "end_input"])
async def test_speech_that_is_open_gets_its_end(conversation: np.ndarray, how: str) -> None:
    in_speech = frames_of(conversation[:96_000], 48_000)  # the first sentence lasts from 0.5 to 3.3 s

    async def closed(made: vad.VAD) -> list[VADEvent]:
        stream = made.stream()
        for frame in in_speech:
            stream.push_frame(frame)
        stream.flush()
        if how == "end_input":
            stream.end_input()
            return await take(stream)
        stream.push_frame(frame_of(np.zeros(96_000, dtype=np.int16), 48_000))
        stream.end_input()
        return await take(stream)

    ours = [event for event in await closed(VAD()) if event.type != WINDOW]
    assert [event.type for event in ours] == [START, END]
    start, end = ours
    assert end.timestamp == pytest.approx(2.0)
    # From a prefix before the onset to the last sample pushed.
    audio = pcm(end)
    assert len(audio) == pytest.approx((2.0 - 0.512 + 0.5) * 48_000, abs=2)
    np.testing.assert_array_equal(audio, conversation[96_000 - len(audio) : 96_000])
    assert end.speech_duration == pytest.approx(2.0 - 0.512 - end.silence_duration, abs=1e-6)

    peer = [event.type for event in await closed(inference.VAD()) if event.type != WINDOW]
    assert peer == [START], "the peer forgets the end and the audio"


async def test_a_flush_is_a_new_beginning_on_the_same_clock(conversation: np.ndarray) -> None:
    made = VAD()
    stream = made.stream()
    for frame in frames_of(conversation[:96_000], 48_000):
        stream.push_frame(frame)
    stream.flush()
    for frame in frames_of(conversation[96_000:], 48_000):
        stream.push_frame(frame)
    stream.end_input()
    events = await take(stream)
    kinds = [kind for kind, _ in edges(events)]
    assert kinds == [START, END] * (len(kinds) // 2) and len(kinds) >= 6
    times = [event.timestamp for event in events]
    assert times == sorted(times)
    second = events[[event.type for event in events].index(END) + 1 :]
    assert second[0].type == WINDOW and not second[0].speaking
    assert second[0].raw_accumulated_speech == second[0].raw_accumulated_silence == 0.0
    start = next(event for event in second if event.type == START)
    # Nothing of before the flush.
    assert len(pcm(start)) <= (start.timestamp - 2.0) * 48_000 + 1


async def test_windows_tile_the_input(conversation: np.ndarray) -> None:
    events = await hear(VAD(), frames_of(conversation, 48_000))
    heard = np.concatenate([pcm(event) for event in events if event.type == WINDOW])
    np.testing.assert_array_equal(heard, conversation[: len(heard)])
    assert len(conversation) - len(heard) < 1536 and events[-1].timestamp <= len(conversation) / 48_000


@pytest.mark.parametrize("ms", [1, 7, 20, 50, 1000, 20_000])
async def test_how_the_audio_is_cut_changes_nothing(conversation: np.ndarray, ms: int) -> None:
    def facts(events: list[VADEvent]) -> list[Any]:
        return [
            (
                event.type,
                event.samples_index,
                event.probability,
                event.speech_duration,
                event.silence_duration,
                pcm(event).tobytes(),
            )
            for event in events
        ]

    made = VAD()
    expected = facts(await hear(made, frames_of(conversation[:300_000], 48_000)))
    assert facts(await hear(made, frames_of(conversation[:300_000], 48_000, ms))) == expected


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
async def test_nothing_comes_later_than_the_library_can_say_it(conversation: np.ndarray, rate: int) -> None:
    """Frames are collected until a window is complete; this must cost no delay."""
    samples = conversation if rate == 48_000 else resampled(conversation, rate)
    samples = samples[: 8 * rate]
    detector = listenkit.Detector(rate, report_windows=True)
    stream = VAD().stream()
    counts = 0
    for frame in frames_of(samples, rate):
        stream.push_frame(frame)
        events = detector.process(frame.data)
        counts += sum(isinstance(e, (listenkit.Window, listenkit.StartOfSpeech, listenkit.EndOfSpeech)) for e in events)
        assert stream._event_ch.qsize() == counts
    assert counts > 200
    await stream.aclose()


async def test_channels_are_mixed(narrow: np.ndarray) -> None:
    expected = await hear(VAD(), frames_of(narrow))
    stereo = np.stack([narrow, narrow], axis=1)
    frames = [frame_of(stereo[at : at + 160], 16_000, 2) for at in range(0, len(stereo), 160)]
    events = await hear(VAD(), frames)
    assert edges(events) == edges(expected)
    np.testing.assert_array_equal(pcm(events[-1]), pcm(expected[-1]))


@pytest.mark.parametrize("rate", [8_000, 22_050, 24_000, 32_000, 44_100, 96_000])
async def test_every_rate_hears_the_same_speech(conversation: np.ndarray, rate: int) -> None:
    samples = resampled(conversation, rate)
    events = await hear(VAD(), frames_of(samples, rate))
    expected = await hear(VAD(), frames_of(conversation, 48_000))
    seconds = [(e.type, e.timestamp) for e in events if e.type != WINDOW]
    assert [kind for kind, _ in seconds] == [kind for kind, _ in edges(expected)]
    # The model of 8 kHz is another one and hears a fading word up to three windows longer; all others one.
    tolerance = 0.1 if rate == 8_000 else 0.033
    for (_, at), event in zip(seconds, [e for e in expected if e.type != WINDOW]):
        assert at == pytest.approx(event.timestamp, abs=tolerance)
    for event in events:
        assert event.frames[0].sample_rate == rate
        assert event.samples_index == round(event.timestamp * 16_000)


async def test_the_rate_may_change(conversation: np.ndarray) -> None:
    first, rest = conversation[:96_000], conversation[96_000:]
    frames = frames_of(first, 48_000) + frames_of(resampled(rest, 44_100), 44_100)
    events = await hear(VAD(), frames)
    found = [event for event in events if event.type != WINDOW]
    assert [e.type for e in found[:4]] == [START, END, START, END]
    assert found[1].timestamp == pytest.approx(2.0) and found[1].frames[0].sample_rate == 48_000
    assert found[2].frames[0].sample_rate == 44_100
    times = [event.timestamp for event in events]
    assert times == sorted(times) and times[-1] == pytest.approx(len(conversation) / 48_000, abs=0.04)
    second = np.concatenate([pcm(e) for e in events if e.type == WINDOW and e.frames[0].sample_rate == 44_100])
    np.testing.assert_array_equal(second, resampled(rest, 44_100)[: len(second)])


async def test_silence_that_follows_a_word_is_no_speech(narrow: np.ndarray) -> None:
    """LiveKit's barge-in compares `speech_duration` of the windows with its least duration."""
    ours = await hear(VAD(), frames_of(narrow))
    peer = await hear(VAD(preset="livekit"), frames_of(narrow))

    def longest(events: list[VADEvent]) -> float:
        """Of the one-word answer at 10.5 s, as the windows tell it."""
        return max(e.speech_duration for e in events if e.type == WINDOW and 10.5 < e.timestamp < 12.0 and e.speaking)

    answer = next(e for e in ours if e.type == END and 10.5 < e.timestamp < 12.0)
    assert longest(ours) == pytest.approx(answer.speech_duration, abs=1e-6)
    assert longest(peer) == pytest.approx(answer.speech_duration + 0.256, abs=1e-6)


async def test_options_change_in_mid_stream(conversation: np.ndarray) -> None:
    made = VAD()
    stream = made.stream()
    frames = frames_of(conversation, 48_000)
    for frame in frames[:500]:
        stream.push_frame(frame)
    # Between "the number I have is" and "four" there is a pause of half a second.
    made.update_options(min_silence_duration=0.8)
    assert made.min_silence_duration == 0.8
    for frame in frames[500:1050]:
        stream.push_frame(frame)
    made.update_options(activation_threshold=1.0, deactivation_threshold=1.0)
    for frame in frames[1050:]:
        stream.push_frame(frame)
    stream.end_input()
    events = await take(stream)
    found = [(event.type, event.timestamp) for event in events if event.type != WINDOW]
    assert [kind for kind, _ in found] == [START, END, START, END]
    assert found[3][1] == pytest.approx(9.088 + 0.8, abs=0.033)


async def test_a_wrong_change_is_refused_and_changes_nothing(conversation: np.ndarray) -> None:
    made = VAD()
    stream = made.stream()
    stream.push_frame(frame_of(conversation[:960], 48_000))
    with pytest.raises(ValueError, match="activation_threshold"):
        made.update_options(activation_threshold=1.5, min_silence_duration=0.9)
    assert made.min_silence_duration == 0.25
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="max_buffered_speech"):
            made.update_options(max_buffered_speech=wrong)
    await stream.aclose()
    with pytest.raises(ValueError, match="min_silence_duration"):
        VAD(min_silence_duration=11.0)
    with pytest.raises(ValueError, match="preset"):
        VAD(preset="other")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="leave out sample_rate, force_cpu"):
        VAD.load(force_cpu=True, sample_rate=16000, activation_threshold=0.6)


def test_the_lower_threshold_follows_until_it_is_set() -> None:
    made = VAD()
    made.update_options(activation_threshold=0.8)
    assert made._options.deactivation == pytest.approx(0.65)
    made.update_options(deactivation_threshold=0.2)
    made.update_options(activation_threshold=0.9)
    assert made._options.deactivation == 0.2
    made.update_options(deactivation_threshold=None)
    assert made._options.deactivation == pytest.approx(0.75)


async def test_too_long_speech_keeps_its_head_and_the_next_prefix_is_fresh(
    conversation: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "livekit.agents"):
        events = await hear(VAD(max_buffered_speech=1.0), frames_of(conversation[: 7 * 48_000], 48_000))
    end = next(event for event in events if event.type == END)
    assert len(pcm(end)) == 72_000, "1 s and the prefix"
    np.testing.assert_array_equal(pcm(end), conversation[576 : 576 + 72_000])
    assert end.speech_duration == pytest.approx(2.784, abs=1e-3), "the whole speech"
    starts = [event for event in events if event.type == START]
    audio, upto = pcm(starts[1]), round(starts[1].timestamp * 48_000)
    np.testing.assert_array_equal(audio, conversation[upto - len(audio) : upto])
    warnings = [record for record in caplog.records if "max_buffered_speech" in record.message]
    assert len(warnings) == 2, "once for each of the two long ones"


async def test_metrics_come_each_second() -> None:
    made = VAD()
    metrics: list[Any] = []
    made.on("metrics_collected", metrics.append)
    events = await hear(made, frames_of(np.zeros(48_000 * 5, dtype=np.int16), 48_000))
    windows = [event for event in events if event.type == WINDOW]
    assert [m.inference_count for m in metrics] == [32] * (len(windows) // 32)
    total = sum(m.inference_duration_total for m in metrics)
    assert total == pytest.approx(sum(e.inference_duration for e in windows[: 32 * len(metrics)]))
    assert metrics[0].label == "listenkit.livekit.vad.VAD"
    assert (metrics[0].metadata.model_name, metrics[0].metadata.model_provider) == ("silero", "listenkit")


async def test_a_stream_takes_no_thread_and_little_memory() -> None:
    made = VAD()
    threads = threading.active_count()
    streams = [made.stream() for _ in range(20)]
    for stream in streams:
        for frame in frames_of(np.zeros(48_000 * 4, dtype=np.int16), 48_000, 1000):
            stream.push_frame(frame)
    assert threading.active_count() == threads
    # Prefix, onset and a second before it is trimmed, at 48 kHz.
    assert all(len(stream._audio) < 2.2 * 2 * 48_000 for stream in streams)
    await asyncio.gather(*[stream.aclose() for stream in streams])


async def test_after_the_end_nothing_is_taken() -> None:
    stream = VAD().stream()
    stream.push_frame(frame_of(np.zeros(160, dtype=np.int16)))
    stream.end_input()
    with pytest.raises(RuntimeError, match="input ended"):
        stream.push_frame(frame_of(np.zeros(160, dtype=np.int16)))
    with pytest.raises(RuntimeError, match="input ended"):
        stream.flush()
    assert await take(stream) is not None
    await stream.aclose()


async def test_a_frame_may_be_longer_than_it_says(narrow: np.ndarray) -> None:
    data = narrow[:320].tobytes() + b"\x7f" * 64
    stream = VAD().stream()
    stream.push_frame(rtc.AudioFrame(data, 16_000, 1, 320))
    assert stream._pushed == 320
    await stream.aclose()


async def test_a_detector_that_fails_is_replaced(
    conversation: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stream = VAD().stream()
    frames = frames_of(conversation, 48_000)
    for frame in frames[:200]:
        stream.push_frame(frame)

    def fails(block: Any) -> list[listenkit.Event]:
        raise listenkit.PoisonedError("a bug", -13)

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "livekit.agents"):
        patch.setattr(listenkit.Detector, "process", lambda self, block: fails(block))
        for frame in frames[200:204]:
            stream.push_frame(frame)
    for frame in frames[204:]:
        stream.push_frame(frame)
    stream.end_input()
    events = await take(stream)
    found = [event for event in events if event.type != WINDOW]
    assert [event.type for event in found] == [START, END] * (len(found) // 2) and len(found) >= 10
    assert found[1].timestamp == pytest.approx(2.0, abs=0.05), "what was open has ended there"
    times = [event.timestamp for event in events]
    assert times == sorted(times)
    assert "replaced" in caplog.text


async def test_a_rate_that_cannot_be_heard_is_named() -> None:
    stream = VAD().stream()
    with pytest.raises(ValueError, match="3000"):
        stream.push_frame(frame_of(np.zeros(30, dtype=np.int16), 3_000))
    stream.push_frame(frame_of(np.zeros(160, dtype=np.int16)))
    await stream.aclose()
