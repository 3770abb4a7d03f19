"""The files of a guest in the order of their paths, whatever their number, in little memory."""

from __future__ import annotations

from operator import itemgetter

from pybootcfg import limits
from pybootcfg.errors import BootcfgError, ImageError
from pybootcfg.filesystems.base import Node
from pybootcfg.guest import decode
from pybootcfg.kind import Kind
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeVar

    Row = TypeVar("Row")

#: entries held to be sorted: by all directories of a walk that are open, and by one of them at least
MOST_HELD, LEAST_HELD = 1 << 18, 1 << 6
#: entries that a directory is told of before they are looked at, each of which then takes the room of several
READ_AHEAD, ROOM_AHEAD = 512, 4

_name = itemgetter(0)


class Failures:
    """The files that could not be read, as they appear: JSON rows, and the exit status they call for."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []
        self.status = 0

    def add(self, path: str, error: BootcfgError | OSError) -> None:
        """Note that `path` could not be read."""
        status = error.exit_status if isinstance(error, BootcfgError) else 1
        self.status = max(self.status, status)
        limits.LISTED_FAILURES.check(len(self.rows))
        self.rows.append({"path": path, "error": str(error)})

    def ended(self, rows: Iterator[Row], path: str) -> Iterator[Row]:
        """Yield `rows`; what ends them early, such as a limit, is noted as the failure of `path`."""
        try:
            yield from rows
        except (BootcfgError, MemoryError) as error:
            if isinstance(error, MemoryError):
                error = limits.expire(limits.TOTAL_MEMORY)
            self.status = max(self.status, error.exit_status)
            self.rows.append({"path": path, "error": str(error)})


class _Names:
    """The names of one walk: the budget that they draw on, and for how many there is no room any more."""

    def __init__(self, path: str) -> None:
        self.count = limits.LISTED_FILES.budget(path)
        self.held = 0


def walk(node: Node, path: str, failures: Failures) -> Iterator[tuple[str, Node]]:
    """Yield the node and all below it with their paths, sorted bytewise by path.

    A directory's contents sort behind its name followed by a slash, which need not be right behind the
    directory itself.
    """
    names = _Names(path)
    yield path, node
    prefix = path.rstrip("/") + "/"
    # Each level: an open directory's path and key, and an iterator over its (name or name/, node) in order.
    stack = [(prefix, node.key, _with_contents(_in_order(node, path, names, failures)))]
    while stack:
        prefix, _, entries = stack[-1]
        for name, child in entries:
            if not name.endswith(b"/"):
                yield prefix + decode(name), child
                continue
            below = prefix + decode(name)
            try:
                if any(child.key == key for _, key, _ in stack):
                    raise ImageError("the directory contains itself")
                limits.PATH_DEPTH.check(len(stack), below)
            except BootcfgError as error:
                failures.add(below.rstrip("/"), error)
                continue
            contents = _in_order(child, below.rstrip("/"), names, failures)
            stack.append((below, child.key, _with_contents(contents)))
            break
        else:
            stack.pop()


def direct(node: Node, path: str, failures: Failures) -> Iterator[tuple[str, Node]]:
    """Yield the node with its path or, of a directory, its entries, sorted bytewise by path."""
    if node.kind is not Kind.DIRECTORY:
        yield path, node
        return
    prefix = path.rstrip("/") + "/"
    for name, child in _in_order(node, path, _Names(path), failures):
        yield prefix + decode(name), child


def _with_contents(entries: Iterator[tuple[bytes, Node]]) -> Iterator[tuple[bytes, Node]]:
    """Yield a directory's entries in order, those that are directories a second time, as `name/`."""
    due: list[tuple[bytes, Node]] = []  # the next one last, for each name here begins with the one before it
    for item in entries:
        name, node = item
        while due and due[-1][0] < name:
            yield due.pop()
        yield item
        try:
            if node.kind is Kind.DIRECTORY:
                due.append((name + b"/", node))
        except (BootcfgError, OSError):
            continue  # who shows the node meets the error again, and reports it
    yield from reversed(due)


def _in_order(folder: Node, path: str, names: _Names, failures: Failures) -> Iterator[tuple[bytes, Node]]:
    """Yield a directory's entries sorted by name; those of one name in the order of the disk.

    A directory with more entries than there is room for is read several times, each time for the next ones.
    """
    last: bytes | None = None  # the name that was yielded last, and
    given = 0  # how many entries of that name
    while True:
        room = max(LEAST_HELD, (MOST_HELD - names.held) // 2)
        held: list[tuple[bytes, Node]] = []
        bound: bytes | None = None  # names from here on are left to the next time
        try:
            if folder.kind is not Kind.DIRECTORY:
                return
            for item in folder.entries() if last is None else _behind(folder.entries(), last, given):
                if bound is None or item[0] < bound:
                    held.append(item)
                    if len(held) == room:
                        held.sort(key=_name)
                        del held[room * 3 // 4 :]
                        bound = held[-1][0]
        except (BootcfgError, OSError) as error:
            if last is None:  # it is met each time
                failures.add(path, error)
        held.sort(key=_name)
        if bound is not None:
            given = sum(name == held[-1][0] for name, _ in held) + (given if last == held[-1][0] else 0)
            last = held[-1][0]
        names.held += len(held)
        ahead = min(READ_AHEAD, room // ROOM_AHEAD)
        while held:
            part = held[:ahead]
            del held[:ahead]
            names.held += len(part) * (ROOM_AHEAD - 1)
            names.count.spend(len(part))
            folder.read_ahead([node for _, node in part])
            yield from part
            names.held -= len(part) * ROOM_AHEAD
        if bound is None:
            return


def _behind(entries: Iterator[tuple[bytes, Node]], last: bytes, given: int) -> Iterator[tuple[bytes, Node]]:
    """Yield the entries that come behind `given` ones called `last` in the order of names."""
    for item in entries:
        if item[0] > last:
            yield item
        elif item[0] == last:
            given -= 1
            if given < 0:
                yield item
