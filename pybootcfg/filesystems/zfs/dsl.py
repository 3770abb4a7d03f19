"""Datasets and snapshots: names, properties, and the object sets behind them.

Specification: formats/zfs_dsl.py; for how a property is inherited OpenZFS module/zfs/dsl_prop.c.
"""

from __future__ import annotations

import functools

from pybootcfg import limits, schema
from pybootcfg.errors import GuestFileMissing, ImageError, UnsupportedFeature, printable
from pybootcfg.filesystems.zfs.blkptr import BlockPointer, decode, ordered
from pybootcfg.filesystems.zfs.dmu import Dnode, ObjectSet
from pybootcfg.filesystems.zfs.pool import Pool
from pybootcfg.filesystems.zfs.zap import Entry, Zap
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

layout = schema.load("zfs_dsl")
pool_layout = schema.load("zfs")
dmu_layout = schema.load("zfs_dmu")

DS_BP_OFFSET = 128  # of ds_bp in dsl_dataset_phys


class Directory:
    """A dataset's directory object: its name, its properties and the datasets below it."""

    def __init__(self, pool: Pool, name: bytes, number: int, parent: Directory | None) -> None:
        self.pool = pool
        self.name = name
        self.object = number
        self.parent = parent
        self.depth: int = 0 if parent is None else parent.depth + 1
        limits.ZFS_DATASET_DEPTH.check(self.depth, printable(name))
        self.dnode: Dnode = pool.mos.object(number)
        self.phys: Any = ordered(layout.dsl_dir_phys, big=self.dnode.big).decode(self.dnode.bonus)

    @property
    def encrypted(self) -> bool:
        """Whether a key is needed; newer directories are ZAP objects that name it."""
        if self.dnode.type == dmu_layout.DMU_OT_DSL_DIR:
            return False
        return Zap(self.dnode).find(layout.DD_FIELD_CRYPTO_KEY_OBJ) is not None

    def child(self, name: bytes) -> Directory | None:
        """Return the dataset `name` directly below this one."""
        if not self.phys.dd_child_dir_zapobj or name.startswith((b"$", b"%")):
            return None
        number = Zap(self.pool.mos.object(self.phys.dd_child_dir_zapobj)).number(name)
        return Directory(self.pool, self.name + b"/" + name, number, self) if number else None

    def children(self) -> Iterator[Directory]:
        """Yield the datasets directly below, but for those that ZFS keeps for itself."""
        if not self.phys.dd_child_dir_zapobj:
            return
        for entry in Zap(self.pool.mos.object(self.phys.dd_child_dir_zapobj)).entries():
            if not entry.name.startswith((b"$", b"%")):
                yield Directory(self.pool, self.name + b"/" + entry.name, entry.number, self)

    def head(self) -> Dataset:
        """Return the dataset itself, as it is now."""
        return Dataset(self, self.name, self.phys.dd_head_dataset_obj)

    def snapshot(self, name: bytes) -> Dataset:
        """Return the snapshot `name`; raises GuestFileMissing when there is none."""
        full = self.name + b"@" + name
        names = self.head().phys.ds_snapnames_zapobj
        number = Zap(self.pool.mos.object(names)).number(name) if names else 0
        if not number:
            raise GuestFileMissing(printable(full), "no such snapshot")
        return Dataset(self, full, number)

    def setting(self, name: bytes) -> Entry | None:
        """Return the value set here: locally, or received and not overridden."""
        if not self.phys.dd_props_zapobj:
            return None
        properties = Zap(self.pool.mos.object(self.phys.dd_props_zapobj))
        found = properties.find(name)
        if found is None and properties.find(name + layout.PROP_INHERIT) is None:
            found = properties.find(name + layout.PROP_RECEIVED)
        return found

    @functools.cached_property
    def mountpoint(self) -> bytes | None:
        """Where it is mounted, an absolute path; None for `none` and `legacy`."""
        found = self.setting(layout.PROP_MOUNTPOINT)
        if found is not None:
            unmounted = found.text in (layout.MOUNTPOINT_NONE, layout.MOUNTPOINT_LEGACY)
            return None if unmounted else found.text.rstrip(b"/") or b"/"
        if self.parent is None:
            return b"/" + self.name
        above = self.parent.mountpoint
        return None if above is None else above.rstrip(b"/") + self.name[len(self.parent.name) :]

    @functools.cached_property
    def canmount(self) -> int:
        """Whether `zfs mount -a` mounts it: off, on or noauto; it is not inherited."""
        found = self.setting(layout.PROP_CANMOUNT)
        value: int = layout.ZFS_CANMOUNT_ON if found is None else found.number
        return value


