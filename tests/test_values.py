"""values.py beside the standard library, which does the same at a higher price."""

from __future__ import annotations

import copy
import enum
import pickle
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybootcfg import values


class Ours(values.NamedTuple):
    """A point."""

    x: int
    y: int = 2
    names: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return self.x + self.y


class Theirs(NamedTuple):
    """A point."""

    x: int
    y: int = 2
    names: tuple[str, ...] = ()


Arguments = st.tuples(
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from(["x", "y", "names", "z"]), st.integers(), max_size=4),
)


@given(Arguments)
def test_a_named_tuple_is_made_as_the_standard_one(arguments: tuple[list[int], dict[str, int]]) -> None:
    positional, named = arguments
    try:
        expected: Any = Theirs(*positional, **named)  # type: ignore[arg-type]
    except TypeError:
        with pytest.raises(TypeError):
            Ours(*positional, **named)  # type: ignore[arg-type]
        return
    made = Ours(*positional, **named)  # type: ignore[arg-type]
    assert tuple(made) == tuple(expected)
    assert made == expected
    assert hash(made) == hash(expected)
    assert made._asdict() == expected._asdict()
    assert repr(made) == repr(expected).replace("Theirs", "Ours")
    assert (made.x, made.y, made.names) == (expected.x, expected.y, expected.names)
    assert made._replace(y=7) == expected._replace(y=7)


def test_what_a_named_tuple_is() -> None:
    point = Ours(1)
    assert isinstance(point, tuple)
    assert Ours._fields == Theirs._fields
    assert Ours._field_defaults == Theirs._field_defaults
    assert Ours.__match_args__ == Theirs.__match_args__  # type: ignore[attr-defined]
    assert Ours._make([3, 4, ()]) == (3, 4, ())
    assert point.total == 3
    assert pickle.loads(pickle.dumps(point)) == copy.deepcopy(point) == point  # noqa: S301
    with pytest.raises(AttributeError):
        point.x = 5  # type: ignore[misc]
    with pytest.raises(AttributeError):
        point.other = 5  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        point._replace(other=5)


def test_fields_may_have_any_names() -> None:
    entry = values.named_tuple("entry", ["class", "_reserved", "x y"])(1, 2, 3)
    assert (getattr(entry, "class"), entry._reserved, getattr(entry, "x y")) == (1, 2, 3)


class OurColour(values.StrEnum):
    RED = "red"
    BLUE = "blue"


class TheirColour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class OurNumber(values.IntEnum):
    ONE = 1
    TWO = 2


class TheirNumber(enum.IntEnum):
    ONE = 1
    TWO = 2


@pytest.mark.parametrize(("ours", "theirs"), [(OurColour, TheirColour), (OurNumber, TheirNumber)])
def test_an_enumeration_is_as_the_standard_one(ours: Any, theirs: Any) -> None:
    assert [member.name for member in ours] == [member.name for member in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert getattr(ours, one.name) is one
        assert one == other
        assert hash(one) == hash(other)
        assert (one.value, str(one), f"{one}") == (other.value, str(other), f"{other}")
        assert repr(one) == repr(other).replace("Their", "Our")
