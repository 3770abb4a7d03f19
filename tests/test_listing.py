"""Listings: their order, what one costs in reads, decoding and memory, and what is bad about many inodes."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import re
import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from decodings import decodings
from ext_image import debugfs, e2fsck, mke2fs, open_bytes, open_image, require, run
from faulty_file import reading
from hypothesis import given, settings
from hypothesis import strategies as st
from test_resources import PYBOOTCFG, usage_of

from pybootcfg import limits
from pybootcfg.checksums import byte_planes, crc32c, crc32c_planes, word_planes
from pybootcfg.cli import tree
from pybootcfg.cli.tree import Failures, direct, walk
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.base import Node, Run
from pybootcfg.filesystems.ext import Ext
from pybootcfg.filesystems.ext.glances import STRETCHES_KEPT
from pybootcfg.kind import Kind
from pybootcfg.source import FileSource

# --- order ---------------------------------------------------------------------------------------------


class Made(Node):
    """A file, or a directory of (name, node) in the order of its disk; it counts how often it was read."""

    def __init__(self, entries: list[tuple[bytes, Made]] | None = None) -> None:
        self.contents = entries
        self.times_read = 0

    @property
    def key(self) -> int:
        return id(self)

    @property
    def kind(self) -> Kind:
        return Kind.FILE if self.contents is None else Kind.DIRECTORY

    @property
    def size(self) -> int:
        return 0

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        self.times_read += 1
        yield from self.contents or ()

    def runs(self) -> Iterator[Run]:
        raise AssertionError("a walk reads no file")

    def lookup(self, name: bytes) -> Node | None:
        raise AssertionError(f"a walk looks for no name, nor for {name!r}")

    def target(self) -> bytes:
        raise AssertionError("a walk follows no link")


NAMES = st.text("a-./0z".replace("/", ""), min_size=1, max_size=3).map(str.encode)
FOLDERS = st.recursive(
    st.builds(Made),
    lambda below: st.lists(st.tuples(NAMES, below), max_size=9, unique_by=lambda item: item[0]).map(Made),
    max_leaves=40,
)


def paths(node: Made, path: bytes) -> Iterator[bytes]:
    yield path
    for name, below in node.contents or ():
        yield from paths(below, path.rstrip(b"/") + b"/" + name)


@settings(deadline=None)
@given(FOLDERS, st.sampled_from([4, 5, 16, 1 << 18]))
def test_a_listing_is_sorted_bytewise_by_path(top: Made, room: int) -> None:
    """However few entries are held at a time, and although `a-b` sorts before `a/b` and behind `a`."""
    failures = Failures()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "MOST_HELD", room)
        patch.setattr(tree, "LEAST_HELD", 4)
        found = [path.encode() for path, _ in walk(top, "/", failures)]
        shallow = [path.encode() for path, _ in direct(top, "/", failures)]
    assert found == sorted(paths(top, b"/"))
    assert shallow == sorted(b"/" + name for name, _ in top.contents or ()) or (shallow, top.kind) == (
        [b"/"],
        Kind.FILE,
    )
    assert failures.rows == []


@pytest.mark.parametrize("room", [4, 6, 40, 1 << 18])
def test_entries_of_one_name_come_in_the_order_of_the_disk(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No directory should have them; one that does, with more than are held at a time, is still listed."""
    chance = random.Random(3)  # noqa: S311
    top = Made([(chance.choice((b"a", b"b", b"c")), Made()) for _ in range(60)])
    monkeypatch.setattr(tree, "MOST_HELD", room)
    monkeypatch.setattr(tree, "LEAST_HELD", 4)
    found = [(path, node) for path, node in direct(top, "/", Failures())]
    assert found == sorted(
        ((f"/{name.decode()}", node) for name, node in top.contents or ()), key=lambda item: item[0]
    )


