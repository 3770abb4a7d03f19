"""What every file system gives: a root, nodes that are read as runs, and one path walker.

A reader subclasses `Filesystem` and `Node`.  A node is cheap to make and reads its inode (or
whatever its format has) when it is first asked something.  File contents are runs: where they lie in
a source, a hole, or bytes that are in hand already (inline data, decompressed blocks).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from pybootcfg import limits
from pybootcfg.errors import (
    BootcfgError,
    GuestFileMissing,
    ImageError,
    LimitExceeded,
    UnsupportedFeature,
    printable,
)
from pybootcfg.kind import Kind
from pybootcfg.source import Source
from pybootcfg.structures import Structures
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence
    from typing import ClassVar


LOOKUPS = 1024  # names, there or not, that a file system remembers having looked up


def uuid_text(raw: bytes) -> str:
    """Return a UUID whose fields are big-endian as RFC 9562 writes it.

    >>> uuid_text(bytes(range(16)))
    '00010203-0405-0607-0809-0a0b0c0d0e0f'
    """
    return "-".join(raw[first:end].hex() for first, end in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 16)))


class Extent(NamedTuple):
    """`length` bytes of a file that lie at `offset` of `source`."""

    source: Source
    offset: int
    length: int


class Hole(NamedTuple):
    """`length` bytes of a file that read as zeros and lie nowhere."""

    length: int


class Inline(NamedTuple):
    """Bytes of a file that are in hand already."""

    data: bytes

    @property
    def length(self) -> int:
        """Number of bytes."""
        return len(self.data)


Run = Extent | Hole | Inline
#: kind, size in bytes, permission bits, seconds since 1970, as the properties of a node
Status = tuple[Kind, int, int | None, int | None]


class Options(NamedTuple):
    """How the caller wants file systems to be read."""

    replay_journal: bool = True  #: show what the journal holds, replayed in memory
    others: tuple[Source, ...] = ()  #: the guest's other volumes, for file systems that span several


class Node(ABC):
    """One file, directory, symbolic link or special file.

    Every property may raise ImageError or UnsupportedFeature, since it reads the disk.
    """

    __slots__ = ()  # for readers of which there may be many nodes at once

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """The same for the same file, such as the inode number; finds cycles and hard links."""

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """What this is."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Length of the contents in bytes; for a symbolic link that of its target."""

    @property
    def mode(self) -> int | None:
        """Permission bits (07777), or None where the format has none."""
        return None

    @property
    def mtime(self) -> int | None:
        """Last change of the contents, in seconds since 1970 UTC."""
        return None

    def status(self) -> Status:
        """Return what a listing shows of it: kind, size (0 for what is no file), mode and mtime."""
        kind = self.kind
        return kind, self.size if kind is Kind.FILE else 0, self.mode, self.mtime

    def read_ahead(self, nodes: Sequence[Node]) -> None:  # noqa: B027 - for readers that can
        """Be told that the properties of these entries will be asked for: they may be read many at a time.

        What cannot be read raises when it is asked for.
        """

    @abstractmethod
    def runs(self) -> Iterator[Run]:
        """Yield the contents in order, `size` bytes in all; only for files."""

    @abstractmethod
    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield names and nodes in the order of the disk, without `.` and `..`; only for directories."""

    @abstractmethod
    def lookup(self, name: bytes) -> Node | None:
        """Return the entry called `name`, by the directory's index where it has one."""

    @abstractmethod
    def target(self) -> bytes:
        """Return where a symbolic link points."""

    def read(self, limit: limits.Limit = limits.CONFIG_SIZE, count: int | None = None) -> bytes:
        """Return the contents, or the first `count` bytes of them, held in memory under `limit`."""
        wanted = self.size if count is None else min(count, self.size)
        limits.READ_SIZE.check(limit.check(wanted))
        chunks = []
        for run in self.runs():
            if not wanted:
                break
            length = min(run.length, wanted)
            if isinstance(run, Extent):
                chunks.append(run.source.read(run.offset, length))
            else:
                chunks.append(run.data[:length] if isinstance(run, Inline) else bytes(length))
            wanted -= length
        return b"".join(chunks)


