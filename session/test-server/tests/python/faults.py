"""Two people whose signalling is cut in the middle: the SDK resumes, and audio goes on. Fails by an exception.

    faults.py URL TOKEN_OF_ALICE TOKEN_OF_BOB

The server cuts bob's signalling once both hear each other.
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
    loud = 0
    reconnected = asyncio.Event()

    async def listen(track: rtc.Track) -> None:
        nonlocal loud
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            loud += int(np.abs(np.frombuffer(event.frame.data, np.int16)).max() > 1000)

    bob.on("track_subscribed", lambda track, *_: asyncio.ensure_future(listen(track)))
    bob.on("reconnected", reconnected.set)
    await alice.connect(url, alice_token)
    await publish(alice)
    await bob.connect(url, bob_token)
    await publish(bob)
    await asyncio.wait_for(reconnected.wait(), 60)
    await bob.local_participant.set_metadata("back")
    before = loud
    for _ in range(100):
        await asyncio.sleep(0.1)
        # A second of frames.
        if loud >= before + 100:
            break
    else:
        raise AssertionError(f"no audio after the resume: {loud - before} frames")
    await bob.disconnect()
    await alice.disconnect()


asyncio.run(main(*sys.argv[1:]))
