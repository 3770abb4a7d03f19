"""A pool: its devices put together from their labels, and its Meta Object Set.

Specification: OpenZFS module/zfs/spa.c (spa_load) and lib/libzutil/zutil_import.c.  Each label describes the
top-level vdev that its device belongs to; the configuration in the pool itself describes all of them, those
too that were removed, and is used once it can be read.
"""

from __future__ import annotations

import functools

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, LimitExceeded, UnsupportedFeature
from pybootcfg.filesystems.zfs import label, nvlist
from pybootcfg.filesystems.zfs.blkptr import bits, ordered
from pybootcfg.filesystems.zfs.block import BlockReader
from pybootcfg.filesystems.zfs.dmu import Dnode, ObjectSet
from pybootcfg.filesystems.zfs.label import Device, Uberblock
from pybootcfg.filesystems.zfs.raidz import Expansion, Raidz
from pybootcfg.filesystems.zfs.vdev import Indirect, Leaf, Mirror, Missing, Segment, Vdev
from pybootcfg.filesystems.zfs.zap import Zap
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pybootcfg.filesystems.zfs.nvlist import Config

layout = schema.load("zfs")
blkptr_layout = schema.load("zfs_blkptr")

REWIND = 8  #: uberblocks tried when the newest leads nowhere; checksums tell what was overwritten since


