#!/usr/bin/env python3
"""Records what LiveKit Agents' dynamic endpointing does, for the test that replays it.

Drives `livekit.agents.voice.endpointing.DynamicEndpointing` of livekit-agents 1.8.9 with random events and
writes its smallest delay after each of them, and what it says it learned from. Half of the sequences are
conversations, half are events in any order. The numbers are committed, the peer's code is not:

    python benches/livekit_endpointing.py core/src/endpointer/tests/livekit.csv

Needs `pip install livekit-agents==1.8.9`. The same seed gives the same file.
"""

import argparse
import random
from importlib.metadata import version

from livekit.agents.types import NOT_GIVEN
from livekit.agents.voice import endpointing

RATE = 48_000
SEED = 20_260_901
VERSION = "1.8.9"
REASONS = {None: "none", "pause between utterances": "pause", "immediate interruption": "early_agent"}


class Recorder:
    """Takes the place of the peer's logger, to hear the reason of an update."""

    def __init__(self):
        self.reason = None

    def debug(self, *args, extra=None, **kwargs):
        self.reason = (extra or {}).get("reason")

    def trace(self, *args, **kwargs):
        pass


def conversation(rng):
    """Utterances, pauses, answers, interruptions, backchannels: times in samples."""
    now = rng.randrange(RATE, 3 * RATE)
    speaking_until = 0
    for _ in range(rng.randrange(8, 16)):
        kind = rng.random()
        start = now
        if speaking_until > start:
            yield "user_start", start, True
        else:
            if speaking_until:
                yield "agent_stop", speaking_until, None
                speaking_until = 0
            yield "user_start", start, False
        if kind < 0.1:  # the agent comes in while the user speaks
            at = start + rng.randrange(1, RATE)
            yield "agent_start", at, None
            speaking_until = at + rng.randrange(RATE // 2, 4 * RATE)
            now = at
        end = now + rng.randrange(RATE // 20, 3 * RATE)
        if speaking_until and speaking_until <= end:
            yield "agent_stop", speaking_until, None
            speaking_until = 0
        yield "user_end", end, rng.choice([None, None, True, False])
        now = end + int(rng.expovariate(1 / 0.6) * RATE) + 1
        if not speaking_until and rng.random() < 0.5:  # the agent answers, perhaps just before the user goes on
            at = end + int(rng.choice([0.3, 0.5, 1.5]) * rng.random() * RATE) + 1
            yield "agent_start", at, None
            speaking_until = at + rng.randrange(RATE // 10, 3 * RATE)
            now = max(now, at + rng.randrange(1, RATE))


def any_order(rng):
    """Calls in any order, at times that may step back by up to 0.5 s."""
    now = rng.randrange(RATE, 3 * RATE)
    for _ in range(rng.randrange(20, 40)):
        now += int(rng.expovariate(1 / 0.3) * RATE) + 1
        at = now - (rng.randrange(RATE // 2) if rng.random() < 0.2 else 0)
        kind = rng.choice(["user_start", "user_end", "user_end", "agent_start", "agent_stop"])
        flag = None
        if kind == "user_start":
            flag = rng.random() < 0.4
        elif kind == "user_end":
            flag = rng.choice([None, True, False])
        yield kind, at, flag


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--sequences", type=int, default=60)
    args = parser.parse_args()
    if version("livekit-agents") != VERSION:
        parser.error(f"livekit-agents {version('livekit-agents')} is installed, the table is of {VERSION}")

    rng = random.Random(SEED)
    recorder = endpointing.logger = Recorder()
    counts = dict.fromkeys(REASONS.values(), 0)
    with open(args.out, "w", newline="\n") as out:
        out.write(f"# livekit-agents {VERSION}, DynamicEndpointing, {RATE} Hz, benches/livekit_endpointing.py\n")
        out.write("# new,min_delay_samples,max_delay_samples,alpha | event,at_samples,flag,min_delay_s,reason\n")
        for index in range(args.sequences):
            low, high = rng.choice([(0.3, 2.5), (0.5, 3.0), (0.2, 1.0), (1.0, 1.5)])
            alpha = rng.choice([0.9, 0.9, 0.5])
            peer = endpointing.DynamicEndpointing(low, high, alpha)
            out.write(f"new,{round(low * RATE)},{round(high * RATE)},{alpha}\n")
            for kind, at, flag in (conversation if index % 2 == 0 else any_order)(rng):
                recorder.reason = None
                seconds = at / RATE
                if kind == "user_start":
                    peer.on_start_of_speech(seconds, overlapping=flag)
                elif kind == "user_end":
                    peer.on_end_of_speech(seconds, NOT_GIVEN if flag is None else flag)
                elif kind == "agent_start":
                    peer.on_start_of_agent_speech(seconds)
                else:
                    peer.on_end_of_agent_speech(seconds)
                reason = REASONS[recorder.reason]
                counts[reason] += 1
                text = {None: "", True: "true", False: "false"}[flag]
                out.write(f"{kind},{at},{text},{peer.min_delay:.7f},{reason}\n")
    print(", ".join(f"{n} {reason}" for reason, n in counts.items()))


if __name__ == "__main__":
    main()
