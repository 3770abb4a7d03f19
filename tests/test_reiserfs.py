"""ReiserFS as the Linux kernel wrote it, held against what the kernel says of it.

tests/corpus/reiserfs has images by mkreiserfs and the reiserfs driver of Linux 6.1, with listings taken
through that driver.  `reiser36-deep-dirty-part` is one taken while it was mounted: its newest files are in
the journal alone.  Blocks that its listed files do not need are zero there.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from pybootcfg.errors import GuestFileMissing, UnsupportedFeature
from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Extent, Filesystem, Hole, Node, Options
from pybootcfg.filesystems.reiserfs import Reiserfs
from pybootcfg.kind import Kind
from pybootcfg.source import FileSource, MemorySource
from pybootcfg.tracing import Field

IMAGES = Path(__file__).parent / "corpus/reiserfs"
WHOLE = ("reiser35-rupasov", "reiser36-r5")
PART = "reiser36-deep-dirty-part"
SHARED = ("reiser35-rupasov", "reiser36-deep-dirty", "reiser36-notail-tea", "reiser36-r5")

Files = dict[bytes, dict[str, Any]]


def manifest(name: str) -> Any:
    return json.loads(lzma.decompress((IMAGES / "manifests.json.xz").read_bytes()))[name]


def files(name: str) -> Files:
    listed = manifest(name)["files"].items()
    return {path.encode("utf-8", "surrogateescape"): what for path, what in listed}


def opened(name: str, options: Options | None = None) -> Reiserfs:
    image = lzma.decompress((IMAGES / f"{name}.img.xz").read_bytes())
    filesystem = open_filesystem(MemorySource(image, name), options or Options())
    assert isinstance(filesystem, Reiserfs)
    return filesystem


def sha256(node: Node) -> str:
    digest = hashlib.sha256()
    for run in node.runs():
        if isinstance(run, Extent):
            digest.update(run.source.read(run.offset, run.length))
        else:
            assert isinstance(run, Hole)
            digest.update(bytes(run.length))
    return digest.hexdigest()


def described(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = {"type": str(node.kind)}
    if node.kind is Kind.FILE:
        found |= {"size": node.size, "mode": f"{node.mode:o}", "sha256": sha256(node)}
    elif node.kind is Kind.SYMLINK:
        found |= {"size": node.size, "target": node.target().decode()}
    return found


def listed(filesystem: Filesystem) -> dict[bytes, Node]:
    found = {b"/": filesystem.root}
    todo = [(b"/", filesystem.root)]
    while todo:
        above, folder = todo.pop()
        for name, node in folder.entries():
            found[above + name] = node
            if node.kind is Kind.DIRECTORY:
                todo.append((above + name + b"/", node))
    return found


@pytest.mark.parametrize("name", WHOLE)
def test_whole_tree(name: str) -> None:
    filesystem = opened(name)
    found = listed(filesystem)
    assert {path: described(node) for path, node in found.items()} == files(name)
    for path, node in found.items():
        assert filesystem.walk(path, follow=False).key == node.key
    assert filesystem.warnings == []


@pytest.mark.parametrize("name", [*WHOLE, PART])
def test_label_and_uuid_as_blkid_prints_them(name: str) -> None:
    filesystem, blkid = opened(name), manifest(name)["blkid"]
    assert filesystem.name == blkid["TYPE"]
    assert filesystem.uuid == blkid.get("UUID", "")
    assert filesystem.label == blkid.get("LABEL", "")


def test_journal_is_replayed() -> None:
    filesystem = opened(PART)
    for path, expected in files(PART).items():
        assert described(filesystem.walk(path, follow=False)) == expected, path
    assert filesystem.warnings == []
    with pytest.raises(GuestFileMissing):
        filesystem.walk(b"/boot/config-6.1.0-test")  # its removal is in the journal


def test_without_replay_the_journal_is_only_named() -> None:
    filesystem = opened(PART, Options(replay_journal=False))
    assert filesystem.warnings == ["the journal holds 19 transactions that were not replayed"]


def test_hard_links_are_one_file() -> None:
    filesystem = opened("reiser36-r5")
    assert filesystem.walk(b"/boot/vmlinuz-hard").key == filesystem.walk(b"/boot/vmlinuz-6.1.0-test").key


def test_features() -> None:
    assert opened("reiser35-rupasov").features == ("3.5", "rupasov")
    assert opened("reiser36-r5").features == ("3.6", "journal_relocated", "r5", "attrs_cleared")


@pytest.mark.no_cover
@pytest.mark.parametrize("name", SHARED)
def test_shared_corpus(name: str, corpus: Any) -> None:
    whole = corpus.manifest(name)
    expected = {
        bytes.fromhex(what["path_hex"]) if "path_hex" in what else path.encode(): {
            key: what[key] for key in ("type", "size", "mode", "sha256", "target") if key in what
        }
        for path, what in whole["files"].items()
    }
    (disk,) = corpus.disks(name)
    source = FileSource.open(disk)
    try:
        filesystem = open_filesystem(source, Options())
        assert filesystem is not None
        assert {path: described(node) for path, node in listed(filesystem).items()} == expected
        assert filesystem.warnings == []
        assert filesystem.uuid == whole["blkid"].get("UUID", "")
    finally:
        source.close()


@pytest.mark.skipif(not shutil.which("mkreiserfs"), reason="reiserfsprogs is not installed")
@pytest.mark.parametrize("code", ["r5", "tea", "rupasov"])
@pytest.mark.parametrize("version", ["3.5", "3.6"])
@pytest.mark.parametrize("block_size", [512, 1024, 2048, 4096, 8192])
def test_made_by_mkreiserfs(block_size: int, version: str, code: str, tmp_path: Path) -> None:
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(9 << 20)
    identity = ["-l", "Any label", "-u", "01234567-89ab-4cde-8f01-23456789abcd"] if version == "3.6" else []
    command = ["mkreiserfs", "-q", "-f", "-f", "--format", version, "-h", code, "-s", "513", *identity]
    subprocess.run([*command, "-b", str(block_size), str(image)], check=True, capture_output=True)
    source = FileSource.open(image)
    try:
        filesystem = open_filesystem(source, Options())
        assert isinstance(filesystem, Reiserfs)
        assert filesystem.block_size == block_size
        assert filesystem.features[:3] == (version, "journal_relocated", code)
        assert list(filesystem.root.entries()) == []
        assert filesystem.root.lookup(b"boot") is None
        assert filesystem.warnings == []
        if shutil.which("blkid"):
            command = ["blkid", "-p", "-o", "export", str(image)]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            blkid = dict(line.split("=", 1) for line in said.splitlines())
            assert filesystem.uuid == blkid.get("UUID", "")
            assert filesystem.label == blkid.get("LABEL", "").replace("\\", "")
        assert not any(
            one.decoder.trace(source, one.offset).damaged() for one in filesystem.structures.listed()
        )
    finally:
        source.close()


def test_reiser4_is_refused_by_name() -> None:
    image = bytearray(1 << 20)
    image[0x10000:0x10008] = b"ReIsEr4\0"
    with pytest.raises(UnsupportedFeature, match="reiser4"):
        open_filesystem(MemorySource(bytes(image), "disk"), Options())


def shown(field: Field, depth: int = 0) -> list[str]:
    value = field.value if not isinstance(field.value, bytes) else field.value.rstrip(b"\0")
    symbol = f" ({field.symbol})" if field.symbol else ""
    line = f"{field.offset:#08x} {'  ' * depth}{field.name}: {field.type}"
    lines = [line if field.children else f"{line} = {value}{symbol}"]
    for child in field.children:
        lines += shown(child, depth + 1)
    return lines


SHOWN = ("superblock", "journal_header", "root.block_head", "root.keys[0]", "root_directory.stat_data")


def test_structures(snapshot: SnapshotAssertion) -> None:
    filesystem = opened(PART)
    structures = list(filesystem.structures.listed())
    text = [f"{one.offset:#08x} {one.name}" for one in structures]
    text += [""]
    for one in structures:
        if one.name in SHOWN:
            text += [one.name, *shown(one.decoder.trace(filesystem.source, one.offset))]
    assert "\n".join(text) == snapshot
