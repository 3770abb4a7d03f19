"""An entry's commands, as a person may change them, and what changed ones come to.

Those of a grub2 entry are its own, and the dialect's interpreter evaluates them.  For the other
dialects there are a few commands that say what is booted, whatever the dialect calls it:

    root VOLUME           where paths without a volume are: p1, or (hd0,0)
    kernel FILE [ARGS]    a path, which may have its volume in front: p1:/vmlinuz, (hd0,0)/vmlinuz
    args ARGS             the kernel's arguments, instead of those before
    initrd FILE...        initial ramdisks, in the order in which they are loaded
    module FILE [ARGS]    what a multiboot kernel gets; the first one is Linux when the kernel is Xen

A file with blanks in its name goes into double quotes.
"""

from __future__ import annotations

from pybootcfg.boot import Request
from pybootcfg.dialects import grub2
from pybootcfg.errors import UsageError, printable
from pybootcfg.guest import Guest
from pybootcfg.menu import Entry, EntryKind, FileRef, Item, Menu, Module
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Script(NamedTuple):
    """Commands, and the function that evaluates others in their place; it raises BootcfgError."""

    text: str
    evaluate: Callable[[str], Item]


def script_of(guest: Guest, menu: Menu, request: Request, entry: Entry) -> Script:
    """Return the commands of an entry; raises BootcfgError."""
    if menu.dialect == "grub2":
        settings = request.settings
        own = grub2.entry_text(guest, menu.config, settings, entry)
        if own is not None:
            return Script(
                own.strip("\n").rstrip(),
                lambda text: grub2.evaluate_entry(guest, menu.config, settings, entry, text),
            )
    return Script(plain_text(entry), lambda text: _plain(guest, menu, entry, text))


def plain_text(entry: Entry) -> str:
    """Return the few commands that stand for an entry."""
    lines = []
    if entry.kernel:
        lines.append(f"kernel {_written(entry.kernel)}")
    lines.append(f"args {entry.args}".rstrip())
    lines += [f"module {_written(module.file)} {module.args}".rstrip() for module in entry.modules]
    if entry.initrds:
        lines.append(" ".join(["initrd", *map(_written, entry.initrds)]))
    return "\n".join(lines)


def _written(file: FileRef) -> str:
    text = str(file)
    return f'"{text}"' if " " in text else text


def _plain(guest: Guest, menu: Menu, entry: Entry, text: str) -> Entry:
    commands = PlainCommands(guest, menu, entry)
    for line in text.split("\n"):
        commands.run(line)
    return commands.entry


class PlainCommands:
    """What the few commands have loaded so far: `entry`, without what they are to replace."""

    def __init__(self, guest: Guest, menu: Menu, entry: Entry) -> None:
        self._guest = guest
        self._legacy = menu.dialect == "grub_legacy"
        self.root = entry.kernel.volume if entry.kernel else menu.config.volume
        self.entry = entry._replace(kernel=None, initrds=(), args="", modules=(), warnings=())

    def run(self, line: str) -> None:
        """Run one command; raises UsageError for what is none."""
        name, _, rest = line.strip().partition(" ")
        rest = rest.lstrip()
        if name:
            action = _PLAIN.get(name)
            if action is None:
                known = ", ".join(_PLAIN)
                raise UsageError(f"{printable(name)} is no command here", hint=f"the commands are: {known}")
            action(self, rest)

    def _root(self, rest: str) -> None:
        self.root = self.volume(rest.strip())

    def _kernel(self, rest: str) -> None:
        name, args = _word(rest)
        kind = (
            self.entry.kind if self.entry.kind in (EntryKind.LINUX, EntryKind.MULTIBOOT) else EntryKind.LINUX
        )
        self.entry = self.entry._replace(kind=kind, kernel=self.file(name), args=args)

    def _args(self, rest: str) -> None:
        self.entry = self.entry._replace(args=rest)

    def _initrd(self, rest: str) -> None:
        files = []
        while rest:
            name, rest = _word(rest)
            files.append(self.file(name))
        self.entry = self.entry._replace(initrds=tuple(files))

    def _module(self, rest: str) -> None:
        name, args = _word(rest)
        modules = (*self.entry.modules, Module(self.file(name), args))
        self.entry = self.entry._replace(kind=EntryKind.MULTIBOOT, modules=modules)

    def file(self, name: str) -> FileRef:
        """Return the file that a name means."""
        volume, path = self.split(name)
        if not path.startswith("/"):
            raise UsageError(f"{printable(name)} is no absolute path")
        return FileRef(path, self.volume(volume) if volume else self.root)

    def volume(self, name: str) -> str:
        """Return the volume that `p1` or `(hd0,0)` means; raises UsageError."""
        if not name.startswith("("):
            return self._guest.volume(name).name
        device = name.strip("()")
        disk, _, partition = device.partition(",")
        if self._legacy and partition.isascii() and partition.isdigit():
            device = f"{disk},{int(partition[:4]) + 1}"  # GRUB Legacy counts partitions from 0
        found = self._guest.device(device)
        if found is None:
            raise UsageError(f"there is no device {printable(name)}")
        return found

    @staticmethod
    def split(name: str) -> tuple[str, str]:
        """Return the volume in front of a path, as it is written, and the path."""
        if name.startswith("("):
            device, _, path = name.partition(")")
            return f"{device})", path
        volume, colon, path = name.partition(":")
        return (volume, path) if colon and "/" not in volume else ("", name)


_PLAIN: dict[str, Callable[[PlainCommands, str], None]] = {
    "root": PlainCommands._root,
    "kernel": PlainCommands._kernel,
    "args": PlainCommands._args,
    "initrd": PlainCommands._initrd,
    "module": PlainCommands._module,
}
PLAIN_COMMANDS = tuple(_PLAIN)


def _word(text: str) -> tuple[str, str]:
    """Return the first word, which may stand in double quotes, and what follows it."""
    if text.startswith('"'):
        word, _, rest = text[1:].partition('"')
    else:
        word, _, rest = text.partition(" ")
    if not word:
        raise UsageError("a file name is wanted")
    return word, rest.lstrip()
