"""What a conversation needs around it: a server, an agent's worker, and what their processes cost.

Everything runs as processes of this machine on free ports of the loopback, is awaited with a deadline and ended with its children.

Where things are comes from the environment: LIVEKIT_URL (a server that runs already, with LIVEKIT_API_KEY and LIVEKIT_API_SECRET), LIVEKIT_SERVER_BIN (a real one
to be started), LISTENKIT_TEST_SERVER (the double), LISTENKIT_VOICE_AGENT (our worker), LISTENKIT (the command line), PEER_PYTHON (a Python with livekit-agents).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from human import Clip, Server
from livekit import rtc

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
FIXTURES = ROOT / "fixtures"
SECRET = "a-secret-of-at-least-32-characters"
TICKS = os.sysconf("SC_CLK_TCK")


ENDINGS = ((0, 177_600), (481_440, 554_400), (726_000, 795_360))
"""Pieces of the fixture conversation-en with one ending each: "... your response.", "No.", "Goodbye!", with the room tone around."""


def endings() -> list[Clip]:
    whole = Clip.read(FIXTURES / "conversation-en/audio.wav")
    return [whole.part(*span) for span in ENDINGS]


class Missing(Exception):
    """Something that a run needs is not here; the text says what to set."""


def built(name: str, variable: str) -> Path:
    """A program of this repository: what `variable` names, else the newest build of it."""
    if given := os.environ.get(variable):
        return Path(given)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = [p for profile in ("release", "debug") for p in (target / profile / name,) if p.is_file()]
    if not found:
        raise Missing(f"{name} is not built; build it or set {variable}")
    return max(found, key=lambda p: p.stat().st_mtime)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """A process with a log, in a group of its own, so that nothing of it stays."""

    def __init__(self, name: str, command: Sequence[str | Path], env: dict[str, str] | None = None) -> None:
        self.name = name
        self.log = Path(tempfile.mkstemp(prefix=f"{name}-", suffix=".log")[1])
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern: str, timeout: float) -> None:
        """Waits for a line in the log."""
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.text(), re.IGNORECASE):
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.text()[-2000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: no {pattern!r} within {timeout} s:\n{self.text()[-2000:]}")
            time.sleep(0.05)

    def stop(self, grace: float = 10.0) -> int:
        """Ends it: politely, then with all that came from it; its exit code."""
        family = tree(self.pid)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            family |= tree(self.pid)
        for pid in family:
            # Only what is still the same process: its number may be another's by now.
            if (left := process(pid)) is not None and left.command == family[pid].command:
                os.kill(pid, signal.SIGKILL)
        code = self.process.wait()
        if os.environ.get("KEEP_LOGS") is None:
            self.log.unlink(missing_ok=True)
        return code


REAL = """\
port: {port}
bind_addresses: ["127.0.0.1"]
keys: {{ devkey: "{secret}" }}
rtc:
  use_external_ip: false
  node_ip: 127.0.0.1
  enable_loopback_candidate: true
  interfaces: {{ includes: ["lo"] }}
  udp_port: {udp}
  tcp_port: 0
  stun_servers: ["127.0.0.1:3478"]
