"""The `test` command, `[`: GRUB's own order of evaluation, which is not that of any shell.

The words are read once from the left: a test of three words where the second is an operator, else
one of two, else a modifier, else a string.  What does not parse is no error.
"""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.dialects.grub2.failure import Failure
from pybootcfg.dialects.grub2.numbers import as_int, number
from pybootcfg.values import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class FileTests(Protocol):
    """What the file operators ask."""

    def is_directory(self, name: str) -> bool:
        """Tell whether a directory goes by this name."""

    def exists(self, name: str) -> bool:
        """Tell whether anything goes by this name."""

    def has_contents(self, name: str) -> bool:
        """Tell whether a file that is not empty goes by this name."""

    def is_newer(self, name: str, other: str, bias: int) -> bool:
        """Tell whether a file was changed after another, `bias` seconds added to its time."""


class Condition:
    """One evaluation of `test`; `complaint` is the last failure of a number to parse."""

    def __init__(self, words: Sequence[str], files: FileTests) -> None:
        self._words = words
        self._files = files
        self._position = 0
        self.complaint: Failure | None = None

    def holds(self, depth: int = 0) -> bool:
        """Evaluate up to the end, or to the closing parenthesis."""
        limits.GRUB_DEPTH.check(depth, "parentheses of test")
        words, count = self._words, len(self._words)
        alternative, all_of, invert = False, True, False
        while self._position < count:
            at = self._position
            outcome = self._binary(*words[at : at + 3]) if at + 2 < count else None
            if outcome is not None:
                self._position += 3
            elif at + 1 < count and (outcome := self._unary(words[at], words[at + 1])) is not None:
                self._position += 2
            else:
                self._position += 1
                word = words[at]
                if word == ")":
                    break
                if word == "!":
                    invert = not invert
                    continue
                if word == "-a":
                    continue
                if word == "-o":
                    alternative, all_of = alternative or all_of, True
                    continue
                outcome = self.holds(depth + 1) if word == "(" else bool(word)
            all_of = all_of and outcome is not invert
            invert = False
        return alternative or all_of

    def _binary(self, left: str, operator: str, right: str) -> bool | None:
        if operator in _STRINGS:
            return _STRINGS[operator](_octets(left), _octets(right))
        if operator in _INTEGERS:
            return _INTEGERS[operator](self._integer(left), self._integer(right))
        if operator in ("-pgt", "-plt"):
            return self._after_common_prefix(left, operator, right)
        if operator.startswith("-nt"):
            return self._files.is_newer(left, right, self._bias(operator))
        if operator.startswith("-ot"):
            return self._files.is_newer(right, left, -self._bias(operator))
        return None

    def _unary(self, operator: str, word: str) -> bool | None:
        if operator == "-n":
            return bool(word)
        if operator == "-z":
            return not word
        if operator == "-e":
            return self._files.exists(word)
        if operator == "-d":
            return self._files.is_directory(word)
        if operator == "-f":
            return self._files.exists(word) and not self._files.is_directory(word)
        if operator == "-s":
            return self._files.has_contents(word)
        return None

    def _bias(self, operator: str) -> int:
        return self._integer(operator[3:]) if operator[3:] else 0

    def _integer(self, word: str) -> int:
        value = self._unsigned(word.removeprefix("-"))
        return as_int(-value if word.startswith("-") else value)

    def _unsigned(self, word: str) -> int:
        try:
            return number(word).value
        except Failure as failure:
            self.complaint = failure
            return 0 if failure.message.startswith("unrecognized") else 2**64 - 1

    def _after_common_prefix(self, left: str, operator: str, right: str) -> bool:
        """Compare the numbers at which two versions part ways."""
        common = 0
        while common < min(len(left), len(right)) and left[common] == right[common]:
            common += 1
        start = common - 1
        while start > 0 and left[start] in "0123456789":
            start -= 1
        first, second = self._unsigned(left[start + 1 :]), self._unsigned(right[start + 1 :])
        return first > second if operator == "-pgt" else first < second


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


_STRINGS: dict[str, Callable[[bytes, bytes], bool]] = {
    "=": bytes.__eq__,
    "==": bytes.__eq__,
    "!=": bytes.__ne__,
    "<": bytes.__lt__,
    "<=": bytes.__le__,
    ">": bytes.__gt__,
    ">=": bytes.__ge__,
}
_INTEGERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": int.__eq__,
    "-ne": int.__ne__,
    "-ge": int.__ge__,
    "-gt": int.__gt__,
    "-le": int.__le__,
    "-lt": int.__lt__,
}
