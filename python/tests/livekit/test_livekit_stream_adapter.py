"""The adapter against the one it replaces, each with the same recogniser and the same VAD."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import numpy as np
import pytest
from livekit_fakes import BatchSTT, LoudVAD, bursts, frames_of, loudest, take
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, stt

from listenkit.livekit import FailedSegment, StreamAdapter, StreamClosedError

START, END, FINAL = (
    stt.SpeechEventType.START_OF_SPEECH,
    stt.SpeechEventType.END_OF_SPEECH,
    stt.SpeechEventType.FINAL_TRANSCRIPT,
)
QUICK = APIConnectOptions(max_retry=3, retry_interval=0.2, timeout=5.0)
TWO = bursts((0.5, 1.0), (1.6, 2.1), until=3.0)


def spoken(events: list[stt.SpeechEvent]) -> list[str]:
    return [event.alternatives[0].text for event in events if event.type == FINAL]


async def run(adapter: stt.STT, samples: np.ndarray, flush_at: float | None = None, **options: Any) -> list[Any]:
    """Everything at once, as fast as it goes; then the end of the input."""
    stream = adapter.stream(conn_options=options.get("conn_options", QUICK))
    for k, frame in enumerate(frames_of(samples)):
        if flush_at is not None and k == round(flush_at * 100):
            stream.flush()
        stream.push_frame(frame)
    stream.end_input()
    events: list[Any] = []
    try:
        async for event in stream:
            events.append(event)
    except Exception as error:  # what a stream raises is part of what is compared
        events.append(error)
    await stream.aclose()
    return events


def kinds(events: list[Any]) -> list[Any]:
    return [event.type if isinstance(event, stt.SpeechEvent) else type(event) for event in events]


async def test_a_slow_request_delays_no_start_and_no_end() -> None:
    def answers() -> BatchSTT:
        return BatchSTT(lambda n, clip: f"burst {loudest(clip)}", delay=0.3)

    events = await run(StreamAdapter(answers(), vad=LoudVAD()), TWO)
    assert kinds(events) == [START, END, START, END, FINAL, FINAL]
    assert spoken(events) == ["burst 0", "burst 1"]

    peer = await run(stt.StreamAdapter(stt=answers(), vad=LoudVAD()), TWO)
    assert kinds(peer) == [START, END, FINAL, START, END, FINAL], "the peer's second start waits for the request"


async def test_the_end_of_speech_is_dated_when_it_was_not_when_the_request_was_done() -> None:
    """In real time: the second utterance ends while the first is still being recognised."""

    async def dated(adapter: stt.STT) -> list[float]:
        stream = adapter.stream(conn_options=QUICK)
        loop = asyncio.get_running_loop()
        started = loop.time()

        async def speak() -> float:
            import time

            origin = time.time()
            for k, frame in enumerate(frames_of(TWO, ms=20)):
                await asyncio.sleep(max(0.0, started + (k + 1) * 0.02 - loop.time()))
                stream.push_frame(frame)
            stream.end_input()
            return origin

        speaker = asyncio.create_task(speak())
        events = await take(stream)
        origin = await speaker
        await stream.aclose()
        return [event.speech_end_time - origin for event in events if event.type == END]

    ours, peer = await asyncio.gather(
        dated(StreamAdapter(BatchSTT(lambda n, clip: "x", delay=1.5), vad=LoudVAD())),
        dated(stt.StreamAdapter(stt=BatchSTT(lambda n, clip: "x", delay=1.5), vad=LoudVAD())),
    )
    # True ends: 1.0 and 2.1 s; a window is 32 ms, a frame 20 ms, the rest is for a machine that is busy.
    assert ours == pytest.approx([1.0, 2.1], abs=0.25)
    assert peer[1] > 2.1 + 0.3, "the peer's is late by what was left of the request"


async def test_a_flush_recognises_what_was_said_before_it() -> None:
    said = bursts((0.5, 1.5), until=2.5)

    def answers() -> BatchSTT:
        return BatchSTT(lambda n, clip: f"{np.count_nonzero(np.abs(clip) > 1000)}")

    ours = answers()
    events = await run(StreamAdapter(ours, vad=LoudVAD()), said, flush_at=1.0)
    assert kinds(events) in ([START, END, FINAL] * 2, [START, END] * 2 + [FINAL] * 2)
    loud = sum(np.count_nonzero(np.abs(clip) > 1000) for clip in ours.clips)
    # Of each half, less than one window (512 samples) may be missing: this VAD forgets an incomplete one.
    assert loud >= np.count_nonzero(np.abs(said) > 1000) - 512

    peer = answers()
    await run(stt.StreamAdapter(stt=peer, vad=LoudVAD()), said, flush_at=1.0)
    loud = sum(np.count_nonzero(np.abs(clip) > 1000) for clip in peer.clips)
    assert loud < 0.6 * np.count_nonzero(np.abs(said) > 1000), "the peer loses the first half"


async def test_the_end_of_input_recognises_what_was_being_said() -> None:
    said = bursts((0.5, 1.5), until=1.5)
    events = await run(StreamAdapter(BatchSTT(lambda n, clip: "heard"), vad=LoudVAD()), said)
    assert kinds(events) == [START, END, FINAL]
    peer = await run(stt.StreamAdapter(stt=BatchSTT(lambda n, clip: "heard"), vad=LoudVAD()), said)
    assert kinds(peer) == [START], "the peer forgets it"


async def test_one_failed_request_costs_one_utterance() -> None:
    def first_fails(n: int, clip: np.ndarray) -> str:
        if loudest(clip) == 0:
            raise APIStatusError("no", status_code=400)  # not to be retried
        return f"burst {loudest(clip)}"

    adapter = StreamAdapter(BatchSTT(first_fails), vad=LoudVAD())
    heard: list[FailedSegment] = []
    errors: list[stt.STTError] = []
    adapter.on("segment_failed", heard.append)
    adapter.on("error", errors.append)
    events = await run(adapter, TWO)
    assert kinds(events) == [START, END, START, END, FINAL]
    assert spoken(events) == ["burst 1"]
    [failed] = heard
    assert list(adapter.failed) == [failed]
    assert failed.attempts == 1 and isinstance(failed.error, APIStatusError)
    assert loudest(np.frombuffer(failed.audio.data, dtype=np.int16)) == 0
    assert (failed.start_time, failed.end_time) == pytest.approx((0.5, 1.0), abs=0.05)
    assert [error.recoverable for error in errors] == [False], "reported once"

    peer = await run(stt.StreamAdapter(stt=BatchSTT(first_fails), vad=LoudVAD()), TWO)
    assert kinds(peer) == [START, END, APIStatusError], "the peer's stream is dead"


async def test_a_failed_utterance_can_be_submitted_again() -> None:
    def once(n: int, clip: np.ndarray) -> str:
        if n == 0:
            raise APIStatusError("no", status_code=400)
        return f"burst {loudest(clip)}"

    adapter = StreamAdapter(BatchSTT(once), vad=LoudVAD())
    adapter.on("segment_failed", lambda failed: failed.resubmit())
    assert sorted(spoken(await run(adapter, TWO))) == ["burst 0", "burst 1"]
    [failed] = adapter.failed
    with pytest.raises(RuntimeError, match="has ended"):
        failed.resubmit()
    again = await adapter.recognize(failed.audio)
    assert again.alternatives[0].text == "burst 0"


async def test_what_may_pass_is_tried_again_after_growing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def noted(delay: float, *args: Any) -> None:
        waits.append(delay)
        await sleep(0)

    def third_time(n: int, clip: np.ndarray) -> str:
        if n < 3:
            raise APIConnectionError("not yet") if n else TimeoutError
        return "at last"

    adapter = StreamAdapter(BatchSTT(third_time), vad=LoudVAD())
    errors: list[stt.STTError] = []
    adapter.on("error", errors.append)
    monkeypatch.setattr("listenkit.livekit.stream_adapter.asyncio.sleep", noted)
    events = await run(adapter, bursts((0.5, 1.0), until=2.0))
    assert spoken(events) == ["at last"]
    assert [error.recoverable for error in errors] == [True] * 3
    waits = [wait for wait in waits if wait > 0]
    assert len(waits) == 3
    for wait, full in zip(waits, (0.1, 0.2, 0.2)):  # doubled, and not above retry_interval
        assert full / 2 <= wait <= full


async def test_waits_differ_between_streams() -> None:
    stream = StreamAdapter(BatchSTT(lambda n, clip: ""), vad=LoudVAD()).stream()
    assert len({stream._backoff(1) for _ in range(20)}) > 10
    await stream.aclose()


async def test_transcripts_keep_their_order_whatever_the_requests_do() -> None:
    five = bursts(*[(0.5 + k, 0.9 + k) for k in range(5)], until=6.0)
    recogniser = BatchSTT(lambda n, clip: f"{loudest(clip)}", delay=[0.3, 0.01, 0.2, 0.01, 0.05])
    events = await run(StreamAdapter(recogniser, vad=LoudVAD(), max_parallel=3), five)
    assert spoken(events) == ["0", "1", "2", "3", "4"]
    assert recogniser.most_running == 3


async def test_a_recogniser_that_hangs_does_not_hold_back_the_rest_forever() -> None:
    recogniser = BatchSTT(lambda n, clip: f"{loudest(clip)}", delay=[60.0, 0.0])
    options = APIConnectOptions(max_retry=0, timeout=0.1)
    adapter = StreamAdapter(recogniser, vad=LoudVAD())
    events = await asyncio.wait_for(run(adapter, TWO, conn_options=options), 5.0)
    assert spoken(events) == ["1"]
    assert isinstance(adapter.failed[0].error, TimeoutError)


async def test_closing_hands_back_what_was_not_delivered() -> None:
    said = bursts((0.5, 1.0), (1.6, 2.1), (2.8, 4.0), until=3.5)
    adapter = StreamAdapter(BatchSTT(lambda n, clip: "late", delay=60.0), vad=LoudVAD())
    stream = adapter.stream()
    for frame in frames_of(said):
        stream.push_frame(frame)
    seen = [(await stream.__anext__()).type for _ in range(5)]
    assert seen == [START, END, START, END, START]
    await asyncio.sleep(0.05)
    await stream.aclose()
    assert [loudest(np.frombuffer(f.audio.data, dtype=np.int16)) for f in adapter.failed] == [0, 1, 2]
    assert all(isinstance(failed.error, StreamClosedError) for failed in adapter.failed)


async def test_a_request_that_the_recogniser_cancels_holds_nobody_back() -> None:
    def answer(_: int, clip: np.ndarray) -> str:
        if loudest(clip) == 0:
            raise asyncio.CancelledError  # as from a task inside it that was cancelled
        return f"burst {loudest(clip)}"

    adapter = StreamAdapter(BatchSTT(answer), vad=LoudVAD())
    events = await asyncio.wait_for(run(adapter, TWO), 5.0)
    assert spoken(events) == ["burst 1"]
    (failed,) = adapter.failed
    assert isinstance(failed.error, APIConnectionError)
    assert failed.attempts == QUICK.max_retry + 1, "another attempt may do"


async def test_a_handler_that_submits_again_while_the_stream_closes_gets_all_utterances() -> None:
    adapter = StreamAdapter(BatchSTT(lambda n, clip: "never", delay=60.0), vad=LoudVAD())
    given_back: list[FailedSegment] = []

    @adapter.on("segment_failed")
    def again(failed: FailedSegment) -> None:
        given_back.append(failed)
        failed.resubmit()  # too late: RuntimeError, which LiveKit logs

    stream = adapter.stream(conn_options=QUICK)
    for frame in frames_of(TWO):
        stream.push_frame(frame)
    for _ in range(4):
        await stream.__anext__()
    await stream.aclose()
    assert len(given_back) == 2
    assert not [task for task in asyncio.all_tasks() if "listenkit" in task.get_name()], "nothing goes on after the close"


@pytest.mark.parametrize("event", ["error", "segment_failed"])
async def test_a_handler_that_fails_loses_no_transcript(event: Any) -> None:
    def answer(n: int, clip: np.ndarray) -> str:
        if n == 0:
            raise APIConnectionError("once")
        if loudest(clip) == 1:
            raise APIStatusError("no", status_code=400)
        return "fine"

    adapter = StreamAdapter(BatchSTT(answer), vad=LoudVAD())

    @adapter.on(event)
    def handler(_: Any) -> None:
        raise TypeError("the one kind that LiveKit's emitter lets through")

    events = await asyncio.wait_for(run(adapter, TWO), 5.0)
    assert spoken(events) == ["fine"]
    assert len(adapter.failed) == 1


async def test_a_clip_is_asked_for_as_often_as_the_options_say() -> None:
    def answer(*_: Any) -> str:
        raise APIConnectionError("always")

    recogniser = BatchSTT(answer)
    options = APIConnectOptions(max_retry=2, retry_interval=0.01, timeout=1.0)
    with pytest.raises(APIConnectionError):
        await StreamAdapter(recogniser, vad=LoudVAD()).recognize(frames_of(TWO)[0], conn_options=options)
    assert len(recogniser.clips) == 3


async def test_long_speech_is_recognised_in_parts_without_a_sample_between_them() -> None:
    said = bursts((0.5, 9.5), until=10.5)
    # A quiet place at 2.7 s, in the last third of the first part of at most 3 s.
    said[int(2.7 * 16000) : int(2.8 * 16000)] //= 100
    recogniser = BatchSTT(lambda n, clip: f"part {n}")
    adapter = StreamAdapter(recogniser, vad=LoudVAD(), max_segment_duration=3.0, max_parallel=1)
    events = await run(adapter, said)
    assert kinds(events).count(START) == kinds(events).count(END) == 1
    assert spoken(events) == [f"part {n}" for n in range(len(recogniser.clips))]
    assert all(len(clip) <= 3.1 * 16000 for clip in recogniser.clips)
    joined = np.concatenate(recogniser.clips)
    first = int(np.flatnonzero(said)[0])
    lead = int(np.flatnonzero(joined)[0])
    np.testing.assert_array_equal(joined, said[first - lead : first - lead + len(joined)])
    quiet = recogniser.clips[0][-512:]
    assert np.abs(quiet).max() < 1000, "cut where it is quiet"
    finals = [event.alternatives[0] for event in events if event.type == FINAL]
    for before, after in zip(finals, finals[1:]):
        assert before.end_time == pytest.approx(after.start_time, abs=1e-6)


async def test_a_vad_that_gives_audio_only_at_the_end_is_enough() -> None:
    recogniser = BatchSTT(lambda n, clip: f"{loudest(clip)}")
    events = await run(StreamAdapter(recogniser, vad=LoudVAD(frames_on_windows=False)), TWO)
    assert spoken(events) == ["0", "1"]
    loud = [np.count_nonzero(np.abs(clip) > 1000) for clip in recogniser.clips]
    whole = [np.count_nonzero(np.abs(TWO[at : at + 16000]) > 1000) for at in (0, 20000)]
    assert loud == whole
    times = [(e.alternatives[0].start_time, e.alternatives[0].end_time) for e in events if e.type == FINAL]
    assert times == [pytest.approx((0.5, 1.0), abs=0.04), pytest.approx((1.6, 2.1), abs=0.04)]


async def test_a_request_that_waits_to_be_tried_again_keeps_nobody_waiting() -> None:
    def first_is_busy(n: int, clip: np.ndarray) -> str:
        if loudest(clip) == 0 and n < 1:
            raise APIConnectionError("busy")
        return f"{n}"

    options = APIConnectOptions(max_retry=1, retry_interval=2.0, timeout=5.0)
    adapter = StreamAdapter(BatchSTT(first_is_busy), vad=LoudVAD(), max_parallel=1)
    events = await run(adapter, TWO, conn_options=options)
    assert spoken(events) == ["2", "1"], "the second utterance was asked about before the first was again"


async def test_a_vad_that_fails_ends_the_stream_with_its_own_error() -> None:
    class Broken(LoudVAD):
        def stream(self) -> Any:
            stream = super().stream()

            async def fails() -> None:
                raise ZeroDivisionError("in the VAD")

            stream._task.cancel()
            stream._task = asyncio.ensure_future(fails())
            stream._task.add_done_callback(lambda _: stream._event_ch.close())
            return stream

    stream = StreamAdapter(BatchSTT(lambda n, clip: ""), vad=Broken()).stream()
    with contextlib.suppress(RuntimeError):  # "is closed", from the moment on at which it is
        for frame in frames_of(TWO):
            await asyncio.sleep(0)
            stream.push_frame(frame)
    with pytest.raises(ZeroDivisionError):
        await take(stream)
    await stream.aclose()


async def test_times_count_from_the_start_of_the_stream() -> None:
    adapter = StreamAdapter(BatchSTT(lambda n, clip: "x"), vad=LoudVAD())
    events = await run(adapter, TWO)
    times = [(e.alternatives[0].start_time, e.alternatives[0].end_time) for e in events if e.type == FINAL]
    assert times == [pytest.approx((0.5, 1.0), abs=0.04), pytest.approx((1.6, 2.1), abs=0.04)]
    assert [e.request_id for e in events if e.type == FINAL] == ["request-0", "request-1"]


async def test_a_blank_transcript_is_no_transcript() -> None:
    events = await run(StreamAdapter(BatchSTT(lambda n, clip: " \n"), vad=LoudVAD()), TWO)
    assert kinds(events) == [START, END, START, END]


async def test_metrics_of_the_requests_come_once() -> None:
    adapter = StreamAdapter(BatchSTT(lambda n, clip: "x"), vad=LoudVAD())
    metrics: list[Any] = []
    adapter.on("metrics_collected", metrics.append)
    await run(adapter, TWO)
    assert len(metrics) == 2 and all(not m.streamed for m in metrics)
    await adapter.aclose()
    await adapter.wrapped_stt.recognize(rtc.AudioFrame(bytes(3200), 16000, 1, 1600))
    assert len(metrics) == 2


def test_settings_out_of_range_are_named() -> None:
    recogniser = BatchSTT(lambda n, clip: "")
    with pytest.raises(TypeError, match="stt is a str"):
        StreamAdapter("whisper")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_parallel"):
        StreamAdapter(recogniser, vad=LoudVAD(), max_parallel=0)
    with pytest.raises(ValueError, match="max_segment_duration"):
        StreamAdapter(recogniser, vad=LoudVAD(), max_segment_duration=0.5)
