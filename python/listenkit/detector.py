"""The detector: blocks of audio in, events out."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from . import _check, _convert, _samples
from . import events as e
from ._lib import EMPTY, UNKNOWN, Handle, ffi, lib, make, sized
from ._record import Record, record
from .errors import BusyError, InputTypeError, PoisonedError
from .models import Models, pointer_of
from .options import DetectorOptions, Policy, Settings, Tuning, build, to_struct
from .turn_model import TurnAudio, cue_bits, digit_count, expectation_number

if TYPE_CHECKING:
    from typing import TypeAlias

    from typing_extensions import Unpack

    from ._samples import Block

    #: Anything that gives the probability that the user is finished: a `TurnModel`, or a function.
    TurnJudge: TypeAlias = Callable[[TurnAudio], float | None]


_PUSH_I16, _PUSH_F32, _POLL = (
    lib.listenkit_detector_push_i16,
    lib.listenkit_detector_push_f32,
    lib.listenkit_detector_poll,
)

# A push that takes nothing says something, and no more than the queue holds, 28 outputs (docs/design.md).
_MOST_IDLE = 32


@record
class Stats(Record):
    """Counters since a detector was made or reset."""

    samples_in: int
    windows: int
    segments: int
    turns: int
    gaps: int
    format_changes: int
    #: Values that were NaN or infinite and were heard as 0.
    non_finite_values: int
    #: Values far beyond full scale that were limited.
    limited_values: int
    #: Answers to turn queries that came too late or were never asked for.
    stale_answers: int
    #: Votes about another turn or an older pause.
    stale_votes: int
    cleared_turns: int
    dropped_transcripts: int
    overlap_claims: int
    overlap_briefs: int
    false_interruptions: int
    #: Samples of playback that were too far ahead to be kept.
    reference_dropped: int
    outputs_dropped: int
    #: `decided_at` of the last event.
    last_event_at: int
    #: Probability of the last window.
    last_probability: float


class Detector(Handle):
    """Listens to one stream and says when the user starts, stops, and finishes their turn.

        with listenkit.Detector(48_000, turn_model=listenkit.TurnModel()) as detector:
            for block in microphone:  # int16 or float32 arrays, or bytes of int16
                for event in detector.process(block):
                    if isinstance(event, listenkit.EndOfTurn):
                        reply()

    Blocks may have any length; how the audio is cut changes nothing. Every method that hears or tells something returns what the detector
    has to say to it. One detector is for one stream, and for one thread at a time: a second one gets a `BusyError` and does no harm.
    """

    __slots__ = ("_busy", "_events", "_form", "_made", "_model", "_options", "_record", "_source", "_taken", "_touched", "_width")
    _kind = "detector"

    def __init__(
        self,
        sample_rate: int | None = None,
        *,
        options: DetectorOptions | None = None,
        policy: Policy | None = None,
        models: Models | None = None,
        turn_model: TurnJudge | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        """Settings come from `options`, then the policy, then single keywords: the fields of `DetectorOptions`.

        `turn_model`: a `TurnModel`, or any function of `TurnAudio` to a probability. It is asked inside the calls that hear audio, which take
        as long as it does; `listenkit.aevents` asks it in a thread instead. Without `options` it brings the policy "balanced".
        Without a turn model, but with a policy or `turn_queries`, `TurnQuery` events come out for the caller to answer.
        """
        if turn_model is not None and not callable(turn_model):
            raise TypeError(f"turn_model is a {type(turn_model).__name__}; use TurnModel() or a function of TurnAudio")
        default: Policy | None = None if turn_model is None else "balanced"
        self._options = build(sample_rate, options, policy, settings, default)
        self._model = turn_model
        self._busy = Lock()
        self._events: list[e.Event] = []
        self._record = sized("listenkit_event")
        self._taken = ffi.new("size_t *")
        self._source = models
        self._make(self._options.sample_format == "float32")

    def _make(self, is_float: bool) -> None:
        struct = to_struct(self._options)
        struct.sample_format = lib.LISTENKIT_F32 if is_float else lib.LISTENKIT_I16
        super().__init__(make("detector", pointer_of(self._source), struct))
        self._made: e.SampleFormat = "float32" if is_float else "int16"
        self._form = e.Format(struct.sample_rate, struct.channels, self._made)
        self._width: int = struct.channels
        # Whether it has heard or been told anything.
        self._touched = False

    @property
    def options(self) -> DetectorOptions:
        """The settings it was made with, and tuned to since."""
        return self._options

    # Audio

    def process(self, block: Block) -> list[e.Event]:
        """Hears a block: int16 or float32 samples of any length, `(n,)` or `(n, channels)`, or bytes of int16.

        If the turn model raises, the block is heard all the same; its events come with the next call.
        """
        return self._hear(block, self._model)

    def _hear(self, block: Block, model: TurnJudge | None) -> list[e.Event]:
        data, count, is_float = _samples.read(block, self._width, "block")
        self._enter()
        try:
            if count and not self._touched:
                if self._options.sample_format is None and is_float != (self._made == "float32"):
                    self._make(is_float)
                self._touched = True
            pointer, taken = self.pointer(), self._taken
            push = _PUSH_F32 if is_float else _PUSH_I16
            failure: BaseException | None = None
            done = idle = 0
            while done < count:
                status = push(pointer, data + done if done else data, count - done, taken)
                if status != 0:
                    raise self.failure(pointer, status)
                done += taken[0]
                failure = self._take(model) or failure
                # A change of format takes nothing until what it ended has been said.
                idle = 0 if taken[0] else idle + 1
                if idle > _MOST_IDLE:
                    raise RuntimeError("the detector takes nothing; this is a bug in listenkit")
            return self._said(failure)
        finally:
            self._busy.release()

    def flush(self) -> list[e.Event]:
        """End of input: ends open speech and the open turn. More audio may follow, as a new beginning at the same position."""
        return self._tell(lib.listenkit_detector_flush)

    def reset(self) -> list[e.Event]:
        """Ends what is open, then forgets everything: the detector is as new."""
        with self._alone():
            self.call(lib.listenkit_detector_reset)
            failure = self._take(None)
            options = self._options
            self._width = options.channels
            self._form = e.Format(options.sample_rate, options.channels, self._made)
            self._touched = False
            return self._said(failure)

    def set_format(self, *, sample_rate: int | None = None, channels: int | None = None) -> None:
        """What the next block is. Open speech ends there, `FormatChanged` comes out, and positions go on in samples of the new rate."""
        with self._alone():
            rate = self._form.sample_rate if sample_rate is None else sample_rate
            width = self._width if channels is None else channels
            self._touched = True
            self.call(lib.listenkit_detector_set_format, _check.count("sample_rate", rate), _check.count("channels", width))
            self._width = width

    def tune(self, **settings: Unpack[Tuning]) -> None:
        """Finds speech by other rules from the next window on. Nothing is interrupted: what has been counted of speech and silence goes on
        counting, against the new numbers. A change that is refused changes nothing."""
        options = self._options.replace(**settings)
        fixed = sorted(set(settings) - set(Tuning.__annotations__))
        if fixed:
            raise TypeError(f"{fixed[0]} cannot change in mid-stream; what can: {', '.join(Tuning.__annotations__)}")
        with self._alone():
            self.call(lib.listenkit_detector_tune, to_struct(options))
            self._options = options

    def gap(self, samples: int) -> list[e.Event]:
        """Audio is missing here: muted or lost. Short gaps are heard as silence, longer ones end open speech."""
        return self._tell(lib.listenkit_detector_gap, _check.count("samples", samples))

    def audio_age(self, samples: int) -> list[e.Event]:
        """How long ago the audio that comes from here on was spoken: packets, network, jitter buffer. A turn ends that much sooner, for it is the
        user's silence that counts, not when it was heard of."""
        return self._tell(lib.listenkit_detector_audio_age, _check.count("samples", samples))

    def clock(self, at: int) -> list[e.Event]:
        """The host's clock, in samples: frames that are late by `starvation_duration` become a gap."""
        return self._tell(lib.listenkit_detector_clock, _check.count("at", at))

    def reference(self, block: Block, sample_rate: int, *, channels: int = 1) -> list[e.Event]:
        """What the agent plays, before it is heard; needs `overlap` and `reference_rate`. Tells echo from interruption."""
        data, count, is_float = _samples.read(block, _check.count("channels", channels), "reference")
        kind = "f32" if is_float else "i16"
        function = getattr(lib, f"listenkit_detector_reference_{kind}")
        return self._tell(function, data, count, _check.count("sample_rate", sample_rate), channels)

    # Answers and news

    def answer_turn(self, query: int, probability: float) -> list[e.Event]:
        """Answers the `TurnQuery` with this `id`. Late answers do no harm."""
        return self._tell(
            lib.listenkit_detector_answer_turn, _check.count("query", query), _check.number("probability", probability)
        )

    def turn_threshold(self, threshold: float) -> list[e.Event]:
        """Below what probability the audio model means "not finished", from here on: where it depends on the language."""
        return self._tell(lib.listenkit_detector_turn_threshold, _check.number("threshold", threshold))

    def answer_text(self, turn: int, probability: float, *, threshold: float, asked_at: int | None = None) -> list[e.Event]:
        """What a text model says about the turn: `probability` that the user is finished, and what it is compared with.

        `asked_at`: the position when its text was read, so that a vote on an older pause is told from one on this one.
        """
        read = UNKNOWN if asked_at is None else _check.count("asked_at", asked_at)
        said, limit = _check.number("probability", probability), _check.number("threshold", threshold)
        return self._tell(lib.listenkit_detector_answer_text, _check.count("turn", turn), said, limit, read)

    def text_cues(self, turn: int, vote: e.CueVote) -> list[e.Event]:
        """What the wording says about the turn; `judge_text` reads it from a transcript."""
        if not isinstance(vote, e.CueVote):
            raise InputTypeError(f"vote is a {type(vote).__name__}; use judge_text(...), or a CueVote")
        lean, reasons = _check.number("lean", vote.lean), cue_bits(vote.reasons)
        return self._tell(lib.listenkit_detector_text_cues, _check.count("turn", turn), lean, reasons)

    def expect(self, expectation: e.Expectation, *, digits: int = 0) -> list[e.Event]:
        """What the dialogue expects to hear next: "yes_no", "digits" (how many, if that is known), "free", ..."""
        return self._tell(lib.listenkit_detector_expect, expectation_number(expectation), digit_count(digits))

    def transcript(self, *, speech_end: int | None = None) -> list[e.Event]:
        """A final transcript has come, of speech that ended at this position if that is known."""
        return self._tell(
            lib.listenkit_detector_transcript, UNKNOWN if speech_end is None else _check.count("speech_end", speech_end)
        )

    def agent_started(self) -> list[e.Event]:
        """The agent begins to speak."""
        return self._tell(lib.listenkit_detector_agent_started)

    def agent_stopped(self) -> list[e.Event]:
        """The agent has stopped."""
        return self._tell(lib.listenkit_detector_agent_stopped)

    def agent_interruptible(self, interruptible: bool) -> list[e.Event]:
        """Whether the agent's speech may be interrupted."""
        return self._tell(lib.listenkit_detector_agent_interruptible, int(bool(interruptible)))

    def words(self, count: int) -> list[e.Event]:
        """How many words have been recognised in the user's speech so far."""
        return self._tell(lib.listenkit_detector_words, _check.count("count", count))

    def interruption(self, interruption: bool) -> list[e.Event]:
        """The host's own verdict on the user's speech over the agent's."""
        return self._tell(lib.listenkit_detector_interruption, int(bool(interruption)))

    def commit_turn(self) -> list[e.Event]:
        """Ends the open turn now."""
        return self._tell(lib.listenkit_detector_commit_turn)

    def clear_turn(self) -> list[e.Event]:
        """Forgets the open turn."""
        return self._tell(lib.listenkit_detector_clear_turn)

    # Questions

    @property
    def sample_rate(self) -> int:
        """Hz, of the stream as it is now."""
        return self._form.sample_rate

    @property
    def position(self) -> int:
        """Samples so far, gaps included."""
        return int(self.value(lib.listenkit_detector_position, "uint64_t *"))

    @property
    def open_turn(self) -> int | None:
        """The number of the turn that is open, if one is."""
        out = ffi.new("uint64_t *")
        return None if self.call(lib.listenkit_detector_open_turn, out) == EMPTY else int(out[0])

    @property
    def fingerprint(self) -> int:
        """A 64-bit digest of every probability and event so far: equal for equal input, in Rust, C and Python."""
        return int(self.value(lib.listenkit_detector_fingerprint, "uint64_t *"))

    @property
    def delay(self) -> int:
        """Samples beyond the end of a window that are needed to score it."""
        return int(self.value(lib.listenkit_detector_delay, "uint64_t *"))

    @property
    def state_bytes(self) -> int:
        """Bytes of this stream's state, without kept audio and without the weights."""
        return int(self.value(lib.listenkit_detector_state_bytes))

    @property
    def retained_bytes(self) -> int:
        """Bytes of audio this stream may keep, for segments and turn models."""
        return int(self.value(lib.listenkit_detector_retained_bytes))

    @property
    def stats(self) -> Stats:
        """Counters since it was made or reset."""
        record = sized("listenkit_stats")
        self.call(lib.listenkit_detector_stats, record)
        return Stats(**{name: getattr(record, name) for name in Stats.__dataclass_fields__})

    # Inside

    def _enter(self) -> None:
        """One call at a time: a call of the library is not the whole of a call here."""
        if not self._busy.acquire(False):
            raise BusyError(
                "another call is inside this Detector (from another thread, or from its own turn model); "
                "give each thread its own, or hold a lock around the calls",
                lib.LISTENKIT_BUSY,
            )

    @contextmanager
    def _alone(self) -> Generator[None, None, None]:
        self._enter()
        try:
            yield
        finally:
            self._busy.release()

    def _tell(self, function: Any, *arguments: Any) -> list[e.Event]:
        with self._alone():
            self._touched = True
            self.call(function, *arguments)
            return self._said(self._take(self._model))

    def _take(self, model: TurnJudge | None) -> BaseException | None:
        """Takes all that there is to say into `_events`; asks the model. What the model raised is returned."""
        pointer, record = self.pointer(), self._record
        status: int = _POLL(pointer, record)
        if status == EMPTY:
            return None
        failure: BaseException | None = None
        queries: list[e.TurnQuery] = []
        while True:
            if status == 0:
                self._one(pointer, record, model, queries)
            elif status != EMPTY:
                raise self.failure(pointer, status)
            elif queries and model is not None:
                query = queries.pop(0)
                failure = self._answer(query, model) or failure
            else:
                return failure
            status = _POLL(pointer, record)

    def _one(self, pointer: Any, record: Any, model: TurnJudge | None, queries: list[e.TurnQuery]) -> None:
        event = _convert.event(record)
        if isinstance(event, e.Segment):
            audio, status = _convert.segment_audio(pointer, record, self._form)
            if status != 0:
                raise self.failure(pointer, status)
            _convert.with_audio(event, audio)
        elif isinstance(event, e.TurnQuery):
            _convert.with_query_audio(event, TurnAudio._of(pointer, record))
            if model is not None:
                queries.append(event)
                return
        elif isinstance(event, e.TurnQueryCancelled) and model is not None:
            queries[:] = [query for query in queries if query.id > event.id]
            return
        elif isinstance(event, e.FormatChanged):
            self._form = event.new
        if event is not None:
            self._events.append(event)

    def _answer(self, query: e.TurnQuery, model: TurnJudge) -> BaseException | None:
        try:
            assert query.audio is not None
            probability = model(query.audio)
            if probability is not None:
                self.call(lib.listenkit_detector_answer_turn, query.id, _check.number("the turn model's answer", probability))
        except PoisonedError:
            raise
        except Exception as failure:
            return failure
        return None

    def _said(self, failure: BaseException | None) -> list[e.Event]:
        if failure is not None:
            raise failure
        events = self._events
        if events:
            self._events = []
            return events
        return []
