#!/usr/bin/env python3
"""Smart Turn beside its peers: time per answer, one thread, interleaved in one run, and the memory of a process.

    python3 benches/speed_smart_turn.py [--docs docs/performance.md] [--rounds 9] [--json FILE]

Ours is `core/examples/turn_speed.rs`: fast at the machine's best kernel level, fast forced to AVX2, exact. The peers, each in its own process:
onnxruntime on the official file and on the same file without the rounding of activations, Pipecat's own analyser, and LiveKit's
closed turn model. CPU time; every round asks each contender in turn for about 0.4 s; the table has the best and the median round.
The venvs are those of compare.py and target/pipecat-venv. Exit code 1 when a bar is missed or a peer could not run, unless --lenient.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from compare import row  # noqa: E402
from peers import report, setup  # noqa: E402

HERE = Path(__file__).resolve().parent
CLIP = "fixtures/conversation-en/audio.wav"
VNNI_BAR, AVX2_BAR, RSS_BAR_MB = 0.5, 1.5, 40
# (worker, row, note)
PEERS = [
    ("ort-shipped", "onnxruntime, official file", "features: numpy"),
    ("ort-float", "onnxruntime, activations' Q/DQ taken out", "features: numpy"),
    ("pipecat", "Pipecat LocalSmartTurnAnalyzerV3", "its own features and session"),
    ("livekit-eot", "LiveKit local_inference.EOT", "another model; hears 1.2 s"),
]


class Process:
    """A contender's process. Once it failed, every later question is answered with the reason."""

    def __init__(self, command):
        self.errors = tempfile.TemporaryFile("w+")
        self.failed, self.rounds = None, {}
        try:
            self.process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                text=True, env={**os.environ, **setup.ONE_THREAD, "PYTHONWARNINGS": "ignore"},
            )
        except OSError as error:
            self.process, self.failed = None, str(error)
        self.hello = self.read()

    def read(self):
        if self.failed:
            return None
        line = self.process.stdout.readline().strip()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            self.failed = setup.last_line(self.errors.read())
            return None
        try:
            answer = json.loads(line)
        except ValueError:
            return line
        if isinstance(answer, dict) and "error" in answer:
            self.failed = answer["error"]
            return None
        return answer

    def round(self, kind, keep):
        if self.failed:
            return
        self.process.stdin.write(kind + "\n")
        self.process.stdin.flush()
        answer = self.read()
        if answer is not None and keep:
            median = answer["median"] if isinstance(answer, dict) else float(answer.split()[0])
            self.rounds.setdefault(kind, []).append(median)

    def rss_mb(self):
        if self.failed:
            return []
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return [int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20]

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait()
        self.errors.close()


def open_pipecat(path, install):
    """A venv of its own: Pipecat's dependencies are not those of the other peers. (python, ONNX file, problem)"""
    path = Path(path or setup.ROOT / "target" / "pipecat-venv")
    python = path / "bin/python"
    if install and not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(path)], check=True)
    if install:
        wanted = [f"pipecat-ai=={setup.PIPECAT}", "onnx==1.23.2"]
        done = setup.pip(python, "install", *wanted)
        if done.returncode != 0:
            return python, None, f"pip install {' '.join(wanted)} failed: {setup.last_line(done.stderr)}"
    found = sorted(path.glob("lib/*/site-packages/pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"))
    return python, found[0] if found else None, None if found else "pipecat-ai's wheel holds no ONNX file"


def build(given):
    if given:
        return Path(given).resolve()
    done = subprocess.run(
        ["cargo", "build", "--release", "-p", "listenkit", "--example", "turn_speed", "--message-format=json"],
        cwd=setup.ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )
    made = [json.loads(line).get("executable") for line in done.stdout.splitlines() if '"turn_speed"' in line]
    return Path([path for path in made if path][-1])


def section(title, kind, ours, peers):
    lead = ours[0][2].rounds.get(kind)
    rows = []
    for at, (_, shown, process) in enumerate(ours):
        note = "" if process.failed else f"kernel {process.hello.split()[0]}"
        values = process.rounds.get(kind, [])
        if at == 0:
            rows.append(row(shown, "ms", values, is_ours=True, note=note, not_run=process.failed))
        else:
            rows.append(row(shown, "ms", values, lead, note, not_run=process.failed))
    for (name, shown, note), process in peers:
        if process.failed or kind in process.rounds:
            said = "" if process.failed else f"p = {process.hello['probability']:.3f}"
            shown_note = ", ".join(part for part in (note if kind == "both" else "", said) if part)
            rows.append(row(shown, "ms", process.rounds.get(kind, []), lead, shown_note, not_run=process.failed))
    return {"title": title, "rows": rows}


