"""Blocks of metadata by number: range-checked, read once, verified once, a bounded number kept.

Everything that a reader of this package needs of the volume stands here: the source (after the
journal's replay), the superblock, and where warnings go.
"""

from __future__ import annotations

from collections import OrderedDict

from pybootcfg.errors import ImageError
from pybootcfg.filesystems.ext.superblock import Superblock
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    #: told once about a block that was just read: (data, byte offset)
    Verifier = Callable[[bytes, int], None]

CACHE_SIZE = 1 << 20  # bytes


class Blocks:
    """The blocks of one file system."""

    def __init__(self, source: Source, superblock: Superblock, warn: Callable[[str], None]) -> None:
        self.source = source
        self.superblock = superblock
        self.size = superblock.block_size
        self.warn = warn
        self.unindexed: set[int] = set()  # inode numbers of directories whose index is damaged
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._room = max(8, CACHE_SIZE // self.size)

    def read(self, number: int, structure: str, verify: Verifier | None = None) -> bytes:
        """Return one block; `verify` sees it when it was not at hand."""
        data = self._kept.get(number)
        if data is not None:
            self._kept.move_to_end(number)
            return data
        data = self.source.read(number * self.size, self.size, structure)
        if verify is not None:
            verify(data, number * self.size)
        if len(self._kept) >= self._room:
            self._kept.popitem(last=False)
        self._kept[number] = data
        return data

    def check(self, first: int, count: int, structure: str, offset: int) -> None:
        """Raise ImageError unless `count` blocks from `first` on can belong to a file.

        `offset` is where the pointer stands, in bytes.  As ext4_inode_block_valid of Linux: neither
        the superblock's block nor what is beyond the last one.
        """
        end = self.superblock.blocks_count
        if first <= self.superblock.first_data_block or first + count > end:
            what = f"block {first}" if count == 1 else f"blocks {first} to {first + count - 1}"
            raise self.damage(f"{what} wanted, but a file's lie below {end}", structure, offset)

    def damage(self, message: str, structure: str, offset: int) -> ImageError:
        """Return the error for what cannot be right on this volume."""
        return ImageError(message, offset=offset, structure=structure, source=self.source.name)

    def decode(self, decoder: Any, data: bytes, position: int, structure: str, base: int) -> Any:
        """Decode the record at `position` of `data`, which was read at byte `base`.

        Errors name `structure`, the volume and the byte on it.
        """
        try:
            return decoder.decode(data, position, at=base)
        except ImageError as error:
            offset = base + position if error.offset is None else error.offset
            raise self.damage(error.message, structure, offset) from None
