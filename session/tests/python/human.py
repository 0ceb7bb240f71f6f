#!/usr/bin/env python3
"""A person in a LiveKit room, made of LiveKit's own Python SDK: speaks a WAV, hears the agent, reads, writes, and keeps a timeline.

Every time is `time.monotonic()`, the machine's clock, so that it can be compared with the stamps of other processes. The microphone is a clock: one frame of
10 ms every 10 ms, silence when nothing is said. A sample counts as captured when it would have sounded: the last one of a frame at the moment the frame
is handed over, the others before it. The agent's audio is kept with the arrival of every frame; sound is found by its energy.

    python human.py --room demo --wav clip.wav --record agent.wav --timeline demo.jsonl

Needs `pip install livekit==1.2.1 livekit-api`. Address and keys come from the options or LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import wave
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from livekit import api, rtc

RATE = 48_000
"""Samples per second of the microphone and of the recording: libwebrtc's own, so that nothing resamples."""
FRAME = RATE // 100
"""10 ms: what the library takes without a queue."""
SOUND = 0.01
"""RMS of a frame that is sound, of full scale: -40 dB. Codec noise of a silent track lies below -80 dB, the voice of the agent above -25 dB."""
QUIET = 0.2
"""Seconds without sound that end a sound. Shorter than a pause between two replies, longer than one inside a word."""

Samples = np.ndarray[Any, np.dtype[np.int16]]


@dataclass(frozen=True)
class Server:
    """Where the room is, and the keys to it."""

    url: str
    key: str
    secret: str

    @staticmethod
    def from_env() -> Server:
        return Server(
            os.environ.get("LIVEKIT_URL", "ws://127.0.0.1:7880"),
            os.environ.get("LIVEKIT_API_KEY", "devkey"),
            os.environ.get("LIVEKIT_API_SECRET", "secret"),
        )

    def token(self, identity: str, room: str, agent: str | None = None) -> str:
        """A token to join `room`; with `agent`, the room is made with a dispatch of the worker of that name."""
        token = (
            api.AccessToken(self.key, self.secret)
            .with_identity(identity)
            .with_ttl(timedelta(hours=1))
            .with_grants(api.VideoGrants(room_join=True, room=room))
        )
        if agent is not None:
            token = token.with_room_config(api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name=agent)]))
        return token.to_jwt()

    @asynccontextmanager
    async def api(self) -> AsyncIterator[api.LiveKitAPI]:
        client = api.LiveKitAPI(self.url.replace("ws", "http", 1), self.key, self.secret)
        try:
            yield client
        finally:
            await client.aclose()

    async def dispatch(self, agent: str, room: str, metadata: str = "") -> str:
        """Sends the worker named `agent` to `room`; the id of the dispatch."""
        async with self.api() as client:
            request = api.CreateAgentDispatchRequest(agent_name=agent, room=room, metadata=metadata)
            return (await client.agent_dispatch.create_dispatch(request)).id


@dataclass(frozen=True)
class Clip:
    """Something to say: 48 kHz mono."""

    samples: Samples
    ends: tuple[int, ...] = ()
    """Ends of speech: positions in `samples` just after a last voiced sample."""

    @staticmethod
    def read(path: Path, ends: str = "label", listenkit: str = "listenkit") -> Clip:
        """Reads a WAV of 16-bit samples. `ends` says who tells the ends of speech: `label` the manifest.toml beside the file, `vad` the command
        `listenkit analyze`, `none` nobody."""
        with wave.open(str(path)) as wav:
            if wav.getsampwidth() != 2:
                raise ValueError(f"{path}: 16-bit samples wanted")
            rate, channels = wav.getframerate(), wav.getnchannels()
            samples = np.frombuffer(wav.readframes(wav.getnframes()), np.int16).reshape(-1, channels)[:, 0]
        marks: list[float] = []
        if ends == "label" and (manifest := path.with_name("manifest.toml")).exists():
            marks = [span["end"] / rate for span in tomllib.loads(manifest.read_text()).get("speech", [])]
        elif ends == "vad":
            marks = vad_ends(path, listenkit)
        if rate != RATE:
            resampler = rtc.AudioResampler(rate, RATE, quality=rtc.AudioResamplerQuality.HIGH)
            frames = resampler.push(bytearray(samples.tobytes())) + resampler.flush()
            samples = np.concatenate([np.frombuffer(frame.data, np.int16) for frame in frames])
        return Clip(samples.copy(), tuple(min(round(mark * RATE), len(samples)) for mark in marks))

    def part(self, start: int, end: int, silence: float = 0.0) -> Clip:
        """A piece of it, with `silence` seconds of nothing behind."""
        cut = np.concatenate([self.samples[start:end], np.zeros(round(silence * RATE), np.int16)])
        return Clip(cut, tuple(e - start for e in self.ends if start < e <= end))


