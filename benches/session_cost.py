#!/usr/bin/env python3
"""What a session costs: our worker beside LiveKit's Python worker, same job, same server, same clip, in one run.

For each worker: an idle job process (waits for a job), a session in a quiet room, and rooms in conversation: CPU seconds per minute of call of the worker's
whole process tree, and RSS and PSS of a job process. The human of every room is a process of its own and is not counted. Both workers answer with
instant providers, so what is measured is transport, VAD, turn-taking and the machinery around them.

    LIVEKIT_SERVER_BIN=... PEER_PYTHON=... python benches/session_cost.py --rooms 1,5,10

Needs `pip install livekit==1.2.1 livekit-api`, a Python with livekit-agents==1.8.9, and the release builds of the `voice_agent` example.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "session/tests/python"))

from human import RATE, Clip, Server, write_wav
from stage import FIXTURES, HERE, Missing, Process, Running, cpu, jobs, server, tree, worker

TITLES = {"native": "listenkit", "library": "listenkit, library", "peer": "livekit-agents 1.8.9"}
TURN_GAP = 2.4
"""Seconds of silence behind the sentence: half a second to decide, one of reply, and a rest."""


def look(root: int, seconds: float) -> tuple[dict[int, Process], dict[int, Process], float]:
    """The tree now and after `seconds`, and how long it really was."""
    start, before = time.monotonic(), tree(root)
    time.sleep(seconds)
    after = tree(root)
    return before, after, time.monotonic() - start


def summary(before: dict[int, Process], after: dict[int, Process], elapsed: float, rooms: int) -> dict[str, Any]:
    """Of the job processes, the `rooms` busiest are the sessions."""
    def used(p: Process) -> float:
        return p.cpu - (before[p.pid].cpu if p.pid in before else 0.0)

    busiest = sorted(jobs(after).values(), key=used, reverse=True)[: max(rooms, 1)]
    per = max(rooms, 1)
    return {
        "cpu_tree_per_room_minute": cpu(before, after) * 60 / elapsed / per,
        "cpu_session_per_minute": statistics.mean(used(p) for p in busiest) * 60 / elapsed if busiest else None,
        "rss_mb": statistics.median(p.rss for p in busiest) if busiest else None,
        "pss_mb": statistics.median(p.pss for p in busiest) if busiest else None,
        "tree_pss_mb": sum(p.pss for p in after.values()),
        "processes": len(after),
    }


def humans(at: Server, name: str, rooms: int, clip: Path | None, seconds: float, folder: Path) -> list[Running]:
    started = []
    for room in range(rooms):
        command: list[str | Path] = [sys.executable, HERE / "human.py", "--room", f"cost-{os.getpid()}-{name}-{room}-{time.monotonic_ns()}"]
        command += ["--url", at.url, "--key", at.key, "--secret", at.secret, "--dispatch", name, "--wait-for-agent", "60"]
        command += ["--timeline", folder / f"{name}-{room}.jsonl", "--leave-at", str(seconds), "--ends", "none"]
        if clip is not None:
            with wave.open(str(clip)) as wav:
                repeats = int(seconds / (wav.getnframes() / RATE)) + 1
            command += ["--wav", clip, "--repeat", str(repeats)]
        started.append(Running("human", command))
    return started


def wait_for_agents(folder: Path, name: str, rooms: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    for room in range(rooms):
        file = folder / f"{name}-{room}.jsonl"
        while not (file.exists() and '"agent_track"' in file.read_text()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"room {room} of {name}: no agent within {timeout} s")
            time.sleep(0.1)


def measure(kind: str, at: Server, args: argparse.Namespace, clip: Path, folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for rooms in args.rooms:
        name = f"{kind}{rooms}"
        with worker(kind, at, name, idle=1) as running:
            time.sleep(args.settle)
            if rooms == args.rooms[0]:
                rows.append({"agent": kind, "state": "idle", "rooms": 0, **summary(*look(running.pid, args.seconds / 2), 1)})
            for state, said in (("quiet", None), ("talking", clip)):
                if state == "quiet" and rooms > 1:
                    continue
                people = humans(at, name, rooms, said, args.seconds + args.settle + 60, folder)
                try:
                    wait_for_agents(folder, name, rooms, 60)
                    # The start of a job is not its running cost.
                    time.sleep(args.settle)
                    row = summary(*look(running.pid, args.seconds), rooms)
                    since = time.monotonic() - args.seconds
                    events = [json.loads(line) for r in range(rooms) for line in (folder / f"{name}-{r}.jsonl").read_text().splitlines()]
                    row["replies"] = sum(e["event"] == "agent_sound" and e["t"] >= since for e in events)
                    row["late"] = sum(e["event"] == "late" for e in events)
                    rows.append({"agent": kind, "state": state, "rooms": rooms, **row})
                finally:
                    for person in people:
                        person.process.terminate()
                    for person in people:
                        person.stop(5)
                    # The old sessions must be gone before the next are looked at.
                    deadline = time.monotonic() + 40
                    while len(jobs(tree(running.pid))) > 1 and time.monotonic() < deadline:
                        time.sleep(0.2)
                    for r in range(rooms):
                        (folder / f"{name}-{r}.jsonl").unlink(missing_ok=True)
                    time.sleep(2)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    print(f"{'':22} {'state':8} {'rooms':>5} {'CPU s/min tree':>15} {'session':>8} {'RSS MB':>7} {'PSS MB':>7} {'tree PSS':>9} {'replies':>8}")
    for r in rows:
        cells = [("cpu_tree_per_room_minute", 15, 3), ("cpu_session_per_minute", 8, 3), ("rss_mb", 7, 1), ("pss_mb", 7, 1), ("tree_pss_mb", 9, 1)]
        numbers = " ".join(f"{r[k]:{w}.{d}f}" if r[k] is not None else f"{'-':>{w}}" for k, w, d in cells)
        print(f"{TITLES[r['agent']]:22} {r['state']:8} {r['rooms']:5} {numbers} {r.get('replies', '-'):>8}")
    by = {(r["agent"], r["state"], r["rooms"]): r for r in rows}
    for (agent, state, rooms), ours in by.items():
        peer = by.get(("peer", state, rooms))
        if agent != "peer" and peer and state != "idle":
            ratio = peer["cpu_tree_per_room_minute"] / max(ours["cpu_tree_per_room_minute"], 1e-9)
            print(f"{TITLES[agent]}, {state}, {rooms} room(s): {ratio:.1f}x less CPU (bar 5)")
    for agent in ("native", "library"):
        if not (idle := by.get((agent, "idle", 0))):
            continue
        print(f"{TITLES[agent]}, idle job process: {idle['rss_mb']:.1f} MB RSS (bar 40)" if idle["rss_mb"] is not None else "no idle job process")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--server", choices=["auto", "url", "real", "double"], default="auto")
    parser.add_argument("--agents", default="native,library,peer", type=lambda s: s.split(","))
    parser.add_argument("--rooms", default="1", type=lambda s: [int(n) for n in s.split(",")])
    parser.add_argument("--seconds", type=float, default=60.0, help="of every measurement")
    parser.add_argument("--settle", type=float, default=8.0, help="seconds before one")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    sentence = Clip.read(FIXTURES / "conversation-en/audio.wav").part(0, 153_600, TURN_GAP)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, server(args.server) as (at, title):
        clip = Path(folder) / "clip.wav"
        write_wav(clip, sentence.samples)
        for kind in args.agents:
            rows += measure(kind, at, args, clip, Path(folder))
    machine = subprocess.run(["nproc"], capture_output=True, text=True).stdout.strip()
    if args.json:
        print(json.dumps({"server": title, "cpus": int(machine), "rows": rows}, indent=1))
    else:
        print(f"server: {title}; {machine} CPUs; load {os.getloadavg()[0]:.1f}")
        show(rows)


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        sys.exit(str(missing))
