"""The detector in an event loop: the turn model runs in a thread, the loop is never blocked by it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING, Any

from . import events as e
from .detector import Detector

if TYPE_CHECKING:
    from ._samples import Block
    from .detector import TurnJudge

#: How far audio may run ahead of the clock while a question is open, in seconds: frames of a network come in bursts, and the shortest
#: wait of a policy is 0.2 s.
_AHEAD = 0.1


async def aevents(
    frames: AsyncIterable[Block], detector: Detector, *, turn_model: TurnJudge | None = None
) -> AsyncIterator[e.Event]:
    """What the detector says about audio that comes in an async iterator, each event as soon as it is known; flushes at the end.

        detector = listenkit.Detector(48_000, turn_model=listenkit.TurnModel())
        async for event in listenkit.aevents(microphone(), detector):
            ...

    The turn model, given here or to the detector, is run in a worker thread, one question at a time, on a copy of the audio.
    Questions that are cancelled before their turn are dropped. If the model raises, so does the iterator. Audio that comes faster than
    it was spoken, as from a file, waits for the answers: else its turns would end without one.
    """
    model = turn_model if turn_model is not None else detector._model
    source = aiter(frames)
    questions: deque[e.TurnQuery] = deque()
    asked: e.TurnQuery | None = None
    answer: asyncio.Future[float | None] | None = None
    frame: asyncio.Future[Block] | None = None
    clock = asyncio.get_running_loop().time
    asked_at = heard_at = 0.0

    def heard() -> float:
        return detector.position / detector.sample_rate

    def taken(events: list[e.Event]) -> list[e.Event]:
        """The events for the caller; questions are kept for the model."""
        if model is None:
            return events
        said: list[e.Event] = []
        for event in events:
            if isinstance(event, e.TurnQuery):
                questions.append(event)
            elif isinstance(event, e.TurnQueryCancelled):
                while questions and questions[0].id <= event.id:
                    questions.popleft()
            else:
                said.append(event)
        return said

    try:
        frame = asyncio.ensure_future(_next(source))
        while True:
            if answer is None and questions and model is not None:
                asked = questions.popleft()
                assert asked.audio is not None
                answer = asyncio.ensure_future(asyncio.to_thread(model, asked.audio))
                asked_at, heard_at = clock(), heard()
            running: set[asyncio.Future[Any]] = {frame}
            if answer is not None:
                ahead = heard() - heard_at > clock() - asked_at + _AHEAD
                running = {answer} if ahead else {frame, answer}
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            if answer is not None and answer.done() and asked is not None:
                probability = answer.result()
                answer = None
                if probability is not None:
                    for event in taken(detector.answer_turn(asked.id, probability)):
                        yield event
            if frame.done():
                try:
                    block = frame.result()
                except StopAsyncIteration:
                    break
                frame = asyncio.ensure_future(_next(source))
                for event in taken(detector._hear(block, None)):
                    yield event
        for event in taken(detector.flush()):
            yield event
    finally:
        if frame is not None:
            frame.cancel()
            await _done(frame)
        if answer is not None:
            # A thread cannot be stopped, and the model is in use until it is done.
            await _done(answer)


async def _done(running: asyncio.Future[Any]) -> None:
    """Waits for the end of something whose outcome nobody wants any more."""
    await asyncio.wait({running})
    if not running.cancelled():
        running.exception()


async def _next(source: AsyncIterator[Block]) -> Block:
    return await source.__anext__()
