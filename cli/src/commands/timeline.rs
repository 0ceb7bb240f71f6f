//! Events as a table that people read.

use std::fmt::Write as _;

use listenkit::{
    EndOfTurn, EndReason, Event, SamplePos, SampleRate, TurnEndReason, TurnPrediction, Wait,
};

/// Turns events into rows and keeps count for the summary.
#[derive(Debug)]
pub(super) struct Timeline {
    rate: SampleRate,
    /// In live mode starts are told at once.
    live: bool,
    last_speech: Option<(SamplePos, u64)>,
    start: Option<(SamplePos, SamplePos)>,
    /// What was predicted about pauses that have no row yet.
    predictions: Vec<TurnPrediction>,
    speech_seconds: f64,
    segments: u64,
    turns: u64,
    pauses: u64,
    longest_pause: f64,
    delay_sum: f64,
    delay_max: f64,
}

pub(super) const HEADER: &str = "     start         end    length\n";

impl Timeline {
    pub(super) fn new(rate: SampleRate, live: bool) -> Self {
        Self {
            rate,
            live,
            last_speech: None,
            start: None,
            predictions: Vec::new(),
            speech_seconds: 0.0,
            segments: 0,
            turns: 0,
            pauses: 0,
            longest_pause: 0.0,
            delay_sum: 0.0,
            delay_max: 0.0,
        }
    }

    /// The rows that an event gives, each with its line end.
    pub(super) fn rows(&mut self, event: &Event) -> String {
        let mut out = String::new();
        match event {
            Event::StartOfSpeech(e) => {
                self.judged(&mut out, SamplePos(u64::MAX));
                if let Some((end, turn)) = self.last_speech {
                    let same_turn = turn == e.turn;
                    if same_turn {
                        let pause = self.seconds(e.at) - self.seconds(end);
                        self.pauses += 1;
                        self.longest_pause = self.longest_pause.max(pause);
                    }
                    let name = if same_turn { "  pause" } else { "  silence" };
                    self.row(&mut out, end, e.at, name);
                }
                self.start = Some((e.at, e.decided_at));
                if self.live {
                    let _ = writeln!(out, "{:>10.3}  speech begins", self.seconds(e.at));
                }
            }
            Event::EndOfSpeech(e) => {
                let (start, known) = self.start.take().unwrap_or((e.at, e.at));
                self.segments += 1;
                self.speech_seconds += self.seconds(e.at) - self.seconds(start);
                let mut what = format!(
                    "speech     known {:+.0} ms after its start, {:+.0} ms after its end",
                    self.milliseconds(start, known),
                    self.milliseconds(e.at, e.decided_at)
                );
                match e.reason {
                    EndReason::Silence => {}
                    EndReason::Flush => what = "speech     to the end of the recording".into(),
                    EndReason::Gap => what.push_str("; audio is missing here"),
                    EndReason::FormatChange => what.push_str("; the format changes here"),
                    other => {
                        let _ = write!(what, "; ended by {}", other.as_str());
                    }
                }
                self.row(&mut out, start, e.at, &what);
                self.last_speech = Some((e.at, e.turn));
                // Of this pause there may be more to come.
                self.judged(&mut out, e.at);
            }
            Event::TurnPrediction(e) => {
                self.predictions.push(*e);
                if self.live {
                    self.judged(&mut out, SamplePos(u64::MAX));
                }
            }
            Event::EndOfTurn(e) => {
                self.judged(&mut out, SamplePos(u64::MAX));
                self.turns += 1;
                let delay = self.milliseconds(e.last_voiced, e.decided_at);
                self.delay_sum += delay;
                self.delay_max = self.delay_max.max(delay);
                let what = format!("■ turn {} is over: {}", e.turn + 1, self.why(e));
                self.row(&mut out, e.last_voiced, e.decided_at, &what);
            }
            Event::FormatChanged(e) => {
                let at = self.seconds(e.at);
                self.rate = e.to.rate;
                let _ = writeln!(
                    out,
                    "{at:>10.3}  the format changes from {} to {}, {} channel(s)",
                    super::kilohertz(e.from.rate),
                    super::kilohertz(e.to.rate),
                    e.to.channels
                );
                self.last_speech = None;
            }
            Event::Gap(e) => {
                let kind = if e.concealed {
                    "gap, heard as silence"
                } else {
                    "gap"
                };
                self.row(&mut out, e.at, e.at + e.duration, kind);
            }
            _ => {}
        }
        out
    }

