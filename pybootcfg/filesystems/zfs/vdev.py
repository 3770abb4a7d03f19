"""Virtual devices: where the bytes of a pool lie, and every way to read them.

Specification: OpenZFS module/zfs/vdev_mirror.c, vdev_indirect.c and vdev_label.c.  A vdev gives the copies of
a range one after another, best first; the reader of blocks, who knows the checksum, takes the first that is
right.  So a member that is missing, stale or lying costs a further copy and nothing else.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

layout = schema.load("zfs_label")


class Copy(NamedTuple):
    """One reading of a range; `blamed` are the members that gave something else before."""

    data: bytes
    blamed: tuple[str, ...] = ()


class Vdev(ABC):
    """A device or a group of devices, addressed by byte offsets after the front labels."""

    name: str
    stale: bool = False  #: missed transaction groups, so that others are asked first
    ashift: int = 9  #: log2 of the sector size; of interest for top-level vdevs

    @abstractmethod
    def copies(self, offset: int, size: int, birth: int) -> Iterator[Copy]:
        """Yield the copies of `size` bytes at `offset` that were written in txg `birth`."""

    @property
    def complete(self) -> bool:
        """Whether all members are there."""
        return True


class Leaf(Vdev):
    """A disk, partition or file."""

    def __init__(self, name: str, source: Source, *, stale: bool) -> None:
        self.name = name
        self.source = source
        self.stale = stale

    def copies(self, offset: int, size: int, birth: int) -> Iterator[Copy]:  # noqa: ARG002
        """Yield the one copy, none when the device ends before it."""
        at = offset + layout.VDEV_LABEL_START_SIZE
        if at >= 0 and at + size <= self.source.size:
            try:
                data = self.source.read(at, size, "ZFS block")
            except OSError:  # a sector that the disk cannot read is one more missing copy
                return
            yield Copy(data)


class Missing(Vdev):
    """A device that is not there, a hole in the numbering, or a type that cannot be read."""

    def __init__(self, name: str) -> None:
        self.name = name

    def copies(self, offset: int, size: int, birth: int) -> Iterator[Copy]:  # noqa: ARG002
        """Yield nothing."""
        return iter(())

    @property
    def complete(self) -> bool:
        """Whether all members are there."""
        return False


class Mirror(Vdev):
    """Children that hold the same: a mirror, or a device with its replacement or spare."""

    def __init__(self, name: str, children: Sequence[Vdev]) -> None:
        self.name = name
        self.children = sorted(children, key=lambda child: child.stale)

    def copies(self, offset: int, size: int, birth: int) -> Iterator[Copy]:
        """Yield the children's copies; asking for one more means that the last was wrong."""
        blamed: tuple[str, ...] = ()
        for child in self.children:
            for copy in child.copies(offset, size, birth):
                yield Copy(copy.data, blamed + copy.blamed)
                blamed += (child.name,)

    @property
    def complete(self) -> bool:
        """Whether all members are there."""
        return all(child.complete for child in self.children)


PART_COPIES = 4  #: of each part of a removed device's block; a mirror of more is not combined further


class Segment(NamedTuple):
    """`length` bytes of a removed device that now lie at `offset` of top-level vdev `vdev`."""

    vdev: int
    offset: int
    length: int


class Indirect(Vdev):
    """A removed device: a mapping tells where its blocks went."""

    def __init__(
        self,
        name: str,
        segments: Callable[[int, int], Sequence[Segment]],
        top: Callable[[int], Vdev],
    ) -> None:
        self.name = name
        self.segments = segments
        self.top = top
        self.depth = 0

    def copies(self, offset: int, size: int, birth: int) -> Iterator[Copy]:
        """Yield every combination of the copies of the segments, up to a cap."""
        self.depth += 1
        try:
            limits.ZFS_INDIRECT_DEPTH.check(self.depth, self.name)
            pieces = [
                list(itertools.islice(self._parts(segment, birth), PART_COPIES))
                for segment in self.segments(offset, size)
            ]
        finally:
            self.depth -= 1
        for choice in itertools.islice(itertools.product(*pieces), limits.ZFS_COMBINATIONS.value):
            data = b"".join(piece.data for piece in choice)
            if len(data) != size:
                raise ImageError(f"the mapping of {self.name} does not cover {size} bytes", offset=offset)
            yield Copy(data, tuple(name for piece in choice for name in piece.blamed))

    def _parts(self, segment: Segment, birth: int) -> Iterator[Copy]:
        return self.top(segment.vdev).copies(segment.offset, segment.length, birth)
