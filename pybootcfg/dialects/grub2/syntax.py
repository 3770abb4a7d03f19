"""The text of a script, unit by unit, and what GRUB says of a unit that is wrong.

GRUB reads a line, and more while a block or a quote is open; that is a unit, all of which is parsed
before any of it runs.  A unit that is wrong is dropped as far as it has been read, and GRUB goes on
at the line after.
"""

from __future__ import annotations

import functools

from pybootcfg import grammar, limits
from pybootcfg.errors import ConfigError
from pybootcfg.grammar import SyntaxMismatch, Text, Token, Tree
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

_OPENERS = frozenset(["NAME", "WORD", "_IF", "_FOR", "_WHILE", "_UNTIL", "_FUNCTION"])  # of a statement

Word = Token  #: a word as the grammar takes it, not yet expanded
SYNTAX_ERROR = "syntax error"


def file_text(data: bytes, name: str) -> Text:
    """Return a file's text as GRUB hands it to its parser.

    Carriage returns are gone, and so are the lines that begin with `#`, inside quotes too.
    """
    limits.GRUB_TEXT.check(len(data), name)
    text = data.decode("utf-8", "surrogateescape").replace("\r", "")
    if text and not text.endswith("\n"):
        text += "\n"
    if not text.startswith("#") and "\n#" not in text:
        return Text(text, name)
    lines = [f"{line}\n" for line in text.split("\n")][:-1]
    from array import array

    numbers = array("I", (number for number, line in enumerate(lines, 1) if not line.startswith("#")))
    return Text("".join(lines[number - 1] for number in numbers), name, numbers)


def string_text(source: str, name: str) -> Text:
    """Return a string that is run as a script, such as the argument of `eval`."""
    return Text(source if source.endswith("\n") else f"{source}\n", name)


def units(text: Text) -> Iterator[Tree | SyntaxMismatch]:
    """Yield the units of a script: each a tree, or the mistake for which GRUB drops it."""
    parser = grammar.load("grub2")
    offset = 0
    while offset < len(text.text):
        if text.text[offset] == "\n":
            offset += 1  # a blank line
            continue
        try:
            tree, offset = parser.parse_prefix(text, offset)
        except SyntaxMismatch as mistake:
            offset = _resume(text, mistake)
            yield mistake
        else:
            if tree.children:
                yield tree


def _resume(text: Text, mistake: SyntaxMismatch) -> int:
    """Return where GRUB goes on: after the last line that it read for the unit."""
    token = mistake.token
    if _is_unclosed(text, token):
        return len(text.text)
    quoted = None if token.type else _quoted().match(text.text, token.offset)
    end = quoted.end() if quoted else token.offset + len(token.text)
    return text.next_line(max(end - 1, token.offset))


@functools.cache
def _quoted() -> re.Pattern[str]:
    """Return what matches a quoted string; needed only where something is wrong."""
    import re

    return re.compile(r""" '[^']*' | \$?"(?:[^\\"]++|\\.)*+" """, re.VERBOSE | re.DOTALL)


def _is_unclosed(text: Text, token: Token) -> bool:
    """Tell whether a quote begins that is never closed: it takes all that follows with it."""
    opens = token.text in ("'", '"') or text.text.startswith('$"', token.offset)
    return not token.type and opens and not _quoted().match(text.text, token.offset)


def grubs_words(text: Text, mistake: SyntaxMismatch) -> Iterator[str]:
    """Yield the messages that GRUB prints for a mistake, which its parser repeats as it recovers."""
    token = mistake.token
    if mistake.at_end or _is_unclosed(text, token):
        yield "out of memory"
    elif not token.type and token.text == "$":
        yield "$"
    yield SYNTAX_ERROR
    begins = "_FUNCTION" in mistake.expected and "_SEMICOLON" not in mistake.expected
    first = text.text.rfind("\n", 0, token.offset) + 1
    if not begins or not text.text[first : token.offset].strip(" \t"):
        yield "Incorrect command"
        yield SYNTAX_ERROR
        if token.type in _OPENERS:
            yield "Incorrect command"
            yield SYNTAX_ERROR


def check(data: bytes, name: str = "") -> list[ConfigError]:
    """Judge the syntax of a script; the mistakes in the order in which they stand."""
    found: list[ConfigError] = []
    commands = False
    for unit in units(file_text(data, name)):
        if isinstance(unit, SyntaxMismatch):
            found.append(unit)
        elif any(tree.data != "function" for tree in unit.trees()):
            commands = True
    if not found and not commands:
        found.append(ConfigError("the script holds no commands and will do nothing", file=name))
    return found
