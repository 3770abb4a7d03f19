"""What the tests of ZFS share: the carried pools, listings, and disks that lie or lack pieces.

How the carried pools were made, each with a listing by the system that wrote it:

    checksums-v5000   OpenZFS 2.4.4: a dataset for each value of `checksum`, some files in each
    datasets-v15      zfs-fuse 0.7.0: `zpool create -o version=15 -O compression=on rpool`; ROOT/be is the
                      bootfs with a snapshot, a clone, datasets below (case-insensitive and normalising;
                      canmount=off) and one from elsewhere mounted in it; listed from the bootfs
    intent-log-v23    zfs-fuse: files created, changed, linked, renamed and removed, each with fsync, then the
                      daemon killed; listed after the next import had replayed the log
    raidz2-v23        zfs-fuse: `zpool create stripes raidz2` on four disks
"""

from __future__ import annotations

import functools
import hashlib
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from pybootcfg.filesystems.base import Hole, Inline, Node, Options
from pybootcfg.filesystems.zfs import Zfs
from pybootcfg.kind import Kind
from pybootcfg.source import FilePiece, MemorySource, Source

CARRIED = Path(__file__).parent / "corpus" / "zfs"
FRONT = 4 << 20  # labels and boot area; the pool's data begins after it


class Seen(NamedTuple):
    """One file: what it is, its length, the begin of its hash or where it points."""

    kind: str
    size: int = 0
    contents: str | bytes = ""


@functools.cache
def disks(name: str) -> tuple[MemorySource, ...]:
    """Return the disks of a carried pool."""
    paths = sorted(CARRIED.glob(f"{name}.d*.img.xz"))
    return tuple(MemorySource(lzma.decompress(path.read_bytes()), path.name[:-7]) for path in paths)


def listing(name: str) -> dict[bytes, Seen]:
    """Return what the system that wrote a carried pool saw in it."""
    found = {}
    for line in lzma.decompress((CARRIED / f"{name}.tsv.xz").read_bytes()).decode().splitlines():
        kind, size, contents, path = line.split("\t")
        value = unquote_to_bytes(contents) if kind == "symlink" else contents
        found[unquote_to_bytes(path)] = Seen(kind, int(size), value)
    return found


def pool(*sources: Source, replay: bool = True) -> Zfs:
    """Open a pool by its first disk."""
    return Zfs(sources[0], Options(others=sources[1:], replay_journal=replay))


def contents(node: Node) -> Iterator[bytes]:
    for run in node.runs():
        assert isinstance(run, Inline | Hole)
        yield run.data if isinstance(run, Inline) else bytes(run.length)


def seen(node: Node) -> Seen:
    """Read one file to its end."""
    if node.kind is Kind.SYMLINK:
        return Seen("symlink", 0, node.target())
    if node.kind is not Kind.FILE:
        return Seen(node.kind.value)
    digest, length = hashlib.sha256(), 0
    for data in contents(node):
        digest.update(data)
        length += len(data)
    assert length == node.size
    return Seen("file", length, digest.hexdigest()[:16])


def tree(root: Node) -> dict[bytes, Seen]:
    """Read everything below a directory."""
    found = {b"/": Seen("dir")}
    todo: list[tuple[bytes, Node]] = [(b"", root)]
    while todo:
        path, directory = todo.pop()
        for name, node in directory.entries():
            below = path + b"/" + name
            found[below] = seen(node)
            if node.kind is Kind.DIRECTORY:
                todo.append((below, node))
    return found


class Patched(Source):
    """Another source with some ranges overwritten."""

    def __init__(self, base: Source, patches: dict[int, bytes]) -> None:
        self.base = base
        self.name = base.name
        self.size = base.size
        self.patches = patches

    def _read(self, offset: int, length: int) -> bytes:
        data = bytearray(self.base.read(offset, length))
        for start, patch in self.patches.items():
            first, last = max(start, offset), min(start + len(patch), offset + length)
            if first < last:
                data[first - offset : last - offset] = patch[first - start : last - start]
        return bytes(data)

    def _pieces(self, offset: int, length: int) -> Iterator[FilePiece | bytes]:
        yield self._read(offset, length)


def lying(base: Source) -> Patched:
    """Return a disk whose labels are right and whose data is noise."""
    length = base.size - FRONT - (512 << 10)
    noise = hashlib.shake_128(base.name.encode()).digest(1 << 20)
    return Patched(base, {FRONT: (noise * (length // len(noise) + 1))[:length]})


def label_places(disk: Source) -> tuple[int, ...]:
    end = disk.size // 262144 * 262144
    return (0, 262144, end - 524288, end - 262144)


def resealed(disk: Source, old: bytes, new: bytes) -> Patched:
    """Return a disk with its labels' nvlists changed, and their checksums made right again."""
    assert len(old) == len(new)
    patches = {}
    for place in label_places(disk):
        offset = place + 16384
        data = disk.read(offset, 114688)
        assert old in data
        body = data.replace(old, new)[:-32]
        verifier = offset.to_bytes(8, "little") + bytes(24)
        digest = hashlib.sha256(body + verifier).digest()
        patches[offset] = body + b"".join(digest[at : at + 8][::-1] for at in range(0, 32, 8))
    return Patched(disk, patches)
