"""UFS as other systems write it: images by makefs, patched by hand, since no other writer is at hand.

The offsets of fields are those of `struct fs` and `struct dinode` in the systems' headers; what a
patch stands for is said where it is made.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ufs_image import (
    CARRIED,
    Listing,
    Patch,
    carried,
    crc32c,
    image_listing,
    inode_of,
    makefs,
    open_image,
    tree_listing,
)

from pybootcfg.errors import UnsupportedFeature
from pybootcfg.filesystems.base import Filesystem, Hole, Inline
from pybootcfg.kind import Kind

NAMES = ["ufs1-be", "ufs1-le", "ufs2-be", "ufs2-le"]


def age_directories(image: Patch) -> None:
    """Rewrite all directories to the 4.2BSD format: d_type and d_namlen become a 16-bit d_namlen."""
    folders = [n for n in range(2, image.field(184)) if image.mode(n) & 0o170000 == 0o040000]
    for number in folders:
        for record in list(image.records(number)):
            image.put("H", record + 6, image.data[record + 7])


@pytest.fixture
def expected(request: pytest.FixtureRequest) -> Listing:
    name = request.node.callspec.params["name"]
    listing: Listing = json.loads((CARRIED / f"{name}.json").read_text())["files"]
    return listing


@pytest.mark.parametrize("name", ["ufs1-be", "ufs1-le"])
def test_4_2bsd_directories_by_openbsd_newfs_o0(tmp_path: Path, name: str, expected: Listing) -> None:
    # newfs -O 0 of OpenBSD: fs_maxsymlinklen 0, fs_inodefmt FS_42INODEFMT; the masks stay.
    image = carried(name, tmp_path)
    age_directories(image)
    image.set_field(1320, 0)
    image.set_field(1324, -1)
    filesystem = open_image(image.write())
    assert "4.2bsd-directories" in filesystem.features
    assert image_listing(filesystem) == expected


@pytest.mark.parametrize("name", ["ufs1-be", "ufs1-le"])
def test_4_2bsd(tmp_path: Path, name: str, expected: Listing) -> None:
    # 4.2BSD, SunOS 4: the rotation tables lie where later systems have their fields.
    image = carried(name, tmp_path)
    age_directories(image)
    image.data[8192 + 860 : 8192 + 1356] = b"\x5a" * (1356 - 860)
    image.data[8192 + 209] = 0  # fs_clean was not used
    image.data[8192 + 211] = 0  # nor fs_flags
    filesystem = open_image(image.write())
    assert image_listing(filesystem) == expected
    assert filesystem.warnings == []
    assert filesystem.label == ""


@pytest.mark.parametrize("name", ["ufs1-be", "ufs1-le"])
@pytest.mark.parametrize("multi_terabyte", [False, True])
def test_solaris(tmp_path: Path, name: str, expected: Listing, multi_terabyte: bool) -> None:
    # Solaris: the masks 4 bytes further on, fs_state on the side of the byte order, fs_fsmnt 512 bytes.
    image = carried(name, tmp_path)
    age_directories(image)
    make_solaris(image, clean=1)
    if multi_terabyte:
        image.set_field(1372, 0xDECADE)
        image.set_field(1320, 1)
    filesystem = open_image(image.write())
    assert image_listing(filesystem) == expected
    assert filesystem.warnings == []
    assert "solaris" in filesystem.features
    assert ("multi-terabyte" in filesystem.features) == multi_terabyte
    assert "solaris_superblock" in [structure.name for structure in filesystem.structures.listed()]


def make_solaris(image: Patch, clean: int) -> None:
    image.data[8192 + 860 : 8192 + 1356] = bytes(1356 - 860)
    image.put("Q", 8192 + 1340, image.bsize - 1)
    image.put("Q", 8192 + 1348, image.fsize - 1)
    state = (0x7C269D38 - image.field(32)) & 0xFFFFFFFF
    image.set_field(132 if image.order == "<" else 1336, state, "I")
    image.data[8192 + 209] = clean
    image.data[8192 + 211] = 1  # FSLARGEFILES


def test_solaris_states(tmp_path: Path) -> None:
    image = carried("ufs1-le", tmp_path)
    age_directories(image)
    make_solaris(image, clean=0xFD)  # FSLOG
    image.set_field(1324, 900, "I")  # fs_logbno
    image.set_field(4, 1)  # fs_rolled: FS_ALL_ROLLED
    filesystem = open_image(image.write())
    assert filesystem.features == ("solaris", "logging", "largefiles", "little-endian")
    assert filesystem.warnings == []
    image.set_field(4, 2)  # FS_NEED_ROLL
    assert open_image(image.write()).warnings == [
        "the file system was not unmounted cleanly and its journal was not replayed"
    ]
    image.set_field(1324, 0, "I")
    image.set_field(132, 77, "I")  # fs_state says that fs_clean is not to be believed
    assert open_image(image.write()).warnings == ["the file system was not unmounted cleanly"]


def test_solaris_compressed_file_is_refused_by_name(tmp_path: Path) -> None:
    image = carried("ufs1-le", tmp_path)
    number = inode_of(image.image, b"/boot/kernel/kernel")
    age_directories(image)
    make_solaris(image, clean=1)
    image.put("I", image.inode(number) + 100, 4)  # ICOMPRESS
    kernel = open_image(image.write()).walk(b"/boot/kernel/kernel")
    with pytest.raises(UnsupportedFeature, match="fiocompress"):
        list(kernel.runs())


@pytest.mark.parametrize("name", NAMES)
def test_fast_symlinks_of_before_maxsymlinklen(tmp_path: Path, name: str) -> None:
    # A link of 59 bytes lies in the inode; with fs_maxsymlinklen 1 only its lack of blocks tells.
    image = carried(name, tmp_path)
    image.set_field(1320, 1)
    assert open_image(image.write()).walk(b"/links/59", follow=False).target() == b"t" * 58 + b"!"


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (0x002, ("soft-updates",)),
        (0x00A, ("soft-updates", "soft-updates-journal")),
        (0x070, ("acls", "multilabel", "gjournal")),
        (0x502, ("soft-updates", "nfsv4acls", "trim")),
    ],
)
def test_freebsd_flags_are_tolerated_and_shown(tmp_path: Path, flags: int, names: tuple[str, ...]) -> None:
    image = carried("ufs2-le", tmp_path)
    image.set_field(1312, flags)
    filesystem = open_image(image.write())
    assert filesystem.features == (*names, "little-endian")
    assert filesystem.warnings == []


def test_netbsd_journal_and_magic(
    tmp_path: Path,
) -> None:
    image = carried("ufs2-le", tmp_path)
    image.set_field(1372, 0x19012038)
    image.set_field(1312, 0x100)
    image.data[8192 + 864 : 8192 + 866] = b"\x01\x02"  # WAPBL, version 1, within the file system
    image.data[8192 + 209] = 0
    filesystem = open_image(image.write())
    assert filesystem.name == "ufs2"
    assert filesystem.features == ("wapbl", "extended-attributes", "little-endian")
    assert filesystem.warnings == [
        "the file system was not unmounted cleanly and its journal was not replayed"
    ]


@pytest.mark.parametrize("name", NAMES)
def test_not_unmounted_cleanly(tmp_path: Path, name: str, expected: Listing) -> None:
    image = carried(name, tmp_path)
    image.data[8192 + 209] = 0
    filesystem = open_image(image.write())
    assert filesystem.warnings == ["the file system was not unmounted cleanly"]
    assert image_listing(filesystem) == expected


def test_check_hashes(tmp_path: Path) -> None:
    image = carried("ufs2-le", tmp_path)
    image.set_field(1312, 0x200)
    image.set_field(1308, 5)  # the superblock's and the inodes'
    for number in range(2, 40):
        at = image.inode(number)
        if image.mode(number):
            image.put("I", at + 244, crc32c(bytes(image.data[at : at + 256])))
    image.set_field(1304, crc32c(bytes(image.data[8192 : 8192 + image.field(104)])), "I")
    filesystem = open_image(image.write())
    assert filesystem.walk(b"/").kind is Kind.DIRECTORY
    assert filesystem.warnings == []
    image.data[8192 + 680] = 65  # fs_volname
    image.data[image.inode(2) + 4] ^= 1  # di_uid
    filesystem = open_image(image.write())
    assert filesystem.walk(b"/").kind is Kind.DIRECTORY
    assert filesystem.warnings == ["the superblock's check-hash is wrong", "inode 2: its check-hash is wrong"]


@pytest.mark.parametrize("size", [-1, 0, 1375, 8193, 0x7FFFFFFF])
def test_a_check_hash_over_a_size_that_no_superblock_has_is_wrong(tmp_path: Path, size: int) -> None:
    image = carried("ufs2-le", tmp_path)
    image.set_field(1312, 0x200)
    image.set_field(1308, 1)
    image.set_field(104, size)  # fs_sbsize
    filesystem = open_image(image.write())
    assert filesystem.warnings == ["the superblock's check-hash is wrong"]
    superblock = filesystem.structures.find("superblock")
    assert superblock
    superblock.decoder.trace(filesystem.source, superblock.offset)


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["ufs1-be", "ufs1-le"])
def test_heads_of_groups_spread_over_platters(tmp_path: Path, name: str) -> None:
    # cgstart of UFS1 moves group 1 by fs_old_cgoffset; the inodes are copied to where they then belong.
    (tmp_path / "tree" / "many").mkdir(parents=True)
    for number in range(1500):
        (tmp_path / "tree" / "many" / f"{number}").touch()
    order = name[-2:]
    options = "version=1,bsize=4096,fsize=512,density=2048,maxbpcg=512"
    path = makefs(tmp_path / "image", tmp_path / "tree", order, options)
    image = Patch(path, big=order == "be", version=1)
    groups, fpg, ipg, frag = image.field(44), image.field(188), image.field(184), image.frag
    assert groups > 2
    shift = 8 * frag
    length = ipg * 128
    for group in range(groups):
        start = (group * fpg + image.iblkno) * image.fsize
        inodes = bytes(image.data[start : start + length])
        start += shift * (group & 1) * image.fsize
        image.data[start : start + length] = inodes
    image.set_field(24, shift)  # fs_old_cgoffset
    image.set_field(28, ~1)  # fs_old_cgmask
    image.set_field(20, image.field(20) + shift)  # fs_dblkno: room for the moved inodes
    expected = tree_listing(tmp_path / "tree")
    filesystem = open_image(image.write())
    numbers = {node.key for _, node in filesystem.walk(b"/many").entries()}
    assert max(n for n in numbers if isinstance(n, int)) >= ipg
    assert set(image_listing(filesystem)) == set(expected)


def whole(filesystem: Filesystem, path: bytes) -> list[tuple[int, int]]:
    """Return (byte offset, or -1 for a hole; length) of the runs of a file."""
    found = []
    for run in filesystem.walk(path).runs():
        assert not isinstance(run, Inline)
        found.append((-1 if isinstance(run, Hole) else run.offset, run.length))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_holes_and_triple_indirect_blocks(tmp_path: Path, name: str) -> None:
    # Blocks of /boot/kernel/kernel become the indirect blocks of /sparse, which grows beyond double ones.
    image = carried(name, tmp_path)
    kernel, sparse = (inode_of(image.image, path) for path in (b"/boot/kernel/kernel", b"/sparse"))
    nindir = image.bsize // (8 if image.version == 2 else 4)
    blocks = [image.get(image.pointer, image.pointer_at(kernel, index)) for index in range(5)]
    third, second, first, data, _ = blocks
    for pool in (third, second, first):
        at = pool * image.fsize
        image.data[at : at + image.bsize] = bytes(image.bsize)
    width = 8 if image.version == 2 else 4
    image.put(image.pointer, third * image.fsize + width * 2, second)
    image.put(image.pointer, second * image.fsize + width * 3, first)
    image.put(image.pointer, first * image.fsize + width * 5, data, data + image.frag)
    for index in range(15):
        image.put(image.pointer, image.pointer_at(sparse, index), third if index == 14 else 0)
    begin = 12 + nindir + nindir**2 + 2 * nindir**2 + 3 * nindir + 5
    size = (begin + 7) * image.bsize + 1
    image.put("Q", image.size_at(sparse), size)
    filesystem = open_image(image.write())
    assert whole(filesystem, b"/sparse") == [
        (-1, begin * image.bsize),
        (data * image.fsize, 2 * image.bsize),
        (-1, 5 * image.bsize + 1),
    ]
    assert filesystem.walk(b"/sparse").size == size


def test_snapshot_shows_the_file_system_behind_it(tmp_path: Path) -> None:
    # ufs_bmaparray: in a snapshot a hole is the file system's own block, BLK_NOCOPY and BLK_SNAP are zeros.
    image = carried("ufs2-le", tmp_path)
    number = inode_of(image.image, b"/sparse")
    copied = image.get(image.pointer, image.pointer_at(number, 0))
    image.put("I", image.inode(number) + 88, 0x00200000)  # SF_SNAPSHOT
    image.put(image.pointer, image.pointer_at(number, 1), 0, 1, 2, *(0,) * 11)
    image.put("Q", image.size_at(number), 12 * 4096)
    assert whole(open_image(image.write()), b"/sparse") == [
        (copied * 512, 4096),
        (4096, 4096),
        (-1, 8192),
        (4 * 4096, 8 * 4096),
    ]


def test_whiteouts_and_free_entries_are_skipped(tmp_path: Path) -> None:
    image = carried("ufs2-le", tmp_path)
    many = inode_of(image.image, b"/many")
    records = list(image.records(many))
    image.put("I", records[5], 1)  # WINO
    image.data[records[5] + 6] = 14  # DT_WHT
    image.put("I", records[7], 0)
    gone = {bytes(image.data[at + 8 : at + 8 + image.data[at + 7]]) for at in (records[5], records[7])}
    folder = open_image(image.write()).walk(b"/many")
    names = [name for name, _ in folder.entries()]
    assert len(names) == 148
    assert not gone & set(names)
    for name in gone:
        assert folder.lookup(name) is None


@pytest.mark.parametrize("home", [0, 65536, 262144])
@pytest.mark.parametrize("version", [1, 2])
def test_superblock_at_each_of_its_places(tmp_path: Path, home: int, version: int) -> None:
    # The superblock is moved; what it says of the rest of the disk stays, since makefs has but one place.
    if version == 1 and home > 8192:
        pytest.skip("UFS1 has its superblock at 8192 or 0")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"here\n" * 3000)
    path = makefs(tmp_path / "image", tmp_path / "tree", "le", f"version={version},bsize=65536,fsize=8192")
    image = Patch(path, big=False, version=version)
    head = bytes(image.data[8192:16384])
    copy = image.field(8) * image.fsize
    image.data[8192:16384] = bytes(8192)
    image.data[copy : copy + 8192] = bytes(8192)
    image.data[home : home + len(head)] = head
    image.put("q", home + 1000, home)  # fs_sblockloc
    overwritten = open_image(image.write())
    assert overwritten.warnings == []
    assert overwritten.walk(b"/file").read() == b"here\n" * 3000
