"""UFS2 as inspect shows it, held against sleuthkit and libblkid.

sleuthkit looks for the superblock of UFS2 at byte 65536, where newfs puts it; that of makefs is at 8192.
With blocks of 64 KiB the first cylinder group's copy of it lies right there, so that both read one image.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import inspected
import pytest
from inspect_tools import Disk, needs, numbers, output, values

from pybootcfg.cli.inspection import document

FRAGMENT = 8192
BLOCK = 8 * FRAGMENT
OPTIONS = f"version=2,bsize={BLOCK},fsize={FRAGMENT},density=1024,maxbpcg=256,optimization=space,minfree=3"


@pytest.fixture(scope="module", params=["le", "be"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file system with a file that needs an indirect block, links long and short, times and modes."""
    makefs = needs("makefs")
    folder = tmp_path_factory.mktemp("judged")
    tree = folder / "tree"
    (tree / "sub" / "deep").mkdir(parents=True)
    (tree / "sub" / "large").write_bytes(bytes(range(256)) * 4000)
    (tree / "sub" / "small").write_bytes(b"small")
    (tree / "sub" / "short").symlink_to("small")
    (tree / "long").symlink_to("x" * 150)
    (tree / "hard").hardlink_to(tree / "sub" / "small")
    (tree / "sub" / "large").chmod(0o4751)
    for number, name in enumerate(("sub/large", "sub/small", "sub/deep", "sub")):
        os.utime(tree / name, (1_000_000_000 + number, 1_200_000_000 + number))
    target = folder / "ufs.img"
    command = [makefs, "-t", "ffs", "-B", request.param, "-s", "16m", "-o", OPTIONS]
    subprocess.run([*command, target, tree], check=True, capture_output=True)
    return target


@pytest.fixture(scope="module")
def shown(image: Path) -> dict[str, dict[str, Any]]:
    """What `inspect --all` has, by name."""
    return {placed.name: document.node(placed.trace()) for placed in inspected.structures(image)}


@pytest.fixture(scope="module")
def told(image: Path) -> str:
    return output(needs("fsstat"), "-f", "ufs2", image)


def number(text: str, label: str) -> int:
    found = re.search(rf"{label}: +(\d+)", text)
    assert found, label
    return int(found[1])


def test_superblock_by_fsstat(shown: dict[str, dict[str, Any]], told: str) -> None:
    node = shown["p0.superblock"]
    found = numbers(node)
    for label, field in (
        ("Block Size", "fs_bsize"),
        ("Fragment Size", "fs_fsize"),
        ("Number of Cylinder Groups", "fs_ncg"),
        ("Inodes per group", "fs_ipg"),
        ("Fragments per group", "fs_fpg"),
    ):
        assert found[field] == number(told, label)
    assert f"Fragment Range: 0 - {found['fs_size'] - 1}\n" in told
    totals = numbers(values(node)["fs_cstotal"])
    for label, field in (
        ("Num of Avail Inodes", "cs_nifree"),
        ("Num of Directories", "cs_ndir"),
        ("Num of Avail Full Blocks", "cs_nbfree"),
        ("Num of Avail Fragments", "cs_nffree"),
    ):
        assert totals[field] == number(told, label)
    first = told.partition("Group 0:")[2].partition("Global Summary")[0]
    for label, field in (
        ("Group Desc", "fs_cblkno"),
        ("Inode Table", "fs_iblkno"),
        ("Data Fragments", "fs_dblkno"),
    ):
        assert found[field] == number(first, label)
    assert f"    Super Block: {found['fs_sblkno']} - " in first
    assert found["fs_ncg"] > 1


