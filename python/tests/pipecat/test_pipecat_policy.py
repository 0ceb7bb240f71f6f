"""`ListenkitPolicyTurnAnalyzer` against the detector it holds, and in a whole pipeline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt
import pytest
from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer, EndOfTurnState
from pipecat.frames.frames import InterimTranscriptionFrame
from pipecat_audio import cut
from pydantic import ValidationError

import listenkit
from listenkit.pipecat import (
    ListenkitPolicyParams,
    ListenkitPolicyTurnAnalyzer,
    ListenkitTurnMetricsData,
    ListenkitUserTurnStopStrategy,
    ListenkitUserTurnStrategies,
)

Samples = npt.NDArray[np.int16]
COMPLETE, INCOMPLETE = EndOfTurnState.COMPLETE, EndOfTurnState.INCOMPLETE
RATE = 16_000


def answered(analyzer: ListenkitPolicyTurnAnalyzer) -> None:
    """Waits until the model has answered what it was asked, as it would have long before the next frame of a call."""
    while not all(answer.done() for _, answer in analyzer._answers):
        time.sleep(0.001)


def ends(
    analyzer: ListenkitPolicyTurnAnalyzer, samples: Samples, frame: int, is_speech: Callable[[int], bool] = lambda at: False
) -> list[int]:
    """Where COMPLETE comes out: how many samples had been heard."""
    found, heard = [], 0
    for pcm in cut(samples, frame):
        state = analyzer.append_audio(pcm, is_speech(heard))
        heard += len(pcm) // 2
        answered(analyzer)
        if state == COMPLETE:
            found.append(heard)
            analyzer.clear()
    return found


@pytest.mark.parametrize("policy", ["fast", "balanced", "patient"])
def test_turns_end_where_the_detector_ends_them(policy: str, conversation: tuple[Samples, int]) -> None:
    """The oracle is the detector with its own turn model. An answer of the analyzer's thread counts a frame later."""
    samples, rate = conversation
    with listenkit.Detector(rate, policy=policy, turn_model=listenkit.TurnModel()) as detector:
        expected = [e.decided_at for e in detector.process(samples) if isinstance(e, listenkit.EndOfTurn)]
    analyzer = ListenkitPolicyTurnAnalyzer(params=ListenkitPolicyParams(policy=policy))
    analyzer.set_sample_rate(rate)
    frame = rate // 100
    found = ends(analyzer, samples, frame)
    assert len(found) == len(expected) >= (1 if policy == "patient" else 2)
    for ours, theirs in zip(found, expected, strict=True):
        assert 0 <= ours - theirs <= 2 * frame


def test_it_is_a_pipecat_turn_analyzer() -> None:
    analyzer = ListenkitPolicyTurnAnalyzer(policy="patient")
    assert isinstance(analyzer, BaseTurnAnalyzer)
    assert analyzer.params.policy == "patient"
    with pytest.raises(ValidationError):
        ListenkitPolicyParams(policy="hasty")


