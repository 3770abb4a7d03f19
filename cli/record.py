"""What the confined reader may say to its parent, and the check of it.

A record is a line with its length, then its kind and its fields, with NUL bytes between them.  The reader
may be in the hands of whoever made the disk: nothing of a record is believed, and one that is not exactly
as it should be is `Nonsense`.
"""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.errors import BootcfgError, printable
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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


class Unprepared(NamedTuple):
    """The guest needs a module that few guests need; it has to be there before the reader is locked in."""

    module: str


Record = Ready | Copied | Named | Listed | Document | Failed | Unprepared


def pack(record: Record, limit: limits.Limit = limits.ANSWER_SIZE) -> bytes:
    """Return a record as it goes through the pipe.

    Raises LimitExceeded when it is over the limit, BootcfgError for text that it cannot hold.
    """
    parts = [type(record).__name__]
    for name, value in record._asdict().items():
        if name == "remarks":
            value = [_line(remark) for remark in value[: limits.REMARKS.value]]
        elif name == "lines":
            value = map(printable, value)
        elif name == "why":
            value = _line(value)
        elif name == "value":
            import json

            value = json.dumps(value)
        parts += _written(value)
    if any("\0" in part for part in parts):
        raise BootcfgError("what the guest boots holds a NUL byte, which no answer can")
    try:
        body = "\0".join(parts).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BootcfgError("what the guest boots holds characters that are no bytes") from None
    return b"%*d\n" % (PREFIX - 1, limit.check(len(body))) + body


def _written(value: Any) -> list[str]:
    if value is None:
        return ["-"]
    if isinstance(value, str | int):
        return [f"+{value}"]
    items = list(value)
    return [f"+{len(items)}", *items]


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
    # Undecodable bytes stand as surrogates, so that all text here turns back into the bytes it came from.
    parts = iter(body.decode("utf-8", "surrogateescape").split("\0"))
    kind = next(parts)
    if kind not in _KINDS:
        _refuse("no record that there is")
    record, fields = _KINDS[kind]
    said: Record = record(*[field(parts) for field in fields])
    if next(parts, None) is not None:
        _refuse("more fields than there are")
    return said


def _refuse(what: str) -> NoReturn:
    raise Nonsense(f"the reader of the disk answered nonsense: {what}")


def _part(parts: Iterator[str]) -> str:
    part = next(parts, None)
    if part is None:
        _refuse("fewer fields than there are")
    return part


def _optional_text(parts: Iterator[str]) -> str | None:
    part = _part(parts)
    if part == "-":
        return None
    if not part.startswith("+"):
        _refuse("a field that neither is there nor is not")
    return part[1:]


def _text(parts: Iterator[str]) -> str:
    text = _optional_text(parts)
    if text is None:
        _refuse("a field that is not there")
    return text


def _args(parts: Iterator[str]) -> str | None:
    text = _optional_text(parts)
    if len(text or "") > limits.ARGS_LENGTH.value:
        _refuse("too many args")
    return text


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        _refuse("a number that is none")
    return int(text)


def _optional_size(parts: Iterator[str]) -> int | None:
    text = _optional_text(parts)
    if text is None:
        return None
    size = _number(text)
    if not 0 < size < 1 << 63:
        _refuse("a size that no file has")
    return size


def _size(parts: Iterator[str]) -> int:
    size = _optional_size(parts)
    if size is None:
        _refuse("a size that is not there")
    return size


def _texts(parts: Iterator[str]) -> list[str]:
    return [_part(parts) for _ in range(_number(_text(parts)))]


def _remarks(parts: Iterator[str]) -> list[str]:
    remarks = _texts(parts)
    if len(remarks) > limits.REMARKS.value:
        _refuse("too many remarks")
    return remarks


def _document(parts: Iterator[str]) -> dict[str, Any]:
    import json

    try:
        value = json.loads(_text(parts), parse_constant=_refuse)
    except (ValueError, RecursionError):
        _refuse("no JSON")
    if not (isinstance(value, dict) and value.get("schema") == 1):
        _refuse("no document")
    return value


#: for the name of each record, itself and what reads its fields
_KINDS: dict[str, tuple[Any, tuple[Callable[[Iterator[str]], Any], ...]]] = {
    "Ready": (Ready, (_texts,)),
    "Copied": (Copied, (_size, _optional_size, _args, _remarks)),
    "Named": (Named, (_text, _optional_text, _args, _remarks)),
    "Listed": (Listed, (_texts, _remarks)),
    "Document": (Document, (_document, _remarks)),
    "Failed": (Failed, (_text, _remarks)),
    "Unprepared": (Unprepared, (_text,)),
}
