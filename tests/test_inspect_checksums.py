"""Checksums in what `inspect` shows: right on what the reference tools wrote, wrong after a changed byte."""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from inspect_tools import needs
from ufs_image import crc32c

from pybootcfg import places, schema
from pybootcfg.cli import commands
from pybootcfg.guest import Guest
from pybootcfg.structures import Checked
from pybootcfg.tracing import Field

Unpack = Callable[[str], Path]


_OPEN: list[Guest] = []


def _guest(image: Path) -> Guest:
    _OPEN.append(commands.open_guest(commands._parser().parse_args(["inspect", str(image)])))
    return _OPEN[-1]


@pytest.fixture(autouse=True)
def closed_again() -> Iterator[None]:
    yield
    for disk in [disk for guest in _OPEN for disk in guest.disks]:
        disk.source.close()  # type: ignore[attr-defined]  # a file
    _OPEN.clear()


def _checked(image: Path) -> Iterator[tuple[str, str, Field]]:
    """Yield the name of the schema, the path and the field of everything of an image that was compared."""
    for structure in places.structures(_guest(image)):
        if isinstance(structure.decoder, Checked):
            for path, leaf in structure.decoder.trace(structure.source, structure.offset).leaves():
                if leaf.valid is not None and path in structure.decoder.expected(
                    structure.source, structure.offset
                ):
                    yield structure.decoder.name, path, leaf


#: images that the project carries, and what must be found right in them
CARRIED = {
    "ext/ext4-default.img": {
        ("superblock", "s_checksum"),
        ("group_descriptor_64bit", "bg_checksum"),
        ("group_descriptor_64bit", "bg_block_bitmap_csum_lo"),
        ("group_descriptor_64bit", "bg_block_bitmap_csum_hi"),
        ("group_descriptor_64bit", "bg_inode_bitmap_csum_lo"),
        ("inode_large", "l_i_checksum_lo"),
        ("inode_large", "i_checksum_hi"),
        ("directory_tail", "det_checksum"),
    },
    "fat/fat16.img": {("long_name_entry", "ldir_chksum")},
    "fat/exfat.img": {
        ("boot_checksum", "[0]"),
        ("boot_checksum", "[127]"),
        ("file_entry", "set_checksum"),
        ("upcase_table_entry", "table_checksum"),
    },
    "iso/xorriso-plain.iso": set(),
    "partitions/gpt.img": {("header", "header_crc32"), ("header", "partition_entry_array_crc32")},
    "partitions/gpt-hybrid.img": {("header", "header_crc32")},
    "partitions/bsd.img": {("disklabel", "d_checksum")},
    "partitions/sparc.img": {("sparc_label", "dkl_cksum")},
    "zfs/checksums-v5000.d0.img": {("zio_eck", "zec_cksum[0]"), ("zio_eck", "zec_cksum[3]")},
}


@pytest.mark.parametrize("name", CARRIED)
def test_what_the_reference_tools_wrote_is_right(name: str, disk: Unpack) -> None:
    found = list(_checked(disk(name)))
    assert {(schema_name, path) for schema_name, path, _ in found} >= CARRIED[name]
    assert [(path, leaf.error) for _, path, leaf in found if not leaf.valid] == []


def _made(tmp_path: Path, *options: str) -> Path:
    """Make an ext4 with a directory large enough for an index, and blocks of extents and of attributes."""
    image, tree = tmp_path / "disk", tmp_path / "tree"
    (tree / "many").mkdir(parents=True)
    for number in range(400):
        (tree / "many" / f"a long name for file number {number}").touch()
    subprocess.run(
        [needs("mke2fs"), "-q", "-t", "ext4", "-b", "1024", *options, "-d", tree, image, "8M"], check=True
    )
    shutil.rmtree(tree)
    block = bytes(1024)
    commands_ = []
    for number in range(8):  # with a hole behind each block: more extents than an inode has room for
        (tmp_path / "block").write_bytes(block)
        commands_.append(f"write {tmp_path / 'block'} f{number}")
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        for number in range(16):
            file.seek(number * 4096)
            file.write(b"x" * 1024)
    (tmp_path / "attribute").write_bytes(b"v" * 600)
    commands_ += [f"write {sparse} sparse", f"ea_set -f {tmp_path / 'attribute'} sparse user.large"]
    script = tmp_path / "script"
    script.write_text("\n".join(commands_) + "\n")
    subprocess.run([needs("debugfs"), "-w", "-f", script, image], check=True, capture_output=True)
    subprocess.run([needs("e2fsck"), "-fyD", image], check=False, capture_output=True)
    assert subprocess.run([needs("e2fsck"), "-fn", image], check=False, capture_output=True).returncode == 0
    return image


def test_every_kind_of_an_ext4_is_right(tmp_path: Path) -> None:
    found = list(_checked(_made(tmp_path, "-O", "metadata_csum,64bit")))
    assert [(path, leaf.error) for _, path, leaf in found if not leaf.valid] == []
    kinds = Counter(name for name, _, _ in found)
    assert kinds.keys() >= {
        "superblock",
        "group_descriptor_64bit",
        "inode_large",
        "directory_tail",
        "dx_tail",
        "extent_tail",
        "xattr_header",
    }


