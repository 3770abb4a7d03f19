"""UFS1 and UFS2 against what makefs was given, and against sleuthkit, GRUB and blkid."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from ufs_image import (
    CARRIED,
    Listing,
    carried,
    digest,
    image_listing,
    makefs,
    open_image,
    require,
    tree_listing,
)

from pybootcfg.filesystems.base import Extent
from pybootcfg.kind import Kind

#: block and fragment sizes that newfs allows: one, two, four and eight fragments to the block
SIZES = [(4096, 512), (4096, 4096), (8192, 1024), (16384, 4096), (32768, 4096), (65536, 8192), (65536, 65536)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("ufs") / "tree", 5000)


@pytest.fixture(scope="module")
def small_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("ufs") / "small", 300)


def grow(root: Path, entries: int) -> Path:
    """Make a tree with every kind of file, and lengths around the limits of every block size."""
    (root / "many").mkdir(parents=True)
    noise = random.Random(3)  # noqa: S311
    for number in range(entries):
        (root / "many" / f"entry-{number:04}{'x' * (number % 40)}").touch()
    (root / "sizes").mkdir()
    for edge in (0, 1, 511, 512, 513, 4096, 12 * 4096, 12 * 8192 + 1, 12 * 16384 - 1, 12 * 65536 + 70000):
        (root / "sizes" / f"{edge}").write_bytes(noise.randbytes(edge))
    (root / "large").write_bytes(noise.randbytes(3_000_001))  # double indirect with 4096-byte blocks
    with (root / "sparse").open("wb") as file:
        for place in (0, 100_000, 2_500_000, 5_000_000):
            file.seek(place)
            file.write(b"island")
        file.truncate(5_600_001)
    (root / "links").mkdir()
    for length in (1, 55, 56, 57, 59, 60, 61, 119, 120, 121, 255, 1000):
        (root / "links" / f"{length}").symlink_to("t" * (length - 1) + "!")
    os.link(root / "large", root / "links" / "hard")
    (root / "names").mkdir()
    for name in (b"n" * 255, b"\xff\xfe", "\u0444\u0430\u0439\u043b".encode(), b"a b\nc", b"..."):
        Path(os.fsdecode(os.fsencode(root / "names") + b"/" + name)).write_bytes(name)
    os.mkfifo(root / "fifo")
    (root / "large").chmod(0o4751)
    os.utime(root / "large", (1, -5))
    os.utime(root / "sparse", (1, 2_000_000_000))
    return root


@pytest.fixture(scope="module")
def expected(tree: Path, small_tree: Path) -> dict[Path, Listing]:
    return {root: tree_listing(root) for root in (tree, small_tree)}


@pytest.mark.no_cover
@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("bsize", "fsize"), SIZES)
def test_all_that_makefs_was_given(
    tmp_path: Path,
    tree: Path,
    small_tree: Path,
    expected: dict[Path, Listing],
    order: str,
    version: int,
    bsize: int,
    fsize: int,
) -> None:
    # makefs makes an inode for every fragment at most.
    root = tree if bsize < 65536 else small_tree
    options = f"version={version},bsize={bsize},fsize={fsize},density=1024"
    image = makefs(tmp_path / "image", root, order, options)
    filesystem = open_image(image)
    assert image_listing(filesystem) == expected[root]
    assert filesystem.name == f"ufs{version}"
    assert filesystem.warnings == []
    assert filesystem.features[-1] == {"le": "little-endian", "be": "big-endian"}[order]
    many = filesystem.walk(b"/many")
    for number in (0, 1, 99, 299):
        found = many.lookup(b"entry-%04d" % number + b"x" * (number % 40))
        assert found is not None
        assert found.kind is Kind.FILE
    assert many.lookup(b"entry-") is None
    assert many.lookup(b"n" * 256) is None


def test_contiguous_files_are_few_runs(tmp_path: Path, tree: Path) -> None:
    image = makefs(tmp_path / "image", tree, "le", "version=2,bsize=4096,fsize=512,density=1024")
    runs = list(open_image(image).walk(b"/large").runs())
    # What lies between the runs are indirect blocks, of which 3 MB of 4096-byte blocks need four.
    assert len(runs) <= 6
    assert all(isinstance(run, Extent) for run in runs)


@pytest.mark.no_cover
@pytest.mark.parametrize("order", ["le", "be"])
def test_sleuthkit_reads_the_same_ufs1(tmp_path: Path, tree: Path, order: str) -> None:
    require("fls", "icat")
    image = makefs(tmp_path / "image", tree, order, "version=1,bsize=8192,fsize=1024,density=1024")
    filesystem = open_image(image)
    shown = subprocess.run(
        ["fls", "-r", "-p", "-u", "-f", "ufs1", image], capture_output=True, check=True
    ).stdout
    theirs = {}
    for number, path in re.findall(rb"^\S+ (\d+):\t(.*)$", shown, re.MULTILINE):
        if not path.startswith((b"$Orphan", b"names/")):  # it replaces what it cannot print
            theirs[path] = int(number)
    assert len(theirs) > 5000
    for path, number in theirs.items():
        assert filesystem.walk(path, follow=False).key == number
    for path in (b"large", b"sparse", b"sizes/856432", b"links/1000"):
        node = filesystem.walk(path, follow=False)
        content = subprocess.run(
            ["icat", "-f", "ufs1", image, str(node.key)], capture_output=True, check=True
        )
        ours = node.target() if node.kind is Kind.SYMLINK else node.read()
        assert content.stdout == ours


@pytest.mark.parametrize("version", [1, 2])
def test_grub_reads_the_same(tmp_path: Path, tree: Path, version: int) -> None:
    require("grub-fstest")
    options = f"version={version},bsize=16384,fsize=2048,density=1024"
    image = makefs(tmp_path / "image", tree, "le", options)
    filesystem = open_image(image)
    for path in ("/large", "/sizes/513", "/sizes/856432"):
        command = ["grub-fstest", str(image), "cat", f"(loop0){path}"]
        content = subprocess.run(command, capture_output=True, check=True).stdout
        assert content == filesystem.walk(path.encode()).read()


@pytest.mark.parametrize("version", [1, 2])
def test_blkid_prints_the_same_uuid_and_label(tmp_path: Path, version: int) -> None:
    require("blkid")
    (tmp_path / "tree").mkdir()
    image = makefs(tmp_path / "image", tmp_path / "tree", "be", f"version={version}")
    with image.open("r+b") as file:
        file.seek(8192 + 680)  # fs_volname
        file.write(b"ROOTFS\0rest")
    filesystem = open_image(image)
    shown = subprocess.run(["blkid", "-p", "-o", "export", image], capture_output=True, text=True, check=True)
    pairs = dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)
    assert filesystem.uuid == pairs["UUID"]
    assert filesystem.label == pairs.get("LABEL", "")
    assert filesystem.name == f"ufs{pairs['VERSION']}"


def test_names_that_no_entry_has(tmp_path: Path) -> None:
    root = open_image(carried("ufs1-be", tmp_path).image).root
    for name in (b"", b".", b"..", b"n" * 256):
        assert root.lookup(name) is None


@pytest.mark.parametrize("name", ["ufs1-be", "ufs1-le", "ufs2-be", "ufs2-le"])
def test_carried_images(tmp_path: Path, name: str) -> None:
    expected = json.loads((CARRIED / f"{name}.json").read_text())
    filesystem = open_image(carried(name, tmp_path).image)
    assert image_listing(filesystem) == expected["files"]
    assert filesystem.uuid == expected["uuid"]
    assert filesystem.warnings == []


@pytest.mark.parametrize("name", ["ufs1-be", "ufs2-le"])
def test_traced_structures(tmp_path: Path, name: str, snapshot: SnapshotAssertion) -> None:
    filesystem = open_image(carried(name, tmp_path).image)
    shown = []
    for structure in filesystem.structures.listed():
        trace = structure.decoder.trace(filesystem.source, structure.offset)
        assert not trace.damaged()
        shown.append(f"{structure.name} at {structure.offset:#x}")
        if structure.name.startswith("group[0].superblock"):
            continue  # the same once more
        shown += [
            f"  {field.name}: {field.type} {plain(field.value)!r} {field.symbol or ''}".rstrip()
            for field in trace.children
            if not field.children
        ]
    assert "\n".join(shown) == snapshot


def plain(value: object) -> object:
    return value.rstrip(b"\0") if isinstance(value, bytes) else value


#: where the file system begins in the image: slice 1 at sector 2048, its partition a 16 sectors on
OFFSETS = {"ufs2-disklabel-mbr": 2064 * 512}


@pytest.mark.parametrize(
    "name", ["ufs1-be-8k", "ufs1-le-16k", "ufs2-be-4k", "ufs2-disklabel-mbr", "ufs2-le-32k"]
)
def test_corpus_images(corpus: Any, name: str) -> None:
    manifest = corpus.manifest(name)
    (disk,) = corpus.disks(name)
    filesystem = open_image(disk, OFFSETS.get(name, 0))
    files = {entry.get("path_hex", path): (path, entry) for path, entry in manifest["files"].items()}
    count = 0
    for path, entry in files.values():
        place = bytes.fromhex(entry["path_hex"]) if "path_hex" in entry else os.fsencode(path)
        node = filesystem.walk(place, follow=False)
        assert str(node.kind) == entry["type"], path
        if node.kind is Kind.FILE:
            assert (node.size, digest(node)) == (entry["size"], entry["sha256"]), path
            assert f"{node.mode:o}" == entry["mode"]
        elif node.kind is Kind.SYMLINK:
            assert os.fsdecode(node.target()) == entry["target"], path
        count += 1
    assert sum(1 for _ in image_listing(filesystem)) == count - 1  # the manifest counts the root
    assert filesystem.warnings == []
    if manifest.get("blkid", {}).get("TYPE") == "ufs":
        assert filesystem.uuid == manifest["blkid"]["UUID"]
