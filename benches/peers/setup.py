"""The measuring environment: a venv with pinned peers, the official Silero file, our release binary.

Only the standard library is used here, so that the scripts run with any Python 3.10 or later.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Versions are pinned so that a figure can be measured again. livekit-agents 1.8.9 is the release that
# the parity presets reproduce; the others are what it resolved to, or the newest, on the first run.
PINS = {
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "soundfile": "0.14.0",
    "soxr": "1.1.0",
    "samplerate": "0.2.4",
    "onnxruntime": "1.32.0",
    "livekit": "1.1.21",
    "livekit-agents": "1.8.9",
    "livekit-local-inference": "0.2.7",
    "livekit-plugins-silero": "1.8.9",
    "sherpa-onnx": "2.0.1",
    "ten-vad": "1.0.6.9",
}
SILERO_WHEEL = ("silero-vad", "6.2.3")
SILERO_FILE = "silero_vad/data/silero_vad.onnx"
SILERO_SHA256 = "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"

# In a venv of its own, see speed_smart_turn.py.
PIPECAT = "1.14.0"

# One thread for every peer: the comparison is CPU time on one core.
ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
}


def say(text):
    """Progress goes to stderr; stdout carries the table alone."""
    print(text, file=sys.stderr, flush=True)


def default_venv():
    return ROOT / "target" / "peers-venv"


def open_venv(path, install=True):
    """Creates or reuses the venv. Returns (python, installed versions, what is wrong or missing)."""
    path = Path(path or default_venv())
    python = path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        say(f"creating {path}")
        subprocess.run([sys.executable, "-m", "venv", str(path)], check=True)
    installed = versions(python)
    wanted = [f"{name}=={pin}" for name, pin in PINS.items() if installed.get(name) != pin]
    problems = {}
    if wanted and install:
        say("installing " + " ".join(wanted))
        done = pip(python, "install", *wanted)
        if done.returncode != 0:
            # One peer without a wheel for this platform must not take the others down.
            for want in wanted:
                one = pip(python, "install", want)
                if one.returncode != 0:
                    problems[want.split("==")[0]] = f"pip install {want} failed: {last_line(one.stderr)}"
        installed = versions(python)
    for name, pin in PINS.items():
        if installed.get(name) != pin:
            problems.setdefault(name, f"version {installed.get(name, 'none')} instead of {pin}")
    return python, {name: installed[name] for name in PINS if name in installed}, problems


def pip(python, *args):
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "-q", *args]
    return subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)


def versions(python):
    code = (
        "import json,sys,importlib.metadata as m\n"
        "out={}\n"
        "for n in sys.argv[1:]:\n"
        "    try: out[n]=m.version(n)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(out))"
    )
    done = subprocess.run([str(python), "-c", code, *PINS], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def silero_onnx(python, venv):
    """The official ONNX file, checked. Raises RuntimeError when it cannot be had or is another file."""
    held = os.environ.get("SILERO_DATA")
    if held:
        path = Path(held) / "silero_vad.onnx"
        if not path.exists():
            raise RuntimeError(f"SILERO_DATA is set but {path} does not exist")
    else:
        folder = Path(venv or default_venv()) / "silero"
        path = folder / SILERO_FILE
        if not path.exists():
            name, pin = SILERO_WHEEL
            # --no-deps: the wheel is wanted for its data alone, its dependencies include torch.
            done = pip(python, "download", "--no-deps", "-d", str(folder), f"{name}=={pin}")
            wheels = sorted(folder.glob("silero_vad-*.whl"))
            if done.returncode != 0 or not wheels:
                raise RuntimeError(f"pip download {name}=={pin} failed: {last_line(done.stderr)}")
            with zipfile.ZipFile(wheels[0]) as wheel:
                for member in wheel.namelist():
                    if member.startswith("silero_vad/data/") and member.endswith(".onnx"):
                        wheel.extract(member, folder)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SILERO_SHA256:
        raise RuntimeError(f"{path}: sha256 {digest}, expected {SILERO_SHA256}")
    return path


def build_cli(given):
    """Our release binary. Returns (path, None) or (None, reason)."""
    if given:
        path = Path(given).resolve()
        return (path, None) if path.exists() else (None, f"{given} does not exist")
    if not shutil.which("cargo"):
        return None, "cargo is not on the PATH"
    say("cargo build --release -p listenkit-cli")
    done = subprocess.run(
        ["cargo", "build", "--release", "-p", "listenkit-cli"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        return None, f"cargo build failed: {last_line(done.stderr)}"
    meta = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )
    path = Path(json.loads(meta.stdout)["target_directory"]) / "release" / "listenkit"
    return (path, None) if path.exists() else (None, f"no binary at {path}")


def corpus():
    """The folder of the evaluation corpus, or None."""
    given = os.environ.get("LISTENKIT_CORPUS")
    path = Path(given) if given else ROOT.parent / "shared" / "corpus"
    return path.resolve() if (path / "eval_vad.py").exists() else None


def machine(installed):
    """What the figures were measured on."""
    model, flags = platform.processor() or platform.machine(), []
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            if key.strip() in ("flags", "Features"):
                have = set(value.split())
                shown = ("sse4_2", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "asimd")
                flags = [name for name in shown if name in have]
                break
    except OSError:
        pass
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpu": model,
        "flags": " ".join(flags),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load": " ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "",
        "rustc": first_line(["rustc", "--version"]),
        "commit": first_line(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]),
        "python": platform.python_version(),
        "peers": " ".join(f"{name} {version}" for name, version in installed.items()),
    }


def first_line(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return (done.stdout.splitlines() or ["unknown"])[0]
    except OSError:
        return "unknown"


def last_line(text):
    lines = [line for line in (text or "").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"
