"""`pybootcfg ls`, `cat` and `extract`: the guest's files."""

from __future__ import annotations

import base64
import functools
import json
import os
import sys
from datetime import UTC, datetime
from itertools import islice
from json.encoder import encode_basestring_ascii as quoted

from pybootcfg import extraction
from pybootcfg.cli.commands import open_guest, report
from pybootcfg.cli.paths import Located, locate
from pybootcfg.cli.progress import Progress
from pybootcfg.cli.tree import Failures, direct, walk
from pybootcfg.errors import BootcfgError, GuestFileMissing, ImageError, printable
from pybootcfg.filesystems.base import Node
from pybootcfg.guest import decode
from pybootcfg.kind import Kind
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import Any

    from pybootcfg.guest import Guest

ROWS_WRITTEN = 256  # rows of JSON that are written at once


def ls(options: argparse.Namespace) -> int:
    """Print a directory, or all below it."""
    place = locate(open_guest(options), options.place)
    failures = Failures()
    listing = (walk if options.recursive else direct)(place.node, place.path, failures)
    form = _json_row if options.json else _text
    rows = failures.ended(_rows(listing, form, failures, digest=options.sha256), place.path)
    if options.json:
        _print_document({"schema": 1, "volume": place.volume.name}, rows, failures)
        return failures.status
    for row in rows:
        print(row)
    _complain(failures)
    return failures.status


def _print_document(head: dict[str, Any], rows: Iterator[str], failures: Failures) -> None:
    """Print `head`, the rows and what failed as JSON, some rows at a time, so that memory does not grow."""
    out = sys.stdout
    out.write(json.dumps(head).removesuffix("}") + ', "files": [')
    separator = "\n"
    while some := list(islice(rows, ROWS_WRITTEN)):
        out.write(separator + ",\n".join(some))
        separator = ",\n"
    errors = ",\n".join(json.dumps(row) for row in failures.rows)
    out.write(f'\n], "errors": [{errors}]}}\n')


def _complain(failures: Failures) -> None:
    for failure in failures.rows:
        print(f"pybootcfg: {printable(failure['path'])}: {printable(failure['error'])}", file=sys.stderr)


def _rows(
    listing: Iterator[tuple[str, Node]],
    form: Callable[[str, Node, str | None], str],
    failures: Failures,
    *,
    digest: bool,
) -> Iterator[str]:
    """Yield a line for each file that can be read, as `form` makes it of path, node and digest."""
    digests: dict[Any, str] = {}  # of hard links, so that each file is read once
    for path, node in listing:
        try:
            yield form(path, node, _sha256(node, digests) if digest and node.kind is Kind.FILE else None)
        except (BootcfgError, OSError) as error:
            failures.add(path, error)


def _row(path: str, node: Node, digest: str | None = None) -> dict[str, Any]:
    kind, size, mode, mtime = node.status()
    row: dict[str, Any] = {"path": path, "type": str(kind)}
    if kind is Kind.SYMLINK:
        target = node.target()
        row["size"] = len(target)
        row["target"] = decode(target)
        return row
    if kind is Kind.FILE:
        row["size"] = size
    if mode is not None:
        row["mode"] = f"{mode:04o}"
    if mtime is not None:
        row["mtime"] = _time(mtime)
    if digest is not None:
        row["sha256"] = digest
    return row


def _json_row(path: str, node: Node, digest: str | None) -> str:
    """Return a row as `json.dumps` writes it, but for a plain file, of which there are many, sooner."""
    kind, size, mode, mtime = node.status()
    if kind is not Kind.FILE or mode is None or mtime is None or digest is not None:
        return json.dumps(_row(path, node, digest))
    return f'{{"path": {quoted(path)}, "type": "file", "size": {size}, {_mode_and_time(mode, mtime)}'


@functools.lru_cache(maxsize=1024)
def _mode_and_time(mode: int, seconds: int) -> str:
    return json.dumps({"mode": f"{mode:04o}", "mtime": _time(seconds)})[1:]


def _time(seconds: int) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return None  # the year 10,000 and later: damage, but no reason to hide the file


def _sha256(node: Node, digests: dict[Any, str]) -> str:
    import hashlib  # which takes long

    known = digests.get(node.key)
    if known:
        return known
    hasher = hashlib.sha256()
    extraction.hash_file(node, hasher)
    if len(digests) < 4096:
        digests[node.key] = hasher.hexdigest()
    return hasher.hexdigest()


def _text(path: str, node: Node, digest: str | None) -> str:
    row = _row(path, node, digest)
    size = row.get("size", "-")
    target = f" -> {printable(row['target'])}" if "target" in row else ""
    shown_digest = f"{digest}  " if digest is not None else ""
    when = row.get("mtime") or "-"
    start = f"{row['type']:<8}{row.get('mode', '-'):>5}{size:>14}  {when:<20}  "
    return f"{start}{shown_digest}{printable(path)}{target}"


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
    with Progress(options) as progress:
        rows = _extracted(guest, options, failures, progress)
        if options.json:
            _print_document({"schema": 1}, map(json.dumps, rows), failures)
        else:
            for _ in rows:
                pass
    if not options.json:
        _complain(failures)
    return failures.status


def _extracted(
    guest: Guest, options: argparse.Namespace, failures: Failures, progress: Progress
) -> Iterator[dict[str, Any]]:
    """Copy all places; yield a row for each file that was copied."""
    for wanted in options.places:
        try:
            place = locate(guest, wanted)
        except BootcfgError as error:
            failures.status = max(failures.status, report(error))
            continue
        rows = _extract_place(place, options.output, failures, progress)
        yield from failures.ended(rows, place.path)


def _extract_place(
    place: Located, output: str, failures: Failures, progress: Progress
) -> Iterator[dict[str, Any]]:
    """Copy one place; what it is called below `output` is the last name of its path."""
    base = place.path.rpartition("/")[2]
    prefix = place.path.rstrip("/")
    for path, node in walk(place.node, place.path, failures):
        below = path[len(prefix) :].lstrip("/")
        names = [name for name in (base, *below.split("/")) if name]
        try:
            _extract_node(node, output, names, progress)
            row = _row(f"{place.volume.name}:{path}", node)
        except (BootcfgError, OSError) as error:
            failures.add(path, error)
            continue
        yield {**row, "output": os.path.join(output, *names)}


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
        target = os.fsdecode(node.target())
        if "\0" in target:
            raise ImageError(f"{target!r} cannot be the target of a link here")
        os.symlink(target, name, dir_fd=folder)
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
