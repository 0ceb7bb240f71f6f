#!/usr/bin/env python3
"""listenkit beside its peers: same audio, same run, interleaved rounds, one thread, CPU time.

    python3 benches/compare.py [--docs docs/performance.md] [--json FILE] [--rounds 7] [--venv DIR] [--audio FILE.wav]

Makes a venv under target/peers-venv with the pinned peers (PyPI only), fetches the official Silero file and
checks its sha256, builds our release CLI, makes one 60 s clip at 48 kHz mono 16 bit, and prints one table of
ratios, peer / ours: above 1 means that ours is better, and losses stand in the same table. What could not be
measured is a row "not run: reason". Exit code 1 when a bar is missed or a peer could not run, unless --lenient.

Fairness: every peer runs in its own process, in rounds A B C A B C ...; the first round warms up and is thrown
away. Peers get their input already cut into frames, LiveKit streams are pushed without waiting (fewer wake-ups
than in real time), and onnxruntime is given the faster of two calling conventions. Ours is timed inside
`listenkit bench`, once per round; two rows time our whole process from outside, as a check on it.
"""

import argparse
import array
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from peers import report, setup  # noqa: E402

HERE = Path(__file__).resolve().parent
OURS = "listenkit"

# The bars of the first issue that this script can judge.
VAD_SINGLE_RATIO = 8.0  # x onnxruntime 1 thread, per window
VAD_BATCH_RATIO = 12.0  # x onnxruntime single, per window-stream, batch of 32
DETECTOR_RATIO = 20.0  # x LiveKit inference.VAD stream, CPU per second of 48 kHz audio
STATE_BYTES = 16 * 1024  # per stream, beside the retained audio
DETECTORS_PER_CORE = 1000  # fed in real time
RESAMPLE_DELAY_MS = 3.0  # group delay

# (section, unit, our key in `listenkit bench --json`, our row, [(peer's worker, its row, its key, note)])
TIMED = [
    (
        "CPU per second of 48 kHz audio, 10 ms frames: resampling, VAD and segments",
        "ms/s", "detector_48k_cpu_ms_per_audio_s", f"{OURS} detector",
        [
            ("livekit-inference", "LiveKit inference.VAD stream", "cpu_ms_per_audio_s", "soxr QUICK inside"),
            ("livekit-plugin", "LiveKit silero plugin stream", "cpu_ms_per_audio_s", "soxr QUICK inside"),
            ("sherpa-detector", "sherpa-onnx VoiceActivityDetector", "cpu_ms_per_audio_s", "soxr QQ inside the clock"),
            ("ten-detector", "TEN VAD, 256-sample hops", "cpu_ms_per_audio_s", "soxr QQ inside the clock, no segmenter"),
        ],
    ),
    (
        "CPU per VAD window (512 samples at 16 kHz), one stream",
        "us", "vad_single_us", f"{OURS} VAD, single",
        [
            ("ort-window", "onnxruntime, 1 thread", "us_per_window", "faster of run() and bound buffers"),
            ("livekit-window", "LiveKit local_inference.VAD", "us_per_window", "predict() called directly"),
            ("sherpa-window", "sherpa-onnx VadModel", "us_per_window", ""),
            ("ten-window", "TEN VAD, two hops", "us_per_window", "another model"),
        ],
    ),
    (
        "CPU per window and stream, 32 streams at once",
        "us", "vad_batch32_us", f"{OURS} VadBatch, 32 streams",
        [
            ("ort-window", "onnxruntime, 1 thread, single", "us_per_window", "the bar's reference"),
            ("ort-batch32", "onnxruntime, 1 thread, batch 32", "us_per_window", ""),
            ("livekit-window", "LiveKit local_inference.VAD, single", "us_per_window", "has no batch"),
        ],
    ),
    (
        "Resampling 48 -> 16 kHz in 10 ms pushes, CPU per second of audio",
        "ms/s", "resample_48k_16k_cpu_ms_per_audio_s", f"{OURS} resampler",
        [
            *[(f"soxr-{q}", f"soxr {q}", "cpu_ms_per_audio_s", note) for q, note in
              (("QQ", "no anti-alias filter"), ("MQ", ""), ("HQ", ""))],
            *[(f"rtc-{q}", f"LiveKit AudioResampler {q}", "cpu_ms_per_audio_s", note) for q, note in
              (("QUICK", "no anti-alias filter"), ("MEDIUM", ""))],
        ],
    ),
]
MEMORY = [
    ("livekit-inference", "LiveKit inference.VAD stream", "its retained audio included"),
    ("livekit-plugin", "LiveKit silero plugin stream", "its retained audio included; one session shared"),
    ("sherpa-detector", "sherpa-onnx VoiceActivityDetector", "a session each, retained audio included"),
    ("ten-detector", "TEN VAD", "with a soxr stream each"),
    ("ort-window", "onnxruntime, a session per stream", "how Pipecat holds it"),
    ("livekit-window", "LiveKit local_inference.VAD", "VAD state alone, ours is the whole detector"),
]
# What each peer needs beside Python itself, relative to site-packages.
SHIPPED = [
    ("LiveKit inference.VAD", ["livekit/local_inference", "livekit/rtc/resources"], "VAD and EOT weights inside; rtc library for frames and resampling"),
    ("LiveKit silero plugin", ["onnxruntime", "livekit/plugins/silero", "livekit/rtc/resources"], "onnxruntime, weights, rtc library"),
    ("onnxruntime + silero_vad.onnx", ["onnxruntime", "ONNX"], ""),
    ("sherpa-onnx + silero_vad.onnx", ["sherpa_onnx/lib", "sherpa_onnx.libs", "ONNX"], ""),
    ("TEN VAD", ["ten_vad/lib/Linux"], "another model"),
]


