"""Settings of a detector. Durations are seconds here and milliseconds in the library: fractions of one are rounded."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from ._check import setting
from ._lib import NONE_MS, error, ffi, lib
from .errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

SampleFormat: TypeAlias = Literal["int16", "float32"]
Endpointing: TypeAlias = Literal["default", "fixed", "dynamic"]
WaitRule: TypeAlias = Literal["threshold", "graded"]
Answers: TypeAlias = Literal["latest", "mean", "min"]
Policy: TypeAlias = Literal["fast", "balanced", "patient"]
LiveKit: TypeAlias = Literal["core", "plugin"]


class Tuning(TypedDict, total=False):
    """What may change in mid-stream."""

    activation_threshold: float
    deactivation_threshold: float | None
    min_speech_duration: float
    min_silence_duration: float
    prefix_padding_duration: float
    tail_padding_duration: float | None


class Settings(TypedDict, total=False):
    """The fields of `DetectorOptions` but for `sample_rate`, as keywords."""

    channels: int
    sample_format: SampleFormat | None
    channel: int | None
    start_at: int
    smoothing: float | None
    activation_threshold: float
    deactivation_threshold: float | None
    state_guard: bool
    report_windows: bool
    segment_audio: bool
    livekit_rules: LiveKit | None
    min_speech_duration: float
    min_silence_duration: float
    prefix_padding_duration: float
    tail_padding_duration: float | None
    max_segment_duration: float
    starvation_duration: float
    transcript_wait: float | None
    max_turn_duration: float | None
    endpointing: Endpointing
    min_delay: float | None
    max_delay: float | None
    alpha: float
    wait_rule: WaitRule
    unfinished_at: float
    finished_at: float
    fusion_audio: float
    fusion_text: float
    fusion_cues: float
    fusion_limit: float
    turn_queries: bool
    turn_threshold: float
    turn_timeout: float
    turn_query_after: float
    turn_query_again: tuple[float, ...]
    turn_answers: Answers
    turn_audio_duration: float
    turn_mel_frames: bool
    text_timeout: float | None
    short_answer: float
    short_min: float
    dictation_min: float
    dictation_max: float
    floor_min: float
    floor_max: float
    overlap: bool
    overlap_min_duration: float
    overlap_min_words: int
    playback_guard: float
    false_interruption_timeout: float | None
    reference_rate: int | None
    own_voice_threshold: float


@dataclass(frozen=True)
class DetectorOptions:
    """Settings of a `Detector`; a new object has the library's defaults. Checked when a detector is made of them."""

    #: Hz, 4000 to 192000.
    sample_rate: int = 16_000
    _: KW_ONLY
    #: Interleaved channels, 1 to 8.
    channels: int = 1
    #: What is pushed: "int16" or "float32" (full scale 1.0). `None`: what the first block is.
    sample_format: SampleFormat | None = None
    #: The channel that is listened to, from 0; `None`: the mean of all.
    channel: int | None = None
    #: Position of the first sample.
    start_at: int = 0
    #: Weight of history in smoothed probabilities, 0 to less than 1; `None`: none.
    smoothing: float | None = None
    #: A window counts as speech from this probability on.
    activation_threshold: float = 0.5
    #: While the user speaks, above this too; `None`: 0.15 below `activation_threshold`.
    deactivation_threshold: float | None = None
    #: Keep the model from going deaf in long noise.
    state_guard: bool = True
    #: Every window is an event.
    report_windows: bool = False
    #: Keep the audio of segments: `Segment` events come out.
    segment_audio: bool = False
    #: Rules for segments that are no setting; set by the presets `livekit_core` and `livekit_plugin`.
    livekit_rules: LiveKit | None = None
    #: Speech that starts a segment.
    min_speech_duration: float = 0.05
    #: Silence that ends a segment.
    min_silence_duration: float = 0.25
    #: Audio kept before a segment's speech.
    prefix_padding_duration: float = 0.5
    #: Silence kept after it; `None`: as long as `min_silence_duration`, which is also the most.
    tail_padding_duration: float | None = None
    #: Longest segment; longer speech is split at a pause.
    max_segment_duration: float = 30.0
    #: Frames that are this late by `Detector.clock` are a gap.
    starvation_duration: float = 1.0
    #: Hold the end of a turn for a transcript, at most this long; `None`: no recogniser is attached.
    transcript_wait: float | None = None
    #: End every turn after this; `None`: never.
    max_turn_duration: float | None = None
    #: "fixed" delays, or "dynamic": the smaller one is learned from the user's pauses. "default" is fixed delays: 0.3 and 2.5 s with
    #: `turn_queries`, 0.5 and 3 s without.
    endpointing: Endpointing = "default"
    #: Wait after the last voiced sample if the turn seems complete. If this or `max_delay` is set, delays are "fixed" unless
    #: `endpointing` says otherwise, and the other one defaults to 0.5 or 3 s.
    min_delay: float | None = None
    #: Wait if it seems unfinished.
    max_delay: float | None = None
    #: Weight of history in the learned delay.
    alpha: float = 0.9
    #: How votes choose the wait: by "threshold", or "graded" between the delays.
    wait_rule: WaitRule = "threshold"
    #: Graded: up to this fused probability, `max_delay`.
    unfinished_at: float = 0.02
    #: Graded: from this one on, `min_delay`.
    finished_at: float = 0.98
    #: Weight of the audio model.
    fusion_audio: float = 1.0
    #: Weight of the text model.
    fusion_text: float = 1.0
    #: Log-odds of the wording at full lean.
    fusion_cues: float = 2.2
    #: Largest distance of a model from its threshold that counts, in log-odds.
    fusion_limit: float = 6.0
    #: Ask an audio model at pauses: `TurnQuery` events come out, or `Detector(turn_model=...)` answers them.
    turn_queries: bool = False
    #: Below it the audio model means "not finished".
    turn_threshold: float = 0.5
    #: How long after the last voiced sample its answer is waited for.
    turn_timeout: float = 1.0
    #: Silence after which it is asked.
    turn_query_after: float = 0.096
    #: Silences after which it is asked again, each longer than the one before; up to three.
    turn_query_again: tuple[float, ...] = ()
    #: Of several answers about one pause, the "latest" counts, or their "mean", or the "min".
    turn_answers: Answers = "latest"
    #: Audio kept for the model.
    turn_audio_duration: float = 8.0
    #: Compute its features while the user speaks; 263 KB.
    turn_mel_frames: bool = True
    #: How long a text model's vote is waited for; `None`: not at all.
    text_timeout: float | None = None
    #: A yes or no is expected: turns up to this long are short answers.
    short_answer: float = 1.0
    #: `min_delay` after those.
    short_min: float = 0.2
    #: `min_delay` while something is dictated.
    dictation_min: float = 1.0
    #: `max_delay` while something is dictated.
    dictation_max: float = 4.0
    #: `min_delay` while the user has the floor.
    floor_min: float = 2.0
    #: `max_delay` while the user has the floor.
    floor_max: float = 8.0
    #: Judge speech over the agent's: `OverlapClaim`, `OverlapBrief` and `FalseInterruption` come out.
    overlap: bool = False
    #: Voiced speech that makes an interruption.
    overlap_min_duration: float = 0.5
    #: Words that it needs as well.
    overlap_min_words: int = 0
    #: No interruption this soon after the agent began.
    playback_guard: float = 0.3
    #: An interruption without words is false after this; `None`: never.
    false_interruption_timeout: float | None = 2.0
    #: Hz of the agent's playback for `Detector.reference`; `None`: not compared.
    reference_rate: int | None = None
    #: Coherence with the playback that makes an overlap the agent's own voice.
    own_voice_threshold: float = 0.75

    @classmethod
    def livekit_core(cls, sample_rate: int = 16_000, **settings: Unpack[Settings]) -> Self:
        """What `inference.VAD` of LiveKit Agents does, window for window: for comparing."""
        return cls(sample_rate, **settings)._changed("preset", "livekit_core", settings)

    @classmethod
    def livekit_plugin(cls, sample_rate: int = 16_000, **settings: Unpack[Settings]) -> Self:
        """What the silero plugin of LiveKit Agents does: for comparing."""
        return cls(sample_rate, **settings)._changed("preset", "livekit_plugin", settings)

    def with_policy(self, policy: Policy) -> Self:
        """These settings with a policy for the end of turns: delays, wait rule, weights, and how the turn model is asked.

        "fast" waits 0.2 to 0.8 s, "balanced" 0.3 to 1.5 s, "patient" 0.5 to 3 s after the last voiced sample.
        """
        return self._changed("policy", policy, {})

    def replace(self, **settings: Unpack[Settings]) -> Self:
        """The same with other values."""
        _known(settings)
        return replace(self, **settings)

    def _changed(self, what: str, name: str, settings: Any) -> Self:
        """What a function of the library makes of these settings."""
        value = getattr(lib, f"LISTENKIT_{what}_{name}".upper(), None)
        if value is None:
            raise ConfigError(f"{what} is {name!r}; use one of: {', '.join(_choices(what))}")
        struct = to_struct(self)
        status = getattr(lib, f"listenkit_detector_options_{what}")(struct, value)
        if status != 0:
            raise error(status)
        changed: Self = replace(from_struct(struct, self), **settings)
        return changed


