"""GRUB legacy: menu.lst and grub.conf.

GNU GRUB Manual 0.97 (https://www.gnu.org/software/grub/manual/legacy/grub.html); where it is silent, the
functions of GRUB 0.97 that are named here (stage2/stage2.c, stage2/builtins.c), and OpenSolaris' for
`kernel$`, `findroot` and `bootfs`.

Commands before the first title run at once; those of an entry run when it is chosen, which is played
here for each entry, by itself.  Where GRUB would give an entry up, its files are still named, with a
warning: the guest may have been taken off the disks that its configuration speaks of.
"""

from __future__ import annotations

import functools

from pybootcfg import grammar, limits
from pybootcfg.dialects.base import Machine, SearchKey, Settings
from pybootcfg.errors import BootcfgError, LimitExceeded, printable
from pybootcfg.grammar import Text, Token, Tree
from pybootcfg.kind import Kind
from pybootcfg.menu import (
    Entry,
    EntryKind,
    FileRef,
    Item,
    Menu,
    Module,
    Password,
    Place,
    Scheme,
    Submenu,
)
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DEFAULT_FILE = "default"  #: beside the configuration: the number that `default saved` means
DEFAULT_FILE_READ = 10  #: bytes of it that count
FALLBACKS = 8  #: MAX_FALLBACK_ENTRIES
SIGNATURES = "/boot/grub/bootsign"  #: where `findroot` looks for its files
ISADIR = "amd64"  #: what `$ISADIR` stands for on a machine with 64 bits
BOOTFS = "$ZFS-BOOTFS"


def interpret(machine: Machine, config: FileRef, settings: Settings) -> Menu:  # noqa: ARG001
    """Return the menu that a menu.lst describes; raises BootcfgError when it cannot be read."""
    return _Reader(_Volumes(machine)).menu(config, machine.read(config), ())


class _Opened(NamedTuple):
    """A configuration that is being read, by name and contents."""

    file: FileRef
    data: bytes


