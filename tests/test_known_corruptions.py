"""Corruptions that checkers of file systems know, made by debugfs or by hand: an answer or a typed error.

Those of ext are of the kinds that e2fsprogs' own tests (f_*) repair: each is put into an image with debugfs,
e2fsck has to find fault with it, and then pygrub's reader and a walk over all files have to come to an end.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from guests import grub_guest

from faults.boot import Run
from faults.images import unpack_file
from pybootcfg import extraction
from pybootcfg.errors import BootcfgError
from pybootcfg.guest import Guest
from pybootcfg.kind import Kind
from pybootcfg.places import structures
from pybootcfg.source import FileSource

ROOT = Path(__file__).parent.parent

#: what debugfs is told, by the kind of damage; /k is the kernel, <2> the root directory, <8> the journal
EXT = {
    "root inode is a file": "sif <2> mode 0100644",
    "root inode cleared": "clri <2>",
    "root directory without blocks": "punch / 0",
    "root directory with a huge size": "sif <2> size 0x7ffffffffffff000",
    "kernel inode cleared": "clri /k",
    "kernel is a socket": "sif /k mode 0140644",
    "kernel with no known type": "sif /k mode 0170644",
    "kernel size beyond all offsets": "sif /k size 0xffffffffffffffff",
    "kernel size without blocks": "sif /k size 0x3fffffff",
    "kernel with holes": "punch /k 1 3",
    "kernel without extents flag": "sif /k flags 0",
    "kernel with inline data flag": "sif /k flags 0x10000000",
    "kernel with encrypted flag": "sif /k flags 0x80800",
    "kernel with index flag": "sif /k flags 0x81000",
    "configuration is its directory": "sif /boot/grub/grub.cfg mode 040755",
    "configuration with all flags": "sif /boot/grub/grub.cfg flags 0xffffffff",
    "configuration of 1 GiB": "sif /boot/grub/grub.cfg size 0x40000000",
    "configuration freed": "freei /boot/grub/grub.cfg\nclri /boot/grub/grub.cfg",
    "directory is a link": "sif /boot/grub mode 0120777",
    "directory with a zero size": "sif /boot size 0",
    "directory in a hole": "punch /boot/grub 0",
    "directory hard-linked into itself": "ln /boot /boot/loop",
    "directory freed": "clri /boot",
    "extent header's magic": "sif /k block[0] 0xdead",
    "extent depth 7": "sif /k block[1] 0x00070004",
    "more extents than room": "sif /k block[0] 0xfffff30a",
    "extent beyond the volume": "sif /k block[5] 0x7fffffff",
    "extent at block 0": "sif /k block[5] 0",
    "extent of zero blocks": "sif /k block[4] 0",
    "extents not in order": "sif /k block[3] 0x40000000",
    "extent overlaps inode table": "sif /k block[5] 4",
    "block size shift 31": "ssv log_block_size 31",
    "blocks count 0": "ssv blocks_count 0",
    "blocks count huge": "ssv blocks_count 0xffffffff",
    "inodes count 0": "ssv inodes_count 0",
    "blocks per group 0": "ssv blocks_per_group 0",
    "blocks per group huge": "ssv blocks_per_group 0xfffffff8",
    "inodes per group 0": "ssv inodes_per_group 0",
    "inodes per group 1": "ssv inodes_per_group 1",
    "inode size 100": "ssv inode_size 100",
    "inode size 0x8000": "ssv inode_size 0x8000",
    "first data block 77": "ssv first_data_block 77",
    "descriptor size 3": "ssv desc_size 3",
    "descriptor size 4096": "ssv desc_size 4096",
    "revision 7": "ssv rev_level 7",
    "revision 0 with features": "ssv rev_level 0",
    "unknown incompat feature": "ssv feature_incompat 0x80000000",
    "no incompat feature": "ssv feature_incompat 0",
    "journal in inode 2": "ssv journal_inum 2",
    "journal in inode 4000000": "ssv journal_inum 4000000\nssv feature_incompat 0x2c6",
    "journal cleared": "clri <8>\nssv feature_incompat 0x2c6",
    "journal of no size": "sif <8> size 0\nssv feature_incompat 0x2c6",
    "meta_bg of nothing": "ssv first_meta_bg 0xffffffff\nssv feature_incompat 0x2d2",
    "inode table at block 0": "set_bg 0 inode_table 0",
    "inode table beyond the volume": "set_bg 0 inode_table 0xfffffff0",
    "inode table is the superblock": "set_bg 0 inode_table 1",
    "hash seed and version": "ssv def_hash_version 99\nssv flags 3",
}

#: what e2fsck has nothing against: sparse files, and hashes that no directory uses
LEGAL = {
    "kernel size without blocks",
    "kernel with holes",
    "configuration of 1 GiB",
    "hash seed and version",
}

needs_e2fsprogs = pytest.mark.skipif(
    not all(map(shutil.which, ("mke2fs", "debugfs", "e2fsck"))), reason="e2fsprogs makes the images"
)


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grub_guest(
        tmp_path_factory.mktemp("guest"), "menuentry A { linux /k a=1; initrd /i; }\n", **{"boot/x": b"x"}
    )


def look_at(image: Path) -> None:
    """Boot, walk and inspect; each may end in an error of pybootcfg's or the system's, and in no other."""
    for task in (boot, walk, inspect):
        source = FileSource.open(image)
        with contextlib.suppress(BootcfgError, OSError):
            task(source)
        source.close()


def boot(source: FileSource) -> None:
    run = Run([source])
    try:
        run.boot()
    finally:
        run.close()


def walk(source: FileSource) -> None:
    for volume in Guest.of_sources([source]).listed:
        todo, seen = [volume.root], {volume.root.key}
        while todo:
            for _, node in todo.pop().entries():
                if node.kind is Kind.DIRECTORY and node.key not in seen:
                    seen.add(node.key)
                    todo.append(node)
                elif node.kind is Kind.SYMLINK:
                    node.target()
                elif node.kind is Kind.FILE and node.size < 1 << 24:
                    extraction.hash_file(node, hashlib.sha256())


def inspect(source: FileSource) -> None:
    for structure, _ in zip(structures(Guest.of_sources([source])), range(2000), strict=False):
        structure.trace()


@pytest.mark.no_cover
@needs_e2fsprogs
@pytest.mark.parametrize("damage", EXT)
def test_ext(damage: str, guest: Path, tmp_path: Path) -> None:
    image = tmp_path / "damaged.img"
    shutil.copy(guest, image)
    command = ["debugfs", "-w", "-f", "-", image]
    subprocess.run(command, input=EXT[damage].encode() + b"\n", check=True, capture_output=True)
    assert image.read_bytes() != guest.read_bytes(), "debugfs did not do it"
    complaint = subprocess.run(["e2fsck", "-fn", image], check=False, capture_output=True).returncode
    assert (complaint == 0) == (damage in LEGAL)
    look_at(image)


Edit = tuple[int, bytes]  #: offset and what stands there then

#: for other file systems, edits of fields by their offsets in the specifications
OTHERS: dict[str, list[tuple[str, list[Edit]]]] = {
    "fat/fat32.img": [
        ("bytes per sector 0", [(11, b"\0\0")]),
        ("bytes per sector 513", [(11, b"\1\2")]),
        ("sectors per cluster 0", [(13, b"\0")]),
        ("sectors per cluster 3", [(13, b"\3")]),
        ("reserved sectors 0", [(14, b"\0\0")]),
        ("no FATs", [(16, b"\0")]),
        ("FAT of 4 G sectors", [(36, b"\xff\xff\xff\xff")]),
        ("total sectors 0", [(32, b"\0\0\0\0")]),
        ("total sectors huge", [(32, b"\xff\xff\xff\xff")]),
        ("root in cluster 0", [(44, b"\0\0\0\0")]),
        ("root in cluster 2^28-1", [(44, b"\xff\xff\xff\x0f")]),
    ],
    "fat/exfat.img": [
        ("sectors of 2^255", [(108, b"\xff")]),
        ("clusters of 2^255", [(109, b"\xff")]),
        ("FAT offset 0", [(80, b"\0\0\0\0")]),
        ("heap beyond the volume", [(88, b"\xff\xff\xff\xff")]),
        ("4 G clusters", [(92, b"\xff\xff\xff\xff")]),
        ("root in cluster 1", [(96, b"\1\0\0\0")]),
    ],
    "iso/xorriso-rr.iso": [
        ("block size 0", [(32768 + 128, b"\0\0\0\0")]),
        ("block size 1", [(32768 + 128, b"\1\0\0\1")]),
        ("root at sector 0", [(32768 + 158, b"\0" * 8)]),
        ("root beyond the end", [(32768 + 158, b"\xff" * 8)]),
        ("root of 4 GiB", [(32768 + 166, b"\xff" * 8)]),
        ("root record of no length", [(32768 + 156, b"\0")]),
        ("descriptors never end", [(32768 + 2048, b"\1CD001\1" * 40)]),
        ("descriptor of type 77", [(32768, b"\x4d")]),
    ],
    "ufs/ufs2-le.img": [
        ("fs_bsize 0", [(8192 + 48, bytes(4))]),
        ("fs_bsize 2^31", [(8192 + 48, b"\0\0\0\x80")]),
        ("fs_fsize 0", [(8192 + 52, bytes(4))]),
        ("fs_frag 0", [(8192 + 56, bytes(4))]),
        ("fs_ncg 0", [(8192 + 44, bytes(4))]),
        ("fs_ipg huge", [(8192 + 184, b"\xff\xff\xff\x7f")]),
        ("fs_fpg negative", [(8192 + 188, b"\xff\xff\xff\xff")]),
        ("fs_inopb 0", [(8192 + 120, bytes(4))]),
        ("fs_nindir 0", [(8192 + 116, bytes(4))]),
        ("fs_iblkno negative", [(8192 + 16, b"\xff\xff\xff\xff")]),
    ],
    "reiserfs/reiser36-r5.img": [
        ("block size 0", [(65536 + 44, b"\0\0")]),
        ("block size 0xffff", [(65536 + 44, b"\xff\xff")]),
        ("block count 0", [(65536, bytes(4))]),
        ("root at block 0", [(65536 + 8, bytes(4))]),
        ("root beyond the end", [(65536 + 8, b"\xff\xff\xff\xff")]),
        ("root in the superblock", [(65536 + 8, b"\x10\0\0\0")]),
        ("tree height 0", [(65536 + 68, b"\0\0")]),
        ("tree height 0xffff", [(65536 + 68, b"\xff\xff")]),
        ("journal at block 0", [(65536 + 12, bytes(4))]),
        ("journal of 4 G blocks", [(65536 + 20, b"\xff\xff\xff\xff")]),
        ("hash function 77", [(65536 + 64, b"\x4d\0\0\0")]),
    ],
}


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("name", "edits"),
    [
        pytest.param(name, edits, id=f"{name}: {damage}")
        for name, kinds in OTHERS.items()
        for damage, edits in kinds
    ],
)
def test_others(name: str, edits: list[Edit], tmp_path: Path, pristine: Callable[[str], Path]) -> None:
    image = tmp_path / "damaged.img"
    shutil.copy(pristine(name), image)
    with image.open("r+b") as file:
        for offset, data in edits:
            before = os.pread(file.fileno(), len(data), offset)
            assert before != data, "it was so before"
            file.seek(offset)
            file.write(data)
    look_at(image)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("pristine")

    def unpack(name: str) -> Path:
        target = folder / Path(name).name
        if not target.exists():
            unpack_file(ROOT / f"tests/corpus/{name}.xz", target)
        return target

    return unpack
