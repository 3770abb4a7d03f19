r"""From words to arguments: quotes, variables, field splitting, wildcards.

An argument is built in a form in which a backslash takes the meaning from `*`, `?` and `\`, so that
only what stood unquoted, or came from an unquoted variable, is a wildcard in the end.
"""

from __future__ import annotations

from pybootcfg import grammar, limits
from pybootcfg.dialects.grub2.environment import Environment
from pybootcfg.grammar import Token, Tree
from pybootcfg.numerals import BLANKS
from pybootcfg.values import TYPE_CHECKING, StrEnum

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SPECIAL = frozenset("'\"$\\*?")
_WILD = frozenset("*?\\")
_CACHED_WORDS = 20_000
_CHARACTERS_PER_ARGUMENT = 8  # what making an argument costs, in characters
_HEX = frozenset("0123456789abcdefABCDEF")


class Kind(StrEnum):
    """What a part of a word is."""

    TEXT = "text"  # unquoted, its backslashes still there
    QUOTED = "quoted"
    VARIABLE = "variable"
    QUOTED_VARIABLE = "quoted variable"
    TRANSLATED = "translated"


_Simple = tuple[Kind, str]
Part = _Simple | tuple[Kind, tuple[_Simple, ...]]


class Scope:
    """The positional parameters of a function or of an entry's body."""

    def __init__(self, parameters: Sequence[str]) -> None:
        self.parameters = list(parameters)


class Expander:
    """Turns words into arguments, with the variables as they are at that moment."""

    def __init__(self, environment: Environment, glob: Callable[[str], list[str]]) -> None:
        self._environment = environment
        self._glob = glob
        self._compiled: dict[str, str | tuple[Part, ...]] = {}
        self._work = limits.GRUB_EXPANSION.budget()
        self.scope: Scope | None = None
        self.keeps_hexadecimal = False  #: Fedora's and Red Hat's GRUB let `\\x20` pass, GNU's does not

    def arguments(self, words: Sequence[Token]) -> list[str]:
        """Return the arguments that a command gets."""
        arguments: list[str] = []
        size = 0
        for word in words:
            parts = self._compiled.get(word.text)
            if parts is None:
                parts = self._compile(word.text)
            if isinstance(parts, str):
                arguments.append(parts)
                size += len(parts)
                continue
            for built in self._fields(parts):
                size += len(built)
                self._finish(built, arguments)
        self._work.spend(size + _CHARACTERS_PER_ARGUMENT * len(arguments))
        return arguments

    def _compile(self, word: str) -> str | tuple[Part, ...]:
        compiled: str | tuple[Part, ...] = word
        if not _SPECIAL.isdisjoint(word):
            parts: list[Part] = []
            for tree in grammar.load("grub2_word").parse(grammar.Text(word)).trees():
                parts.extend(_parts(tree))
            compiled = tuple(parts)
        if len(self._compiled) >= _CACHED_WORDS:
            self._compiled.clear()
        self._compiled[word] = compiled
        return compiled

    def _fields(self, parts: Sequence[Part]) -> list[str]:
        """Return the fields that a word falls into, in the form with backslashes."""
        fields: list[str] = []
        current: str | None = None
        for kind, content in parts:
            if isinstance(content, tuple):
                current = (current or "") + self._escape(self._translated(content))
            elif kind is Kind.TEXT:
                current = (current or "") + content
            elif kind is Kind.QUOTED:
                current = (current or "") + self._escape(content)
            else:
                quoted = kind is Kind.QUOTED_VARIABLE
                for index, value in enumerate(self._values(content, quoted=quoted)):
                    if index and current is not None:
                        fields.append(current)
                        current = None
                    current = (current or "") + (self._escape(value) if quoted else _escape_unquoted(value))
        if current is not None:
            fields.append(current)
        return fields

    def _values(self, name: str, *, quoted: bool) -> list[str]:
        values: list[str]
        scope = self.scope
        if name == "@" or name == "*" or name == "#" or name.isdigit():
            if scope is None:
                return []
            if name == "#":
                return [str(len(scope.parameters))]
            if name == "@":
                values = scope.parameters
            elif name == "*":
                values = [" ".join(scope.parameters)] if quoted and scope.parameters else scope.parameters
            else:
                number = int(name) if len(name) < 10 else 0
                values = scope.parameters[number - 1 : number] if number else []
        else:
            value = self._environment.values.get(name)
            values = [value] if value else []
        if quoted:
            return values
        return [field for value in values for field in split(value)]

    def _translated(self, parts: Sequence[_Simple]) -> str:
        text = []
        for kind, content in parts:
            if kind is not Kind.QUOTED_VARIABLE:
                text.append(content)
            elif content == "#":
                text.append(str(len(self.scope.parameters)) if self.scope else "")
            else:
                text.append(self._environment.get(content) or "")
        return "".join(text)

    def _escape(self, text: str) -> str:
        if _WILD.isdisjoint(text):
            return text
        if self.keeps_hexadecimal:
            return _keeping_hexadecimal(text, _escape)
        return _escape(text)

    def _finish(self, built: str, arguments: list[str]) -> None:
        """Expand wildcards, or take the backslashes away."""
        if _WILD.isdisjoint(built):
            arguments.append(built)
            return
        matches = self._glob(built) if built[0] in "/(*" and has_wildcard(built) else []
        if matches:
            self._work.spend(sum(map(len, matches)))
            arguments.extend(matches)
        elif self.keeps_hexadecimal:
            arguments.append(_keeping_hexadecimal(built, unescape))
        else:
            arguments.append(unescape(built))


