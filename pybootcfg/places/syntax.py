"""The syntax tree of a configuration as fields: rules and tokens with where they stand."""

from __future__ import annotations

from array import array

from pybootcfg import grammar, limits
from pybootcfg.dialects.grub2 import syntax as grub2_syntax
from pybootcfg.errors import BootcfgError, ConfigError
from pybootcfg.grammar import Text, Token, Tree
from pybootcfg.tracing import Field
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def syntax_tree(data: bytes, dialect: str, file: str) -> Field:
    """Return the syntax tree of a file, offsets in its bytes.

    What does not fit the grammar becomes an error; GRUB 2 and SYSLINUX go on behind it.
    """
    root = Field("syntax", dialect, 0)
    try:
        walk = _Walk(data, _text(data, dialect, file))
        for part in _parts(walk.text, dialect, walk.budget):
            if isinstance(part, ConfigError):
                root.children.append(Field("mistake", "error", 0, error=str(part)))
            else:
                walk.add(part, root)
    except BootcfgError as error:
        root.error = str(error)
    return root


def _text(data: bytes, dialect: str, file: str) -> Text:
    """Return the text as the dialect's reader gives it to the grammar."""
    if dialect == "grub2":
        return grub2_syntax.file_text(data, file)
    text = data.decode("utf-8", "surrogateescape")
    if dialect == "syslinux":
        return Text(text if text.endswith("\n") else f"{text}\n", file)
    return Text(text.replace("\r", ""), file)


def _parts(text: Text, dialect: str, budget: limits.Budget) -> Iterator[Tree | ConfigError]:
    if dialect == "grub2":
        yield from grub2_syntax.units(text)
    elif dialect == "syslinux":
        parser, offset = grammar.load(dialect), 0
        while offset < len(text.text):
            budget.spend()  # most lines of nothing make no tree
            tree, offset = parser.parse_prefix(text, offset)
            yield from tree.trees()
    else:
        yield from grammar.load(dialect).parse(text).trees()


class _Walk:
    """Turns trees into fields, without recursion over what the guest nests."""

    def __init__(self, data: bytes, text: Text) -> None:
        self.text = text
        self.budget = limits.INSPECT_NODES.budget("syntax tree")
        self._starts, start = array("I", [0]), 0
        while start := data.find(b"\n", start) + 1:
            self._starts.append(start)

    def add(self, tree: Tree, root: Field) -> None:
        """Add a tree and all that is below it to `root`."""
        todo: list[tuple[Tree | Token, Field, int]] = [(tree, root, 0)]
        while todo:
            part, above, depth = todo.pop()
            self.budget.spend()
            field = self._field(part)
            above.children.append(field)
            if depth == limits.INSPECT_DEPTH.value:
                field.error = f"what is nested deeper than {depth} is not shown"
            elif isinstance(part, Tree):
                todo += [(child, field, depth + 1) for child in reversed(part.children)]

    def _field(self, part: Tree | Token) -> Field:
        line = self.text.line(part.offset)
        if isinstance(part, Tree):
            return Field(part.data, "rule", self._byte(part.offset, line), value=f"line {line}")
        raw = part.text.encode("utf-8", "surrogateescape")
        return Field(part.type, "token", self._byte(part.offset, line), len(raw), raw, raw, part.text)

    def _byte(self, offset: int, line: int) -> int:
        """Return the byte of the file at which a character of the text stands."""
        column = self.text.column(offset) - 1
        before = self.text.text[offset - column : offset]
        return self._starts[min(line, len(self._starts)) - 1] + len(before.encode("utf-8", "surrogateescape"))
