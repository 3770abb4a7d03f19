"""Damaged and hostile ext images: each ends in a clear error or a warning, and none in a hang."""

from __future__ import annotations

import random
import struct
import tracemalloc
from contextlib import suppress
from itertools import islice
from pathlib import Path
from uuid import UUID

import pytest
from clock import seconds_used
from ext_image import (
    carried,
    carried_listing,
    debugfs,
    e2fsck,
    listing,
    look,
    mke2fs,
    nodes,
    open_bytes,
    shortened,
)

from pybootcfg import limits
from pybootcfg.checksums import crc32c
from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded
from pybootcfg.filesystems.base import Extent, Hole, Run
from pybootcfg.filesystems.ext import Ext
from pybootcfg.kind import Kind

SUPERBLOCK = 1024


class Image:
    """A small image (1 KiB blocks, no checksums unless asked for) that a test damages."""

    def __init__(self, folder: Path, options: str) -> None:
        tree = folder / options.replace(" ", "")
        (tree / "d").mkdir(parents=True)
        for number in range(60):
            (tree / "d" / f"name{number:03}{'n' * 100}").touch()
        (tree / "file").write_bytes(bytes(range(256)) * 4 * 300)
        (tree / "link").symlink_to("x" * 100)
        (tree / "short").symlink_to("target")
        (tree / "small").mkdir()
        (tree / "small" / "a").write_text("a")
        self.path = mke2fs(
            tree.with_suffix(".img"), *options.split(), "-b", "1024", "-N", "128", tree=tree, size="8M"
        )
        e2fsck(self.path, "-D")
        self.data = bytearray(self.path.read_bytes())

    def inode(self, path: str) -> int:
        """Return where an inode stands, in bytes."""
        where = debugfs(self.path, f"imap {path}")
        block = int(where.split("located at block ")[1].split(",")[0])
        return block * 1024 + int(where.split("offset ")[1].split()[0], 16)

    def block(self, path: str, logical: int = 0) -> int:
        """Return where a block of a file stands, in bytes."""
        return int(debugfs(self.path, f"bmap {path} {logical}").split()[-1]) * 1024

    def put(self, offset: int, layout: str, *values: int) -> None:
        """Change a field."""
        struct.pack_into("<" + layout, self.data, offset, *values)

    def open(self) -> Ext:
        """Open the image as it is now."""
        return open_bytes(self.data)


@pytest.fixture
def plain(tmp_path: Path) -> Image:
    return Image(tmp_path, "-t ext2")


@pytest.fixture
def extents(tmp_path: Path) -> Image:
    return Image(tmp_path, "-t ext4 -O ^metadata_csum,^has_journal,^64bit")


@pytest.fixture
def modern(tmp_path: Path) -> Image:
    return Image(tmp_path, "-t ext4 -O ^has_journal")


@pytest.mark.parametrize(
    ("offset", "layout", "value", "message"),
    [
        (0x38, "H", 0, "61267 expected|0xef53 expected"),
        (0x18, "I", 7, "block size"),
        (0x18, "I", 0xFFFFFFFF, "block size"),
        (0x58, "H", 0, "inodes of 0 bytes"),
        (0x58, "H", 96, "inodes of 96 bytes"),
        (0x58, "H", 2048, "inodes of 2048 bytes"),
        (0x20, "I", 0, "0 blocks per group"),
        (0x20, "I", 8193, "8193 blocks per group"),
        (0x28, "I", 0, "0 inodes per group"),
        (0x28, "I", 0xFFFFFFFF, "inodes per group"),
        (0x00, "I", 0xFFFFFFFF, "4294967295 inodes"),
        (0x04, "I", 0, "blocks from 1 to 0"),
        (0x14, "I", 2, "blocks from 2"),
    ],
)
def test_a_superblock_that_cannot_be_is_an_error_with_its_offset(
    plain: Image, offset: int, layout: str, value: int, message: str
) -> None:
    plain.put(SUPERBLOCK + offset, layout, value)
    with pytest.raises(ImageError, match=message) as error:
        plain.open()
    assert error.value.structure == "superblock"
    assert SUPERBLOCK <= (error.value.offset or 0) < 2 * SUPERBLOCK


@pytest.mark.parametrize("size", [0, 16, 48, 2048, 32])
def test_an_insane_descriptor_size(modern: Image, size: int) -> None:
    modern.put(SUPERBLOCK + 0xFE, "H", size)
    with pytest.raises(ImageError, match=f"group descriptors of {size} bytes"):
        modern.open()


@pytest.mark.parametrize("shift", [0, 40, 0xFFFFFFFF])
def test_an_insane_cluster_size(tmp_path: Path, shift: int) -> None:
    image = Image(tmp_path, "-t ext4 -O bigalloc,^has_journal -C 4096")
    image.put(SUPERBLOCK + 0x1C, "I", shift)
    if shift:
        with pytest.raises(ImageError, match="clusters of"):
            image.open()
    else:
        with pytest.raises(ImageError, match="blocks per group"):
            image.open()


