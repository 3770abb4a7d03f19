"""`pybootcfg inspect IMAGE`: one screen, from the disk to what boots and why."""

from __future__ import annotations

import sys

from pybootcfg import choose
from pybootcfg.boot import Boot, NothingBootableError, Request, find_boot, find_menu
from pybootcfg.cli import inspection
from pybootcfg.cli.display import Page, human
from pybootcfg.cli.inspection import diskmap, document
from pybootcfg.dialects.base import Settings
from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded, UnsupportedFeature, printable
from pybootcfg.filesystems import container
from pybootcfg.guest import Disk, Guest, GuestVolume
from pybootcfg.menu import FileRef, Menu, Place
from pybootcfg.places.addresses import FileMap
from pybootcfg.results import dump_json
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

_MAIN_ENTRIES = 20  #: entries that one screen has room for


def show(options: argparse.Namespace, guest: Guest) -> int:
    """Print the overview; 0 even when nothing boots, which it says.

    Damage of a volume tells otherwise, and so does a disk that holds nothing but what cannot be read.
    """
    failures = [one.failure for one in guest.listed if isinstance(one.failure, (ImageError, LimitExceeded))]
    status = max((failure.exit_status for failure in failures), default=0)
    refused = any(isinstance(one.failure, UnsupportedFeature) for one in guest.listed)
    if not status and refused and not any(one.mountable for one in guest.listed):
        status = UnsupportedFeature.exit_status
    whole = overview(guest)
    if options.json or options.jsonl:
        structures = [document.node(field) for field in inspection.main_structures(guest)]
        sys.stdout.write(dump_json({**whole, "structures": structures}).decode())
        return status
    page = Page(options)
    for disk in whole["disks"]:
        _print_disk(page, disk)
    for volume in whole["volumes"]:
        _print_volume(page, volume)
    _print_menu(page, whole["menu"])
    _print_boot(page, whole["boot"])
    if page.drawing:
        diskmap.draw(page, guest, whole)
    page.close()
    return status


def overview(guest: Guest) -> dict[str, Any]:
    """Return what the overview says as plain data; offsets and sizes are in bytes of the disk."""
    lines = _Lines(guest)
    menu, menu_error = _tried(lambda: find_menu(guest, Settings()))
    boot, boot_error = _tried(lambda: find_boot(guest, Request()))
    return {
        "schema": document.SCHEMA,
        "disks": [_disk(disk) for disk in guest.disks],
        "volumes": [_volume(guest, volume) for volume in guest.listed],
        "menu": _menu(guest, menu, menu_error, lines),
        "boot": _boot(guest, boot, boot_error),
    }


def _tried(find: Callable[[], Any]) -> tuple[Any, BootcfgError | OSError | None]:
    try:
        return find(), None
    except (BootcfgError, OSError) as error:
        return None, error


# --- as data -------------------------------------------------------------------------------------


def _disk(disk: Disk) -> dict[str, Any]:
    table = disk.table
    return {
        "name": f"d{disk.number}",
        "image": disk.source.name,
        "container": _container(disk),
        "size": disk.source.size,
        "table": table.kind,
        "sector_size": table.sector_size,
        "structures": [{"name": one.name, "offset": one.offset} for one in table.structures],
        "warnings": list(table.warnings),
    }


def _container(disk: Disk) -> str:
    if not disk.source.size:
        return "directory"
    return "raw" if disk.table.structures else container(disk.source)


