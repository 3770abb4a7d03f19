"""Damaged, looping and lying partition tables, built from the schemas field by field."""

from __future__ import annotations

import functools
import operator
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded
from pybootcfg.formats import disklabel, gpt, mbr, vtoc
from pybootcfg.source import MemorySource
from pybootcfg.volumes import Table, boot_order, read_table

MIB = 1 << 20
LINUX = bytes.fromhex("af3dc60f838472478e793d69d8477de4")  # 0FC63DAF-8483-4772-8E79-3D69D8477DE4
EXT_MAGIC = (0x438, b"\x53\xef")


def entry(start: int = 0, size: int = 0, kind: int = 0x83, status: int = 0) -> dict[str, Any]:
    return {
        "boot_indicator": status,
        "starting_chs": bytes(3),
        "os_type": kind if size else 0,
        "ending_chs": bytes(3),
        "starting_lba": start,
        "size_in_lba": size,
    }


def record(*entries: dict[str, Any], code: bytes = b"") -> bytes:
    slots = [*entries, *[entry()] * (4 - len(entries))]
    fields = {"boot_code": code.ljust(440, b"\0"), "unique_mbr_disk_signature": 0x1234ABCD, "unknown": 0}
    built: bytes = mbr.mbr.build({**fields, "partition_record": slots, "signature": None})
    return built


def boot_record(*entries: dict[str, Any]) -> bytes:
    slots = [*entries, *[entry()] * (4 - len(entries))]
    built: bytes = mbr.ebr.build({"unused": bytes(446), "partition_record": slots, "signature": None})
    return built


class Disk:
    """A disk in memory that is written piece by piece."""

    def __init__(self, size: int = 4 * MIB) -> None:
        self.data = bytearray(size)

    def put(self, offset: int, data: bytes) -> Disk:
        self.data[offset : offset + len(data)] = data
        return self

    def read(self, **options: int) -> Table:
        return read_table(MemorySource(bytes(self.data), "disk"), **options)


def places(table: Table, unit: int = 512) -> list[tuple[int, int]]:
    return [(v.start // unit, v.size // unit) for v in table.volumes]


# --- GPT -----------------------------------------------------------------------------------------

PROTECTIVE = entry(1, 0xFFFFFFFF, 0xEE)


def gpt_entries(*used: tuple[int, int], count: int = 128, size: int = 128) -> bytes:
    """Return an array of entries; `used` gives the first and last LBA of the first slots."""
    data = bytearray(count * size)
    for slot, (first, last) in enumerate(used):
        built = gpt.partition_entry.build(
            {
                "partition_type_guid": LINUX,
                "unique_partition_guid": bytes([slot + 1]) * 16,
                "starting_lba": first,
                "ending_lba": last,
                "attributes": 0,
                "partition_name": f"slot {slot}".encode("utf-16-le").ljust(72, b"\0"),
            }
        )
        data[slot * size : slot * size + len(built)] = built
    return bytes(data)


def gpt_header(entries: bytes, *, seal: bool = True, **changes: Any) -> bytes:
    """Return a header of a 4 MiB disk with its checksum, unless `seal` is false."""
    fields = {
        "signature": None,
        "revision": gpt.REVISION,
        "header_size": 92,
        "header_crc32": 0,
        "reserved": 0,
        "my_lba": 1,
        "alternate_lba": 8191,
        "first_usable_lba": 34,
        "last_usable_lba": 8158,
        "disk_guid": bytes(16),
        "partition_entry_lba": 2,
        "number_of_partition_entries": 128,
        "size_of_partition_entry": 128,
        "partition_entry_array_crc32": zlib.crc32(entries),
        **changes,
    }
    if seal:
        fields["header_crc32"] = zlib.crc32(gpt.header.build(fields))
    built: bytes = gpt.header.build(fields)
    return built


def gpt_disk(entries: bytes, *, primary: bytes | None = None, backup: bytes | None = None) -> Disk:
    disk = Disk().put(0, record(PROTECTIVE)).put(1024, entries).put(8159 * 512, entries)
    disk.put(512, gpt_header(entries) if primary is None else primary)
    other = gpt_header(entries, my_lba=8191, alternate_lba=1, partition_entry_lba=8159)
    return disk.put(8191 * 512, other if backup is None else backup)


ENTRIES = gpt_entries((64, 127), (256, 511))
GOOD = [(64, 64), (256, 256)]


def test_the_builder_itself() -> None:
    table = gpt_disk(ENTRIES).read()
    assert (table.kind, table.warnings, places(table)) == ("gpt", [], GOOD)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seal": False, "header_crc32": 1}, "its checksum is wrong"),
        ({"my_lba": 7}, "it says that it lies at LBA 7"),
        ({"partition_entry_array_crc32": 5}, "the checksum of its entries is wrong"),
        ({"header_size": 4}, "its size is 4 bytes"),
        ({"header_size": 0xFFFFFFFF}, "its size is 4294967295 bytes"),
        ({"size_of_partition_entry": 0}, "entries have 0 bytes"),
        ({"size_of_partition_entry": 127}, "entries have 127 bytes"),
        ({"size_of_partition_entry": 132}, "entries have 132 bytes"),
        ({"size_of_partition_entry": 1 << 31}, "gpt-entry-size: 2147483648"),
        ({"number_of_partition_entries": 0xFFFFFFFF}, "gpt-entry-array: 549755813760"),
        ({"partition_entry_lba": 1 << 60}, "16384 bytes wanted"),
    ],
)
def test_bad_primary_good_backup(change: dict[str, Any], words: str) -> None:
    table = gpt_disk(ENTRIES, primary=gpt_header(ENTRIES, **change)).read()
    assert places(table) == GOOD
    assert len(table.warnings) == 1
    assert words in table.warnings[0]
    assert "the backup at byte 0x3ffe00 is used" in table.warnings[0]


