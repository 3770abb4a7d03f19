"""Structures of UFS that only inspect shows: counts of free blocks, extended attributes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import ufs_image
from inspected import structures

from pybootcfg.places import PlacedStructure
from pybootcfg.structures import Fault
from pybootcfg.tracing import Field


def named(image: Path) -> dict[str, PlacedStructure]:
    return {placed.name.removeprefix("p0."): placed for placed in structures(image)}


def numbers(found: dict[str, PlacedStructure], name: str) -> list[Any]:
    return [child.value for child in found[name].trace().children]


def fields(field: Field) -> dict[str, Any]:
    return {child.name: child.value for child in field.children}


# --- free blocks, against those that the bitmap of fragments has -------------------------------------------


@pytest.mark.parametrize("name", ["ufs1-le", "ufs1-be", "ufs2-le", "ufs2-be"])
def test_counts_of_free_blocks_are_those_of_the_bitmap(name: str, tmp_path: Path) -> None:
    image = ufs_image.carried(name, tmp_path)
    found = named(image.write())
    head = fields(found["group[0].cg"].trace())
    bits = int.from_bytes(found["group[0].fragment_bitmap"].trace().raw, "little")
    whole = (1 << image.frag) - 1
    blocks = head["cg_ndblk"] // image.frag
    free = [bits >> image.frag * block & whole == whole for block in range(blocks)]
    longest = image.field(1316)  # fs_contigsumsize
    runs = [0] * (longest + 1)
    for is_free, run in itertools.groupby(free):
        if is_free:
            runs[min(len(list(run)), longest)] += 1
    assert longest > 1
    assert numbers(found, "group[0].clustersum")[1:] == runs[1:]
    clusters = int.from_bytes(found["group[0].cluster_bitmap"].trace().raw, "little")
    assert [bool(clusters >> block & 1) for block in range(blocks)] == free
    if image.version == 1:
        cylinders = image.field(180)  # fs_old_cpg; makefs leaves what drives once had at zero
        assert numbers(found, "group[0].blktot") == [0] * cylinders != []
        assert found["group[0].blks"].offset == found["group[0].cg"].offset + head["cg_old_boff"]
    else:
        assert "group[0].blktot" not in found


# --- extended attributes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ufs2-le", "ufs2-be"])
def test_extended_attributes_with_names_and_contents(name: str, tmp_path: Path) -> None:
    image = ufs_image.carried(name, tmp_path)
    image.attributes(2, (1, b"colour", b"blue"), (2, b"x", b""), (2, b"posix1e.acl_access", bytes(range(24))))
    found = named(image.write())
    shown = [found[f"inode[2].extattr[{index}]"].trace() for index in range(3)]
    assert "inode[2].extattr[3]" not in found
    parts = [fields(field) for field in shown]
    assert [part["name"] for part in parts] == [b"colour", b"x", b"posix1e.acl_access"]
    assert [part.get("contents") for part in parts] == [b"blue", None, bytes(range(24))]
    assert [field.children[1].symbol for field in shown] == ["user", "system", "system"]
    assert [field.size for field in shown] == [part["ea_length"] for part in parts]


@pytest.mark.parametrize("length", [0, 7, 8, 24, 1 << 20, 0xFFFFFFFF])
def test_an_attribute_of_a_wrong_length_ends_them(length: int, tmp_path: Path) -> None:
    image = ufs_image.carried("ufs2-le", tmp_path)
    image.attributes(2, (1, b"a", b"1"), (1, b"long enough a name", b"2"), (1, b"c", b"3"))
    image.put("I", image.get("Q", image.inode(2) + 96) * image.fsize + 16, length)
    found = named(image.write())
    assert "inode[2].extattr[0]" in found
    assert "inode[2].extattr[1]" not in found
    assert isinstance(found["inode[2].extattr[1].fault"].decoder, Fault)


def test_attributes_beyond_the_volume_are_named(tmp_path: Path) -> None:
    image = ufs_image.carried("ufs2-le", tmp_path)
    image.put("I", image.inode(2) + 92, 64)
    image.put("Q", image.inode(2) + 96, 1 << 40)
    found = named(image.write())
    assert isinstance(found["inode[2].fault"].decoder, Fault)
    assert "inode[3]" in found or "inode[4]" in found
