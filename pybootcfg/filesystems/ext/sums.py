"""Decoders of ext's structures that know what their checksums should be, for `inspect`.

Specification: "ext4 Data Structures and Algorithms", chapter "Checksums".  Structures of a file system
without checksums are decoded as they are, and so are inodes that no name leads to, which need none.
"""

from __future__ import annotations

from pybootcfg import schema
from pybootcfg.checksums import crc32c
from pybootcfg.filesystems.ext.inode import Inode, decoder_of
from pybootcfg.structures import Checked
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from pybootcfg.filesystems.ext.blocks import Blocks
    from pybootcfg.filesystems.ext.groups import Groups
    from pybootcfg.filesystems.ext.superblock import Superblock
    from pybootcfg.schema import Decoder
    from pybootcfg.source import Source
    from pybootcfg.structures import Expected

layout = schema.load("ext")


def superblock(found: Superblock) -> Decoder:
    """Return the decoder of the superblock and its copies."""

    def expected(source: Source, offset: int) -> dict[str, int]:
        return {"s_checksum": crc32c(source.read(offset, layout.SUPERBLOCK_CHECKSUMMED))}

    return _checked(found, layout.superblock, expected)


def descriptor(groups: Groups, group: int) -> Decoder:
    """Return the decoder of the descriptor of a group, which also holds the checksums of its bitmaps."""
    found = groups.superblock
    bitmaps = (
        ("block_bitmap", layout.BLOCK_UNINIT, found.record.s_clusters_per_group // 8),
        ("inode_bitmap", layout.INODE_UNINIT, found.record.s_inodes_per_group // 8),
    )

    def expected(source: Source, offset: int) -> dict[str, int]:
        data = source.read(offset, found.desc_size)
        computed = groups.checksum(group, data)
        sums = {} if computed is None else {"bg_checksum": computed}
        record, wide = groups.decoder.decode(data), found.has_incompat("64bit")
        for name, uninit, covered in bitmaps if found.metadata_csum else ():
            if record.bg_flags & uninit:
                continue  # there is nothing on the disk yet
            block = getattr(record, f"bg_{name}_lo") | (getattr(record, f"bg_{name}_hi") << 32 if wide else 0)
            register = crc32c(source.read(block * found.block_size, covered), found.checksum_seed)
            sums[f"bg_{name}_csum_lo"] = register & 0xFFFF
            if wide:
                sums[f"bg_{name}_csum_hi"] = register >> 16
        return sums

    return Checked(groups.decoder, expected)


def inode(blocks: Blocks, number: int) -> Decoder:
    """Return the decoder of an inode."""
    size = blocks.superblock.inode_size

    def expected(source: Source, offset: int) -> dict[str, int]:
        found = Inode(blocks, number, source.read(offset, size), offset)
        return found.checksum() if found.record.i_links_count else {}

    return _checked(blocks.superblock, decoder_of(size), expected)


def tail(of: Inode, name: str, field: str, start: int, covered: int) -> Decoder:
    """Return the decoder `name` of the tail of a block: what is from `start` to `covered` bytes on counts."""

    def expected(source: Source, _: int) -> dict[str, int]:
        return {field: crc32c(source.read(start, covered), of.checksum_seed)}

    return _checked(of.blocks.superblock, getattr(layout, name), expected)


def index_tail(of: Inode, start: int, covered: int) -> Decoder:
    """Return the decoder of the tail of an index block, whose own first word counts too."""

    def expected(source: Source, offset: int) -> dict[str, int]:
        data = source.read(start, covered) + source.read(offset, 4) + bytes(4)
        return {"dt_checksum": crc32c(data, of.checksum_seed)}

    return _checked(of.blocks.superblock, layout.dx_tail, expected)


def attributes(of: Inode, block: int) -> Decoder:
    """Return the decoder of the head of a block of extended attributes, all of which counts."""

    def expected(source: Source, offset: int) -> dict[str, int]:
        data, place = source.read(offset, of.blocks.size), layout.XATTR_CHECKSUM_OFFSET
        seed = crc32c(block.to_bytes(8, "little"), of.blocks.superblock.checksum_seed)
        return {"h_checksum": crc32c(data[:place] + bytes(4) + data[place + 4 :], seed)}

    return _checked(of.blocks.superblock, layout.xattr_header, expected)


def _checked(found: Superblock, decoder: Decoder, expected: Expected) -> Decoder:
    return Checked(decoder, expected) if found.metadata_csum else decoder
