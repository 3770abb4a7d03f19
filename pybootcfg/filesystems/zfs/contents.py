"""What the data and the bonus buffers of objects are, by type or by what names the object, for `inspect`.

Specification: formats/zfs_mos.py.
"""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.errors import printable
from pybootcfg.filesystems.zfs import acl, history, spacemap, zap_inspection
from pybootcfg.filesystems.zfs.blkptr import bits, ordered
from pybootcfg.filesystems.zfs.compression import decompress
from pybootcfg.filesystems.zfs.dmu import Dnode, ObjectSet
from pybootcfg.filesystems.zfs.pieces import Piece, arrays, block_piece, nvlists
from pybootcfg.filesystems.zfs.spacemap import Space
from pybootcfg.filesystems.zfs.zap import Zap
from pybootcfg.schema import Decoder
from pybootcfg.structures import Structure
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Data = Callable[[Dnode, str], Iterator[Structure]]
    Bonus = Callable[[Dnode, Piece, str, int], Iterator[Structure]]

pool_layout = schema.load("zfs")
blkptr_layout = schema.load("zfs_blkptr")
dmu_layout = schema.load("zfs_dmu")
dsl_layout = schema.load("zfs_dsl")
layout = schema.load("zfs_mos")
spacemap_layout = schema.load("zfs_spacemap")
zpl_layout = schema.load("zfs_zpl")


class Role(NamedTuple):
    """What an object is for: `data` yields the structures of its blocks, `bonus` those of its bonus buffer.

    Where `bonus` is None the type of the bonus buffer says what it is.
    """

    data: Data
    bonus: Bonus | None = None


# --- bonus buffers ---------------------------------------------------------------------------------

#: what a bonus buffer holds, by its type: the longest that it has room for
_BONUS: dict[int, tuple[Decoder, ...]] = {
    dmu_layout.DMU_OT_DSL_DIR: (dsl_layout.dsl_dir_phys,),
    dmu_layout.DMU_OT_DSL_DATASET: (dsl_layout.dsl_dataset_phys,),
    dmu_layout.DMU_OT_ZNODE: (zpl_layout.znode_phys,),
    dmu_layout.DMU_OT_PACKED_NVLIST_SIZE: (layout.object_word,),
    dmu_layout.DMU_OT_FUID_SIZE: (layout.object_word,),
    dmu_layout.DMU_OT_BPOBJ_HDR: (
        layout.bpobj_phys,
        layout.bpobj_phys_v2,
        layout.bpobj_phys_v1,
        layout.bpobj_phys_v0,
    ),
    dmu_layout.DMU_OT_DEADLIST_HDR: (layout.dsl_deadlist_phys,),
    dmu_layout.DMU_OT_SPA_HISTORY_OFFSETS: (layout.spa_history_phys,),
}


def bonus(dnode: Dnode, piece: Piece, name: str, start: int) -> Iterator[Structure]:
    """Yield what a bonus buffer of a known type holds; `start` is where it begins in the piece."""
    for decoder in _BONUS.get(dnode.bonus_type, ()):
        if len(dnode.bonus) >= decoder.size:
            yield piece.at(name, decoder, start)
            break
    if dnode.bonus_type == dmu_layout.DMU_OT_DSL_DIR:
        size = dsl_layout.dsl_dir_phys.size
        if len(dnode.bonus) >= size + layout.dsl_dir_used.size:
            yield piece.at(f"{name}.{layout.dsl_dir_used.name}", layout.dsl_dir_used, start + size)
    elif dnode.bonus_type == dmu_layout.DMU_OT_ZNODE:
        yield from acl.of_znode(dnode, piece, name, start)


def _record_bonus(decoder: Decoder) -> Bonus:
    """Return what yields one record of a bonus buffer of no type of its own."""

    def yields(dnode: Dnode, piece: Piece, name: str, start: int) -> Iterator[Structure]:
        if len(dnode.bonus) >= decoder.size:
            yield piece.at(name, decoder, start)

    return yields


# --- data ------------------------------------------------------------------------------------------


def role(dnode: Dnode) -> Role | None:
    """Return what an object is by its type; None where it may be a ZAP."""
    return _BY_TYPE.get(dnode.type)