def test_backup_of_a_disk_that_has_grown_is_found_by_the_primary() -> None:
    disk = gpt_disk(ENTRIES, primary=gpt_header(ENTRIES, size_of_partition_entry=0))
    disk.data.extend(bytes(MIB))
    assert places(disk.read()) == GOOD


def test_both_damaged_but_to_be_followed_as_grub_does() -> None:
    bad = gpt_header(ENTRIES, seal=False, header_crc32=1)
    table = gpt_disk(ENTRIES, primary=bad, backup=b"\0" * 512).read()
    assert places(table) == GOOD
    assert "it is used all the same: its checksum is wrong" in table.warnings[0]


def test_both_useless() -> None:
    bad = gpt_header(ENTRIES, size_of_partition_entry=0)
    with pytest.raises(ImageError, match="entries have 0 bytes") as error:
        gpt_disk(ENTRIES, primary=bad, backup=bad).read()
    assert (error.value.offset, error.value.structure, error.value.source) == (512, "gpt.header", "disk")
    huge = gpt_header(ENTRIES, number_of_partition_entries=0xFFFFFFFF)
    with pytest.raises(LimitExceeded, match="gpt-entry-array"):
        gpt_disk(ENTRIES, primary=huge, backup=huge).read()
    noise = gpt_header(ENTRIES, seal=False, number_of_partition_entries=0xFFFFFFFF)
    with pytest.raises(ImageError, match=r"its checksum is wrong; .*549755813760 is over the limit") as error:
        gpt_disk(ENTRIES, primary=noise, backup=noise).read()
    assert error.value.offset == 512


def test_protective_mbr_without_a_gpt() -> None:
    with pytest.raises(ImageError, match="neither of its headers is there"):
        Disk().put(0, record(PROTECTIVE)).read()


def test_lost_gpt_of_a_hybrid_leaves_the_mbr() -> None:
    table = Disk().put(0, record(PROTECTIVE, entry(64, 128))).read()
    assert (table.kind, places(table)) == ("mbr", [(64, 128)])
    assert "neither of its headers" in table.warnings[0]


def test_useless_gpt_leaves_what_else_there_is() -> None:
    bad = gpt_header(ENTRIES, size_of_partition_entry=0)
    image = iso(gpt_disk(ENTRIES, primary=bad, backup=bad), 2048).read()
    assert (image.kind, [v.name for v in image.volumes]) == ("none", ["p0"])
    disk = gpt_disk(ENTRIES, primary=bad, backup=bad).put(0, record(PROTECTIVE, entry(64, 128)))
    assert (disk.read().kind, places(disk.read())) == ("mbr", [(64, 128)])
    for table in (image, disk.read()):
        assert "the GPT cannot be used" in table.warnings[0]


