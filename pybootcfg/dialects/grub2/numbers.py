"""Numbers in commands: GRUB's numerals, with its errors and its C types."""

from __future__ import annotations

from pybootcfg import numerals
from pybootcfg.dialects.grub2.failure import Failure, Status
from pybootcfg.numerals import Numeral


def number(text: str, base: int = 0) -> Numeral:
    """Read an unsigned number and what follows it; raises Failure as GRUB fails."""
    try:
        return numerals.read(text, base)
    except numerals.NoDigits as error:
        raise Failure(Status.BAD_NUMBER, str(error)) from error
    except numerals.TooLarge as error:
        raise Failure(Status.OUT_OF_RANGE, str(error)) from error


def whole_number(text: str, base: int = 10) -> int:
    """Read a number that is all of the text; raises Failure."""
    value, rest = number(text, base)
    if rest:
        raise Failure(Status.BAD_ARGUMENT, "unrecognized number")
    return value


def as_int(value: int) -> int:
    """Return what is left of a number in a C `int` of 32 bits, where GRUB keeps some of them."""
    return (value + 2**31) % 2**32 - 2**31
