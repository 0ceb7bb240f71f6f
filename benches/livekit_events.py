#!/usr/bin/env python3
"""Records what LiveKit's two VADs say about audio: the reference of the two livekit_parity.rs in core.

    benches/livekit_events.py --out core/tests/data/livekit_events.json \
        fixtures/{conversation-en,speech-clipped,speech-quiet,speech-dc-offset,clicks}/audio.wav \
        CORPUS/public/speech/rhino-it.wav CORPUS/public/speech/rhino-ooc-zh.wav
    benches/livekit_events.py --out /tmp/all.json CORPUS/public/{speech,vad,eot,eot_tts,nonspeech,babble}/*.wav
    LISTENKIT_LIVEKIT_EVENTS=/tmp/all.json cargo test -p listenkit livekit_parity

Needs livekit-agents, livekit-plugins-silero, numpy, soundfile and soxr from PyPI (written for 1.8.9).
Only numbers are recorded: the probability of every window as the peer reports it, and its START and END
events with their fields. No audio and no weights.

Audio goes in at 16 kHz (converted here if need be), so no resampler of the peer is in the way, and silence is
appended, because the peer drops speech that is still open at the end of its input. Two cases of the first
file record what we do not copy: `open at end` (cut in the middle of speech) and `overflow` (a buffer of one
second).
"""

import argparse
import asyncio
import json
import logging
import pathlib
from importlib.metadata import version

import numpy as np
import soundfile
import soxr
from livekit import rtc
from livekit.agents import inference, vad
from livekit.plugins import silero

RATE = 16_000
# Both VADs close within 0.576 s; what is left lets the second prefix fill.
TRAILING_SECONDS = 1.0
PUSH = 160  # 10 ms


def load(path):
    samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    mono = samples.mean(axis=1)
    if rate != RATE:
        mono = soxr.resample(mono, rate, RATE, quality="HQ")
    return np.clip(np.round(mono * 32768), -32768, 32767).astype(np.int16)


def make(which, **options):
    return inference.VAD(model="silero", **options) if which == "core" else silero.VAD.load(**options)


async def listen(detector, samples):
    """The probability of every window, and the edges between them."""
    stream = detector.stream()
    for start in range(0, len(samples), PUSH):
        block = samples[start : start + PUSH]
        stream.push_frame(rtc.AudioFrame(block.tobytes(), RATE, 1, len(block)))
    stream.end_input()
    probabilities, events = [], []
    async for event in stream:
        if event.type == vad.VADEventType.INFERENCE_DONE:
            # The shortest decimal that gives the same f32 back.
            probabilities.append(float(str(np.float32(event.probability))))
            continue
        (frame,) = event.frames
        heard = np.frombuffer(frame.data, dtype=np.int16)
        latest = samples[max(0, event.samples_index - len(heard)) : event.samples_index]
        events.append(
            {
                "kind": "start" if event.type == vad.VADEventType.START_OF_SPEECH else "end",
                "samples_index": event.samples_index,
                "speech_duration": round(event.speech_duration, 6),
                "silence_duration": round(event.silence_duration, 6),
                "frame_samples": frame.samples_per_channel,
                # Whether the frame is the newest audio, without a hole and without anything older.
                "newest": bool(np.array_equal(heard, latest)),
            }
        )
    await stream.aclose()
    return probabilities, events


def case(which, name, note, samples, **options):
    detector = make(which, **options)
    probabilities, events = asyncio.run(listen(detector, samples))
    return {
        "vad": which,
        "clip": name,
        "note": note,
        "samples": len(samples),
        "probabilities": probabilities,
        "events": events,
    }


def cases(paths):
    for number, path in enumerate(paths):
        audio = load(path)
        name = f"{path.parent.name}/{path.name}"
        with_silence = np.concatenate([audio, np.zeros(int(TRAILING_SECONDS * RATE), np.int16)])
        for which in ("plugin", "core"):
            found = case(which, name, "", with_silence)
            yield found
            if number > 0 or not found["events"]:
                continue
            # 16 windows behind the first start everyone is still speaking.
            middle = found["events"][0]["samples_index"] + 16 * 512
            yield case(which, name, "open at end", audio[:middle])
            yield case(which, name, "overflow", with_silence, max_buffered_speech=1.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=pathlib.Path, help="JSON file to write")
    parser.add_argument("wav", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    found = list(cases(args.wav))
    head = {
        "peer": {name: version(name) for name in ("livekit-agents", "livekit-plugins-silero")},
        "rate": RATE,
        "window": 512,
    }
    body = ",\n".join(json.dumps(one) for one in found)
    args.out.write_text(f'{json.dumps(head)[:-1]}, "cases": [\n{body}\n]}}\n')
    windows = sum(len(one["probabilities"]) for one in found)
    events = sum(len(one["events"]) for one in found)
    print(f"{args.out}: {len(found)} cases, {windows} windows, {events} events")


if __name__ == "__main__":
    main()