def write_wav(path: Path, samples: Samples) -> None:
    """Writes 48 kHz mono."""
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE)
        wav.writeframes(samples.tobytes())


def vad_ends(path: Path, listenkit: str = "listenkit") -> list[float]:
    """Ends of speech in seconds, by `listenkit analyze --json`: the end of the last window that Silero calls voiced."""
    command = [listenkit, "analyze", "--json", "--set", "turn_model=none", str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [e["at_s"] for e in map(json.loads, lines) if e.get("event") == "end_of_speech"]


@dataclass
class Heard:
    """The agent's audio as it came: 10 ms a frame, with its arrival."""

    arrivals: list[float] = field(default_factory=list)
    frames: list[Samples] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)

    def add(self, arrival: float, frame: Samples) -> None:
        self.arrivals.append(arrival)
        self.frames.append(frame)
        self.levels.append(float(np.sqrt(np.mean(np.square(frame.astype(np.float32))))) / 32768)

    def onset(self, after: float) -> float | None:
        """Arrival of the first frame with sound that came after a silence and not before `after`."""
        last_sound = -1e9
        for i in range(bisect.bisect_left(self.arrivals, after - QUIET), len(self.arrivals)):
            if self.levels[i] >= SOUND:
                if self.arrivals[i] >= after and self.arrivals[i] - last_sound >= QUIET:
                    return self.arrivals[i]
                last_sound = self.arrivals[i]
        return None

    def last_sound(self, before: float = 1e18) -> float | None:
        """Arrival of the last frame with sound that came before `before`."""
        for i in range(bisect.bisect_left(self.arrivals, before) - 1, -1, -1):
            if self.levels[i] >= SOUND:
                return self.arrivals[i]
        return None

    def write(self, path: Path) -> None:
        """Writes the frames one after the other; the timeline's `agent_audio` says when the first came."""
        write_wav(path, np.concatenate(self.frames) if self.frames else np.zeros(0, np.int16))


@dataclass
class _Saying:
    samples: Samples
    ends: tuple[int, ...]
    done: asyncio.Future[list[float]]
    at: int = 0
    times: list[float] = field(default_factory=list)


