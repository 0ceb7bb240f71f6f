"""What docs/pipecat.md shows runs, and prints what it shows."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from pipecat_audio import FIXTURES

ROOT = FIXTURES.parent
# A python block, and the text block right behind it if there is one.
SNIPPET = re.compile(r"```python\n(.*?)```(?:\n\n?```text\n(.*?)```)?", re.DOTALL)
SNIPPETS = SNIPPET.findall((ROOT / "docs" / "pipecat.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("code", "shown"), SNIPPETS, ids=[f"snippet {n + 1}" for n in range(len(SNIPPETS))])
def test_the_snippet_prints_what_is_shown(code: str, shown: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    if shown:
        said, expected = run.stdout.split(), shown.split()
        assert len(said) == len(expected), run.stdout
        for word, other in zip(said, expected, strict=True):
            # Probabilities of other instruction sets differ by up to 0.02 on this recording.
            assert word == other or abs(float(word) - float(other)) < 0.05, run.stdout


def test_the_page_begins_with_ten_lines_that_run() -> None:
    assert SNIPPETS
    assert len(SNIPPETS[0][0].strip().splitlines()) <= 10
