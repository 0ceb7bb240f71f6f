#!/usr/bin/env python3
"""Quality bars, by the evaluation corpus' own scripts, with our CLI as the program under test.

    LISTENKIT_CORPUS=... python3 benches/quality.py [--docs docs/performance.md] [--json FILE] [--venv DIR] [--cli FILE]

Runs eval_vad.py, eval_state_drift.py and eval_resample.py of the corpus (LISTENKIT_CORPUS, or ../shared/corpus
beside the checkout) in the venv of compare.py, feeding `listenkit vad` and `listenkit resample` through pipes,
compares our probabilities with the corpus' ONNX reference, and times the state guard. Prints every bar with the
figure that was measured. Exit code 1 when a bar is missed or could not be judged, unless --lenient.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from peers import report, setup  # noqa: E402

# The bars of the first issue, sections 3 and 4, in its own numbers.
BARS = {
    "parity": 3e-5,  # max |p - p_onnx| over every window of every real clip
    "parity_flips": 0,  # windows on the other side of 0.5 or 0.35
    "guard_first_second": 0.85,  # mean recall of the first second of speech, over all sounds
    "guard_auc_loss": 0.002,  # at most this much below Silero's AUC
    "guard_false_per_min": 1.2,  # false segments per minute of non-speech
    "guard_cost": 1.5,  # x the CPU of one unguarded stream
    "ripple_db": 0.1,  # up to 0.9 of the output Nyquist
    "alias_db": -80.0,  # any tone from 1.1 of the output Nyquist up
    "image_db": -80.0,  # 8 -> 16 kHz
    "delay_ms": 3.0,  # group delay
}
RESAMPLE_PAIRS = ("48000:16000", "44100:16000", "24000:16000", "8000:16000")
SILERO, RAW, GUARD = "silero-6.2.3", "listenkit", "listenkit-guard"
COST_ROUNDS = 7
COST_SECONDS = 300


class Eval:
    """Runs the corpus' scripts with the venv's Python and SILERO_DATA set."""

    def __init__(self, python, folder, onnx, cli, scratch):
        self.python, self.folder, self.cli, self.scratch = str(python), folder, cli, scratch
        self.env = {**os.environ, **setup.ONE_THREAD, "SILERO_DATA": f"{onnx.parent}/", "PYTHONWARNINGS": "ignore"}

    def vad_command(self, guard):
        return [str(self.cli), "vad", "-", "--rate", "16000", "--format", "i16", "--f32", "--guard", guard]

    def vads(self):
        """Silero from the official file, ours raw, ours guarded: one run, one table."""
        out = ["--vads", f"{SILERO},{RAW}"]
        for name, guard in ((RAW, "off"), (GUARD, "on")):
            out += ["--cmd", f"{name}=512:{' '.join(self.vad_command(guard))}"]
        return out

    def script(self, name, *args):
        setup.say(f"{name} {' '.join(args)}")
        done = subprocess.run(
            [self.python, str(self.folder / name), *args],
            cwd=self.scratch, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        setup.say(done.stdout)
        failed = [line for line in done.stdout.splitlines() if "FAILED" in line]
        if done.returncode != 0 or failed:
            raise RuntimeError(f"{name}: {failed[0] if failed else setup.last_line(done.stderr)}")
        return done.stdout

    def python_json(self, code, *args):
        done = subprocess.run(
            [self.python, "-c", code, *args],
            cwd=self.scratch, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(setup.last_line(done.stderr))
        return json.loads(done.stdout)


# Runs in the venv: every real 16 kHz clip through our CLI and through the official file in onnxruntime. For the
# 8 kHz branch both get the clip down-sampled by soxr HQ, as the corpus' own reference did.
PARITY = """
import glob, json, os, subprocess, sys
import numpy as np, soundfile
folder, command, rate = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
sys.path.insert(0, folder)
import eval_vad, soxr
onnx = eval_vad.silero(eval_vad.SIL + "silero_vad.onnx", rate=rate)
worst, where, flips, windows, clips, each, short = 0.0, "", 0, 0, 0, [], []
for path in sorted(glob.glob(folder + "/public/**/*.wav", recursive=True)):
    info = soundfile.info(path)
    if info.samplerate != 16000 or info.channels != 1:
        continue
    pcm = soundfile.read(path, dtype="int16")[0]
    # The reference pads a last partial window with zeros; whole windows alone are compared.
    samples = pcm.astype("<f4") / np.float32(32768)
    if rate == 8000:
        samples = soxr.resample(samples, 16000, 8000, quality="HQ").astype("<f4")
    whole = len(samples) // (rate * 32 // 1000)
    if not whole:
        continue
    done = subprocess.run(command, input=samples.tobytes(), stdout=subprocess.PIPE, check=True)
    ours, theirs = np.frombuffer(done.stdout, "<f4"), onnx(pcm)[0]
    name = os.path.relpath(path, folder)
    if len(ours) < whole:
        short.append(name)
        continue
    ours, theirs = ours[:whole], theirs[:whole]
    apart = np.abs(ours - theirs)
    if not clips or apart.max() > worst:
        worst, where = float(apart.max()), name
    flips += sum(int(((ours >= t) != (theirs >= t)).sum()) for t in (0.5, 0.35))
    each.append(float(apart.max()))
    windows, clips = windows + whole, clips + 1
