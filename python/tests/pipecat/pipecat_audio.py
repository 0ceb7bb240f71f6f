"""Recordings as frames a transport might send."""

from __future__ import annotations

import random
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"


def read_wav(path: Path) -> tuple[npt.NDArray[np.int16], int]:
    """Mono samples and rate of a 16-bit WAV file."""
    with wave.open(str(path)) as file:
        assert (file.getsampwidth(), file.getnchannels()) == (2, 1), path
        return np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate()


def cut(samples: npt.NDArray[np.int16], sizes: int | random.Random, largest: int = 0) -> Iterator[bytes]:
    """The samples as bytes, in frames of `sizes` samples, or of random sizes up to `largest`."""
    at = 0
    while at < len(samples):
        size = sizes if isinstance(sizes, int) else sizes.randint(1, largest)
        yield samples[at : at + size].tobytes()
        at += size
