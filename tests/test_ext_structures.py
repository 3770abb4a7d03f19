"""The smallest parts of ext and jbd2: structures from a few bytes, hashes, checksums."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from ext_image import carried, debugfs, mke2fs, open_image, run

from pybootcfg import schema
from pybootcfg.checksums import crc16, crc32_be, crc32c, crc32c_records, crc32c_word, crc32c_zeros
from pybootcfg.errors import ImageError, UsageError
from pybootcfg.filesystems.ext.casefold import folded
from pybootcfg.filesystems.ext.hashes import directory_hash

ext = schema.load("ext")
jbd2 = schema.load("jbd2")


def test_sizes_are_those_of_the_headers() -> None:
    sizes = {
        "superblock": 1024,
        "group_descriptor": 32,
        "group_descriptor_64bit": 64,
        "inode": 128,
        "inode_large": 160,
        "extent_header": 12,
        "extent": 12,
        "extent_index": 12,
        "extent_tail": 4,
        "directory_entry": 8,
        "directory_tail": 12,
        "dx_root": 32,
        "dx_node": 8,
        "dx_entry": 8,
        "dx_tail": 8,
        "xattr_entry": 16,
    }
    assert {name: getattr(ext, name).size for name in sizes} == sizes
    sizes = {"superblock": 1024, "header": 12, "tag": 8, "tag_64bit": 12, "tag3": 16, "commit_header": 60}
    assert {name: getattr(jbd2, name).size for name in sizes} == sizes


def test_an_extent_header_and_an_extent() -> None:
    data = bytes.fromhex("0af3 0100 0400 0000 0a000000  05000000 0480 0100 efbeadde")
    header = ext.extent_header.decode(data)
    assert (header.eh_entries, header.eh_max, header.eh_depth, header.eh_generation) == (1, 4, 0, 10)
    extent = ext.extent.decode(data, 12)
    assert (extent.ee_block, extent.ee_len, extent.ee_start_hi) == (5, 0x8004, 1)
    assert extent.ee_start_lo == 0xDEADBEEF
    index = ext.extent_index.decode(data, 12)
    assert (index.ei_block, index.ei_leaf_lo, index.ei_leaf_hi) == (5, 0x00018004, 0xBEEF)
    with pytest.raises(ImageError):
        ext.extent_header.decode(bytes(12))


def test_a_directory_entry_and_a_tail() -> None:
    entry = ext.directory_entry.decode(bytes.fromhex("0c000000 1400 09 01") + b"vmlinuz-6")
    assert entry == (12, 20, 9, 1)
    tail = ext.directory_tail.decode(bytes.fromhex("00000000 0c00 00 de 78563412"))
    assert tail.det_checksum == 0x12345678
    with pytest.raises(ImageError):
        ext.directory_tail.decode(bytes.fromhex("00000000 0c00 00 00 78563412"))


def test_the_root_of_an_index() -> None:
    data = bytes.fromhex(
        "02000000 0c00 01 02 2e000000  02000000 f403 02 02 2e2e0000  00000000 01 08 01 00  7c00 0200"
    )
    root = ext.dx_root.decode(data)
    assert (root.hash_version, root.indirect_levels, root.dotdot.rec_len) == (1, 1, 1012)
    assert ext.dx_countlimit.decode(data, 32) == (124, 2)


def test_journal_blocks_are_big_endian() -> None:
    header = jbd2.header.decode(bytes.fromhex("c03b3998 00000001 00000007"))
    assert header == (jbd2.MAGIC, jbd2.DESCRIPTOR_BLOCK, 7)
    assert jbd2.tag_64bit.decode(bytes.fromhex("00000010 abcd 000a 00000001")) == (16, 0xABCD, 10, 1)
    assert jbd2.tag3.decode(bytes.fromhex("00000010 0000000a 00000001 12345678")) == (16, 10, 1, 0x12345678)
    assert jbd2.revoke_record.array(bytes.fromhex("00000001 00000002"), 2) == (1, 2)


def test_fast_commit_tags_are_little_endian() -> None:
    assert jbd2.fc_tl.decode(bytes.fromhex("0900 0800")) == (jbd2.FC_HEAD, 8)
    added = jbd2.fc_add_range.decode(bytes.fromhex("0c000000 05000000 0400 0100 efbeadde"))
    assert added == (12, 5, 4, 1, 0xDEADBEEF)


#: the check values of "Catalogue of parametrised CRC algorithms" by Greg Cook, for b"123456789"
def test_checksums_of_the_catalogue() -> None:
    message = b"123456789"
    assert crc32c(message) ^ 0xFFFFFFFF == 0xE3069283  # CRC-32/ISCSI
    assert crc16(message) == 0x4B37  # CRC-16/MODBUS
    assert crc16(message, 0) == 0xBB3D  # CRC-16/ARC
    assert crc32_be(message) ^ 0xFFFFFFFF == 0xFC891918  # CRC-32/BZIP2


@pytest.mark.parametrize(
    ("message", "value"),
    [(bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E)],
)
def test_checksums_of_rfc_3720(message: bytes, value: int) -> None:
    assert crc32c(message) ^ 0xFFFFFFFF == value


def bitwise(data: bytes, register: int) -> int:
    """The definition of CRC-32C, a bit at a time."""
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register


def test_long_messages_fold_to_what_single_bits_give() -> None:
    noise = random.Random(7)  # noqa: S311
    for length in (0, 1, 3, 255, 256, 257, 258, 260, 511, 1020, 1024, 4092, 5000):
        data, register = noise.randbytes(length), noise.getrandbits(32)
        assert crc32c(data, register) == bitwise(data, register)
        half = length // 3
        assert crc32c(data[half:], crc32c(data[:half], register)) == crc32c(data, register)
    data = noise.randbytes(4096)
    for size in (4, 8, 128, 256, 4096):
        expected = [bitwise(data[start : start + size], 0) for start in range(0, 4096, size)]
        assert crc32c_records(data, size) == expected
    assert crc32c_zeros(0x12345678, 1000) == bitwise(bytes(1000), 0x12345678)
    assert crc32c_word(0x64636261, 0xFFFFFFFF) == bitwise(b"abcd", 0xFFFFFFFF)


@pytest.mark.parametrize(("length", "size"), [(0, 4), (8, 3), (12, 8), (8, 2)])
def test_records_have_a_size_that_can_be_folded(length: int, size: int) -> None:
    with pytest.raises(UsageError):
        crc32c_records(bytes(length), size)


def test_hashes_are_those_of_debugfs(tmp_path: Path) -> None:
    image = mke2fs(tmp_path / "i", "-t", "ext2", size="1M")
    noise = random.Random(8)  # noqa: S311
    names = ["a", "lost+found", "x" * 31, "y" * 32, "z" * 33, "q" * 255, "é", "ÿ" * 120]
    names += ["".join(noise.choices("abcdef.-_0123äß", k=noise.randrange(1, 100))) for _ in range(20)]
    names = [name for name in names if not name.startswith("-")]
    seeds = {
        "": (0, 0, 0, 0),
        "-s 01020304-0506-0708-090a-0b0c0d0e0f10": (0x04030201, 0x08070605, 0x0C0B0A09, 0x100F0E0D),
    }
    cases = [(version, seed, name) for version in range(6) for seed in seeds for name in names]
    output = debugfs(image, *(f"dx_hash -h {version} {seed} {name}" for version, seed, name in cases))
    hashes = [
        int(line.rsplit(" is ")[-1].split()[0], 16)
        for line in output.splitlines()
        if line.startswith("Hash of")
    ]
    assert [directory_hash(name.encode(), version, seeds[seed]) for version, seed, name in cases] == hashes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("GRUB.CFG", "grub.cfg"),
        ("Straße", "STRASSE"),
        ("É", "e\u0301"),
        ("ﬁ", "FI"),
        ("a\u200db", "AB"),
        ("Σ", "ς"),
    ],
)
def test_names_that_are_the_same_but_for_case(one: str, other: str) -> None:
    assert folded(one.encode()) == folded(other.encode())


def test_what_is_not_utf8_stays_as_it_is() -> None:
    assert folded(b"A\xff") == b"A\xff"
    assert folded(b"A") != folded(b"B")


@pytest.mark.parametrize("name", ["ext2-1k", "ext4-default", "ext4-dirty"])
def test_structures_are_traced_without_damage(name: str, tmp_path: Path) -> None:
    filesystem = open_image(carried(name, tmp_path))
    structures = list(filesystem.structures.listed())
    names = [structure.name for structure in structures]
    assert names[0] == "superblock"
    assert ("journal.superblock" in names) == (name != "ext2-1k")
    assert {"inode[2]", "group[0].descriptor"} <= set(names)
    for structure in structures:
        field = structure.decoder.trace(filesystem.source, structure.offset)
        assert not field.damaged()
        found = filesystem.structures.find(structure.name)
        assert found
        assert (found.name, found.decoder.name, found.offset) == (
            structure.name,
            structure.decoder.name,
            structure.offset,
        )
    assert filesystem.structures.find("inode[12]") is not None
    for wrong in (
        "inode[0]",
        "inode[99999999]",
        "inode[x]",
        "group[9999].descriptor",
        "group[0]",
        "nothing",
        "inode[2].x",
    ):
        assert filesystem.structures.find(wrong) is None


@pytest.fixture
def shown(tmp_path: Path) -> Callable[[str], str]:
    return lambda command: debugfs(carried("ext4-default", tmp_path), command)


def test_fields_are_those_of_dumpe2fs(tmp_path: Path, shown: Callable[[str], str]) -> None:
    image = carried("ext4-default", tmp_path)
    shown("stats")  # skips without debugfs
    lines = dict(line.split(":", 1) for line in run("dumpe2fs", "-h", image).splitlines() if ":" in line)
    record = open_image(image).superblock.record
    for label, value in {
        "Inode count": record.s_inodes_count,
        "Block count": record.s_blocks_count_lo,
        "Free blocks": record.s_free_blocks_count_lo,
        "First block": record.s_first_data_block,
        "Blocks per group": record.s_blocks_per_group,
        "Inodes per group": record.s_inodes_per_group,
        "Inode size": record.s_inode_size,
        "Group descriptor size": record.s_desc_size,
        "First inode": record.s_first_ino,
        "Journal inode": record.s_journal_inum,
        "Checksum": f"0x{record.s_checksum:08x}",
    }.items():
        assert lines[label].split()[0] == str(value), label
    assert (
        lines["Directory Hash Seed"].strip().replace("-", "")
        == b"".join(word.to_bytes(4, "little") for word in record.s_hash_seed).hex()
    )
