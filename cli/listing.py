"""A boot menu in the forms that both commands print: text and JSON."""

from __future__ import annotations

import os

from pybootcfg import choose, dialects, limits
from pybootcfg.dialects.base import Settings
from pybootcfg.errors import UsageError, printable
from pybootcfg.filesystems.base import Options
from pybootcfg.guest import Configuration, Guest
from pybootcfg.menu import Entry, FileRef, Menu, Submenu
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


def config_menu(file: str, *, dialect: str = "", tree: str = "", settings: Settings | None = None) -> Menu:
    """Return the menu of a loose configuration; `tree` is the directory that stands for the guest's root.

    Without `tree`, or when `file` lies elsewhere, the configuration is the only such file of a guest
    that has nothing else, under the path that the caller gave.  One that is many files (loader.conf with
    its entries, a directory of them) brings the directory that it stands in.
    """
    if dialect and dialect not in dialects.names():
        raise UsageError(f"unknown dialect {dialect}", hint=f"one of {', '.join(dialects.names())}")
    tree = tree or _tree_around(file)
    guest = Guest.of_directory(tree, "") if tree else Guest([], Options())
    inside = os.path.relpath(os.path.realpath(file), os.path.realpath(tree)) if tree else os.pardir
    if inside.split(os.sep)[0] == os.pardir:
        with open(file, "rb") as stream:
            text = stream.read(limits.CONFIG_SIZE.value + 1)
        return loose_menu(text, file, guest, dialect=dialect, settings=settings)
    return _interpret(guest, dialect, FileRef("/" + inside), settings)


def _tree_around(file: str) -> str:
    """Return the directory in which a configuration of many files stands; empty when it is but one file."""
    path = os.path.realpath(file)
    for ending in ("/loader/loader.conf", "/loader/entries", "/EFI/Linux"):
        if path.endswith(ending):
            return path.removesuffix(ending) or "/"
    return ""


def loose_menu(
    text: bytes, file: str, guest: Guest | None = None, *, dialect: str = "", settings: Settings | None = None
) -> Menu:
    """Return the menu of a configuration whose text is at hand; `file` is the path that it came from."""
    limits.CONFIG_SIZE.check(len(text), file)
    guest = guest or Guest([], Options())
    place = FileRef(os.path.abspath(file))
    guest.loose[place] = text
    return _interpret(guest, dialect, place, settings)


def _interpret(guest: Guest, dialect: str, place: FileRef, settings: Settings | None) -> Menu:
    settings = settings or Settings()
    if dialect:
        return guest.interpret(Configuration(dialect, place), settings)
    return dialects.recognise(guest, place, settings)


def list_entries(menu: Menu) -> str:
    """Return the text of `pygrub -l`: title, root, kernel, args and initrd of each entry."""
    lines = []
    for _, entry in menu.flat():
        lines.append(f"title: {printable(entry.title)}")
        lines.append(f"  root: {entry.kernel.volume if entry.kernel and entry.kernel.volume else None}")
        lines.append(f"  kernel: {printable(entry.kernel.path) if entry.kernel else None}")
        lines.append(f"  args: {printable(entry.args)}")
        if entry.initrds:
            lines.append("  initrd: " + printable(" ".join(file.path for file in entry.initrds)))
    return "".join(f"{line}\n" for line in lines)


def menu_json(menu: Menu) -> dict[str, Any]:
    """Return a menu as the JSON document of `pybootcfg entries`."""
    return {
        "schema": 1,
        "dialect": menu.dialect,
        "config": str(menu.config),
        "timeout": menu.timeout,
        "default": choose.default_index(menu),
        "entries": [_entry(index, above, entry) for index, (above, entry) in enumerate(menu.flat())],
        "warnings": list(menu.warnings),
    }


def _entry(index: int, above: tuple[Submenu, ...], entry: Entry) -> dict[str, Any]:
    return {
        "index": index,
        "title": entry.title,
        "id": entry.id,
        "submenu": [submenu.title for submenu in above],
        "kind": str(entry.kind),
        "kernel": str(entry.kernel) if entry.kernel else None,
        "initrd": [str(file) for file in entry.initrds],
        "args": entry.args,
        "modules": [{"path": str(module.file), "args": module.args} for module in entry.modules],
        "devicetree": str(entry.devicetree) if entry.devicetree else None,
        "source": {"file": str(entry.source.file), "line": entry.source.line},
        "warnings": list(entry.warnings),
    }