class Pool:
    """A pool whose first device is `source`; `others` are looked through for its other devices."""

    def __init__(self, source: Source, others: Sequence[Source], warn: Callable[[str], None]) -> None:
        """Open the pool.

        Raises ImageError when there is none or it is damaged, UnsupportedFeature for what it uses.
        """
        self.warn = warn
        first = label.read_device(source)
        if first is None:
            raise ImageError("no ZFS label is valid", structure="vdev_label", source=source.name)
        self.guid = nvlist.number(first.config, "pool_guid")
        self.devices = [first, *self._others(others, source)]
        self.config = max((device.config for device in self.devices), key=_txg)
        self.name = nvlist.text(self.config, "name")
        self._refuse()
        self._uberblocks = [
            label.uberblocks(device, nvlist.number(nvlist.child(device.config, "vdev_tree"), "ashift"))
            for device in self.devices
        ]
        self.blocks = BlockReader(self.name, warn)
        self.uberblock, self.mos = self._open()
        self._trust()
        self._warn_about_members()
        self._check_features()

    @property
    def members(self) -> tuple[Source, ...]:
        """The sources that belong to the pool."""
        return tuple(device.source for device in self.devices)

    def _others(self, others: Sequence[Source], source: Source) -> list[Device]:
        found = []
        for other in others:
            device = label.read_device(other) if other is not source else None
            if device is not None and nvlist.number(device.config, "pool_guid") == self.guid:
                found.append(device)
        return found

    def _refuse(self) -> None:
        state = nvlist.number(self.config, "state")
        if state in (layout.POOL_STATE_SPARE, layout.POOL_STATE_L2CACHE):
            raise UnsupportedFeature("ZFS spare or cache device", "it is a spare or cache device, not a pool")
        if state == layout.POOL_STATE_DESTROYED:
            raise ImageError(f"the pool {self.name} was destroyed", structure="vdev_label")
        version = nvlist.number(self.config, "version")
        if not layout.SPA_VERSION_1 <= version <= layout.SPA_VERSION_BEFORE_FEATURES and (
            version != layout.SPA_VERSION_FEATURES
        ):
            raise UnsupportedFeature(f"ZFS pool version {version}")
        self._refuse_features(nvlist.child(self.config, "features_for_read"))

    def _refuse_features(self, names: Config | Sequence[str]) -> None:
        for name in names:
            if name not in layout.FEATURES_FOR_READ:
                raise UnsupportedFeature(f"ZFS feature {name}")

    # --- devices ---------------------------------------------------------------------------------

    def _newest(self) -> list[Uberblock]:
        """Return the uberblocks worth trying, the newest first, one for each transaction group."""
        found: dict[tuple[int, int, int], Uberblock] = {}
        for blocks in self._uberblocks:
            for block in blocks:
                found.setdefault(label.age(block), block)
        ordered_blocks = [found[age] for age in sorted(found, reverse=True)]
        if not ordered_blocks:
            raise ImageError("no uberblock is valid", structure="uberblock", source=self.name)
        return ordered_blocks[:REWIND]

    def _open(self) -> tuple[Uberblock, ObjectSet]:
        """Return the newest uberblock whose Meta Object Set can be read, and that; warn of older ones."""
        failure: ImageError | LimitExceeded | None = None
        candidates = self._newest()
        newest = candidates[0]
        for block in candidates:
            self.uberblock = block
            self._assemble(self._label_trees())
            try:
                mos = ObjectSet(self.blocks, "MOS", block.rootbp)
                mos.object(layout.DMU_POOL_DIRECTORY_OBJECT)
            except (ImageError, LimitExceeded) as error:
                failure = failure or error
                continue
            if block is not newest:
                self.warn(
                    f"{self.name}: transaction group {newest.txg} cannot be read; "
                    f"the pool is shown as it was after {block.txg}"
                )
            return block, mos
        raise failure or ImageError("no uberblock is valid", structure="uberblock", source=self.name)

    def _label_trees(self) -> dict[int, Config]:
        """Return the top-level vdevs by number, as the newest labels describe them."""
        trees: dict[int, Config] = {}
        for device in sorted(self.devices, key=lambda device: _txg(device.config)):
            tree = nvlist.child(device.config, "vdev_tree")
            if tree:
                trees[limits.ZFS_VDEVS.check(nvlist.number(tree, "id"), "vdev_tree")] = tree
        return trees

    def _assemble(self, trees: dict[int, Config]) -> None:
        self.trees = trees
        self._used: set[int] = set()
        self._lost = self.blocks.missing = []
        self.blocks.forget()
        self.blocks.tops = {number: self._vdev(tree, str(number)) for number, tree in trees.items()}

    def _vdev(self, tree: Config, name: str, depth: int = 0) -> Vdev:
        """Return the vdev that a tree of the configuration describes."""
        limits.ZFS_NVLIST_DEPTH.check(depth, "vdev_tree")
        kind = nvlist.text(tree, "type")
        if kind in (layout.VDEV_TYPE_DISK, layout.VDEV_TYPE_FILE):
            vdev = self._leaf(tree)
        elif kind in (layout.VDEV_TYPE_HOLE, layout.VDEV_TYPE_MISSING):
            vdev = Missing(f"{kind}-{name}")
        elif kind == layout.VDEV_TYPE_INDIRECT:
            vdev = self._indirect(tree, f"{kind}-{name}")
        else:
            trees = nvlist.children(tree, "children")
            members = [self._vdev(child, f"{name}.{i}", depth + 1) for i, child in enumerate(trees)]
            if kind in (layout.VDEV_TYPE_MIRROR, layout.VDEV_TYPE_REPLACING, layout.VDEV_TYPE_SPARE):
                vdev = Mirror(f"{kind}-{name}", members)
            elif kind == layout.VDEV_TYPE_RAIDZ:
                vdev = self._raidz(tree, f"{kind}-{name}", members)
            else:
                raise UnsupportedFeature(f"ZFS vdev type {kind}")
        vdev.ashift = min(max(nvlist.number(tree, "ashift", 9), 9), 16)
        return vdev

    def _leaf(self, tree: Config) -> Vdev:
        guid = nvlist.number(tree, "guid")
        path = nvlist.text(tree, "path") or f"guid {guid}"
        for device in self.devices:
            if nvlist.number(device.config, "guid") == guid:
                self._used.add(guid)
                return Leaf(device.source.name, device.source, stale=self._missed(device) > 0)
        self._lost.append(path)
        return Missing(path)

    def _missed(self, device: Device) -> int:
        """Return the last txg that a device missed, 0 for none.

        Uberblocks go to all devices of a top-level vdev, but not to all such vdevs.
        """
        top = nvlist.number(device.config, "top_guid")
        peers = [
            blocks[0].txg
            for peer, blocks in zip(self.devices, self._uberblocks, strict=True)
            if blocks and nvlist.number(peer.config, "top_guid") == top
        ]
        own = self._uberblocks[self.devices.index(device)]
        newest = max(peers, default=0)
        return newest if not own or own[0].txg < newest else 0

    def _raidz(self, tree: Config, name: str, members: Sequence[Vdev]) -> Vdev:
        limits.ZFS_RAIDZ_WIDTH.check(len(members), name)
        parity = nvlist.number(tree, "nparity", 1)
        ashift = nvlist.number(tree, "ashift", 9)
        txgs = nvlist.numbers(tree, "raidz_expand_txgs")
        if not 1 <= parity <= 3 or len(members) - len(txgs) <= parity or not 9 <= ashift <= 16:
            raise ImageError(f"the description of {name} makes no sense", structure="vdev_tree")
        expansion = None
        if "raidz_expanding" in tree:
            info = self.uberblock.raidz_reflow_info
            offset = bits(info, layout.RRSS_OFFSET) << blkptr_layout.SPA_MINBLOCKSHIFT
            state = bits(info, layout.RRSS_STATE)
            expansion = Expansion(offset, scratch=state == layout.RRSS_SCRATCH_VALID)
        last = len(members) - (expansion is not None)
        widths = [(txg, last - len(txgs) + 1 + i) for i, txg in enumerate(txgs)]
        return Raidz(name, members, parity, ashift, widths, expansion)

    @property
    def phys_path(self) -> str:
        """The hardware path of the first device, as Solaris notes it for its boot archive; often empty."""
        guid = nvlist.number(self.devices[0].config, "guid")
        todo = [nvlist.child(self.devices[0].config, "vdev_tree")]
        while todo:
            tree = todo.pop()
            if nvlist.number(tree, "guid") == guid:
                return nvlist.text(tree, "phys_path")
            todo.extend(nvlist.children(tree, "children"))
        return ""

    # --- removed devices -------------------------------------------------------------------------

    def _indirect(self, tree: Config, name: str) -> Vdev:
        number = nvlist.number(tree, "com.delphix:indirect_object")

        @functools.cache
        def mapping() -> Dnode:
            return self.mos.object(number)

        def segments(offset: int, size: int) -> list[Segment]:
            return list(_segments(mapping(), name, offset, size)) if number else []

        return Indirect(name, segments, self.blocks.top)

    # --- the pool's own configuration --------------------------------------------------------------

    def directory(self) -> Zap:
        """Return the object directory of the Meta Object Set."""
        return Zap(self.mos.object(layout.DMU_POOL_DIRECTORY_OBJECT))

    def _trust(self) -> None:
        """Go on with the configuration in the pool, which knows all vdevs."""
        directory = self.directory()
        number = directory.number(layout.DMU_POOL_CONFIG)
        try:
            tree = nvlist.child(self._packed(number), "vdev_tree") if number else {}
            tops = nvlist.children(tree, "children")
            if tops:
                self._assemble({nvlist.number(top, "id"): top for top in tops})
        except (ImageError, LimitExceeded) as error:
            self.warn(f"{self.name}: its own configuration cannot be read, only the labels are used: {error}")
        salt = directory.find(layout.DMU_POOL_CHECKSUM_SALT)
        if salt is not None and len(salt.data) == 32:
            self.blocks.salt = salt.data

    def _packed(self, number: int) -> Config:
        """Return a packed nvlist object; its bonus buffer holds the size."""
        dnode = self.mos.object(number)
        size = ordered(blkptr_layout.word, big=dnode.big).decode(dnode.bonus)
        return nvlist.decode(dnode.contents(limits.ZFS_CONFIG_SIZE, size))

    def _warn_about_members(self) -> None:
        for path in dict.fromkeys(self._lost):
            self.warn(f"{self.name}: the device {path} is missing")
        for device in self.devices:
            name = device.source.name
            if device.bad:
                numbers = ", ".join(str(number) for number in device.bad)
                self.warn(f"{name}: label {numbers} is damaged")
            if device.foreign:
                self.warn(f"{name}: some labels are those of another pool")
            if nvlist.number(device.config, "guid") not in self._used:
                self.warn(f"{name}: the device is no longer part of the pool {self.name}")
            elif missed := self._missed(device):
                self.warn(f"{name}: the device is stale, it missed transaction groups up to {missed}")

    def _check_features(self) -> None:
        version = self.uberblock.version
        if version != layout.SPA_VERSION_FEATURES:
            return
        number = self.directory().number(layout.DMU_POOL_FEATURES_FOR_READ)
        if number:
            self._refuse_features([name for name, count in self.features(number) if count])

    def features(self, number: int = 0) -> list[tuple[str, int]]:
        """Return the features that a reader must know, with the number of their uses."""
        number = number or self.directory().number(layout.DMU_POOL_FEATURES_FOR_READ)
        if not number:
            return []
        entries = Zap(self.mos.object(number)).entries()
        return sorted((entry.name.decode("ascii", "backslashreplace"), entry.number) for entry in entries)


