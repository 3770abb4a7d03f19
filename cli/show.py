"""`pybootcfg entries`, `volumes` and `limits`."""

from __future__ import annotations

import sys

from pybootcfg import choose, limits
from pybootcfg.boot import find_menu
from pybootcfg.cli.commands import open_guest, settings_of
from pybootcfg.cli.display import Page, human
from pybootcfg.cli.listing import config_menu, menu_json
from pybootcfg.dialects.base import Settings
from pybootcfg.errors import UsageError, printable
from pybootcfg.guest import Guest, GuestVolume
from pybootcfg.menu import Entry, Menu, Submenu
from pybootcfg.results import dump_json
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from typing import Any


def entries(options: argparse.Namespace) -> int:
    """Print the boot menu of an image or of a loose configuration."""
    settings = Settings(settings_of(options))
    if options.config:
        if options.image:
            raise UsageError("an image or --config, not both")
        menu = config_menu(options.config, dialect=options.dialect, tree=options.tree, settings=settings)
    elif options.image:
        menu = find_menu(open_guest(options), settings)
    else:
        raise UsageError("an image or --config FILE is wanted")
    if options.json:
        sys.stdout.write(dump_json(menu_json(menu)).decode())
    else:
        _print_menu(options, menu)
    return 0 if menu.items else 1


def _print_menu(options: argparse.Namespace, menu: Menu) -> None:
    page = Page(options)
    default = choose.default_index(menu)
    wait = "waits for a choice" if menu.timeout is None else f"timeout {menu.timeout:g} s"
    page.line((printable(str(menu.config)), "head"), f"  {menu.dialect}, {wait}")
    above: tuple[Submenu, ...] = ()
    for index, (submenus, entry) in enumerate(menu.flat()):
        for depth, submenu in enumerate(submenus):
            if submenu not in above:
                page.line("    " + "  " * depth, (printable(submenu.title) + " >", "name"))
        above = submenus
        _print_entry(page, index, entry, "  " * len(submenus), marked=index == default)
    for warning in menu.warnings:
        page.line(("warning: ", "bad"), printable(warning))


def _print_entry(page: Page, index: int, entry: Entry, indent: str, *, marked: bool) -> None:
    page.line((" *" if marked else "  ", "mark"), f"{index:>2} {indent}", (printable(entry.title), "name"))
    rows: list[tuple[str, str]] = []
    if entry.kernel:
        rows.append((str(entry.kind), str(entry.kernel)))
    rows.extend(("initrd", str(file)) for file in entry.initrds)
    rows.extend(("module", f"{module.file} {module.args}") for module in entry.modules)
    if entry.args:
        rows.append(("args", entry.args))
    for what, text in rows:
        page.line(f"      {indent}", (f"{what:<10}", "offset"), printable(text))
    for warning in entry.warnings:
        page.line(f"      {indent}", ("warning   ", "bad"), printable(warning))


def volumes(options: argparse.Namespace) -> int:
    """Print the partition tables and what the volumes hold."""
    guest = open_guest(options)
    if options.json:
        sys.stdout.write(dump_json(_volumes_json(guest)).decode())
        return 0
    page = Page(options)
    for disk in guest.disks:
        table = disk.table
        page.line(
            (printable(disk.source.name), "head"),
            f"  {table.kind}, {table.sector_size}-byte sectors, {human(disk.source.size)}",
        )
        for warning in table.warnings:
            page.line(("warning: ", "bad"), printable(warning))
    rows = [_volume_row(volume) for volume in guest.listed]
    page.table(("NAME", "START", "SIZE", "TYPE", "ACTIVE", "FS", "LABEL", "UUID"), rows)
    for volume in guest.listed:
        for warning in _warnings(volume):
            page.line((f"{volume.name}: ", "bad"), printable(warning))
    return 0


def _volume_row(volume: GuestVolume) -> tuple[str, ...]:
    filesystem = volume.mountable
    return (
        volume.name,
        str(volume.volume.start),
        human(volume.volume.size),
        volume.volume.type,
        "yes" if volume.volume.active else "",
        filesystem.name if filesystem else "-",
        printable(filesystem.label) if filesystem else "",
        filesystem.uuid if filesystem else "",
    )


def _warnings(volume: GuestVolume) -> list[str]:
    found = list(volume.volume.warnings)
    if volume.mountable:
        found += volume.mountable.warnings
    elif volume.failure:
        found.append(str(volume.failure))
    return found


def _volumes_json(guest: Guest) -> dict[str, Any]:
    table = guest.disks[0].table
    return {
        "schema": 1,
        "table": table.kind,
        "sector_size": table.sector_size,
        "volumes": [_volume_json(volume) for volume in guest.listed],
        "warnings": [warning for disk in guest.disks for warning in disk.table.warnings],
    }


def _volume_json(volume: GuestVolume) -> dict[str, Any]:
    filesystem = volume.mountable
    return {
        "name": volume.name,
        "start": volume.volume.start,
        "size": volume.volume.size,
        "type": volume.volume.type,
        "label": volume.volume.label,
        "active": volume.volume.active,
        "filesystem": filesystem.name if filesystem else None,
        "fs_label": filesystem.label if filesystem else "",
        "fs_uuid": filesystem.uuid if filesystem else "",
        "features": list(filesystem.features) if filesystem else [],
        "warnings": _warnings(volume),
    }


def limits_table(options: argparse.Namespace) -> int:
    """Print the limits, those of --limit in effect."""
    rows = list(limits.TABLE.values())
    if options.json:
        table = [
            {"name": row.name, "value": row.value, "seen": row.seen or None, "reason": row.reason}
            for row in rows
        ]
        sys.stdout.write(dump_json({"schema": 1, "limits": table}).decode())
        return 0
    page = Page(options)
    page.line((f"{'limit':<26}{'value':>12}{'seen':>12}", "head"), "  of what; seen: the most in real images")
    for row in rows:
        seen = str(row.seen) if row.seen else "-"
        page.line((f"{row.name:<26}", "name"), (f"{row.value:>12}", "value"), f"{seen:>12}  {row.reason}")
    page.close()
    return 0
