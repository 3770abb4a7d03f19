"""`pybootcfg inspect`: the parsed structures, field by field, with their addresses."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pybootcfg import places
from pybootcfg.cli.commands import open_guest
from pybootcfg.cli.display import Page
from pybootcfg.errors import ImageError, printable
from pybootcfg.places import PlacedStructure
from pybootcfg.results import dump_json
from pybootcfg.tracing import Field

HEX_BYTES = 8  #: bytes of a field that its line shows
HEX_VALUE = 32  #: bytes of a value that is no text


def inspect(options: argparse.Namespace) -> int:
    """Print the structures below a place; without a place the tables and superblocks."""
    guest = open_guest(options)
    if options.place:
        chosen = places.find(guest, options.place)
    else:
        chosen = [s for s in places.structures(guest) if s.base == 0 or s.name.endswith("superblock")]
    traces = [(structure, structure.trace()) for structure in chosen]
    if options.json:
        document = {"schema": 1, "structures": [_node(structure, trace) for structure, trace in traces]}
        sys.stdout.write(dump_json(document).decode())
    else:
        page = Page(options)
        for structure, trace in traces:
            _print(page, structure, trace)
    unreadable = any(_unreadable(trace) for _, trace in traces)
    return ImageError.exit_status if unreadable else 0


def _unreadable(field: Field) -> bool:
    return field.error is not None or any(_unreadable(child) for child in field.children)


def _node(structure: PlacedStructure, trace: Field) -> dict[str, Any]:
    return {**_field(trace, structure.base), "name": structure.name}


def _field(field: Field, base: int) -> dict[str, Any]:
    return {
        "name": field.name,
        "type": field.type,
        "offset": base + field.offset,
        "size": field.size,
        "raw": field.raw.hex(),
        "value": _value(field.value),
        "symbol": field.symbol,
        "valid": field.valid,
        "error": field.error,
        "children": [_field(child, base) for child in field.children],
    }


def _value(value: Any) -> int | str | None:
    """Return a value as JSON holds it exactly: integers of 2^53 and more as strings, bytes as hex."""
    if isinstance(value, int):
        return int(value) if abs(value) < 1 << 53 else str(int(value))
    if isinstance(value, bytes):
        return value.hex()
    return None if value is None else str(value)


def _print(page: Page, structure: PlacedStructure, trace: Field) -> None:
    page.line((structure.name, "head"), f"  at {structure.base + structure.offset:#x}, {trace.size} bytes")
    _print_fields(page, trace, structure.base, 1)


def _print_fields(page: Page, field: Field, base: int, depth: int) -> None:
    if field.error and field.children:
        page.line(" " * 38, "  " * depth, (field.error, "bad"))
    for child in field.children:
        shown = child.raw[:HEX_BYTES]
        hexadecimal = shown.hex(" ") + ("…" if len(child.raw) > HEX_BYTES else "")
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in shown)
        page.line(
            (f"{base + child.offset:#010x}|", "offset"),
            f"{hexadecimal:<24}|{text:<8}|",
            "  " * depth,
            (child.name, "name"),
            ": " if child.value is not None or child.error else "",
            *_describe(child),
        )
        if child.children:
            _print_fields(page, child, base, depth + 1)


def _describe(field: Field) -> list[str | tuple[str, str]]:
    pieces: list[str | tuple[str, str]] = []
    if isinstance(field.value, bytes):
        pieces.append((printable(field.symbol) if field.symbol else _bytes(field.value), "value"))
    elif field.symbol is not None:
        pieces += [(field.symbol or "none", "value"), f" ({field.value:#x})"]
    elif isinstance(field.value, int) and field.valid is not None:
        pieces.append((f"{field.value:#x}", "value"))  # a magic number
    elif field.value is not None:
        pieces.append((str(field.value), "value"))
    if field.valid is not None:
        pieces.append(" (valid)" if field.valid else (f" (invalid: {field.error})", "bad"))
    elif field.error:
        pieces.append((field.error, "bad"))
    return pieces


def _bytes(value: bytes) -> str:
    """Return bytes as text where they are text up to zeros, else the first of them in hexadecimal."""
    stripped = value.rstrip(b"\0")
    if not stripped:
        return "zeros"
    if all(0x20 <= byte < 0x7F for byte in stripped):
        return f'"{stripped.decode("ascii").rstrip()}"'
    shown = value[:HEX_VALUE].hex()
    return shown + (f"… ({len(value)} bytes)" if len(value) > HEX_VALUE else "")
