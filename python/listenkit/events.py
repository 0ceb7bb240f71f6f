"""What comes out of a detector: small frozen records.

Positions and amounts are whole samples at `sample_rate`, as everywhere in listenkit; the properties that end in `_seconds` show them to
people. `at` says where in the audio something happened, `decided_at` how much audio had to be heard to know it.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Literal, TypeAlias

from ._record import Record, record

if TYPE_CHECKING:
    from typing import Any

    from ._samples import Array
    from .turn_model import TurnAudio

EndReason: TypeAlias = Literal["silence", "split", "flush", "gap", "format_change", "reset"]
TurnEndReason: TypeAlias = Literal[
    "silence", "complete", "unfinished", "no_answer", "no_transcript", "too_long", "committed", "end_of_input", "reset"
]
Wait: TypeAlias = Literal["min", "max", "model", "transcript", "ceiling", "flush", "text", "graded"]
BriefReason: TypeAlias = Literal["own_voice", "too_short", "protected", "guard", "too_few_words"]
Expectation: TypeAlias = Literal["free", "yes_no", "digits", "spelling", "email", "floor_granted"]
SampleFormat: TypeAlias = Literal["int16", "float32"]


@record
class Event(Record):
    """One thing the detector says."""

    #: Where in the audio it happened.
    at: int
    #: How much audio was needed to know it.
    decided_at: int
    #: Hz, of all positions and amounts of the event.
    sample_rate: int

    def seconds(self, samples: int) -> float:
        """A position or an amount of this event in seconds."""
        return samples / self.sample_rate

    @property
    def at_seconds(self) -> float:
        """`at` in seconds."""
        return self.at / self.sample_rate

    @property
    def decided_at_seconds(self) -> float:
        """`decided_at` in seconds."""
        return self.decided_at / self.sample_rate

    def as_dict(self) -> dict[str, Any]:
        """The event as `listenkit analyze --json` prints it, ready for `json.dumps`."""
        from ._json import as_dict

        return as_dict(self)


@record
class Window(Event):
    """The probability of speech in one window of the VAD; only with `report_windows`. `at` is its start."""

    #: End of the window, exclusive. Windows lie back to back.
    end: int
    #: That the window holds speech.
    probability: float

    @property
    def start(self) -> int:
        """First sample, the same as `at`."""
        return self.at


@record
class StartOfSpeech(Event):
    """The user began to speak. `at` is the first sample of the first window of speech."""

    #: Number of the segment, from 0.
    segment: int
    #: Number of the turn it belongs to, from 0.
    turn: int
    #: Probability of the window that decided.
    probability: float


@record
class EndOfSpeech(Event):
    """The user stopped speaking, for now: exactly one for every start. `at` is the end of the last window of speech."""

    segment: int
    turn: int
    #: Windows of speech only, without the pauses between them.
    speech_duration: int
    #: From the start of speech to `at`.
    segment_duration: int
    reason: EndReason

    @property
    def start(self) -> int:
        """Where this speech had begun: `at` of its `StartOfSpeech`."""
        return self.at - self.segment_duration


@record
class Segment(Event):
    """The audio of a stretch of speech is complete, with its padding; only with `segment_audio`. `at` is its start.

    What a recogniser that does not stream gets.
    """

    segment: int
    #: Above 0 only if longer speech was split.
    part: int
    turn: int
    #: First sample, padding included.
    start: int
    #: End, padding included; exclusive.
    end: int
    #: First sample of the first window of speech.
    speech_start: int
    #: End of the last window of speech.
    speech_end: int
    #: Windows of speech only.
    speech_duration: int
    #: The next part follows without a gap.
    continues: bool
    reason: EndReason
    #: A copy of the samples, at the input's rate and in its format: `(n,)`, or `(n, channels)` of several channels. `None` from a
    #: `Segmenter`, which hears no audio.
    audio: Array | None = field(default=None, compare=False, repr=False)

    @property
    def duration(self) -> int:
        """Samples from start to end."""
        return self.end - self.start

    @property
    def start_seconds(self) -> float:
        """`start` in seconds."""
        return self.start / self.sample_rate

    @property
    def end_seconds(self) -> float:
        """`end` in seconds."""
        return self.end / self.sample_rate

    @property
    def duration_seconds(self) -> float:
        """`duration` in seconds."""
        return self.duration / self.sample_rate


@record
class ModelVote(Record):
    """What a turn model said about a pause."""

    #: That the user is finished; of several answers, what the rule `turn_answers` makes of them.
    probability: float
    #: Below it the model means "not finished".
    threshold: float
    asked_at: int
    answered_at: int
    #: How many answers are in it.
    answers: int


@record
class CueVote(Record):
    """What the wording of a transcript says about the end of a turn."""

    #: From -1.0, surely unfinished, over 0.0 to 1.0, surely finished.
    lean: float
    #: What was found: "open_word", "short_number", ...
    reasons: tuple[str, ...] = ()


@record
class Votes(Record):
    """All that was said about a pause, and what comes of it."""

    audio: ModelVote | None = None
    text: ModelVote | None = None
    cues: CueVote | None = None
    #: All in one number; 0.5 is undecided. `None` without any vote.
    fused: float | None = None


@record
class _Decision(Event):
    turn: int
    votes: Votes
    #: What the audio model said, or if it said nothing, the text model.
    probability: float | None
    #: What the probability was compared with.
    threshold: float | None
    expectation: Expectation
    #: With `expectation="digits"`, how many; 0 if that is not known.
    expected_digits: int
    #: Smallest delay in force, in samples from the last voiced one.
    min_delay: int
    #: Largest delay in force.
    max_delay: int
    #: The wait that the votes choose.
    chosen_delay: int
    #: The wait if there were no votes.
    silence_delay: int


@record
class TurnPrediction(_Decision):
    """A vote on the current pause has come. `at` is the last voiced sample so far, `decided_at` when the vote came."""

    #: Where the turn ends if the user is silent and nothing more is said.
    ends_at: int

    @property
    def ends_at_seconds(self) -> float:
        """`ends_at` in seconds."""
        return self.ends_at / self.sample_rate


@record
class EndOfTurn(_Decision):
    """The user's turn is over: the agent may answer. `at` is the last voiced sample."""

    #: Start of the turn's first speech.
    start: int
    #: What the decision had been waiting for when it fell.
    wait: Wait
    reason: TurnEndReason
    #: What the turn has to do with the agent's speech: nothing known, a brief sound, or an interruption.
    overlap: Literal["brief", "claim"] | None
    #: Why a brief overlap was no interruption.
    overlap_reason: BriefReason | None

    @property
    def last_voiced(self) -> int:
        """End of the last window of speech, the anchor of every delay; the same as `at`."""
        return self.at

    @property
    def delay(self) -> int:
        """How long the user had been silent."""
        return self.decided_at - self.at

    @property
    def start_seconds(self) -> float:
        """`start` in seconds."""
        return self.start / self.sample_rate

    @property
    def last_voiced_seconds(self) -> float:
        """`last_voiced` in seconds."""
        return self.at / self.sample_rate

    @property
    def delay_seconds(self) -> float:
        """`delay` in seconds."""
        return self.delay / self.sample_rate


