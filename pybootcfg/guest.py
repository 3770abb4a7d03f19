"""A guest as a whole: its disks, their volumes, their file systems, and where its configuration lies.

This is where file systems and boot loader dialects meet: `Guest` is the `Machine` that a dialect
asks, over real volumes.
"""

from __future__ import annotations

import functools
import os

from pybootcfg import dialects, limits
from pybootcfg.dialects.base import SearchKey, Settings, VolumeFacts
from pybootcfg.errors import (
    BootcfgError,
    GuestFileMissing,
    ImageError,
    UnsupportedFeature,
    UsageError,
    printable,
)
from pybootcfg.filesystems import open_executable, open_filesystem
from pybootcfg.filesystems.base import Filesystem, Node, Options
from pybootcfg.kind import Kind
from pybootcfg.loopback import NodeSource
from pybootcfg.menu import FileRef, Menu
from pybootcfg.source import FileSource, Source
from pybootcfg.values import TYPE_CHECKING, NamedTuple
from pybootcfg.volumes import boot_order, read_table
from pybootcfg.volumes.base import Table, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def encode(text: str) -> bytes:
    """Turn a path or argument of menu.py back into the guest's own bytes."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """Turn guest bytes into text that turns back into the same bytes: the one place that decodes."""
    return data.decode("utf-8", "surrogateescape")


class Disk(NamedTuple):
    """One disk of the guest: `d1` is the image, `d2` and on the further devices; 0 is a file on another."""

    number: int
    source: Source
    table: Table


class GuestVolume:
    """A volume under its name in the guest, with its file system opened when first asked for."""

    def __init__(
        self,
        guest: Guest,
        disk: Disk,
        volume: Volume,
        filesystem: Filesystem | None = None,
        subvolume: str = "",
    ) -> None:
        self._guest = guest
        self._given = filesystem
        self._subvolume = subvolume
        self.disk = disk
        self.volume = volume
        self.name = volume.name if disk.number in (0, 1) else f"d{disk.number}{volume.name}"
        if subvolume:
            self.name += f"[{subvolume}]"

    @functools.cached_property
    def _opened(self) -> Filesystem | BootcfgError | None:
        if self._given:
            return self._given
        try:
            return open_filesystem(self.volume.source, self._guest.options)
        except BootcfgError as error:
            return error

    @property
    def filesystem(self) -> Filesystem:
        """The file system; raises what stood in the way of opening it."""
        if isinstance(self._opened, BootcfgError):
            raise self._opened
        if self._opened is None:
            raise UnsupportedFeature("file system", f"no known file system on {self.name}")
        return self._opened

    @property
    def root(self) -> Node:
        """The directory that paths start from: the file system's root, or that of a subvolume."""
        filesystem = self.filesystem
        return filesystem.subvolume(self._subvolume) if self._subvolume else filesystem.root

    def subvolume(self, name: str) -> GuestVolume:
        """Return the same volume seen from the dataset, subvolume or snapshot `name`."""
        return GuestVolume(self._guest, self.disk, self.volume, self.filesystem, name)

    @property
    def mountable(self) -> Filesystem | None:
        """The file system, or None when there is none that can be read."""
        return self._opened if isinstance(self._opened, Filesystem) else None

    @property
    def failure(self) -> BootcfgError | None:
        """Why the file system cannot be read; None when it can, or when there is none."""
        return self._opened if isinstance(self._opened, BootcfgError) else None

    @property
    def grub_name(self) -> str:
        """What GRUB calls the volume, such as `hd0,gpt2`."""
        return ",".join(filter(None, (f"hd{self.disk.number - 1}", self.volume.grub)))


class Configuration(NamedTuple):
    """A boot loader configuration that was found: its dialect and where it is."""

    dialect: str
    file: FileRef


