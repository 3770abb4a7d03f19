"""Inodes many at a time, for listings: read, verified and decoded together, wherever they stand.

What a listing shows takes six of an inode's fields, so that of thousands only those are decoded.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict

from pybootcfg import schema
from pybootcfg.checksums import byte_planes, crc32c_planes, crc32c_zeros, word_planes
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.ext.inode import Inode, InodeTable, checksum_offsets, seconds_of
from pybootcfg.filesystems.ext.superblock import MAX_SIZE
from pybootcfg.kind import Kind, of_mode
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from pybootcfg.filesystems.base import Status

layout = schema.load("ext")

#: the bytes of an inode, where they lie, and what a listing shows; None where `Inode` has more to say of that
Glance = tuple[bytes, int, "Status | None"]

STRETCH_SIZE = 65536  # bytes of an inode table read at once, at most
STRETCHES_KEPT = 16
MODERATE_SIZE = 1024  # bytes of an inode; hardly any are larger than 256
MANY = 32  # inodes; of fewer those around are verified as well, for they are likely to be asked for next
FIELDS = ("i_mode", "i_size_lo", "i_mtime", "i_size_high")
EXTRA_FIELDS = ("i_extra_isize", "i_mtime_extra")


class _Stretch(NamedTuple):
    """Inodes from number `first` on, whose bytes lie at `offset`, and those whose checksums may be bad."""

    first: int
    offset: int
    data: bytes
    suspects: Container[int]


class Glances:
    """What many inodes of a file system hold that are in use, without those that fast commits made newer."""

    def __init__(self, inodes: InodeTable) -> None:
        self.inodes = inodes
        self.superblock = inodes.blocks.superblock
        self.size: int = self.superblock.inode_size
        self._kept: OrderedDict[int, _Stretch] = OrderedDict()
        if self.size == layout.GOOD_OLD_INODE_SIZE:
            self._rows = layout.inode.columns(FIELDS, self.size)
        else:
            self._rows = layout.inode_large.columns(FIELDS + EXTRA_FIELDS, self.size)
            self._extra_sizes = layout.inode_large.columns(["i_extra_isize"], self.size)

    def of(self, numbers: Iterable[int]) -> dict[int, Glance]:
        """Return what inodes hold, by number; a bad checksum is a warning.

        Those that cannot be read are left out: each says why when it is read by itself.
        """
        if self.size > MODERATE_SIZE:
            return {}
        wanted = sorted(set(numbers) - self.inodes.replaced.keys())
        del wanted[bisect_right(wanted, self.superblock.inodes_count) :]
        read = self._around if len(wanted) < MANY else self._exactly
        found: list[int] = []
        offsets: list[int] = []
        raw: list[bytes] = []
        suspects: list[int] = []
        for some in self._near_each_other(wanted):
            try:
                stretch = read(some)
            except (ImageError, OSError):
                continue
            places = [(number - stretch.first) * self.size for number in some]
            found += some
            offsets += [stretch.offset + place for place in places]
            raw += [stretch.data[place : place + self.size] for place in places]
            suspects += [number for number in some if number in stretch.suspects]
        table = b"".join(raw)
        if len(wanted) >= MANY:
            suspects = self._suspects(found, table)
        for number in suspects:
            index = bisect_left(found, number)
            inode = Inode(self.inodes.blocks, number, raw[index], offsets[index])
            if not inode.has_right_checksum:
                self.inodes.blocks.warn(f"{inode.name} has a bad checksum")
        return dict(zip(found, zip(raw, offsets, self._statuses(table), strict=True), strict=True))

    def _near_each_other(self, numbers: Sequence[int]) -> Iterator[Sequence[int]]:
        """Yield numbers, which are in order, in parts whose inodes stand in one stretch."""
        index = 0
        while index < len(numbers):
            first, count = self._bounds(numbers[index])
            end = bisect_left(numbers, first + count, index)
            yield numbers[index:end]
            index = end

    def _bounds(self, number: int) -> tuple[int, int]:
        """Return the first inode of the stretch that an inode stands in, and how many it has."""
        per_group = self.superblock.inodes_per_group
        per_stretch = STRETCH_SIZE // self.size
        index = (number - 1) % per_group
        start = index - index % per_stretch
        return number - index + start, min(per_stretch, per_group - start)

    def _exactly(self, numbers: Sequence[int]) -> _Stretch:
        """Return the bytes from the first to the last of inodes in one stretch."""
        return self._read(numbers[0], numbers[-1] - numbers[0] + 1)

    def _around(self, numbers: Sequence[int]) -> _Stretch:
        """Return all of the stretch that inodes stand in, verified."""
        first, count = self._bounds(numbers[0])
        stretch = self._kept.get(first)
        if stretch is not None:
            self._kept.move_to_end(first)
            return stretch
        stretch = self._read(first, count)
        suspects = frozenset(self._suspects(range(first, first + count), stretch.data))
        stretch = _Stretch(first, stretch.offset, stretch.data, suspects)
        if len(self._kept) >= STRETCHES_KEPT:
            self._kept.popitem(last=False)
        self._kept[first] = stretch
        return stretch

    def _read(self, first: int, count: int) -> _Stretch:
        offset = self.inodes.offset(first)
        return _Stretch(
            first, offset, self.inodes.blocks.source.read(offset, count * self.size, "inode table"), ()
        )

    def _statuses(self, table: bytes) -> Iterator[Status | None]:
        """Yield the status of each inode."""
        rows = self._rows(table)
        if self.size == layout.GOOD_OLD_INODE_SIZE:
            rows = ((*row, 0, 0) for row in rows)
        for mode, size_lo, mtime, size_high, extra_isize, extra in rows:
            kind = of_mode(mode)
            length = size_lo | size_high << 32 if kind is Kind.FILE else 0
            seconds = seconds_of(mtime, extra_isize, extra)
            yield (kind, length, mode & 0o7777, seconds) if kind is not None and length < MAX_SIZE else None

    def _suspects(self, numbers: Sequence[int], table: bytes) -> list[int]:
        """Return which inodes of a table have not the checksum that they usually have.

        It may be right nevertheless: where the extra fields end before its upper half, that counts as any
        other byte.
        """
        count = len(numbers)
        if not self.superblock.metadata_csum or not count:
            return []
        size = self.size
        length = size + 8  # the number and the generation come before the inode itself
        planes = ((length - 1 - place, plane) for place, plane in _message(numbers, table, size))
        computed = crc32c_planes(planes, count, crc32c_zeros(self.superblock.checksum_seed, length))
        stored = b"".join([table[offset::size] for offset in checksum_offsets(size)])
        short: list[int] = []
        if size > layout.GOOD_OLD_INODE_SIZE:
            least = layout.CHECKSUM_HI_EXTRA_ISIZE
            short = [i for i, (extra_isize,) in enumerate(self._extra_sizes(table)) if extra_isize < least]
        if computed.startswith(stored):
            return [numbers[index] for index in short]
        lanes = range(0, len(stored), count)
        wrong = (i for i in range(count) if any(computed[lane + i] != stored[lane + i] for lane in lanes))
        return [numbers[index] for index in sorted({*short, *wrong})]


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
