"""The turn detector as LiveKit's session uses it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.inference import TurnDetector as PeerTurnDetector
from livekit.agents.language import LanguageCode
from livekit.agents.llm import ChatContext
from livekit.agents.voice.turn import (
    TurnDetectionEvent,
    _resolve_endpointing,
    _StreamingTurnDetector,
    _StreamingTurnDetectorStream,
    _TurnDetector,
)
from livekit_fakes import FIXTURES, frame_of, frames_of, read_wav

import listenkit
from listenkit.livekit import TurnDetector, TurnDetectorStream
from listenkit.livekit import turn_frames

EN, DE, PT, BR = (LanguageCode(tag) for tag in ("en", "de", "pt", "pt-BR"))


@pytest.fixture(scope="module")
def conversation() -> np.ndarray:
    samples, _ = read_wav(FIXTURES / "conversation-en" / "audio.wav")
    return samples[:, 0]


#: In the fixture, 48 kHz: a finished sentence lies in the first span, one that goes on in the second; each with 0.2 s behind it.
FINISHED, UNFINISHED = (0, 163_200), (201_600, 313_440)


def push(stream: TurnDetectorStream, samples: np.ndarray, rate: int = 48_000) -> None:
    for frame in frames_of(samples, rate, 20):
        stream.push_audio(frame)


def chat(*said: str) -> ChatContext:
    chat_ctx = ChatContext.empty()
    chat_ctx.add_message(role="assistant", content="Hello, how can I help?")
    for text in said:
        chat_ctx.add_message(role="user", content=text)
    return chat_ctx


class Session:
    """What `attach` needs of an AgentSession: events and a history."""

    def __init__(self) -> None:
        self.history = chat()
        self.handlers: dict[str, Callable[[Any], None]] = {}

    def on(self, name: str, handler: Callable[[Any], None]) -> None:
        self.handlers[name] = handler

    def says(self, text: str, final: bool = True) -> None:
        event = type("Transcribed", (), {"transcript": text, "is_final": final})
        self.handlers["user_input_transcribed"](event)


async def test_it_satisfies_the_protocols() -> None:
    detector = TurnDetector(text_model=lambda chat_ctx: 0.5)
    stream = detector.stream()
    assert isinstance(detector, _StreamingTurnDetector)
    assert isinstance(stream, _StreamingTurnDetectorStream)
    peer = PeerTurnDetector(version="v1-mini").stream()
    for protocol, mine, theirs in (
        (_StreamingTurnDetectorStream, stream, peer),
        (_TurnDetector, detector, None),
    ):
        for name in [name for name in vars(protocol) if not name.startswith("_")]:
            member = inspect.getattr_static(protocol, name)
            if callable(member):
                assert inspect.iscoroutinefunction(getattr(mine, name)) == inspect.iscoroutinefunction(member), name
                if theirs is not None:
                    assert list(inspect.signature(getattr(mine, name)).parameters) == list(
                        inspect.signature(getattr(theirs, name)).parameters
                    )
    # The session waits 0.3 to 2.5 s by default when the detector is a streaming one.
    assert _resolve_endpointing(None, turn_detection=detector)["min_delay"] == 0.3
    assert (stream.model, stream.provider, stream.is_fallback) == ("smart-turn-v3.2", "listenkit", False)
    await stream.aclose()
    await peer.aclose()


async def test_it_tells_a_finished_turn_from_one_that_goes_on(conversation: np.ndarray) -> None:
    detector = TurnDetector()
    model = listenkit.TurnModel()
    for (start, end), finished in ((FINISHED, True), (UNFINISHED, False)):
        stream = detector.stream()
        samples = conversation[start:end]
        push(stream, samples)
        event = await stream.predict()
        assert isinstance(event, TurnDetectionEvent) and event.type == "eot_prediction"
        threshold = await stream.unlikely_threshold(EN)
        assert threshold is not None
        assert (event.end_of_turn_probability >= threshold) == finished
        assert event.inference_duration is not None and event.detection_delay is not None
        assert 0.0 < event.inference_duration <= event.detection_delay < 5.0
        resampler = listenkit.Resampler(48_000, 16_000, aligned=True)
        narrow = np.concatenate([resampler.process(samples), resampler.flush()])
        assert event.end_of_turn_probability == pytest.approx(model(narrow), abs=1e-4)
        await stream.aclose()


async def test_format_changes_and_channels_are_heard(conversation: np.ndarray) -> None:
    start, end = FINISHED
    samples = conversation[start:end]
    stream = TurnDetector().stream()
    half = len(samples) // 2
    resampler = listenkit.Resampler(48_000, 16_000, aligned=True)
    push(stream, np.concatenate([resampler.process(samples[:half]), resampler.flush()]), 16_000)
    stereo = np.stack([samples[half:], samples[half:]], axis=1)
    for at in range(0, len(stereo), 960):
        stream.push_audio(frame_of(stereo[at : at + 960], 48_000, 2))
    assert (await stream.predict()).end_of_turn_probability > 0.9
    await stream.aclose()


async def test_the_loop_runs_on_while_the_model_works() -> None:
    """With an executor that is held up: the loop must not be."""
    gate = threading.Event()
    executor = ThreadPoolExecutor(1)
    executor.submit(gate.wait, 10.0)
    stream = TurnDetector(executor=executor).stream()
    push(stream, np.zeros(48_000, dtype=np.int16))
    answer = stream.predict()
    ticks = 0
    for _ in range(20):
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks == 20 and not answer.done()
    gate.set()
    assert 0.0 <= (await asyncio.wait_for(answer, 10.0)).end_of_turn_probability <= 1.0
    await stream.aclose()
    executor.shutdown()


async def test_a_question_that_is_void_says_not_finished() -> None:
    gate = threading.Event()
    executor = ThreadPoolExecutor(1)
    executor.submit(gate.wait, 10.0)
    stream = TurnDetector(executor=executor).stream()
    push(stream, np.zeros(48_000, dtype=np.int16))
    first = stream.predict()
    second = stream.predict()
    assert first.done() and (await first).end_of_turn_probability == 0.0
    assert not second.done()
    for void in (stream.cancel_inference, stream.flush, stream.end_input):
        answer = stream.predict()
        void()
        assert answer.done() and (await answer).end_of_turn_probability == 0.0
    after = stream.predict()
    assert after.done() and (await after).end_of_turn_probability == 1.0, "closed: as LiveKit's"
    gate.set()
    await asyncio.sleep(0.2)  # late work of void questions disturbs nobody
    await stream.aclose()
    executor.shutdown()


async def test_an_executor_that_was_shut_down_leaves_it_to_the_silence() -> None:
    executor = ThreadPoolExecutor(1)
    detector = TurnDetector(executor=executor)
    stream = detector.stream()
    executor.shutdown()
    answer = await stream.predict()
    threshold = await stream.unlikely_threshold(EN)
    assert threshold is not None and answer.end_of_turn_probability >= threshold
    await stream.aclose()


async def test_a_model_that_fails_leaves_it_to_the_silence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    detector = TurnDetector(unlikely_threshold={"de": 0.8})

    def fails(audio: Any) -> tuple[float, float]:
        raise listenkit.ListenkitError("broken")

    monkeypatch.setattr(detector, "_judge", fails)
    stream = detector.stream()
    push(stream, np.zeros(480, dtype=np.int16))
    with caplog.at_level(logging.ERROR, "livekit.agents"):
        for language in (EN, DE, None):
            event = await stream.predict()
            threshold = await stream.unlikely_threshold(language)
            assert threshold is not None and event.end_of_turn_probability >= threshold, "the shorter delay"
    assert len([r for r in caplog.records if "turn model" in r.message]) == 1, "said once"
    await stream.aclose()


async def test_a_turn_begins_with_its_speech() -> None:
    """Level 1 is the turn before, level 2 the pause, level 3 this turn."""
    stream = TurnDetector().stream()
    rate = 16_000

    def levels() -> dict[int, float]:
        samples = np.rint(stream._audio.samples() * 32768).astype(int)
        values, counts = np.unique(samples, return_counts=True)
        return {int(v): c / rate for v, c in zip(values, counts)}

    push(stream, np.full(rate * 2, 1, dtype=np.int16), rate)
    stream.flush("turn committed")
    push(stream, np.full(rate * 3, 2, dtype=np.int16), rate)
    push(stream, np.full(int(rate * 0.08), 3, dtype=np.int16), rate)
    stream.cancel_inference()  # the session does this at the start of speech
    push(stream, np.full(rate, 3, dtype=np.int16), rate)
    assert levels() == {2: pytest.approx(0.484, abs=0.021), 3: pytest.approx(1.08, abs=0.021)}
    stream.cancel_inference()  # speech goes on after a pause: the turn is still the same
    assert levels()[3] == pytest.approx(1.08, abs=0.021)
    # Cleared in mid-speech: no start is told of, what was before the flush is not asked about.
    stream.flush("clear_user_turn")
    push(stream, np.full(rate, 4, dtype=np.int16), rate)
    stream.predict()
    assert levels() == {3: pytest.approx(0.5, abs=0.021), 4: pytest.approx(1.0, abs=0.021)}
    await stream.aclose()


async def test_only_what_the_model_looks_at_is_kept() -> None:
    stream = TurnDetector().stream()
    push(stream, np.zeros(48_000 * 60, dtype=np.int16))
    assert sum(f.duration for f in stream._audio._frames) == pytest.approx(8.0, abs=0.021)
    assert len(stream._audio.samples()) <= 128_000
    await stream.aclose()


async def test_pushing_is_cheap() -> None:
    stream = TurnDetector().stream()
    frames = frames_of(np.zeros(48_000 * 10, dtype=np.int16), 48_000)
    before = time.process_time()
    for frame in frames:
        stream.push_audio(frame)
    # 3 µs a frame here; a thirtieth of what LiveKit's resampling of it costs. Ten times that leaves room for a slow machine.
    assert (time.process_time() - before) / len(frames) < 30e-6
    await stream.aclose()


async def test_thresholds_by_language() -> None:
    detector = TurnDetector(unlikely_threshold={"de": 0.4, "pt-BR": 0.3, "portuguese": 0.35})
    stream = detector.stream()
    for language, expected in ((EN, 0.5), (DE, 0.4), (LanguageCode("de-AT"), 0.4), (BR, 0.3), (PT, 0.35), (None, 0.5)):
        assert await stream.supports_language(language)
        assert await stream.unlikely_threshold(language) == expected
        assert await detector.unlikely_threshold(language) == expected
    detector.update_options(unlikely_threshold=0.2)
    assert await stream.unlikely_threshold(DE) == 0.2
    assert await stream.backchannel_threshold(EN) is None
    for wrong in (1.5, {"en": -0.1}, None, "0.5"):
        with pytest.raises(ValueError, match="unlikely_threshold"):
            TurnDetector(unlikely_threshold=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fusion_text"):
        TurnDetector(fusion_text=11.0)
    with pytest.raises(ValueError, match="text_model"):
        TurnDetector(text_model=0.5)  # type: ignore[arg-type]
    await stream.aclose()


def library_says(audio: float, text: float, threshold: float, **fusion: float) -> float:
    """The fused probability by the library itself: a detector that is told both votes at the first pause of the fixture."""
    samples, rate = read_wav(FIXTURES / "conversation-en" / "audio.wav")
    detector = listenkit.Detector(rate, turn_queries=True, text_timeout=1.0, fusion_cues=0.0, **fusion)
    for at in range(0, 163_200, 960):
        for event in detector.process(samples[at : at + 960, 0]):
            if isinstance(event, listenkit.TurnQuery):
                detector.answer_turn(event.id, audio)
                told = detector.answer_text(event.turn, text, threshold=threshold)
                [prediction] = [e for e in told if isinstance(e, listenkit.TurnPrediction)]
                assert prediction.votes.fused is not None
                return prediction.votes.fused
    raise AssertionError("there is a pause")


@pytest.mark.parametrize("weights", [{}, {"fusion_text": 2.0}, {"fusion_audio": 0.5, "fusion_limit": 2.0}])
async def test_words_move_the_threshold_as_the_library_fuses_votes(weights: dict[str, float]) -> None:
    for threshold in (0.5, 0.02):
        for text in (0.001, 0.02, 0.3, 0.999):
            detector = TurnDetector(
                text_model=lambda chat_ctx, p=text: p, text_threshold=threshold, fusion_cues=0.0, **weights
            )
            session = Session()
            detector.attach(session)  # type: ignore[arg-type]
            session.says("Yes")
            stream = detector.stream()
            moved = await stream.unlikely_threshold(EN)
            assert moved is not None
            for audio in (0.0, 0.003, 0.2, 0.5, 0.9, 0.999):
                fused = library_says(audio, text, threshold, **weights)
                if abs(fused - 0.5) > 1e-6:
                    assert (audio >= moved) == (fused >= 0.5), (audio, text, threshold)
            await stream.aclose()


async def test_the_wording_counts_once_a_session_is_attached() -> None:
    detector = TurnDetector()
    stream = detector.stream()
    session = Session()
    detector.attach(session)  # type: ignore[arg-type]
    detector.attach(session)  # type: ignore[arg-type]  # again is fine
    assert await stream.unlikely_threshold(EN) == 0.5, "nothing said"
    session.says("I would like to order a pizza and", final=False)
    assert await stream.unlikely_threshold(EN) == 0.5, "not final"
    session.says("I would like to order a pizza and")
    lean = listenkit.judge_text("I would like to order a pizza and", language="en").lean
    assert lean < 0.0
    moved = await stream.unlikely_threshold(EN)
    assert moved == pytest.approx(1.0 / (1.0 + math.exp(2.2 * lean)), abs=1e-6) and moved > 0.5
    stream.flush("turn committed")
    assert await stream.unlikely_threshold(EN) == 0.5, "a new turn"
    with pytest.raises(ValueError, match="one detector for each session"):
        detector.attach(Session())  # type: ignore[arg-type]
    await stream.aclose()


class TextModel:
    """LiveKit's text protocol. Knows English only."""

    def __init__(self, probability: float, delay: float = 0.0) -> None:
        self.probability = probability
        self.delay = delay
        self.asked: list[str | None] = []

    async def unlikely_threshold(self, language: LanguageCode | None) -> float | None:
        return 0.02 if language == EN else None

    async def supports_language(self, language: LanguageCode | None) -> bool:
        return language == EN

    async def predict_end_of_turn(self, chat_ctx: ChatContext, *, timeout: float | None = None) -> float:
        await asyncio.sleep(self.delay)
        self.asked.append(chat_ctx.items[-1].text_content)  # type: ignore[union-attr]
        return self.probability


