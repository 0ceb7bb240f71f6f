"""Audio as Python programs have it -> a pointer, a count and a type, without a copy wherever memory allows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from ._lib import ffi
from .errors import InputError, InputTypeError

if TYPE_CHECKING:
    import array
    from typing import TypeAlias

    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[np.int16] | npt.NDArray[np.float32]
    #: What a block of audio may be: an array, or int16 values in bytes.
    Block: TypeAlias = Array | bytes | bytearray | memoryview | "array.array[int]" | "array.array[float]"

INT16 = np.dtype(np.int16)
FLOAT32 = np.dtype(np.float32)
_INT16S, _FLOATS = ffi.typeof("int16_t[]"), ffi.typeof("float[]")

#: Hints by dtype, for errors.
_HINTS = {
    "float64": "x.astype(numpy.float32)",
    "float16": "x.astype(numpy.float32)",
    "int32": "(x >> 16).astype(numpy.int16) if full scale is 2**31, x.astype(numpy.int16) if it is 2**15",
    "int64": "x.astype(numpy.int16) if full scale is 2**15",
    "uint8": "((x.astype(numpy.int16) - 128) << 8) if it is 8-bit audio, x.view(numpy.int16) if it is bytes of int16",
    ">i2": "x.astype(numpy.int16)",
    ">f4": "x.astype(numpy.float32)",
}


def read(block: Any, channels: int, what: str = "audio") -> tuple[Any, int, bool]:
    """`(pointer, values over all channels, whether they are float32)`; the pointer keeps the memory alive.

    Arrays are `(n,)`, interleaved if there are several channels, or `(n, channels)`. An array that is not C-contiguous is
    copied. Bytes are int16 in the machine's order.
    """
    if not isinstance(block, np.ndarray):
        block = from_buffer(block, what)
    dtype = block.dtype
    if dtype is INT16 or dtype == INT16:
        kind, is_float = _INT16S, False
    elif dtype is FLOAT32 or dtype == FLOAT32:
        kind, is_float = _FLOATS, True
    else:
        raise InputTypeError(f"{what} is an array of {dtype}; expected int16 or float32 (full scale 1.0): use {_hint(dtype)}")
    if block.ndim == 1:
        if channels != 1 and block.size % channels:
            raise InputError(
                f"{what} holds {block.size} values, which is no whole number of samples of {channels} channels; "
                "interleave the channels and cut between samples"
            )
    elif block.ndim != 2 or block.shape[1] != channels:
        raise InputError(f"{what} has shape {block.shape}; expected {_shape(channels)}{_turned(block, channels, what)}")
    if not block.flags.carray and not (block.flags.c_contiguous and block.flags.aligned):
        block = np.ascontiguousarray(np.require(block, requirements="A"))
    return ffi.from_buffer(kind, block), block.size, is_float


def from_buffer(block: Any, what: str) -> Any:
    """Bytes and their like as an array over the same memory."""
    try:
        view = memoryview(block)
    except TypeError:
        hint = ""
        if type(block).__module__.partition(".")[0] == "torch":
            hint = ": use x.numpy()"
        elif isinstance(block, (list, tuple)):
            # Floats as int16 would be silence.
            kind = "float32" if any(isinstance(value, float) for value in block[:64]) else "int16"
            hint = f": use numpy.asarray(x, dtype=numpy.{kind})"
        raise InputTypeError(
            f"{what} is {_article(block)}; expected a numpy array of int16 or float32, or bytes of int16{hint}"
        ) from None
    if view.ndim > 1 or not view.c_contiguous:
        return np.asarray(view)
    if view.format in ("B", "b", "c"):
        if view.nbytes % 2:
            raise InputError(
                f"{what} has {view.nbytes} bytes, which is no whole number of int16 values; "
                "cut between values, or use numpy.frombuffer(x, dtype=...) if it is another format"
            )
        return np.frombuffer(view, dtype=INT16)
    return np.asarray(view)


def window(block: Any, length: int, what: str = "window") -> tuple[Any, int, bool]:
    """As [`read`] of one channel, which must be of this length."""
    data, count, is_float = read(block, 1, what)
    if count != length:
        raise InputError(f"{what} has {count} samples; expected {length}: cut the audio into whole windows, back to back")
    return data, count, is_float


def _hint(dtype: Any) -> str:
    for key in (dtype.str, dtype.name):
        if key in _HINTS and not (key == dtype.name and not dtype.isnative):
            return _HINTS[key]
    return "x.astype(numpy.float32) or x.astype(numpy.int16), scaled"


def _shape(channels: int) -> str:
    return "(n,)" if channels == 1 else f"(n, {channels}), or (n * {channels},) interleaved"


def _turned(block: Any, channels: int, what: str) -> str:
    if block.ndim != 2:
        return ""
    rows, columns = block.shape
    if rows == channels:
        return ": use x.T" if channels > 1 else ": use x[0]"
    if channels > 1 or not 1 <= min(rows, columns) <= 8:
        return ""
    turned = rows < columns
    one = "take one, x[0]" if turned else "take one, x[:, 0]"
    # Only a detector hears several channels.
    several = f"set channels={min(rows, columns)}{' and use x.T' if turned else ''}, or " if what == "block" else ""
    return f": {several}{one}"


def _article(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


if sys.byteorder != "little":  # bytes are read as the machine has them
    raise ImportError("listenkit needs a little-endian machine")
