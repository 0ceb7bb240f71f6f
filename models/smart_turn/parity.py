#!/usr/bin/env python3
"""listenkit's Smart Turn against numpy and onnxruntime, on every labelled item and reference clip of a corpus.

    cargo build --release -p listenkit --example turn_raw
    parity.py smart-turn-v3.2-cpu.onnx CORPUS [--binary PROGRAM] [--kernel LEVEL] [--docs FILE]

Features against the kept ones of the reference clips; both modes and the official file against p_float, which is onnxruntime on the same
file without the rounding of activations (`reference.py`). `--docs` writes the table between the document's parity.py marks. Exit code 1 when a bar is missed (that of flips: by a factor of two). Needs numpy, onnx, onnxruntime, soundfile.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from reference import auc, clips, features, items, probability, sessions

MEL_BAR, EXACT_BAR, FAST_BAR, FLIP_BAR, AUC_BAR = 1e-5, 1e-3, 0.015, 0.02, 0.005
# Beyond this a missed bar of flips fails the run. Answers within 0.05 of 0.5 fall on either side with the last bit of a feature: 3 to 8
# of 291 between builds whose mean distance is the same. More than this is a different model.
FLIP_GATE = 0.04


def main():
    here = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx")
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("--binary", default=here / "target/release/examples/turn_raw")
    parser.add_argument("--kernel")
    parser.add_argument("--docs")
    args = parser.parse_args()

    names, audio, mels, labels = [], [], [], []
    for name, clip, values in clips(args.corpus):
        names.append(f"clip {name}")
        audio.append(clip)
        mels.append(values["mel"])
    for item, clip in items(args.corpus):
        names.append(f"{pathlib.Path(item['file']).stem} at {item['end']}")
        audio.append(clip)
        labels.append(item["complete"])
    models = sessions(args.onnx)
    shipped, exact = np.array([[probability(model, mel) for model in models] for mel in map(features, audio)]).T

    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for k, clip in enumerate(audio):
            paths.append(f"{folder}/{k}.raw")
            clip.astype("<f4").tofile(paths[-1])

        def ours(mode, *more):
            command = [str(args.binary), "--f32", "--mode", mode, *more]
            command += ["--kernel", args.kernel] if args.kernel else []
            done = subprocess.run(command, input="\n".join(paths), stdout=subprocess.PIPE, check=True, text=True)
            return np.array([float(line) for line in done.stdout.split()])

        ours_exact = ours("exact", "--mel", f"{folder}/mel")
        ours_fast = ours("fast")
        ours_mel = np.fromfile(f"{folder}/mel", "<f4").reshape(-1, 80, 800)
    assert len(ours_exact) == len(ours_fast) == len(ours_mel) == len(names)

    rows, missed = [], False

    def row(what, value, bar=None, shown="{:.1e}", note="", gate=None):
        nonlocal missed
        met = bar is None or (np.isfinite(value) and value <= bar)
        missed |= not (met or gate is not None and value <= gate)
        limit = "" if bar is None else f"<= {bar:g}"
        rows.append((what, shown.format(value), limit, "" if bar is None else ("met" if met else "MISSED"), note))

    error = [np.abs(a.astype(float) - b).max() for a, b in zip(ours_mel, mels)]
    row("features, worst of the clips", max(error), MEL_BAR, note=names[int(np.argmax(error))])
    gap = np.abs(ours_exact - exact)
    row("exact, worst distance from p_float", gap.max(), EXACT_BAR, note=names[int(gap.argmax())])
    row("exact, median distance from p_float", np.median(gap))
    for what, p in (("fast", ours_fast), ("shipped file", shipped)):
        bar = what == "fast"
        gap = np.abs(p - exact)
        crossed = (p >= 0.5) != (exact >= 0.5)
        flips = crossed.mean()
        row(f"{what}, mean distance from p_float", gap.mean(), FAST_BAR if bar else None, "{:.4f}", note=f"worst {gap.max():.3f}, {names[int(gap.argmax())]}")
        row(f"{what}, share on the other side of 0.5", flips, FLIP_BAR if bar else None, "{:.4f}", gate=FLIP_GATE, note=f"{round(flips * len(p))} of {len(p)}")
        for k in np.flatnonzero(crossed) if bar else ():
            print(f"across 0.5: {names[k]}, p_float {exact[k]:.3f}, fast {p[k]:.3f}")
    first = len(names) - len(labels)
    float_auc = auc(labels, exact[first:])
    for what, p in (("p_float", exact), ("exact", ours_exact), ("shipped file", shipped)):
        row(f"AUC, {what}", auc(labels, p[first:]), shown="{:.4f}", note=f"{len(labels)} items" if p is exact else "")
    fast_auc = auc(labels, ours_fast[first:])
    row("AUC, fast: distance from p_float's", abs(fast_auc - float_auc), AUC_BAR, "{:.4f}", note=f"{fast_auc:.4f}")
    for cells in rows:
        print("{:44} {:>9}  {:9} {:6}  {}".format(*cells).rstrip())
    if args.docs:
        sys.path.insert(0, str(here / "benches"))
        from peers import report, setup
        machine = setup.machine({})
        lines = [f"{len(labels)} labelled items and {len(mels)} clips; commit {machine['commit']}, {machine['date']}, kernel "
                 f"{args.kernel or 'default'} on {machine['flags']}.", "", "| | measured | bar | | |", "|---|--:|---|---|---|"]
        report.splice(args.docs, "parity.py", "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in rows]))
    sys.exit(missed)


if __name__ == "__main__":
    main()
