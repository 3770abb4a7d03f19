"""Every image of the corpus through the command line, byte for byte against its manifest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Corpus

Run = Callable[..., "CompletedProcess[str]"]

#: partition images that need what no reader here has yet
LATER = {"part-lvm2", "part-md-12"}


def wanted_files(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The manifest's files by path, names that are not UTF-8 as JSON carries them."""
    files = {}
    for path, facts in manifest["files"].items():
        name = (
            bytes.fromhex(facts["path_hex"]).decode("utf-8", "surrogateescape")
            if "path_hex" in facts
            else path
        )
        files[name] = facts
    return files


def listed_files(pybootcfg: Run, *arguments: str | Path) -> dict[str, dict[str, Any]]:
    done = pybootcfg("ls", "-R", "--json", "--sha256", *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads(done.stdout)
    assert document["schema"] == 1
    assert document["errors"] == []
    paths = [row["path"] for row in document["files"]]
    assert paths == sorted(paths, key=lambda path: path.encode("utf-8", "surrogateescape"))
    return {row["path"]: row for row in document["files"]}


def compare(got: dict[str, dict[str, Any]], wanted: dict[str, dict[str, Any]]) -> None:
    assert got.keys() == wanted.keys()
    for path, facts in wanted.items():
        row = got[path]
        assert row["type"] == facts["type"], path
        for key in ("size", "sha256", "target"):
            if key in facts:
                assert row[key] == facts[key], (path, key)
        if "mode" in facts and row["type"] == "file" and "mode" in row:
            assert int(row["mode"], 8) == int(facts["mode"], 8), path


def volume_at(pybootcfg: Run, image: Path, offset: int, *arguments: str) -> str:
    done = pybootcfg("volumes", "--json", image, *arguments)
    assert done.returncode == 0, done.stderr
    volumes = {volume["start"]: volume["name"] for volume in json.loads(done.stdout)["volumes"]}
    name = volumes[offset]
    assert isinstance(name, str)
    return name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per image, when the folder is there."""
    folder = os.environ.get("PYBOOTCFG_CORPUS")
    if "image_name" in metafunc.fixturenames:
        wanted = metafunc.definition.get_closest_marker("families")
        assert wanted is not None
        manifests = sorted(Path(folder, "manifests").glob("*.json")) if folder else []
        names = [file.stem for file in manifests if json.loads(file.read_text())["fs"] in wanted.args]
        metafunc.parametrize("image_name", names)


@pytest.mark.families("ext2", "ext3", "ext4")
def test_ext_images(corpus: Corpus, pybootcfg: Run, image_name: str) -> None:
    (image,) = corpus.disks(image_name)
    compare(listed_files(pybootcfg, image), wanted_files(corpus.manifest(image_name)))


@pytest.mark.families("partitioned")
def test_partitioned_images(corpus: Corpus, pybootcfg: Run, image_name: str) -> None:
    if image_name in LATER:
        pytest.skip("LVM and MD have no reader yet")
    manifest = corpus.manifest(image_name)
    (image,) = corpus.disks(image_name)
    name = volume_at(pybootcfg, image, manifest["offset"])
    compare(listed_files(pybootcfg, image, f"{name}:/"), wanted_files(manifest))
    compare(
        listed_files(pybootcfg, "--offset", str(manifest["offset"]), image, "p0:/"), wanted_files(manifest)
    )


@pytest.mark.families("ext2", "ext3", "ext4", "partitioned")
def test_labels_and_uuids(corpus: Corpus, pybootcfg: Run, image_name: str) -> None:
    """Against what blkid said of the file system when the image was made."""
    if image_name in LATER:
        pytest.skip("LVM and MD have no reader yet")
    manifest = corpus.manifest(image_name)
    (image,) = corpus.disks(image_name)
    (volume,) = [
        volume
        for volume in json.loads(pybootcfg("volumes", "--json", image).stdout)["volumes"]
        if volume["start"] == manifest.get("offset", 0)
    ]
    assert volume["fs_uuid"] == manifest["blkid"]["UUID"]
    assert volume["fs_label"] == manifest["blkid"].get("LABEL", "")
    assert volume["filesystem"] == manifest["blkid"]["TYPE"]


#: what does not boot, and the words that say why
DOES_NOT_BOOT = {
    "part-lvm2": "LVM physical volumes are not supported",
    "part-md-12": "Linux software RAID",
    "zfs-checksums": "no boot configuration",
    "zfs-compression": "no boot configuration",
}


@pytest.mark.families("ext2", "ext3", "ext4", "partitioned", "fat", "iso9660", "reiserfs", "ufs", "zfs")
def test_pygrub_boots_it(corpus: Corpus, pygrub: Run, tmp_path: Path, image_name: str) -> None:
    """The kernel and the ramdisk that come out are files of the manifest, bit for bit."""
    manifest = corpus.manifest(image_name)
    image, *others = corpus.disks(image_name)
    arguments = ["-q", "--output-format=simple", f"--output-directory={tmp_path}", image]
    done = pygrub(*arguments, *(f"--device={other}" for other in others))
    if image_name in DOES_NOT_BOOT:
        assert done.returncode == 1
        assert DOES_NOT_BOOT[image_name] in done.stderr
        return
    assert done.returncode == 0, done.stderr
    named: dict[str, str] = {}
    for path, facts in manifest["files"].items():
        digest = facts.get("sha256", "")
        named[digest] = f"{named.get(digest, '')} {path.lower()}"
    records = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line)
    kernel, ramdisk = (
        named[hashlib.sha256(Path(records[name]).read_bytes()).hexdigest()] for name in ("kernel", "ramdisk")
    )
    assert "linux" in kernel or "vmlinuz" in kernel
    assert "init" in ramdisk
    assert "root=" in records["args"]
