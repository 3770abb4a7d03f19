"""The two commands as data: what their manual pages and their shell completions are made from.

`pybootcfg` is described by its own argparse parser.  `pygrub` reads its options with getopt, so they
stand here; a test compares them with what `pygrub --help` lists.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

#: what a value is, by the word that stands for it; other words stand for what cannot be completed
FILES = frozenset({"FILE", "IMAGE"})
DIRECTORIES = frozenset({"DIR"})
#: names inside an image, which `pybootcfg inspect --complete` completes
PLACES = frozenset({"PLACE"})


class Option(NamedTuple):
    """An option: its names, the word for its value (empty: it takes none), what it does."""

    names: tuple[str, ...]
    value: str
    help: str
    choices: tuple[str, ...] = ()
    repeats: bool = False


class Argument(NamedTuple):
    """An argument that is no option: the word for it, and how often it may stand there."""

    value: str
    help: str = ""
    optional: bool = False
    repeats: bool = False


@dataclass(frozen=True)
class Command:
    """A command, or one of the commands of `pybootcfg`."""

    name: str
    summary: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    commands: tuple[Command, ...] = ()

    def synopsis(self) -> str:
        """Return the arguments as they stand in a synopsis."""
        shown = []
        for argument in self.arguments:
            text = f"{argument.value}..." if argument.repeats else argument.value
            shown.append(f"[{text}]" if argument.optional else text)
        return " ".join(shown)


PYGRUB = Command(
    "pygrub",
    "find a guest's kernel in its disk image and tell the toolstack",
    (
        Option(("-q", "--quiet"), "", "Show no menu; boot the default entry."),
        Option(
            ("-i", "--interactive"), "", "Show the menu: the default. Of -i, -q and --entry the last counts."
        ),
        Option(("-l", "--list-entries"), "", "List the entries of the menu and do nothing else."),
        Option(
            ("-n", "--not-really"), "", "Copy nothing; print what would be booted by its paths in the guest."
        ),
        Option(("-h", "--help"), "", "Print the usage."),
        Option(
            ("--output",),
            "FILE",
            "Write the result to FILE, a file or FIFO that is there already, instead of to standard output; "
            "- is standard output.",
        ),
        Option(
            ("--output-format",),
            "FORMAT",
            "The form of the result: an S-expression, lines, the same ended by NUL bytes (as libxl reads "
            "them), or JSON. The default is sxp.",
            ("sxp", "simple", "simple0", "json"),
        ),
        Option(
            ("--output-directory",),
            "DIR",
            "Put kernel and ramdisk into DIR, which must exist. The default is /var/run/xen/pygrub, made "
            "when it is missing.",
        ),
        Option(
            ("--kernel",),
            "PATH",
            "Boot this kernel of the guest without looking at its configuration.",
        ),
        Option(("--ramdisk",), "PATH", "The initial ramdisk that goes with --kernel."),
        Option(("--args",), "TEXT", "Add TEXT to the kernel's arguments."),
        Option(
            ("--entry",),
            "ENTRY",
            "Boot this entry: its number as listed by -l, counted from 0, its title, its identifier, or "
            "titles below each other with > between them. No menu is shown.",
        ),
        Option(("--offset",), "BYTES", "Treat this offset of the image as the only volume."),
        Option(("--runas",), "UID", "Read the guest as this user instead of as nobody; needs -q or --entry."),
        Option(
            ("--require-sandbox",),
            "",
            "Fail when this system lacks a layer of the sandbox, not just say so.",
        ),
        Option(("--no-sandbox",), "", "Read the guest without a sandbox. Only for guests that you trust."),
        Option(("--isconfig",), "", "IMAGE is a boot loader's configuration, no disk; print what it boots."),
        Option(("--device",), "IMAGE", "A further disk of the same guest.", repeats=True),
        Option(
            ("--sector-size",),
            "SIZE",
            "The size of the image's sectors; auto is the default.",
            ("512", "4096", "auto"),
        ),
        Option(("--no-journal",), "", "Read what is on the disk, without replaying journals in memory."),
        Option(
            ("--limit",),
            "NAME=VALUE",
            "Replace a limit against hostile images; pybootcfg limits lists them.",
            repeats=True,
        ),
        Option(("--explain",), "", "Say on standard error why this is booted."),
        Option(("--json",), "", "With -l, list the entries as JSON."),
        Option(("--debug",), "", "Show tracebacks."),
    ),
    (Argument("IMAGE"),),
)


def pybootcfg() -> Command:
    """Return what the parser of `pybootcfg` says of it."""
    from pybootcfg.cli import commands

    parser = commands._parser()
    below = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in below._choices_actions}
    found = tuple(_command(name, helps[name], inner) for name, inner in below.choices.items())
    summary = "look at what a guest would boot, and at everything on its disk that leads there"
    return Command("pybootcfg", summary, _options(parser), (), found)


def _command(name: str, summary: str, parser: argparse.ArgumentParser) -> Command:
    arguments = tuple(
        Argument(
            str(action.metavar or action.dest),
            action.help or "",
            optional=action.nargs == "?",
            repeats=action.nargs in ("+", "*"),
        )
        for action in parser._actions
        if not action.option_strings
    )
    return Command(name, summary, _options(parser), arguments)


def _options(parser: argparse.ArgumentParser) -> tuple[Option, ...]:
    return tuple(
        Option(
            tuple(sorted(action.option_strings, key=len)),
            "" if action.nargs == 0 else str(action.metavar or action.dest).upper(),
            _sentence(action.help or ""),
            tuple(map(str, action.choices or ())),
            repeats=isinstance(action, argparse._AppendAction),
        )
        for action in parser._actions
        if action.option_strings and action.help != argparse.SUPPRESS
    )


def _sentence(text: str) -> str:
    text = text.replace("%(prog)s", "the program")
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") or not text else ".")


def common_options(commands: Sequence[Command]) -> tuple[Option, ...]:
    """Return the options that all of some commands have."""
    return tuple(
        option for option in commands[0].options if all(option in command.options for command in commands)
    )
