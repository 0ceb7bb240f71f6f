"""What the user is saying, until it goes to the recogniser; and where to cut it when it gets too long."""

from __future__ import annotations

from dataclasses import dataclass, field

from livekit import rtc

from .vad import mono


@dataclass
class OpenSpeech:
    """Speech that is open: what has been heard of it and not yet been submitted."""

    rate: int
    audio_at: float
    start_time: float
    blocks: list[bytes] = field(default_factory=list)
    #: Speech probability of the window that a block holds; the prefix counts as speech, it is never the place to cut.
    probabilities: list[float] = field(default_factory=list)
    samples: int = 0
    #: Whether a part of it has been submitted already.
    cut: bool = False

    def add(self, frames: list[rtc.AudioFrame], probability: float) -> None:
        for frame in frames:
            self.blocks.append(bytes(mono(frame)))
            self.probabilities.append(probability)
            self.samples += frame.samples_per_channel

    @property
    def duration(self) -> float:
        return self.samples / self.rate

    def take(self, count: int) -> rtc.AudioFrame:
        """The first ``count`` blocks as one frame; what is left goes on behind them."""
        data = b"".join(self.blocks[:count])
        samples = len(data) // 2
        del self.blocks[:count], self.probabilities[:count]
        self.samples -= samples
        self.audio_at += samples / self.rate
        return rtc.AudioFrame(data, self.rate, 1, samples)

    def best_cut(self) -> int:
        """How many blocks to submit now: up to the end of the least speech-like one in the last third."""
        count = len(self.blocks)
        search = range(max(1, count - count // 3), count)
        return 1 + min(search, key=lambda k: self.probabilities[k], default=count - 1)
