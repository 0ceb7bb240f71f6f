"""Every Python block of docs/livekit.md runs from the root of the repository, and prints what the page says it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "livekit.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```(?:\n+```text\n(.*?)```)?", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_of_the_page(number: int) -> None:
    code, expected = BLOCKS[number]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if expected:
        assert done.stdout.rstrip() == expected.rstrip()


def test_the_page_begins_with_ten_lines_that_run() -> None:
    first = PAGE.index("```python")
    assert PAGE[:first].count("\n") <= 3
    assert len(BLOCKS) >= 3 and 5 <= BLOCKS[0][0].count("\n") <= 14
