"""A whole conversation through a real Pipecat pipeline: transport frames in, turns and the agent's answers out.

Caller, recogniser and language model are doubles; everything between them is Pipecat and listenkit. Audio comes faster
than in life, which only works because no decision waits for a clock.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    StartFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transcriptions.language import Language
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner
from pipecat_audio import cut

from listenkit.pipecat import (
    ListenkitPolicyTurnAnalyzer,
    ListenkitTurnAnalyzer,
    ListenkitTurnMetricsData,
    ListenkitUserTurnStrategies,
    ListenkitVADAnalyzer,
)

Samples = npt.NDArray[np.int16]


class Caller(BaseInputTransport):
    """Pipecat's own input transport, sent a recording."""

    def __init__(self, samples: Samples, rate: int, frame: int) -> None:
        super().__init__(TransportParams(audio_in_enabled=True, audio_in_sample_rate=rate))
        self._samples, self._rate, self._frame = samples, rate, frame
        self.sent = 0
        self.arrived = asyncio.Event()
        self.hung_up = asyncio.Event()
        # Whether a model runs beside the audio that would long be done before the next frame of a call.
        self.thinking: Callable[[], bool] = lambda: False
        self._call: asyncio.Task[None] | None = None

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._call = self.create_task(self._send())

    async def _send(self) -> None:
        for pcm in cut(self._samples, self._frame):
            await self.push_audio_frame(InputAudioRawFrame(pcm, self._rate, 1))
            self.sent += len(pcm) // 2
            # A frame at a time, as in life, so that `sent` dates what a frame caused.
            await self.arrived.wait()
            self.arrived.clear()
            for _ in range(20):
                await asyncio.sleep(0)
            while self.thinking():
                await asyncio.sleep(0.001)
        self.hung_up.set()


class Recogniser(FrameProcessor):
    """Says at every pause what the script says next, if anything."""

    def __init__(self, script: Sequence[str], language: Language) -> None:
        super().__init__()
        self._script, self._language = iter(script), language

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            for text in itertools.islice(self._script, 1):
                await self.push_frame(TranscriptionFrame(text, "caller", "now", self._language, finalized=True))


class Model(FrameProcessor):
    """Answers every context with how many user messages it holds."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            said = [m for m in frame.context.messages if isinstance(m, dict) and m["role"] == "user"]
            await self.push_frame(LLMFullResponseStartFrame())
            await self.push_frame(LLMTextFrame(f"answer {len(said)}"))
            await self.push_frame(LLMFullResponseEndFrame())
        else:
            await self.push_frame(frame, direction)


@dataclass
class Record:
    """What came out of the pipeline, with the caller's seconds."""

    strategies: ListenkitUserTurnStrategies
    seen: list[tuple[str, float]] = field(default_factory=list)
    predictions: list[ListenkitTurnMetricsData] = field(default_factory=list)
    messages: list[tuple[str, str]] = field(default_factory=list)

    def of(self, *names: str) -> list[str]:
        return [name for name, _ in self.seen if name in names]

    def times(self, name: str) -> list[float]:
        return [at for seen, at in self.seen if seen == name]


class Listener(FrameProcessor):
    """The downstream end: notes turns and predictions."""

    def __init__(self, record: Record, caller: Caller, rate: int) -> None:
        super().__init__()
        self._record, self._caller, self._rate = record, caller, rate

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction == FrameDirection.DOWNSTREAM:
            if isinstance(frame, InputAudioRawFrame):
                self._caller.arrived.set()
            if isinstance(
                frame,
                (
                    UserStartedSpeakingFrame,
                    UserStoppedSpeakingFrame,
                    VADUserStartedSpeakingFrame,
                    VADUserStoppedSpeakingFrame,
                ),
            ):
                self._record.seen.append((type(frame).__name__, self._caller.sent / self._rate))
            if isinstance(frame, MetricsFrame):
                self._record.predictions += [
                    data for data in frame.data if isinstance(data, ListenkitTurnMetricsData)
                ]
        await self.push_frame(frame, direction)


def converse(
    samples: Samples,
    rate: int,
    strategies: Callable[[], ListenkitUserTurnStrategies] = ListenkitUserTurnStrategies,
    *,
    frame_ms: int = 20,
    script: Sequence[str] = (),
) -> Record:
    return asyncio.run(_converse(samples, rate, strategies, frame_ms, script))


async def _converse(
    samples: Samples,
    rate: int,
    make_strategies: Callable[[], ListenkitUserTurnStrategies],
    frame_ms: int,
    script: Sequence[str],
) -> Record:
    strategies = make_strategies()
    record = Record(strategies)
    caller = Caller(samples, rate, rate * frame_ms // 1000)
    analyzer = strategies.turn_analyzer
    if isinstance(analyzer, ListenkitPolicyTurnAnalyzer):
        caller.thinking = lambda: not all(answer.done() for _, answer in analyzer._answers)
    context = LLMContext()
    pair = LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(
            vad_analyzer=ListenkitVADAnalyzer(params=VADParams(stop_secs=0.2)),
            user_turn_strategies=strategies,
        ),
    )
    worker = PipelineWorker(
        Pipeline(
            [
                caller,
                Recogniser(script, Language.EN_US),
                pair.user(),
                Model(),
                Listener(record, caller, rate),
                pair.assistant(),
            ]
        ),
        params=PipelineParams(audio_in_sample_rate=rate, enable_metrics=True),
        enable_rtvi=False,
        cancel_on_idle_timeout=False,
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)

    async def hang_up() -> None:
        await caller.hung_up.wait()
        await asyncio.sleep(0.3)
        await worker.queue_frame(EndFrame())

    async with asyncio.timeout(60):
        await asyncio.gather(runner.run(), hang_up())
    record.messages = [
        (str(m["role"]), str(m["content"])) for m in context.messages if isinstance(m, dict)
    ]
    return record