class Dataset:
    """A dataset or snapshot: a pointer to an object set."""

    def __init__(self, directory: Directory, name: bytes, number: int) -> None:
        self.directory = directory
        self.pool = directory.pool
        self.name = name
        self.object = number
        self.dnode: Dnode = self.pool.mos.object(number)
        self.phys: Any = ordered(layout.dsl_dataset_phys, big=self.dnode.big).decode(self.dnode.bonus)

    @property
    def pointer(self) -> BlockPointer:
        """Where the object set is."""
        return decode(self.dnode.bonus, DS_BP_OFFSET, big=self.dnode.big)

    @property
    def volume(self) -> bool:
        """Whether this is a volume (zvol) and no file system; an object set says so even when encrypted."""
        pointer = self.pointer
        if pointer.hole:
            return False
        kind = ObjectSet(self.pool.blocks, printable(self.name), pointer).type
        return bool(kind == dmu_layout.DMU_OST_ZVOL)

    def open(self) -> ObjectSet:
        """Return the object set; raises UnsupportedFeature when it is encrypted or no file system."""
        name = printable(self.name)
        pointer = self.pointer
        if pointer.crypt or self.directory.encrypted:
            raise UnsupportedFeature("ZFS encryption", f"the dataset {name} is encrypted and cannot be read")
        if self.phys.ds_flags & layout.DS_FLAG_INCONSISTENT:
            raise ImageError(f"the dataset {name} was not received completely", structure="dsl_dataset_phys")
        found = ObjectSet(self.pool.blocks, name, pointer)
        if found.type == dmu_layout.DMU_OST_ZVOL:
            raise UnsupportedFeature("ZFS volume", f"{name} is a volume, not a file system")
        if found.type != dmu_layout.DMU_OST_ZFS:
            raise UnsupportedFeature(f"ZFS object set of type {found.type}", f"{name} is no file system")
        return found


def root(pool: Pool) -> Directory:
    """Return the directory of the pool's root dataset."""
    number = pool.directory().number(pool_layout.DMU_POOL_ROOT_DATASET)
    return Directory(pool, pool.name.encode("utf-8", "surrogateescape"), number, None)


def named(pool: Pool, name: bytes) -> Dataset:
    """Return the dataset or snapshot `pool/path[@snapshot]`; raises GuestFileMissing."""
    path, at, snapshot = name.partition(b"@")
    first, *rest = path.split(b"/")
    here: Directory | None = root(pool)
    if here is None or first != here.name:
        raise GuestFileMissing(printable(name), f"the pool is called {printable(pool.name)}")
    for component in rest:
        here = here.child(component)
        if here is None:
            raise GuestFileMissing(printable(name), "no such dataset")
    return here.snapshot(snapshot) if at else here.head()


def bootfs(pool: Pool) -> int:
    """Return the object number of the dataset that the pool names for booting, 0 when it names none."""
    number = pool.directory().number(pool_layout.DMU_POOL_PROPS)
    return Zap(pool.mos.object(number)).number(pool_layout.ZPOOL_PROP_BOOTFS) if number else 0


def by_object(pool: Pool, number: int) -> Dataset:
    """Return the dataset or snapshot whose object is `number`, found upwards through its parents."""
    dnode = pool.mos.object(number)
    phys: Any = ordered(layout.dsl_dataset_phys, big=dnode.big).decode(dnode.bonus)
    chain = [phys.ds_dir_obj]
    while True:
        limits.ZFS_DATASET_DEPTH.check(len(chain), "dsl_dir")
        parent = _parent(pool, chain[-1])
        if not parent:
            break
        chain.append(parent)
    here = root(pool)
    if here.object != chain.pop():
        raise ImageError(f"dataset {number} is not below the root dataset", structure="dsl_dir_phys")
    while chain:
        wanted = chain.pop()
        below = next((child for child in here.children() if child.object == wanted), None)
        if below is None:
            raise ImageError(f"dataset {number} has no name", structure="dsl_dir_phys")
        here = below
    if here.phys.dd_head_dataset_obj == number:
        return here.head()
    names = Zap(pool.mos.object(here.head().phys.ds_snapnames_zapobj))
    snapshot = next((entry.name for entry in names.entries() if entry.number == number), None)
    if snapshot is None:
        raise ImageError(f"dataset {number} has no name", structure="dsl_dataset_phys")
    return Dataset(here, here.name + b"@" + snapshot, number)


def _parent(pool: Pool, number: int) -> int:
    dnode = pool.mos.object(number)
    parent: int = ordered(layout.dsl_dir_phys, big=dnode.big).decode(dnode.bonus).dd_parent_obj
    return parent
