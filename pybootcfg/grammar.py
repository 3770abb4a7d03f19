"""From grammars to parsers: LALR tables made by Lark, run here with positions kept.

`load("grub2")` takes grammars/grub2.lark.  Lark checks the grammar (LALR(1), strict: no conflict, no
two terminals that collide) and computes the tables.  The build does that once (`prepare`) and writes
them down as a module, with the terminals as compiled regular expressions, so that start-up needs
neither Lark nor `re`.  From the sources there is nothing prepared, and all is made when asked for.

A parse gives `Tree`s and `Token`s, shaped as Lark shapes them: aliases name trees, `_rules` are
inlined, `?rules` with one child vanish, terminals that are filtered out leave no token.  Every tree
and token knows its offset in the text.  A syntax error is a ConfigError with file, line and column,
the line itself, a caret, and what was expected.

Which terminals are looked for depends on what the parser can take next, unless the first line of
the grammar says `// lexer: basic`: then words are reserved everywhere, not only where they fit.
"""

from __future__ import annotations

import bisect
import functools

from pybootcfg import limits
from pybootcfg.bytecode import import_module
from pybootcfg.errors import ConfigError
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, TypedDict

    class Place(TypedDict):
        """Where a ConfigError is, by the names of its arguments."""

        file: str
        line: int
        column: int
        excerpt: str


_END = "$END"  # Lark's name for the end of the text


class Token(NamedTuple):
    """A terminal: its name in the grammar, the text it matched, and where (in characters)."""

    type: str
    text: str
    offset: int


class Tree:
    """A rule: its alias (or name), what it holds, and where its first token stands."""

    __slots__ = ("children", "data", "offset")

    def __init__(self, data: str, children: list[Tree | Token], offset: int) -> None:
        self.data = data
        self.children = children
        self.offset = offset

    def trees(self, data: str = "") -> Iterator[Tree]:
        """Yield the children that are trees, or those of them that are named `data`."""
        for child in self.children:
            if isinstance(child, Tree) and data in ("", child.data):
                yield child

    def tokens(self, kind: str = "") -> Iterator[Token]:
        """Yield the children that are tokens, or those of them that are of type `kind`."""
        for child in self.children:
            if isinstance(child, Token) and kind in ("", child.type):
                yield child


class Text:
    """A configuration's text under its file name; turns offsets into lines and columns.

    `numbers` gives the line number in the file of each line of the text, where some are left out.
    """

    def __init__(self, text: str, file: str = "", numbers: Sequence[int] = ()) -> None:
        self.text = text
        self.file = file
        self._numbers = numbers

    @functools.cached_property
    def _starts(self) -> Sequence[int]:
        from array import array  # a text of nothing but newlines has millions of lines

        starts, start = array("I"), 0
        append, find = starts.append, self.text.find
        append(0)
        while start := find("\n", start) + 1:
            append(start)
        return starts

    def line(self, offset: int) -> int:
        """Return the number in the file, from 1, of the line that `offset` is in."""
        index = bisect.bisect_right(self._starts, offset)
        return self._numbers[min(index, len(self._numbers)) - 1] if self._numbers else index

    def column(self, offset: int) -> int:
        """Return the column, from 1, of an offset."""
        return offset - self._starts[bisect.bisect_right(self._starts, offset) - 1] + 1

    def next_line(self, offset: int) -> int:
        """Return the offset at which the line after that of `offset` begins."""
        index = bisect.bisect_right(self._starts, offset)
        return self._starts[index] if index < len(self._starts) else len(self.text)

    def excerpt(self, offset: int) -> str:
        """Return the line of `offset` and, below it, a caret; of a very long line only what is near."""
        column = self.column(offset)
        start = offset - column + 1
        shown = self.text[start : self.next_line(offset)].rstrip("\r\n").expandtabs(1)
        first = max(0, column - 60)
        return f"{shown[first : first + 100]}\n{' ' * (column - 1 - first)}^"

    def error(self, message: str, offset: int) -> ConfigError:
        """Return the error that something is wrong at `offset`."""
        return ConfigError(message, **self.place(offset))

    def place(self, offset: int) -> Place:
        """Return what a ConfigError says of a place."""
        return {
            "file": self.file,
            "line": self.line(offset),
            "column": self.column(offset),
            "excerpt": self.excerpt(offset),
        }


class SyntaxMismatch(ConfigError):
    """A token that fits nowhere: `token` (of type "" when it is none at all), and what was `expected`."""

    def __init__(self, message: str, text: Text, token: Token, expected: frozenset[str]) -> None:
        super().__init__(message, **text.place(token.offset))
        self.token = token
        self.expected = expected

    @property
    def at_end(self) -> bool:
        """Whether the text ended too early."""
        return self.token.type == _END


class Rule(NamedTuple):
    """How a reduction builds its tree: which of its symbols are kept, and how."""

    origin: str
    name: str
    size: int
    kept: tuple[tuple[int, str], ...]  #: (position among the symbols, "token" | "tree" | "inline")
    inlined: bool
    transparent: bool
    grows: bool


class Scanner(NamedTuple):
    """The terminals that some parser states accept, as one regular expression."""

    match: Callable[[str, int, int], re.Match[str] | None]
    keywords: Mapping[str, Mapping[str, str]]  #: for a terminal, the texts that are another terminal's


