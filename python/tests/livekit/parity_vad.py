"""Our VAD with the preset "livekit" beside `livekit.agents.inference.VAD` itself, on every 16 kHz clip of the public corpus.

Starts and ends must fall on the same windows, of each clip as it is and with a second of silence behind it. One difference is expected,
and is the peer's defect: speech that is open when the input ends has no end there. With `--silero`, the preset "livekit-silero" beside the silero plugin as well; that one is told the same
probabilities through another ONNX Runtime, so a probability within 1e-3 of a threshold may fall on the other side.

    python python/tests/livekit/parity_vad.py [--silero] [--verbose]

The corpus is found by LISTENKIT_CORPUS or beside the repository; without it the script says so and succeeds.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import wave
from collections import Counter
from pathlib import Path

import numpy as np
from livekit import rtc
from livekit.agents import inference, vad
from livekit.agents.vad import VADEventType

from listenkit.livekit import VAD

ROOT = Path(__file__).resolve().parents[3]
RATE = 16_000

#: Kind of event and the sample it was decided at.
Edge = tuple[str, int]


def clips() -> list[Path]:
    corpus = Path(os.environ.get("LISTENKIT_CORPUS", ROOT.parent / "shared" / "corpus"))
    found = []
    for path in sorted(corpus.glob("public/**/*.wav")):
        with wave.open(str(path)) as file:
            if (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2):
                found.append(path)
    return found


def frames(path: Path, silence: float) -> list[rtc.AudioFrame]:
    with wave.open(str(path)) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
    data = np.concatenate([data, np.zeros(int(silence * RATE), dtype=np.int16)])
    blocks = [data[at : at + 320] for at in range(0, len(data), 320)]
    return [rtc.AudioFrame(block.tobytes(), RATE, 1, len(block)) for block in blocks]


async def edges(made: vad.VAD, audio: list[rtc.AudioFrame]) -> tuple[list[Edge], list[float]]:
    """Starts and ends, and the probability of every whole window."""
    stream = made.stream()
    for frame in audio:
        stream.push_frame(frame)
    # The peer is done with all windows when the reader has seen the last of them; what follows is the end of the input.
    windows = sum(frame.samples_per_channel for frame in audio) // 512
    found: list[Edge] = []
    probabilities: list[float] = []
    stream.end_input()
    async for event in stream:
        if event.type != VADEventType.INFERENCE_DONE:
            found.append((event.type.value, event.samples_index))
        elif len(probabilities) < windows:
            probabilities.append(event.probability)
    await stream.aclose()
    return found, probabilities


def compare(ours: list[Edge], peer: list[Edge]) -> str:
    """"same"; "dropped": but for the end of speech that was open at the end of the input; "different"."""
    if ours == peer:
        return "same"
    if ours[:-1] == peer and ours[-1][0] == VADEventType.END_OF_SPEECH.value and len(peer) % 2 == 1:
        return "dropped"
    return "different"


async def run(pairs: list[tuple[str, vad.VAD, vad.VAD]], paths: list[Path], verbose: bool) -> int:
    failures = 0
    for (name, mine, theirs), silence in itertools.product(pairs, (0.0, 1.0)):
        verdicts: Counter[str] = Counter()
        seen = windows = 0
        worst = 0.0
        for path in paths:
            audio = frames(path, silence)
            (ours, p), (peer, q) = await edges(mine, audio), await edges(theirs, audio)
            verdict = compare(ours, peer)
            verdicts[verdict] += 1
            seen += len(peer)
            windows += len(p)
            worst = max(worst, float(np.max(np.abs(np.array(p) - np.array(q)), initial=0.0)) if len(p) == len(q) else np.inf)
            if verdict != "same" and (verbose or verdict == "different"):
                print(f"  {verdict}: {path.name}\n    ours {ours[-3:]}\n    peer {peer[-3:]}")
        print(
            f"{name}, {silence:.0f} s of silence behind: {len(paths)} clips, {windows} windows, {seen} starts and ends of the peer; "
            f"{verdicts['same']} clips the same, {verdicts['dropped']} where only the peer's last end is missing, "
            f"{verdicts['different']} different; probabilities within {worst:.1e}"
        )
        failures += verdicts["different"]
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--silero", action="store_true", help="the silero plugin as well")
    parser.add_argument("--verbose", action="store_true", help="name the clips whose last end is missing")
    arguments = parser.parse_args()
    paths = clips()
    if not paths:
        print("skipped: the comparison with LiveKit's VAD needs the corpus (set LISTENKIT_CORPUS)")
        return
    pairs: list[tuple[str, vad.VAD, vad.VAD]] = [("inference.VAD", VAD(preset="livekit"), inference.VAD())]
    if arguments.silero:
        from livekit.plugins import silero

        pairs.append(("silero plugin", VAD(preset="livekit-silero"), silero.VAD.load()))
    if asyncio.run(run(pairs, paths, arguments.verbose)):
        sys.exit("starts or ends fall on other windows")


if __name__ == "__main__":
    main()
