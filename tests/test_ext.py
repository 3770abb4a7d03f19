"""ext2, ext3 and ext4 against manifests, what mke2fs was given, debugfs, dumpe2fs and blkid."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ext_image import (
    Seen,
    carried,
    carried_listing,
    debugfs,
    digest,
    e2fsck,
    grow,
    listing,
    look,
    mke2fs,
    nodes,
    open_bytes,
    open_image,
    require,
    run,
    shortened,
    tree_listing,
)

from pybootcfg.errors import UnsupportedFeature
from pybootcfg.filesystems.base import Extent, Hole, Options
from pybootcfg.filesystems.ext import Ext
from pybootcfg.kind import Kind
from pybootcfg.source import FilePiece, Source

CARRIED_NAMES = {
    "ext2-1k": ("ext2", "EXT2-1K", "22222222-0000-4000-8000-000000000001"),
    "ext2-rev0": ("ext2", "", "74fd9277-e91e-4513-948d-243eb60cecd2"),
    "ext4-default": ("ext4", "EXT4-1K", "22222222-0000-4000-8000-000000000004"),
    "ext4-dirty": ("ext4", "DIRTY", "08512150-a74b-4b9d-8cd6-aa142a8478d5"),
    "ext4-inline": ("ext4", "", "cb86e7c3-d528-4682-844a-2c87f1c39344"),
}

#: options of mke2fs, by what they are about; `sparse` images cost no space
VARIANTS = {
    "rev0": "-t ext2 -r 0 -b 1024",
    "ext2": "-t ext2 -b 4096",
    "ext2-none": "-t ext2 -O none -b 2048",
    "no-filetype": "-t ext2 -O ^filetype,dir_index -b 1024",
    "ext3": "-t ext3 -b 1024",
    "1k": "-t ext4 -b 1024",
    "2k": "-t ext4 -b 2048",
    "4k": "-t ext4 -b 4096",
    "8k": "-t ext4 -b 8192",
    "16k": "-t ext4 -b 16384",
    "32k": "-t ext4 -b 32768 -O ^has_journal",
    "64k": "-t ext4 -b 65536 -O ^has_journal",
    "64k-no-csum": "-t ext2 -b 65536",
    "inode-128": "-t ext4 -I 128",
    "inode-1024": "-t ext4 -I 1024",
    "no-extents": "-t ext4 -O ^extent,^64bit -b 1024",
    "32bit": "-t ext4 -O ^64bit",
    "gdt-csum": "-t ext4 -O ^metadata_csum,uninit_bg",
    "gdt-csum-32bit": "-t ext4 -O ^metadata_csum,uninit_bg,^64bit",
    "no-csum": "-t ext4 -O ^metadata_csum,^uninit_bg",
    "meta_bg": "-t ext4 -b 1024 -g 1024 -O meta_bg,^resize_inode",
    "meta_bg-64bit": "-t ext4 -b 1024 -g 256 -O meta_bg,^resize_inode,64bit,^flex_bg",
    "bigalloc": "-t ext4 -O bigalloc -C 65536",
    "bigalloc-1k": "-t ext4 -b 1024 -O bigalloc -C 16384",
    "sparse_super2": "-t ext4 -O sparse_super2,^resize_inode",
    "no-sparse_super": "-t ext4 -O ^sparse_super,^resize_inode -b 1024",
    "inline": "-t ext4 -O inline_data",
    "inline-1024": "-t ext4 -O inline_data -I 1024 -b 1024",
    "large_dir": "-t ext4 -O large_dir -b 1024",
    "casefold": "-t ext4 -O casefold -E encoding=utf8",
    "csum_seed": "-t ext4 -O metadata_csum_seed",
    "ea_inode": "-t ext4 -O ea_inode",
    "quota": "-t ext4 -O quota,project",
    "mmp": "-t ext4 -O mmp",
    "orphan_file": "-t ext4 -O orphan_file",
    "fast_commit": "-t ext4 -O fast_commit -J fast_commit_size=1024",
    "flags": "-t ext4 -O encrypt,verity,stable_inodes",
    "no-flex_bg": "-t ext4 -O ^flex_bg,^dir_index",
    "small-flex": "-t ext4 -G 2 -b 1024 -g 2048",
}


class Counting(Source):
    """A source that counts what is read of it."""

    def __init__(self, base: Source) -> None:
        self.base, self.name, self.size = base, base.name, base.size
        self.reads = 0

    def _read(self, offset: int, length: int) -> bytes:
        self.reads += 1
        return self.base.read(offset, length)

    def _pieces(self, offset: int, length: int) -> Any:
        return self.base.pieces(offset, length)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("ext") / "tree")


@pytest.fixture(scope="module")
def listed(tree: Path) -> dict[bytes, Seen]:
    return tree_listing(tree)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("carried")
    return lambda name: carried(name, folder)


def test_every_corpus_image_is_read_as_its_manifest_says(corpus: Any) -> None:
    for name in corpus.names("ext2", "ext3", "ext4", "partitioned"):
        manifest = corpus.manifest(name)
        if manifest["fs"] == "partitioned" and "offset" not in manifest:
            continue  # on LVM or MD
        filesystem = open_image(corpus.disks(name)[0], manifest.get("offset", 0))
        assert (filesystem.name, filesystem.uuid) == (manifest["blkid"]["TYPE"], manifest["blkid"]["UUID"])
        assert filesystem.label == manifest["blkid"].get("LABEL", "")
        found = {path: (node.mode, look(node)) for path, node in nodes(filesystem)}
        expected = {
            bytes.fromhex(entry["path_hex"]) if "path_hex" in entry else path.encode(): entry
            for path, entry in manifest["files"].items()
            if path != "/"
        }
        assert set(found) == set(expected), name
        for path, entry in expected.items():
            mode, seen = found[path]
            assert seen.kind == entry["type"], path
            if seen.kind == "file":
                assert (f"{mode:o}", *seen[1:]) == (entry["mode"], entry["size"], entry["sha256"]), path
        assert filesystem.warnings == []


@pytest.mark.parametrize("name", CARRIED_NAMES)
def test_a_carried_image_is_read_as_its_manifest_says(name: str, images: Callable[[str], Path]) -> None:
    filesystem = open_image(images(name))
    assert (filesystem.name, filesystem.label, filesystem.uuid) == CARRIED_NAMES[name]
    assert shortened(listing(filesystem)) == carried_listing(name)
    assert filesystem.warnings == []


@pytest.mark.parametrize("name", CARRIED_NAMES)
def test_every_name_is_found_by_walking(name: str, images: Callable[[str], Path]) -> None:
    filesystem = open_image(images(name))
    for path, node in nodes(filesystem):
        assert filesystem.walk(path, follow=False).key == node.key
        assert filesystem.root.lookup(path[1:] + b"-not-there") is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_mke2fs_was_given_is_read_back(
    variant: str, tree: Path, listed: dict[bytes, Seen], tmp_path: Path
) -> None:
    big = variant.startswith(("16k", "8k", "32k", "64k"))
    image = mke2fs(
        tmp_path / "i",
        *VARIANTS[variant].split(),
        "-N",
        "4096",
        "-L",
        "label é",
        tree=tree,
        size="512M" if big else "100M",
    )
    expected = dict(listed)
    if variant.startswith("inline"):  # mke2fs 1.47.0 cuts such files behind their last block
        seen = expected[b"/sparse"]
        expected[b"/sparse"] = look(open_image(image).walk(b"/sparse"))
        assert expected[b"/sparse"].size == int(debugfs(image, "stat sparse").split("Size: ")[1].split()[0])
        assert seen.kind == "file"
    filesystem = open_image(image)
    assert listing(filesystem) == expected
    if variant != "mmp":  # e2fsck would wait to see whether someone else has it
        e2fsck(image, "-D")  # makes indices for directories that have none
    filesystem = open_image(image)
    found = dict(nodes(filesystem))
    assert {p: node.kind for p, node in found.items() if p != b"/lost+found"} == {
        p: s.kind for p, s in expected.items()
    }
    for path, node in found.items():
        assert filesystem.walk(path, follow=False).key == node.key
    assert filesystem.walk(b"/many").lookup(b"entry-99999") is None
    assert filesystem.warnings == []
    assert_named_as_the_tools_do(filesystem, image)


def assert_named_as_the_tools_do(filesystem: Ext, image: Path) -> None:
    header = run("dumpe2fs", "-h", image)
    lines = dict(line.split(":", 1) for line in header.splitlines() if ":" in line)
    features = lines["Filesystem features"].split()
    assert filesystem.features == tuple(f for f in features if f != "(none)")
    assert filesystem.uuid == lines["Filesystem UUID"].strip()
    assert filesystem.label == "label é"
    if run("which", "blkid", status=(0, 1)):
        assert filesystem.name == run("blkid", "-p", "-o", "value", "-s", "TYPE", image).strip()


def test_features_are_spelt_as_dumpe2fs_spells_them(tmp_path: Path) -> None:
    require("dumpe2fs")
    image = mke2fs(tmp_path / "i", "-t", "ext2", size="1M")
    data = bytearray(image.read_bytes())
    for compat, ro_compat in [(0xFFFFFFFF, 0), (0, 0xFFFFFFFF & ~0x410)]:
        struct.pack_into("<III", data, 1024 + 0x5C, compat, 0x2, ro_compat)
        image.write_bytes(data)
        lines = run("dumpe2fs", "-h", image, status=(0, 1)).splitlines()
        features = next(
            line.split(":")[1].split() for line in lines if line.startswith("Filesystem features")
        )
        assert open_bytes(data).features == tuple(features)


def test_times_are_those_of_debugfs(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    stamps = [0, 1, 1_700_000_000, 2**31 - 1, 2**31, 2**32, 2**33, 3 * 2**32 - 1, -1, -(2**31)]
    for number, stamp in enumerate(stamps):
        (tmp_path / "t" / f"f{number}").touch()
        os.utime(tmp_path / "t" / f"f{number}", (stamp, stamp))
    image = mke2fs(tmp_path / "i", "-t", "ext4", tree=tmp_path / "t", size="8M")
    commands = []
    for number, stamp in enumerate(stamps):  # mke2fs knows nothing beyond 2038
        extra = (stamp + 2**31 >> 32) & 3
        commands += [f"sif f{number} mtime @{stamp & 0xFFFFFFFF:#x}", f"sif f{number} mtime_extra {extra}"]
    debugfs(image, *commands, write=True)
    filesystem = open_image(image)
    assert [filesystem.walk(b"/f%d" % n).mtime for n in range(len(stamps))] == stamps


def test_modes_and_special_files(tmp_path: Path) -> None:
    image = mke2fs(tmp_path / "i", "-t", "ext4", size="8M")
    commands = ["mknod pipe p", "mknod char c 1 3", "mknod block b 8 1", "sif pipe mode 0010644"]
    debugfs(image, *commands, "sif char mode 0026755", write=True)
    filesystem = open_image(image)
    kinds = {name: filesystem.walk(b"/" + name).kind for name in (b"pipe", b"char", b"block")}
    assert kinds == {b"pipe": Kind.FIFO, b"char": Kind.CHAR, b"block": Kind.BLOCK}
    assert (filesystem.walk(b"/pipe").mode, filesystem.walk(b"/char").mode) == (0o644, 0o6755)


@pytest.mark.parametrize("options", ["-t ext4 -b 4096", "-t ext2 -b 1024"])
def test_a_huge_sparse_file_is_a_few_runs(options: str, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    size = 15 * 2**40 if "ext4" in options else 16 * 2**30
    with (tmp_path / "t" / "huge").open("wb") as file:
        file.truncate(size)
        file.seek(size - 6)
        file.write(b"island")
        file.seek(5 * 2**30)
        file.write(b"island")
    image = mke2fs(tmp_path / "i", *options.split(), tree=tmp_path / "t", size="16M")
    node = open_image(image).walk(b"/huge")
    runs = list(node.runs())
    assert node.size == size == sum(run.length for run in runs)
    assert [type(run) for run in runs] == [Hole, Extent, Hole, Extent]


def test_unwritten_extents_read_as_zeros(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "f").write_bytes(b"A" * 40960)
    image = mke2fs(tmp_path / "i", "-t", "ext4", "-b", "4096", tree=tmp_path / "t", size="16M")
    debugfs(image, "fallocate f 10 20", "sif f size 81920", write=True)
    node = open_image(image).walk(b"/f")
    assert node.read() == b"A" * 40960 + bytes(40960)
    assert [type(run) for run in node.runs()] == [Extent, Hole]


def test_neighbouring_blocks_are_one_run(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "kernel").write_bytes(random.Random(0).randbytes(5_000_000))  # noqa: S311
    image = mke2fs(tmp_path / "i", "-t", "ext2", "-b", "1024", "-g", "8192", tree=tmp_path / "t", size="32M")
    blocks = debugfs(image, "filefrag /kernel")
    runs = list(open_image(image).walk(b"/kernel").runs())
    assert len(runs) <= int(blocks.split(" contiguous extents")[0].split()[-1])


@pytest.mark.no_cover
@pytest.mark.parametrize("algorithm", ["legacy", "half_md4", "tea"])
@pytest.mark.parametrize("sign", [1, 2])
def test_every_hash_leads_to_every_name(algorithm: str, sign: int, tmp_path: Path) -> None:
    (tmp_path / "t" / "d").mkdir(parents=True)
    names = [f"é{number:04}{'ÿ' * (number % 60)}" for number in range(700)]
    for name in names:
        (tmp_path / "t" / "d" / name).touch()
    options = [
        "-t",
        "ext4",
        "-b",
        "1024",
        "-O",
        "^metadata_csum",
        "-N",
        "1024",
        "-E",
        "hash_seed=01020304-0506-0708-090a-0b0c0d0e0f10",
    ]
    image = mke2fs(tmp_path / "i", *options, tree=tmp_path / "t", size="16M")
    run("tune2fs", "-E", f"hash_alg={algorithm}", image)
    debugfs(image, f"ssv flags {sign}", write=True)
    e2fsck(image, "-D")
    assert f"Hash Version: {['legacy', 'half_md4', 'tea'].index(algorithm)}" in debugfs(image, "htree_dump d")
    source = Counting(open_image(image).source)
    for name in names[::7]:
        filesystem = Ext(source, Options())
        directory = filesystem.walk(b"/d")
        before = source.reads
        assert directory.lookup(name.encode()) is not None
        assert source.reads - before <= 4  # the inode, the root, a leaf; and an index block
        assert filesystem.warnings == []


@pytest.mark.no_cover
def test_a_large_directory_is_not_read_to_find_a_name(tmp_path: Path) -> None:
    (tmp_path / "t" / "d").mkdir(parents=True)
    target = tmp_path / "t" / "target"
    target.touch()
    for number in range(3000):
        os.link(target, tmp_path / "t" / "d" / f"{number:06}{'n' * 240}")
    image = mke2fs(tmp_path / "i", "-t", "ext4", "-b", "1024", tree=tmp_path / "t", size="32M")
    e2fsck(image, "-D")
    assert "Indirect levels: 1" in debugfs(image, "htree_dump d")
    source = Counting(open_image(image).source)
    for number in (0, 1234, 2999, None):
        directory = Ext(source, Options()).walk(b"/d")
        before = source.reads
        name = b"missing" if number is None else b"%06d%s" % (number, b"n" * 240)
        assert (directory.lookup(name) is None) == (number is None)
        assert source.reads - before < 12


def test_an_index_of_three_levels(tmp_path: Path) -> None:
    """debugfs has no way to make one, so that the root of a shallow one is moved two blocks down."""
    (tmp_path / "t" / "d").mkdir(parents=True)
    names = [f"name{number:03}{'n' * 150}" for number in range(40)]
    for name in names:
        (tmp_path / "t" / "d" / name).touch()
    image = mke2fs(
        tmp_path / "i", "-t", "ext2", "-b", "1024", "-O", "large_dir", tree=tmp_path / "t", size="8M"
    )
    e2fsck(image, "-D")
    blocks = [int(word) for word in debugfs(image, "blocks d").split("d\n")[-1].split()]
    count = len(blocks)
    assert count <= 10
    data = bytearray(image.read_bytes())
    root = blocks[0] * 1024
    unused = [6000, 6001]
    for place, (block, number) in enumerate([(unused[0], count + 1), (unused[1], None)]):
        data[block * 1024 : block * 1024 + 8] = struct.pack("<IHH", 0, 1024, 0)
        if number is None:  # the lowest level has what the root had
            pairs = data[root + 32 : root + 1024 - 24 + 24]
            data[block * 1024 + 8 : block * 1024 + 8 + len(pairs)] = pairs
        else:
            struct.pack_into("<HHI", data, block * 1024 + 8, 127, 1, number)
        struct.pack_into("<H", data, block * 1024 + 8, 127)
        assert place < 2
    struct.pack_into("<HHI", data, root + 32, 124, 1, count)
    data[root + 30] = 2
    image.write_bytes(data)
    commands = [f"sif d block[{count}] {unused[0]}", f"sif d block[{count + 1}] {unused[1]}"]
    debugfs(image, *commands, f"sif d size {(count + 2) * 1024}", write=True)
    assert "Indirect levels: 2" in debugfs(image, "htree_dump d")
    filesystem = open_image(image)
    directory = filesystem.walk(b"/d")
    assert all(directory.lookup(name.encode()) for name in names)
    assert sorted(name.decode() for name, _ in directory.entries()) == names
    absent = [b"absent%03d" % number for number in range(200)]  # looked for in every leaf, the last too
    assert not any(directory.lookup(name) for name in absent)
    assert filesystem.warnings == []


def test_names_of_one_hash_continue_in_the_next_leaf(tmp_path: Path) -> None:
    """A pair whose hash has its lowest bit set says that the leaf before it was too small for the hash."""
    (tmp_path / "t" / "d").mkdir(parents=True)
    names = [f"name{number:03}{'n' * 100}" for number in range(60)]
    for name in names:
        (tmp_path / "t" / "d" / name).touch()
    image = mke2fs(tmp_path / "i", "-t", "ext2", "-b", "1024", tree=tmp_path / "t", size="8M")
    e2fsck(image, "-D")
    root = int(debugfs(image, "bmap d 0").split()[-1]) * 1024
    data = bytearray(image.read_bytes())
    (count,) = struct.unpack_from("<H", data, root + 34)
    assert count > 4
    for pair in range(1, count):
        data[root + 32 + 8 * pair] |= 1  # now its first name is one of the hash before
    filesystem = open_bytes(data)
    directory = filesystem.walk(b"/d")
    assert all(directory.lookup(name.encode()) for name in names)
    assert directory.lookup(b"missing") is None
    assert filesystem.warnings == []


def test_a_directory_that_ignores_case(tmp_path: Path) -> None:
    (tmp_path / "t" / "d").mkdir(parents=True)
    names = [f"File-{number:04}.Txt" for number in range(900)] + ["Straße", "ÄÖÜ", "Éa\u0301", "µ"]
    for name in names:
        (tmp_path / "t" / "d" / name).write_text(name)
    options = ["-t", "ext4", "-b", "1024", "-O", "casefold", "-E", "encoding=utf8", "-N", "2048"]
    image = mke2fs(tmp_path / "i", *options, tree=tmp_path / "t", size="16M")
    flags = 0x40080000
    debugfs(image, f"sif d flags {flags:#x}", write=True)
    e2fsck(image, "-D")
    filesystem = open_image(image)
    directory = filesystem.walk(b"/d")
    for name in names:
        for other in (name, name.upper(), name.lower()):
            found = directory.lookup(other.encode())
            assert found is not None, other
            assert found.read() == name.encode()
    assert directory.lookup(b"file-9999.txt") is None
    assert directory.lookup("ÄÖÜÄÖÜ".encode()) is None  # may be hashed otherwise: all is read
    assert filesystem.root.lookup(b"D") is None
    assert filesystem.warnings == []
    data = bytearray(image.read_bytes())
    block = int(debugfs(image, "bmap d 0").split()[-1])
    data[block * 1024 + 28] = 9  # no such hash
    directory = open_bytes(data).walk(b"/d")
    assert (directory.lookup(b"STRASSE") or directory).read() == "Straße".encode()


def test_what_is_encrypted_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "t" / "d").mkdir(parents=True)
    (tmp_path / "t" / "f").write_text("secret")
    (tmp_path / "t" / "l").symlink_to("secret")
    image = mke2fs(tmp_path / "i", "-t", "ext4", "-O", "encrypt", tree=tmp_path / "t", size="8M")
    debugfs(image, "sif d flags 0x80800", "sif f flags 0x80800", "sif l flags 0x800", write=True)
    filesystem = open_image(image)
    with pytest.raises(UnsupportedFeature, match="encrypt") as refusal:
        list(filesystem.walk(b"/d").entries())
    assert refusal.value.name == "encrypt"
    with pytest.raises(UnsupportedFeature, match="encrypt"):
        filesystem.walk(b"/d/x")
    with pytest.raises(UnsupportedFeature, match="encrypt"):
        filesystem.walk(b"/f").read()
    with pytest.raises(UnsupportedFeature, match="encrypt"):
        filesystem.walk(b"/l", follow=False).target()


@pytest.mark.parametrize(
    ("bit", "name"),
    [
        (0x1, "compression"),
        (0x8, "journal_dev"),
        (0x1000, "dirdata"),
        (0x20, "INCOMPAT 0x20"),
        (0x40000000, "INCOMPAT 0x40000000"),
    ],
)
def test_unknown_incompatible_features_are_refused_by_name(
    bit: int, name: str, images: Callable[[str], Path]
) -> None:
    data = bytearray(images("ext2-1k").read_bytes())
    (value,) = struct.unpack_from("<I", data, 1024 + 0x60)
    struct.pack_into("<I", data, 1024 + 0x60, value | bit)
    with pytest.raises(UnsupportedFeature) as refusal:
        open_bytes(data)
    assert refusal.value.name == name


def test_other_unknown_features_are_not_refused(images: Callable[[str], Path]) -> None:
    data = bytearray(images("ext2-1k").read_bytes())
    expected = listing(open_bytes(data))
    struct.pack_into("<I", data, 1024 + 0x5C, 0xFFFFF000)
    struct.pack_into("<I", data, 1024 + 0x64, 0xFFFE1003)
    assert listing(open_bytes(data)) == expected


def test_a_slow_link_may_be_short(tmp_path: Path) -> None:
    """Linux goes by the number of blocks, not by the length."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "l").symlink_to("x" * 100)
    image = mke2fs(tmp_path / "i", "-t", "ext2", tree=tmp_path / "t", size="1M")
    debugfs(image, "sif l size 20", write=True)
    assert open_image(image).walk(b"/l", follow=False).target() == b"x" * 20


def test_the_runs_of_a_file_name_the_image_itself(images: Callable[[str], Path]) -> None:
    filesystem = open_image(images("ext4-dirty"))
    node = filesystem.walk(b"/boot/vmlinuz-6.1.0-test")
    pieces = [
        p for run in node.runs() if isinstance(run, Extent) for p in run.source.pieces(run.offset, run.length)
    ]
    assert all(isinstance(piece, FilePiece) for piece in pieces)
    assert len(pieces) < 4
    assert digest(node) == digest(node)
