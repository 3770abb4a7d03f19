"""`pybootcfg ls`, `cat` and `extract`: the guest's files."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from datetime import UTC, datetime

from pybootcfg import extraction, limits
from pybootcfg.cli.commands import open_guest, report
from pybootcfg.cli.paths import Located, locate
from pybootcfg.cli.progress import Progress
from pybootcfg.errors import BootcfgError, GuestFileMissing, ImageError, printable
from pybootcfg.filesystems.base import Node
from pybootcfg.guest import decode
from pybootcfg.kind import Kind
from pybootcfg.results import dump_json
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any


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


def walk(node: Node, path: str, failures: Failures) -> Iterator[tuple[str, Node]]:
    """Yield the node and all below it with their paths, sorted bytewise by path.

    Sorting takes one directory's names at a time: a directory's contents sort behind its name
    followed by a slash, which need not be right behind the directory itself.
    """
    count = limits.LISTED_FILES.budget(path)
    yield path, node
    prefix = path if path.endswith("/") else path + "/"
    # Each level: the open directories' keys, and an iterator over (name or name/, node) in order.
    stack = [(prefix, node.key, _sorted(node, path, failures))]
    while stack:
        prefix, _, entries = stack[-1]
        item = next(entries, None)
        if item is None:
            stack.pop()
            continue
        name, child = item
        if name.endswith("/"):
            below = prefix + name
            if any(child.key == key for _, key, _ in stack):
                failures.add(below.rstrip("/"), ImageError("the directory contains itself"))
                continue
            try:
                limits.PATH_DEPTH.check(len(stack), below)
            except BootcfgError as error:
                failures.add(below.rstrip("/"), error)
                continue
            stack.append((below, child.key, _sorted(child, below.rstrip("/"), failures)))
        else:
            count.spend()
            yield prefix + name, child


def _sorted(folder: Node, path: str, failures: Failures) -> Iterator[tuple[str, Node]]:
    """Return a directory's entries, directories twice: as themselves, and as `name/` for their contents."""
    items: list[tuple[bytes, Node]] = []
    try:
        if folder.kind is not Kind.DIRECTORY:
            return iter(())
        for name, node in folder.entries():
            items.append((name, node))
            try:
                if node.kind is Kind.DIRECTORY:
                    items.append((name + b"/", node))
            except (BootcfgError, OSError):
                continue  # the listing itself meets the error again, and reports it
    except (BootcfgError, OSError) as error:
        failures.add(path, error)
    items.sort(key=lambda item: item[0])
    return iter([(decode(name), node) for name, node in items])


def ls(options: argparse.Namespace) -> int:
    """Print a directory, or all below it."""
    place = locate(open_guest(options), options.place)
    failures = Failures()
    listing = walk(place.node, place.path, failures) if options.recursive else _direct(place, failures)
    rows = _rows(listing, failures, digest=options.sha256)
    if options.json:
        _print_json(place, rows, failures)
    else:
        for row in rows:
            print(_text(row))
        for failure in failures.rows:
            print(f"pybootcfg: {printable(failure['path'])}: {printable(failure['error'])}", file=sys.stderr)
    return failures.status


def _direct(place: Located, failures: Failures) -> Iterator[tuple[str, Node]]:
    if place.node.kind is not Kind.DIRECTORY:
        yield place.path, place.node
        return
    prefix = place.path.rstrip("/") + "/"
    for name, node in _sorted(place.node, place.path, failures):
        if not name.endswith("/"):
            yield prefix + name, node


def _rows(
    listing: Iterator[tuple[str, Node]], failures: Failures, *, digest: bool
) -> Iterator[dict[str, Any]]:
    digests: dict[Any, str] = {}  # of hard links, so that each file is read once
    for path, node in listing:
        try:
            row = _row(path, node)
            if digest and row["type"] == Kind.FILE:
                row["sha256"] = _sha256(node, digests)
        except (BootcfgError, OSError) as error:
            failures.add(path, error)
            continue
        yield row


def _row(path: str, node: Node) -> dict[str, Any]:
    row: dict[str, Any] = {"path": path, "type": str(node.kind)}
    if node.kind is Kind.SYMLINK:
        target = decode(node.target())
        row["size"] = len(node.target())
        row["target"] = target
        return row
    if node.kind is Kind.FILE:
        row["size"] = node.size
    if node.mode is not None:
        row["mode"] = f"{node.mode:04o}"
    if node.mtime is not None:
        row["mtime"] = _time(node.mtime)
    return row


def _time(seconds: int) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return None  # the year 10,000 and later: damage, but no reason to hide the file


def _sha256(node: Node, digests: dict[Any, str]) -> str:
    known = digests.get(node.key)
    if known:
        return known
    hasher = hashlib.sha256()
    extraction.hash_file(node, hasher)
    if len(digests) < 4096:
        digests[node.key] = hasher.hexdigest()
    return hasher.hexdigest()


