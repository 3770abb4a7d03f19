"""The command lines behind `c`: GRUB's for grub2 menus, a few commands for the others."""

from __future__ import annotations

from collections import deque

from pybootcfg import limits
from pybootcfg.boot import Request
from pybootcfg.cli.menu.scripts import PLAIN_COMMANDS, PlainCommands, plain_text
from pybootcfg.dialects import grub2
from pybootcfg.errors import BootcfgError
from pybootcfg.guest import Guest
from pybootcfg.kind import Kind
from pybootcfg.menu import Entry, EntryKind, FileRef, Menu, Place
from pybootcfg.values import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Completion(NamedTuple):
    """What the word before the cursor may become: where it begins in the line, and the words."""

    start: int
    words: Sequence[str]


class Console(Protocol):
    """A command line; what it prints is in `output`, the last lines of it."""

    prompt: str
    output: deque[str]

    def run(self, line: str) -> Entry | None:
        """Run a line; return an entry when it is to be booted."""

    def complete(self, before: str) -> Completion:
        """Return what the last word of `before` may become."""


def console_for(guest: Guest, menu: Menu, request: Request, entry: Entry | None) -> Console:
    """Return the command line of a menu; raises BootcfgError."""
    if menu.dialect == "grub2":
        return GrubConsole(guest, menu, request)
    return PlainConsole(guest, menu, entry)


class GrubConsole:
    """GRUB's command line."""

    prompt = "grub> "

    def __init__(self, guest: Guest, menu: Menu, request: Request) -> None:
        self.output: deque[str] = deque(maxlen=limits.MENU_OUTPUT.value)
        self._line = grub2.command_line(guest, menu.config, request.settings, self._print, self._print)
        self._begins = True  # whether the next output begins a line
        self.output.clear()

    def _print(self, text: str) -> None:
        first, *rest = text.split("\n")
        if self._begins:
            self.output.append(first)
        else:
            self.output[-1] += first[: limits.MENU_LINE.value]
        self.output.extend(rest)
        self._begins = not self.output[-1]
        if self._begins:
            self.output.pop()

    def run(self, line: str) -> Entry | None:
        """Run a line of GRUB's script."""
        self._line.entry = None
        try:
            self._line.run(line)
        except (BootcfgError, OSError) as error:
            self._print(f"{error}\n")
        return self._line.entry

    def complete(self, before: str) -> Completion:
        """Complete commands, devices and paths."""
        return Completion(*self._line.complete(before))


class PlainConsole:
    """The few commands of scripts.py, and `boot`."""

    prompt = "pygrub> "

    def __init__(self, guest: Guest, menu: Menu, entry: Entry | None) -> None:
        self._guest = guest
        nothing = Entry("command line", EntryKind.LINUX, Place(menu.config, 0))
        self._commands = PlainCommands(guest, menu, nothing)
        self.output: deque[str] = deque(maxlen=limits.MENU_OUTPUT.value)
        self.output.append(f"Commands: {', '.join(PLAIN_COMMANDS)}, boot.  The selected entry is:")
        self.output.extend(plain_text(entry).split("\n") if entry else [])

    def run(self, line: str) -> Entry | None:
        """Run one command."""
        if line.strip() == "boot":
            return self._commands.entry
        try:
            self._commands.run(line)
        except (BootcfgError, OSError) as error:
            self.output.append(str(error))
        return None

    def complete(self, before: str) -> Completion:
        """Complete commands and paths."""
        start = before.rfind(" ") + 1
        word = before[start:]
        if not before[:start].strip():
            return Completion(start, [name for name in (*PLAIN_COMMANDS, "boot") if name.startswith(word)])
        folder, slash, beginning = word.rpartition("/")
        if not slash:
            names = [f"{volume.name}:/" for volume in self._guest.listed if volume.mountable]
            return Completion(start, [name for name in names if name.startswith(word)])
        try:
            inside = self._commands.file(f"{folder}/")
            found = sorted(name for name in self._guest.names(inside) if name.startswith(beginning))
        except (BootcfgError, OSError):
            return Completion(start, ())
        found = [name for name in found if name not in (".", "..")]
        return Completion(start, [self._finished(inside, folder, name) for name in found])

    def _finished(self, inside: FileRef, folder: str, name: str) -> str:
        kind = self._guest.kind(FileRef(inside.path + name, inside.volume))
        return f"{folder}/{name}/" if kind is Kind.DIRECTORY else f"{folder}/{name}"
