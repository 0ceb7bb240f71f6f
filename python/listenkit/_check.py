"""Values from outside, checked before they become C integers."""

from __future__ import annotations

from typing import Any

from .errors import ConfigError, InputError, InputTypeError, ListenkitError


def setting(name: str, value: Any, most: int = 2**32 - 1) -> int:
    """A whole number of a setting."""
    return _whole(name, value, most, ConfigError)


def count(name: str, value: Any, most: int = 2**64 - 1) -> int:
    """A whole number of an input: a position, an amount, a number of something."""
    return _whole(name, value, most, InputError)


def number(name: str, value: Any) -> float:
    """A number of an input, such as a probability."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} is {value!r}; use a number") from None


def text(name: str, value: Any) -> bytes:
    """Words, in UTF-8."""
    if not isinstance(value, str):
        raise InputTypeError(f"{name} is a {type(value).__name__}; use str")
    return value.encode("utf-8", "replace")


def _whole(name: str, value: Any, most: int, error: type[ListenkitError]) -> int:
    try:
        number = int(value.__index__())
    except AttributeError:
        raise error(f"{name} is {value!r}; use a whole number") from None
    if not 0 <= number <= most:
        raise error(f"{name} is {value!r}; use a whole number from 0 to {most}")
    return number
