"""What can go wrong. Every error says what was expected, what came, and what to do; `status` is the C library's number."""

from __future__ import annotations


class ListenkitError(Exception):
    """Any error of listenkit."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        #: The status of the C library, as in `listenkit.h`; 0 if the mistake was found before it was called.
        self.status = status

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.status)


class ConfigError(ListenkitError, ValueError):
    """A setting is out of range or contradicts another; the text names it."""


class InputError(ListenkitError, ValueError):
    """Audio or another input cannot be used as it is. Nothing of it was taken; the stream goes on with the next good block."""


class InputTypeError(InputError, TypeError):
    """Audio is of a type or dtype that would have to be guessed at."""


class OverwrittenError(InputError):
    """The audio that was asked for is no longer kept."""


class ModelError(ListenkitError):
    """Weights cannot be used."""


class NoModelError(ModelError):
    """This build, or this set of models, holds no such weights."""


class ReadError(ModelError):
    """A weight file cannot be read."""


class BusyError(ListenkitError):
    """Another thread is inside this object. Give each thread its own, or hold a lock around the calls."""


class ClosedError(ListenkitError, ValueError):
    """The object has been closed."""


class PoisonedError(ListenkitError):
    """A bug in the library broke this object (an earlier call, or this one); make a new one. Others are not affected."""
