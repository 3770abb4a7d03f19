"""The forms in which a result leaves: sxp, simple, simple0 and JSON.

The only place that serialises, so that guest text cannot forge a record (XSA-198): a value that a
form cannot hold is refused, never bent into something else.
"""

from __future__ import annotations

from pybootcfg.errors import BootcfgError
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Any

#: libxl skips, without an error, records of 2 * PATH_MAX bytes and more (libxl_bootloader.c)
LIBXL_RECORD = 2 * 4096 - 1

FORMATS = ("sxp", "simple", "simple0", "json")


class Answer(NamedTuple):
    """What pygrub tells the toolstack: host paths of kernel and ramdisk, and the command line.

    Each is None where there is none; the record is then left out.
    """

    kernel: str | None
    ramdisk: str | None
    args: str | None

    def records(self) -> list[tuple[str, bytes]]:
        """Return the records that are there, as bytes, in the order of all forms."""
        return [
            (name, value.encode("utf-8", "surrogateescape"))
            for name, value in self._asdict().items()
            if value is not None
        ]


def format_answer(answer: Answer, form: str) -> bytes:
    """Return the answer in one of FORMATS; raise BootcfgError when that form cannot hold it."""
    if form == "sxp":
        return _sxp(answer)
    if form == "json":
        return dump_json({"schema": 1, **answer._asdict()})
    return _simple(answer, b"\n" if form == "simple" else b"\0")


def dump_json(value: Any) -> bytes:
    """Return a JSON document: ASCII only, so that undecodable names survive as escapes; ends in a newline."""
    import json

    return json.dumps(value, ensure_ascii=True, separators=(", ", ": ")).encode("ascii") + b"\n"


def _simple(answer: Answer, end: bytes) -> bytes:
    out = b""
    for name, value in answer.records():
        if end in value or b"\0" in value:
            bad = "a newline" if end in value and end == b"\n" else "a NUL byte"
            raise BootcfgError(f"the {name} holds {bad}, which this output format cannot represent")
        record = name.encode() + b" " + value
        if end == b"\0" and len(record) > LIBXL_RECORD:
            raise BootcfgError(
                f"the {name} is {len(value)} bytes long; libxl reads at most {LIBXL_RECORD - len(name) - 1}"
            )
        out += record + end
    return out + end


def _sxp(answer: Answer) -> bytes:
    items = b"".join(
        b"(" + name.encode() + b" " + _quote(name, value) + b")" for name, value in answer.records()
    )
    return b"linux " + items


_ESCAPES = {0x5C: b"\\\\", 0x0A: b"\\n", 0x0D: b"\\r", 0x09: b"\\t"}


def _quote(name: str, value: bytes) -> bytes:
    """Quote as Python's repr quotes ASCII text; other bytes stand as they are, as xend's reader wants."""
    if b"\0" in value:
        raise BootcfgError(f"the {name} holds a NUL byte, which this output format cannot represent")
    quote = b'"' if b"'" in value and b'"' not in value else b"'"
    out = bytearray(quote)
    for byte in value:
        if byte in _ESCAPES:
            out += _ESCAPES[byte]
        elif byte == ord(quote):
            out += b"\\" + quote
        elif byte < 0x20 or byte == 0x7F:
            out += b"\\x%02x" % byte
        else:
            out.append(byte)
    return bytes(out + quote)
