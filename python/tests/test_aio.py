"""The detector in an event loop."""

import asyncio
import threading
import time

import numpy as np
import pytest

import listenkit
from listenkit import Detector, EndOfTurn, StartOfSpeech, TurnQuery, aevents


async def frames(samples, size=480, pause=0.0):
    for at in range(0, len(samples), size):
        await asyncio.sleep(pause)
        yield samples[at : at + size]


async def everything(source, detector, **keywords):
    return [event async for event in aevents(source, detector, **keywords)]


def test_without_a_model_it_says_what_the_detector_says(conversation):
    samples = conversation[: 5 * 48_000]
    with Detector(48_000) as plain:
        expected = plain.process(samples) + plain.flush()
    with Detector(48_000) as detector:
        assert asyncio.run(everything(frames(samples), detector)) == expected


def test_the_model_runs_in_another_thread_and_the_loop_goes_on(conversation):
    loops, seen = [], []

    def judge(audio):
        seen.append(threading.current_thread())
        time.sleep(0.05)
        return 1.0

    async def main():
        async def tick():
            while True:
                begun = time.perf_counter()
                await asyncio.sleep(0.001)
                loops.append(time.perf_counter() - begun)

        ticking = asyncio.create_task(tick())
        with Detector(48_000, policy="balanced") as detector:
            events = await everything(frames(conversation, 4800, 0.01), detector, turn_model=judge)
        ticking.cancel()
        return events

    events = asyncio.run(main())
    assert seen and threading.main_thread() not in seen
    assert not any(isinstance(event, TurnQuery) for event in events)
    turns = [event for event in events if isinstance(event, EndOfTurn)]
    assert turns and any(turn.votes.audio and turn.votes.audio.probability == 1.0 for turn in turns)
    # The model sleeps 50 ms at a time; half the ticks would be that long if it were in the loop.
    assert sorted(loops)[len(loops) * 9 // 10] < 0.05


def test_the_model_of_the_detector_is_used(conversation, turn_model):
    with Detector(48_000, turn_model=turn_model) as detector:
        events = asyncio.run(everything(frames(conversation[: 6 * 48_000], 4800, 0.005), detector))
    assert any(isinstance(event, listenkit.TurnPrediction) for event in events)


def test_a_recording_that_comes_all_at_once_has_its_answers(conversation):
    """A model that takes as long as Smart Turn; 17 s of audio come in a fraction of a second."""

    def judge(audio):
        time.sleep(0.025)
        return 0.99

    with Detector(48_000, policy="balanced") as detector:
        events = asyncio.run(everything(frames(conversation), detector, turn_model=judge))
    turns = [event for event in events if isinstance(event, EndOfTurn)]
    assert len(turns) > 3
    assert {turn.reason for turn in turns} <= {"complete", "end_of_input"}, "none without an answer"


def test_questions_come_out_if_there_is_no_model(conversation):
    with Detector(48_000, policy="balanced") as detector:
        events = asyncio.run(everything(frames(conversation, 48_000), detector))
    assert any(isinstance(event, TurnQuery) for event in events)


def test_a_model_that_fails_is_heard_of(conversation):
    def judge(audio):
        raise RuntimeError("no more memory")

    with Detector(48_000, turn_model=judge) as detector:
        with pytest.raises(RuntimeError, match="no more memory"):
            asyncio.run(everything(frames(conversation, 4800, 0.001), detector))
        # The detector itself is fine.
        assert detector.flush() is not None


def test_leaving_early_leaves_nothing_running(conversation):
    async def main():
        with Detector(48_000, turn_model=lambda audio: 0.5) as detector:
            source = frames(conversation)
            events = aevents(source, detector)
            async for event in events:
                if isinstance(event, StartOfSpeech):
                    break
            await events.aclose()
            await source.aclose()
            return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1


def test_a_source_that_fails_is_heard_of():
    async def source():
        yield np.zeros(480, np.int16)
        raise OSError("unplugged")

    with Detector(48_000) as detector, pytest.raises(OSError, match="unplugged"):
        asyncio.run(everything(source(), detector))
