"""WAV files as arrays: 16-bit samples stay, all other PCM becomes float32, as in the command line."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError

if TYPE_CHECKING:
    from ._samples import Array

# WAVE_FORMAT_PCM, WAVE_FORMAT_IEEE_FLOAT, WAVE_FORMAT_EXTENSIBLE of mmreg.h.
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


def read(path: str | os.PathLike[str]) -> tuple[Array, int]:
    """The samples and the rate of a WAV file: `(n,)`, or `(n, channels)` of several channels; int16 or float32."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return _parse(data)
    except InputError as error:
        raise InputError(f"{os.fspath(path)}: {error}") from None


def _parse(data: bytes) -> tuple[Array, int]:
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise InputError(
            "not a WAV file; read it with another library, such as soundfile, and give listenkit the array and its sample_rate"
        )
    at, form = 12, None
    while at + 8 <= len(data):
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if name == b"fmt ":
            form = _format(data[at : at + length])
        elif name == b"data":
            if form is None:
                break
            # A length of 0 or of all ones was never filled in: the writer was a pipe, or was killed.
            there = data[at:] if length in (0, 2**32 - 1) else data[at : at + length]
            return _samples(there, *form[1:]), form[0]
        # Chunks are padded to an even length.
        at += length + (length & 1)
    raise InputError("the WAV header ends before any audio; the file was cut off, copy or record it again")


def _format(chunk: bytes) -> tuple[int, int, int, int, int]:
    """`(rate, channels, bytes of a value, bits in it, whether float)`."""
    if len(chunk) < 16:
        raise InputError("the WAV header is damaged (the fmt chunk is too short); convert or record the file again")
    tag, channels, rate, _, align, bits = struct.unpack("<HHIIHH", chunk[:16])
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        (tag,) = struct.unpack("<H", chunk[24:26])
    if tag not in (_PCM, _FLOAT):
        raise InputError(f"WAV with codec {tag:#06x} inside; convert it to PCM")
    if not 1 <= channels <= 8 or rate == 0:
        raise InputError(f"the WAV header says {channels} channels at {rate} Hz; expected 1 to 8 channels")
    size = bits // 8
    # 24 bits may lie in 4 bytes.
    if bits == 24 and align == channels * 4:
        size = 4
    if (bits, tag) not in ((8, _PCM), (16, _PCM), (24, _PCM), (32, _PCM), (32, _FLOAT), (64, _FLOAT)):
        raise InputError(f"WAV with {bits}-bit samples; convert it to 16-bit integers or 32-bit floats")
    return rate, channels, size, bits, tag == _FLOAT


def _samples(data: bytes, channels: int, size: int, bits: int, is_float: int) -> Array:
    count = len(data) // (size * channels) * channels
    values: Any
    if is_float:
        values = np.frombuffer(data, dtype="<f4" if size == 4 else "<f8", count=count).astype(np.float32, copy=False)
    elif bits == 16:
        values = np.frombuffer(data, dtype="<i2", count=count)
    elif bits == 8:
        values = (np.frombuffer(data, dtype=np.uint8, count=count).astype(np.float32) - 128) / np.float32(128)
    elif size == 3:
        octets = np.frombuffer(data, dtype=np.uint8, count=count * 3).reshape(-1, 3).astype(np.int32)
        values = octets[:, 0] | octets[:, 1] << 8 | octets[:, 2] << 16
        values = (values - ((values & 0x800000) << 1)).astype(np.float32) / np.float32(2**23)
    else:
        full = 2**23 if bits == 24 else 2**31
        values = np.frombuffer(data, dtype="<i4", count=count).astype(np.float32) / np.float32(full)
    shaped: Array = values if channels == 1 else values.reshape(-1, channels)
    return shaped
