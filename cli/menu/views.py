"""The views for choosing: the menu, the search, passwords, messages.  editors.py has those for changing."""

from __future__ import annotations

import textwrap

from pybootcfg.cli.menu.editors import ArgumentsView, CommandLineView, EntryView
from pybootcfg.cli.menu.frame import Frame, Style
from pybootcfg.cli.menu.keys import Key, Typed
from pybootcfg.cli.menu.levels import Level, paths, way_to
from pybootcfg.cli.menu.text import TextArea
from pybootcfg.errors import BootcfgError
from pybootcfg.menu import Entry, Item, Submenu
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pybootcfg.cli.menu.session import Session

_HELP = (
    "Up and Down select an entry, Enter boots it.",
    "'e' edits its commands, 'a' the kernel's arguments,",
    "'c' gives a command line, '/' searches.",
)
_HELP_LOCKED = (
    "Up and Down select an entry, Enter boots it.",
    "'p' asks for a password, which is needed for more.",
)
_HELP_BACK = "Esc goes back."
_ROWS_FOR_BOX = 8
_ROWS_FOR_HELP = 14


class LevelView:
    """A menu or submenu."""

    def __init__(self, session: Session, level: Level) -> None:
        self._session = session
        self.level = level
        self._page = 1

    # --- drawing ---------------------------------------------------------------------------------

    def draw(self, frame: Frame) -> None:
        """Draw the title, the items around the selected one, what is to be known, the keys."""
        rows, columns = frame.size
        frame.put(0, 1, " > ".join(filter(None, ["pygrub", *self._titles()])), style=Style.STRONG)
        help_rows = len(self._help()) + 1 if rows >= _ROWS_FOR_HELP else 0
        boxed = rows >= _ROWS_FOR_BOX
        top, room = (1, rows - 3 - help_rows) if boxed else (1, rows - 2)
        if boxed:
            frame.box(top, 0, room, columns)
            self._items(frame, top + 1, 1, room - 2, columns - 2)
            frame.put(top + room, 2, self._detail(), columns - 3)
            for place, line in enumerate(self._help() if help_rows else ()):
                frame.put(top + room + 1 + place, 4, line)
        else:
            self._items(frame, top, 0, room, columns)
        frame.put(rows - 1, 2, self._status(), columns - 3, Style.STRONG)

    def _titles(self) -> list[str]:
        menu = self._session.menu
        titles = [view.level.title for view in self._session.views if isinstance(view, LevelView)]
        return [str(menu.config), *titles]

    def _items(self, frame: Frame, top: int, left: int, rows: int, columns: int) -> None:
        self._page = max(rows, 1)
        visible = self.level.visible(rows)
        for row, number in enumerate(visible, top):
            item = self.level.items[number]
            style = Style.SELECTED if number == self.level.selected else Style.PLAIN
            frame.fill(row, left, columns, style)
            mark = " >" if isinstance(item, Submenu) else ""
            end = frame.put(row, left + 1, item.title, columns - 2 - len(mark), style)
            frame.put(row, end, mark, style=style)
        if left:
            if visible.start > 0:
                frame.put(top, left + columns, "^")
            if visible.stop < len(self.level.items):
                frame.put(top + rows - 1, left + columns, "v")

    def _detail(self) -> str:
        """Return what the selected item would boot."""
        item = self.level.item
        if isinstance(item, Submenu):
            return f"a menu of {len(item.items)}"
        if item is None or item.kernel is None:
            return f"{item.kind}: no kernel" if item else "no entries"
        return f"{item.kernel} {item.args}"

    def _help(self) -> list[str]:
        lines = list(_HELP_LOCKED if self._session.access.locked else _HELP)
        if len(self._session.views) > 1:
            lines[0] = f"{lines[0]} {_HELP_BACK}"
        return lines

    def _status(self) -> str:
        return countdown(self._session)

    # --- keys ------------------------------------------------------------------------------------

    def press(self, typed: Typed) -> None:
        """Move, boot, or open another view."""
        level = self.level
        move = {
            Key.UP: level.selected - 1,
            Key.DOWN: level.selected + 1,
            Key.PAGE_UP: level.selected - self._page,
            Key.PAGE_DOWN: level.selected + self._page,
            Key.HOME: 0,
            Key.END: len(level.items) - 1,
        }
        if isinstance(typed, Key) and typed in move:
            level.select(move[typed])
        elif typed is Key.ESCAPE:
            self._session.close()
        elif level.item is not None and (
            typed is Key.ENTER or (typed is Key.RIGHT and isinstance(level.item, Submenu))
        ):
            self._choose(level.item)
        elif typed == "p" and self._session.menu.passwords:
            self._session.open(PasswordView(self._session, lambda: None))
        elif typed == "/":
            self._session.open(SearchView(self._session))
        elif isinstance(typed, str) and typed in ("e", "a", "c"):
            self._change(typed)

    def _choose(self, item: Item) -> None:
        session = self._session
        if not session.access.may_open(item):
            session.open(PasswordView(session, lambda: self._choose_if_allowed(item), item))
        elif isinstance(item, Submenu):
            session.open_submenu(item)
        else:
            session.boot_entry(item, "chosen")

    def _choose_if_allowed(self, item: Item) -> None:
        if self._session.access.may_open(item):
            self._choose(item)
        else:
            self._session.say("This user may not boot the entry.")

    def _change(self, typed: str) -> None:
        """Edit, where that is allowed, what is selected."""
        session, item = self._session, self.level.item
        if session.access.locked:
            session.open(PasswordView(session, lambda: self._change_if_allowed(typed)))
        elif typed == "c":
            attempt(session, lambda: session.open(CommandLineView(session, item)))
        elif isinstance(item, Entry):
            edit = EntryView if typed == "e" else ArgumentsView
            attempt(session, lambda: session.open(edit(session, item)))
        elif item is not None:
            session.say("A submenu is opened with Enter; its entries can be edited.")

    def _change_if_allowed(self, typed: str) -> None:
        if self._session.access.locked:
            self._session.say("This user may not edit entries.")
        else:
            self._change(typed)


