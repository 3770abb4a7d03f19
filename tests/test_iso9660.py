"""Images by xorriso, genisoimage and makefs: every file, label and UUID as they must be."""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import iso9660_tools
import pytest

from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Extent, Filesystem, Hole, Node, Options
from pybootcfg.filesystems.iso9660 import Iso9660
from pybootcfg.source import FileSource, MemorySource, Source
from pybootcfg.tracing import Field

if TYPE_CHECKING:
    from conftest import Corpus
    from syrupy.assertion import SnapshotAssertion

IMAGES = Path(__file__).parent / "corpus" / "iso"


def digest(node: Node) -> tuple[int, str]:
    """Return the length and the hash of a file's contents, read run by run."""
    total, hashed = 0, hashlib.sha256()
    for run in node.runs():
        if isinstance(run, Extent):
            data = run.source.read(run.offset, run.length)
        else:
            data = bytes(run.length) if isinstance(run, Hole) else run.data
        total += len(data)
        hashed.update(data)
    return total, hashed.hexdigest()


def found_files(filesystem: Filesystem) -> dict[str, dict[str, Any]]:
    """Return what the file system shows, in the words of a manifest."""
    rows: dict[str, dict[str, Any]] = {}
    todo = [("", filesystem.root)]
    while todo:
        path, directory = todo.pop()
        for name, node in directory.entries():
            place = f"{path}/{name.decode('utf-8', 'surrogateescape')}"
            row: dict[str, Any] = {"type": str(node.kind), "mtime": node.mtime}
            if node.mode is not None:
                row["mode"] = f"{node.mode:o}"
            if node.kind == "dir":
                todo.append((place, node))
            elif node.kind == "symlink":
                row["target"] = node.target().decode("utf-8", "surrogateescape")
                assert node.size == len(node.target())
            elif node.kind == "file":
                row["size"], row["sha256"] = digest(node)
                assert row["size"] == node.size
            assert place not in rows
            rows[place] = row
    return rows


#: what the tools add: boot catalogues, and where relocated directories were
ADDED = {"/boot.cat", "/rr_moved", "/.rr_moved", "/RR_MOVED"}


def compare(filesystem: Filesystem, wanted: dict[str, dict[str, Any]]) -> None:
    found = found_files(filesystem)
    for path in [path for path in found if path.startswith("/.rr_moved/")]:
        del found[path]  # makefs writes no RE entry, so that Linux too shows relocated directories twice
    assert found.keys() - ADDED == wanted.keys() - ADDED
    has_modes = "mode" in found[min(found)]
    for path, facts in wanted.items():
        for key, value in facts.items():
            if key == "sha256":
                assert found[path][key].startswith(value), path
            elif key == "mode":
                assert not has_modes or int(found[path][key], 8) == int(value, 8), path
            elif key in found[path]:
                assert found[path][key] == value, (path, key)


def opened(source: Source) -> Iso9660:
    filesystem = open_filesystem(source, Options())
    assert isinstance(filesystem, Iso9660)
    return filesystem


def carried(name: str) -> tuple[Iso9660, dict[str, Any]]:
    document: dict[str, Any] = json.loads(lzma.decompress((IMAGES / f"{name}.json.xz").read_bytes()))
    image = lzma.decompress((IMAGES / f"{name}.iso.xz").read_bytes())
    return opened(MemorySource(image, name)), document


CARRIED = [name for name, recipe in iso9660_tools.RECIPES.items() if recipe.carried]


@pytest.mark.parametrize("name", CARRIED)
def test_carried_image(name: str) -> None:
    filesystem, document = carried(name)
    compare(filesystem, document["files"])
    assert filesystem.label == document["label"]
    assert filesystem.uuid == document["uuid"]
    assert filesystem.warnings == []


@pytest.mark.no_cover
@pytest.mark.parametrize("name", CARRIED)
def test_every_file_is_found_by_its_path(name: str) -> None:
    filesystem, document = carried(name)
    for path, facts in document["files"].items():
        node = filesystem.walk(path.encode("utf-8", "surrogateescape"), follow=False)
        assert node.kind == facts["type"], path
    assert filesystem.root.lookup(b"missing") is None


