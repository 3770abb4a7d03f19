"""Names of structures: `mbr`, `gpt.entries[2]`, `p1.superblock.s_magic`; what `inspect` walks.

Partition tables and file systems name their structures themselves; here the names of a volume's
structures get the volume's name in front, and those of a further disk the disk's (`d2.gpt.header`).
Fields go on where structures end, and `[2:40]` stands for `[2]` to `[39]`.
"""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.errors import BootcfgError, GuestFileMissing, printable
from pybootcfg.filesystems.base import Filesystem
from pybootcfg.guest import Disk, Guest, GuestVolume
from pybootcfg.places.addresses import locate
from pybootcfg.schema import Decoder
from pybootcfg.source import Source
from pybootcfg.structures import DecodedStructure, Structure, fault
from pybootcfg.tracing import Field, stretch
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

#: names for several structures of a volume, and how the names of those end
_GROUPS = {"volume_descriptors": ("_volume_descriptor", "boot_record", "terminator")}


class PlacedStructure(NamedTuple):
    """A structure by its full name, and where it lies."""

    name: str
    decoder: Decoder
    source: Source
    offset: int
    room: int = 0  #: bytes that it has on the disk, where that may be more than its fields take

    def trace(self) -> Field:
        """Decode it field by field; offsets count from the start of its disk."""
        field = self.decoder.trace(self.source, self.offset)
        field.name = self.name
        if 0 < field.size < self.room and not field.error:
            rest = stretch("unparsed", self.source, field.offset + field.size, self.room - field.size)
            rest.type = "gap"
            field.children.append(rest)
            field.size += rest.size
        if isinstance(self.decoder, DecodedStructure):
            field.decoded = True
            return field
        locate(field, self.source)
        return field


def structures(guest: Guest) -> Iterator[PlacedStructure]:
    """Yield all structures that the guest's tables and file systems tell by themselves, tables first.

    Those of a file system on several volumes come with the first; with the others comes what is theirs alone.
    """
    for disk in guest.disks:
        yield from of_table(disk)
    shown: list[tuple[str, tuple[Source, ...]]] = []  # volumes with those that their file systems lie on
    for volume in guest.listed:
        filesystem = volume.mountable
        if filesystem is None:
            continue
        source = volume.volume.source
        first = next((name for name, members in shown if any(one is source for one in members)), "")
        shown.append((volume.name, filesystem.members))
        found = filesystem.structures.of_member(first) if first else filesystem.structures.every()
        yield from of_volume(volume, filesystem, found)


def of_table(disk: Disk) -> Iterator[PlacedStructure]:
    """Yield the structures of a disk's partition table."""
    prefix = "" if disk.number == 1 else f"d{disk.number}."
    for one in disk.table.structures:
        yield PlacedStructure(prefix + one.name, one.decoder, disk.source, one.offset)


def of_volume(
    volume: GuestVolume, filesystem: Filesystem, found: Iterator[Structure]
) -> Iterator[PlacedStructure]:
    """Yield structures of a volume under their full names; damage that ends them becomes the last one."""
    try:
        for structure in found:
            yield place(volume, filesystem, structure)
    except BootcfgError as error:
        yield place(volume, filesystem, fault("", error))


def place(volume: GuestVolume, filesystem: Filesystem, structure: Structure) -> PlacedStructure:
    """Give a structure of a volume its full name."""
    return placed(filesystem, structure)._replace(name=f"{volume.name}.{structure.name}")


def placed(filesystem: Filesystem, structure: Structure) -> PlacedStructure:
    """Place a structure of a file system, under the name that it has there."""
    source, room = structure.source or filesystem.source, filesystem.structures.room(structure.name)
    return PlacedStructure(structure.name, structure.decoder, source, structure.offset, room)


def find(guest: Guest, wanted: str) -> Iterator[Field]:
    """Yield what is called `wanted`: a structure, a field, or all structures below a name (`gpt`, `p1`).

    Raises GuestFileMissing when nothing is, UsageError for a volume that is not there, and what stands in
    the way of reading the volume.
    """
    found = False
    last = (-1, "")
    for name in _expanded(wanted):
        for field in _named(guest, name):
            found = True
            if (field.offset, field.name) != last:  # entries of FAT12 come in pairs
                yield field
            last = (field.offset, field.name)
    if not found:
        raise GuestFileMissing(
            printable(wanted), "no such structure", hint="`pybootcfg inspect --structures IMAGE` lists many"
        )


