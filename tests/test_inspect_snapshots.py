"""The screens and documents of inspect for each image that the project carries, as snapshots to review."""

from __future__ import annotations

import json
import re

import inspected
import pytest
from inspect_tools import SCHEMA, Disk, Inside, screen
from json_schema import check
from syrupy.assertion import SnapshotAssertion


@pytest.mark.no_cover
@pytest.mark.parametrize("name", inspected.NAMES)
def test_overview_and_superblocks(
    inside: Inside, disk: Disk, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(disk(name).parent)
    monkeypatch.setenv("NO_COLOR", "1")
    _, shown = inside("disk.img")
    assert "boots" in shown
    shown += inside("--structures", "disk.img")[1]
    assert re.sub(r"looked for [^)]+", "looked for ...", shown) == snapshot


@pytest.mark.no_cover
@pytest.mark.parametrize("name", inspected.NAMES)
def test_json_fits_its_schema(inside: Inside, disk: Disk, name: str) -> None:
    status, text = inside("--json", str(disk(name)))
    incomplete = "raidz" in name  # one of several disks cannot be read by itself
    assert status == (4 if incomplete else 0)
    check(json.loads(text), SCHEMA)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "name",
    [
        "ext/ext4-inline.img",
        "fat/fat12.img",
        "fat/exfat.img",
        "iso/genisoimage-rr.iso",
        "partitions/mbr-4096.img",
        "reiserfs/reiser35-rupasov.img",
        "ufs/ufs2-be.img",
        "zfs/intent-log-v23.d0.img",
    ],
)
def test_everything_fits_the_schema_of_json(inside: Inside, disk: Disk, name: str) -> None:
    image = disk(name)
    status, text = inside("--json", "--all", str(image))
    assert status == 0
    everything = json.loads(text)
    everything["structures"] = everything["structures"][:50] + everything["structures"][50::20]
    check(everything, SCHEMA)
    lines = inside("--jsonl", "--all", str(image))[1].splitlines()
    assert json.loads(lines[0]) == everything["structures"][0]


#: for each family an image, and places that show what its structures look like
PLACES = [
    ("ext/ext4-default.img", ["p0.superblock", "p0.inode[2]", "p0.inode[2].directory_block[0].entry[2]"]),
    ("ext/ext4-inline.img", ["p0.inode[12].xattr", "p0.journal.block[1]"]),
    ("fat/fat12.img", ["p0.boot_sector", "p0.fat[2:6]", "p0.root[1]"]),
    ("fat/exfat.img", ["p0.root[0]", "p0.root[1]", "p0.allocation_bitmap"]),
    ("iso/xorriso-rr-joliet.iso", ["p0.path_table[1]", "p0.root.system_use", "p0.boot_catalog"]),
    ("partitions/gpt.img", ["gpt.header", "gpt.entries[0]"]),
    ("partitions/mbr-logical.img", ["mbr.partition_record", "ebr"]),
    ("reiserfs/reiser35-rupasov.img", ["p0.superblock", "p0.root.block_head", "p0.root.keys[0]"]),
    ("ufs/ufs2-be.img", ["p0.group[0].cg", "p0.inode[2].directory_block[0].entry[1]"]),
    ("zfs/checksums-v5000.d0.img", ["p0.vdev[0].metaslab[2].space_map[1]", "p0.log_space_map[92][1]"]),
    ("zfs/datasets-v15.d0.img", ["p0.active_uberblock", "p0.mos.object[1]", "p0.mos.object[1].zap"]),
]


@pytest.mark.no_cover
@pytest.mark.parametrize("columns", [80, 160])
@pytest.mark.parametrize(("name", "places"), PLACES, ids=[name for name, _ in PLACES])
def test_screens(disk: Disk, snapshot: SnapshotAssertion, name: str, places: list[str], columns: int) -> None:
    """The field view on a terminal."""
    image = disk(name)
    shown = "".join(
        screen(columns, "inspect", "--array", "4", "disk.img", place, cwd=image.parent) for place in places
    )
    assert shown == snapshot


@pytest.mark.parametrize(("name", "places"), PLACES, ids=[name for name, _ in PLACES])
def test_documents(
    inside: Inside, disk: Disk, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch, name: str,
    places: list[str],
) -> None:  # fmt: skip
    """The overview's JSON without the structures, and one structure."""
    monkeypatch.chdir(disk(name).parent)
    overview = json.loads(inside("--json", "disk.img")[1])
    del overview["structures"]
    text = json.dumps(overview, indent=1, ensure_ascii=False)
    structure = "".join(inside("--jsonl", "disk.img", places[-1])[1].splitlines(keepends=True)[:3])
    assert re.sub(r"looked for [^)]+", "looked for ...", text) + "\n" + structure == snapshot
