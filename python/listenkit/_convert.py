"""Events of the library -> events of this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np

from . import events as e
from ._lib import UNKNOWN_32, ffi, lib
from .turn_model import EXPECTATIONS, TurnAudio, cue_names

_Convert = Callable[[Any], e.Event]


def _names(prefix: str, literal: Any) -> dict[int, Any]:
    return {getattr(lib, f"LISTENKIT_{prefix}_{name}".upper()): name for name in get_args(literal)}


_END = _names("end", e.EndReason)
_TURN_END = _names("turn_end", e.TurnEndReason)
_WAIT = _names("wait", e.Wait)
_BRIEF = _names("brief", e.BriefReason)
_EXPECTATION: dict[int, Any] = {number: name for name, number in EXPECTATIONS.items()}
_FORMAT: dict[int, Any] = {lib.LISTENKIT_I16: "int16", lib.LISTENKIT_F32: "float32"}
_OVERLAP_BRIEF, _OVERLAP_CLAIM = lib.LISTENKIT_OVERLAP_BRIEF, lib.LISTENKIT_OVERLAP_CLAIM
SEGMENT_READY: int = lib.LISTENKIT_EVENT_SEGMENT_READY
TURN_QUERY: int = lib.LISTENKIT_EVENT_TURN_QUERY


def event(record: Any) -> e.Event | None:
    """The event of a record; `None` if it is of a kind that this version does not know."""
    convert = _BY_KIND.get(record.kind)
    return None if convert is None else convert(record)


def segment_audio(detector: Any, record: Any, form: e.Format) -> Any:
    """A copy of a segment's samples: an array and the status of the call."""
    is_float = form.sample_format == "float32"
    out = np.empty(record.audio_len, dtype=np.float32 if is_float else np.int16)
    read = lib.listenkit_detector_audio_f32 if is_float else lib.listenkit_detector_audio_i16
    target = ffi.from_buffer("float[]" if is_float else "int16_t[]", out)
    status = read(detector, record, target, out.size, ffi.new("size_t *"))
    return (out if form.channels == 1 else out.reshape(-1, form.channels)), status


def with_audio(segment: e.Segment, audio: Any) -> None:
    """Puts its samples into a segment that nobody has seen yet."""
    object.__setattr__(segment, "audio", audio)


def with_query_audio(query: e.TurnQuery, audio: TurnAudio) -> None:
    """Puts its audio into a query that nobody has seen yet."""
    object.__setattr__(query, "audio", audio)


def _window(r: Any) -> e.Event:
    return e.Window(r.at, r.decided_at, r.sample_rate, r.end, r.probability)


def _start(r: Any) -> e.Event:
    return e.StartOfSpeech(r.at, r.decided_at, r.sample_rate, r.segment, r.turn, r.probability)


def _end(r: Any) -> e.Event:
    reason = _END.get(r.reason, "unknown")
    return e.EndOfSpeech(r.at, r.decided_at, r.sample_rate, r.segment, r.turn, r.speech_duration, r.segment_duration, reason)


def _segment(r: Any) -> e.Event:
    return e.Segment(
        r.at,
        r.decided_at,
        r.sample_rate,
        r.segment,
        r.part,
        r.turn,
        r.start,
        r.end,
        r.speech_start,
        r.speech_end,
        r.speech_duration,
        bool(r.continues),
        _END.get(r.reason, "unknown"),
    )


def _prediction(r: Any) -> e.Event:
    values: tuple[Any, ...] = (*_decision(r), r.ends_at)
    return e.TurnPrediction(*values)


def _end_of_turn(r: Any) -> e.Event:
    overlap: Any = {_OVERLAP_BRIEF: "brief", _OVERLAP_CLAIM: "claim"}.get(r.overlap)
    why = _BRIEF.get(r.overlap_reason) if overlap == "brief" else None
    wait, reason = _WAIT.get(r.wait, "unknown"), _TURN_END.get(r.reason, "unknown")
    values: tuple[Any, ...] = (*_decision(r), r.start, wait, reason, overlap, why)
    return e.EndOfTurn(*values)


