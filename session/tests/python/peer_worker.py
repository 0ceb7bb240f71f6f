#!/usr/bin/env python3
"""The peer: a livekit-agents 1.8.9 worker that does the job of our `voice_agent` example with instant providers.

Recognition, model and voice answer at once and without a network: every utterance is recognised as "turn N", the reply repeats it word by word, the voice
is a tone of 60 ms a character.
The VAD is LiveKit's local one, the turn ends by silence (0.5 s), nothing is asked of a cloud. Its behaviour is the oracle of what a room can see.

    LIVEKIT_URL=... LIVEKIT_API_KEY=... LIVEKIT_API_SECRET=... python peer_worker.py start

Options come by environment, because job processes inherit it: PEER_NAME (name to dispatch by), PEER_MARKS (a file: one JSON line per stage of a turn,
with `time.monotonic()`), PEER_IDLE (idle job processes).
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from array import array
from typing import Any

from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    Agent,
    AgentServer,
    AgentSession,
    APIConnectOptions,
    ChatContext,
    ChatMessage,
    JobContext,
    JobRequest,
    NotGivenOr,
    cli,
    inference,
    llm,
    stt,
    tts,
    utils,
)

NAME = os.environ.get("PEER_NAME", "peer")
MARKS = os.environ.get("PEER_MARKS")
RATE = 24_000
PER_CHARACTER = 0.06
"""Seconds of tone for each character: a quick speaker, and what our `ToneTts` does."""


def mark(stage: str, **fields: Any) -> None:
    if MARKS:
        with open(MARKS, "a") as file:
            file.write(json.dumps({"t": time.monotonic(), "pid": os.getpid(), "stage": stage, **fields}) + "\n")


class InstantStt(stt.STT[Any]):
    """Hears "turn 1", "turn 2" and so on."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._count = 0

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        self._count += 1
        mark("stt")
        data = stt.SpeechData(language="en", text=f"turn {self._count}")  # type: ignore[arg-type]
        return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[data])


class EchoLlm(llm.LLM[Any]):
    """Says "You said: " and what the user said last, word by word."""

    def chat(self, *, chat_ctx: ChatContext, tools: Any = None, conn_options: Any = None, **_: Any) -> llm.LLMStream:
        options = conn_options or DEFAULT_API_CONNECT_OPTIONS
        return EchoStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=options)


class EchoStream(llm.LLMStream):
    async def _run(self) -> None:
        mark("llm")
        said = [item.text_content for item in self._chat_ctx.items if isinstance(item, ChatMessage) and item.role == "user"]
        reply = f"You said: {said[-1] if said else 'nothing'}"
        for word in re.findall(r"\S+\s*", reply):
            delta = llm.ChoiceDelta(role="assistant", content=word)
            self._event_ch.send_nowait(llm.ChatChunk(id=utils.shortuuid(), delta=delta))


class ToneTts(tts.TTS[Any]):
    """A tone of 440 Hz for every sentence."""

    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)
        # One second holds whole periods, so pieces of it can be joined.
        self.second = array("h", (round(8000 * math.sin(2 * math.pi * 440 * i / RATE)) for i in range(RATE))).tobytes()

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return ToneStream(tts=self, input_text=text, conn_options=conn_options)


class ToneStream(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        mark("tts")
        voice = self._tts
        assert isinstance(voice, ToneTts)
        output_emitter.initialize(
            request_id=utils.shortuuid(), sample_rate=RATE, num_channels=1, mime_type="audio/pcm"
        )
        length = 2 * round(PER_CHARACTER * len(self.input_text.strip()) * RATE)
        tone = voice.second * (length // len(voice.second) + 1)
        output_emitter.push(tone[:length])
        output_emitter.flush()


class Talker(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Repeat what the user says.")

    async def on_user_turn_completed(self, turn_ctx: ChatContext, new_message: ChatMessage) -> None:
        mark("turn", text=new_message.text_content)


async def entrypoint(ctx: JobContext) -> None:
    mark("job", room=ctx.job.room.name)
    vad = inference.VAD(model="silero")
    session: AgentSession[None] = AgentSession(
        stt=stt.StreamAdapter(stt=InstantStt(), vad=vad),
        vad=vad,
        llm=EchoLlm(),
        tts=ToneTts(),
        turn_handling={
            "turn_detection": "vad",
            "endpointing": {"min_delay": 0.5, "max_delay": 3.0},
            "interruption": {"mode": "vad", "min_duration": 0.5},
        },
        # Without it the peer is deaf to interruptions in the first 3 s of its voice, which is all of a short test.
        aec_warmup_duration=None,
    )
    session.on("user_state_changed", lambda e: mark("user", state=e.new_state))
    session.on("agent_state_changed", lambda e: mark("agent", state=e.new_state))
    await session.start(agent=Talker(), room=ctx.room)


async def accept(request: JobRequest) -> None:
    await request.accept()


def main() -> None:
    server = AgentServer(
        load_fnc=lambda: 0.0,
        num_idle_processes=int(os.environ.get("PEER_IDLE", "1")),
        host="127.0.0.1",
        port=0,
        log_level=os.environ.get("PEER_LOG", "info"),
    )
    server.rtc_session(entrypoint, agent_name=NAME, on_request=accept)
    cli.run_app(server)


if __name__ == "__main__":
    main()
