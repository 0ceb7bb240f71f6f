"""The audio filter inside the real SDK: `liblivekit_ffi.so` of the PyPI wheel `livekit` loads it and gives it a call.

The call comes from `loopback.py`: a recording, over Opus and libwebrtc, in real time. Several streams of the same track run side
by side, with and without a filter, and for each:
- what the application gets is, sample for sample, what it gets without a filter;
- what the filter says is, byte for byte, what a detector says of the samples that the application got.

    python ffi/tests/filter/livekit_sdk.py target/release/liblistenkit.so
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

import numpy as np
from livekit import rtc

sys.path.insert(0, str(Path(__file__).parent))
import capi
import loopback

FIXTURE = capi.ROOT / "fixtures" / "conversation-en"
MODULE = "listenkit"


class Recorded:
    """A stream of the track, and the samples it delivered."""

    def __init__(self, name: str, rate: int, channels: int, options: dict | None, **settings):
        self.name, self.rate, self.channels = name, rate, channels
        self.options = options
        # What a detector is told to do the same.
        self.settings = settings
        self.blocks: list[np.ndarray] = []
        self.polled: list = []
        self.ended = False
        self.filter_id: int | None = None

    def cancellation(self) -> rtc.NoiseCancellationOptions | None:
        if self.options is None:
            return None
        return rtc.NoiseCancellationOptions(MODULE, {"label": self.name, **self.options})

    async def run(self, stream: rtc.AudioStream, seconds: float) -> None:
        wanted = int(seconds * self.rate) * self.channels
        got = 0
        async for event in stream:
            samples = np.frombuffer(event.frame.data, np.int16).copy()
            assert (event.frame.sample_rate, event.frame.num_channels) == (self.rate, self.channels)
            self.blocks.append(samples)
            got += len(samples)
            if got >= wanted:
                break
        await stream.aclose()

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate(self.blocks)


async def call(filters: capi.Filters, url: str, seconds: float) -> list[Recorded]:
    room = rtc.Room()
    subscribed: asyncio.Future = asyncio.get_running_loop().create_future()

    @room.on("track_subscribed")
    def _(track, publication, participant) -> None:
        subscribed.set_result((track, participant))

    await room.connect(url, "not-a-real-token")
    track, participant = await asyncio.wait_for(subscribed, 10)
    windows = {"report_windows": True}
    streams = [
        Recorded("plain", 48000, 1, None),
        Recorded("rate", 48000, 1, windows, report_windows=1),
        Recorded("phone", 8000, 1, {}),
        Recorded("stereo", 24000, 2, {"min_silence_ms": 400}, min_silence_ms=400),
        # 10 ms are 441 values: the blocks of the SDK begin in the middle of a sample.
        Recorded("odd", 22050, 2, {"policy": "fast", "turn_model": False}),
        Recorded("misspelt", 16000, 1, {"min_silence": 400}),
    ]
    by_participant = Recorded("person", 16000, 1, {"max_delay_ms": 1500, "endpointing": "fixed"},
                              endpointing=1, max_delay_ms=1500)
    running = []
    for stream in streams:
        source = rtc.AudioStream(
            track,
            sample_rate=stream.rate,
            num_channels=stream.channels,
            noise_cancellation=stream.cancellation(),
        )
        running.append(stream.run(source, seconds))
    source = rtc.AudioStream.from_participant(
        participant=participant,
        track_source=rtc.TrackSource.SOURCE_MICROPHONE,
        sample_rate=by_participant.rate,
        frame_size_ms=60,
        noise_cancellation=by_participant.cancellation(),
    )
    running.append(by_participant.run(source, seconds))
    streams.append(by_participant)

    done = asyncio.Event()
    reading = asyncio.create_task(read(filters, streams, done))
    await asyncio.gather(*running)
    await room.disconnect()
    done.set()
    await reading
    return streams


async def read(filters: capi.Filters, streams: list[Recorded], done: asyncio.Event) -> None:
    """Polls as an application would, until every filter has ended."""
    left = [stream for stream in streams if stream.options is not None]
    for _ in range(2000):
        await asyncio.sleep(0.02)
        for stream in list(left):
            if stream.filter_id is None:
                stream.filter_id = filters.find("LABEL", stream.name)
                if stream.filter_id is None:
                    if done.is_set():
                        left.remove(stream)
                    continue
                stream.error = filters.text(stream.filter_id, "ERROR")
                stream.first_info = json.loads(filters.text(stream.filter_id, "STREAM_INFO") or "{}")
            if not stream.ended:
                last = filters.info(stream.filter_id), described(filters, stream.filter_id)
                events, stream.ended = filters.poll(stream.filter_id)
                stream.polled += events
                stream.info, stream.described = last
            else:
                left.remove(stream)
        if not left:
            return
    raise AssertionError(f"these never ended: {[stream.name for stream in left]}")


def described(filters: capi.Filters, filter_id: int) -> dict[str, str]:
    which = ("ROOM_ID", "ROOM_NAME", "PARTICIPANT_IDENTITY", "PARTICIPANT_ID", "TRACK_ID", "URL")
    return {name: filters.text(filter_id, name) for name in which}


def check_events(api: capi.Api, stream: Recorded) -> int:
    """The filter's events are a detector's, over what the application got."""
    heard, _, _ = api.detect(stream.samples, stream.rate, stream.channels, **stream.settings)
    total = len(stream.samples) // stream.channels
    # The filter may have heard a few blocks that were on their way when the stream was closed, and its end.
    said = [event for event in stream.polled if event[2] <= total]
    assert said[: len(heard)] == heard, difference(stream, said, heard)
    late = said[len(heard) :]
    assert all(event[2] >= total for event in late), f"{stream.name}: {late} too many"
    assert stream.info.events_dropped == 0 and stream.info.blocks_lost == 0
    return len(heard)


def difference(stream: Recorded, said: list, heard: list) -> str:
    at = next((i for i, (a, b) in enumerate(zip(said, heard)) if a != b), min(len(said), len(heard)))
    return (f"{stream.name}: event {at} is {said[at : at + 1]}, a detector says {heard[at : at + 1]} "
            f"({len(said)} and {len(heard)} events)")


def check_untouched(plain: Recorded, filtered: Recorded) -> int:
    """Both delivered the same samples, from where the later one began."""
    a, b = plain.samples, filtered.samples
    # Something that is not silence, a second in, finds the offset; the streams began within a few blocks of each other.
    probe = slice(48000, 96000)
    block = plain.rate // 100
    for offset in range(-50 * block, 51 * block, block):
        if np.array_equal(a[probe], b[probe.start + offset : probe.stop + offset]):
            break
    else:
        raise AssertionError("the filtered stream has other samples")
    start_a, start_b = max(0, -offset), max(0, offset)
    length = min(len(a) - start_a, len(b) - start_b)
    assert np.any(a[probe]), "it is silence that is compared"
    assert np.array_equal(a[start_a : start_a + length], b[start_b : start_b + length])
    return length


def main() -> None:
    library = str(Path(sys.argv[1]).resolve())
    seconds = float(os.environ.get("LISTENKIT_FILTER_SECONDS", "17.5"))
    logging.basicConfig(level=logging.CRITICAL)
    api = capi.load(library)
    filters = capi.Filters(api)
    samples, rate, _ = capi.read_wav(FIXTURE / "audio.wav")
    assert rate == loopback.RATE

    # The SDK finds all six symbols, and calls on_load when the room is connected.
    rtc.AudioFilter(MODULE, library)
    with loopback.LoopbackServer(samples, room_id_after=1.0) as server:
        url = server.url
        streams = asyncio.run(call(filters, url, seconds))

    by_name = {stream.name: stream for stream in streams}
    same = check_untouched(by_name["plain"], by_name["rate"])
    print(f"pass-through: {same} samples at 48 kHz equal with and without the filter")
    for name in ("rate", "phone", "stereo", "person"):
        stream = by_name[name]
        events = check_events(api, stream)
        assert stream.info.channels == stream.channels
        assert stream.info.sample_rate == stream.rate
        turns = [e for e in stream.polled if e[0] == "END_OF_TURN"]
        print(f"{name}: {events} events as a detector says them, {len(turns)} turns")
    # An independent oracle, for the case that filter and detector are wrong alike: the turns of the fixture.
    lines = (FIXTURE / "expected.jsonl").read_text().splitlines()
    expected = [line for line in map(json.loads, lines) if line["event"] == "end_of_turn"]
    begins = [e for e in by_name["rate"].polled if e[0] == "END_OF_TURN"]
    if seconds >= 17:
        offsets = [said[1] - turn["at"] for said, turn in zip(begins, expected)]
        assert len(begins) == len(expected), (begins, expected)
        # One and the same delay of the call for all, but for windows of 32 ms, what Opus smears, and what the jitter
        # buffer of a busy machine stretches. Turns are seconds apart.
        assert max(offsets) - min(offsets) <= 0.4 * rate, offsets
        print(f"turns are those of the fixture, {np.mean(offsets) / rate:.2f} s later: the call's own delay")

    odd = by_name["odd"]
    assert odd.info.channels == 2 and odd.info.blocks_lost == 0
    # The SDK cuts such blocks to 440 values, so that its own samples are of no use for comparing.
    spoken = [e for e in odd.polled if e[0] == "START_OF_SPEECH"]
    expected_starts = [e for e in by_name["rate"].polled if e[0] == "START_OF_SPEECH"]
    assert len(spoken) == len(expected_starts), "22,050 Hz stereo is heard otherwise"
    print(f"odd: {len(spoken)} starts of speech, as at 48 kHz")

    wrong = by_name["misspelt"]
    assert wrong.polled == [] and wrong.ended
    assert '"min_silence"' in wrong.error, wrong.error
    assert len(wrong.samples) >= seconds * wrong.rate, "the stream goes on without a filter"
    print(f"misspelt: refused ({wrong.error}), the stream went on")

    said = by_name["person"].described
    assert said["ROOM_NAME"] == loopback.ROOM_NAME and said["TRACK_ID"] == loopback.TRACK_ID
    assert said["PARTICIPANT_IDENTITY"] == loopback.SPEAKER_IDENTITY
    assert said["PARTICIPANT_ID"] == loopback.SPEAKER_ID and said["URL"] == url
    # The room had no id when the streams began.
    assert by_name["person"].first_info["roomId"] == "" and said["ROOM_ID"] == loopback.ROOM_ID
    print("stream info: participant, track, and the room's id that came later")
    assert filters.list() == [], filters.list()


if __name__ == "__main__":
    main()
