#!/usr/bin/env python3
"""The probabilities that tests.rs expects for made-up features: onnxruntime on the ONNX file without its activation Quantize/Dequantize pairs.

    golden.py float.onnx        (needs numpy and onnxruntime; models/smart_turn/ says how to make the file)

Graph optimisations are off: with them onnxruntime fuses weights and products into MatMulNBits, which rounds activations to
8 bits in blocks of 32 and moves probabilities by up to 0.04.
"""
import sys

import numpy as np
import onnxruntime


def features(seed, quiet):
    """Hills that move over noise, both whole numbers, after `quiet` silent frames."""
    band, frame = np.arange(80)[:, None], np.arange(800)[None]
    noise = (band * 7919 + frame * 104729 + band * frame % (97 + seed) * 31 + seed * 1009) % 1013
    hill = np.abs((frame * (3 + seed) + band * 11) % 400 - 200)
    value = np.where(frame >= quiet, noise // 8 + hill * 2, 0)
    return value.astype(np.float32) / np.float32(256) - np.float32(0.5)


options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
session = onnxruntime.InferenceSession(sys.argv[1], options)
for seed, quiet in [(0, 300), (9, 600), (10, 300), (11, 600), (3, 0), (0, 600)]:
    p, = session.run(None, {"input_features": features(seed, quiet)[None]})
    print(f"({seed}, {quiet}, {p[0, 0]})")