def test_a_copy_stands_in_for_a_damaged_superblock(tmp_path: Path) -> None:
    image = mke2fs(tmp_path / "i", "-t", "ext4", "-b", "1024", "-L", "copied", size="24M")
    data = bytearray(image.read_bytes())
    data[1024 + 0x18 : 1024 + 0x40] = bytes(0x28)
    filesystem = open_bytes(data)
    assert filesystem.label == "copied"
    assert [name for name, _ in filesystem.root.entries()] == [b"lost+found"]
    assert "its copy at byte 0x800400 is used" in filesystem.warnings[0]
    data[8193 * 1024 + 5] ^= 1  # a copy with a bad checksum is none
    with pytest.raises(ImageError, match="expected"):
        open_bytes(data)
    data[8193 * 1024 : 8194 * 1024] = bytes(1024)
    with pytest.raises(ImageError, match="expected"):
        open_bytes(data)


def test_a_copy_stands_in_for_a_damaged_descriptor(tmp_path: Path) -> None:
    for options in ("-O ^metadata_csum", "-O meta_bg,^resize_inode -g 256", "-O sparse_super2,^resize_inode"):
        folder = tmp_path / options.split()[1][:4]
        folder.mkdir()
        image = mke2fs(folder / "i", "-t", "ext4", "-b", "1024", *options.split(), size="24M")
        data = bytearray(image.read_bytes())
        struct.pack_into("<I", data, 2048 + 8, 0x7FFFFFFF)
        filesystem = open_bytes(data)
        assert [name for name, _ in filesystem.root.entries()] == [b"lost+found"]
        assert "group[0].descriptor" in filesystem.warnings[0]
        assert "its copy at byte" in filesystem.warnings[0]


def test_copies_of_a_descriptor_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    """The first stands in group 1, behind 8 MiB, where this disk has ended."""
    image = mke2fs(tmp_path / "i", "-t", "ext2", "-b", "1024", size="24M")
    data = bytearray(image.read_bytes()[: 4 << 20])
    struct.pack_into("<I", data, 2048 + 8, 0x7FFFFFFF)
    with pytest.raises(ImageError, match=r"group\[0\].descriptor places the inode table"):
        list(open_bytes(data).root.entries())


def test_descriptors_that_are_all_damaged_are_an_error(plain: Image) -> None:
    plain.put(2048 + 8, "I", 0x7FFFFFFF)
    with pytest.raises(ImageError, match=r"group\[0\].descriptor places the inode table"):
        list(plain.open().root.entries())


def test_bad_checksums_are_warnings_by_name(modern: Image) -> None:
    for offset in (
        SUPERBLOCK + 0x3FC,
        2048 + 0x1E,
        modern.inode("file") + 0x7C,
        modern.block("small") + 1020,
        modern.block("d") + 1020,
        modern.block("d", 1) + 1020,
    ):
        modern.data[offset] ^= 1
    filesystem = modern.open()
    listing(filesystem)
    filesystem.walk(b"/d").lookup(b"x")
    number, small, d = (filesystem.walk(b"/" + name).key for name in (b"file", b"small", b"d"))
    assert filesystem.warnings[:2] == [
        "the superblock has a bad checksum",
        "group[0].descriptor has a bad checksum",
    ]
    rest = "\n".join(filesystem.warnings[2:])
    assert f"inode[{number}] has a bad checksum" in rest
    assert f"directory block of inode[{small}]" in rest
    assert rest.count(f"directory block of inode[{d}]") == 2
    assert len(filesystem.warnings) == 6


