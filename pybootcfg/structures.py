"""On-disk structures by name, for `inspect`: what partition tables and file systems say that they have.

A structure is a name, a decoder and a place.  Some decoders here add to a schema what it cannot say:
bytes that follow, a block that lies on the disk in another form, the reason why nothing can be told.
"""

from __future__ import annotations

from contextlib import suppress

from pybootcfg import limits
from pybootcfg.errors import BootcfgError, ImageError
from pybootcfg.schema import Decoder, Prepared, constant
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from pybootcfg.source import Source
    from pybootcfg.tracing import Field

    #: of a source and the offset in it: what checksums should be, by the paths of fields
    Expected = Callable[[Source, int], Mapping[str, int]]


def numbered(name: str) -> tuple[str, int, str]:
    """Split a name such as `inode[12].xattr` into `inode`, 12 and `.xattr`; -1 where there is no number.

    >>> numbered("group[3].cg")
    ('group', 3, '.cg')
    """
    family, _, rest = name.partition("[")
    index, bracket, part = rest.partition("]")
    if not bracket or not (index.isascii() and index.isdecimal()) or len(index) > len(str(1 << 64)):
        return name, -1, ""
    return family, int(index), part


class Structure(NamedTuple):
    """An on-disk structure that a file system names, for `inspect`.

    `offset` is in bytes of `source`, which is the file system's own where it is None.
    """

    name: str
    decoder: Decoder
    offset: int
    source: Source | None = None


class Structures:
    """The structures of a file system.  A reader overrides what it can tell; here there are none."""

    def listed(self) -> Iterator[Structure]:
        """Yield those that tell most, such as superblocks."""
        return iter(())

    def every(self) -> Iterator[Structure]:
        """Yield those for a dump of everything: those listed and many more like them."""
        return self.listed()

    def of_member(self, first: str) -> Iterator[Structure]:  # noqa: ARG002 - for systems on several volumes
        """Yield those of `every` that lie on this volume alone; `first` is the volume with all of them."""
        return self.every()

    def below(self, name: str) -> Iterator[Structure]:  # noqa: ARG002 - for readers that need not list all
        """Yield structures, among them all whose names begin with `name`, such as `inode[12]`."""
        return self.listed()

    def find(self, name: str) -> Structure | None:
        """Return the structure called `name`, such as `inode[12]`, which may not be listed."""
        return next((structure for structure in self.below(name) if structure.name == name), None)

    def of_node(self, node: Any) -> Iterator[Structure]:  # noqa: ARG002 - for readers that know some
        """Yield the structures that make a node of this file system: its inode, its directory entry."""
        return iter(())

    def room(self, name: str) -> int:  # noqa: ARG002 - for readers whose structures may be longer than known
        """Return how many bytes the structure of this name has, 0 when as many as its fields."""
        return 0

    def owner(self, offset: int) -> str:  # noqa: ARG002 - for readers that can tell
        """Return the name of the structure that holds a byte, where that needs no search; else nothing."""
        return ""


class Stretch(Decoder):
    """`size` bytes without fields, such as a bitmap; of `bits` it is told how many are set."""

    def __init__(self, name: str, size: int, bits: int = 0) -> None:
        super().__init__(name, Prepared("", name, None))
        self.length = size
        self.bits = bits

    def trace(self, source: Source, offset: int) -> Field:
        """Return the bytes as one field."""
        from pybootcfg.tracing import stretch

        return stretch(self.name, source, offset, self.length, self.bits)


class Reference(Stretch):
    """Stands for structures that are shown under the name of another volume."""

    def __init__(self, place: str) -> None:
        super().__init__("reference", 0)
        self.place = place

    def trace(self, _source: Source, offset: int) -> Field:
        """Return a field that says where."""
        from pybootcfg.tracing import Field

        return Field(self.name, "reference", offset, value=self.place)


