"""VAD, batch, resampler, segmenter, models, wording: each against another path to the same result."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import ROOT, audio

import listenkit
from listenkit import VAD, Detector, InputError, Resampler, Segmenter, VadBatch, Window


def probabilities(vad, samples):
    length = vad.window_len
    return [vad(samples[at : at + length]) for at in range(0, len(samples) - length + 1, length)]


@pytest.mark.parametrize(("rate", "case"), [(16_000, "speech-quiet"), (8_000, "speech-fr-8k")])
def test_a_vad_gives_the_windows_of_a_detector(rate, case):
    samples, _ = audio(case)
    with Detector(rate, report_windows=True) as detector:
        windows = [event for event in detector.process(samples) if isinstance(event, Window)]
    assert [window.probability for window in windows] == probabilities(VAD(rate), samples)[: len(windows)]
    assert len(windows) > 50 and max(window.probability for window in windows) > 0.9


REFERENCE = json.loads((ROOT / "core/tests/data/fixture_probabilities.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", [case for case, data in REFERENCE.items() if data["rate"] == data["branch"]])
def test_probabilities_are_those_of_onnxruntime(case):
    samples, rate = audio(case)
    mono = samples if samples.ndim == 1 else samples.mean(axis=1).astype(np.float32) / 32768
    found = probabilities(VAD(rate, state_guard=False), mono)
    wanted = REFERENCE[case]["probabilities"][: len(found)]
    assert len(wanted) == len(found) > 20
    # The bound of core/tests/fixture_probabilities.rs.
    assert np.abs(np.array(found) - wanted).max() < 3e-5


def test_a_vad_hears_bytes_and_floats_alike(speech):
    by_array = probabilities(VAD(), speech)
    vad = VAD()
    data = speech.tobytes()
    assert by_array == [vad(data[at : at + 1024]) for at in range(0, len(data) - 1023, 1024)]
    assert by_array == probabilities(VAD(), speech.astype(np.float32) / 32768)


def test_a_reset_vad_is_as_new(speech):
    vad = VAD()
    first = probabilities(vad, speech)
    vad.reset()
    assert probabilities(vad, speech) == first
    assert vad.state_bytes > 1000


def test_a_window_of_another_length_is_refused():
    vad = VAD()
    with pytest.raises(InputError, match=r"511.*512"):
        vad(np.zeros(511, np.int16))
    with pytest.raises(listenkit.InputTypeError, match="float64"):
        vad(np.zeros(512))
    with pytest.raises(listenkit.ConfigError, match="48000"):
        VAD(48_000)
    with pytest.raises(listenkit.ConfigError, match="sample_rate"):
        VAD(16_000.0)


def test_a_batch_gives_what_single_streams_give(speech):
    streams, length, steps = 5, 512, 40
    rng = np.random.default_rng(7)
    starts = rng.integers(0, len(speech) - steps * length, streams)
    pieces = np.stack([speech[s : s + steps * length].reshape(steps, length) for s in starts], axis=1)
    batch = VadBatch(streams)
    vads = [VAD() for _ in range(streams)]
    for step in range(steps):
        # Some are late now and then, and come in any order.
        who = rng.permutation(streams)[: rng.integers(1, streams + 1)]
        if step % 3 == 0:
            who = np.arange(streams)
        windows = pieces[step][who]
        if step % 2:
            windows = windows.astype(np.float32) / 32768
        got = batch(windows, None if step % 3 == 0 else who)
        assert got.dtype == np.float32 and got.shape == (len(who),)
        # Sums are added in another order in a batch.
        np.testing.assert_allclose(got, [vads[i](w) for i, w in zip(who, windows, strict=True)], atol=1e-5)
    batch.reset(2)
    vads[2].reset()
    batch.reset()
    for vad in vads:
        vad.reset()
    np.testing.assert_allclose(batch(pieces[0]), [vad(w) for vad, w in zip(vads, pieces[0], strict=True)], atol=1e-5)
    assert batch.state_bytes > 1000 and batch.streams == streams


def test_a_batch_refuses_what_does_not_fit():
    batch = VadBatch(3)
    windows = np.zeros((2, 512), np.int16)
    for streams in ([0], [0, 3], [-1, 0], [0.5, 1.0], [[0, 1]]):
        with pytest.raises(InputError, match="streams"):
            batch(windows, streams)
    with pytest.raises(listenkit.ListenkitError):
        batch(windows, [1, 1])
    with pytest.raises(InputError, match=r"\(2, 511\)"):
        batch(np.zeros((2, 511), np.int16))
    with pytest.raises(listenkit.ListenkitError):
        batch(np.zeros((4, 512), np.int16))
    with pytest.raises(listenkit.ListenkitError):
        batch.reset(3)
    with pytest.raises(listenkit.ConfigError, match="streams"):
        VadBatch(-1)
    assert batch(np.zeros((0, 512), np.int16), []).shape == (0,)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=6),
    rates=st.sampled_from([(48_000, 16_000), (44_100, 16_000), (16_000, 24_000), (8_000, 16_000), (16_000, 16_000)]),
    aligned=st.booleans(),
    floats=st.booleans(),
)
def test_a_resampler_gives_the_same_for_any_split(sizes, rates, aligned, floats):
    rng = np.random.default_rng(3)
    samples = rng.integers(-8000, 8000, 3000).astype(np.int16)
    if floats:
        samples = samples.astype(np.float32) / 32768
    whole = Resampler(*rates, aligned=aligned)
    expected = np.concatenate([whole.process(samples), whole.flush()])
    assert expected.dtype == samples.dtype
    cut = Resampler(*rates, aligned=aligned)
    parts, at = [], 0
    while at < len(samples):
        for size in sizes:
            parts.append(cut.process(samples[at : at + size]))
            at += size
    assert np.array_equal(np.concatenate([*parts, cut.flush()]), expected)


@pytest.mark.parametrize("aligned", [False, True])
def test_a_resampler_keeps_a_tone_where_it_was(aligned):
    source, target, hz = 48_000, 16_000, 1000
    tone = np.sin(2 * np.pi * hz * np.arange(source) / source).astype(np.float32)
    resampler = Resampler(source, target, aligned=aligned)
    out = np.concatenate([resampler.process(tone), resampler.flush()])
    late = resampler.delay
    assert late == 24
    expected = np.sin(2 * np.pi * hz * (np.arange(len(out)) - (0 if aligned else late)) / target)
    middle = slice(1000, target - 1000)
    # The filter's ripple is 0.0101 dB (core/tests/resample_tones.rs); a sample of delay would be 0.4.
    assert np.abs(out[middle] - expected[middle]).max() < 1.2e-3
    assert abs(len(out) - target) <= (0 if aligned else late) + 1
    assert resampler.state_bytes > 0


def test_a_resampler_that_is_reset_is_as_new():
    samples = np.arange(-500, 500, dtype=np.int16) * 10
    resampler = Resampler(48_000, 16_000)
    first = resampler.process(samples)
    resampler.reset()
    assert np.array_equal(resampler.process(samples), first)
    with pytest.raises(listenkit.ConfigError):
        Resampler(48_000, 10)


def test_a_resampler_and_a_vad_give_the_windows_of_a_detector(conversation):
    samples = conversation[: 4 * 48_000].astype(np.float32) / 32768
    resampler = Resampler(48_000, 16_000)
    analysed = resampler.process(samples)
    with Detector(48_000, report_windows=True) as detector:
        windows = [event.probability for event in detector.process(samples) if isinstance(event, Window)]
        # The detector puts the filter's delay into its positions, so its first windows are of the same samples.
        skip = resampler.delay
        by_hand = [probabilities(VAD(), analysed[at:]) for at in (0, skip)]
    assert any(np.allclose(windows[: len(p)], p[: len(windows)], atol=1e-4) for p in by_hand)


def test_a_segmenter_finds_the_speech_of_a_detector(conversation):
    settings = {"min_silence_duration": 0.4, "activation_threshold": 0.6}
    with Detector(48_000, report_windows=True, segment_audio=True, **settings) as detector:
        events = detector.process(conversation) + detector.flush()
    kinds = (listenkit.StartOfSpeech, listenkit.EndOfSpeech, listenkit.Segment)
    expected = [event for event in events if isinstance(event, kinds)]
    segmenter = Segmenter(48_000, **settings)
    found = []
    for window in (event for event in events if isinstance(event, Window)):
        found += segmenter.push(window.end, window.probability)
    found += segmenter.flush()
    assert [(type(e), e.at, e.segment) for e in found] == [(type(e), e.at, e.segment) for e in expected]
    assert len(found) >= 9 and all(event.audio is None for event in found if isinstance(event, listenkit.Segment))
    assert segmenter.options.min_silence_duration == 0.4


def test_weights_by_path_and_bytes(tmp_path, speech):
    (path,) = (ROOT / "models").glob("silero*/*.lkw")
    expected = probabilities(VAD(), speech)[:50]
    for source in (path, str(path), path.read_bytes()):
        with listenkit.Models(vad=source) as models:
            models.self_test()
            vad = VAD(models=models)
        # Closed, but what was made from it keeps the weights.
        assert probabilities(vad, speech)[:50] == expected
    wrong = tmp_path / "wrong.lkw"
    wrong.write_bytes(b"not weights")
    with pytest.raises(listenkit.ModelError):
        listenkit.Models(vad=wrong)
    with pytest.raises(listenkit.ModelError):
        listenkit.Models(turn_model=b"not weights")
    with pytest.raises(listenkit.ReadError, match=r"nothing\.lkw"):
        listenkit.Models(vad=tmp_path / "nothing.lkw")
    with pytest.raises(listenkit.InputTypeError, match="path"):
        listenkit.Models(vad=5)
    with pytest.raises(listenkit.ConfigError, match="exact"):
        listenkit.Models(precision="double")
    with pytest.raises(listenkit.ConfigError, match="avx512"):
        listenkit.Models(kernel_level="sse")


def test_kernel_levels_agree(speech):
    best = probabilities(VAD(), speech)
    portable = probabilities(VAD(models=listenkit.Models(kernel_level="portable")), speech)
    np.testing.assert_allclose(best, portable, atol=1e-4)


def test_the_turn_model_hears_arrays(turn_model):
    samples, rate = audio("conversation-en")
    resampler = Resampler(rate, 16_000, aligned=True)
    mono = resampler.process(samples)
    # After a whole sentence, and inside one.
    finished, unfinished = turn_model(mono[: int(3.5 * 16_000)]), turn_model(mono[: int(1.5 * 16_000)])
    assert finished > 0.8 and unfinished < finished
    exact = listenkit.TurnModel(models=listenkit.Models(precision="exact"))
    floats = mono[: int(3.5 * 16_000)].astype(np.float32) / 32768
    assert exact(floats) == pytest.approx(finished, abs=0.1)
    assert turn_model(listenkit.TurnAudio(floats)) == turn_model(floats)
    assert turn_model(listenkit.TurnAudio(mono[: int(3.5 * 16_000)])) == finished


def test_wording_votes():
    vote = listenkit.judge_text("I would like to book a table for", language="en-GB")
    assert vote.lean < 0 and "may_go_on" in vote.reasons
    short = listenkit.judge_text("five five five one two", language="en", expectation="digits", digits=10)
    assert short.lean < -0.8 and "short_number" in short.reasons
    assert listenkit.judge_text("that's all, thank you", language="en").lean > 0
    assert listenkit.judge_text("").reasons == ()
    assert listenkit.judge_text("\ud800 and", language="en").lean < 0
    with pytest.raises(listenkit.ConfigError, match="expectation"):
        listenkit.judge_text("x", expectation="nothing")