print(json.dumps(dict(worst=worst, where=where, flips=flips, windows=windows, clips=clips, short=short,
                      median=float(np.median(each)) if each else None)))
"""

# Runs in the venv: speech and pauses for timing the guard, raw i16 at 16 kHz.
COST_CLIP = """
import glob, json, sys
import numpy as np, soundfile
folder, out, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
parts = []
for kind in ("vad", "nonspeech"):
    for path in sorted(glob.glob(folder + "/public/" + kind + "/*.wav")):
        parts.append(soundfile.read(path, dtype="int16")[0])
pcm = np.concatenate(parts)
np.tile(pcm, -(-seconds * 16000 // len(pcm)))[: seconds * 16000].tofile(out)
print("{}")
"""


def measure_parity(run, rate):
    command = [str(run.cli), "vad", "-", "--rate", str(rate), "--format", "f32", "--f32", "--model-rate", str(rate)]
    found = run.python_json(PARITY, str(run.folder), json.dumps(command), str(rate))
    if found["short"]:
        raise RuntimeError(f"fewer probabilities than whole windows in {len(found['short'])} clips, e.g. {found['short'][0]}")
    return found


def measure_vad(run, snr):
    out = run.scratch / "vad.json"
    noise = ["--snr", str(snr)] if snr is not None else []
    run.script("eval_vad.py", "--set", "public", *run.vads(), "--json", str(out), *noise)
    return {
        name: {
            "auc_all": got["all"]["auc"], "auc_vad": got["vad"]["auc"], "f1": got["vad"]["F1"],
            "false_per_min": got["nonspeech_false_per_min"],
            "false_per_min_all": got["seg_all"]["false_per_min_nonspeech"],
            "missed_pct": got["seg_all"]["missed_pct"],
            "start_event_med_ms": got["seg_ten"]["start_event_med_ms"],
            "end_event_med_ms": got["seg_ten"]["end_event_med_ms"],
        }
        for name, got in json.loads(out.read_text()).items()
    }


def measure_drift(run):
    """Recall after 30 s of each sound: {sound: {vad: (first second, all speech)}} and the means over the sounds."""
    lines = run.script("eval_state_drift.py", *run.vads()).splitlines()
    names = lines[0][34:].split()
    sounds = {}
    for line in lines[1:]:
        pairs = re.findall(r"(\d\.\d+) / (\d\.\d+)", line)
        if len(pairs) == len(names):
            sounds[line[:34].strip()] = {name: tuple(map(float, pair)) for name, pair in zip(names, pairs)}
    heard = [row for sound, row in sounds.items() if sound != "(nothing)"]
    if not heard:
        raise RuntimeError("eval_state_drift.py printed no table")
    means = {name: [statistics.mean(row[name][at] for row in heard) for at in (0, 1)] for name in names}
    worst = {name: min((row[name][0], sound) for sound, row in sounds.items()) for name in names}
    return {"sounds": sounds, "means": means, "worst": worst, "count": len(heard)}


def measure_cost(run):
    """CPU of the whole process with and without the guard, interleaved."""
    clip = run.scratch / "cost.raw"
    run.python_json(COST_CLIP, str(run.folder), str(clip), str(COST_SECONDS))
    spent = {"off": [], "on": []}
    for _ in range(COST_ROUNDS):
        for guard, times in spent.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            with open(clip, "rb") as pcm:
                done = subprocess.run(run.vad_command(guard), stdin=pcm, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if done.returncode != 0:
                raise RuntimeError(setup.last_line(done.stderr))
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {
        "ratio": min(spent["on"]) / min(spent["off"]),
        "ms_per_audio_s": {guard: 1e3 * min(times) / COST_SECONDS for guard, times in spent.items()},
    }


def measure_resample(run):
    out = run.scratch / "resample.json"
    command = f"{run.cli} resample - - --from {{in}} --rate {{out}}"
    run.script("eval_resample.py", "--only", "listenkit", "--cmd", f"listenkit={command}",
               "--pairs", ",".join(RESAMPLE_PAIRS), "--json", str(out))
    got = {key.split("/")[0]: value for key, value in json.loads(out.read_text()).items()}
    missing = [pair for pair in RESAMPLE_PAIRS if pair not in got]
    if missing:
        raise RuntimeError(f"no figures for {', '.join(missing)}")
    return got


def bar(name, want, measured, judge):
    """One line: `measured` is (text, ok) made by `judge`, or a reason when it could not be measured."""
    if isinstance(measured, str):
        return {"name": name, "want": want, "have": f"not run: {measured}", "ok": None}
    have, ok = judge(measured)
    return {"name": name, "want": want, "have": have, "ok": ok}


def judged(found):
    vad, drift, cost, resample = (found[key] for key in ("vad", "drift", "guard cost", "resample"))
    lines = []
    for branch in ("16 kHz", "8 kHz"):
        lines.append(bar(f"parity, {branch}: max abs(p - onnx)", f"<= {BARS['parity']:g}", found[f"parity {branch}"], lambda f: (
            f"{f['worst']:.2e} ({f['where']}); median clip {f['median']:.1e}; {f['windows']:,} windows, {f['clips']} clips",
            f["worst"] <= BARS["parity"])))
        lines.append(bar(f"parity, {branch}: windows across 0.5 or 0.35", f"{BARS['parity_flips']}", found[f"parity {branch}"],
                         lambda f: (str(f["flips"]), f["flips"] <= BARS["parity_flips"])))
    lines += [
        bar("guard: first second heard after 30 s of sound", f">= {BARS['guard_first_second']}", drift, lambda f: (
            f"{f['means'][GUARD][0]:.3f} over {f['count']} sounds (Silero {f['means'][SILERO][0]:.3f}; "
            f"worst {f['worst'][GUARD][0]:.2f}, {f['worst'][GUARD][1]}); all speech {f['means'][GUARD][1]:.3f}",
            f["means"][GUARD][0] >= BARS["guard_first_second"])),
    ]
    for key, shown in (("auc_all", "all clips"), ("auc_vad", "speech clips")):
        lines.append(bar(f"guard: AUC, {shown}", f">= Silero - {BARS['guard_auc_loss']}", vad, lambda f, key=key: (
            f"{f[GUARD][key]:.4f} (Silero {f[SILERO][key]:.4f}, raw {f[RAW][key]:.4f})",
            f[GUARD][key] >= f[SILERO][key] - BARS["guard_auc_loss"])))
    lines += [
        bar("guard: false segments per minute of non-speech", f"<= {BARS['guard_false_per_min']}", vad, lambda f: (
            f"{f[GUARD]['false_per_min']:.2f} (Silero {f[SILERO]['false_per_min']:.2f}); "
            f"all clips {f[GUARD]['false_per_min_all']:.2f} (Silero {f[SILERO]['false_per_min_all']:.2f})",
            f[GUARD]["false_per_min"] <= BARS["guard_false_per_min"])),
        bar("guard: cost", f"<= {BARS['guard_cost']}x unguarded", cost, lambda f: (
            f"{f['ratio']:.2f}x ({f['ms_per_audio_s']['off']:.3f} -> {f['ms_per_audio_s']['on']:.3f} ms of CPU per audio second)",
            f["ratio"] <= BARS["guard_cost"])),
    ]
    for pair in RESAMPLE_PAIRS:
        start, end = (int(rate) for rate in pair.split(":"))
        shown = f"{start / 1000:g} -> {end / 1000:g} kHz"
        got = resample if isinstance(resample, str) else resample[pair]
        if start > end:
            lines.append(bar(f"{shown}: ripple to 0.9 Nyquist", f"<= {BARS['ripple_db']} dB", got, lambda f: (
                f"{f['ripple']:.4f} dB", f["ripple"] <= BARS["ripple_db"])))
            lines.append(bar(f"{shown}: alias from 1.1 Nyquist", f"<= {BARS['alias_db']:g} dB", got, lambda f: (
                f"{f['alias']:.1f} dB at {f['alias_at']:.2f} Nyquist", f["alias"] <= BARS["alias_db"])))
            lines.append(bar(f"{shown}: group delay", f"<= {BARS['delay_ms']:g} ms", got, judge_delay))
        else:
            lines.append(bar(f"{shown}: image rejection", f"<= {BARS['image_db']:g} dB", got, lambda f: (
                f"{f['alias']:.1f} dB at {f['alias_at']:.2f} Nyquist", f["alias"] <= BARS["image_db"])))
    return lines


def judge_delay(figures):
    """A program that aligns its output with its input hides its delay, unless it says lag_s=... on stderr."""
    if figures["lat_ms"] is not None:
        return f"{figures['lat_ms']:.3f} ms", figures["lat_ms"] <= BARS["delay_ms"]
    if abs(figures["align_ms"]) < 0.05:
        return "aligned by the CLI, so not seen here; compare.py has the delay", None
    return f"{figures['align_ms']:.3f} ms", figures["align_ms"] <= BARS["delay_ms"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", help="venv to make or reuse (default target/peers-venv)")
    parser.add_argument("--no-install", action="store_true", help="use the venv as it is, install nothing")
    parser.add_argument("--cli", help="our binary (default: build it)")
    parser.add_argument("--only", help="comma-separated: parity 16 kHz, parity 8 kHz, vad, drift, guard cost, resample")
    parser.add_argument("--snr", type=float, help="mix noise into eval_vad.py's speech at this level, dB")
    parser.add_argument("--json", help="write the figures as JSON")
    parser.add_argument("--markdown", help="write the bars as markdown")
    parser.add_argument("--docs", help="write the bars into this document, between its quality.py marks")
    parser.add_argument("--lenient", action="store_true", help="exit 0 even if a bar is missed or was not judged")
    return parser.parse_args()


def main():
    args = arguments()
    folder = setup.corpus()
    if not folder:
        print("skipped: the quality bars need the corpus (set LISTENKIT_CORPUS)")
        return 0 if args.lenient else 1
    python, installed, problems = setup.open_venv(args.venv, install=not args.no_install)
    onnx = setup.silero_onnx(python, args.venv)
    cli, failed = setup.build_cli(args.cli)
    measures = {
        "parity 16 kHz": lambda run: measure_parity(run, 16000), "parity 8 kHz": lambda run: measure_parity(run, 8000),
        "vad": lambda run: measure_vad(run, args.snr), "drift": measure_drift,
        "guard cost": measure_cost, "resample": measure_resample,
    }
    only = args.only.split(",") if args.only else list(measures)
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        run = Eval(python, folder, onnx, cli, Path(scratch))
        for name, measure in measures.items():
            if failed or name not in only:
                found[name] = failed or "left out by --only"
                continue
            setup.say(f"measuring {name}")
            try:
                found[name] = measure(run)
            except (RuntimeError, OSError, ValueError, KeyError) as error:
                found[name] = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
    machine = setup.machine(installed)
    if problems:
        machine["problems"] = "; ".join(f"{name}: {reason}" for name, reason in problems.items())
    lines = judged(found)
    print("\n".join([*report.machine_lines(machine), "", *report.bars_text(lines)]))
    if args.json:
        Path(args.json).write_text(json.dumps({"machine": machine, "bars": lines, "figures": found}, indent=1))
    if args.markdown:
        Path(args.markdown).write_text("\n".join(report.bars_markdown(lines)))
    if args.docs:
        shown = [f"| {key} | {value} |" for key, value in machine.items()]
        report.splice(args.docs, "quality.py", "\n".join(["| | |", "|---|---|", *shown, "", *report.bars_markdown(lines)]))
    return 0 if args.lenient or all(line["ok"] for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
