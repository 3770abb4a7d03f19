"""UFS images for tests: trees written by makefs, read back, and patched by offsets of <ufs/ffs/fs.h>."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.images import unpack_file
from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Extent, Filesystem, Hole, Node, Options
from pybootcfg.kind import Kind
from pybootcfg.source import FileSource, Window

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}

CARRIED = Path(__file__).parent / "corpus" / "ufs"

Listing = dict[str, dict[str, Any]]


def require(*tools: str) -> None:
    """Skip the test where a reference tool is not installed."""
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


def makefs(image: Path, tree: Path, order: str, options: str, *more: str) -> Path:
    """Write `tree` into `image` by makefs; `order` is le or be."""
    require("makefs")
    command = ["makefs", "-t", "ffs", "-B", order, "-M", "32m", "-o", options, *more, str(image), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return image


def tree_listing(tree: Path) -> Listing:
    """Return what a reader must find of a directory tree, by path."""
    listing: Listing = {}
    for folder, folders, files in os.walk(tree):
        for name in folders + files:
            path = Path(folder, name)
            status = path.lstat()
            kind = KINDS[stat.S_IFMT(status.st_mode)]
            entry: dict[str, Any] = {"type": kind, "mode": status.st_mode & 0o7777}
            entry["mtime"] = int(status.st_mtime)
            if kind == "file":
                data = path.read_bytes()
                entry |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                entry["links"] = status.st_ino if status.st_nlink > 1 else None
            elif kind == "symlink":
                entry["target"] = os.readlink(path)
            listing[str(path.relative_to(tree))] = entry
    return _with_link_groups(listing)


def image_listing(filesystem: Filesystem) -> Listing:
    """Return what our reader finds, in the form of `tree_listing`."""
    listing = dict(_walk(filesystem.root, ""))
    seen: dict[Any, int] = {}
    for entry in listing.values():
        if "links" in entry:
            seen[entry["links"]] = seen.get(entry["links"], 0) + 1
    for entry in listing.values():
        if "links" in entry and seen[entry["links"]] == 1:
            entry["links"] = None
    return _with_link_groups(listing)


def _with_link_groups(listing: Listing) -> Listing:
    """Replace the inode numbers of hard links by the first path that has them."""
    first: dict[Any, str] = {}
    for path in sorted(listing):
        number = listing[path].get("links")
        if number is not None:
            listing[path]["links"] = first.setdefault(number, path)
    return listing


def _walk(folder: Node, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, node in folder.entries():
        path = prefix + os.fsdecode(name)
        entry: dict[str, Any] = {"type": str(node.kind), "mode": node.mode, "mtime": node.mtime}
        if node.kind is Kind.FILE:
            entry |= {"size": node.size, "sha256": digest(node), "links": node.key}
        elif node.kind is Kind.SYMLINK:
            entry["target"] = os.fsdecode(node.target())
        yield path, entry
        if node.kind is Kind.DIRECTORY:
            yield from _walk(node, path + "/")


def digest(node: Node) -> str:
    """Return the SHA-256 of a file, read run by run."""
    done = hashlib.sha256()
    length = 0
    for run in node.runs():
        length += run.length
        for start in range(0, run.length, 1 << 20):
            count = min(1 << 20, run.length - start)
            if isinstance(run, Extent):
                done.update(run.source.read(run.offset + start, count))
            else:
                assert isinstance(run, Hole)
                done.update(bytes(count))
    assert length == node.size
    return done.hexdigest()


def crc32c(data: bytes) -> int:
    """Return what FreeBSD's calculate_crc32c(~0, ...) returns, bit by bit."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register


def open_image(path: Path, offset: int = 0) -> Filesystem:
    """Open the file system in an image, found as pybootcfg finds it."""
    source = FileSource.open(path)
    filesystem = open_filesystem(Window(source, offset, source.size - offset, "p1"), Options())
    assert filesystem is not None
    return filesystem