class _Volumes:
    """GRUB's devices and what can be searched for, as volumes.  Answers are remembered."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._questions = limits.GRUB_LEGACY_QUESTIONS.budget()
        self._devices: dict[tuple[str, ...], str | None] = {}
        self._found: dict[tuple[SearchKey, str], str | None] = {}

    @functools.cached_property
    def zfs(self) -> frozenset[str]:
        """The volumes whose paths may begin with the name of a dataset."""
        return frozenset(facts.name for facts in self.machine.volumes() if facts.filesystem == "zfs")

    def device(self, parts: Sequence[str]) -> str | None:
        """Return the volume that the parts of a device name (`hd0`, `0`, `a`) mean."""
        key = tuple(parts)
        if key not in self._devices:
            self._devices[key] = self._first(map(self._ask, _grub2_names(key)))
        return self._devices[key]

    def having(self, key: SearchKey, value: str) -> str | None:
        """Return the first volume that has a label, UUID or file."""
        if (key, value) not in self._found:
            self._questions.spend()
            self._found[key, value] = self._first(self.machine.search(key, value))
        return self._found[key, value]

    def _ask(self, name: str) -> str | None:
        self._questions.spend()
        return self.machine.device(name)

    @staticmethod
    def _first(volumes: Sequence[str] | Iterator[str | None]) -> str | None:
        return next((volume for volume in volumes if volume is not None), None)


def _grub2_names(parts: Sequence[str]) -> Iterator[str]:
    """Yield what GRUB 2, which counts partitions from 1 and names their map, may call a device.

    `a` to `p` are the partitions of a BSD disklabel, or the slices of a Solaris VTOC.
    """
    disk, *inner = parts
    numbers = [_partition_number(part) for part in inner]
    match numbers:
        case []:
            yield disk
        case [int(number)] if inner[0].isdigit():
            yield from (f"{disk},msdos{number}", f"{disk},gpt{number}", f"{disk},{number}")
        case [int(letter)]:
            yield from (f"{disk},bsd{letter}", f"{disk},sun{letter}")
        case [int(number), int(letter)]:
            yield from (f"{disk},msdos{number},bsd{letter}", f"{disk},msdos{number},sunpc{letter}")
            yield from (f"{disk},{number},{letter}", f"{disk},netbsd{letter}", f"{disk},openbsd{letter}")


def _partition_number(part: str) -> int | None:
    if part.isascii() and part.isdigit() and len(part) < 6:
        return int(part) + 1
    return ord(part) - ord("a") + 1 if len(part) == 1 and "a" <= part <= "p" else None


class _Reader:
    """Makes menus of configurations, one of which may lead to another."""

    def __init__(self, volumes: _Volumes) -> None:
        self._volumes = volumes
        self._entries = limits.GRUB_LEGACY_ENTRIES.budget()
        self._menus = limits.GRUB_LEGACY_MENUS.budget()
        self._passwords: list[Password] = []  #: the menu's, of nobody; an entry's, of whom its place names

    def menu(self, config: FileRef, data: bytes, above: tuple[_Opened, ...]) -> Menu:
        """Return the menu of one configuration; `above` are those that led to it."""
        self._menus.spend()
        text = _text(data, config)
        head, titles = _split(grammar.load("grub_legacy").parse(text))
        globals_ = _Globals(self._saved(config))
        for command in head:
            globals_.run(command)
        opened = (*above, _Opened(config, data))
        items: list[Item] = []
        for title, commands in titles:
            if not commands:
                # cmain() counts an entry when the first command of it is met.
                globals_.warn(f"line {text.line(title.offset)}: a title without a command makes no entry")
                continue
            place = Place(config, text.line(title.offset))
            items.append(
                self._item(_line(title).rstrip(), place, commands, globals_.secret is not None, opened)
            )
        if globals_.secret and not above:
            self._passwords.append(Password("", *globals_.secret))
        return Menu(
            "grub_legacy",
            config,
            tuple(items),
            globals_.defaults(len(items)),
            globals_.timeout,
            globals_.hidden,
            tuple(globals_.warnings),
            ("",) if globals_.secret else None,
            tuple(self._passwords),
        )

    def _saved(self, config: FileRef) -> int:
        """Return the entry that `savedefault` or grub-set-default noted; 0 when none did."""
        file = FileRef(config.path.rpartition("/")[0] + f"/{DEFAULT_FILE}", config.volume)
        if self._volumes.machine.kind(file) is not Kind.FILE:
            return 0
        try:
            noted = self._volumes.machine.read(file)[:DEFAULT_FILE_READ].decode("ascii", "replace")
        except BootcfgError:
            return 0
        digits = noted[: len(noted) - len(noted.lstrip("0123456789"))]
        return int(digits) if digits else 0

    def _item(
        self,
        title: str,
        place: Place,
        commands: Sequence[Tree],
        has_password: bool,
        above: tuple[_Opened, ...],
    ) -> Item:
        """Play the commands of one entry."""
        self._entries.spend()
        run = _Run(self._volumes, place.file)
        for command in commands:
            if run.done:
                break
            run.command(command)
        if run.menu and (submenu := self._submenu(title, place, run, above)):
            return submenu
        owner = f"{place.file}:{place.line}"
        self._passwords.extend(Password(owner, *secret) for secret in run.secrets)
        return Entry(
            title,
            run.kind,
            place,
            kernel=run.kernel,
            initrds=tuple(run.initrds),
            args=run.args,
            modules=tuple(run.modules),
            restricted=bool(run.secrets) or (run.locked and has_password),
            warnings=tuple(run.warnings),
            users=(owner,) if run.secrets else (),
        )

    def _submenu(self, title: str, place: Place, run: _Run, above: tuple[_Opened, ...]) -> Submenu | None:
        """Follow `configfile`; None when that leads nowhere, or round in a circle."""
        file = run.menu
        if file is None or self._volumes.machine.kind(file) is not Kind.FILE:
            run.warn(f"the menu {printable(str(file))} is not there")
            return None
        try:
            data = self._volumes.machine.read(file)
        except LimitExceeded:
            raise
        except BootcfgError as error:
            run.warn(str(error))
            return None
        if any(file == opened.file or data == opened.data for opened in above):
            return None  # `configfile` is the usual way to begin again
        if len(above) >= limits.GRUB_LEGACY_DEPTH.value:
            run.warn(f"{printable(str(file))}: menus are followed {limits.GRUB_LEGACY_DEPTH.value} deep")
            return None
        menu = self.menu(file, data, above)
        if not menu.items:
            run.warn(f"the menu {printable(str(file))} has no entries")
            return None
        return Submenu(title, place, items=menu.items, defaults=menu.defaults)


def _text(data: bytes, config: FileRef) -> Text:
    """Return a configuration's text without carriage returns; a last line without its end gets one."""
    limits.GRUB_LEGACY_TEXT.check(len(data), str(config))
    text = data.decode("utf-8", "surrogateescape").replace("\r", "") + "\n"
    return Text(text + "\n" if text.endswith("\\\n") else text, str(config))


