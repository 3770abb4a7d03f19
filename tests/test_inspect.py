"""What `pybootcfg inspect` shows of the images that the project carries, and how it ends on damage."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from syrupy.assertion import SnapshotAssertion

Run = Callable[..., "CompletedProcess[str]"]

CORPUS = Path(__file__).parent / "corpus"
IMAGES = sorted(str(file.relative_to(CORPUS)) for file in CORPUS.glob("*/*.xz") if ".json" not in file.name)


@pytest.mark.parametrize("name", IMAGES)
def test_tables_and_superblocks(
    pybootcfg: Run, tmp_path: Path, snapshot: SnapshotAssertion, name: str
) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(lzma.decompress((CORPUS / name).read_bytes()))
    assert pybootcfg("inspect", "disk.img", cwd=tmp_path).stdout == snapshot


def test_a_place(pybootcfg: Run, sample: Path) -> None:
    done = pybootcfg("inspect", sample, "p1.superblock")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    # the partition begins at 1 MiB, its superblock 1 KiB behind, the magic 0x38 bytes into that
    assert lines[0] == "p1.superblock  at 0x100400, 1024 bytes"
    assert "0x00100438|53 ef                   |S.      |  s_magic: 0xef53 (valid)" in lines


def test_json(pybootcfg: Run, sample: Path) -> None:
    document = json.loads(pybootcfg("inspect", "--json", sample, "mbr").stdout)
    (table,) = document["structures"]
    assert (table["name"], table["offset"], table["size"]) == ("mbr", 0, 512)
    (signature,) = [node for node in table["children"] if node["name"] == "signature"]
    assert signature == {
        "name": "signature",
        "type": "u16le",
        "offset": 510,
        "size": 2,
        "raw": "55aa",
        "value": 0xAA55,
        "symbol": None,
        "valid": True,
        "error": None,
        "children": [],
    }


def test_an_unknown_place(pybootcfg: Run, sample: Path) -> None:
    done = pybootcfg("inspect", sample, "p7.superblock")
    assert done.returncode == 2
    assert "p7.superblock" in done.stderr


def test_damage_shows_the_tree_up_to_the_fault(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    image = tmp_path / "cut.img"
    image.write_bytes(sample.read_bytes()[: (1 << 20) + 1024 + 100])
    done = pybootcfg("inspect", image, "mbr")
    assert done.returncode == 0
    done = pybootcfg("volumes", "--json", image)
    (volume,) = json.loads(done.stdout)["volumes"]
    assert volume["filesystem"] is None
    assert any("1024 bytes wanted" in warning for warning in volume["warnings"])
