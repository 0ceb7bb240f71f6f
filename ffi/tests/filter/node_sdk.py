"""The audio filter in another SDK, LiveKit's for Node, in the call of `loopback.py`.

    npm install --prefix DIR, with package.json and call.mjs of node/ in it
    LISTENKIT_FILTER=target/release/liblistenkit.so python ffi/tests/filter/node_sdk.py DIR
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import capi
import loopback

# The fixture's caller speaks at 0.5 s and has finished at 3.3 s, which is known half a second later.
SECONDS = 8.0
EXPECTED = [(2, 0.51), (3, 3.30), (6, 3.30)]
# A window of the VAD, and what the call's own clock may be early or late.
TOLERANCE = 0.3


def main() -> None:
    samples, _, _ = capi.read_wav(capi.ROOT / "fixtures" / "conversation-en" / "audio.wav")
    with loopback.LoopbackServer(samples) as server:
        run = subprocess.Popen(
            ["node", "call.mjs"],
            cwd=sys.argv[1],
            env={**os.environ, "LIVEKIT_URL": server.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Timer(SECONDS, run.kill).start()
        printed, errors = run.communicate()
    lines = [line.split() for line in printed.splitlines() if line.startswith("event ")]
    events = [(int(kind), float(at)) for _, kind, at in lines]
    assert len(events) >= len(EXPECTED), f"{events}\n{printed}\n{errors}"
    for said, expected in zip(events, EXPECTED):
        assert said[0] == expected[0] and abs(said[1] - expected[1]) < TOLERANCE, events
    print(f"Node: {len(events)} events, speech from {events[0][1]:.2f} s")


if __name__ == "__main__":
    main()
