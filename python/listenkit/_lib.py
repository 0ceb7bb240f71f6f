"""The native library: where it is, how it is called, and its status codes as exceptions.

Every call of the package goes through [`Handle.call`], [`Handle.value`] or [`make`]. The calls release the GIL. A handle is freed when
the last reference to its pointer is gone, so `close` in one thread never pulls the memory from under a call in another.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from . import errors
from ._ffi import ffi as ffi

if TYPE_CHECKING:
    from typing_extensions import Self

_ENVIRONMENT = "LISTENKIT_LIBRARY"


def _path() -> str:
    given = os.environ.get(_ENVIRONMENT)
    if given:
        return given
    name = {"win32": "listenkit.dll", "darwin": "liblistenkit.dylib"}.get(sys.platform, "liblistenkit.so")
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), name)


def _load() -> Any:
    path = _path()
    try:
        library = ffi.dlopen(path)
    except OSError as error:
        raise ImportError(
            f"the native library of listenkit cannot be loaded from {path}: {error}. Build the package with pip install ./python, "
            f"or set {_ENVIRONMENT} to the library's path"
        ) from None
    found, wanted = library.listenkit_abi_version(), library.LISTENKIT_ABI_VERSION
    if found != wanted:
        raise ImportError(
            f"{path} has ABI version {found}, this package was built for {wanted}; "
            f"install the two together, or set {_ENVIRONMENT} to a library that fits"
        )
    return library


lib: Any = _load()

NULL: Any = ffi.NULL
EMPTY: int = lib.LISTENKIT_EMPTY
UNKNOWN: int = 2**64 - 1
NONE_MS: int = 2**32 - 1
UNKNOWN_32: int = 2**32 - 1

_ERRORS: dict[int, type[errors.ListenkitError]] = {
    lib.LISTENKIT_CONFIG: errors.ConfigError,
    lib.LISTENKIT_VALUE: errors.ConfigError,
    lib.LISTENKIT_INPUT: errors.InputError,
    lib.LISTENKIT_TOO_LONG: errors.InputError,
    lib.LISTENKIT_MISALIGNED: errors.InputError,
    lib.LISTENKIT_UTF8: errors.InputError,
    lib.LISTENKIT_OUTPUTS_WAITING: errors.InputError,
    lib.LISTENKIT_OVERWRITTEN: errors.OverwrittenError,
    lib.LISTENKIT_MODEL: errors.ModelError,
    lib.LISTENKIT_NO_MODEL: errors.NoModelError,
    lib.LISTENKIT_IO: errors.ReadError,
    lib.LISTENKIT_BUSY: errors.BusyError,
    lib.LISTENKIT_POISONED: errors.PoisonedError,
    lib.LISTENKIT_PANICKED: errors.PoisonedError,
}


def text(pointer: Any) -> str:
    """A C string of the library."""
    return "" if pointer == NULL else str(ffi.string(pointer).decode("utf-8", "replace"))


def version() -> str:
    """The version of the library."""
    return text(lib.listenkit_version())


def error(status: int, detail: str = "") -> errors.ListenkitError:
    """The exception for a status."""
    message = detail or text(lib.listenkit_status_str(status))
    return _ERRORS.get(status, errors.ListenkitError)(message, status)


def names(prefix: str) -> dict[int, str]:
    """The constants that begin so, as names in lower case: `LISTENKIT_END_SILENCE` is "silence"."""
    return {getattr(lib, name): name[len(prefix) :].lower() for name in dir(lib) if name.startswith(prefix)}


def make(kind: str, *arguments: Any) -> Any:
    """A new handle of the library, freed when its last reference is gone."""
    out, detail = ffi.new(f"listenkit_{kind} **"), ffi.new("listenkit_detail *")
    status = getattr(lib, f"listenkit_{kind}_new")(*arguments, out, detail)
    if status != 0:
        raise error(status, text(detail.text))
    return ffi.gc(out[0], getattr(lib, f"listenkit_{kind}_free"))


def sized(kind: str) -> Any:
    """A new struct that knows its size."""
    struct = ffi.new(f"{kind} *")
    struct.struct_size = ffi.sizeof(kind)
    return struct


class Handle:
    """An object of the library: closed at most once, a context manager, never used after."""

    __slots__ = ("__weakref__", "_pointer")

    _kind = ""

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer

    def pointer(self) -> Any:
        """The library's own pointer; as long as the result is held, it is not freed."""
        pointer = getattr(self, "_pointer", None)
        if pointer is None:
            raise errors.ClosedError(f"this {type(self).__name__} has been closed; make a new one")
        return pointer

    def call(self, function: Any, *arguments: Any) -> int:
        """Calls a function of the library on this handle; an error status becomes an exception."""
        pointer = self.pointer()
        status: int = function(pointer, *arguments)
        if status < 0:
            raise self.failure(pointer, status)
        return status

    def value(self, function: Any, kind: str = "size_t *", *arguments: Any) -> Any:
        """What a function writes into its last argument."""
        out = ffi.new(kind)
        self.call(function, *arguments, out)
        return out[0]

    def failure(self, pointer: Any, status: int) -> errors.ListenkitError:
        """The exception for a status of this handle, with the handle's own words where it has some."""
        detail = getattr(lib, f"listenkit_{self._kind}_detail", None)
        # Of a handle that another thread is inside, the text is that thread's.
        if detail is None or status == lib.LISTENKIT_BUSY:
            return error(status)
        return error(status, text(detail(pointer)))

    def close(self) -> None:
        """Frees what it holds, when no call is running any more. More than once does nothing."""
        self._pointer = None

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return getattr(self, "_pointer", None) is None

    def __enter__(self) -> Self:
        self.pointer()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled: it holds memory of the native library; make one in each process"
        )
