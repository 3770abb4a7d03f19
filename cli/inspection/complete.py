"""`pybootcfg inspect --complete IMAGE [PLACE]`: how a place may go on, for the shells.

It is quick or says nothing: it stops by itself after a second and a half, needs little memory, and keeps
silent about errors.  What the image says is offered only where it is plain text.
"""

from __future__ import annotations

import os
import resource
import signal
import sys

from pybootcfg import limits, places
from pybootcfg.cli.commands import open_guest
from pybootcfg.errors import BootcfgError
from pybootcfg.filesystems.base import Filesystem
from pybootcfg.guest import Guest, GuestVolume, decode
from pybootcfg.kind import Kind
from pybootcfg.tracing import Field
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

_SECONDS = 1.5
_MEMORY = 1 << 30  # bytes
_SEEN = 20_000  # structures looked through for names


def show(options: argparse.Namespace) -> int:
    """Print how a place may go on, a candidate on each line; 0 whatever happens."""
    if not options.image:
        return 0
    _confine()
    offered: set[str] = set()
    try:
        for name in candidates(open_guest(options), options.place):
            if name not in offered and name.isprintable() and name.startswith(options.place):
                offered.add(name)
                print(name)
            if len(offered) == limits.MENU_COMPLETIONS.value:
                break
    except (BootcfgError, OSError, UnicodeError, MemoryError):
        pass  # a shell has no place for errors
    return 0


def _confine() -> None:
    """Stop soon, whatever the image does."""

    def stop(_signal: int, _frame: Any) -> None:
        sys.stdout.flush()
        os._exit(0)

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (2, 3))  # should a long computation keep the signal waiting
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def candidates(guest: Guest, prefix: str) -> Iterator[str]:
    """Yield how a place that begins with `prefix` may go on, up to the end of its next part."""
    head, colon, path = prefix.partition(":")
    if colon:
        yield from _files(guest.volume(head).filesystem, head, path)
        return
    volume = places.volume_of(guest, prefix.partition(".")[0]) if "." in prefix else None
    if volume is not None:
        yield from _in_volume(volume, prefix)
        return
    tables = [placed for disk in guest.disks for placed in places.of_table(disk)]
    for placed in tables:
        yield from _going_on(placed.name, prefix)
    for placed in tables:
        if prefix.startswith((f"{placed.name}.", f"{placed.name}[")):
            yield from _fields(placed.trace(), placed.name, prefix)
    for one in guest.listed:
        if one.mountable:
            yield f"{one.name}."
            yield f"{one.name}:/"


def _in_volume(volume: GuestVolume, prefix: str) -> Iterator[str]:
    filesystem, rest = volume.filesystem, prefix.partition(".")[2]
    for number, structure in enumerate(filesystem.structures.below(rest)):
        yield from _going_on(f"{volume.name}.{structure.name}", prefix)
        if number == _SEEN:
            break
    for end in range(len(rest), 0, -1):
        if rest[end - 1] in ".[":
            found = filesystem.structures.find(rest[: end - 1])
            if found:
                placed = places.place(volume, filesystem, found)
                yield from _fields(placed.trace(), placed.name, prefix)
                return


def _fields(field: Field, name: str, prefix: str) -> Iterator[str]:
    for child in field.children:
        if child.name:
            full = f"{name}{child.name}" if child.name.startswith("[") else f"{name}.{child.name}"
            yield from _going_on(full, prefix)
            if prefix.startswith(full):
                yield from _fields(child, full, prefix)


def _going_on(name: str, prefix: str) -> Iterator[str]:
    """Yield a name up to the end of the part that follows `prefix`; nothing when it begins otherwise."""
    if not name.startswith(prefix):
        return
    inside = prefix.rpartition("[")[2].find("]") < 0 and "[" in prefix
    for index in range(len(prefix), len(name)):
        char = name[index]
        if inside:
            if char == "]":
                yield name[: index + 1]
                return
        elif char in ".[" and index > len(prefix):
            yield name[: index + 1]
            return
    yield name


def _files(filesystem: Filesystem, volume: str, path: str) -> Iterator[str]:
    folder, slash, _ = path.rpartition("/")
    if not slash:
        yield f"{volume}:/"
        return
    directory = filesystem.walk(folder.encode("utf-8", "surrogateescape"))
    if directory.kind is not Kind.DIRECTORY:
        return
    for name, node in directory.entries():
        full = f"{volume}:{folder}/{decode(name)}"
        if full.startswith(f"{volume}:{path}"):
            yield full + ("/" if node.kind is Kind.DIRECTORY else "")
