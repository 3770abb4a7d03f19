"""ReiserFS of every block size, format and hash: images built here, held against reiserfsck and GRUB.

Where they are installed, reiserfsck says that the images are sound, grub-fstest reads the files back, and
`reiserfsck --check` replays on the disk the journals that we replay in memory.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from reiserfs_image import UUID, Directory, File, Hidden, Image, Link, opened

from pybootcfg.errors import LimitExceeded
from pybootcfg.filesystems.base import Extent, Filesystem, Hole, Node, Options
from pybootcfg.filesystems.reiserfs import Reiserfs, directory, hashes
from pybootcfg.formats import reiserfs as layout
from pybootcfg.kind import Kind

needs_reiserfsck = pytest.mark.skipif(not shutil.which("reiserfsck"), reason="reiserfsprogs is not installed")
needs_grub = pytest.mark.skipif(not shutil.which("grub-fstest"), reason="grub-fstest is not installed")

CODES = {"r5": layout.R5_HASH, "tea": layout.TEA_HASH, "rupasov": layout.YURA_HASH}
OLD = layout.KEY_FORMAT_3_5


def pattern(length: int, seed: int = 1) -> bytes:
    """Return bytes in which no two blocks are the same."""
    words = ((seed * 2654435761 + index * 40503) & 0xFFFFFFFF for index in range(-(-length // 8)))
    return b"".join(b"%08x" % word for word in words)[:length]


def sample(block_size: int) -> Directory:
    """Return a tree with what makes a difference: tails, holes, both formats side by side, many names."""
    sparse = bytes(3 * block_size) + pattern(2 * block_size) + bytes(4 * block_size) + pattern(100)
    return {
        b"boot": {
            b"vmlinuz": File(pattern(50 * block_size + 77)),
            b"initrd.img": File(pattern(40 * block_size + 1, 2), gap=1),
            b"old-kernel": File(pattern(30 * block_size + 9, 3), version=OLD),
            b"no-tail": File(pattern(5 * block_size + 13, 4), tail=False),
            b"link": Link(b"vmlinuz"),
            b"grub": {b"menu.lst": File(b"default 0\ntitle built\n")},
        },
        b"edge": {
            b"empty": File(b""),
            b"one": File(b"x"),
            b"exact-1": File(pattern(block_size - 1, 5)),
            b"exact": File(pattern(block_size, 6)),
            b"exact+1": File(pattern(block_size + 1, 7)),
            b"sparse": File(sparse, frozenset({0, 1, 2, 5, 6, 7, 8})),
            b"all-hole": File(bytes(2 * block_size), frozenset({0, 1})),
            "ünï-名前-Ж.txt".encode(): File(b"not ascii"),
            b"bad-\xff\xfe-name": File(b"not utf-8"),
            b"l" * 255: File(b"long name"),
            b"up": Link(b"../boot/link"),
        },
        b"many": {b"file-%d" % number: File(b"%d" % number) for number in range(150)},
    }


def flat(tree: Directory, above: bytes = b"") -> dict[bytes, Directory | File | Link | Hidden]:
    found: dict[bytes, Directory | File | Link | Hidden] = {}
    for name, child in tree.items():
        found[above + b"/" + name] = child
        if isinstance(child, dict):
            found.update(flat(child, above + b"/" + name))
    return found


def contents(node: Node) -> bytes:
    chunks = []
    for run in node.runs():
        if isinstance(run, Extent):
            chunks.append(run.source.read(run.offset, run.length))
        else:
            chunks.append(bytes(run.length))
    return b"".join(chunks)


def listed(node: Node, above: bytes = b"") -> dict[bytes, Node]:
    found = {}
    for name, child in node.entries():
        found[above + b"/" + name] = child
        if child.kind is Kind.DIRECTORY:
            found.update(listed(child, above + b"/" + name))
    return found


def assert_same(filesystem: Filesystem, tree: Directory) -> None:
    expected = flat(tree)
    found = listed(filesystem.root)
    assert found.keys() == expected.keys()
    for path, child in expected.items():
        assert filesystem.walk(path, follow=False).key == found[path].key, path
        if isinstance(child, File):
            assert found[path].size == len(child.data), path
            assert contents(found[path]) == child.data, path
        elif isinstance(child, Link):
            assert found[path].target() == child.target, path


def checked(image: bytes, folder: Path, *options: str) -> tuple[int, str, Path]:
    """Run reiserfsck on a copy; return its exit status, what it says, and the copy."""
    path = folder / "checked.img"
    path.write_bytes(image)
    command = ["reiserfsck", "--check", "-f", "-y", "-q", *options, str(path)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace"), path


VARIANTS = [
    (512, "3.5", "r5", 512),
    (512, "3.6", "tea", 512),
    (1024, "3.5", "rupasov", 512),
    (1024, "3.6", "r5", 8125),
    (2048, "3.5", "tea", 600),
    (2048, "3.6", "rupasov", 700),
    (4096, "3.5", "r5", 8192),
    (4096, "3.6", "tea", 512),
    (8192, "3.5", "rupasov", 512),
    (8192, "3.6", "r5", 512),
]


@pytest.fixture(params=VARIANTS, ids=lambda variant: "-".join(map(str, variant)))
def variant(request: pytest.FixtureRequest) -> tuple[Image, Directory]:
    block_size, version, code, journal_size = request.param
    tree = sample(block_size)
    relocated = journal_size < 8000
    return Image(tree, block_size, version == "3.5", relocated, CODES[code], journal_size=journal_size), tree


def test_read_back(variant: tuple[Image, Directory]) -> None:
    image, tree = variant
    filesystem = image.open()
    assert_same(filesystem, tree)
    assert filesystem.warnings == []
    assert filesystem.features[0] == ("3.5" if image.old else "3.6")
    assert hashes.NAMES[image.code] in filesystem.features
    if not image.old:
        assert (filesystem.uuid, filesystem.label) == (UUID, "built")


@needs_reiserfsck
def test_reiserfsck_finds_them_sound(variant: tuple[Image, Directory], tmp_path: Path) -> None:
    status, said, _ = checked(variant[0].image(), tmp_path)
    assert status == 0, said
    assert "No corruptions found" in said


@pytest.mark.no_cover
@needs_grub
def test_grub_reads_the_same(variant: tuple[Image, Directory], tmp_path: Path) -> None:
    image, tree = variant
    path = tmp_path / "disk"
    path.write_bytes(image.image())
    for name in (b"boot/vmlinuz", b"boot/initrd.img", b"boot/old-kernel", b"edge/sparse", b"many/file-149"):
        child = flat(tree)[b"/" + name]
        assert isinstance(child, File)
        done = subprocess.run(
            ["grub-fstest", str(path), "cat", "(loop0)/" + name.decode()], capture_output=True, check=False
        )
        assert done.stdout == child.data, (name, done.stderr)


def test_converted_from_3_5(tmp_path: Path) -> None:
    """Old directories hold old and new files; keys of both formats are side by side in every node."""
    tree: Directory = {
        b"old-dir": {
            b"%d-%d" % pair: File(pattern(5000), version=pair[0] % 2) for pair in enumerate(range(90))
        },
        b"link": Link(b"old-dir"),
        b"sparse": File(bytes(9000) + b"end", frozenset({0, 1, 2}), version=OLD),
    }
    image = Image(tree, 1024, converted=True, fanout=5, leaf_items=6)
    filesystem = image.open()
    assert_same(filesystem, tree)
    assert filesystem.features[0] == "3.6"
    if shutil.which("reiserfsck"):
        status, said, _ = checked(image.image(), tmp_path)
        assert status == 0, said


# --- trees ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 6, 7])
def test_trees_of_every_height(height: int, tmp_path: Path) -> None:
    tree: Directory = {}
    image = Image(tree, 1024)
    while len(image.level_blocks) < height:
        tree |= {b"f%03d" % number: File(b"%d" % number) for number in range(len(tree) * 5 // 4 + 1)}
        image = Image(tree, 1024, fanout=2, leaf_items=3)
    assert len(image.level_blocks) == height
    filesystem = image.open()
    assert_same(filesystem, tree)
    assert filesystem.root.lookup(b"g999") is None
    if height < 5 and shutil.which("reiserfsck"):
        status, said, _ = checked(image.image(), tmp_path)
        assert status == 0, said


def test_tree_that_is_too_high() -> None:
    tree: Directory = {b"f%03d" % number: File(b"%d" % number) for number in range(300)}
    filesystem = Image(tree, 1024, fanout=2, leaf_items=2).open()
    with pytest.raises(LimitExceeded, match="reiserfs-tree-height"):
        list(filesystem.root.entries())


def collisions(code: int, count: int) -> list[bytes]:
    """Return `count` names with the same hash."""
    found: dict[int, list[bytes]] = {}
    for number in itertools.count():
        name = b"name-%x" % (number * 2654435761 % (1 << 40))
        names = found.setdefault(hashes.values(code, name)[0], [])
        names.append(name)
        if len(names) == count:
            return names
    raise AssertionError


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_names_with_one_hash(code: int, tmp_path: Path) -> None:
    names = collisions(code, 2)
    tree: Directory = {name: File(name) for name in names}
    tree |= {b"other-%d" % number: File(b"%d" % number) for number in range(30)}
    image = Image(tree, 1024, code=code, leaf_items=1)
    assert_same(image.open(), tree)
    if shutil.which("reiserfsck"):
        status, said, _ = checked(image.image(), tmp_path)
        assert status == 0, said


def test_many_generations_over_several_leaves() -> None:
    """Rupasov's hash is a decimal number, so that `6:` and `70` are the same to it."""
    names = [bytes([0x36 - up, 0x30 + 10 * up]) + end for up in range(5) for end in (b"x", b"y")]
    names += [bytes([0x36 - up, 0x30 + 10 * up, 0x26, 0x78 + 10]) for up in range(5)]
    values = {hashes.values(layout.YURA_HASH, name)[0] for name in names}
    assert len(values) < len(names) // 3
    tree: Directory = {name + b"-" * 200: File(name) for name in names}
    assert_same(Image(tree, 512, code=layout.YURA_HASH).open(), tree)


