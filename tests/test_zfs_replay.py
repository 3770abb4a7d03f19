"""Records of an intent log, built from the format, and what a file system is after them.

What each record does is what its name's zil_replay function does (OpenZFS, module/zfs/zfs_replay.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from zfs_image import contents, disks, pool

from pybootcfg.filesystems.base import Node
from pybootcfg.filesystems.zfs.replay import ReplayedFileSystem
from pybootcfg.filesystems.zfs.zil import Record
from pybootcfg.filesystems.zfs.znode import Znode
from pybootcfg.formats import zfs_zil as layout
from pybootcfg.kind import Kind

NEW = 9000  # an object number that no file has
FILE, FOLDER = 0o100644, 0o40755


def record(kind: int, schema: str, fields: dict[str, Any], rest: bytes = b"") -> Record:
    return Record(kind, 1, getattr(layout, schema).build(fields) + rest, False)


class Before:
    """A file system of a carried pool, and the object numbers of some of its files."""

    def __init__(self) -> None:
        root = getattr(pool(*disks("datasets-v15")).root, "under", None)  # below what is mounted in it
        assert isinstance(root, Znode)
        self.root = root
        self.objects = root.filesystem.objects
        self.boot = self.find("boot")
        self.kernel = self.find("boot", "vmlinuz")
        self.data = self.kernel.read()

    def find(self, *names: str) -> Znode:
        node: Node | None = self.root
        for name in names:
            assert node is not None
            node = node.lookup(name.encode())
        while not isinstance(node, Znode):
            node = getattr(node, "under", None)
            assert node is not None
        return node

    def after(self, *records: Record) -> Replayed:
        return Replayed(self, records)


class Replayed:
    """The same with records replayed."""

    def __init__(self, before: Before, records: Sequence[Record]) -> None:
        self.warnings: list[str] = []
        self._root = before.root.number
        self.filesystem = ReplayedFileSystem(before.objects, 1, list(records), self.warnings.append)

    def find(self, *names: str) -> Node | None:
        node: Node | None = self.filesystem.node(self._root)
        for name in names:
            node = node and node.lookup(name.encode())
        return node

    def read(self, *names: str) -> bytes:
        node = self.find(*names)
        assert node is not None
        data = b"".join(contents(node))
        assert len(data) == node.size
        return data


@pytest.fixture(scope="module")
def before() -> Before:
    return Before()


def created(before: Before, kind: int, rest: bytes, mode: int = FILE) -> Record:
    fields = {
        "lr_doid": before.boot.number,
        "lr_foid": NEW,
        "lr_mode": mode,
        "lr_uid": 0,
        "lr_gid": 0,
        "lr_gen": 1,
        "lr_crtime": [1234, 0],
        "lr_rdev": 0,
    }
    return record(kind, "lr_create", fields, rest)


def write(number: int, offset: int, data: bytes, *, kind: int = layout.TX_WRITE, claimed: int = 0) -> Record:
    head = {"lr_foid": number, "lr_offset": offset, "lr_length": claimed or len(data), "lr_blkoff": 0}
    raw = b"".join(value.to_bytes(8, "little") for value in head.values()) + bytes(128)
    return Record(kind, 1, raw + data, False)


def test_files_and_links_are_made(before: Before) -> None:
    made = before.after(created(before, layout.TX_CREATE, b"new\0"), write(NEW, 3, b"data"))
    assert made.read("boot", "new") == b"\0\0\0data"
    assert (made.find("boot", "new").mtime, made.find("boot", "new").mode) == (1234, 0o644)  # type: ignore[union-attr]
    link = before.after(created(before, layout.TX_SYMLINK, b"link\0vmlinuz\0", 0o120777)).find("boot", "link")
    assert link is not None
    assert (link.kind, link.target()) == (Kind.SYMLINK, b"vmlinuz")


def acl(size: int, identities: int, domains: int) -> bytes:
    fields = (1, domains, identities, size, 0)
    return b"".join(value.to_bytes(8, "little") for value in fields)


ATTRIBUTES = (3).to_bytes(4, "little") + bytes(12) + bytes(56)


@pytest.mark.parametrize(
    ("kind", "rest"),
    [
        (layout.TX_CREATE_ACL, acl(12, 2, 0) + bytes(16) + bytes(16) + b"new\0"),
        (layout.TX_CREATE_ACL, acl(8, 0, 2) + bytes(8) + b"S-1-5\0S-1-6\0" + b"new\0"),
        (layout.TX_CREATE_ATTR, ATTRIBUTES + b"new\0"),
        (layout.TX_CREATE_ACL_ATTR, acl(8, 1, 1) + ATTRIBUTES + bytes(8) + bytes(8) + b"S-1-5\0new\0"),
    ],
)
def test_names_behind_lists_and_attributes(before: Before, kind: int, rest: bytes) -> None:
    """zil_lr_create: attributes, then entries, identities and domains, come before the name."""
    assert before.after(created(before, kind, rest)).find("boot", "new") is not None


@pytest.mark.parametrize(
    "rest", [b"new", b"\0", b"a/b\0", acl(8, 0, 3) + bytes(8) + b"S-1-5\0", acl(1 << 40, 0, 0) + b"new\0"]
)
def test_a_record_without_a_name_ends_the_replay(before: Before, rest: bytes) -> None:
    kind = layout.TX_CREATE_ACL if len(rest) > 10 else layout.TX_CREATE
    found = before.after(created(before, kind, rest), write(before.kernel.number, 0, b"never"))
    assert any("the intent log is damaged after 0 records" in warning for warning in found.warnings)
    assert found.read("boot", "vmlinuz") == before.data


def test_writes_lie_over_what_is_there(before: Before) -> None:
    size = len(before.data)
    number = before.kernel.number
    found = before.after(
        write(number, 10, b"abc"), write(number, 12, b"XYZ"), write(number, size + 5, b"end")
    )
    expected = bytearray(before.data) + bytes(5) + b"end"
    expected[10:15] = b"abXYZ"
    assert found.read("boot", "vmlinuz") == expected


def test_a_write_whose_data_comes_elsewhere_gives_the_size(before: Before) -> None:
    found = before.after(
        write(before.kernel.number, len(before.data), b"", kind=layout.TX_WRITE2, claimed=100)
    )
    assert found.read("boot", "vmlinuz") == before.data + bytes(100)


def test_a_write_longer_than_its_record_ends_the_replay(before: Before) -> None:
    found = before.after(write(before.kernel.number, 0, b"short", claimed=100))
    assert any("a write is longer than its record" in warning for warning in found.warnings)
    assert found.read("boot", "vmlinuz") == before.data


@pytest.mark.parametrize(("offset", "length"), [(100, 0), (100, 50), (0, 0), (10**6, 0), (10**6, 5)])
def test_files_are_cut_and_holes_made(before: Before, offset: int, length: int) -> None:
    """A length of 0 means to the end: the file ends at the offset; else the range is freed."""
    fields = {"lr_foid": before.kernel.number, "lr_offset": offset, "lr_length": length}
    found = before.after(record(layout.TX_TRUNCATE, "lr_truncate", fields))
    padded = before.data.ljust(offset + length, b"\0")
    expected = padded[:offset] if not length else padded[:offset] + bytes(length) + padded[offset + length :]
    assert found.read("boot", "vmlinuz") == expected


@pytest.mark.parametrize(
    ("mode", "size", "mtime"),
    [
        (layout.LINUX_ATTR_MODE, layout.LINUX_ATTR_SIZE, layout.LINUX_ATTR_MTIME | layout.LINUX_ATTR_CTIME),
        (layout.AT_MODE, layout.AT_SIZE, layout.AT_MTIME),
    ],
)
@pytest.mark.parametrize("length", [7, 100_000])
def test_attributes_are_set(before: Before, mode: int, size: int, mtime: int, length: int) -> None:
    """Linux logs its own bits; where its change of time is not among them they are those of Solaris."""
    fields = {
        "lr_foid": before.kernel.number,
        "lr_mask": mode | size | mtime,
        "lr_mode": 0o140400,
        "lr_uid": 0,
        "lr_gid": 0,
        "lr_size": length,
        "lr_atime": [0, 0],
        "lr_mtime": [77, 0],
    }
    found = before.after(record(layout.TX_SETATTR, "lr_setattr", fields))
    node = found.find("boot", "vmlinuz")
    assert node is not None
    assert (node.kind, node.mode, node.size, node.mtime) == (Kind.FILE, 0o400, length, 77)
    assert found.read("boot", "vmlinuz") == before.data[:length].ljust(length, b"\0")


def test_blocks_are_cloned(before: Before) -> None:
    """A hole, and a pointer whose data is in itself."""
    fields = {
        "lr_foid": before.kernel.number,
        "lr_offset": 512,
        "lr_length": 1024,
        "lr_blksz": 512,
        "lr_nbps": 2,
    }
    found = before.after(record(layout.TX_CLONE_RANGE, "lr_clone_range", fields, bytes(256)))
    expected = bytearray(before.data)
    expected[512:1536] = bytes(1024)
    assert found.read("boot", "vmlinuz")[: len(expected)] == bytes(expected)
    found = before.after(record(layout.TX_CLONE_RANGE, "lr_clone_range", fields, bytes(255)))
    assert any("a clone has more blocks than its record" in warning for warning in found.warnings)


def rename(before: Before, kind: int, names: bytes, whiteout: Sequence[int] = ()) -> Record:
    heads = {"lr_sdoid": before.boot.number, "lr_tdoid": before.root.number}
    if whiteout:
        return record(kind, "lr_rename_whiteout", {**heads, "lr_whiteout": [*whiteout, *[0] * 6]}, names)
    return record(kind, "lr_rename", heads, names)


def test_files_are_renamed_exchanged_and_leave_something_behind(before: Before) -> None:
    moved = before.after(rename(before, layout.TX_RENAME, b"vmlinuz\0kernel\0"))
    assert moved.read("kernel") == before.data
    assert moved.find("boot", "vmlinuz") is None
    swapped = before.after(
        created(before, layout.TX_CREATE, b"new\0"),
        write(NEW, 0, b"new"),
        record(
            layout.TX_RENAME_EXCHANGE,
            "lr_rename",
            {"lr_sdoid": before.boot.number, "lr_tdoid": before.boot.number},
            b"vmlinuz\0new\0",
        ),
    )
    assert (swapped.read("boot", "vmlinuz"), swapped.read("boot", "new")) == (b"new", before.data)
    behind = before.after(rename(before, layout.TX_RENAME_WHITEOUT, b"vmlinuz\0kernel\0", (NEW, 0o20000)))
    assert behind.read("kernel") == before.data
    left = behind.find("boot", "vmlinuz")
    assert left is not None
    assert left.kind is Kind.CHAR


def test_what_is_not_there_cannot_be_renamed(before: Before) -> None:
    found = before.after(rename(before, layout.TX_RENAME, b"none\0kernel\0"))
    assert any("it renames a file that is not there" in warning for warning in found.warnings)


def test_records_of_files_that_are_gone_are_passed_over(before: Before) -> None:
    """Writes may be logged after the removal of their file."""
    found = before.after(write(NEW + 1, 0, b"lost"), write(before.kernel.number, 0, b"kept"))
    assert found.read("boot", "vmlinuz")[:4] == b"kept"


def test_a_damaged_record_keeps_what_came_before_it(before: Before) -> None:
    good, bad = write(before.kernel.number, 0, b"good"), Record(layout.TX_WRITE, 1, b"short", False)
    found = before.after(good, bad)
    assert found.read("boot", "vmlinuz")[:4] == b"good"
    assert any("the intent log is damaged after 1 records" in warning for warning in found.warnings)
