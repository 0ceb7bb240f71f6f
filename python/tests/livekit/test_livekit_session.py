"""A whole conversation: LiveKit's AgentSession with our VAD, turn detector and stream adapter, and nothing else that is real.

One side of a call is spoken in real time (17 s); a recogniser, a language model and a voice answer without a network. The sentences and
when they are spoken are in the fixture's manifest.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession, APIStatusError, inference, stt
from livekit_fakes import FIXTURES, BatchSTT, FakeLLM, FakeTTS, Loudspeaker, Microphone, read_wav

from listenkit.livekit import VAD, StreamAdapter, TurnDetector

#: What is said between the pauses that end a segment, and when it ends, in seconds. The second and third belong together: half a second
#: of pause lies inside "The number I have is four seven one."
SAID = [
    "I'm sorry, I did not understand your response.",
    "The number I have is",
    "four seven one.",
    "No.",
    "Thank you for your patience. Goodbye!",
]
TURNS = [SAID[0], " ".join(SAID[1:4]), SAID[4]]
#: Start of the first and end of the last word of each turn.
SPANS = [(0.5, 3.2), (4.7, 11.05), (13.65, 16.07)]


@dataclass
class Record:
    """What happened, each with seconds since the user's audio began."""

    user: list[tuple[str, float]] = field(default_factory=list)
    agent: list[tuple[str, float]] = field(default_factory=list)
    transcripts: list[str] = field(default_factory=list)
    messages: list[tuple[str, str, float]] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    interruptions: int = 0

    def of(self, role: str) -> list[str]:
        return [text for who, text, _ in self.messages if who == role]


async def converse(session: AgentSession[None], seconds: float = 19.0) -> Record:
    samples, rate = read_wav(FIXTURES / "conversation-en" / "audio.wav")
    microphone, loudspeaker, record = Microphone(samples[:, 0], rate), Loudspeaker(), Record()

    def now() -> float:
        return time.time() - (microphone.started_at or time.time())

    session.input.audio = microphone
    session.output.audio = loudspeaker
    session.on("user_state_changed", lambda ev: record.user.append((ev.new_state, now())))
    session.on("agent_state_changed", lambda ev: record.agent.append((ev.new_state, now())))
    session.on("user_input_transcribed", lambda ev: record.transcripts.append(ev.transcript))
    session.on("error", lambda ev: record.errors.append(ev.error))

    def added(ev: Any) -> None:
        if ev.item.type == "message":
            record.messages.append((ev.item.role, ev.item.text_content or "", now()))

    session.on("conversation_item_added", added)
    await session.start(Agent(instructions="You answer."))
    await asyncio.sleep(seconds)
    await session.aclose()
    record.interruptions = loudspeaker.interruptions
    return record


def parts(recogniser: stt.STT[Any] | None = None) -> dict[str, Any]:
    return {
        "stt": recogniser or StreamAdapter(BatchSTT(lambda n, clip: SAID[n], delay=0.1)),
        "llm": FakeLLM(lambda text: f"You said: {text}"),
        "tts": FakeTTS(0.4),
    }


