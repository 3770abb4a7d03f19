"""What the confined reader may say to its parent, and the check of it.

A record is a line with its length, then JSON.  The reader may be in the hands of whoever made the
disk: nothing of a record is believed, and one that is not exactly as it should be is `Nonsense`.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from pybootcfg import limits
from pybootcfg.errors import BootcfgError, printable
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Any, NoReturn

#: characters of the line in front of a record: a decimal number and a newline
PREFIX = 12


class Nonsense(BootcfgError):
    """The reader of the disk answered something that it never says."""


class Ready(NamedTuple):
    """The reader has locked itself in, but for the layers that are `missing`, each with its reason."""

    missing: list[str]


class Copied(NamedTuple):
    """Kernel and ramdisk lie in their files: their sizes in bytes (None: no ramdisk), and the arguments."""

    kernel: int
    ramdisk: int | None
    args: str | None
    remarks: list[str]


class Named(NamedTuple):
    """What would boot: paths in the guest, and the arguments."""

    kernel: str
    ramdisk: str | None
    args: str | None
    remarks: list[str]


class Listed(NamedTuple):
    """Text for people, line by line."""

    lines: list[str]
    remarks: list[str]


class Document(NamedTuple):
    """A document for programs, as `pybootcfg entries --json` prints it."""

    value: dict[str, Any]
    remarks: list[str]


class Failed(NamedTuple):
    """Nothing boots: why, in one line, and what else there is to say."""

    why: str
    remarks: list[str]


_Check = Callable[[object], bool]
Record = Ready | Copied | Named | Listed | Document | Failed
_KINDS: dict[str, type[Record]] = {
    record.__name__.lower(): record for record in (Ready, Copied, Named, Listed, Document, Failed)
}


def pack(record: Record, limit: limits.Limit = limits.ANSWER_SIZE) -> bytes:
    """Return a record as it goes through the pipe; raise LimitExceeded when it is over the limit."""
    fields = record._asdict()
    if "remarks" in fields:
        fields["remarks"] = [_line(remark) for remark in fields["remarks"][: limits.REMARKS.value]]
    if "why" in fields:
        fields["why"] = _line(fields["why"])
    body = json.dumps({"kind": type(record).__name__.lower(), **fields}, ensure_ascii=True).encode("ascii")
    return b"%*d\n" % (PREFIX - 1, limit.check(len(body))) + body


def _line(text: str) -> str:
    return printable(text[: limits.REMARK_LENGTH.value])


def length(prefix: bytes, limit: limits.Limit) -> int:
    """Return the length that the line in front of a record gives; raise Nonsense when it gives none."""
    digits = prefix[:-1].lstrip(b" ")
    if not (len(prefix) == PREFIX and prefix.endswith(b"\n") and digits.isdigit()):
        _refuse("no length")
    if int(digits) > limit.value:
        _refuse(f"{int(digits)} bytes, which is over the limit of {limit.value}")
    return int(digits)


def unpack(body: bytes) -> Record:
    """Return the record, every field of it checked; raise Nonsense when one is not as it should be."""
    try:
        fields = json.loads(body.decode("ascii"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        _refuse("no JSON")
    if not isinstance(fields, dict):
        _refuse("no object")
    kind = fields.pop("kind", None)
    record = _KINDS.get(kind) if isinstance(kind, str) else None
    if record is None or fields.keys() != set(record._fields):
        _refuse("other fields than there are")
    for name, value in fields.items():
        if not _CHECKS[record][name](value):
            _refuse(f"a wrong {name}")
    if len(fields.get("args") or "") > limits.ARGS_LENGTH.value:
        _refuse("too many args")
    if len(fields.get("remarks", ())) > limits.REMARKS.value:
        _refuse("too many remarks")
    return record(**fields)


def _refuse(what: str) -> NoReturn:
    raise Nonsense(f"the reader of the disk answered nonsense: {what}")


def _is_text(value: object) -> bool:
    """Whether a value is text that turns into bytes, and those into a C string."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _is_size(value: object) -> bool:
    return type(value) is int and 0 < value < 1 << 63


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_document(value: object) -> bool:
    return isinstance(value, dict) and value.get("schema") == 1


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


#: what each field of a record must be
_CHECKS: dict[type[Record], dict[str, _Check]] = {
    Ready: {"missing": _are_texts},
    Copied: {
        "kernel": _is_size,
        "ramdisk": _or_none(_is_size),
        "args": _or_none(_is_text),
        "remarks": _are_texts,
    },
    Named: {
        "kernel": _is_text,
        "ramdisk": _or_none(_is_text),
        "args": _or_none(_is_text),
        "remarks": _are_texts,
    },
    Listed: {"lines": _are_texts, "remarks": _are_texts},
    Document: {"value": _is_document, "remarks": _are_texts},
    Failed: {"why": _is_text, "remarks": _are_texts},
}