@record
class TurnAmended(Event):
    """A transcript came for a turn that is already over. `at` is where that turn's speech ended."""

    turn: int


@record
class Format(Record):
    """What a stream of PCM looks like."""

    sample_rate: int
    channels: int
    sample_format: SampleFormat


@record
class FormatChanged(Event):
    """The stream goes on in another format. `at` counts samples of the old rate, `decided_at` and `sample_rate` are of the new one."""

    #: The format so far.
    old: Format
    #: The format from here on.
    new: Format

    @property
    def at_seconds(self) -> float:
        """`at` in seconds."""
        return self.at / self.old.sample_rate


@record
class Gap(Event):
    """Audio is missing from `at` on."""

    #: Missing samples.
    duration: int
    #: Short enough to be heard as silence. If not, open speech has ended here and the models start afresh.
    concealed: bool

    @property
    def duration_seconds(self) -> float:
        """`duration` in seconds."""
        return self.duration / self.sample_rate


@record
class _Overlap(Event):
    segment: int
    turn: int
    #: When the agent had begun to speak.
    agent_start: int
    #: Voiced windows of the user while both spoke.
    speech_duration: int
    #: Words in it, if anything was said about words.
    words: int | None
    #: The turn model's newest answer to a pause in it.
    probability: float | None
    #: How well the agent's own playback explains it, 0.0 to 1.0.
    coherence: float | None


@record
class OverlapClaim(_Overlap):
    """The user interrupts the agent. `at` is where the overlap began. A verdict, not an action."""


@record
class OverlapBrief(_Overlap):
    """The user spoke over the agent, and it was no interruption. `at` is where the overlap began."""

    #: End of its last voiced window.
    until: int
    reason: BriefReason


@record
class FalseInterruption(Event):
    """An interruption was followed by no words: the agent may go on. `at` is the end of the user's last voiced window."""

    segment: int
    turn: int
    #: `decided_at` of the claim.
    claim_at: int


@record
class TurnQuery(Event):
    """An audio turn model is asked whether the user is finished. `at` is the last voiced sample.

    Run a model on `audio`, in any thread, and give `id` and the probability to `Detector.answer_turn`: late or never does no harm.
    """

    #: Never reused; counts up from 0.
    id: int
    turn: int
    #: Start of the turn's first speech.
    start: int
    #: What the model should look at.
    audio: TurnAudio | None = field(default=None, compare=False, repr=False)

    @property
    def last_voiced(self) -> int:
        """End of the turn's last window of speech, the same as `at`."""
        return self.at


@record
class TurnQueryCancelled(Event):
    """Questions up to this `id` need no answer any more. `at` equals `decided_at`."""

    id: int
    turn: int
