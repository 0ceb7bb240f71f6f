"""Another sample rate, as a stream: the filter that the detector uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _samples
from ._check import setting
from ._lib import Handle, ffi, lib, make

if TYPE_CHECKING:
    from ._samples import Array, Block


class Resampler(Handle):
    """Converts a mono stream from one rate to another, without aliasing and with a stated delay.

        resampler = listenkit.Resampler(48_000, 16_000)
        out = [resampler.process(block) for block in blocks] + [resampler.flush()]

    How the audio is cut into blocks changes nothing. One object is for one stream and one thread at a time.
    """

    __slots__ = ("_is_float",)
    _kind = "resampler"

    def __init__(self, source_rate: int, target_rate: int, *, aligned: bool = False) -> None:
        """Rates in Hz. `aligned` leaves out the filter's delay at the beginning, so that sound stays where it was in time."""
        source, target = setting("source_rate", source_rate), setting("target_rate", target_rate)
        super().__init__(make("resampler", source, target, int(bool(aligned))))
        self._is_float: bool | None = None

    def process(self, block: Block) -> Array:
        """What can be said after the next block, in its own format, int16 or float32."""
        data, count, is_float = _samples.read(block, 1)
        self._is_float = is_float
        function = lib.listenkit_resampler_process_f32 if is_float else lib.listenkit_resampler_process_i16
        most = self.value(lib.listenkit_resampler_output_len_max, "size_t *", count)
        out: Array = np.empty(most, dtype=_dtype(is_float))
        target = ffi.from_buffer(_kind(is_float), out)
        taken, written = ffi.new("size_t *"), ffi.new("size_t *")
        done = there = 0
        while done < count:
            self.call(function, data + done, count - done, target + there, out.size - there, taken, written)
            done += taken[0]
            there += written[0]
            if taken[0] == 0 and written[0] == 0:
                raise RuntimeError("the resampler takes nothing and gives nothing; this is a bug in listenkit")
        return out[:there]

    def flush(self) -> Array:
        """The end of the stream: what is still in the filter, in the format of the last block. The next block begins a new stream."""
        is_float = bool(self._is_float)
        function = lib.listenkit_resampler_flush_f32 if is_float else lib.listenkit_resampler_flush_i16
        parts: list[Any] = []
        room = max(1, self.value(lib.listenkit_resampler_tail_len)) + 1
        written = ffi.new("size_t *")
        while True:
            out = np.empty(room, dtype=_dtype(is_float))
            self.call(function, ffi.from_buffer(_kind(is_float), out), room, written)
            parts.append(out[: written[0]])
            if written[0] < room:
                joined: Array = np.concatenate(parts)
                return joined

    def reset(self) -> None:
        """Forgets the stream, as if made anew."""
        self.call(lib.listenkit_resampler_reset)
        self._is_float = None

    @property
    def delay(self) -> int:
        """Samples of output by which sound is late, unless `aligned`: 24 at 16 kHz from any higher rate, 1.5 ms."""
        return int(self.value(lib.listenkit_resampler_delay))

    @property
    def state_bytes(self) -> int:
        """Bytes of this stream's state."""
        return int(self.value(lib.listenkit_resampler_state_bytes))


def _dtype(is_float: bool) -> Any:
    return _samples.FLOAT32 if is_float else _samples.INT16


def _kind(is_float: bool) -> str:
    return "float[]" if is_float else "int16_t[]"