class Followed(Decoder):
    """A structure that bytes without fields follow, such as its name: `parts` are their names and lengths."""

    def __init__(self, decoder: Decoder, *parts: tuple[str, int]) -> None:
        super().__init__(decoder.name, decoder.schema, decoder.order)
        self.first = decoder
        self.parts = [part for part in parts if part[1] > 0]

    def trace(self, source: Source, offset: int) -> Field:
        """Decode the structure field by field, and what follows as one field for each part."""
        from pybootcfg.tracing import stretch

        field = super().trace(source, offset)
        for name, length in self.parts if not any(child.error for child in field.children) else ():
            field.children.append(stretch(name, source, offset + field.size, length))
            field.size += field.children[-1].size
        return field


def length_of(decoder: Decoder) -> int:
    """Return how many bytes a structure takes, or a bound on that where its contents say."""
    if isinstance(decoder, DecodedStructure):
        return length_of(decoder.inner)
    if isinstance(decoder, (Stretch, Fault)):
        return decoder.length if isinstance(decoder, Stretch) else 0
    if isinstance(decoder, Followed):
        return length_of(decoder.first) + sum(length for _, length in decoder.parts)
    try:
        return decoder.size
    except TypeError:
        return VARIABLE


#: bytes; no structure whose size its contents tell is longer: blocks of ZFS, lists of its labels
VARIABLE = 131072


class Fault(Decoder):
    """Stands where structures end that damage keeps from being told."""

    def __init__(self, error: BootcfgError) -> None:
        super().__init__("fault", Prepared("", "fault", None))
        self.error = error

    def trace(self, _source: Source, offset: int) -> Field:
        """Return a field that says why."""
        from pybootcfg.tracing import Field

        return Field(self.name, "fault", offset, error=str(self.error))


def fault(name: str, error: BootcfgError) -> Structure:
    """Return what is shown for the rest of `name`, which cannot be told."""
    offset = error.offset if isinstance(error, ImageError) and error.offset else 0
    return Structure(f"{name}.fault" if name else "fault", Fault(error), offset)


def of_groups(
    groups: Iterable[int],
    group: Callable[[int], Iterable[Structure]],
    in_use: Callable[[int], Iterable[int]],
    of_inode: Callable[[int], Iterable[Structure]],
) -> Iterator[Structure]:
    """Yield group by group its own structures, and the inodes in use with what is theirs.

    Damage to the list of those in use, or to an inode, stands in their place.  Raises LimitExceeded for too
    many inodes.
    """
    budget = limits.INSPECT_INODES.budget("inodes")
    for number in groups:
        yield from group(number)
        try:
            inodes = list(in_use(number))
        except ImageError as error:
            yield fault(f"group[{number}].inodes", error)
            continue
        for inode in inodes:
            budget.spend()
            try:
                yield from of_inode(inode)
            except BootcfgError as error:
                yield fault(f"inode[{inode}]", error)


class Checked(Decoder):
    """A structure that holds checksums, which `expected` computes for a source and an offset in it.

    The keys are paths of fields, such as `zec_cksum[0]`.  Nothing is said where the answer is empty or
    what is covered cannot be read.
    """

    def __init__(self, decoder: Decoder, expected: Expected) -> None:
        super().__init__(decoder.name, decoder._form, decoder.order)
        self.expected = expected

    def trace(self, source: Source, offset: int) -> Field:
        """Decode the structure field by field, and compare its checksums."""
        field = super().trace(source, offset)
        expected: Mapping[str, int] = {}
        with suppress(BootcfgError):
            expected = self.expected(source, offset)
        for path, leaf in field.leaves():
            if path in expected and leaf.error is None:
                leaf.valid = leaf.value == expected[path]
                leaf.error = None if leaf.valid else f"{constant(expected[path])} expected"
        return field


class DecodedStructure(Decoder):
    """Decodes by `inner` what lies on the disk in another form, such as compressed, in `block`.

    Addresses count through the block as if it lay on the disk as it is.
    """

    def __init__(self, inner: Decoder, block: Source) -> None:
        super().__init__(inner.name, Prepared("", inner.name, None))
        self.inner = inner
        self.block = block

    def trace(self, source: Source, offset: int) -> Field:  # noqa: ARG002 - it is in another one
        """Decode the structure at an address within the block."""
        return self.inner.trace(self.block, offset)