def _choices(what: str) -> list[str]:
    start = f"LISTENKIT_{what}_".upper()
    return sorted(name[len(start) :].lower() for name in dir(lib) if name.startswith(start))


# Fields by how they are written in the struct; `_duration` and the like become `_ms` of the C name.
_SECONDS = {
    "min_speech_duration": "min_speech_ms",
    "min_silence_duration": "min_silence_ms",
    "prefix_padding_duration": "prefix_padding_ms",
    "max_segment_duration": "max_segment_ms",
    "starvation_duration": "starvation_ms",
    "turn_timeout": "turn_timeout_ms",
    "turn_query_after": "turn_query_after_ms",
    "turn_audio_duration": "turn_audio_ms",
    "short_answer": "short_answer_ms",
    "short_min": "short_min_ms",
    "dictation_min": "dictation_min_ms",
    "dictation_max": "dictation_max_ms",
    "floor_min": "floor_min_ms",
    "floor_max": "floor_max_ms",
    "overlap_min_duration": "overlap_min_ms",
    "playback_guard": "playback_guard_ms",
}
_OPTIONAL_SECONDS = {
    "tail_padding_duration": "tail_padding_ms",
    "transcript_wait": "transcript_wait_ms",
    "max_turn_duration": "max_turn_ms",
    "text_timeout": "text_timeout_ms",
    "false_interruption_timeout": "false_interruption_ms",
}
_NUMBERS = (
    "activation_threshold",
    "alpha",
    "unfinished_at",
    "finished_at",
    "fusion_audio",
    "fusion_text",
    "fusion_cues",
    "fusion_limit",
    "turn_threshold",
    "own_voice_threshold",
)
_OPTIONAL_NUMBERS = ("smoothing", "deactivation_threshold")
_FLAGS = {name: name for name in ("state_guard", "report_windows", "segment_audio", "turn_mel_frames", "overlap")}
_FLAGS["turn_queries"] = "turn_model"
_COUNTS = {name: (name, 2**32 - 1) for name in ("sample_rate", "channels", "overlap_min_words")}
_COUNTS["start_at"] = ("start_at", 2**64 - 1)
_AVERAGE = 2**32 - 1


