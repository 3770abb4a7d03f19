r"""POSIX extended regular expressions for `regexp`, in bounded time.

A guest's expression never becomes one of Python's: it is compiled to a small machine of states, all
of which are followed at once (Thompson), so that the work is the product of the lengths at most, and
that is counted.  POSIX.1-2017, Base Definitions 9.4; `\w \W \s \S \b \B \< \>` as in glibc.
"""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_CLASSES: dict[str, Callable[[str], bool]] = {
    "alpha": str.isalpha,
    "digit": str.isdigit,
    "alnum": str.isalnum,
    "upper": str.isupper,
    "lower": str.islower,
    "space": lambda char: char in " \t\n\v\f\r",
    "blank": lambda char: char in " \t",
    "punct": lambda char: char.isascii() and char.isprintable() and not char.isalnum() and char != " ",
    "cntrl": lambda char: char < " " or char == "\x7f",
    "print": str.isprintable,
    "graph": lambda char: char.isprintable() and char != " ",
    "xdigit": lambda char: char in "0123456789abcdefABCDEF",
}


class BadExpression(Exception):
    """The expression is not one."""


class Set(NamedTuple):
    """A set of characters."""

    chars: frozenset[str]
    ranges: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    negated: bool = False

    def holds(self, char: str) -> bool:
        """Tell whether a character is in the set."""
        inside = (
            char in self.chars
            or any(first <= char <= last for first, last in self.ranges)
            or any(char.isascii() and _CLASSES[name](char) for name in self.classes)
        )
        return inside is not self.negated


class State(NamedTuple):
    """One instruction: what it is, what it looks at, and where to go on."""

    kind: str  #: char, split, save, assert, match
    content: Set | str | int | None = None
    following: tuple[int, ...] = ()


class Expression:
    """A compiled expression of `groups` groups."""

    def __init__(self, states: list[State], groups: int) -> None:
        self._states = states
        self.groups = groups

    def search(self, text: str, work: limits.Budget) -> list[str | None] | None:
        """Return the leftmost longest match and its groups, or None."""
        threads: dict[int, tuple[int, ...]] = {}
        best: tuple[int, ...] | None = None
        unset = (-1,) * (2 * (self.groups + 1))
        for position in range(len(text) + 1):
            if best is None:
                self._add(threads, 0, unset, text, position, work)
            if not threads:
                break
            work.spend(len(threads))
            found = threads.get(len(self._states) - 1)
            if found is not None and (best is None or found[0] <= best[0]):
                best = found
            following: dict[int, tuple[int, ...]] = {}
            if position < len(text):
                for number, saved in threads.items():
                    state = self._states[number]
                    if best is not None and saved[0] > best[0]:
                        continue
                    if isinstance(state.content, Set) and state.content.holds(text[position]):
                        self._add(following, state.following[0], saved, text, position + 1, work)
            threads = following
        if best is None:
            return None
        pairs = zip(best[::2], best[1::2], strict=True)
        return [text[start:end] if start >= 0 and end >= 0 else None for start, end in pairs]

    def _add(
        self,
        threads: dict[int, tuple[int, ...]],
        number: int,
        saved: tuple[int, ...],
        text: str,
        position: int,
        work: limits.Budget,
    ) -> None:
        """Follow what takes no character; of two ways to one state the first stays."""
        pending = [(number, saved)]
        while pending:
            number, saved = pending.pop()
            work.spend()
            if number in threads and threads[number][0] <= saved[0]:
                continue
            state = self._states[number]
            threads[number] = saved
            if state.kind == "split":
                pending.extend((target, saved) for target in reversed(state.following))
            elif state.kind == "save":
                slot = state.content
                if isinstance(slot, int):
                    changed = (*saved[:slot], position, *saved[slot + 1 :])
                    pending.append((state.following[0], changed))
            elif (
                state.kind == "assert"
                and isinstance(state.content, str)
                and _asserted(state.content, text, position)
            ):
                pending.append((state.following[0], saved))


def _word(text: str, position: int) -> bool:
    return 0 <= position < len(text) and (text[position] == "_" or text[position].isalnum())


def _asserted(what: str, text: str, position: int) -> bool:
    before, after = _word(text, position - 1), _word(text, position)
    return {
        "^": position == 0,
        "$": position == len(text),
        "b": before is not after,
        "B": before is after,
        "<": after and not before,
        ">": before and not after,
    }[what]


