"""From a file's blocks to the volume's: extent trees and block pointers, as runs.

A `Mapped` is a number of blocks that lie side by side in the file and on the volume; what no
`Mapped` covers is a hole.  Both walks start at any block of the file, so that one block of a large
directory costs what the tree's depth costs.

Facts: kernel documentation, "The Contents of inode.i_block"; __ext4_ext_check of fs/ext4/extents.c.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right

from pybootcfg import schema
from pybootcfg.checksums import crc32c
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.ext.blocks import Blocks
from pybootcfg.filesystems.ext.inode import Inode, Mapped
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

layout = schema.load("ext")

HEADER_SIZE: int = layout.extent_header.size
ENTRY_SIZE: int = layout.extent.size
LAST_BLOCK = 1 << 32  # an extent's logical blocks have 32 bits


def mapped(inode: Inode, first: int, stop: int) -> Iterator[Mapped]:
    """Yield what lies on the volume of a file's blocks `first` to `stop` - 1, in order, neighbours joined.

    The first one may begin before `first` and the last one reach beyond `stop`.  Raises ImageError for
    trees that cannot be right.
    """
    walk = ExtentTree(inode) if inode.has(layout.EXTENTS_FL) else BlockMap(inode)
    pieces = walk.pieces(first, stop)
    if inode.moved:
        pieces = _replaced(pieces, inode.moved, first, stop)
    current = next(pieces, None)
    if current is None or current.logical >= stop:
        return
    for piece in pieces:
        if piece.logical >= stop:
            break
        adjacent = piece.logical == current.logical + current.length
        if adjacent and piece.physical == current.physical + current.length:
            current = Mapped(current.logical, current.physical, current.length + piece.length)
        else:
            yield current
            current = piece
    yield current


def _replaced(pieces: Iterator[Mapped], moved: Sequence[Mapped], first: int, stop: int) -> Iterator[Mapped]:
    """Yield `pieces`, but what `moved` (in order) covers as that says; physical block 0 is a hole."""
    here = first  # all before it is yielded
    newer = [piece for piece in moved if piece.logical < stop and piece.logical + piece.length > first]
    for piece in pieces:
        while newer and newer[0].logical < piece.logical + piece.length:
            change = newer.pop(0)
            yield from _part(piece, here, change.logical)
            if change.physical:
                yield change
            here = change.logical + change.length
        yield from _part(piece, here, piece.logical + piece.length)
    yield from (change for change in newer if change.physical)


def _part(piece: Mapped, start: int, stop: int) -> Iterator[Mapped]:
    start = max(start, piece.logical)
    if start < min(stop, piece.logical + piece.length):
        count = min(stop, piece.logical + piece.length) - start
        yield Mapped(start, piece.physical + start - piece.logical, count)


class _Walk(ABC):
    """One walk over one file's tree; the work it does is bounded by the size of the volume."""

    def __init__(self, inode: Inode) -> None:
        self.inode = inode
        self.blocks: Blocks = inode.blocks
        self.visited = 0

    @abstractmethod
    def pieces(self, first: int, stop: int) -> Iterator[Mapped]:
        """Yield what is mapped of the file's blocks `first` to `stop` - 1."""

    def spend(self, offset: int) -> None:
        """Count one block of the tree; each can be there once, so there are fewer than the volume has."""
        self.visited += 1
        if self.visited > self.blocks.superblock.blocks_count:
            raise self.inode.damage("the block tree has more blocks than the volume", offset)


