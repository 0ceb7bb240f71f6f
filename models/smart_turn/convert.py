#!/usr/bin/env python3
"""The official Smart Turn v3.2 weights -> smart_turn.lkw, a weight container of listenkit.

    convert.py pipecat_ai-1.14.0-py3-none-any.whl [smart_turn.lkw]
    convert.py path/to/smart-turn-v3.2-cpu.onnx [smart_turn.lkw]

Needs numpy and onnx. The same input gives the same bytes; the layout is described in `models/container.py`, the tensors in
`MODEL.md`. The wheel comes from PyPI: `pip download --no-deps pipecat-ai==1.14.0`.

The graph is read by its structure: each layer is found by the biases and norms that carry a name, and the weight by the
operator that meets them. int8 weights and their scales are kept bit for bit; matrices are turned to [out, in]. The scales and zero
points of the activations are left behind, see `strip.py`.
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

ONNX_SHA256 = "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f"
MEMBER = "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
LAYERS, WIDTH, HIDDEN, HEADS = 4, 384, 1536, 6


def read_onnx(path):
    """The bytes of the official file, from the wheel or from itself."""
    data = pathlib.Path(path).read_bytes()
    if pathlib.Path(path).suffix == ".whl":
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            data = wheel.read(MEMBER)
    found = hashlib.sha256(data).hexdigest()
    if found != ONNX_SHA256:
        sys.exit(f"{path}: sha256 of the ONNX file is {found}, expected {ONNX_SHA256} (pipecat-ai 1.14.0)")
    return data


class Graph:
    """The graph with the Quantize/Dequantize pairs around activations looked through."""

    def __init__(self, graph):
        self.constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        self.producer = {name: node for node in graph.node for name in node.output}
        self.consumers = {}
        for node in graph.node:
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)

    def made_by(self, name):
        """The operator behind a value."""
        node = self.producer[name]
        while node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] in self.producer:
            node = self.producer[node.input[0]]
        return node

    def used_by(self, name, kind):
        """The operators of a kind that take a value."""
        found = []
        for node in self.consumers.get(name, []):
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                found += self.used_by(node.output[0], kind)
            elif node.op_type == kind:
                found.append(node)
        return found

    def weight(self, node, axis):
        """int8 values and one scale per index of `axis`, of an operator's second input."""
        values, scale, zero = (self.constants[name] for name in self.producer[node.input[1]].input)
        assert attributes(self.producer[node.input[1]])["axis"] == axis, node.name
        assert values.dtype == np.int8 and scale.dtype == np.float32 and scale.shape == (values.shape[axis],), node.name
        assert not zero.any(), f"{node.name}: the weights' zero points must be 0"
        return values, scale

    def bias(self, name):
        """A float constant; the file keeps some as int32 and scale, whose product is rounded once, as onnxruntime does."""
        if name in self.constants:
            return self.constants[name]
        values, scale, zero = (self.constants[n] for n in self.producer[name].input)
        assert values.dtype == np.int32 and not zero.any(), name
        return values.astype(np.float32) * scale

    def linear(self, bias):
        """Of `x @ weight + bias`: weight as [out, in], scale, bias."""
        add, = self.consumers[bias]
        return self.product(self.made_by(add.input[0])) | {"bias": self.constants[bias]}

    def product(self, node):
        assert node.op_type == "MatMul", node.name
        values, scale = self.weight(node, axis=1)
        return {"weight": values.T, "scale": scale}

    def gemm(self, bias):
        node, = self.consumers[bias]
        assert attributes(node) == {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}, node.name
        values, scale = self.weight(node, axis=0)
        return {"weight": values, "scale": scale, "bias": self.bias(bias)}

    def conv(self, bias, stride):
        node, = self.consumers[bias]
        found = attributes(node)
        assert (found["pads"], found["strides"], found["dilations"], found["group"]) == ([1, 1], [stride], [1], 1), found
        values, scale = self.weight(node, axis=0)
        return {"weight": values, "scale": scale, "bias": self.bias(bias)}

    def norm(self, weight):
        node, = self.consumers[weight]
        assert node.op_type == "LayerNormalization", node.name
        assert abs(attributes(node)["epsilon"] - 1e-5) < 1e-9 and attributes(node)["axis"] == -1, node.name
        return {"weight": self.constants[weight], "bias": self.constants[node.input[2]]}