def test_entries_that_are_not_shown() -> None:
    tree: Directory = {
        b"seen": File(b"1"),
        b"deleted": Hidden(b"2"),
        b".reiserfs_priv": {b"xattrs": {b"3.0": File(b"x")}},
        b"below": {b".reiserfs_priv": File(b"a file like any other")},
    }
    root = Image(tree).open().root
    assert sorted(name for name, _ in root.entries()) == [b"below", b"seen"]
    assert root.lookup(b"deleted") is None
    assert root.lookup(b".reiserfs_priv") is None
    below = root.lookup(b"below")
    assert below is not None
    assert [name for name, _ in below.entries()] == [b".reiserfs_priv"]
    assert below.lookup(b".reiserfs_priv") is not None


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_unset_hash_is_found_out(code: int) -> None:
    tree: Directory = {b"a-%d" % number: File(b"%d" % number) for number in range(20)}
    image = Image(tree, code=code, written_code=0)
    filesystem = image.open()
    assert isinstance(filesystem, Reiserfs)
    assert filesystem.hash_codes == (code,)
    assert filesystem.warnings == []
    assert_same(filesystem, tree)


def test_wrong_hash_is_noticed() -> None:
    tree: Directory = {b"a-%d" % number: File(b"%d" % number) for number in range(20)}
    filesystem = Image(tree, code=layout.TEA_HASH, written_code=layout.R5_HASH).open()
    assert_same(filesystem, tree)
    assert filesystem.warnings == ["names are not sorted by the hash that the super block says (3)"]


