"""`pybootcfg inspect`: what is on a disk, from one screen down to the byte."""

from __future__ import annotations

import os
import sys

from pybootcfg import dialects, limits, places
from pybootcfg.cli.commands import open_guest
from pybootcfg.cli.display import Page
from pybootcfg.cli.inspection import document, fields
from pybootcfg.cli.paths import locate
from pybootcfg.cli.progress import Counter
from pybootcfg.errors import ImageError, UsageError
from pybootcfg.filesystems.base import Options
from pybootcfg.guest import Guest, GuestVolume
from pybootcfg.kind import Kind
from pybootcfg.menu import FileRef
from pybootcfg.places import files
from pybootcfg.tracing import Field
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

#: how the names of the structures end that say what a volume holds
_MAIN = ("superblock", "boot_sector", "fs_info", "_volume_descriptor", "boot_record", "active_uberblock")


def inspect(options: argparse.Namespace) -> int:
    """Show an image, a place in it, the owner of a byte, a range, a configuration, or what is supported."""
    if options.complete:
        from pybootcfg.cli.inspection import complete

        return complete.show(options)
    if options.formats or options.help_format:
        from pybootcfg.cli.inspection import formats

        return formats.show(options)
    if options.config:
        return _show(options, _configuration(options))
    if not options.image:
        raise UsageError("an image, --config FILE, --formats or --help-format NAME is wanted")
    guest = open_guest(options)
    if options.at is not None:
        from pybootcfg.cli.inspection import owners

        return owners.show(options, guest)
    if options.diff:
        from pybootcfg.cli.inspection import differences

        return differences.show(options, guest)
    if options.range:
        from pybootcfg.places import owners as ranges

        return _show(options, ranges.between(guest, *_range(options.range)))
    if options.all:
        return _show(options, (placed.trace() for placed in places.structures(guest)))
    if options.place:
        return _show(options, chosen(guest, options.place))
    if options.structures:
        return _show(options, main_structures(guest))
    from pybootcfg.cli.inspection import overview

    return overview.show(options, guest)


def chosen(guest: Guest, place: str) -> Iterator[Field]:
    """Yield what a place names: a file, or structures."""
    if _is_path(place):
        located = locate(guest, place, follow=False)
        prefix = place.partition(":")[0] if not place.startswith("/") else located.volume.name
        yield files.of_node(guest, located.filesystem, FileRef(located.path, prefix), located.node)
        if located.node.kind is Kind.SYMLINK:
            target = locate(guest, place)
            yield files.of_node(guest, target.filesystem, FileRef(located.path, prefix), target.node)
    else:
        yield from places.find(guest, place)


def _is_path(place: str) -> bool:
    if place.startswith("/"):
        return True
    _, colon, path = place.partition(":")
    return bool(colon) and (not path or path.startswith("/"))


def main_structures(guest: Guest) -> Iterator[Field]:
    """Yield the partition tables and the superblocks (or what goes by another name, but comes first)."""
    for disk in guest.disks:
        yield from (placed.trace() for placed in places.of_table(disk))
    for volume in guest.listed:
        yield from main_of(volume)


def main_of(volume: GuestVolume) -> Iterator[Field]:
    """Yield the structures that say what a volume holds."""
    if volume.mountable:
        for placed in places.of_volume(volume, volume.mountable, volume.mountable.structures.listed()):
            if placed.name.endswith((*_MAIN, ".fault")) and "[" not in placed.name:
                yield placed.trace()


def _range(text: str) -> tuple[int, int]:
    start, colon, stop = text.partition(":")
    try:
        numbers = int(start, 0), int(stop, 0)
    except ValueError:
        numbers = (0, -1)
    if not colon or not 0 <= numbers[0] <= numbers[1]:
        raise UsageError(f"--range {text}: START:STOP in bytes wanted, such as 0x400:0x800")
    return numbers


def _configuration(options: argparse.Namespace) -> list[Field]:
    path = options.config
    if options.dialect and options.dialect not in dialects.names():
        raise UsageError(f"unknown dialect {options.dialect}", hint=f"one of {', '.join(dialects.names())}")
    with open(path, "rb") as stream:
        text = stream.read(limits.CONFIG_SIZE.value + 1)
    limits.CONFIG_SIZE.check(len(text), path)
    guest, file = Guest([], Options()), FileRef(os.path.abspath(path))
    guest.loose[file] = text
    root = Field(path, "file", 0)
    root.children = files.of_configuration(guest, file, options.dialect or dialects.guess(path))
    return [root]


def _show(options: argparse.Namespace, shown: Iterable[Field]) -> int:
    """Show trees of fields in the form that was asked for; return what became of them."""
    unreadable = False

    def watched() -> Iterator[Field]:
        nonlocal unreadable
        with Counter("structures") as counter:
            for field in shown:
                unreadable = unreadable or (_unreadable(field) and not _is_blank(field))
                counter.step()
                yield field

    if options.jsonl:
        for field in watched():
            sys.stdout.write(document.line(field))
    elif options.json:
        for text in document.stream(watched()):
            sys.stdout.write(text)
    else:
        page = Page(options)
        for field in watched():
            fields.show(page, field, depth=options.depth, array=options.array)
        page.close()
    return ImageError.exit_status if unreadable else 0


def _unreadable(field: Field) -> bool:
    return field.error is not None or any(_unreadable(child) for child in field.children)


def _is_blank(field: Field) -> bool:
    """Whether nothing was ever written there, as in the places that a ring of uberblocks has left."""
    return all(not any(leaf.raw) and (leaf.size or not leaf.error) for _, leaf in field.leaves())
