"""The structures of a pool for `inspect`.

Labels and uberblocks lie on the first device as they are.  Blocks are decoded first: their structures are
shown at the address of the block's first copy (in the space of its top-level vdev, after the front labels),
counted on through the decoded bytes.
"""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError, printable
from pybootcfg.filesystems.base import DecodedStructure, Structure
from pybootcfg.filesystems.zfs import dsl, label, nvlist
from pybootcfg.filesystems.zfs.blkptr import SIZE, BlockPointer, ordered
from pybootcfg.filesystems.zfs.dmu import Dnode, ObjectSet
from pybootcfg.filesystems.zfs.pool import Pool
from pybootcfg.schema import Decoder
from pybootcfg.source import MemorySource, Source
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pybootcfg.tracing import Field

layout = schema.load("zfs_label")
dmu_layout = schema.load("zfs_dmu")
blkptr_layout = schema.load("zfs_blkptr")


class DecodedBlock(MemorySource):
    """The decoded bytes of a block as if they lay at an address; there is nothing else."""

    def __init__(self, data: bytes, address: int, name: str) -> None:
        super().__init__(data, name)
        self.address = address
        self.size = address + len(data)

    def _read(self, offset: int, length: int) -> bytes:
        start = offset - self.address
        return bytes(length) if start < 0 else self.data[start : start + length]


class BlockDecoder(DecodedStructure):
    """Decodes a structure in a decoded block, whatever source it is asked for."""

    def __init__(self, decoder: Decoder, block: DecodedBlock) -> None:
        super().__init__(decoder.name, decoder.schema, decoder.order)
        self.block = block

    def trace(self, source: Source, offset: int) -> Field:  # noqa: ARG002 - it is in another one
        """Decode the structure at an address within the block."""
        return super().trace(self.block, offset)


def structures(pool: Pool) -> Iterator[Structure]:
    """Yield labels with their nvlists, the uberblock rings, the Meta Object Set, the datasets.

    `zfs.active_uberblock` is the one in use; `zfs.uberblock[N]` are those of its label.
    """
    device = pool.devices[0]
    for found in device.labels:
        start = found.offset + layout.VDEV_PHYS_OFFSET
        yield from _label(device.source.read(start, layout.VDEV_PHYS_SIZE), found)
    yield from _uberblocks(pool)
    yield from _objects(pool.mos, pool.uberblock.rootbp, "zfs.mos")
    try:
        yield from _datasets(dsl.root(pool))
    except BootcfgError as error:
        pool.warn(f"{pool.name}: its datasets cannot be shown: {error}")


def _label(data: bytes, found: label.Label) -> Iterator[Structure]:
    name = f"zfs.label[{found.number}]"
    start = found.offset + layout.VDEV_PHYS_OFFSET
    yield Structure(f"{name}.nvlist", layout.nvs_header, start)
    for pair in nvlist.pairs(data):
        yield Structure(f"{name}.nvlist.{printable(pair.path)}", layout.nvpair, start + pair.offset)
    yield Structure(f"{name}.checksum", layout.zio_eck, start + layout.VDEV_PHYS_SIZE - layout.zio_eck.size)


def _uberblocks(pool: Pool) -> Iterator[Structure]:
    device, active = pool.devices[0], pool.uberblock
    ashift = nvlist.number(nvlist.child(device.config, "vdev_tree"), "ashift")
    shift = min(max(ashift, layout.UBERBLOCK_SHIFT), layout.MAX_UBERBLOCK_SHIFT)
    big = active.big
    decoder = ordered(layout.uberblock_shown_big if big else layout.uberblock_shown_little, big=big)
    yield Structure("zfs.active_uberblock", decoder, active.offset)
    for number, start in enumerate(label.offsets(device.source.size)):
        ring = start + layout.VDEV_UBERBLOCK_RING_OFFSET
        for slot in range(layout.VDEV_UBERBLOCK_RING >> shift):
            offset = ring + (slot << shift)
            if number == active.label:
                yield Structure(f"zfs.uberblock[{slot}]", decoder, offset)
            yield Structure(f"zfs.label[{number}].uberblock[{slot}]", decoder, offset)


