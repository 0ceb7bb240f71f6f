#!/usr/bin/env python3
"""Which score finds the pause to split long speech in? Chose PAUSE_WINDOWS and CUT_WINDOW of the segmenter.

    LISTENKIT_CORPUS=... benches/split_score.py

On every stretch of the labelled clips that has speech and a pause, but no silence long enough to end the segment:
cuts at the lowest mean probability over a box of windows (ties to the later), and reports how often the
cut falls inside labelled speech, and how far from speech it is otherwise (median). Rows: box length in windows of
32 ms. Columns: how many windows after the start of the box the cut is, counted from the middle. Needs numpy and the
corpus (LISTENKIT_CORPUS, or ../shared/corpus beside the checkout).
"""

import csv
import os
import pathlib

import numpy as np

WINDOW_MS = 32
STEP = 4  # windows between the starts of two stretches
BOXES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11)
OFFSETS = (-3, -2, -1, 0, 1)
SILENT = 0.35


def corpus():
    beside = pathlib.Path(__file__).resolve().parents[2] / "shared" / "corpus"
    return pathlib.Path(os.environ.get("LISTENKIT_CORPUS", beside))


def clips(folder):
    """(probabilities, speech per ms, label to be ignored per ms) of each labelled clip."""
    reference = np.load(folder / "silero_ref" / "silero-6.2.3.npz")
    for labels in sorted((folder / "public" / "vad").glob("*.lab.csv")):
        name = labels.name.replace(".lab.csv", ".wav")
        probabilities = next(reference[key].ravel() for key in reference if key.endswith(name))
        marks = {kind: np.zeros(len(probabilities) * WINDOW_MS + 100, bool) for kind in ("speech", "ignore")}
        for row in csv.DictReader(labels.open()):
            start, end = (int(float(row[key]) * 1000) for key in ("start_s", "end_s"))
            marks[row["label"]][start:end] = True
        yield probabilities.astype(float), marks["speech"], marks["ignore"]


def longest_run(flags):
    best = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        best = max(best, run)
    return best


def stretches(found, length, min_silence):
    for probabilities, speech, ignored in found:
        for start in range(0, len(probabilities) - length, STEP):
            end = start + length
            span = slice(start * WINDOW_MS, end * WINDOW_MS)
            if longest_run(probabilities[start:end] <= SILENT) >= min_silence or ignored[span].any():
                continue
            if 0.5 <= speech[span].mean() <= 0.985:
                yield probabilities, speech, start, end


def judge(found, box, offset):
    inside, distances = 0, []
    for probabilities, speech, start, end in found:
        first = max(start, box // 2)
        means = np.convolve(probabilities, np.ones(box) / box, "valid")
        scores = means[first - box // 2 : min(end, len(probabilities) - (box - box // 2)) - box // 2 + 1]
        cut = first + np.flatnonzero(scores <= scores.min() + 1e-12)[-1] + offset
        if speech[cut * WINDOW_MS]:
            inside += 1
        else:
            distances.append(np.abs(np.flatnonzero(speech) - cut * WINDOW_MS).min())
    return f"{100 * inside / len(found):5.1f} % {np.median(distances):4.0f} ms"


def main():
    labelled = list(clips(corpus()))
    for length in (62, 156):
        for min_silence in (8, 18):
            found = list(stretches(labelled, length, min_silence))
            print(f"stretches of {length} windows without {min_silence} silent ones in a row: {len(found)}")
            print("  box " + "".join(f"{f'middle {o:+d}':>18}" for o in OFFSETS))
            for box in BOXES:
                print(f"  {box:3} " + "".join(f"{judge(found, box, o):>18}" for o in OFFSETS))


if __name__ == "__main__":
    main()
