"""How GRUB's commands take their options (`grub_arg_parse`), which is unlike getopt in places.

Options may stand anywhere; `--name value` takes the next word unless it begins with a dash.  Some
commands pass unknown options on as arguments.
"""

from __future__ import annotations

from collections import deque

from pybootcfg.dialects.grub2.failure import Failure, Status
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Option(NamedTuple):
    """One option: its long name, its letter, and whether it has a value."""

    long: str
    letter: str = ""
    takes: bool = False
    optional: bool = False  #: the value may be missing


class Help(Exception):
    """`--help` or `--usage` was asked for: the command does nothing, and does not fail."""


_HELP = Option("help")


class Options(NamedTuple):
    """The options of one command."""

    known: Sequence[Option] = ()
    passes_unknown: bool = False  #: unknown options are arguments
    only_first: bool = False  #: no option counts after the first argument

    def long(self, name: str) -> Option | None:
        """Return the option called `--name`."""
        found = next((option for option in self.known if option.long and option.long == name), None)
        return found or (_HELP if name in ("help", "usage") else None)

    def short(self, letter: str) -> Option | None:
        """Return the option called `-letter`."""
        found = next((option for option in self.known if option.letter == letter), None)
        return found or (_HELP if letter in ("h", "u") else None)


class Parsed:
    """What the words of a command come to: values by an option's long name (or letter), and the rest."""

    def __init__(self, words: list[str] | None = None) -> None:
        self.words = words or []
        self.values: dict[str, list[str | None]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def value(self, name: str) -> str | None:
        """Return the last value given for an option, None when there is none."""
        return self.values.get(name, [None])[-1]

    def all(self, name: str) -> list[str]:
        """Return all values given for an option."""
        return [value for value in self.values.get(name, ()) if value is not None]

    def add(self, option: Option, value: str | None, word: str) -> None:
        """Note an option; raises Failure when it lacks its value or has one too many."""
        if option.takes and value is None and not option.optional:
            raise Failure(Status.BAD_ARGUMENT, f"missing mandatory option for `{option.long}'")
        if not option.takes and value is not None:
            raise Failure(
                Status.BAD_ARGUMENT,
                f"a value was assigned to the argument `{word}' while it doesn't require an argument",
            )
        if option is _HELP:
            raise Help
        self.values.setdefault(option.long or option.letter, []).append(value)


def parse(options: Options, words: Sequence[str]) -> Parsed:
    """Tell options from arguments; raises Failure, or Help."""
    parsed = Parsed()
    rest = deque(words)
    while rest:
        word = rest.popleft()
        if not word.startswith("-") or word == "-" or (parsed.words and options.only_first):
            parsed.words.append(word)
        elif word == "--":
            parsed.words.extend(rest)
            break
        elif word.startswith("--"):
            _long(options, parsed, word, rest)
        else:
            _short(options, parsed, word, rest)
    return parsed


def _long(options: Options, parsed: Parsed, word: str, rest: deque[str]) -> None:
    name, equals, given = word.removeprefix("--").partition("=")
    option = options.long(name)
    if option is None:
        if not options.passes_unknown:
            raise Failure(Status.BAD_ARGUMENT, f"unknown argument `{word}'")
        parsed.words.append(word)
        return
    value = given if equals else None
    if value is None and option.takes and rest and not rest[0].startswith("-"):
        value = rest.popleft()
    parsed.add(option, value, word)


def _short(options: Options, parsed: Parsed, word: str, rest: deque[str]) -> None:
    letters = word.removeprefix("-")
    known = [options.short(letter) for letter in letters]
    if options.passes_unknown and None in known:
        parsed.words.append(word)
        return
    for position, (letter, option) in enumerate(zip(letters, known, strict=True), 1):
        if option is None:
            raise Failure(Status.BAD_ARGUMENT, f"unknown argument `-{letter}'")
        value = None
        if position == len(letters) and option.takes and rest:
            following = rest[0]
            if not option.optional or len(following) < 2 or not following.startswith("-"):
                value = rest.popleft()
        parsed.add(option, value, word)