def _decision(r: Any) -> tuple[Any, ...]:
    cues = None if r.cue_lean != r.cue_lean else e.CueVote(r.cue_lean, cue_names(r.cues))
    votes = e.Votes(_vote(r.audio_vote), _vote(r.text_vote), cues, _number(r.fused))
    return (
        r.at,
        r.decided_at,
        r.sample_rate,
        r.turn,
        votes,
        _number(r.probability),
        _number(r.threshold),
        _EXPECTATION.get(r.expectation, "free"),
        r.expected_digits,
        r.min_delay,
        r.max_delay,
        r.chosen_delay,
        r.silence_delay,
    )


def _vote(vote: Any) -> e.ModelVote | None:
    if vote.answers == 0:
        return None
    return e.ModelVote(vote.probability, vote.threshold, vote.asked_at, vote.answered_at, vote.answers)


def _number(value: float) -> float | None:
    """NaN is how a struct says "none"."""
    return None if value != value else value


def _amended(r: Any) -> e.Event:
    return e.TurnAmended(r.at, r.decided_at, r.sample_rate, r.turn)


def _format_changed(r: Any) -> e.Event:
    old, new = getattr(r, "from"), r.to
    return e.FormatChanged(r.at, r.decided_at, new.sample_rate, _form(old), _form(new))


def _form(form: Any) -> e.Format:
    return e.Format(form.sample_rate, form.channels, _FORMAT[form.sample_format])


def _gap(r: Any) -> e.Event:
    return e.Gap(r.at, r.decided_at, r.sample_rate, r.duration, bool(r.concealed))


def _facts(r: Any) -> tuple[Any, ...]:
    words = None if r.words == UNKNOWN_32 else r.words
    head = (r.at, r.decided_at, r.sample_rate, r.segment, r.turn, r.agent_start, r.speech_duration)
    return (*head, words, _number(r.probability), _number(r.coherence))


def _claim(r: Any) -> e.Event:
    return e.OverlapClaim(*_facts(r))


def _brief(r: Any) -> e.Event:
    values: tuple[Any, ...] = (*_facts(r), r.end, _BRIEF.get(r.reason, "unknown"))
    return e.OverlapBrief(*values)


def _false_interruption(r: Any) -> e.Event:
    return e.FalseInterruption(r.at, r.decided_at, r.sample_rate, r.segment, r.turn, r.claim_at)


def _query(r: Any) -> e.Event:
    return e.TurnQuery(r.at, r.decided_at, r.sample_rate, r.query, r.turn, r.start)


def _cancelled(r: Any) -> e.Event:
    return e.TurnQueryCancelled(r.at, r.decided_at, r.sample_rate, r.query, r.turn)


_BY_KIND: dict[int, _Convert] = {
    lib.LISTENKIT_EVENT_WINDOW: _window,
    lib.LISTENKIT_EVENT_START_OF_SPEECH: _start,
    lib.LISTENKIT_EVENT_END_OF_SPEECH: _end,
    lib.LISTENKIT_EVENT_SEGMENT_READY: _segment,
    lib.LISTENKIT_EVENT_TURN_PREDICTION: _prediction,
    lib.LISTENKIT_EVENT_END_OF_TURN: _end_of_turn,
    lib.LISTENKIT_EVENT_TURN_AMENDED: _amended,
    lib.LISTENKIT_EVENT_FORMAT_CHANGED: _format_changed,
    lib.LISTENKIT_EVENT_GAP: _gap,
    lib.LISTENKIT_EVENT_OVERLAP_CLAIM: _claim,
    lib.LISTENKIT_EVENT_OVERLAP_BRIEF: _brief,
    lib.LISTENKIT_EVENT_FALSE_INTERRUPTION: _false_interruption,
    lib.LISTENKIT_EVENT_TURN_QUERY: _query,
    lib.LISTENKIT_EVENT_TURN_QUERY_CANCELLED: _cancelled,
}