def _expanded(wanted: str) -> Iterator[str]:
    """Yield the names that a place with slices stands for."""
    before, bracket, rest = wanted.partition("[")
    while bracket:
        inner, close, after = rest.partition("]")
        first, colon, stop = inner.partition(":")
        if close and colon and _is_number(first) and _is_number(stop):
            limits.INSPECT_ITEMS.check(max(0, int(stop) - int(first)), wanted)
            if before.endswith(".fat"):  # fat[2:40] are entries of the first one
                before += "[0].entries"
            for number in range(int(first), int(stop)):
                yield from _expanded(f"{before}[{number}]{after}")
            return
        head, bracket, rest = rest.partition("[")
        before += f"[{head}"
    yield wanted


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20


def _named(guest: Guest, name: str) -> Iterator[Field]:
    head, _, rest = name.partition(".")
    volume = volume_of(guest, head)
    if volume is None:
        candidates = [structure for disk in guest.disks for structure in of_table(disk)]
        by_name = {structure.name: structure for structure in candidates}
    elif not rest:
        for placed in of_volume(volume, volume.filesystem, volume.filesystem.structures.listed()):
            yield placed.trace()
        return
    else:
        candidates, by_name = [], _of_volume(volume, volume.filesystem, rest)
        name = f"{volume.name}.{rest}"
    for length, cut in _cuts(name):
        if cut in by_name:
            field = next(_below(by_name[cut].trace(), name[length:]), None)
            if field:
                yield field
                return
            break
    if volume is None:
        yield from (one.trace() for one in candidates if _is_below(one.name, name))
        return
    group = _GROUPS.get(rest, ())
    for prefix in ("", f"{volume.filesystem.family}."):
        full, found = f"{volume.name}.{prefix}{rest}", False
        for one in of_volume(volume, volume.filesystem, volume.filesystem.structures.below(prefix + rest)):
            if _is_below(one.name, full) or one.name.endswith(group or "\0"):
                found = True
                yield one.trace()
        if found:
            return


def _is_below(name: str, above: str) -> bool:
    return name.startswith(above) and name[len(above) :][:1] in (".", "[")


def volume_of(guest: Guest, head: str) -> GuestVolume | None:
    """Return the volume that a name begins with; raise UsageError for one that is not there."""
    disk, _, number = head.rpartition("p")
    if _is_number(number) and (not disk or (disk[0] == "d" and _is_number(disk[1:]))):
        return guest.volume(head)
    return None


def _of_volume(volume: GuestVolume, filesystem: Filesystem, rest: str) -> dict[str, PlacedStructure]:
    """Return the structure with the longest name that `rest` begins with, under its full name."""
    for prefix in ("", f"{filesystem.family}."):  # p1.uberblock[17] is zfs.uberblock[17]
        for _, cut in _cuts(rest):
            structure = filesystem.structures.find(prefix + cut)
            if structure:
                return {f"{volume.name}.{cut}": place(volume, filesystem, structure)}
    return {}


def _cuts(name: str) -> Iterator[tuple[int, str]]:
    """Yield the beginnings of a name that end where a part ends, the longest first, with their lengths."""
    depth = 0
    yield len(name), name
    for index in range(len(name) - 1, 0, -1):
        char = name[index]
        depth += (char == "]") - (char == "[")
        if (char == "." and not depth) or (char == "[" and not depth):
            yield index, name[:index]


def _below(field: Field, path: str) -> Iterator[Field]:
    """Yield the field at `path` (`.s_magic`, `.partitions[2]`) below another one."""
    name = field.name + path
    while path:
        child = next((one for one in field.children if _begins(path, one.name)), None)
        if child is None:
            return
        path = path[len(child.name) + (not child.name.startswith("[")) :]
        child.decoded = field.decoded
        field = child
    field.name = name
    yield field


def _begins(path: str, name: str) -> bool:
    wanted = name if name.startswith("[") else f".{name}"
    return bool(name) and path.startswith(wanted) and path[len(wanted) : len(wanted) + 1] in ("", ".", "[")
