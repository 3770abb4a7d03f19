"""Inodes many at a time, for listings: read, verified and decoded together, wherever they stand.

What a listing shows takes six of an inode's fields, so that of thousands only those are decoded.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from pybootcfg import schema
from pybootcfg.checksums import byte_planes, crc32c_planes, crc32c_zeros, word_planes
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.ext.inode import Inode, InodeTable, checksum_offsets, seconds_of
from pybootcfg.filesystems.ext.superblock import MAX_SIZE, Superblock
from pybootcfg.kind import Kind, of_mode
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pybootcfg.filesystems.base import Status

layout = schema.load("ext")

#: the bytes of an inode, where they lie, and what a listing shows; None where `Inode` has more to say of that
Glance = tuple[bytes, int, "Status | None"]

STRETCH_SIZE = 65536  # bytes of an inode table; those within so many are read at once
MODERATE_SIZE = 1024  # bytes of an inode; hardly any are larger than 256
FIELDS = ("i_mode", "i_size_lo", "i_mtime", "i_size_high")
EXTRA_FIELDS = ("i_extra_isize", "i_mtime_extra")


def glances(inodes: InodeTable, numbers: Iterable[int]) -> dict[int, Glance]:
    """Return what inodes hold that are in use, by number; a bad checksum is a warning.

    Those that fast commits made newer are left out, and those that cannot be read: each says why when it
    is read by itself.
    """
    superblock = inodes.blocks.superblock
    size = superblock.inode_size
    if size > MODERATE_SIZE:
        return {}
    wanted = sorted(set(numbers) - inodes.replaced.keys())
    del wanted[bisect_right(wanted, superblock.inodes_count) :]
    found: list[int] = []
    offsets: list[int] = []
    raw: list[bytes] = []
    for some in _stretches(wanted, superblock):
        first = some[0]
        try:
            start = inodes.offset(first)
            data = inodes.blocks.source.read(start, (some[-1] - first + 1) * size, "inode table")
        except (ImageError, OSError):
            continue
        places = [(number - first) * size for number in some]
        found += some
        offsets += [start + place for place in places]
        raw += [data[place : place + size] for place in places]
    table = b"".join(raw)
    if superblock.metadata_csum and found:
        for index in _suspects(superblock, found, table):
            inode = Inode(inodes.blocks, found[index], raw[index], offsets[index])
            if not inode.has_right_checksum:
                inodes.blocks.warn(f"{inode.name} has a bad checksum")
    return dict(zip(found, zip(raw, offsets, _statuses(table, size), strict=True), strict=True))


def _stretches(numbers: Sequence[int], superblock: Superblock) -> Iterator[Sequence[int]]:
    """Yield numbers, which are in order, in parts whose inodes stand near each other."""
    per_stretch = STRETCH_SIZE // superblock.inode_size
    index = 0
    while index < len(numbers):
        first = numbers[index]
        left = superblock.inodes_per_group - (first - 1) % superblock.inodes_per_group
        end = bisect_left(numbers, first + min(left, per_stretch), index)
        yield numbers[index:end]
        index = end


def _statuses(table: bytes, size: int) -> Iterator[Status | None]:
    """Yield the status of each inode."""
    if size == layout.GOOD_OLD_INODE_SIZE:
        rows = ((*row, 0, 0) for row in layout.inode.columns(FIELDS, size)(table))
    else:
        rows = layout.inode_large.columns(FIELDS + EXTRA_FIELDS, size)(table)
    for mode, size_lo, mtime, size_high, extra_isize, extra in rows:
        kind = of_mode(mode)
        length = size_lo | size_high << 32 if kind is Kind.FILE else 0
        seconds = seconds_of(mtime, extra_isize, extra)
        yield (kind, length, mode & 0o7777, seconds) if kind is not None and length < MAX_SIZE else None


def _suspects(superblock: Superblock, numbers: Sequence[int], table: bytes) -> list[int]:
    """Return which inodes of a table have not the checksum that they usually have.

    It may be right nevertheless: where the extra fields end before its upper half, that counts as any other
    byte.
    """
    size, count = superblock.inode_size, len(numbers)
    length = size + 8  # the number and the generation come before the inode itself
    planes = ((length - 1 - place, plane) for place, plane in _message(numbers, table, size))
    computed = crc32c_planes(planes, count, crc32c_zeros(superblock.checksum_seed, length))
    stored = b"".join([table[offset::size] for offset in checksum_offsets(size)])
    short: list[int] = []
    if size > layout.GOOD_OLD_INODE_SIZE:
        least = layout.CHECKSUM_HI_EXTRA_ISIZE
        extra = layout.inode_large.columns(["i_extra_isize"], size)(table)
        short = [i for i, (extra_isize,) in enumerate(extra) if extra_isize < least]
    if computed.startswith(stored):
        return short
    lanes = range(0, len(stored), count)
    wrong = (i for i in range(count) if any(computed[lane + i] != stored[lane + i] for lane in lanes))
    return sorted({*short, *wrong})


def _message(numbers: Sequence[int], table: bytes, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield (place, the byte there of each inode) of what the checksums are taken of.

    That is the number, the generation, and the inode but for the checksum itself.
    """
    for place, plane in enumerate(word_planes(numbers)):
        yield place, plane
        yield 4 + place, table[layout.I_GENERATION_OFFSET + place :: size]
    checksum = checksum_offsets(size)
    for place, plane in byte_planes(table, size):
        if place not in checksum:
            yield 8 + place, plane
