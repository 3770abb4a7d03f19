"""Trees of fields as JSON, as inspect.schema.json describes it."""

from __future__ import annotations

import json

from pybootcfg.tracing import Field
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

SCHEMA = 1  #: version of the document; it grows with every change that a reader could stumble over


def stream(fields: Iterable[Field]) -> Iterator[str]:
    """Yield the document piece by piece, so that it never is in memory as a whole."""
    yield f'{{"schema": {SCHEMA}, "structures": ['
    for index, field in enumerate(fields):
        yield ("," if index else "") + "\n" + dumped(node(field))
    yield "\n]}\n"


def line(field: Field) -> str:
    """Return one node as a line of its own."""
    return dumped(node(field)) + "\n"


def dumped(value: Any) -> str:
    """Return JSON on one line; names that are not UTF-8 become escapes."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def node(field: Field) -> dict[str, Any]:
    """Return a field and all below it; offsets and sizes are in bytes."""
    found = {
        "name": field.name,
        "type": field.type,
        "offset": field.offset,
        "size": field.size,
        "raw": field.raw.hex(),
        "value": _value(field.value),
        "symbol": field.symbol,
        "valid": field.valid,
        "error": field.error,
        "children": [node(child) for child in field.children],
    }
    if field.unit:
        found["unit"] = field.unit
    if field.decoded:
        found["decoded"] = True
    return found


def _value(value: Any) -> int | str | None:
    """Return a value as JSON holds it exactly: integers of 2^53 and more as strings, bytes as hex."""
    if isinstance(value, int):
        return int(value) if abs(value) < 1 << 53 else str(int(value))
    if isinstance(value, bytes):
        return value.hex()
    return None if value is None else str(value)
