"""Block pointers taken apart into their bit fields."""

from __future__ import annotations

from pybootcfg import schema
from pybootcfg.errors import UnsupportedFeature
from pybootcfg.schema import Decoder
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Any

layout = schema.load("zfs_blkptr")
SIZE = 128


def bits(word: int, field: tuple[int, int]) -> int:
    """Return a bit field, given as (first bit, number of bits), of `word`."""
    first, count = field
    return word >> first & (1 << count) - 1


def ordered(decoder: Decoder, *, big: bool) -> Decoder:
    """Return the decoder for one byte order."""
    return decoder.big if big else decoder.little


class Dva(NamedTuple):
    """Where a copy of a block lies: `offset` in bytes within top-level vdev number `vdev`."""

    vdev: int
    offset: int
    asize: int  #: bytes allocated, parity and gang members included
    gang: bool


class BlockPointer(NamedTuple):
    """A pointer to one block; sizes are in bytes, `birth` is the txg in which the copies were written."""

    dvas: tuple[Dva, ...]
    lsize: int
    psize: int
    compress: int
    checksum: int
    type: int
    level: int
    big: bool  #: whether the block's contents are big-endian
    crypt: bool
    birth: int
    logical_birth: int
    cksum: tuple[int, ...]
    embedded: bytes | None  #: the compressed block itself, where the pointer holds it

    @property
    def hole(self) -> bool:
        """Whether there is no block, and all of it reads as zeros."""
        return not self.dvas and self.embedded is None


def decode(data: bytes | memoryview, offset: int = 0, *, big: bool) -> BlockPointer:
    """Return the block pointer at `offset` of `data`, which is in the given byte order.

    Raises UnsupportedFeature for pointers that hold something else than a block.
    """
    raw = ordered(layout.blkptr, big=big).decode(data, offset)
    prop = raw.blk_prop
    if bits(prop, layout.BLK_EMBEDDED):
        return _embedded(raw, ordered(layout.embedded_blkptr, big=big).decode(data, offset))
    words = raw.blk_dva
    dvas = tuple(
        Dva(
            bits(words[i], layout.DVA_VDEV),
            bits(words[i + 1], layout.DVA_OFFSET) << layout.SPA_MINBLOCKSHIFT,
            bits(words[i], layout.DVA_ASIZE) << layout.SPA_MINBLOCKSHIFT,
            bool(bits(words[i + 1], layout.DVA_GANG)),
        )
        for i in range(0, 6, 2)
        if words[i] or words[i + 1]
    )
    crypt = bool(bits(prop, layout.BLK_CRYPT))
    physical, logical = raw.blk_birth_word
    return BlockPointer(
        dvas if words[0] or words[1] else (),
        bits(prop, layout.BLK_LSIZE) + 1 << layout.SPA_MINBLOCKSHIFT,
        bits(prop, layout.BLK_PSIZE) + 1 << layout.SPA_MINBLOCKSHIFT,
        bits(prop, layout.BLK_COMPRESS),
        bits(prop, layout.BLK_CHECKSUM),
        bits(prop, layout.BLK_TYPE),
        bits(prop, layout.BLK_LEVEL),
        not bits(prop, layout.BLK_BYTEORDER),
        crypt,
        bits(physical, layout.BLK_PHYSICAL_BIRTH) or logical,
        logical,
        raw.blk_cksum,
        None,
    )


def _embedded(raw: Any, words: tuple[int, ...]) -> BlockPointer:
    """Return a pointer that holds its block: 14 words whose bytes count from the lowest up."""
    prop = raw.blk_prop
    kind = bits(prop, layout.BPE_ETYPE)
    if kind != layout.BP_EMBEDDED_TYPE_DATA:
        redacted = kind == layout.BP_EMBEDDED_TYPE_REDACTED
        name = "redacted data" if redacted else f"embedded data of type {kind}"
        raise UnsupportedFeature(f"ZFS {name}", f"the block pointer holds {name}, which cannot be read")
    payload = b"".join(words[i].to_bytes(8, "little") for i in layout.BPE_PAYLOAD_WORDS)
    psize = bits(prop, layout.BPE_PSIZE) + 1
    return BlockPointer(
        (),
        bits(prop, layout.BPE_LSIZE) + 1,
        psize,
        bits(prop, layout.BLK_COMPRESS),
        layout.ZIO_CHECKSUM_OFF,
        bits(prop, layout.BLK_TYPE),
        bits(prop, layout.BLK_LEVEL),
        not bits(prop, layout.BLK_BYTEORDER),
        False,
        raw.blk_birth_word[1],
        raw.blk_birth_word[1],
        (),
        payload[:psize],
    )