class Parser:
    """An LALR(1) parser with a contextual scanner, run from tables."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._actions: Sequence[Mapping[str, int]] = tables["actions"]
        self._gotos: Sequence[Mapping[str, int]] = tables["gotos"]
        self._rules = [Rule(*rule) for rule in tables["rules"]]
        self._strings: Mapping[str, str] = tables["strings"]
        self._start: int = tables["start"]
        self._accept: int = tables["accept"]
        self._ignore = frozenset(tables["ignore"])
        self._scanners: Sequence[Sequence[Any]] = tables["scanners"]
        self._numbers: Sequence[int] = tables["scanner_of_state"]
        self._made: list[Scanner | None] = [None] * len(self._scanners)
        self._by_state: list[Scanner | None] = [None] * len(self._actions)

    def parse(self, text: Text) -> Tree:
        """Parse the whole text; raise SyntaxMismatch at the first thing that does not fit."""
        tree, _ = self._run(text, 0, prefix=False)
        return tree

    def parse_prefix(self, text: Text, offset: int) -> tuple[Tree, int]:
        """Parse from `offset` until the start rule is complete; return its tree and where it ends.

        The start rule must end in a terminal after which nothing can follow.
        """
        return self._run(text, offset, prefix=True)

    def _run(self, text: Text, position: int, *, prefix: bool) -> tuple[Tree, int]:
        actions, gotos, rules, scanners = self._actions, self._gotos, self._rules, self._by_state
        source = text.text
        states = [self._start]
        values: list[Any] = []  # tokens as (type, text, offset), trees, lists of children to inline
        offsets: list[int] = []
        state = self._start
        tokens = 0
        longest = limits.SYNTAX_TOKEN.value
        window = 2 * longest  # what is matched at once: a regular expression may take 500 bytes a character
        while True:
            row = actions[state]
            kind = _END
            offset = position
            matched = ""
            if not (prefix and len(row) == 1 and _END in row):
                scanner = scanners[state] or self._scanner(state)
                while match := scanner.match(source, position, position + window):
                    end = match.end()
                    if end - position > longest:
                        limits.SYNTAX_TOKEN.check(end - position, f"{text.file}:{text.line(position)}")
                    kind = match.lastgroup or ""
                    if kind not in self._ignore:
                        break
                    position = end
                offset = position
                if match is None:
                    kind = _END if position == len(source) else ""
                    matched = source[position : position + 1]
                else:
                    matched = match[0]
                    position = match.end()
                    if kind in scanner.keywords:
                        kind = scanner.keywords[kind].get(matched, kind)
            while True:
                action = row.get(kind)
                if action is None:
                    raise self._unexpected(text, Token(kind, matched, offset), row)
                if action >= 0:
                    break
                rule = rules[~action]
                size = rule.size
                if size:
                    begin = offsets[-size]
                    value = _build(rule, values[-size:], begin)
                    del states[-size:], values[-size:], offsets[-size:]
                else:
                    begin = offset
                    value = _build(rule, [], begin)
                state = gotos[states[-1]][rule.origin]
                if state == self._accept and kind == _END:
                    return value, position
                states.append(state)
                values.append(value)
                offsets.append(begin)
                row = actions[state]
            state = action
            states.append(state)
            values.append((kind, matched, offset))
            offsets.append(offset)
            tokens += 1
            if len(states) > limits.SYNTAX_DEPTH.value:
                limits.SYNTAX_DEPTH.check(len(states), text.file)
            if tokens > limits.SYNTAX_TOKENS.value:
                limits.SYNTAX_TOKENS.check(tokens, text.file)

    def _scanner(self, state: int) -> Scanner:
        number = self._numbers[state]
        scanner = self._made[number]
        if scanner is None:
            pattern, keywords, compiled = self._scanners[number]
            scanner = self._made[number] = Scanner(_pattern(pattern, compiled).match, keywords)
        self._by_state[state] = scanner
        return scanner

    def _unexpected(self, text: Text, token: Token, row: Mapping[str, int]) -> SyntaxMismatch:
        found = "the end of the file" if token.type == _END else f"{token.text[:40]!r}"
        expected = sorted({self._describe(name) for name in row})
        wanted = " or ".join([", ".join(expected[:-1]), expected[-1]] if len(expected) > 1 else expected)
        message = f"syntax error: {found} found, {wanted} expected"
        return SyntaxMismatch(message, text, token, frozenset(row))

    def _describe(self, terminal: str) -> str:
        if terminal == _END:
            return "the end of the file"
        string = self._strings.get(terminal)
        return terminal.strip("_").replace("_", " ").lower() if string is None else repr(string)


def _build(rule: Rule, values: list[Any], offset: int) -> Any:
    if rule.grows:  # the commonest rule by far: one more token for a list
        values[0].append(Token._make(values[1]))
        return values[0]
    children: list[Any] = []
    for position, kind in rule.kept:
        if kind == "inline":
            if children:
                children.extend(values[position])
            else:
                children = values[position]  # a left-recursive rule's list grows in place: linear
        elif kind == "token":
            children.append(Token._make(values[position]))
        else:
            children.append(values[position])
    if rule.inlined:
        return children
    if rule.transparent and len(children) == 1:
        return children[0]
    return Tree(rule.name, children, offset)


def _pattern(pattern: str, compiled: tuple[Any, ...] | None) -> re.Pattern[str]:
    """Return a regular expression, made from its compiled form where that fits this Python."""
    import _sre  # type: ignore[import-not-found]

    if compiled and compiled[0] == _sre.MAGIC:
        _, flags, code, groups, names, by_number = compiled
        made: re.Pattern[str] = _sre.compile(pattern, flags, list(code), groups, names, by_number)
        return made
    import re

    return re.compile(pattern)


@functools.cache
def load(name: str) -> Parser:
    """Return the parser of grammars/NAME.lark, from prepared tables where there are any."""
    try:
        tables = import_module(f"pybootcfg.prepared.grammar_{name}").TABLES
    except ModuleNotFoundError:  # run from the sources
        from pybootcfg.tables import compile_tables

        tables = compile_tables(name)
    return Parser(tables)