class Guest:
    """A guest's disks, opened read-only.  Implements `dialects.base.Machine`."""

    def __init__(self, disks: Sequence[Disk], options: Options, filesystem: Filesystem | None = None) -> None:
        self.disks = list(disks)
        every = [(disk, volume) for disk in disks for volume in disk.table.volumes]
        self.options = Options(options.replay_journal, tuple(volume.source for _, volume in every))
        self.listed = [GuestVolume(self, disk, volume, filesystem) for disk, volume in every]
        self._by_name = {volume.name: volume for volume in self.listed}
        self.loose: dict[FileRef, bytes] = {}  #: configurations that the caller brought along
        self.damaged: dict[str, str] = {}  #: by volume, the first path that is not there for its damage

    @classmethod
    def open(
        cls,
        images: Sequence[str],
        *,
        offset: int | None = None,
        sector_size: int | None = None,
        options: Options | None = None,
    ) -> Guest:
        """Open image files, block devices, or one directory that stands for a mounted guest.

        `offset` (bytes) names the only volume of the first image.  Raises OSError, UsageError, and
        ImageError for a partition table that is beyond use.
        """
        if os.path.isdir(images[0]):
            return cls.of_directory(images[0], "p0")
        sources = [FileSource.open(image) for image in images]
        return cls.of_sources(sources, offset=offset, sector_size=sector_size, options=options)

    @classmethod
    def of_sources(
        cls,
        sources: Sequence[Source],
        *,
        offset: int | None = None,
        sector_size: int | None = None,
        options: Options | None = None,
    ) -> Guest:
        """Read the partition tables of disks that are open already; else as `open`.  Begins a run."""
        limits.begin()
        disks = []
        for number, source in enumerate(sources, 1):
            where = offset if number == 1 else None
            disks.append(Disk(number, source, read_table(source, sector_size=sector_size, offset=where)))
        return cls(disks, options or Options())

    @classmethod
    def of_directory(cls, path: str, name: str) -> Guest:
        """Let a directory stand for the guest's root; its only volume is called `name` (may be empty)."""
        from pybootcfg.filesystems.directory import Directory

        filesystem = Directory(path)
        table = Table("none", 512, [Volume(name, filesystem.source, 0, 0)])
        return cls([Disk(1, filesystem.source, table)], Options(), filesystem)

    # --- volumes ---------------------------------------------------------------------------------

    def volume(self, name: str) -> GuestVolume:
        """Return the volume called `p1`, `d1p1`, `d2p3`, `p1[rpool/data]`; raise UsageError for none."""
        name = name.removeprefix("d1") if name.startswith("d1p") else name
        found = self._by_name.get(name)
        if found is None and name.endswith("]"):
            whole, _, subvolume = name[:-1].partition("[")
            found = self._by_name[name] = self.volume(whole).subvolume(subvolume)
        if found is None:
            known = ", ".join(self._by_name) or "none"
            raise UsageError(f"no volume {printable(name)}", hint=f"the volumes are: {known}")
        return found

    def tried(self) -> list[GuestVolume]:
        """Return the volumes in the order in which they are tried for booting, active ones first."""
        by_source = {id(volume.volume): volume for volume in self.listed}
        return [by_source[id(volume)] for disk in self.disks for volume in boot_order(disk.table)]

    def volumes(self) -> Sequence[VolumeFacts]:
        """Return what a boot loader can learn of each volume."""
        return [self._facts(volume) for volume in self.tried()]

    def _facts(self, volume: GuestVolume) -> VolumeFacts:
        partmap = {"mbr": "msdos", "hybrid": "gpt", "none": ""}.get(
            volume.disk.table.kind, volume.disk.table.kind
        )
        facts = VolumeFacts(
            volume.name,
            volume.grub_name,
            partmap=partmap,
            partuuid=volume.volume.guid,
            type=volume.volume.type,
        )
        filesystem = volume.mountable
        if filesystem is None:
            return facts
        return VolumeFacts(
            facts.name,
            facts.grub,
            filesystem=_GRUB_FILESYSTEMS.get(filesystem.name, filesystem.family),
            label=filesystem.label,
            uuid=filesystem.grub_uuid,
            partmap=facts.partmap,
            partuuid=facts.partuuid,
            type=facts.type,
        )

    def device(self, name: str) -> str | None:
        """Return the volume that `hd0,msdos1`, `hd0,1`, `xen/xvda,gpt2` or `hd0` means."""
        head, *parts = name.split(",")
        number = _disk_number(head)
        on_disk = [volume for volume in self.listed if volume.disk.number == number]
        for volume in on_disk:
            names = volume.volume.grub.split(",") if volume.volume.grub else []
            if len(names) == len(parts) and all(map(_same_partition, parts, names)):
                return volume.name
        return None

    def search(self, key: SearchKey, value: str) -> Sequence[str]:
        """Return the volumes that have the label, UUID or file, in the order of the disks."""
        if key is SearchKey.FILE:
            return [
                v.name for v in self.listed if v.mountable and self.kind(FileRef(value, v.name)) is not None
            ]
        wanted = value.casefold()
        return [
            volume.name
            for volume in self.listed
            if (filesystem := volume.mountable) is not None
            and (
                wanted in (filesystem.uuid.casefold(), filesystem.grub_uuid.casefold())
                if key is SearchKey.UUID
                else filesystem.label == value
            )
            and value
        ]

    def loopback(self, image: FileRef) -> str:
        """Return the volume that the file system in a file makes, as GRUB's `loopback` does.

        The sections of a PE executable, such as a unified kernel image, count as a file system.
        Raises what stands in the way, UnsupportedFeature when there is no file system.
        """
        name = str(image)
        if name not in self._by_name:
            limits.LOOPBACKS.check(len(self._by_name) - len(self.listed) + 1, name)
            source = NodeSource(self.node(image), name)
            options = Options(self.options.replay_journal)
            filesystem = open_executable(source, options) or open_filesystem(source, options)
            if filesystem is None:
                raise UnsupportedFeature("file system", f"no known file system in {printable(name)}")
            disk = Disk(0, source, Table("none", 512))
            self._by_name[name] = GuestVolume(self, disk, Volume(name, source, 0, source.size), filesystem)
        return name

    # --- files -----------------------------------------------------------------------------------

    def node(self, file: FileRef, *, follow: bool = True) -> Node:
        """Return the node that a reference names; raises what the file system raises."""
        volume, path = self.volume(file.volume), encode(file.path)
        try:
            return volume.filesystem.walk(path, follow=follow, root=volume.root)
        except GuestFileMissing:
            if b"@" not in path:
                raise
        root, path = volume.filesystem.grub_path(path)
        return volume.filesystem.walk(path, follow=follow, root=root)

    def kind(self, file: FileRef) -> Kind | None:
        """Return what a path names, links followed; None when it is not there, or damaged (a warning then).

        Raises OSError: a disk that cannot be read does not tell what is not there.
        """
        if file in self.loose:
            return Kind.FILE
        try:
            return self.node(file).kind
        except ImageError as error:
            filesystem = self.volume(file.volume).mountable
            if filesystem:
                filesystem.warn(self.damaged.setdefault(file.volume, f"{file} cannot be read: {error}"))
            return None
        except BootcfgError:
            return None

    def size(self, file: FileRef) -> int:
        """Return a file's size in bytes."""
        if file in self.loose:
            return len(self.loose[file])
        return self.node(file).size

    def mtime(self, file: FileRef) -> int | None:
        """Return when a file was last changed; None when that is not known.  Raises OSError."""
        try:
            return None if file in self.loose else self.node(file).mtime
        except BootcfgError:
            return None

    def names(self, folder: FileRef) -> Sequence[str]:
        """Return the names in a directory."""
        node = self.node(folder)
        if node.kind is not Kind.DIRECTORY:
            raise GuestFileMissing(str(folder), "not a directory")
        count = limits.DIRECTORY_NAMES.budget(str(folder))
        names = []
        for name, _ in node.entries():
            count.spend()
            names.append(decode(name))
        return names

    def read(self, file: FileRef, limit: limits.Limit = limits.CONFIG_SIZE) -> bytes:
        """Return a file's contents."""
        if file in self.loose:
            return self.loose[file]
        node = self.node(file)
        if node.kind is not Kind.FILE:
            raise GuestFileMissing(printable(str(file)), f"not a file, but a {node.kind}")
        return node.read(limit)

    # --- configurations --------------------------------------------------------------------------

    def configurations(self, volume: GuestVolume) -> Iterator[Configuration]:
        """Yield the configurations on one volume, the one that counts first."""
        for dialect in dialects.DIALECTS:
            for pattern in dialect.paths:
                wanted = Kind.DIRECTORY if pattern.endswith("/") else Kind.FILE
                for path in self._matching(volume, pattern.rstrip("/")):
                    file = FileRef(path, volume.name)
                    if self.kind(file) is wanted:
                        yield Configuration(dialect.name, file)

    def _matching(self, volume: GuestVolume, pattern: str) -> list[str]:
        """Return the paths that a pattern of the registry stands for."""
        before, star, after = pattern.partition("*")
        if not star:
            return [pattern]
        folder = FileRef(before, volume.name)
        if self.kind(folder) is not Kind.DIRECTORY:
            return []
        return [before + name + after for name in sorted(self.names(folder), key=encode)]

    def interpret(self, configuration: Configuration, settings: Settings) -> Menu:
        """Run a configuration through its dialect."""
        return dialects.load(configuration.dialect)(self, configuration.file, settings)


#: GRUB's names of file systems, where they are not those of the reader's family
_GRUB_FILESYSTEMS = {"ext2": "ext2", "ext3": "ext2", "ext4": "ext2"}


def _disk_number(name: str) -> int | None:
    """Return the number (from 1) of the disk that GRUB calls `hd0`, or `xen/xvda` under Xen."""
    if name.startswith("hd") and name[2:].isascii() and name[2:].isdigit():
        return int(name[2:5]) + 1
    disk = name.removeprefix("xen/")
    if len(disk) == 4 and disk[:3] == "xvd" and "a" <= disk[3] <= "z":
        return ord(disk[3]) - ord("a") + 1
    return None


def _same_partition(wanted: str, name: str) -> bool:
    """Whether `1` or `msdos1` in a device name means the partition that is called `msdos1`."""
    return wanted == name or (
        wanted.isascii() and wanted.isdigit() and wanted == name.lstrip("abcdefghijklmnopqrstuvwxyz")
    )
