"""What is refused, and what the error says about it."""

import array

import numpy as np
import pytest

import listenkit
from listenkit import BusyError, ClosedError, ConfigError, Detector, InputError, InputTypeError

WRONG_TYPES = [
    (np.zeros(4), ["float64", "x.astype(numpy.float32)"]),
    (np.zeros(4, np.float16), ["float16", "x.astype(numpy.float32)"]),
    (np.zeros(4, np.int32), ["int32", "x >> 16"]),
    (np.zeros(4, np.uint8), ["uint8", "8-bit"]),
    (np.zeros(4, ">i2"), [">i2", "x.astype(numpy.int16)"]),
    (np.zeros(4, bool), ["bool"]),
    (np.zeros(4, complex), ["complex128"]),
    (np.array(["a"]), ["<U1"]),
    ([1, 2, 3], ["a list", "numpy.asarray(x, dtype=numpy.int16)"]),
    ([0.5, -0.5], ["a list", "numpy.asarray(x, dtype=numpy.float32)"]),
    ("abcd", ["a str"]),
    (None, ["None"]),
    (5, ["a int"]),
    (array.array("i", [1, 2]), ["int32"]),
]


@pytest.mark.parametrize(("block", "words"), WRONG_TYPES, ids=lambda v: type(v).__name__)
def test_a_wrong_type_is_named_with_its_cure(block, words):
    with Detector(16_000) as detector:
        with pytest.raises(InputTypeError) as caught:
            detector.process(block)
        assert isinstance(caught.value, TypeError) and isinstance(caught.value, ValueError)
        for word in [*words, "int16", "float32"]:
            assert word in str(caught.value)
        assert detector.position == 0


WRONG_SHAPES = [
    (1, np.zeros((480, 2), np.int16), ["(480, 2)", "channels=2"]),
    (1, np.zeros((1, 480), np.int16), ["(1, 480)", "x[0]"]),
    (1, np.zeros((2, 480), np.int16), ["(2, 480)", "channels=2 and use x.T", "x[0]"]),
    (2, np.zeros((2, 480), np.int16), ["(2, 480)", "x.T"]),
    (2, np.zeros(481, np.int16), ["481", "2 channels"]),
    (2, np.zeros((4, 4, 2), np.int16), ["(4, 4, 2)", "(n, 2)"]),
    (1, np.int16(3), ["a int16"]),
    (1, np.array(3, np.int16), ["()"]),
    (1, b"abc", ["3 bytes"]),
    (2, b"abcdef", ["3 values", "2 channels"]),
]


@pytest.mark.parametrize(("channels", "block", "words"), WRONG_SHAPES, ids=lambda v: "")
def test_a_wrong_shape_is_named_with_its_cure(channels, block, words):
    with Detector(16_000, channels=channels) as detector:
        if isinstance(block, np.int16):
            block = np.array(block)
            words = ["()"]
        with pytest.raises(InputError) as caught:
            detector.process(block)
        for word in words:
            assert word in str(caught.value)
        assert detector.process(np.zeros((480, channels), np.int16)) == []
        assert detector.position == 480


@pytest.mark.parametrize("part", [listenkit.VAD(), listenkit.Resampler(48_000, 16_000)], ids=lambda part: type(part).__name__)
def test_a_part_that_hears_one_channel_does_not_send_you_to_a_setting(part):
    hear = getattr(part, "process", part)
    with pytest.raises(InputError, match=r"\(512, 2\).*x\[:, 0\]") as caught:
        hear(np.zeros((512, 2), np.int16))
    assert "channels=" not in str(caught.value)


def test_arrays_of_the_standard_library_are_blocks():
    with Detector(16_000) as detector:
        assert detector.process(array.array("h", [0] * 160)) == []
        assert detector.position == 160
    with Detector(16_000) as detector:
        assert detector.process(array.array("f", [0.0] * 160)) == []
        assert detector.stats.format_changes == 0


def test_bad_numbers_are_heard_as_silence_and_counted():
    with Detector(16_000) as detector:
        detector.process(np.array([np.nan, np.inf, -np.inf, 1e30] * 400, np.float32))
        assert detector.stats.non_finite_values == 1200 and detector.stats.limited_values == 400


BAD_SETTINGS = [
    ({"sample_rate": 10}, ["10", "4000"]),
    ({"sample_rate": 16_000.5}, ["sample_rate", "whole number"]),
    ({"sample_rate": -1}, ["sample_rate"]),
    ({"channels": 9}, ["9"]),
    ({"channels": 0}, ["0"]),
    ({"channel": 1}, ["1"]),
    ({"activation_threshold": 1.5}, ["activation_threshold", "1.5"]),
    ({"activation_threshold": "loud"}, ["activation_threshold", "'loud'"]),
    ({"activation_threshold": float("nan")}, ["activation_threshold"]),
    ({"deactivation_threshold": 0.6}, ["0.6"]),
    ({"min_silence_duration": -1}, ["min_silence_duration", "-1"]),
    ({"min_silence_duration": 250}, ["min_silence_duration"]),
    ({"min_silence_duration": float("inf")}, ["min_silence_duration"]),
    ({"min_delay": 2.0, "max_delay": 1.0}, ["min_delay", "max_delay"]),
    ({"endpointing": "learned"}, ["endpointing", "dynamic"]),
    ({"sample_format": "int8"}, ["sample_format", "float32"]),
    ({"turn_query_again": (0.2,) * 4}, ["turn_query_again", "at most 3"]),
    ({"turn_queries": "yes"}, ["turn_queries", "True"]),
    ({"policy": "quick"}, ["policy", "fast", "patient"]),
]