class Human:
    """One person in one room. `events` is the timeline, oldest first: `{"t": seconds, "event": name, ...}`."""

    def __init__(self, identity: str = "human", on_event: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.identity = identity
        self.events: list[dict[str, Any]] = []
        self.heard = Heard()
        self.room = rtc.Room()
        self._on_event = on_event
        self._changed = asyncio.Event()
        self._source = rtc.AudioSource(RATE, 1, queue_size_ms=0)
        self._track: rtc.LocalAudioTrack | None = None
        self._saying: list[_Saying] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._sounding = False
        self._closed = False
        self._muted = False

    # The timeline.

    def note(self, event: str, t: float | None = None, **fields: Any) -> None:
        entry = {"t": time.monotonic() if t is None else t, "event": event, **fields}
        self.events.append(entry)
        if self._on_event is not None:
            self._on_event(entry)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()

    def all(self, event: str, since: float = 0.0, **fields: Any) -> list[dict[str, Any]]:
        """The noted events of a name, with these fields."""
        return [
            e
            for e in self.events
            if e["event"] == event and e["t"] >= since and all(e.get(k) == v for k, v in fields.items())
        ]

    async def until(self, condition: Callable[[], Any], timeout: float, what: str) -> Any:
        """Waits until `condition` gives something true, and gives it; TimeoutError says `what` did not come."""
        deadline = time.monotonic() + timeout
        while True:
            self._changed.clear()
            if value := condition():
                return value
            left = deadline - time.monotonic()
            if left <= 0:
                tail = "\n".join(json.dumps(e) for e in self.events[-12:])
                raise TimeoutError(f"{what}: not within {timeout} s; last events:\n{tail}")
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except asyncio.TimeoutError:
                pass

    async def event(self, event: str, timeout: float = 15.0, since: float = 0.0, **fields: Any) -> dict[str, Any]:
        found = await self.until(lambda: self.all(event, since, **fields), timeout, f"event {event} {fields or ''}")
        first: dict[str, Any] = found[0]
        return first

    # In and out.

    async def join(self, url: str, token: str) -> None:
        """Joins, opens the ears, and publishes the microphone."""
        self._listen()
        await self.room.connect(url, token)
        self.note("joined", room=self.room.name)
        for participant in self.room.remote_participants.values():
            self._seen(participant)
        self._track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publication = await self.room.local_participant.publish_track(self._track, options)
        self._spawn(self._microphone())
        self.note("microphone", sid=publication.sid)

    async def leave(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.note("left")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for saying in self._saying:
            saying.done.cancel()
        await self.room.disconnect()
        await self._source.aclose()

    def _spawn(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.note("broken", error=repr(error))

    # The mouth.

    async def _microphone(self) -> None:
        """One frame each 10 ms by the clock; a late wake-up is made good at once, as a sound card's buffer would."""
        start, count = time.monotonic(), 0
        frame = rtc.AudioFrame.create(RATE, 1, FRAME)
        out = np.frombuffer(frame.data, np.int16)
        while True:
            count += 1
            wait = start + count / 100 - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            elif wait < -0.05:
                self.note("late", seconds=-wait)
                start -= wait
            out[:] = 0
            now = time.monotonic()
            if self._saying:
                self._fill(self._saying[0], out, now)
            await self._source.capture_frame(frame)

    def _fill(self, saying: _Saying, out: Samples, now: float) -> None:
        piece = saying.samples[saying.at : saying.at + FRAME]
        out[: len(piece)] = piece
        for end in saying.ends:
            if saying.at < end <= saying.at + FRAME:
                t = now - (FRAME - (end - saying.at)) / RATE
                saying.times.append(t)
                self.note("speech_end", t, position=end / RATE)
        saying.at += FRAME
        if saying.at >= len(saying.samples):
            self._saying.pop(0)
            if not saying.done.done():
                saying.done.set_result(saying.times)

    def say(self, clip: Clip) -> asyncio.Future[list[float]]:
        """Says a clip after what is being said; when it is out, the times of its ends of speech."""
        done: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        self._saying.append(_Saying(clip.samples, clip.ends, done))
        self.note("say", seconds=len(clip.samples) / RATE)
        return done

    def hush(self) -> None:
        """Stops in the middle of the word."""
        for saying in self._saying:
            saying.done.cancel()
        self._saying.clear()
        self.note("hush")

    def mute(self, muted: bool = True) -> None:
        if self._track is not None:
            self._track.mute() if muted else self._track.unmute()
        self.note("mute", muted=muted)

    async def chat(self, text: str) -> None:
        self.note("chat", text=text)
        await self.room.local_participant.send_text(text, topic="lk.chat")

    async def send(self, payload: bytes | str, topic: str = "", reliable: bool = True) -> None:
        self.note("data_sent", topic=topic, size=len(payload))
        await self.room.local_participant.publish_data(payload, topic=topic, reliable=reliable)

    # The ears.

    def _listen(self) -> None:
        room = self.room
        room.on("participant_connected", self._seen)
        room.on("participant_disconnected", lambda p: self.note("gone", identity=p.identity))
        room.on("track_subscribed", self._on_track)
        room.on("track_unsubscribed", lambda _t, _pub, p: self.note("agent_track_gone", identity=p.identity))
        room.on("participant_attributes_changed", self._on_attributes)
        room.on("data_received", self._on_data)
        room.on("reconnecting", lambda: self.note("reconnecting"))
        room.on("reconnected", lambda: self.note("reconnected"))
        room.on("disconnected", lambda reason: self.note("disconnected", reason=rtc.DisconnectReason.Name(reason)))
        room.register_text_stream_handler("lk.transcription", self._on_transcription)
        room.register_text_stream_handler("lk.chat", self._on_chat)

    def _seen(self, participant: rtc.RemoteParticipant) -> None:
        kind = rtc.ParticipantKind.Name(participant.kind)
        self.note("seen", identity=participant.identity, kind=kind, attributes=dict(participant.attributes))
        if state := participant.attributes.get("lk.agent.state"):
            self.note("agent_state", state=state, identity=participant.identity)

    def _on_attributes(self, changed: dict[str, str], participant: rtc.Participant) -> None:
        if participant.identity == self.identity:
            return
        if state := changed.get("lk.agent.state"):
            self.note("agent_state", state=state, identity=participant.identity)
        if rest := {k: v for k, v in changed.items() if k != "lk.agent.state"}:
            self.note("attributes", identity=participant.identity, changed=rest)

    def _on_data(self, packet: rtc.DataPacket) -> None:
        sender = packet.participant.identity if packet.participant else None
        self.note("data", topic=packet.topic, text=packet.data.decode(errors="replace"), identity=sender)

    def _on_transcription(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self._spawn(self._read("transcription", reader, identity))

    def _on_chat(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self._spawn(self._read("chat_received", reader, identity))

    async def _read(self, event: str, reader: rtc.TextStreamReader, identity: str) -> None:
        opened, text = time.monotonic(), ""
        async for chunk in reader:
            if not text:
                self.note(f"{event}_begins", identity=identity, text=chunk)
            text += chunk
        attributes = dict(reader.info.attributes or {})
        self.note(event, identity=identity, text=text, attributes=attributes, opened=opened, stream=reader.info.stream_id)

    def _on_track(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        source = rtc.TrackSource.Name(publication.source)
        self.note("agent_track", identity=participant.identity, kind=track.kind, sid=track.sid, source=source)
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._spawn(self._hear(track))

    async def _hear(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=10)
        last_sound = 0.0
        try:
            async for event in stream:
                now = time.monotonic()
                if not self.heard.arrivals:
                    self.note("agent_audio", now)
                self.heard.add(now, np.frombuffer(event.frame.data, np.int16).copy())
                if self.heard.levels[-1] >= SOUND:
                    last_sound = now
                    if not self._sounding:
                        self._sounding = True
                        self.note("agent_sound", now)
                elif self._sounding and now - last_sound > QUIET:
                    self._sounding = False
                    self.note("agent_silent", last_sound)
        finally:
            if self._sounding:
                self._sounding = False
                self.note("agent_silent", last_sound)
            await stream.aclose()


@asynccontextmanager
async def in_room(
    server: Server, room: str, identity: str = "human", agent: str | None = None
) -> AsyncIterator[Human]:
    """A human in `room` for the time of the block."""
    human = Human(identity)
    try:
        await human.join(server.url, server.token(identity, room, agent))
        yield human
    finally:
        await human.leave()


async def _run(args: argparse.Namespace) -> None:
    start = time.monotonic()
    out = open(args.timeline, "w") if args.timeline else sys.stdout

    def write(entry: dict[str, Any]) -> None:
        print(json.dumps({**entry, "since": round(entry["t"] - start, 4)}), file=out, flush=True)

    server = Server(args.url, args.key, args.secret)
    human = Human(args.identity, write)
    clip = Clip.read(args.wav, args.ends, args.listenkit) if args.wav else None
    token = args.token or server.token(args.identity, args.room, args.dispatch)
    try:
        await human.join(args.url, token)

        async def at(moment: float | None, act: Callable[[], Any]) -> None:
            if moment is not None:
                await asyncio.sleep(max(0.0, start + moment - time.monotonic()))
                result = act()
                if asyncio.iscoroutine(result):
                    await result

        async def speak() -> None:
            if args.wait_for_agent:
                await human.event("agent_track", args.wait_for_agent)
            if clip is not None:
                for _ in range(args.repeat):
                    await human.say(clip)
                await asyncio.sleep(args.stay)

        jobs = [at(args.mute_at, human.mute), at(args.unmute_at, lambda: human.mute(False))]
        jobs += [at(args.chat_at, lambda: human.chat(args.chat)), at(args.send_at, lambda: human.send(args.send, args.topic))]
        if args.leave_at is None:
            await asyncio.gather(speak(), *jobs)
        else:
            talk = asyncio.gather(speak(), *jobs)
            await at(args.leave_at, lambda: None)
            talk.cancel()
            await asyncio.gather(talk, return_exceptions=True)
    finally:
        await human.leave()
        if args.record:
            human.heard.write(args.record)


async def _until_terminated(work: Coroutine[Any, Any, None]) -> None:
    """SIGTERM leaves the room as a person does: a connection that only breaks off keeps its agent for half a minute."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        pass


def main() -> None:
    env = Server.from_env()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", default=env.url)
    parser.add_argument("--key", default=env.key)
    parser.add_argument("--secret", default=env.secret)
    parser.add_argument("--token", help="join with this instead of the keys")
    parser.add_argument("--room", default="demo")
    parser.add_argument("--identity", default="human")
    parser.add_argument("--dispatch", metavar="NAME", help="make the room with a dispatch of the worker of this name")
    parser.add_argument("--wait-for-agent", type=float, metavar="S", help="say nothing before the agent's track, at most S seconds")
    parser.add_argument("--wav", type=Path, help="what to say")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--stay", type=float, default=3.0, metavar="S", help="seconds to stay after the last word")
    parser.add_argument("--ends", choices=["label", "vad", "none"], default="label", help="who tells the ends of speech")
    parser.add_argument("--listenkit", default="listenkit", help="the command, for --ends vad")
    parser.add_argument("--record", type=Path, help="the agent's audio as WAV")
    parser.add_argument("--timeline", type=Path, help="JSON lines; standard output without it")
    parser.add_argument("--leave-at", type=float, metavar="S")
    parser.add_argument("--mute-at", type=float, metavar="S")
    parser.add_argument("--unmute-at", type=float, metavar="S")
    parser.add_argument("--chat", default="Hello.")
    parser.add_argument("--chat-at", type=float, metavar="S")
    parser.add_argument("--send", default="{}")
    parser.add_argument("--send-at", type=float, metavar="S")
    parser.add_argument("--topic", default="")
    asyncio.run(_until_terminated(_run(parser.parse_args())))


if __name__ == "__main__":
    main()
