"""The superblock: what it says, whether that can be, and where its copies are.

Facts: kernel documentation, "Super Block"; the checks are those of ext4_fill_super (fs/ext4/super.c).
"""

from __future__ import annotations

from pybootcfg import schema
from pybootcfg.checksums import crc32c
from pybootcfg.errors import ImageError, UnsupportedFeature
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

layout = schema.load("ext")

MAX_SIZE = 1 << 63  # bytes of a file or a volume; offsets are signed


class Superblock:
    """A superblock that has been checked, and the geometry that follows from it.

    `record` has the fields as they stand.  `offset` is where it was read, in bytes of the source.
    """

    def __init__(self, record: Any, offset: int, source: Source) -> None:
        self.record = record
        self.offset = offset
        self.source_name = source.name
        modern = record.s_rev_level >= layout.DYNAMIC_REV
        # Linux heeds the features whatever the revision; in revision 0 the fields are zero by right.
        self.compat: int = record.s_feature_compat
        self.incompat: int = record.s_feature_incompat
        self.ro_compat: int = record.s_feature_ro_compat
        self.inode_size: int = record.s_inode_size if modern else layout.GOOD_OLD_INODE_SIZE
        self._check_features()
        if record.s_log_block_size > layout.MAX_LOG_BLOCK_SIZE:
            raise self.damage(f"the block size is given as 1024 << {record.s_log_block_size}")
        self.block_size: int = layout.MIN_BLOCK_SIZE << record.s_log_block_size
        wide = self.has_incompat("64bit")
        self.blocks_count: int = record.s_blocks_count_lo | (record.s_blocks_count_hi << 32 if wide else 0)
        self.desc_size: int = record.s_desc_size if wide else layout.MIN_DESC_SIZE
        self.first_data_block: int = record.s_first_data_block
        self.blocks_per_group: int = record.s_blocks_per_group
        self.inodes_per_group: int = record.s_inodes_per_group
        self.inodes_count: int = record.s_inodes_count
        self._check_geometry()
        data_blocks = self.blocks_count - self.first_data_block
        self.groups: int = -(-data_blocks // self.blocks_per_group)
        if self.inodes_count > self.groups * self.inodes_per_group:
            raise self.damage(
                f"{self.inodes_count} inodes in {self.groups} groups of {self.inodes_per_group} inodes each"
            )
        self.metadata_csum = self.has_ro_compat("metadata_csum")
        #: the register that all crc32c of this file system's metadata start from
        self.checksum_seed: int = (
            record.s_checksum_seed if self.has_incompat("metadata_csum_seed") else crc32c(record.s_uuid)
        )

    def _check_features(self) -> None:
        if self.has_incompat("journal_dev"):
            raise UnsupportedFeature("journal_dev", "it is an external journal, not a file system")
        refused = self.incompat & ~layout.INCOMPAT_UNDERSTOOD
        if refused:
            name = ", ".join(feature_names(refused, layout.INCOMPAT, "INCOMPAT {bit:#x}"))
            raise UnsupportedFeature(name, f"the ext4 feature {name} is not supported")

    def _check_geometry(self) -> None:
        if self.inode_size < layout.GOOD_OLD_INODE_SIZE or not _within_block(
            self.inode_size, self.block_size
        ):
            raise self.damage(f"inodes of {self.inode_size} bytes in blocks of {self.block_size} bytes")
        least = layout.MIN_DESC_SIZE_64BIT if self.has_incompat("64bit") else layout.MIN_DESC_SIZE
        if self.desc_size < least or not _within_block(self.desc_size, layout.MAX_DESC_SIZE):
            raise self.damage(f"group descriptors of {self.desc_size} bytes")
        # A bitmap of one block says which clusters (blocks, without bigalloc) and inodes are in use.
        bits = self.block_size * 8
        ratio = 1
        if self.has_ro_compat("bigalloc"):
            shift = self.record.s_log_cluster_size - self.record.s_log_block_size
            if not 0 <= shift <= 30:
                raise self.damage(f"clusters of 1024 << {self.record.s_log_cluster_size} bytes")
            ratio = 1 << shift
        self.cluster_size = self.block_size * ratio
        if not 0 < self.blocks_per_group <= bits * ratio:
            raise self.damage(f"{self.blocks_per_group} blocks per group")
        if not 0 < self.inodes_per_group <= bits:
            raise self.damage(f"{self.inodes_per_group} inodes per group")
        if self.first_data_block > 1 or self.blocks_count <= self.first_data_block:
            raise self.damage(f"blocks from {self.first_data_block} to {self.blocks_count}")
        if self.blocks_count > MAX_SIZE // self.block_size:
            raise self.damage(f"{self.blocks_count} blocks")

    def damage(self, message: str) -> ImageError:
        """Return the error for a superblock that cannot be right."""
        return ImageError(message, offset=self.offset, structure="superblock", source=self.source_name)

    def has_compat(self, name: str) -> bool:
        """Whether the compatible feature `name` is set."""
        return bool(self.compat & layout.COMPAT[name])

    def has_incompat(self, name: str) -> bool:
        """Whether the incompatible feature `name` is set."""
        return bool(self.incompat & layout.INCOMPAT[name])

    def has_ro_compat(self, name: str) -> bool:
        """Whether the feature `name`, which matters to writers only, is set."""
        return bool(self.ro_compat & layout.RO_COMPAT[name])

    @property
    def features(self) -> tuple[str, ...]:
        """Names in the order and the spelling of `dumpe2fs -h`."""
        return (
            *feature_names(self.compat, layout.COMPAT, "FEATURE_C{number}"),
            *feature_names(self.incompat, layout.INCOMPAT, "FEATURE_I{number}"),
            *feature_names(self.ro_compat, layout.RO_COMPAT, "FEATURE_R{number}"),
        )

    @property
    def variant(self) -> str:
        """`ext2`, `ext3` or `ext4`, by the features that each driver knew (libblkid, superblocks/ext.c)."""
        if self.incompat & ~layout.EXT3_INCOMPAT or self.ro_compat & ~layout.EXT3_RO_COMPAT:
            return "ext4"
        if self.has_compat("has_journal") or self.incompat & ~layout.EXT2_INCOMPAT:
            return "ext3"
        return "ext2"

    @property
    def logical_block(self) -> int:
        """The block that holds the primary superblock: 1 where blocks are of 1 KiB, else 0."""
        return layout.SUPERBLOCK_OFFSET // self.block_size  # type: ignore[no-any-return]

    def first_block(self, group: int) -> int:
        """Return the number of the first block of a group."""
        return self.first_data_block + group * self.blocks_per_group

    def has_copy(self, group: int) -> bool:
        """Whether a copy of the superblock begins the group (ext4_bg_has_super)."""
        if group == 0:
            return True
        if self.has_compat("sparse_super2"):
            return group in self.record.s_backup_bgs
        if group == 1 or not self.has_ro_compat("sparse_super"):
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))


