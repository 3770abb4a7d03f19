"""One tree over several datasets: what `zfs mount -a` would show below the root.

Specification: zfsprops(7), `mountpoint` and `canmount`.
"""

from __future__ import annotations

from pybootcfg.errors import GuestFileMissing, UnsupportedFeature, printable
from pybootcfg.filesystems.base import Node, Run
from pybootcfg.kind import Kind
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator


class MountPoint:
    """A place in the tree: perhaps a dataset is mounted here, perhaps further below."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.below: dict[bytes, MountPoint] = {}
        self.open: Callable[[], Node] | None = None

    def at(self, names: list[bytes]) -> MountPoint:
        """Return the place `names` below this one, made when it is new."""
        here = self
        for name in names:
            here = here.below.setdefault(name, MountPoint(here.path.rstrip(b"/") + b"/" + name))
        return here


class MountedDirectory(Node):
    """A directory with places where datasets are mounted; `covered` is what the dataset above has here.

    A dataset that cannot be read is refused when it is asked for by name.  Where a whole tree is listed
    (`listed`) it is an empty directory, as on a system that cannot mount it, and named in a warning.
    """

    def __init__(self, place: MountPoint, covered: Node | None, *, listed: bool = False) -> None:
        self.place = place
        self.covered = covered
        self.listed = listed

    @property
    def under(self) -> Node | None:
        """The directory that is seen here: the mounted dataset's root, else what is covered."""
        if self.place.open is not None:
            return self.place.open()
        if self.covered is not None and self.covered.kind is Kind.DIRECTORY:
            return self.covered
        return None  # ZFS makes missing directories when it mounts

    @property
    def key(self) -> Hashable:
        """That of the directory, else the place."""
        under = self.under
        return ("mount point", self.place.path) if under is None else under.key

    @property
    def kind(self) -> Kind:
        """A directory."""
        return Kind.DIRECTORY

    @property
    def size(self) -> int:
        """That of the directory."""
        under = self.under
        return 0 if under is None else under.size

    @property
    def mode(self) -> int | None:
        """That of the directory; what ZFS makes one with otherwise."""
        under = self.under
        return 0o755 if under is None else under.mode

    @property
    def mtime(self) -> int | None:
        """That of the directory."""
        under = self.under
        return None if under is None else under.mtime

    def runs(self) -> Iterator[Run]:
        """Yield nothing; a directory has no contents."""
        return iter(())

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield the directory's entries with the mount points among them."""
        seen = set()
        under = self.under
        if isinstance(under, Locked) and self.listed:
            under.warn(str(under.reason))
            under = None
        if under is not None:
            for name, node in under.entries():
                place = self.place.below.get(name)
                if place is not None:
                    seen.add(name)
                yield name, node if place is None else MountedDirectory(place, node, listed=True)
        for name, place in self.place.below.items():
            if name not in seen:
                yield name, MountedDirectory(place, None, listed=True)

    def lookup(self, name: bytes) -> Node | None:
        """Return the entry called `name`."""
        place = self.place.below.get(name)
        under = self.under
        found = None if under is None else under.lookup(name)
        return found if place is None else MountedDirectory(place, found)

    def target(self) -> bytes:
        """Raise GuestFileMissing; a directory points nowhere."""
        raise GuestFileMissing(printable(self.place.path), "not a symbolic link")


class Locked(Node):
    """The root of a dataset that cannot be read, such as an encrypted one; says so when it is entered."""

    def __init__(self, name: str, reason: UnsupportedFeature, warn: Callable[[str], None]) -> None:
        self.name = name
        self.reason = reason
        self.warn = warn

    @property
    def key(self) -> Hashable:
        """The dataset's name."""
        return ("locked", self.name)

    @property
    def kind(self) -> Kind:
        """A directory."""
        return Kind.DIRECTORY

    @property
    def size(self) -> int:
        """Nothing that is known."""
        return 0

    def runs(self) -> Iterator[Run]:
        """Raise what makes the dataset unreadable."""
        raise self.reason

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Raise what makes the dataset unreadable."""
        raise self.reason

    def lookup(self, name: bytes) -> Node | None:  # noqa: ARG002
        """Raise what makes the dataset unreadable."""
        raise self.reason

    def target(self) -> bytes:
        """Raise what makes the dataset unreadable."""
        raise self.reason