def test_gpt_without_a_protective_mbr() -> None:
    table = gpt_disk(ENTRIES).put(0, bytes(512)).read()
    assert (table.kind, places(table)) == ("gpt", GOOD)
    assert table.warnings == ["the GPT has no protective MBR"]


def test_stale_gpt_beside_an_mbr() -> None:
    table = gpt_disk(ENTRIES).put(0, record(entry(2048, 1024))).read()
    assert (table.kind, places(table)) == ("mbr", [(2048, 1024)])
    assert "the MBR counts" in table.warnings[0]


def test_hybrid_entry_that_the_gpt_does_not_have() -> None:
    table = gpt_disk(ENTRIES).put(0, record(PROTECTIVE, entry(64, 64, status=0x80), entry(64, 65))).read()
    assert (table.kind, places(table)) == ("hybrid", GOOD)
    assert table.warnings == ["entry 3 of the hybrid MBR is not in the GPT"]
    assert [v.active for v in table.volumes] == [True, False]


@pytest.mark.parametrize(
    ("used", "expected", "words"),
    [
        ((64, 63), [], "it begins at LBA 64 and ends at 63"),
        ((64, 1 << 40), [(64, (1 << 40) - 63)], "beyond the end of the image"),
        ((1 << 63, (1 << 64) - 1), [], "beyond the end of the image"),
        ((0, 100), [(0, 101)], "the table leaves 34 to 8158"),
        ((8160, 8170), [(8160, 11)], "the table leaves 34 to 8158"),
    ],
)
def test_entries_that_cannot_be(used: tuple[int, int], expected: list[tuple[int, int]], words: str) -> None:
    entries = gpt_entries(used, (2048, 4095))
    table = gpt_disk(entries).read()
    assert places(table) == [*expected, (2048, 2048)]
    said = [*table.warnings, *(warning for v in table.volumes for warning in v.warnings)]
    assert any(words in text for text in said), said


def test_large_entries() -> None:
    entries = gpt_entries((64, 127), (256, 511), count=64, size=256)
    primary = gpt_header(entries, number_of_partition_entries=64, size_of_partition_entry=256)
    table = gpt_disk(entries, primary=primary).read()
    assert (table.warnings, places(table)) == ([], GOOD)
    assert [v.label for v in table.volumes] == ["slot 0", "slot 1"]


