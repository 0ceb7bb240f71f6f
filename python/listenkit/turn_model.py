"""The audio turn model: is the user finished? And what the wording says about that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _check, _samples
from ._lib import NULL, Handle, error, ffi, lib, make
from .errors import ConfigError
from .events import CueVote, Expectation
from .models import Models, pointer_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._samples import Array, Block


class TurnAudio:
    """A copy of the audio that a question is about, for the thread that runs the model: up to 8 s, 16 kHz, mono.

    It comes with a `TurnQuery`. Of a recording's own audio, use `TurnModel` on the array.
    """

    __slots__ = ("_handle", "_samples")

    def __init__(self, samples: Array) -> None:
        """From 16 kHz mono samples, int16 or float32."""
        _samples.read(samples, 1, "samples")
        self._handle: Any = None
        self._samples: Any = np.ravel(samples)

    @classmethod
    def _of(cls, detector: Any, query: Any) -> TurnAudio:
        """What the query that was just polled is about."""
        audio = cls.__new__(cls)
        out = ffi.new("listenkit_turn_audio **")
        status = lib.listenkit_turn_audio_new(out)
        if status != 0:
            raise error(status)
        audio._handle = ffi.gc(out[0], lib.listenkit_turn_audio_free)
        audio._samples = None
        status = lib.listenkit_detector_turn_audio(detector, query, audio._handle)
        if status < 0:
            raise error(status)
        return audio

    def samples(self) -> npt.NDArray[np.float32]:
        """The samples, full scale 1.0."""
        if self._samples is not None:
            copy = np.array(self._samples)
            return copy if copy.dtype == np.float32 else (copy / np.float32(32768.0)).astype(np.float32)
        length = ffi.new("size_t *")
        _ok(lib.listenkit_turn_audio_samples(self._handle, NULL, 0, length))
        out = np.empty(length[0], dtype=np.float32)
        _ok(lib.listenkit_turn_audio_samples(self._handle, ffi.from_buffer("float[]", out), out.size, length))
        return out[: length[0]]

    def __len__(self) -> int:
        if self._samples is not None:
            return len(self._samples)
        length = ffi.new("size_t *")
        _ok(lib.listenkit_turn_audio_samples(self._handle, NULL, 0, length))
        return int(length[0])

    def __reduce__(self) -> Any:
        return TurnAudio, (self.samples(),)

    def __repr__(self) -> str:
        return f"<TurnAudio of {len(self) / 16_000:.2f} s>"


class TurnModel(Handle):
    """Smart Turn v3.2: the probability that the user is finished, from the sound of the last 8 s. 25 ms of CPU a question.

    Give it to a `Detector`, which asks it at pauses; or call it. One object is for one thread at a time; the weights are shared.
    """

    __slots__ = ()
    _kind = "turn_model"

    def __init__(self, *, models: Models | None = None) -> None:
        super().__init__(make("turn_model", pointer_of(models)))

    def __call__(self, audio: TurnAudio | Block) -> float:
        """The probability, 0.0 to 1.0, that the user is finished at the end of `audio`: of a query, or 16 kHz mono samples."""
        out = ffi.new("float *")
        if isinstance(audio, TurnAudio):
            if audio._handle is not None:
                self.call(lib.listenkit_turn_model_probability, audio._handle, out)
                return float(out[0])
            audio = audio._samples
        data, count, is_float = _samples.read(audio, 1)
        function = lib.listenkit_turn_model_probability_f32 if is_float else lib.listenkit_turn_model_probability_i16
        self.call(function, data, count, 16_000, out)
        return float(out[0])


EXPECTATIONS: dict[str, int] = {
    name: getattr(lib, f"LISTENKIT_EXPECT_{name}".upper())
    for name in ("free", "yes_no", "digits", "spelling", "email", "floor_granted")
}

_CUES: tuple[tuple[int, str], ...] = tuple(
    sorted((getattr(lib, name), name[len("LISTENKIT_CUE_") :].lower()) for name in dir(lib) if name.startswith("LISTENKIT_CUE_"))
)


def judge_text(text: str, *, language: str | None = None, expectation: Expectation = "free", digits: int = 0) -> CueVote:
    """What the words of the turn so far say about its end, without a model: microseconds.

    `language` is a BCP 47 tag. `digits` is how many are expected, 0 if that is not known.
    """
    words = _check.text("text", text)
    tag = NULL if language is None else ffi.new("char[]", _check.text("language", language))
    lean, cues = ffi.new("float *"), ffi.new("uint32_t *")
    kind = expectation_number(expectation)
    _ok(lib.listenkit_text_cues_judge(words, len(words), tag, kind, digit_count(digits), lean, cues))
    return CueVote(float(lean[0]), cue_names(cues[0]))


def expectation_number(expectation: str) -> int:
    """The library's number for an expectation."""
    if expectation not in EXPECTATIONS:
        raise ConfigError(f"expectation is {expectation!r}; use one of: {', '.join(EXPECTATIONS)}")
    return EXPECTATIONS[expectation]


def digit_count(digits: int) -> int:
    """How many digits are expected, checked."""
    return _check.setting("digits", digits, 255)


def cue_names(bits: int) -> tuple[str, ...]:
    """The reasons in a set, those for an unfinished turn first."""
    return tuple(name for bit, name in _CUES if bits & bit)


def cue_bits(reasons: tuple[str, ...]) -> int:
    """The set of some reasons."""
    by_name = {name: bit for bit, name in _CUES}
    unknown = [reason for reason in reasons if reason not in by_name]
    if unknown:
        raise ConfigError(f"there is no cue {unknown[0]!r}; use some of: {', '.join(by_name)}")
    return sum({by_name[reason] for reason in reasons})


def _ok(status: int) -> None:
    if status < 0:
        raise error(status)
