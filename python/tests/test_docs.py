"""The Python in the documents runs, from top to bottom, beside a recording `call.wav`."""

import re
import shutil

import pytest
from recordings import FIXTURES, ROOT

DOCUMENTS = ["docs/python.md", "python/README.md"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_run(document, tmp_path, monkeypatch, capsys, turn_model):
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks, "there is something to run"
    shutil.copy(FIXTURES / "conversation-en" / "audio.wav", tmp_path / "call.wav")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": document}
    for block in blocks:
        at = text[: text.index(block)].count("\n")
        exec(compile("\n" * at + block, str(ROOT / document), "exec"), names)
    said = capsys.readouterr().out
    assert "complete" in said


def test_the_first_block_is_ten_lines():
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    first = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    assert text.index("```python") < 30 and len(first.splitlines()) <= 10


def test_the_module_prints_json(capsys):
    import json

    from listenkit.__main__ import main

    path = str(FIXTURES / "speech-fr-8k" / "audio.wav")
    assert main([path, "--no-turn-model"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"start_of_speech", "end_of_turn"} <= {event["event"] for event in events}
    assert events[-1]["event"] == "end_of_input" and len(events[-1]["fingerprint"]) == 16
    assert main([path, "nothing.wav", str(FIXTURES / "broken" / "not-audio.wav"), "--no-turn-model"]) == 1
    out, err = capsys.readouterr()
    assert '"file":' in out and "nothing.wav" in err and "not-audio.wav" in err