def feature_names(bits: int, names: dict[str, int], unknown: str) -> Iterator[str]:
    """Yield the names of the bits that are set; `unknown` is filled with `bit` and its `number`."""
    by_bit = {bit: name for name, bit in names.items()}
    for number in range(32):
        bit = 1 << number
        if bits & bit:
            yield by_bit.get(bit) or unknown.format(bit=bit, number=number)


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1


def _within_block(size: int, block_size: int) -> bool:
    return 0 < size <= block_size and size & (size - 1) == 0


class Found(NamedTuple):
    """A superblock, and what there is to say about it."""

    superblock: Superblock
    warnings: tuple[str, ...]


def find_superblock(source: Source) -> Found:
    """Read the primary superblock; when it is damaged, look for a copy at the start of group 1.

    Raises the error of the primary one when there is no sound copy either, UnsupportedFeature for
    features that cannot be read.
    """
    try:
        superblock, sound = read_superblock(source, layout.SUPERBLOCK_OFFSET)
    except ImageError as error:
        for offset in _copies(source):
            copy = _read_copy(source, offset)
            if copy is not None:
                reason = f"the superblock is damaged ({error.message}); its copy at byte {offset:#x} is used"
                return Found(copy, (reason,))
        raise
    return Found(superblock, () if sound else ("the superblock has a bad checksum",))


def read_superblock(source: Source, offset: int) -> tuple[Superblock, bool]:
    """Read one superblock and say whether its checksum, if it has one, is right."""
    data = source.read(offset, layout.SUPERBLOCK_SIZE, "superblock")
    try:
        record = layout.superblock.decode(data, at=offset)
    except ImageError as error:
        raise ImageError(
            error.message, offset=error.offset, structure="superblock", source=source.name
        ) from None
    superblock = Superblock(record, offset, source)
    sound = (
        not superblock.metadata_csum
        or crc32c(data[: layout.SUPERBLOCK_CHECKSUMMED]) == superblock.record.s_checksum
    )
    return superblock, sound


def _copies(source: Source) -> Iterator[int]:
    """Yield where group 1 begins with the number of blocks per group that mke2fs chooses."""
    for log_block_size in range(layout.MAX_LOG_BLOCK_SIZE + 1):
        block_size = layout.MIN_BLOCK_SIZE << log_block_size
        first = layout.SUPERBLOCK_OFFSET if log_block_size == 0 else 0
        offset = first + 8 * block_size * block_size
        if offset + layout.SUPERBLOCK_SIZE <= source.size:
            yield offset


def _read_copy(source: Source, offset: int) -> Superblock | None:
    """Return the superblock at `offset` if it is beyond doubt the copy that belongs there."""
    try:
        superblock, sound = read_superblock(source, offset)
    except (ImageError, UnsupportedFeature):
        return None
    group = superblock.record.s_block_group_nr
    place = superblock.first_block(group) * superblock.block_size
    belongs = (
        group == 1 and place == offset and superblock.blocks_count * superblock.block_size <= source.size
    )
    return superblock if sound and belongs else None
