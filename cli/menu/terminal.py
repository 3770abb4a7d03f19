"""The terminal: raw mode, keys in, pictures out.

Drawn with the few control sequences that the vt100 and everything after it know, and not with curses:
curses reads the terminfo database when its screen begins, which a locked-down process cannot, and
libxl's pty is a vt100 in any case.  docs/menu.md says more.

While a menu is shown, the process needs of the kernel: read, write, poll, and on the terminal the
ioctls TCGETS, TCSETS and TIOCGWINSZ; rt_sigaction at the beginning and the end.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import time
import tty

from pybootcfg.cli.menu.frame import Frame, Line, Size, Style
from pybootcfg.cli.menu.keys import Key, KeyReader, Typed
from pybootcfg.errors import BootcfgError
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType
    from typing import Any, Self

_ESCAPE_WAIT = 0.25  # seconds in which the rest of a key's sequence has to come
_LONGEST_WAIT = 3600.0  # seconds; then the wait begins anew
_READ = 4096
_SMALLEST = Size(3, 16)
_VT100 = Size(24, 80)  #: as terminfo has it; libxl's pty has no size of its own

_RESET = "\x1b[m\x1b(B"
_STYLES = {Style.PLAIN: "\x1b[m", Style.STRONG: "\x1b[1m", Style.SELECTED: "\x1b[7m", Style.LINE: "\x1b[m"}
_BOX = {Line.TOP_LEFT: "┌", Line.TOP_RIGHT: "┐", Line.BOTTOM_LEFT: "└", Line.BOTTOM_RIGHT: "┘"}
_BOX_GLYPHS = str.maketrans({**{str(k): v for k, v in _BOX.items()}, "q": "─", "x": "│"})


class UnusableTerminal(BootcfgError):
    """No menu can be shown; the caller boots the default entry and says so."""


class TerminalLost(BootcfgError):
    """The terminal has gone while the menu was shown."""


class _Resized(Exception):
    """The signal SIGWINCH, raised out of a wait."""


class Terminal:
    """A terminal that is in raw mode inside `with`.  `prepare` makes it, before a process is locked down."""

    def __init__(self, source: int, sink: int, *, utf8: bool, alternate: bool) -> None:
        self.utf8 = utf8
        self._source, self._sink = source, sink
        self._alternate = alternate
        self._before = termios.tcgetattr(source)
        self._keys = KeyReader()
        self._poll = select.poll()
        self._poll.register(source, select.POLLIN)
        self._handlers: dict[int, Any] = {}
        self._waits = False
        self._resized = False
        self._drawn: list[str] | None = None
        self._open = False

    # --- mode ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            if signal.getsignal(number) is signal.SIG_DFL:
                self._handlers[number] = signal.signal(number, _end)
        self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._on_resize)
        try:
            self._open = True
            tty.setraw(self._source, termios.TCSANOW)
            self._write(("\x1b[?1049h" if self._alternate else "") + _RESET + "\x1b[?7l\x1b[H\x1b[2J")
        except (termios.error, BootcfgError) as error:
            self.restore()
            raise UnusableTerminal(f"the terminal cannot be used: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    def restore(self) -> None:
        """Bring the terminal back to what it was; harmless when it is so already."""
        if self._open:
            self._open = False
            end = "\x1b[?1049l" if self._alternate else "\x1b[H\x1b[2J"
            with contextlib.suppress(TerminalLost):
                self._write(f"{_RESET}\x1b[?7h\x1b[?25h{end}")
        with contextlib.suppress(termios.error):  # EIO: it has gone
            termios.tcsetattr(self._source, termios.TCSANOW, self._before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def size(self) -> Size:
        """Return the size of the terminal; 24 by 80 when it does not say, as libxl's does not."""
        try:
            columns, rows = os.get_terminal_size(self._sink)
        except OSError:
            return _VT100
        return Size(rows or _VT100.rows, columns or _VT100.columns)

    # --- keys ------------------------------------------------------------------------------------

    def key(self, timeout: float | None = None) -> Typed | None:
        """Return the next key, or None after `timeout` seconds without one.

        Raises TerminalLost at the end of input.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            typed = self._keys.next()
            if typed is not None:
                return typed
            left = _LONGEST_WAIT if end is None else max(end - time.monotonic(), 0)
            wait = min(left, _ESCAPE_WAIT if self._keys.unfinished else _LONGEST_WAIT)
            try:
                ready = self._wait(wait)
            except _Resized:
                self._drawn = None
                return Key.RESIZE
            if ready:
                self._read()
            elif self._keys.unfinished:
                typed = self._keys.next(final=True)
                if typed is not None:
                    return typed
            elif end is not None and time.monotonic() >= end:
                return None

    def _wait(self, seconds: float) -> bool:
        """Wait for input; raises _Resized when the size changes before or meanwhile."""
        self._waits = True
        try:
            if self._resized:
                raise _Resized
            return bool(self._poll.poll(seconds * 1000))
        finally:
            self._waits = False
            self._resized = False

    def _on_resize(self, _number: int, _frame: FrameType | None) -> None:
        self._resized = True
        if self._waits:  # out of poll, which would go on waiting
            self._waits = False
            raise _Resized

    def _read(self) -> None:
        try:
            data = os.read(self._source, _READ)
        except BlockingIOError:
            return
        except OSError as error:
            raise TerminalLost(f"the terminal has gone: {error.strerror}") from None
        if not data:
            raise TerminalLost("the terminal has gone: end of input")
        self._keys.feed(data)

    # --- pictures --------------------------------------------------------------------------------

    def show(self, frame: Frame) -> None:
        """Draw a picture, as far as it differs from the one before."""
        rows = [self._row(frame, row) for row in range(frame.size.rows)]
        before = self._drawn
        if before is None or len(before) != len(rows):
            before = [""] * len(rows)
            out = f"{_RESET}\x1b[H\x1b[2J"
        else:
            out = ""
        for number, (old, new) in enumerate(zip(before, rows, strict=True), 1):
            if old != new:
                out += f"\x1b[{number};1H\x1b[K{new}"
        if frame.cursor is None:
            out += "\x1b[?25l"
        else:
            row, column = frame.cursor
            out += f"\x1b[{row + 1};{min(column, frame.size.columns - 1) + 1}H\x1b[?25h"
        self._drawn = rows
        self._write(out)

    def redraw(self) -> None:
        """Draw the next picture whole: something else may have written to the terminal."""
        self._drawn = None

    def _row(self, frame: Frame, row: int) -> str:
        out = ""
        for style, text in frame.runs(row):
            if style is Style.LINE:
                text = text.translate(_BOX_GLYPHS) if self.utf8 else f"\x1b(0{text}\x1b(B"
            out += text if style is Style.PLAIN and not out else f"{_STYLES[style]}{text}"
        return f"{out}\x1b[m" if "\x1b" in out else out

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        while data:
            try:
                data = data[os.write(self._sink, data) :]
            except BlockingIOError:
                select.select([], [self._sink], [])
            except OSError as error:
                raise TerminalLost(f"the terminal has gone: {error.strerror}") from None


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def prepare(environment: Mapping[str, str] = os.environ) -> Terminal:
    """Return the terminal on descriptor 0, drawn on through 1, or through 2 where 1 is none.

    Raises UnusableTerminal when there is none, when it understands no control sequences, or when it is
    too small for a menu.
    """
    sink = next((descriptor for descriptor in (1, 2) if os.isatty(descriptor)), None)
    if not os.isatty(0) or sink is None:
        raise UnusableTerminal("there is no terminal for a menu")
    kind = environment.get("TERM", "")
    if kind in ("", "dumb", "unknown"):
        raise UnusableTerminal(f"a terminal of the kind {kind or '(TERM is not set)'} can show no menu")
    try:
        terminal = Terminal(0, sink, utf8=_is_utf8(environment), alternate=not kind.startswith("vt1"))
    except termios.error as error:
        raise UnusableTerminal(f"the terminal cannot be used: {error.args[-1]}") from None
    size = terminal.size()
    if size.rows < _SMALLEST.rows or size.columns < _SMALLEST.columns:
        raise UnusableTerminal(f"a terminal of {size.columns} by {size.rows} characters is too small")
    return terminal


def _is_utf8(environment: Mapping[str, str]) -> bool:
    """Whether the locale says that the terminal shows UTF-8, by the rules of setlocale(3)."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if environment.get(name):
            return environment[name].partition(".")[2].partition("@")[0].lower() in ("utf-8", "utf8")
    return False