def _split(tree: Tree) -> tuple[list[Tree], list[tuple[Tree, list[Tree]]]]:
    """Sort commands into those before the first title and those of each title."""
    head: list[Tree] = []
    titles: list[tuple[Tree, list[Tree]]] = []
    for command in tree.trees():
        if command.data == "title":
            titles.append((command, []))
        else:
            (titles[-1][1] if titles else head).append(command)
    return head, titles


def _line(command: Tree) -> str:
    """Return the rest of a line as get_line_from_config() does, with blanks for tabs and continuations."""
    text = "".join(token.text for token in command.tokens("TEXT"))
    return text.replace("\\\n", " ").replace("\t", " ")


def _number(token: Token) -> int:
    """Return what safe_parse_maxint() makes of a number; too large a one is as large as can be."""
    digits = token.text[2:] if token.text[:2] in ("0x", "0X") else token.text
    largest = 0x7FFFFFFF
    return min(int(digits, 10 if digits is token.text else 16), largest) if len(digits) < 20 else largest


def _numbers(command: Tree) -> list[int]:
    return [_number(token) for token in command.tokens("NUMBER")]


class Secret(NamedTuple):
    """A password as it is written."""

    scheme: Scheme
    text: str


def _secret(command: Tree) -> Secret | None:
    """Return what `password` asks for; `--md5`, and Red Hat's `--encrypted`, announce crypt(5)."""
    word = next(command.tokens("WORD"), None)
    if word is None:
        return None
    flags = {flag.text for flag in command.tokens("FLAG")}
    return Secret(Scheme.CRYPT if flags & {"--md5", "--encrypted"} else Scheme.PLAIN, word.text)


class _Globals:
    """What the commands before the first title set."""

    def __init__(self, saved: int) -> None:
        self.saved = saved
        self.default: int | None = None
        self.fallbacks: list[int] = []
        self.timeout: float | None = None
        self.hidden = False
        self.secret: Secret | None = None
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        """Note what GRUB passes over."""
        _note(self.warnings, message)

    def run(self, command: Tree) -> None:
        """Run one command; those that belong into an entry do nothing here."""
        numbers = _numbers(command)
        match command.data:
            case "default" if any(command.tokens("SAVED")):
                self.default = self.saved
            case "default" if numbers:
                self.default = numbers[0]
            case "fallback":
                self.fallbacks = list(dict.fromkeys(numbers))[:FALLBACKS]
            case "timeout" if numbers:
                self.timeout = float(numbers[0])
            case "default" | "timeout":
                self.warn(f"{command.data}: a number is expected")
            case "hidden_menu":
                self.hidden = True
            case "password":
                self.secret = _secret(command) or self.secret

    def defaults(self, count: int) -> tuple[str, ...]:
        """Return the entries to boot, the first choice first, as cmain() settles them for `count` entries."""
        fallbacks = [number for number in self.fallbacks if number < count]
        chosen = self.default or 0
        if chosen >= count:
            chosen = fallbacks.pop(0) if fallbacks else 0
        return (str(chosen), *map(str, fallbacks)) if fallbacks or self.default is not None else ()


