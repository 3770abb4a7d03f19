"""Inline data: small files and directories inside their inode, spilling into an attribute there.

Facts: kernel documentation, "Inline Data" and "Extended Attributes"; fs/ext4/inline.c.
"""

from __future__ import annotations

from pybootcfg import schema
from pybootcfg.filesystems.ext.inode import Inode
from pybootcfg.values import NamedTuple

layout = schema.load("ext")

WORD = 4  # bytes to which attributes are aligned


class Part(NamedTuple):
    """Bytes in an inode, and where they stand on the volume."""

    data: bytes
    offset: int


def inline_parts(inode: Inode) -> tuple[Part, Part]:
    """Return what i_block holds and what the attribute `system.data` holds."""
    return Part(inode.record.i_block, inode.offset + layout.I_BLOCK_OFFSET), _system_data(inode)


def inline_data(inode: Inode) -> bytes:
    """Return the contents of an inline file or symbolic link; ImageError when they are not all there."""
    data = b"".join(part.data for part in inline_parts(inode))
    if inode.size > len(data):
        raise inode.damage(f"{inode.size} bytes of inline data, but there is room for {len(data)}")
    return data[: inode.size]


def _system_data(inode: Inode) -> Part:
    """Return the value of `system.data` of the attributes behind i_extra_isize; empty when there is none."""
    nothing = Part(b"", inode.offset)
    if inode.extra is None:
        return nothing
    start = layout.GOOD_OLD_INODE_SIZE + inode.extra.i_extra_isize
    first = start + layout.xattr_ibody_header.size
    end = len(inode.raw)
    if inode.extra.i_extra_isize % WORD or start > end:
        raise inode.damage(f"{inode.extra.i_extra_isize} bytes of extra fields in an inode of {end}")
    if first > end or layout.xattr_ibody_header.decode(inode.raw, start).h_magic != layout.XATTR_MAGIC:
        return nothing
    position = first
    while any(inode.raw[position : position + WORD]):
        entry = inode.blocks.decode(layout.xattr_entry, inode.raw, position, inode.name, inode.offset)
        name_at = position + layout.xattr_entry.size
        name = inode.raw[name_at : name_at + entry.e_name_len]
        if entry.e_name_index == layout.XATTR_INDEX_SYSTEM and name == layout.XATTR_NAME_DATA:
            value_at = first + entry.e_value_offs
            if entry.e_value_inum or value_at + entry.e_value_size > end:
                raise inode.damage("the inline data lies outside of the inode", inode.offset + position)
            return Part(inode.raw[value_at : value_at + entry.e_value_size], inode.offset + value_at)
        position = name_at + -(-entry.e_name_len // WORD) * WORD
    return nothing
