"""Objects: dnodes, the blocks below them, and object sets.

Specification: formats/zfs_dmu.py.
"""

from __future__ import annotations

from pybootcfg import schema
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.zfs.blkptr import SIZE, BlockPointer, decode, ordered
from pybootcfg.filesystems.zfs.block import BlockReader
from pybootcfg.limits import Limit
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

layout = schema.load("zfs_dmu")
blkptr_layout = schema.load("zfs_blkptr")


HOLES_JOINED = 1024  #: so that a caller can stop in time, whatever size a file claims


class Span(NamedTuple):
    """`length` bytes of an object: one block, or a hole where `pointer` is None."""

    length: int
    pointer: BlockPointer | None


class Dnode:
    """One object: its type, its bonus buffer and its blocks."""

    def __init__(self, blocks: BlockReader, name: str, data: bytes, offset: int, *, big: bool) -> None:
        """Take the dnode at `offset` of a block `data`; raises ImageError when it makes no sense."""
        core: Any = ordered(layout.dnode_core, big=big).decode(data, offset)
        self.blocks = blocks
        self.name = name
        self.big = big
        self.type: int = core.dn_type
        self.bonus_type: int = core.dn_bonustype
        self.levels: int = core.dn_nlevels
        self.block_size: int = core.dn_datablkszsec << blkptr_layout.SPA_MINBLOCKSHIFT
        self.last_block: int = core.dn_maxblkid
        self._shift: int = core.dn_indblkshift - blkptr_layout.SPA_BLKPTRSHIFT  # log2 of pointers a block
        self.slots: int = core.dn_extra_slots + 1
        self._indirect_size = 1 << core.dn_indblkshift
        size = (core.dn_extra_slots + 1) << layout.DNODE_SHIFT
        if (
            not 1 <= core.dn_nblkptr <= layout.DN_MAX_NBLKPTR
            or not 1 <= self.levels <= layout.DN_MAX_LEVELS
            or (self.levels > 1 and not layout.DN_MIN_INDBLKSHIFT <= core.dn_indblkshift <= 24)
            or not self.block_size
            or offset + size > len(data)
        ):
            raise self.damaged("its dnode makes no sense")
        start = offset + layout.DNODE_CORE_SIZE
        self.pointers = [decode(data, start + i * SIZE, big=big) for i in range(core.dn_nblkptr)]
        start += core.dn_nblkptr * SIZE
        end = offset + size
        self.spill: BlockPointer | None = None
        if core.dn_flags & layout.DNODE_FLAG_SPILL_BLKPTR:
            end -= SIZE
            self.spill = decode(data, end, big=big)
        if start + core.dn_bonuslen > end:
            raise self.damaged("its bonus buffer is longer than its dnode")
        self.bonus = data[start : start + core.dn_bonuslen]

    def damaged(self, message: str) -> ImageError:
        """Return an error about this object."""
        return ImageError(message, structure=self.name, source=self.blocks.name)

    @property
    def size(self) -> int:
        """Bytes of all blocks."""
        return (self.last_block + 1) * self.block_size

    def block(self, number: int) -> tuple[bytes, bool]:
        """Return block `number` and whether it is big-endian, from the cache where it is there."""
        pointer = self.pointer(number)
        if pointer is None:
            return bytes(self.block_size), self.big
        return self._whole(self.blocks.cached(pointer)), pointer.big

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the object, through the cache; beyond its end are zeros."""
        chunks = []
        while length:
            number, skip = divmod(offset, self.block_size)
            count = min(length, self.block_size - skip)
            chunks.append(self.block(number)[0][skip : skip + count])
            offset += count
            length -= count
        return b"".join(chunks)

    def contents(self, limit: Limit, length: int | None = None) -> bytes:
        """Return all bytes of the object (or the first `length` ones), held under `limit`."""
        return self.read(0, limit.check(self.size if length is None else length, self.name))

    def data(self, pointer: BlockPointer, length: int) -> bytes:
        """Return the first `length` bytes of a block of `spans`, not cached."""
        return self._whole(self.blocks.read(pointer))[:length]

    def _whole(self, data: bytes) -> bytes:
        size = self.block_size
        return data if len(data) == size else data[:size].ljust(size, b"\0")

    def pointer(self, number: int) -> BlockPointer | None:
        """Return the pointer to block `number`, None for a hole."""
        above = number >> self._shift * (self.levels - 1)
        if number > self.last_block or above >= len(self.pointers):
            return None
        pointer = self._checked(self.pointers[above], self.levels - 1)
        for level in range(self.levels - 2, -1, -1):
            if pointer.hole:
                return None
            index = number >> self._shift * level & (1 << self._shift) - 1
            pointer = self._checked(self._below(pointer, index), level)
        return None if pointer.hole else pointer

    def below(self, pointer: BlockPointer) -> Iterator[BlockPointer]:
        """Yield the pointers of an indirect block; raises ImageError for one that does not lead down."""
        for index in range(1 << self._shift):
            yield self._checked(self._below(pointer, index), pointer.level - 1)

    def _below(self, pointer: BlockPointer, index: int) -> BlockPointer:
        return decode(self._indirect(pointer), index * SIZE, big=pointer.big)

    def _indirect(self, pointer: BlockPointer) -> bytes:
        if pointer.lsize != self._indirect_size:
            raise self.damaged(
                f"an indirect block has {pointer.lsize} bytes instead of {self._indirect_size}"
            )
        return self.blocks.cached(pointer)

    def _checked(self, pointer: BlockPointer, level: int) -> BlockPointer:
        if not pointer.hole and pointer.level != level:
            raise self.damaged(f"a block pointer is of level {pointer.level} where {level} must be")
        return pointer

    def spans(self, length: int) -> Iterator[Span]:
        """Yield the first `length` bytes in order, neighbouring holes joined (not too many at once)."""
        hole = joined = 0
        for span in self._all_spans(length):
            if span.pointer is None and joined < HOLES_JOINED:
                hole += span.length
                joined += 1
                continue
            if hole:
                yield Span(hole, None)
                hole = joined = 0
            yield span
        if hole:
            yield Span(hole, None)

    def _all_spans(self, length: int) -> Iterator[Span]:
        top = self.levels - 1
        reach = self.block_size << self._shift * top if top else self.block_size
        for pointer in self.pointers:
            if length <= 0:
                return
            count = min(reach, length)
            yield from self._spans_below(pointer, top, count)
            length -= count
        if length > 0:
            yield Span(length, None)

    def _spans_below(self, pointer: BlockPointer, level: int, length: int) -> Iterator[Span]:
        if pointer.hole:
            yield Span(length, None)
            return
        self._checked(pointer, level)
        if not level:
            yield Span(length, pointer)
            return
        reach = self.block_size << self._shift * (level - 1)
        for index in range(-(-length // reach)):
            count = min(reach, length)
            yield from self._spans_below(self._below(pointer, index), level - 1, count)
            length -= count


class ObjectSet:
    """Numbered objects: the Meta Object Set of a pool, or one dataset's."""

    def __init__(self, blocks: BlockReader, name: str, pointer: BlockPointer) -> None:
        """Read the object set that `pointer` points at; raises ImageError when it is damaged."""
        self.blocks = blocks
        self.name = name
        data = blocks.cached(pointer)
        if pointer.hole or len(data) < layout.OBJSET_PHYS_SIZE_V1:
            raise ImageError("there is no object set", structure=name, source=blocks.name)
        self.big = pointer.big
        self.phys: Any = ordered(layout.objset_phys, big=self.big).decode(data)
        self.type: int = self.phys.os_type
        self.data = data
        self.meta = Dnode(blocks, f"{name}: meta dnode", data, 0, big=self.big)
        if self.meta.type != layout.DMU_OT_DNODE or self.meta.block_size > layout.DNODE_BLOCK_MAX:
            raise self.meta.damaged(
                f"it is of type {self.meta.type} with blocks of {self.meta.block_size} bytes"
            )

    def object(self, number: int) -> Dnode:
        """Return object `number`; raises ImageError when there is none."""
        name = f"{self.name}: object {number}"
        block, index = divmod(number << layout.DNODE_SHIFT, self.meta.block_size)
        if number <= 0 or block > self.meta.last_block:
            raise ImageError("there is no such object", structure=name, source=self.blocks.name)
        data, big = self.meta.block(block)
        if data[index] == layout.DMU_OT_NONE:
            raise ImageError("the object is free", structure=name, source=self.blocks.name)
        return Dnode(self.blocks, name, data, index, big=big)
