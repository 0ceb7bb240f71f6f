"""`ListenkitVADAnalyzer` against Pipecat's own analyzers and against every cut of the same audio."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams, VADState
from pipecat_audio import cut

import listenkit
from listenkit.pipecat import ListenkitVADAnalyzer

Samples = npt.NDArray[np.int16]
SETTLED = (VADState.QUIET, VADState.SPEAKING)


def states(analyzer: VADAnalyzer, frames: Iterable[bytes]) -> list[VADState]:
    """The state after every frame."""

    async def hear() -> list[VADState]:
        return [await analyzer.analyze_audio(frame) for frame in frames]

    return asyncio.run(hear())


def turns(analyzer: VADAnalyzer, frames: Iterable[bytes]) -> list[tuple[VADState, int]]:
    """Settled states as the controller sees them: which, and in which window of 32 ms the frame that said so ends."""
    seen, samples, last = [], 0, VADState.QUIET

    async def hear() -> None:
        nonlocal samples, last
        for frame in frames:
            state = await analyzer.analyze_audio(frame)
            samples += len(frame) // 2
            if state in SETTLED and state != last:
                last = state
                seen.append((state, samples))

    asyncio.run(hear())
    return seen


class Scripted(VADAnalyzer):
    """Pipecat's own state machine on confidences from a list."""

    def __init__(self, confidences: list[float], params: VADParams) -> None:
        super().__init__(params=params)
        self._script = iter(confidences)

    def num_frames_required(self) -> int:
        return 512

    def voice_confidence(self, buffer: bytes) -> float:
        return next(self._script)


class ScriptedVad:
    """A model that says what a list says."""

    window_len = 512

    def __init__(self, confidences: list[float]) -> None:
        self._script = iter(confidences)

    def __call__(self, window: Samples) -> float:
        assert len(window) == self.window_len
        return next(self._script)


def scripted(confidences: list[float], params: VADParams) -> ListenkitVADAnalyzer:
    analyzer = ListenkitVADAnalyzer(params=params)
    analyzer.set_sample_rate(16_000)
    analyzer._vad = ScriptedVad(confidences)  # type: ignore[assignment]
    return analyzer


def test_it_is_a_pipecat_analyzer() -> None:
    analyzer = ListenkitVADAnalyzer(params=VADParams(confidence=0.6))
    assert isinstance(analyzer, VADAnalyzer)
    assert analyzer.params.confidence == 0.6
    assert ListenkitVADAnalyzer().params == VADParams()


@pytest.mark.parametrize(("rate", "expected"), [(8_000, 256), (16_000, 512), (48_000, 1536), (44_100, 1411)])
def test_a_window_is_32_ms(rate: int, expected: int) -> None:
    analyzer = ListenkitVADAnalyzer()
    analyzer.set_sample_rate(rate)
    assert analyzer.sample_rate == rate
    assert analyzer.num_frames_required() == expected


