"""LILO: lilo.conf.

lilo.conf(5), and the sources of LILO 22.7 where the manual page is silent: cfg.c (tokens, options),
bsect.c (`bsect_common`: what is inherited, and the order of the command line).

LILO is an installer: it refuses a configuration with a mistake, and what boots then is what an earlier
one installed.  A mistake in the syntax is an error here too; unknown, misplaced and repeated options,
which differ between versions, are passed over with a warning.
"""

from __future__ import annotations

from pybootcfg import grammar, limits, numerals
from pybootcfg.dialects.base import Machine, SearchKey, Settings
from pybootcfg.errors import printable
from pybootcfg.grammar import Text, Token
from pybootcfg.kind import Kind
from pybootcfg.menu import Entry, EntryKind, FileRef, Menu, Place
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT_DIRECTORY = "/boot"  #: what another volume may hold, whose files then lie at its root


def _options(flags: str, settings: str) -> dict[str, bool]:
    """Return the names of options, and which of them take a value."""
    return dict.fromkeys(flags.split(), False) | dict.fromkeys(settings.split(), True)


# The tables of cfg.c, and what other versions have beside them.
_GLOBAL = _options(
    flags="bmp-retain change-rules compact el-torito-bootable-cd fix-table geometric ignore-table lba32 "
    "large-memory linear lock mandatory master-boot nodevcache noraid nowarn optional prompt read-only "
    "read-write restricted single-key static-bios-codes suppress-boot-time-bios-data unattended",
    settings="append backup bios-passes-dl bitmap bmp-colors bmp-table bmp-timer boot boot-as default delay "
    "disk disktab fallback force-backup include initrd install keytable loader map menu-scheme menu-title "
    "message nokbdefault password raid-extra-boot ramdisk root serial timeout verbose vga vmdefault",
)
_IMAGE = _options(
    flags="bmp-retain bypass lock mandatory nokbdisable optional read-only read-write restricted "
    "single-key vmdisable vmwarn",
    settings="addappend alias append fallback include initrd label literal password ramdisk range root vga",
)
_OTHER = _options(flags="change master-boot unsafe", settings="boot-as loader map-drive table")
_SECTION = _options(  # below disk=, change-rules, change, map-drive=
    flags="activate automatic deactivate inaccessible reset",
    settings="bios cylinders heads hidden max-partitions normal partition sectors set start to type",
)
_KNOWN = {**_SECTION, **_GLOBAL, **_OTHER, **_IMAGE}
_IN_ENTRY = _IMAGE.keys() | _OTHER.keys()
_STARTS = ("image", "other")
_SYNONYMS = {"initial-ramdisk": "initrd"}


class Option(NamedTuple):
    """An option: its name, its value (None without one), and where it stands."""

    name: str
    value: str | None
    place: Place


class _Section:
    """The global options, or those of one image."""

    def __init__(self, start: Option) -> None:
        self.start = start
        self.options: dict[str, str] = {}
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        if message not in self.warnings and len(self.warnings) < limits.LILO_WARNINGS.value:
            self.warnings.append(message)

    def set(self, option: Option) -> None:
        """Note an option; of a repeated one, which LILO refuses, the last counts."""
        if option.name in self.options:
            self.warn(f"line {option.place.line}: {printable(option.name)} is given twice")
        self.options[option.name] = option.value or ""


def interpret(machine: Machine, config: FileRef, settings: Settings) -> Menu:  # noqa: ARG001
    """Return the menu that a lilo.conf describes.

    Raises ConfigError for a mistake in the syntax, and BootcfgError when the file cannot be read.
    """
    top, sections = _sections(_Reader(machine).options(config), config)
    files = _Files(machine, config.volume)
    entries = [_entry(section, top, files) for section in sections]
    missing = {index for index, section in enumerate(sections) if _is_left_out(section, top, files)}
    if len(missing) < len(sections) and any(files.exists(path) for s in sections for path in _paths(s, top)):
        entries = [entry for index, entry in enumerate(entries) if index not in missing]
    return Menu(
        "lilo",
        config,
        tuple(entries),
        _defaults(top, entries),
        _timeout(top),
        hidden="prompt" not in top.options,
        warnings=tuple(top.warnings),
    )


# --- from text to options ------------------------------------------------------------------------