@pytest.mark.parametrize("unit", [1024, 2048, 4096])
def test_sector_sizes(unit: int) -> None:
    header = gpt_header(ENTRIES, alternate_lba=4 * MIB // unit - 1)
    disk = Disk().put(0, record(PROTECTIVE)).put(unit, header).put(2 * unit, ENTRIES)
    table = disk.read()
    assert (table.sector_size, places(table, unit)) == (unit, GOOD)
    assert disk.read(sector_size=unit).sector_size == unit
    with pytest.raises(ImageError):
        disk.read(sector_size=512)
    disk.put(unit, bytes(512)).put(3 * MIB, ENTRIES)
    backup = gpt_header(ENTRIES, my_lba=4 * MIB // unit - 1, partition_entry_lba=3 * MIB // unit)
    assert places(disk.put(4 * MIB - unit, backup).read(), unit) == GOOD


def test_name_that_is_no_utf16() -> None:
    entries = bytearray(gpt_entries((64, 127)))
    entries[56:60] = b"\x00\xd8A\x00"  # half of a surrogate pair
    volume = gpt_disk(bytes(entries)).read().volumes[0]
    volume.label.encode("utf-8")
    assert volume.label.startswith("\N{REPLACEMENT CHARACTER}")


# --- MBR -----------------------------------------------------------------------------------------


def test_entries_of_a_truncated_image() -> None:
    table = Disk().put(0, record(entry(2048, 1 << 20), entry(1 << 21, 5))).read()
    assert places(table) == [(2048, 1 << 20)]
    assert table.volumes[0].source.size == 4 * MIB - 2048 * 512
    assert "beyond the end of the image" in table.volumes[0].warnings[0]
    assert "msdos2 is left out: it begins at byte 0x40000000" in table.warnings[0]


def test_sizes_of_nothing_and_types_of_nothing_are_skipped() -> None:
    table = Disk().put(0, record(entry(64, 0), {**entry(64, 64), "os_type": 0}, entry(128, 64))).read()
    assert [(v.name, v.grub) for v in table.volumes] == [("p1", "msdos3")]


def test_overlap_is_told() -> None:
    table = Disk().put(0, record(entry(64, 1000), entry(128, 10), entry(512, 1000))).read()
    assert len(table.volumes) == 3
    assert table.warnings == ["msdos1 and msdos2 overlap", "msdos1 and msdos3 overlap"]


def test_start_at_sector_0_is_left_out() -> None:
    table = Disk().put(0, record(entry(0, 1000), entry(2048, 10))).read()
    assert places(table) == [(2048, 10)]
    assert table.warnings == ["msdos1 is left out: it begins at sector 0"]


@pytest.mark.parametrize("kind", [0x05, 0x0F, 0x85])
def test_logical_partitions(kind: int) -> None:
    disk = Disk().put(0, record(entry(1000, 4000, kind), entry(64, 64, status=0x80)))
    disk.put(1000 * 512, boot_record(entry(10, 20), entry(2000, 100, kind)))
    disk.put(3000 * 512, boot_record(entry(1, 2, 0x82), entry(500, 100, 5)))
    disk.put(1500 * 512, boot_record(entry(3, 4)))
    table = disk.read()
    assert places(table) == [(64, 64), (1010, 20), (3001, 2), (1503, 4)]
    assert [v.grub for v in table.volumes] == ["msdos2", "msdos5", "msdos6", "msdos7"]
    assert [v.guid[-2:] for v in table.volumes] == ["02", "05", "06", "07"]
    assert [s.name for s in table.structures] == ["mbr", "ebr[0]", "ebr[1]", "ebr[2]"]
    assert table.warnings == []


def test_link_in_the_first_slot_and_empty_records() -> None:
    disk = Disk().put(0, record(entry(1000, 4000, 5)))
    disk.put(1000 * 512, boot_record(entry(100, 100, 5)))
    disk.put(1100 * 512, boot_record(entry(200, 100, 5), entry(1, 2)))
    disk.put(1200 * 512, boot_record(entry(7, 8)))
    assert places(disk.read()) == [(1101, 2), (1207, 8)]


def test_two_extended_partitions() -> None:
    disk = Disk().put(0, record(entry(1000, 100, 5), entry(2000, 100, 0xF)))
    disk.put(1000 * 512, boot_record(entry(1, 2))).put(2000 * 512, boot_record(entry(3, 4)))
    assert [(v.start // 512, v.grub) for v in disk.read().volumes] == [(1001, "msdos5"), (2003, "msdos6")]


def test_loop_of_boot_records() -> None:
    disk = Disk().put(0, record(entry(64, 64), entry(1000, 4000, 5)))
    disk.put(1000 * 512, boot_record(entry(10, 20), entry(2000, 100, 5)))
    disk.put(3000 * 512, boot_record(entry(1, 2), entry(2000, 100, 5)))
    table = disk.read()
    assert places(table) == [(64, 64), (1010, 20), (3001, 2)]
    assert table.warnings == ["the chain of extended boot records comes back to sector 3000"]


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (3000, "0xaa55 expected, but 0x0 found"),
        (1 << 31, "the end is at"),
        (7000, "lies outside its partition"),
    ],
)
def test_broken_chain_keeps_what_it_has(link: int, words: str) -> None:
    disk = Disk().put(0, record(entry(1000, 4000, 5)))
    disk.put(1000 * 512, boot_record(entry(10, 20), entry(link, 100, 5)))
    table = disk.read()
    assert places(table) == [(1010, 20)]
    assert any("may be missing" in warning for warning in table.warnings)
    assert any(words in warning for warning in table.warnings)


def test_endless_chain_meets_its_limit() -> None:
    disk = Disk().put(0, record(entry(64, 64), entry(1000, 7000, 5)))
    for sector in range(1000, 3000):
        disk.put(sector * 512, boot_record(entry(1, 1), entry(sector + 1 - 1000, 1, 5)))
    table = disk.read()
    assert len(table.volumes) == 1025
    assert any("ebr-chain" in warning for warning in table.warnings)


def test_junk_behind_the_second_slot_of_a_boot_record() -> None:
    disk = Disk().put(0, record(entry(1000, 100, 5)))
    disk.put(1000 * 512, boot_record(entry(10, 20), entry(), entry(70, 5), entry(5000, 60000)))
    assert places(disk.read()) == [(1010, 20), (1070, 5)]


def test_active_comes_first() -> None:
    table = Disk().put(0, record(entry(64, 64), entry(128, 64), entry(192, 64, status=0x80))).read()
    assert [v.name for v in boot_order(table)] == ["p3", "p1", "p2"]


# --- what only looks like a table ----------------------------------------------------------------


def fat_boot_sector(*entries: dict[str, Any]) -> bytes:
    sector = bytearray(record(*entries))
    sector[:22] = mbr.boot_sector.build(
        {
            "jump": b"\xeb\x3c\x90",
            "oem_name": b"MSDOS5.0",
            "bytes_per_sector": 512,
            "sectors_per_cluster": 4,
            "reserved_sectors": 1,
            "number_of_fats": 2,
            "root_entries": 512,
            "total_sectors_16": 8192,
            "media": 0xF8,
        }
    )
    return bytes(sector)


def ntfs_boot_sector(*entries: dict[str, Any]) -> bytes:
    return record(*entries, code=b"\xeb\x52\x90NTFS    ")


@pytest.mark.parametrize("sector", [fat_boot_sector, ntfs_boot_sector])
@pytest.mark.parametrize(
    "entries",
    [(entry(0, 8192, 6, 0x80),), (entry(100, 200), entry(5, 6)), (entry(0x20202020, 0x6E6F6E0D, 0x61),)],
)
def test_boot_sector_with_entries(sector: Callable[..., bytes], entries: tuple[dict[str, Any], ...]) -> None:
    table = Disk().put(0, sector(*entries)).put(512, b"\xf8\xff\xff").read()
    assert (table.kind, [v.name for v in table.volumes]) == ("none", ["p0"])


def test_table_in_an_old_boot_sector() -> None:
    """GRUB keeps a FAT's parameters in the MBR; the partition has what a partition has."""
    disk = Disk().put(0, fat_boot_sector(entry(2048, 4096))).put(512, b"\xf8\xff\xff")
    assert disk.put(2048 * 512 + EXT_MAGIC[0], EXT_MAGIC[1]).read().kind == "mbr"


def test_boot_code_in_front_of_ext() -> None:
    disk = Disk().put(*EXT_MAGIC)
    code = {**entry(0x7D, 0x1300), "boot_indicator": 0x52}
    assert disk.put(0, record(code)).read().kind == "none"
    absurd = record(entry(0xCD13, 0x840FC084), entry(0x46, 0x20, 0x72))
    assert disk.put(0, absurd).read().kind == "none"
    assert disk.put(0, record(entry(2048, 64))).read().kind == "mbr"  # an old file system in front


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 40000])
def test_tiny_images(size: int) -> None:
    table = read_table(MemorySource(bytes(size), "tiny"))
    assert (table.kind, [(v.name, v.size) for v in table.volumes]) == ("none", [("p0", size)])


