#!/usr/bin/env python3
"""listenkit.pipecat beside Pipecat's own analyzers, in one run, as the markdown tables of docs/pipecat.md.

    python benches/pipecat_plugin.py [--corpus DIR] [--items N]

Needs pip install 'listenkit[pipecat]'. The corpus (or LISTENKIT_CORPUS) holds 269 end-of-turn questions with their labels
and the answers of the float model; without it the first table is left out. Both analyzers get the same calls:
append_audio, then analyze_end_of_turn. CPU is that of all threads, interleaved question by question; trust the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RATE = 16_000
OURS, PIPECATS = "listenkit", "Pipecat 1.14.0"


def quiet() -> None:
    import warnings

    warnings.simplefilter("ignore")
    from loguru import logger

    logger.remove()


def turn_analyzer(name: str) -> Any:
    if name == OURS:
        from listenkit.pipecat import ListenkitTurnAnalyzer

        return ListenkitTurnAnalyzer()
    from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3

    return LocalSmartTurnAnalyzerV3()


def vad_analyzer(name: str, **kwargs: Any) -> Any:
    if name == OURS:
        from listenkit.pipecat import ListenkitVADAnalyzer

        return ListenkitVADAnalyzer(**kwargs)
    from pipecat.audio.vad.silero import SileroVADAnalyzer

    return SileroVADAnalyzer(**kwargs)


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def header(*cells: str) -> None:
    row(*cells)
    print("|" + "---|" * len(cells))


def auc(labels: list[int], scores: list[float]) -> float:
    """The share of (complete, unfinished) pairs that are in the right order; ties are half."""
    ones = [s for label, s in zip(labels, scores, strict=True) if label]
    zeros = [s for label, s in zip(labels, scores, strict=True) if not label]
    wins = sum((a > b) + (a == b) / 2 for a in ones for b in zeros)
    return wins / (len(ones) * len(zeros))


def decisions(corpus: Path, limit: int | None) -> list[str]:
    import numpy as np
    import soundfile

    items = json.loads((corpus / "public" / "eot_items.json").read_text())
    if limit:
        items = items[:: max(1, len(items) // limit)]
    analyzers = {name: turn_analyzer(name) for name in (PIPECATS, OURS)}
    found: dict[str, list[float]] = {name: [] for name in analyzers}
    cpu: dict[str, list[float]] = {name: [] for name in analyzers}

    async def ask() -> None:
        for index, item in enumerate(items):
            samples, rate = soundfile.read(corpus / "public" / item["file"], dtype="int16")
            assert rate == RATE
            said = samples[item["start"] : item["end"]]
            silence = np.zeros(item["zeros"], np.int16)
            # Zeros in front change nothing, the model's input begins with them; they put the end on a window.
            lead = np.zeros(-(len(said) + len(silence)) % 512, np.int16)
            order = list(analyzers.items())
            for name, analyzer in order if index % 2 else order[::-1]:
                analyzer.set_sample_rate(RATE)
                analyzer.clear()
                analyzer.append_audio(np.concatenate([lead, said]).tobytes(), True)
                analyzer.append_audio(silence.tobytes(), False)
                before = time.process_time()
                _, metrics = await analyzer.analyze_end_of_turn()
                cpu[name].append((time.process_time() - before) * 1e3)
                found[name].append(metrics.probability)

    asyncio.run(ask())
    labels = [item["complete"] for item in items]
    oracle = [item["p_float"] for item in items]
    recorded = [item["p_shipped"] for item in items]
    found["float model"] = oracle

    columns = [PIPECATS, OURS, "float model"]
    flips = {n: sum((p > 0.5) != (q > 0.5) for p, q in zip(found[n], oracle, strict=True)) for n in columns[:2]}

    print(f"{len(items)} end-of-turn questions, {sum(labels)} complete:\n")
    header("", *columns)
    row("AUC", *(f"{auc(labels, found[name]):.3f}" for name in columns))
    row(
        "right at 0.5",
        *(f"{statistics.mean((p > 0.5) == bool(y) for p, y in zip(found[n], labels, strict=True)):.1%}" for n in columns),
    )
    row("other side of 0.5 than the float model", *flips.values(), "-")
    row(
        "mean distance from the float model",
        *(f"{statistics.mean(abs(p - q) for p, q in zip(found[name], oracle, strict=True)):.4f}" for name in columns[:2]),
        "-",
    )
    row("CPU a decision, median", *(f"{statistics.median(cpu[name]):.1f} ms" for name in columns[:2]), "-")
    agree = sum((p > 0.5) == (q > 0.5) for p, q in zip(found[PIPECATS], found[OURS], strict=True))
    print(f"\nBoth decide alike in {agree} of {len(items)}.")
    drift = sum((p > 0.5) != (q > 0.5) for p, q in zip(found[PIPECATS], recorded, strict=True))
    print(f"Pipecat's answers of this run are on the other side of 0.5 than those recorded with the corpus in {drift}.\n")

    worse = []
    # A hundredth is noise on so few questions.
    if auc(labels, found[OURS]) < auc(labels, found[PIPECATS]) - 0.01:
        worse.append("the AUC of listenkit is below Pipecat's")
    if flips[OURS] >= flips[PIPECATS]:
        worse.append("listenkit is no nearer to the float model than Pipecat")
    if statistics.median(cpu[OURS]) > statistics.median(cpu[PIPECATS]):
        worse.append("a decision costs listenkit more CPU than Pipecat")
    return worse


async def speech(analyzer: Any, samples: Any, frame: int) -> list[tuple[str, int]]:
    """Settled states as Pipecat's controller sees them, and where."""
    from pipecat.audio.vad.vad_analyzer import VADState

    last, found = VADState.QUIET, []
    for at in range(0, len(samples), frame):
        state = await analyzer.analyze_audio(samples[at : at + frame].tobytes())
        if state in (VADState.QUIET, VADState.SPEAKING) and state != last:
            last = state
            found.append((state.name, min(at + frame, len(samples))))
    return found


