"""Runs the first Python lines of docs/audio-filter.md in a call, as they stand there.

    LISTENKIT_FILTER=target/release/liblistenkit.so python ffi/tests/filter/doc.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import capi
import loopback

# By then the caller of the fixture has finished a turn.
SECONDS = 6.0


def main() -> None:
    page = (capi.ROOT / "docs" / "audio-filter.md").read_text()
    program = re.search(r"^```python\n(.*?)^```", page, re.M | re.S).group(1)
    shown = re.search(r"it prints:\n\n```\n(.*?)^\.\.\.\n```", page, re.M | re.S).group(1)
    samples, _, _ = capi.read_wav(capi.ROOT / "fixtures" / "conversation-en" / "audio.wav")
    with loopback.LoopbackServer(samples) as server:
        environment = {**os.environ, "LIVEKIT_URL": server.url, "LIVEKIT_TOKEN": "not-a-real-token"}
        command = [sys.executable, "-u", "-c", program]
        run = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        threading.Timer(SECONDS, run.kill).start()
        printed, errors = run.communicate()
    print(printed, end="")
    # When a call begins depends on its jitter buffer, so only what was said is compared.
    def words(text: str) -> list[str]:
        return [re.sub(r"at .* s", "", line).strip() for line in text.splitlines()]

    begun = words(shown)
    assert words(printed)[: len(begun)] == begun, errors


if __name__ == "__main__":
    main()