def test_a_directory_is_read_as_often_as_its_size_demands(monkeypatch: pytest.MonkeyPatch) -> None:
    top = Made([(b"%05d" % (number * 7919 % 10_000), Made()) for number in range(10_000)])
    assert len(list(direct(top, "/", Failures()))) == 10_000
    assert top.times_read == 1
    monkeypatch.setattr(tree, "MOST_HELD", 4000)  # of which one directory keeps 1500 at least
    assert len(list(direct(top, "/", Failures()))) == 10_000
    assert top.times_read <= 1 + 7


def test_a_directory_that_breaks_off_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Made):
        def entries(self) -> Iterator[tuple[bytes, Node]]:
            yield from super().entries()
            raise ImageError("no more")

    names = [b"%03d" % number for number in range(100)]
    monkeypatch.setattr(tree, "MOST_HELD", 32)
    monkeypatch.setattr(tree, "LEAST_HELD", 4)
    failures = Failures()
    found = [path for path, _ in direct(Broken([(name, Made()) for name in reversed(names)]), "/", failures)]
    assert found == [f"/{name.decode()}" for name in names]
    assert [row["error"] for row in failures.rows] == ["no more"]


# --- what it costs -----------------------------------------------------------------------------------------


def grown(folder: Path, files: int, *options: str) -> Path:
    """Return an image with so many files in one directory, whose inodes are in no order of the names."""
    require("mke2fs", "e2fsck", "debugfs")
    top = folder / "tree"
    (top / "many").mkdir(parents=True)
    numbers = list(range(files))
    random.Random(5).shuffle(numbers)  # noqa: S311
    for number in numbers:
        file = top / "many" / f"file-{number:06}"
        file.touch()
        os.utime(file, (0, 1_500_000_000 + number))
        file.chmod(0o600 | number % 64)
    image = mke2fs(folder / "i", "-t", "ext4", *options, "-N", str(files + 200), tree=top, size="64M")
    e2fsck(image, "-D")
    return image


@pytest.mark.parametrize("options", [[], ["-b", "1024"], ["-I", "128"]])
def test_many_files_are_read_and_decoded_many_at_a_time(tmp_path: Path, options: list[str]) -> None:
    files = 2000
    image = grown(tmp_path, files, *options)
    filesystem = open_image(image)
    limits.begin(1)
    expected = [f"/many/file-{number:06}" for number in range(files)]
    folder = filesystem.walk(b"/many")
    with decodings() as counts:
        found = {path: node.status() for path, node in walk(folder, "/many", Failures())}
    assert list(found) == ["/many", *expected]
    for number, path in enumerate(expected):
        assert found[path] == (Kind.FILE, 0, 0o600 | number % 64, 1_500_000_000 + number)
    assert filesystem.warnings == []
    assert counts["inode_large"] + counts["inode"] < 20
    assert counts.total() < files + 300  # each entry once, and what tells index blocks from others
    # Without order among the inodes, each part of the names needs all stretches of the tables once.
    assert limits.TOTAL_READS.spent < files / 4


LOST_AND_FOUND = 11  # the inode that mke2fs gives to it


def large_directory(folder: Path, entries: int) -> Path:
    """Return an image whose file `large` was declared a directory of so many names of lost+found.

    Its names are in no order; no tool makes as many in reasonable time.
    """
    require("mke2fs", "debugfs")
    top = folder / "tree"
    top.mkdir()
    per_block = 4096 // 24
    with (top / "large").open("wb") as out:
        for start in range(0, entries, per_block):
            block = b""
            for number in range(start, min(start + per_block, entries)):
                name = b"file-%08d" % (number * 999_983 % entries)
                block += struct.pack("<IHBB16s", LOST_AND_FOUND, 24, len(name), 2, name)
            out.write(block[:-20] + struct.pack("<H", 24 + 4096 - len(block)) + block[-18:])
            out.write(bytes(4096 - len(block)))
    options = ["-t", "ext4", "-b", "4096", "-O", "^metadata_csum,^has_journal"]
    image = mke2fs(folder / "large.img", *options, tree=top, size=f"{entries // 25 + 4096}k")
    debugfs(image, "sif /large mode 040755", write=True)
    return image


