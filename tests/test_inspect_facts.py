"""What inspect says of the corpus, against what the file systems' own programs say of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from inspect_tools import Disk, Run, document, needs, output, values


@pytest.fixture
def volume(sample: Path, tmp_path: Path) -> Path:
    """The only volume of the sample, which begins at 1 MiB, as a file of its own."""
    image = tmp_path / "volume.img"
    image.write_bytes(sample.read_bytes()[1 << 20 :])
    return image


def test_inodes_and_runs_by_debugfs(pybootcfg: Run, sample: Path, volume: Path) -> None:
    debugfs = needs("debugfs")
    path = "/boot/vmlinuz-6.1.0-demo"
    stat = output(debugfs, "-R", f"stat {path}", volume)
    (node,) = document(pybootcfg("inspect", "--json", sample, f"p1:{path}"))["structures"]
    parts = {child["name"]: child for child in node["children"]}
    number = re.search(r"Inode: (\d+)", stat)
    assert number
    inode = parts["structures"]["children"][0]
    assert inode["name"] == f"inode[{number[1]}]"
    imap = output(debugfs, "-R", f"imap {path}", volume)
    where = re.search(r"located at block (\d+), offset 0x([0-9a-f]+)", imap)
    assert where
    assert inode["offset"] == (1 << 20) + int(where[1]) * 1024 + int(where[2], 16)
    first, last = map(int, re.search(r"EXTENTS:\s+\(\d+-\d+\):(\d+)-(\d+)", stat).groups())  # type: ignore[union-attr]
    (run,) = parts["runs"]["children"]
    assert run["offset"] == (1 << 20) + first * 1024
    assert -(-run["size"] // 1024) == last - first + 1


def test_bitmaps_by_dumpe2fs(pybootcfg: Run, sample: Path, volume: Path) -> None:
    shown = output(needs("dumpe2fs"), volume)
    block = re.search(r"Inode bitmap at (\d+)", shown)
    free = re.search(r"(\d+) free blocks, (\d+) free inodes", shown)
    per_group = re.search(r"Inodes per group: +(\d+)", shown)
    assert block
    assert free
    assert per_group
    (found,) = document(pybootcfg("inspect", "--json", sample, "p1.group[0].inode_bitmap"))["structures"]
    assert found["offset"] == (1 << 20) + int(block[1]) * 1024
    used = int(per_group[1]) - int(free[2])
    assert found["symbol"] == f"{used} of {per_group[1]} bits set"
    (found,) = document(pybootcfg("inspect", "--json", sample, "p1.group[0].block_bitmap"))["structures"]
    bits = int(re.search(r"Block count: +(\d+)", shown)[1]) - 1  # type: ignore[index]  # block 0 is in no group
    assert found["symbol"] == f"{bits - int(free[1])} of {bits} bits set"


def test_everything_has_the_inodes_in_use(pybootcfg: Run, disk: Disk) -> None:
    image = disk("ext/ext4-default.img")
    done = pybootcfg("inspect", "--all", "--jsonl", image)
    assert done.returncode == 0, done.stderr
    names = [json.loads(line)["name"] for line in done.stdout.splitlines()]
    shown = output(needs("dumpe2fs"), "-h", image)
    count, free = (int(re.search(rf"{what}: +(\d+)", shown)[1]) for what in ("Inode count", "Free inodes"))  # type: ignore[index]
    assert sum(name.startswith("p0.inode[") for name in names) == count - free


def test_partitions_by_sgdisk(pybootcfg: Run, disk: Disk) -> None:
    image = disk("partitions/gpt.img")
    told = output(needs("sgdisk"), "-i", "3", image)  # which counts from 1
    (entry,) = document(pybootcfg("inspect", "--json", image, "gpt.entries[2]"))["structures"]
    found = values(entry)
    assert f"Partition GUID code: {found['partition_type_guid']['symbol'][:36]}" in told
    assert f"Partition unique GUID: {found['unique_partition_guid']['symbol']}" in told
    assert f"First sector: {found['starting_lba']['value']} " in told
    assert f"Last sector: {found['ending_lba']['value']} " in told


def test_boot_sector_by_fsck_fat(pybootcfg: Run, disk: Disk) -> None:
    image = disk("fat/fat32.img")
    told = output(needs("fsck.fat"), "-nv", image)
    (sector,) = document(pybootcfg("inspect", "--json", image, "p0.boot_sector"))["structures"]
    found = {name: child["value"] for name, child in values(sector).items()}
    assert f"{found['bpb_byts_per_sec']} bytes per logical sector" in told
    assert f"{found['bpb_rsvd_sec_cnt']} reserved sectors" in told
    assert f"{found['bpb_num_fats']} FATs, 32 bit entries" in told
    (entry,) = document(pybootcfg("inspect", "--json", image, "p0.fat[0:1]"))["structures"]
    assert f"First FAT starts at byte {entry['offset']} " in told


def test_volume_descriptor_by_isoinfo(pybootcfg: Run, disk: Disk) -> None:
    image = disk("iso/xorriso-rr-joliet.iso")
    told = output(needs("isoinfo"), "-d", "-i", image)
    (found, *_) = document(pybootcfg("inspect", "--json", image, "p0.volume_descriptors"))["structures"]
    size = values(values(found)["volume_space_size"])["little"]["value"]
    assert f"Volume size is: {size}" in told
    assert f"Logical block size is: {values(values(found)['logical_block_size'])['little']['value']}" in told
