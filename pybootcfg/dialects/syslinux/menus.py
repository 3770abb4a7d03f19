"""From labels to the menu: further configurations, submenus, and what is booted by default.

doc/menu.txt of SYSLINUX 6.04; syslinux.cfg(5), DEFAULT, UI, ONTIMEOUT, ONERROR, CONFIG, TIMEOUT.
"""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.dialects.syslinux import entries
from pybootcfg.dialects.syslinux.commands import MENU_MODULES, Commands, Run, shows_menu
from pybootcfg.dialects.syslinux.names import Names
from pybootcfg.dialects.syslinux.parts import Command, Label, MenuPart, Warnings, mark, path
from pybootcfg.dialects.syslinux.reader import Reader, Work
from pybootcfg.errors import BootcfgError, LimitExceeded, printable
from pybootcfg.menu import Entry, FileRef, Item, Menu, Password, Place, Scheme, Submenu
from pybootcfg.values import NamedTuple

_TENTHS = 10
_CRYPT = ("$1$", "$5$", "$6$")  # as crypt(5) writes them; `$4$`, a salted SHA-1, is SYSLINUX's own

#: A configuration as it is loaded: its files, and the current directory.
Key = tuple[tuple[FileRef, ...], str]


class Shown(NamedTuple):
    """A configuration as a menu shows it."""

    items: tuple[Item, ...]
    defaults: tuple[str, ...]
    reader: Reader


class Session:
    """All configurations that one menu leads to.  Each is shown once, at the first label that loads it."""

    def __init__(self, config: FileRef) -> None:
        self.config = config
        self.warnings = Warnings()
        self._work = Work()
        self._depth = 0
        self._loaded: set[Key] = set()
        self._passwords: list[Password] = []
        self._restricts = False

    def menu(self, names: Names) -> Menu:
        """Return the menu of the configuration; raises BootcfgError when it cannot be read."""
        shown = self._load(((self.config,), names.folder), names)
        reader = shown.reader
        if reader.master_password:
            self.add_password("", reader.master_password)
        owned = self._restricts or not reader.allowoptions
        waits = [tenths for tenths in (reader.timeout, reader.totaltimeout) if tenths > 0]
        return Menu(
            "syslinux",
            self.config,
            shown.items,
            shown.defaults,
            min(waits) / _TENTHS if waits else None,
            reader.hidden,
            tuple(self.warnings.texts),
            ("",) if reader.master_password else () if owned else None,
            tuple(self._passwords),
        )

    def add_password(self, user: str, secret: str) -> None:
        """Take note of a password: the master password belongs to nobody, others to their entry."""
        self._restricts = True
        if not secret:
            return
        if secret.startswith("$4$"):
            self.warnings.add("a password that MENU PASSWD gives as SHA-1 ($4$) cannot be checked")
            return
        scheme = Scheme.CRYPT if secret.startswith(_CRYPT) else Scheme.PLAIN
        self._passwords.append(Password(user, scheme, secret))

    def _load(self, key: Key, names: Names) -> Shown:
        files, _ = key
        self._loaded.add(key)
        self._depth += 1
        reader = Reader(names, self._work, self.warnings, Place(files[0], 1))
        for file in files:
            self._work.files.spend()
            reader.read(file)
        reader.finish()
        shown = _Showing(self, reader).shown()
        self._depth -= 1
        return shown

    def load_other(self, key: Key, names: Names, warnings: Warnings) -> Shown | None:
        """Return a further configuration; None when it is shown elsewhere or cannot be read."""
        if key in self._loaded:
            return None
        if self._depth >= limits.SYSLINUX_MENU_DEPTH.value:
            warnings.add(f"the configuration is not read: it is the {self._depth}th in one another")
            return None
        depth = self._depth
        try:
            return self._load(key, names)
        except LimitExceeded:
            raise
        except BootcfgError as error:
            self._depth = depth
            warnings.add(f"the configuration is not read: {error}")
            return None


