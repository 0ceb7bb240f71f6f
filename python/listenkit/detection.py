"""Whole recordings at once."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _samples, _wav
from . import events as e
from ._record import Record, record
from .detector import Detector
from .errors import ConfigError, InputError
from .models import Models
from .options import DetectorOptions, Policy, Settings
from .turn_model import TurnModel

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._samples import Block
    from .detector import TurnJudge


@record
class Detection(Record):
    """What is in a recording."""

    #: Everything that was said, in order.
    events: list[e.Event] = field(repr=False)
    #: The speech with its padding, with `audio`.
    segments: list[e.Segment]
    #: When the user's turns were over.
    turns: list[e.EndOfTurn]
    #: A 64-bit digest of every probability and event: equal for equal input, in Rust, C and Python.
    fingerprint: int
    #: Hz.
    sample_rate: int
    #: Samples of each channel.
    samples: int

    @property
    def duration(self) -> float:
        """Length of the recording in seconds."""
        return self.samples / self.sample_rate


def detect(
    audio: str | os.PathLike[str] | Block,
    sample_rate: int | None = None,
    *,
    turn_model: bool | TurnJudge = True,
    answers_after: float = 0.03,
    options: DetectorOptions | None = None,
    policy: Policy | None = None,
    models: Models | None = None,
    **settings: Unpack[Settings],
) -> Detection:
    """Finds speech and turns in a recording: the path of a WAV file, or samples and their rate. By default exactly what
    `listenkit analyze` finds.

    `turn_model`: `True` for Smart Turn with the policy "balanced", which takes 25 ms of CPU at every pause; `False` for silence alone;
    or a model of your own. Its answers count `answers_after` seconds of audio later, as if the audio were live. Settings are those of
    `Detector`; `segment_audio` is on.
    """
    samples: Any
    rate: int | None
    if isinstance(audio, (str, os.PathLike)):
        samples, rate = _wav.read(audio)
        if sample_rate is not None and sample_rate != rate:
            raise InputError(f"{os.fspath(audio)} has {rate} Hz; leave out sample_rate={sample_rate}")
    else:
        if sample_rate is None and options is None:
            raise InputError("sample_rate is missing: an array does not know its own; detect(audio, 16_000)")
        samples, rate = _as_array(audio), sample_rate
    judge: TurnJudge | None
    if isinstance(turn_model, bool):
        judge = TurnModel(models=models) if turn_model else None
    else:
        judge = turn_model
    if judge is not None and policy is None and options is None:
        policy = "balanced"
    settings.setdefault("segment_audio", True if options is None else options.segment_audio)
    if samples.ndim == 2:
        if samples.shape[0] <= 8 < samples.shape[1]:
            raise InputError(f"audio has shape {samples.shape}; expected (n,) or (n, channels): use x.T")
        settings.setdefault("channels", samples.shape[1])
    detector = Detector(rate, options=options, policy=policy, models=models, **settings)
    with detector:
        host = _Host(detector, judge, answers_after)
        said = host.hear(samples)
        return Detection(
            said,
            [event for event in said if isinstance(event, e.Segment)],
            [event for event in said if isinstance(event, e.EndOfTurn)],
            detector.fingerprint,
            detector.sample_rate,
            len(samples) if samples.ndim == 2 else len(samples) // detector.options.channels,
        )


class _Host:
    """The program beside the detector: gives every answer when it is due in the audio, so that equal input gives equal output."""

    def __init__(self, detector: Detector, judge: TurnJudge | None, answers_after: float) -> None:
        if not 0 <= answers_after <= 60:
            raise ConfigError(f"answers_after is {answers_after}; use 0 to 60 seconds")
        self.detector = detector
        self.judge = judge
        # Rounded up, as the library rounds durations.
        nanoseconds = round(answers_after * 1e9)
        self.after = -(-nanoseconds * detector.sample_rate // 1_000_000_000)
        self.waiting: deque[tuple[int, int, float]] = deque()
        self.said: list[e.Event] = []

    def hear(self, samples: Any) -> list[e.Event]:
        detector = self.detector
        width = detector.options.channels if samples.ndim == 1 else 1
        # A second at a time, or less than the time of an answer: none is due within the block that it is asked for in.
        block = detector.sample_rate if self.judge is None else max(1, min(self.after, detector.sample_rate))
        if self.judge is not None and self.after == 0:
            return detector._hear(samples, self.judge) + self._flush()
        done, total = 0, len(samples) // width
        while done < total:
            end = min(total, done + block)
            if self.waiting:
                end = min(end, done + max(0, self.waiting[0][0] - detector.position))
            self._take(detector.process(samples[done * width : end * width]))
            done = end
            self._answer()
        return self.said + self._flush()

    def _flush(self) -> list[e.Event]:
        before = len(self.said)
        self._take(self.detector.flush())
        self._answer()
        flushed, self.said[before:] = self.said[before:], []
        return flushed

    def _take(self, events: list[e.Event]) -> None:
        for event in events:
            if isinstance(event, e.TurnQuery) and self.judge is not None:
                assert event.audio is not None
                probability = self.judge(event.audio)
                if probability is not None:
                    self.waiting.append((event.decided_at + self.after, event.id, probability))
            elif not (isinstance(event, e.TurnQueryCancelled) and self.judge is not None):
                self.said.append(event)

    def _answer(self) -> None:
        while self.waiting and self.waiting[0][0] <= self.detector.position:
            _, query, probability = self.waiting.popleft()
            self._take(self.detector.answer_turn(query, probability))


def _as_array(audio: Any) -> Any:
    return audio if isinstance(audio, np.ndarray) else _samples.from_buffer(audio, "audio")
