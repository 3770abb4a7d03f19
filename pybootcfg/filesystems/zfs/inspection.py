"""The structures of a pool by name, for `inspect`; docs/inspect.md lists them.

Labels and uberblocks lie on the first device as they are.  Blocks are decoded first: their structures are
shown at the address of the block's first copy (in the space of its top-level vdev, after the front labels),
counted on through the decoded bytes.
"""

from __future__ import annotations

import functools

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError, printable
from pybootcfg.filesystems.zfs import dsl, label, nvlist
from pybootcfg.filesystems.zfs.blkptr import ordered
from pybootcfg.filesystems.zfs.dmu import ObjectSet
from pybootcfg.filesystems.zfs.objects import Objects
from pybootcfg.filesystems.zfs.pieces import nvlists
from pybootcfg.filesystems.zfs.pool import Pool
from pybootcfg.filesystems.zfs.roles import roles
from pybootcfg.filesystems.zfs.spacemap import SpaceMaps
from pybootcfg.filesystems.zfs.view import MountedDirectory
from pybootcfg.filesystems.zfs.znode import Znode
from pybootcfg.structures import Checked, Reference, Structure, Structures, fault, numbered
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pybootcfg.source import Source

layout = schema.load("zfs_label")

_MAGIC_SIZE = 8  # bytes


class ZfsStructures(Structures):
    """The structures of one pool."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.maps = SpaceMaps(pool)

    @functools.cached_property
    def mos(self) -> Objects:
        """The objects of the pool itself."""
        return Objects(self.pool.mos, self.pool.uberblock.rootbp, "zfs.mos", roles(self.pool, self.maps))

    def listed(self) -> Iterator[Structure]:
        """Yield labels with their nvlists, the uberblock rings, the Meta Object Set, the datasets.

        `zfs.active_uberblock` is the one in use; `zfs.uberblock[N]` are those of its label.
        """
        yield from self._labels()
        yield from self.mos.heads()
        yield from self.mos.listed(limits.ZFS_OBJECTS_SHOWN.value)
        yield from self.maps.listed(limits.ZFS_OBJECTS_SHOWN.value)
        for objects in self._datasets():
            if isinstance(objects, Structure):
                yield objects
            else:
                yield from objects.heads()

    def every(self) -> Iterator[Structure]:
        """Yield labels and uberblocks, then all objects of the pool and of the datasets."""
        yield from self._labels()
        yield from self.mos.every()
        for objects in self._datasets():
            if isinstance(objects, Structure):
                yield objects
            else:
                yield from objects.every()

    def of_member(self, first: str) -> Iterator[Structure]:
        """Yield labels and uberblocks; the objects are those of the volume `first`."""
        yield from self._labels()
        yield Structure("zfs.objects", Reference(f"{first}.zfs"), 0)

    def below(self, name: str) -> Iterator[Structure]:
        """Yield those of the object or the dataset that a name begins with; else those listed."""
        objects: Objects | None = None
        if name.startswith("zfs.mos."):
            objects, rest = self.mos, name.removeprefix("zfs.mos.")
        else:
            dataset, bracket, rest = name.removeprefix("zfs.dataset[").partition("]")
            if bracket and name.startswith("zfs.dataset["):
                objects, rest = self._dataset(dataset), rest.removeprefix(".")
        if objects is None:
            if name.startswith(("zfs.vdev[", "zfs.log_space_map[")):
                yield from self.maps.below(name)
            elif "uberblock[" in name:
                yield from _uberblocks(self.pool, unused=True)
            else:
                yield from self.listed()
            return
        family, number, _ = numbered(rest)
        if family == "object" and 0 < number < 1 << 48:
            yield from objects.of_object(number)
        else:
            yield from objects.heads()

    def of_node(self, node: Any) -> Iterator[Structure]:
        """Yield what belongs to a file or directory."""
        if isinstance(node, MountedDirectory) and node.under is not None:
            node = node.under
        if not isinstance(node, Znode):
            return
        dataset = node.filesystem.objects
        pointer = dsl.by_object(self.pool, node.filesystem.key).pointer
        objects = Objects(dataset, pointer, f"zfs.dataset[{dataset.name}]")
        yield from objects.of_object(node.number)

    def _labels(self) -> Iterator[Structure]:
        device = self.pool.devices[0]
        for found in device.labels:
            start = found.offset + layout.VDEV_PHYS_OFFSET
            data, name = device.source.read(start, layout.VDEV_PHYS_SIZE), f"zfs.label[{found.number}]"
            for part, decoder, offset in nvlists(data):
                yield Structure(f"{name}.{part}", decoder, start + offset)
            yield from _checksum(name, device.source, start, layout.VDEV_PHYS_SIZE)
        for number in device.bad:
            start = label.offsets(device.source.size)[number] + layout.VDEV_PHYS_OFFSET
            yield from _checksum(f"zfs.label[{number}]", device.source, start, layout.VDEV_PHYS_SIZE)
        yield from _uberblocks(self.pool, unused=False)

    def _dataset(self, name: str) -> Objects | None:
        return self._objects(dsl.named(self.pool, name.encode("utf-8", "surrogateescape")))

    def _objects(self, dataset: dsl.Dataset) -> Objects | None:
        pointer = dataset.pointer
        if pointer.crypt or pointer.hole:
            return None
        name = printable(dataset.name)
        objects = ObjectSet(self.pool.blocks, name, pointer)
        return Objects(objects, pointer, f"zfs.dataset[{name}]")

    def _datasets(self) -> Iterator[Objects | Structure]:
        """Yield the object sets of datasets, those that are encrypted or empty left out."""
        try:
            todo, left = [dsl.root(self.pool)], limits.ZFS_OBJECTS_SHOWN.value
        except BootcfgError as error:
            yield fault("zfs.dataset", error)
            return
        while todo and left:
            directory = todo.pop()
            left -= 1
            try:
                found = self._objects(directory.head()) if directory.phys.dd_head_dataset_obj else None
                if found is not None:
                    yield found
                todo.extend(directory.children())
            except BootcfgError as error:
                yield fault(f"zfs.dataset[{printable(directory.name)}]", error)


def _uberblocks(pool: Pool, *, unused: bool) -> Iterator[Structure]:
    """Yield the uberblocks of all labels; slots that were never written only with `unused`."""
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
            if not unused and not any(device.source.read(offset, _MAGIC_SIZE, "uberblock")):
                continue
            names = [f"zfs.label[{number}].uberblock[{slot}]"]
            if number == active.label:
                names.insert(0, f"zfs.uberblock[{slot}]")
            for name in names:
                yield Structure(name, decoder, offset)
                yield from _checksum(name, device.source, offset, 1 << shift)


def _checksum(name: str, source: Source, start: int, size: int) -> Iterator[Structure]:
    """Yield the checksum that a block of a label ends in, unless there is none."""

    def expected(found: Source, _: int) -> dict[str, int]:
        words = label.embedded(found.read(start, size), (start, 0, 0, 0), big=bool(big))
        return {f"zec_cksum[{index}]": word for index, word in enumerate(words)}

    big = label.byte_order(source.read(start, size))
    if big is not None:
        decoder = Checked(ordered(layout.zio_eck, big=big), expected)
        yield Structure(f"{name}.checksum", decoder, start + size - layout.zio_eck.size)
