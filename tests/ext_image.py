"""ext images for the tests: carried ones, ones that mke2fs makes, and what the reader sees of them."""

from __future__ import annotations

import hashlib
import lzma
import os
import random
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest

from faults.images import unpack_file
from pybootcfg.filesystems.base import Hole, Inline, Node, Options
from pybootcfg.filesystems.ext import Ext
from pybootcfg.kind import Kind
from pybootcfg.source import FileSource, MemorySource, Source, Window

CARRIED = Path(__file__).parent / "corpus" / "ext"
ENVIRONMENT = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/sbin:/usr/sbin", "TZ": "UTC"}


class Seen(NamedTuple):
    """What is to be known of one file: its type, and what its contents are."""

    kind: str
    size: int
    contents: str  # SHA-256 of a file, target of a link


def open_image(path: Path, offset: int = 0, **options: Any) -> Ext:
    """Open the file system in an image (or at an offset of it)."""
    source: Source = FileSource.open(path)
    if offset:
        source = Window(source, offset, source.size - offset, "p")
    return Ext(source, Options(**options))


def open_bytes(data: bytes, **options: Any) -> Ext:
    """Open the file system in bytes that a test may have changed."""
    return Ext(MemorySource(bytes(data), "image"), Options(**options))


def digest(node: Node) -> str:
    """Hash a file by its runs."""
    register = hashlib.sha256()
    for run in node.runs():
        if isinstance(run, Inline):
            register.update(run.data)
            continue
        done = 0
        while done < run.length:
            count = min(run.length - done, 1 << 20)
            register.update(
                bytes(count) if isinstance(run, Hole) else run.source.read(run.offset + done, count)
            )
            done += count
    return register.hexdigest()


def look(node: Node) -> Seen:
    """Return what the reader sees of a node."""
    if node.kind is Kind.FILE:
        return Seen("file", node.size, digest(node))
    if node.kind is Kind.SYMLINK:
        return Seen("symlink", node.size, quote_from_bytes(node.target()))
    return Seen(node.kind.value, 0, "")


def nodes(filesystem: Ext) -> Iterator[tuple[bytes, Node]]:
    """Walk a file system."""
    todo: list[tuple[bytes, Node]] = [(b"", filesystem.root)]
    while todo:
        path, directory = todo.pop()
        for name, node in directory.entries():
            yield path + b"/" + name, node
            if node.kind is Kind.DIRECTORY:
                todo.append((path + b"/" + name, node))


def listing(filesystem: Ext) -> dict[bytes, Seen]:
    """Return all files that the reader lists, except lost+found."""
    return {path: look(node) for path, node in nodes(filesystem) if path != b"/lost+found"}


def tree_listing(root: Path) -> dict[bytes, Seen]:
    """Return the same of a folder."""
    kinds = {stat.S_IFDIR: "dir", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket", stat.S_IFCHR: "char"}
    found = {}
    top = os.fsencode(root)
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                seen = Seen("symlink", status.st_size, quote_from_bytes(os.readlink(path)))
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    seen = Seen("file", status.st_size, hashlib.file_digest(file, "sha256").hexdigest())
            else:
                seen = Seen(kinds[stat.S_IFMT(status.st_mode)], 0, "")
            found[path[len(top) :]] = seen
    found.pop(b"/lost+found", None)
    return found


def carried(name: str, folder: Path) -> Path:
    """Unpack one of the images that the repository carries."""
    target = folder / f"{name}.img"
    if not target.exists():
        unpack_file(CARRIED / f"{name}.img.xz", target)
    return target


def carried_listing(name: str) -> dict[bytes, Seen]:
    """Return the manifest of a carried image: kind, size, contents (16 digits of a hash), path."""
    found = {}
    for line in lzma.decompress((CARRIED / f"{name}.tsv.xz").read_bytes()).decode().splitlines():
        kind, size, contents, path = line.split("\t")
        found[unquote_to_bytes(path)] = Seen(kind, int(size), contents)
    return found


def shortened(found: dict[bytes, Seen]) -> dict[bytes, Seen]:
    """Return a listing with hashes as short as those of `carried_listing`."""
    return {
        path: seen._replace(contents=seen.contents[:16]) if seen.kind == "file" else seen
        for path, seen in found.items()
    }


def require(*tools: str) -> None:
    """Skip the test unless the tools are installed."""
    for tool in tools:
        if not shutil.which(tool, path=ENVIRONMENT["PATH"]):
            pytest.skip(f"{tool} is not installed")


def run(*command: str | Path, status: tuple[int, ...] = (0,), stdin: str = "") -> str:
    """Run a tool and return what it printed."""
    done = subprocess.run(
        [*map(str, command)], input=stdin.encode(), capture_output=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode in status, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="surrogateescape")


def mke2fs(image: Path, *options: str, tree: Path | None = None, size: str = "64M") -> Path:
    """Make a file system with the contents of `tree`."""
    require("mke2fs")
    contents = ["-d", str(tree)] if tree else []
    run("mke2fs", "-q", "-F", *options, *contents, image, size)
    return image


def e2fsck(image: Path, *options: str) -> str:
    """Repair (or index, or replay) a file system; fails when that cannot be done."""
    require("e2fsck")
    return run("e2fsck", "-fy", *options, image, status=(0, 1))


def debugfs(image: Path, *commands: str, write: bool = False) -> str:
    """Run debugfs commands."""
    require("debugfs")
    return run("debugfs", *(["-w"] if write else []), "-f", "-", image, stdin="\n".join(commands) + "\n")


def grow(root: Path, *, names: int = 800, odd_names: bool = True) -> Path:
    """Make a tree with lengths around the limits of every block size and mapping, and links."""
    noise = random.Random(4)  # noqa: S311
    (root / "boot" / "grub").mkdir(parents=True)
    (root / "boot" / "grub" / "grub.cfg").write_text("menuentry Linux { linux /vmlinuz }\n")
    (root / "many").mkdir()
    for number in range(names):
        (root / "many" / f"entry-{number:05}{'x' * (number % 50)}").touch()
    (root / "sizes").mkdir()
    edges = (0, 1, 59, 60, 61, 100, 156, 157, 300, 1023, 1024, 4097, 12 * 1024, 12 * 1024 + 1, 12 * 4096 + 1)
    for edge in (*edges, 268 * 1024, 268 * 1024 + 5):
        (root / "sizes" / f"{edge}").write_bytes(noise.randbytes(edge))
    with (root / "sparse").open("wb") as file:
        for place in (0, 5_000, 300_000, 10_000_000, 67_600_000):  # the last is triple indirect at 1 KiB
            file.seek(place)
            file.write(b"island")
        file.truncate(68_000_001)
    (root / "links").mkdir()
    for length in (1, 58, 59, 60, 61, 62, 155, 157, 255, 1000):
        (root / "links" / f"to-{length}").symlink_to("t" * length)
    os.link(root / "sizes" / "4097", root / "hard")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(root)
        made.bind("socket")
        os.chdir(here)
    deep = root / "deep"
    for level in range(20):
        deep = deep / f"level{level}"
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("bottom\n")
    for entries in (0, 1, 3, 4, 5, 8, 12, 20):  # around what fits into an inode
        (root / f"small{entries}").mkdir()
        for number in range(entries):
            (root / f"small{entries}" / f"n{number}").write_bytes(b"s" * number)
    if odd_names:
        (root / "name \\ with\n\x1b[31m").write_text("odd")
        Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfenot-utf8")).write_text("latin")
    return root
