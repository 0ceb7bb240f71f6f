"""On recordings nobody of this project made: ours is the better Smart Turn of the two, and the nearer to the float model."""

from __future__ import annotations

import asyncio
import json
import os
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat_audio import FIXTURES

from listenkit.pipecat import ListenkitTurnAnalyzer

CORPUS = Path(os.environ.get("LISTENKIT_CORPUS") or FIXTURES.parent.parent / "shared" / "corpus") / "public"


def probability(analyzer: BaseTurnAnalyzer, item: dict[str, Any]) -> float:
    with wave.open(str(CORPUS / item["file"])) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    said = samples[item["start"] : item["end"]]
    silence = np.zeros(item["zeros"], np.int16)
    # Zeros in front change nothing, the model's input begins with them; they put the end on a window.
    lead = np.zeros(-(len(said) + len(silence)) % 512, np.int16)
    analyzer.set_sample_rate(16_000)
    analyzer.clear()
    analyzer.append_audio(np.concatenate([lead, said]).tobytes(), True)
    analyzer.append_audio(silence.tobytes(), False)
    _, metrics = asyncio.run(analyzer.analyze_end_of_turn())
    return float(metrics.probability)  # type: ignore[union-attr]


def test_it_is_nearer_to_the_float_model_than_pipecats() -> None:
    if not (CORPUS / "eot_items.json").is_file():
        pytest.skip("needs the corpus (set LISTENKIT_CORPUS)")
    # Every sixth question, for time; benches/pipecat_plugin.py asks all.
    items = json.loads((CORPUS / "eot_items.json").read_text())[::6]
    found = {}
    for analyzer in (ListenkitTurnAnalyzer(), LocalSmartTurnAnalyzerV3()):
        answers = [probability(analyzer, item) for item in items]
        distance = float(np.mean([abs(p - item["p_float"]) for p, item in zip(answers, items, strict=True)]))
        flips = sum((p > 0.5) != (item["p_float"] > 0.5) for p, item in zip(answers, items, strict=True))
        found[type(analyzer).__name__] = (distance, flips)
        print(type(analyzer).__name__, f"mean distance {distance:.4f}, {flips} of {len(items)} decided otherwise")
    ours, pipecats = found["ListenkitTurnAnalyzer"], found["LocalSmartTurnAnalyzerV3"]
    # Per-row quantisation loses 0.010 on all of the corpus, the shipped file 0.16.
    assert ours[0] < 0.02 < pipecats[0]
    assert ours[1] < pipecats[1]
