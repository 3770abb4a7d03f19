"""`pybootcfg inspect --formats` and `--help-format NAME`: what is supported, and where it is specified."""

from __future__ import annotations

import importlib
import sys

from pybootcfg import dialects
from pybootcfg.cli.display import Page
from pybootcfg.errors import UsageError, printable
from pybootcfg.filesystems import CONTAINERS, FAMILIES, FOREIGN
from pybootcfg.results import dump_json
from pybootcfg.schema import Decoder, has_words, load, names
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from types import ModuleType
    from typing import Any

#: usual names, and the modules of formats/ that they are described in
_NAMES = {
    "ext2": "ext",
    "ext3": "ext",
    "ext4": "ext",
    "fat12": "fat",
    "fat16": "fat",
    "fat32": "fat",
    "vfat": "fat",
    "ufs1": "ufs",
    "ufs2": "ufs",
    "ffs": "ufs",
    "iso": "iso9660",
    "joliet": "iso9660",
    "rockridge": "susp",
    "el-torito": "eltorito",
    "reiser": "reiserfs",
    "msdos": "mbr",
    "uki": "pe",
    "bzimage": "kernel",
}


def show(options: argparse.Namespace) -> int:
    """Print the list of what is supported, or the page of one format."""
    if options.help_format:
        return _page(options, options.help_format.lower())
    found: dict[str, Any] = {
        "schema": 1,
        "filesystems": [
            {"name": family.module, "description": _summary(_module(family.module))} for family in FAMILIES
        ],
        "refused": [{"name": name, "description": why} for name, _, why in (*FOREIGN, *CONTAINERS)],
        "dialects": [{"name": one.name, "paths": list(one.paths)} for one in dialects.DIALECTS],
        "formats": [{"name": name, "description": _summary(_module(name))} for name in names()],
    }
    if options.json:
        sys.stdout.write(dump_json(found).decode())
        return 0
    page = Page(options)
    page.line(("file systems that are read", "head"))
    for row in found["filesystems"]:
        page.line("  ", (f"{row['name']:<12}", "name"), row["description"])
    page.line(("recognised, and refused by name", "head"))
    for row in found["refused"]:
        page.line("  ", (f"{row['name']:<12}", "name"), row["description"])
    page.line(("boot loader configurations", "head"))
    for row in found["dialects"]:
        page.line(
            "  ", (f"{row['name']:<12}", "name"), ", ".join(row["paths"][:3]), ", …" * (len(row["paths"]) > 3)
        )
    page.line(("structures on disk (--help-format NAME)", "head"))
    for row in found["formats"]:
        page.line("  ", (f"{row['name']:<12}", "name"), row["description"])
    page.close()
    return 0


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"pybootcfg.formats.{name}")


def _summary(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def _page(options: argparse.Namespace, name: str) -> int:
    name = _NAMES.get(name, name)
    if name not in names():
        raise UsageError(
            f"no format is called {printable(name)}", hint=f"one of {', '.join(sorted({*names(), *_NAMES}))}"
        )
    module, layout = _module(name), load(name)
    decoders = [
        (key, getattr(layout, key)) for key in vars(module) if isinstance(getattr(layout, key, None), Decoder)
    ]
    if options.json:
        page_json = {
            "schema": 1,
            "name": name,
            "text": module.__doc__ or "",
            "structures": [
                {"name": key, "size": _size(decoder), "fields": _fields(decoder)} for key, decoder in decoders
            ],
        }
        sys.stdout.write(dump_json(page_json).decode())
        return 0
    page = Page(options)
    for text in (module.__doc__ or "").strip().splitlines():
        page.line(text)
    page.line()
    page.line(("structures", "head"))
    for key, decoder in decoders:
        size = _size(decoder)
        page.line("  ", (key, "name"), f"  {size} bytes" if size is not None else "  of variable size")
        for field in _fields(decoder):
            page.line("      ", field)
    page.close()
    return 0


def _size(decoder: Decoder) -> int | None:
    try:
        return decoder.size
    except TypeError:
        return None


def _fields(decoder: Decoder) -> list[str]:
    record = decoder.schema.subcon if has_words(decoder.schema) else decoder.schema
    return [part.name for part in getattr(record, "subcons", ()) if part.name]