class ExtentTree(_Walk):
    """The extents of one file, at most six levels of them."""

    def pieces(self, first: int, stop: int) -> Iterator[Mapped]:
        """Yield the written extents; unwritten ones read as holes."""
        offset = self.inode.offset + layout.I_BLOCK_OFFSET
        end = 0
        for extent, at in self._leaves(self.inode.record.i_block, offset, None, first, 0, LAST_BLOCK):
            if extent.ee_block >= stop:
                return
            written = extent.ee_len <= layout.EXT_INIT_MAX_LEN
            count: int = extent.ee_len if written else extent.ee_len - layout.EXT_INIT_MAX_LEN
            if not count or extent.ee_block < end:
                raise self.inode.damage(
                    f"an extent of {count} blocks at block {extent.ee_block} follows one that ends at {end}",
                    at,
                )
            end = extent.ee_block + count
            if end > LAST_BLOCK:
                raise self.inode.damage(f"an extent ends at block {end}", at)
            if written and end > first:
                physical = extent.ee_start_lo | extent.ee_start_hi << 32
                self.blocks.check(physical, count, self.inode.name, at)
                yield Mapped(extent.ee_block, physical, count)

    def _leaves(
        self, data: bytes, offset: int, depth: int | None, first: int, lowest: int, end: int
    ) -> Iterator[tuple[Any, int]]:
        """Yield (extent, byte offset) below a node that lies at `offset` and covers `lowest` to `end`."""
        header = self._header(data, offset, depth)
        is_leaf = header.eh_depth == 0
        decode = (layout.extent if is_leaf else layout.extent_index).decode
        keys = _Keys(data, header.eh_entries, decode)
        start = max(0, bisect_right(keys, first) - 1) if first else 0
        previous = lowest
        for index in range(start, header.eh_entries):
            position = HEADER_SIZE + index * ENTRY_SIZE
            at = offset + position
            entry = decode(data, position)
            key: int = entry[0]
            if not previous <= key < end:
                raise self.inode.damage(
                    f"an extent begins at block {key}, but it must from {previous} to {end - 1}", at
                )
            previous = key + 1
            if is_leaf:
                yield entry, at
                continue
            following = keys[index + 1] if index + 1 < header.eh_entries else end
            leaf = entry.ei_leaf_lo | entry.ei_leaf_hi << 32
            self.blocks.check(leaf, 1, self.inode.name, at)
            self.spend(at)
            child = self.blocks.read(leaf, self.inode.name, self._verify)
            yield from self._leaves(
                child, leaf * self.blocks.size, header.eh_depth - 1, first, key, max(key, following)
            )

    def _header(self, data: bytes, offset: int, depth: int | None) -> Any:
        header = self.blocks.decode(layout.extent_header, data, 0, self.inode.name, offset)
        expected = header.eh_depth if depth is None else depth
        room = (len(data) - HEADER_SIZE) // ENTRY_SIZE
        if header.eh_depth != expected or header.eh_depth > layout.EXT_MAX_DEPTH:
            raise self.inode.damage(f"an extent block of depth {header.eh_depth}", offset)
        if header.eh_entries > header.eh_max or header.eh_max > room:
            raise self.inode.damage(
                f"{header.eh_entries} of {header.eh_max} extents in a block that has room for {room}", offset
            )
        if header.eh_depth and not header.eh_entries:
            raise self.inode.damage("an extent index without entries", offset)
        return header

    def _verify(self, data: bytes, offset: int) -> None:
        if not self.blocks.superblock.metadata_csum:
            return
        try:
            tail = HEADER_SIZE + ENTRY_SIZE * layout.extent_header.decode(data).eh_max
            stored = layout.extent_tail.decode(data, tail).et_checksum
        except ImageError:
            return  # no extent block at all, which the walk will say
        if crc32c(data[:tail], self.inode.checksum_seed) != stored:
            self.blocks.warn(f"an extent block of {self.inode.name} at byte {offset:#x} has a bad checksum")


class _Keys:
    """The first blocks of the entries of an extent block, decoded when asked for, to be bisected."""

    def __init__(self, data: bytes, count: int, decode: Any) -> None:
        self.data = data
        self.count = count
        self.decode = decode

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return self.decode(self.data, HEADER_SIZE + index * ENTRY_SIZE)[0]  # type: ignore[no-any-return]


class BlockMap(_Walk):
    """The block pointers of one file: twelve direct ones, then one, two and three levels of indirection."""

    def pieces(self, first: int, stop: int) -> Iterator[Mapped]:
        """Yield the blocks that the pointers name, those of neighbours joined."""
        record = self.inode.record
        pointers = layout.block_pointer.array(record.i_block, layout.I_BLOCK_SIZE // 4)
        offset = self.inode.offset + layout.I_BLOCK_OFFSET
        yield from self._data(pointers[: layout.NDIR_BLOCKS], offset, 0, first)
        logical: int = layout.NDIR_BLOCKS
        span = 1
        for level, pointer in enumerate(pointers[layout.NDIR_BLOCKS :], 1):
            span *= self.blocks.size // 4
            at = offset + 4 * (layout.NDIR_BLOCKS + level - 1)
            if pointer and logical < stop and logical + span > first:
                yield from self._indirect(pointer, at, level, logical, first, stop)
            logical += span

    def _indirect(
        self, block: int, at: int, level: int, logical: int, first: int, stop: int
    ) -> Iterator[Mapped]:
        """Yield what an indirect block (read from a pointer at byte `at`) maps from block `logical` on."""
        self.blocks.check(block, 1, self.inode.name, at)
        self.spend(at)
        data = self.blocks.read(block, self.inode.name)
        per_block = self.blocks.size // 4
        pointers = layout.block_pointer.array(data, per_block)
        offset = block * self.blocks.size
        if level == 1:
            yield from self._data(pointers, offset, logical, first)
            return
        span: int = per_block ** (level - 1)
        end = min(per_block, -(-(stop - logical) // span))
        for index in range(max(0, first - logical) // span, end):
            if pointers[index]:
                below = logical + index * span
                yield from self._indirect(pointers[index], offset + 4 * index, level - 1, below, first, stop)

    def _data(self, pointers: tuple[int, ...], offset: int, logical: int, first: int) -> Iterator[Mapped]:
        """Yield runs of data blocks among pointers that stand at byte `offset`."""
        index = max(0, first - logical)
        count = len(pointers)
        if not any(pointers[index:]):
            return
        while index < count:
            start = index
            block = pointers[start]
            index += 1
            if not block:
                continue
            while index < count and pointers[index] == block + index - start:
                index += 1
            self.blocks.check(block, index - start, self.inode.name, offset + 4 * start)
            yield Mapped(logical + start, block, index - start)