def _table(prefix: str, choices: tuple[str, ...]) -> dict[str, int]:
    return {choice: getattr(lib, f"LISTENKIT_{prefix}_{choice}".upper()) for choice in choices}


_CHOICES = {
    "endpointing": ("endpointing", _table("endpointing", ("default", "fixed", "dynamic"))),
    "wait_rule": ("wait_rule", _table("wait_rule", ("threshold", "graded"))),
    "turn_answers": ("turn_answers", _table("answers", ("latest", "mean", "min"))),
    "sample_format": ("sample_format", {"int16": lib.LISTENKIT_I16, "float32": lib.LISTENKIT_F32}),
    "livekit_rules": ("preset", _table("preset_livekit", ("core", "plugin"))),
}


def to_struct(options: DetectorOptions) -> Any:
    """The settings as the library takes them."""
    struct = ffi.new("listenkit_detector_options *")
    status = lib.listenkit_detector_options_init(struct, ffi.sizeof("listenkit_detector_options"))
    if status != 0:
        raise error(status)
    for field, name in _SECONDS.items():
        setattr(struct, name, _milliseconds(field, getattr(options, field)))
    for field, name in _OPTIONAL_SECONDS.items():
        value = getattr(options, field)
        setattr(struct, name, NONE_MS if value is None else _milliseconds(field, value))
    for field in _NUMBERS:
        setattr(struct, field, _number(field, getattr(options, field)))
    for field in _OPTIONAL_NUMBERS:
        value = getattr(options, field)
        setattr(struct, field, math.nan if value is None else _number(field, value))
    for field, name in _FLAGS.items():
        value = getattr(options, field)
        if value not in (True, False):
            raise ConfigError(f"{field} is {value!r}; use True or False")
        setattr(struct, name, int(value))
    for field, (name, most) in _COUNTS.items():
        setattr(struct, name, setting(field, getattr(options, field), most))
    for field, (name, choices) in _CHOICES.items():
        value = getattr(options, field)
        if value is None and field in ("sample_format", "livekit_rules"):
            continue
        if value not in choices:
            raise ConfigError(f"{field} is {value!r}; use one of: {', '.join(choices)}")
        setattr(struct, name, choices[value])
    channel, rate = options.channel, options.reference_rate
    struct.downmix_channel = _AVERAGE if channel is None else setting("channel", channel, _AVERAGE - 1)
    struct.reference_rate = 0 if rate is None else setting("reference_rate", rate, 2**32 - 1)
    for field in ("min_delay", "max_delay"):
        value = getattr(options, field)
        if value is not None:
            setattr(struct, f"{field}_ms", _milliseconds(field, value))
            if options.endpointing == "default":
                struct.endpointing = lib.LISTENKIT_ENDPOINTING_FIXED
    try:
        again = tuple(options.turn_query_again)
    except TypeError:
        raise ConfigError(
            f"turn_query_again is {options.turn_query_again!r}; use up to 3 durations, such as (0.2, 0.4)"
        ) from None
    if len(again) > 3:
        raise ConfigError(f"turn_query_again has {len(again)} durations; give at most 3")
    for index in range(3):
        there = index < len(again)
        struct.turn_query_again_ms[index] = _milliseconds("turn_query_again", again[index]) if there else NONE_MS
    return struct