def bars(ours, shipped, vnni, memory):
    def against(name, process, limit, applies=True):
        pairs = process.rounds.get("model", []), shipped.rounds.get("model", [])
        if not applies or not all(pairs):
            return {"name": name, "want": f"<= {limit:g}x onnxruntime", "have": "not run", "ok": None}
        mine, theirs = (sorted(values)[len(values) // 2] for values in pairs)
        have = f"{mine / theirs:.2f}x ({mine:.1f} of {theirs:.1f} ms)"
        return {"name": name, "want": f"<= {limit:g}x onnxruntime", "have": have, "ok": mine <= limit * theirs}

    fast, avx2 = ours[0][2], ours[1][2]
    name = f"VAD and Smart Turn in one process, {memory[1][0]}"
    have = f"{memory[1][1][0]:.1f} MB" if memory[1][1] else "not run"
    met = memory[1][1][0] <= RSS_BAR_MB if memory[1][1] else None
    return [
        against("fast, where VNNI is there", fast, VNNI_BAR, vnni),
        against("fast, forced to AVX2", avx2, AVX2_BAR),
        {"name": name, "want": f"<= {RSS_BAR_MB} MB", "have": have, "ok": met},
    ]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--venv", help="venv of compare.py to make or reuse (default target/peers-venv)")
    parser.add_argument("--pipecat-venv", help="venv with pipecat-ai to make or reuse (default target/pipecat-venv)")
    parser.add_argument("--no-install", action="store_true", help="use the venvs as they are, install nothing")
    parser.add_argument("--bin", help="our turn_speed (default: build it)")
    parser.add_argument("--json", help="write the figures as JSON")
    parser.add_argument("--docs", help="write the tables into this document, between its speed_smart_turn.py marks")
    parser.add_argument("--lenient", action="store_true", help="exit 0 even if a bar is missed or a peer did not run")
    return parser.parse_args()


def main():
    args = arguments()
    python, installed, problems = setup.open_venv(args.venv, install=not args.no_install)
    pipecat, onnx, problem = open_pipecat(args.pipecat_venv, install=not args.no_install)
    if problem:
        problems["pipecat-ai"] = problem
    binary = build(args.bin)
    worker = HERE / "peers" / "turn_worker.py"
    with tempfile.TemporaryDirectory() as scratch:
        clip = Path(scratch) / "clip.raw"
        subprocess.run([str(python), str(worker), "clip", str(clip), str(setup.ROOT / CLIP)], check=True)
        flags = {
            "fast": [], "avx2": ["--kernel", "avx2"], "exact": ["--mode", "exact"],
            "vad": ["--mode", "none", "--vad", "on"], "vad fast": ["--vad", "on"],
            "vad exact": ["--vad", "on", "--mode", "exact"],
        }
        run = {name: Process([binary, "--audio", clip, *more]) for name, more in flags.items()}
        memory = [
            ("VAD alone", run["vad"].rss_mb(), run["vad"].failed),
            ("fast", run["vad fast"].rss_mb(), run["vad fast"].failed),
            ("exact", run["vad exact"].rss_mb(), run["vad exact"].failed),
        ]
        ours = [(name, f"listenkit, {shown}", run[name]) for name, shown in (
            ("fast", "fast"), ("avx2", "fast, forced to AVX2"), ("exact", "exact (float)"))]
        # The ONNX file's readers need onnx, which is in Pipecat's venv; LiveKit's model is in the other.
        peers = [(peer, Process([python if peer[0] == "livekit-eot" else pipecat, worker, peer[0], clip, onnx or ""]))
                 for peer in PEERS]
        everyone = [process for _, _, process in ours] + [process for _, process in peers]
        for at in range(args.rounds + 1):
            setup.say(f"round {at} of {args.rounds}")
            for process in everyone:
                for kind in ("model", "both"):
                    if kind == "both" or not any(process is p for (name, _, _), p in peers if name in ("pipecat", "livekit-eot")):
                        process.round(kind, keep=at > 0)
        for name, process in [*run.items(), *((peer[0], process) for peer, process in peers)]:
            if process.failed:
                problems[name] = process.failed
            process.close()
    base = memory[1][1]
    rows = [row("listenkit, VAD alone", "MB", memory[0][1], not_run=memory[0][2]),
            row("listenkit, VAD and Smart Turn, fast", "MB", base, is_ours=True, not_run=memory[1][2]),
            row("listenkit, VAD and Smart Turn, exact", "MB", memory[2][1], base, not_run=memory[2][2])]
    for (name, shown, _), process in peers:
        note = "turn model alone; interpreter and imports included"
        rows.append(row(shown, "MB", [] if process.failed else [process.hello["rss"] / 2**20], base, note, not_run=process.failed))
    machine = setup.machine(installed)
    machine["peers"] += f" pipecat-ai {setup.PIPECAT}"
    machine["method"] = f"{args.rounds} interleaved rounds after one to warm up; CPU time; one process and one thread a peer; the last 8 s of {CLIP}"
    found = {
        "machine": machine,
        "sections": [
            section("Smart Turn, from features to the probability", "model", ours, peers),
            section("From audio to the probability", "both", ours, peers),
            {"title": "Resident memory of a process after one answer", "rows": rows},
        ],
        "bars": bars(ours, peers[0][1], "vnni" in machine["flags"], memory),
    }
    print(report.text(found))
    for name, reason in problems.items():
        print(f"{name}: {reason}")
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1))
    if args.docs:
        report.splice(args.docs, "speed_smart_turn.py", report.markdown(found))
    met = all(bar["ok"] is not False for bar in found["bars"]) and not problems
    return 0 if met or args.lenient else 1


if __name__ == "__main__":
    sys.exit(main())
