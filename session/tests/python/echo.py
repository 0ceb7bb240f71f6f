#!/usr/bin/env python3
"""A participant that says back what it hears, frame by frame: the shortest agent there can be, and so what the transport costs.

Prints one JSON line for each onset it hears: when the frame came in (`heard`) and when the library had taken it back (`said`), `time.monotonic()`.
Ends with the human, or by a signal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import numpy as np
from human import QUIET, SOUND, Server
from livekit import rtc


async def run(args: argparse.Namespace) -> None:
    server = Server.from_env()
    room, over = rtc.Room(), asyncio.Event()
    source = rtc.AudioSource(args.rate, 1, queue_size_ms=args.queue)
    tasks: list[asyncio.Task[None]] = []

    async def back(track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=args.rate, num_channels=1, frame_size_ms=args.frame)
        last = 0.0
        async for event in stream:
            heard = time.monotonic()
            level = float(np.sqrt(np.mean(np.square(np.frombuffer(event.frame.data, np.int16).astype(np.float32)))))
            await source.capture_frame(event.frame)
            if level / 32768 >= SOUND:
                if heard - last > QUIET:
                    print(json.dumps({"heard": heard, "said": time.monotonic()}), flush=True)
                last = heard

    def subscribed(track: rtc.Track, _publication: rtc.RemoteTrackPublication, _p: rtc.RemoteParticipant) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            tasks.append(asyncio.create_task(back(track)))

    room.on("track_subscribed", subscribed)
    room.on("participant_disconnected", lambda _p: over.set())
    room.on("disconnected", lambda _r: over.set())
    await room.connect(server.url, server.token("echo", args.room))
    track = rtc.LocalAudioTrack.create_audio_track("echo", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=args.dtx)
    await room.local_participant.publish_track(track, options)
    await over.wait()
    for task in tasks:
        task.cancel()
    await room.disconnect()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--room", required=True)
    parser.add_argument("--rate", type=int, default=48_000, help="samples per second of stream and source")
    parser.add_argument("--frame", type=int, default=10, help="ms of a received frame")
    parser.add_argument("--queue", type=int, default=0, help="ms of the source's queue; 0: none, frames of 10 ms only")
    parser.add_argument("--dtx", action=argparse.BooleanOptionalAction, default=True)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
