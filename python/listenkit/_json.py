"""Events as the command line prints them: `listenkit analyze --json`."""

from __future__ import annotations

from typing import Any

from . import events as e


def as_dict(event: e.Event) -> dict[str, Any]:
    """The same keys in the same order, positions in samples and seconds."""
    line = _Line(event)
    match event:
        case e.Window():
            line.head("window").at("start", event.at).at("end", event.end).probability("probability", event.probability)
        case e.StartOfSpeech():
            line.head("start_of_speech").put("segment", event.segment).put("turn", event.turn)
            line.probability("probability", event.probability)
        case e.EndOfSpeech():
            line.head("end_of_speech").put("segment", event.segment).put("turn", event.turn)
            line.at("speech_duration", event.speech_duration).at("segment_duration", event.segment_duration)
            line.put("reason", event.reason)
        case e.Segment():
            line.head("segment_ready").put("segment", event.segment).put("part", event.part)
            line.put("continues", event.continues).put("turn", event.turn)
            for key in ("start", "end", "duration", "speech_start", "speech_end", "speech_duration"):
                line.at(key, getattr(event, key))
            line.put("reason", event.reason)
        case e.EndOfTurn():
            line.head("end_of_turn").put("turn", event.turn).at("start", event.start)
            line.at("last_voiced", event.last_voiced).put("wait", event.wait).put("reason", event.reason)
            line.decision(event)
        case e.TurnPrediction():
            line.head("turn_prediction").put("turn", event.turn)
            line.decision(event)
        case e.TurnAmended():
            line.head("turn_amended").put("turn", event.turn)
        case e.FormatChanged():
            line.put("event", "format_changed").at("at", event.at, event.old.sample_rate)
            line.at("decided_at", event.decided_at).at("resumes_at", event.decided_at)
            line.put("from", _format(event.old)).put("to", _format(event.new))
        case e.Gap():
            line.head("gap").at("duration", event.duration).put("concealed", event.concealed)
        case e.OverlapClaim() | e.OverlapBrief():
            brief = isinstance(event, e.OverlapBrief)
            line.head("overlap_brief" if brief else "overlap_claim")
            line.put("segment", event.segment).put("turn", event.turn)
            if isinstance(event, e.OverlapBrief):
                line.at("until", event.until)
            line.at("agent_start", event.agent_start).at("speech_duration", event.speech_duration)
            line.put("words", event.words).probability("probability", event.probability)
            line.probability("coherence", event.coherence)
            if isinstance(event, e.OverlapBrief):
                line.put("reason", event.reason)
        case e.FalseInterruption():
            line.head("false_interruption").put("segment", event.segment).put("turn", event.turn)
            line.at("claim_at", event.claim_at)
        case e.TurnQuery():
            line.head("turn_query").put("id", event.id).put("turn", event.turn).at("start", event.start)
        case e.TurnQueryCancelled():
            line.head("turn_query_cancelled").put("id", event.id).put("turn", event.turn)
        case _:
            raise TypeError(f"{type(event).__name__} is no event of a detector")
    return line.values


class _Line:
    def __init__(self, event: e.Event) -> None:
        self.event = event
        self.values: dict[str, Any] = {}

    def head(self, name: str) -> _Line:
        return self.put("event", name).at("at", self.event.at).at("decided_at", self.event.decided_at)

    def put(self, key: str, value: object) -> _Line:
        self.values[key] = value
        return self

    def at(self, key: str, samples: int, rate: int | None = None) -> _Line:
        """A position or an amount, in samples and in seconds to the microsecond."""
        return self.put(key, samples).put(f"{key}_s", _rounded(samples / (rate or self.event.sample_rate)))

    def probability(self, key: str, value: float | None) -> _Line:
        return self.put(key, None if value is None else _rounded(value))

    def decision(self, event: e.EndOfTurn | e.TurnPrediction) -> None:
        self.probability("probability", event.probability).probability("threshold", event.threshold)
        self.at("min_delay", event.min_delay).at("max_delay", event.max_delay)
        if isinstance(event, e.EndOfTurn):
            self.at("delay", event.delay)
        else:
            self.at("ends_at", event.ends_at)
        votes = event.votes
        for key, vote in (("audio", votes.audio), ("text", votes.text)):
            if vote is not None:
                inner = _Line(event).probability("probability", vote.probability)
                inner.probability("threshold", vote.threshold).at("asked_at", vote.asked_at)
                inner.at("answered_at", vote.answered_at).put("answers", vote.answers)
                self.put(key, inner.values)
        if votes.cues is not None:
            self.put("cues", {"lean": _rounded(votes.cues.lean), "reasons": list(votes.cues.reasons)})
        if votes.fused is not None:
            self.probability("fused", votes.fused)
        if event.expectation != "free":
            self.put("expectation", event.expectation)
            if event.expectation == "digits":
                self.put("digits", event.expected_digits)
        if votes.fused is not None:
            self.at("chosen_delay", event.chosen_delay).at("silence_delay", event.silence_delay)
        if isinstance(event, e.EndOfTurn) and event.overlap is not None:
            self.put("overlap", event.overlap)
            if event.overlap == "brief":
                self.put("overlap_reason", event.overlap_reason)


def _format(value: e.Format) -> dict[str, Any]:
    short = {"int16": "i16", "float32": "f32"}
    return {"rate": value.sample_rate, "channels": value.channels, "format": short[value.sample_format]}


def _rounded(value: float) -> float:
    """Six decimals, halves away from zero, as the command line rounds."""
    scaled = value * 1e6
    return int(scaled + (0.5 if scaled >= 0 else -0.5)) / 1e6
