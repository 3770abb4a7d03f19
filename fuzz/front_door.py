"""What is done with every guest that the fuzzer makes: all that a caller may ask of it, in bounds."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

from pybootcfg import extraction, places
from pybootcfg.boot import Request, find_boot
from pybootcfg.errors import BootcfgError
from pybootcfg.filesystems.base import Filesystem, Node
from pybootcfg.guest import Guest, GuestVolume
from pybootcfg.kind import Kind
from pybootcfg.source import Source

NODES = 14  #: of a volume that are looked at
RUNS = 200  #: of a file that are listed
STRUCTURES = 8  #: that inspect would show
CHUNKS = 2  #: of a file that are read

WALKED, BOOTED, INSPECTED = range(3)


class Broken(AssertionError):
    """What every reader promises does not hold."""


contained = contextlib.suppress(BootcfgError)


def look_at(sources: list[Source], way: int = WALKED, number: int = 0) -> None:
    """Open a guest and do one thing with it; raises nothing unless there is a fault.

    It is walked, volume `number` of it; or booted; or its structures from `number` on are inspected.
    """
    with contained:
        guest = Guest.of_sources(sources)
        if way == BOOTED:
            boot = find_boot(guest, Request())
            _contents(guest.node(boot.kernel))
        elif way == INSPECTED:
            first = number * STRUCTURES
            for placed in itertools.islice(places.structures(guest), first, first + STRUCTURES):
                list(placed.trace().leaves())
        elif guest.listed:
            _volume(guest.listed[number % len(guest.listed)])


def _volume(volume: GuestVolume) -> None:
    filesystem = volume.mountable
    if filesystem is None:
        return
    with contained:
        _ = filesystem.name, filesystem.features, filesystem.journal_state
        _ = filesystem.label, filesystem.uuid, filesystem.grub_uuid, filesystem.boot_properties
    deepest = b"/"
    for path, node in walk(filesystem):
        deepest = path
        with contained:
            _node(node)
    # One way through the directories by name says as much as all of them, and takes less.
    for wanted in (deepest, deepest + b"?"):
        with contained:
            filesystem.walk(wanted)


def walk(filesystem: Filesystem, nodes: int = NODES) -> Iterator[tuple[bytes, Node]]:
    """Yield some nodes and their paths, those near the root first."""
    with contained:
        todo: list[tuple[bytes, Node]] = [(b"", filesystem.root)]
        seen = set()
        for folder, directory in todo:
            with contained:
                if directory.key in seen:
                    continue
                seen.add(directory.key)
                for name, node in itertools.islice(directory.entries(), nodes):
                    path = folder + b"/" + name
                    yield path, node
                    nodes -= 1
                    if nodes <= 0:
                        return
                    with contained:
                        if node.kind is Kind.DIRECTORY:
                            todo.append((path, node))


def _node(node: Node) -> None:
    kind = node.kind
    _ = node.mode, node.mtime, hash(node.key)
    if kind is Kind.SYMLINK:
        node.target()
    elif kind is Kind.FILE:
        _contents(node)


def _contents(node: Node) -> None:
    size = node.size
    if size < 0:
        raise Broken(f"a file of {size} bytes")
    total = 0
    for run in itertools.islice(node.runs(), RUNS):
        if run.length <= 0:
            raise Broken(f"a run of {run.length} bytes")
        total += run.length
        if total > size:
            raise Broken(f"runs of {total} bytes in a file of {size}")
    for _ in itertools.islice(extraction.chunks(node.runs()), CHUNKS):
        pass
