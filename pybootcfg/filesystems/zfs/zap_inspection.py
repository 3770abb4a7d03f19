"""The structures of a ZAP by name, for `inspect`."""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.filesystems.zfs.blkptr import ordered
from pybootcfg.filesystems.zfs.dmu import Dnode
from pybootcfg.filesystems.zfs.pieces import Piece
from pybootcfg.structures import Structure
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

zap_layout = schema.load("zfs_zap")


def structures(dnode: Dnode, name: str) -> Iterator[Structure]:
    """Yield the structures of a ZAP; nothing for an object that is none."""
    data, big = dnode.block(0)
    piece = Piece(data, dnode.pointer(0), name, big=big)
    kind = ordered(zap_layout.block_type, big=big).decode(data)
    if kind == zap_layout.ZBT_MICRO:
        yield piece.at(f"{name}.mzap_phys", zap_layout.mzap_phys, 0)
        size = zap_layout.mzap_ent_phys.size
        for index, at in enumerate(range(zap_layout.mzap_phys.size, len(data) - size + 1, size)):
            if data[at + zap_layout.MZAP_NAME_OFFSET]:
                yield piece.at(f"{name}.entry[{index}]", zap_layout.mzap_ent_phys, at)
    elif kind == zap_layout.ZBT_HEADER:
        header = ordered(zap_layout.zap_phys, big=big).decode(data)
        if header.zap_magic == zap_layout.ZAP_MAGIC:
            yield piece.at(f"{name}.zap_phys", zap_layout.zap_phys, 0)
            yield from _fat_zap(dnode, piece, header.zap_ptrtbl, name)


def _fat_zap(dnode: Dnode, first: Piece, table: Any, name: str) -> Iterator[Structure]:
    """Yield the pointer table and the leaves of a fat ZAP."""
    size = dnode.block_size
    tables = range(table.zt_blk, min(table.zt_blk + table.zt_numblks, dnode.last_block + 1))
    if not table.zt_numblks:
        count = size // 2 // zap_layout.zap_pointer.size
        yield first.at(f"{name}.pointers", zap_layout.zap_pointer.repeated(count), size // 2)
    budget = limits.ZFS_ZAP_BLOCKS.budget(name)
    for number in range(1, dnode.last_block + 1):
        budget.spend()
        pointer = dnode.pointer(number)
        if pointer is None:
            continue
        data, big = dnode.block(number)
        piece = Piece(data, pointer, name, big=big)
        if number in tables:
            count = size // zap_layout.zap_pointer.size
            yield piece.at(f"{name}.pointers[{number}]", zap_layout.zap_pointer.repeated(count), 0)
        elif ordered(zap_layout.block_type, big=big).decode(data) == zap_layout.ZBT_LEAF:
            yield from _leaf(piece, f"{name}.leaf[{number}]")


def _leaf(piece: Piece, name: str) -> Iterator[Structure]:
    yield piece.at(f"{name}.header", zap_layout.zap_leaf_header, 0)
    chains = 1 << max(0, len(piece.data).bit_length() - 1 - zap_layout.ZAP_LEAF_HASH_SHIFT)
    yield piece.at(
        f"{name}.hashes", zap_layout.zap_leaf_hash.repeated(chains), zap_layout.zap_leaf_header.size
    )
    start = zap_layout.zap_leaf_header.size + chains * zap_layout.zap_leaf_hash.size
    kinds = {
        zap_layout.ZAP_CHUNK_ENTRY: ("entry", zap_layout.zap_leaf_entry),
        zap_layout.ZAP_CHUNK_ARRAY: ("array", zap_layout.zap_leaf_array),
    }
    size = zap_layout.ZAP_LEAF_CHUNKSIZE
    for index, at in enumerate(range(start, len(piece.data) - size + 1, size)):
        if piece.data[at] in kinds:
            kind, decoder = kinds[piece.data[at]]
            yield piece.at(f"{name}.{kind}[{index}]", decoder, at)