def test_unset_hash_of_an_empty_root() -> None:
    filesystem = Image({}, written_code=0).open()
    assert isinstance(filesystem, Reiserfs)
    assert len(filesystem.hash_codes) == 3
    assert filesystem.root.lookup(b"a") is None


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_names_hashed_as_unsigned_characters(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines whose compilers take char as unsigned have written such directories."""
    tree: Directory = {"größe-%d".encode() % number: File(b"%d" % number) for number in range(40)}
    values = hashes.values
    monkeypatch.setattr(hashes, "values", lambda code, name: values(code, name)[::-1])
    image = Image(tree, code=code, leaf_items=1)
    monkeypatch.undo()
    assert_same(image.open(), tree)


def test_lookup_reads_few_nodes() -> None:
    tree: Directory = {b"kernel-%04d" % number: File(b"") for number in range(3000)}
    filesystem = Image(tree, 1024).open()
    assert isinstance(filesystem, Reiserfs)
    assert filesystem.hash_codes == (layout.R5_HASH,)
    before = filesystem.tree.node.cache_info().misses
    assert filesystem.root.lookup(b"kernel-2999") is not None
    assert filesystem.root.lookup(b"kernel-9999") is None
    assert filesystem.tree.node.cache_info().misses - before <= 2 * 4


def test_contiguous_file_is_one_extent() -> None:
    data = pattern(4000 * 4096)
    filesystem = Image({b"big": File(data)}).open()
    node = filesystem.walk(b"/big")
    runs = list(node.runs())
    assert [type(run) for run in runs] == [Extent]
    assert contents(node) == data


def test_runs_of_a_fragmented_file() -> None:
    data = bytes(8192) + pattern(3 * 4096) + bytes(4096) + pattern(10)
    tree: Directory = {b"f": File(data, frozenset({0, 1, 5})), b"g": File(data, gap=2)}
    filesystem = Image(tree).open()
    runs = [(type(run), run.length) for run in filesystem.walk(b"/f").runs()]
    assert runs == [(Hole, 8192), (Extent, 3 * 4096), (Hole, 4096), (Extent, 10)]
    assert [run.length for run in filesystem.walk(b"/g").runs()] == [4096] * 6 + [10]
    assert contents(filesystem.walk(b"/g")) == data


def test_old_place_of_the_super_block() -> None:
    image = Image({b"f": File(b"found")}, old=True, relocated=False, journal_size=8192)
    blocks = bytearray(image.image())
    here = layout.REISERFS_DISK_OFFSET_IN_BYTES
    size = image.block_size
    blocks[8192 : 8192 + size] = blocks[here : here + size]
    blocks[here : here + size] = bytes(size)
    assert contents(opened(bytes(blocks)).walk(b"/f")) == b"found"


def test_names_that_end_where_the_next_begins() -> None:
    tree: Directory = {b"n" * length: File(b"%d" % length) for length in range(1, 60)}
    assert_same(Image(tree, padding=1).open(), tree)


def test_directory_is_searched_where_its_hashes_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    tree: Directory = {b"f%03d" % number: File(b"%d" % number) for number in range(64)}
    filesystem = Image(tree, 1024, code=layout.R5_HASH, written_code=77).open()
    monkeypatch.setattr(directory, "fitting_hashes", lambda *_: ())
    assert_same(filesystem, tree)
    assert filesystem.root.lookup(b"none") is None


# --- journals ------------------------------------------------------------------------------------


def dirty(image: Image, start: int = 0, *, flushed: int = 9, mount_id: int = 5) -> int:
    """Move the newest copy of every node and of the super block into the journal; return the index behind.

    The nodes' own places then hold older copies, in which a transaction in between has been, too.
    """
    newest = {number: image.blocks[number] for level in image.level_blocks for number in level}
    newest[image.super_block] = image.blocks[image.super_block]
    stale = dict.fromkeys(newest, b"\xee" * image.block_size)
    numbers = list(newest)
    step = min(image.trans_max, 100)
    index, trans_id = start, flushed + 1
    for some in (numbers[at : at + step] for at in range(0, len(numbers), step)):
        index = image.log(index, trans_id, mount_id, {number: stale[number] for number in some})
        trans_id += 1
    for some in (numbers[at : at + step] for at in range(0, len(numbers), step)):
        index = image.log(index, trans_id, mount_id, {number: newest[number] for number in some})
        trans_id += 1
    image.blocks |= stale
    image.blocks[image.super_block] = image.superblock(s_root_block=image.root + 1, s_umount_state=2)
    image.blocks[image.journal_first + image.journal_size] = image.journal_header(flushed, start, mount_id)
    return index


@pytest.mark.parametrize("start", [0, 300, 509, 511])
@pytest.mark.parametrize("block_size", [1024, 4096])
def test_journal_is_replayed(block_size: int, start: int, tmp_path: Path) -> None:
    tree = sample(block_size)
    image = Image(tree, block_size)
    dirty(image, start)
    disk = image.image()
    assert_same(opened(disk), tree)
    if shutil.which("reiserfsck"):
        status, said, path = checked(disk, tmp_path)
        assert status in (0, 1), said
        assert "transactions replayed" in said
        assert_same(opened(path.read_bytes(), Options(replay_journal=False)), tree)


def test_journal_is_left_alone() -> None:
    image = Image({b"f": File(b"new")})
    image.log(0, 2, 5, {image.level_blocks[0][0]: image.blocks[image.level_blocks[0][0]]})
    image.blocks[image.journal_first + image.journal_size] = image.journal_header(1, 0, 5)
    filesystem = image.open(Options(replay_journal=False))
    assert filesystem.warnings == ["the journal holds 1 transactions that were not replayed"]
    assert contents(filesystem.walk(b"/f")) == b"new"


def test_journal_without_a_header_is_searched() -> None:
    tree = sample(1024)
    image = Image(tree, 1024)
    dirty(image, 77)
    image.blocks[image.journal_first + image.journal_size] = image.journal_header(0, 0, 0)
    assert_same(image.open(), tree)


def garbage(image: Image) -> dict[int, bytes]:
    return {image.level_blocks[0][0]: b"\xee" * image.block_size}


END_OF_REPLAY: dict[str, Callable[[Image, int], object]] = {
    "older": lambda image, index: image.log(index, 3, 5, garbage(image)),
    "other mount": lambda image, index: image.log(index, 100, 4, garbage(image)),
    "no commit": lambda image, index: (
        image.log(index, 100, 5, garbage(image)),
        image.blocks.pop(image.journal_first + index + 2),
    ),
    "commit of another": lambda image, index: (
        image.log(index + 1, 101, 5, {}),
        image.log(index, 100, 5, garbage(image)),
        image.blocks.update(
            {
                image.journal_first + index + 2: image.blocks[image.journal_first + index + 2][4:].ljust(
                    1024, b"\0"
                )
            }
        ),
    ),
    "too long": lambda image, index: image.log(
        index, 100, 5, dict.fromkeys(range(2000, 2001 + image.trans_max), b"")
    ),
    "no magic": lambda image, index: (
        image.log(index, 100, 5, garbage(image)),
        image.blocks.update(
            {image.journal_first + index: image.blocks[image.journal_first + index][:-12] + bytes(12)}
        ),
    ),
}


@pytest.mark.parametrize("end", END_OF_REPLAY)
def test_replay_ends_at(end: str, tmp_path: Path) -> None:
    tree = {b"f%03d" % number: File(b"%d" % number) for number in range(9)}
    image = Image(tree, 1024)
    END_OF_REPLAY[end](image, dirty(image, 20))
    assert_same(image.open(), tree)
    if shutil.which("reiserfsck"):
        _, said, path = checked(image.image(), tmp_path)
        assert "transactions replayed" in said
        assert_same(opened(path.read_bytes(), Options(replay_journal=False)), tree)


def test_journalled_file_contents_are_read_from_the_journal() -> None:
    image = Image({b"f": File(pattern(20 * 4096))})
    first = next(number for number, block in image.blocks.items() if block == pattern(20 * 4096)[:4096])
    image.log(0, 2, 5, {first + 3: b"j" * 4096, first + 7: b"k" * 4096})
    image.blocks[image.journal_first + image.journal_size] = image.journal_header(1, 0, 5)
    expected = bytearray(pattern(20 * 4096))
    expected[3 * 4096 : 4 * 4096] = b"j" * 4096
    expected[7 * 4096 : 8 * 4096] = b"k" * 4096
    assert contents(image.open().walk(b"/f")) == bytes(expected)


def test_the_list_of_a_long_transaction_goes_on_in_its_commit(tmp_path: Path) -> None:
    """The description block of 1024 bytes has room for 250 numbers of blocks; the commit has the others."""
    size, count = 1024, 252
    image = Image({b"f": File(pattern(300 * size))}, size, journal_size=1024)
    assert image.trans_max >= count
    first = next(number for number, block in image.blocks.items() if block == pattern(300 * size)[:size])
    newer = {first + index: b"%06d" % index * (size // 6) + b"xxxx" for index in range(count)}
    image.log(0, 2, 5, newer)
    image.blocks[image.journal_first + image.journal_size] = image.journal_header(1, 0, 5)
    expected = b"".join(newer.values()) + pattern(300 * size)[count * size :]
    filesystem = image.open()
    assert contents(filesystem.walk(b"/f")) == expected
    assert filesystem.warnings == []
    if shutil.which("reiserfsck"):
        _, said, path = checked(image.image(), tmp_path)
        assert "1 transactions replayed" in said
        replayed = opened(path.read_bytes(), Options(replay_journal=False))
        assert contents(replayed.walk(b"/f")) == expected


def test_journal_on_another_device_is_named() -> None:
    image = Image({b"f": File(b"old")})
    parameters = image.journal_params | {"jp_journal_dev": 0x0811}
    image.blocks[image.super_block] = image.superblock(s_journal=parameters, s_umount_state=2)
    filesystem = image.open()
    assert contents(filesystem.walk(b"/f")) == b"old"
    assert filesystem.journal_state == ""
    for structures in (filesystem.structures.listed(), filesystem.structures.every()):
        assert not any("journal" in structure.name for structure in structures)
    assert filesystem.warnings == [
        "the journal is on another device and was not replayed; files may be out of date"
    ]
