#!/usr/bin/env python3
"""Reference probabilities of the recordings under fixtures/, by onnxruntime on the official file.

    golden_fixtures.py SILERO_VAD.onnx core/tests/data/fixture_probabilities.json

Recordings at 16 and 8 kHz go to the branch of their rate as they are; all others reach 16 kHz through soxr VHQ, a resampler that is not ours.
Several channels are averaged. Needs numpy, onnxruntime, soundfile, soxr.
"""
import json
import pathlib
import sys

import numpy as np
import onnxruntime as ort
import soundfile as sf
import soxr

from parity import reference


def main():
    session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    fixtures = pathlib.Path(__file__).resolve().parents[2] / "fixtures"
    found = {}
    for path in sorted(fixtures.glob("*/audio.wav")):
        audio, rate = sf.read(path, dtype="float32", always_2d=True)
        mono = audio.mean(axis=1, dtype=np.float64).astype(np.float32)
        branch = 8000 if rate == 8000 else 16000
        if rate != branch:
            mono = soxr.resample(mono, rate, branch, quality="VHQ").astype(np.float32)
        probabilities = reference(session, mono, branch)
        found[path.parent.name] = {
            "rate": rate, "branch": branch, "probabilities": [float(f"{p:.7g}") for p in probabilities],
        }
    with open(sys.argv[2], "w") as out:
        rows = (f" {json.dumps(case)}: {json.dumps(row)}" for case, row in found.items())
        out.write("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