@pytest.mark.parametrize("seed", range(40))
def test_states_are_pipecats_for_windows_one_by_one(seed: int) -> None:
    """The oracle is Pipecat's state machine, fed one window at a time, where its fault does not show."""
    rng = random.Random(seed)
    confidences = []
    while len(confidences) < 300:
        confidences += [rng.choice([0.1, 0.7, 0.9])] * rng.randint(1, rng.choice([2, 12]))
    params = VADParams(
        start_secs=rng.choice([0.0, 0.01, 0.05, 0.2, 0.4]),
        stop_secs=rng.choice([0.0, 0.03, 0.2, 0.8]),
        min_volume=rng.choice([0.0, 0.6]),
    )
    noise = np.random.default_rng(seed).normal(0, rng.choice([5, 8000]), 512 * len(confidences))
    samples = noise.astype(np.int16)
    pipecats = Scripted(confidences, params)
    pipecats.set_sample_rate(16_000)
    expected = states(pipecats, cut(samples, 512))
    assert states(scripted(confidences, params), cut(samples, 512)) == expected
    # In any cut: the state after the buffer's last whole window, or what was confirmed in it before that.
    frames = list(cut(samples, rng, largest=4000))
    analyzer = scripted(confidences, params)
    position = 0
    last = VADState.QUIET
    for state, frame in zip(states(analyzer, frames), frames, strict=True):
        first, position = position // 512, position + len(frame) // 2
        inside = expected[first : position // 512]
        changes = [
            now for before, now in zip([last, *inside], inside, strict=False) if was_speaking(now) != was_speaking(before)
        ]
        last = inside[-1] if inside else last
        assert state == (changes[-1] if changes else last)


def was_speaking(state: VADState) -> bool:
    return state in (VADState.SPEAKING, VADState.STOPPING)


def test_a_buffer_that_holds_the_whole_start_confirms_it() -> None:
    """Three windows of speech and one without, with a start of two windows: Pipecat's own misses it."""
    params = VADParams(start_secs=0.064, stop_secs=0.2, min_volume=0.0)
    confidences = [0.9, 0.9, 0.9, 0.1]
    buffer = [bytes(512 * 4 * 2)]
    pipecats = Scripted(confidences, params)
    pipecats.set_sample_rate(16_000)
    assert states(pipecats, buffer) == [VADState.QUIET], "Pipecat has changed: look at docs/pipecat.md"
    assert states(scripted(confidences, params), buffer) == [VADState.SPEAKING]


def test_a_pause_is_told_though_speech_begins_again_in_the_same_buffer() -> None:
    """QUIET, then STARTING: Pipecat's controller acts on the first alone and would never hear of it."""
    params = VADParams(start_secs=0.064, stop_secs=0.064, min_volume=0.0)
    buffers = [bytes(512 * 2 * 3), bytes(512 * 2 * 3)]
    assert states(scripted([0.9, 0.9, 0.9, 0.1, 0.1, 0.9], params), buffers) == [VADState.SPEAKING, VADState.QUIET]


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_any_cut_gives_the_same_speech(
    rate: int, conversation: tuple[Samples, int], conversation_16k: Samples
) -> None:
    samples = conversation[0] if rate == 48_000 else conversation_16k

    def speech(sizes: int | random.Random) -> list[VADState]:
        analyzer = ListenkitVADAnalyzer()
        analyzer.set_sample_rate(rate)
        # Frames of up to 0.1 s: short against start_secs and stop_secs, so that no change hides inside one.
        seen = turns(analyzer, cut(samples, sizes, largest=rate // 10))
        return [state for state, _ in seen]

    whole = speech(rate // 100)
    # The eight spans of fixtures/conversation-en/manifest.toml; the pauses inside "four seven one" and "... Goodbye!"
    # are shorter than stop_secs or not, but each of the five utterances is heard.
    assert whole.count(VADState.SPEAKING) >= 5
    assert whole == [VADState.SPEAKING, VADState.QUIET] * (len(whole) // 2)
    for sizes in (rate // 50, 160, 333, rate * 32 // 1000, random.Random(1), random.Random(2)):
        assert speech(sizes) == whole


def test_one_byte_at_a_time_is_heard_like_whole_frames(conversation: tuple[Samples, int]) -> None:
    samples, rate = conversation
    pcm = samples[rate : rate + rate // 4].tobytes()
    whole, bytewise = ListenkitVADAnalyzer(), ListenkitVADAnalyzer()
    for analyzer in (whole, bytewise):
        analyzer.set_sample_rate(rate)
    states(whole, [pcm])
    states(bytewise, (pcm[i : i + 1] for i in range(len(pcm))))
    assert whole.confidence == bytewise.confidence > 0.0


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_confidence_is_sileros(rate: int, conversation: tuple[Samples, int]) -> None:
    """The same model: with both states kept, every window agrees with onnxruntime's."""
    import soxr

    samples = soxr.resample(conversation[0], conversation[1], rate)[: rate * 4]
    ours = ListenkitVADAnalyzer(state_guard=False)
    pipecats = SileroVADAnalyzer()
    worst = 0.0
    for analyzer in (ours, pipecats):
        analyzer.set_sample_rate(rate)
    # Speaking keeps Pipecat from resetting its model.
    pipecats._vad_state = VADState.SPEAKING
    for window in cut(samples, ours.num_frames_required()):
        if len(window) < ours.num_frames_required() * 2:
            break
        worst = max(worst, abs(ours.voice_confidence(window) - float(pipecats.voice_confidence(window)[0])))
    # Float sums in another order; the core's own parity test has the same bound.
    assert worst < 1e-3


def test_the_same_speech_as_pipecats(conversation_16k: Samples) -> None:
    """A swap keeps a clean call as it was: equal starts and ends, to three windows."""
    ours, pipecats = ListenkitVADAnalyzer(), SileroVADAnalyzer()
    for analyzer in (ours, pipecats):
        analyzer.set_sample_rate(16_000)
    expected = turns(pipecats, cut(conversation_16k, 512))
    heard = turns(ours, cut(conversation_16k, 512))
    assert [state for state, _ in heard] == [state for state, _ in expected]
    assert max(abs(a - b) for (_, a), (_, b) in zip(heard, expected, strict=True)) <= 3 * 512


def test_no_minimum_volume_means_no_loudness_is_measured(conversation_16k: Samples) -> None:
    quiet = (conversation_16k.astype(np.float32) * 10 ** (-50 / 20)).astype(np.int16)

    def heard(min_volume: float) -> bool:
        analyzer = ListenkitVADAnalyzer(params=VADParams(min_volume=min_volume, confidence=0.0))
        analyzer.set_sample_rate(16_000)
        return VADState.SPEAKING in states(analyzer, cut(quiet, 320))

    assert heard(0.0)
    assert not heard(0.9)


@pytest.mark.parametrize(("rate", "measured_at"), [(8_000, 8_000), (48_000, 16_000)])
def test_loudness_is_that_of_the_audio_the_model_hears(rate: int, measured_at: int) -> None:
    class Tracker:
        volume = 1.0
        rates: ClassVar[list[int]] = []

        def update(self, audio: bytes, sample_rate: int) -> None:
            assert len(audio) == 2 * sample_rate * 32 // 1000
            self.rates.append(sample_rate)

    for min_volume in (0.6, 0.0):
        analyzer = ListenkitVADAnalyzer(params=VADParams(min_volume=min_volume))
        analyzer.set_sample_rate(rate)
        analyzer._volume_tracker = Tracker()  # type: ignore[assignment]
        states(analyzer, [bytes(rate)])
    # Half a second, once: who sets no minimum does not pay for measuring.
    assert set(Tracker.rates) == {measured_at}
    assert len(Tracker.rates) == 15


def test_weights_and_guard_reach_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, dict[str, Any]]] = []
    real = listenkit.VAD

    def vad(sample_rate: int, **kwargs: Any) -> listenkit.VAD:
        made.append((sample_rate, kwargs))
        return real(sample_rate, **kwargs)

    monkeypatch.setattr(listenkit, "VAD", vad)
    models = listenkit.Models()
    ListenkitVADAnalyzer(models=models, state_guard=False).set_sample_rate(44_100)
    ListenkitVADAnalyzer().set_sample_rate(8_000)
    assert made == [
        (16_000, {"models": models, "state_guard": False}),
        (8_000, {"models": None, "state_guard": True}),
    ]


def test_a_window_of_the_wrong_length_is_an_error_not_silence() -> None:
    analyzer = ListenkitVADAnalyzer()
    analyzer.set_sample_rate(16_000)
    with pytest.raises(ValueError, match=r"1024 bytes \(512 samples of 16 bits at 16000 Hz\), not 640"):
        analyzer.voice_confidence(bytes(640))


def test_audio_before_a_rate_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="set_sample_rate"):
        ListenkitVADAnalyzer().voice_confidence(b"")
    with pytest.raises(listenkit.ListenkitError):
        ListenkitVADAnalyzer().set_sample_rate(100)


def test_a_new_stream_is_like_a_fresh_analyzer(conversation_16k: Samples) -> None:
    used = ListenkitVADAnalyzer()
    used.set_sample_rate(16_000)
    states(used, cut(conversation_16k[: 16_000 * 3 + 77], 320))
    asyncio.run(used.cleanup())
    used.set_sample_rate(16_000)
    fresh = ListenkitVADAnalyzer()
    fresh.set_sample_rate(16_000)
    window = conversation_16k[16_000 : 16_000 + 512].tobytes()
    assert used.voice_confidence(window) == fresh.voice_confidence(window)
    # Long buffers go through the thread, which cleanup had given back.
    assert states(used, [conversation_16k.tobytes()]) == states(fresh, [conversation_16k.tobytes()])


def test_other_parameters_begin_with_quiet() -> None:
    analyzer = scripted([0.9] * 20, VADParams(min_volume=0.0))
    # Two windows into a start, which then counts from the beginning.
    assert states(analyzer, cut(np.zeros(512 * 2, np.int16), 512))[-1] == VADState.STARTING
    analyzer.set_params(VADParams(min_volume=0.0, start_secs=0.1))
    assert states(analyzer, cut(np.zeros(512 * 3, np.int16), 512)) == [
        VADState.STARTING,
        VADState.STARTING,
        VADState.SPEAKING,
    ]
