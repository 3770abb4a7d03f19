"""The journal as a file: its superblock, and its blocks by their place in it.

Facts: kernel documentation, "Journal (jbd2)", "Super Block"; journal_check_superblock of
fs/jbd2/journal.c.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

from pybootcfg import schema
from pybootcfg.checksums import crc32c
from pybootcfg.errors import ImageError, UnsupportedFeature
from pybootcfg.filesystems.ext.blocks import Blocks
from pybootcfg.filesystems.ext.inode import Inode, InodeTable
from pybootcfg.filesystems.ext.mapping import mapped
from pybootcfg.filesystems.ext.superblock import feature_names
from pybootcfg.kind import Kind

layout = schema.load("ext")
jbd2 = schema.load("jbd2")


class Log:
    """The journal of one file system.

    Raises ImageError when it cannot be one, UnsupportedFeature for features that cannot be replayed.
    """

    def __init__(self, inode: Inode) -> None:
        self.inode = inode
        self.blocks: Blocks = inode.blocks
        size = self.blocks.size
        self._firsts = array("Q")  # where in the journal each run of blocks begins, in blocks
        self._places = array("Q")  # and where on the volume
        self._lengths = array("Q")
        for run in mapped(inode, 0, inode.size // size):
            self._firsts.append(run.logical)
            self._places.append(run.physical)
            self._lengths.append(run.length)
        data = self.read(0)
        self.superblock = self.blocks.decode(jbd2.superblock, data, 0, "journal.superblock", self.offset(0))
        modern = self.superblock.h_blocktype == jbd2.SUPERBLOCK_V2
        self._compat: int = self.superblock.s_feature_compat if modern else 0
        self._incompat: int = self.superblock.s_feature_incompat if modern else 0
        self._check(data)
        #: whether descriptors, commits and data have checksums of version 2 or 3
        self.checksummed = self.has_incompat(jbd2.INCOMPAT_CSUM_V2 | jbd2.INCOMPAT_CSUM_V3)
        self.checksum_seed = crc32c(self.superblock.s_uuid)
        self.first: int = self.superblock.s_first
        self.last, self.fast_commit_area = self._layout()

    def _check(self, data: bytes) -> None:
        superblock = self.superblock
        if superblock.h_blocktype not in (jbd2.SUPERBLOCK_V1, jbd2.SUPERBLOCK_V2):
            raise self._damage(f"block type {superblock.h_blocktype}")
        unknown = self._incompat & ~jbd2.INCOMPAT_UNDERSTOOD
        if unknown:
            name = ", ".join(feature_names(unknown, jbd2.INCOMPAT, "INCOMPAT {bit:#x}"))
            raise UnsupportedFeature(name, f"the journal feature {name} is not supported")
        if superblock.s_blocksize != self.blocks.size:
            raise self._damage(f"blocks of {superblock.s_blocksize} bytes")
        if not 1 < superblock.s_maxlen <= self.inode.size // self.blocks.size:
            raise self._damage(f"{superblock.s_maxlen} blocks in a file of {self.inode.size} bytes")
        if not 0 < superblock.s_first < superblock.s_maxlen:
            raise self._damage(f"the log begins at block {superblock.s_first}")
        versions = self.has_compat(jbd2.COMPAT_CHECKSUM), self.has_incompat(jbd2.INCOMPAT_CSUM_V2)
        if sum((*versions, self.has_incompat(jbd2.INCOMPAT_CSUM_V3))) > 1:
            raise self._damage("checksums of more than one version")
        if self.has_incompat(jbd2.INCOMPAT_CSUM_V2 | jbd2.INCOMPAT_CSUM_V3):
            start = jbd2.SUPERBLOCK_CHECKSUM_OFFSET
            cleared = data[:start] + bytes(4) + data[start + 4 : jbd2.SUPERBLOCK_SIZE]
            if crc32c(cleared) != superblock.s_checksum:
                raise self._damage("bad checksum")

    def _layout(self) -> tuple[int, range]:
        """Return where the ring ends (the first block after it) and the blocks of fast commits."""
        end: int = self.superblock.s_maxlen
        area = range(0)
        if self.has_incompat(jbd2.INCOMPAT_FAST_COMMIT):
            count = self.superblock.s_num_fc_blks or jbd2.DEFAULT_FAST_COMMIT_BLOCKS
            if end - count < jbd2.MIN_JOURNAL_BLOCKS:
                raise self._damage(f"{count} of {end} blocks are for fast commits")
            # Linux leaves one block between the two (j_fc_first is j_last + 1).
            area = range(end - count + 1, end)
            end -= count
        if self.superblock.s_start and not self.first <= self.superblock.s_start < end:
            raise self._damage(f"the log starts at block {self.superblock.s_start}")
        return end, area

    def _damage(self, message: str) -> ImageError:
        return self.blocks.damage(message, "journal.superblock", self.offset(0))

    def has_compat(self, bit: int) -> bool:
        """Whether one of the compatible features is set."""
        return bool(self._compat & bit)

    def has_incompat(self, bits: int) -> bool:
        """Whether one of the incompatible features is set."""
        return bool(self._incompat & bits)

    @property
    def length(self) -> int:
        """Blocks in the ring."""
        return self.last - self.first

    def after(self, position: int, step: int) -> int:
        """Return the place `step` blocks further round the ring."""
        position += step
        if position >= self.last:
            position = self.first + (position - self.last) % self.length
        return position

    def offset(self, position: int) -> int:
        """Return where a block of the journal lies, in bytes; ImageError when it does not exist."""
        index = bisect_right(self._firsts, position) - 1
        if index < 0 or position >= self._firsts[index] + self._lengths[index]:
            raise self.inode.damage(f"block {position} of the journal is not there")
        return (self._places[index] + position - self._firsts[index]) * self.blocks.size

    def position(self, offset: int) -> int | None:
        """Return which block of the journal holds a byte of the volume; None when none does."""
        block = offset // self.blocks.size
        for first, place, length in zip(self._firsts, self._places, self._lengths, strict=True):
            if place <= block < place + length:
                return first + block - place
        return None

    def read(self, position: int) -> bytes:
        """Return one block of the journal."""
        return self.blocks.source.read(self.offset(position), self.blocks.size, "journal")


def open_log(inodes: InodeTable) -> Log:
    """Open the journal inside a file system, by the copy of its block map when its inode is damaged.

    Raises UnsupportedFeature when the journal lies on another device, ImageError when there is none.
    """
    blocks = inodes.blocks
    record = blocks.superblock.record
    if not record.s_journal_inum:
        if record.s_journal_dev or any(record.s_journal_uuid):
            raise UnsupportedFeature("journal_dev", "the journal is on another device")
        raise blocks.superblock.damage("the journal must be replayed, but there is none")
    try:
        inode = inodes.read(record.s_journal_inum)
        if inode.kind is not Kind.FILE or not inode.record.i_links_count:
            raise inode.damage("it is not a journal")
        return Log(inode)
    except ImageError as error:
        if record.s_jnl_backup_type != layout.JNL_BACKUP_BLOCKS:
            raise
        log = Log(_inode_from_copy(inodes.blocks))
        blocks.warn(f"the journal's inode is damaged ({error.message}); its copy in the superblock is used")
        return log


def _inode_from_copy(blocks: Blocks) -> Inode:
    """Return the journal's inode as s_jnl_blocks has it: i_block, i_size_high, i_size."""
    record = blocks.superblock.record
    map_ = record.s_jnl_blocks[: layout.I_BLOCK_SIZE]
    high, low = layout.block_pointer.array(record.s_jnl_blocks, 2, layout.I_BLOCK_SIZE)
    inode = Inode(
        blocks, record.s_journal_inum, bytes(blocks.superblock.inode_size), blocks.superblock.offset
    )
    inode.record = inode.record._replace(
        i_mode=layout.S_IFREG,
        i_size_lo=low,
        i_size_high=high,
        i_flags=layout.EXTENTS_FL if map_.startswith(layout.EXT_MAGIC) else 0,
        i_block=map_,
    )
    return inode
