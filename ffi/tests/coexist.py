"""liblistenkit beside an ONNX Runtime, LiveKit's `liblivekit_ffi.so` (libwebrtc, BoringSSL) and OpenSSL in one process.

Each library does its work before and after the others are loaded, in every order, with global and with local symbols; ours must
give the fingerprint it gives alone. And the symbol tables must not touch: what ours defines nobody else defines, and what ours needs
no other library of the process gives, but for the C library.

    python ffi/tests/coexist.py target/release/liblistenkit.so [more builds of it]
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "filter"))
import capi

FIXTURE = capi.ROOT / "fixtures" / "conversation-en"
FILTER_SYMBOLS = {
    "audio_filter_on_load",
    "audio_filter_create",
    "audio_filter_destroy",
    "audio_filter_process_int16",
    "audio_filter_process_float",
    "audio_filter_update_stream_info",
}
ORDERS = ("others-first", "ours-first")
SCOPES = ("global", "local")


# What each library does to show that it works.


def run_ours(library: str, flags: int) -> str:
    """The fingerprint of the fixture, after a look at its turns."""
    api = capi.load(library, flags)
    samples, rate, channels = capi.read_wav(FIXTURE / "audio.wav")
    heard, flushed, fingerprint = api.detect(samples, rate, channels, block=480)
    lines = (FIXTURE / "expected.jsonl").read_text().splitlines()
    expected = [
        (turn["at"], turn["decided_at"])
        for turn in map(json.loads, lines)
        if turn["event"] == "end_of_turn"
    ]
    turns = [(at, decided) for kind, at, decided, _ in heard + flushed if kind == "END_OF_TURN"]
    assert turns == expected, f"turns at {turns}, the fixture says {expected}"
    return f"{fingerprint:016x}"


def run_onnxruntime() -> None:
    """A matrix product and a rectifier, against numpy."""
    import onnxruntime
    from onnx import TensorProto, helper

    weights = np.arange(12, dtype=np.float32).reshape(3, 4) - 6
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Relu", ["p"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])],
        [helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (y,) = session.run(None, {"x": x})
    assert np.array_equal(y, np.maximum(x @ weights, 0)), y


def run_livekit() -> None:
    """A tone through a source, libwebrtc's resampler and a stream, all local."""
    from livekit import rtc

    async def round_trip() -> int:
        source = rtc.AudioSource(24_000, 1)
        track = rtc.LocalAudioTrack.create_audio_track("tone", source)
        stream = rtc.AudioStream(track, sample_rate=16_000)
        wave = np.sin(2 * np.pi * 440 * np.arange(2400) / 24_000)
        block = (8000 * wave).astype(np.int16)

        async def send() -> None:
            while True:
                await source.capture_frame(rtc.AudioFrame(block.tobytes(), 24_000, 1, len(block)))

        sending = asyncio.create_task(send())
        peak, frames = 0, 0
        async for event in stream:
            assert event.frame.sample_rate == 16_000
            peak = max(peak, int(np.abs(np.frombuffer(event.frame.data, np.int16)).max()))
            frames += 1
            if frames == 30:
                break
        sending.cancel()
        await stream.aclose()
        await source.aclose()
        return peak

    peak = asyncio.run(asyncio.wait_for(round_trip(), 20))
    assert 7500 <= peak <= 8500, f"a tone of 8000 came back as {peak}"


def run_openssl() -> None:
    """OpenSSL as Python links it, through the library that is loaded."""
    path = loaded("libcrypto")
    if path is None:
        return
    crypto = ctypes.CDLL(path)
    crypto.SHA256.restype = ctypes.c_void_p
    digest = ctypes.create_string_buffer(32)
    crypto.SHA256(b"listenkit", ctypes.c_size_t(9), digest)
    assert digest.raw == hashlib.sha256(b"listenkit").digest()


