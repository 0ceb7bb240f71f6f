"""A LiveKit server for one client, on loopback: it joins the client to a room in which another participant speaks.

Only what the official SDK needs to subscribe to one Opus track: the signalling messages of the v0 path, and one peer
connection towards the client (aiortc). The SDK's audio filters run on tracks of a room only, so this is what they are
tested with when there is no server.
"""

from __future__ import annotations

import asyncio
import fractions
import json
import threading
import time

import av
import numpy as np
from aiohttp import WSMsgType, web
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp
from livekit.protocol import models, rtc

ROOM_ID = "RM_loop"
ROOM_NAME = "loopback"
SPEAKER_IDENTITY = "caller"
SPEAKER_ID = "PA_caller"
TRACK_ID = "TR_mic"
LISTENER_IDENTITY = "agent"

RATE = 48_000
BLOCK = 960  # 20 ms, one Opus packet


class Speaker(MediaStreamTrack):
    """Plays samples once, in real time, then silence."""

    kind = "audio"

    def __init__(self, samples: np.ndarray) -> None:
        super().__init__()
        self._samples = samples
        self._position = 0
        self._started = 0.0

    async def recv(self) -> av.AudioFrame:
        if self._position == 0:
            self._started = time.monotonic()
        due = self._started + self._position / RATE
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        block = self._samples[self._position : self._position + BLOCK]
        block = np.concatenate([block, np.zeros(BLOCK - len(block), np.int16)])
        frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts = self._position
        frame.time_base = fractions.Fraction(1, RATE)
        self._position += BLOCK
        return frame


class LoopbackServer:
    """Runs in a thread of its own, so that the client under test has its event loop for itself.

    `room_id_after` seconds is how late the room gets its id; a filter is told of that by a call of its own.
    """

    def __init__(self, samples: np.ndarray, room_id_after: float = 0.0) -> None:
        self._samples = samples
        self._room_id_after = room_id_after
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.url = ""

    def __enter__(self) -> LoopbackServer:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _start(self) -> None:
        app = web.Application()
        # No /rtc/v1: the client falls back to this path when that one is not found.
        app.router.add_get("/rtc", self._session)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = "ws://127.0.0.1:%d" % self._runner.addresses[0][1]

    async def _session(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)

        async def send(**message: object) -> None:
            await socket.send_bytes(rtc.SignalResponse(**message).SerializeToString())

        await send(join=self._join())
        peer = RTCPeerConnection()
        sender = peer.addTrack(Speaker(self._samples))
        # The client finds the participant and the track in the media description's stream id.
        sender._stream_id = f"{SPEAKER_ID}|{TRACK_ID}"
        sender._track_id = TRACK_ID
        await peer.setLocalDescription(await peer.createOffer())
        await send(offer=rtc.SessionDescription(type="offer", sdp=peer.localDescription.sdp, id=1))
        late = asyncio.ensure_future(self._name_room(send)) if self._room_id_after else None
        try:
            async for message in socket:
                if message.type != WSMsgType.BINARY:
                    continue
                signal = rtc.SignalRequest.FromString(message.data)
                kind = signal.WhichOneof("message")
                if kind == "answer":
                    await peer.setRemoteDescription(
                        RTCSessionDescription(signal.answer.sdp, "answer")
                    )
                elif kind == "trickle" and signal.trickle.target == rtc.SUBSCRIBER:
                    await _add_candidate(peer, json.loads(signal.trickle.candidateInit))
                elif kind == "ping_req":
                    now = int(time.time() * 1000)
                    last = signal.ping_req.timestamp
                    await send(pong_resp=rtc.Pong(last_ping_timestamp=last, timestamp=now))
                elif kind == "leave":
                    break
        finally:
            if late:
                late.cancel()
            await peer.close()
        return socket

    def _join(self) -> rtc.JoinResponse:
        active = models.ParticipantInfo.ACTIVE
        microphone = models.TrackInfo(
            sid=TRACK_ID, type=models.AUDIO, name="mic", source=models.MICROPHONE
        )
        return rtc.JoinResponse(
            room=models.Room(sid="" if self._room_id_after else ROOM_ID, name=ROOM_NAME),
            participant=models.ParticipantInfo(
                sid="PA_agent", identity=LISTENER_IDENTITY, state=active
            ),
            other_participants=[
                models.ParticipantInfo(
                    sid=SPEAKER_ID, identity=SPEAKER_IDENTITY, state=active, tracks=[microphone]
                )
            ],
            server_version="1.9.0",
            server_info=models.ServerInfo(version="1.9.0", protocol=15),
            subscriber_primary=True,
            ping_timeout=30,
            ping_interval=5,
        )

    async def _name_room(self, send: object) -> None:
        await asyncio.sleep(self._room_id_after)
        room = models.Room(sid=ROOM_ID, name=ROOM_NAME)
        await send(room_update=rtc.RoomUpdate(room=room))


async def _add_candidate(peer: RTCPeerConnection, init: dict) -> None:
    line = init.get("candidate", "")
    if not line:
        return
    candidate = candidate_from_sdp(line.split(":", 1)[1])
    candidate.sdpMid = init["sdpMid"]
    candidate.sdpMLineIndex = init["sdpMLineIndex"]
    await peer.addIceCandidate(candidate)
