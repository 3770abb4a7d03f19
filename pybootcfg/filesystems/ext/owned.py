"""What belongs to an inode, for `inspect`: its block tree, its directory's blocks, its attributes."""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.ext import sums
from pybootcfg.filesystems.ext.directory import record_length
from pybootcfg.filesystems.ext.htree import ENTRY_SIZE, NODE_OFFSET, ROOT_OFFSET
from pybootcfg.filesystems.ext.inline import WORD, inline_parts
from pybootcfg.filesystems.ext.inode import Inode
from pybootcfg.filesystems.ext.mapping import mapped
from pybootcfg.kind import Kind
from pybootcfg.structures import Followed, Stretch, Structure, fault
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

layout = schema.load("ext")

_POINTERS = layout.I_BLOCK_SIZE // layout.block_pointer.size


def owned(inode: Inode) -> Iterator[Structure]:
    """Yield what belongs to an inode; ImageError where that is damaged."""
    yield from _attributes(inode)
    if not inode.record.i_mode:
        return  # reserved and not in use
    directory = inode.kind is Kind.DIRECTORY
    if inode.has(layout.INLINE_DATA_FL):
        if directory:
            yield from _inline_directory(inode)
    elif inode.has(layout.EXTENTS_FL):
        yield from _extents(inode)
    elif directory or inode.kind is Kind.FILE or inode.size >= layout.I_BLOCK_SIZE:
        yield from _pointers(inode)
    if directory and not inode.has(layout.INLINE_DATA_FL) and not inode.has(layout.ENCRYPT_FL):
        yield from _directory(inode)


# --- block trees ---------------------------------------------------------------------------------


def _extents(inode: Inode) -> Iterator[Structure]:
    """Yield the extent tree, breadth first, each block once."""
    size = inode.blocks.size
    start = inode.offset + layout.I_BLOCK_OFFSET
    budget = limits.INSPECT_BLOCKS.budget(inode.name)
    name, head, data, offset = inode.name, "extent_header", inode.record.i_block, start
    todo: list[int | None] = [None]  # for the root, in the inode
    seen: set[int] = set()
    for number in todo:
        if number is not None:
            name, head = f"{inode.name}.extent_block[{number}]", "header"
            data, offset = inode.blocks.read(number, inode.name), number * size
        yield Structure(f"{name}.{head}", layout.extent_header, offset)
        header = inode.blocks.decode(layout.extent_header, data, 0, inode.name, offset)
        room = (len(data) - layout.extent_header.size) // layout.extent.size
        count = min(header.eh_entries, room)
        kind, decoder = ("extents", layout.extent) if not header.eh_depth else _INDEXES
        if count:
            place = offset + layout.extent_header.size
            yield Structure(f"{name}.{kind}", decoder.repeated(count), place)
        tail = layout.extent_header.size + header.eh_max * layout.extent.size
        if offset != start and inode.blocks.superblock.metadata_csum and tail + 4 <= len(data):
            checked = sums.tail(inode, "extent_tail", "et_checksum", offset, tail)
            yield Structure(f"{name}.tail", checked, offset + tail)
        for index in decoder.array(data, count, layout.extent_header.size) if header.eh_depth else ():
            block = index.ei_leaf_lo | index.ei_leaf_hi << 32
            if block not in seen:
                seen.add(block)
                budget.spend()
                todo.append(block)


_INDEXES = ("extent_indexes", layout.extent_index)


def _pointers(inode: Inode) -> Iterator[Structure]:
    """Yield the block pointers of an inode and the blocks of pointers below them, each once."""
    size = inode.blocks.size
    per_block = size // layout.block_pointer.size
    place = inode.offset + layout.I_BLOCK_OFFSET
    yield Structure(f"{inode.name}.block_pointers", layout.block_pointer.repeated(_POINTERS), place)
    budget = limits.INSPECT_BLOCKS.budget(inode.name)
    top = layout.block_pointer.array(inode.record.i_block, _POINTERS)[layout.NDIR_BLOCKS :]
    todo = list(enumerate(top, 1))
    seen: set[int] = set()
    for level, block in todo:
        if not block or block in seen:
            continue
        seen.add(block)
        inode.blocks.check(block, 1, inode.name, inode.offset)
        name = f"{inode.name}.indirect_block[{block}]"
        yield Structure(name, layout.block_pointer.repeated(per_block), block * size)
        if level > 1:
            data = inode.blocks.read(block, inode.name)
            below = [pointer for pointer in layout.block_pointer.array(data, per_block) if pointer]
            budget.spend(len(below))  # what waits takes memory
            todo += [(level - 1, pointer) for pointer in below]


# --- directories ---------------------------------------------------------------------------------


