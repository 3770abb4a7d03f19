"""What `pybootcfg inspect` shows at places, bytes, ranges, and of two images; how it ends on damage."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from inspect_tools import SCHEMA, Disk, Run, document, needs, output, structures
from json_schema import check


def test_a_place(pybootcfg: Run, sample: Path) -> None:
    done = pybootcfg("inspect", sample, "p1.superblock")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    # the partition begins at 1 MiB, its superblock 1 KiB behind, the magic 0x38 bytes into that
    assert lines[0] == "p1.superblock  at 0x100400, 1024 bytes"
    assert "0x00100438|53 ef                   |S.      |  s_magic: 0xef53 (valid)" in lines


def test_json(pybootcfg: Run, sample: Path) -> None:
    (table,) = document(pybootcfg("inspect", "--json", sample, "mbr"))["structures"]
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


def test_jsonl_has_a_node_on_each_line(pybootcfg: Run, sample: Path) -> None:
    done = pybootcfg("inspect", "--jsonl", sample, "p1.inode[2:302]")
    assert done.returncode == 0, done.stderr
    nodes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [node["name"] for node in nodes] == [f"p1.inode[{number}]" for number in range(2, 302)]
    for node in nodes:
        check(node, SCHEMA["$defs"]["node"], SCHEMA)


@pytest.mark.parametrize(
    ("name", "place", "offset", "size"),
    [
        # two entries of FAT12 share three bytes; the FAT follows one reserved sector of 1024 bytes
        ("fat/fat12.img", "p0.fat[2:4]", 0x403, 3),
        ("fat/fat32.img", "p0.fat[0].entries[3]", 32 * 512 + 12, 4),
        ("iso/xorriso-rr-joliet.iso", "p0.volume_descriptors", 16 * 2048, 2048),
        # labels have 128 KiB for the ring of uberblocks, at their second half
        ("zfs/datasets-v15.d0.img", "p0.uberblock[17]", 0x20000 + 17 * 1024, 216),
        ("partitions/gpt.img", "gpt.entries[2]", 1024 + 2 * 128, 128),
        ("partitions/gpt.img", "gpt.entries[2].unique_partition_guid", 1024 + 2 * 128 + 16, 16),
    ],
)
def test_places(pybootcfg: Run, disk: Disk, name: str, place: str, offset: int, size: int) -> None:
    found = document(pybootcfg("inspect", "--json", disk(name), place))["structures"][0]
    assert (found["offset"], found["size"]) == (offset, size)


def test_a_field_is_a_place(pybootcfg: Run, sample: Path) -> None:
    (found,) = document(pybootcfg("inspect", "--json", sample, "mbr.partition_record[0].os_type"))[
        "structures"
    ]
    assert (found["offset"], found["raw"], found["symbol"]) == (0x1C2, "83", "Linux")


@pytest.mark.parametrize(
    ("place", "status"), [("p7.superblock", 2), ("p1.nothing", 1), ("p1.inode[99999]", 1)]
)
def test_an_unknown_place(pybootcfg: Run, sample: Path, place: str, status: int) -> None:
    done = pybootcfg("inspect", sample, place)
    assert done.returncode == status
    assert place.split(".")[0] in done.stderr


def test_damage_shows_the_tree_up_to_the_fault(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    image = tmp_path / "cut.img"
    image.write_bytes(sample.read_bytes()[: (1 << 20) + 1024 + 100])
    done = pybootcfg("inspect", image, "mbr")
    assert done.returncode == 0
    done = pybootcfg("volumes", "--json", image)
    (volume,) = json.loads(done.stdout)["volumes"]
    assert volume["filesystem"] is None
    assert any("1024 bytes wanted" in warning for warning in volume["warnings"])


def test_damage_is_followed_by_the_siblings(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    image = tmp_path / "cut.img"
    image.write_bytes(sample.read_bytes()[:0x117340])  # in the middle of inode 12
    done = pybootcfg("inspect", "--json", image, "p1.inode[11:14]")
    assert done.returncode == 4
    before, cut, after = json.loads(done.stdout)["structures"]
    assert before["error"] is None
    assert (cut["children"][0]["raw"], cut["children"][-1]["error"]) == ("ed41", "only 24 bytes left")
    assert after["children"][0]["error"] == "only 0 bytes left"


def test_a_fault_stands_where_damage_hides_the_rest(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    """An entry of the root directory that goes over the end of its block, and an extent tree cut down."""
    image = tmp_path / "broken.img"
    data = bytearray(sample.read_bytes())
    entry = structures(pybootcfg("inspect", "--json", sample, "p1.inode[2].directory_block[0].entry[1]"))
    place = entry["p1.inode[2].directory_block[0].entry[1]"]["offset"]
    data[place + 4 : place + 6] = b"\x64\x61"  # rec_len
    extents = structures(pybootcfg("inspect", "--json", sample, "p1.inode[12].extent_header"))
    place = extents["p1.inode[12].extent_header"]["offset"]
    data[place] = 0xFF  # eh_magic
    image.write_bytes(data)
    done = pybootcfg("inspect", "--json", "--all", image)
    assert done.returncode == 4
    assert done.stderr == ""
    found = {node["name"]: node for node in json.loads(done.stdout)["structures"]}
    for name in ("p1.inode[2].directory_block[0].entry[1].fault", "p1.inode[12].fault"):
        assert found[name]["error"]
        assert found[name]["type"] == "fault"
    assert "24932 bytes with" in found["p1.inode[2].directory_block[0].entry[1].fault"]["error"]
    assert found["p1.inode[12].extent_header"]["children"][0]["valid"] is False
    names = list(found)
    assert names.index("p1.inode[13]") > names.index("p1.inode[12].fault")  # the siblings follow


@pytest.mark.parametrize(
    ("place", "structure"),
    [
        ("p1.inode[2].directory_block[0].entry[2]", "p1.inode[2].directory_block[0].entry[2]"),
        ("p1.group[0].block_bitmap", "p1.group[0].block_bitmap"),
        ("p1.journal.superblock", "p1.journal.superblock"),
        ("p1.inode[12]", "p1.inode[12]"),
    ],
)
def test_metadata_owns_its_bytes(pybootcfg: Run, sample: Path, place: str, structure: str) -> None:
    (found,) = document(pybootcfg("inspect", "--json", sample, place))["structures"]
    done = pybootcfg("inspect", "--json", sample, "--at", str(found["offset"] + found["size"] // 2))
    assert document(done)["structure"] == structure


def test_two_structures_of_one_image_are_compared(pybootcfg: Run, sample: Path) -> None:
    places = ("p1.inode[2]", "--diff", "p1.inode[12]")
    rows = document(pybootcfg("inspect", "--json", sample, *places))["differences"]
    assert "p1.inode[2].i_links_count" in [row["name"] for row in rows]
    one, other = (
        structures(pybootcfg("inspect", "--json", sample, place))[place]
        for place in ("p1.inode[2]", "p1.inode[12]")
    )
    differ = [
        a["name"] for a, b in zip(one["children"], other["children"], strict=True) if a["raw"] != b["raw"]
    ]
    assert [row["name"] for row in rows] == [f"p1.inode[2].{name}" for name in differ]
    assert pybootcfg("inspect", sample, "--diff", "nothing.img").returncode == 1


MAGICS = {
    "qcow2": (0, b"QFI\xfb"),
    "VHDX": (0, b"vhdxfile"),
    "VHD": (0, b"conectix"),
    "VMDK": (0, b"KDMV"),
    "VDI": (0x40, b"\x7f\x10\xda\xbe"),
    "xz": (0, b"\xfd7zXZ\0"),
    "LUKS": (0, b"LUKS\xba\xbe"),
    "XFS": (0, b"XFSB"),
    "Btrfs": (0x10040, b"_BHRfS_M"),
    "squashfs": (0, b"hsqs"),
    "LVM": (0x218, b"LVM2 001"),
    "RAID": (4096, b"\xfc\x4e\x2b\xa9"),
    "swap": (4086, b"SWAPSPACE2"),
}


@pytest.mark.parametrize("name", MAGICS)
def test_what_cannot_be_read_is_told_by_name(pybootcfg: Run, tmp_path: Path, name: str) -> None:
    offset, magic = MAGICS[name]
    data = bytearray(1 << 20)
    data[offset : offset + len(magic)] = magic
    (tmp_path / "disk.img").write_bytes(data)
    done = pybootcfg("inspect", tmp_path / "disk.img")
    assert (done.returncode, done.stderr) == (3, "")
    assert name in done.stdout
    done = pybootcfg("inspect", tmp_path / "disk.img", "p0.superblock")
    assert done.returncode == 3
    assert name in done.stderr


def test_owner_of_a_byte(pybootcfg: Run, sample: Path, volume: Path) -> None:
    found = document_of_owner(pybootcfg("inspect", "--json", sample, "--at", "0x100439"))
    assert (found["structure"], found["path"], found["volume_offset"]) == (
        "p1.superblock",
        ["s_magic"],
        0x439,
    )
    data = sample.read_bytes()
    place = data.index(b"Advanced options")
    found = document_of_owner(pybootcfg("inspect", "--json", sample, "--at", str(place)))
    assert found["file"] == "/boot/grub/grub.cfg"
    text = output(needs("debugfs"), "-R", "cat /boot/grub/grub.cfg", volume)
    assert found["file_offset"] == text.index("Advanced options")
    assert pybootcfg("inspect", sample, "--at", str(len(data))).returncode == 2
    assert pybootcfg("inspect", sample, "--at", "0x80000").returncode == 1  # between table and partition


def document_of_owner(done: CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_range_shows_gaps(pybootcfg: Run, sample: Path) -> None:
    found = document(pybootcfg("inspect", "--json", sample, "--range", "0:0x100800"))["structures"]
    assert (
        [(one["name"], one["offset"], one["size"]) for one in found[:4]]
        == [
            ("mbr", 0, 512),
            ("gap", 512, 0x100400 - 512),
            ("p1.superblock", 0x100400, 1024),
            # a block of the file system later
        ][: len(found)]
    )
    assert found[-1]["offset"] + found[-1]["size"] >= 0x100800


def test_difference(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.img"
    data = bytearray(sample.read_bytes())
    data[0x1C2] = 0x0C  # the partition's type
    other.write_bytes(data)
    (found,) = json.loads(pybootcfg("inspect", "--json", sample, "--diff", other).stdout)["differences"]
    assert found["name"] == "mbr.partition_record[0].os_type"
    assert (found["before"]["raw"], found["after"]["raw"]) == ("83", "0c")
    assert pybootcfg("inspect", sample, "--diff", sample).stdout == "no difference\n"
