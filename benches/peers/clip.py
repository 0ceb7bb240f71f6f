"""Makes the clip that every contender gets: clip.py OUT.wav SECONDS IN.wav... (run with the venv's Python).

Inputs are mixed to mono, brought to 48 kHz with soxr VHQ, joined with pauses of 0.75 s (longer than every
peer's minimum silence) and tiled to SECONDS. The pauses hold faint noise (4 units of 16 bit, seeded),
because digital zero is not what a microphone gives.
"""

import sys

import numpy as np
import soundfile
import soxr

RATE = 48000


def main():
    out, seconds, paths = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    rng = np.random.default_rng(1)
    parts = []
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono = samples.mean(axis=1)
        parts.append(soxr.resample(mono, rate, RATE, quality="VHQ") if rate != RATE else mono)
        parts.append(rng.uniform(-4, 4, RATE * 3 // 4).astype(np.float32) / 32768)
    joined = np.concatenate(parts)
    length = seconds * RATE
    tiled = np.tile(joined, -(-length // len(joined)))[:length]
    soundfile.write(out, np.clip(tiled, -1, 32767 / 32768), RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()
