"""The command line of pygrub: the real one's options, read as GNU getopt reads them, and ours."""

from __future__ import annotations

import os

from pybootcfg import limits
from pybootcfg.errors import UsageError
from pybootcfg.results import FORMATS
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

USAGE = """\
usage: pygrub [-q|--quiet] [-i|--interactive] [-l|--list-entries] [-n|--not-really]
              [--output=FILE] [--output-format=sxp|simple|simple0|json] [--output-directory=DIR]
              [--kernel=PATH] [--ramdisk=PATH] [--args=TEXT] [--entry=N|TITLE|ID|SUBMENU>ENTRY]
              [--offset=BYTES] [--runas=UID] [--require-sandbox|--no-sandbox] [--isconfig] [--debug]
              [--device=IMAGE]... [--sector-size=512|4096|auto] [--no-journal] [--explain] [--json]
              [--limit=NAME=VALUE]... IMAGE
"""

_SHORT = "qilnh"
_LONG = [
    "quiet",
    "interactive",
    "list-entries",
    "not-really",
    "help",
    "output=",
    "output-format=",
    "output-directory=",
    "offset=",
    "runas=",
    "entry=",
    "kernel=",
    "ramdisk=",
    "args=",
    "isconfig",
    "debug",
]


class Command:
    """The command line, as a value.

    `interactive` is what the last of -i, -q and --entry says, as for the real pygrub.
    """

    image: str = ""
    interactive: bool = True
    list_entries: bool = False
    not_really: bool = False
    help: bool = False
    isconfig: bool = False
    debug: bool = False
    explain: bool = False
    json: bool = False
    journal: bool = True
    output: str = "-"
    output_format: str = "sxp"
    output_directory: str = ""
    offset: int | None = None
    sector_size: int | None = None
    runas: int | None = None
    require_sandbox: bool = False
    no_sandbox: bool = False
    entry: str | None = None
    kernel: str = ""
    ramdisk: str = ""
    args: str = ""
    devices: tuple[str, ...] = ()

    @property
    def copies(self) -> bool:
        """Whether kernel and ramdisk are to be copied out."""
        return not (self.list_entries or self.not_really or self.isconfig)

    @property
    def menu(self) -> bool:
        """Whether a person is to choose."""
        return self.interactive and self.copies


def parse(arguments: list[str]) -> Command:
    """Read the command line as GNU getopt does; raise UsageError for what makes no sense."""
    command = Command()
    rest = [argument for argument in _joined(arguments) if not _own_option(command, argument)]
    options, images = _gnu_getopt(rest)
    for name, value in options:
        _option(command, name, value)
    if not images:
        raise UsageError("no image given")
    command.image = images[0]
    if command.output_format not in FORMATS:
        raise UsageError(f"unknown output format {command.output_format}")
    if command.runas is not None and command.interactive:
        raise UsageError("In order to use --runas, you must also set --entry or -q")
    if command.no_sandbox and (command.require_sandbox or command.runas):
        raise UsageError("--no-sandbox contradicts --require-sandbox and --runas")
    return command


def _gnu_getopt(arguments: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Return options with their values, and the rest, as `getopt.gnu_getopt` would: abbreviations, any order.

    That imports `gettext` and `re`, which take as long as all else that this side of pygrub imports.
    """
    options, rest = [], []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            break
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            name, takes_value = _long_option(name)
            if takes_value and not equals:
                following = next(waiting, None)
                if following is None:
                    raise UsageError(f"option --{name} requires argument")
                value = following
            elif equals and not takes_value:
                raise UsageError(f"option --{name} must not have an argument")
            options.append((f"--{name}", value))
        elif argument.startswith("-") and argument != "-":
            for letter in argument[1:]:
                if letter not in _SHORT:
                    raise UsageError(f"option -{letter} not recognized")
                options.append((f"-{letter}", ""))
        else:
            rest.append(argument)
            if os.environ.get("POSIXLY_CORRECT"):
                break
    return options, [*rest, *waiting]


def _long_option(name: str) -> tuple[str, bool]:
    """Return the option that a name or an abbreviation stands for, and whether it takes a value."""
    if name in _LONG:
        return name, False
    if f"{name}=" in _LONG:
        return name, True
    possible = [option for option in _LONG if option.startswith(name)]
    if not possible:
        raise UsageError(f"option --{name} not recognized")
    if len(possible) > 1:
        raise UsageError(f"option --{name} not a unique prefix")
    return possible[0].removesuffix("="), possible[0].endswith("=")


#: our own, never abbreviated, so that they make no abbreviation of the others ambiguous
_OWN_FLAGS = {
    "--no-journal": ("journal", False),
    "--explain": ("explain", True),
    "--json": ("json", True),
    "--require-sandbox": ("require_sandbox", True),
    "--no-sandbox": ("no_sandbox", True),
}


_OWN_VALUES = ("--device", "--limit", "--sector-size")


def _joined(arguments: list[str]) -> Iterator[str]:
    """Yield the arguments, values that stand behind options of our own joined to them."""
    words = iter(arguments)
    for word in words:
        value = next(words, None) if word in _OWN_VALUES else None
        yield word if value is None else f"{word}={value}"


def _own_option(command: Command, argument: str) -> bool:
    name, _, value = argument.partition("=")
    if argument in _OWN_FLAGS:
        setattr(command, *_OWN_FLAGS[argument])
    elif name == "--device" and value:
        command.devices += (value,)
    elif name == "--limit" and value:
        limits.allow(value)
    elif name == "--sector-size" and value in ("512", "4096", "auto"):
        command.sector_size = None if value == "auto" else int(value)
    else:
        return False
    return True


_FLAGS = {
    "-l": "list_entries",
    "-n": "not_really",
    "-h": "help",
}


def _option(command: Command, name: str, value: str) -> None:
    attribute = _FLAGS.get(name) or name.removeprefix("--").replace("-", "_")
    if name in ("-q", "--quiet", "-i", "--interactive"):
        command.interactive = name in ("-i", "--interactive")
    elif attribute in ("offset", "runas"):
        try:
            setattr(command, attribute, int(value))
        except ValueError:
            kind = "an integer" if attribute == "offset" else "an integer user id"
            raise UsageError(f"{attribute} value must be {kind}") from None
    else:
        setattr(command, attribute, True if isinstance(getattr(command, attribute), bool) else value)
        if attribute == "entry":
            command.interactive = False
