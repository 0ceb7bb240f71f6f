"""Two people in a room, through the official SDK; everything they can do that an agent can see. Fails by an exception.

    two_people.py URL TOKEN_OF_ALICE TOKEN_OF_BOB SECOND_TOKEN_OF_BOB
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np
from livekit import rtc

RATE = 48_000
DEADLINE = 20.0


class Person:
    """A participant, with all that happened to it."""

    def __init__(self) -> None:
        self.room = rtc.Room()
        self.events: list[tuple[str, object]] = []
        self.tones: list[int] = []
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        note = self.note
        self.room.on("participant_connected", lambda p: note("connected", p.identity))
        self.room.on("participant_disconnected", lambda p: note("left", p.identity))
        self.room.on("track_muted", lambda p, t: note("muted", p.identity))
        self.room.on("track_unmuted", lambda p, t: note("unmuted", p.identity))
        self.room.on("track_unpublished", lambda t, p: note("unpublished", p.identity))
        self.room.on("track_unsubscribed", lambda t, q, p: note("unsubscribed", p.identity))
        self.room.on("local_track_subscribed", lambda t: note("heard", t.name))
        self.room.on("participant_attributes_changed", lambda c, p: note("attributes", (p.identity, dict(c))))
        self.room.on("participant_metadata_changed", lambda p, old, new: note("metadata", (p.identity, new)))
        self.room.on("participant_name_changed", lambda p, old, new: note("name", (p.identity, new)))
        self.room.on("data_received", lambda d: note("data", (d.participant.identity, d.topic, bytes(d.data))))
        self.room.on("disconnected", lambda reason: note("disconnected", reason))
        self.room.on("track_subscribed", self._subscribed)
        self.room.register_text_stream_handler("lk.chat", self._text)

    def note(self, kind: str, what: object) -> None:
        self.events.append((kind, what))
        self._changed.set()

    async def see(self, kind: str, what: object) -> None:
        """Waits until this has happened since the last look for the same."""

        async def search() -> None:
            while (kind, what) not in self.events:
                self._changed.clear()
                await self._changed.wait()

        try:
            await asyncio.wait_for(search(), DEADLINE)
        except TimeoutError:
            raise AssertionError(f"no {kind} {what!r} in {self.events}") from None
        self.events.remove((kind, what))

    def _text(self, reader: rtc.TextStreamReader, sender: str) -> None:
        async def read() -> None:
            self.note("text", (sender, await reader.read_all()))

        self._tasks.append(asyncio.ensure_future(read()))

    def _subscribed(self, track: rtc.Track, *_: object) -> None:
        self._tasks.append(asyncio.ensure_future(self._hear(track)))

    async def _hear(self, track: rtc.Track) -> None:
        """Notes the tone that a track carries, once, as its frequency to the nearest 20 Hz."""
        heard: list[np.ndarray] = []
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            block = np.frombuffer(event.frame.data, np.int16).astype(float)
            if heard or np.abs(block).max() > 2000:
                heard.append(block)
            if sum(map(len, heard)) >= RATE // 2:
                break
        sound = np.concatenate(heard)[RATE // 4 :]
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
        self.note("tone", round(spectrum.argmax() * RATE / len(sound) / 20) * 20)

    async def publish(self, hertz: float) -> tuple[rtc.LocalTrackPublication, rtc.LocalAudioTrack]:
        source = rtc.AudioSource(RATE, 1, queue_size_ms=100)
        track = rtc.LocalAudioTrack.create_audio_track("mic", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publication = await self.room.local_participant.publish_track(track, options)

        async def tone() -> None:
            position = np.arange(RATE // 100)
            while True:
                block = (8000 * np.sin(2 * np.pi * hertz * position / RATE)).astype(np.int16)
                await source.capture_frame(rtc.AudioFrame(block.tobytes(), RATE, 1, len(block)))
                position += len(block)

        self._tasks.append(asyncio.ensure_future(tone()))
        return publication, track


async def main(url: str, alice_token: str, bob_token: str, second_token: str) -> None:
    alice, bob = Person(), Person()
    await alice.room.connect(url, alice_token)
    mic, mic_track = await alice.publish(440)
    await bob.room.connect(url, bob_token)
    assert "alice" in bob.room.remote_participants, bob.room.remote_participants
    await bob.publish(880)
    await alice.see("connected", "bob")
    await bob.see("tone", 440)
    await alice.see("tone", 880)
    await alice.see("heard", "mic")

    me = alice.room.local_participant
    await me.publish_data(b"for all", topic="t")
    await bob.see("data", ("alice", "t", b"for all"))
    await bob.room.local_participant.publish_data(b"lossy", reliable=False, topic="t", destination_identities=["alice"])
    await alice.see("data", ("bob", "t", b"lossy"))
    await me.publish_data(b"for carol", destination_identities=["carol"])
    # Longer than one packet of a data channel, and after it: what came in between was not for bob.
    text = "listen " * 10_000
    await me.send_text(text, topic="lk.chat")
    await bob.see("text", ("alice", text))
    assert not any(kind == "data" for kind, _ in bob.events), bob.events

    @bob.room.local_participant.register_rpc_method("add")
    async def add(call: rtc.RpcInvocationData) -> str:
        return str(int(call.payload) + 1)

    assert await me.perform_rpc(destination_identity="bob", method="add", payload="41") == "42"

    await me.set_attributes({"lk.agent.state": "listening"})
    await bob.see("attributes", ("alice", {"lk.agent.state": "listening"}))
    await me.set_metadata("meta")
    await bob.see("metadata", ("alice", "meta"))
    await me.set_name("Alice")
    await bob.see("name", ("alice", "Alice"))

    mic_track.mute()
    await bob.see("muted", "alice")
    mic_track.unmute()
    await bob.see("unmuted", "alice")

    (publication,) = bob.room.remote_participants["alice"].track_publications.values()
    publication.set_subscribed(False)
    await bob.see("unsubscribed", "alice")
    publication.set_subscribed(True)
    await bob.see("tone", 440)

    await me.unpublish_track(mic.sid)
    await bob.see("unpublished", "alice")
    await alice.publish(660)
    await bob.see("tone", 660)

    # The same person from another device: the first one is sent away.
    second = Person()
    await second.room.connect(url, second_token)
    await bob.see("disconnected", rtc.DisconnectReason.DUPLICATE_IDENTITY)
    await second.see("tone", 660)
    await alice.room.disconnect()
    await second.see("left", "alice")
    await second.room.disconnect()


asyncio.run(main(*sys.argv[1:]))