async def test_a_text_model_is_asked_about_all_of_the_turn() -> None:
    model = TextModel(0.0)
    detector = TurnDetector(text_model=model)
    session = Session()
    detector.attach(session)  # type: ignore[arg-type]
    stream = detector.stream()
    session.says("My number is")
    session.says("four seven one")
    moved = await stream.unlikely_threshold(EN)
    assert model.asked == ["My number is four seven one"]
    assert moved is not None and moved > 0.99
    assert await stream.unlikely_threshold(DE) == pytest.approx(
        1.0 / (1.0 + math.exp(2.2 * listenkit.judge_text("My number is four seven one", language="de").lean))
    ), "a language that it does not know: the wording only"
    assert len(session.history.items) == 1, "the session's own history is left alone"
    await stream.aclose()


@pytest.mark.parametrize("trouble", ["slow", "raises"])
async def test_a_text_model_in_trouble_is_left_out(trouble: str, caplog: pytest.LogCaptureFixture) -> None:
    def raises(chat_ctx: ChatContext) -> float:
        raise RuntimeError("no")

    model = TextModel(0.0, delay=60.0) if trouble == "slow" else raises
    detector = TurnDetector(text_model=model, text_timeout=0.05, fusion_cues=0.0)
    session = Session()
    detector.attach(session)  # type: ignore[arg-type]
    stream = detector.stream()
    session.says("Yes")
    with caplog.at_level(logging.ERROR, "livekit.agents"):
        assert await asyncio.wait_for(stream.unlikely_threshold(EN), 2.0) == 0.5
        assert await asyncio.wait_for(stream.unlikely_threshold(EN), 2.0) == 0.5
    assert len([r for r in caplog.records if "text model" in r.message]) == 1
    await stream.aclose()