def _txg(config: Config) -> int:
    return nvlist.number(config, "txg")


def _segments(mapping: Dnode, name: str, offset: int, size: int) -> list[Segment]:
    """Return where a range of a removed device went; the mapping is sorted by offset."""
    decoder = ordered(layout.vdev_indirect_mapping_entry_phys, big=mapping.big)
    width = decoder.size
    low, high = 0, (mapping.last_block + 1) * mapping.block_size // width
    count = ordered(blkptr_layout.word, big=mapping.big).array(mapping.bonus, 3)[2]
    high = min(high, count)

    def entry(index: int) -> tuple[int, int, int, int]:
        raw = decoder.decode(mapping.read(index * width, width))
        first, second = raw.vimep_dst
        shift = blkptr_layout.SPA_MINBLOCKSHIFT
        return (
            bits(raw.vimep_src, layout.VIMEP_SRC_OFFSET) << shift,
            bits(first, blkptr_layout.DVA_ASIZE) << shift,
            bits(first, blkptr_layout.DVA_VDEV),
            bits(second, blkptr_layout.DVA_OFFSET) << shift,
        )

    total = high
    while low < high:  # the last entry that starts at or before the offset
        middle = (low + high) // 2
        if entry(middle)[0] <= offset:
            low = middle + 1
        else:
            high = middle
    found = []
    index = low - 1
    budget = limits.ZFS_MAPPING_ENTRIES.budget(name)
    while size > 0:
        budget.spend()
        if not 0 <= index < total:
            raise ImageError(f"byte {offset:#x} of {name} is not mapped", structure="vdev_indirect_mapping")
        start, length, vdev, target = entry(index)
        skip = offset - start
        if not 0 <= skip < length:
            raise ImageError(f"byte {offset:#x} of {name} is not mapped", structure="vdev_indirect_mapping")
        count = min(size, length - skip)
        found.append(Segment(vdev, target + skip, count))
        offset += count
        size -= count
        index += 1
    return found