def from_struct(struct: Any, like: DetectorOptions) -> Any:
    """The settings of a struct, in the class of `like`; what a struct cannot say is taken from there."""
    values: dict[str, Any] = {field: getattr(struct, name) / 1000 for field, name in _SECONDS.items()}
    for field, name in _OPTIONAL_SECONDS.items():
        value = getattr(struct, name)
        values[field] = None if value == NONE_MS else value / 1000
    for field in _NUMBERS:
        value = getattr(struct, field)
        values[field] = value if field == "alpha" else _short(value)
    for field in _OPTIONAL_NUMBERS:
        value = getattr(struct, field)
        values[field] = None if math.isnan(value) else _short(value)
    for field, name in _FLAGS.items():
        values[field] = bool(getattr(struct, name))
    for field, (name, _) in _COUNTS.items():
        values[field] = getattr(struct, name)
    for field, (name, choices) in _CHOICES.items():
        values[field] = next((choice for choice, number in choices.items() if number == getattr(struct, name)), None)
    values["sample_format"] = values["sample_format"] if like.sample_format is not None else None
    values["channel"] = None if struct.downmix_channel == _AVERAGE else struct.downmix_channel
    values["reference_rate"] = struct.reference_rate or None
    fixed = values["endpointing"] != "default"
    values["min_delay"] = struct.min_delay_ms / 1000 if fixed else None
    values["max_delay"] = struct.max_delay_ms / 1000 if fixed else None
    values["turn_query_again"] = tuple(ms / 1000 for ms in struct.turn_query_again_ms if ms != NONE_MS)
    return type(like)(**values)


def build(
    sample_rate: int | None, options: DetectorOptions | None, policy: Policy | None, settings: Any, default: Policy | None = None
) -> DetectorOptions:
    """The settings of a detector from what its constructor was given: options, then the policy, then single settings."""
    _known(settings)
    base = DetectorOptions() if options is None else options
    if not isinstance(base, DetectorOptions):
        raise TypeError(f"options is a {type(base).__name__}; use DetectorOptions(...)")
    if sample_rate is not None:
        base = replace(base, sample_rate=sample_rate)
    policy = policy if policy is not None or options is not None else default
    if policy is not None:
        base = base.with_policy(policy)
    return replace(base, **settings) if settings else base


def _known(settings: Any) -> None:
    names = [field.name for field in fields(DetectorOptions)]
    unknown = sorted(set(settings) - set(names))
    if unknown:
        from difflib import get_close_matches

        near = get_close_matches(unknown[0], names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "help(listenkit.DetectorOptions) lists all"
        raise TypeError(f"there is no setting {unknown[0]!r}; {hint}")


def _milliseconds(field: str, value: Any) -> int:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{field} is {value!r}; use a number of seconds") from None
    if not 0 <= seconds < (NONE_MS - 1) / 1000:
        raise ConfigError(f"{field} is {value!r}; use seconds from 0 on, such as 0.25")
    return round(seconds * 1000)


def _number(field: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{field} is {value!r}; use a number") from None


def _short(value: float) -> float:
    """The shortest decimal that is the same 32-bit float: 0.98 and not 0.9800000190734863."""
    for digits in range(1, 10):
        text = float(f"{value:.{digits}g}")
        if float(ffi.cast("float", text)) == value:
            return text
    return value