def check_turns(record: Record) -> None:
    assert record.transcripts == SAID
    assert record.of("user") == TURNS, "one message for each turn"
    assert record.of("assistant") == [f"You said: {text}" for text in TURNS], "one reply for each turn"
    assert record.interruptions == 0 and record.errors == []
    # All times are of a wall clock on a machine that may be busy: they tell the short delay from the long one, and each from a cut-off.
    committed = [at for state, at in record.agent if state == "thinking"]
    assert len(committed) == 3
    for at, (_, end) in zip(committed, SPANS):
        # No cut-off: after the end of the turn, and before the next one.
        assert end + 0.25 < at < end + 2.4, (at, end)
    # The first sentence is complete by its sound: it does not wait for the 1.6 s after the last voiced sample at 3.3 s.
    assert committed[0] < 3.3 + 1.3
    states = [state for state, _ in record.agent]
    assert states[0] == "listening"
    assert [s for s in states if s in ("thinking", "speaking")] == ["thinking", "speaking"] * 3
    assert states[-1] == "listening"
    # The user speaks five times, and is heard soon after each beginning.
    users = [state for state, _ in record.user]
    assert users == ["speaking", "listening"] * 5
    starts = [at for state, at in record.user if state == "speaking"]
    for at, true in zip(starts, (0.5, 4.7, 7.03, 10.53, 13.65)):
        assert true - 0.05 < at < true + 0.4, (at, true)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where anybody tried to connect to."""
    tried: list[Any] = []

    def refused(*args: Any, **kwargs: Any) -> Any:
        tried.append(args)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    return tried


ENDPOINTING = {"min_delay": 0.3, "max_delay": 1.6}


async def test_a_conversation(offline: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """Four ways to set up the same thing, at the same time: in one test, because each takes as long as people speak."""
    with caplog.at_level(logging.WARNING):
        vad = VAD()
        plain = AgentSession[None](
            vad=vad,
            turn_handling={"turn_detection": TurnDetector(), "endpointing": ENDPOINTING},
            **parts(),
        )
        quiet = list(caplog.records)
        # The keyword that LiveKit has deprecated.
        short = AgentSession[None](
            vad=vad,
            turn_detection=TurnDetector(),
            min_endpointing_delay=0.3,
            max_endpointing_delay=1.6,
            **parts(),
        )
        detector = TurnDetector()
        with_words = AgentSession[None](
            vad=vad, turn_handling={"turn_detection": detector, "endpointing": ENDPOINTING}, **parts()
        )
        detector.attach(with_words)
        # A recogniser that does not stream is wrapped by LiveKit itself, with our VAD.
        wrapped = AgentSession[None](
            vad=vad,
            turn_handling={"turn_detection": TurnDetector(), "endpointing": ENDPOINTING},
            **parts(BatchSTT(lambda n, clip: SAID[n], delay=0.1)),
        )
        records = await asyncio.gather(*[converse(s) for s in (plain, short, with_words, wrapped)])
    for record in records:
        check_turns(record)
    assert offline == []
    assert quiet == []
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith(("livekit", "listenkit"))]
    # The deprecated keyword is named, and nothing else.
    assert all("deprecated" in message for message in warnings), warnings


async def test_a_session_outlives_failed_requests_and_hears_of_them() -> None:
    """The recogniser refuses the first utterance: that one is lost, the next ones are answered."""

    stt_error = APIStatusError("no", status_code=400)

    def answer(n: int, clip: Any) -> str:
        if n == 0:
            raise stt_error
        return SAID[n]

    adapter = StreamAdapter(BatchSTT(answer))
    session = AgentSession[None](
        vad=VAD(), turn_handling={"turn_detection": TurnDetector(), "endpointing": ENDPOINTING}, **parts(adapter)
    )
    record = await converse(session, seconds=13.5)
    assert record.of("user") == TURNS[1:2]
    assert [error.recoverable for error in record.errors] == [False]
    [failed] = adapter.failed
    assert failed.error is stt_error and failed.audio.duration > 2.5


async def test_speech_over_the_agent_interrupts_it() -> None:
    """The agent talks for 4 s after the first sentence; the user goes on after 1.5 s."""
    session = AgentSession[None](
        vad=VAD(),
        turn_handling={"turn_detection": TurnDetector(), "endpointing": ENDPOINTING},
        stt=StreamAdapter(BatchSTT(lambda n, clip: SAID[n], delay=0.1)),
        llm=FakeLLM(lambda text: f"You said: {text}"),
        tts=FakeTTS(4.0),
        aec_warmup_duration=None,
    )
    record = await converse(session, seconds=8.0)
    assert record.interruptions == 1
    speaking = [at for state, at in record.agent if state == "speaking"]
    stopped = next(at for state, at in record.agent if state == "listening" and at > speaking[0])
    # "The number" begins at 4.7 s and lasts for 1.7; half a second of speech is an interruption.
    assert 5.1 < stopped < 6.3


def test_what_a_turn_detector_needs_is_checked_by_livekit() -> None:
    assert VAD().min_silence_duration >= 0.25
    assert inference.VAD().min_silence_duration == VAD(preset="livekit").min_silence_duration
