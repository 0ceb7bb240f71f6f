#!/usr/bin/env python3
"""listenkit's Silero VAD against onnxruntime on the official file, on every clip of a corpus.

    cargo build --release -p listenkit --example vad_raw
    parity.py SILERO_VAD.onnx CORPUS [--level LEVEL] [--rate 8000|16000] [--batch N] [--bin PROGRAM]

Runs onnxruntime (one thread) on each WAV under CORPUS/public at 16 kHz; the 8 kHz branch gets the same clips through soxr HQ.
Prints the worst clips and exits with 1 when a window differs by more than 3e-5 or lies on the other side of 0.5 or 0.35.
Needs numpy, soundfile, soxr, onnxruntime.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime as ort
import soundfile as sf
import soxr

BAR = 3e-5
THRESHOLDS = (0.5, 0.35)


def reference(session, x, rate):
    window, context_len = (512, 64) if rate == 16000 else (256, 32)
    state, context, out = np.zeros((2, 1, 128), np.float32), np.zeros((1, context_len), np.float32), []
    for k in range(0, len(x), window):
        chunk = np.pad(x[k:k + window], (0, max(0, window - (len(x) - k))))
        chunk = np.concatenate([context, chunk[None]], 1)
        p, state = session.run(None, {"input": chunk, "state": state, "sr": np.array(rate, np.int64)})
        context = chunk[:, -context_len:]
        out.append(p[0, 0])
    return np.array(out, np.float32)


def main():
    here = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx")
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("--rate", type=int, default=16000, choices=(8000, 16000))
    parser.add_argument("--level")
    parser.add_argument("--batch", default="0")
    parser.add_argument("--bin", default=here / "target/release/examples/vad_raw")
    args = parser.parse_args()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(args.onnx, options, providers=["CPUExecutionProvider"])
    command = [str(args.bin), "--f32", "--rate", str(args.rate), "--batch", args.batch]
    command += ["--level", args.level] if args.level else []

    clips, rows, windows, crossed = {}, [], 0, 0
    for path in sorted((args.corpus / "public").rglob("*.wav")):
        x, rate = sf.read(path, dtype="int16", always_2d=True)
        if rate != 16000 or len(x) == 0:
            continue  # The originals at other rates are the same clips.
        x = x[:, 0].astype(np.float32) / np.float32(32768)
        if args.rate == 8000:
            x = soxr.resample(x, 16000, 8000, quality="HQ").astype(np.float32)
        clips[str(path.relative_to(args.corpus))] = x
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for i, x in enumerate(clips.values()):
            x.astype("<f4").tofile(f"{folder}/{i}.in")
            lines.append(f"{folder}/{i}.in\t{folder}/{i}.out\n")
        pathlib.Path(f"{folder}/list").write_text("".join(lines))
        subprocess.run([*command, "--list", f"{folder}/list"], check=True)
        for i, (name, x) in enumerate(clips.items()):
            ours, theirs = np.fromfile(f"{folder}/{i}.out", "<f4"), reference(session, x, args.rate)
            assert ours.shape == theirs.shape, (name, ours.shape, theirs.shape)
            error = np.abs(ours.astype(float) - theirs)
            rows.append((error.max() if np.isfinite(error).all() else np.inf, name))
            windows += len(ours)
            crossed += sum(int(((ours >= t) != (theirs >= t)).sum()) for t in THRESHOLDS)
    rows.sort(reverse=True)
    for error, name in rows[:5]:
        print(f"{error:.2e}  {name}")
    worst = rows[0][0]
    print(f"{args.rate} Hz, level {args.level or 'default'}, batch {args.batch}: {len(rows)} clips, {windows} windows: "
          f"worst {worst:.2e}, median clip {np.median([r[0] for r in rows]):.2e}, threshold crossings {crossed}")
    sys.exit(worst > BAR or crossed > 0)


if __name__ == "__main__":
    main()