def _directory(inode: Inode) -> Iterator[Structure]:
    size = inode.blocks.size
    limits.DIRECTORY_SIZE.check(inode.size, inode.name)
    stop = -(-inode.size // size)
    indexes = _index_blocks(inode)
    for run in mapped(inode, 0, stop):
        for logical in range(run.logical, min(run.logical + run.length, stop)):
            block = run.physical + logical - run.logical
            data = inode.blocks.read(block, inode.name)
            name = f"{inode.name}.directory_block[{logical}]"
            if logical in indexes:
                yield from _index(inode, name, data, block * size, is_root=logical == 0)
            else:
                yield from _entries(inode, f"{name}.entry", data, block * size)


def _index_blocks(inode: Inode) -> set[int]:
    """Return the blocks of a directory that hold its index, as far as that is sound."""
    found: set[int] = set()
    if not inode.has(layout.INDEX_FL) or not inode.blocks.superblock.has_compat("dir_index"):
        return found
    level = {0}
    blocks = -(-inode.size // inode.blocks.size)
    try:
        root = layout.dx_root.decode(_block(inode, 0))
        for _ in range(min(root.indirect_levels, layout.DX_LEVELS_LARGE - 1) + 1):
            below: set[int] = set()
            for logical in sorted(level):
                data, base = _block(inode, logical), NODE_OFFSET if found else ROOT_OFFSET
                count = min(layout.dx_countlimit.decode(data, base).count, (len(data) - base) // ENTRY_SIZE)
                entries = layout.dx_entry.array(data, count, base)
                below.update(entry.block & layout.DX_BLOCK_MASK for entry in entries)
            found |= level
            level = {logical for logical in below if logical < blocks} - found
    except ImageError:
        pass  # what is no index is shown as entries
    return found


def _block(inode: Inode, logical: int) -> bytes:
    run = next(mapped(inode, logical, logical + 1), None)
    if run is None or run.logical > logical:
        raise inode.damage(f"block {logical} of the directory is not there")
    return inode.blocks.read(run.physical + logical - run.logical, inode.name)


def _index(inode: Inode, name: str, data: bytes, offset: int, *, is_root: bool) -> Iterator[Structure]:
    base = ROOT_OFFSET if is_root else NODE_OFFSET
    kind = "dx_root" if is_root else "dx_node"
    yield Structure(f"{name}.{kind}", getattr(layout, kind), offset)
    yield Structure(f"{name}.dx_countlimit", layout.dx_countlimit, offset + base)
    head = layout.dx_countlimit.decode(data, base)
    room = (len(data) - base) // ENTRY_SIZE
    count = min(head.count, room)
    if count:
        yield Structure(f"{name}.dx_entries", layout.dx_entry.repeated(count), offset + base)
    tail = base + head.limit * ENTRY_SIZE
    if inode.blocks.superblock.metadata_csum and tail + layout.dx_tail.size <= len(data):
        decoder = sums.index_tail(inode, offset, base + head.count * ENTRY_SIZE)
        yield Structure(f"{name}.tail", decoder, offset + tail)


def _entries(inode: Inode, name: str, data: bytes, offset: int) -> Iterator[Structure]:
    """Yield the entries of a block of a directory, free ones too, up to one that cannot be right."""
    head: int = layout.directory_entry.size
    place = number = 0
    while place + head <= len(data):
        entry = layout.directory_entry.decode(data, place)
        length = record_length(entry.rec_len, len(data))
        is_tail = not entry.inode and entry.file_type == layout.FT_DIR_CSUM
        if is_tail and length == layout.directory_tail.size:
            decoder = sums.tail(inode, "directory_tail", "det_checksum", offset, place)
            yield Structure(f"{name.removesuffix('entry')}tail", decoder, offset + place)
        else:
            rest = min(length, len(data) - place) - head - entry.name_len
            parts = (("name", entry.name_len), ("unused", rest)) if rest >= 0 else ()
            yield Structure(f"{name}[{number}]", Followed(layout.directory_entry, *parts), offset + place)
        if length < layout.MIN_REC_LEN or length % 4 or place + length > len(data):
            message = f"an entry of {length} bytes with {len(data) - place} bytes left"
            yield fault(f"{name}[{number}]", ImageError(message, offset=offset + place))
            return
        place += length
        number += 1


def _inline_directory(inode: Inode) -> Iterator[Structure]:
    block, value = inline_parts(inode)
    yield Structure(f"{inode.name}.inline_directory", layout.inline_directory, block.offset)
    start = layout.inline_directory.size
    yield from _entries(inode, f"{inode.name}.inline_entry", block.data[start:], block.offset + start)
    yield from _entries(inode, f"{inode.name}.spilled_entry", value.data, value.offset)


# --- attributes ----------------------------------------------------------------------------------


def _attributes(inode: Inode) -> Iterator[Structure]:
    size = inode.blocks.size
    if inode.extra is not None:
        start = layout.GOOD_OLD_INODE_SIZE + inode.extra.i_extra_isize
        first = start + layout.xattr_ibody_header.size
        if first <= len(inode.raw) and _has_magic(inode.raw, start):
            name = f"{inode.name}.xattr"
            yield Structure(f"{name}.header", layout.xattr_ibody_header, inode.offset + start)
            yield from _list(name, inode.raw, inode.offset, first, first)
    block = inode.record.i_file_acl_lo | inode.record.l_i_file_acl_high << 32
    if block:
        inode.blocks.check(block, 1, inode.name, inode.offset)
        data, name = inode.blocks.read(block, inode.name), f"{inode.name}.xattr_block"
        yield Structure(f"{name}.header", sums.attributes(inode, block), block * size)
        if _has_magic(data, 0):
            yield from _list(name, data, block * size, layout.xattr_header.size, 0)


def _has_magic(data: bytes, offset: int) -> bool:
    return bool(layout.xattr_ibody_header.decode(data, offset).h_magic == layout.XATTR_MAGIC)


def _list(name: str, data: bytes, offset: int, place: int, base: int) -> Iterator[Structure]:
    """Yield a list of attributes and their values, whose places count from `base`."""
    number = 0
    while any(data[place : place + WORD]) and place + layout.xattr_entry.size <= len(data):
        entry = layout.xattr_entry.decode(data, place)
        padding = -entry.e_name_len % WORD
        shown = Followed(layout.xattr_entry, ("name", entry.e_name_len), ("padding", padding))
        yield Structure(f"{name}.entry[{number}]", shown, offset + place)
        value = base + entry.e_value_offs
        if entry.e_value_size and not entry.e_value_inum and value + entry.e_value_size <= len(data):
            yield Structure(f"{name}.value[{number}]", Stretch("value", entry.e_value_size), offset + value)
        place += layout.xattr_entry.size + entry.e_name_len + padding
        number += 1
