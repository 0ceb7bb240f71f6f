"""Weights, read once and shared by every stream and thread."""

from __future__ import annotations

import os
from threading import Lock
from typing import Literal

from ._lib import Handle, error, ffi, lib, make, sized, text
from .errors import ConfigError, InputTypeError

#: Where weights come from: a file, or the bytes of one.
Source = str | os.PathLike[str] | bytes | bytearray | memoryview

_PRECISIONS = {"fast": lib.LISTENKIT_PRECISION_FAST, "exact": lib.LISTENKIT_PRECISION_EXACT}
_LEVELS = {name: getattr(lib, f"LISTENKIT_KERNEL_{name}".upper()) for name in ("best", "portable", "avx2", "avx512", "neon")}


class Models(Handle):
    """A set of model weights. By default those inside the library, which are read when they are first needed.

    Threads may share it. What is made from it keeps the weights alive.
    """

    __slots__ = ()
    _kind = "models"

    def __init__(
        self,
        *,
        vad: Source | None = None,
        turn_model: Source | None = None,
        precision: Literal["fast", "exact"] = "fast",
        kernel_level: Literal["best", "portable", "avx2", "avx512", "neon"] = "best",
    ) -> None:
        """`vad` and `turn_model`: a weight file (`.lkw`) by path or as bytes, instead of those inside.

        `precision` is that of the turn model: "fast" computes in bytes, "exact" in floats. `kernel_level` is for comparing machines; results
        differ in the last bits between levels.
        """
        options = sized("listenkit_models_options")
        size = ffi.sizeof("listenkit_models_options")
        status = lib.listenkit_models_options_init(options, size)
        if status != 0:
            raise error(status)
        options.turn_precision = _choice("precision", precision, _PRECISIONS)
        options.kernel_level = _choice("kernel_level", kernel_level, _LEVELS)
        keep = [_weights(options, "vad", vad), _weights(options, "turn", turn_model)]
        super().__init__(make("models", options))
        del keep

    @property
    def has_turn_model(self) -> bool:
        """Whether a `TurnModel` can be made from it."""
        return bool(self.value(lib.listenkit_models_has_turn_model, "uint32_t *"))

    def self_test(self) -> None:
        """Checks in a millisecond that this machine computes right; raises `ModelError` if it does not."""
        detail = ffi.new("listenkit_detail *")
        status = lib.listenkit_models_self_test(self.pointer(), detail)
        if status != 0:
            raise error(status, text(detail.text))


def _choice(name: str, value: str, choices: dict[str, int]) -> int:
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}; use one of: {', '.join(choices)}")
    return choices[value]


def _weights(options: object, name: str, source: Source | None) -> object:
    """Sets the fields of one model; the result has to live until the set is made."""
    if source is None:
        return None
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = ffi.from_buffer("uint8_t[]", source)
        setattr(options, f"{name}_bytes", data)
        setattr(options, f"{name}_len", len(data))
        return data
    try:
        path = os.fspath(source)
    except TypeError:
        raise InputTypeError(
            f"weights are given as a {type(source).__name__}; use the path of a .lkw file, or its bytes"
        ) from None
    data = ffi.new("char[]", path.encode("utf-8", "surrogateescape"))
    setattr(options, f"{name}_path", data)
    return data


_default: Models | None = None
_making = Lock()


def _after_fork() -> None:
    """The thread that held the lock is not in the child."""
    global _making
    _making = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def default_models() -> Models:
    """The weights inside the library, shared by all that are given no others."""
    global _default
    if _default is None or _default.closed:
        with _making:
            if _default is None or _default.closed:
                _default = Models()
    return _default


def pointer_of(models: Models | None) -> object:
    """The library's pointer to a set."""
    if models is not None and not isinstance(models, Models):
        raise TypeError(f"models is a {type(models).__name__}; use listenkit.Models(...)")
    return (default_models() if models is None else models).pointer()


__all__ = ["Models", "Source", "default_models", "pointer_of"]