def iso(disk: Disk, blocks: int) -> Disk:
    built = mbr.primary_volume_descriptor.build(
        {
            "volume_descriptor_type": None,
            "standard_identifier": None,
            "volume_space_size": blocks,
            "volume_space_size_big_endian": blocks,
        }
    )
    return disk.put(32768, built)


@pytest.mark.parametrize(
    "first", [entry(0, 8192, 0x17, 0x80), entry(64, 8000), {**entry(0, 8192), "os_type": 0}]
)
def test_hybrid_iso(first: dict[str, Any]) -> None:
    table = iso(Disk(), 2048).put(0, record(first, entry(200, 100, 0xEF))).read()
    assert table.volumes[0].name == "p0"
    assert (200, 100) in places(table)


def test_iso_with_appended_partition_only() -> None:
    table = iso(Disk(), 1024).put(0, record(entry(4096, 100, 0xEF))).read()
    assert [v.name for v in table.volumes] == ["p0", "p1"]


def test_iso_that_was_there_before() -> None:
    table = iso(Disk(), 2000).put(0, record(entry(2048, 100), entry(4096, 100))).read()
    assert [v.name for v in table.volumes] == ["p1", "p2"]


# --- disklabels and VTOCs ------------------------------------------------------------------------


def label(*used: tuple[int, int, int], size: int = 512, count: int = 8, order: str = "little") -> bytes:
    """Return a disklabel with partitions (p_offset, p_size, p_fstype) in either byte order."""
    fields = {
        **dict.fromkeys([part.name for part in disklabel.disklabel.subcons], 0),
        "d_magic": None,
        "d_magic2": None,
        "d_typename": bytes(16),
        "d_packname": bytes(16),
        "d_drivedata": [0] * 5,
        "d_spare": [0] * 5,
        "d_secsize": size,
        "d_npartitions": count,
    }
    rows = [*used, *[(0, 0, 0)] * (min(count, 22) - len(used))]
    partitions = b"".join(
        disklabel.partition.build(
            {"p_offset": offset, "p_size": length, "p_fstype": kind, "p_fsize": 0, "p_frag": 0, "p_cpg": 0}
        )
        for offset, length, kind in rows
    )

    data = disklabel.disklabel.build(fields) + partitions
    if order == "big":
        data = reverse_integers(data)
    checksum = bytes(functools.reduce(operator.xor, data[start::2]) for start in (0, 1))
    return data[:136] + checksum + data[138:]


