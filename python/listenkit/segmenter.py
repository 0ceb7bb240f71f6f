"""Probabilities in, stretches of speech out: the detector's rules over a VAD of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _convert
from . import events as e
from ._check import count, number
from ._lib import EMPTY, Handle, lib, make, sized
from .options import DetectorOptions, Settings, build, to_struct

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Segmenter(Handle):
    """Turns the probabilities of windows that lie back to back into `StartOfSpeech`, `EndOfSpeech` and `Segment`.

    It uses the thresholds, durations and `start_at` of the settings. A `Segment` says where its audio lies; the samples are the caller's.
    """

    __slots__ = ("_options", "_record")
    _kind = "segmenter"

    def __init__(
        self,
        sample_rate: int | None = None,
        *,
        options: DetectorOptions | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        self._options = build(sample_rate, options, None, settings)
        self._record = sized("listenkit_event")
        super().__init__(make("segmenter", to_struct(self._options)))

    def push(self, window_end: int, probability: float) -> list[e.Event]:
        """The next window: where it ends, in samples, and the probability that it holds speech."""
        self.call(lib.listenkit_segmenter_push, count("window_end", window_end), number("probability", probability))
        return self._take()

    def flush(self) -> list[e.Event]:
        """End of input: ends open speech."""
        self.call(lib.listenkit_segmenter_flush)
        return self._take()

    def reset(self) -> list[e.Event]:
        """Ends open speech, then forgets everything."""
        self.call(lib.listenkit_segmenter_reset)
        return self._take()

    @property
    def options(self) -> DetectorOptions:
        """The settings it was made with."""
        return self._options

    def _take(self) -> list[e.Event]:
        said: list[e.Event] = []
        while self.call(lib.listenkit_segmenter_poll, self._record) != EMPTY:
            event = _convert.event(self._record)
            if event is not None:
                said.append(event)
        return said
