"""From grammars to parsers: LALR tables made by Lark, run here with positions kept.

`load("grub2")` takes grammars/grub2.lark.  Lark checks the grammar (LALR(1), strict: no conflict, no
two terminals that collide) and computes the tables; the build does that once and ships them as JSON
beside the grammar, so that start-up needs neither Lark nor its 30 ms.  Tables carry the digest of
the grammar they were made from, and stale ones are not used.

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
import hashlib
import json
import os
import re

from pybootcfg import grammars, limits
from pybootcfg.errors import ConfigError
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, TypedDict

    class Place(TypedDict):
        """Where a ConfigError is, by the names of its arguments."""

        file: str
        line: int
        column: int
        excerpt: str


_FOLDER = os.path.dirname(os.path.abspath(grammars.__file__))
_END = "$END"
_BASIC = "// lexer: basic\n"  # first line of a grammar whose reserved words are reserved everywhere


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

    def __repr__(self) -> str:
        return f"Tree({self.data!r}, {self.children!r})"

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
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

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
    """The terminals that one parser state accepts, as one regular expression."""

    pattern: re.Pattern[str]
    keywords: dict[str, dict[str, str]]  #: for a terminal, the texts that are another terminal's


class Parser:
    """An LALR(1) parser with a contextual scanner, run from tables."""

    def __init__(self, tables: dict[str, Any]) -> None:
        self._actions: list[dict[str, int]] = tables["actions"]
        self._gotos: list[dict[str, int]] = tables["gotos"]
        self._rules = [_parse_rule(*rule) for rule in tables["rules"]]
        self._terminals: dict[str, list[Any]] = tables["terminals"]
        self._start: int = tables["start"]
        self._accept: int = tables["accept"]
        self._ignore = frozenset(tables["ignore"])
        self._contextual: bool = tables["contextual"]
        self._scanners: dict[frozenset[str], Scanner] = {}
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
        while True:
            row = actions[state]
            kind = _END
            offset = position
            matched = ""
            if not (prefix and len(row) == 1 and _END in row):
                scanner = scanners[state] or self._scanner(state)
                while match := scanner.pattern.match(source, position):
                    kind = match.lastgroup or ""
                    if kind not in self._ignore:
                        break
                    position = match.end()
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
        accepted = frozenset(self._actions[state].keys() if self._contextual else self._terminals)
        accepted = (accepted | self._ignore) - {_END}
        if accepted not in self._scanners:
            chosen = {name: self._terminals[name] for name in self._terminals if name in accepted}
            self._scanners[accepted] = _scanner(chosen)
        scanner = self._by_state[state] = self._scanners[accepted]
        return scanner

    def _unexpected(self, text: Text, token: Token, row: dict[str, int]) -> SyntaxMismatch:
        found = "the end of the file" if token.type == _END else f"{token.text[:40]!r}"
        expected = sorted({self._describe(name) for name in row})
        wanted = " or ".join([", ".join(expected[:-1]), expected[-1]] if len(expected) > 1 else expected)
        message = f"syntax error: {found} found, {wanted} expected"
        return SyntaxMismatch(message, text, token, frozenset(row))

    def _describe(self, terminal: str) -> str:
        if terminal == _END:
            return "the end of the file"
        pattern, is_string, *_ = self._terminals[terminal]
        return repr(pattern) if is_string else terminal.strip("_").replace("_", " ").lower()


def _scanner(terminals: dict[str, list[Any]]) -> Scanner:
    """Join terminals into one pattern; a string that a regexp matches too becomes its keyword."""
    keywords: dict[str, dict[str, str]] = {}
    embedded = set()
    for name, (_, is_string, regexp, priority, _width) in terminals.items():
        if is_string:
            continue
        for other, (text, other_is_string, other_regexp, other_priority, _) in terminals.items():
            plain = other_is_string and priority == other_priority and not other_regexp.startswith("(?")
            if plain and re.fullmatch(regexp, text):
                keywords.setdefault(name, {})[text] = other
                embedded.add(other)
    ordered = sorted(
        (name for name in terminals if name not in embedded),
        key=lambda name: (-terminals[name][3], -terminals[name][4], -len(terminals[name][0]), name),
    )
    # A state that accepts nothing but the end still needs a pattern, one that never matches.
    pattern = "|".join(f"(?P<{name}>{terminals[name][2]})" for name in ordered) or "(?!)"
    return Scanner(re.compile(pattern), keywords)


def _parse_rule(origin: str, name: str, symbols: list[str], inlined: bool, transparent: bool) -> Rule:
    kept = tuple((position, symbol) for position, symbol in enumerate(symbols) if symbol != "drop")
    grows = inlined and symbols == ["inline", "token"]
    return Rule(origin, name, len(symbols), kept, inlined, transparent, grows)


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


@functools.cache
def _source(name: str) -> str:
    with open(os.path.join(_FOLDER, f"{name}.lark"), encoding="utf-8") as file:
        return file.read()


@functools.cache
def _prepared(name: str) -> str:
    """Return the text of the prepared tables, empty when there are none."""
    try:
        with open(os.path.join(_FOLDER, f"{name}.json"), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def digest(text: str) -> str:
    """Return what ties tables to the grammar they were made from."""
    return hashlib.sha256(text.encode()).hexdigest()


def compile_tables(name: str) -> dict[str, Any]:
    """Have Lark check the grammar and compute its tables, as plain data.

    Raises lark.exceptions.GrammarError when the grammar is not LALR(1) or its terminals collide.
    """
    import lark

    text = _source(name)
    lexer = "basic" if text.startswith(_BASIC) else "contextual"
    grammar = lark.Lark(text, parser="lalr", lexer=lexer, strict=True, maybe_placeholders=False)
    table = grammar.parser.parser._parse_table
    rules = {rule: index for index, rule in enumerate(grammar.rules)}
    actions: list[dict[str, int]] = [{} for _ in range(len(table.states))]
    gotos: list[dict[str, int]] = [{} for _ in range(len(table.states))]
    terminals = {terminal.name: terminal for terminal in grammar.terminals}
    for state, row in table.states.items():
        for symbol, (action, argument) in row.items():
            shifts = str(action) == "Shift"
            if symbol in terminals or symbol == _END:
                actions[state][symbol] = argument if shifts else ~rules[argument]
            else:
                gotos[state][symbol] = argument
    order = _order(table.start_states["start"], actions, gotos)
    return {
        "digest": digest(text),
        "start": 0,
        "accept": order[table.end_states["start"]],
        "actions": [_renumbered(actions[state], order) for state in order],
        "gotos": [_renumbered(gotos[state], order) for state in order],
        "rules": [_rule(rule) for rule in grammar.rules],
        "terminals": {name: _terminal(terminal) for name, terminal in terminals.items()},
        "ignore": list(grammar.ignore_tokens),
        "contextual": lexer == "contextual",
    }


def _order(start: int, actions: list[dict[str, int]], gotos: list[dict[str, int]]) -> dict[int, int]:
    """Return the states in the order in which they are reached; Lark's own differs from run to run."""
    order = {start: 0}
    for state in (pending := [start]):
        for _, target in sorted({**actions[state], **gotos[state]}.items()):
            if target >= 0 and target not in order:
                order[target] = len(order)
                pending.append(target)
    return order


