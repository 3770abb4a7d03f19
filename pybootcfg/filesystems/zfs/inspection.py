"""The structures of a pool for `inspect`: those of its first device that lie there as they are."""

from __future__ import annotations

from collections.abc import Iterator

from pybootcfg import schema
from pybootcfg.filesystems.base import Structure
from pybootcfg.filesystems.zfs import label, nvlist
from pybootcfg.filesystems.zfs.blkptr import ordered
from pybootcfg.filesystems.zfs.pool import Pool

layout = schema.load("zfs_label")


def structures(pool: Pool) -> Iterator[Structure]:
    """Yield labels with their nvlists, then the uberblock rings, that of the uberblock in use first."""
    device = pool.devices[0]
    for found in device.labels:
        start = found.offset + layout.VDEV_PHYS_OFFSET
        yield from _label(device.source.read(start, layout.VDEV_PHYS_SIZE), found)
    ashift = nvlist.number(nvlist.child(device.config, "vdev_tree"), "ashift")
    shift = min(max(ashift, layout.UBERBLOCK_SHIFT), layout.MAX_UBERBLOCK_SHIFT)
    decoder = ordered(layout.uberblock, big=pool.uberblock.big)
    for number, start in enumerate(label.offsets(device.source.size)):
        ring = start + layout.VDEV_UBERBLOCK_RING_OFFSET
        for slot in range(layout.VDEV_UBERBLOCK_RING >> shift):
            name = f"uberblock[{slot}]"
            offset = ring + (slot << shift)
            if number == pool.uberblock.label:
                yield Structure(name, decoder, offset)
            yield Structure(f"label[{number}].{name}", decoder, offset)


def _label(data: bytes, found: label.Label) -> Iterator[Structure]:
    name = f"label[{found.number}]"
    start = found.offset + layout.VDEV_PHYS_OFFSET
    yield Structure(f"{name}.nvlist", layout.nvs_header, start)
    for pair in nvlist.pairs(data):
        yield Structure(f"{name}.nvlist.{pair.path}", layout.nvpair, start + pair.offset)
    yield Structure(f"{name}.checksum", layout.zio_eck, start + layout.VDEV_PHYS_SIZE - layout.zio_eck.size)
