"""Numbers as GRUB reads them (its `strtoul`): blanks, then a base, then as many digits as there are.

choose.py needs them for every dialect, since all defaults come in GRUB's words.
"""

from __future__ import annotations

from pybootcfg.values import NamedTuple

BLANKS = " \t\n\v\f\r"
_LARGEST = 2**64 - 1
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Numeral(NamedTuple):
    """A number and what follows it in the text."""

    value: int
    rest: str


class NoDigits(ValueError):
    """There is no number."""


class TooLarge(ValueError):
    """The number has more than 64 bits."""


def read(text: str, base: int = 0) -> Numeral:
    """Read an unsigned number; base 0 takes `0x` for 16, `0` for 8, else 10.

    Raises NoDigits, TooLarge.
    """
    text = text.lstrip(BLANKS)
    if base in (0, 16) and text.startswith("0x"):
        base, text = 16, text.removeprefix("0x")
    elif base == 0 and text[:1] == "0" and text[1:2] in tuple("01234567"):
        base = 8
    digits = _DIGITS[: base or 10]
    rest = text.lstrip(digits + digits.upper())
    found = text.removesuffix(rest) if rest else text
    if not found:
        raise NoDigits("unrecognized number")
    if len(found) > 64 or (value := int(found, base or 10)) > _LARGEST:
        raise TooLarge("overflow is detected")
    return Numeral(value, rest)
