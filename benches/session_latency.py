#!/usr/bin/env python3
"""From the end of the user's speech to the first agent frame at the human's side: our worker and LiveKit's Python worker, in one run on one server.

The human says short clips; what passes between the last voiced sample and the arrival of the first 10 ms frame with sound, less the smallest
endpointing delay, is what the agent and the transport cost. The agents take turns, so that both meet the same noise of the machine. An echo
participant, which decides nothing, is measured between them: the transport's share.

The end of speech is where the VAD hears it in the clip (`--ends vad`: `listenkit analyze` at eight phases of its 32 ms grid, their mean), or the
fixture's label (`--ends label`: 10 ms blocks above -45 dBFS, up to 0.1 s earlier, for the voice dies away). The stages come from what the room can see:
`lk.agent.state` becomes "thinking" when the turn is decided and "speaking" when the voice begins (some ms late, by signalling).

    LIVEKIT_SERVER_BIN=... PEER_PYTHON=... python benches/session_latency.py --turns 30

Needs `pip install livekit==1.2.1 livekit-api`, a Python with livekit-agents==1.8.9, and release builds of `voice_agent` and of the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "session/tests/python"))

from human import RATE, Clip, Human, Samples, Server, in_room, vad_ends, write_wav
from livekit import rtc
from stage import HERE, Missing, Running, built, endings, server, worker

TITLES = {"native": "listenkit", "library": "listenkit, library", "peer": "livekit-agents 1.8.9", "echo": "echo (transport)"}
MIN_DELAY = 0.5
"""Seconds of `min_endpointing_delay` of both agents."""
REPLY = 8.0
"""Seconds to wait for a reply; max_endpointing_delay is 3."""


def ends_by_vad(clip: Clip) -> Clip:
    """The clip with the end that Silero hears, as a mean over the phases of its grid: the agent's grid lies anyhow."""
    listenkit = str(built("listenkit", "LISTENKIT"))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for phase in range(8):
            lead = phase * 192
            path = Path(folder) / f"{phase}.wav"
            write_wav(path, np.concatenate([np.zeros(lead, np.int16), clip.samples, np.zeros(RATE, np.int16)]))
            found.append(vad_ends(path, listenkit)[-1] * RATE - lead)
    # The mean may lie behind the clip's last sample, in the silence that follows.
    end = round(statistics.mean(found))
    padded = np.concatenate([clip.samples, np.zeros(RATE // 10, np.int16)])
    return Clip(padded, (min(end, len(padded)),))


def clips(ends: str) -> list[Clip]:
    return [ends_by_vad(clip) if ends == "vad" else clip for clip in endings()]


async def jitter_buffer(human: Human) -> float | None:
    """Mean ms that the agent's audio spent in the human's jitter buffer."""
    for participant in human.room.remote_participants.values():
        for publication in participant.track_publications.values():
            if publication.track is not None and publication.kind == rtc.TrackKind.KIND_AUDIO:
                for stat in await publication.track.get_stats():
                    if stat.WhichOneof("stats") == "inbound_rtp":
                        inbound = stat.inbound_rtp.inbound
                        return 1000 * inbound.jitter_buffer_delay / max(inbound.jitter_buffer_emitted_count, 1)
    return None


async def converse(at: Server, name: str, turns: int, said: list[Clip], rng: random.Random) -> list[dict[str, Any]]:
    """`turns` turns with an agent; one record for each, in ms."""
    records = []
    async with in_room(at, f"latency-{os.getpid()}-{time.monotonic_ns()}", agent=name) as human:
        await human.event("agent_audio", 60)
        await asyncio.sleep(1.5)
        for turn in range(turns):
            clip = said[turn % len(said)]
            (end,) = await human.say(clip)
            try:
                heard = await human.until(lambda: human.heard.onset(end), REPLY, "a reply")
            except TimeoutError as silence:
                records.append({"clip": turn % len(said), "error": str(silence).splitlines()[0]})
                continue
            record = {"clip": turn % len(said), "total": 1000 * (heard - end), "net": 1000 * (heard - end - MIN_DELAY)}
            await human.event("agent_silent", 15, since=heard)
            thinking = human.all("agent_state", end, state="thinking")
            speaking = human.all("agent_state", end, state="speaking")
            if thinking:
                record["decided"] = 1000 * (thinking[0]["t"] - end - MIN_DELAY)
            if thinking and speaking:
                record["reply"] = 1000 * (speaking[0]["t"] - thinking[0]["t"])
            if speaking:
                record["down"] = 1000 * (heard - speaking[0]["t"])
            records.append(record)
            # Turns must not keep step with the VAD's grid.
            await asyncio.sleep(0.6 + rng.random() * 0.1)
        if records and (buffered := await jitter_buffer(human)) is not None:
            records[-1]["jitter_buffer"] = buffered
    return records


async def echo(at: Server, turns: int, rng: random.Random) -> list[dict[str, Any]]:
    """There and back without a decision: bursts of a tone after silence."""
    room = f"latency-echo-{os.getpid()}-{time.monotonic_ns()}"
    env = {"LIVEKIT_URL": at.url, "LIVEKIT_API_KEY": at.key, "LIVEKIT_API_SECRET": at.secret}
    tone: Samples = (8000 * np.sin(2 * np.pi * 440 * np.arange(int(0.3 * RATE)) / RATE)).astype(np.int16)
    running = Running("echo", [sys.executable, HERE / "echo.py", "--room", room, "--queue", "50"], env)
    records = []
    try:
        async with in_room(at, room) as human:
            await human.event("agent_audio", 30)
            await asyncio.sleep(1.5)
            for _ in range(turns):
                lead = rng.randrange(48 * 60)
                burst = Clip(np.concatenate([np.zeros(lead, np.int16), tone]), (lead + 1,))
                (start,) = await human.say(burst)
                heard = await human.until(lambda: human.heard.onset(start), 5, "the echo")
                record = {"net": 1000 * (heard - start)}
                if stamps := [json.loads(line) for line in running.text().splitlines() if line.startswith("{")]:
                    record["up"] = 1000 * (stamps[-1]["heard"] - start)
                    record["down"] = 1000 * (heard - stamps[-1]["said"])
                records.append(record)
                await asyncio.sleep(0.7)
    finally:
        running.stop(3)
    return records


async def measure(at: Server, args: argparse.Namespace, said: list[Clip]) -> dict[str, list[dict[str, Any]]]:
    rng = random.Random(5)
    results: dict[str, list[dict[str, Any]]] = {who: [] for who in [*args.agents, "echo"]}
    share = [args.turns // args.rounds + (r < args.turns % args.rounds) for r in range(args.rounds)]
    for turns in share:
        for kind in args.agents:
            name = f"{kind}-latency"
            with worker(kind, at, name):
                await asyncio.sleep(args.settle)
                results[kind] += await converse(at, name, turns, said, rng)
        results["echo"] += await echo(at, max(6, turns // 2), rng)
    return results


def spread(records: list[dict[str, Any]], key: str) -> tuple[float, float] | None:
    values = sorted(r[key] for r in records if key in r)
    if not values:
        return None
    return statistics.median(values), values[min(len(values) - 1, round(0.9 * (len(values) - 1)))]


def show(results: dict[str, list[dict[str, Any]]]) -> None:
    keys = {
        "net": "last voiced sample -> first frame, less min delay",
        "decided": "  -> turn decided, less min delay (up + decision)",
        "reply": "  decided -> voice begins (model, voice)",
        "down": "  voice begins -> first frame at the human",
        "up": "  up alone",
        "jitter_buffer": "  in the human's jitter buffer (mean)",
    }
    print(f"{'ms, median / p90':52}" + "".join(f"{TITLES[who]:>24}" for who in results))
    for key, title in keys.items():
        cells = [spread(records, key) for records in results.values()]
        if any(cells):
            print(f"{title:52}" + "".join(f"{f'{c[0]:.0f} / {c[1]:.0f}' if c else '-':>24}" for c in cells))
    counts = [f"{len(r)} ({sum('error' in x for x in r)})" for r in results.values()]
    print(f"{'turns (without a reply)':52}" + "".join(f"{count:>24}" for count in counts))
    transport = spread(results["echo"], "net")
    for who in ("native", "library", "peer"):
        if (mine := spread(results.get(who, []), "net")) and transport:
            print(f"{TITLES[who]}: {mine[0]:.0f} ms (bar for ours 60), less the transport of this run {mine[0] - transport[0]:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--server", choices=["auto", "url", "real", "double"], default="auto")
    parser.add_argument("--agents", default="native,library,peer", type=lambda s: s.split(",") if s else [])
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=2, help="the agents take turns this many times")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds after the start of a worker")
    parser.add_argument("--ends", choices=["vad", "label"], default="vad", help="who tells the end of speech")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    said = clips(args.ends)
    with server(args.server) as (at, title):
        results = asyncio.run(measure(at, args, said))
    if args.json:
        print(json.dumps({"server": title, "ends": args.ends, "results": results}, indent=1))
    else:
        cpus = subprocess.run(["nproc"], capture_output=True, text=True).stdout.strip()
        print(f"server: {title}; ends by {args.ends} at {[round(c.ends[0] / RATE, 3) for c in said]} s; {cpus} CPUs; load {os.getloadavg()[0]:.1f}")
        show(results)


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        sys.exit(str(missing))