async def test_as_a_text_detector_both_votes_are_in_the_probability(conversation: np.ndarray) -> None:
    async def decide(text: float, span: tuple[int, int] | None, language: LanguageCode = EN) -> bool:
        async def asynchronous(chat_ctx: ChatContext) -> float:
            return text

        detector = TurnDetector(text_model=asynchronous, unlikely_threshold={"de": 0.3}, fusion_cues=0.0)
        stream = detector.stream()
        if span is not None:
            push(stream, conversation[slice(*span)])
        else:
            await stream.aclose()
        assert await detector.supports_language(language)
        probability = await detector.predict_end_of_turn(chat("Yes"))
        threshold = await detector.unlikely_threshold(language)
        assert threshold is not None and 0.0 <= probability <= 1.0
        await stream.aclose()
        return probability >= threshold

    for language in (EN, DE):
        assert await decide(0.9, None, language) and not await decide(0.1, None, language), "the text alone"
        assert await decide(0.5, FINISHED, language) and not await decide(0.5, UNFINISHED, language), "the audio alone"
    # The audio is 0.99 and 0.01: 4.6 of log-odds. A text model that is surer overrules it.
    assert not await decide(0.001, FINISHED) and await decide(0.999, UNFINISHED)
    assert await decide(0.1, FINISHED) and not await decide(0.9, UNFINISHED)


async def test_without_a_text_model_it_is_no_text_detector() -> None:
    with pytest.raises(RuntimeError, match="text_model"):
        await TurnDetector().predict_end_of_turn(chat("Yes"))


async def test_each_prediction_is_measured() -> None:
    detector = TurnDetector()
    metrics: list[Any] = []
    detector.on("metrics_collected", metrics.append)
    stream = detector.stream()
    push(stream, np.zeros(48_000, dtype=np.int16))
    event = await stream.predict()
    [measured] = metrics
    assert measured.type == "eot_inference_metrics" and measured.num_requests == 1
    assert measured.prediction_duration == event.inference_duration
    assert measured.metadata.model_name == "smart-turn-v3.2"
    assert detector.describe_options()["model"] == "smart-turn-v3.2"
    await stream.aclose()


async def test_no_audio_is_a_question_too() -> None:
    stream = TurnDetector().stream()
    assert 0.0 <= (await stream.predict()).end_of_turn_probability <= 1.0
    await stream.aclose()
    stream.push_audio(rtc.AudioFrame(bytes(320), 16_000, 1, 160))  # after the end: nothing happens
    assert turn_frames.MODEL_SECONDS == 8.0