def _volume(guest: Guest, volume: GuestVolume) -> dict[str, Any]:
    filesystem, partition = volume.mountable, volume.volume
    found: dict[str, Any] = {
        "name": volume.name,
        "offset": partition.start,
        "size": partition.size,
        "type": partition.type,
        "label": partition.label,
        "guid": partition.guid,
        "active": partition.active,
        "filesystem": filesystem.name if filesystem else None,
        "fs_label": filesystem.label if filesystem else "",
        "fs_uuid": filesystem.uuid if filesystem else "",
        "features": list(filesystem.features) if filesystem else [],
        "journal": filesystem.journal_state if filesystem else "",
        "structures": [{"name": one.name, "offset": one.offset} for one in inspection.main_of(volume)],
        "configurations": [],
        "error": str(volume.failure) if volume.failure else None,
    }
    if filesystem:
        try:
            found["configurations"] = [
                {
                    "dialect": configuration.dialect,
                    "file": str(configuration.file),
                    "offset": _file_offset(guest, configuration.file),
                }
                for configuration in guest.configurations(volume)
            ]
        except BootcfgError as error:
            found["error"] = str(error)
    found["warnings"] = list(partition.warnings) + (filesystem.warnings if filesystem else [])
    return found


def _file_offset(guest: Guest, file: FileRef, offset: int = 0) -> int | None:
    try:
        if guest.volume(file.volume).filesystem.family == "directory":
            return None
        return FileMap(guest.node(file), 1000).disk_offset(offset)
    except (BootcfgError, OSError):
        return None


