"""Names of structures: `mbr`, `gpt.entries[2]`, `p1.superblock`; what `inspect` walks.

Partition tables and file systems name their structures themselves; here the names of a volume's
structures get the volume's name in front, and those of a further disk the disk's (`d2.gpt.header`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pybootcfg.errors import UsageError, printable
from pybootcfg.guest import Guest
from pybootcfg.schema import Decoder
from pybootcfg.source import Source
from pybootcfg.tracing import Field


class PlacedStructure(NamedTuple):
    """A structure by its full name, and where it lies: `base` is where its source begins on the disk."""

    name: str
    decoder: Decoder
    source: Source
    offset: int
    base: int

    def trace(self) -> Field:
        """Decode it field by field."""
        return self.decoder.trace(self.source, self.offset)


def structures(guest: Guest) -> Iterator[PlacedStructure]:
    """Yield every structure that the guest's tables and file systems name, tables first."""
    for disk in guest.disks:
        prefix = "" if disk.number == 1 else f"d{disk.number}."
        for name, decoder, offset in disk.table.structures:
            yield PlacedStructure(prefix + name, decoder, disk.source, offset, 0)
    for volume in guest.listed:
        if volume.mountable:
            for name, decoder, offset in volume.mountable.structures():
                source = volume.mountable.source
                yield PlacedStructure(f"{volume.name}.{name}", decoder, source, offset, volume.volume.start)


def find(guest: Guest, place: str) -> list[PlacedStructure]:
    """Return the structures called `place`, or those below it (`gpt`, `p1`); raise UsageError for none."""
    found = []
    for structure in structures(guest):
        if structure.name == place:
            return [structure]
        rest = structure.name.removeprefix(place)
        if rest != structure.name and rest[0] in ".[":
            found.append(structure)
    if not found:
        raise UsageError(
            f"no structure is called {printable(place)}", hint="`pybootcfg inspect IMAGE` lists them"
        )
    return found
