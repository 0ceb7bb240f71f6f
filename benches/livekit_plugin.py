"""What voice activity detection costs inside a LiveKit agent: CPU of the whole process, all threads, for a second of audio.

Every VAD is driven alike, as AgentSession does: one task pushes 10 ms frames, another reads the events. The VADs take turns, round by
round, in one process, and the cheapest round of each counts. "pushed" hands over all frames as fast as they are taken; "paced" keeps
to real time with a number of streams at once, where timers and wake-ups count as well (the cost of the pacing itself is measured with
a VAD that does nothing, and subtracted).

    python benches/livekit_plugin.py [--rate 48000] [--rounds 5] [--streams 1 20] [--json FILE] [--check]

Needs livekit-agents; the silero plugin is measured if it is installed. `--check` fails below a ratio of 5 to inference.VAD.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from livekit import rtc
from livekit.agents import inference, vad

import listenkit
from listenkit.livekit import VAD

FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "conversation-en" / "audio.wav"
FRAME_MS = 10

#: The issue that this answers asks for a fifth of the peer's cost.
REQUIRED = 5.0


class NothingVAD(vad.VAD):
    """Takes frames and says nothing: the cost of the driver."""

    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.032))

    def stream(self) -> vad.VADStream:
        return _NothingStream(self)


class _NothingStream(vad.VADStream):
    async def _main_task(self) -> None:
        async for _ in self._input_ch:
            pass


def fixture(rate: int) -> list[rtc.AudioFrame]:
    with wave.open(str(FIXTURE)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
        given = file.getframerate()
    if rate != given:
        resampler = listenkit.Resampler(given, rate, aligned=True)
        samples = np.concatenate([resampler.process(samples), resampler.flush()])
    step = rate * FRAME_MS // 1000
    blocks = [samples[at : at + step] for at in range(0, len(samples) - step + 1, step)]
    return [rtc.AudioFrame(block.tobytes(), rate, 1, step) for block in blocks]


async def read(stream: vad.VADStream) -> dict[vad.VADEventType, int]:
    counts: dict[vad.VADEventType, int] = {}
    async for event in stream:
        counts[event.type] = counts.get(event.type, 0) + 1
    return counts


async def pushed(made: vad.VAD, frames: list[rtc.AudioFrame]) -> dict[vad.VADEventType, int]:
    stream = made.stream()
    reader = asyncio.create_task(read(stream))
    for count, frame in enumerate(frames):
        stream.push_frame(frame)
        if count % 8 == 0:
            await asyncio.sleep(0)  # let the others work, as a session does between frames
    stream.end_input()
    counts = await reader
    await stream.aclose()
    return counts


async def paced(made: vad.VAD, frames: list[rtc.AudioFrame], streams: int) -> None:
    loop = asyncio.get_running_loop()

    async def one() -> None:
        stream = made.stream()
        reader = asyncio.create_task(read(stream))
        due = loop.time()
        for frame in frames:
            due += FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due - loop.time()))
            stream.push_frame(frame)
        stream.end_input()
        await reader
        await stream.aclose()

    await asyncio.gather(*[one() for _ in range(streams)])


def cpu(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, nargs="+", default=[48000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 20], help="streams at once in the paced part; none leaves it out")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--check", action="store_true", help="fail if inference.VAD costs less than 5 times as much")
    arguments = parser.parse_args()

    vads: dict[str, vad.VAD] = {"listenkit": VAD(), "inference.VAD": inference.VAD()}
    try:
        from livekit.plugins import silero

        vads["silero plugin"] = silero.VAD.load()
    except ImportError:
        print("livekit-plugins-silero is not installed: not measured", file=sys.stderr)
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, listenkit {listenkit.__version__}")
    figures: dict[str, dict[str, float]] = {}
    worst = float("inf")
    for rate in arguments.rate:
        frames = fixture(rate)
        seconds = len(frames) * FRAME_MS / 1000
        kinds = {**vads, "": NothingVAD()}
        best = dict.fromkeys(kinds, float("inf"))
        for _ in range(arguments.rounds):
            for name, made in kinds.items():
                took = cpu(lambda made=made: asyncio.run(pushed(made, frames)))
                best[name] = min(best[name], took / seconds * 1000)
        print(f"\n{rate} Hz, {FRAME_MS} ms frames, pushed: ms of CPU for a second of audio")
        table(best)
        figures[f"{rate} pushed"] = best
        worst = min(worst, (best["inference.VAD"] - best[""]) / (best["listenkit"] - best[""]))
        for streams in arguments.streams:
            few = frames[: 6000 // FRAME_MS]
            seconds = len(few) * FRAME_MS / 1000 * streams
            best = dict.fromkeys(kinds, float("inf"))
            for _ in range(max(1, arguments.rounds // 2)):
                for name, made in kinds.items():
                    took = cpu(lambda made=made, streams=streams: asyncio.run(paced(made, few, streams)))
                    best[name] = min(best[name], took / seconds * 1000)
            print(f"{rate} Hz, {FRAME_MS} ms frames, streams in real time, {streams}: the same")
            table(best)
            figures[f"{rate} paced {streams}"] = best
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    if arguments.check and worst < REQUIRED:
        raise SystemExit(f"inference.VAD costs only {worst:.1f} times as much; expected {REQUIRED}")


def table(best: dict[str, float]) -> None:
    driver = best[""]
    ours = best["listenkit"] - driver
    for name, value in best.items():
        if name:
            print(f"  {name:16} {value - driver:7.2f} ms   {(value - driver) / ours:5.1f} x")
    print(f"  (the driver alone: {driver:.2f} ms, subtracted)")


if __name__ == "__main__":
    main()