def _parts(tree: Tree) -> list[Part]:
    kind = tree.data
    text = "".join(token.text for token in tree.tokens())
    if kind in ("text", "escaped"):
        return [(Kind.TEXT, text)]
    if kind == "variable":
        return [(Kind.VARIABLE, text)]
    if kind == "single_quoted":
        return [(Kind.QUOTED, text.strip("'"))]
    if kind == "double_quoted":
        return [(Kind.QUOTED, ""), *_quoted_parts(tree)]
    if kind == "to_translate":
        return [(Kind.TRANSLATED, tuple(_quoted_parts(tree)))]
    return []  # a line continuation


def _quoted_parts(tree: Tree) -> list[_Simple]:
    parts: list[_Simple] = []
    for child in tree.trees():
        text = "".join(token.text for token in child.tokens())
        if child.data == "escaped":
            parts.append((Kind.QUOTED, text.removeprefix("\\")))
        elif child.data == "text":
            parts.append((Kind.QUOTED, text))
        elif child.data == "variable":
            parts.append((Kind.QUOTED_VARIABLE, text))
    return parts


def split(value: str) -> list[str]:
    """Split the value of an unquoted variable at its blanks (GRUB's, which are fewer than Python's)."""
    for blank in BLANKS[1:]:
        if blank in value:
            value = value.replace(blank, " ")
    return [field for field in value.split(" ") if field]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")


def _escape_unquoted(text: str) -> str:
    """Keep the backslashes of an unquoted variable's value, but leave its wildcards what they are."""
    if "\\" not in text:
        return text
    return text.replace("\\", "\\\\").replace("\\?", "\\\\?").replace("\\*", "\\\\*")


def unescape(text: str) -> str:
    """Take away the backslashes that protect what follows them."""
    chars = iter(text)
    return "".join(next(chars, "") if char == "\\" else char for char in chars)


def has_wildcard(text: str) -> bool:
    """Tell whether an unprotected `*` or `?` stands in the text."""
    protected = False
    for char in text:
        if protected:
            protected = False
        elif char == "\\":
            protected = True
        elif char in "*?":
            return True
    return False


def _keeping_hexadecimal(text: str, change: Callable[[str], str]) -> str:
    r"""Change what is not of the form `\x20`."""
    pieces: list[str] = []
    start = search = 0
    while (found := text.find("\\x", search)) >= 0:
        digits = text[found + 2 : found + 4]
        if len(digits) == 2 and _HEX.issuperset(digits):
            pieces += [change(text[start:found]), text[found : found + 4]]
            start = search = found + 4
        else:
            search = found + 2
    return "".join([*pieces, change(text[start:])])
