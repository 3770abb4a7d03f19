"""A picture of the screen in characters, before it is drawn.

All text goes through `put`, which escapes it: nothing that a guest wrote reaches a terminal as a
control sequence, and nothing is written beyond its place.
"""

from __future__ import annotations

import enum
import unicodedata

from pybootcfg.errors import printable
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMBINED = 4  # combining characters kept on one cell


class Style(enum.Enum):
    """How a cell looks."""

    PLAIN = enum.auto()
    STRONG = enum.auto()
    SELECTED = enum.auto()
    LINE = enum.auto()  #: of the frame around the menu


class Line(enum.StrEnum):
    """The pieces of a frame, under the letters that the vt100's graphic set has for them."""

    TOP_LEFT = "l"
    TOP_RIGHT = "k"
    BOTTOM_LEFT = "m"
    BOTTOM_RIGHT = "j"
    ACROSS = "q"
    DOWN = "x"


class Size(NamedTuple):
    """The size of a terminal in characters."""

    rows: int
    columns: int


class Cell(NamedTuple):
    """One place on the screen; the right half of a wide character is an empty string."""

    text: str
    style: Style


BLANK = Cell(" ", Style.PLAIN)


def columns_of(char: str) -> int:
    """Return how many columns a printable character takes: 0, 1 or 2 (Unicode Annex 11)."""
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def width_of(text: str) -> int:
    """Return how many columns escaped text takes."""
    return len(text) if text.isascii() else sum(map(columns_of, text))


def take(text: str, width: int) -> str:
    """Return as much of escaped text as fits into `width` columns."""
    if text.isascii():
        return text[:width]
    used = 0
    for position, char in enumerate(text):
        used += columns_of(char)
        if used > width:
            return text[:position]
    return text


class Frame:
    """Rows of cells.  What lies outside is not drawn, so that any size will do."""

    def __init__(self, size: Size, *, utf8: bool = True) -> None:
        self.size = size
        self.utf8 = utf8
        self.rows = [[BLANK] * size.columns for _ in range(size.rows)]
        self.cursor: tuple[int, int] | None = None  #: row and column; None hides it

    def shown(self, text: str) -> str:
        """Return text as it can be shown: escaped, and in ASCII where the terminal has no more."""
        text = printable(text)
        return text if self.utf8 else text.encode("ascii", "backslashreplace").decode("ascii")

    def put(
        self, row: int, column: int, text: str, width: int | None = None, style: Style = Style.PLAIN
    ) -> int:
        """Write text, cut to `width` columns with a mark; return the column behind it."""
        room = max(min(self.size.columns - column, self.size.columns if width is None else width), 0)
        if not 0 <= row < self.size.rows or not column >= 0:
            return column
        text = self.shown(text)
        if width_of(text) > room:
            mark = "…" if self.utf8 else "~"
            text = take(text, room - 1) + mark if room > 1 else take(text, room)
        for char in text:
            columns = columns_of(char)
            if not columns:
                self._combine(row, column, char)
                continue
            self.rows[row][column : column + columns] = [Cell(char, style), Cell("", style)][:columns]
            column += columns
        return column

    def _combine(self, row: int, column: int, char: str) -> None:
        base = column - 1
        if base > 0 and not self.rows[row][base].text:
            base -= 1
        if base < 0:
            return
        cell = self.rows[row][base]
        if cell.style is not Style.LINE and len(cell.text) <= _COMBINED:
            self.rows[row][base] = cell._replace(text=cell.text + char)

    def fill(self, row: int, column: int, width: int, style: Style) -> None:
        """Give blank cells a style."""
        if 0 <= row < self.size.rows:
            for place in range(max(column, 0), min(column + width, self.size.columns)):
                self.rows[row][place] = Cell(" ", style)

    def box(self, top: int, left: int, rows: int, columns: int) -> None:
        """Draw a frame, `rows` and `columns` being its outer size."""
        bottom, right = top + rows - 1, left + columns - 1
        for column in range(left + 1, right):
            self._line(top, column, Line.ACROSS)
            self._line(bottom, column, Line.ACROSS)
        for row in range(top + 1, bottom):
            self._line(row, left, Line.DOWN)
            self._line(row, right, Line.DOWN)
        self._line(top, left, Line.TOP_LEFT)
        self._line(top, right, Line.TOP_RIGHT)
        self._line(bottom, left, Line.BOTTOM_LEFT)
        self._line(bottom, right, Line.BOTTOM_RIGHT)

    def _line(self, row: int, column: int, piece: Line) -> None:
        if 0 <= row < self.size.rows and 0 <= column < self.size.columns:
            self.rows[row][column] = Cell(piece.value, Style.LINE)

    def runs(self, row: int) -> Iterator[tuple[Style, str]]:
        """Yield a row as pieces of one style each, without the blanks at its end."""
        cells = self.rows[row]
        end = len(cells)
        while end and cells[end - 1] == BLANK:
            end -= 1
        text, style = "", Style.PLAIN
        for cell in cells[:end]:
            if cell.style is not style:
                if text:
                    yield style, text
                text, style = "", cell.style
            text += cell.text
        if text:
            yield style, text

    def text(self) -> str:
        """Return the picture as plain text, the frame in ASCII, what is selected between > and <."""
        lines = []
        for row in range(self.size.rows):
            line = ""
            for style, text in self.runs(row):
                if style is Style.LINE:
                    text = "".join({"q": "-", "x": "|"}.get(piece, "+") for piece in text)
                line += f">{text.strip()}<" if style is Style.SELECTED else text
            lines.append(line)
        return "\n".join(lines)