@pytest.mark.parametrize("name", CARRIED)
def test_structures_are_sound(name: str) -> None:
    filesystem, _ = carried(name)
    structures = list(filesystem.structures.listed())
    assert {"primary_volume_descriptor", "terminator", "root.directory_record"} <= {
        s.name for s in structures
    }
    for structure in structures:
        traced = structure.decoder.trace(filesystem.source, structure.offset)
        assert not traced.damaged(), structure


@pytest.mark.no_cover
@pytest.mark.parametrize("name", sorted(iso9660_tools.RECIPES))
def test_image_made_now(name: str, tmp_path: Path) -> None:
    recipe = iso9660_tools.RECIPES[name]
    if missing := iso9660_tools.missing(recipe):
        pytest.skip(f"{', '.join(missing)} not installed")
    image, wanted = iso9660_tools.build(recipe, tmp_path)
    source = FileSource.open(image)
    try:
        filesystem = opened(source)
        compare(filesystem, wanted)
        if shutil.which("blkid") and not filesystem.has_udf:  # of a bridge disc blkid tells what UDF says
            assert filesystem.label == iso9660_tools.blkid(image, "LABEL")
            assert filesystem.uuid == iso9660_tools.blkid(image, "UUID")
    finally:
        source.close()


@pytest.mark.families("iso9660")
def test_corpus(corpus: Corpus) -> None:
    names = corpus.names("iso9660")
    assert names
    for name in names:
        manifest = corpus.manifest(name)
        source = FileSource.open(corpus.disks(name)[0])
        try:
            filesystem = opened(source)
            wanted = {path: facts for path, facts in manifest["files"].items() if path != "/"}
            if not filesystem.features:  # plain names, which Linux shows in lower case
                wanted = {path.lower(): facts for path, facts in wanted.items()}
            found = found_files(filesystem)
            added = {*ADDED, "/isolinux/boot.cat", "/isolinux/isolinux.bin"}
            assert found.keys() - added == wanted.keys() - added
            for path, facts in wanted.items():
                for key in ("type", "size", "sha256", "target"):
                    if key in facts and key in found[path]:
                        assert found[path][key] == facts[key], (name, path, key)
            assert filesystem.label == manifest["blkid"].get("LABEL", "")
            assert filesystem.uuid == manifest["blkid"]["UUID"]
        finally:
            source.close()


def described(field: Field, depth: int = 0) -> list[str]:
    """Return a traced structure as lines of text."""
    value = field.symbol or (repr(field.value) if not field.children else "")
    lines = [f"{field.offset:#06x} {field.size:4} {'  ' * depth}{field.name}: {field.type} {value}".rstrip()]
    for child in field.children:
        lines += described(child, depth + 1)
    return lines


def test_traced_structures(snapshot: SnapshotAssertion) -> None:
    filesystem, _ = carried("xorriso-rr-joliet")
    wanted = ("primary_volume_descriptor", "boot_", "root.")
    lines: list[str] = []
    for structure in filesystem.structures.listed():
        if structure.name.startswith(wanted):
            lines += [f"--- {structure.name}"]
            lines += described(structure.decoder.trace(filesystem.source, structure.offset))
    assert "\n".join(lines) == snapshot


def test_boot_images_are_the_files_that_were_named() -> None:
    filesystem, _ = carried("xorriso-rr-joliet")
    images = filesystem.boot_images()
    assert [(image.platform, image.bootable, image.media) for image in images] == [
        ("x86", True, 0),
        ("efi", True, 0),
    ]
    for image, path in zip(images, (b"/boot/vmlinuz", b"/boot/initrd"), strict=True):
        (run, *_) = filesystem.walk(path).runs()
        assert isinstance(run, Extent)
        assert run.offset == image.offset


def test_both_trees_of_one_disc_hold_the_same_files() -> None:
    filesystem, _ = carried("xorriso-rr-joliet")
    rock, wide = filesystem.walk(b"/boot/vmlinuz"), filesystem.subvolume("joliet")
    boot = wide.lookup(b"boot")
    assert boot
    kernel = boot.lookup(b"vmlinuz")
    assert kernel
    assert digest(kernel) == digest(rock)
