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
STRUCTURES = 8  #: that inspect would show; looking at one takes as long as booting
CHUNKS = 2  #: of a file that are read


class Broken(AssertionError):
    """What every reader promises does not hold."""


contained = contextlib.suppress(BootcfgError)


def look_at(sources: list[Source], *, inspected: int = -1, booted: bool = True) -> None:
    """Open a guest, walk its volumes, boot it; raises nothing unless there is a fault.

    `inspected` is the first of the structures that are looked at field by field, -1 for none.
    """
    with contained:
        guest = Guest.of_sources(sources)
        for volume in guest.listed:
            _volume(volume)
        if booted:
            with contained:
                boot = find_boot(guest, Request())
                _contents(guest.node(boot.kernel))
        if inspected >= 0:
            for placed in itertools.islice(places.structures(guest), inspected, inspected + STRUCTURES):
                list(placed.trace().leaves())


def _volume(volume: GuestVolume) -> None:
    filesystem = volume.mountable
    if filesystem is None:
        return
    with contained:
        _ = filesystem.name, filesystem.features, filesystem.journal_state
        _ = filesystem.label, filesystem.uuid, filesystem.grub_uuid, filesystem.boot_properties
    for path, directory, name, node in walk(filesystem):
        with contained:
            _node(node)
        with contained:
            directory.lookup(name)
        with contained:
            filesystem.walk(path)


def walk(filesystem: Filesystem, nodes: int = NODES) -> Iterator[tuple[bytes, Node, bytes, Node]]:
    """Yield some nodes, those near the root first: path, directory, name, node."""
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
                    yield path, directory, name, node
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
