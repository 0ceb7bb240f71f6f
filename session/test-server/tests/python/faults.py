"""Two people in a room that things happen to. Bob says how many loud frames he has heard so far, in his attribute `heard`.

    faults.py URL TOKEN_OF_ALICE TOKEN_OF_BOB

Ends when alice is removed from the room: the test does that when it has seen enough.
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np
from livekit import rtc

RATE = 48_000


async def publish(room: rtc.Room) -> None:
    source = rtc.AudioSource(RATE, 1, queue_size_ms=100)
    track = rtc.LocalAudioTrack.create_audio_track("mic", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await room.local_participant.publish_track(track, options)

    async def noise() -> None:
        while True:
            block = np.random.default_rng(1).integers(-8000, 8000, RATE // 100).astype(np.int16)
            await source.capture_frame(rtc.AudioFrame(block.tobytes(), RATE, 1, len(block)))

    room.noise = asyncio.ensure_future(noise())  # type: ignore[attr-defined]


async def main(url: str, alice_token: str, bob_token: str) -> None:
    alice, bob = rtc.Room(), rtc.Room()
    heard = 0
    removed = asyncio.Event()

    async def listen(track: rtc.Track) -> None:
        nonlocal heard
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            heard += int(np.abs(np.frombuffer(event.frame.data, np.int16)).max() > 1000)

    def disconnected(reason: object) -> None:
        if reason == rtc.DisconnectReason.PARTICIPANT_REMOVED:
            removed.set()

    bob.on("track_subscribed", lambda track, *_: asyncio.ensure_future(listen(track)))
    alice.on("disconnected", disconnected)
    await alice.connect(url, alice_token)
    await publish(alice)
    await bob.connect(url, bob_token)
    await publish(bob)
    while not removed.is_set():
        await asyncio.sleep(0.2)
        try:
            await asyncio.wait_for(bob.local_participant.set_attributes({"heard": str(heard)}), 2)
        except Exception:  # noqa: BLE001: the server may be away just now
            continue
    await bob.disconnect()


asyncio.run(main(*sys.argv[1:]))