def test_memory_does_not_grow_with_a_directory(tmp_path: Path) -> None:
    """200,000 names; a node with its inode takes 1 KiB and more."""
    image = large_directory(tmp_path, 200_000)
    used = usage_of(PYBOOTCFG, "ls", image, "p0:/large")
    assert used.status == 0, used.errors
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(open_image(image).walk(b"/lost+found").mtime))
    expected = hashlib.sha256()
    for number in range(200_000):
        expected.update(f"dir      0700             -  {when}  /large/file-{number:08}\n".encode())
    assert used.digest == expected.hexdigest()
    assert used.peak < 64 << 10


@pytest.mark.no_cover
def test_memory_does_not_grow_with_the_depth_of_a_tree() -> None:
    """Each directory's first entry is a directory, so that all the others have to wait."""

    class Deep(Made):
        def entries(self) -> Iterator[tuple[bytes, Node]]:
            yield b"a", Deep([])
            for number in range(10_000):
                yield b"b%05d" % number, Made()

    limits.begin(1000)
    listing = walk(Deep([]), "/", Failures())
    tracemalloc.start()
    try:
        for _ in range(60):
            path, _ = next(listing)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path == "/a" * 59
    assert peak < 60 << 20


def test_small_directories_share_what_is_read_of_the_inode_table(tmp_path: Path) -> None:
    """300 directories of 6 files, whose inodes stand one after the other."""
    require("mke2fs")
    top = tmp_path / "tree"
    for folder in range(300):
        (top / f"d{folder:03}").mkdir(parents=True)
        for file in range(6):
            (top / f"d{folder:03}" / f"f{file}").touch()
    filesystem = open_image(mke2fs(tmp_path / "i", "-t", "ext4", "-N", "4096", tree=top))
    limits.begin(1)
    with decodings() as counts:
        found = [
            path for path, node in walk(filesystem.root, "/", Failures()) if node.status()[0] is Kind.FILE
        ]
    assert len(found) == 1800
    assert counts["inode_large"] < 300 + 20  # of the directories
    assert limits.TOTAL_READS.spent < 300 + 60  # the blocks of the directories


def test_no_more_than_some_stretches_of_the_inode_table_are_kept(tmp_path: Path) -> None:
    require("mke2fs")
    (tmp_path / "tree").mkdir()
    filesystem = open_image(mke2fs(tmp_path / "i", "-t", "ext4", "-N", "16384", tree=tmp_path / "tree"))
    for number in range(1, 16384, 256):
        assert filesystem.glances.of([number]).keys() == {number}
        assert len(filesystem.glances._kept) <= STRETCHES_KEPT
    assert len(filesystem.glances._kept) == STRETCHES_KEPT


# --- what is bad about some of many ------------------------------------------------------------------------


@pytest.mark.no_cover
@settings(deadline=None)
@given(st.integers(1, 40), st.sampled_from([8, 16, 128, 256]), st.randoms(use_true_random=False))
def test_registers_of_many_records_are_those_of_each(count: int, size: int, chance: random.Random) -> None:
    """Places that are zero, the same, or different in the records of a table."""
    kinds = [chance.choice((bytes(1), b"\x5a", b"")) for _ in range(size)]
    records = [b"".join(kind or chance.randbytes(1) for kind in kinds) for _ in range(count)]
    planes = [(size - 1 - place, plane) for place, plane in byte_planes(b"".join(records), size)]
    found = crc32c_planes(planes, count, crc32c(bytes(size), 0x12345678))
    assert found == b"".join(word_planes([crc32c(record, 0x12345678) for record in records]))


def inode_offsets(image: Path, names: list[str]) -> list[int]:
    """Return where inodes stand in an image of blocks of 1 KiB, in bytes."""
    said = debugfs(image, *(f"imap /many/{name}" for name in names))
    found = re.findall(r"located at block (\d+), offset (0x[0-9a-f]+)", said)
    assert len(found) == len(names)
    return [int(block) * 1024 + int(offset, 16) for block, offset in found]