class Worker:
    """A peer's process. Once it failed, every later question is answered with the reason."""

    def __init__(self, python, name, audio, onnx):
        self.name, self.failed = name, None
        # A file, not a pipe: a talkative peer would block on a full pipe.
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [str(python), str(HERE / "peers" / "worker.py"), name, str(audio), str(onnx)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env={**os.environ, **setup.ONE_THREAD, "PYTHONWARNINGS": "ignore"},
        )
        self.hello = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            said = setup.last_line(self.errors.read())
            self.failed = f"the process ended with code {self.process.returncode}: {said}"
            return {}
        answer = json.loads(line)
        if "error" in answer:
            self.failed = answer["error"]
        return answer

    def ask(self, command):
        if self.failed:
            return {}
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait()
        self.errors.close()


class Ours:
    """Our CLI, asked once a round; a missing binary or key is a reason, not a crash."""

    def __init__(self, cli, failed, audio, extra):
        self.cli, self.failed, self.audio, self.extra = cli, failed, audio, extra
        self.rounds, self.outside, self.delay = [], [], None
        with wave.open(str(audio)) as clip:
            self.seconds = clip.getnframes() / clip.getframerate()

    def round(self, keep):
        if self.failed:
            return
        if self.delay is None:
            self.delay = pipe_delay_ms(self.cli)
        done = run([self.cli, "bench", "--json", "--audio", self.audio, *self.extra])
        if done["code"] != 0:
            self.failed = f"listenkit bench ended with code {done['code']}: {setup.last_line(done['stderr'])}"
            return
        try:
            figures = json.loads(done["stdout"])
        except ValueError:
            self.failed = "listenkit bench --json did not print JSON"
            return
        whole = run([self.cli, "analyze", "--json", "--push", "480", self.audio])
        if self.delay is not None:
            figures.setdefault("resample_48k_16k_delay_ms", self.delay)
        if keep:
            self.rounds.append(figures)
            self.outside.append(whole)

    def values(self, key):
        found = [row.get(key) for row in self.rounds]
        return [value for value in found if value is not None]

    def why_not(self, key):
        return self.failed or f"`listenkit bench --json` has no {key}"


