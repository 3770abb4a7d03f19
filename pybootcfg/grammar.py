"""From grammars to parsers: LALR tables made by Lark, run here with positions kept.

`load("grub2")` takes grammars/grub2.lark.  Lark checks the grammar (LALR(1), strict: no conflict, no
two terminals that collide) and computes the tables; the build does that once and ships them as JSON
beside the grammar, so that start-up needs neither Lark nor its 30 ms.  Tables carry the digest of
the grammar they were made from, and stale ones are not used.

A parse gives `Tree`s and `Token`s, shaped as Lark shapes them: aliases name trees, `_rules` are
inlined, `?rules` with one child vanish, terminals that are filtered out leave no token.  Every tree
and token knows its offset in the text.  A syntax error is a ConfigError with file, line and column,
the line itself, a caret, and what was expected.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from pybootcfg import grammars, limits
from pybootcfg.errors import ConfigError

_FOLDER = os.path.dirname(os.path.abspath(grammars.__file__))
_END = "$END"


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
    """A configuration's text under its file name; turns offsets into lines and columns."""

    def __init__(self, text: str, file: str = "") -> None:
        self.text = text
        self.file = file

    @functools.cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column, both from 1, of an offset."""
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def next_line(self, offset: int) -> int:
        """Return the offset at which the line after that of `offset` begins."""
        line, _ = self.place(offset)
        return self._starts[line] if line < len(self._starts) else len(self.text)

    def error(self, message: str, offset: int) -> ConfigError:
        """Return a ConfigError at `offset` that shows the line and points into it."""
        line, column = self.place(offset)
        start = self._starts[line - 1]
        shown = self.text[start : self.next_line(offset)].rstrip("\r\n").expandtabs(1)
        first = max(0, column - 60)  # a line of a megabyte is shown around the place only
        excerpt = f"{shown[first : first + 100]}\n{' ' * (column - 1 - first)}^"
        return ConfigError(message, file=self.file, line=line, column=column, excerpt=excerpt)


class Rule(NamedTuple):
    """How a reduction builds its tree: for each symbol "drop", "keep" or "inline"."""

    origin: str
    name: str
    symbols: tuple[str, ...]
    inlined: bool
    transparent: bool


class Scanner(NamedTuple):
    """The terminals that one parser state accepts, as one regular expression."""

    pattern: re.Pattern[str]
    keywords: dict[str, dict[str, str]]  #: for a terminal, the texts that are another terminal's


class Parser:
    """An LALR(1) parser with a contextual scanner, run from tables."""

    def __init__(self, tables: dict[str, Any]) -> None:
        self._actions: list[dict[str, int]] = tables["actions"]
        self._gotos: list[dict[str, int]] = tables["gotos"]
        self._rules = [Rule(o, n, tuple(s), i, t) for o, n, s, i, t in tables["rules"]]
        self._terminals: dict[str, list[Any]] = tables["terminals"]
        self._ignore = frozenset(tables["ignore"])
        self._start: int = tables["start"]
        self._accept: int = tables["accept"]
        self._scanners: dict[frozenset[str], Scanner] = {}
        self._by_state: dict[int, Scanner] = {}

    def parse(self, text: Text) -> Tree:
        """Parse the whole text; raise ConfigError at the first thing that does not fit."""
        tree, _ = self._run(text, 0, prefix=False)
        return tree

    def parse_prefix(self, text: Text, offset: int) -> tuple[Tree, int]:
        """Parse from `offset` until the start rule is complete; return its tree and where it ends.

        The start rule must end in a terminal after which nothing can follow.
        """
        return self._run(text, offset, prefix=True)

    def _run(self, text: Text, position: int, *, prefix: bool) -> tuple[Tree, int]:
        actions, gotos, rules = self._actions, self._gotos, self._rules
        states = [self._start]
        values: list[Any] = []
        offsets: list[int] = []
        token = None
        while True:
            row = actions[states[-1]]
            if token is None:
                if prefix and len(row) == 1 and _END in row:
                    token = Token(_END, "", position)
                else:
                    token, position = self._next(text, position, states[-1])
            action = row.get(token.type)
            if action is None:
                raise self._unexpected(text, token, row)
            if action >= 0:
                limits.SYNTAX_DEPTH.check(len(states), text.file)
                states.append(action)
                values.append(token)
                offsets.append(token.offset)
                token = None
                continue
            rule = rules[~action]
            size = len(rule.symbols)
            offset = offsets[-size] if size else token.offset
            value = _build(rule, values[len(values) - size :], offset)
            if size:
                del states[-size:], values[-size:], offsets[-size:]
            states.append(gotos[states[-1]][rule.origin])
            values.append(value)
            offsets.append(offset)
            if states[-1] == self._accept and token.type == _END:
                return value, position

    def _next(self, text: Text, position: int, state: int) -> tuple[Token, int]:
        scanner = self._by_state.get(state)
        if scanner is None:
            scanner = self._by_state[state] = self._scanner(state)
        source = text.text
        while position < len(source):
            match = scanner.pattern.match(source, position)
            if match is None or match.lastgroup is None:
                found = Token("", source[position], position)
                raise self._unexpected(text, found, self._actions[state])
            kind, matched = match.lastgroup, match.group()
            start, position = position, match.end()
            if kind not in self._ignore:
                kind = scanner.keywords.get(kind, {}).get(matched, kind)
                return Token(kind, matched, start), position
        return Token(_END, "", position), position

    def _scanner(self, state: int) -> Scanner:
        accepted = frozenset(self._actions[state].keys() - {_END} | self._ignore)
        if accepted not in self._scanners:
            chosen = {name: self._terminals[name] for name in self._terminals if name in accepted}
            self._scanners[accepted] = _scanner(chosen)
        return self._scanners[accepted]

    def _unexpected(self, text: Text, token: Token, row: dict[str, int]) -> ConfigError:
        found = "the end of the file" if token.type == _END else f"{token.text[:40]!r}"
        expected = sorted({self._describe(name) for name in row})
        wanted = " or ".join([", ".join(expected[:-1]), expected[-1]] if len(expected) > 1 else expected)
        return text.error(f"syntax error: {found} found, {wanted} expected", token.offset)

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


def _build(rule: Rule, values: list[Any], offset: int) -> Any:
    children: list[Any] = []
    for symbol, value in zip(rule.symbols, values, strict=True):
        if symbol == "keep":
            children.append(value)
        elif symbol == "inline":
            if children:
                children.extend(value)
            else:
                children = value  # the list of a left-recursive rule grows in place: linear, not quadratic
    if rule.inlined:
        return children
    if rule.transparent and len(children) == 1:
        return children[0]
    return Tree(rule.name, children, offset)


def _source(name: str) -> str:
    with open(os.path.join(_FOLDER, f"{name}.lark"), encoding="utf-8") as file:
        return file.read()


def digest(text: str) -> str:
    """Return what ties tables to the grammar they were made from."""
    return hashlib.sha256(text.encode()).hexdigest()


def compile_tables(name: str) -> dict[str, Any]:
    """Have Lark check the grammar and compute its tables, as plain data.

    Raises lark.exceptions.GrammarError when the grammar is not LALR(1) or its terminals collide.
    """
    import lark

    text = _source(name)
    grammar = lark.Lark(text, parser="lalr", lexer="contextual", strict=True, maybe_placeholders=False)
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
    return {
        "digest": digest(text),
        "start": table.start_states["start"],
        "accept": table.end_states["start"],
        "actions": actions,
        "gotos": gotos,
        "rules": [_rule(rule) for rule in grammar.rules],
        "terminals": {name: _terminal(terminal) for name, terminal in terminals.items()},
        "ignore": list(grammar.ignore_tokens),
    }


def _rule(rule: Any) -> list[Any]:
    symbols = [
        ("drop" if symbol.filter_out and not rule.options.keep_all_tokens else "keep")
        if symbol.is_term
        else ("inline" if symbol.name.startswith("_") else "keep")
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
    for file in sorted(os.listdir(_FOLDER)):
        name, extension = os.path.splitext(file)
        if extension == ".lark":
            with open(os.path.join(folder, f"{name}.json"), "w", encoding="utf-8") as out:
                json.dump(compile_tables(name), out, separators=(",", ":"), sort_keys=True)
                out.write("\n")


@functools.cache
def load(name: str) -> Parser:
    """Return the parser of grammars/NAME.lark, from prepared tables when they are current."""
    try:
        with open(os.path.join(_FOLDER, f"{name}.json"), encoding="utf-8") as file:
            tables = json.load(file)
        if tables["digest"] == digest(_source(name)):
            return Parser(tables)
    except FileNotFoundError:
        pass
    return Parser(compile_tables(name))
