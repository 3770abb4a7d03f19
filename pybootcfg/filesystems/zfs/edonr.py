"""Edon-R 512 with the tweak that ZFS uses, which no well-kept library has.

Specification: D. Gligoroski et al., "Cryptographic Hash Function EDON-R" (submission to NIST, 2008),
sections 2 and 3, and for the tweak "Edon-R'" (2009): the block is added to the new double pipe again.
"""

from __future__ import annotations

from pybootcfg import schema

MASK = (1 << 64) - 1
BLOCK = 128  # bytes
INITIAL = tuple(0x8081828384858687 + i * 0x0808080808080808 for i in range(16))

Words = tuple[int, ...]


def absorb(state: Words, data: bytes) -> Words:
    """Return the double pipe after `data`, a whole number of blocks."""
    words = schema.load("zfs_blkptr").word.little.array(data, len(data) // 8)
    for at in range(0, len(words), 16):
        state = _compress(state, words[at : at + 16])
    return state


def digest(state: Words, message: bytes, before: int = 0) -> Words:
    """Return the digest as eight words, little-endian in its byte form; `before` bytes are in `state`."""
    whole = len(message) // BLOCK * BLOCK
    state = absorb(state, message[:whole])
    padding = BLOCK - 8 - (len(message) - whole) - 1
    if padding < 0:
        padding += BLOCK
    bits = (before + len(message)) * 8
    return absorb(state, message[whole:] + b"\x80" + bytes(padding) + bits.to_bytes(8, "little"))[8:]


def _compress(pipe: Words, block: Words) -> Words:
    """Return the new double pipe: four rows of two quasigroup operations."""
    first, second = block[:8], block[8:]
    p = _quasigroup(second[::-1], first)
    q = _quasigroup(p, second)
    p = _quasigroup(pipe[8:], p)
    q = _quasigroup(p, q)
    p = _quasigroup(p, pipe[:8])
    q = _quasigroup(q, p)
    p = _quasigroup(first[::-1], p)
    q = _quasigroup(p, q)
    mixed = zip(pipe, (*second, *first), (*p, *q), strict=True)
    return tuple([old ^ word ^ new for old, word, new in mixed])


def _quasigroup(x: Words, y: Words) -> Words:
    """Return X * Y: both sides through a Latin square each, then an orthogonal one over both."""
    m = MASK
    a, b, c, d, e, f, g, h = x
    v = a + b + e + h
    w = c + d + f + g
    s0 = v + c + 0xAAAAAAAAAAAAAAAA & m
    v1 = v + d & m
    s1 = (v1 << 5 | v1 >> 59) & m
    v2 = v + g & m
    s2 = (v2 << 15 | v2 >> 49) & m
    v3 = w + h & m
    s3 = (v3 << 22 | v3 >> 42) & m
    v4 = w + b & m
    s4 = (v4 << 31 | v4 >> 33) & m
    v5 = a + c + d + e + f & m
    s5 = (v5 << 40 | v5 >> 24) & m
    v6 = a + b + f + g + h & m
    s6 = (v6 << 50 | v6 >> 14) & m
    v7 = w + e & m
    s7 = (v7 << 59 | v7 >> 5) & m
    a, b, c, d, e, f, g, h = y
    v = a + b + c + f
    w = a + b + d + e
    z = d + e + g + h
    t0 = v + h + 0x5555555555555555 & m
    v1 = w + g & m
    t1 = (v1 << 10 | v1 >> 54) & m
    v2 = v + d & m
    t2 = (v2 << 19 | v2 >> 45) & m
    v3 = z + c & m
    t3 = (v3 << 29 | v3 >> 35) & m
    v4 = w + f & m
    t4 = (v4 << 36 | v4 >> 28) & m
    v5 = c + e + f + g + h & m
    t5 = (v5 << 44 | v5 >> 20) & m
    v6 = b + c + f + g + h & m
    t6 = (v6 << 48 | v6 >> 16) & m
    v7 = z + a & m
    t7 = (v7 << 55 | v7 >> 9) & m
    return (
        (s0 ^ s1 ^ s4) + (t0 ^ t1 ^ t5) & m,
        (s0 ^ s4 ^ s7) + (t2 ^ t6 ^ t7) & m,
        (s1 ^ s6 ^ s7) + (t0 ^ t1 ^ t3) & m,
        (s2 ^ s3 ^ s4) + (t0 ^ t3 ^ t4) & m,
        (s0 ^ s1 ^ s7) + (t1 ^ t2 ^ t5) & m,
        (s3 ^ s5 ^ s6) + (t3 ^ t4 ^ t6) & m,
        (s2 ^ s5 ^ s6) + (t2 ^ t5 ^ t7) & m,
        (s2 ^ s3 ^ s5) + (t4 ^ t6 ^ t7) & m,
    )