class _Showing:
    """One configuration while its menu is made."""

    def __init__(self, session: Session, reader: Reader) -> None:
        self._session = session
        self._reader = reader
        self._commands = Commands(reader)
        self._early: dict[int, Item] = {}

    def shown(self) -> Shown:
        """Return the menu, with its default; of another configuration, if this one's UI shows that."""
        instead = self._instead()
        if instead is not None:
            return instead
        defaults = self._defaults()
        return Shown(self._items(self._reader.top), defaults, self._reader)

    # --- what is booted --------------------------------------------------------------------------

    def _instead(self) -> Shown | None:
        """Return the configurations that a UI such as `menu.c32 OTHER.CFG` shows in place of this one."""
        reader = self._reader
        words = (reader.ui or reader.default).split()
        if not words or (not reader.ui and reader.find(" ".join(words)) is not None):
            return None
        run = Run("com32", words[0], tuple(words[1:]))
        if run.module not in MENU_MODULES or not run.args:
            return None
        key, names = self._target(run, self._session.warnings)
        return self._session.load_other(key, names, self._session.warnings)

    def _defaults(self) -> tuple[str, ...]:
        reader, top = self._reader, self._reader.top
        words = reader.default.split()
        menu = bool(reader.ui) or (shows_menu(words) and reader.find(reader.default) is None)
        if not reader.ui and menu:
            words = []  # the default is the menu itself
        reader.mark_start()
        wanted = self._wanted(words, options=not menu) if words else None
        if wanted is not None and menu and not wanted.selectable:
            wanted = None  # a menu cannot mark what it does not show
        if wanted is not None:
            mark(wanted)
        elif top.default is None and (first := top.first()) is not None:
            mark(first)
        wishes = [] if top.default is None else [path(wanted or top.default)]
        timeout = self._wanted(reader.ontimeout.split(), options=True) if reader.ontimeout else None
        mishap = reader.onerror.split()
        error = self._wanted(mishap, options=True) if mishap and not shows_menu(mishap) else None
        wishes += [path(label) for label in (timeout, error) if label is not None]
        for label in (wanted, timeout, error):
            if label is not None and not label.disabled:
                self._early[id(label)] = self._item(label)
        return tuple(dict.fromkeys(wishes))

    def _wanted(self, words: list[str], *, options: bool) -> Label | None:
        """Return the label that a command line names, one made for it, or None when there is none."""
        reader, command = self._reader, " ".join(words)
        label = reader.find(command)
        extra = label is not None and label.name != command and label.first_word != command
        if label is not None and not (extra and options and " " not in label.name):
            return label
        if label is not None or self._is_file(words):
            return self._made_label(words)
        place = reader.default_place
        number = command if command.isascii() and command.isdecimal() and len(command) < len("10000") else "0"
        if 1 <= int(number) <= len(reader.labels):
            self._session.warnings.at(place, f"there is no label {command}; it is taken for a number")
            return reader.labels[int(number) - 1]
        self._session.warnings.at(place, f"there is no label {printable(command)}")
        return None

    def _is_file(self, words: list[str]) -> bool:
        """Tell whether a file may be meant; without any labels it is taken to be there."""
        if not self._reader.implicit or shows_menu(words):
            return False
        alone = not self._reader.labels and not self._session.warnings.texts
        return alone or self._commands.exists(words, self._session.warnings)

    def _made_label(self, words: list[str]) -> Label:
        """Return a label, not shown, for a command line that the boot loader runs as if it were typed in."""
        run = self._commands.typed(words) or Run("linux", words[0], tuple(words[1:]))
        top = self._reader.top
        label = Label(
            " ".join(words), self._reader.default_place, top, Command(run.type, (run.name, *run.args))
        )
        label.initrd, label.devicetree, label.sysappend = run.initrd, run.devicetree, run.sysappend
        label.hidden = True
        top.add(label)
        return label

    # --- items -----------------------------------------------------------------------------------

    def _items(self, menu: MenuPart) -> tuple[Item, ...]:
        return tuple(map(self._part, menu.parts))

    def _part(self, part: Label | MenuPart) -> Item:
        if isinstance(part, MenuPart):
            return self._submenu(part)
        return self._early.get(id(part)) or self._item(part)

    def _submenu(self, menu: MenuPart) -> Submenu:
        marked = menu.default or menu.first()
        title = menu.label or menu.title or menu.tag
        if menu.password is not None:
            self._session.add_password(title, menu.password)
        return Submenu(
            title,
            menu.place,
            menu.tag,
            self._items(menu),
            () if marked is None else (str(marked.number),),
            restricted=menu.password is not None,
            users=(title,) if menu.password else (),
        )

    def _item(self, label: Label) -> Item:
        warnings = label.warnings
        if label.password is not None:
            self._session.add_password(label.name, label.password)
        run = self._commands.follow(self._commands.of(label), warnings)
        other = run.module in MENU_MODULES
        if label.disabled or not (other or run.type == "config"):
            return entries.entry(label, run, self._commands.names, warnings)
        shown = None
        if run.name and (run.args or not other):
            shown = self._session.load_other(*self._target(run, warnings), warnings)
        if shown is None or not shown.items:
            return self._elsewhere(label, run)
        for text in warnings.texts:  # a submenu has no place for them
            self._session.warnings.add(text)
        title = label.title or label.name
        return Submenu(
            title,
            label.place,
            label.name,
            shown.items,
            shown.defaults,
            label.hidden,
            restricted=label.password is not None,
            users=(label.name,) if label.password else (),
        )

    def _elsewhere(self, label: Label, run: Run) -> Entry:
        """Return the entry for a configuration that is not shown below it."""
        return entries.entry(label, run, self._commands.names, label.warnings)

    def _target(self, run: Run, warnings: Warnings) -> tuple[Key, Names]:
        """Return the files that CONFIG, or a menu module, loads, and what names mean in them."""
        names = self._commands.names
        if run.type == "config":
            files = [names.file(run.name, warnings.add)]
            names = names.enter(run.args[0], warnings.add) if run.args else names
        else:
            files = [
                self._session.config if word == "~" else names.file(word, warnings.add) for word in run.args
            ]
        return (tuple(files), names.folder), names