class _Compiler:
    """Recursive descent over the expression; fragments are lists of states with relative targets."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._position = 0
        self._depth = 0
        self.groups = 0

    def _peek(self) -> str:
        return self._source[self._position : self._position + 1]

    def _next(self) -> str:
        char = self._peek()
        self._position += 1
        return char

    def compile(self) -> Expression:
        body = self._alternatives()  # which ends with the expression: outside of groups, `)` is a character
        states = [State("save", 0, (1,)), *body, State("save", 1, (1,)), State("match")]
        limits.REGEXP_STATES.check(len(states))
        absolute = [
            state._replace(following=tuple(number + target for target in state.following))
            for number, state in enumerate(states)
        ]
        return Expression(absolute, self.groups)

    def _alternatives(self) -> list[State]:
        self._depth += 1
        limits.REGEXP_DEPTH.check(self._depth)
        left = self._sequence()
        while self._peek() == "|":
            self._next()
            right = self._sequence()
            left = [
                State("split", None, (1, len(left) + 2)),
                *left,
                State("split", None, (len(right) + 1,)),
                *right,
            ]
            limits.REGEXP_STATES.check(len(left))
        self._depth -= 1
        return left

    def _sequence(self) -> list[State]:
        states: list[State] = []
        if self._peek() in ("*", "+", "?", "{"):
            raise BadExpression  # nothing to repeat
        while self._peek() not in ("", "|") and not (self._peek() == ")" and self._depth > 1):
            states += self._repeated(self._atom())
            limits.REGEXP_STATES.check(len(states))
        return states

    def _repeated(self, atom: list[State]) -> list[State]:
        asserts = len(atom) == 1 and atom[0].kind == "assert"
        while True:
            char = self._peek()
            if asserts and char in ("*", "+", "?", "{"):
                raise BadExpression
            if char == "*":
                atom = [
                    State("split", None, (1, len(atom) + 2)),
                    *atom,
                    State("split", None, (-len(atom) - 1,)),
                ]
            elif char == "+":
                atom = [*atom, State("split", None, (-len(atom), 1))]
            elif char == "?":
                atom = [State("split", None, (1, len(atom) + 1)), *atom]
            elif char == "{":
                atom = _counted(atom, *self._bounds())
                continue
            else:
                return atom
            limits.REGEXP_STATES.check(len(atom))
            self._next()

    def _bounds(self) -> tuple[int, int | None]:
        end = self._source.find("}", self._position)
        inside = self._source[self._position + 1 : end] if end > 0 else ""
        least, comma, most = inside.partition(",")
        if not (least or comma) or not all(not part or part.isdecimal() for part in (least, most)):
            raise BadExpression
        self._position = end + 1
        low = limits.REGEXP_REPEATS.check(int(least[:9] or "0"))
        if not comma:
            return low, low
        high = limits.REGEXP_REPEATS.check(int(most[:9])) if most else None
        if high is not None and high < low:
            raise BadExpression
        return low, high

    def _atom(self) -> list[State]:
        char = self._next()
        if char == "(":
            self.groups += 1
            group = self.groups
            inner = self._alternatives()
            if self._next() != ")":
                raise BadExpression
            return [State("save", 2 * group, (1,)), *inner, State("save", 2 * group + 1, (1,))]
        if char in ("^", "$"):
            return [State("assert", char, (1,))]
        if char == ".":
            return [State("char", Set(frozenset(), negated=True), (1,))]
        if char == "[":
            return [State("char", self._bracket(), (1,))]
        if char == "\\":
            return self._escaped()
        return [State("char", Set(frozenset(char)), (1,))]

    def _escaped(self) -> list[State]:
        char = self._next()
        if not char:
            raise BadExpression
        if char in "bB<>":
            return [State("assert", char, (1,))]
        if char in "wW":
            return [State("char", Set(frozenset("_"), classes=("alnum",), negated=char == "W"), (1,))]
        if char in "sS":
            return [State("char", Set(frozenset(), classes=("space",), negated=char == "S"), (1,))]
        if char in "`'":
            return [State("assert", "^" if char == "`" else "$", (1,))]
        if char in "123456789":
            raise BadExpression  # a back reference has no place in a machine of states
        return [State("char", Set(frozenset(char)), (1,))]

    def _bracket(self) -> Set:
        negated = self._peek() == "^"
        if negated:
            self._next()
        chars: set[str] = set()
        ranges: list[tuple[str, str]] = []
        classes: list[str] = []
        first = True
        while first or self._peek() != "]":
            first = False
            char = self._next()
            if not char:
                raise BadExpression
            if char == "[" and self._peek() in (":", "=", "."):
                kind = self._next()
                end = self._source.find(f"{kind}]", self._position)
                if end < 0:
                    raise BadExpression
                name = self._source[self._position : end]
                self._position = end + 2
                if kind == ":":
                    if name not in _CLASSES:
                        raise BadExpression
                    classes.append(name)
                    continue
                if len(name) != 1:
                    raise BadExpression
                char = name
            following = self._source[self._position : self._position + 2]
            if len(following) == 2 and following.startswith("-") and following != "-]":
                self._position += 2
                if following[1] < char:
                    raise BadExpression
                ranges.append((char, following[1]))
            else:
                chars.add(char)
        self._next()
        return Set(frozenset(chars), tuple(ranges), tuple(classes), negated)


def _counted(atom: list[State], least: int, most: int | None) -> list[State]:
    limits.REGEXP_STATES.check(len(atom) * (max(least, most or 0) + 1))
    states = atom * least
    if most is None:
        return [
            *states,
            State("split", None, (1, len(atom) + 2)),
            *atom,
            State("split", None, (-len(atom) - 1,)),
        ]
    for left in range(most - least, 0, -1):
        states = [*states, State("split", None, (1, left * (len(atom) + 1))), *atom]
    return states


def compile(source: str) -> Expression:  # noqa: A001 - the name that the thing has
    """Compile an expression; raises BadExpression, LimitExceeded."""
    limits.REGEXP_LENGTH.check(len(source))
    return _Compiler(source).compile()
