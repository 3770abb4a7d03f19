"""Schemas whose size depends on their contents: parsed by Construct itself, to the same kind of values.

`resolve` gives a schema's native-order fields a byte order and caps the counts that come from the
disk; `plain` turns what Construct parsed into what a fixed-size schema decodes to: integers for
enums and flags, tuples for arrays.
"""

from __future__ import annotations

import copy

import construct as c

from pybootcfg import limits
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

#: what an expression of a schema may raise over values that make no sense, besides Construct's own
NONSENSE = (ArithmeticError, LookupError, ValueError, RecursionError)

#: keys that Construct adds to a record for itself
_INTERNAL = ("_io", "_flagsenum", "_number")


class _Flags(c.FlagsEnum):  # type: ignore[misc]  # Construct has no types
    """A FlagsEnum that remembers its number, unknown bits included."""

    def _decode(self, obj: int, context: Any, path: str) -> Any:
        flags = super()._decode(obj, context, path)
        flags["_number"] = obj
        return flags


def resolve(schema: Any, order: str) -> Any:
    """Return a copy of `schema` with `order` for its native fields and a cap on its counts."""
    if isinstance(schema, c.FormatField):
        return c.FormatField(order, schema.fmtstr[1]) if schema.fmtstr[0] == "=" else schema
    if isinstance(schema, c.LazyBound):
        return c.LazyBound(lambda: resolve(schema.subconfunc(), order))
    if isinstance(schema, c.FlagsEnum):
        return _Flags(resolve(schema.subcon, order), **schema.flags)
    resolved = copy.copy(schema)
    for name, value in vars(schema).items():
        vars(resolved)[name] = _resolve_part(value, order)
    if isinstance(schema, c.Array) and callable(schema.count):
        resolved.count = lambda context: limits.ARRAY_ITEMS.check(schema.count(context), "array")
    return resolved


def _resolve_part(value: Any, order: str) -> Any:
    """Resolve the schemas that an attribute of a schema holds, by itself, in a list or in a table."""
    if isinstance(value, c.Construct):
        return resolve(value, order)
    if type(value) is list and any(isinstance(part, c.Construct) for part in value):
        return [_resolve_part(part, order) for part in value]
    if type(value) is dict and any(isinstance(part, c.Construct) for part in value.values()):
        return {key: _resolve_part(part, order) for key, part in value.items()}
    return value


def plain(value: Any) -> Any:
    """Return what Construct parsed with enums and flags as integers and arrays as tuples.

    A record stays a Container, whose fields are attributes.
    """
    if isinstance(value, c.EnumIntegerString):
        return value.intvalue
    if isinstance(value, dict):
        if "_number" in value:
            return value["_number"]
        return c.Container({key: plain(part) for key, part in value.items() if key not in _INTERNAL})
    if isinstance(value, list):
        return tuple(plain(part) for part in value)
    if type(value) in (bool, int):
        return value
    return int(value) if isinstance(value, int) else value
