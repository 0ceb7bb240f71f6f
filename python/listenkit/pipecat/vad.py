"""A Pipecat VAD analyzer over listenkit's Silero VAD.

Parameters and states are Pipecat's. The one idea: a state changes at the window that confirms it, never at the end of
the buffer the transport happened to send, so any cut of the same audio goes through the same states.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from loguru import logger
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams, VADState

import listenkit

_MODEL_RATES = (8_000, 16_000)
_RESAMPLED_RATE = 16_000
_WINDOW_SECS = 0.032
# What is heard on the caller's event loop rather than in the analyzer's thread: up to four windows. Their
# probabilities take less time than the way to a thread and back (docs/pipecat.md, "Cost").
_INLINE_SECS = 0.128


class ListenkitVADAnalyzer(VADAnalyzer):
    """Voice activity by listenkit, in the place of Pipecat's ``SileroVADAnalyzer``.

    Takes any sample rate from 4 to 192 kHz: the model runs at 8 or 16 kHz, other rates are resampled to 16 kHz as the
    audio comes in. The model's state is kept fresh by listenkit's state guard instead of resets.

    One analyzer hears one stream; all of them share one set of weights.
    """

    def __init__(
        self,
        *,
        sample_rate: int | None = None,
        params: VADParams | None = None,
        models: listenkit.Models | None = None,
        state_guard: bool = True,
    ) -> None:
        """Make an analyzer. Nothing is loaded before ``set_sample_rate``.

        Args:
            sample_rate: Rate of the audio in Hz. None: the pipeline's, which is what Pipecat sets at its start.
            params: Pipecat's VAD parameters. None: Pipecat's defaults.
            models: Weights, to use others than the default ones. None: ``listenkit.default_models()``.
            state_guard: Keep the model able to hear speech after long music, noise or silence.
        """
        super().__init__(sample_rate=sample_rate, params=params)
        self._models = models
        self._state_guard = state_guard
        self._vad: listenkit.VAD | None = None
        self._resampler: listenkit.Resampler | None = None
        self._half_sample = b""
        self._pending = bytearray()
        self._opposed = 0
        self._confidence = 0.0

    @property
    def confidence(self) -> float:
        """The newest window's probability of speech, 0 to 1; 0 before the first window."""
        return self._confidence

    def set_sample_rate(self, sample_rate: int) -> None:
        """Begin a new stream of audio at ``sample_rate`` Hz, or at the constructor's rate if it was given one.

        Raises:
            listenkit.ListenkitError: the rate is none that can be resampled.
        """
        effective = self._init_sample_rate or sample_rate
        if effective != sample_rate:
            logger.warning(
                f"{type(self).__name__}(sample_rate={effective}) hears a pipeline of {sample_rate} Hz as {effective} Hz;"
                " leave sample_rate out to take the pipeline's"
            )
        native = effective in _MODEL_RATES
        self._resampler = None if native else listenkit.Resampler(effective, _RESAMPLED_RATE)
        self._vad = listenkit.VAD(
            effective if native else _RESAMPLED_RATE,
            models=self._models,
            state_guard=self._state_guard,
        )
        self._half_sample = b""
        self._pending.clear()
        self._confidence = 0.0
        super().set_sample_rate(sample_rate)

    def set_params(self, params: VADParams) -> None:
        """Take other parameters from the next window on. As with every Pipecat analyzer, the state becomes QUIET."""
        super().set_params(params)
        self._opposed = 0

    def num_frames_required(self) -> int:
        """Samples of one window, 32 ms: 256 at 8 kHz, 512 at 16 kHz."""
        return round(self.sample_rate * _WINDOW_SECS)

    def voice_confidence(self, buffer: bytes) -> float:
        """Probability of speech, 0 to 1, in the stream's next window.

        ``analyze_audio`` does this for audio of any length; call one or the other. At a rate that is resampled the
        answer is the newest window's, which lags by the resampler's delay.

        Raises:
            ValueError: ``buffer`` is not ``num_frames_required()`` samples of 16 bits.
        """
        expected = self.num_frames_required() * 2
        if len(buffer) != expected:
            raise ValueError(
                f"a window is {expected} bytes ({expected // 2} samples of 16 bits at {self.sample_rate} Hz),"
                f" not {len(buffer)}"
            )
        for _ in self._windows(buffer):
            pass
        return self._confidence

    async def analyze_audio(self, buffer: bytes) -> VADState:
        """Hear the next ``buffer``, of any length, and return the state.

        That is the one at its end, or SPEAKING or QUIET if the buffer has confirmed that and gone on to STOPPING or
        STARTING. A buffer longer than ``start_secs`` or ``stop_secs`` can hold both, of which the caller then sees the
        later one: Pipecat's interface returns one state.
        """
        if len(buffer) <= self.sample_rate * _INLINE_SECS * 2:
            return self._run_analyzer(buffer)
        return await super().analyze_audio(buffer)

    async def cleanup(self) -> None:
        """Give back the thread. The analyzer can be set up again for another pipeline."""
        await super().cleanup()
        self._executor = ThreadPoolExecutor(max_workers=1)

    def _run_analyzer(self, buffer: bytes) -> VADState:
        confirmed: VADState | None = None
        for window in self._windows(buffer):
            loud = True
            # Pipecat's loudness of the last 0.4 s costs more than the model; who sets no minimum does not pay for it.
            if self._params.min_volume > 0.0:
                volume_rate = self.sample_rate if self._resampler is None else _RESAMPLED_RATE
                self._volume_tracker.update(window, volume_rate)
                self._prev_volume += self._smoothing_factor * (
                    self._volume_tracker.volume - self._prev_volume
                )
                loud = self._prev_volume >= self._params.min_volume
            if self._step(self._confidence >= self._params.confidence and loud):
                confirmed = self._vad_state
        return confirmed or self._vad_state

    def _windows(self, buffer: bytes) -> Iterator[bytes]:
        """The windows that ``buffer`` completes, at the model's rate. ``_confidence`` is the yielded one's."""
        if self._vad is None:
            raise RuntimeError("call set_sample_rate() before audio; a Pipecat pipeline does at its start")
        if self._resampler is None:
            self._pending += buffer
        else:
            pcm = self._half_sample + buffer
            whole = len(pcm) & ~1
            self._half_sample = pcm[whole:]
            block = np.frombuffer(pcm, np.int16, count=whole // 2)
            self._pending += self._resampler.process(block).tobytes()
        size = self._vad.window_len * 2
        while len(self._pending) >= size:
            window = bytes(self._pending[:size])
            del self._pending[:size]
            self._confidence = float(self._vad(np.frombuffer(window, np.int16)))
            yield window

    def _step(self, speaking: bool) -> bool:
        """Take one window into the state, and say whether it has confirmed SPEAKING or QUIET.

        It takes ``start_secs`` or ``stop_secs`` of windows in a row against the state to turn it.
        """
        spoke = self._vad_state in (VADState.SPEAKING, VADState.STOPPING)
        if speaking == spoke:
            self._opposed = 0
            self._vad_state = VADState.SPEAKING if spoke else VADState.QUIET
            return False
        self._opposed += 1
        if self._opposed < (self._vad_start_frames if speaking else self._vad_stop_frames):
            self._vad_state = VADState.STARTING if speaking else VADState.STOPPING
            return False
        self._opposed = 0
        self._vad_state = VADState.SPEAKING if speaking else VADState.QUIET
        return True
