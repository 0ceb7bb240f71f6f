"""A conversation as the room sees it: LiveKit's own SDK as the human, our worker or LiveKit's as the agent, a livekit-server or its double between them.

The same tests run against the peer (livekit-agents 1.8.9), which makes it the oracle: what both pass is the protocol, not our reading of it.

    LIVEKIT_SERVER_BIN=... PEER_PYTHON=... pytest session/tests/python          (real server, both agents)
    pytest session/tests/python                                               (the double, our agent)

Needs `pip install pytest livekit==1.2.1 livekit-api`. What is missing is said and skipped.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from human import Clip, Human, Server, in_room
from stage import Missing, Running, endings, jobs, server, start_worker, tree

# Up and down a leg of transport takes 50 ms each on an idle machine (benches/session_latency.py) and several times that on one that builds beside the tests.
SLACK = 1.0
MIN_DELAY = 0.5
MAX_DELAY = 3.0
LONG = "one two three four five six seven eight nine ten " * 2
"""A chat whose echo is spoken for some 6 s."""
numbers = itertools.count()


def run(test: Coroutine[Any, Any, None], timeout: float = 90.0) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test, timeout)

    asyncio.run(bounded())


@pytest.fixture(scope="session")
def at() -> Iterator[Server]:
    try:
        with server() as (found, _):
            yield found
    except Missing as missing:
        pytest.skip(f"skipped: {missing}")


class Agent:
    """A registered worker and the name to send for it."""

    def __init__(self, kind: str, at: Server, idle: int = 1) -> None:
        self.kind, self.name = kind, f"{kind}-{os.getpid()}-{next(numbers)}"
        try:
            self.worker: Running = start_worker(kind, at, self.name, idle)
        except Missing as missing:
            pytest.skip(f"skipped: {missing}")


@pytest.fixture(scope="session", params=["native", "library", "peer"])
def agent(request: pytest.FixtureRequest, at: Server) -> Iterator[Agent]:
    found = Agent(request.param, at)
    yield found
    found.worker.stop()


@pytest.fixture(params=["native", "library", "peer"])
def own_agent(request: pytest.FixtureRequest, at: Server) -> Iterator[Agent]:
    """A worker for one test, which may end it."""
    found = Agent(request.param, at)
    yield found
    found.worker.stop()


def room() -> str:
    return f"conversation-{os.getpid()}-{next(numbers)}"


async def ready(human: Human) -> str:
    """Waits until the agent is there and listens; its identity."""
    track = await human.event("agent_track", 60)
    await human.event("agent_state", 20, state="listening")
    # The first packets of a call teach the jitter buffers.
    await asyncio.sleep(1.0)
    identity: str = track["identity"]
    return identity


async def turn(human: Human, clip: Clip, within: float = MIN_DELAY + SLACK) -> float:
    """Says a clip and hears the whole reply; when the reply began."""
    (end,) = await human.say(clip)
    heard: float = await human.until(lambda: human.heard.onset(end), within, "a reply")
    await human.event("agent_silent", 15, since=heard)
    return heard


def final(human: Human, identity: str, since: float = 0.0) -> list[dict[str, Any]]:
    """The final transcripts of what `identity` said."""
    return [
        e
        for e in human.all("transcription", since, identity=identity)
        if e["attributes"].get("lk.transcription_final") == "true"
    ]


def test_three_turns_get_three_replies_and_are_written_down(at: Server, agent: Agent) -> None:
    async def test() -> None:
        async with in_room(at, room(), agent=agent.name) as human:
            identity = await ready(human)
            begin = time.monotonic()
            for clip in endings():
                (end,) = await human.say(clip)
                heard = await human.until(lambda: human.heard.onset(end), MIN_DELAY + SLACK, "a reply")
                # Nobody may answer before the pause has lasted.
                assert heard - end > MIN_DELAY
                await human.event("agent_silent", 15, since=heard)
                await human.event("agent_state", 5, since=heard, state="listening")

            mine = await human.until(lambda: (t := final(human, human.identity))[2:] and t, 5, "my transcripts")
            theirs = await human.until(lambda: (t := final(human, identity))[2:] and t, 5, "the agent's transcripts")
            assert len(mine) == len(theirs) == 3
            for spoken, reply in zip(mine, theirs, strict=True):
                assert spoken["text"].strip() and spoken["text"] in reply["text"]
                assert spoken["t"] < reply["t"]
            for said, track in ((mine, human.all("microphone")[0]["sid"]), (theirs, human.all("agent_track")[0]["sid"])):
                assert {t["attributes"]["lk.transcribed_track_id"] for t in said} == {track}
                assert len({t["attributes"]["lk.segment_id"] for t in said}) == 3

            states = [e["state"] for e in human.all("agent_state", begin)]
            assert states == ["thinking", "speaking", "listening"] * 3

    run(test())


def test_the_agent_is_an_agent_with_a_microphone(at: Server, agent: Agent) -> None:
    async def test() -> None:
        async with in_room(at, room(), agent=agent.name) as human:
            identity = await ready(human)
            assert human.all("seen", identity=identity)[0]["kind"] == "PARTICIPANT_KIND_AGENT"
            assert human.all("agent_track")[0]["source"] == "SOURCE_MICROPHONE"

    run(test())


def test_chat_is_answered_by_voice_and_in_writing(at: Server, agent: Agent) -> None:
    async def test() -> None:
        async with in_room(at, room(), agent=agent.name) as human:
            identity = await ready(human)
            # Three times: a track that sends nothing while it is silent teaches the listener's jitter buffer to wait for more than
            # a second, from the second reply on.
            for text in ("hello there", "are you there", "good bye"):
                asked = time.monotonic()
                await human.chat(text)
                heard = await human.until(lambda: human.heard.onset(asked), SLACK, "a reply to the chat")
                reply = (await human.until(lambda: final(human, identity, asked), 10, "the reply's transcript"))[0]
                assert text in reply["text"]
                await human.event("agent_silent", 15, since=heard)
                await asyncio.sleep(2.0)

    run(test())


def test_an_interruption_stops_the_voice_and_is_answered(at: Server, agent: Agent) -> None:
    async def test() -> None:
        async with in_room(at, room(), agent=agent.name) as human:
            identity = await ready(human)
            asked = time.monotonic()
            await human.chat(LONG)
            heard = await human.until(lambda: human.heard.onset(asked), SLACK, "the long reply")
            await asyncio.sleep(1.5)
            clip = endings()[0]
            started = time.monotonic() + 24_000 / 48_000
            (end,) = await human.say(clip)
            # Half a second of speech interrupts (min_duration); the rest is transport. The long reply would have gone on for seconds.
            silent = (await human.event("agent_silent", 1, since=heard))["t"]
            assert 0.3 < silent - started < 0.5 + SLACK, silent - started
            answer = await human.until(lambda: human.heard.onset(end), MIN_DELAY + SLACK, "an answer to the interruption")
            await human.event("agent_silent", 15, since=answer)
            cut, reply = (await human.until(lambda: (t := final(human, identity))[1:] and t, 5, "two transcripts"))[:2]
            # What was not heard is not written down as said.
            assert len(cut["text"]) < len(LONG)
            assert LONG[:20] not in reply["text"]

    run(test())


def test_muting_in_the_middle_of_a_word_ends_the_turn(at: Server, agent: Agent) -> None:
    async def test() -> None:
        async with in_room(at, room(), agent=agent.name) as human:
            await ready(human)
            saying = human.say(endings()[0])
            await asyncio.sleep(2.0)
            human.mute()
            muted = time.monotonic()
            heard = await human.until(lambda: human.heard.onset(muted), MAX_DELAY + SLACK, "a reply to half a sentence")
            await human.event("agent_silent", 15, since=heard)
            await saying
            human.mute(False)
            await asyncio.sleep(0.5)
            await turn(human, endings()[2])

    run(test())


def test_a_human_who_leaves_in_mid_turn_ends_the_job(at: Server, agent: Agent) -> None:
    async def test() -> None:
        name = room()
        async with in_room(at, name, agent=agent.name) as human:
            identity = await ready(human)
            human.say(endings()[0])
            await asyncio.sleep(2.0)
            # Looked at before the human leaves: the job may be over as soon as they have.
            busy = set(jobs(tree(agent.worker.pid)))
        async with at.api() as client:
            from livekit import api

            # A room without people is closed by the server after 20 s (departure_timeout); the agent may go at once.
            deadline = time.monotonic() + 40
            while time.monotonic() < deadline:
                rooms = await client.room.list_rooms(api.ListRoomsRequest(names=[name]))
                if not rooms.rooms:
                    break
                people = await client.room.list_participants(api.ListParticipantsRequest(room=name))
                if identity not in {p.identity for p in people.participants}:
                    break
                await asyncio.sleep(0.5)
            else:
                pytest.fail("the agent stays in an empty room")
        # And its process ends: at least one of those that were there is gone.
        while busy <= set(jobs(tree(agent.worker.pid))):
            assert time.monotonic() < deadline + 15, "the job process stays"
            await asyncio.sleep(0.5)

    run(test(), 120)


def test_ten_rooms_at_once(at: Server) -> None:
    """Ten calls on two cores: everyone is answered, if not at once."""

    async def one(human: Human, clip: Clip) -> None:
        await ready(human)
        await turn(human, clip, 5)
        await turn(human, clip, 5)

    async def test(name: str) -> None:
        people = [Human(f"human-{n}") for n in range(10)]
        try:
            for person in people:
                await person.join(at.url, at.token(person.identity, room(), name))
            await asyncio.gather(*(one(person, endings()[1]) for person in people))
            for person in people:
                # A microphone that stutters on a busy machine can split a word in two.
                assert len(final(person, person.identity)) >= 2
                assert not person.all("broken")
        finally:
            await asyncio.gather(*(person.leave() for person in people))

    agent = Agent("native", at, 2)
    try:
        run(test(agent.name), 120)
    finally:
        agent.worker.stop()


def test_sigterm_lets_the_call_end_and_takes_no_other(at: Server, own_agent: Agent) -> None:
    async def test() -> None:
        async with in_room(at, room(), agent=own_agent.name) as human:
            await ready(human)
            human.say(endings()[0])
            await asyncio.sleep(1.0)
            own_agent.worker.process.send_signal(signal.SIGTERM)
            said = time.monotonic()
            (end,) = await human.until(lambda: human.all("speech_end", said), 5, "the end of my words")
            heard = await human.until(lambda: human.heard.onset(end["t"]), MIN_DELAY + SLACK, "a reply")
            await human.event("agent_silent", 15, since=heard)
            await turn(human, endings()[2])
            async with in_room(at, room(), agent=own_agent.name) as other:
                await asyncio.sleep(3)
                assert not other.all("agent_track"), "a draining worker took a job"
            assert own_agent.worker.process.poll() is None
        # 20 s of an empty room (departure_timeout) and the end of the process.
        deadline = time.monotonic() + 45
        while own_agent.worker.process.poll() is None:
            assert time.monotonic() < deadline, "the worker stays after its last call"
            await asyncio.sleep(0.2)
        assert own_agent.worker.process.returncode == 0

    run(test(), 120)
