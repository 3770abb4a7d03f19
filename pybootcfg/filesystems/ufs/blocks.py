"""Where the blocks of one file lie: the twelve direct pointers and three levels of indirect ones.

A pointer counts fragments; 0 is a hole.  <ufs/ufs/dinode.h> (di_db, di_ib) and ufs_bmaparray of
FreeBSD's ufs_bmap.c are the specification.
"""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.base import Extent, Hole, Run
from pybootcfg.filesystems.ufs.superblock import ufs
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pybootcfg.filesystems.ufs.reader import Ufs, UfsNode

#: (fragment where they begin, or 0 for a hole; how many blocks follow each other there)
Span = tuple[int, int]


class BlockMap:
    """One walk over the block pointers of a file; `size` is in bytes."""

    def __init__(self, filesystem: Ufs, node: UfsNode, size: int) -> None:
        self.filesystem = filesystem
        self.node = node
        self.size = size
        self.left = -(-size // filesystem.bsize)  # blocks not yet yielded
        self.budget = limits.UFS_FILE_BLOCKS.budget(f"inode {node.number}")

    def runs(self) -> Iterator[Run]:
        """Yield `size` bytes as runs, neighbours joined."""
        filesystem = self.filesystem
        spans = self._spans()
        if self.node.is_snapshot:
            spans = self._through_snapshot(spans)
        left = self.size
        for address, blocks in _joined(spans, filesystem.frag):
            length = min(left, blocks * filesystem.bsize)
            left -= length
            if address:
                filesystem.check_fragments(
                    address, -(-length // filesystem.fsize), f"inode {self.node.number}"
                )
                yield Extent(filesystem.source, address * filesystem.fsize, length)
            else:
                yield Hole(length)

    def _spans(self) -> Iterator[Span]:
        inode = self.node.inode
        yield from self._direct(inode.di_db)
        for level, pointer in enumerate(inode.di_ib, start=1):
            if self.left:
                yield from self._indirect(pointer, level, ())

    def _direct(self, pointers: Sequence[int]) -> Iterator[Span]:
        """Yield data pointers that are side by side on the disk, in bulk where they follow each other."""
        step = self.filesystem.frag
        pointers = pointers[: self.left]
        self.left -= len(pointers)
        start = 0
        while start < len(pointers):
            first = pointers[start]
            count = _run_length(pointers, start, step if first else 0)
            if first:
                self._spend(count)
            yield first, count
            start += count

    def _indirect(self, address: int, level: int, above: tuple[int, ...]) -> Iterator[Span]:
        """Yield what the indirect block at fragment `address` reaches; `level` 1 points to data."""
        filesystem = self.filesystem
        if not address:
            count = min(self.left, filesystem.nindir**level)
            self.left -= count
            yield 0, count
            return
        if address in above:
            raise self._damage(f"the indirect block at fragment {address} points back to itself")
        self._spend(1)
        pointers = filesystem.pointers(address, f"inode {self.node.number}")
        if level == 1:
            yield from self._direct(pointers)
            return
        above = (*above, address)
        for pointer in pointers:
            if not self.left:
                return
            yield from self._indirect(pointer, level - 1, above)

    def _spend(self, blocks: int) -> None:
        """Count blocks in use: a file cannot have more of them than the file system."""
        self.budget.spend(blocks)
        if self.budget.spent > self.filesystem.blocks + 1:  # a tail of fragments may add a part of one
            raise self._damage(f"it claims more than the {self.filesystem.blocks} blocks of the file system")

    def _through_snapshot(self, spans: Iterable[Span]) -> Iterator[Span]:
        """Yield the file system's own blocks for the holes of a snapshot, holes for its small numbers."""
        position = 0
        for address, count in spans:
            if not address:
                yield position * self.filesystem.frag, count
            elif address <= ufs.BLK_SNAP:
                yield 0, count
            else:
                yield address, count
            position += count

    def _damage(self, message: str) -> ImageError:
        return ImageError(
            f"inode {self.node.number}: {message}",
            offset=self.node.offset,
            structure="dinode",
            source=self.filesystem.source.name,
        )


def _run_length(pointers: Sequence[int], start: int, step: int) -> int:
    """Return how many pointers from `start` on rise by `step`, comparing ever larger pieces at once."""
    first = pointers[start]
    count = width = 1
    while start + count < len(pointers):
        piece = tuple(pointers[start + count : start + count + width])
        begin = first + count * step
        expected = tuple(range(begin, begin + len(piece) * step, step)) if step else (first,) * len(piece)
        if piece == expected:
            count += len(piece)
            width *= 2
        elif width == 1:
            break
        else:
            width = max(1, width // 8)
    return count


def _joined(spans: Iterable[Span], step: int) -> Iterator[Span]:
    """Join spans that follow each other; `step` is the number of fragments in a block."""
    start, length = 0, 0
    for address, count in spans:
        if length and address == (start + length * step if start else 0):
            length += count
        else:
            if length:
                yield start, length
            start, length = address, count
    if length:
        yield start, length
