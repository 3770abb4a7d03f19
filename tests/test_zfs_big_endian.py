"""Pools of big-endian machines (SPARC, POWER), made from carried ones."""

from __future__ import annotations

import pytest
from zfs_big_endian import BigEndian
from zfs_image import disks, listing, pool, tree

from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Options
from pybootcfg.filesystems.zfs import Zfs


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["datasets-v15", "checksums-v5000"])
def test_big_endian_pool(name: str) -> None:
    """Old znodes and system attributes, micro and fat ZAPs, indirect blocks, snapshots."""
    found = open_filesystem(BigEndian(pool(*disks(name))).disk(), Options())
    assert isinstance(found, Zfs)
    assert found.active_uberblock.big
    assert tree(found.root) == listing(name)
    for path in (b"/boot/vmlinuz", b"/fletcher4/boot/vmlinuz"):
        if path in listing(name):
            assert found.walk(path).size > 0
    if name == "datasets-v15":
        assert b"/hard" in tree(found.subvolume("rpool/ROOT/be@before"))
        assert found.walk(b"/many/f0").size == 0
