"""The C API for the tests, straight from `include/listenkit.h`, so that they test what the header says."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import wave
from pathlib import Path

import cffi
import numpy as np

ROOT = Path(__file__).resolve().parents[3]
HEADER = ROOT / "include" / "listenkit.h"


def load(library: str | os.PathLike, flags: int | None = None) -> "Api":
    return Api(library, flags)


class Api:
    """A loaded library. `flags` are those of dlopen."""

    def __init__(self, library: str | os.PathLike, flags: int | None = None) -> None:
        self.ffi = cffi.FFI()
        self.ffi.cdef(_declarations())
        how = self.ffi.RTLD_NOW | self.ffi.RTLD_LOCAL if flags is None else flags
        self.lib = self.ffi.dlopen(str(library), how)
        self.constants = _constants()

    def name(self, prefix: str, value: int) -> str:
        """The constant that begins with `prefix` and has `value`, without the prefix."""
        names = [n for n, v in self.constants.items() if n.startswith(prefix) and v == value]
        return names[0][len(prefix) :] if names else str(value)

    def check(self, status: int) -> None:
        if status < 0:
            text = self.ffi.string(self.lib.listenkit_status_str(status)).decode()
            raise RuntimeError(f"status {status}: {text}")

    def new_event(self):
        event = self.ffi.new("listenkit_event *")
        event.struct_size = self.ffi.sizeof("listenkit_event")
        return event

    def plain(self, event) -> tuple:
        """An event as a value that can be compared and printed: every byte of it, and what it says."""
        kind = self.name("LISTENKIT_EVENT_", event.kind)
        return kind, event.at, event.decided_at, bytes(self.ffi.buffer(event))

    def detect(self, samples: np.ndarray, rate: int, channels: int = 1, block: int = 0, **settings):
        """Runs a detector over interleaved samples: its events before the flush, those of the flush, and the fingerprint."""
        ffi, lib = self.ffi, self.lib
        models = ffi.new("listenkit_models **")
        self.check(lib.listenkit_models_new(ffi.NULL, models, ffi.NULL))
        options = ffi.new("listenkit_detector_options *")
        self.check(lib.listenkit_detector_options_init(options, ffi.sizeof(options[0])))
        options.sample_rate = rate
        options.channels = channels
        options.sample_format = 1 if samples.dtype == np.float32 else 0
        for setting, value in settings.items():
            setattr(options, setting, value)
        detector = ffi.new("listenkit_detector **")
        detail = ffi.new("listenkit_detail *")
        if lib.listenkit_detector_new(models[0], options, detector, detail) != 0:
            raise RuntimeError(ffi.string(detail.text).decode())
        lib.listenkit_models_free(models[0])
        kind = "const float *" if samples.dtype == np.float32 else "const int16_t *"
        push = lib.listenkit_detector_push_f32 if samples.dtype == np.float32 else lib.listenkit_detector_push_i16
        heard, taken = [], ffi.new("size_t *")
        event = self.new_event()

        def poll(into: list) -> None:
            while True:
                status = lib.listenkit_detector_poll(detector[0], event)
                self.check(status)
                if status:
                    return
                into.append(self.plain(event))

        step = block or len(samples)
        for start in range(0, len(samples), step):
            rest = samples[start : start + step]
            while len(rest):
                values = ffi.cast(kind, ffi.from_buffer(rest))
                self.check(push(detector[0], values, len(rest), taken))
                rest = rest[taken[0] :]
                poll(heard)
        flushed: list = []
        self.check(lib.listenkit_detector_flush(detector[0]))
        poll(flushed)
        fingerprint = ffi.new("uint64_t *")
        self.check(lib.listenkit_detector_fingerprint(detector[0], fingerprint))
        lib.listenkit_detector_free(detector[0])
        return heard, flushed, fingerprint[0]


class Filters:
    """The reading side of the audio filters in a library."""

    def __init__(self, api: Api) -> None:
        self.api, self.ffi, self.lib = api, api.ffi, api.lib

    def list(self) -> list[int]:
        count = self.ffi.new("size_t *")
        ids = self.ffi.new("uint64_t[256]")
        self.api.check(self.lib.listenkit_audio_filter_list(ids, 256, count))
        return list(ids[0 : count[0]])

    def find(self, which: str, value: str) -> int | None:
        found = self.ffi.new("uint64_t *")
        number = self.api.constants["LISTENKIT_AUDIO_FILTER_" + which]
        status = self.lib.listenkit_audio_filter_find(number, value.encode(), found)
        self.api.check(status)
        return None if status else found[0]

    def info(self, filter_id: int):
        info = self.ffi.new("listenkit_audio_filter_info *")
        info.struct_size = self.ffi.sizeof(info[0])
        self.api.check(self.lib.listenkit_audio_filter_describe(filter_id, info))
        return info

    def text(self, filter_id: int, which: str) -> str:
        number = self.api.constants["LISTENKIT_AUDIO_FILTER_" + which]
        size = self.ffi.new("size_t *")
        out = self.ffi.new("char[4096]")
        self.api.check(self.lib.listenkit_audio_filter_text(filter_id, number, out, 4096, size))
        text = self.ffi.string(out)
        assert len(text) + 1 == size[0]
        return text.decode()

    def poll(self, filter_id: int) -> tuple[list, bool]:
        """All events that wait, and whether the filter has ended."""
        events, event = [], self.api.new_event()
        while True:
            status = self.lib.listenkit_audio_filter_poll(filter_id, event)
            self.api.check(status)
            if status == self.api.constants["LISTENKIT_ENDED"]:
                return events, True
            if status:
                return events, False
            events.append(self.api.plain(event))


def read_wav(path: str | os.PathLike) -> tuple[np.ndarray, int, int]:
    """Interleaved 16-bit samples, rate, channels."""
    with wave.open(str(path)) as file:
        assert file.getsampwidth() == 2, "16-bit WAV"
        data = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return data, file.getframerate(), file.getnchannels()


def _declarations() -> str:
    # The compiler reads the header with empty system headers: cffi knows their types already.
    with tempfile.TemporaryDirectory() as empty:
        for name in ("stddef.h", "stdint.h"):
            (Path(empty) / name).touch()
        cc = os.environ.get("CC", "cc")
        flags = ["-E", "-P", "-nostdinc", "-isystem", empty, "-DLISTENKIT_AUDIO_FILTER"]
        return subprocess.run(
            [cc, *flags, str(HEADER)], check=True, capture_output=True, text=True
        ).stdout


def _constants() -> dict[str, int]:
    found = re.findall(r"^#define (LISTENKIT_\w+) (-?\d+)$", HEADER.read_text(), re.M)
    return {name: int(value) for name, value in found}
