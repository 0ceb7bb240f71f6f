#!/usr/bin/env python3
"""Reference probabilities of the synthetic test signal, by onnxruntime on the official file.

    golden.py SILERO_VAD.onnx OUT_FOLDER

Writes silero_vad_16k.txt and silero_vad_8k.txt: one probability per window of `listenkit::vad::test_signal`, which this script
computes in the same whole numbers. The self-test's table is the first windows of the same. Needs numpy, onnxruntime.
"""
import pathlib
import sys

import numpy as np
import onnxruntime as ort

from parity import reference

WINDOWS = 256
# Resonances of four vowels in Hz (Peterson and Barney 1952, men), bandwidths 60, 90, 150 Hz, as Q14 coefficients at 16 kHz.
VOWELS = [(730, 1090, 2440), (270, 2290, 3010), (530, 1840, 2480), (300, 870, 2240)]
BANDWIDTHS = (60, 90, 150)


def coefficients():
    rows = []
    for vowel in VOWELS:
        row = []
        for f, bandwidth in zip(vowel, BANDWIDTHS):
            r = np.exp(-np.pi * bandwidth / 16000)
            row.append((round(2 * r * np.cos(2 * np.pi * f / 16000) * 16384), round(r * r * 16384)))
        rows.append(row)
    return rows


def signal(windows):
    """16 kHz samples as i16 numbers; the 8 kHz signal is the mean of pairs, rounded down."""
    table, out = coefficients(), []
    seed, phase = 1, 0
    y = [[0, 0] for _ in range(3)]
    for n in range(windows * 512):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        noise = (seed >> 16) - 32768
        syllable, at = divmod(n, 4096)
        # Four syllables of 256 ms, then two of pause; the pitch falls within a phrase.
        voiced = syllable % 6 < 4 and at < 3400
        phase += 34_000_000 - 3_000_000 * (syllable % 6)
        pulse = phase >> 32
        phase &= 0xFFFFFFFF
        x = (16000 * pulse + (noise >> 8)) if voiced else 0
        for (a1, a2), state in zip(table[syllable % 4], y):
            x, state[1] = ((16384 - a1 + a2) * x + a1 * state[0] - a2 * state[1]) >> 14, state[0]
            state[0] = x
        out.append(max(-32768, min(32767, 4 * x + (noise >> 10))))
    return np.array(out)


def main():
    session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    x = signal(WINDOWS)
    half = (x[0::2] + x[1::2]) >> 1
    print(coefficients())
    for name, samples, rate in (("16k", x, 16000), ("8k", half, 8000)):
        p = reference(session, samples.astype(np.float32) / np.float32(32768), rate)
        pathlib.Path(sys.argv[2], f"silero_vad_{name}.txt").write_text("".join(f"{v:.9f}\n" for v in p))
        print(name, "peak", abs(samples).max(), "mean p", p.mean(), "over 0.5:", (p > 0.5).sum())
        print(", ".join(f"{v:.7f}" for v in p[:32]))


if __name__ == "__main__":
    main()
