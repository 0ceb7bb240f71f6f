"""`ListenkitTurnAnalyzer`: which samples the model hears, what becomes of its answer, and that no clock has a say."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer, EndOfTurnState
from pipecat.audio.turn.smart_turn.base_smart_turn import SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.metrics.metrics import TurnMetricsData
from pipecat_audio import cut
from pydantic import ValidationError

import listenkit
from listenkit.pipecat import ListenkitTurnAnalyzer, ListenkitTurnMetricsData, ListenkitTurnParams

Samples = npt.NDArray[np.int16]
COMPLETE, INCOMPLETE = EndOfTurnState.COMPLETE, EndOfTurnState.INCOMPLETE
RATE = 16_000


class Heard(ListenkitTurnAnalyzer):
    """An analyzer whose model answers as told and keeps what it heard."""

    def __init__(self, answer: float | Exception = 0.9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.answer = answer
        self.audio: list[Samples] = []
        self.delay = 0.0

    def _probability(self, audio: Samples, sample_rate: int) -> float:
        time.sleep(self.delay)
        self.audio.append(audio)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def counting(count: int, start: int = 0) -> Samples:
    """Samples that say where they are, modulo 65536."""
    return np.arange(start, start + count).astype(np.int16)


def ask(analyzer: BaseTurnAnalyzer) -> tuple[EndOfTurnState, Any]:
    return asyncio.run(analyzer.analyze_end_of_turn())


def speak(analyzer: BaseTurnAnalyzer, seconds: float, *, frame: int = 320, start: int = 0) -> int:
    """Speech of so many seconds; returns the position after it."""
    count = round(seconds * RATE)
    for pcm in cut(counting(count, start), frame):
        assert analyzer.append_audio(pcm, True) == INCOMPLETE
    return start + count


def test_it_is_a_pipecat_turn_analyzer_and_takes_its_parameters() -> None:
    analyzer = ListenkitTurnAnalyzer(params=SmartTurnParams(stop_secs=1.5))
    assert isinstance(analyzer, BaseTurnAnalyzer)
    assert isinstance(analyzer.params, SmartTurnParams)
    assert analyzer.params == ListenkitTurnParams(stop_secs=1.5)
    defaults = SmartTurnParams().model_dump()
    assert {name: getattr(ListenkitTurnAnalyzer().params, name) for name in defaults} == defaults


@pytest.mark.parametrize(("threshold", "state"), [(0.39, COMPLETE), (0.4, INCOMPLETE), (0.41, INCOMPLETE)])
def test_the_threshold_decides_and_both_are_told(threshold: float, state: EndOfTurnState) -> None:
    analyzer = Heard(0.4, threshold=threshold)
    speak(analyzer, 1.0)
    decided, metrics = ask(analyzer)
    assert decided == state
    assert analyzer.speech_triggered == (state == INCOMPLETE)
    assert isinstance(metrics, TurnMetricsData)
    assert isinstance(metrics, ListenkitTurnMetricsData)
    assert metrics.probability == analyzer.last_probability == 0.4
    assert metrics.threshold == threshold
    assert metrics.is_complete == (state == COMPLETE)
    assert metrics.e2e_processing_time_ms >= 0
    assert analyzer.last_decision is not None
    assert analyzer.last_decision.threshold == threshold


def test_the_threshold_can_change_during_a_call() -> None:
    analyzer = Heard(0.4)
    speak(analyzer, 1.0)
    assert ask(analyzer)[0] == INCOMPLETE
    analyzer.params.threshold = 0.2
    assert ask(analyzer)[0] == COMPLETE


@pytest.mark.parametrize(
    ("language", "threshold"),
    [(None, 0.5), ("de", 0.3), ("de-AT", 0.3), ("en-GB", 0.7), ("en_gb", 0.7), ("EN-US", 0.6), ("fr", 0.5)],
)
def test_thresholds_by_language(language: str | None, threshold: float) -> None:
    analyzer = Heard(thresholds={"DE": 0.3, "en": 0.6, "en-GB": 0.7}, language=language)
    assert analyzer.threshold == threshold


@pytest.mark.parametrize("unknown", ["multi", "und", ""])
def test_an_unknown_language_leaves_the_last_known(unknown: str) -> None:
    analyzer = Heard(thresholds={"de": 0.3})
    analyzer.set_language("de-DE")
    analyzer.set_language(unknown)
    assert (analyzer.language, analyzer.threshold) == ("de-de", 0.3)
    analyzer.set_language(None)
    assert (analyzer.language, analyzer.threshold) == (None, 0.5)


@pytest.mark.parametrize("wrong", [{"threshold": 1.5}, {"thresholds": {"de": -0.1}}])
def test_a_threshold_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ListenkitTurnParams(**wrong)


@pytest.mark.parametrize("frame", [160, 320, 480])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_the_model_hears_the_turn_from_before_its_start_whatever_the_frames(rate: int, frame: int) -> None:
    """The flags change at the first frame that ends behind a window, as a VAD makes them; the samples heard do not."""
    analyzer = Heard(sample_rate=rate)
    analyzer.set_sample_rate(rate)
    analyzer.update_vad_start_secs(0.2)
    edge = [windows * rate * 4 // 125 for windows in range(200)]
    began, ended = edge[40], edge[90]
    pcm = counting(rate * 4)
    position = 0
    for block in cut(pcm, frame * rate // RATE):
        analyzer.append_audio(block, began <= position < ended)
        position += len(block) // 2
        if position >= ended:
            break
    ask(analyzer)
    before = round(0.7 * rate)
    assert np.array_equal(analyzer.audio[0], pcm[began - before : ended])
    assert analyzer.last_decision is not None
    assert analyzer.last_decision.at == ended
    assert analyzer.last_decision.audio_secs == pytest.approx(0.7 + 50 * 0.032, abs=1 / rate * 2)


@pytest.mark.parametrize("frame", [160, 320, 16_000])
def test_a_long_turn_is_its_last_eight_seconds_in_bounded_memory(frame: int) -> None:
    analyzer = Heard()
    # Not on a window: the ring has to hold eight seconds from the last window on, whatever the frames.
    position = speak(analyzer, 600.01, frame=frame)
    end = position // 512 * 512
    assert end < position
    ask(analyzer)
    assert np.array_equal(analyzer.audio[0], counting(8 * RATE, end - 8 * RATE))
    speak(analyzer, 60, frame=frame)
    assert len(analyzer._audio) <= (8 * RATE + 512 + frame) * 2


@pytest.mark.parametrize("frame", [160, 320, 480, 1000])
def test_silence_is_counted_in_samples(frame: int) -> None:
    """No sleep here: three seconds of audio go by in a millisecond, and the turn ends with the third."""
    analyzer = Heard(params=SmartTurnParams(stop_secs=3))
    speak(analyzer, 1.0, frame=frame)
    silent = 0
    for pcm in cut(np.zeros(RATE * 4, np.int16), frame):
        state = analyzer.append_audio(pcm, False)
        silent += len(pcm) // 2
        assert (state == COMPLETE) == (silent - frame < 3 * RATE <= silent)
        if state == COMPLETE:
            break
    assert silent < 3 * RATE + frame
    assert not analyzer.speech_triggered
    # Pipecat asks for metrics then; there was no prediction, and the model is not run for it.
    assert ask(analyzer) == (COMPLETE, None)
    assert analyzer.audio == []


def test_a_turn_that_silence_ended_leaves_no_answer_to_the_next() -> None:
    """Pipecat asks for metrics after that; but if it does not, the next question is a new one."""
    for between in (ListenkitTurnAnalyzer.clear, lambda analyzer: speak(analyzer, 1.0)):
        analyzer = Heard(0.1)
        speak(analyzer, 1.0)
        assert analyzer.append_audio(bytes(RATE * 3 * 2), False) == COMPLETE
        between(analyzer)
        assert ask(analyzer)[0] == INCOMPLETE


def test_silence_alone_never_ends_a_turn() -> None:
    analyzer = Heard()
    for pcm in cut(np.zeros(RATE * 60, np.int16), 320):
        assert analyzer.append_audio(pcm, False) == INCOMPLETE


def test_speech_starts_the_silence_anew_and_the_turn_goes_on() -> None:
    analyzer = Heard(0.1)
    end = speak(analyzer, 1.0)
    for pcm in cut(counting(RATE * 2, end), 320):
        assert analyzer.append_audio(pcm, False) == INCOMPLETE
    assert ask(analyzer)[0] == INCOMPLETE
    end = speak(analyzer, 0.5, start=end + RATE * 2)
    for pcm in cut(counting(RATE * 2, end), 320):
        assert analyzer.append_audio(pcm, False) == INCOMPLETE
    ask(analyzer)
    # Both parts of the turn and the pause between them.
    assert np.array_equal(analyzer.audio[1], counting((end + RATE * 2) // 512 * 512))


@pytest.mark.parametrize("frame", [160, 320, 480])
def test_after_the_end_only_what_followed_the_speech_is_kept(frame: int) -> None:
    analyzer = Heard(0.1)
    end = speak(analyzer, 1.05, frame=frame)
    for pcm in cut(counting(4080, end), frame):
        analyzer.append_audio(pcm, False)
    # The transcript came, Pipecat ends the turn; the next one begins at once.
    analyzer.clear()
    assert not analyzer.speech_triggered
    position = speak(analyzer, 0.512, frame=frame, start=end + 4080)
    ask(analyzer)
    kept, last = end // 512 * 512, position // 512 * 512
    assert kept < end
    assert np.array_equal(analyzer.audio[0], counting(last - kept, kept))


def test_a_turn_ended_from_outside_in_mid_speech_leaves_nothing() -> None:
    analyzer = Heard()
    end = speak(analyzer, 1.024)
    analyzer.clear()
    for pcm in cut(np.zeros(RATE * 4, np.int16), 320):
        assert analyzer.append_audio(pcm, False) == INCOMPLETE, "a phantom end of turn"
    assert end == 512 * 32

    again = Heard()
    end = speak(again, 1.024)
    again.clear()
    speak(again, 0.512, start=end)
    ask(again)
    assert np.array_equal(again.audio[0], counting(8192, end))


def test_a_new_stream_has_no_turn() -> None:
    analyzer = Heard()
    speak(analyzer, 1.0)
    analyzer.set_sample_rate(48_000)
    assert not analyzer.speech_triggered
    assert ask(analyzer) == (INCOMPLETE, None)


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_the_model_gets_samples_of_16_khz_in_full_scale_one(rate: int, conversation: tuple[Samples, int]) -> None:
    import soxr

    samples, native = conversation
    samples = soxr.resample(samples[: native * 2], native, rate)
    heard: list[npt.NDArray[np.float32]] = []

    def model(audio: npt.NDArray[np.float32]) -> float:
        heard.append(audio)
        return 0.5

    analyzer = ListenkitTurnAnalyzer()
    analyzer._model = model  # type: ignore[assignment]
    analyzer.set_sample_rate(rate)
    analyzer.append_audio(samples.tobytes(), True)
    ask(analyzer)
    end = 2 * 16_000 // 512 * 512
    assert heard[0].dtype == np.float32
    assert len(heard[0]) == end
    expected = soxr.resample(samples.astype(np.float32) / 32768, rate, 16_000)[:end]
    # Two filters with other edges: 1 % of the signal, which a sample of delay exceeds by far.
    error = np.sqrt(np.mean((heard[0] - expected) ** 2) / np.mean(expected**2))
    assert error < (1e-6 if rate == 16_000 else 0.01)


def test_other_weights_are_used() -> None:
    exact = ListenkitTurnAnalyzer(models=listenkit.Models(precision="exact"))
    answers = []
    for analyzer in (exact, ListenkitTurnAnalyzer()):
        speak(analyzer, 2.0)
        answers.append(ask(analyzer)[1].probability)
    assert answers[0] != answers[1]


def test_an_answer_for_a_turn_that_was_cleared_meanwhile_ends_nothing() -> None:
    async def go() -> None:
        analyzer = Heard(0.9)
        analyzer.delay = 0.1
        speak(analyzer, 1.0)
        asked = asyncio.ensure_future(analyzer.analyze_end_of_turn())
        await asyncio.sleep(0.02)
        analyzer.clear()
        speak(analyzer, 1.0)
        state, metrics = await asked
        assert state == INCOMPLETE
        assert metrics is not None
        assert analyzer.speech_triggered

    asyncio.run(go())


def test_the_event_loop_runs_while_the_model_thinks() -> None:
    async def go() -> int:
        analyzer = Heard()
        analyzer.delay = 0.2
        speak(analyzer, 1.0)
        asked = asyncio.ensure_future(analyzer.analyze_end_of_turn())
        ticks = 0
        while not asked.done():
            await asyncio.sleep(0.01)
            ticks += 1
        await analyzer.cleanup()
        return ticks

    # Twenty would fit; five leaves room for a busy machine, a blocked loop gives one.
    assert asyncio.run(go()) >= 5


def test_a_failing_model_leaves_the_turn_to_silence() -> None:
    analyzer = Heard(listenkit.ListenkitError("broken"))
    speak(analyzer, 1.0)
    assert ask(analyzer) == (INCOMPLETE, None)
    assert analyzer.last_decision is None
    states = {analyzer.append_audio(pcm, False) for pcm in cut(np.zeros(RATE * 3, np.int16), 320)}
    assert COMPLETE in states


def test_nothing_heard_is_no_question() -> None:
    analyzer = Heard()
    assert ask(analyzer) == (INCOMPLETE, None)
    assert analyzer.audio == []


def test_half_a_sample_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 bytes"):
        ListenkitTurnAnalyzer().append_audio(b"abc", True)


def test_cleanup_gives_back_the_thread_and_the_analyzer_still_works() -> None:
    async def go() -> None:
        before = set(threading.enumerate())
        analyzer = Heard(0.1)
        for _ in range(2):
            speak(analyzer, 1.0)
            assert (await analyzer.analyze_end_of_turn())[0] == INCOMPLETE
            await analyzer.cleanup()
        for _ in range(100):
            if set(threading.enumerate()) <= before:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the thread is still there")

    asyncio.run(go())


# Ends of what is said in fixtures/conversation-en/manifest.toml, in seconds, and whether the turn is over there.
UTTERANCES = [(0.5, 3.2, True), (4.7, 6.33, False), (13.65, 15.07, True)]


def probabilities(analyzer: BaseTurnAnalyzer, samples: Samples, rate: int, frame: int) -> list[float]:
    found = []
    for start, end, _ in UTTERANCES:
        analyzer.set_sample_rate(rate)
        analyzer.clear()
        lead = round((start - 0.4) * rate)
        analyzer.append_audio(samples[lead : round(start * rate)].tobytes(), False)
        for pcm in cut(samples[round(start * rate) : round(end * rate)], frame):
            analyzer.append_audio(pcm, True)
        analyzer.append_audio(samples[round(end * rate) : round((end + 0.25) * rate)].tobytes(), False)
        found.append(ask(analyzer)[1].probability)
    return found


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_it_tells_a_sentence_from_half_a_sentence_at_every_rate(
    rate: int, conversation: tuple[Samples, int]
) -> None:
    import soxr

    samples, native = conversation
    if rate != native:
        samples = soxr.resample(samples, native, rate)
    # The gap between the answers is far wider than what resampling does to them.
    for probability, (_, _, over) in zip(
        probabilities(ListenkitTurnAnalyzer(), samples, rate, rate // 50), UTTERANCES, strict=True
    ):
        assert (probability > 0.5) == over, probability


def test_pipecats_analyzer_takes_the_same_calls(conversation_16k: Samples) -> None:
    """The two are interchangeable: equal calls, equal kinds of answer, and equal decisions where it is clear."""
    ours = probabilities(ListenkitTurnAnalyzer(), conversation_16k, RATE, 320)
    pipecats = probabilities(LocalSmartTurnAnalyzerV3(), conversation_16k, RATE, 320)
    assert [p > 0.5 for p in ours] == [p > 0.5 for p in pipecats] == [over for *_, over in UTTERANCES]