def test_descriptors_without_metadata_csum_have_a_crc16(tmp_path: Path) -> None:
    found = list(_checked(_made(tmp_path, "-O", "^metadata_csum,uninit_bg")))
    assert {(name, path) for name, path, leaf in found if leaf.valid} == {
        ("group_descriptor_64bit", "bg_checksum")
    }


def test_small_inodes_have_half_a_checksum(tmp_path: Path) -> None:
    found = list(_checked(_made(tmp_path, "-I", "128", "-O", "metadata_csum")))
    assert all(leaf.valid for _, _, leaf in found)
    assert ("inode", "l_i_checksum_lo") in {(name, path) for name, path, _ in found}


#: image, the byte that is changed, the place that then is wrong, and its field
CHANGED = [
    ("ext/ext4-default.img", 1024 + 0x78, "p0.superblock", "s_checksum"),
    ("partitions/gpt.img", 512 + 56, "gpt.header", "header_crc32"),
    ("partitions/gpt.img", 1024 + 56, "gpt.header", "partition_entry_array_crc32"),
    ("fat/exfat.img", 0x64, "p0.boot_checksum", "[0]"),
    ("zfs/checksums-v5000.d0.img", (16 << 10) + 99, "p0.zfs.label[0].checksum", "[0]"),
]


@pytest.mark.parametrize(("name", "offset", "place", "field"), CHANGED)
def test_a_changed_byte_makes_a_checksum_wrong(
    name: str,
    offset: int,
    place: str,
    field: str,
    disk: Unpack,
    inside: Callable[..., tuple[int, str]],
) -> None:
    image = disk(name)
    right = next(leaf.value for _, path, leaf in _checked(image) if path.endswith(field))
    with image.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    status, text = inside(str(image), place)
    assert status == 4
    line = next(line for line in text.splitlines() if f" {field}: " in line)
    assert f"{right:#x} (invalid: 0x" in line
    assert line.endswith(" expected)")


def test_check_hashes_of_ufs(disk: Unpack) -> None:
    """FreeBSD 12 writes them; makefs, which made the image, leaves them out."""
    image = disk("ufs/ufs2-le.img")
    layout = schema.load("ufs")
    data = bytearray(image.read_bytes())
    start = next(one.offset for one in places.structures(_guest(image)) if one.name == "p0.superblock")
    record = layout.superblock.little.decode(data, start)

    def put(schema_: Any, place: int, **values: int) -> None:
        at = place
        for part in schema_.subcons:
            if part.name in values:
                data[at : at + part.sizeof()] = values[part.name].to_bytes(part.sizeof(), "little")
            at += part.sizeof()

    flags = layout.FS_METACKHASH | record.fs_flags
    put(layout.superblock.schema, start, fs_flags=flags, fs_metackhash=7, fs_ckhash=0)
    put(layout.superblock.schema, start, fs_old_flags=record.fs_old_flags | layout.FS_FLAGS_UPDATED)
    put(layout.superblock.schema, start, fs_ckhash=crc32c(data[start : start + record.fs_sbsize]))
    group = record.fs_cblkno * record.fs_fsize
    put(layout.cg.schema, group, cg_ckhash=0)
    put(layout.cg.schema, group, cg_ckhash=crc32c(data[group : group + record.fs_cgsize]))
    root = record.fs_iblkno * record.fs_fsize + layout.ROOTINO * layout.ufs2_dinode.little.size
    put(layout.ufs2_dinode.schema, root, di_ckhash=0)
    put(layout.ufs2_dinode.schema, root, di_ckhash=crc32c(data[root : root + 256]))
    image.write_bytes(data)
    found = places.structures(_guest(image))
    wanted = {"p0.superblock", "p0.group[0].cg", f"p0.inode[{layout.ROOTINO}]"}
    valid = {
        structure.name: [
            leaf.valid
            for path, leaf in structure.decoder.trace(structure.source, structure.offset).leaves()
            if path.endswith("_ckhash")
        ]
        for structure in found
        if structure.name in wanted
    }
    assert valid == {name: [True] for name in wanted}


def test_what_cannot_be_read_is_not_compared(disk: Unpack) -> None:
    image = disk("fat/exfat.img")
    os.truncate(image, 11 * 512 + 512)  # the boot region is there, and nothing else
    decoder = Checked(
        schema.load("exfat").boot_sector, lambda source, _: {"jump_boot": source.read(1 << 40, 1)[0]}
    )
    source = _guest(image).disks[0].source
    assert all(leaf.valid is None for _, leaf in decoder.trace(source, 0).leaves())


def test_a_header_that_is_gone_has_no_checksum(disk: Unpack) -> None:
    image = disk("partitions/gpt.img")
    header = next(one for one in places.structures(_guest(image)) if one.name == "gpt.header")
    assert isinstance(header.decoder, Checked)
    assert header.decoder.expected(header.source, header.offset).keys() == {
        "header_crc32",
        "partition_entry_array_crc32",
    }
    assert header.decoder.expected(header.source, header.offset + 4096) == {}
