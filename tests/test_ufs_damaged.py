"""Damaged UFS images, each named by its fault: a clear error or the right file, in bounded time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clock import seconds_used
from ufs_image import CARRIED, Patch, carried, image_listing, inode_of, open_image

from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded, UnsupportedFeature
from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Options
from pybootcfg.source import FileSource

NAMES = ["ufs1-be", "ufs1-le", "ufs2-be", "ufs2-le"]
KERNEL = b"/boot/kernel/kernel"


@pytest.fixture(autouse=True)
def in_bounded_time() -> Iterator[None]:
    begin = seconds_used()
    yield
    assert seconds_used() - begin < 10


@pytest.fixture(params=NAMES)
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Patch:
    patch = carried(request.param, tmp_path)
    patch.expected = json.loads((CARRIED / f"{request.param}.json").read_text())["files"]
    return patch


def read_kernel(patch: Patch) -> bytes:
    return open_image(patch.write()).walk(KERNEL).read()


# --- directories ---------------------------------------------------------------------------------


class Damaged:
    """The directory /many with its 60th entry changed; the names before the change, by where they lie."""

    def __init__(self, image: Patch, change: Callable[[int], None]) -> None:
        self.names = {
            at: bytes(image.data[at + 8 : at + 8 + image.data[at + 7]])
            for at in image.records(inode_of(image.image, b"/many"))
        }
        self.at = list(self.names)[60]
        self.name = self.names[self.at]
        change(self.at)
        self.filesystem = open_image(image.write())
        self.folder = self.filesystem.walk(b"/many")

    def check(self, lost_up_to: int) -> None:
        """Check that what lies from the changed entry up to an offset is lost, and nothing else."""
        left = [
            n for at, n in self.names.items() if not self.at <= at < lost_up_to and n not in (b".", b"..")
        ]
        assert [name for name, _ in self.folder.entries()] == left
        assert any("is damaged" in warning for warning in self.filesystem.warnings)
        for name in left:
            assert self.folder.lookup(name) is not None
        assert self.folder.lookup(b"nowhere") is None

    def check_block(self) -> None:
        """Check that the rest of its DIRBLKSIZ is lost, and that asking for it is an error."""
        self.check(self.at // 512 * 512 + 512)
        with pytest.raises(ImageError, match="the directory is damaged where the name is"):
            self.folder.lookup(self.name)


@pytest.mark.parametrize(
    ("fault", "d_reclen"), [("0", 0), ("past the block", 0xFFFC), ("not of four", 13), ("under eight", 4)]
)
def test_d_reclen(image: Patch, fault: str, d_reclen: int) -> None:
    assert fault
    Damaged(image, lambda at: image.put("H", at + 4, d_reclen)).check_block()


def test_d_namlen_past_d_reclen(image: Patch) -> None:
    damaged = Damaged(image, lambda at: image.put("B", at + 7, 200))
    damaged.check(damaged.at + 1)
    with pytest.raises(ImageError, match="the directory is damaged where the name is"):
        damaged.folder.lookup(damaged.name)


@pytest.mark.parametrize("byte", [b"/", b"\0"])
def test_name_with_a_separator(image: Patch, byte: bytes) -> None:
    damaged = Damaged(image, lambda at: image.put("B", at + 9, byte[0]))
    damaged.check(damaged.at + 1)


def test_inode_0(image: Patch) -> None:
    damaged = Damaged(image, lambda at: image.put("I", at, 0))
    assert damaged.folder.lookup(damaged.name) is None
    assert damaged.name not in [name for name, _ in damaged.folder.entries()]
    assert damaged.filesystem.warnings == []


@pytest.mark.parametrize("number", [0x00FFFFFF, 0xFFFFFFFF])
def test_inode_over_range(image: Patch, number: int) -> None:
    damaged = Damaged(image, lambda at: image.put("I", at, number))
    node = damaged.folder.lookup(damaged.name)
    assert node is not None
    with pytest.raises(ImageError, match=f"inode {number} does not exist"):
        _ = node.kind


# --- inodes --------------------------------------------------------------------------------------


def test_inode_not_in_use(image: Patch) -> None:
    image.put("H", image.inode(inode_of(image.image, KERNEL)), 0)
    with pytest.raises(ImageError, match="not in use"):
        read_kernel(image)


def test_inode_of_no_known_type(image: Patch) -> None:
    image.put("H", image.inode(inode_of(image.image, KERNEL)), 0o030644)
    with pytest.raises(ImageError, match="no known type"):
        read_kernel(image)


def test_size_2_62(image: Patch) -> None:
    image.put("Q", image.size_at(inode_of(image.image, KERNEL)), 1 << 62)
    with pytest.raises(ImageError, match="more than its pointers can reach"):
        read_kernel(image)


def test_directory_of_2_40_bytes(image: Patch) -> None:
    image.put("Q", image.size_at(inode_of(image.image, b"/many")), 1 << 36)
    with pytest.raises(LimitExceeded, match="directory-size"):
        list(open_image(image.write()).walk(b"/many").entries())


def test_symbolic_link_of_2_20_bytes(image: Patch) -> None:
    image.put("Q", image.size_at(inode_of(image.image, b"/links/1000")), 1 << 20)
    with pytest.raises(LimitExceeded, match="path-length"):
        open_image(image.write()).walk(b"/links/1000")


# --- block pointers ------------------------------------------------------------------------------


@pytest.mark.no_cover
@pytest.mark.parametrize("index", [0, 5, 12])
@pytest.mark.parametrize("value", [0x7FFFFFFF, 0xFFFFFFFF, 1 << 62, 2**64 - 1])
def test_pointer_beyond_the_device(image: Patch, index: int, value: int) -> None:
    kernel = inode_of(image.image, KERNEL)
    value &= 2**64 - 1 if image.version == 2 else 2**32 - 1
    if not value:
        pytest.skip("it is a hole in 32 bits")
    image.put(image.pointer, image.pointer_at(kernel, index), value)
    with pytest.raises(ImageError, match=f"inode {kernel}: fragments {value} to"):
        read_kernel(image)


def test_indirect_block_that_points_to_itself(image: Patch) -> None:
    kernel = inode_of(image.image, KERNEL)
    first = image.get(image.pointer, image.pointer_at(kernel, 12))
    nindir = image.bsize // (8 if image.version == 2 else 4)
    image.put(image.pointer, first * image.fsize, *(first,) * nindir)
    image.put(image.pointer, image.pointer_at(kernel, 13), first, first)
    image.put("Q", image.size_at(kernel), (12 + nindir + nindir**2 + nindir**3) * image.bsize)
    with pytest.raises(ImageError, match=r"points back to itself|claims more than the \d+ blocks"):
        list(open_image(image.write()).walk(KERNEL).runs())


def test_indirect_blocks_that_share_one_another(image: Patch) -> None:
    # No loop, but nindir ** 3 ways through three blocks.
    kernel = inode_of(image.image, KERNEL)
    nindir = image.bsize // (8 if image.version == 2 else 4)
    blocks = [image.get(image.pointer, image.pointer_at(kernel, index)) for index in range(4)]
    for above, below in itertools.pairwise(blocks):
        image.put(image.pointer, above * image.fsize, *(below,) * nindir)
    image.put(image.pointer, image.pointer_at(kernel, 12), 0, 0, blocks[0])
    image.put("Q", image.size_at(kernel), (12 + nindir + nindir**2 + nindir**3) * image.bsize)
    with pytest.raises(ImageError, match="claims more than"):
        list(open_image(image.write()).walk(KERNEL).runs())


# --- superblocks ---------------------------------------------------------------------------------

#: fault: (offset in struct fs, code, value, what the error says)
FAULTS = {
    "bsize 0": (48, "i", 0, "fs_bsize is 0"),
    "bsize negative": (48, "i", -8192, "fs_bsize is -8192"),
    "bsize 2^30": (48, "i", 1 << 30, "fs_bsize is 1073741824"),
    "fsize 0": (52, "i", 0, "fs_fsize is 0"),
    "fsize 3": (52, "i", 3, "fs_fsize is 3"),
    "frag 0": (56, "i", 0, "fs_frag is 0"),
    "bshift 63": (80, "i", 63, "fs_bshift is 63"),
    "fshift -1": (84, "i", -1, "fs_fshift is -1"),
    "fragshift 31": (96, "i", 31, "fs_fragshift is 31"),
    "fsbtodb 40": (100, "i", 40, "fs_fsbtodb is 40"),
    "nindir 0": (116, "i", 0, "fs_nindir is 0"),
    "inopb 0": (120, "i", 0, "fs_inopb is 0"),
    "ncg 0": (44, "i", 0, "0 cylinder groups"),
    "ipg 0": (184, "i", 0, "0 inodes each"),
    "ipg 2^31": (184, "I", 1 << 31, "too many inodes"),
    "fpg 0": (188, "i", 0, "of 0 fragments"),
    "fpg negative": (188, "i", -1, "of -1 fragments"),
    "iblkno beyond the group": (16, "i", 0x7FFFFFF0, "not in order within a group"),
    "cblkno 0": (12, "i", 0, "not in order within a group"),
    "dblkno negative": (20, "i", -5, "not in order within a group"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_superblock_fault(image: Patch, fault: str) -> None:
    offset, code, value, message = FAULTS[fault]
    copy = image.copy
    image.set_field(offset, value, code)
    filesystem = open_image(image.write())
    (warning,) = filesystem.warnings
    assert message in warning
    assert f"its copy at byte {copy:#x} is used" in warning
    assert image_listing(filesystem) == image.expected
    image.put(code, copy + offset, value)  # now there is no sound superblock left
    with pytest.raises(ImageError, match="superblock at byte 0x2000") as caught:
        open_image(image.write())
    assert message in str(caught.value)


@pytest.mark.parametrize("size", [0, -1, -(2**63), 2**63 - 1, 1])
def test_superblock_size(image: Patch, size: int) -> None:
    if image.version == 2:
        image.set_field(1080, size, "q")
    else:
        image.set_field(36, size & 0xFFFFFFFF, "I")
    filesystem = open_image(image.write())
    assert "does not fit" in filesystem.warnings[0]
    assert image_listing(filesystem) == image.expected


@pytest.mark.parametrize("offset", [24, 28])
def test_cylinder_group_offsets(image: Patch, offset: int) -> None:
    # fs_old_cgoffset and fs_old_cgmask count in UFS1 only, and not for group 0.
    image.set_field(offset, 0x7FFFFFFF)
    filesystem = open_image(image.write())
    assert image_listing(filesystem) == image.expected


def test_superblock_zeroed(image: Patch) -> None:
    image.data[8192:16384] = bytes(8192)
    filesystem = open_image(image.write())
    assert filesystem.warnings == [f"the superblock is missing; its copy at byte {image.copy:#x} is used"]
    assert image_listing(filesystem) == image.expected


def test_all_superblocks_zeroed(image: Patch) -> None:
    image.data[8192:16384] = bytes(8192)
    start = image.copy
    image.data[start : start + 8192] = bytes(8192)
    assert open_filesystem(FileSource.open(image.write()), Options()) is None


def test_a_stale_copy_does_not_hide_what_came_later(image: Patch) -> None:
    image.data[8192:16384] = bytes(8192)
    image.data[4086:4096] = b"SWAPSPACE2"
    with pytest.raises(UnsupportedFeature, match="swap"):
        open_image(image.write())


def test_copy_of_a_file_system_in_a_file_is_not_taken(image: Patch) -> None:
    # The content of a file is a superblock, but where it lies no group has its copy.
    kernel = inode_of(image.image, KERNEL)
    inner = image.block(kernel, 0)
    inner += -inner % 4096
    image.data[inner : inner + 1376] = image.data[8192 : 8192 + 1376]
    image.set_field(48, 0)
    image.put("i", image.copy + 48, 0)
    with pytest.raises(ImageError, match="fs_bsize is 0"):
        open_image(image.write())


def test_newfs_did_not_finish(image: Patch) -> None:
    image.set_field(1372, 0x19960408)
    with pytest.raises(UnsupportedFeature, match="newfs did not finish"):
        open_image(image.write())


@pytest.mark.parametrize("magic", [0x00095014, 0x00612195, 0x00195612, 0x05231994])
def test_hpux_is_refused_by_name(image: Patch, magic: int) -> None:
    image.set_field(1372, magic)
    with pytest.raises(UnsupportedFeature, match="HP-UX"):
        open_image(image.write())


# --- the whole image -----------------------------------------------------------------------------


@pytest.mark.parametrize("length", [9000, 9568, 20_000, 100_000, 300_000])
def test_truncated(image: Patch, length: int) -> None:
    image.image.write_bytes(image.data[:length])
    try:
        filesystem = open_image(image.image)
    except AssertionError:
        assert length < 9568  # not even the magic is there
        return
    except ImageError:
        return
    assert "only" in filesystem.warnings[0]
    try:
        content = filesystem.walk(KERNEL).read()
    except ImageError:
        return
    assert content == b"".join(b"kernel %07d\n" % number for number in range(20000))


@pytest.mark.no_cover
def test_any_byte_of_the_metadata(image: Patch) -> None:
    # Every 41st byte of superblock, copy, inodes and first directories: no other error than ours.
    image.data[:] = image.data[: 1 << 19]
    sound = bytes(image.data)
    for at in (*range(8192, 8192 + 1376, 13), *range(image.inode(2), image.inode(60), 41)):
        image.data[at] ^= 0xFF
        try:
            filesystem = open_image(image.write())
            for name, node in filesystem.root.entries():
                assert name
                try:
                    assert str(node.kind)
                    if str(node.kind) == "file":
                        assert sum(1 for _ in node.runs()) < 100_000
                except BootcfgError:
                    pass
        except BootcfgError:
            pass
        image.data[:] = sound


# --- what a kernel notes of damage -------------------------------------------------------------------------


def test_a_kernel_that_found_damage_is_believed(image: Patch) -> None:
    """fs_flags, FS_NEEDSFSCK; and flags that nobody knows are named by their bits."""
    at = 1312  # fs_flags of <ufs/ffs/fs.h>, which counts where fs_old_flags has FS_FLAGS_UPDATED
    image.put("B", image.home + 211, image.get("B", image.home + 211) | 0x80)
    image.set_field(at, image.field(at, "I") | 0x4 | 0x4000_0000, "I")
    filesystem = open_image(image.write())
    assert any("fsck is needed" in warning for warning in filesystem.warnings)
    assert "unknown-0x40000000" in filesystem.features
    assert image_listing(filesystem) == image.expected


def test_a_directory_with_a_hole(image: Patch) -> None:
    """Linux and FreeBSD warn and go on behind it."""
    number = inode_of(image.image, b"/many")
    last = (image.get("Q", image.size_at(number)) - 1) // image.bsize
    image.put(image.pointer, image.pointer_at(number, last), 0)
    filesystem = open_image(image.write())
    names = [name for name, _ in filesystem.walk(b"/many").entries()]
    assert bool(names) == (last > 0)
    assert any("has a hole" in warning for warning in filesystem.warnings)


def test_a_size_beyond_all_pointers(image: Patch) -> None:
    number = inode_of(image.image, KERNEL)
    image.put("Q", image.size_at(number), 1 << 62)
    filesystem = open_image(image.write())
    with pytest.raises((ImageError, LimitExceeded)):
        for _ in filesystem.walk(KERNEL).runs():
            pass


# --- structures --------------------------------------------------------------------------------------------


def test_a_group_that_is_cut_off_has_inodes_that_cannot_be_told(image: Patch) -> None:
    del image.data[image.field(12) * image.fsize :]  # fs_cblkno
    names = [structure.name for structure in open_image(image.write()).structures.every()]
    assert [name for name in names if name.startswith("group")] == ["group[0].inodes.fault"]


def test_groups_that_a_small_device_cannot_have_are_not_gone_through(image: Patch) -> None:
    groups = 0x7FFFFFFF
    if image.version == 1:  # fs_old_size has 32 bits
        groups //= image.field(188)
    image.set_field(44, groups)  # fs_ncg
    place, code = (1080, "q") if image.version == 2 else (36, "i")  # fs_size, fs_old_size
    image.set_field(place, groups * image.field(188), code)  # fs_fpg
    filesystem = open_image(image.write())
    assert "the superblock is damaged" not in str(filesystem.warnings)
    for structures in (filesystem.structures.listed(), filesystem.structures.every()):
        names = [structure.name for structure in structures]
        assert "inode[2]" in names
        assert [name for name in names if name.startswith("group[") and not name.startswith("group[0]")] == []


def test_a_group_without_room_for_its_bitmap_has_no_inodes_to_show(image: Patch) -> None:
    assert "inode[2]" in {structure.name for structure in open_image(image.write()).structures.every()}
    image.put("I", image.field(12) * image.fsize + 92, 0)  # cg_iusedoff: within the head
    names = [structure.name for structure in open_image(image.write()).structures.every()]
    assert "group[0].fragment_bitmap" in names
    assert not any(name.startswith(("group[0].inode", "inode[2]")) for name in names)


def test_a_summary_beyond_the_device_is_not_shown(image: Patch) -> None:
    structures = open_image(image.write()).structures
    place, code = (1096, "q") if image.version == 2 else (152, "i")  # fs_csaddr, fs_old_csaddr
    summary = structures.find("summary")
    assert summary
    assert summary.offset == image.field(place, code) * image.fsize
    image.set_field(place, 0x7FFFFFFF, code)
    assert open_image(image.write()).structures.find("summary") is None


def test_whose_byte_it_is(image: Patch) -> None:
    owner = open_image(image.write()).structures.owner
    assert owner(image.home) == "superblock"
    assert owner(image.field(12) * image.fsize + 4) == "group[0].cg"
    assert owner(image.inode(2)) == "inode[2]"
    assert owner(1 << 50) == ""
    assert owner(-1) == ""


def test_damage_is_a_fault_of_its_own_in_inspect(image: Patch) -> None:
    kernel, many = (inode_of(image.image, path) for path in (KERNEL, b"/many"))
    at = list(image.records(many))[60]
    image.put("H", at + 4, 3)  # d_reclen
    image.put("H", image.inode(kernel), 0o644)  # di_mode: of no type
    names = [structure.name for structure in open_image(image.write()).structures.every()]
    assert f"inode[{kernel}].fault" in names
    assert len([name for name in names if name.startswith(f"inode[{many}]") and name.endswith(".fault")]) == 1
    assert f"inode[{kernel + 1}]" in names