@pytest.mark.parametrize(("settings", "words"), BAD_SETTINGS, ids=lambda v: next(iter(v)) if isinstance(v, dict) else "")
def test_a_setting_out_of_range_is_named(settings, words):
    with pytest.raises(ConfigError) as caught:
        Detector(**settings)
    assert isinstance(caught.value, ValueError)
    for word in words:
        assert word in str(caught.value)


def test_an_unknown_setting_is_answered_with_a_known_one():
    with pytest.raises(TypeError, match="min_silence_duration"):
        Detector(min_silence=0.3)
    with pytest.raises(TypeError, match="there is no setting 'xyzzy'"):
        listenkit.detect(b"", 16_000, xyzzy=1)
    with pytest.raises(TypeError, match="DetectorOptions"):
        Detector(options={"sample_rate": 16_000})
    with pytest.raises(TypeError, match="turn_model"):
        Detector(turn_model="smart-turn")
    with pytest.raises(TypeError, match="models"):
        Detector(models="silero")


def test_an_unknown_setting_is_answered_with_a_known_one_wherever_it_is_given():
    options = listenkit.DetectorOptions()
    with Detector(16_000) as detector:
        for change in (options.replace, detector.tune):
            with pytest.raises(TypeError, match="activation_threshold"):
                change(activation_treshold=0.5)
        # Taken in silence, it would come into force at the next reset.
        with pytest.raises(TypeError, match="sample_rate cannot change in mid-stream.*min_silence_duration"):
            detector.tune(sample_rate=48_000)
        assert detector.options.sample_rate == 16_000
    with pytest.raises(ConfigError, match=r"turn_query_again is 0\.3"):
        Detector(turn_query_again=0.3)


def test_text_and_turn_audio_have_their_types():
    for wrong in (None, b"and", 5):
        with pytest.raises(InputTypeError, match="text is a"):
            listenkit.judge_text(wrong)
    with pytest.raises(InputTypeError, match="language"):
        listenkit.judge_text("and", language=5)
    for wrong in ([1, 2, 3], np.zeros(3)):
        with pytest.raises(InputTypeError, match="samples is a"):
            listenkit.TurnAudio(wrong)


def test_an_answer_of_a_model_that_is_no_number_is_named(conversation):
    with (
        Detector(48_000, turn_model=lambda audio: "yes") as detector,
        pytest.raises(InputError, match="the turn model's answer is 'yes'"),
    ):
        detector.process(conversation)


def test_channels_first_is_told_from_channels_last():
    with pytest.raises(InputError, match=r"\(2, 1600\).*x\.T"):
        listenkit.detect(np.zeros((2, 1600), np.int16), 16_000)


def test_an_array_needs_its_rate(speech):
    with pytest.raises(InputError, match="sample_rate is missing"):
        listenkit.detect(speech)


HANDLES = [
    (lambda: Detector(16_000), lambda d: d.process(bytes(320))),
    (lambda: listenkit.VAD(), lambda v: v(bytes(1024))),
    (lambda: listenkit.VadBatch(2), lambda b: b(bytes(2048))),
    (lambda: listenkit.Resampler(48_000, 16_000), lambda r: r.process(bytes(320))),
    (lambda: listenkit.Segmenter(16_000), lambda s: s.push(512, 0.1)),
    (lambda: listenkit.Models(), lambda m: m.self_test()),
]


@pytest.mark.parametrize(("make", "use"), HANDLES, ids=["Detector", "VAD", "VadBatch", "Resampler", "Segmenter", "Models"])
def test_closed_things_say_so(make, use):
    with make() as handle:
        use(handle)
        assert not handle.closed
    assert handle.closed
    handle.close()
    with pytest.raises(ClosedError, match=type(handle).__name__):
        use(handle)
    with pytest.raises(ClosedError), handle:
        pass


@pytest.mark.parametrize("make", [make for make, _ in HANDLES])
def test_handles_do_not_pickle(make):
    import pickle

    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(make())


def test_a_detector_refuses_to_be_entered_twice(conversation):
    refused = []

    def judge(audio):
        with pytest.raises(BusyError) as caught:
            detector.process(b"")
        refused.append(caught.value)
        return 0.5

    with Detector(48_000, turn_model=judge) as detector:
        detector.process(conversation[: 6 * 48_000])
        assert refused and refused[0].status == -12


def test_answers_out_of_range():
    with Detector(16_000) as detector:
        for wrong in (1.5, -0.1, float("nan")):
            with pytest.raises(ConfigError):
                detector.answer_turn(0, wrong)
        with pytest.raises(InputError, match="query"):
            detector.answer_turn(-1, 0.5)
        with pytest.raises(InputError, match="probability is 'high'"):
            detector.answer_turn(0, "high")
        with pytest.raises(InputTypeError, match="judge_text"):
            detector.text_cues(0, "and then")
        with pytest.raises(ConfigError, match="floor_granted"):
            detector.expect("poetry")
        with pytest.raises(ConfigError, match="digits"):
            detector.expect("digits", digits=1000)
        with pytest.raises(ConfigError, match="open_word"):
            detector.text_cues(0, listenkit.CueVote(-1.0, ("no_such_cue",)))
        # An answer to a question that was never asked is counted, and harmless.
        assert detector.answer_turn(7, 0.5) == [] and detector.stats.stale_answers == 1


def test_errors_can_be_pickled():
    import pickle

    error = pickle.loads(pickle.dumps(ConfigError("x is 3", -3)))
    assert isinstance(error, ConfigError) and error.status == -3 and str(error) == "x is 3"
