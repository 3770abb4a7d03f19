"""The seeds: images of tests/corpus, their fields located by tracing their schemas."""

from __future__ import annotations

import functools
import itertools
import lzma
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edits import DECODED, DISK_SHIFT, Edited, blocks_edited, disk_address
from front_door import contained, walk
from mutation import FieldPlace, Mutated, Span

from pybootcfg import places
from pybootcfg.boot import Request, find_boot
from pybootcfg.guest import Guest
from pybootcfg.kind import Kind
from pybootcfg.source import FileSource, Source
from pybootcfg.tracing import Field

ROOT = Path(__file__).parent.parent
STRUCTURES = 300  #: of a volume whose fields are mutated
NODES = 120  #: files whose structures are
LARGEST_FIELD = 16  #: bytes; what is longer is text or an array without fields

_UNPACKED = tempfile.TemporaryDirectory(prefix="fuzz-")


@functools.cache
def unpacked(name: str) -> Path:
    """Return the image of tests/corpus or examples/, unpacked."""
    place = Path(_UNPACKED.name, name.replace("/", "-"))
    folder = ROOT if name.startswith("examples/") else ROOT / "tests/corpus"
    with lzma.open(folder / name) as packed, place.open("wb") as out:
        while chunk := packed.read(1 << 20):
            if any(chunk):
                out.write(chunk)
            else:
                out.seek(len(chunk), 1)
        out.truncate()
    return place


class Seed:
    """A guest of one or more disks: `ext/ext2-1k.img.xz`, or with `+` between the disks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._disks: list[Source] = [FileSource.open(unpacked(part)) for part in name.split("+")]
        self.size = self._disks[0].size

    def sources(self, mutated: Mutated | None = None) -> list[Edited]:
        """Return the disks with edits."""
        mutated = mutated or Mutated(())
        return [
            Edited(disk, number, mutated.edits, None if number else mutated.size)
            for number, disk in enumerate(self._disks)
        ]

    def original(self, address: int, length: int) -> bytes:
        """Return the seed's own bytes, zeros where it has none."""
        if address >= DECODED:
            return bytes(length)
        disk, offset = self._disks[address >> DISK_SHIFT], address & (1 << DISK_SHIFT) - 1
        return disk.read(offset, min(length, disk.size - offset)).ljust(length, b"\0")

    @functools.cached_property
    def spans(self) -> list[Span]:
        """What is read of the disks when everything but file contents is looked at, in order."""
        noted: list[tuple[int, int]] = []
        blocks: dict[int, int] = {}
        sources = self.sources()
        for source in sources:
            source.note = lambda address, length: noted.append((address, length))
        with blocks_edited((), blocks.__setitem__):
            guest = Guest.of_sources(sources)
            for volume in guest.listed:
                for _, node in walk(volume.mountable, NODES) if volume.mountable else ():
                    with contained:  # some seeds are damaged already
                        _ = node.size, node.kind, node.mtime
                        if node.kind is Kind.FILE:
                            list(itertools.islice(node.runs(), 2))
            with contained:
                find_boot(guest, Request())
        merged: list[Span] = []
        for address, length in sorted(noted):
            if merged and address <= (last := merged[-1]).address + last.length:
                merged[-1] = Span(last.address, max(last.length, address + length - last.address))
            else:
                merged.append(Span(address, length))
        return merged + [Span(*block) for block in sorted(blocks.items())]

    @functools.cached_property
    def fields(self) -> list[FieldPlace]:
        """Every field of the seed's structures that lies on a disk as it is, in the order of the disks."""
        guest = Guest.of_sources(self.sources())
        found: dict[tuple[int, int], FieldPlace] = {}
        for disk in guest.disks:
            for placed in places.of_table(disk):
                self._add(found, placed.trace(), disk.number - 1)
        for volume in guest.listed:
            filesystem = volume.mountable
            if filesystem is None:
                continue
            structures = itertools.islice(filesystem.structures.listed(), STRUCTURES)
            own = itertools.chain.from_iterable(
                filesystem.structures.of_node(node) for _, node in walk(filesystem, NODES)
            )
            for placed in places.of_volume(volume, filesystem, itertools.chain(structures, own)):
                self._add(found, placed.trace(), volume.disk.number - 1)
        return [found[key] for key in sorted(found)]

    def _add(self, found: dict[tuple[int, int], FieldPlace], structure: Field, disk: int) -> None:
        if structure.decoded:
            return
        for _, leaf in structure.leaves():
            for offset, size in _pieces(leaf):
                order = "big" if leaf.type.endswith("be") else _order(leaf)
                raw = leaf.raw[offset - leaf.offset : offset - leaf.offset + size]
                address = disk_address(disk, offset)
                if len(raw) == size:
                    found[address, size] = FieldPlace(address, size, order, raw)


def _pieces(leaf: Field) -> Iterator[tuple[int, int]]:
    if 0 < leaf.size <= LARGEST_FIELD:
        yield leaf.offset, leaf.size
    elif leaf.size and any(leaf.raw[:512]):  # text, or an array: some words of it
        for at in range(0, min(leaf.size, 512) - 3, 4):
            yield leaf.offset + at, 4


def _order(leaf: Field) -> str:
    """Tell a field's byte order by its value, where its type leaves it open."""
    return "big" if leaf.value == int.from_bytes(leaf.raw, "big") and any(leaf.raw) else "little"


@functools.cache
def load(name: str) -> Seed:
    """Return a seed, unpacked and looked through once."""
    return Seed(name)
