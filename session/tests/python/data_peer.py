"""A participant made of LiveKit's own Python SDK that says back what it is told: data, texts and procedure calls.

    data_peer.py URL TOKEN

Data on a topic comes back on `back`, a text of the topic `there` comes back on `back` with the attributes that it had at its end. The method `reverse` gives
its payload backwards, `refuse` an error. A text of the topic `call` makes it call the method that the attribute `method` names with that text; what
comes of it is a text of the topic `called`. Ends with the room.
"""

from __future__ import annotations

import asyncio
import sys

from livekit import rtc


async def main(url: str, token: str) -> None:
    room = rtc.Room()
    ended = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()
    me = room

    def start(work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[arg-type]
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def data(packet: rtc.DataPacket) -> None:
        assert packet.participant is not None
        to = [packet.participant.identity]
        reliable = packet.kind == rtc.DataPacketKind.KIND_RELIABLE
        start(me.local_participant.publish_data(packet.data, reliable=reliable, destination_identities=to, topic=f"back {packet.topic or ''}"))

    def there(reader: rtc.TextStreamReader, identity: str) -> None:
        async def back() -> None:
            text = await reader.read_all()
            info = reader.info
            # In pieces, so that they are ours to cut.
            writer = await me.local_participant.stream_text(destination_identities=[identity], topic="back", attributes={"id": info.stream_id})
            for at in range(0, len(text), 7_000):
                await writer.write(text[at : at + 7_000])
            await writer.aclose(attributes=dict(info.attributes or {}))
            # And whole.
            await me.local_participant.send_text(text, destination_identities=[identity], topic="whole", attributes=dict(info.attributes or {}))

        start(back())

    def call(reader: rtc.TextStreamReader, identity: str) -> None:
        async def called() -> None:
            payload = await reader.read_all()
            attributes = reader.info.attributes or {}
            try:
                answer = await me.local_participant.perform_rpc(
                    destination_identity=identity, method=attributes["method"], payload=payload, response_timeout=float(attributes["timeout"])
                )
                result = {"answer": "yes"}
            except rtc.RpcError as error:
                answer, result = error.message, {"code": str(error.code), "data": str(error.data or "")}
            await me.local_participant.send_text(answer, destination_identities=[identity], topic="called", attributes=result)

        start(called())

    async def reverse(invocation: rtc.RpcInvocationData) -> str:
        return invocation.payload[::-1]

    async def refuse(invocation: rtc.RpcInvocationData) -> str:
        if invocation.payload == "crash":
            raise ValueError("not an error for others")
        raise rtc.RpcError(42, "nein, ß", "details")

    async def sleep(_: rtc.RpcInvocationData) -> str:
        await asyncio.sleep(60)
        return ""

    room.on("data_received", data)
    room.on("disconnected", lambda *_: ended.set())
    room.on("participant_disconnected", lambda *_: ended.set())
    room.register_text_stream_handler("there", there)
    room.register_text_stream_handler("call", call)
    await room.connect(url, token)
    room.local_participant.register_rpc_method("reverse", reverse)
    room.local_participant.register_rpc_method("refuse", refuse)
    room.local_participant.register_rpc_method("sleep", sleep)
    await room.local_participant.set_attributes({"ready": "1"})
    await ended.wait()
    await room.disconnect()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
