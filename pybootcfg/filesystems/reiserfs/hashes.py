"""The hashes of names that sort directories: r5, tea and rupasov (also called yura).

Specification: fs/reiserfs/hashes.c of Linux 6.1.  All results are taken modulo 2**32.  Linux reads
bytes as signed characters; machines whose compilers took them as unsigned have made other hashes of
names beyond ASCII, and `values` gives both.
"""

from __future__ import annotations

from pybootcfg import schema
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

layout = schema.load("reiserfs")

_MASK = 0xFFFFFFFF


def r5(name: Sequence[int]) -> int:
    """Return the hash that is the default since 3.5.5; `name` is a sequence of characters as numbers."""
    value = 0
    for char in name:
        value = (value + (char << 4) + (char >> 4)) * 11 & _MASK
    return value


def rupasov(name: Sequence[int]) -> int:
    """Return Yura Rupasov's hash: the name as a decimal number, and what lies behind its end."""
    value = 0
    for char in name:
        value = value * 10 + char - ord("0") & _MASK
    # Behind the end the positions 40 to 255 count as themselves, and those before as zeros.
    value += sum(range(max(len(name), 40), 256))
    return value << 7 & _MASK


_TEA_KEY = (0x9464A485, 0x542E1A94)
_TEA_DELTA = 0x9E3779B9
_TEA_PART_ROUNDS, _TEA_FULL_ROUNDS = 6, 10


def tea(name: Sequence[int]) -> int:
    """Return the Davies-Meyer hash with the Tiny Encryption Algorithm as its cipher."""
    pad = (len(name) * 0x01010101) & _MASK
    state = _TEA_KEY
    whole = len(name) & ~15
    for start in range(0, whole, 16):
        words = [_little(name[at : at + 4]) for at in range(start, start + 16, 4)]
        state = _tea_rounds(state, words, _TEA_PART_ROUNDS)
    rest = name[whole:]
    words = [_little(rest[at : at + 4]) for at in range(0, len(rest) & ~3, 4)]
    partial = pad
    for char in rest[len(rest) & ~3 :]:
        partial = (partial << 8 | char) & _MASK
    words += [partial, pad, pad, pad]
    first, second = _tea_rounds(state, words[:4], _TEA_FULL_ROUNDS)
    return first ^ second


def _little(chars: Sequence[int]) -> int:
    """Return four characters as a little-endian word, signs extended into it."""
    return (chars[0] | chars[1] << 8 | chars[2] << 16 | chars[3] << 24) & _MASK


def _tea_rounds(state: tuple[int, int], words: Sequence[int], rounds: int) -> tuple[int, int]:
    a, b, c, d = words
    first, second = state
    total = 0
    for _ in range(rounds):
        total = total + _TEA_DELTA & _MASK
        first = first + ((second << 4) + a ^ second + total ^ (second >> 5) + b) & _MASK
        second = second + ((first << 4) + c ^ first + total ^ (first >> 5) + d) & _MASK
    return state[0] + first & _MASK, state[1] + second & _MASK


FUNCTIONS: dict[int, Callable[[Sequence[int]], int]] = {
    layout.R5_HASH: r5,
    layout.TEA_HASH: tea,
    layout.YURA_HASH: rupasov,
}
NAMES = {layout.R5_HASH: "r5", layout.TEA_HASH: "tea", layout.YURA_HASH: "rupasov"}


def values(code: int, name: bytes) -> tuple[int, ...]:
    """Return the hash values that entries called `name` may have, the likelier first.

    `code` is an `s_hash_function_code`.  A value is that of `deh_offset` with generation number 0.
    """
    function = FUNCTIONS[code]
    readings: list[Sequence[int]] = [memoryview(name).cast("b")]
    if not name.isascii():
        readings.append(name)
    # A hash of 0 would be where `.` and `..` are.
    found = (function(reading) & layout.HASH_VALUE_MASK or 128 for reading in readings)
    return tuple(dict.fromkeys(found))
