"""The field view: address, bytes in hexadecimal and as text, and the tree, side by side."""

from __future__ import annotations

from pybootcfg.errors import printable
from pybootcfg.tracing import Field
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from pybootcfg.cli.display import Page

HEX_BYTES = 8  #: bytes of a field that its line shows; twice as many where the terminal is wide
WIDE = 132  #: columns from which on it is
HEX_VALUE = 32  #: bytes at most of a longer value that is no text
FEW = 4  #: bytes of it at least
WHOLE = 16  #: bytes that are always shown, such as a UUID
_COLOURS = 6  #: that follow one another


def show(page: Page, root: Field, *, depth: int, array: int) -> None:
    """Print a structure: a head line, then its fields, folded below `depth` and after `array` elements."""
    where = f"  at {root.offset:#x}, {root.size} bytes" if root.size else ""
    if root.decoded:
        where += ", decoded"
    if root.children:
        page.line((printable(root.name), "head"), where, *_described(root))
        _Rows(page, depth, array).below(root, 1)
    else:
        page.line((printable(root.name), "head"), where)
        _Rows(page, depth, array).row(root, 1, root.name.rpartition(".")[2])


def _described(root: Field) -> list[str | tuple[str, str]]:
    described = [part for part in describe(root) if root.value is None or root.symbol]
    return ["  ", *described] if described and not root.error else []


class _Rows:
    def __init__(self, page: Page, depth: int, array: int) -> None:
        self.page = page
        self.depth = depth
        self.array = array
        self.width = HEX_BYTES * (2 if page.columns >= WIDE else 1)
        self.count = 0

    def below(self, field: Field, level: int) -> None:
        """Print what is below a field."""
        if field.error and field.children:
            self._note(level, (field.error, "bad"))
        if not field.children:
            return
        if self.depth and level > self.depth:
            self._note(level, (f"{len(field.children)} fields (--depth)", "offset"))
            return
        elements = 0
        for child in field.children:
            if child.name.startswith("["):
                elements += 1
                if self.array and elements > self.array:
                    continue
            self.row(child, level)
            self.below(child, level + 1)
        if self.array and elements > self.array:
            self._note(level, (f"{elements - self.array} more (--array)", "offset"))

    def row(self, field: Field, level: int, name: str = "") -> None:
        """Print one field on one line, under another name where one is given."""
        colour = f"field{self.count % _COLOURS}"
        self.count += 1
        shown = field.raw[: self.width]
        hexadecimal = shown.hex(" ") + ("…" if len(field.raw) > self.width else "")
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in shown)
        address = f"{field.offset:#010x}" if field.size or field.raw or field.children else ""
        taken = 13 + 4 * self.width + 2 * level + len(name or field.name) + 2
        described = describe(field, self.page.columns - taken)
        self.page.line(
            (f"{address:<10}", "offset"),
            "|",
            (f"{hexadecimal:<{3 * self.width}}", colour),
            "|",
            (f"{text:<{self.width}}", colour),
            "|",
            "  " * level,
            (printable(name or field.name), colour),
            ": " if described else "",
            *described,
        )

    def _note(self, level: int, text: tuple[str, str]) -> None:
        self.page.line(" " * (14 + 4 * self.width - 1), "  " * level, text)


def describe(field: Field, room: int = 0) -> list[str | tuple[str, str]]:
    """Return what a field holds: its symbol and number, its text, its unit, whether it is valid.

    `room` is how many characters bytes in hexadecimal may take; few are shown in any case.
    """
    pieces: list[str | tuple[str, str]] = []
    if isinstance(field.value, bytes):
        pieces.append((printable(field.symbol) if field.symbol else _bytes(field.value, room), "value"))
    elif field.symbol is not None:
        pieces.append((printable(field.symbol) or "none", "value"))
        if field.raw and isinstance(field.value, int):
            pieces.append(f" ({field.value:#x})")
    elif isinstance(field.value, int) and field.valid is not None:
        pieces.append((f"{field.value:#x}", "value"))  # a magic number
    elif field.value is not None:
        pieces.append((printable(str(field.value)), "value"))
    if field.unit and field.value is not None:
        pieces.append((f" {field.unit}", "unit"))
    if field.valid is not None:
        pieces.append(" (valid)" if field.valid else (f" (invalid: {field.error})", "bad"))
    elif field.error and not field.children:
        pieces.append((field.error, "bad"))
    return pieces


def _bytes(value: bytes, room: int) -> str:
    """Return bytes as text where they are text up to zeros, else the first of them in hexadecimal."""
    stripped = value.rstrip(b"\0")
    if not stripped:
        return "zeros"
    if all(0x20 <= byte < 0x7F for byte in stripped):
        return f'"{stripped.decode("ascii").rstrip()}"'
    if len(value) <= max(WHOLE, room // 2):
        return value.hex()
    rest = f"… ({len(value)} bytes)"
    count = min(HEX_VALUE, max(FEW, (room - len(rest)) // 2))
    return value[:count].hex() + rest