class _Reader:
    """Turns a configuration, and what it includes, into options."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._includes = limits.LILO_INCLUDES.budget()

    def options(self, config: FileRef, above: tuple[FileRef, ...] = ()) -> Iterator[Option]:
        """Yield the options in order; those of an included file where it is included."""
        data = self._machine.read(config)
        limits.LILO_TEXT.check(len(data), str(config))
        text = Text(data.decode("utf-8", "surrogateescape").replace("\r", ""), str(config))
        for tree in grammar.load("lilo").parse(text).trees():
            name, *value = tree.tokens()
            place = Place(config, text.line(name.offset))
            option = Option(_name(_word(name)), _word(value[0]) if tree.data == "setting" else None, place)
            if option.name != "include" or not option.value:
                yield option
                continue
            self._includes.spend()
            file = FileRef(option.value, config.volume)
            if file in (config, *above):
                raise text.error(f"{printable(option.value)} includes itself", name.offset)
            yield from self.options(file, (config, *above))


def _name(word: str) -> str:
    return _SYNONYMS.get(word.lower(), word.lower())


def _word(token: Token) -> str:
    """Return what a token says: quotes, backslashes and variables, of which there are none, undone."""
    quoted = token.type == "QUOTED"
    text = token.text[1:-1] if quoted else token.text
    if "\\" not in text and "$" not in text:
        return text
    parts = []
    for part in grammar.load("lilo_word").parse(Text(text)).tokens():
        match part.type:
            case "ESCAPED":
                parts.append(" " if part.text == "\\\t" else part.text[1:])
            case "CONTINUATION":
                parts.append(" " if quoted else "")
            case "TEXT" | "DOLLAR":
                parts.append(part.text)
    return "".join(parts)


def _sections(options: Iterator[Option], config: FileRef) -> tuple[_Section, list[_Section]]:
    """Sort the options into the global ones and those of each image or other system."""
    top = _Section(Option("", None, Place(config, 1)))
    sections: list[_Section] = []
    count = limits.LILO_ENTRIES.budget(str(config))
    for option in options:
        if option.name in _STARTS and option.value:
            count.spend()
            sections.append(_Section(option))
            continue
        _check(option, top)
        if sections and option.name in _IN_ENTRY:
            sections[-1].set(option)
        elif option.name in _GLOBAL:
            if sections:
                top.warn(f"line {option.place.line}: {option.name} belongs before the first image")
            top.set(option)
        elif option.name in _IN_ENTRY:
            top.warn(f"line {option.place.line}: {option.name} belongs below an image")
    return top, sections


def _check(option: Option, top: _Section) -> None:
    line, name = option.place.line, printable(option.name)
    takes_value = _KNOWN.get(option.name)
    if takes_value is None:
        top.warn(f"line {line}: the option {name} is unknown")
    elif takes_value != (option.value is not None):
        top.warn(f"line {line}: {name} takes {'a' if takes_value else 'no'} value")


# --- files ---------------------------------------------------------------------------------------


class _Files:
    """The files of the guest, whose root is the volume that the configuration lies on."""

    def __init__(self, machine: Machine, volume: str) -> None:
        self._machine = machine
        self.volume = volume
        self._questions = limits.LILO_QUESTIONS.budget()
        self._found: dict[str, FileRef | None] = {}

    def exists(self, path: str) -> bool:
        """Tell whether a path leads to something."""
        return self._find(path) is not None

    def place(self, path: str, section: _Section) -> FileRef:
        """Return the file that a path means, on whatever volume it is."""
        found = self._find(path)
        if found and found.volume != self.volume:
            section.warn(f"{printable(path)} is not on {self.volume}; {printable(str(found))} is taken")
        return found or FileRef(path, self.volume)

    def _find(self, path: str) -> FileRef | None:
        if path not in self._found:
            self._questions.spend()
            self._found[path] = self._look_for(path)
        return self._found[path]

    def _look_for(self, path: str) -> FileRef | None:
        """Look on the root; then for a volume mounted at its /boot, or below it."""
        own = FileRef(path, self.volume)
        if self._machine.kind(own) is not None:
            return own
        below = path.removeprefix(ROOT_DIRECTORY)
        for name in (below, path) if below != path and below.startswith("/") else (path,):
            for volume in self._machine.search(SearchKey.FILE, name):
                if volume != self.volume and self._machine.kind(FileRef(name, volume)) is Kind.FILE:
                    return FileRef(name, volume)
        return None


def _paths(section: _Section, top: _Section) -> list[str]:
    """Return the files that an image needs."""
    if section.start.name != "image" or "range" in section.options:
        return []
    initrd = _inherited("initrd", section, top)
    return [path for path in (section.start.value, initrd) if path]


def _is_left_out(section: _Section, top: _Section, files: _Files) -> bool:
    """Tell whether LILO would leave out an `optional` image, for want of a file."""
    optional = "optional" in section.options or "optional" in top.options
    return optional and not all(files.exists(path) for path in _paths(section, top))


# --- from options to entries ---------------------------------------------------------------------


def _inherited(name: str, section: _Section, top: _Section) -> str | None:
    return section.options.get(name, top.options.get(name))


def _entry(section: _Section, top: _Section, files: _Files) -> Entry:
    """Return the entry of an image or of another system, which is known by its device."""
    options, path = section.options, section.start.value or ""
    title = options.get("label") or path.rpartition("/")[2]
    restricted = _is_restricted(options, top.options)
    if section.start.name == "other":
        kind, kernel = EntryKind.CHAINLOAD, FileRef(path, files.volume)
    elif "range" in options:
        kind, kernel = EntryKind.OTHER, None
        section.warn(f"the kernel lies outside of files, in {printable(path)}")
    else:
        kind, kernel = EntryKind.LINUX, files.place(path, section)
    initrd = _inherited("initrd", section, top) if kind is EntryKind.LINUX else None
    return Entry(
        title,
        kind,
        section.start.place,
        id=options.get("alias", ""),
        kernel=kernel,
        initrds=(files.place(initrd, section),) if initrd else (),
        args=_command_line(section, top) if section.start.name == "image" else options.get("literal", ""),
        restricted=restricted,
        warnings=tuple(section.warnings),
    )


def _command_line(section: _Section, top: _Section) -> str:
    """Return the command line, in the order of `bsect_common`.

    The blank that LILO puts before it, with `auto` and `BOOT_IMAGE=`, is the boot loader's own.
    """
    own = section.options
    if "literal" in own:
        return own["literal"].removesuffix(" ")
    words = [
        word
        for word, name in (("ro", "read-only"), ("rw", "read-write"))
        if name in own or name in top.options
    ]
    root = _inherited("root", section, top)
    if root is not None:
        words.append(f"root={_root(root, section)}")
    ramdisk = _inherited("ramdisk", section, top)
    if ramdisk is not None:
        words.append(f"ramdisk={_number(ramdisk) or 0}")
    append = _inherited("append", section, top)
    words += [text for text in (append, own.get("addappend")) if text is not None]
    return " ".join(words)


def _root(root: str, section: _Section) -> str:
    """Return what names the root; LILO passes the number of a device, which its name stands for here."""
    if root.lower() == "current":
        section.warn("root=current is the device that was mounted when LILO was installed")
    number = _number(root) if root[:1].isdigit() else None
    return root if number is None else f"{number:x}"


def _number(text: str) -> int | None:
    """Read a number in C's notation; None when it is none."""
    try:
        number = numerals.read(text)
    except (numerals.NoDigits, numerals.TooLarge):
        return None
    return None if number.rest else number.value


def _is_restricted(own: Mapping[str, str], top: Mapping[str, str]) -> bool:
    """Tell whether booting asks for a password; a `restricted` one does only when arguments are given."""
    if "password" not in own and ("password" not in top or "bypass" in own):
        return False
    return "mandatory" in own or not ("restricted" in own or "restricted" in top)


def _defaults(top: _Section, entries: list[Entry]) -> tuple[str, ...]:
    """Return the default as a number: labels, unlike numbers, differ in case and may be digits."""
    wish = top.options.get("default")
    if wish is None:
        return ()
    for index, entry in enumerate(entries):
        if wish.lower() in (entry.title.lower(), entry.id.lower()):
            return (str(index),)
    top.warn(f"the default {printable(wish)} is not among the images")
    return ()


def _timeout(top: _Section) -> float | None:
    """Return the seconds that the prompt waits; tenths of a second are in the file."""
    tenths = _number(top.options.get("timeout", ""))
    return None if tenths is None else tenths / 10
