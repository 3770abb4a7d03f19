"""Making the tables of a parser from its grammar: with Lark, when the package is built.

What `compile_tables` returns is plain data, which `prepare` writes down as a module for `grammar.load`.
"""

from __future__ import annotations

import functools
import os
import re

from pybootcfg import grammars
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

FOLDER = os.path.dirname(os.path.abspath(grammars.__file__))
_END = "$END"
_BASIC = "// lexer: basic\n"  # first line of a grammar whose reserved words are reserved everywhere


def names() -> list[str]:
    """Return the names of all grammars."""
    files = map(os.path.splitext, sorted(os.listdir(FOLDER)))
    return [name for name, extension in files if extension == ".lark"]


def prepare(name: str) -> str:
    """Return the source of the module that `grammar.load` takes in place of grammars/NAME.lark."""
    lines = [f'"""Made from grammars/{name}.lark when the package was built."""', "", "TABLES = {"]
    lines += [f"    {key!r}: {value!r}," for key, value in compile_tables(name).items()]
    return "\n".join([*lines, "}", ""])


@functools.cache
def grammar_text(name: str) -> str:
    """Return the text of grammars/NAME.lark, which is read once."""
    with open(os.path.join(FOLDER, f"{name}.lark"), encoding="utf-8") as file:
        return file.read()


def compile_tables(name: str) -> dict[str, Any]:
    """Have Lark check the grammar and compute its tables, as plain data.

    Raises lark.exceptions.GrammarError when the grammar is not LALR(1) or its terminals collide.
    """
    import lark

    text = grammar_text(name)
    lexer = "basic" if text.startswith(_BASIC) else "contextual"
    grammar = lark.Lark(text, parser="lalr", lexer=lexer, strict=True, maybe_placeholders=False)
    table = grammar.parser.parser._parse_table
    all_rules = sorted(map(_rule, grammar.rules))  # Lark's own order differs from run to run
    rules = {rule: all_rules.index(_rule(rule)) for rule in grammar.rules}
    actions: list[dict[str, int]] = [{} for _ in range(len(table.states))]
    gotos: list[dict[str, int]] = [{} for _ in range(len(table.states))]
    terminals = {
        terminal.name: terminal for terminal in sorted(grammar.terminals, key=lambda each: each.name)
    }
    for state, row in table.states.items():
        for symbol, (action, argument) in row.items():
            shifts = str(action) == "Shift"
            if symbol in terminals or symbol == _END:
                actions[state][symbol] = argument if shifts else ~rules[argument]
            else:
                gotos[state][symbol] = argument
    order = _order(table.start_states["start"], actions, gotos)
    actions = [_renumbered(actions[state], order) for state in order]
    described = {name: _terminal(terminal) for name, terminal in terminals.items()}
    accepted = [frozenset(row if lexer == "contextual" else terminals) for row in actions]
    sets = list(dict.fromkeys(accepted))
    ignored = frozenset(grammar.ignore_tokens)
    return {
        "start": 0,
        "accept": order[table.end_states["start"]],
        "actions": actions,
        "gotos": [_renumbered(gotos[state], order) for state in order],
        "rules": all_rules,
        "strings": {name: pattern for name, (pattern, is_string, *_) in described.items() if is_string},
        "ignore": sorted(ignored),
        "scanners": [
            _scanner({name: described[name] for name in described if name in ({*names} | ignored)})
            for names in sets
        ],
        "scanner_of_state": [sets.index(names) for names in accepted],
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
    return {symbol: order[value] if value >= 0 else value for symbol, value in sorted(row.items())}


def _rule(rule: Any) -> tuple[Any, ...]:
    """Return the fields of a `grammar.Rule`."""
    symbols = [
        ("drop" if symbol.filter_out and not rule.options.keep_all_tokens else "token")
        if symbol.is_term
        else ("inline" if symbol.name.startswith("_") else "tree")
        for symbol in rule.expansion
    ]
    origin = str(rule.origin.name)
    inlined = origin.startswith("_") and not rule.alias
    transparent = rule.options.expand1 and not rule.alias
    name = rule.alias or rule.options.template_source or origin
    kept = tuple((position, symbol) for position, symbol in enumerate(symbols) if symbol != "drop")
    grows = inlined and symbols == ["inline", "token"]
    return origin, name, len(symbols), kept, inlined, bool(transparent), grows


def _terminal(terminal: Any) -> list[Any]:
    pattern = terminal.pattern
    is_string = pattern.type == "str"
    return [pattern.value, is_string, pattern.to_regexp(), terminal.priority, pattern.max_width]


def _scanner(terminals: dict[str, list[Any]]) -> list[Any]:
    """Join terminals into one pattern; a string that a regexp matches too becomes its keyword.

    Returns the pattern, the keywords of each terminal, and the pattern as it is when compiled.
    """
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
    return [pattern, keywords, _compiled(pattern)]


def _compiled(pattern: str) -> tuple[Any, ...] | None:
    """Return what `re` hands to the machine that matches, and for which version of it; None if it keeps that.

    Compiling the scanners of a configuration takes longer than reading it, and `re` has no form to keep
    them in but this one, which no other version of the machine takes.
    """
    try:
        compiler, parser, magic = re._compiler, re._parser, re._compiler.MAGIC  # type: ignore[attr-defined]
    except AttributeError:
        return None
    parsed = parser.parse(pattern, 0)
    groups = parsed.state.groups
    by_name = dict(parsed.state.groupdict)
    by_number = {number: group for group, number in by_name.items()}
    code = tuple(map(int, compiler._code(parsed, 0)))
    return (
        int(magic),
        int(parsed.state.flags),
        code,
        groups - 1,
        by_name,
        tuple(by_number.get(number) for number in range(groups)),
    )