def loaded(name: str) -> str | None:
    """Path of a library in this process."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        if path.startswith("/") and Path(path).name.startswith(name):
            return path
    return None


def others(flags: int) -> None:
    sys.setdlopenflags(flags)
    import ssl  # noqa: F401  # loads libssl and libcrypto

    for name in ("libcrypto", "libssl"):
        path = loaded(name)
        if path is not None:
            ctypes.CDLL(path, mode=flags)
    # The SDK loads its library itself; with these flags first, so that they are what counts.
    ctypes.CDLL(str(livekit_library()), mode=flags)
    run_onnxruntime()
    run_livekit()
    run_openssl()


def child(order: str, scope: str, library: str) -> None:
    flags = os.RTLD_NOW | (os.RTLD_GLOBAL if scope == "global" else os.RTLD_LOCAL)
    prints = []
    if order == "others-first":
        others(flags)
        prints.append(run_ours(library, flags))
    elif order == "ours-first":
        prints.append(run_ours(library, flags))
        others(flags)
    prints.append(run_ours(library, flags))
    if order != "alone":
        others(flags)
        assert loaded("liblivekit_ffi") and loaded("onnxruntime_pybind11_state")
    prints.append(run_ours(library, flags))
    assert len(set(prints)) == 1, prints
    print(prints[0])


# What the symbol tables say.


def symbols(path: str | Path, kind: str) -> set[str]:
    """Names without their versions; `kind` is an option of nm."""
    command = ["nm", "-D", "--without-symbol-versions", kind, str(path)]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {line.split()[-1] for line in listing.splitlines() if line.strip()}


def livekit_library() -> Path:
    import livekit.rtc

    return Path(livekit.rtc.__file__).parent / "resources" / "liblivekit_ffi.so"


def neighbours() -> list[Path]:
    onnxruntime = Path(importlib.util.find_spec("onnxruntime").submodule_search_locations[0])
    found = [livekit_library(), *sorted(onnxruntime.glob("capi/*.so*"))]
    import ssl  # noqa: F401

    found += [Path(path) for path in map(loaded, ("libcrypto", "libssl")) if path]
    return found


def check_symbols(library: str) -> None:
    defined, needed = symbols(library, "--defined-only"), symbols(library, "--undefined-only")
    strangers = {name for name in defined if not name.startswith("listenkit_")}
    assert strangers in (set(), FILTER_SYMBOLS), f"{library} exports {sorted(strangers)}"
    what = "listenkit_*" + (" and the six audio_filter_*" if strangers else "")
    print(f"{Path(library).name}: {len(defined)} symbols exported, all {what}; {len(needed)} needed")
    for neighbour in neighbours():
        theirs = symbols(neighbour, "--defined-only")
        both = defined & theirs
        assert not both, f"{neighbour.name} also defines {sorted(both)}"
        lent = needed & theirs
        assert not lent, f"{neighbour.name} would give us {sorted(lent)}"
        ours = defined & symbols(neighbour, "--undefined-only")
        assert not ours, f"we would give {neighbour.name} {sorted(ours)}"
        print(f"  {neighbour.name}: none of its {len(theirs)} symbols is ours, or one that we need")


def main() -> None:
    if sys.argv[1] == "--child":
        child(*sys.argv[2:])
        return
    for library in (str(Path(path).resolve()) for path in sys.argv[1:]):
        check_symbols(library)
        alone = spawn("alone", "local", library)
        for order in ORDERS:
            for scope in SCOPES:
                beside = spawn(order, scope, library)
                assert beside == alone, f"{order}, {scope}: {beside}, alone {alone}"
                print(f"  {order}, {scope} symbols: fingerprint {beside}, as alone")


def spawn(order: str, scope: str, library: str) -> str:
    command = [sys.executable, __file__, "--child", order, scope, library]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if run.returncode != 0:
        sys.exit(f"{order}, {scope} symbols, exit status {run.returncode}:\n{run.stdout}{run.stderr}")
    return run.stdout.split()[-1]


if __name__ == "__main__":
    main()