def numbers_of_e2fsck(data: bytes, folder: Path) -> set[int]:
    """Return the inodes whose checksums e2fsck finds bad."""
    copy = folder / "copy"
    copy.write_bytes(data)
    said = run("e2fsck", "-fn", copy, status=(0, 4))
    return set(map(int, re.findall(r"Inode (\d+) passes checks, but checksum does not match", said)))


def numbers_of_warnings(filesystem: Ext) -> set[int]:
    found = [re.fullmatch(r"inode\[(\d+)\] has a bad checksum", text) for text in filesystem.warnings]
    return {int(match[1]) for match in found if match}


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("options", "field"),
    [
        ([], 0x7C),  # the checksum's lower half
        ([], 0x82),  # its upper half
        ([], 0x64),  # the generation, which is in the checksum twice
        ([], 0x90),  # the time of creation
        ([], 0xFF),  # the last byte of all
        (["-I", "128"], 0x7C),
        (["-I", "128"], 0x0C),
        (["-I", "1024"], 0x3FF),
        (["-I", "512", "-O", "metadata_csum_seed"], 0x1FF),
    ],
)
@pytest.mark.parametrize("files", [20, 600])
def test_bad_checksums_of_some_of_many_inodes_are_those_of_e2fsck(
    tmp_path: Path, options: list[str], field: int, files: int
) -> None:
    image = grown(tmp_path, files, "-b", "1024", *options)
    data = bytearray(image.read_bytes())
    for offset in inode_offsets(image, ["file-000000", "file-000012", f"file-{files - 1:06}"]):
        data[offset + field] ^= 0x40
    filesystem = open_bytes(data)
    nodes = dict(walk(filesystem.root, "/", Failures()))
    assert len(nodes) == files + 3
    bad = numbers_of_e2fsck(data, tmp_path)
    assert len(bad) == 3
    assert numbers_of_warnings(filesystem) == bad


@pytest.mark.parametrize("files", [20, 100])
def test_what_is_no_upper_half_of_a_checksum_counts_as_it_is(tmp_path: Path, files: int) -> None:
    """The extra fields of some inodes end before it; Linux then takes the lower half of all bytes."""
    image = grown(tmp_path, files, "-b", "1024")
    data = bytearray(image.read_bytes())
    seed = crc32c(open_bytes(data).superblock.record.s_uuid)
    numbers = []
    for name, right in (("file-000007", True), ("file-000012", False)):
        (offset,) = inode_offsets(image, [name])
        numbers.append(int(debugfs(image, f"stat /many/{name}").split("Inode: ")[1].split()[0]))
        data[offset + 0x80 : offset + 0x82] = bytes(2)  # i_extra_isize
        data[offset + 0x7C : offset + 0x7E] = bytes(2)
        register = crc32c(struct.pack("<I", numbers[-1]) + data[offset + 0x64 : offset + 0x68], seed)
        register = crc32c(bytes(data[offset : offset + 256]), register)
        struct.pack_into("<H", data, offset + 0x7C, (register if right else ~register) & 0xFFFF)
    filesystem = open_bytes(data)
    assert len(list(walk(filesystem.root, "/", Failures()))) == files + 3
    assert numbers_of_warnings(filesystem) == {numbers[1]}


def test_bad_checksums_of_some_of_many_blocks_of_a_directory(tmp_path: Path) -> None:
    image = grown(tmp_path, 600, "-b", "1024")
    data = bytearray(image.read_bytes())
    blocks = [int(debugfs(image, f"bmap /many {logical}").split()[-1]) for logical in (2, 5, 11)]
    for block in blocks:
        data[block * 1024 + 1023] ^= 1
    filesystem = open_bytes(data)
    assert len(list(direct(filesystem.walk(b"/many"), "/many", Failures()))) == 600
    found = [int(re.search(r"at byte (0x[0-9a-f]+) has a bad", text)[1], 16) for text in filesystem.warnings]  # type: ignore[index]
    assert found == sorted(block * 1024 for block in blocks)


