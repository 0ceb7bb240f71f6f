#!/usr/bin/env python3
"""Time per window: listenkit's Silero VAD beside onnxruntime on the official file, one core, interleaved in one run.

    cargo build --release -p listenkit --example vad_speed
    speed_silero.py SILERO_VAD.onnx [--rate 8000|16000] [--rounds 15] [--levels avx512,avx2] [--bin PROGRAM]

onnxruntime: one thread (intra = inter = 1, sequential), the faster of `run` and I/O binding. Each round times it and then every
contender for 0.2 s each; what is printed is the median over rounds of each round's median, and ratios of those.
Exit code 1 when the default level misses a bar: single >= 8x, batch of 32 >= 12x. Needs numpy and onnxruntime.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import onnxruntime as ort

BARS = {"single": 8.0, "batch 32": 12.0}
KINDS = ["single", "batch 8", "batch 32"]


class Peer:
    def __init__(self, path, rate):
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.len = 576 if rate == 16000 else 288
        rng = np.random.default_rng(1)
        self.input = (0.1 * rng.standard_normal((1, self.len))).astype(np.float32)
        self.state = np.zeros((2, 1, 128), np.float32)
        self.rate = np.array(rate, np.int64)
        self.binding = self.session.io_binding()
        self.binding.bind_cpu_input("input", self.input)
        self.binding.bind_cpu_input("state", self.state)
        self.binding.bind_cpu_input("sr", self.rate)
        self.output = ort.OrtValue.ortvalue_from_numpy(np.zeros((1, 1), np.float32))
        self.next = ort.OrtValue.ortvalue_from_numpy(self.state)
        self.binding.bind_ortvalue_output("output", self.output)
        self.binding.bind_ortvalue_output("stateN", self.next)

    def run(self):
        _, self.state = self.session.run(None, {"input": self.input, "state": self.state, "sr": self.rate})

    def bound(self):
        self.session.run_with_iobinding(self.binding)

    @staticmethod
    def median(call):
        times, start = [], time.perf_counter()
        while time.perf_counter() - start < 0.2:
            one = time.perf_counter()
            for _ in range(8):
                call()
            times.append((time.perf_counter() - one) / 8 * 1e6)
        return statistics.median(times)

    def round(self):
        return min(self.median(self.run), self.median(self.bound))


class Ours:
    def __init__(self, program, rate, level, audio):
        command = [str(program), "--rate", str(rate)] + (["--level", level] if level else [])
        command += ["--audio", audio] if audio else []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.level = self.process.stdout.readline().strip()

    def round(self, kind):
        self.process.stdin.write(kind + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline().split()[0])


def main():
    here = pathlib.Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx")
    parser.add_argument("--rate", type=int, default=16000, choices=(8000, 16000))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--levels", default="", help="comma separated; default: the machine's best and, on x86-64, avx2")
    parser.add_argument("--audio", help="raw i16le at the rate, instead of the library's synthetic voice: listenkit leaves out "
                        "weights that meet zeros, so its time depends a little on the audio")
    parser.add_argument("--bin", default=here / "target/release/examples/vad_speed")
    parser.add_argument("--load", action="store_true", help="also time from bytes to the first probability")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # children too: all on one core
    peer = Peer(args.onnx, args.rate)
    ours = [Ours(args.bin, args.rate, level or None, args.audio) for level in (args.levels or ",avx2").split(",")]
    ours = list({o.level: o for o in ours if o.level}.values())
    kinds = KINDS + (["load"] if args.load else [])
    peer.round()
    theirs, times = [], {(o.level, kind): [] for o in ours for kind in kinds}
    for _ in range(args.rounds):
        theirs.append(peer.round())
        for o in ours:
            for kind in kinds:
                times[o.level, kind].append(o.round(kind))
    base, missed = statistics.median(theirs), False
    print(f"onnxruntime {ort.__version__}, 1 thread, {args.rate} Hz: {base:.1f} us per window (fastest round {min(theirs):.1f})")
    for (level, kind), values in times.items():
        us = statistics.median(values)
        ratio, bar = base / us, BARS.get(kind)
        verdict = "" if bar is None else f"  (bar {bar:.0f}x: {'met' if ratio >= bar else 'MISSED'})"
        missed |= bar is not None and ratio < bar and level == ours[0].level
        print(f"{level:9} {kind:9} {us:8.2f} us per window and stream (fastest round {min(values):.2f})  {ratio:6.1f}x{verdict}")
    sys.exit(missed)


if __name__ == "__main__":
    main()
