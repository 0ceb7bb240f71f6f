"""Settings: the defaults of the library, policies, presets, and back."""

import dataclasses
from typing import get_args

import pytest

from listenkit import DetectorOptions, _convert, events
from listenkit._lib import ffi, lib
from listenkit.options import Settings, from_struct, to_struct


def fresh():
    struct = ffi.new("listenkit_detector_options *")
    assert lib.listenkit_detector_options_init(struct, ffi.sizeof(struct[0])) == 0
    return struct


def test_defaults_are_those_of_the_library():
    assert bytes(ffi.buffer(to_struct(DetectorOptions()))) == bytes(ffi.buffer(fresh()))


def test_every_field_of_the_struct_has_a_setting():
    """A setting that the header gains is seen here: each value must change the struct."""
    changes = {
        "sample_rate": 8000, "channels": 2, "sample_format": "float32", "channel": 1, "start_at": 5,
        "livekit_rules": "core", "smoothing": 0.35, "deactivation_threshold": 0.2, "endpointing": "dynamic",
        "wait_rule": "graded", "turn_query_again": (0.2, 0.4), "turn_answers": "mean", "overlap_min_words": 2,
        "tail_padding_duration": 0.1, "transcript_wait": 0.7, "max_turn_duration": 60.0, "text_timeout": 0.6,
        "false_interruption_timeout": None, "reference_rate": 24_000, "min_delay": 0.4, "max_delay": 4.0,
    }  # fmt: skip
    touched = set()
    for field in dataclasses.fields(DetectorOptions):
        value = changes.get(field.name)
        if field.name not in changes:
            value = (not field.default) if isinstance(field.default, bool) else field.default + 0.05
        changed, default = to_struct(DetectorOptions(**{field.name: value})), fresh()
        differing = {
            name for name, _ in ffi.typeof("listenkit_detector_options").fields if not _equal(getattr(changed, name), getattr(default, name))
        }  # fmt: skip
        assert differing, field.name
        touched |= differing
    members = {name for name, _ in ffi.typeof("listenkit_detector_options").fields}
    assert touched == members - {"struct_size", "reserved"}


def _equal(a, b):
    if isinstance(a, (int, float)):
        return a == b or (a != a and b != b)
    return list(a) == list(b)


def test_keywords_are_the_fields():
    names = {field.name for field in dataclasses.fields(DetectorOptions)}
    assert set(Settings.__annotations__) == names - {"sample_rate"}


def test_policies_set_what_ends_a_turn():
    fast, balanced, patient = (DetectorOptions().with_policy(name) for name in ("fast", "balanced", "patient"))
    assert (fast.min_delay, fast.max_delay, fast.turn_threshold) == (0.2, 0.8, 0.2)
    assert (balanced.min_delay, balanced.max_delay, balanced.turn_threshold) == (0.3, 1.5, 0.5)
    assert (patient.min_delay, patient.max_delay, patient.turn_threshold) == (0.5, 3.0, 0.7)
    for options in (fast, balanced, patient):
        assert options.turn_queries and options.wait_rule == "graded" and options.endpointing == "fixed"
        assert (options.unfinished_at, options.finished_at) == (0.02, 0.98)
        assert options.turn_query_again == (0.2,) and options.turn_answers == "mean"
    assert DetectorOptions(activation_threshold=0.7).with_policy("fast").activation_threshold == 0.7


def test_presets_are_livekit_and_keywords_win():
    core = DetectorOptions.livekit_core()
    assert core.livekit_rules == "core" and not core.state_guard and core.sample_rate == 16_000
    plugin = DetectorOptions.livekit_plugin(48_000, min_silence_duration=0.3)
    assert (plugin.smoothing, plugin.livekit_rules, plugin.sample_rate) == (0.35, "plugin", 48_000)
    assert plugin.min_silence_duration == 0.3


@pytest.mark.parametrize(
    "options",
    [
        DetectorOptions(),
        DetectorOptions(44_100, channels=2, channel=1, sample_format="float32", smoothing=0.1, min_delay=0.4),
        DetectorOptions().with_policy("patient"),
        DetectorOptions.livekit_plugin(),
        DetectorOptions(overlap=True, reference_rate=24_000, false_interruption_timeout=None, turn_query_again=(0.3, 0.6)),
    ],
)
def test_settings_survive_the_way_through_the_struct(options):
    there = to_struct(options)
    back = from_struct(there, options)
    assert bytes(ffi.buffer(to_struct(back))) == bytes(ffi.buffer(there))


def test_a_delay_that_is_set_counts():
    assert to_struct(DetectorOptions(min_delay=0.8)).endpointing == lib.LISTENKIT_ENDPOINTING_FIXED
    assert to_struct(DetectorOptions(min_delay=0.8, endpointing="dynamic")).endpointing == lib.LISTENKIT_ENDPOINTING_DYNAMIC
    assert to_struct(DetectorOptions()).endpointing == lib.LISTENKIT_ENDPOINTING_DEFAULT


@pytest.mark.parametrize(
    ("prefix", "literal"),
    [
        ("LISTENKIT_END_", events.EndReason),
        ("LISTENKIT_TURN_END_", events.TurnEndReason),
        ("LISTENKIT_BRIEF_", events.BriefReason),
        ("LISTENKIT_EXPECT_", events.Expectation),
        ("LISTENKIT_WAIT_", events.Wait),
    ],
)
def test_names_are_those_of_the_header(prefix, literal):
    header = {name[len(prefix) :].lower() for name in dir(lib) if name.startswith(prefix)}
    assert {name for name in header if not name.startswith("rule_")} == set(get_args(literal))


def test_every_kind_of_event_is_known():
    kinds = {getattr(lib, name) for name in dir(lib) if name.startswith("LISTENKIT_EVENT_")}
    assert kinds == set(_convert._BY_KIND)