def test_what_lies_on_bad_sectors_is_missed_alone(tmp_path: Path) -> None:
    """Of the inodes those in 4 KiB of a table, of a directory what comes before the block."""
    image = grown(tmp_path, 600, "-b", "1024")
    (inode,) = inode_offsets(image, ["file-000300"])
    source = FileSource.open(image)
    filesystem = Ext(source, open_image(image).options)
    sectors = [inode // 512]

    def allow(_fd: int, offset: int, length: int, _call: int) -> int:
        if any(offset < (sector + 1) * 512 and sector * 512 < offset + length for sector in sectors):
            raise OSError(errno.EIO, "Input/output error")
        return length

    failures = Failures()
    folder = filesystem.walk(b"/many")
    with reading([source], allow):
        for path, node in direct(folder, "/many", failures):
            try:
                node.status()
            except OSError as error:
                failures.add(path, error)
    assert "/many/file-000300" in {row["path"] for row in failures.rows}
    assert 0 < len(failures.rows) <= 4096 // 256
    sectors[:] = [int(debugfs(image, "bmap /many 7").split()[-1]) * 2 + 1]
    failures = Failures()
    filesystem = Ext(source, open_image(image).options)
    with reading([source], allow):
        listed = list(direct(filesystem.walk(b"/many"), "/many", failures))
    assert 100 < len(listed) < 500
    assert [row["path"] for row in failures.rows] == ["/many"]


def test_a_disk_that_reads_no_more_than_a_block_at_once_is_listed_all_the_same(tmp_path: Path) -> None:
    image = grown(tmp_path, 600, "-b", "1024")
    source = FileSource.open(image)
    filesystem = Ext(source, open_image(image).options)

    def allow(_fd: int, _offset: int, length: int, _call: int) -> int:
        if length > 1024:
            raise OSError(errno.EIO, "Input/output error")
        return length

    folder = filesystem.walk(b"/many")
    with reading([source], allow):
        names = [name for name, _ in folder.entries()]
    assert sorted(names) == [f"file-{number:06}".encode() for number in range(600)]


@pytest.mark.parametrize("options", [["-I", "128"], ["-I", "256"], ["-I", "2048"], ["-O", "^metadata_csum"]])
def test_a_status_is_what_the_inode_says(tmp_path: Path, options: list[str]) -> None:
    """Of all kinds of files, with sizes and times at the edges, and of modes that cannot be."""
    image = grown(tmp_path, 100, "-b", "4096", *options)
    names = [f"/many/file-{number:06}" for number in range(10)]
    debugfs(
        image,
        *(
            f"sif {name} mode 0{mode:o}"
            for name, mode in zip(names, (0o10644, 0o20600, 0o140777), strict=False)
        ),
        f"sif {names[3]} mode 0",
        f"sif {names[4]} size 0x123456789ab",
        f"sif {names[5]} size 0xffffffffffffffff",
        f"sif {names[6]} mtime @0xffffffff",
        f"sif {names[7]} mode 0107777",
        write=True,
    )
    together, alone = open_image(image), open_image(image)
    found = 0
    for path, node in direct(together.walk(b"/many"), "/many", Failures()):
        single = alone.walk(b"/many").lookup(path.removeprefix("/many/").encode())
        assert single is not None
        try:
            expected = single.kind, single.size if single.kind is Kind.FILE else 0, single.mode, single.mtime
        except ImageError as error:
            with pytest.raises(ImageError, match=re.escape(str(error))):
                node.status()
            continue
        found += 1
        assert node.status() == expected
        assert (node.kind, node.mode, node.mtime) == (expected[0], expected[2], expected[3])
    assert found == 98
    assert together.walk(names[4].encode()).size == 0x123456789AB
    assert together.walk(names[6].encode()).mtime in (-1, 0xFFFFFFFF)
