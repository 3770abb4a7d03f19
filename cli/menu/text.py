"""Text that is being edited: one line, or the lines of an entry's commands."""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.cli.menu.frame import Frame, width_of
from pybootcfg.cli.menu.keys import Key, Typed
from pybootcfg.values import NamedTuple

_TAB = "    "


class Piece(NamedTuple):
    """A part of a line that fits into one row: where it begins in the line, and its characters as shown."""

    line: int
    start: int
    chars: list[str]


class TextArea:
    """Lines, and a cursor between their characters."""

    def __init__(self, text: str = "", *, multiline: bool = False, limit: limits.Limit = limits.MENU_LINE):
        self.lines = text.split("\n") if multiline else [text.replace("\n", " ")]
        self.multiline = multiline
        self.line = 0
        self.column = 0 if multiline else len(self.lines[0])
        self._limit = limit

    @property
    def text(self) -> str:
        """The whole text."""
        return "\n".join(self.lines)

    @property
    def before(self) -> str:
        """What stands left of the cursor in its line."""
        return self.lines[self.line][: self.column]

    @property
    def after(self) -> str:
        """What stands right of the cursor in its line."""
        return self.lines[self.line][self.column :]

    def press(self, typed: Typed) -> bool:
        """Act on a key or a character; return whether it meant anything here."""
        if isinstance(typed, str):
            self.insert(typed)
            return True
        action = _ACTIONS.get(typed)
        if action is None or (typed in _MULTILINE and not self.multiline):
            return False
        action(self)
        return True

    def insert(self, text: str) -> None:
        """Put text at the cursor; what would make the whole too long is left out."""
        room = self._limit.value - sum(len(line) + 1 for line in self.lines) + 1
        text = text[: max(room, 0)]
        self._set(self.before + text, self.after)

    def replace(self, start: int, text: str) -> None:
        """Replace what stands between `start` and the cursor, in the cursor's line."""
        after = self.after
        self._set(self.before[:start], after)
        self.insert(text)

    def _set(self, before: str, after: str) -> None:
        self.lines[self.line] = before + after
        self.column = len(before)

    def _break_line(self) -> None:
        before, after = self.before, self.after
        self.lines[self.line : self.line + 1] = [before, after]
        self.line, self.column = self.line + 1, 0

    def _backspace(self) -> None:
        if self.column:
            self._set(self.before[:-1], self.after)
        elif self.line:
            after = self.lines.pop(self.line)
            self.line -= 1
            self._set(self.lines[self.line], after)

    def _delete(self) -> None:
        if self.after:
            self._set(self.before, self.after[1:])
        elif self.line + 1 < len(self.lines):
            self._set(self.before, self.lines.pop(self.line + 1))

    def _delete_to_end(self) -> None:
        if self.after:
            self._set(self.before, "")
        else:
            self._delete()

    def _delete_to_start(self) -> None:
        self._set("", self.after)

    def _delete_word(self) -> None:
        kept = self.before.rstrip()
        self._set(kept[: kept.rfind(" ") + 1], self.after)

    def _left(self) -> None:
        if self.column:
            self.column -= 1
        elif self.line:
            self.line -= 1
            self.column = len(self.lines[self.line])

    def _right(self) -> None:
        if self.after:
            self.column += 1
        elif self.line + 1 < len(self.lines):
            self.line, self.column = self.line + 1, 0

    def _home(self) -> None:
        self.column = 0

    def _end(self) -> None:
        self.column = len(self.lines[self.line])

    def _up(self) -> None:
        self._to_line(self.line - 1)

    def _down(self) -> None:
        self._to_line(self.line + 1)

    def _to_line(self, line: int) -> None:
        self.line = min(max(line, 0), len(self.lines) - 1)
        self.column = min(self.column, len(self.lines[self.line]))

    def _page_up(self) -> None:
        self._to_line(0)

    def _page_down(self) -> None:
        self._to_line(len(self.lines) - 1)

    # --- how it is shown -------------------------------------------------------------------------

    def pieces(self, width: int, frame: Frame) -> tuple[list[Piece], int, int]:
        """Return the text cut into rows of `width` columns, and the cursor's row and column there."""
        rows: list[Piece] = []
        cursor = (0, 0)
        for number, line in enumerate(self.lines):
            piece, used = Piece(number, 0, []), 0
            rows.append(piece)
            for position, char in enumerate([*line, ""]):
                shown = _TAB if char == "\t" else frame.shown(char)
                columns = max(width_of(shown), 1)  # the cursor's own place behind the last one too
                if used + columns > width and position and piece.chars:
                    piece, used = Piece(number, position, []), 0
                    rows.append(piece)
                if (number, position) == (self.line, self.column):
                    cursor = (len(rows) - 1, used)
                piece.chars.append(shown)
                used += width_of(shown)
        return rows, *cursor

    def draw(self, frame: Frame, top: int, left: int, rows: int, columns: int) -> None:
        """Draw what is around the cursor, and the cursor."""
        pieces, row, column = self.pieces(max(columns, 1), frame)
        first = min(max(row - rows + 1, 0), max(len(pieces) - rows, 0))
        for place, piece in enumerate(pieces[first : first + rows]):
            position = left
            for shown in piece.chars:
                # Already escaped; put would cut a wide character that does not fit.
                position = frame.put(top + place, position, shown, left + columns - position)
        frame.cursor = (top + row - first, left + column)


_ACTIONS = {
    Key.ENTER: TextArea._break_line,
    Key.BACKSPACE: TextArea._backspace,
    Key.DELETE: TextArea._delete,
    Key.DELETE_TO_END: TextArea._delete_to_end,
    Key.DELETE_TO_START: TextArea._delete_to_start,
    Key.DELETE_WORD: TextArea._delete_word,
    Key.LEFT: TextArea._left,
    Key.RIGHT: TextArea._right,
    Key.HOME: TextArea._home,
    Key.END: TextArea._end,
    Key.UP: TextArea._up,
    Key.DOWN: TextArea._down,
    Key.PAGE_UP: TextArea._page_up,
    Key.PAGE_DOWN: TextArea._page_down,
}
_MULTILINE = (Key.ENTER, Key.UP, Key.DOWN, Key.PAGE_UP, Key.PAGE_DOWN)
