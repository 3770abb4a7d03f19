"""The intent log of a dataset: the records that a crash left in it.

Specification: formats/zfs_zil.py; OpenZFS module/zfs/zil.c (zil_parse, zil_claim, zil_replay).  Each block of
the chain is checked by a checksum that begins with what the pointer to it says; the first one that is
wrong is where the log ends, and is no error.  Only records of transaction groups that were never
completed count.
"""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.zfs.blkptr import BlockPointer, decode, ordered
from pybootcfg.filesystems.zfs.block import BlockReader
from pybootcfg.filesystems.zfs.dmu import ObjectSet
from pybootcfg.filesystems.zfs.fletcher import fletcher2, fletcher4
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

layout = schema.load("zfs_zil")
label_layout = schema.load("zfs_label")
blkptr_layout = schema.load("zfs_blkptr")

ZIL_HEADER_OFFSET = 512  # in objset_phys
ZH_LOG_OFFSET = 16  # in zil_header
ZC_NEXT_BLK_OFFSET = 8  # in zil_chain
ZEC_CKSUM_SIZE = 32


class Record(NamedTuple):
    """One record: its type without flags, and its bytes from after the common header on."""

    type: int
    sequence: int
    data: bytes
    big: bool


class LogBlock(NamedTuple):
    """A block of the chain whose checksum is right."""

    data: bytes
    start: int  #: of the records in it
    end: int
    big: bool
    next: BlockPointer


def unreachable(objects: ObjectSet) -> bool:
    """Return whether the log begins on a device that is missing."""
    pointer = decode(objects.data, ZIL_HEADER_OFFSET + ZH_LOG_OFFSET, big=objects.big)
    copies = (
        next(objects.blocks.top(dva.vdev).copies(dva.offset, pointer.psize, pointer.birth), None)
        for dva in pointer.dvas
    )
    return bool(pointer.dvas) and not any(copies)


def pending(objects: ObjectSet, last_txg: int) -> list[Record]:
    """Return the records to replay on top of transaction group `last_txg`, oldest first."""
    header: Any = objects.phys.os_zil_header
    first_txg = header.zh_claim_txg or last_txg + 1
    claimed = header.zh_claim_txg != 0
    found: list[Record] = []
    budget = limits.ZFS_LOG_RECORDS.budget(f"{objects.name}: intent log")
    for block in log_blocks(objects, header.zh_claim_blk_seq if claimed else None):
        for kind, txg, record in _records(block):
            budget.spend()
            if claimed and record.sequence > header.zh_claim_lr_seq:
                return found
            if txg >= first_txg and record.sequence > header.zh_replay_seq and kind:
                found.append(record)
    return found


def log_blocks(objects: ObjectSet, last: int | None) -> Iterator[LogBlock]:
    """Yield the blocks of the log up to number `last`, or to where it ends."""
    pointer = decode(objects.data, ZIL_HEADER_OFFSET + ZH_LOG_OFFSET, big=objects.big)
    budget = limits.ZFS_LOG_BLOCKS.budget(f"{objects.name}: intent log")
    while not pointer.hole and pointer.embedded is None:
        budget.spend()
        if last is not None and pointer.cksum[layout.ZIL_ZC_SEQ] > last:
            return
        block = _block(objects.blocks, pointer)
        if block is None:
            return
        yield block
        expected = (*pointer.cksum[:3], pointer.cksum[3] + 1)
        if block.next.cksum != expected:
            return
        pointer = block.next


def _block(blocks: BlockReader, pointer: BlockPointer) -> LogBlock | None:
    """Return a block of the log, None where the log ends."""
    for dva in pointer.dvas:
        for copy in blocks.top(dva.vdev).copies(dva.offset, pointer.psize, pointer.birth):
            for big in (False, True):
                if pointer.checksum == blkptr_layout.ZIO_CHECKSUM_ZILOG2:
                    found = _at_start(copy.data, pointer, big=big)
                else:
                    found = _at_end(copy.data, pointer, big=big)
                if found is not None:
                    return found
    return None


def _at_start(data: bytes, pointer: BlockPointer, *, big: bool) -> LogBlock | None:
    """Return a block whose chain structure comes first; only what is used is checked."""
    decoder = ordered(layout.zil_chain, big=big)
    chain: Any = decoder.decode(data)
    used = chain.zc_nused
    if chain.zec_magic != label_layout.ZEC_MAGIC or not decoder.size <= used <= len(data):
        return None
    checked = data[: min(-(-used // layout.ZIL_MIN_BLKSZ) * layout.ZIL_MIN_BLKSZ, len(data))]
    body = _with_verifier(checked, decoder.size - ZEC_CKSUM_SIZE, pointer, big=big)
    if fletcher4(body, "big" if big else "little") != chain.zec_cksum:
        return None
    return LogBlock(data, decoder.size, used, big, decode(data, ZC_NEXT_BLK_OFFSET, big=big))


def _at_end(data: bytes, pointer: BlockPointer, *, big: bool) -> LogBlock | None:
    """Return a block whose chain structure comes last."""
    decoder = ordered(layout.zil_chain, big=big)
    start = len(data) - decoder.size
    if start < 0:
        return None
    chain: Any = decoder.decode(data, start)
    if chain.zec_magic != label_layout.ZEC_MAGIC or chain.zc_nused > start:
        return None
    body = _with_verifier(data, len(data) - ZEC_CKSUM_SIZE, pointer, big=big)
    if fletcher2(body, "big" if big else "little") != chain.zec_cksum:
        return None
    return LogBlock(data, 0, chain.zc_nused, big, decode(data, start + ZC_NEXT_BLK_OFFSET, big=big))


def _with_verifier(data: bytes, at: int, pointer: BlockPointer, *, big: bool) -> bytes:
    words = b"".join(word.to_bytes(8, "big" if big else "little") for word in pointer.cksum)
    return data[:at] + words + data[at + ZEC_CKSUM_SIZE :]


def _records(block: LogBlock) -> Iterator[tuple[int, int, Record]]:
    """Yield type, transaction group and record; damage within a checked block is an error."""
    decoder = ordered(layout.lr, big=block.big)
    at = block.start
    while at + decoder.size <= block.end:
        head: Any = decoder.decode(block.data, at)
        if not decoder.size <= head.lrc_reclen <= block.end - at:
            raise ImageError(f"a record of {head.lrc_reclen} bytes", offset=at, structure="intent log")
        kind = head.lrc_txtype & ~layout.TX_CI
        data = block.data[at + decoder.size : at + head.lrc_reclen]
        yield kind, head.lrc_txg, Record(kind, head.lrc_seq, data, block.big)
        at += head.lrc_reclen