def reverse_integers(data: bytes) -> bytes:
    """Turn a disklabel's integers around: all have four bytes but those around d_type and d_checksum."""
    words = [data[at : at + 4] for at in range(0, len(data), 4)]
    for index, word in enumerate(words):
        if index in (1, 34):
            words[index] = word[1::-1] + word[:1:-1]
        elif index < 37 or index % 4 != 0:  # p_fstype and p_frag have a byte each
            words[index] = word[::-1]
    return b"".join(words)


SLICE = entry(2048, 4096, 0xA5, 0x80)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(2064, 1000, 7), (3064, 500, 1), (2048, 4096, 0)], [(2064, 1000), (3064, 500)]),  # absolute
        ([(16, 1000, 7), (1016, 500, 1), (0, 4096, 0)], [(2064, 1000), (3064, 500)]),  # relative
        ([(2048, 1000, 7), (3064, 500, 1), (0, 8192, 0)], [(2048, 1000), (3064, 500)]),  # c is the disk
        ([(2100, 1000, 7), (0, 0, 0), (0, 4096, 0)], [(4148, 1000)]),  # both would do; c decides
        ([(2064, 1000, 7), (2048, 4096, 7), (2048, 4096, 7)], [(2064, 1000), (2048, 4096)]),  # b may be all
    ],
)
def test_offsets_of_a_disklabel(rows: list[tuple[int, int, int]], expected: list[tuple[int, int]]) -> None:
    table = Disk().put(0, record(SLICE)).put(2049 * 512, label(*rows)).read()
    assert places(table) == expected
    assert {v.active for v in table.volumes} == {True}


