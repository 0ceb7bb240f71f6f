#!/usr/bin/env python3
"""Smart Turn by its definition: features in numpy, the model in onnxruntime.

    reference.py smart-turn-v3.2-cpu.onnx CORPUS

`p_shipped` is the official file as it is. `p_float` is the same weights with activations that are not rounded (`strip.py`): listenkit's oracle.
Graph optimisations are off for it, because they make MatMulNBits of a weight and its product, which rounds activations to 8 bits again, in blocks
of 32. `p_blocks` is what comes out with them on, and what the corpus keeps as its p_float.

Recomputes all three for every labelled item and reference clip of a corpus and prints how far they are from the values kept there and
from each other. Exit code 1 when the features or p_blocks are not the kept ones. Needs numpy, onnx, onnxruntime, soundfile.
"""
import json
import os
import pathlib
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import onnx
import onnxruntime as ort
import soundfile as sf

from convert import read_onnx
from strip import strip

RATE, WINDOW, FRAME, HOP, BANDS = 16000, 128000, 400, 160, 80


def mel_filters():
    """[201, 80]: triangles on the Slaney mel scale, 0 to 8000 Hz, of area 1 (in Hz) each."""
    # Linear up to 1000 Hz at 3 mel per 200 Hz, logarithmic above: 27 mel per factor of 6.4.
    top = 15 + 27 * np.log(8000 / 1000) / np.log(6.4)
    mel = np.linspace(0, top, BANDS + 2)
    corner = np.where(mel < 15, 200 * mel / 3, 1000 * np.exp(np.log(6.4) * (mel - 15) / 27))
    left, centre, right = corner[:-2], corner[1:-1], corner[2:]
    f = np.linspace(0, RATE / 2, FRAME // 2 + 1)[:, None]
    triangle = np.minimum((f - left) / (centre - left), (right - f) / (right - centre))
    return np.maximum(triangle, 0) * 2 / (right - left)


MEL = mel_filters()
HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)


def features(audio):
    """16 kHz float32 in [-1, 1) -> [80, 800] float32."""
    x = np.zeros(WINDOW, np.float32)
    last = np.asarray(audio, np.float32)[-WINDOW:]
    x[WINDOW - len(last):] = last
    x = (x - x.mean()) / np.sqrt(x.var() + np.float32(1e-7))
    x = np.pad(x.astype(np.float64), FRAME // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(x, FRAME)[::HOP]
    power = np.abs(np.fft.rfft(frames * HANN)) ** 2
    log = np.log10(np.maximum(power @ MEL, 1e-10)).T[:, :-1]
    return ((np.maximum(log, log.max() - 8) + 4) / 4).astype(np.float32)


def session(model, optimise=True):
    """onnxruntime on a model or its bytes, one thread, set up as Pipecat does; or without its graph optimisations."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def sessions(path):
    """(shipped, float) of the official file."""
    data = read_onnx(path)
    return session(data), session(strip(onnx.load_from_string(data)), optimise=False)


def probability(model, mel):
    return float(model.run(None, {"input_features": mel[None]})[0][0, 0])


def items(corpus):
    """The labelled items: (item, 16 kHz float32)."""
    for item in json.loads((corpus / "public/eot_items.json").read_text()):
        pcm, rate = sf.read(corpus / "public" / item["file"], dtype="int16")
        assert rate == RATE and pcm.ndim == 1, item["file"]
        pcm = np.append(pcm[item["start"]:item["end"]], np.zeros(item["zeros"], np.int16))
        yield item, pcm.astype(np.float32) / np.float32(32768)


def clips(corpus):
    """The reference clips: (name, 16 kHz float32, kept features and probabilities)."""
    for path in sorted((corpus / "smart_turn_ref/clips").glob("*.npz")):
        kept = np.load(path)
        yield path.stem, kept["pcm"].astype(np.float32) / np.float32(32768), kept


def auc(labels, scores):
    """Chance that a complete turn scores above an unfinished one; ties count half."""
    labels, scores = np.asarray(labels, bool), np.asarray(scores)
    yes, no = scores[labels][:, None], scores[~labels][None]
    return float(((yes > no) + 0.5 * (yes == no)).mean())


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    models = [*sessions(sys.argv[1]), session(strip(onnx.load_from_string(read_onnx(sys.argv[1]))))]
    corpus = pathlib.Path(sys.argv[2])
    mel_error, rows, kept_rows, labels = 0.0, [], [], []
    for _, audio, kept in clips(corpus):
        mel = features(audio)
        mel_error = max(mel_error, float(np.abs(mel - kept["mel"]).max()))
        rows.append([probability(model, mel) for model in models])
        kept_rows.append((float(kept["p_shipped"]), float(kept["p_float"])))
    for item, audio in items(corpus):
        mel = features(audio)
        labels.append(item["complete"])
        rows.append([probability(model, mel) for model in models])
        kept_rows.append((item["p_shipped"], item["p_float"]))
    shipped, exact, blocks = np.array(rows).T
    kept_shipped, kept_float = np.array(kept_rows).T
    print(f"{len(rows)} clips and items; features differ from the kept ones by at most {mel_error:.1e}")
    print(f"from the kept values at most: p_shipped {np.abs(shipped - kept_shipped).max():.1e}, "
          f"p_blocks {np.abs(blocks - kept_float).max():.1e}, p_float {np.abs(exact - kept_float).max():.1e}")
    for name, p in (("p_float", exact), ("p_blocks", blocks), ("p_shipped", shipped)):
        gap, flips = np.abs(p - exact), int(((p >= 0.5) != (exact >= 0.5)).sum())
        print(f"{name:9}  AUC over {len(labels)} items {auc(labels, p[-len(labels):]):.4f}; "
              f"from p_float: mean {gap.mean():.4f}, worst {gap.max():.3f}, {flips} flips at 0.5")
    sys.exit(bool(mel_error > 1e-6 or np.abs(blocks - kept_float).max() > 1e-4))


if __name__ == "__main__":
    main()
