"""Checksum functions of block pointers, by number.

Specification: OpenZFS module/zfs/zio_checksum.c (zio_checksum_table).  A checksum is four 64-bit words.
SHA-256 gives them in big-endian order, all newer hashes in that of the machine that wrote the block;
Skein, Edon-R and BLAKE3 are keyed with a salt of the pool.
"""

from __future__ import annotations

import functools
import hashlib

from pybootcfg import schema
from pybootcfg.errors import UnsupportedFeature
from pybootcfg.filesystems.zfs import edonr, fletcher, skein
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Checksum = tuple[int, ...]

layout = schema.load("zfs_blkptr")


def checksum(function: int, data: bytes, *, big: bool, salt: bytes) -> Checksum | None:
    """Return the checksum of a block whose contents are big-endian or not; None for `off`.

    Raises UnsupportedFeature for functions that are not known, and for BLAKE3 without its library.
    """
    if function in (layout.ZIO_CHECKSUM_OFF, layout.ZIO_CHECKSUM_NOPARITY):
        return None
    known = _FUNCTIONS.get(function)
    if known is None:
        raise UnsupportedFeature(f"ZFS checksum function {function}")
    return known(data, big, salt)


def embedded(data: bytes | memoryview) -> Checksum:
    """Return the checksum of labels, uberblocks and gang headers: SHA-256 with the verifier in place."""
    return _words(hashlib.sha256(data).digest(), big=True)


def _words(digest: bytes, *, big: bool) -> Checksum:
    decoder = layout.cksum.big if big else layout.cksum.little
    words: Checksum = decoder.decode(digest)
    return words


def _fletcher2(data: bytes, big: bool, _: bytes) -> Checksum:
    return fletcher.fletcher2(data, "big" if big else "little")


def _fletcher4(data: bytes, big: bool, _: bytes) -> Checksum:
    return fletcher.fletcher4(data, "big" if big else "little")


def _sha256(data: bytes, _: bool, __: bytes) -> Checksum:
    return _words(hashlib.sha256(data).digest(), big=True)


def _sha512(data: bytes, big: bool, _: bytes) -> Checksum:
    try:
        return _words(hashlib.new("sha512_256", data).digest(), big=big)
    except ValueError:
        raise UnsupportedFeature("ZFS checksum sha512", "Python's hashlib lacks SHA-512/256 here") from None


def _skein(data: bytes, big: bool, salt: bytes) -> Checksum:
    return _turned(skein.digest(_skein_state(salt), data), big=big)


def _edonr(data: bytes, big: bool, salt: bytes) -> Checksum:
    return _turned(edonr.digest(_edonr_state(salt), data, edonr.BLOCK)[:4], big=big)


def _blake3(data: bytes, big: bool, salt: bytes) -> Checksum:
    try:
        from blake3 import blake3
    except ImportError:
        raise UnsupportedFeature(
            "ZFS checksum blake3", "blocks with BLAKE3 checksums need the Python package blake3"
        ) from None
    return _words(blake3(data, key=salt).digest(), big=big)


def _turned(words: tuple[int, ...], *, big: bool) -> Checksum:
    """Return words of a little-endian digest as a machine of the other order sees them."""
    return _words(_bytes(words), big=big) if big else words


@functools.lru_cache(maxsize=4)
def _skein_state(salt: bytes) -> tuple[int, ...]:
    return tuple(skein.keyed(salt))


@functools.lru_cache(maxsize=4)
def _edonr_state(salt: bytes) -> tuple[int, ...]:
    """Return the state after the salt's digest and that digest's digest, which fill one block."""
    once = _bytes(edonr.digest(edonr.INITIAL, salt))
    return tuple(edonr.absorb(edonr.INITIAL, once + _bytes(edonr.digest(edonr.INITIAL, once))))


def _bytes(words: tuple[int, ...]) -> bytes:
    return b"".join(word.to_bytes(8, "little") for word in words)


_FUNCTIONS: dict[int, Callable[[bytes, bool, bytes], Checksum]] = {
    layout.ZIO_CHECKSUM_FLETCHER_2: _fletcher2,
    layout.ZIO_CHECKSUM_FLETCHER_4: _fletcher4,
    layout.ZIO_CHECKSUM_SHA256: _sha256,
    layout.ZIO_CHECKSUM_SHA512: _sha512,
    layout.ZIO_CHECKSUM_SKEIN: _skein,
    layout.ZIO_CHECKSUM_EDONR: _edonr,
    layout.ZIO_CHECKSUM_BLAKE3: _blake3,
}
