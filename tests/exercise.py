"""Asks a file system what a command of ours may ask, a little of everything, and says what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from pybootcfg.boot import Request, find_boot
from pybootcfg.errors import BootcfgError
from pybootcfg.filesystems.base import Extent, Filesystem, Node, Options
from pybootcfg.guest import Guest
from pybootcfg.kind import Kind
from pybootcfg.source import Source

NAMES = 40  #: of a directory, and nodes in all
RUNS = 20
STRUCTURES = 40
BYTES = 4096


def outcome(sources: list[Source]) -> Iterator[str]:
    """Open a guest and ask; yield errors and warnings, each once, in the order in which they come."""
    said: dict[str, None] = {}

    def tried(question: Callable[[], object]) -> None:
        try:
            question()
        except BootcfgError as error:
            said[f"{type(error).__name__}: {error}"] = None

    guests: list[Guest] = []
    tried(lambda: guests.append(Guest.of_sources(sources, options=Options())))
    for guest in guests:
        said.update(dict.fromkeys(f"table: {text}" for disk in guest.disks for text in disk.table.warnings))
        tried(lambda guest=guest: find_boot(guest, Request()))  # type: ignore[misc]
        for volume in guest.listed:
            tried(lambda volume=volume: volume.filesystem)  # type: ignore[misc]
            if volume.mountable:
                ask(volume.mountable, tried)
                said.update(dict.fromkeys(f"warning: {text}" for text in volume.mountable.warnings))
    yield from said


def ask(filesystem: Filesystem, tried: Callable[[Callable[[], object]], None]) -> None:
    """Ask a file system, through `tried`, which takes the errors."""
    for question in (
        lambda: (filesystem.name, filesystem.label, filesystem.uuid, filesystem.features),
        lambda: filesystem.journal_state,
        lambda: filesystem.boot_properties,
        lambda: list(islice(filesystem.structures.every(), STRUCTURES)),
        lambda: [filesystem.structures.owner(place) for place in range(0, 1 << 20, 4093)],
    ):
        tried(question)
    seen = [filesystem.root]
    for node in seen:
        tried(lambda node=node: look(node, seen))  # type: ignore[misc]
        tried(lambda node=node: list(filesystem.structures.of_node(node)))  # type: ignore[misc]


def look(node: Node, seen: list[Node]) -> None:
    """Ask a node; add those below it to `seen`."""
    _ = (node.key, node.mode, node.mtime, node.size)
    if node.kind is Kind.DIRECTORY:
        for name, below in islice(node.entries(), NAMES):
            if len(seen) < NAMES:
                seen.append(below)
            node.lookup(name)
        node.lookup(b"none")
        node.lookup("nön".encode())
    elif node.kind is Kind.SYMLINK:
        node.target()
    elif node.kind is Kind.FILE:
        for run in islice(node.runs(), RUNS):
            if isinstance(run, Extent):
                run.source.read(run.offset, min(run.length, BYTES))