SCRIPT = ["I'm sorry, I did not understand your response.", "The number I have is", "four seven one."]


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_conversation(rate: int, conversation: tuple[Samples, int], conversation_16k: Samples) -> None:
    samples = conversation[0] if rate == 48_000 else conversation_16k
    # To 10.2 s: the sentence, the half sentence, the digits, and silence.
    record = converse(samples[: rate * 102 // 10], rate, script=SCRIPT)

    turns = record.of("UserStartedSpeakingFrame", "UserStoppedSpeakingFrame")
    assert turns[:3] == ["UserStartedSpeakingFrame", "UserStoppedSpeakingFrame", "UserStartedSpeakingFrame"]
    # The first words begin at 0.5 s, the sentence ends at 3.2 s; the VAD takes 0.2 s for either, and a window.
    assert 0.6 < record.times("UserStartedSpeakingFrame")[0] < 0.9
    assert 3.3 < record.times("UserStoppedSpeakingFrame")[0] < 3.7
    assert 4.8 < record.times("UserStartedSpeakingFrame")[1] < 5.1
    assert len(record.times("VADUserStoppedSpeakingFrame")) >= 3

    first, second = record.predictions[:2]
    assert first.is_complete and first.probability > 0.9
    # "The number I have is" is followed by 0.7 s of silence, and is no turn.
    assert not second.is_complete and second.probability < 0.1
    assert all(p.threshold == 0.5 for p in record.predictions)
    assert not any(6.3 < at < 7.4 for at in record.times("UserStoppedSpeakingFrame"))

    assert record.messages[0] == ("user", SCRIPT[0])
    assert record.messages[1] == ("assistant", "answer 1")
    analyzer = record.strategies.turn_analyzer
    assert isinstance(analyzer, ListenkitTurnAnalyzer)
    assert analyzer.last_probability == record.predictions[-1].probability


def test_the_threshold_of_the_transcripts_language_is_used(conversation_16k: Samples) -> None:
    """Pipecat's transcripts say "en-US". The first question comes before the first of them, the second after it."""
    record = converse(
        conversation_16k[: 16_000 * 7],
        16_000,
        lambda: ListenkitUserTurnStrategies(threshold=0.6, thresholds={"en": 0.7}),
        script=SCRIPT,
    )
    assert [(p.threshold, p.language) for p in record.predictions] == [(0.6, None), (0.7, "en-us")]


def test_turns_do_not_depend_on_the_transports_frames(conversation_16k: Samples) -> None:
    """10, 20 and 30 ms frames: the same turns, and the model hears the same samples, so it says the same to the bit."""
    found = []
    for frame_ms in (10, 20, 30):
        record = converse(conversation_16k[: 16_000 * 7], 16_000, frame_ms=frame_ms, script=SCRIPT)
        found.append(
            (
                record.of("UserStartedSpeakingFrame", "UserStoppedSpeakingFrame"),
                [(p.probability, p.audio_secs) for p in record.predictions],
            )
        )
    assert found[0] == found[1] == found[2]
    assert len(found[0][1]) >= 2


def test_without_a_recogniser_the_analyzer_drives_the_turns(conversation_16k: Samples) -> None:
    record = converse(
        conversation_16k[: 16_000 * 4], 16_000, lambda: ListenkitUserTurnStrategies(wait_for_transcript=False)
    )
    assert record.of("UserStartedSpeakingFrame", "UserStoppedSpeakingFrame") == [
        "UserStartedSpeakingFrame",
        "UserStoppedSpeakingFrame",
    ]


def test_a_policy_ends_the_turn_that_pipecat_would_wait_for(conversation_16k: Samples) -> None:
    """Digits end at 9.1 s and do not sound finished; Pipecat's rule waits for 3 s of silence, and there are 2.8 s."""
    room = conversation_16k[16_000 * 93 // 10 : 16_000 * 102 // 10]
    call = np.concatenate([conversation_16k[: 16_000 * 102 // 10], room, room])
    assert len(converse(call, 16_000, script=SCRIPT).times("UserStoppedSpeakingFrame")) == 1
    record = converse(call, 16_000, lambda: ListenkitUserTurnStrategies(policy="balanced"), script=SCRIPT)
    stopped = record.times("UserStoppedSpeakingFrame")
    assert len(stopped) == 2
    # "balanced": 0.3 s after the last voiced window of the sentence, at 3.3 s; 1.5 s at most after the digits.
    assert 3.5 < stopped[0] < 3.7
    assert 9.4 < stopped[1] < 10.65
    assert [text for role, text in record.messages if role == "user"] == [SCRIPT[0], f"{SCRIPT[1]} {SCRIPT[2]}"]