def test_no_turn_ends_while_pipecats_vad_hears_speech(conversation_16k: Samples) -> None:
    analyzer = ListenkitPolicyTurnAnalyzer(policy="fast")
    # The sentence is over at 3.2 s; "fast" ends it at 3.5 s, but this VAD only at 4.2 s.
    found = ends(analyzer, conversation_16k[: RATE * 45 // 10], 320, lambda at: RATE * 6 // 10 < at < RATE * 42 // 10)
    assert len(found) == 1
    assert 0 <= found[0] - RATE * 42 // 10 <= 2 * 320


def test_the_record_of_a_turn_comes_with_its_end(conversation_16k: Samples) -> None:
    analyzer = ListenkitPolicyTurnAnalyzer(thresholds={"en": 0.4}, language="en-US")
    for pcm in cut(conversation_16k[: RATE * 4], 320):
        if analyzer.append_audio(pcm, False) == COMPLETE:
            break
        answered(analyzer)
    state, metrics = asyncio.run(analyzer.analyze_end_of_turn())
    assert state == COMPLETE
    assert isinstance(metrics, ListenkitTurnMetricsData)
    assert metrics.is_complete and metrics.probability > 0.9
    assert metrics.threshold == pytest.approx(0.4)
    # "balanced" waits 0.3 s after the last voiced sample when the turn sounds finished; a window and a frame on top.
    assert 300 <= metrics.e2e_processing_time_ms <= 300 + 32 + 20
    assert asyncio.run(analyzer.analyze_end_of_turn()) == (COMPLETE, None)
    # It is said once; and it is true until the user speaks again.
    assert analyzer.append_audio(bytes(640), False) == INCOMPLETE
    for pcm in cut(conversation_16k[RATE // 2 : RATE], 320):
        analyzer.append_audio(pcm, False)
    assert asyncio.run(analyzer.analyze_end_of_turn()) == (INCOMPLETE, None)


def test_clear_ends_a_turn_that_was_heard_and_keeps_one_that_was_not(conversation_16k: Samples) -> None:
    """Pipecat clears when its turn ends. What the user has just begun to say after it must not be lost with it."""
    for heard_by_pipecat in (True, False):
        analyzer = ListenkitPolicyTurnAnalyzer()
        for pcm in cut(conversation_16k[: RATE * 12 // 10], 320):
            analyzer.append_audio(pcm, heard_by_pipecat)
        assert analyzer.speech_triggered
        analyzer.clear()
        assert analyzer.speech_triggered != heard_by_pipecat


def test_what_is_said_right_after_a_turn_outlives_the_late_transcript(conversation_16k: Samples) -> None:
    analyzer = ListenkitPolicyTurnAnalyzer()
    for pcm in cut(conversation_16k[: RATE * 4], 320):
        ended = analyzer.append_audio(pcm, True)
        answered(analyzer)
    assert (ended, analyzer.speech_triggered) == (INCOMPLETE, False)
    for pcm in cut(conversation_16k[RATE * 4 : RATE * 5], 320):
        analyzer.append_audio(pcm, False)
    assert analyzer.speech_triggered
    analyzer.clear()
    assert analyzer.speech_triggered


@pytest.mark.parametrize("which", [0, 1])
def test_a_late_answer_that_ends_the_turn_drops_the_questions_beside_it(which: int, conversation_16k: Samples) -> None:
    """The model is slow: of two questions about one pause one is answered, when the shorter wait is long over."""

    class Slow:
        def __init__(self) -> None:
            self.asked: list[Future[float]] = []

        def submit(self, *_: object) -> Future[float]:
            self.asked.append(Future())
            return self.asked[-1]

    analyzer, slow = ListenkitPolicyTurnAnalyzer(), Slow()
    analyzer._executor = slow  # type: ignore[assignment]
    # The sentence is over at 3.3 s, and "balanced" waits 0.3 s if it is finished.
    for pcm in cut(conversation_16k[: RATE * 4], 320):
        assert analyzer.append_audio(pcm, False) == INCOMPLETE
    open_questions = [answer for answer in slow.asked if not answer.cancelled()]
    assert len(open_questions) == 2
    open_questions[which].set_result(0.99)
    assert analyzer.append_audio(bytes(640), False) == COMPLETE
    assert analyzer._answers == []


def test_a_failing_model_leaves_the_turn_to_silence(conversation_16k: Samples) -> None:
    def model(audio: object) -> float:
        raise listenkit.ListenkitError("broken")

    analyzer = ListenkitPolicyTurnAnalyzer()
    analyzer._model = model  # type: ignore[assignment]
    found = ends(analyzer, conversation_16k[: RATE * 47 // 10], 320)
    # Unanswered for `turn_timeout`, 1 s after the last voiced sample at 3.3 s.
    assert len(found) == 1
    assert 4.25 * RATE < found[0] < 4.4 * RATE


def test_a_question_that_speech_has_cancelled_is_not_answered(conversation_16k: Samples) -> None:
    """The model is slow, the user goes on: of two questions one is running and one waiting."""
    go = threading.Event()
    asked = []

    def model(audio: object) -> float:
        asked.append(audio)
        go.wait(10)
        return 0.9

    analyzer = ListenkitPolicyTurnAnalyzer()
    analyzer._model = model  # type: ignore[assignment]
    for pcm in cut(conversation_16k[: RATE * 36 // 10], 320):
        analyzer.append_audio(pcm, False)
    assert len(analyzer._answers) == 2
    for pcm in cut(conversation_16k[RATE // 2 : RATE], 320):
        analyzer.append_audio(pcm, False)
    assert analyzer._answers == []
    go.set()
    assert analyzer.append_audio(bytes(640), False) == INCOMPLETE
    assert len(asked) == 1


def test_transcripts_are_judged_as_one_text(conversation_16k: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []

    def judge(text: str, *, language: str | None = None) -> listenkit.CueVote:
        judged.append((text, language))
        return listenkit.CueVote(0.0)

    monkeypatch.setattr(listenkit, "judge_text", judge)
    strategy = ListenkitUserTurnStopStrategy(turn_analyzer=ListenkitPolicyTurnAnalyzer(language="en-GB"))
    analyzer = strategy.turn_analyzer
    assert isinstance(analyzer, ListenkitPolicyTurnAnalyzer)

    def hear(start: float, end: float) -> None:
        for pcm in cut(conversation_16k[round(start * RATE) : round(end * RATE)], 320):
            analyzer.append_audio(pcm, True)
            answered(analyzer)

    analyzer.hear_transcript("before any speech")
    hear(0.0, 1.2)
    analyzer.hear_transcript("I'm sorry,")
    asyncio.run(strategy.process_frame(InterimTranscriptionFrame("I did", "caller", "now")))
    analyzer.hear_transcript("I did not")
    analyzer.hear_transcript(" ")
    # The turn ends, and another begins: at its end, or when Pipecat clears it.
    hear(1.2, 5.2)
    analyzer.hear_transcript("The number")
    analyzer.clear()
    hear(4.0, 5.2)
    analyzer.hear_transcript("I have")
    assert judged == [
        ("I'm sorry,", "en-gb"),
        ("I'm sorry, I did", "en-gb"),
        ("I'm sorry, I did not", "en-gb"),
        ("The number", "en-gb"),
        ("I have", "en-gb"),
    ]


def test_wording_is_a_vote(conversation_16k: Samples) -> None:
    """A sentence that breaks off is waited for longer than one that does not; the audio is the same."""
    samples = conversation_16k[: RATE * 47 // 10]

    def end(text: str) -> int:
        analyzer = ListenkitPolicyTurnAnalyzer(language="en", policy="patient")
        heard = 0
        for pcm in cut(samples, 320):
            state = analyzer.append_audio(pcm, False)
            answered(analyzer)
            heard += 320
            if heard == RATE * 346 // 100:
                analyzer.hear_transcript(text)
            if state == COMPLETE:
                break
        return heard

    assert end("I did not understand your response.") < end("I did not understand because")


def test_a_policy_and_a_threshold_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="a policy has its own delays and threshold"):
        ListenkitUserTurnStrategies(policy="fast", threshold=0.3)
    assert isinstance(ListenkitUserTurnStrategies(policy="fast").turn_analyzer, ListenkitPolicyTurnAnalyzer)