def space_map(space: Space) -> Role:
    """Return the role of a space map."""

    def head(dnode: Dnode, piece: Piece, name: str, start: int) -> Iterator[Structure]:
        yield spacemap.head(dnode, piece, name, start, space)

    return Role(lambda dnode, name: spacemap.entries(dnode, f"{name}.space_map", space), head)


def array(decoder: Decoder, part: str) -> Role:
    """Return the role of an array without a length: zeros at the end of a block are not elements."""

    def yields(dnode: Dnode, name: str) -> Iterator[Structure]:
        budget = limits.ZFS_ZAP_BLOCKS.budget(name)
        for number in range(dnode.last_block + 1):
            budget.spend()
            if dnode.pointer(number) is None:
                continue
            piece = block_piece(dnode, number, name)
            count = -(-len(piece.data.rstrip(b"\0")) // decoder.size)
            if count:
                yield piece.at(f"{name}.{part}[{number}]", decoder.repeated(count), 0)

    return Role(yields)


def records(decoder: Decoder, part: str, head: Decoder, field: str) -> Role:
    """Return the role of an array whose bonus buffer `head` has its length in a field."""

    def yields(dnode: Dnode, name: str) -> Iterator[Structure]:
        if len(dnode.bonus) >= head.size:
            count = getattr(ordered(head, big=dnode.big).decode(dnode.bonus), field)
            yield from arrays(dnode, f"{name}.{part}", decoder, count)

    return Role(yields, _record_bonus(head))


def _block_pointers(dnode: Dnode, name: str) -> Iterator[Structure]:
    """Yield the pointers of a list of blocks."""
    count = ordered(layout.bpobj_phys_v0, big=dnode.big).decode(dnode.bonus).bpo_num_blkptrs
    shown = blkptr_layout.blkptr_shown_big if dnode.big else blkptr_layout.blkptr_shown_little
    yield from arrays(dnode, f"{name}.blkptrs", shown, count)


def _nvlist(dnode: Dnode, name: str) -> Iterator[Structure]:
    data = dnode.contents(limits.ZFS_CONFIG_SIZE)
    piece = Piece(data, dnode.pointer(0), name, big=True)
    for part, decoder, offset in nvlists(data):
        yield piece.at(f"{name}.{part}", decoder, offset, plain=True)


def bookmarks(objects: ObjectSet, dnode: Dnode, name: str) -> Iterator[Structure]:
    """Yield the bookmarks of a dataset: values in a ZAP that its own ZAP names."""
    if dnode.type == dmu_layout.DMU_OT_DSL_DATASET:
        return  # only a dataset that is a ZAP can name one
    number = Zap(dnode).number(layout.DS_FIELD_BOOKMARK_NAMES)
    if not number:
        return
    of = objects.object(number)
    for entry in Zap(of).entries():
        long = len(entry.data) >= layout.bookmark_phys.size
        decoder = layout.bookmark_phys if long else layout.bookmark_phys_v1
        part = f"{name}.bookmark[{printable(entry.name)}]"
        yield from _record_at(of, part, entry.data, decoder, big=True)


def _record_at(dnode: Dnode, name: str, data: bytes, decoder: Decoder, *, big: bool) -> Iterator[Structure]:
    """Yield a part of an entry of a ZAP as the record that it is; it lies in pieces in some leaf."""
    if len(data) >= decoder.size:
        piece = Piece(data, dnode.pointer(dnode.last_block), name, big=big)
        yield piece.at(name, decoder, 0)


#: values in the object directory that are more than a number, by their names
_IN_DIRECTORY: dict[bytes, Decoder] = {
    layout.DMU_POOL_SCAN: layout.dsl_scan_phys,
    layout.DMU_POOL_ERRORSCRUB: layout.dsl_errorscrub_phys,
    layout.DMU_POOL_REMOVING: layout.spa_removing_phys,
    layout.DMU_POOL_CONDENSING_INDIRECT: layout.spa_condensing_indirect_phys,
}


def _object_directory(dnode: Dnode, name: str) -> Iterator[Structure]:
    yield from zap_inspection.structures(dnode, f"{name}.zap")
    directory = Zap(dnode)
    for key, decoder in _IN_DIRECTORY.items():
        entry = directory.find(key)
        if entry is not None:
            yield from _record_at(dnode, f"{name}.value[{printable(key)}]", entry.data, decoder, big=True)


def _ddt_statistics(dnode: Dnode, name: str) -> Iterator[Structure]:
    yield from zap_inspection.structures(dnode, f"{name}.zap")
    for entry in Zap(dnode).entries():
        part = f"{name}.histogram[{printable(entry.name)}]"
        yield from _record_at(dnode, part, entry.data, layout.ddt_histogram, big=True)


def _ddt_table(decoder: Decoder) -> Role:
    """Return the role of a table of deduplicated blocks; an entry is its compressed value's `decoder`."""

    def yields(dnode: Dnode, name: str) -> Iterator[Structure]:
        yield from zap_inspection.structures(dnode, f"{name}.zap")
        budget = limits.ZFS_SPACE_MAP_ENTRIES.budget(name)
        for index, entry in enumerate(Zap(dnode).entries()):
            budget.spend()
            part = f"{name}.ddt[{index}]"
            yield from _record_at(dnode, f"{part}.key", entry.name, layout.ddt_key, big=True)
            if entry.data:
                head = layout.ddt_value_head.decode(entry.data)
                function = bits(head, layout.DDT_ZAP_COMPRESS_FUNCTION)
                value = decompress(function, entry.data[1:], decoder.size)
                big = not bits(head, layout.DDT_ZAP_COMPRESS_BYTEORDER)
                yield from _record_at(dnode, f"{part}.phys", value, decoder, big=big)

    return Role(yields)


def _ddt_log(dnode: Dnode, name: str) -> Iterator[Structure]:
    """Yield the records of a log of deduplicated blocks; none goes on in the next block."""
    head = ordered(layout.ddt_log_header, big=dnode.big).decode(dnode.bonus)
    budget = limits.ZFS_SPACE_MAP_ENTRIES.budget(name)
    decoder = ordered(layout.ddt_log_record, big=dnode.big)
    fixed = layout.object_word.size + layout.ddt_key.size + layout.ddt_phys_flat.size
    index = 0
    for number in range(min(dnode.last_block + 1, -(-head.dlh_length // dnode.block_size))):
        budget.spend()
        piece, at = block_piece(dnode, number, name), 0
        while at + fixed <= len(piece.data):
            budget.spend()
            info = ordered(layout.ddt_log_info, big=piece.big).decode(piece.data, at)
            length = bits(info, layout.DLR_RECLEN)
            if not info or length < fixed:
                break
            yield piece.at(f"{name}.record[{index}]", decoder, at, plain=True)
            at, index = at + length, index + 1


# --- roles that something else in the pool gives ---------------------------------------------------

MAPPING = records(
    pool_layout.vdev_indirect_mapping_entry_phys,
    "mapping",
    layout.vdev_indirect_mapping_phys,
    "vim_count",
)
BIRTHS = records(
    layout.vdev_indirect_birth_entry_phys, "births", layout.vdev_indirect_birth_phys, "vib_count"
)
UNFLUSHED = array(spacemap_layout.metaslab_unflushed_phys, "unflushed")
DDT_TABLE = _ddt_table(layout.ddt_phys)
DDT_FLAT_TABLE = _ddt_table(layout.ddt_phys_flat)
DDT_LOG = Role(_ddt_log, _record_bonus(layout.ddt_log_header))
CLONES = Role(array(layout.brt_entcount, "entcounts").data, _record_bonus(layout.brt_vdev_phys))

_BY_TYPE: dict[int, Role] = {
    dmu_layout.DMU_OT_OBJECT_DIRECTORY: Role(_object_directory),
    dmu_layout.DMU_OT_PACKED_NVLIST: Role(_nvlist),
    dmu_layout.DMU_OT_FUID: Role(_nvlist),
    dmu_layout.DMU_OT_OBJECT_ARRAY: array(layout.object_word, "elements"),
    dmu_layout.DMU_OT_BPOBJ_SUBOBJ: array(layout.object_word, "elements"),
    dmu_layout.DMU_OT_BPOBJ: Role(_block_pointers),
    dmu_layout.DMU_OT_SPACE_MAP: space_map(Space()),
    dmu_layout.DMU_OT_SPA_HISTORY: Role(history.structures),
    dmu_layout.DMU_OT_DDT_ZAP: DDT_TABLE,
    dmu_layout.DMU_OT_DDT_STATS: Role(_ddt_statistics),
    dmu_layout.DMU_OT_ACL: Role(acl.structures),
}
