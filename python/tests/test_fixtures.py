"""Every recording gives the events of `expected.jsonl`, and the fingerprint of the command line."""

import json
import re
import subprocess

import numpy as np
import pytest
from recordings import CASES, FIXTURES, audio

import listenkit

# Kernel levels round differently, by some 1e-6 in a probability; positions and reasons are compared exactly (cli/tests/golden.rs).
PROBABILITY = 1e-4
# The turn model in bytes: adding in another order moves an answer by up to 0.05.
TURN_PROBABILITY = 0.06


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def assert_same(found, expected, tolerance):
    assert [event["event"] for event in found] == [event["event"] for event in expected]
    for got, wanted in zip(found, expected, strict=True):
        assert list(got) == list(wanted), "the keys, in their order"
        for key, value in wanted.items():
            if isinstance(value, dict):
                assert_same_values(got[key], value, tolerance)
        assert_same_values(got, {k: v for k, v in wanted.items() if not isinstance(v, dict)}, tolerance)


def assert_same_values(got, wanted, tolerance):
    for key, value in wanted.items():
        if key in ("probability", "fused") and value is not None:
            assert got[key] == pytest.approx(value, abs=tolerance), (key, wanted)
        else:
            assert got[key] == value, (key, wanted)


@pytest.mark.parametrize("case", CASES)
def test_silence_alone_gives_the_expected_events(case):
    found = listenkit.detect(FIXTURES / case / "audio.wav", turn_model=False)
    assert_same([event.as_dict() for event in found.events], lines(FIXTURES / case / "expected.jsonl"), PROBABILITY)


def test_the_turn_model_gives_the_expected_turns(turn_model):
    case = FIXTURES / "conversation-en"
    found = listenkit.detect(case / "audio.wav")
    expected = lines(case / "expected_turns.jsonl")
    assert_same([event.as_dict() for event in found.events], expected, TURN_PROBABILITY)
    assert len(found.turns) == sum(event["event"] == "end_of_turn" for event in expected)


@pytest.mark.parametrize("model", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_the_fingerprint_is_that_of_the_command_line(case, model, command_line, request):
    if model:
        request.getfixturevalue("turn_model")
    path = FIXTURES / case / "audio.wav"
    setting = [] if model else ["--set", "turn_model=none"]
    said = subprocess.run([command_line, "analyze", *setting, path], capture_output=True, text=True, check=True).stdout
    (expected,) = re.findall(r"fingerprint ([0-9a-f]{16})", said)
    assert f"{listenkit.detect(path, turn_model=model).fingerprint:016x}" == expected


@pytest.mark.parametrize("name", ["i16", "f32", "i24", "i24-extensible", "i32", "u8", "8-channels", "f64", "odd-list-chunk"])
def test_wav_formats_hold_the_same_speech(name):
    samples, rate = listenkit._wav.read(FIXTURES / "formats" / f"{name}.wav")
    reference, _ = listenkit._wav.read(FIXTURES / "formats" / ("reference-16k.wav" if rate == 16_000 else "i16.wav"))
    mono = samples if samples.ndim == 1 else samples[:, 0]
    scaled = mono.astype(np.float64) / (32768 if mono.dtype == np.int16 else 1)
    count = min(len(scaled), len(reference))
    assert count > rate // 4
    # 8-bit audio is 1/256 off at most.
    if name != "8-channels":
        assert np.abs(scaled[:count] - reference[:count] / 32768).max() <= 1 / 256


@pytest.mark.parametrize(
    "name", [path.name for path in sorted((FIXTURES / "broken").glob("*.wav"))] + ["../formats/mulaw.wav", "../formats/flac.flac"]
)
def test_broken_files_are_read_or_refused_with_their_name(name):
    try:
        samples, rate = listenkit._wav.read(FIXTURES / "broken" / name)
    except listenkit.InputError as error:
        assert name.rpartition("/")[2] in str(error)
    else:
        assert samples.dtype in (np.int16, np.float32) and rate > 0


def test_an_array_gives_what_its_file_gives():
    path = FIXTURES / "speech-ru-16k-stereo" / "audio.wav"
    samples, rate = audio("speech-ru-16k-stereo")
    assert samples.shape[1] == 2
    by_path = listenkit.detect(path, turn_model=False)
    by_array = listenkit.detect(samples, rate, turn_model=False)
    by_bytes = listenkit.detect(samples.tobytes(), rate, channels=2, turn_model=False)
    assert by_path.fingerprint == by_array.fingerprint == by_bytes.fingerprint
    assert by_path.events == by_array.events == by_bytes.events
    assert by_path.duration == by_bytes.duration == len(samples) / rate


def test_a_missing_file_is_what_python_says_it_is(tmp_path):
    with pytest.raises(FileNotFoundError):
        listenkit.detect(tmp_path / "nothing.wav")