    /// Rows for the pauses before `until` that the turn model was asked about.
    fn judged(&mut self, out: &mut String, until: SamplePos) {
        let waiting = std::mem::take(&mut self.predictions);
        let (judged, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|e| e.at < until);
        self.predictions = later;
        for pause in judged.chunk_by(|a, b| a.at == b.at) {
            if let Some(last) = pause.last() {
                let what = self.judgement(pause, last);
                self.row(out, last.at, last.decided_at, &what);
            }
        }
    }

    /// What was said about one pause, and what it means.
    fn judgement(&self, pause: &[TurnPrediction], last: &TurnPrediction) -> String {
        let said: Vec<String> = pause
            .iter()
            .filter_map(|e| e.votes.probability())
            .map(|p| format!("{:.3}", p.value()))
            .collect();
        let threshold = last.votes.threshold().map_or(String::new(), |threshold| {
            format!(", threshold {}", threshold.value())
        });
        let finished = last.votes.fused.is_none_or(|fused| fused.value() >= 0.5);
        format!(
            "  ? {}: p {}{threshold}; waits {:.0} ms",
            if finished { "finished" } else { "unfinished" },
            said.join(" "),
            self.rate.seconds(last.chosen_delay) * 1000.0
        )
    }

    /// The decision record in words.
    fn why(&self, e: &EndOfTurn) -> String {
        let ms = |count| self.rate.seconds(count) * 1000.0;
        let waited = match e.wait {
            Wait::Min => {
                let (min, delay) = (ms(e.min_delay), ms(e.delay()));
                if delay > min + 0.5 {
                    // The end of speech was known only after min_delay had passed.
                    format!("silence was certain after {delay:.0} ms (min_delay {min:.0} ms)")
                } else {
                    format!("{min:.0} ms of silence (min_delay)")
                }
            }
            Wait::Max => format!("{:.0} ms of silence (max_delay)", ms(e.max_delay)),
            Wait::Model => "the turn model's time was up".into(),
            Wait::Transcript => "the transcript".into(),
            Wait::Ceiling => "max_turn_duration was reached".into(),
            Wait::Flush => "the recording ends".into(),
            Wait::Text => "the text model's time was up".into(),
            Wait::Graded => format!("{:.0} ms of silence (graded)", ms(e.chosen_delay)),
            _ => e.wait.as_str().into(),
        };
        let reason = match e.reason {
            TurnEndReason::Silence | TurnEndReason::EndOfInput | TurnEndReason::TooLong => {
                String::new()
            }
            TurnEndReason::Complete => ", the turn model found it complete".into(),
            TurnEndReason::Unfinished => ", the turn model found it unfinished".into(),
            TurnEndReason::NoAnswer => ", the turn model did not answer".into(),
            TurnEndReason::NoTranscript => ", no transcript came".into(),
            other => format!(", {}", other.as_str()),
        };
        let probability = match (e.probability(), e.threshold()) {
            (Some(p), Some(t)) => format!(" (p {:.3}, threshold {})", p.value(), t.value()),
            _ => String::new(),
        };
        format!("{waited}{reason}{probability}")
    }

    fn row(&self, out: &mut String, start: SamplePos, end: SamplePos, what: &str) {
        let (from, to) = (self.seconds(start), self.seconds(end));
        let _ = writeln!(out, "{from:>10.3}  {to:>10.3}  {:>8.3}  {what}", to - from);
    }

    pub(super) fn summary(&self, duration: f64) -> String {
        let mut out = String::new();
        let share = if duration > 0.0 {
            100.0 * self.speech_seconds / duration
        } else {
            0.0
        };
        let _ = writeln!(
            out,
            "  {duration:.3} s of audio, {:.3} s of speech ({share:.0} %) in {}, {}",
            self.speech_seconds,
            counted(self.segments, "segment"),
            counted(self.turns, "turn"),
        );
        if self.pauses > 0 {
            let _ = writeln!(
                out,
                "  {} within turns, the longest {:.3} s",
                counted(self.pauses, "pause"),
                self.longest_pause
            );
        }
        if self.turns > 0 {
            let _ = writeln!(
                out,
                "  from the last voiced sample to the decision: {:.0} ms on average, {:.0} ms at most",
                self.delay_sum / self.turns as f64,
                self.delay_max
            );
        }
        out
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        (self.segments, self.turns)
    }

    fn seconds(&self, at: SamplePos) -> f64 {
        at.seconds(self.rate)
    }

    fn milliseconds(&self, from: SamplePos, to: SamplePos) -> f64 {
        self.rate.seconds(to.since(from)) * 1000.0
    }
}

/// `1 turn`, `2 turns`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}
