"""Probabilities of speech, for one stream or for many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _samples
from ._check import setting
from ._lib import NULL, UNKNOWN_32, Handle, ffi, lib, make
from .errors import InputError
from .models import Models, pointer_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._samples import Block


class VAD(Handle):
    """The probability of speech in one window after another of a mono stream.

        vad = listenkit.VAD(16_000)
        for start in range(0, len(audio) - vad.window_len + 1, vad.window_len):
            probability = vad(audio[start : start + vad.window_len])

    For speech with its start and end, use a `Detector`. One object is for one stream and one thread at a time.
    """

    __slots__ = ("_window_len",)
    _kind = "vad"

    def __init__(self, sample_rate: int = 16_000, *, models: Models | None = None, state_guard: bool = True) -> None:
        """`sample_rate` is 16000 or 8000. `state_guard` keeps the model from going deaf in long noise."""
        super().__init__(make("vad", pointer_of(models), setting("sample_rate", sample_rate), int(bool(state_guard))))
        self._window_len: int = self.value(lib.listenkit_vad_window_len)

    @property
    def window_len(self) -> int:
        """Samples in a window: 512 at 16 kHz, 256 at 8 kHz; 32 ms."""
        return self._window_len

    def __call__(self, window: Block) -> float:
        """The probability of speech, 0.0 to 1.0, in the next `window_len` samples of int16 or float32."""
        data, count, is_float = _samples.window(window, self._window_len)
        function = lib.listenkit_vad_probability_f32 if is_float else lib.listenkit_vad_probability_i16
        out = ffi.new("float *")
        self.call(function, data, count, out)
        return float(out[0])

    def reset(self) -> None:
        """Forgets the stream, as if made anew."""
        self.call(lib.listenkit_vad_reset)

    @property
    def state_bytes(self) -> int:
        """Bytes of this stream's state, without the weights."""
        return int(self.value(lib.listenkit_vad_state_bytes))


class VadBatch(Handle):
    """The same for many streams at once, which is faster than one after another.

        batch = listenkit.VadBatch(streams=32, sample_rate=16_000)
        probabilities = batch(windows)  # (32, 512) -> (32,)

    One object is for one thread at a time.
    """

    __slots__ = ("_streams", "_window_len")
    _kind = "vad_batch"

    def __init__(
        self, streams: int, sample_rate: int = 16_000, *, models: Models | None = None, state_guard: bool = True
    ) -> None:
        """`streams` is how many there are; `sample_rate` is 16000 or 8000."""
        count = setting("streams", streams)
        super().__init__(
            make("vad_batch", pointer_of(models), setting("sample_rate", sample_rate), int(bool(state_guard)), count)
        )
        self._streams = count
        self._window_len: int = self.value(lib.listenkit_vad_batch_window_len)

    @property
    def streams(self) -> int:
        """How many streams there are."""
        return self._streams

    @property
    def window_len(self) -> int:
        """Samples in a window: 512 at 16 kHz, 256 at 8 kHz; 32 ms."""
        return self._window_len

    def __call__(self, windows: Block, streams: Sequence[int] | npt.NDArray[Any] | None = None) -> npt.NDArray[np.float32]:
        """Probabilities of the next window of some streams: `windows` is `(count, window_len)`, int16 or float32.

        `streams` says whose window each row is, each stream at most once; without it, row i is that of stream i.
        """
        length = self._window_len
        if isinstance(windows, np.ndarray) and windows.ndim > 1 and windows.shape[1:] != (length,):
            raise InputError(f"windows has shape {windows.shape}; expected (count, {length})")
        data, count, is_float = _samples.read(windows, length, "windows")
        rows = count // length
        chosen: Any = NULL
        if streams is not None:
            indices = np.asarray(streams)
            if indices.size == 0:
                indices = indices.astype(np.uint32)
            if indices.ndim != 1 or indices.size != rows or indices.dtype.kind not in "iu":
                raise InputError(
                    f"streams has shape {indices.shape} and dtype {indices.dtype}; "
                    f"expected {rows} whole numbers, one for each window"
                )
            if rows and not 0 <= int(indices.min()) <= int(indices.max()) < self._streams:
                raise InputError(f"streams goes from {indices.min()} to {indices.max()}; there are 0 to {self._streams - 1}")
            chosen = ffi.from_buffer("uint32_t[]", np.ascontiguousarray(indices, dtype=np.uint32))
        out = np.empty(rows, dtype=np.float32)
        function = lib.listenkit_vad_batch_probabilities_f32 if is_float else lib.listenkit_vad_batch_probabilities_i16
        self.call(function, chosen, rows, data, count, ffi.from_buffer("float[]", out))
        return out

    def reset(self, stream: int | None = None) -> None:
        """Forgets one stream, or all."""
        self.call(lib.listenkit_vad_batch_reset, UNKNOWN_32 if stream is None else setting("stream", stream))

    @property
    def state_bytes(self) -> int:
        """Bytes of state for each stream, without the weights."""
        return int(self.value(lib.listenkit_vad_batch_state_bytes))