def voice() -> list[str]:
    import soundfile
    import soxr
    from pipecat.audio.vad.vad_analyzer import VADParams

    samples, rate = soundfile.read(ROOT / "fixtures" / "conversation-en" / "audio.wav", dtype="int16")
    by_rate = {r: samples if r == rate else soxr.resample(samples, rate, r) for r in (8_000, 16_000, 48_000)}

    def cost(name: str, rate: int, min_volume: float) -> float | None:
        try:
            analyzer = vad_analyzer(name, params=VADParams(min_volume=min_volume))
            analyzer.set_sample_rate(rate)
        except ValueError:
            return None
        before = time.process_time()
        asyncio.run(speech(analyzer, by_rate[rate], rate // 50))
        return (time.process_time() - before) * 1e3 / (len(by_rate[rate]) / rate)

    worse = []
    print("CPU per second of audio in frames of 20 ms, best of five, interleaved:\n")
    header("rate", "loudness", PIPECATS, OURS, "ratio")
    for r in by_rate:
        for min_volume in (0.6, 0.0):
            best: dict[str, float | None] = {}
            for _ in range(5):
                for name in (PIPECATS, OURS):
                    value = cost(name, r, min_volume)
                    best[name] = value if value is None else min(value, best.get(name) or value)
            theirs, ours = best[PIPECATS], best[OURS]
            if theirs is not None and ours is not None and ours > theirs:
                worse.append(f"the VAD costs listenkit more CPU than Pipecat at {r} Hz")
            row(
                f"{r / 1000:g} kHz",
                "measured, as by default" if min_volume else "`min_volume=0`",
                "refused" if theirs is None else f"{theirs:.2f} ms",
                f"{ours:.2f} ms",
                "-" if theirs is None or ours is None else f"{theirs / ours:.1f}",
            )

    print("\nStarts and stops of the same 17 s in frames of 10 to 200 ms, 20 lengths:\n")
    header("", "different sequences")
    for name in (PIPECATS, OURS):
        sequences = set()
        for ms in range(10, 201, 10):
            analyzer = vad_analyzer(name)
            analyzer.set_sample_rate(RATE)
            found = asyncio.run(speech(analyzer, by_rate[RATE], ms * RATE // 1000))
            sequences.add(tuple(state for state, _ in found))
        row(name, len(sequences))
        if name == OURS and len(sequences) > 1:
            worse.append("starts and stops of listenkit depend on the length of frames")

    music, rate = soundfile.read(ROOT / "fixtures" / "hold-music-then-speech" / "audio.wav", dtype="int16")
    print("\n`fixtures/hold-music-then-speech` (8 kHz, the voice begins at 10.5 s), when the VAD says SPEAKING:\n")
    header("", "at")
    for name in (PIPECATS, OURS):
        analyzer = vad_analyzer(name)
        analyzer.set_sample_rate(rate)
        found = asyncio.run(speech(analyzer, music, rate // 50))
        row(name, ", ".join(f"{at / rate:.2f} s" for state, at in found if state == "SPEAKING") or "never")
    print()
    return worse


def memory() -> float:
    """Resident megabytes now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def probe(name: str) -> None:
    """In a process of its own: what it costs to have the analyzers."""
    import numpy as np

    quiet()
    # What every Pipecat program has loaded.
    import pipecat.audio.turn.smart_turn.base_smart_turn
    import pipecat.audio.vad.vad_analyzer
    import pipecat.processors.aggregators.llm_response_universal  # noqa: F401

    base, began = memory(), time.process_time()

    def pair() -> tuple[Any, Any]:
        vad, turn = vad_analyzer(name), turn_analyzer(name)
        for analyzer in (vad, turn):
            analyzer.set_sample_rate(RATE)
        return vad, turn

    async def use(vad: Any, turn: Any) -> None:
        await vad.analyze_audio(bytes(1024))
        turn.append_audio(np.zeros(RATE * 8, np.int16).tobytes(), True)
        await turn.analyze_end_of_turn()

    first = pair()
    made = time.process_time()
    asyncio.run(use(*first))
    used = time.process_time()
    one = memory()
    more = [pair() for _ in range(10)]
    for each in more:
        asyncio.run(use(*each))
    print(
        json.dumps(
            {
                "load_ms": (made - began) * 1e3,
                "first_ms": (used - made) * 1e3,
                "rss": one - base,
                "rss_more": (memory() - one) / len(more),
            }
        )
    )


def footprint() -> None:
    runs: dict[str, list[dict[str, float]]] = {PIPECATS: [], OURS: []}
    for _ in range(5):
        for name, found in runs.items():
            command = [sys.executable, __file__, "--probe", name]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found.append(json.loads(output.splitlines()[-1]))
    print("A VAD and a turn analyzer beside a loaded Pipecat, best of five processes each:\n")
    header("", PIPECATS, OURS)
    for title, key, unit in (
        ("import and load, CPU", "load_ms", "ms"),
        ("first answers of both, CPU", "first_ms", "ms"),
        ("memory of the first pair", "rss", "MB"),
        ("memory of each further pair", "rss_more", "MB"),
    ):
        row(title, *(f"{min(r[key] for r in runs[name]):.1f} {unit}" for name in (PIPECATS, OURS)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("LISTENKIT_CORPUS") or ROOT.parent / "shared" / "corpus"
    parser.add_argument("--corpus", type=Path, default=Path(default))
    parser.add_argument("--items", type=int, help="about so many questions, evenly taken (default: all)")
    parser.add_argument("--only", choices=["decisions", "voice", "footprint"])
    parser.add_argument("--check", action="store_true", help="exit 1 where listenkit is not the better one")
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe:
        probe(arguments.probe)
        return
    quiet()
    worse = []
    if arguments.only in (None, "decisions"):
        if (arguments.corpus / "public" / "eot_items.json").is_file():
            worse += decisions(arguments.corpus, arguments.items)
        else:
            print("skipped: the comparison of decisions needs the corpus (set LISTENKIT_CORPUS)\n")
    if arguments.only in (None, "voice"):
        worse += voice()
    if arguments.only in (None, "footprint"):
        footprint()
    if arguments.check and worse:
        sys.exit("\n".join(["", *worse]))


if __name__ == "__main__":
    main()
