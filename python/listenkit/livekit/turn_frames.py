"""The audio of a turn, for the turn model: kept as the frames that came, converted when there is a question."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from livekit import rtc

import listenkit

from .vad import mono

#: What Smart Turn looks at, in seconds.
MODEL_SECONDS = 8.0
MODEL_RATE = 16_000


class TurnFrames:
    """The last seconds of a stream, as frames. They are converted to what the model takes only when it is asked: pauses are rare, frames
    are not."""

    def __init__(self, frames: deque[rtc.AudioFrame] | None = None, seconds: float = 0.0) -> None:
        self._frames: deque[rtc.AudioFrame] = deque() if frames is None else frames
        self._seconds = seconds
        #: All that was ever pushed, in seconds.
        self.heard = 0.0

    def push(self, frame: rtc.AudioFrame) -> None:
        seconds = frame.samples_per_channel / frame.sample_rate
        self._frames.append(frame)
        self._seconds += seconds
        self.heard += seconds
        while self._seconds - self._first() > MODEL_SECONDS:
            self._drop()

    def keep_last(self, seconds: float) -> None:
        while self._frames and self._seconds - self._first() >= seconds:
            self._drop()

    def copy(self) -> TurnFrames:
        return TurnFrames(self._frames.copy(), self._seconds)

    def _first(self) -> float:
        return self._frames[0].samples_per_channel / self._frames[0].sample_rate

    def _drop(self) -> None:
        self._seconds -= self._first()
        self._frames.popleft()

    def samples(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """16 kHz, mono, full scale 1.0."""
        parts: list[np.ndarray[Any, np.dtype[np.int16]]] = []
        rate = 0
        run: list[Any] = []  # blocks of that rate
        for frame in self._frames:
            if frame.sample_rate != rate:
                parts.append(_at_model_rate(run, rate))
                rate, run = frame.sample_rate, []
            run.append(np.asarray(mono(frame)))
        parts.append(_at_model_rate(run, rate))
        samples: np.ndarray[Any, np.dtype[np.float32]] = np.concatenate(parts).astype(np.float32)
        samples /= 32768.0
        return samples[-int(MODEL_SECONDS * MODEL_RATE) :]


def _at_model_rate(blocks: list[Any], rate: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    if not blocks:
        return np.empty(0, dtype=np.int16)
    samples: np.ndarray[Any, np.dtype[np.int16]] = np.concatenate(blocks)
    if rate == MODEL_RATE:
        return samples
    resampler = listenkit.Resampler(rate, MODEL_RATE, aligned=True)
    return np.concatenate([resampler.process(samples), resampler.flush()])