class Filesystem(ABC):
    """One file system, open for reading.

    Subclasses take `(source, options)` and raise ImageError when the source does not hold their
    file system or its superblock is damaged, UnsupportedFeature when it uses what they cannot read.
    """

    family: ClassVar[str]  #: name of the registry row and of the module in formats/

    def __init__(self, source: Source, options: Options) -> None:
        self.source = source
        self.options = options
        self.warnings: list[str] = []
        self._looked_up: dict[tuple[Hashable, bytes], Node | None] = {}
        self.members: tuple[Source, ...] = (source,)  #: all volumes that this file system lies on

    @property
    @abstractmethod
    def name(self) -> str:
        """The variant as users know it, such as `ext4` or `fat32`."""

    @property
    @abstractmethod
    def root(self) -> Node:
        """The root directory."""

    @property
    def label(self) -> str:
        """The volume label, empty when there is none."""
        return ""

    @property
    def uuid(self) -> str:
        """The UUID or serial number as blkid prints it, empty when there is none."""
        return ""

    @property
    def grub_uuid(self) -> str:
        """The UUID as GRUB's `search --fs-uuid` knows it."""
        return self.uuid

    @property
    def boot_properties(self) -> str:
        """What a Solaris kernel has to be told of the file system that it is on; empty for all but ZFS."""
        return ""

    @property
    def features(self) -> tuple[str, ...]:
        """Feature flags by name, in the order of their bits."""
        return ()

    def grub_path(self, path: bytes) -> tuple[Node, bytes]:
        """Return the root and the path below it that GRUB means by a path such as ZFS' `/ROOT/a@/boot`."""
        return self.root, path

    def subvolume(self, name: str) -> Node:
        """Return the root of the dataset, subvolume or snapshot `name` (`p1[NAME]:/` on the command line).

        Raises GuestFileMissing when there is none of that name.
        """
        raise GuestFileMissing(printable(name), f"{self.name} has no subvolumes")

    @property
    def structures(self) -> Structures:
        """The structures that `inspect` can show."""
        return Structures()

    def nodes(self) -> Iterator[tuple[bytes, Node]]:
        """Yield all files and directories with their paths, the root first; each directory is read once.

        What cannot be read is a warning and hides nothing else.  Raises LimitExceeded for too many.
        """
        budget = limits.INSPECT_FILES.budget("files")
        todo: list[tuple[bytes, Node]] = [(b"", self.root)]
        seen = set()
        yield b"/", self.root
        while todo:
            folder, directory = todo.pop()
            try:
                if directory.key in seen:
                    continue
                seen.add(directory.key)
                for name, node in directory.entries():
                    budget.spend()
                    path = folder + b"/" + name
                    if self._is_directory(path, node):
                        todo.append((path, node))
                    yield path, node
            except LimitExceeded:
                raise
            except BootcfgError as error:
                self.warn(f"{printable(folder) or '/'}: {error}")

    def _is_directory(self, path: bytes, node: Node) -> bool:
        """Whether a node is a directory; False, with a warning, where damage keeps that from being told."""
        try:
            return node.kind is Kind.DIRECTORY
        except (ImageError, UnsupportedFeature) as error:
            self.warn(f"{printable(path)}: {error}")
            return False

    @property
    def journal_state(self) -> str:
        """The state of the journal in words, empty when there is none."""
        return ""

    def warn(self, message: str) -> None:
        """Remember, once, something that the user should know although reading goes on."""
        if message not in self.warnings and len(self.warnings) < limits.FILESYSTEM_WARNINGS.value:
            self.warnings.append(message)

    def _lookup(self, directory: Node, name: bytes) -> Node | None:
        """Look a name up, once: a boot loader's paths begin alike, and most of them lead nowhere."""
        key = directory.key, name
        if key not in self._looked_up:
            if len(self._looked_up) >= LOOKUPS:
                self._looked_up.clear()
            self._looked_up[key] = directory.lookup(name)
        return self._looked_up[key]

    def walk(self, path: bytes, *, follow: bool = True, root: Node | None = None) -> Node:
        """Return the node at `path`; symbolic links on the way (and, with `follow`, at its end) are followed.

        A relative path starts at the root (that of a subvolume where `root` is given), and `..` stops
        there, so that no path leads out.  Raises GuestFileMissing, and LimitExceeded for link loops.
        """
        limits.PATH_LENGTH.check(len(path), "path")
        links = limits.SYMLINKS.budget(printable(path))
        above = [root or self.root]  # the directories from the root down to where the walk stands
        todo = _components(path)
        node = above[0]
        while todo:
            component = todo.pop()
            if component == b"..":
                if len(above) > 1:
                    above.pop()
                node = above[-1]
                continue
            if node.kind is not Kind.DIRECTORY:
                raise GuestFileMissing(printable(path), "not a directory on the way")
            found = self._lookup(node, component) if above[0] is self.root else node.lookup(component)
            if found is None:
                raise GuestFileMissing(printable(path))
            if found.kind is Kind.SYMLINK and (todo or follow):
                links.spend()
                target = found.target()
                limits.PATH_LENGTH.check(len(target), printable(path))
                if target.startswith(b"/"):
                    del above[1:]
                todo.extend(_components(target))
                node = above[-1]
                continue
            node = found
            if node.kind is Kind.DIRECTORY:
                above.append(node)
        return node


def _components(path: bytes) -> list[bytes]:
    """Return the names of a path, the last first."""
    return [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]
