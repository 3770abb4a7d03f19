"""Group descriptors: where each group's inode table is.

Facts: kernel documentation, "Block Group Descriptors" and "Meta Block Groups"; descriptor_loc and
ext4_group_desc_csum of fs/ext4/super.c.
"""

from __future__ import annotations

import functools
from itertools import islice

from pybootcfg import schema
from pybootcfg.checksums import crc16, crc32c, crc32c_word
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.ext.blocks import Blocks
from pybootcfg.schema import Decoder
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

layout = schema.load("ext")

COPIES_TRIED = 3
BAD_CHECKSUM = "has a bad checksum"


class Descriptor(NamedTuple):
    """One group descriptor; `fault` is empty when nothing speaks against it."""

    record: Any
    offset: int  # bytes
    inode_table: int  # block number
    fault: str


class Groups:
    """The group descriptors of one file system."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self.superblock = superblock = blocks.superblock
        wide = superblock.has_incompat("64bit")
        self.decoder: Decoder = layout.group_descriptor_64bit if wide else layout.group_descriptor
        self.descriptor = functools.lru_cache(maxsize=256)(self._descriptor)

    def _descriptor(self, group: int) -> Descriptor:
        """Return the descriptor of `group`, or a copy of it when it is damaged; ImageError when all are."""
        places = self._places(group)
        primary = self._read(group, next(places))
        if not primary.fault:
            return primary
        name = f"group[{group}].descriptor"
        for offset in islice(places, COPIES_TRIED):
            try:
                copy = self._read(group, offset)
            except ImageError:
                continue
            if not copy.fault:
                self.blocks.warn(f"{name} {primary.fault}; its copy at byte {offset:#x} is used")
                return copy
        if primary.fault != BAD_CHECKSUM:
            raise self.blocks.damage(f"{name} {primary.fault}", name, primary.offset)
        self.blocks.warn(f"{name} {primary.fault}")
        return primary

    def offset(self, group: int) -> int:
        """Return where the descriptor of `group` stands, in bytes."""
        return next(self._places(group))

    def _places(self, group: int) -> Iterator[int]:
        """Yield the byte offset of a descriptor, then those of its copies."""
        superblock = self.superblock
        per_block = superblock.block_size // superblock.desc_size
        index, position = divmod(group, per_block)
        for block in self._table_blocks(index, per_block):
            yield block * superblock.block_size + position * superblock.desc_size

    def _table_blocks(self, index: int, per_block: int) -> Iterator[int]:
        """Yield the number of block `index` of the descriptors, then those of its copies."""
        superblock = self.superblock
        if not superblock.has_incompat("meta_bg") or index < superblock.record.s_first_meta_bg:
            # The table follows the superblock, and so do its copies.
            yield superblock.logical_block + 1 + index
            for group in self._groups_with_copy():
                yield superblock.first_block(group) + 1 + index
            return
        # The block lies in the first of the groups that it describes, its copies in the second and the last.
        first = index * per_block
        shift = int(superblock.has_copy(first))
        if index == 0 and superblock.block_size == layout.MIN_BLOCK_SIZE and superblock.first_data_block == 0:
            shift += 1  # block 0 is the boot sector's, the superblock is in block 1
        yield superblock.first_block(first) + shift
        for group in (first + 1, first + per_block - 1):
            if group < superblock.groups:
                yield superblock.first_block(group) + int(superblock.has_copy(group))

    def _groups_with_copy(self) -> Iterator[int]:
        superblock = self.superblock
        if superblock.has_compat("sparse_super2"):
            yield from (group for group in superblock.record.s_backup_bgs if 0 < group < superblock.groups)
        else:
            yield from (group for group in (1, 3, 5, 7) if group < superblock.groups)

    def _read(self, group: int, offset: int) -> Descriptor:
        superblock = self.superblock
        data = self.blocks.source.read(offset, superblock.desc_size, f"group[{group}].descriptor")
        record = self.decoder.decode(data, at=offset)
        table: int = record.bg_inode_table_lo
        if superblock.has_incompat("64bit"):
            table |= record.bg_inode_table_hi << 32
        length = -(-superblock.inodes_per_group * superblock.inode_size // superblock.block_size)
        fault = ""
        if self.checksum(group, data) not in (None, record.bg_checksum):
            fault = BAD_CHECKSUM
        if table <= superblock.first_data_block or table + length > superblock.blocks_count:
            fault = f"places the inode table at block {table} of {superblock.blocks_count}"
        return Descriptor(record, offset, table, fault)

    def checksum(self, group: int, data: bytes) -> int | None:
        """Return the checksum that a descriptor must have; None without one."""
        superblock = self.superblock
        before = data[: layout.DESCRIPTOR_CHECKSUM_OFFSET]
        after = data[layout.DESCRIPTOR_CHECKSUM_OFFSET + 2 :]
        if superblock.metadata_csum:
            seed = crc32c_word(group, superblock.checksum_seed)
            return crc32c(before + bytes(2) + after, seed) & 0xFFFF
        if superblock.has_ro_compat("uninit_bg"):
            # Without 64bit a descriptor ends here, whatever s_desc_size says.
            tail = after if superblock.has_incompat("64bit") else b""
            return crc16(superblock.record.s_uuid + group.to_bytes(4, "little") + before + tail)
        return None