def _objects(objects: ObjectSet, pointer: BlockPointer, name: str) -> Iterator[Structure]:
    """Yield an object set and the dnodes of its first objects."""
    yield _decoded(name, _shown("objset", big=objects.big), objects.data, pointer, 0)
    limit = min((objects.meta.last_block + 1) * objects.meta.block_size >> dmu_layout.DNODE_SHIFT, SHOWN)
    number = 1
    while number < limit:
        try:
            dnode, structure = _object(objects, number, f"{name}.object[{number}]")
        except BootcfgError:
            number += 1
            continue
        yield structure
        number += dnode.slots


SHOWN = limits.ZFS_OBJECTS_SHOWN.value


def _object(objects: ObjectSet, number: int, name: str) -> tuple[Dnode, Structure]:
    dnode = objects.object(number)
    place = number << dmu_layout.DNODE_SHIFT
    block, offset = divmod(place, objects.meta.block_size)
    data, big = objects.meta.block(block)
    pointer = objects.meta.pointer(block)
    return dnode, _decoded(name, _shown("dnode", big=big), data, pointer, offset)


def mos_object(pool: Pool, name: str) -> Structure | None:
    """Return the dnode that `zfs.mos.object[N]` names, also one that `structures` leaves out."""
    number = name.removeprefix("zfs.mos.object[").removesuffix("]")
    if name != f"zfs.mos.object[{number}]" or not number.isdecimal() or len(number) > 15:
        return None
    return _object(pool.mos, int(number), name)[1]


def node_structures(objects: ObjectSet, number: int) -> Iterator[Structure]:
    """Yield what is below one object: its dnode, then the block pointers down to its data, up to a cap."""
    dnode, structure = _object(objects, number, "dnode")
    yield structure
    left = SHOWN
    todo = [(f"blkptr[{i}]", pointer) for i, pointer in enumerate(dnode.pointers)]
    while todo and left > 0:
        name, pointer = todo.pop(0)
        if pointer.hole or not pointer.level:
            continue
        data = objects.blocks.cached(pointer)
        for index, below in enumerate(dnode.below(pointer)):
            left -= 1
            if below.hole or left < 0:
                continue
            inner = f"{name}.blkptr[{index}]"
            yield _decoded(inner, _shown("blkptr", big=pointer.big), data, pointer, index * SIZE)
            todo.append((inner, below))


def _datasets(top: dsl.Directory) -> Iterator[Structure]:
    """Yield the object sets of datasets, those that are encrypted or empty left out."""
    todo, left = [top], SHOWN
    while todo and left:
        directory = todo.pop()
        left -= 1
        if directory.phys.dd_head_dataset_obj:
            head = directory.head()
            pointer = head.pointer
            if not pointer.crypt and not pointer.hole:
                data = directory.pool.blocks.cached(pointer)
                name = f"zfs.dataset[{printable(head.name)}]"
                yield _decoded(name, _shown("objset", big=pointer.big), data, pointer, 0)
        todo.extend(directory.children())


def _shown(name: str, *, big: bool) -> Decoder:
    module = blkptr_layout if name == "blkptr" else dmu_layout
    decoder: Decoder = getattr(module, f"{name}_shown_{'big' if big else 'little'}")
    return ordered(decoder, big=big)


def _decoded(
    name: str, decoder: Decoder, data: bytes, pointer: BlockPointer | None, offset: int
) -> Structure:
    address = pointer.dvas[0].offset + layout.VDEV_LABEL_START_SIZE if pointer and pointer.dvas else 0
    block = DecodedBlock(data, address, name)
    return Structure(name, BlockDecoder(decoder, block), address + offset)