class _Run:
    """The commands of one entry, and what they load."""

    def __init__(self, volumes: _Volumes, config: FileRef) -> None:
        self._volumes = volumes
        self._config = config
        self._root = config.volume
        self._dataset = ""
        self._chainloads = False
        self.kernel: FileRef | None = None
        self.args = ""
        self.initrds: list[FileRef] = []
        self.modules: list[Module] = []
        self.menu: FileRef | None = None
        self.locked = False
        self.secrets: list[Secret] = []
        self.done = False
        self.warnings: list[str] = []

    @property
    def kind(self) -> EntryKind:
        """What would be booted now."""
        if self._chainloads:
            return EntryKind.CHAINLOAD
        if self.kernel is None or self.menu:
            return EntryKind.OTHER
        return EntryKind.MULTIBOOT if self.modules else EntryKind.LINUX

    def warn(self, message: str) -> None:
        """Note why an entry may not boot as it says."""
        _note(self.warnings, message)

    def command(self, command: Tree) -> None:
        """Run one command; those that load nothing and move nowhere do nothing."""
        run = _COMMANDS.get(command.data)
        if run:
            run(self, command)

    # --- the root device -------------------------------------------------------------------------

    def root(self, command: Tree) -> None:
        """Run `root` or `rootnoverify`, which name a device; a UUID is understood too."""
        device = next(command.trees("device"), None)
        word = next(command.tokens("WORD"), None)
        if device:
            self._root = self._volume(device)
        elif word:
            self._set_root(SearchKey.UUID, word.text, f"root {printable(word.text)}: no such device")

    def root_by_uuid(self, command: Tree) -> None:
        """Run `uuid`: go to the volume whose file system has this UUID."""
        for word in command.tokens("WORD"):
            self._set_root(SearchKey.UUID, word.text, f"no volume has the UUID {printable(word.text)}")
            break

    def root_by_signature(self, command: Tree) -> None:
        """Run `findroot`: go to the volume that has a file of this name among the signatures, or the pool."""
        device = next(command.trees("device"), None)
        name = next((device or command).tokens(), None)
        if name is None:
            return
        for path in (f"{SIGNATURES}/{name.text}", f"/@{SIGNATURES}/{name.text}"):
            volume = self._volumes.having(SearchKey.FILE, path)
            if volume is not None:
                self._root = volume
                return
        pool = name.text.removeprefix("pool_")
        self._set_root(SearchKey.LABEL, pool, f"no volume has the signature {printable(name.text)}")

    def find(self, command: Tree) -> None:
        """Run GRUB4DOS' `find --set-root`; without that option it only prints."""
        word = next(command.tokens("WORD"), None)
        if word and any(flag.text.startswith("--set-root") for flag in command.tokens("FLAG")):
            self._set_root(SearchKey.FILE, word.text, f"no volume has the file {printable(word.text)}")

    def boot_dataset(self, command: Tree) -> None:
        """Run `bootfs`: load files from a dataset, named as `pool/path`."""
        for word in command.tokens("WORD"):
            self._dataset = word.text
            break

    def _set_root(self, key: SearchKey, value: str, otherwise: str) -> None:
        volume = self._volumes.having(key, value)
        if volume is None:
            self.warn(f"{otherwise}; files are taken from {self._own()}")
        self._root = self._config.volume if volume is None else volume

    def _volume(self, device: Tree) -> str:
        parts = [part.text for part in device.tokens()]
        volume = self._volumes.device(parts)
        if volume is None:
            self.warn(f"device ({printable(','.join(parts))}) is unknown; files are taken from {self._own()}")
            return self._config.volume
        return volume

    def _own(self) -> str:
        return self._config.volume or "the volume of the configuration"

    # --- files -----------------------------------------------------------------------------------

    def _file(self, device: Tree | None, path: str) -> FileRef:
        volume = self._volume(device) if device else self._root
        dataset = self._dataset.partition("/")[2]
        if dataset and volume in self._volumes.zfs:
            return FileRef(f"/{dataset}@{path}", volume)
        return FileRef(path, volume)

    def _image(self, command: Tree, *, expands: bool) -> tuple[FileRef, str] | None:
        """Return the file and the arguments of `kernel` or `module`; the latter go as they are written."""
        word = next(command.tokens("WORD"), None)
        if word is None:
            self.warn(f"{command.data}: no file is named")
            return None
        path, args = word.text, _line(command)
        if expands:
            path, args = self._expand(path), self._expand(args)
        return self._file(next(command.trees("device"), None), path), args

    def _expand(self, text: str) -> str:
        """Put in what Solaris' `kernel$` and `module$` put in.

        They give the number of the dataset, which the kernel looks the name up by; it takes the name too.
        """
        text = text.replace("$ISADIR", ISADIR)
        if BOOTFS in text and not self._dataset:
            self.warn(f"{BOOTFS} depends on the pool's bootfs property, and stays as it is")
            return text
        return text.replace(BOOTFS, f"zfs-bootfs={self._dataset}")

    def load_kernel(self, command: Tree, *, expands: bool = False) -> None:
        """Run `kernel`, which unloads the modules of an earlier one."""
        loaded = self._image(command, expands=expands)
        if loaded:
            if self.kernel or self._chainloads:
                self.initrds, self.modules = [], []
            self.kernel, self.args = loaded
            self._chainloads = False

    def load_module(self, command: Tree, *, expands: bool = False) -> None:
        """Run `module` or `modulenounzip`."""
        loaded = self._image(command, expands=expands)
        if loaded:
            self.modules.append(Module(*loaded))

    def load_initrd(self, command: Tree) -> None:
        """Run `initrd`, which takes the place of an earlier one.

        GRUB 0.97 takes the first file only; later ones take all.  What is no path is an argument.
        """
        found: list[FileRef] = []
        device: Tree | None = None
        for child in command.children:
            if isinstance(child, Tree):
                device = child
            elif device or not found or child.text.startswith("/"):
                found.append(self._file(device, child.text))
                device = None
        if found:
            self.initrds = found

    def chainload(self, _command: Tree) -> None:
        """Run `chainloader`: another boot loader, which is not read."""
        self.kernel, self.args, self.initrds, self.modules = None, "", [], []
        self._chainloads = True

    def configuration(self, command: Tree) -> None:
        """Run `configfile`: go to another menu."""
        word = next(command.tokens("WORD"), None)
        if word:
            self.menu = self._file(next(command.trees("device"), None), word.text)
            self.kernel, self.args, self.initrds, self.modules = None, "", [], []
            self._chainloads = False
            self.done = True

    # --- the rest --------------------------------------------------------------------------------

    def lock(self, _command: Tree) -> None:
        """Run `lock`: ask for the menu's password, when it has one."""
        self.locked = True

    def password(self, command: Tree) -> None:
        """Run `password`: ask for one of the entry's own."""
        secret = _secret(command)
        if secret:
            self.secrets.append(secret)

    def boot(self, _command: Tree) -> None:
        """Run `boot`: what follows is never reached."""
        self.done = True


def _load_expanded_kernel(run: _Run, command: Tree) -> None:
    run.load_kernel(command, expands=True)


def _load_expanded_module(run: _Run, command: Tree) -> None:
    run.load_module(command, expands=True)


#: what the names in the grammar do in an entry
_COMMANDS: dict[str, Callable[[_Run, Tree], None]] = {
    "root": _Run.root,
    "root_by_uuid": _Run.root_by_uuid,
    "root_by_signature": _Run.root_by_signature,
    "find": _Run.find,
    "boot_dataset": _Run.boot_dataset,
    "kernel": _Run.load_kernel,
    "kernel_expanded": _load_expanded_kernel,
    "module": _Run.load_module,
    "module_expanded": _load_expanded_module,
    "initrd": _Run.load_initrd,
    "chainloader": _Run.chainload,
    "configuration": _Run.configuration,
    "lock": _Run.lock,
    "password": _Run.password,
    "boot": _Run.boot,
}


def _note(warnings: list[str], message: str) -> None:
    if message not in warnings and len(warnings) < limits.GRUB_LEGACY_WARNINGS.value:
        warnings.append(message)
