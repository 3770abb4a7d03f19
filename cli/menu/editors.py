"""The views for changing what is booted: an entry's commands, a kernel's arguments, a command line."""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.boot import boot_entry
from pybootcfg.cli.menu.consoles import console_for
from pybootcfg.cli.menu.frame import Frame, Style, take, width_of
from pybootcfg.cli.menu.keys import Key, Typed
from pybootcfg.cli.menu.scripts import script_of
from pybootcfg.cli.menu.text import TextArea
from pybootcfg.errors import BootcfgError, printable
from pybootcfg.menu import Entry, Item
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pybootcfg.cli.menu.session import Session


class EntryView:
    """The commands of an entry, to be changed and booted."""

    def __init__(self, session: Session, entry: Entry) -> None:
        self._session = session
        self._entry = entry
        self._script = script_of(session.guest, session.menu, session.request, entry)
        limits.MENU_TEXT.check(len(self._script.text), "the commands of the entry")
        self._text = TextArea(self._script.text, multiline=True, limit=limits.MENU_TEXT)

    def draw(self, frame: Frame) -> None:
        """Draw the commands."""
        rows, columns = frame.size
        frame.put(0, 1, f"Commands of {self._entry.title}", style=Style.STRONG)
        frame.box(1, 0, rows - 2, columns)
        self._text.draw(frame, 2, 1, max(rows - 4, 1), columns - 2)
        keys = "Ctrl-X or F10 boots, Esc goes back and forgets the changes."
        frame.put(rows - 1, 1, keys, style=Style.STRONG)

    def press(self, typed: Typed) -> None:
        """Edit; boot what the commands come to."""
        if typed is Key.ESCAPE:
            self._session.close()
        elif typed is Key.BOOT:
            try:
                item = self._script.evaluate(self._text.text)
            except (BootcfgError, OSError) as error:
                self._session.say(str(error))
            else:
                self._boot(item)
        else:
            self._text.press(typed)

    def _boot(self, item: Item) -> None:
        if isinstance(item, Entry):
            self._session.boot_entry(item, "edited")
        else:
            self._session.close()
            self._session.open_submenu(item)


class ArgumentsView:
    """The arguments of the kernel, as it will get them."""

    def __init__(self, session: Session, entry: Entry) -> None:
        self._session = session
        title = printable(entry.title)
        reason = f"{title} was chosen in the menu, its arguments edited"
        self._boot = boot_entry(session.guest, entry, session.request.args, (reason,))
        self._title = title
        self._text = TextArea(self._boot.args)

    def draw(self, frame: Frame) -> None:
        """Draw the arguments."""
        rows, columns = frame.size
        frame.put(0, 1, f"Kernel arguments of {self._title}", style=Style.STRONG)
        frame.put(1, 1, str(self._boot.kernel))
        frame.put(rows - 1, 1, "Enter boots, Esc goes back and forgets the changes.", style=Style.STRONG)
        self._text.draw(frame, 3 if rows > 4 else 1, 1, max(rows - 5, 1), columns - 2)

    def press(self, typed: Typed) -> None:
        """Edit; boot with the arguments."""
        if typed is Key.ESCAPE:
            self._session.close()
        elif typed in (Key.ENTER, Key.BOOT):
            self._session.boot = self._boot._replace(args=self._text.text)
        else:
            self._text.press(typed)


class CommandLineView:
    """A command line with what it has printed above it."""

    def __init__(self, session: Session, item: Item | None) -> None:
        self._session = session
        entry = item if isinstance(item, Entry) else None
        self._console = console_for(session.guest, session.menu, session.request, entry)
        self._line = TextArea()
        self._lines: list[str] = []  # typed before
        self._recalled = 0
        self._back = 0  # how many rows the output is scrolled back
        self._room = 1

    def draw(self, frame: Frame) -> None:
        """Draw the last of the output, and the line."""
        rows, columns = frame.size
        prompt = self._console.prompt
        width = max(columns - len(prompt), 1)
        pieces, _, _ = self._line.pieces(width, frame)
        height = min(len(pieces), max(rows - 2, 1))
        self._room = max(rows - 1 - height, 0)
        output = self._output_rows(frame, columns)
        self._back = min(self._back, max(len(output) - self._room, 0))
        shown = output[: len(output) - self._back][-self._room :] if self._room else []
        for row, text in enumerate(shown):
            frame.put(row, 0, text)
        frame.put(len(shown), 0, prompt)
        frame.put(rows - 1, 1, "Enter runs, Tab completes, Esc goes back.", style=Style.STRONG)
        self._line.draw(frame, len(shown), len(prompt), height, width)

    def _output_rows(self, frame: Frame, columns: int) -> list[str]:
        """Return the output in pieces that fit into a row."""
        rows: list[str] = []
        for line in self._console.output:
            text = frame.shown(line.replace("\t", "    "))
            while width_of(text) > columns > 1:
                piece = take(text, columns)
                rows.append(piece)
                text = text[len(piece) :]
            rows.append(text)
        return rows

    def press(self, typed: Typed) -> None:
        """Edit the line, run it, complete it, recall another."""
        page = {Key.PAGE_UP: self._room, Key.PAGE_DOWN: -self._room}
        if isinstance(typed, Key) and typed in page:
            self._back = max(self._back + page[typed], 0)
            return
        self._back = 0
        if typed is Key.ESCAPE:
            self._session.close()
        elif typed is Key.ENTER:
            self._run()
        elif typed is Key.TAB:
            self._complete()
        elif typed in (Key.UP, Key.DOWN):
            self._recall(-1 if typed is Key.UP else 1)
        else:
            self._line.press(typed)

    def _run(self) -> None:
        line, self._line = self._line.text, TextArea()
        if line.strip():
            self._lines = [*self._lines[-99:], line]
        self._recalled = len(self._lines)
        self._console.output.append(f"{self._console.prompt}{line}")
        entry = self._console.run(line)
        if entry is not None:
            self._session.boot_entry(entry, "given")

    def _recall(self, step: int) -> None:
        self._recalled = min(max(self._recalled + step, 0), len(self._lines))
        recalled = self._lines[self._recalled : self._recalled + 1]
        self._line = TextArea(recalled[0] if recalled else "")

    def _complete(self) -> None:
        start, words = self._console.complete(self._line.before)
        if not words:
            return
        common = _common_start(words)
        if len(words) == 1 and not common.endswith("/"):
            common += " "
        if len(common) > len(self._line.before) - start:
            self._line.replace(start, common)
        elif len(words) > 1:
            most = limits.MENU_COMPLETIONS.value
            more = [f"and {len(words) - most} more"] if len(words) > most else []
            folder = common.rfind("/") + 1
            names = [word[folder:] for word in words[:most]]
            self._console.output.append("  ".join([*names, *more]))


def _common_start(words: Sequence[str]) -> str:
    """Return what all words begin with."""
    first, last = min(words), max(words)
    same = next((place for place, char in enumerate(first) if last[place : place + 1] != char), len(first))
    return first[:same]
