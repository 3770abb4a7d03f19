"""What is typed: bytes from a terminal to keys and characters.

ECMA-48 control sequences as vt100, xterm, tmux, rxvt and the Linux console send them.
"""

from __future__ import annotations

import enum


class Key(enum.Enum):
    """A key that is no character."""

    UP = enum.auto()
    DOWN = enum.auto()
    LEFT = enum.auto()
    RIGHT = enum.auto()
    HOME = enum.auto()
    END = enum.auto()
    PAGE_UP = enum.auto()
    PAGE_DOWN = enum.auto()
    DELETE = enum.auto()
    BACKSPACE = enum.auto()
    ENTER = enum.auto()
    TAB = enum.auto()
    ESCAPE = enum.auto()
    BOOT = enum.auto()  #: Ctrl-X or F10
    DELETE_TO_END = enum.auto()
    DELETE_TO_START = enum.auto()
    DELETE_WORD = enum.auto()
    REDRAW = enum.auto()
    CANCEL = enum.auto()  #: Ctrl-C, which comes as a byte: the terminal is raw
    RESIZE = enum.auto()  #: no key: the terminal has another size now


Typed = Key | str  #: a key, or one character

_ESCAPE = 0x1B
_CONTROL = {
    "A": Key.HOME,
    "B": Key.LEFT,
    "C": Key.CANCEL,
    "D": Key.DELETE,
    "E": Key.END,
    "F": Key.RIGHT,
    "G": Key.ESCAPE,
    "H": Key.BACKSPACE,
    "I": Key.TAB,
    "J": Key.ENTER,
    "K": Key.DELETE_TO_END,
    "L": Key.REDRAW,
    "M": Key.ENTER,
    "N": Key.DOWN,
    "P": Key.UP,
    "U": Key.DELETE_TO_START,
    "W": Key.DELETE_WORD,
    "X": Key.BOOT,
}
_CONTROL_BYTES = {ord(letter) & 0x1F: key for letter, key in _CONTROL.items()} | {0x7F: Key.BACKSPACE}

_FINAL = {  # CSI or SS3, then one of these
    "A": Key.UP,
    "B": Key.DOWN,
    "C": Key.RIGHT,
    "D": Key.LEFT,
    "F": Key.END,
    "H": Key.HOME,
    "M": Key.ENTER,  # of the numeric keypad
}
_NUMBERED = {  # CSI, the number, `~`
    "1": Key.HOME,
    "3": Key.DELETE,
    "4": Key.END,
    "5": Key.PAGE_UP,
    "6": Key.PAGE_DOWN,
    "7": Key.HOME,
    "8": Key.END,
    "21": Key.BOOT,  # F10
}
_LONGEST = 32  # bytes of a control sequence; what is longer is not one


class KeyReader:
    """Cuts what comes in into keys.  A sequence may come in pieces."""

    def __init__(self) -> None:
        self._pending = b""

    @property
    def unfinished(self) -> bool:
        """Whether bytes wait that could be the beginning of a key."""
        return bool(self._pending)

    def feed(self, data: bytes) -> None:
        """Take bytes from the terminal."""
        self._pending += data

    def next(self, *, final: bool = False) -> Typed | None:
        """Return the next key; None when there is none, or not all of it unless `final`."""
        while self._pending:
            length, typed = self._first(final)
            if not length:
                return None
            self._pending = self._pending[length:]
            if typed is not None:
                return typed
        return None

    def _first(self, final: bool) -> tuple[int, Typed | None]:
        """Return how many bytes the first key takes (0: not all there), and the key unless unknown."""
        first = self._pending[0]
        if first == _ESCAPE:
            return self._sequence(final)
        if first < 0x20 or first == 0x7F:
            return 1, _CONTROL_BYTES.get(first)
        return self._character(final)

    def _sequence(self, final: bool) -> tuple[int, Typed | None]:
        if len(self._pending) == 1 or (self._pending in (b"\x1b[", b"\x1bO") and not final):
            return (1, Key.ESCAPE) if final else (0, None)
        kind = chr(self._pending[1])
        if kind == "O" and len(self._pending) > 2:
            return 3, _FINAL.get(chr(self._pending[2]))
        if kind != "[":
            return 1, Key.ESCAPE  # typed by hand, the next key after it
        for position, byte in enumerate(self._pending[2:_LONGEST], 2):
            if 0x40 <= byte <= 0x7E:
                number = self._pending[2:position].decode("ascii").partition(";")[0]
                key = _NUMBERED.get(number) if byte == ord("~") else _FINAL.get(chr(byte))
                return position + 1, key
            if not 0x20 <= byte <= 0x3F:
                return position, None  # another key begins inside the sequence
        return (len(self._pending), None) if final or len(self._pending) >= _LONGEST else (0, None)

    def _character(self, final: bool) -> tuple[int, Typed | None]:
        first = self._pending[0]
        length = 1 if first < 0xC0 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        if len(self._pending) < length and not final:
            return 0, None
        try:
            char = self._pending[:length].decode("utf-8")
        except UnicodeDecodeError:
            # Not UTF-8: the byte itself is meant, as in the guest's own file names.
            length, char = 1, self._pending[:1].decode("utf-8", "surrogateescape")
        return length, char if char.isprintable() or "\udc80" <= char <= "\udcff" else None
