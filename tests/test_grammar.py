"""grammar.py: LALR tables made by Lark, run by our own driver; Lark itself is the judge."""

from __future__ import annotations

import os
import subprocess
import sys

import lark
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybootcfg import grammar, limits, tables
from pybootcfg.errors import LimitExceeded
from pybootcfg.grammar import SyntaxMismatch, Text, Token, Tree

NAMES = tables.names()


@pytest.mark.no_cover
@pytest.mark.parametrize("name", NAMES)
def test_every_grammar_is_lalr_and_strict(name: str) -> None:
    assert tables.compile_tables(name)["actions"]


def test_tables_are_the_same_each_time() -> None:
    """Lark's own numbering of states differs from run to run."""
    script = "from pybootcfg import tables; print(tables.prepare('grub2'), end='')"
    made = {
        subprocess.check_output([sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed})
        for seed in ("1", "2")
    }
    assert made == {tables.prepare("grub2").encode()}


def test_without_prepared_tables_lark_makes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(grammar, "import_module", nothing)
    tree, _ = grammar.load.__wrapped__("grub2").parse_prefix(Text("echo a\n"), 0)
    assert next(tree.trees()).data == "simple"


@pytest.mark.parametrize("name", NAMES)
def test_compiled_scanners_match_as_re_does(name: str) -> None:
    """The compiled form of each is that of `re`; where it does not fit, `re` compiles the pattern."""
    for pattern, _, compiled in tables.compile_tables(name)["scanners"]:
        assert compiled is not None
        prepared = grammar._pattern(pattern, compiled)
        other = grammar._pattern(pattern, (compiled[0] + 1, *compiled[1:]))
        assert (prepared.pattern, prepared.flags, prepared.groupindex) == (
            other.pattern,
            other.flags,
            other.groupindex,
        )
        for text in ("menuentry 'a b' {", 'set x="$y"', "# c\n", "\\\n", "{", "=", "title a", "  kernel /b"):
            found, expected = prepared.match(text), other.match(text)
            assert (found and (found.span(), found.lastgroup)) == (
                expected and (expected.span(), expected.lastgroup)
            )


_WORDS = st.lists(
    st.sampled_from(
        ["a", "'b c'", '"d $e ${f}"', "$g", "${h}", "\\i", '$"j $k \\$"', "\\\n", "l*", "$1", "$?"]
    ),
    min_size=1,
    max_size=6,
).map("".join)


@pytest.mark.no_cover
@given(_WORDS)
@settings(max_examples=150, deadline=None)
def test_trees_are_those_of_lark(word: str) -> None:
    ours = grammar.load("grub2_word").parse(Text(word))
    theirs = _lark("grub2_word").parse(word)
    assert _shape(ours) == _shape(theirs)


def test_offsets_and_line_numbers() -> None:
    text = Text("echo one\n\nif true; then\n\techo 'two'\nfi\n", "f")
    parser = grammar.load("grub2")
    first, end = parser.parse_prefix(text, 0)
    second, end = parser.parse_prefix(text, end + 1)
    assert (text.line(next(first.trees()).offset), text.line(next(second.trees()).offset)) == (1, 3)
    assert end == len(text.text)
    assert text.column(text.text.index("'two'")) == 7


def test_numbers_of_lines_that_were_left_out() -> None:
    text = Text("a\nb\n}\n", "f", [1, 3, 7])
    assert [text.line(offset) for offset in (0, 2, 4)] == [1, 3, 7]
    with pytest.raises(SyntaxMismatch) as caught:
        grammar.load("grub2").parse_prefix(text, 4)
    assert (caught.value.line, caught.value.column) == (7, 1)


def test_a_mistake_shows_the_place_and_what_was_expected() -> None:
    with pytest.raises(SyntaxMismatch) as caught:
        grammar.load("grub2").parse_prefix(Text("if true\nthen\tfi\n", "grub.cfg"), 0)
    error = caught.value
    assert str(error).startswith("grub.cfg:2:6: syntax error: 'fi' found, ")
    assert error.excerpt == "then fi\n     ^"
    assert "'if'" in error.message
    assert error.token == Token("_FI", "fi", 13)


def test_the_excerpt_of_a_long_line_is_short() -> None:
    with pytest.raises(SyntaxMismatch) as caught:
        grammar.load("grub2").parse_prefix(Text("x " * 5000 + "| y\n"), 0)
    line, caret = caught.value.excerpt.split("\n")
    assert len(line) <= 100
    assert line[caret.index("^")] == "|"


def test_reserved_words_are_reserved_everywhere_in_a_basic_grammar() -> None:
    parser = grammar.load("grub2")
    for text in ("done\n", "for if in a; do b; done\n", "function fi { a; }\n", "[[ a ]]\n"):
        with pytest.raises(SyntaxMismatch):
            parser.parse_prefix(Text(text), 0)
    tree, _ = parser.parse_prefix(Text("echo if in do done\n"), 0)
    assert [token.text for token in next(tree.trees()).tokens()] == ["echo", "if", "in", "do", "done"]


def test_nesting_and_length_are_bounded() -> None:
    parser = grammar.load("grub2")
    with pytest.raises(LimitExceeded) as caught:
        parser.parse_prefix(Text("if true; then\n" * 5000), 0)
    assert caught.value.limit == limits.SYNTAX_DEPTH.name
    with pytest.raises(LimitExceeded) as caught:
        parser.parse_prefix(Text("x " * (limits.SYNTAX_TOKENS.value + 10)), 0)
    assert caught.value.limit == limits.SYNTAX_TOKENS.name


def _lark(name: str) -> lark.Lark:
    return lark.Lark(
        tables.grammar_text(name), parser="lalr", lexer="contextual", strict=True, maybe_placeholders=False
    )


def _shape(node: object) -> object:
    if isinstance(node, Tree | lark.Tree):
        return node.data, [_shape(child) for child in node.children]
    if isinstance(node, Token):
        return node.type, node.text
    assert isinstance(node, lark.Token)
    return node.type, str(node)
