"""The environment block: variables kept in a file of fixed size between boots.

GNU GRUB Manual, section "The GRUB environment block".  Changes stay in memory: a guest's disk is
never written.
"""

from __future__ import annotations

from pybootcfg import grammar
from pybootcfg.dialects.grub2.failure import Failure, Status
from pybootcfg.errors import ConfigError
from pybootcfg.grammar import Text
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURE = "# GRUB Environment Block\n"
_FILLING = "#"


class EnvironmentBlock:
    """The variables of one block, in their order, and how much room is left."""

    def __init__(self, data: bytes, name: str) -> None:
        """Read a block; raises Failure when it is none."""
        text = data.decode("latin-1")  # one character for each byte: the block is of fixed size
        if not text.startswith(SIGNATURE) or len(data) <= len(SIGNATURE):
            raise Failure(Status.BAD_FILE_TYPE, "invalid environment block")
        self.variables = [(_recode(variable), _recode(value)) for variable, value in _lines(Text(text, name))]
        filled = text.rstrip(_FILLING)
        self._room = len(text) - len(filled) if filled.endswith("\n") else -1

    def set(self, name: str, value: str) -> None:
        """Set or add a variable; raises Failure when there is no room for it."""
        old = next((old for known, old in self.variables if known == name), None)
        needed = _size(value) - _size(old) if old is not None else _size(name) + _size(value) + 2
        if self._room < max(needed, 0):
            raise Failure(Status.BAD_ARGUMENT, "environment block too small")
        self._room -= needed
        if old is None:
            self.variables.append((name, value))
        else:
            index = next(i for i, (known, _) in enumerate(self.variables) if known == name)
            self.variables[index] = (name, value)

    def delete(self, name: str) -> None:
        """Take a variable out."""
        for index, (known, value) in enumerate(self.variables):
            if known == name:
                self._room += _size(name) + _size(value) + 2
                del self.variables[index]
                return


def _lines(text: Text) -> Iterator[tuple[str, str]]:
    """Yield names and values up to the first line that is broken, as GRUB does."""
    parser = grammar.load("grubenv")
    offset = 0
    while offset < len(text.text):
        try:
            tree, offset = parser.parse_prefix(text, offset)
        except ConfigError:
            return
        if tree.data == "variable":
            name = next(tree.tokens()).text
            value = next(tree.trees()).tokens()
            yield (
                name,
                "".join(
                    part.text.removeprefix("\\") if part.type == "ESCAPED" else part.text for part in value
                ),
            )


def _recode(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "surrogateescape")


def _size(value: str) -> int:
    """Return how many bytes a value takes in the block, its backslashes included."""
    data = value.encode("utf-8", "surrogateescape")
    return len(data) + data.count(b"\\") + data.count(b"\n")