class Patch:
    """Changes to a copy of an image; field offsets are bytes into the structures of <ufs/ffs/fs.h>."""

    def __init__(self, image: Path, big: bool, version: int, home: int = 8192) -> None:
        self.image = image
        self.order = ">" if big else "<"
        self.version = version
        self.home = home
        self.data = bytearray(image.read_bytes())
        self.bsize, self.fsize = self.field(48), self.field(52)
        self.frag = self.bsize // self.fsize
        self.iblkno = self.field(16)
        self.inode_size = 256 if version == 2 else 128
        self.copy = self.field(8) * self.fsize  # fs_sblkno: where the first group's copy lies
        self.expected: Listing = {}

    def get(self, code: str, at: int) -> int:
        return int(struct.unpack_from(self.order + code, self.data, at)[0])

    def put(self, code: str, at: int, *values: int) -> None:
        struct.pack_into(f"{self.order}{len(values)}{code}", self.data, at, *values)

    def field(self, offset: int, code: str = "i") -> int:
        """Return a field of the superblock."""
        return self.get(code, self.home + offset)

    def set_field(self, offset: int, value: int, code: str = "i") -> None:
        self.put(code, self.home + offset, value)

    def inode(self, number: int) -> int:
        """Return where an inode of the first cylinder group lies."""
        assert number < self.field(184)  # fs_ipg
        return self.iblkno * self.fsize + number * self.inode_size

    def mode(self, number: int) -> int:
        return self.get("H", self.inode(number))

    def size_at(self, number: int) -> int:
        """Return where di_size lies."""
        return self.inode(number) + (16 if self.version == 2 else 8)

    @property
    def pointer(self) -> str:
        return "Q" if self.version == 2 else "I"

    def pointer_at(self, number: int, index: int) -> int:
        """Return where a pointer lies: 0 to 11 are di_db, 12 to 14 di_ib."""
        if self.version == 2:
            return self.inode(number) + 112 + 8 * index
        return self.inode(number) + 40 + 4 * index

    def block(self, number: int, index: int) -> int:
        """Return where the block that a pointer names lies, in bytes."""
        return self.get(self.pointer, self.pointer_at(number, index)) * self.fsize

    def records(self, number: int) -> Iterator[int]:
        """Yield where the entries of a directory (of up to 12 blocks, before any change) lie."""
        size = self.get("Q", self.size_at(number))
        for index in range(-(-size // self.bsize)):
            at = self.block(number, index)
            end = at + min(self.bsize, size - index * self.bsize)
            while at < end:
                yield at
                at += self.get("H", at + 4)

    def free_block(self) -> int:
        """Return the number of the first fragment of a block that the first group has free."""
        group = self.field(12) * self.fsize  # fs_cblkno
        bits = group + self.get("I", group + 96)  # cg_freeoff
        used = ((1 << self.frag) - 1) & 0xFF
        for fragment in range(self.field(20), self.get("I", group + 20), self.frag):  # fs_dblkno, cg_ndblk
            if self.data[bits + fragment // 8] >> fragment % 8 & used == used:
                return fragment
        raise ValueError("no block is free")

    def attributes(self, number: int, *attributes: tuple[int, bytes, bytes]) -> None:
        """Give an inode of UFS2 extended attributes: (namespace, name, contents), by <ufs/ufs/extattr.h>."""
        area = b""
        for namespace, name, contents in attributes:
            head = (7 + len(name) + 7) // 8 * 8
            padding = -len(contents) % 8
            length = head + len(contents) + padding
            start = struct.pack(f"{self.order}IBBB", length, namespace, padding, len(name)) + name
            area += start.ljust(head, b"\0") + contents + bytes(padding)
        fragment = self.free_block()
        self.data[fragment * self.fsize : fragment * self.fsize + len(area)] = area
        self.put("I", self.inode(number) + 92, len(area))
        self.put("Q", self.inode(number) + 96, fragment)

    def write(self) -> Path:
        self.image.write_bytes(self.data)
        return self.image


def carried(name: str, folder: Path) -> Patch:
    """Return a copy of an image that tests/corpus/ufs carries."""
    image = folder / "image"
    unpack_file(CARRIED / f"{name}.img.xz", image)
    return Patch(image, big=name.endswith("be"), version=int(name[3]))


def inode_of(image: Path, path: bytes) -> int:
    """Return the inode number of a path, as our reader finds it."""
    key = open_image(image).walk(path, follow=False).key
    assert isinstance(key, int)
    return key
