"""`pybootcfg inspect --at OFFSET`: what owns a byte."""

from __future__ import annotations

import sys

from pybootcfg.cli.display import Page, human
from pybootcfg.cli.inspection import document, fields
from pybootcfg.errors import GuestFileMissing, UsageError, printable
from pybootcfg.guest import Guest
from pybootcfg.places.owners import Owner, owner
from pybootcfg.results import dump_json
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def show(options: argparse.Namespace, guest: Guest) -> int:
    """Print what owns byte `--at` of the first disk; 1 when nothing does."""
    offset: int = options.at
    size = guest.disks[0].source.size
    if offset >= size:
        raise UsageError(f"--at {offset}: the disk has {size} bytes")
    found = owner(guest, offset)
    if options.json or options.jsonl:
        sys.stdout.write(dump_json(_document(offset, found)).decode())
    else:
        _print(Page(options), offset, found)
    return 0 if found.structure or found.file else GuestFileMissing.exit_status


def _document(offset: int, found: Owner) -> dict[str, object]:
    volume = found.volume
    inner = document.node(found.fields[-1]) if found.fields else None
    return {
        "schema": document.SCHEMA,
        "offset": offset,
        "volume": volume.name if volume else None,
        "volume_offset": offset - volume.volume.start if volume else None,
        "structure": found.structure.name if found.structure else None,
        "path": [field.name for field in found.fields],
        "field": inner and {**inner, "children": []},
        "file": found.file.path if found.file else None,
        "file_offset": found.file.offset if found.file else None,
        "notes": list(found.notes),
    }


def _print(page: Page, offset: int, found: Owner) -> None:
    page.line((f"byte {offset:#x}", "head"), f" ({offset})")
    level = 1
    if found.volume:
        volume = found.volume
        page.line(
            "  " * level,
            (volume.name, "name"),
            f"  {volume.volume.start:#x}, {human(volume.volume.size)}",
            f"; byte {offset - volume.volume.start:#x} of it",
        )
        level += 1
    if found.structure:
        structure = found.structure
        page.line(
            "  " * level,
            (printable(structure.name), "name"),
            f"  {structure.offset:#x}, {structure.size} bytes; byte {offset - structure.offset:#x} of it",
        )
        for field in found.fields:
            level += 1
            place = f"  {field.offset:#x}, {field.size} bytes: "
            page.line("  " * level, (printable(field.name), "name"), place, *fields.describe(field))
    elif found.file:
        page.line(
            "  " * level,
            (f"{found.volume.name if found.volume else ''}:{printable(found.file.path)}", "name"),
            f"  byte {found.file.offset:#x} of it",
        )
    else:
        page.line("  " * level, "no structure and no file that is known")
    for note in found.notes:
        page.line(("warning: ", "bad"), printable(note))
    page.close()
