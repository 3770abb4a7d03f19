"""Fletcher's checksums as ZFS uses them, at the speed of Python's own long integers.

Specification: the head comment of OpenZFS module/zcommon/zfs_fletcher.c.  Over words f(0) … f(n-1),
fletcher4 keeps four sums modulo 2^64, each of the one before it; the last one thus weighs f(i) with
C(n-i+2, 3).  A loop over words would be far too slow, so a block is cut into rows, each row becomes one
long integer whose 64-bit lanes are words of 32 bits, and the rows are added up: one addition works on all
lanes, and no lane can overflow within `ROWS` rows.  What a word's column adds to its weight is a
polynomial in the column's number and is put right at the end from a few moments of the lanes.
"""

from __future__ import annotations

import functools
import sys
from itertools import accumulate
from operator import mul

from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    Order = Literal["little", "big"]

LANES = 64  # per long integer; the fastest in measurement
ROWS = 512  # C(512 + 3, 4) * 2^32 is below 2^64
MASK64 = (1 << 64) - 1

_ROW = LANES * 8
_LOW = sum(0xFFFFFFFF << 64 * lane for lane in range(LANES))
_SPAN = _ROW * ROWS
_LOWEST_FIRST = slice(None, None, 1 if sys.byteorder == "little" else -1)  # lanes, in this machine's order


def fletcher4(data: bytes | memoryview, order: Order) -> tuple[int, int, int, int]:
    """Return fletcher4 of 32-bit words in `order`; bytes after the last whole word do not count."""
    view = memoryview(data)
    view = view[: len(view) & ~3]
    total = (0, 0, 0, 0)
    whole = len(view) // _ROW * _ROW
    for start in range(0, whole, _SPAN):
        part = view[start : min(start + _SPAN, whole)]
        total = _joined(total, _rows(part, order), len(part) // 4)
    if whole < len(view):
        rest = view[whole:]
        total = _joined(total, _words(rest, order), len(rest) // 4)
    return total


def fletcher2(data: bytes | memoryview, order: Order) -> tuple[int, int, int, int]:
    """Return fletcher2 of 64-bit words in `order`; bytes after the last pair of words do not count."""
    view = memoryview(data)
    words = _cast(view[: len(view) & ~15], "Q", order)
    even, odd = words[::2], words[1::2]
    sums = (sum(even), sum(odd), sum(accumulate(even)), sum(accumulate(odd)))
    return (sums[0] & MASK64, sums[1] & MASK64, sums[2] & MASK64, sums[3] & MASK64)


def _joined(first: tuple[int, ...], second: tuple[int, ...], count: int) -> tuple[int, int, int, int]:
    """Return the sums over two runs of words; `count` is the number of words in the second."""
    a, b, c, d = first
    pairs = count * (count + 1) // 2
    triples = pairs * (count + 2) // 3
    return (
        (a + second[0]) & MASK64,
        (b + count * a + second[1]) & MASK64,
        (c + count * b + pairs * a + second[2]) & MASK64,
        (d + count * c + pairs * b + triples * a + second[3]) & MASK64,
    )


def _words(data: memoryview, order: Order) -> tuple[int, int, int, int]:
    """Return the sums over a few words, one after another."""
    a = b = c = d = 0
    for word in _cast(data, "I", order):
        a += word
        b += a
        c += b
        d += c
    return a, b, c, d


def _rows(data: memoryview, order: Order) -> tuple[int, int, int, int]:
    """Return the sums over at most ROWS whole rows."""
    a = b = c = d = 0
    e = f = g = h = 0
    for start in range(0, len(data), _ROW):
        row = int.from_bytes(data[start : start + _ROW], order)
        a += row & _LOW
        b += a
        c += b
        d += c
        e += (row >> 32) & _LOW
        f += e
        g += f
        h += g
    low = _moments((a, b, c, d), *_columns(order, "low"))
    high = _moments((e, f, g, h), *_columns(order, "high"))
    return _weighed([x + y for x, y in zip(low, high, strict=True)])


@functools.cache
def _columns(order: Order, half: str) -> tuple[list[int], list[int], list[int]]:
    """Return the column of each lane's word within its row, its square and its cube.

    A big-endian row has its first word at the top of the number.
    """
    columns = list(range(0, 2 * LANES, 2)) if half == "low" else list(range(1, 2 * LANES, 2))
    if order == "big":
        columns = [2 * LANES - 1 - column for column in columns]
    return columns, [j * j for j in columns], [j * j * j for j in columns]


def _moments(lanes: tuple[int, ...], j: list[int], jj: list[int], jjj: list[int]) -> list[int]:
    """Return ten sums over lanes: A, B, C, D and the first ones times powers of the column."""
    a, b, c, d = (
        memoryview(number.to_bytes(_ROW, sys.byteorder)).cast("Q")[_LOWEST_FIRST] for number in lanes
    )
    return [
        sum(a),
        sum(b),
        sum(c),
        sum(d),
        sum(map(mul, a, j)),
        sum(map(mul, a, jj)),
        sum(map(mul, a, jjj)),
        sum(map(mul, b, j)),
        sum(map(mul, b, jj)),
        sum(map(mul, c, j)),
    ]


def _weighed(moments: list[int]) -> tuple[int, int, int, int]:
    """Return the sums over all words from those over lanes.

    With t = k*s - j for a word in column j of the row that is s rows before the end, k words a row, its
    weights are t, t(t+1)/2 and t(t+1)(t+2)/6; the lanes hold those of s, so that s = B, s*s = 2C - B and
    s*s*s = 6D - 6C + B.
    """
    a, b, c, d, aj, ajj, ajjj, bj, bjj, cj = moments
    k = 2 * LANES
    s2, s3 = 2 * c - b, 6 * d - 6 * c + b
    s2j = 2 * cj - bj
    t1 = k * b - aj
    t2 = k * k * s2 - 2 * k * bj + ajj
    t3 = k * k * k * s3 - 3 * k * k * s2j + 3 * k * bjj - ajjj
    return (
        a & MASK64,
        t1 & MASK64,
        (t2 + t1) // 2 & MASK64,
        (t3 + 3 * t2 + 2 * t1) // 6 & MASK64,
    )


def _cast(view: memoryview, code: Literal["I", "Q"], order: Order) -> memoryview | list[int]:
    """Return the words of `view` as integers."""
    if order == sys.byteorder:
        return memoryview(bytes(view)).cast(code)
    width = 4 if code == "I" else 8
    data = bytearray(len(view))
    for byte in range(width):
        data[byte::width] = view[width - 1 - byte :: width]
    return memoryview(data).cast(code)
