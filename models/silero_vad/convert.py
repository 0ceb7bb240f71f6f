#!/usr/bin/env python3
"""The official Silero VAD weights -> silero_vad.lkw, the weight container of listenkit.

    convert.py silero_vad-6.2.3-py3-none-any.whl [silero_vad.lkw]
    convert.py path/to/silero_vad.onnx [silero_vad.lkw]

Needs numpy and onnx. The same input gives the same bytes; the layout is described in `models/container.py`. The wheel
comes from PyPI: `pip download --no-deps silero-vad==6.2.3`.
"""
import hashlib
import io
import pathlib
import sys
import zipfile

import numpy as np
import onnx
from onnx import numpy_helper

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from container import container

ONNX_SHA256 = "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"
MEMBER = "silero_vad/data/silero_vad.onnx"
# The branches of the graph's `sr == 16000`.
BRANCHES = {"then_branch": "16k", "else_branch": "8k"}
# The graph's name (without its branch) -> ours, and the shape it must have; None is the count of STFT bins.
TENSORS = {
    "encoder.0.reparam_conv.weight": ("encoder.0.weight", (128, None, 3)),
    "encoder.0.reparam_conv.bias": ("encoder.0.bias", (128,)),
    "encoder.1.reparam_conv.weight": ("encoder.1.weight", (64, 128, 3)),
    "encoder.1.reparam_conv.bias": ("encoder.1.bias", (64,)),
    "encoder.2.reparam_conv.weight": ("encoder.2.weight", (64, 64, 3)),
    "encoder.2.reparam_conv.bias": ("encoder.2.bias", (64,)),
    "encoder.3.reparam_conv.weight": ("encoder.3.weight", (128, 64, 3)),
    "encoder.3.reparam_conv.bias": ("encoder.3.bias", (128,)),
    "decoder.rnn.weight_ih": ("lstm.weight_ih", (512, 128)),
    "decoder.rnn.weight_hh": ("lstm.weight_hh", (512, 128)),
    "decoder.rnn.bias_ih": ("lstm.bias_ih", (512,)),
    "decoder.rnn.bias_hh": ("lstm.bias_hh", (512,)),
    "decoder.decoder.2.weight": ("output.weight", (1, 128, 1)),
    "decoder.decoder.2.bias": ("output.bias", (1,)),
}
BINS = {"16k": 129, "8k": 65}


def read_onnx(path):
    data = pathlib.Path(path).read_bytes()
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            data = wheel.read(MEMBER)
    found = hashlib.sha256(data).hexdigest()
    if found != ONNX_SHA256:
        sys.exit(f"{path}: sha256 of silero_vad.onnx is {found}, expected {ONNX_SHA256} (silero-vad 6.2.3)")
    return onnx.load_from_string(data)


def constants(graph, branch=""):
    """Every constant of the graph and its branches, by branch path and name."""
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                yield branch, node.output[0], numpy_helper.to_array(attribute.t)
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from constants(attribute.g, branch or attribute.name)


def check_stft(basis, points):
    """The graph's "STFT convolution" must be a DFT under a periodic Hann window, which is what listenkit computes."""
    n = np.arange(points)
    phase = 2 * np.pi * np.arange(points // 2 + 1)[:, None] * n / points
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / points)
    expected = np.concatenate([window * np.cos(phase), -window * np.sin(phase)])
    error = np.abs(basis[:, 0] - expected).max()
    assert error < 1e-7, f"the STFT basis differs from a Hann DFT by {error}"


def tensors(model):
    out = {}
    for branch, name, value in constants(model.graph):
        if branch not in BRANCHES or "Inline_0__" not in name:
            continue
        rate, name = BRANCHES[branch], name.split("Inline_0__")[1]
        if name == "stft.forward_basis_buffer":
            check_stft(value, value.shape[2])
        if name in TENSORS:
            ours, shape = TENSORS[name]
            shape = tuple(BINS[rate] if d is None else d for d in shape)
            assert value.dtype == np.float32 and value.shape == shape, (name, value.dtype, value.shape)
            out[f"{rate}/{ours}"] = value.reshape([d for d in shape if d > 1] or [1])
    expected = {f"{rate}/{ours}" for rate in BINS for ours, _ in TENSORS.values()}
    assert set(out) == expected, expected - set(out)
    return sorted(out.items())


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    here = pathlib.Path(__file__).parent
    out = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else here / "silero_vad.lkw"
    data = container(tensors(read_onnx(sys.argv[1])))
    out.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    if len(sys.argv) == 2:
        (here / "SHA256").write_text(f"{digest}  silero_vad.lkw\n")
    print(f"{out}: {len(data)} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
