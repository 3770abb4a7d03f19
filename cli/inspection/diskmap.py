"""The disk map: volumes, metadata and the boot files' extents drawn to scale."""

from __future__ import annotations

from pybootcfg import places
from pybootcfg.cli.display import Page, human
from pybootcfg.errors import BootcfgError, printable
from pybootcfg.filesystems.base import Extent
from pybootcfg.guest import Disk, Guest
from pybootcfg.menu import FileRef
from pybootcfg.places.addresses import disk_offset
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

CELLS = 96  #: in which a disk is drawn
_NAME = 28  #: characters of what stands before a bar
_STRUCTURES = 5000  #: whose places are drawn

Spans = list[tuple[int, int]]


def draw(page: Page, guest: Guest, whole: dict[str, Any]) -> None:
    """Draw each disk: one bar for each volume, one for what is known in it, one for each boot file."""
    for disk in guest.disks:
        size = disk.source.size
        page.line()
        page.line(
            (f"map of {printable(disk.source.name)}", "head"),
            f"  {human(size)}, {human(max(1, size // CELLS))} in a cell",
        )
        _bar(page, "tables", "mark", _tables(disk), size)
        for volume in guest.listed:
            if volume.disk is disk:
                start, end = volume.volume.start, volume.volume.start + volume.volume.size
                _bar(page, volume.name, "field0", [(start, end)], size)
        _bar(page, "metadata", "field2", list(_metadata(guest, disk)), size)
        for name, spans in _boot_files(guest, disk, whole["boot"]):
            _bar(page, name, "field4", spans, size)


def _bar(page: Page, name: str, style: str, spans: Spans, size: int) -> None:
    if not spans or not size:
        return
    filled = [False] * CELLS
    for start, end in spans:
        first = min(start * CELLS // size, CELLS - 1)
        last = min(max(first, (max(end, start + 1) - 1) * CELLS // size), CELLS - 1)
        filled[first : last + 1] = [True] * (last - first + 1)
    shown = printable(name)
    shown = shown if len(shown) <= _NAME else "…" + shown[1 - _NAME :]
    page.line((f"{shown:<{_NAME}} ", "name"), *[("█", style) if cell else ("·", "offset") for cell in filled])


def _tables(disk: Disk) -> Spans:
    fields = [placed.trace() for placed in places.of_table(disk)]
    return [(field.offset, field.offset + field.size) for field in fields if field.size]


def _metadata(guest: Guest, disk: Disk) -> Iterator[tuple[int, int]]:
    count = 0
    for volume in guest.listed:
        filesystem = volume.mountable
        if volume.disk is not disk or not filesystem:
            continue
        try:
            for structure in filesystem.structures.listed():
                count += 1
                place = disk_offset(filesystem.source, structure.offset)
                if count > _STRUCTURES:
                    return
                if place is not None:
                    yield place, place + 1
        except BootcfgError:
            continue  # the overview says what is wrong


def _boot_files(guest: Guest, disk: Disk, boot: dict[str, Any]) -> Iterator[tuple[str, Spans]]:
    if boot["error"]:
        return
    for file in [boot["kernel"], *boot["initrd"]]:
        volume, _, path = file["file"].partition(":")
        spans: Spans = []
        try:
            if guest.volume(volume).disk is not disk:
                continue
            for run in guest.node(FileRef(path, volume)).runs():
                place = disk_offset(run.source, run.offset) if isinstance(run, Extent) else None
                if place is not None:
                    spans.append((place, place + run.length))
        except BootcfgError:
            continue  # the overview says what is wrong
        yield path, spans
