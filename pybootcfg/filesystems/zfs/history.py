"""The history of a pool: a ring of packed lists, one for each command, for `inspect`.

Specification: formats/zfs_mos.py.
"""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError, ImageError, printable
from pybootcfg.filesystems.zfs.blkptr import ordered
from pybootcfg.filesystems.zfs.dmu import Dnode
from pybootcfg.filesystems.zfs.pieces import Piece, nvlists
from pybootcfg.structures import Structure, fault
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pybootcfg.schema import Decoder

layout = schema.load("zfs_mos")
label_layout = schema.load("zfs_label")


def structures(dnode: Dnode, name: str) -> Iterator[Structure]:
    """Yield the records as `NAME.record[N]`: those of the pool's creation, then the others, oldest first."""
    ring = _Ring(dnode)
    budget = limits.ZFS_HISTORY_RECORDS.budget(name)
    index = 0
    for start, end in ((0, min(ring.first, ring.stop)), (max(ring.start, ring.first), ring.stop)):
        at = start
        while at + layout.spa_history_record.size <= end:
            budget.spend()
            record = f"{name}.record[{index}]"
            length = layout.spa_history_record.decode(ring.read(at, layout.spa_history_record.size)).reclen
            if not 0 < length <= end - at:
                raise ImageError(f"a record of {length} bytes leads out of the history", structure=record)
            data = ring.read(at, layout.spa_history_record.size + length)
            number = ring.place(at) // dnode.block_size
            piece = Piece(data, dnode.pointer(number), record, big=dnode.big)
            piece.shift(ring.place(at) % dnode.block_size)
            yield piece.at(record, layout.spa_history_record, 0)
            yield from _packed(piece, record)
            at, index = at + layout.spa_history_record.size + length, index + 1


class _Ring:
    """The bytes of a history by their number since the pool was made."""

    def __init__(self, dnode: Dnode) -> None:
        self.dnode = dnode
        head = ordered(layout.spa_history_phys, big=dnode.big).decode(dnode.bonus)
        self.first = head.sh_pool_create_len
        self.length = head.sh_phys_max_off - head.sh_pool_create_len
        self.start, self.stop = head.sh_bof, head.sh_eof
        if self.length <= 0 or self.stop - self.start > self.length or head.sh_phys_max_off > 1 << 40:
            raise dnode.damaged("its bonus buffer makes no sense")

    def place(self, at: int) -> int:
        """Return where byte `at` is in the object; what was written at the pool's creation stays there."""
        return at if at < self.first else self.first + (at - self.first) % self.length

    def read(self, at: int, length: int) -> bytes:
        """Return bytes that may go on at the start of the ring."""
        limits.ZFS_CONFIG_SIZE.check(length, "history")
        place = self.place(at)
        before = min(length, self.first + self.length - place)
        return self.dnode.read(place, before) + self.dnode.read(self.first, length - before)


def _packed(piece: Piece, name: str) -> Iterator[Structure]:
    """Yield the parts of a record's list, which is packed in one of two ways."""
    start = layout.spa_history_record.size
    packed = piece.data[start:]
    try:
        if packed[:1] != bytes((layout.NV_ENCODE_NATIVE,)):
            for part, decoder, offset in nvlists(packed):
                yield piece.at(f"{name}.{part}", decoder, start + offset, plain=True)
            return
        big = layout.nvs_header_native.little.decode(packed).nvh_endian != label_layout.NV_LITTLE_ENDIAN
        for part, decoder, offset in _native(packed, big=big):
            yield piece.at(f"{name}.{part}", ordered(decoder, big=big), start + offset, plain=True)
    except BootcfgError as error:  # the records after it can be read
        yield fault(name, error)


def _native(data: bytes, *, big: bool) -> Iterator[tuple[str, Decoder, int]]:
    """Yield (name, decoder, offset) of the parts of a list that is packed as it is in memory.

    The pairs of embedded lists follow the pair that holds them, without a head; each list ends in a zero.
    """
    yield "nvlist", layout.nvs_header_native, 0
    yield "nvlist_version", layout.nvlist_native, layout.nvs_header_native.size
    budget = limits.ZFS_NVPAIRS.budget("nvlist")
    size = ordered(layout.nvpair_size_native, big=big)
    pair = ordered(layout.nvpair_native, big=big)
    at = layout.nvs_header_native.size + layout.nvlist_native.size
    paths = ["nvlist."]  # of the lists that pairs may still come for, the innermost last
    while paths:
        budget.spend()
        length = size.decode(data, at)
        if not length:
            at += size.size
            paths.pop()
            continue
        found = pair.decode(data[at : at + max(length, 0)])
        text = bytes(found.name).partition(b"\0")[0]
        name = paths[-1] + printable(text)
        yield name, layout.nvpair_native, at
        at += length
        if found.nvp_type == label_layout.DATA_TYPE_NVLIST:
            paths.append(f"{name}.")
        elif found.nvp_type == label_layout.DATA_TYPE_NVLIST_ARRAY:
            count = limits.ZFS_NVPAIRS.check(found.nvp_value_elem, name)
            paths += [f"{name}[{index}]." for index in reversed(range(count))]
        limits.ZFS_NVPAIRS.check(len(paths), name)
