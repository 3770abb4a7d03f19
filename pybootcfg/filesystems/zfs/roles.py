"""What objects of the Meta Object Set are for, where something else in the pool says so, for `inspect`."""

from __future__ import annotations

from contextlib import suppress

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError
from pybootcfg.filesystems.zfs import contents, nvlist
from pybootcfg.filesystems.zfs.contents import Role
from pybootcfg.filesystems.zfs.pool import Pool
from pybootcfg.filesystems.zfs.spacemap import SpaceMaps
from pybootcfg.filesystems.zfs.zap import Zap
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

layout = schema.load("zfs_mos")
dmu_layout = schema.load("zfs_dmu")


def roles(pool: Pool, maps: SpaceMaps) -> dict[int, Role]:
    """Return the roles of objects by number; damage leaves some out, their types must do then."""
    found = {number: contents.space_map(space) for number, space in maps.spaces.items()}
    for tree in pool.trees.values():
        found[nvlist.number(tree, "com.delphix:indirect_object")] = contents.MAPPING
        found[nvlist.number(tree, "com.delphix:indirect_births")] = contents.BIRTHS
    for vdev in maps.vdevs.values():
        with suppress(BootcfgError):
            found[vdev.unflushed] = contents.UNFLUSHED
    with suppress(BootcfgError):
        found.update(_named(pool))
    found.pop(0, None)
    return found


def _named(pool: Pool) -> Iterator[tuple[int, Role]]:
    """Yield the objects that the object directory names, and those of deduplication in one further down."""
    budget = limits.ZFS_ATTRIBUTES.budget("object directory")
    for entry in pool.directory().entries():
        budget.spend()
        if entry.width != 8 or len(entry.data) != 8:
            continue
        if entry.name.startswith(layout.BRT_OBJECT_VDEV_PREFIX):
            yield entry.number, contents.CLONES
        elif entry.name.startswith(layout.DMU_POOL_DDT):
            with suppress(BootcfgError):
                yield from _deduplication(pool, entry.number)


def _deduplication(pool: Pool, number: int) -> Iterator[tuple[int, Role]]:
    dnode = pool.mos.object(number)
    if dnode.type not in (
        dmu_layout.DMU_OT_DDT_STATS,
        dmu_layout.DMU_OT_DDT_ZAP,
    ):  # the directory of one checksum
        directory = Zap(dnode)
        flat = directory.number(layout.DDT_KEY_FLAGS) & layout.DDT_FLAG_FLAT
        for entry in directory.entries():
            if entry.name.startswith(layout.DDT_LOG):
                yield entry.number, contents.DDT_LOG
            elif entry.name.startswith(layout.DMU_POOL_DDT) and flat:
                yield entry.number, contents.DDT_FLAT_TABLE