def test_partitions_outside_the_slice_are_left_out() -> None:
    rows = [(2064, 100, 7), (0, 0, 0), (0, 0, 0), (7000, 10, 8)]
    table = Disk().put(0, record({**SLICE, "os_type": 0xA9})).put(2049 * 512, label(*rows)).read()
    assert [(v.start // 512, v.grub) for v in table.volumes] == [(2064, "netbsd1")]
    assert "partition d of the disklabel at 0x100200 is not in its slice" in table.warnings


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("offset", [512, 64, 128, 0])
def test_disklabel_of_a_whole_disk(order: str, offset: int) -> None:
    data = label((16, 1000, 7), (2000, 500, 27), (0, 8192, 0), order=order)
    table = Disk().put(offset, data).read()
    assert (table.kind, table.warnings) == ("disklabel", [])
    assert [(v.start // 512, v.type, v.grub) for v in table.volumes] == [
        (16, "4.2BSD", "bsd1"),
        (2000, "ZFS", "bsd2"),
    ]


def test_dangerously_dedicated_disk() -> None:
    """FreeBSD's boot1 carries a slice of 50000 sectors from sector 0 on."""
    boot = record(entry(), entry(), entry(), entry(0, 50000, 0xA5, 0x80))
    table = Disk().put(0, boot).put(512, label((16, 8000, 7), (0, 0, 0), (0, 8192, 0))).read()
    assert places(table) == [(16, 8000)]


def test_slice_without_a_label_stays_a_volume() -> None:
    table = Disk().put(0, record(SLICE)).read()
    assert [(v.name, v.type, v.grub) for v in table.volumes] == [("p1", "0xa5", "msdos1")]


def test_damaged_disklabels() -> None:
    data = bytearray(label((2064, 100, 7)))
    data[60] ^= 1
    table = Disk().put(0, record(SLICE)).put(2049 * 512, bytes(data)).read()
    assert places(table) == [(2064, 100)]
    assert table.warnings == ["the checksum of the disklabel at byte 0x100200 is wrong"]
    table = Disk().put(0, record(SLICE)).put(2049 * 512, label((2064, 100, 7), count=60000)).read()
    assert places(table) == [(2048, 4096)]
    assert "claims 60000 partitions" in table.warnings[0]
    table = Disk().put(0, record(SLICE)).put(2049 * 512, label((2064, 100, 7), size=3)).read()
    assert places(table) == [(2064, 100)]


def x86_label(*slices: tuple[int, int, int]) -> bytes:
    """Return a VTOC with slices (tag, start, size)."""
    rows = [*slices, *[(0, 0, 0)] * (16 - len(slices))]
    fields = {
        **dict.fromkeys([part.name for part in vtoc.x86_label.subcons], 0),
        "v_bootinfo": [0] * 3,
        "v_sanity": None,
        "v_volume": bytes(8),
        "v_sectorsz": 512,
        "v_nparts": 16,
        "v_reserved": [0] * 10,
        "v_part": [
            {"p_tag": tag, "p_flag": 0, "p_start": start, "p_size": size} for tag, start, size in rows
        ],
        "timestamp": [0] * 16,
        "v_asciilabel": bytes(128),
        "dkl_extra": [0] * 4,
        "dkl_pad": bytes(12),
        "dkl_magic": vtoc.DKL_MAGIC,
    }
    data: bytes = vtoc.x86_label.build(fields)
    return data[:510] + bytes(functools.reduce(operator.xor, data[start::2]) for start in (0, 1))


@pytest.mark.parametrize("kind", [0x82, 0xBF])
def test_vtoc_in_a_slice(kind: int) -> None:
    data = x86_label((3, 100, 50), (2, 200, 1000), (5, 0, 4096), (8, 2000, 10))
    disk = Disk().put(0, record({**SLICE, "os_type": kind})).put(2049 * 512, data)
    table = disk.read()
    assert [(v.start // 512, v.type, v.grub, v.active) for v in table.volumes] == [
        (2148, "swap", "msdos1,sunpc1", False),
        (2248, "root", "msdos1,sunpc2", True),
        (4048, "home", "msdos1,sunpc4", False),
    ]
    assert table.warnings == []
    assert boot_order(table)[0].name == "p2"
    assert disk.put(2049 * 512 + 480, b"x").read().warnings == [
        "the checksum of the VTOC at byte 0x100200 is wrong"
    ]


def test_swap_without_a_vtoc_stays_a_volume() -> None:
    table = Disk().put(0, record(entry(2048, 4096, 0x82))).read()
    assert [(v.type, v.grub) for v in table.volumes] == [("0x82", "msdos1")]


def openbsd_label(*used: tuple[int, int, int]) -> bytes:
    """Return OpenBSD's disklabel of version 1 with partitions (p_offset, p_size, p_fstype)."""
    fields: dict[str, Any] = {
        **dict.fromkeys([part.name for part in disklabel.openbsd_disklabel.subcons], 0),
        "d_magic": None,
        "d_magic2": None,
        "d_typename": bytes(16),
        "d_packname": bytes(16),
        "d_uid": bytes(8),
        "d_drivedata": [0] * 5,
        "d_spare4": [0] * 5,
        "d_spare": [0] * 4,
        "d_secsize": 512,
        "d_npartitions": len(used),
        "d_version": 1,
    }
    rows = b"".join(
        disklabel.openbsd_partition.build(
            {
                "p_offset": offset & 0xFFFFFFFF,
                "p_offseth": offset >> 32,
                "p_size": size & 0xFFFFFFFF,
                "p_sizeh": size >> 32,
                "p_fstype": kind,
                "p_fragblock": 0,
                "p_cpg": 0,
            }
        )
        for offset, size, kind in used
    )
    data = disklabel.openbsd_disklabel.build(fields) + rows
    checksum = bytes(functools.reduce(operator.xor, data[start::2]) for start in (0, 1))
    return data[:136] + checksum + data[138:]


def test_high_words_of_openbsd() -> None:
    """disklabel(5) of OpenBSD: DL_GETPOFFSET and DL_GETPSIZE put p_offseth and p_sizeh above 32 bits."""
    rows = [(2064, 1000, 7), (2064 + (1 << 32), 500, 7), (2064, 1000 + (1 << 32), 7)]
    disk = Disk().put(0, record({**SLICE, "os_type": 0xA6})).put(2049 * 512, openbsd_label(*rows))
    table = disk.read()
    assert places(table) == [(2064, 1000), (2064, 1000 + (1 << 32))]
    assert table.warnings[0].startswith("partition b of the disklabel")


def test_a_label_that_has_nothing_leaves_the_slice() -> None:
    table = Disk().put(0, record(SLICE)).put(2049 * 512, label()).read()
    assert places(table) == [(2048, 4096)]


def test_both_headers_damaged_and_another_revision() -> None:
    entries = gpt_entries((64, 127))
    bad = gpt_header(entries, partition_entry_array_crc32=1)
    backup = gpt_header(entries, my_lba=8191, alternate_lba=1, partition_entry_lba=8159, revision=0x20000)
    disk = gpt_disk(entries, primary=bytes(92), backup=backup)
    assert disk.read().warnings[-1] == "the GPT has revision 0x20000"
    wrong = gpt_header(
        entries, my_lba=8191, alternate_lba=1, partition_entry_lba=8159, partition_entry_array_crc32=1
    )
    table = gpt_disk(entries, primary=bytes(92), backup=wrong).read()
    assert any(warning.startswith("the backup GPT header is damaged") for warning in table.warnings)
    assert places(table) == [(64, 64)]
    assert bad != wrong


def test_a_boot_record_with_two_links() -> None:
    disk = Disk().put(0, record(entry(2048, 4096, 5)))
    disk.put(2048 * 512, boot_record(entry(63, 100), entry(1000, 500, 5), entry(2000, 500, 5)))
    disk.put(3048 * 512, boot_record(entry(63, 100)))
    table = disk.read()
    assert places(table) == [(2111, 100), (3111, 100)]
    assert "ebr[0] has more than one link; the first is followed" in table.warnings


def test_a_gpt_that_a_file_system_was_put_over() -> None:
    """mkfs on the whole disk leaves the header in sector 1 where the file system has no use for it."""
    disk = gpt_disk(ENTRIES).put(0, ntfs_boot_sector())
    assert [volume.name for volume in disk.read().volumes] == ["p0"]


def test_a_slice_that_ends_before_its_vtoc() -> None:
    table = Disk(2049 * 512 + 100).put(0, record(entry(2048, 4096, 0xBF))).read()
    assert [volume.grub for volume in table.volumes] == ["msdos1"]


def test_a_vtoc_of_nothing_but_the_whole() -> None:
    data = x86_label((5, 0, 4096))
    table = Disk().put(0, record({**SLICE, "os_type": 0xBF})).put(2049 * 512, data).read()
    assert [volume.grub for volume in table.volumes] == ["msdos1"]


def test_the_magic_of_a_sparc_label_alone_is_no_label() -> None:
    assert Disk().put(508, vtoc.DKL_MAGIC.to_bytes(2, "big")).read().kind == "none"


# --- anything ------------------------------------------------------------------------------------

SEEDS = [
    bytes(gpt_disk(ENTRIES).data[:40960]),
    bytes(
        Disk().put(0, record(SLICE, entry(1000, 900, 5))).put(2049 * 512, label((2064, 100, 7))).data[:40960]
    ),
    bytes(iso(Disk(), 2000).put(0, record(entry(0, 8192))).data[:40960]),
]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 1600), st.binary(min_size=1, max_size=4)), max_size=8),
    st.integers(0, 40960),
)
def test_no_disk_breaks_the_rules(seed: bytes, changes: list[tuple[int, bytes]], size: int) -> None:
    data = bytearray(seed[:size])
    for offset, new in changes:
        data[offset : offset + len(new)] = new
    try:
        table = read_table(MemorySource(bytes(data), "disk"))
    except BootcfgError:
        return
    names = [v.name for v in table.volumes if v.name != "p0"]
    assert names == [f"p{n}" for n in range(1, len(names) + 1)]
    assert table.volumes
    for volume in table.volumes:
        assert volume.start >= 0
        assert volume.source.size == min(volume.size, len(data) - volume.start)
    for structure in table.structures:
        structure.decoder.trace(MemorySource(bytes(data), "disk"), structure.offset)
