"""Without Pipecat the import says what to install."""

from __future__ import annotations

import subprocess
import sys

BLOCKED = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
try:
    import listenkit.pipecat
except ImportError as error:
    print(type(error).__name__, error)
"""


def import_without(absent: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(absent=absent)], capture_output=True, text=True, check=True
    )
    return run.stdout


def test_without_pipecat_the_message_names_the_extra() -> None:
    assert import_without("pipecat") == (
        "ImportError listenkit.pipecat needs Pipecat, which is not installed here: pip install 'listenkit[pipecat]'\n"
    )


def test_a_broken_pipecat_is_not_called_missing() -> None:
    # Something Pipecat itself needs is missing: its own message is the useful one.
    message = import_without("pydantic")
    assert "pydantic" in message or message.startswith("ImportError listenkit.pipecat needs"), message
    try:
        import pipecat.audio  # noqa: F401
    except ImportError:
        return
    assert "listenkit[pipecat]" not in message
