"""Access control lists entry by entry, for `inspect`.

Specification: formats/zfs_acl.py.
"""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.filesystems.zfs.blkptr import ordered
from pybootcfg.filesystems.zfs.dmu import Dnode
from pybootcfg.filesystems.zfs.pieces import Piece
from pybootcfg.structures import Structure
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pybootcfg.schema import Decoder

layout = schema.load("zfs_acl")


def structures(dnode: Dnode, name: str) -> Iterator[Structure]:
    """Yield the entries of a list that is an object of its own; zeros end it."""
    data = dnode.contents(limits.ZFS_CONFIG_SIZE)
    piece = Piece(data, dnode.pointer(0), name, big=dnode.big)
    used = len(data.rstrip(b"\0"))
    yield from entries(piece, name, 0, used + -used % layout.zfs_ace_hdr.size)


def of_znode(dnode: Dnode, piece: Piece, name: str, start: int) -> Iterator[Structure]:
    """Yield the list in a znode that has no system attributes; `start` is where the znode begins."""
    at = layout.ZP_ACL_OFFSET
    if len(dnode.bonus) < at + layout.zfs_acl_phys.size + layout.ZFS_ACE_SPACE:
        return
    yield piece.at(f"{name}.acl", layout.zfs_acl_phys, start + at)
    head = ordered(layout.zfs_acl_phys, big=dnode.big).decode(dnode.bonus, at)
    start += at + layout.zfs_acl_phys.size
    if head.z_acl_extern_obj:
        return
    if head.z_acl_version < layout.ACL_VERSION_FUID:
        count = min(head.z_acl_size, layout.ACE_SLOT_CNT)
        if count:
            yield piece.at(f"{name}.ace", layout.zfs_oldace.repeated(count), start)
    else:
        yield from entries(piece, name, start, min(head.z_acl_size, layout.ZFS_ACE_SPACE))


def entries(piece: Piece, name: str, start: int, length: int) -> Iterator[Structure]:
    """Yield the entries in `length` bytes of a piece; one that goes on beyond its end has an error."""
    at, end, index = start, start + length, 0
    head = ordered(layout.zfs_ace_hdr, big=piece.big)
    while at + head.size <= end:
        entry = head.decode(piece.data, at)
        decoder = _decoder(entry.z_type, entry.z_flags)
        yield piece.at(f"{name}.ace[{index}]", decoder, at)
        at, index = at + decoder.size, index + 1


def _decoder(kind: int, flags: int) -> Decoder:
    decoder: Decoder = layout.zfs_ace
    if kind in layout.ACE_OBJECT_TYPES:
        decoder = layout.zfs_object_ace
    elif flags & layout.ACE_TYPE_FLAGS in (layout.ACE_OWNER, layout.ACE_OWNING_GROUP, layout.ACE_EVERYONE):
        decoder = layout.zfs_ace_hdr
    return decoder