class _Lines:
    """Where lines of configurations lie on the disk."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.files: dict[FileRef, tuple[list[int], FileMap] | None] = {}

    def offset(self, place: Place) -> int | None:
        """Return the disk offset of a line; None when it has none."""
        if place.file not in self.files:
            self.files[place.file] = self._load(place.file)
        known = self.files[place.file]
        if known is None or not 0 < place.line <= len(known[0]):
            return None
        return known[1].disk_offset(known[0][place.line - 1])

    def _load(self, file: FileRef) -> tuple[list[int], FileMap] | None:
        try:
            node = self.guest.node(file)
            if self.guest.volume(file.volume).filesystem.family == "directory":
                return None
            starts = [0]
            for line in node.read().splitlines(keepends=True):
                starts.append(starts[-1] + len(line))
            return starts, FileMap(node, 1000)
        except (BootcfgError, OSError):
            return None


def _menu(guest: Guest, menu: Menu | None, error: Exception | None, lines: _Lines) -> dict[str, Any] | None:
    if menu is None:
        return {"error": str(error), "entries": []}
    return {
        "error": None,
        "dialect": menu.dialect,
        "config": str(menu.config),
        "offset": _file_offset(guest, menu.config),
        "timeout": menu.timeout,
        "default": choose.default_index(menu),
        "entries": [
            {
                "index": index,
                "title": entry.title,
                "submenu": [submenu.title for submenu in above],
                "kind": str(entry.kind),
                "file": str(entry.source.file),
                "line": entry.source.line,
                "offset": lines.offset(entry.source),
            }
            for index, (above, entry) in enumerate(menu.flat())
        ],
        "warnings": list(menu.warnings),
    }


def _boot(guest: Guest, boot: Boot | None, error: Exception | None) -> dict[str, Any]:
    if boot is None:
        attempts = error.attempts if isinstance(error, NothingBootableError) else []
        return {
            "error": str(error),
            "attempts": [{"volume": one.volume.name, "why": one.why} for one in attempts],
        }

    def file(ref: FileRef) -> dict[str, Any]:
        return {"file": str(ref), "size": guest.size(ref), "offset": _file_offset(guest, ref)}

    return {
        "error": None,
        "kernel": file(boot.kernel),
        "initrd": [file(ref) for ref in boot.initrds],
        "args": boot.args,
        "reasons": list(boot.reasons),
        "warnings": list(boot.warnings),
    }


# --- as text -------------------------------------------------------------------------------------


def _at(offset: int | None) -> tuple[str, str]:
    return (f"{offset:#012x}  " if offset is not None else " " * 14, "offset")


def _print_disk(page: Page, disk: dict[str, Any]) -> None:
    page.line(
        (printable(disk["image"]), "head"),
        f"  {disk['container']}, {human(disk['size'])}, {disk['sector_size']}-byte sectors,"
        f" {'no partition table' if disk['table'] == 'none' else disk['table']}",
    )
    heads = [one for one in disk["structures"] if "[" not in one["name"]]
    for one in heads:
        page.line(_at(one["offset"]), (one["name"], "name"))
    _print_warnings(page, disk["warnings"])


def _print_volume(page: Page, volume: dict[str, Any]) -> None:
    kind = " ".join(filter(None, (volume["type"], volume["label"] and f'"{volume["label"]}"')))
    page.line(
        _at(volume["offset"]),
        (volume["name"], "head"),
        f"  {human(volume['size'])}",
        f"  {printable(kind)}" if kind else "",
        ("  active", "mark") if volume["active"] else "",
    )
    if volume["filesystem"]:
        label = f"  label {printable(volume['fs_label'])!r}" if volume["fs_label"] else ""
        uuid = f"  UUID {volume['fs_uuid']}" if volume["fs_uuid"] else ""
        page.line(_at(None), "  ", (volume["filesystem"], "value"), label, uuid)
        for one in volume["structures"]:
            page.line(_at(one["offset"]), "  ", (one["name"], "name"))
        if volume["features"]:
            _wrapped(page, "  features: ", volume["features"])
        if volume["journal"]:
            page.line(_at(None), "  journal: ", volume["journal"])
    elif not volume["error"]:
        page.line(_at(None), "  no known file system")
    for configuration in volume["configurations"]:
        page.line(
            _at(configuration["offset"]),
            "  configuration: ",
            (printable(configuration["file"]), "name"),
            f"  {configuration['dialect']}",
        )
    if volume["error"]:
        page.line(_at(None), "  ", (printable(volume["error"]), "bad"))
    _print_warnings(page, volume["warnings"])


def _wrapped(page: Page, head: str, words: list[str]) -> None:
    """Print words on as many lines of 80 columns as they take."""
    text, room = head, 80 - 14
    for word in words:
        if len(text) + len(word) + 1 > room and text.strip():
            page.line(_at(None), text.rstrip())
            text = " " * len(head)
        text += printable(word) + " "
    page.line(_at(None), text.rstrip())


def _print_menu(page: Page, menu: dict[str, Any]) -> None:
    if menu["error"]:
        return
    wait = "waits for a choice" if menu["timeout"] is None else f"timeout {menu['timeout']:g} s"
    page.line(_at(menu["offset"]), (printable(menu["config"]), "head"), f"  {menu['dialect']}, {wait}")
    for entry in menu["entries"][:_MAIN_ENTRIES]:
        marked = entry["index"] == menu["default"]
        title = " > ".join([*entry["submenu"], entry["title"]])
        page.line(
            _at(entry["offset"]),
            (" *" if marked else "  ", "mark"),
            f"{entry['index']:>2} ",
            (printable(title), "name"),
            (f"  line {entry['line']}", "offset"),
        )
    left = len(menu["entries"]) - _MAIN_ENTRIES
    if left > 0:
        page.line(_at(None), f"     and {left} more (pybootcfg entries)")
    _print_warnings(page, menu["warnings"])


def _print_boot(page: Page, boot: dict[str, Any]) -> None:
    if boot["error"]:
        why = "" if boot["attempts"] else f": {boot['error']}"
        page.line(("boots ", "head"), (f"nothing{printable(why)}", "bad"))
        for attempt in boot["attempts"]:
            page.line(_at(None), f"  {attempt['volume']}: {printable(attempt['why'])}")
        return
    page.line(("boots", "head"))
    for what, file in [("kernel", boot["kernel"]), *(("initrd", one) for one in boot["initrd"])]:
        page.line(
            _at(file["offset"]),
            f"  {what:<7} ",
            (printable(file["file"]), "value"),
            f"  {human(file['size'])}",
        )
    page.line(_at(None), "  args    ", (printable(boot["args"]), "value"))
    for reason in boot["reasons"]:
        page.line(_at(None), "  because ", printable(reason))
    _print_warnings(page, boot["warnings"])


def _print_warnings(page: Page, warnings: list[str]) -> None:
    for warning in dict.fromkeys(warnings):
        page.line(_at(None), ("  warning: ", "bad"), printable(warning))
