"""Frozen dataclasses with slots that are quick to define.

`dataclass(frozen=True, slots=True)` compiles seven functions for each class: for the two dozen here half of the time that the package took to
import. Only `__init__` differs between them; the others stand in [`Record`] once. `fields`, `replace`, `asdict` and `match` work as for any
dataclass.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda function: function


class Record:
    """What all records do."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _values(self, "compare") == _values(other, "compare")

    def __hash__(self) -> int:
        return hash((type(self), *_values(self, "compare")))

    def __repr__(self) -> str:
        shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> Any:
        return type(self), tuple(_values(self, "init"))


def _values(record: Any, which: str) -> list[object]:
    return [getattr(record, each.name) for each in fields(record) if getattr(each, which)]


_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[_Class]) -> type[_Class]:
    """Makes a subclass of [`Record`] with annotations a frozen dataclass with slots."""
    made: Any = dataclass(init=False, eq=False, repr=False, slots=True)(cls)
    scope: dict[str, Any] = {}
    arguments, lines = [], []
    for each in fields(made):
        name = each.name
        # By the slot's own setter, because `__setattr__` refuses.
        scope[f"_set_{name}"] = getattr(made, name).__set__
        scope[f"_default_{name}"] = each.default
        arguments.append(name if each.default is MISSING else f"{name}=_default_{name}")
        lines.append(f" _set_{name}(self, {name})")
    exec("def __init__(self, " + ", ".join(arguments) + "):\n" + "\n".join(lines), scope)
    made.__init__ = scope["__init__"]
    made.__init__.__qualname__ = f"{made.__qualname__}.__init__"
    result: type[_Class] = made
    return result