def _renumbered(row: dict[str, int], order: dict[int, int]) -> dict[str, int]:
    return {symbol: order[value] if value >= 0 else value for symbol, value in row.items()}


def _rule(rule: Any) -> list[Any]:
    symbols = [
        ("drop" if symbol.filter_out and not rule.options.keep_all_tokens else "token")
        if symbol.is_term
        else ("inline" if symbol.name.startswith("_") else "tree")
        for symbol in rule.expansion
    ]
    origin = str(rule.origin.name)
    inlined = origin.startswith("_") and not rule.alias
    transparent = rule.options.expand1 and not rule.alias
    return [origin, rule.alias or rule.options.template_source or origin, symbols, inlined, transparent]


def _terminal(terminal: Any) -> list[Any]:
    pattern = terminal.pattern
    is_string = pattern.type == "str"
    return [pattern.value, is_string, pattern.to_regexp(), terminal.priority, pattern.max_width]


def prepare(folder: str) -> None:
    """Write the tables of every grammar into `folder`, for `load` to find."""
    for name in _names():
        with open(os.path.join(folder, f"{name}.json"), "w", encoding="utf-8") as out:
            json.dump(compile_tables(name), out, separators=(",", ":"), sort_keys=True)
            out.write("\n")


def _names() -> list[str]:
    files = map(os.path.splitext, sorted(os.listdir(_FOLDER)))
    return [name for name, extension in files if extension == ".lark"]


def prefetch() -> None:
    """Have `load` find every grammar in memory, for a process that will not be able to open files."""
    if not all([digest(_source(name)) in _prepared(name) for name in _names()]):  # noqa: C419  read every one
        import lark  # noqa: F401  it makes the tables when a grammar is asked for


@functools.cache
def load(name: str) -> Parser:
    """Return the parser of grammars/NAME.lark, from prepared tables when they are current."""
    if digest(_source(name)) in _prepared(name):
        return Parser(json.loads(_prepared(name)))
    return Parser(compile_tables(name))
