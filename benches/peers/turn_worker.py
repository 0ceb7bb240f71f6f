"""Drives one peer's end-of-turn model. Run by speed_smart_turn.py with a venv's Python: turn_worker.py PEER AUDIO.raw ONNX

AUDIO is 16 kHz mono i16le, the user's turn. The first line on stdout says what loading and one answer gave and what memory
the process has then; each line on stdin is a round of about 0.4 s, `model` (from features, where the peer lets us) or `both` (from
audio), answered with the median and the fastest CPU time of an answer in milliseconds. `turn_worker.py clip OUT.raw IN.wav` makes the audio.
"""

import json
import os
import statistics
import sys
import time

ROUND_S = 0.4
HERE = os.path.dirname(os.path.abspath(__file__))


def rss():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Onnx:
    """onnxruntime on one thread as Pipecat sets it up; features by the model's definition, in numpy."""

    def __init__(self, pcm, onnx):
        import numpy as np

        sys.path.insert(0, os.path.join(HERE, "..", "..", "models", "smart_turn"))
        import reference

        self.audio = pcm.astype(np.float32) / np.float32(32768)
        self.reference = reference
        self.session = reference.session(self.load(onnx))
        self.mel = reference.features(self.audio)

    def load(self, onnx):
        return open(onnx, "rb").read()

    def model(self):
        return self.reference.probability(self.session, self.mel)

    def both(self):
        return self.reference.probability(self.session, self.reference.features(self.audio))


class OnnxStripped(Onnx):
    """The same weights without the rounding of activations."""

    def load(self, onnx):
        import onnx as library
        from strip import strip

        return strip(library.load(onnx))


class Pipecat:
    """Pipecat's own analyser from the release: its features in numpy and its file in onnxruntime."""

    def __init__(self, pcm, onnx):
        import numpy as np
        from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3

        self.audio = pcm.astype(np.float32) / np.float32(32768)
        self.analyser = LocalSmartTurnAnalyzerV3(cpu_count=1)

    def both(self):
        return self.analyser._predict_endpoint(self.audio)["probability"]


class LiveKit:
    """livekit.local_inference.EOT: another model, which hears the last 1.2 s."""

    def __init__(self, pcm, onnx):
        from livekit import local_inference

        self.pcm = pcm[-local_inference.EOT_MAX_SAMPLES:].copy()
        self.eot = local_inference.EOT()

    def both(self):
        return self.eot.predict(self.pcm)


PEERS = {"ort-shipped": Onnx, "ort-float": OnnxStripped, "pipecat": Pipecat, "livekit-eot": LiveKit}


def timed(call):
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < ROUND_S:
        cpu = time.process_time()
        call()
        times.append(1e3 * (time.process_time() - cpu))
    return {"median": statistics.median(times), "best": min(times)}


def make_clip(out, path):
    import numpy as np
    import soundfile
    import soxr

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = soxr.resample(samples.mean(axis=1), rate, 16000, quality="VHQ")
    np.clip(np.round(mono * 32768), -32768, 32767).astype("<i2").tofile(out)


def main():
    if sys.argv[1] == "clip":
        return make_clip(*sys.argv[2:])
    # What a peer prints while loading must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        import numpy as np

        name, audio, onnx = sys.argv[1:]
        peer = PEERS[name](np.fromfile(audio, "<i2"), onnx)
        answers.write(json.dumps({"probability": float(peer.both()), "rss": rss()}) + "\n")
        for line in sys.stdin:
            answers.write(json.dumps(timed(getattr(peer, line.strip()))) + "\n")
    except Exception as error:  # noqa: BLE001: whatever stops a peer is its row's reason
        answers.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")


if __name__ == "__main__":
    main()