def test_cylinder_groups_by_fsstat(shown: dict[str, dict[str, Any]], told: str) -> None:
    groups = re.split(r"^Group (\d+):\n", told, flags=re.MULTILINE)[1:]
    summary = shown["p0.summary"]
    assert len(summary["children"]) == len(groups) // 2 > 1
    for group, text in zip(map(int, groups[::2]), groups[1::2], strict=True):
        whole, _, local = text.partition("Local Summary")
        node = shown[f"p0.group[{group}].cg"]
        head = numbers(node)
        assert node["offset"] == number(text, "Group Desc") * FRAGMENT
        for counts, part in (
            (numbers(summary["children"][group]), whole.partition("Global Summary")[2]),
            (numbers(values(node)["cg_cs"]), local),
        ):
            assert counts["cs_ndir"] == number(part, "Num of Dirs")
            assert counts["cs_nbfree"] == number(part, "Num of Avail Blocks")
            assert counts["cs_nifree"] == number(part, "Num of Avail Inodes")
            assert counts["cs_nffree"] == number(part, "Num of Avail Frags")
        start = number(text, "Fragment Range")
        assert f"Fragment Range: {start} - {start + head['cg_ndblk'] - 1}\n" in text
        first = number(text, "Inode Range")
        assert f"Inode Range: {first} - {first + head['cg_niblk'] - 1}\n" in text
        assert start + head["cg_rotor"] == number(local, "Last Block Allocated")
        assert start + head["cg_frotor"] == number(local, "Last Fragment Allocated")
        assert first + head["cg_irotor"] == number(local, "Last Inode Allocated")
        used = head["cg_niblk"] - head_free(node)
        assert shown[f"p0.group[{group}].inode_bitmap"]["symbol"].startswith(f"{used} of ")
        free = 8 * numbers(values(node)["cg_cs"])["cs_nbfree"] + numbers(values(node)["cg_cs"])["cs_nffree"]
        assert shown[f"p0.group[{group}].fragment_bitmap"]["symbol"].startswith(f"{free} of ")


def head_free(node: dict[str, Any]) -> int:
    free: int = numbers(values(node)["cg_cs"])["cs_nifree"]
    return free


def test_inodes_by_istat(shown: dict[str, dict[str, Any]], image: Path) -> None:
    istat = needs("istat")
    listed = output(needs("fls"), "-r", "-p", "-f", "ufs2", image)
    names = dict(re.findall(r"^\S+ (\d+):\t(.*)$", listed, re.MULTILINE))
    del names[next(number for number, name in names.items() if name == "$OrphanFiles")]
    assert {"sub/large", "long", "sub/short", "sub/deep", "sub"} <= set(names.values())
    for inode in ["2", *names]:
        told = output(istat, "-f", "ufs2", image, inode)
        node = shown[f"p0.inode[{inode}]"]
        found = numbers(node)
        mode = re.search(r"^mode: (\S+)$", told, re.MULTILINE)
        assert mode
        assert values(node)["di_mode"]["symbol"][1:] == mode[1][1:]
        assert found["di_size"] == number(told, "size")
        assert found["di_nlink"] == number(told, "num of links")
        assert f"uid / gid: {found['di_uid']} / {found['di_gid']}\n" in told
        for label, field in (("Accessed", "atime"), ("File Modified", "mtime"), ("Inode Modified", "ctime")):
            (moment,) = re.findall(rf"^{label}:\t(.*) \(UTC\)$", told, re.MULTILINE)
            assert values(node)[f"di_{field}"]["symbol"] == f"{moment} UTC"
        if names.get(inode) != "sub/short":  # its target is in the place of the pointers
            direct, below = blocks(told)
            whole = -(-len(direct) // 8) * 8 if below else len(direct)  # fragments end none but short files
            assert found["di_blocks"] == (whole + len(below)) * FRAGMENT // 512
            pointers = [child["value"] for child in values(node)["di_db"]["children"] if child["value"]]
            assert pointers == direct[::8][: len(pointers)]
    large = next(inode for inode, name in names.items() if name == "sub/large")
    direct, (block, *_) = blocks(output(istat, "-f", "ufs2", image, large))
    pointers = shown[f"p0.inode[{large}].indirect_block[{block}]"]["children"]
    below = [child["value"] for child in pointers]
    assert [one for one in below if one] == direct[12 * 8 :: 8]


def blocks(told: str) -> tuple[list[int], list[int]]:
    """Return the fragments of a file's data and of its indirect blocks."""
    direct, _, indirect = told.partition("Direct Blocks:")[2].partition("Indirect Blocks:")
    return list(map(int, direct.split())), list(map(int, indirect.split()))


@pytest.mark.parametrize("name", ["ufs2-le", "ufs2-be"])
def test_carried_file_systems_by_blkid(disk: Disk, name: str) -> None:
    file = disk(f"ufs/{name}.img")
    told = output(needs("blkid"), "-p", file)
    node = next(
        document.node(placed.trace())
        for placed in inspected.structures(file)
        if placed.name == "p0.superblock"
    )
    found = numbers(node)
    first, second = (child["value"] for child in values(node)["fs_id"]["children"])
    assert f'UUID="{first:08x}{second:08x}"' in told
    assert f'BLOCK_SIZE="{found["fs_fsize"]}"' in told
    assert 'VERSION="2"' in told
