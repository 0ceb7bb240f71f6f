#!/usr/bin/env python3
"""Labelled turns for `listenkit replay` out of the corpus of end-of-turn questions (`public/eot_items.json`).

    eot_manifest.py CORPUS OUT_DIR        writes OUT_DIR/*.wav and OUT_DIR/manifest.jsonl

The corpus has single questions: "is the speaker finished at this sample?". A policy is judged by turns with
pauses, so turns are composed from it, always of one voice:

- a cut inside a finished utterance: the utterance, with a pause at the cut;
- a prompt that its script says goes on: the prompt, a pause, and a finished prompt of the same language and voice;
- meetings (AMI): turns and pauses as they were spoken.

How long people pause inside a turn is taken from the English turns of eot-bench, whose "silence only" row (false cut-offs
of 55.6 % at 300 ms and 21.7 % at 600 ms of silence, 10 % at 1.0 s, 5 % at 1.6 s) is the share of turns with a pause longer than that.
Lengths are dealt out evenly over that distribution, in an order fixed by the golden ratio: the same corpus gives the same
turns. Pauses are digital silence; 0.3 s of it lead in. Needs numpy and soundfile.
"""
import collections
import csv
import json
import pathlib
import sys

import numpy as np
import soundfile

RATE = 16_000
# The corpus asks 200 ms after the end of speech: speech ends at `end + zeros - ASKED_AFTER`.
ASKED_AFTER = 3_200
LEAD = int(0.3 * RATE)
# (share of turns with a longer pause, seconds). The ends are ours: a turn in seven has no pause worth the name, and the longest
# pause is the 95th percentile of call-centre pauses that LiveKit measured (2.5 s, livekit/agents#3640) as one in a hundred.
LONGEST_PAUSE = [(1.0, 0.02), (0.86, 0.1), (0.556, 0.3), (0.217, 0.6), (0.10, 1.0), (0.05, 1.6), (0.01, 2.5), (0.0, 4.0)]
GOLDEN = 0.618_033_988_749_895


def pause_length(share):
    """Seconds that this share of turns' pauses exceed; linear between the points."""
    points = sorted(LONGEST_PAUSE)
    return float(np.interp(share, [p[0] for p in points], [p[1] for p in points]))


class Writer:
    def __init__(self, out):
        self.out = out
        self.out.mkdir(parents=True, exist_ok=True)
        self.lines = []
        self.dealt = 0

    def next_pause(self):
        self.dealt += 1
        return round(pause_length((self.dealt * GOLDEN) % 1.0) * RATE)

    def composed(self, name, language, category, first, pause, second, speech_end):
        """`first`, silence, `second`, whose speech ends at `speech_end`."""
        silence = np.zeros(pause, np.int16)
        audio = np.concatenate([np.zeros(LEAD, np.int16), first, silence, second])
        start = LEAD + len(first)
        self.add(name, language, category, audio, [(start, start + pause)], start + pause + speech_end)

    def add(self, name, language, category, audio, pauses, turn_end):
        soundfile.write(self.out / f"{name}.wav", audio, RATE, "PCM_16")
        self.lines.append(
            {
                "audio": f"{name}.wav",
                "language": language,
                "turn_end": round(turn_end / RATE, 4),
                "pauses": [[round(a / RATE, 4), round(b / RATE, 4)] for a, b in pauses],
                "note": category,
            }
        )

    def close(self):
        with open(self.out / "manifest.jsonl", "w", encoding="utf-8") as out:
            for line in self.lines:
                out.write(json.dumps(line) + "\n")


def speech_end(item):
    return item["end"] + item["zeros"] - ASKED_AFTER


def voice(path):
    """Recordings of one voice: the language of Asterisk's prompts names their speaker."""
    return path.stem.split("-")[1]


def quiet_since(audio, end, window=320):
    """Where the silence before `end` begins: what is 40 dB below the loudest is silence."""
    floor = np.abs(audio).max() / 100
    while end > window and np.abs(audio[end - window : end]).max() < floor:
        end -= window
    return end


def main(corpus, out):
    public = pathlib.Path(corpus) / "public"
    items = json.loads((public / "eot_items.json").read_text())
    by_file = collections.defaultdict(list)
    for item in items:
        by_file[item["file"]].append(item)
    read = lambda path: soundfile.read(public / path, dtype="int16")[0]
    writer = Writer(pathlib.Path(out))
    finished = collections.defaultdict(list)
    for path, asked in by_file.items():
        if path.startswith("eot/") and asked[0]["complete"]:
            finished[voice(pathlib.Path(path))].append(path)

    for path, asked in sorted(by_file.items()):
        stem = pathlib.Path(path).stem
        ends = [i for i in asked if i["complete"] and i["category"] in ("ast", "utt", "vap-end")]
        cuts = [i for i in asked if i["category"] in ("ast-cut", "utt-cut", "vap-hold", "vap-mid")]
        for number, cut in enumerate(sorted(cuts, key=lambda i: i["end"])):
            audio, end = read(path), speech_end(ends[0])
            at = cut["end"]
            if not 0 < at < end:
                continue
            name = f"{stem}-cut{number}"
            writer.composed(name, cut["language"], cut["category"], audio[:at], writer.next_pause(), audio[at:], end - at)
        if path.startswith("eot/") and not asked[0]["complete"]:
            first = read(path)
            first = first[: quiet_since(first.astype(np.int32), len(first))]
            choices = finished[voice(pathlib.Path(path))]
            for number in range(2):
                second = choices[(len(writer.lines) + number) % len(choices)]
                end = speech_end(next(i for i in by_file[second] if i["complete"]))
                writer.composed(f"{stem}-then{number}", asked[0]["language"], "ast", first, writer.next_pause(), read(second), end)

    for path, asked in sorted(by_file.items()):
        if not pathlib.Path(path).stem.startswith("ami-"):
            continue
        with open(public / path.replace(".wav", ".lab.csv"), encoding="utf-8") as file:
            speech = [(float(r["start_s"]), float(r["end_s"])) for r in csv.DictReader(file) if r["label"] == "speech"]
        for last in (i for i in asked if i["complete"]):
            start, end = last["start"], speech_end(last)
            # What follows within a second would be another speaker's answer, not silence: the turn's audio ends here.
            audio = read(path)[start:end]
            gaps = [(round(a[1] * RATE) - start, round(b[0] * RATE) - start) for a, b in zip(speech, speech[1:])]
            pauses = [(a, b) for a, b in gaps if 0 < a < b < len(audio) and b - a >= RATE // 10]
            name = f"{pathlib.Path(path).stem}-{start}"
            audio = np.concatenate([np.zeros(LEAD, np.int16), audio])
            writer.add(name, "en", "ami", audio, [(a + LEAD, b + LEAD) for a, b in pauses], len(audio))
    writer.close()
    lengths = [b - a for line in writer.lines for a, b in line["pauses"]]
    print(f"{len(writer.lines)} turns, {len(lengths)} pauses, median {np.median(lengths):.2f} s, in {out}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
