"""The hashes that directories are indexed by: legacy, half MD4 and TEA.

Facts: fs/ext4/hash.c of Linux (the hashes), lib/ext2fs/dirhash.c of e2fsprogs (the same).  `debugfs -R
"dx_hash -h half_md4 -s SEED NAME"` computes them.
"""

from __future__ import annotations

from pybootcfg import schema
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

layout = schema.load("ext")

MASK = 0xFFFFFFFF
INITIAL = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
END_OF_DIRECTORY = 0xFFFFFFFE  # as a hash it would mean the end to readdir

UNSIGNED = {
    layout.HASHES["legacy"]: layout.HASHES["legacy_unsigned"],
    layout.HASHES["half_md4"]: layout.HASHES["half_md4_unsigned"],
    layout.HASHES["tea"]: layout.HASHES["tea_unsigned"],
}
SIGNED = frozenset(UNSIGNED)


def directory_hash(name: bytes, version: int, seed: Sequence[int]) -> int:
    """Return the hash of a name, an even number of 32 bits.

    `version` is one of HASHES of formats/ext.py but siphash; `seed` is s_hash_seed, where zeros mean
    the initial values of MD4.
    """
    signed = version in SIGNED
    if version in (layout.HASHES["legacy"], layout.HASHES["legacy_unsigned"]):
        value = _legacy(name, signed)
    else:
        state = list(seed) if any(seed) else list(INITIAL)
        if version in (layout.HASHES["half_md4"], layout.HASHES["half_md4_unsigned"]):
            for start in range(0, len(name), 32):
                _half_md4(state, _words(name[start:], 8, signed))
            value = state[1]
        else:
            for start in range(0, len(name), 16):
                _tea(state, _words(name[start:], 4, signed))
            value = state[0]
    value &= ~1
    return value if value != END_OF_DIRECTORY else value - 2


def _characters(name: bytes, signed: bool) -> list[int]:
    return [byte - 256 if signed and byte > 127 else byte for byte in name]


def _legacy(name: bytes, signed: bool) -> int:
    previous, current = 0x37ABE8F9, 0x12A3FE2D
    for character in _characters(name, signed):
        value = (previous + (current ^ (character * 7152373 & MASK))) & MASK
        if value & 0x80000000:
            value -= 0x7FFFFFFF
        previous, current = current, value
    return current << 1 & MASK


def _words(rest: bytes, count: int, signed: bool) -> list[int]:
    """Pack characters into words, highest first; what is left is filled with the length of the rest."""
    length = len(rest) & 0xFF
    filler = length * 0x01010101
    words = []
    characters = _characters(rest[: 4 * count], signed)
    for start in range(0, len(characters), 4):
        word = filler
        for character in characters[start : start + 4]:
            word = (character + (word << 8)) & MASK
        words.append(word)
    return words + [filler] * (count - len(words))


def _rotated(value: int, bits: int) -> int:
    value &= MASK
    return (value << bits | value >> 32 - bits) & MASK


#: the three rounds of MD4, cut to eight words: added constant, rotations, order of the words
ROUNDS = (
    (0x00000000, (3, 7, 11, 19), (0, 1, 2, 3, 4, 5, 6, 7)),
    (0x5A827999, (3, 5, 9, 13), (1, 3, 5, 7, 0, 2, 4, 6)),
    (0x6ED9EBA1, (3, 9, 11, 15), (3, 7, 2, 6, 1, 5, 0, 4)),
)


def _half_md4(state: list[int], words: list[int]) -> None:
    a, b, c, d = state
    for number, (constant, rotations, order) in enumerate(ROUNDS):
        for step, place in enumerate(order):
            if number == 0:
                mixed = d ^ (b & (c ^ d))
            elif number == 1:
                mixed = (b & c) + ((b ^ c) & d)
            else:
                mixed = b ^ c ^ d
            turned = _rotated(a + mixed + words[place] + constant, rotations[step % 4])
            a, b, c, d = d, turned, b, c
    for index, value in enumerate((a, b, c, d)):
        state[index] = (state[index] + value) & MASK


def _tea(state: list[int], words: list[int]) -> None:
    x, y = state[:2]
    a, b, c, d = words
    total = 0
    for _ in range(16):
        total = (total + 0x9E3779B9) & MASK
        x = (x + (((y << 4) + a) ^ (y + total) ^ ((y >> 5) + b))) & MASK
        y = (y + (((x << 4) + c) ^ (x + total) ^ ((x >> 5) + d))) & MASK
    state[0] = (state[0] + x) & MASK
    state[1] = (state[1] + y) & MASK
