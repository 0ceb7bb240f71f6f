"""Language tags as keys of thresholds."""

from __future__ import annotations

from collections.abc import Mapping

# What recognisers say when they do not know the language: the last known one stands.
_UNKNOWN = frozenset({"", "multi", "mul", "und", "unknown", "auto"})


def tag(language: str) -> str:
    """A BCP 47 tag in one spelling: ``en_GB`` is ``en-gb``."""
    return str(language).strip().lower().replace("_", "-")


def known(language: str | None, last: str | None) -> str | None:
    """The language that holds after a recogniser has named one."""
    if language is None:
        return None
    return last if tag(language) in _UNKNOWN else tag(language)


def checked(thresholds: Mapping[str, float]) -> dict[str, float]:
    """Thresholds by tag, each from 0 to 1.

    Raises:
        ValueError: one is not.
    """
    for language, threshold in thresholds.items():
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"the threshold of {language!r} is {threshold}, not between 0 and 1")
    return {tag(language): threshold for language, threshold in thresholds.items()}


def threshold_of(language: str | None, thresholds: Mapping[str, float], default: float) -> float:
    """That of ``en-gb``, or else of ``en``, or else the default."""
    if language is None:
        return default
    return thresholds.get(language, thresholds.get(language.partition("-")[0], default))
