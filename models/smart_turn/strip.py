#!/usr/bin/env python3
"""Smart Turn's ONNX file without the rounding of its activations: the oracle's graph.

    strip.py smart-turn-v3.2-cpu.onnx stripped.onnx

The shipped graph sends every activation through a QuantizeLinear and a DequantizeLinear with constants from calibration. Here whoever
reads the second gets what went into the first. Weights stay int8 with their scales. Needs onnx.
"""
import sys

import onnx


def strip(model):
    """A copy of the model whose activations are float throughout."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    rounded = {}  # output of a QuantizeLinear -> the float that went in
    instead = {}  # output of its DequantizeLinear -> the same float
    kept = []
    for node in graph.node:  # producers come before consumers, by ONNX's own rule
        inputs = [instead.get(name, name) for name in node.input]
        if node.op_type == "QuantizeLinear":
            rounded[node.output[0]] = inputs[0]
        elif node.op_type == "DequantizeLinear" and node.input[0] in rounded:
            instead[node.output[0]] = rounded[node.input[0]]
        else:
            node.input[:] = inputs
            kept.append(node)
    # A weight's DequantizeLinear reads a constant, so none of the pairs' other ends may still be in use.
    gone = set(rounded) | set(instead)
    assert not any(name in gone for node in kept for name in node.input)
    assert not any(value.name in gone for value in graph.output)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    for constant in [c for c in graph.initializer if c.name not in used]:
        graph.initializer.remove(constant)
    del graph.value_info[:]
    onnx.checker.check_model(out)
    return out


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    model = onnx.load(sys.argv[1])
    stripped = strip(model)
    onnx.save(stripped, sys.argv[2])
    print(f"{sys.argv[2]}: {len(model.graph.node)} operators became {len(stripped.graph.node)}")


if __name__ == "__main__":
    main()
