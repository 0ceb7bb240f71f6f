#!/usr/bin/env python3
"""Reference answers for recordings under fixtures/, by numpy and onnxruntime.

    golden.py smart-turn-v3.2-cpu.onnx CORPUS core/tests/data/smart_turn.json

`fixtures`, per recording: `every`, which samples are taken (all at 16 kHz; every third at 48 kHz, unfiltered, so that no resampler has a say), and
`asked`, one row per second and one at the end: count of samples heard, p_float, p_shipped. Channels are averaged.
`clips`: p_float of the corpus' reference clips, in order. Needs numpy, onnx,
onnxruntime, soundfile.
"""
import json
import pathlib
import sys

import numpy as np
import soundfile as sf

from reference import RATE, clips, features, probability, sessions


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    shipped, exact = sessions(sys.argv[1])
    fixtures = pathlib.Path(__file__).resolve().parents[2] / "fixtures"
    found = {}
    for path in sorted(fixtures.glob("*/audio.wav")):
        pcm, rate = sf.read(path, dtype="int16", always_2d=True)
        if rate not in (RATE, 3 * RATE):
            continue
        every = rate // RATE
        audio = pcm[::every].astype(np.float32).mean(axis=1, dtype=np.float32) / np.float32(32768)
        ends = sorted({*range(RATE, len(audio), RATE), len(audio)})
        rows = []
        for end in ends:
            mel = features(audio[:end])
            rows.append([end, *(float(f"{probability(model, mel):.7g}") for model in (exact, shipped))])
        found[path.parent.name] = {"every": every, "asked": rows}
    of_corpus = [float(f"{probability(exact, features(audio)):.7g}") for _, audio, _ in clips(pathlib.Path(sys.argv[2]))]
    with open(sys.argv[3], "w") as out:
        cases = []
        for case, row in found.items():
            asked = ",\n  ".join(json.dumps(one) for one in row["asked"])
            cases.append(f'{json.dumps(case)}: {{"every": {row["every"]}, "asked": [\n  {asked}]}}')
        out.write('{"fixtures": {\n' + ",\n".join(cases) + '},\n"clips": ' + json.dumps(of_corpus) + "}\n")
    asked = [one for row in found.values() for one in row["asked"]]
    print(f"{len(found)} recordings, {len(asked)} answers, {sum(one[1] >= 0.5 for one in asked)} of them complete")


if __name__ == "__main__":
    main()
