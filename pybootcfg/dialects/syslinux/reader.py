"""Reads configurations, statement by statement, as SYSLINUX 6 does.

syslinux.cfg(5) and doc/menu.txt of SYSLINUX 6.04, https://wiki.syslinux.org/wiki/index.php?title=Config
"""

from __future__ import annotations

from pybootcfg import grammar, limits
from pybootcfg.dialects.syslinux.names import Names
from pybootcfg.dialects.syslinux.parts import Command, Label, MenuPart, Warnings, mark
from pybootcfg.errors import ConfigError, GuestFileMissing, ImageError, UnsupportedFeature, printable
from pybootcfg.grammar import Text, Token, Tree
from pybootcfg.menu import FileRef, Place
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LONG_LINE = 4095  #: characters that SYSLINUX reads at a time
_DIGITS = 9


class Work:
    """What all configurations of one menu may take together."""

    def __init__(self) -> None:
        self.text = limits.SYSLINUX_TEXT.budget()
        self.statements = limits.SYSLINUX_STATEMENTS.budget()
        self.labels = limits.SYSLINUX_LABELS.budget()
        self.files = limits.SYSLINUX_FILES.budget()


class Statement:
    """A statement and where it stands."""

    def __init__(self, tree: Tree, text: Text, file: FileRef) -> None:
        self._tree = tree
        self._text = text
        self.place = Place(file, text.line(tree.offset))

    @property
    def words(self) -> tuple[str, ...]:
        """The words after the keyword."""
        return tuple(token.text for token in self._tree.tokens())

    @property
    def rest(self) -> str:
        """The line after the keyword."""
        return next((token.text for token in self._tree.tokens()), "")

    @property
    def number(self) -> int:
        """The number after the keyword; 0 when there is none."""
        return _number(self.words[0]) if self.words else 0

    def error(self, message: str) -> ConfigError:
        """Return an error at this statement."""
        token = next((child for child in self._tree.children if isinstance(child, Token)), None)
        offset = token.offset if token else self._tree.offset
        return self._text.error(message, offset)