logging: {{ level: warn }}
"""


@contextmanager
def server(kind: str = "auto") -> Iterator[tuple[Server, str]]:
    """A server and its name: `url` one that runs, `real` a livekit-server of our own, `double` the one of the tests; `auto` the first that is here."""
    if kind == "auto":
        kind = "url" if "LIVEKIT_URL" in os.environ else "real" if "LIVEKIT_SERVER_BIN" in os.environ else "double"
    if kind == "url":
        yield Server.from_env(), os.environ["LIVEKIT_URL"]
        return
    port = free_port()
    if kind == "real":
        program = os.environ.get("LIVEKIT_SERVER_BIN") or shutil.which("livekit-server")
        if program is None:
            raise Missing("no livekit-server: set LIVEKIT_SERVER_BIN")
        config = Path(tempfile.mkstemp(prefix="livekit-", suffix=".yaml")[1])
        config.write_text(REAL.format(port=port, udp=free_port(socket.SOCK_DGRAM), secret=SECRET))
        command: list[str | Path] = [program, "--config", config]
        name = "livekit-server"
    else:
        program_path = built("listenkit-test-server", "LISTENKIT_TEST_SERVER")
        command = [program_path, "--port", str(port), "--api-key", "devkey", "--api-secret", SECRET]
        name = "listenkit-test-server"
    running = Running(name, command)
    try:
        deadline = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if running.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{name} does not listen:\n{running.text()[-2000:]}") from None
                time.sleep(0.05)
        yield Server(f"ws://127.0.0.1:{port}", "devkey", SECRET), name
    finally:
        running.stop(3)


def start_worker(kind: str, at: Server, name: str, idle: int = 1, marks: Path | None = None) -> Running:
    """Starts a worker, registered at the server under `name`: `native` and `library` are ours with their transports, `peer` is LiveKit's."""
    env = {
        "LIVEKIT_URL": at.url,
        "LIVEKIT_API_KEY": at.key,
        "LIVEKIT_API_SECRET": at.secret,
        "PEER_NAME": name,
        "PEER_IDLE": str(idle),
    }
    if marks is not None:
        env["PEER_MARKS"] = str(marks)
    if kind in ("native", "library"):
        env["LISTENKIT_TRANSPORT"] = {"native": "native", "library": "ffi"}[kind]
        agent = built("examples/voice_agent", "LISTENKIT_VOICE_AGENT")
        # The library of the wheel that the human uses, too.
        library = next((Path(rtc.__file__).parent / "resources").glob("liblivekit_ffi.*"), None)
        if "LIVEKIT_LIB_PATH" not in os.environ and library is not None:
            env["LIVEKIT_LIB_PATH"] = str(library)
        command: list[str | Path] = [agent, "--instant", "--health-port", "0", "--agent-name", name, "--idle-processes", str(idle)]
    elif kind == "peer":
        command = [peer_python(), HERE / "peer_worker.py", "start"]
    else:
        raise ValueError(kind)
    worker = Running(kind, command, env)
    try:
        # The peer imports for some seconds on a busy machine, and its first idle process comes after the imports of its fork server.
        worker.wait_for(r"\bregistered\b", 60)
    except BaseException:
        worker.stop(1)
        raise
    return worker


def peer_python() -> str:
    python = os.environ.get("PEER_PYTHON", sys.executable)
    check = subprocess.run([python, "-c", "import livekit.agents"], capture_output=True)
    if check.returncode != 0:
        raise Missing("no livekit-agents: set PEER_PYTHON to a Python with livekit-agents==1.8.9")
    return python


@contextmanager
def worker(kind: str, at: Server, name: str, idle: int = 1, marks: Path | None = None) -> Iterator[Running]:
    running = start_worker(kind, at, name, idle, marks)
    try:
        yield running
    finally:
        running.stop()


@dataclass(frozen=True)
class Process:
    """One process as /proc shows it: CPU seconds since its start (`children`: of those that it has buried), memory in MB."""

    pid: int
    parent: int
    command: str
    cpu: float
    children: float
    rss: float
    pss: float


def process(pid: int) -> Process | None:
    proc = Path(f"/proc/{pid}")
    try:
        stat = (proc / "stat").read_text().rpartition(")")[2].split()
        command = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        memory = dict(re.findall(r"^(Rss|Pss):\s+(\d+) kB", (proc / "smaps_rollup").read_text(), re.MULTILINE))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(
        pid,
        int(stat[1]),
        command,
        (int(stat[11]) + int(stat[12])) / TICKS,
        (int(stat[13]) + int(stat[14])) / TICKS,
        int(memory.get("Rss", 0)) / 1024,
        int(memory.get("Pss", 0)) / 1024,
    )


def tree(root: int) -> dict[int, Process]:
    """`root` and all that came from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: dict[int, Process] = {}
    todo = [root]
    while todo:
        pid = todo.pop()
        if (one := process(pid)) is not None:
            found[pid] = one
            todo += children.get(pid, [])
    return found


def jobs(processes: dict[int, Process]) -> dict[int, Process]:
    """The job processes of a worker's tree: its leaves, without Python's resource tracker."""
    parents = {p.parent for p in processes.values()}
    return {
        pid: p for pid, p in processes.items() if pid not in parents and "resource_tracker" not in p.command and p.parent in processes
    }


def cpu(before: dict[int, Process], after: dict[int, Process]) -> float:
    """CPU seconds that the tree used between the two looks; what a process did that was born and buried between them is in its parent's share."""
    used = 0.0
    for pid, p in after.items():
        old = before.get(pid)
        used += p.cpu + p.children - (old.cpu + old.children if old else 0.0)
    return used
