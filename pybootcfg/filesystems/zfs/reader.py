"""The reader that the registry knows: a pool as one file system with datasets as its subvolumes."""

from __future__ import annotations

import functools
import os
from collections import OrderedDict

from pybootcfg import limits, schema
from pybootcfg.errors import GuestFileMissing, ImageError, LimitExceeded, UnsupportedFeature, printable
from pybootcfg.filesystems.base import Filesystem, Node, Options, Structure
from pybootcfg.filesystems.zfs import dsl
from pybootcfg.filesystems.zfs.dsl import Dataset, Directory
from pybootcfg.filesystems.zfs.label import Uberblock
from pybootcfg.filesystems.zfs.pool import Pool
from pybootcfg.filesystems.zfs.replay import open_dataset
from pybootcfg.filesystems.zfs.view import Locked, MountedDirectory, MountPoint
from pybootcfg.filesystems.zfs.znode import FileSystem, Znode
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import ClassVar

    from pybootcfg.filesystems.zfs.inspection import Structures

dsl_layout = schema.load("zfs_dsl")


OPENED = 32  #: datasets kept open


class Zfs(Filesystem):
    """A ZFS pool."""

    family: ClassVar[str] = "zfs"

    def __init__(self, source: Source, options: Options) -> None:
        super().__init__(source, options)
        self.pool = Pool(source, options.others, self.warn)
        self.members = self.pool.members
        self._opened: OrderedDict[int, FileSystem] = OrderedDict()

    @property
    def name(self) -> str:
        """The name of the family; pools differ in version and features."""
        return "zfs"

    @property
    def label(self) -> str:
        """The pool's name."""
        return self.pool.name

    @property
    def uuid(self) -> str:
        """The pool's guid as blkid prints it, in decimal."""
        return str(self.pool.guid)

    @property
    def grub_uuid(self) -> str:
        """The pool's guid as GRUB's `search --fs-uuid` knows it, in hexadecimal."""
        return f"{self.pool.guid:016x}"

    @property
    def features(self) -> tuple[str, ...]:
        """The features in use that a reader must know, without their organisation."""
        return tuple(name.partition(":")[2] for name, count in self.pool.features() if count)

    @property
    def active_uberblock(self) -> Uberblock:
        """The uberblock that the pool was opened by: its label, slot and offset say where it lies."""
        return self.pool.uberblock

    # --- datasets --------------------------------------------------------------------------------

    @functools.cached_property
    def bootfs_object(self) -> int:
        """The object number of the dataset that the pool names for booting, 0 when it names none."""
        return dsl.bootfs(self.pool)

    @functools.cached_property
    def bootfs(self) -> str:
        """The name of the dataset that the pool names for booting, empty when it names none."""
        if not self.bootfs_object:
            return ""
        return os.fsdecode(dsl.by_object(self.pool, self.bootfs_object).name)

    @property
    def bootpath(self) -> str:
        """The hardware path of the pool's first device, which Solaris gets with `zfs-bootfs`; often empty."""
        return self.pool.phys_path

    @property
    def boot_properties(self) -> str:
        """The boot dataset and the device, as boot(1M) of Solaris takes them with -B."""
        path = f',bootpath="{self.bootpath}"' if self.bootpath else ""
        return f"zfs-bootfs={self.pool.name}/{self.bootfs_object}{path}" if self.bootfs_object else ""

    @functools.cached_property
    def root(self) -> Node:
        """The root of the bootfs dataset, else of the pool's root dataset, with the others mounted in it."""
        if self.bootfs_object:
            dataset = dsl.by_object(self.pool, self.bootfs_object)
        else:
            dataset = dsl.root(self.pool).head()
        return self._view(dataset)

    def subvolume(self, name: str) -> Node:
        """Return the root of a dataset or snapshot (`pool/path@snapshot`), nothing mounted in it.

        An object number works too, as in `zfs-bootfs=rpool/57`.  Raises GuestFileMissing.
        """
        path = os.fsencode(name).strip(b"/")
        try:
            return self._root(dsl.named(self.pool, path))
        except GuestFileMissing:
            pool, _, number = path.partition(b"/")
            if not number.isdigit() or pool != os.fsencode(self.pool.name) or len(number) > 18:
                raise
            return self._root(dsl.by_object(self.pool, int(number)))

    def grub_path(self, path: bytes) -> tuple[Node, bytes]:
        """Return a dataset's root and the path in it for GRUB's `/dataset@snapshot/path`.

        The dataset is named from the pool down, and the `@` is there even without a snapshot; a path
        without one, which GRUB would not read, is taken from the root.  Raises GuestFileMissing when there
        is no such dataset.
        """
        before, at, after = path.partition(b"@")
        if not at:
            return self.root, path
        snapshot, _, rest = after.partition(b"/")
        name = b"/".join([os.fsencode(self.pool.name), *(part for part in before.split(b"/") if part)])
        return self._root(dsl.named(self.pool, name + b"@" + snapshot if snapshot else name)), b"/" + rest

    def _root(self, dataset: Dataset) -> Node:
        opened = self._opened.get(dataset.object)
        if opened is None:
            opened = open_dataset(
                dataset.open(),
                dataset.object,
                self.pool.uberblock.txg,
                self.warn,
                replay=self.options.replay_journal,
            )
            self._opened[dataset.object] = opened
            if len(self._opened) > OPENED:
                self._opened.popitem(last=False)
        return opened.root

    def _view(self, dataset: Dataset) -> Node:
        """Return a dataset's root with the pool's other datasets where they would be mounted below it."""
        base = dataset.directory.mountpoint or b"/"
        top = MountPoint(b"/")
        instead: list[Directory] = []  # that would be mounted where `dataset` is not
        try:
            for directory in self._directories(dataset.directory):
                self._place(directory, base, top, instead)
        except LimitExceeded as error:
            self.warn(f"{self.pool.name}: not all datasets are looked at: {error}")
        if not self.bootfs_object:
            dataset = self._substitute(dataset, instead)
        if not top.below:
            return self._root(dataset)
        top.open = functools.partial(self._root, dataset)
        return MountedDirectory(top, None)

    def _place(self, directory: Directory, base: bytes, top: MountPoint, instead: list[Directory]) -> None:
        """Note where below `base` a dataset is mounted, in `top` or, at `base` itself, in `instead`."""
        try:
            place = directory.mountpoint
            names = None if place is None else _below(base, place)
            canmount = directory.canmount
            if names is None or canmount == dsl_layout.ZFS_CANMOUNT_OFF or directory.head().volume:
                return
        except ImageError as error:
            self.warn(f"{printable(directory.name)}: the dataset is not shown: {error}")
            return
        if not names:
            instead.append(directory)
        elif canmount == dsl_layout.ZFS_CANMOUNT_ON:
            point = top.at(names)
            if point.open is None:
                point.open = functools.partial(self._mounted, directory)

    def _substitute(self, dataset: Dataset, candidates: list[Directory]) -> Dataset:
        """Return what is mounted in the root dataset's place, where it is never mounted itself.

        Distributions make the pool's root dataset a mere heading, and mount one of those below it there:
        automatically, or by the boot loader's configuration, which leaves no doubt if there is only one.
        """
        directory = dataset.directory
        if directory.mountpoint is not None and directory.canmount == dsl_layout.ZFS_CANMOUNT_ON:
            return dataset
        automatic = [found for found in candidates if found.canmount == dsl_layout.ZFS_CANMOUNT_ON]
        if automatic:
            return automatic[0].head()
        return candidates[0].head() if len(candidates) == 1 else dataset

    def _directories(self, first: Directory) -> Iterator[Directory]:
        """Yield all directories of the pool but `first`, those below it before the others."""
        budget = limits.ZFS_DATASETS.budget(self.pool.name)
        seen: set[int] = set()
        for start in (first, dsl.root(self.pool)):
            todo = [start]
            while todo:
                directory = todo.pop()
                budget.spend()
                if directory.object in seen:
                    continue
                seen.add(directory.object)
                if directory.object != first.object:
                    yield directory
                try:
                    todo.extend(reversed(list(directory.children())))
                except ImageError as error:
                    self.warn(f"{printable(directory.name)}: the datasets below cannot be listed: {error}")

    def _mounted(self, directory: Directory) -> Node:
        try:
            return self._root(directory.head())
        except UnsupportedFeature as error:
            return Locked(printable(directory.name), error, self.warn)

    # --- inspect ---------------------------------------------------------------------------------

    def structures(self) -> Iterator[Structure]:
        """Yield labels, nvlists, uberblocks, the objects of the Meta Object Set, and datasets."""
        return self._structures.listed()

    def every_structure(self) -> Iterator[Structure]:
        """Yield labels, uberblocks, and all objects of the pool and its datasets with what is theirs."""
        return self._structures.every()

    def member_structures(self, first: str) -> Iterator[Structure]:
        """Yield labels and uberblocks of this device, and where the pool's objects are shown."""
        return self._structures.of_member(first)

    def below(self, name: str) -> Iterator[Structure]:
        """Yield the structures of an object or of a dataset; else what `structures` does."""
        return self._structures.below(name)

    def node_structures(self, node: Node) -> Iterator[Structure]:
        """Yield the dnode of a file or directory and what belongs to it."""
        if isinstance(node, MountedDirectory) and node.under is not None:
            node = node.under
        if isinstance(node, Znode):
            yield from self._structures.of_node(node)

    @functools.cached_property
    def _structures(self) -> Structures:
        from pybootcfg.filesystems.zfs.inspection import Structures

        return Structures(self.pool)


def _below(base: bytes, path: bytes) -> list[bytes] | None:
    """Return the names from `base` down to `path`; None when it is not below."""
    upper = [name for name in base.split(b"/") if name]
    names = [name for name in path.split(b"/") if name]
    return names[len(upper) :] if names[: len(upper)] == upper else None
