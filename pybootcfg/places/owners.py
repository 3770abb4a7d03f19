"""What owns a byte of a disk: a field of a table or a file system, or a file and the offset in it."""

from __future__ import annotations

from contextlib import suppress

from pybootcfg import limits
from pybootcfg.errors import BootcfgError
from pybootcfg.filesystems.base import Extent, Filesystem, Node
from pybootcfg.guest import Disk, Guest, GuestVolume, decode
from pybootcfg.kind import Kind
from pybootcfg.places import PlacedStructure, of_table
from pybootcfg.places import place as place_structure
from pybootcfg.places.addresses import disk_offset
from pybootcfg.structures import length_of
from pybootcfg.tracing import Field
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class FileByte(NamedTuple):
    """A byte of a file: `path` on the volume, `offset` in the file."""

    path: str
    offset: int


class Owner(NamedTuple):
    """What owns one byte, from the outside in; what does not apply is None or empty."""

    volume: GuestVolume | None
    structure: Field | None
    fields: tuple[Field, ...]  #: from the structure's own down to the one that holds the byte
    file: FileByte | None
    notes: tuple[str, ...]


def owner(guest: Guest, offset: int, disk: Disk | None = None) -> Owner:
    """Tell what owns byte `offset` of a disk (the first one): tables first, then the volume there."""
    disk = disk or guest.disks[0]
    volume = next(
        (
            one
            for one in guest.listed
            if one.disk is disk and one.volume.start <= offset < one.volume.start + one.volume.size
        ),
        None,
    )
    for placed in of_table(disk):
        field = placed.trace()
        if _holds(field, offset):
            return Owner(volume, field, _path(field, offset), None, ())
    filesystem = volume.mountable if volume else None
    if volume is None or filesystem is None:
        return Owner(volume, None, (), None, ())
    notes: list[str] = []
    try:
        structure = _structure(volume, filesystem, offset)
    except BootcfgError as error:
        structure = None
        notes.append(str(error))
    if structure:
        return Owner(volume, structure, _path(structure, offset), None, tuple(notes))
    try:
        found = _of_a_file(volume, filesystem, offset)
    except BootcfgError as error:
        found = None
        notes.append(str(error))
    notes += [note for note in filesystem.warnings if note not in notes]
    if isinstance(found, Field):
        return Owner(volume, found, _path(found, offset), None, tuple(notes))
    return Owner(volume, None, (), found, tuple(notes))


def _holds(field: Field, offset: int) -> bool:
    return not field.decoded and field.offset <= offset < field.offset + field.size


def _path(field: Field, offset: int) -> tuple[Field, ...]:
    path: list[Field] = []
    below: Field | None = field
    while below:
        below = next((child for child in below.children if _holds(child, offset)), None)
        if below:
            path.append(below)
    return tuple(path)


def _structure(volume: GuestVolume, filesystem: Filesystem, offset: int) -> Field | None:
    name = filesystem.structures.owner(offset - volume.volume.start)
    if name and (structure := filesystem.structures.find(name)):
        return place_structure(volume, filesystem, structure).trace()
    budget = limits.INSPECT_STRUCTURES.budget(volume.name)
    for structure in filesystem.structures.listed():
        budget.spend()
        placed = place_structure(volume, filesystem, structure)
        if _reaches(placed, offset, offset + 1) and _holds(field := placed.trace(), offset):
            return field
    return None


def _reaches(placed: PlacedStructure, start: int, stop: int) -> bool:
    """Tell whether a structure may meet a range of the disk, without decoding it, which takes long."""
    first = disk_offset(placed.source, placed.offset)
    return first is not None and first < stop and first + max(length_of(placed.decoder), placed.room) > start


def _of_a_file(volume: GuestVolume, filesystem: Filesystem, offset: int) -> Field | FileByte | None:
    """Look through all files, up to a limit, for the run or the structure that holds the byte."""
    for path, node in filesystem.nodes():
        with suppress(BootcfgError):  # other files may be sound
            if node.kind is Kind.FILE and (position := _in_runs(node, offset)) is not None:
                return FileByte(decode(path), position)
        with suppress(BootcfgError):
            for structure in filesystem.structures.of_node(node):
                placed = place_structure(volume, filesystem, structure)
                if _reaches(placed, offset, offset + 1) and _holds(field := placed.trace(), offset):
                    return field
    return None


def _in_runs(node: Node, offset: int) -> int | None:
    """Return the byte of a file that lies at an offset of the disk."""
    position = 0
    for run in node.runs():
        if isinstance(run, Extent):
            place = disk_offset(run.source, run.offset)
            if place is not None and place <= offset < place + run.length:
                return position + offset - place
        position += run.length
    return None


def between(guest: Guest, start: int, stop: int) -> Iterator[Field]:
    """Yield the structures that lie in a range of the first disk in order, and the gaps between them.

    A gap is a field of type "gap"; its bytes are shown up to a page.
    """
    limits.INSPECT_RANGE.check(stop - start, "--range")
    disk = guest.disks[0]
    found = [field for placed in of_table(disk) if _meets(field := placed.trace(), start, stop)]
    for volume in guest.listed:
        begin, end = volume.volume.start, volume.volume.start + volume.volume.size
        if volume.disk is disk and volume.mountable and begin < stop and end > start:
            found += _within(volume, volume.mountable, start, stop)
    found.sort(key=lambda field: (field.offset, -field.size))
    position = start
    for field in found:
        if field.offset > position:
            yield gap(disk, position, field.offset)
        yield field
        position = max(position, field.offset + field.size)
    if position < min(stop, disk.source.size):
        yield gap(disk, position, min(stop, disk.source.size))


def _meets(field: Field, start: int, stop: int) -> bool:
    return not field.decoded and field.size > 0 and field.offset < stop and field.offset + field.size > start


def _within(volume: GuestVolume, filesystem: Filesystem, start: int, stop: int) -> Iterator[Field]:
    """Yield the structures of a volume that meet a range, found by asking for owners and by listing."""
    seen: set[str] = set()
    position = max(start, volume.volume.start)
    while position < min(stop, volume.volume.start + volume.volume.size):
        name = filesystem.structures.owner(position - volume.volume.start)
        structure = filesystem.structures.find(name) if name else None
        if structure:
            field = place_structure(volume, filesystem, structure).trace()
            if name not in seen and _meets(field, start, stop):
                seen.add(name)
                yield field
            position = max(position + 1, field.offset + field.size)
        else:
            position = (position | 511) + 1  # structures begin with sectors, or are named below
    budget = limits.INSPECT_STRUCTURES.budget(volume.name)
    for structure in filesystem.structures.listed():
        budget.spend()
        if structure.name in seen:
            continue
        placed = place_structure(volume, filesystem, structure)
        if _reaches(placed, start, stop) and _meets(field := placed.trace(), start, stop):
            yield field


def gap(disk: Disk, start: int, stop: int) -> Field:
    """Return bytes that belong to no structure, a page of them shown."""
    raw = disk.source.read(start, min(stop - start, limits.INSPECT_GAP.value))
    zeros = not any(raw) and stop - start <= limits.INSPECT_GAP.value
    return Field("gap", "gap", start, stop - start, raw, raw, f"{stop - start} zeros" if zeros else None)
