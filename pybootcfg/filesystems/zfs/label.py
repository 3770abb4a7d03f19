"""Labels and uberblocks of one device.

Specification: formats/zfs_label.py.  Both are checked by an embedded SHA-256 in which the place of the
checksum holds the offset on the device, so that no block passes for another one.
"""

from __future__ import annotations

from pybootcfg import schema
from pybootcfg.errors import ImageError, LimitExceeded
from pybootcfg.filesystems.zfs import checksum, nvlist
from pybootcfg.filesystems.zfs.blkptr import BlockPointer, bits, decode, ordered
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Any

    from pybootcfg.filesystems.zfs.nvlist import Config

layout = schema.load("zfs_label")


class Uberblock(NamedTuple):
    """A valid uberblock, the root of the pool as it was after transaction group `txg`."""

    label: int
    slot: int
    offset: int  #: bytes on the device
    big: bool
    version: int
    txg: int
    timestamp: int
    sequence: int  #: counts writes of the same txg by multihost protection
    rootbp: BlockPointer
    raidz_reflow_info: int


class Label(NamedTuple):
    """A valid label; `config` is its nvlist."""

    number: int
    offset: int  #: bytes on the device
    config: Config


class Device(NamedTuple):
    """A source that carries labels of a pool."""

    source: Source
    labels: tuple[Label, ...]
    bad: tuple[int, ...]  #: numbers of the labels that are damaged
    foreign: tuple[int, ...] = ()  #: numbers of the labels that an earlier pool left behind

    @property
    def config(self) -> Config:
        """The newest label's nvlist."""
        return max(self.labels, key=lambda label: nvlist.number(label.config, "txg")).config


def offsets(size: int) -> tuple[int, ...]:
    """Return where the labels of a device of `size` bytes begin; the last two lie at its end."""
    end = size // layout.VDEV_LABEL_SIZE * layout.VDEV_LABEL_SIZE
    unit = layout.VDEV_LABEL_SIZE
    return (0, unit, end - 2 * unit, end - unit) if end >= 4 * unit else ()


def read_device(source: Source) -> Device | None:
    """Return the labels of a device; None when no label is valid."""
    labels, bad = [], []
    for number, offset in enumerate(offsets(source.size)):
        config = _config(source, offset + layout.VDEV_PHYS_OFFSET)
        if config is None:
            bad.append(number)
        else:
            labels.append(Label(number, offset, config))
    if not labels:
        return None
    guids = [nvlist.number(label.config, "pool_guid") for label in labels]
    guid = max(guids, key=guids.count)  # of two that are as many the one in front
    own = tuple(label for label, other in zip(labels, guids, strict=True) if other == guid)
    foreign = tuple(label.number for label in labels if label not in own)
    return Device(source, own, tuple(bad), foreign)


def _config(source: Source, offset: int) -> Config | None:
    """Return the nvlist at `offset`, None when its checksum or its structure is wrong."""
    data = source.read(offset, layout.VDEV_PHYS_SIZE, "vdev_phys")
    if _order(data, offset) is None:
        return None
    try:
        return nvlist.decode(data)
    except (ImageError, LimitExceeded):
        return None


def _order(data: bytes, offset: int) -> bool | None:
    """Return whether a block with an embedded checksum is big-endian; None when the checksum is wrong."""
    return verified(data, (offset, 0, 0, 0))


def verified(data: bytes, verifier: tuple[int, ...]) -> bool | None:
    """Return whether a block that ends in a checksum is big-endian; None when the checksum is wrong."""
    big = byte_order(data)
    if big is None:
        return None
    stored = ordered(layout.zio_eck, big=big).decode(data, len(data) - layout.zio_eck.size).zec_cksum
    return big if embedded(data, verifier, big=big) == stored else None


def byte_order(data: bytes) -> bool | None:
    """Return whether a block that ends in a checksum is big-endian; None when it does not."""
    start = len(data) - layout.zio_eck.size
    for big in (False, True):
        if ordered(layout.zio_eck, big=big).decode(data, start).zec_magic == layout.ZEC_MAGIC:
            return big
    return None


def embedded(data: bytes, verifier: tuple[int, ...], *, big: bool) -> tuple[int, ...]:
    """Return the checksum that a block must end in, which counts with the verifier in its place."""
    words = b"".join(word.to_bytes(8, "big" if big else "little") for word in verifier)
    return checksum.embedded(data[: len(data) - len(words)] + words)


def uberblocks(device: Device, ashift: int) -> list[Uberblock]:
    """Return the valid uberblocks of all rings, the newest first."""
    shift = min(max(ashift, layout.UBERBLOCK_SHIFT), layout.MAX_UBERBLOCK_SHIFT)
    found = []
    for number, start in enumerate(offsets(device.source.size)):
        if number in device.foreign:
            continue
        ring_offset = start + layout.VDEV_UBERBLOCK_RING_OFFSET
        ring = device.source.read(ring_offset, layout.VDEV_UBERBLOCK_RING, "uberblock ring")
        for slot in range(layout.VDEV_UBERBLOCK_RING >> shift):
            at = slot << shift
            block = _uberblock(ring[at : at + (1 << shift)], number, slot, ring_offset + at)
            if block is not None:
                found.append(block)
    return sorted(found, key=age, reverse=True)


def age(block: Uberblock) -> tuple[int, int, int]:
    """Return what orders uberblocks: the greatest is the newest."""
    return block.txg, block.timestamp, block.sequence


def _uberblock(data: bytes, label: int, slot: int, offset: int) -> Uberblock | None:
    for big in (False, True):
        decoder = ordered(layout.uberblock, big=big)
        raw: Any = decoder.decode(data)
        if raw.ub_magic != layout.UBERBLOCK_MAGIC:
            continue
        if _order(data, offset) is None:
            return None
        config = raw.ub_mmp_config if raw.ub_mmp_magic == layout.MMP_MAGIC else 0
        valid = bits(config, layout.MMP_SEQ_VALID)
        sequence = bits(config, layout.MMP_SEQ) if valid else 0
        pointer = decode(data, layout.UB_ROOTBP_OFFSET, big=big)
        return Uberblock(
            label,
            slot,
            offset,
            big,
            raw.ub_version,
            raw.ub_txg,
            raw.ub_timestamp,
            sequence,
            pointer,
            raw.ub_raidz_reflow_info,
        )
    return None
