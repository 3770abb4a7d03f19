"""Space maps by name, for `inspect`: those of metaslabs, of whole vdevs and of the pool's logs.

Specification: formats/zfs_spacemap.py.
"""

from __future__ import annotations

import functools
from contextlib import suppress

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError
from pybootcfg.filesystems.zfs import nvlist
from pybootcfg.filesystems.zfs.blkptr import bits, ordered
from pybootcfg.filesystems.zfs.dmu import Dnode
from pybootcfg.filesystems.zfs.pieces import Piece, block_piece, bonus_start, dnode_piece
from pybootcfg.filesystems.zfs.pool import Pool
from pybootcfg.filesystems.zfs.zap import Zap
from pybootcfg.schema import Decoder
from pybootcfg.structures import Structure, fault, numbered
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pybootcfg.filesystems.zfs.nvlist import Config
    from pybootcfg.source import Source
    from pybootcfg.tracing import Field

layout = schema.load("zfs_spacemap")
dmu_layout = schema.load("zfs_dmu")

WORD = 8  # bytes


class Space(NamedTuple):
    """What a space map is about: `sizes` are bytes by vdev, with None for the map's own.

    Sizes are unknown for maps that nothing names, and for transaction groups.
    """

    shift: int = 0  #: log2 of the unit of offsets and runs, in bytes
    sizes: Mapping[int | None, int] = {}


class Judged(Decoder):
    """A structure of a space map; numbers that lead out of what the map is about get an error."""

    def __init__(self, decoder: Decoder, space: Space, length: int = 0) -> None:
        super().__init__(decoder.name, decoder.schema, decoder.order)
        self.space = space
        self.length = length  # bytes that the object has

    def trace(self, source: Source, offset: int) -> Field:
        """Decode the structure field by field."""
        field = super().trace(source, offset)
        parts = {child.name: child for child in field.children}
        if "run" in parts:
            self._judge_entry(parts)
        elif "smp_alloc" in parts:
            self._judge_header(parts)
        return field

    def _judge_entry(self, parts: dict[str, Field]) -> None:
        sizes = self.space.sizes
        own = None in sizes or "vdev" not in parts
        size = sizes.get(None if own else parts["vdev"].value)
        if size is None:
            if sizes and not own:
                parts["vdev"].error = "there is no such vdev"
            return
        end = parts["offset"].value + parts["run"].value << self.space.shift
        if end > size:
            parts["run"].error = f"the segment ends at {end:#x}, beyond the {size:#x} bytes that there are"

    def _judge_header(self, parts: dict[str, Field]) -> None:
        length = parts["smp_length"]
        if length.value % WORD or not 0 <= length.value <= self.length:
            length.error = f"a multiple of {WORD} up to {self.length} expected"
        size = self.space.sizes.get(None)
        if size is None:
            return
        if abs(parts["smp_alloc"].value) > size:  # that of a checkpoint is negative
            parts["smp_alloc"].error = f"no more than {size} expected"
        buckets = parts["smp_histogram"].children if "smp_histogram" in parts else []
        for index, bucket in enumerate(buckets):
            if bucket.value and bucket.value << min(self.space.shift + index, 64) > size:
                bucket.error = f"there is no room for so many in {size} bytes"


def header(dnode: Dnode) -> Decoder:
    """Return the decoder of a space map's bonus buffer, whose length says which."""
    long = len(dnode.bonus) >= layout.space_map_phys.size
    decoder: Decoder = layout.space_map_phys if long else layout.space_map_phys_v0
    return ordered(decoder, big=dnode.big)


def head(dnode: Dnode, piece: Piece, name: str, start: int, space: Space) -> Structure:
    """Return the head of a space map: the bonus buffer, which is at `start` of a piece."""
    decoder = Judged(header(dnode), space, dnode.size)
    if dnode.type != dmu_layout.DMU_OT_SPACE_MAP:
        raise dnode.damaged(f"it is of type {dnode.type}, no space map")
    if len(dnode.bonus) < decoder.size:
        raise dnode.damaged("its bonus buffer is shorter than a space map's head")
    return piece.at(name, decoder, start, plain=True)