class Reader:
    """What configurations say, one after another, as if they were one file."""

    def __init__(self, names: Names, work: Work, warnings: Warnings, top: Place) -> None:
        self.names = names
        self.top = self.start = MenuPart(top)
        self.labels: list[Label] = []
        self.default = self.ui = self.ontimeout = self.onerror = ""
        self.default_place = top
        self.timeout = self.totaltimeout = 0  #: in tenths of a second
        self.hidden = False
        self.implicit = self.allowoptions = True
        self.master_password = ""
        self._by_name: dict[str, Label] = {}
        self._by_word: dict[str, Label] = {}
        self._append: tuple[str, ...] = ()
        self._sysappend = 0
        self._menu = self.top
        self._label: Label | None = None
        self._including: list[FileRef] = []
        self._work = work
        self._warnings = warnings

    # --- files -----------------------------------------------------------------------------------

    def read(self, file: FileRef) -> None:
        """Read a configuration; raises BootcfgError when the guest cannot give it."""
        self._run(file, self.names.machine.read(file))

    def _run(self, file: FileRef, contents: bytes) -> None:
        data = contents.decode("utf-8", "surrogateescape")
        self._work.text.spend(len(data))
        text = Text(data if data.endswith("\n") else f"{data}\n", str(file))
        self._work.statements.spend(text.text.count("\n"))
        self._check_lines(text, file)
        parser = grammar.load("syslinux")
        offset = 0
        self._including.append(file)
        while offset < len(text.text):
            tree, offset = parser.parse_prefix(text, offset)
            for statement in tree.trees():
                _STATEMENTS[statement.data](self, Statement(statement, text, file))
        self._including.pop()

    def finish(self) -> None:
        """Take note that no more is to come."""
        self._end_label()

    def _check_lines(self, text: Text, file: FileRef) -> None:
        for number, line in enumerate(text.text.split("\n"), 1):
            if len(line) > _LONG_LINE:
                limits.SYSLINUX_LINE.check(len(line), f"{printable(str(file))}:{number}")
                self._warnings.at(Place(file, number), f"SYSLINUX cuts the line after {_LONG_LINE} bytes")

    def _include(self, statement: Statement) -> None:
        if not statement.words:
            return
        name, *tag = statement.words
        file = self.names.file(name, lambda text: self._warnings.at(statement.place, text))
        if file in self._including:
            raise statement.error(f"{printable(file.path)} includes itself, which never ends")
        limits.SYSLINUX_INCLUDES.check(len(self._including), printable(str(statement.place.file)))
        self._work.files.spend()
        try:
            contents = self.names.machine.read(file)
        except (GuestFileMissing, ImageError, UnsupportedFeature) as error:
            self._warnings.at(statement.place, f"{printable(name)} is not included: {error}")
            return
        if tag:
            self._begin_menu(tag[0], statement.place)
        self._run(file, contents)
        if tag:
            self._end_menu()

    # --- labels ----------------------------------------------------------------------------------

    def _start_label(self, statement: Statement) -> None:
        self._end_label()
        self._work.labels.spend()
        name = statement.rest
        words = tuple(name.split(maxsplit=1)[:1])
        self._label = Label(name, statement.place, self._menu, Command("kernel", words))
        self._label.sysappend = self._sysappend

    def _end_label(self) -> None:
        label, self._label = self._label, None
        if label is None or not label.name:
            return
        if label.append is None:
            label.append = self._append
        if label.append == ("-",):
            label.append = ()
        self._menu.add(label)
        self.labels.append(label)
        self._by_name.setdefault(label.name, label)
        self._by_word.setdefault(label.first_word, label)
        if label.is_default and label.selectable:
            self._menu.default = label

    def set_command(self, type_: str, statement: Statement) -> None:
        """Give the label the command that a kernel-like directive names."""
        if self._label is None:
            self._warnings.at(statement.place, f"{type_.upper()} outside of a LABEL has no effect")
        else:
            self._label.command = Command(type_, statement.words)

    def _set_append(self, statement: Statement) -> None:
        if self._label is None:
            self._append = statement.words
        else:
            self._label.append = statement.words

    def _set_initrd(self, statement: Statement) -> None:
        if self._label is None:
            self._warnings.at(statement.place, "INITRD outside of a LABEL has no effect")
            return
        self._label.initrd = statement.rest
        if len(statement.words) > 1:
            self._label.warnings.at(statement.place, "INITRD takes one word, with commas between files")

    def _set_devicetree(self, statement: Statement) -> None:
        if self._label is not None:
            self._label.devicetree = statement.rest

    def _set_overlays(self, statement: Statement) -> None:
        if self._label is not None:
            self._label.warnings.at(statement.place, "device tree overlays are not looked at")

    def _set_sysappend(self, statement: Statement) -> None:
        if self._label is None:
            self._sysappend = statement.number
        else:
            self._label.sysappend = statement.number

    # --- menus -----------------------------------------------------------------------------------

    def _begin_menu(self, tag: str, place: Place) -> None:
        self._end_label()
        self._work.labels.spend()
        menu = MenuPart(place, tag, self._menu)
        limits.SYSLINUX_MENU_DEPTH.check(menu.depth, printable(str(place.file)))
        self._menu.add(menu)
        self._menu = menu

    def _end_menu(self) -> None:
        self._end_label()
        self._menu = self._menu.menu or self._menu

    def _menu_begin(self, statement: Statement) -> None:
        self._begin_menu(statement.rest, statement.place)

    def _menu_end(self, _statement: Statement) -> None:
        self._end_menu()

    def _menu_separator(self, _statement: Statement) -> None:
        self._end_label()

    def _menu_label(self, statement: Statement) -> None:
        if self._label is not None:
            self._label.title = _title(statement.rest)
        else:
            self._menu.label = _title(statement.rest)

    def _menu_title(self, statement: Statement) -> None:
        self._menu.title = _title(statement.rest)

    def _menu_default(self, _statement: Statement) -> None:
        if self._label is not None:
            self._label.is_default = True
        elif self._menu.menu is not None:
            self._menu.menu.default = self._menu

    def _menu_start(self, _statement: Statement) -> None:
        self.start = self._menu

    def _menu_hide(self, _statement: Statement) -> None:
        if self._label is not None:
            self._label.hidden = True

    def _menu_disable(self, _statement: Statement) -> None:
        if self._label is not None:
            self._label.disabled = True

    def _menu_passwd(self, statement: Statement) -> None:
        (self._menu if self._label is None else self._label).password = statement.rest

    def _menu_master_passwd(self, statement: Statement) -> None:
        self.master_password = statement.rest

    def _menu_hidden(self, _statement: Statement) -> None:
        self.hidden = True

    def _menu_move(self, statement: Statement) -> None:
        if self._label is not None:
            self._label.command = Command("menu", statement.words)

    # --- the rest --------------------------------------------------------------------------------

    def _set_default(self, statement: Statement) -> None:
        self.default, self.default_place = statement.rest, statement.place

    def _set_ui(self, statement: Statement) -> None:
        self.ui = statement.rest

    def _set_ontimeout(self, statement: Statement) -> None:
        self.ontimeout = statement.rest

    def _set_onerror(self, statement: Statement) -> None:
        self.onerror = statement.rest

    def _set_timeout(self, statement: Statement) -> None:
        self.timeout = statement.number

    def _set_totaltimeout(self, statement: Statement) -> None:
        self.totaltimeout = statement.number

    def _set_implicit(self, statement: Statement) -> None:
        self.implicit = statement.number != 0

    def _set_allowoptions(self, statement: Statement) -> None:
        self.allowoptions = statement.number != 0

    def _pass_over(self, statement: Statement) -> None:
        pass

    def _unknown(self, statement: Statement) -> None:
        keyword = printable(statement.rest.split(maxsplit=1)[0])
        self._warnings.at(statement.place, f"{keyword[:40]} is no keyword: the line is passed over")

    # --- the outcome -----------------------------------------------------------------------------

    def find(self, command: str) -> Label | None:
        """Return the label that a command line names.

        U-Boot takes the whole line for the name, SYSLINUX its first word.
        """
        word = command.split(maxsplit=1)[:1]
        return self._by_name.get(command) or (self._by_word.get(word[0]) if word else None)

    def mark_start(self) -> None:
        """Let the menu that MENU START names be the first that is shown."""
        if self.start.menu is not None:
            mark(self.start)


