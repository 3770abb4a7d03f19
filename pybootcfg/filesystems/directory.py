"""A directory of this machine read as if it were a mounted guest.

Symbolic links are followed by the path walker of base.py, within the directory: a link to `/etc`
means the guest's `/etc`.  Every component is opened relative to its parent with O_NOFOLLOW, so that
no path leads out, whatever changes meanwhile.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat

from pybootcfg.filesystems.base import Extent, Filesystem, Node, Options, Run
from pybootcfg.kind import Kind, of_mode
from pybootcfg.source import FileSource, MemorySource
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator


class HostNode(Node):
    """One file below `top`: the names that lead to it, opened one after the other when it is needed."""

    def __init__(self, top: str, names: tuple[str, ...]) -> None:
        self._top = top
        self._names = names

    @contextlib.contextmanager
    def _folder(self, names: tuple[str, ...]) -> Iterator[int]:
        """Yield a descriptor of the directory that `names` lead to."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        folder = os.open(self._top, flags)
        try:
            for name in names:
                below = os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)

    @functools.cached_property
    def _stat(self) -> os.stat_result:
        if not self._names:
            return os.stat(self._top)
        with self._folder(self._names[:-1]) as folder:
            return os.stat(self._names[-1], dir_fd=folder, follow_symlinks=False)

    @property
    def key(self) -> Hashable:
        """Device and inode number."""
        return self._stat.st_dev, self._stat.st_ino

    @property
    def kind(self) -> Kind:
        """What the host says it is."""
        return of_mode(self._stat.st_mode) or Kind.FILE

    @property
    def size(self) -> int:
        """Bytes."""
        return self._stat.st_size

    @property
    def mode(self) -> int:
        """Permission bits."""
        return stat.S_IMODE(self._stat.st_mode)

    @property
    def mtime(self) -> int:
        """Seconds since 1970."""
        return int(self._stat.st_mtime)

    def runs(self) -> Iterator[Run]:
        """Yield the file as one extent."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with self._folder(self._names[:-1]) as folder:
            source = FileSource(os.open(self._names[-1], flags, dir_fd=folder), self._names[-1])
        try:
            yield Extent(source, 0, min(self.size, source.size))
        finally:
            source.close()

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield the directory's entries."""
        with self._folder(self._names) as folder:
            names = os.listdir(folder)
        for name in names:
            yield os.fsencode(name), HostNode(self._top, (*self._names, name))

    def lookup(self, name: bytes) -> Node | None:
        """Return the entry called `name`."""
        node = HostNode(self._top, (*self._names, os.fsdecode(name)))
        try:
            _ = node._stat
        except (FileNotFoundError, NotADirectoryError):
            return None
        return node

    def target(self) -> bytes:
        """Return the link's target."""
        with self._folder(self._names[:-1]) as folder:
            return os.fsencode(os.readlink(self._names[-1], dir_fd=folder))


class Directory(Filesystem):
    """The directory at `path`."""

    family = "directory"

    def __init__(self, path: str) -> None:
        super().__init__(MemorySource(b"", path), Options())
        self._root = HostNode(path, ())

    @property
    def name(self) -> str:
        """Always `directory`."""
        return "directory"

    @functools.cached_property
    def root(self) -> Node:
        """The directory itself."""
        return self._root