def pipe_delay_ms(cli):
    """Group delay 48 -> 16 kHz as a pipe shows it: centre of the energy of a click's answer. None if unknown."""
    rate, at = 48000, 24000
    click = array.array("f", bytes(4 * rate))
    click[at] = 0.9
    command = [str(cli), "resample", "-", "-", "--from", str(rate), "--rate", "16000"]
    done = subprocess.run(command, input=click.tobytes(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out = array.array("f", done.stdout[: len(done.stdout) // 4 * 4])
    energy = sum(value * value for value in out)
    if done.returncode != 0 or energy == 0:
        return None
    centre = sum(index * value * value for index, value in enumerate(out)) / energy
    delay = 1e3 * (centre / 16000 - at / rate)
    # A program that aligns its output hides its delay: then this is no measurement.
    return delay if delay > 0.01 else None


def run(command):
    """Runs a command and returns its output, exit code, CPU seconds and peak RSS."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        out.seek(0)
        err.seek(0)
        return {
            "code": process.returncode, "stdout": out.read(), "stderr": err.read(), "wall": wall,
            "cpu": usage.ru_utime + usage.ru_stime, "peak_rss": usage.ru_maxrss * 1024,
        }


def row(who, unit, values, ours=None, note="", is_ours=False, not_run=None):
    """One line of the table; `ours` are our values of the same rounds."""
    if not_run or not values:
        return {"who": who, "unit": unit, "not_run": not_run or "no figure"}
    out = {
        "who": who, "unit": unit, "best": min(values), "median": statistics.median(values),
        "rounds": values, "note": note, "ours": is_ours,
    }
    if ours and not is_ours and min(ours) > 0:
        out["ratio_best"] = min(values) / min(ours)
        out["ratio_median"] = statistics.median(values) / statistics.median(ours)
    return out


def timed_sections(ours, workers, rounds):
    sections = []
    for title, unit, key, our_name, peers in TIMED:
        mine = ours.values(key)
        rows = [row(our_name, unit, mine, is_ours=True, not_run=None if mine else ours.why_not(key),
                    note=our_note(key, ours))]
        if key.startswith("detector"):
            rows.append(outside_row(ours))
        for name, shown, value, note in peers:
            worker, answers = workers[name], rounds[name]
            if worker.failed:
                rows.append(row(shown, unit, [], not_run=worker.failed))
                continue
            notes = [part for part in (note, peer_note(key, answers[-1])) if part]
            rows.append(row(shown, unit, [answer[value] for answer in answers], mine, "; ".join(notes)))
        sections.append({"title": title, "rows": rows})
    return sections


def our_note(key, ours):
    if not ours.rounds:
        return ""
    last = ours.rounds[-1]
    if key.startswith("detector"):
        frame = last.get("detector_48k_frame_us") or {}
        shown = ", ".join(f"{name} {report.number(value)}" for name, value in frame.items())
        return f"kernel {last.get('kernel', '?')}; us per frame: {shown}"
    if key.startswith("resample"):
        delay = last.get("resample_48k_16k_delay_ms")
        return f"delay {delay:.2f} ms" if delay is not None else ""
    return f"kernel {last.get('kernel', '?')}" if key.startswith("vad") else ""


def peer_note(key, answer):
    if key.startswith("detector"):
        return f"{answer['starts']} starts, {answer['ends']} ends" if "ends" in answer else f"{answer['starts']} starts"
    if key.startswith("resample"):
        return f"delay {answer['lag_ms']:.1f} ms, {answer['shortest']}..{answer['burst']} samples a push"
    return ""


def outside_row(ours):
    shown, unit = f"{OURS} analyze, whole process", "ms/s"
    good = [done for done in ours.outside if done["code"] == 0]
    if not good:
        last = setup.last_line(ours.outside[-1]["stderr"]) if ours.outside else None
        return row(shown, unit, [], not_run=last or ours.failed or "no round")
    names = [event_name(line) for line in good[-1]["stdout"].splitlines()]
    starts, ends = names.count("start_of_speech"), names.count("end_of_speech")
    note = f"CPU seen from outside, start-up and file reading included; {starts} starts, {ends} ends"
    return row(shown, unit, [1e3 * done["cpu"] / ours.seconds for done in good], note=note)


def event_name(line):
    try:
        return json.loads(line).get("event")
    except ValueError:
        return None


def delay_section(ours, workers, rounds):
    mine, unit = ours.values("resample_48k_16k_delay_ms"), "ms"
    rows = [row(f"{OURS} resampler", unit, mine, is_ours=True,
                not_run=None if mine else ours.why_not("resample_48k_16k_delay_ms"))]
    for _, _, _, _, peers in TIMED:
        for name, shown, _, note in peers:
            if not name.startswith(("soxr", "rtc")):
                continue
            worker = workers[name]
            values = [] if worker.failed else [answer["lag_ms"] for answer in rounds[name]]
            rows.append(row(shown, unit, values, mine, note, not_run=worker.failed))
    return {
        "title": "Resampling 48 -> 16 kHz, delay of the output in steady state", "rows": rows,
        "remarks": ["Input pushed minus output received, worst push. A filter-less resampler has no delay to pay."],
    }


def memory_section(ours, answers):
    unit = "bytes"
    state, whole = ours.values("state_bytes_per_stream"), ours.values("rss_bytes_per_stream")
    rows = [row(f"{OURS} detector, state", unit, state, is_ours=True, note="beside the retained audio",
                not_run=None if state else ours.why_not("state_bytes_per_stream"))]
    if whole:
        rows.append(row(f"{OURS} detector, RSS growth", unit, whole, is_ours=True, note="retained audio included"))
    remark = "RSS growth per further stream, 50 streams of 3 s each after three to warm up."
    for name, shown, note in MEMORY:
        answer = answers[name]
        values = [answer["rss_per_stream"]] if "rss_per_stream" in answer else []
        rows.append(row(shown, unit, values, whole or state, note, not_run=answer.get("failed")))
    against = "Ratios are against our RSS growth." if whole else "Ratios are against our state, without its retained audio."
    return {"title": "Memory per stream", "rows": rows, "remarks": [f"{remark} {against}"]}


def process_section(ours, answers, cli):
    """Peak or resident memory of a process with one stream, start-up, and what must be shipped."""
    sections = []
    good = [done for done in ours.outside if done["code"] == 0]
    mine = [done["peak_rss"] / 2**20 for done in good]
    rows = [row(f"{OURS} analyze", "MB", mine, is_ours=True, note="peak, the file and all events included",
                not_run=None if mine else ours.failed or "analyze did not run")]
    for name, shown, _ in MEMORY:
        answer = answers[name]
        values = [answer["hello"]["rss_process"] / 2**20] if "rss_process" in answer.get("hello", {}) else []
        rows.append(row(shown, "MB", values, mine, "interpreter and imports included", not_run=answer.get("failed")))
    sections.append({"title": "Resident memory of a process with one stream", "rows": rows})

    mine = ours.values("load_ms_to_first_probability")
    rows = [row(f"{OURS} detector", "ms", mine, is_ours=True, note="inside the process",
                not_run=None if mine else ours.why_not("load_ms_to_first_probability"))]
    for name, shown, _ in MEMORY:
        answer = answers[name]
        hello = answer.get("hello", {})
        values = [hello["load_ms"]] if "load_ms" in hello else []
        note = f"imports took {hello.get('import_ms', 0):.0f} ms before it"
        rows.append(row(shown, "ms", values, mine, note, not_run=answer.get("failed")))
    sections.append({
        "title": "Load time to the first probability, library already imported", "rows": rows,
        "remarks": ["LiveKit's streams first wait for 40 ms of audio, pushed at once; its native model loads on import."],
    })

    size = cli.stat().st_size / 2**20 if cli else None
    rows = [row(f"{OURS} CLI, release", "MB", [size] if size else [], is_ours=True,
                note="everything inside: weights, audio decoders, plots", not_run=None if size else ours.failed)]
    for shown, paths, note in SHIPPED:
        measured = answers["sizes"].get(shown)
        rows.append(row(shown, "MB", [measured / 2**20] if measured else [], [size] if size else None, note,
                        not_run=None if measured else "not installed"))
    sections.append({"title": "What must be shipped (native libraries and weights; Python itself not counted)", "rows": rows})
    return sections


def sizes(python, onnx):
    code = "import sysconfig; print(sysconfig.get_paths()['platlib'])"
    site = Path(subprocess.run([str(python), "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.strip())
    out = {}
    for shown, paths, _ in SHIPPED:
        total = 0
        for path in paths:
            if path == "ONNX":
                total += onnx.stat().st_size if onnx else 0
            elif not (site / path).exists() and not path.endswith(".libs"):
                total = None
                break
            else:
                files = (site / path).rglob("*")
                total += sum(f.stat().st_size for f in files if f.is_file() and f.suffix not in (".pyc", ".py", ".pyi"))
        out[shown] = total
    return out


def bars(sections, ours):
    """The bars that this run can judge."""
    found = {(section["title"], line["who"]): line for section in sections for line in section["rows"]}

    def ratio_of(at, who):
        return found[(TIMED[at][0], who)].get("ratio_best")

    def at_least(name, value, bar, what):
        have = "not run" if value is None else f"{value:.1f}x"
        return {"name": name, "want": f">= {bar:g}x {what}", "have": have, "ok": None if value is None else value >= bar}

    def figure(name, key, want, ok, unit=""):
        values = ours.values(key)
        value = statistics.median(values) if values else None
        have = "not run" if value is None else f"{report.number(value)}{unit}"
        return {"name": name, "want": want, "have": have, "ok": None if value is None else ok(value)}

    def thousand():
        """Measured with 1,000 detectors in turn when the bench does that, else one detector's cost times 1,000."""
        name, want = f"{DETECTORS_PER_CORE:,} detectors in real time", "< 1 core"
        shares, one = ours.values("thousand_detectors_core_share"), ours.values("detector_48k_cpu_ms_per_audio_s")
        if not shares and not one:
            return {"name": name, "want": want, "have": "not run", "ok": None}
        share = statistics.median(shares) if shares else statistics.median(one) * DETECTORS_PER_CORE / 1e3
        how = "in turn, 10 ms each" if shares else "one detector, multiplied"
        return {"name": name, "want": want, "have": f"{share:.2f} cores ({how})", "ok": share < 1}

    return [
        at_least("VAD window, single stream", ratio_of(1, "onnxruntime, 1 thread"), VAD_SINGLE_RATIO, "onnxruntime"),
        at_least("VAD window-stream, batch of 32", ratio_of(2, "onnxruntime, 1 thread, single"), VAD_BATCH_RATIO, "onnxruntime single"),
        at_least("detector, 48 kHz", ratio_of(0, "LiveKit inference.VAD stream"), DETECTOR_RATIO, "LiveKit inference.VAD"),
        figure("state per stream", "state_bytes_per_stream", f"<= {STATE_BYTES:,} bytes", lambda v: v <= STATE_BYTES, " bytes"),
        thousand(),
        figure("resampler delay, 48 -> 16 kHz", "resample_48k_16k_delay_ms", f"<= {RESAMPLE_DELAY_MS:g} ms",
               lambda v: v <= RESAMPLE_DELAY_MS, " ms"),
    ]


def make_clip(python, given, seconds, out):
    """The clip for everyone: the given file, or the fixtures with human speech."""
    if given:
        sources = [Path(given)]
    else:
        # Human speech, the fixtures whose manifest says where the words lie.
        manifests = sorted((setup.ROOT / "fixtures").glob("*/manifest.toml"))
        speech = [path.parent for path in manifests if "[[speech]]" in path.read_text()]
        sources = [path / "audio.wav" for path in speech if not path.name.startswith("synthetic")]
    sources = [path for path in sources if path.exists()]
    if not sources:
        raise SystemExit("no audio: give --audio FILE.wav, or run from a checkout with fixtures/")
    out.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [str(python), str(HERE / "peers" / "clip.py"), str(out), str(seconds), *map(str, sources)], check=True
    )
    return f"{len(sources)} clip(s), tiled to {seconds} s at 48 kHz mono 16 bit"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", help="venv to make or reuse (default target/peers-venv)")
    parser.add_argument("--no-install", action="store_true", help="use the venv as it is, install nothing")
    parser.add_argument("--cli", help="our binary (default: build it)")
    parser.add_argument("--bench-args", default="", help="further arguments for `listenkit bench`")
    parser.add_argument("--audio", help="WAV to use instead of the fixtures")
    parser.add_argument("--seconds", type=int, default=60, help="length of the clip")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds after the warm-up")
    parser.add_argument("--only", help="comma-separated peers (worker names), for a quick look")
    parser.add_argument("--json", help="write the report as JSON")
    parser.add_argument("--markdown", help="write the report as markdown")
    parser.add_argument("--docs", help="write the report into this document, between its compare.py marks")
    parser.add_argument("--lenient", action="store_true", help="exit 0 even if a bar is missed or a peer did not run")
    return parser.parse_args()


def main():
    args = arguments()
    python, installed, problems = setup.open_venv(args.venv, install=not args.no_install)
    try:
        onnx, onnx_failed = setup.silero_onnx(python, args.venv), None
    except RuntimeError as error:
        onnx, onnx_failed = None, str(error)
        setup.say(f"silero_vad.onnx: {error}")
    cli, failed = setup.build_cli(args.cli)
    audio = setup.ROOT / "target" / "compare" / "clip-48k.wav"
    described = make_clip(python, args.audio, args.seconds, audio)

    machine = setup.machine(installed)
    machine["audio"] = described
    machine["method"] = f"{args.rounds} interleaved rounds after one to warm up; CPU time; one process and one thread a peer"
    if problems:
        machine["problems"] = "; ".join(f"{name}: {reason}" for name, reason in problems.items())

    names = list(dict.fromkeys(name for _, _, _, _, peers in TIMED for name, *_ in peers))
    only = args.only.split(",") if args.only else names
    ours = Ours(cli, failed, audio, args.bench_args.split())
    workers, rounds = {}, {name: [] for name in names}
    for name in names:
        setup.say(f"starting {name}")
        workers[name] = Worker(python, name, audio, onnx or "missing")
        if name not in only:
            workers[name].failed = "left out by --only"
    for turn in range(args.rounds + 1):
        setup.say(f"round {turn} of {args.rounds}" + (" (warm-up)" if turn == 0 else ""))
        ours.round(keep=turn > 0)
        for name in names:
            answer = workers[name].ask("round")
            if turn > 0 and not workers[name].failed:
                rounds[name].append(answer)

    answers = {"sizes": sizes(python, onnx)}
    for name, _, _ in MEMORY:
        setup.say(f"memory of {name}")
        if workers[name].failed:
            answers[name] = {"failed": workers[name].failed}
            continue
        fresh = Worker(python, name, audio, onnx or "missing")
        answers[name] = {"hello": fresh.hello, **fresh.ask("memory")}
        if fresh.failed:
            answers[name]["failed"] = fresh.failed
        fresh.close()
    for worker in workers.values():
        worker.close()

    if onnx_failed:
        machine["problems"] = "; ".join(filter(None, [machine.get("problems"), onnx_failed]))
    sections = timed_sections(ours, workers, rounds)
    sections.append(delay_section(ours, workers, rounds))
    sections.append(memory_section(ours, answers))
    sections += process_section(ours, answers, cli)
    machine["our kernels"] = ours.rounds[-1].get("kernel", "unknown") if ours.rounds else f"not run: {ours.failed}"
    finished = {"machine": machine, "sections": sections, "bars": bars(sections, ours), "ours": ours.rounds}
    report.write(finished, args)
    missed = [bar for bar in finished["bars"] if not bar["ok"]]
    unrun = [line for section in sections for line in section["rows"] if line.get("not_run")]
    return 0 if args.lenient or not (missed or unrun) else 1


if __name__ == "__main__":
    sys.exit(main())