def _number(text: str) -> int:
    """Read a number as C's strtol with base 0 does; 0 when there is none."""
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("+-")
    base, digits = (16, text[2:]) if text[:2].lower() == "0x" else (10, text)
    known = "0123456789abcdefABCDEF"[: 22 if base == 16 else 10]
    found = digits[: len(digits) - len(digits.lstrip(known))][:_DIGITS]
    return sign * int(found, base) if found else 0


def _title(text: str) -> str:
    """Return a label of the menu without the carets that mark its key."""
    return text.replace("^", "")


_TYPES = ("kernel", "linux", "boot", "bss", "pxe", "fdimage", "comboot", "com32", "config", "localboot")


def _command(type_: str) -> Callable[[Reader, Statement], None]:
    return lambda reader, statement: reader.set_command(type_, statement)


_STATEMENTS: dict[str, Callable[[Reader, Statement], None]] = {
    "label": Reader._start_label,
    "default": Reader._set_default,
    "ui": Reader._set_ui,
    "ontimeout": Reader._set_ontimeout,
    "onerror": Reader._set_onerror,
    **{type_: _command(type_) for type_ in _TYPES},
    "append": Reader._set_append,
    "initrd": Reader._set_initrd,
    "fdt": Reader._set_devicetree,
    "fdtdir": Reader._pass_over,
    "fdtoverlays": Reader._set_overlays,
    "sysappend": Reader._set_sysappend,
    "timeout": Reader._set_timeout,
    "totaltimeout": Reader._set_totaltimeout,
    "implicit": Reader._set_implicit,
    "allowoptions": Reader._set_allowoptions,
    "include": Reader._include,
    "help": Reader._pass_over,
    "appearance": Reader._pass_over,
    "unknown": Reader._unknown,
    "menu_label": Reader._menu_label,
    "menu_title": Reader._menu_title,
    "menu_default": Reader._menu_default,
    "menu_hide": Reader._menu_hide,
    "menu_hidden": Reader._menu_hidden,
    "menu_disable": Reader._menu_disable,
    "menu_passwd": Reader._menu_passwd,
    "menu_master_passwd": Reader._menu_master_passwd,
    "menu_separator": Reader._menu_separator,
    "menu_begin": Reader._menu_begin,
    "menu_end": Reader._menu_end,
    "menu_start": Reader._menu_start,
    "menu_goto": Reader._menu_move,
    "menu_exit": Reader._menu_move,
    "menu_quit": Reader._menu_move,
    "menu_include": Reader._include,
    "menu_appearance": Reader._pass_over,
}
