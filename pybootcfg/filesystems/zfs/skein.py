"""Skein-512-256 with a key, which Python's hashlib lacks and no well-kept library has.

Specification: "The Skein Hash Function Family", version 1.3 (2010), sections 3.3 to 3.5: Threefish-512 in
UBI chaining mode, here for the chain key, configuration, message, output.
"""

from __future__ import annotations

from pybootcfg import schema

MASK = (1 << 64) - 1
BLOCK = 64  # bytes
KEY_SCHEDULE_PARITY = 0x1BD11BDAA9FC1A22
CONFIGURATION = (0x0000000133414853, 256, 0, 0, 0, 0, 0, 0)  # "SHA3", version 1; bits of output

TYPE_KEY, TYPE_CONFIGURATION, TYPE_MESSAGE, TYPE_OUTPUT = 0, 4, 48, 63
FIRST, FINAL = 1 << 62, 1 << 63  # of the upper half of a tweak

Words = tuple[int, ...]


def keyed(key: bytes) -> Words:
    """Return the state after key and configuration, from which any number of messages can go on."""
    chain: Words = (0,) * 8
    chain = _ubi(chain, key, TYPE_KEY)
    return _block(chain, CONFIGURATION, 32, FIRST | FINAL | TYPE_CONFIGURATION << 56)


def digest(state: Words, message: bytes) -> Words:
    """Return the digest of `message` as four words that are little-endian in its byte form."""
    chain = _ubi(state, message, TYPE_MESSAGE)
    return _block(chain, (0,) * 8, 8, FIRST | FINAL | TYPE_OUTPUT << 56)[:4]


def _ubi(chain: Words, data: bytes, kind: int) -> Words:
    flags = FIRST | kind << 56
    whole = max(0, len(data) - 1) // BLOCK * BLOCK  # the last block is never empty, unless all is
    last = data[whole:].ljust(BLOCK, b"\0")
    words = schema.load("zfs_blkptr").word.little.array
    stream = words(data, whole // 8)
    for at in range(0, whole // 8, 8):
        chain = _block(chain, stream[at : at + 8], (at + 8) * 8, flags)
        flags &= ~FIRST
    return _block(chain, words(last, 8), len(data), flags | FINAL)


def _block(chain: Words, plain: Words, position: int, flags: int) -> Words:
    """Encrypt `plain` under `chain` with a tweak, and exclusive-or the two."""
    parity = KEY_SCHEDULE_PARITY
    for word in chain:
        parity ^= word
    key = (*chain, parity) * 3
    tweak = (position, flags, position ^ flags) * 2
    m = MASK
    a, b, c, d, e, f, g, h = plain
    for subkey in range(0, 18, 2):
        k, t = subkey % 9, subkey % 3
        a, b, c, d = a + key[k] & m, b + key[k + 1] & m, c + key[k + 2] & m, d + key[k + 3] & m
        e, f = e + key[k + 4] & m, f + key[k + 5] + tweak[t] & m
        g, h = g + key[k + 6] + tweak[t + 1] & m, h + key[k + 7] + subkey & m
        # Four rounds; the permutation of words is in the choice of pairs.
        a = a + b & m
        b = (b << 46 | b >> 18) & m ^ a
        c = c + d & m
        d = (d << 36 | d >> 28) & m ^ c
        e = e + f & m
        f = (f << 19 | f >> 45) & m ^ e
        g = g + h & m
        h = (h << 37 | h >> 27) & m ^ g
        c = c + b & m
        b = (b << 33 | b >> 31) & m ^ c
        e = e + h & m
        h = (h << 27 | h >> 37) & m ^ e
        g = g + f & m
        f = (f << 14 | f >> 50) & m ^ g
        a = a + d & m
        d = (d << 42 | d >> 22) & m ^ a
        e = e + b & m
        b = (b << 17 | b >> 47) & m ^ e
        g = g + d & m
        d = (d << 49 | d >> 15) & m ^ g
        a = a + f & m
        f = (f << 36 | f >> 28) & m ^ a
        c = c + h & m
        h = (h << 39 | h >> 25) & m ^ c
        g = g + b & m
        b = (b << 44 | b >> 20) & m ^ g
        a = a + h & m
        h = (h << 9 | h >> 55) & m ^ a
        c = c + f & m
        f = (f << 54 | f >> 10) & m ^ c
        e = e + d & m
        d = (d << 56 | d >> 8) & m ^ e
        k, t = (subkey + 1) % 9, (subkey + 1) % 3
        a, b, c, d = a + key[k] & m, b + key[k + 1] & m, c + key[k + 2] & m, d + key[k + 3] & m
        e, f = e + key[k + 4] & m, f + key[k + 5] + tweak[t] & m
        g, h = g + key[k + 6] + tweak[t + 1] & m, h + key[k + 7] + subkey + 1 & m
        a = a + b & m
        b = (b << 39 | b >> 25) & m ^ a
        c = c + d & m
        d = (d << 30 | d >> 34) & m ^ c
        e = e + f & m
        f = (f << 34 | f >> 30) & m ^ e
        g = g + h & m
        h = (h << 24 | h >> 40) & m ^ g
        c = c + b & m
        b = (b << 13 | b >> 51) & m ^ c
        e = e + h & m
        h = (h << 50 | h >> 14) & m ^ e
        g = g + f & m
        f = (f << 10 | f >> 54) & m ^ g
        a = a + d & m
        d = (d << 17 | d >> 47) & m ^ a
        e = e + b & m
        b = (b << 25 | b >> 39) & m ^ e
        g = g + d & m
        d = (d << 29 | d >> 35) & m ^ g
        a = a + f & m
        f = (f << 39 | f >> 25) & m ^ a
        c = c + h & m
        h = (h << 43 | h >> 21) & m ^ c
        g = g + b & m
        b = (b << 8 | b >> 56) & m ^ g
        a = a + h & m
        h = (h << 35 | h >> 29) & m ^ a
        c = c + f & m
        f = (f << 56 | f >> 8) & m ^ c
        e = e + d & m
        d = (d << 22 | d >> 42) & m ^ e
    a, b, c, d = a + key[0] & m, b + key[1] & m, c + key[2] & m, d + key[3] & m
    e, f, g, h = e + key[4] & m, f + key[5] + tweak[0] & m, g + key[6] + tweak[1] & m, h + key[7] + 18 & m
    cipher = (a, b, c, d, e, f, g, h)
    return tuple(x ^ y for x, y in zip(cipher, plain, strict=True))