def test_a_bad_checksum_of_an_extent_block(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    with (tmp_path / "t" / "f").open("wb") as file:
        for number in range(0, 200, 2):
            file.seek(number * 1024)
            file.write(b"x" * 1024)
    image = mke2fs(tmp_path / "i", "-t", "ext4", "-b", "1024", tree=tmp_path / "t", size="8M")
    assert "1/ 1" in debugfs(image, "ex /f")
    data = bytearray(image.read_bytes())
    block = int(debugfs(image, "ex -n /f").splitlines()[2].split()[7])
    data[block * 1024 + 1020] ^= 1
    filesystem = open_bytes(data)
    filesystem.walk(b"/f").read()
    assert filesystem.warnings == [
        f"an extent block of inode[{filesystem.walk(b'/f').key}] at byte {block * 1024:#x} has a bad checksum"
    ]
    for offset, layout, value, message in [
        (0, "H", 0, "expected"),
        (2, "H", 500, "500 of"),
        (4, "H", 500, "of 500 extents"),
        (6, "H", 1, "depth 1"),
        (12, "I", 5, "begins at block"),  # the second extent is before it then
        (12 + 12 + 4, "H", 0, "an extent of 0 blocks"),
        (12 + 4, "H", 3, "follows one that ends at"),
        (12 + 8, "I", 0xFFFFFFF0, "wanted, but a file's lie below"),
    ]:
        broken = bytearray(data)
        struct.pack_into("<" + layout, broken, block * 1024 + offset, value)
        with pytest.raises(ImageError, match=message) as error:
            open_bytes(broken).walk(b"/f").read()
        assert block * 1024 <= (error.value.offset or 0) < block * 1024 + 1024


@pytest.mark.parametrize(
    ("offset", "layout", "value", "message"),
    [
        (40, "H", 0, "expected"),
        (42, "H", 5, "5 of 4 extents"),
        (46, "H", 6, "depth 6"),
        (46, "H", 1, "wanted, but a file's lie below|expected"),
        (56, "H", 0, "an extent of 0 blocks"),
        (60, "I", 0xFFFFFFF0, "wanted, but a file's lie below"),
        (60, "I", 1, "wanted, but a file's lie below"),
    ],
)
def test_an_inode_with_a_damaged_extent_tree(
    extents: Image, offset: int, layout: str, value: int, message: str
) -> None:
    start = extents.inode("file")
    extents.put(start + offset, layout, value)
    with pytest.raises(ImageError, match=message) as error:
        extents.open().walk(b"/file").read()
    assert error.value.offset is not None


def test_an_extent_tree_that_refers_to_itself(extents: Image) -> None:
    start, block = extents.inode("file"), extents.block("file")
    extents.put(start + 40, "HHHHI", 0xF30A, 1, 4, 5, 0)
    extents.put(start + 52, "IIHH", 0, block // 1024, 0, 0)
    extents.put(block, "HHHHI", 0xF30A, 1, 84, 5, 0)
    extents.put(block + 12, "IIHH", 0, block // 1024, 0, 0)
    with pytest.raises(ImageError, match="depth 5"):
        extents.open().walk(b"/file").read()


def test_empty_extent_leaves_do_not_multiply(extents: Image) -> None:
    """Index blocks full of pointers to one empty leaf: no more blocks are visited than the volume has."""
    start, block = extents.inode("file"), extents.block("file")
    extents.put(start + 40, "HHHHI", 0xF30A, 4, 4, 3, 0)
    for place in range(4):
        extents.put(start + 52 + 12 * place, "IIHH", place * 600, block // 1024, 0, 0)
    for level in range(3):
        here = block + 1024 * level
        extents.put(here, "HHHHI", 0xF30A, 84 if level < 2 else 0, 84, 2 - level, 0)
        for place in range(84):
            extents.put(here + 12 + 12 * place, "IIHH", place, here // 1024 + 1, 0, 0)
    began = seconds_used()
    with pytest.raises(ImageError):
        extents.open().walk(b"/file").read()
    assert seconds_used() - began < 5


@pytest.mark.parametrize("place", [0, 11, 12, 13, 14])
def test_block_pointers_outside_of_the_volume(plain: Image, place: int) -> None:
    start = plain.inode("file")
    plain.put(start + 4, "I", 70_000_000)
    plain.put(start + 40 + 4 * place, "I", 0x7FFFFFFF)
    with pytest.raises(ImageError, match="block 2147483647 wanted") as error:
        list(plain.open().walk(b"/file").runs())
    assert error.value.offset == start + 40 + 4 * place


def test_indirect_blocks_that_are_used_again_and_again(plain: Image) -> None:
    """A block names another 256 times, which names a third 256 times: there are not that many blocks."""
    start = plain.inode("file")
    first, second, third, data = (plain.block("file", logical) for logical in range(20, 24))
    plain.put(start + 4, "I", 0xFFFFFFFF)
    plain.put(start + 108, "I", 0x3)
    plain.put(start + 40 + 4 * 14, "I", first // 1024)
    plain.put(first, "256I", *[second // 1024] * 256)
    plain.put(second, "256I", *[third // 1024] * 256)
    plain.put(third, "256I", data // 1024, *[0] * 255)
    runs = plain.open().walk(b"/file").runs()
    shown: list[Run] = []
    began = seconds_used()
    with pytest.raises(ImageError, match="more blocks than the volume"):
        shown.extend(runs)
    assert (
        8000 < sum(isinstance(run, Extent) for run in shown) < 8192
    )  # the blocks of the volume, but for the few that lead to them
    assert seconds_used() - began < 2


def test_an_indirect_block_that_refers_to_itself(plain: Image) -> None:
    """All that it comes to is a file of that block, over and over."""
    start, block = plain.inode("file"), plain.block("file", 20)
    plain.put(start + 4, "I", 40 * 1024)
    plain.put(start + 40 + 4 * 12, "I", block // 1024)
    plain.put(block, "256I", *[block // 1024] * 256)
    runs = list(plain.open().walk(b"/file").runs())
    assert [run.offset for run in runs[-28:] if isinstance(run, Extent)] == [block] * 28
    assert sum(run.length for run in runs) == 40 * 1024


def test_a_huge_sparse_file_costs_nothing(plain: Image, extents: Image) -> None:
    for image in (plain, extents):
        start = image.inode("file")
        image.put(start + 4, "I", 0)
        image.put(start + 108, "I", 0x7FFFFFFF)
        filesystem = image.open()
        node = filesystem.walk(b"/file")
        runs = list(node.runs())
        assert node.size == 0x7FFFFFFF << 32 == sum(run.length for run in runs)
        assert isinstance(runs[-1], Hole)
        image.put(start + 108, "I", 0x80000000)
        with pytest.raises(ImageError, match="beyond all offsets"):
            _ = image.open().walk(b"/file").size


def test_the_upper_half_of_a_directorys_size_is_no_size(plain: Image) -> None:
    plain.put(plain.inode("small") + 108, "I", 0xFFFFFFFF)
    assert [name for name, _ in plain.open().walk(b"/small").entries()] == [b"a"]


@pytest.mark.parametrize(
    ("offset", "layout", "values", "message"),
    [
        (4, "H", (0,), "an entry of 0 bytes"),
        (4, "H", (8,), "an entry of 8 bytes"),
        (4, "H", (14,), "an entry of 14 bytes"),
        (4, "H", (2000,), "an entry of 2000 bytes"),
        (6, "B", (200,), "with a name of 200"),
        (4, "HB", (1020, 0), "goes beyond its block"),
    ],
)
def test_directory_entries_that_cannot_be(
    plain: Image, offset: int, layout: str, values: tuple[int, ...], message: str
) -> None:
    block = plain.block("small")
    plain.put(block + offset, layout, *values)
    with pytest.raises(ImageError, match=message) as error:
        list(plain.open().walk(b"/small").entries())
    assert block <= (error.value.offset or 0) < block + 1024


@pytest.mark.parametrize("name", [b"/", b"\0", b""])
def test_names_that_no_file_can_have_are_left_out(plain: Image, name: bytes) -> None:
    place = plain.block("small") + 24  # behind "." and ".."
    plain.data[place + 6] = len(name)
    plain.data[place + 8 : place + 8 + len(name)] = name
    filesystem = plain.open()
    assert list(filesystem.walk(b"/small").entries()) == []
    assert "is called" in filesystem.warnings[0]


@pytest.mark.parametrize("number", [129, 0xFFFFFFFF])
def test_inode_numbers_that_do_not_exist(plain: Image, number: int) -> None:
    plain.put(plain.block("small") + 24, "I", number)
    ((name, node),) = plain.open().walk(b"/small").entries()
    assert name == b"a"
    with pytest.raises(ImageError, match=f"inode {number} wanted, but there are 128"):
        _ = node.kind


def test_a_damaged_file_hides_no_other_from_a_search(plain: Image) -> None:
    root = plain.block("/")
    entry = plain.data.index(b"file", root) - 8
    assert entry < plain.data.index(b"small", root)
    plain.put(entry, "I", 9999)
    filesystem = plain.open()
    found = [path for path, _ in filesystem.nodes()]
    assert b"/file" in found
    assert b"/small/a" in found
    assert filesystem.warnings == ["/file: inode 9999 wanted, but there are 128 [of image]"]


def test_a_search_walks_through_a_directory_with_two_names_once(plain: Image) -> None:
    """A hard link to a directory, which only damage makes; here it is also a circle."""
    debugfs(plain.path, "ln /small /small/again", write=True)
    filesystem = open_bytes(plain.path.read_bytes())
    found = [path for path, _ in filesystem.nodes()]
    assert [path for path in found if path.startswith(b"/small")] == [b"/small", b"/small/a", b"/small/again"]


def test_a_search_looks_at_no_more_files_than_the_limit(
    plain: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits.INSPECT_FILES, "value", 5)
    with pytest.raises(LimitExceeded, match="inspect-files"):
        list(plain.open().nodes())


def test_an_entry_with_inode_zero_is_unused(plain: Image) -> None:
    plain.put(plain.block("small") + 24, "I", 0)
    assert list(plain.open().walk(b"/small").entries()) == []


def test_a_mode_that_is_no_type(plain: Image) -> None:
    plain.put(plain.inode("file"), "H", 0o644)
    with pytest.raises(ImageError, match="of no type of file"):
        _ = plain.open().walk(b"/file").kind


@pytest.mark.parametrize(
    ("offset", "layout", "value", "why"),
    [
        (28, "B", 9, "hash 9"),
        (29, "B", 0, "8 expected"),
        (30, "B", 5, "5 levels"),
        (30, "B", 1, "no block of an index where one must be"),  # a leaf
        (31, "B", 1, "flags 0x1"),
        (32, "H", 0, "room for 0"),
        (32, "H", 9999, "room for 9999"),
        (34, "H", 0, "0 pairs"),
        (34, "H", 9999, "9999 pairs"),
        (36, "I", 9999, "block 9999 of the directory is not there"),
        (36, "I", 0, ""),  # leads back to the root
    ],
)
def test_a_damaged_index_is_not_used(plain: Image, offset: int, layout: str, value: int, why: str) -> None:
    expected = listing(plain.open())
    plain.put(plain.block("d") + offset, layout, value)
    filesystem = plain.open()
    directory = filesystem.walk(b"/d")
    for name, node in directory.entries():
        found = directory.lookup(name)
        assert found is not None
        assert found.key == node.key
    assert directory.lookup(b"missing") is None
    assert listing(filesystem) == expected
    assert len(filesystem.warnings) <= 1
    if why:
        assert why in filesystem.warnings[0]


def test_names_in_the_wrong_leaf_are_found_all_the_same(plain: Image) -> None:
    root = plain.block("d")
    pairs = bytes(plain.data[root + 40 : root + 56])
    for place, pair in ((48, pairs[:8]), (40, pairs[8:])):  # the second and the third leaf change places
        plain.data[root + place + 4 : root + place + 8] = pair[4:]
    filesystem = plain.open()
    directory = filesystem.walk(b"/d")
    assert all(directory.lookup(name) for name, _ in directory.entries())
    assert "is not where its hash belongs" in filesystem.warnings[0]


def test_a_hash_that_goes_on_for_ever(plain: Image) -> None:
    """Each pair says that the hash of the one before goes on below it: more leaves than there are blocks."""
    number = plain.inode("d")
    blocks = struct.unpack_from("<I", plain.data, number + 4)[0] // 1024
    root = plain.block("d")
    limit = struct.unpack_from("<H", plain.data, root + 32)[0]
    assert limit > blocks
    seed = str(UUID(bytes=bytes(plain.data[SUPERBLOCK + 0xEC : SUPERBLOCK + 0xFC])))
    version = ("legacy", "half_md4", "tea")[plain.data[root + 28]]
    said = debugfs(plain.path, f"dx_hash -h {version} -s {seed} missing")
    wanted = int(said.split("is 0x")[1].split()[0], 16)
    plain.put(root + 34, "H", limit)
    plain.put(root + 36, "I", 1)
    for pair in range(1, limit):
        plain.put(root + 32 + 8 * pair, "II", wanted | 1, 1)
    filesystem = plain.open()
    assert filesystem.walk(b"/d").lookup(b"missing") is None
    assert "the index has more leaves than the directory has blocks" in filesystem.warnings[0]


def test_an_index_that_leads_into_a_hole(plain: Image) -> None:
    expected = {name for name, _ in plain.open().walk(b"/d").entries()}
    plain.put(plain.inode("d") + 40 + 4, "I", 0)
    filesystem = plain.open()
    directory = filesystem.walk(b"/d")
    left = {name for name, _ in directory.entries()}
    assert left < expected
    assert all(directory.lookup(name) for name in left)
    assert not any(directory.lookup(name) for name in expected - left)
    assert "block 1 of the directory is not there" in filesystem.warnings[0]
    number = f"inode[{directory.key}].directory_block"

    def shown() -> list[str]:
        names = (s.name for s in plain.open().structures.of_node(directory))
        return [name for name in names if name.startswith(f"{number}[0]")]

    assert f"{number}[0].dx_root" in shown()
    plain.put(plain.block("d") + 30, "B", 1)  # the hole must hold an index block
    assert f"{number}[0].dx_root" in shown()
    plain.put(plain.block("d") + 29, "B", 7)  # no root of an index: it is shown as entries
    assert shown()[0] == f"{number}[0].entry[0]"


@pytest.mark.parametrize(
    ("offset", "layout", "value"),
    [
        (34, "H", 9999),  # more pairs than there is room for
        (32, "H", 9999),  # room behind the end of the block
        (29, "B", 0),  # no root of an index
        (16, "H", 500),  # ".." ends before the block does
        (1020, "B", 0x5A),  # the checksum itself
    ],
)
def test_a_damaged_index_with_a_checksum_is_not_used(
    modern: Image, offset: int, layout: str, value: int
) -> None:
    place = modern.block("d")
    names = [name for name, _ in modern.open().walk(b"/d").entries()]
    modern.put(place + offset, layout, value)
    filesystem = modern.open()
    directory = filesystem.walk(b"/d")
    if offset != 16:
        assert directory.lookup(names[7]) is not None
        assert "the index of " in filesystem.warnings[-1]
    else:
        assert directory.lookup(names[7]) is None or filesystem.warnings
    assert f"a directory block of inode[{directory.key}] at byte {place:#x} has a bad checksum" in str(
        filesystem.warnings
    )


def test_pointers_of_an_index_to_one_block_are_followed_once(tmp_path: Path) -> None:
    """Three levels of full index blocks, all the same one: what inspect reads is bounded by the directory."""
    image = Image(tmp_path, "-t ext4 -O large_dir,^metadata_csum,^has_journal,^64bit")
    root, node = image.block("d"), image.block("d", 1)
    image.put(root + 30, "B", 2)
    limit = struct.unpack_from("<H", image.data, root + 32)[0]
    image.put(root + 34, "H", limit)
    for pair in range(1, limit):
        image.put(root + 32 + 8 * pair, "II", pair, 1)
    image.put(root + 36, "I", 1)
    image.put(node, "IHBB", 0, 1024, 0, 0)
    for pair in range(127):
        image.put(node + 8 + 8 * pair, "II", pair, 2)
    image.put(node + 8, "HH", 127, 127)
    filesystem = image.open()
    directory = filesystem.walk(b"/d")
    tracemalloc.start()
    shown = [s.name for s in filesystem.structures.of_node(directory)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20
    number = f"inode[{directory.key}].directory_block"
    assert [name for name in shown if name.endswith((".dx_root", ".dx_node"))] == [
        f"{number}[0].dx_root",
        f"{number}[1].dx_node",
        f"{number}[2].dx_node",
    ]


def test_what_inspect_puts_off_counts_against_the_limit(
    plain: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block of pointers to blocks of pointers: all that wait to be looked at take memory."""
    monkeypatch.setattr(limits.INSPECT_BLOCKS, "value", 10_000)
    start, first = plain.inode("file"), plain.block("file")
    plain.put(start + 40 + 4 * 14, "I", first // 1024)
    for block in range(100):
        plain.put(first + 1024 * block, "256I", *(first // 1024 + 1 + n % 100 for n in range(256)))
    filesystem = plain.open()
    with pytest.raises(LimitExceeded, match="inspect-blocks"):
        list(filesystem.structures.of_node(filesystem.walk(b"/file")))


def test_groups_beyond_the_volume_are_not_shown(plain: Image) -> None:
    """A superblock that claims 2^31 blocks, 262,144 groups of them."""
    whole = [one.name for one in plain.open().structures.every()]
    plain.put(1024 + 4, "I", 0x7FFFFFFF)
    claimed = [one.name for one in plain.open().structures.every()]
    assert [name for name in claimed if "descriptor" in name] == ["group[0].descriptor"]
    assert [name for name in claimed if "fault" not in name] == whole


def test_blocks_of_an_extent_tree_are_shown_once(extents: Image) -> None:
    start, block = extents.inode("file"), extents.block("file")
    extents.put(start + 40, "HHHHI", 0xF30A, 2, 4, 1, 0)
    for place in range(2):
        extents.put(start + 52 + 12 * place, "IIHH", 100 * place, block // 1024, 0, 0)
    extents.put(block, "HHHHI", 0xF30A, 0, 84, 0, 0)
    filesystem = extents.open()
    node = filesystem.walk(b"/file")
    assert [structure.name for structure in filesystem.structures.of_node(node)][1:] == [
        f"inode[{node.key}].extent_header",
        f"inode[{node.key}].extent_indexes",
        f"inode[{node.key}].extent_block[{block // 1024}].header",
    ]


def test_inline_data_behind_other_attributes_and_without_its_own(tmp_path: Path) -> None:
    image = Image(tmp_path, "-t ext4 -O inline_data,^metadata_csum,^has_journal,^64bit")
    (tmp_path / "contents").write_bytes(bytes(range(100)))
    debugfs(image.path, f"write {tmp_path / 'contents'} inline", write=True)
    image.data = bytearray(image.path.read_bytes())
    start = image.inode("inline")
    assert image.open().walk(b"/inline").read() == bytes(range(100))
    name = image.data.index(b"data", start + 128, start + 256)
    image.data[name] ^= 1  # now it is another attribute
    with pytest.raises(ImageError, match="100 bytes of inline data, but there is room for 60"):
        image.open().walk(b"/inline").read()


def test_a_link_with_attributes_in_a_block_is_still_in_the_inode(tmp_path: Path) -> None:
    """The blocks that an inode counts are those of its attributes (ext4_inode_is_fast_symlink)."""
    image = Image(tmp_path, "-t ext4 -I 128 -O ^metadata_csum,^has_journal,^64bit")
    debugfs(image.path, "ea_set /short trusted.colour blue", write=True)
    image.data = bytearray(image.path.read_bytes())
    start = image.inode("short")
    assert struct.unpack_from("<I", image.data, start + 0x68)[0]  # i_file_acl
    assert image.open().walk(b"/short", follow=False).target() == b"target"


def test_inline_data_of_an_inode_without_attributes(tmp_path: Path) -> None:
    """Of 128 bytes, an inode has room for what stands in the place of its blocks, and for no more."""
    image = Image(tmp_path, "-t ext2 -I 128")
    start = image.inode("file")
    image.put(start + 32, "I", 0x10000000)
    image.data[start + 40 : start + 100] = bytes(range(60))
    image.put(start + 4, "I", 60)
    assert image.open().walk(b"/file").read() == bytes(range(60))
    image.put(start + 4, "I", 61)
    with pytest.raises(ImageError, match="61 bytes of inline data, but there is room for 60") as error:
        image.open().walk(b"/file").read()
    assert error.value.offset == start


def test_descriptors_that_begin_behind_a_superblock_in_block_1(tmp_path: Path) -> None:
    """With clusters, block 0 of 1 KiB belongs to the file system; with meta_bg block 2 has descriptors."""
    image = Image(tmp_path, "-t ext4 -O meta_bg,bigalloc,^resize_inode,^has_journal -C 4096")
    assert struct.unpack_from("<I", image.data, SUPERBLOCK + 0x14)[0] == 0
    filesystem = image.open()
    assert filesystem.walk(b"/file").read() == bytes(range(256)) * 4 * 300
    assert filesystem.warnings == []
    assert filesystem.structures.owner(2048) == "group[0].descriptor"


def test_whose_byte_it_is_in_a_copy_of_the_superblock(tmp_path: Path) -> None:
    image = mke2fs(tmp_path / "i", "-t", "ext4", "-b", "1024", size="24M")
    filesystem = open_bytes(image.read_bytes())
    assert (
        filesystem.structures.owner(8193 * 1024 + 56) == "group[1].superblock"
    )  # where mke2fs says that copies are
    assert filesystem.structures.owner(8193 * 1024 - 1) == ""


@pytest.mark.parametrize("size", [60, 100, 4096])
def test_fast_links_that_are_too_long(plain: Image, size: int) -> None:
    plain.put(plain.inode("short") + 4, "I", size)
    with pytest.raises(ImageError, match=f"a symbolic link of {size} bytes in the inode"):
        plain.open().walk(b"/short", follow=False).target()


def test_a_link_longer_than_any_path(plain: Image) -> None:
    plain.put(plain.inode("link") + 4, "I", 1 << 30)
    with pytest.raises(BootcfgError, match="path-length"):
        plain.open().walk(b"/link", follow=False).target()


@pytest.mark.parametrize(
    ("offset", "layout", "value", "message"),
    [
        (4, "I", 300, "300 bytes of inline data"),
        (128, "H", 33, "33 bytes of extra fields"),
        (128, "H", 4000, "4000 bytes of extra fields"),
        (160, "I", 0, "of inline data, but there is room for 60"),
        (166, "H", 0xFFF0, "lies outside of the inode"),
        (168, "I", 12, "lies outside of the inode"),
        (172, "I", 0xFFFF, "lies outside of the inode"),
    ],
)
def test_damaged_inline_data(tmp_path: Path, offset: int, layout: str, value: int, message: str) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "f").write_bytes(b"i" * 120)
    image = mke2fs(tmp_path / "i", "-t", "ext4", "-O", "inline_data", tree=tmp_path / "t", size="8M")
    where = debugfs(image, "imap f")
    block = int(where.split("located at block ")[1].split(",")[0])
    start = block * 1024 + int(where.split("offset ")[1].split()[0], 16)
    data = bytearray(image.read_bytes())
    assert open_bytes(data).walk(b"/f").read() == b"i" * 120
    struct.pack_into("<" + layout, data, start + offset, value)
    with pytest.raises(ImageError, match=message):
        open_bytes(data).walk(b"/f").read()


def test_a_truncated_image_shows_what_it_has(tmp_path: Path) -> None:
    data = carried("ext2-1k", tmp_path).read_bytes()
    expected = carried_listing("ext2-1k")
    filesystem = open_bytes(data[: len(data) // 2])
    assert "the file system has 8388608 bytes, but the volume only 4194304" in filesystem.warnings
    seen = 0
    for path, node in nodes(filesystem):
        try:
            if path != b"/lost+found":
                assert shortened({path: look(node)})[path] == expected[path]
                seen += 1
        except ImageError:
            pass
    assert seen > 500


def everything(filesystem: Ext) -> None:
    """Read all that a caller can ask for; every error on the way must be one of ours."""
    budget = limits.LISTED_FILES.budget()
    todo = [filesystem.root]
    seen = set()
    while todo and budget.spent < 3000:
        directory = todo.pop()
        try:
            for name, node in directory.entries():
                budget.spend()
                if budget.spent > 3000:
                    break
                try:
                    if node.kind is Kind.DIRECTORY and node.key not in seen:
                        seen.add(node.key)
                        todo.append(node)  # type: ignore[arg-type]
                    elif node.kind is Kind.SYMLINK:
                        node.target()
                    elif node.kind is Kind.FILE:
                        for number, _ in enumerate(node.runs()):
                            if number > 5000:
                                break
                    _ = (node.size, node.mode, node.mtime)
                    directory.lookup(name)
                except BootcfgError:
                    pass
        except BootcfgError:
            pass
    for structure in islice(filesystem.structures.listed(), 20):
        structure.decoder.trace(filesystem.source, structure.offset)


@pytest.mark.parametrize(
    "options",
    ["-t ext2", "-t ext4 -O inline_data", "-t ext4 -O ^metadata_csum", "-t ext4 -O meta_bg,^resize_inode"],
)
def test_changed_bytes_end_in_our_own_errors(options: str, tmp_path: Path) -> None:
    image = Image(tmp_path, options)
    noise = random.Random(options)  # noqa: S311
    places = interesting(image)
    for _ in range(100):
        data = bytearray(image.data)
        for _ in range(noise.choice((1, 1, 2, 8))):
            place = noise.choice(places)
            data[place] = noise.choice((0, 1, 0x7F, 0x80, 0xFF, data[place] ^ 1 << noise.randrange(8)))
        began = seconds_used()
        with suppress(BootcfgError):
            everything(open_bytes(data))
        assert seconds_used() - began < 10


def interesting(image: Image) -> list[int]:
    """Return the bytes that say something: superblock, descriptors, inodes in use, directories, journal."""
    places = [*range(1024, 1024 + 0x288), *range(2048, 2048 + 64)]
    for path in ("<2>", "d", "file", "link", "short", "small", "<8>"):
        start = image.inode(path)
        places += range(start, start + 256)
    for path, logical in (("<2>", 0), ("d", 0), ("d", 1), ("small", 0), ("<8>", 0)):
        start = image.block(path, logical)
        if start:
            places += range(start, start + 128)
    return places


# --- what hardly any image has -----------------------------------------------------------------------------


def test_more_blocks_than_64_bits_have_bytes(tmp_path: Path) -> None:
    image = Image(tmp_path, "-t ext4 -O 64bit,^metadata_csum,^has_journal")
    image.put(SUPERBLOCK + 0x150, "I", 0xFFFFFFFF)
    with pytest.raises(ImageError, match=r"\d+ blocks"):
        image.open()


def test_copies_where_sparse_super2_puts_them(tmp_path: Path) -> None:
    """s_backup_bgs names the two groups that have copies."""
    image = Image(tmp_path, "-t ext4 -O sparse_super2,^resize_inode,^has_journal -g 2048")
    groups = struct.unpack_from("<2I", image.data, SUPERBLOCK + 0x24C)
    expected = listing(image.open())
    filesystem = image.open()
    assert [group for group in range(4) if filesystem.superblock.has_copy(group)] == [0, *groups]
    image.data[SUPERBLOCK : SUPERBLOCK + 1024] = bytes(1024)
    with suppress(ImageError):  # unless it is looked for where other file systems have it
        assert listing(image.open()) == expected


def test_extents_at_the_end_of_what_can_be(extents: Image) -> None:
    start = extents.inode("file")
    extents.put(start + 40 + 2, "H", 1)
    extents.put(start + 40 + 12, "I", 0xFFFFFFFB)
    extents.put(start + 4, "I", 0xFFFFFFFF)
    extents.put(start + 0x6C, "I", 0x3FF)
    with pytest.raises(ImageError, match="an extent ends at block"):
        list(extents.open().walk(b"/file").runs())


def test_an_index_of_extents_without_entries(extents: Image) -> None:
    start = extents.inode("file")
    extents.put(start + 40 + 2, "HHH", 0, 4, 1)
    with pytest.raises(ImageError, match="an extent index without entries"):
        extents.open().walk(b"/file").read()


def test_hashes_of_encrypted_names_are_no_index(plain: Image) -> None:
    """Version 6, SipHash, needs the key: the directory is scanned, and found is what is there."""
    plain.put(plain.block("d") + 0x1C, "B", 6)
    filesystem = plain.open()
    assert filesystem.walk(f"/d/name007{'n' * 100}".encode()).size == 0
    with pytest.raises(BootcfgError, match="no such file"):
        filesystem.walk(b"/d/none")


@pytest.mark.parametrize("position", [1, 2])
def test_journals_that_are_no_file_or_not_there(tmp_path: Path, position: int) -> None:
    """The journal's inode made a directory's, or left out; the image is read as it is, with a warning."""
    image = Image(tmp_path, "-t ext4 -O ^metadata_csum,^64bit -J size=1")
    incompat = struct.unpack_from("<I", image.data, SUPERBLOCK + 0x60)[0]
    image.put(SUPERBLOCK + 0x60, "I", incompat | 4)  # needs_recovery
    image.put(SUPERBLOCK + 0xE0, "I", 0 if position == 1 else 2)
    image.put(SUPERBLOCK + 0xFD, "B", 0)  # s_jnl_backup_type
    filesystem = image.open()
    assert any("journal" in warning for warning in filesystem.warnings)
    assert look(filesystem.walk(b"/small/a")).size == 1


def test_a_short_inode_tail_with_checksums(tmp_path: Path) -> None:
    """With i_extra_isize below 4 there is no i_checksum_hi, and the lower half is all there is."""
    image = Image(tmp_path, "-t ext4 -O ^has_journal")
    start = image.inode("file")
    image.put(start + 128, "H", 2)
    filesystem = image.open()
    assert look(filesystem.walk(b"/file")).size == 307200
    assert any("checksum" in warning for warning in filesystem.warnings)
    number = int(debugfs(image.path, "stat file").split("Inode: ")[1].split()[0])
    uuid = bytes(image.data[SUPERBLOCK + 0x68 : SUPERBLOCK + 0x78])
    seed = crc32c(
        struct.pack("<II", number, struct.unpack_from("<I", image.data, start + 0x64)[0]), crc32c(uuid)
    )
    raw = bytearray(image.data[start : start + 256])
    raw[0x7C:0x7E] = bytes(2)
    image.put(start + 0x7C, "H", crc32c(bytes(raw), seed) & 0xFFFF)
    filesystem = image.open()
    assert look(filesystem.walk(b"/file")).size == 307200
    assert not any("file" in warning and "checksum" in warning for warning in filesystem.warnings)