def _print_json(place: Located, rows: Iterator[dict[str, Any]], failures: Failures) -> None:
    """Print the document row by row, so that memory does not grow with the tree."""
    out = sys.stdout
    out.write(f'{{"schema": 1, "volume": {json.dumps(place.volume.name)}, "files": [')
    separator = "\n"
    for row in rows:
        out.write(separator + json.dumps(row))
        separator = ",\n"
    errors = ",\n".join(json.dumps(row) for row in failures.rows)
    out.write(f'\n], "errors": [{errors}]}}\n')


def _text(row: dict[str, Any]) -> str:
    size = row.get("size", "-")
    target = f" -> {printable(row['target'])}" if "target" in row else ""
    digest = f"{row['sha256']}  " if "sha256" in row else ""
    when = row.get("mtime") or "-"
    path = printable(row["path"])
    return f"{row['type']:<8}{row.get('mode', '-'):>5}{size:>14}  {when:<20}  {digest}{path}{target}"


def cat(options: argparse.Namespace) -> int:
    """Write a file's bytes to stdout."""
    place = locate(open_guest(options), options.place)
    _require_file(place)
    sys.stdout.flush()
    if options.json:
        _print_base64(place)
    else:
        extraction.copy_runs(place.node.runs(), sys.stdout.fileno(), regular=False)
    return 0


def _print_base64(place: Located) -> None:
    """Print the document piece by piece, each a multiple of 3 bytes, since only the last may be padded."""
    out = sys.stdout
    row = json.dumps({"schema": 1, "volume": place.volume.name, **_row(place.path, place.node)})
    out.write(row.removesuffix("}") + ', "base64": "')
    rest = b""
    for chunk in extraction.chunks(place.node.runs()):
        rest += chunk
        whole = len(rest) - len(rest) % 3
        out.write(base64.b64encode(rest[:whole]).decode())
        rest = rest[whole:]
    out.write(base64.b64encode(rest).decode() + '"}\n')


def _require_file(place: Located) -> None:
    if place.node.kind is not Kind.FILE:
        raise GuestFileMissing(printable(place.path), f"not a file, but a {place.node.kind}")


def extract(options: argparse.Namespace) -> int:
    """Copy files and trees below a directory of this machine."""
    guest = open_guest(options)
    failures = Failures()
    os.makedirs(options.output, exist_ok=True)
    status = 0
    done: list[dict[str, Any]] = []
    with Progress(options) as progress:
        for wanted in options.places:
            try:
                place = locate(guest, wanted)
            except BootcfgError as error:
                status = max(status, report(error))
                continue
            _extract_place(place, options.output, failures, progress, done if options.json else None)
    if options.json:
        document = {"schema": 1, "files": done, "errors": failures.rows}
        sys.stdout.write(dump_json(document).decode())
        return max(status, failures.status)
    for failure in failures.rows:
        print(f"pybootcfg: {printable(failure['path'])}: {printable(failure['error'])}", file=sys.stderr)
    return max(status, failures.status)


def _extract_place(
    place: Located, output: str, failures: Failures, progress: Progress, done: list[dict[str, Any]] | None
) -> None:
    """Copy one place, and add to `done` what was copied.

    What the place is called below `output` is the last name of its path.
    """
    base = place.path.rpartition("/")[2]
    prefix = place.path.rstrip("/")
    for path, node in walk(place.node, place.path, failures):
        below = path[len(prefix) :].lstrip("/")
        names = [name for name in (base, *below.split("/")) if name]
        try:
            _extract_node(node, output, names, progress)
            if done is not None:
                done.append(
                    {**_row(f"{place.volume.name}:{path}", node), "output": os.path.join(output, *names)}
                )
        except (BootcfgError, OSError) as error:
            failures.add(path, error)


def _extract_node(node: Node, output: str, names: list[str], progress: Progress) -> None:
    """Make one file, link or directory; its parents are opened without following links.

    A tree that names something twice (a link, then a directory of that name) could otherwise lead out.
    """
    folder = os.open(output, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names[:-1]:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = below
        if names:
            _make(node, folder, names[-1], progress)
    finally:
        os.close(folder)


def _make(node: Node, folder: int, name: str, progress: Progress) -> None:
    if name in (".", "..") or "\0" in name:
        raise ImageError(f"{name!r} cannot be the name of a file here")
    if node.kind is Kind.DIRECTORY:
        os.mkdir(name, dir_fd=folder)
    elif node.kind is Kind.SYMLINK:
        os.symlink(os.fsdecode(node.target()), name, dir_fd=folder)
    elif node.kind is Kind.FILE:
        fd = os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder
        )
        try:
            extraction.copy_runs(progress.follow(node.runs()), fd, regular=True)
        except BaseException:
            os.unlink(name, dir_fd=folder)
            raise
        finally:
            os.close(fd)
    else:
        raise ImageError(f"a {node.kind} is not copied out")