def attributes(node):
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def tensors(model):
    graph, out = Graph(model.graph), {}

    def put(name, parts, shape=None):
        for part, value in parts.items():
            out[f"{name}.{part}"] = value
        if shape:
            assert parts["weight"].shape == shape, (name, parts["weight"].shape)

    put("conv1", graph.conv("inner.encoder.conv1.bias", 1), (WIDTH, 80, 3))
    put("conv2", graph.conv("inner.encoder.conv2.bias", 2), (WIDTH, WIDTH, 3))
    out["position"] = graph.constants["inner.encoder.embed_positions.weight"]
    assert out["position"].shape == (400, WIDTH)
    for n in range(LAYERS):
        theirs, ours = f"inner.encoder.layers.{n}.", f"layers.{n}."
        square = (WIDTH, WIDTH)
        put(ours + "attention_norm", graph.norm(theirs + "self_attn_layer_norm.weight"))
        put(ours + "attention.query", graph.linear(theirs + "self_attn.q_proj.bias"), square)
        put(ours + "attention.value", graph.linear(theirs + "self_attn.v_proj.bias"), square)
        put(ours + "attention.output", graph.linear(theirs + "self_attn.out_proj.bias"), square)
        # The key has no bias to be found by: it is the third product of what the query is made from.
        query_add, = graph.consumers[theirs + "self_attn.q_proj.bias"]
        query = graph.made_by(query_add.input[0])
        with_bias = {graph.made_by(graph.consumers[theirs + f"self_attn.{p}_proj.bias"][0].input[0]).name for p in "qv"}
        norm = graph.made_by(query.input[0])
        products = graph.used_by(norm.output[0], "MatMul")
        key, = [node for node in products if node.name not in with_bias]
        assert len(products) == 3 and norm.op_type == "LayerNormalization"
        put(ours + "attention.key", graph.product(key), square)
        put(ours + "feed_forward_norm", graph.norm(theirs + "final_layer_norm.weight"))
        put(ours + "up", graph.linear(theirs + "fc1.bias"), (HIDDEN, WIDTH))
        put(ours + "down", graph.linear(theirs + "fc2.bias"), (WIDTH, HIDDEN))
    put("norm", graph.norm("inner.encoder.layer_norm.weight"))
    put("pool.hidden", graph.linear("inner.pool_attention.0.bias"), (256, WIDTH))
    put("pool.score", graph.linear("inner.pool_attention.2.bias"), (1, 256))
    put("classifier.0", graph.gemm("inner.classifier.0.bias"), (256, WIDTH))
    put("classifier.norm", graph.norm("inner.classifier.1.weight"))
    put("classifier.1", graph.gemm("inner.classifier.4.bias"), (64, 256))
    put("classifier.2", graph.gemm("inner.classifier.6.bias"), (1, 64))
    check_complete(graph, out)
    return sorted(out.items())


def check_complete(graph, out):
    """Every weight of the file is in ours, and the constants of attention are what listenkit computes with."""
    here = sum(value.size for value in out.values() if value.dtype == np.int8)
    theirs = sum(v.size for k, v in graph.constants.items() if v.dtype == np.int8 and k.endswith("_quantized"))
    assert here == theirs, (here, theirs)
    floats = sum(v.size for k, v in graph.constants.items() if k.startswith("inner.") and v.dtype == np.float32
                 and not k.endswith("_scale"))
    ours = sum(v.size for k, v in out.items() if v.dtype == np.float32 and not k.endswith(".scale"))
    quantised_biases = sum(v.size for k, v in graph.constants.items() if k.endswith("bias_quantized"))
    assert ours == floats + quantised_biases, (ours, floats, quantised_biases)
    # Query and key are each multiplied by the fourth root of 1 / (width of a head).
    assert abs(float(graph.constants["val_63"][0]) - (WIDTH / HEADS) ** -0.25) < 1e-7


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    here = pathlib.Path(__file__).parent
    out = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else here / "smart_turn.lkw"
    items = tensors(onnx.load_from_string(read_onnx(sys.argv[1])))
    data = container(items)
    out.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    if len(sys.argv) == 2:
        (here / "SHA256").write_text(f"{digest}  smart_turn.lkw\n")
    print(f"{out}: {len(items)} tensors, {len(data)} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