def attempt(session: Session, action: Callable[[], None]) -> None:
    """Do something that may fail; show why when it does."""
    try:
        action()
    except (BootcfgError, OSError) as error:
        session.say(str(error))


def countdown(session: Session) -> str:
    """Return what is said of the countdown; nothing when there is none."""
    seconds = session.seconds_left
    if seconds is None or session.default is None:
        return ""
    unit = "second" if seconds == 1 else "seconds"
    return f"Boots in {seconds} {unit}: {session.default.title}"


class HiddenView:
    """The screen while a hidden menu waits."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def draw(self, frame: Frame) -> None:
        """Say what will happen."""
        frame.put(0, 1, countdown(self._session))
        frame.put(1, 1, "Press a key for the menu.")

    def press(self, _typed: Typed) -> None:
        """Show the menu, whatever the key."""
        self._session.close()


class MessageView:
    """A message, until a key is pressed."""

    def __init__(self, session: Session, message: str) -> None:
        self._session = session
        self._message = message

    def draw(self, frame: Frame) -> None:
        """Draw the message, as much of it as there is room for."""
        rows, columns = frame.size
        lines = [
            part
            for line in self._message.split("\n")
            for part in textwrap.wrap(frame.shown(line), max(columns - 2, 1), break_on_hyphens=False) or [""]
        ]
        for row, line in enumerate(lines[: max(rows - 2, 1)]):
            frame.put(row, 1, line)
        frame.put(rows - 1, 1, "Press a key to go on.", style=Style.STRONG)

    def press(self, _typed: Typed) -> None:
        """Go back."""
        self._session.close()


class PasswordView:
    """Asks for a user, where there are any, and a password; then does what needed them."""

    def __init__(self, session: Session, then: Callable[[], None], item: Item | None = None) -> None:
        self._session = session
        self._then = then
        self._item = item
        self._user = TextArea() if session.access.asks_for_user else None
        self._typed = TextArea()
        self._asks_user = self._user is not None

    def draw(self, frame: Frame) -> None:
        """Draw the questions; of the password only how long it is."""
        row = 0
        if self._user is not None:
            frame.put(row, 1, "User:")
            self._user.draw(frame, row, 11, 1, frame.size.columns - 12)
            row += 1
        if not self._asks_user:
            frame.put(row, 1, "Password:")
            TextArea("*" * len(self._typed.text)).draw(frame, row, 11, 1, frame.size.columns - 12)
        frame.put(frame.size.rows - 1, 1, "Enter goes on, Esc goes back.", style=Style.STRONG)

    def press(self, typed: Typed) -> None:
        """Take a key; check the password at Enter."""
        if typed is Key.ESCAPE:
            self._session.close()
        elif self._asks_user and self._user is not None:
            if typed is Key.ENTER:
                self._asks_user = False
            else:
                self._user.press(typed)
        elif typed is Key.ENTER:
            self._session.close()
            attempt(self._session, self._check)
        else:
            self._typed.press(typed)

    def _check(self) -> None:
        user = self._user.text if self._user else None
        if self._session.access.unlock(self._typed.text, user, self._item):
            self._then()
        else:
            self._session.say("That is not the password.")


class SearchView:
    """Entries of all menus whose title has what is typed in it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._wanted = TextArea()
        self._paths = list(paths(session.menu.items))
        self._found = self._paths
        self._selected = 0
        self._rows = 1

    def draw(self, frame: Frame) -> None:
        """Draw the line and what is found."""
        rows, columns = frame.size
        self._rows = max(rows - 2, 1)
        first = max(self._selected - self._rows + 1, 0)
        for row, (path, _) in enumerate(self._found[first : first + self._rows], 1):
            style = Style.SELECTED if first + row - 1 == self._selected else Style.PLAIN
            frame.fill(row, 0, columns, style)
            frame.put(row, 1, path, columns - 2, style)
        found = f"{len(self._found)} of {len(self._paths)} entries; Enter goes to one, Esc goes back."
        frame.put(rows - 1, 1, found, style=Style.STRONG)
        frame.put(0, 1, "Search:")
        self._wanted.draw(frame, 0, 9, 1, columns - 10)

    def press(self, typed: Typed) -> None:
        """Change what is searched, or go to what is found."""
        move = {Key.UP: -1, Key.DOWN: 1, Key.PAGE_UP: -self._rows, Key.PAGE_DOWN: self._rows}
        if typed is Key.ESCAPE:
            self._session.close()
        elif typed is Key.ENTER:
            self._session.close()
            if self._found:
                self._show(self._found[self._selected][1])
        elif isinstance(typed, Key) and typed in move:
            self._selected = min(max(self._selected + move[typed], 0), max(len(self._found) - 1, 0))
        elif self._wanted.press(typed):
            wanted = self._wanted.text.casefold()
            self._found = [found for found in self._paths if wanted in found[0].casefold()]
            self._selected = 0

    def _show(self, entry: Entry) -> None:
        """Show the menu that the entry is in; a menu that needs a password is not entered this way."""
        levels = way_to(self._session.menu, entry)
        allowed = 1
        for level in levels[:-1]:
            if level.item is None or not self._session.access.may_open(level.item):
                break
            allowed += 1
        self._session.show_levels(levels[:allowed])
