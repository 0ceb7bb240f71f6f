#!/usr/bin/env python3
"""Writes mel_golden.json: log-mel features of fixtures, in numpy float64, at places drawn from a fixed seed.

The recipe is that of Whisper's feature extraction as Smart Turn uses it, written down here from its description and independent of
the code under test: normalise first, then transform, filter through a dense matrix. Samples of any rate are taken
for 16 kHz ones. Values are rounded to 1e-8, far below the tolerance of the test.

Needs numpy and soundfile. Usage, from the repository's root: core/tests/data/make_mel_golden.py
"""
import json
import pathlib

import numpy as np
import soundfile

HERE = pathlib.Path(__file__).parent
# A short turn with a constant in it, a long one, one with silence, and nothing at all.
CASES = ["speech-dc-offset", "conversation-en", "speech-fr-8k", "silence-zero"]
WINDOW, FRAME, HOP, BANDS, FRAMES, PLACES = 128_000, 400, 160, 80, 800, 200


def mel(hz):
    return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1) / 1000) * 27 / np.log(6.4))


def hz(mel):
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def filters():
    edges = hz(np.linspace(0, mel(np.array(8000.0)), BANDS + 2))
    bins = np.linspace(0, 8000, FRAME // 2 + 1)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def features(samples):
    x = np.zeros(WINDOW)
    samples = samples[-WINDOW:]
    x[WINDOW - len(samples):] = samples
    x = (x - x.mean()) / np.sqrt(x.var() + 1e-7)
    x = np.pad(x, FRAME // 2, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    frames = np.stack([x[k * HOP:k * HOP + FRAME] for k in range(FRAMES)])
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    log = np.log10(np.maximum(power @ filters().T, 1e-10)).T
    return (np.maximum(log, log.max() - 8) + 4) / 4


random = np.random.default_rng(3)
golden = {}
for case in CASES:
    pcm, _ = soundfile.read(HERE / "../../../fixtures" / case / "audio.wav", dtype="int16")
    value = features(pcm.astype(np.float64) / 32768)
    places = [[0, 0], [0, 799], [79, 0], [79, 799], [0, 1], [40, 798]]
    places += [[int(random.integers(BANDS)), int(random.integers(FRAMES))] for _ in range(PLACES)]
    golden[case] = {
        "max": round(float(value.max()), 8),
        "mean": round(float(value.mean()), 8),
        "at": [[band, frame, round(float(value[band, frame]), 8)] for band, frame in places],
    }
text = json.dumps(golden).replace("}, ", "},\n")
(HERE / "mel_golden.json").write_text(text + "\n")