def entries(dnode: Dnode, name: str, space: Space) -> Iterator[Structure]:
    """Yield the entries of a space map as `NAME[N]`, numbered as zdb does.

    Raises ImageError where the map has a hole, LimitExceeded.
    """
    budget = limits.ZFS_SPACE_MAP_ENTRIES.budget(name)
    left = min(header(dnode).decode(dnode.bonus).smp_length, dnode.size) // WORD
    number = index = 0
    while left > 0:
        if dnode.pointer(number) is None:
            raise dnode.damaged(f"block {number} of the space map is a hole")
        piece = block_piece(dnode, number, name)
        count = min(left, dnode.block_size // WORD)
        words = ordered(layout.space_map_word, big=piece.big).array(piece.data, count)
        at = 0
        while at < count:
            budget.spend()
            decoder = ordered(_entry(words[at]), big=piece.big)
            yield piece.at(f"{name}[{index}]", Judged(decoder, space), at * WORD, plain=True)
            at += 2 if decoder.name == layout.space_map_entry_v2.name else 1
            index += 1
        number, left = number + 1, left - count


def _entry(word: int) -> Decoder:
    prefix = bits(word, layout.SM_PREFIX)
    if prefix == layout.SM_DEBUG_PREFIX:
        decoder: Decoder = layout.space_map_debug
    elif prefix == layout.SM2_PREFIX:
        decoder = layout.space_map_entry_v2
    else:
        decoder = layout.space_map_entry
    return decoder


class Metaslabs:
    """The metaslabs of one top-level vdev: `array` is the object with the numbers of their space maps."""

    def __init__(self, pool: Pool, number: int, tree: Config) -> None:
        self.pool = pool
        self.number = number
        self.array = nvlist.number(tree, "metaslab_array")
        self.asize = nvlist.number(tree, "asize")
        self.shift = min(nvlist.number(tree, "metaslab_shift"), 63)
        self.ashift = min(nvlist.number(tree, "ashift"), 63)
        self.zap = nvlist.number(tree, "com.delphix:vdev_zap_top")
        self.leaves = list(_leaves(tree))

    @property
    def count(self) -> int:
        """How many there are."""
        if not (self.array and self.shift):
            return 0
        return limits.ZFS_METASLABS.check(self.asize >> self.shift, f"vdev {self.number}")

    @property
    def space(self) -> Space:
        """What the space map of one metaslab is about."""
        return Space(self.ashift, {None: 1 << self.shift})

    def objects(self) -> Iterator[tuple[int, int]]:
        """Yield the numbers of metaslabs and of their space maps; those without one are left out."""
        if not self.count:
            return
        dnode = self.pool.mos.object(self.array)
        per_block = dnode.block_size // WORD
        for first in range(0, self.count, per_block):
            if dnode.pointer(first // per_block) is None:
                continue
            data, big = dnode.block(first // per_block)
            found = ordered(layout.metaslab_object, big=big).array(data, min(per_block, self.count - first))
            yield from ((index, number) for index, number in enumerate(found, first) if number)

    @functools.cached_property
    def others(self) -> dict[str, tuple[int, Space]]:
        """The other space maps of the vdev by name: their objects, and what they are about."""
        found = {
            f"dtl[{index}]": (nvlist.number(leaf, "DTL"), Space())
            for index, leaf in enumerate(self.leaves)
            if nvlist.number(leaf, "DTL")
        }
        for name, key, shift in (
            ("checkpoint", layout.VDEV_TOP_ZAP_POOL_CHECKPOINT_SM, self.ashift),
            ("obsolete", layout.VDEV_TOP_ZAP_INDIRECT_OBSOLETE_SM, 0),
        ):
            if number := self._in_zap(key):
                found[name] = number, Space(shift, {None: self.asize})
        return found

    @functools.cached_property
    def unflushed(self) -> int:
        """The object that says from which log on each metaslab's own map is behind; 0 for none."""
        return self._in_zap(layout.VDEV_TOP_ZAP_MS_UNFLUSHED_PHYS_TXGS)

    def _in_zap(self, name: bytes) -> int:
        return Zap(self.pool.mos.object(self.zap)).number(name) if self.zap else 0


def _leaves(tree: Config, depth: int = 0) -> Iterator[Config]:
    limits.ZFS_NVLIST_DEPTH.check(depth, "vdev_tree")
    children = nvlist.children(tree, "children")
    for child in children:
        yield from _leaves(child, depth + 1)
    if not children:
        yield tree


class SpaceMaps:
    """All space maps of a pool that something names."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.vdevs = {number: Metaslabs(pool, number, tree) for number, tree in pool.trees.items()}

    @functools.cached_property
    def logs(self) -> dict[int, int]:
        """The logs of the pool: their objects by transaction group."""
        number = self.pool.directory().number(layout.DMU_POOL_LOG_SPACEMAP_ZAP)
        found = {}
        if number:
            budget = limits.ZFS_METASLABS.budget("log space maps")
            for entry in Zap(self.pool.mos.object(number)).entries():
                budget.spend()
                with suppress(ValueError):
                    found[int(entry.name, 16)] = entry.number
        return found

    @property
    def log_space(self) -> Space:
        """What the logs are about: all vdevs."""
        return Space(layout.LOG_SHIFT, {number: vdev.asize for number, vdev in self.vdevs.items()})

    @functools.cached_property
    def spaces(self) -> dict[int, Space]:
        """What the objects that are named space maps are about; damage leaves some out."""
        found: dict[int, Space] = {}
        for vdev in self.vdevs.values():
            with suppress(BootcfgError):
                found.update(dict.fromkeys((number for _, number in vdev.objects()), vdev.space))
            with suppress(BootcfgError):
                found.update(vdev.others.values())
        with suppress(BootcfgError):
            found.update(dict.fromkeys(self.logs.values(), self.log_space))
        return found

    # --- places ----------------------------------------------------------------------------------

    def listed(self, limit: int) -> Iterator[Structure]:
        """Yield the heads of the space maps, up to a limit."""
        for name, number, space in self._named():
            if limit <= 0:
                return
            limit -= 1
            try:
                yield self._head(name, number, space)
            except BootcfgError as error:
                yield fault(name, error)

    def below(self, name: str) -> Iterator[Structure]:
        """Yield what belongs to the vdev, the metaslab or the map that a name begins with."""
        family, wanted, rest = numbered(name.removeprefix("zfs."))
        if family == "log_space_map":
            if wanted in self.logs:
                yield from self._map(f"zfs.log_space_map[{wanted}]", self.logs[wanted], self.log_space)
            return
        vdev = self.vdevs.get(wanted)
        if vdev is None:
            return
        part, index, _ = numbered(rest.removeprefix("."))
        prefix = f"zfs.vdev[{wanted}]"
        if part in ("", "metaslab"):
            for number, map_object in vdev.objects():
                if index in (-1, number):
                    yield from self._metaslab(vdev, number, map_object)
        for other, (map_object, space) in vdev.others.items():
            if not part or rest.removeprefix(".").startswith(other):
                yield from self._map(f"{prefix}.{other}.space_map", map_object, space)

    def _named(self) -> Iterator[tuple[str, int, Space]]:
        for number, vdev in self.vdevs.items():
            prefix = f"zfs.vdev[{number}]"
            with suppress(BootcfgError):  # the object shows what is wrong
                for index, map_object in vdev.objects():
                    yield f"{prefix}.metaslab[{index}].space_map", map_object, vdev.space
            with suppress(BootcfgError):
                for name, (map_object, space) in vdev.others.items():
                    yield f"{prefix}.{name}.space_map", map_object, space
        with suppress(BootcfgError):
            for txg, map_object in self.logs.items():
                yield f"zfs.log_space_map[{txg}]", map_object, self.log_space

    def _metaslab(self, vdev: Metaslabs, number: int, map_object: int) -> Iterator[Structure]:
        prefix = f"zfs.vdev[{vdev.number}].metaslab[{number}]"
        yield self._element(vdev.array, number, f"{prefix}.object", layout.metaslab_object)
        if vdev.unflushed:
            decoder = layout.metaslab_unflushed_phys
            yield self._element(vdev.unflushed, number, f"{prefix}.unflushed", decoder)
        yield from self._map(f"{prefix}.space_map", map_object, vdev.space)

    def _element(self, number: int, index: int, name: str, decoder: Decoder) -> Structure:
        """Return one element of an object that is an array."""
        dnode = self.pool.mos.object(number)
        block, at = divmod(index * decoder.size, dnode.block_size)
        if block > dnode.last_block:
            raise dnode.damaged(f"it has no element {index}")
        return block_piece(dnode, block, name).at(name, decoder, at)

    def _map(self, name: str, number: int, space: Space) -> Iterator[Structure]:
        yield self._head(name, number, space)
        yield from entries(self.pool.mos.object(number), name, space)

    def _head(self, name: str, number: int, space: Space) -> Structure:
        dnode, piece, offset = dnode_piece(self.pool.mos, number, name)
        return head(dnode, piece, name, bonus_start(dnode, offset), space)
