"""The recordings of `fixtures/`."""

from pathlib import Path

from listenkit import read_wav

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures"
CASES = sorted(path.parent.name for path in FIXTURES.glob("*/audio.wav"))


def audio(case):
    """Samples and rate of a fixture."""
    return read_wav(FIXTURES / case / "audio.wav")
