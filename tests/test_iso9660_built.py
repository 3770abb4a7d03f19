"""What ISO 9660, SUSP and Rock Ridge allow but no tool writes, on images made by hand."""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import iso9660_image as by_hand
import pytest
from inspect_tools import needs, output
from iso9660_image import Disc, ce, entry, nm, px, record, sl

from pybootcfg import limits
from pybootcfg.errors import GuestFileMissing, ImageError, UnsupportedFeature
from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Extent, Hole, Inline, Node, Options
from pybootcfg.filesystems.iso9660 import Iso9660
from pybootcfg.source import MemorySource

SECTOR = by_hand.SECTOR
PRIMARY = 16 * SECTOR


def opened(image: bytes | bytearray) -> Iso9660:
    filesystem = open_filesystem(MemorySource(bytes(image), "disc"), Options())
    return cast(Iso9660, filesystem)


def contents(node: Node) -> bytes:
    return node.read(limits.FILE_SIZE)


def names(filesystem: Iso9660) -> list[bytes]:
    return [name for name, _ in filesystem.root.entries()]


def pattern(length: int, seed: int = 1) -> bytes:
    return b"".join(struct.pack("<II", seed, i) for i in range(length // 8 + 1))[:length]


def test_a_file_of_one_section_is_one_extent() -> None:
    disc = Disc()
    data = pattern(10_000)
    location = disc.add(b"kernel", data)
    filesystem = opened(disc.image())
    node = filesystem.walk(b"/kernel")
    assert list(node.runs()) == [Extent(filesystem.source, location * SECTOR, 10_000)]
    assert contents(node) == data
    assert node.mode == 0o644
    assert node.mtime == by_hand.STAMP_SECONDS
    assert filesystem.label == "BY_HAND"
    assert filesystem.uuid == "2026-01-02-03-04-05-00"
    assert filesystem.warnings == []


def test_multi_extent_file() -> None:
    disc = Disc()
    parts = [pattern(3 * SECTOR, 1), pattern(2 * SECTOR, 2), pattern(77, 3)]
    places = [disc.place(parts[0]), disc.place(b"else"), disc.place(parts[1]), disc.place(parts[2])]
    use = px(0o100600) + nm(b"large")
    for place, part, flags in zip((0, 2, 3), parts, (0x80, 0x80, 0), strict=True):
        disc.records.append(record(b"LARGE.;1", places[place], len(part), flags, use))
    disc.add(b"next", b"after")
    filesystem = opened(disc.image())
    node = filesystem.walk(b"/large")
    assert node.size == 5 * SECTOR + 77
    assert contents(node) == b"".join(parts)
    assert [run[1:] for run in node.runs()] == [
        (places[0] * SECTOR, 3 * SECTOR),
        (places[2] * SECTOR, 2 * SECTOR + 77),  # sections that touch are one run
    ]
    assert names(filesystem) == [b"large", b"next"]


def test_interleaved_file() -> None:
    disc = Disc()
    data = pattern(5 * SECTOR + 100)
    blocks = [data[i : i + 2 * SECTOR] for i in range(0, len(data), 2 * SECTOR)]
    location = disc.place(b"".join(block.ljust(2 * SECTOR, b"\0") + b"G" * SECTOR for block in blocks))
    disc.records.append(record(b"F.;1", location, len(data), 0, px(0o100644) + nm(b"movie"), unit=2, gap=1))
    node = opened(disc.image()).walk(b"/movie")
    assert [run.length for run in node.runs()] == [2 * SECTOR, 2 * SECTOR, SECTOR + 100]
    assert contents(node) == data


def test_extended_attribute_record_comes_before_the_data() -> None:
    disc = Disc()
    location = disc.place(bytes(SECTOR) + b"the data")
    disc.records.append(record(b"F.;1", location, 8, 0, px(0o100644) + nm(b"file"), attributes=1))
    assert contents(opened(disc.image()).walk(b"/file")) == b"the data"


@pytest.mark.parametrize("block_size", [512, 1024, 2048])
def test_logical_block_sizes(block_size: int) -> None:
    disc = Disc(block_size)
    data = pattern(3000)
    disc.add(b"file", data)
    filesystem = opened(disc.image())
    assert contents(filesystem.walk(b"/file")) == data
    assert filesystem.warnings == []


@pytest.mark.parametrize(("mode", "size"), [(1, 2352), (2, 2352), (1, 2448)])
def test_raw_sectors(mode: int, size: int) -> None:
    disc = Disc()
    data = pattern(300_000)
    disc.add(b"kernel", data)
    filesystem = opened(by_hand.raw(bytes(disc.image()), mode, size))
    node = filesystem.walk(b"/kernel")
    assert contents(node) == data
    (run,) = node.runs()
    assert isinstance(run, Extent)
    pieces = list(run.source.pieces(run.offset + 100, run.length - 100))
    assert b"".join(cast(Iterable[bytes], pieces)) == data[100:]


def test_raw_sector_of_form_2_carries_no_data() -> None:
    disc = Disc()
    location = disc.add(b"kernel", pattern(5000))
    image = bytearray(by_hand.raw(bytes(disc.image()), 2))
    image[location * 2352 + 16 + 2] |= 0x20
    with pytest.raises(ImageError, match="form 2"):
        contents(opened(image).walk(b"/kernel"))


def test_raw_sector_of_mode_0_carries_no_data() -> None:
    disc = Disc()
    location = disc.add(b"kernel", pattern(5000))
    image = bytearray(by_hand.raw(bytes(disc.image())))
    image[location * 2352 + 15] = 0
    with pytest.raises(ImageError, match=f"sector {location} is of mode 0") as error:
        contents(opened(image).walk(b"/kernel"))
    assert error.value.offset == location * 2352


def test_a_system_area_that_begins_as_a_raw_sector_does() -> None:
    """The synchronisation pattern must stand at the second sector, too."""
    disc = Disc()
    disc.add(b"file", b"data")
    image = disc.image()
    image[:12] = b"\0" + b"\xff" * 10 + b"\0"
    assert contents(opened(image).walk(b"/file")) == b"data"


@pytest.mark.parametrize("skip", [0, 6, 14])
def test_skip_bytes_of_susp(skip: int) -> None:
    disc = Disc(skip=skip)
    disc.add(b"Name", b"data")
    image = disc.image()
    if skip == 6:  # the SP entry is at the start, or behind the 14 bytes of CD-ROM XA (SUSP 5.3)
        own = disc.root(use=by_hand.sp(6) + px(0o40755) + by_hand.er())
        parent = record(b"\1", by_hand.ROOT_SECTOR, 2 * SECTOR, 2)
        root = by_hand.directory([own, parent, *disc.records], 2)
        image[by_hand.ROOT_SECTOR * SECTOR : (by_hand.ROOT_SECTOR + 2) * SECTOR] = root
    filesystem = opened(image)
    assert names(filesystem) == [b"Name"]
    assert "rock-ridge-1.09" in filesystem.features


def test_names_spread_over_entries_and_continuation_areas() -> None:
    disc = Disc()
    whole = bytes(range(ord("a"), ord("z") + 1)) * 9
    second = disc.place(
        nm(whole[100:200], 1) + ce(disc.place(b"?" * 10 + nm(whole[200:])), 10, len(nm(whole[200:])))
    )
    length = len(nm(whole[100:200])) + 28
    disc.add(b"", b"data", px(0o100644) + nm(whole[:60], 1) + nm(whole[60:100], 1) + ce(second, 0, length))
    filesystem = opened(disc.image())
    assert names(filesystem) == [whole]
    assert contents(filesystem.walk(b"/" + whole)) == b"data"


def test_entries_behind_st_do_not_count() -> None:
    disc = Disc()
    disc.add(b"", b"data", px(0o100644) + nm(b"right") + entry(b"ST", b"") + nm(b"wrong"))
    assert names(opened(disc.image())) == [b"right"]


@pytest.mark.parametrize(
    ("components", "target"),
    [
        ([(8, b""), (0, b"boot"), (0, b"vmlinuz")], b"/boot/vmlinuz"),
        ([(4, b""), (4, b""), (2, b""), (0, b"x")], b"../.././x"),
        ([(1, b"vml"), (0, b"inuz")], b"vmlinuz"),
        ([(8, b"")], b"/"),
        ([(0, b"a"), (0, b""), (0, b"b")], b"a//b"),
    ],
)
def test_symbolic_links(components: list[tuple[int, bytes]], target: bytes) -> None:
    disc = Disc()
    disc.add(b"", b"", px(0o120777) + nm(b"whole") + sl(*components))
    halves = [sl(item, flags=1) for item in components]
    disc.add(b"", b"", px(0o120777) + nm(b"split") + b"".join(halves))
    filesystem = opened(disc.image())
    for name in (b"/whole", b"/split"):
        node = filesystem.walk(name, follow=False)
        assert node.kind == "symlink"
        assert node.target() == target
        assert node.size == len(target)


def test_symbolic_link_to_the_host_is_refused_by_name() -> None:
    disc = Disc()
    disc.add(b"", b"", px(0o120777) + nm(b"link") + sl((0x20, b"")))
    with pytest.raises(UnsupportedFeature) as caught:
        opened(disc.image()).walk(b"/link", follow=False).target()
    assert caught.value.name == "rock-ridge-symlink-component"


@pytest.mark.parametrize(
    ("mode", "kind"),
    [(0o20666, "char"), (0o60660, "block"), (0o10600, "fifo"), (0o140755, "socket"), (0o100755, "file")],
)
def test_kinds(mode: int, kind: str) -> None:
    disc = Disc()
    numbers = entry(b"PN", by_hand.both32(8) + by_hand.both32(1))
    disc.add(b"", b"", px(mode, serial=7) + nm(b"node") + numbers)
    node = opened(disc.image()).walk(b"/node")
    assert node.kind == kind
    assert node.mode == stat.S_IMODE(mode)
    assert getattr(node, "device") == (8, 1)  # noqa: B009  not of every node


def test_device_number_in_one_half() -> None:
    disc = Disc()
    disc.add(b"", b"", px(0o20666) + nm(b"node") + entry(b"PN", by_hand.both32(0) + by_hand.both32(0x0803)))
    assert getattr(opened(disc.image()).walk(b"/node"), "device") == (8, 3)  # noqa: B009


@pytest.mark.parametrize(
    ("flags", "stamps", "expected"),
    [
        (0x02, bytes((70, 1, 1, 0, 0, 1, 0)), 1),
        (0x03, bytes((99, 1, 1, 0, 0, 0, 0)) + bytes((70, 1, 2, 0, 0, 0, 0)), 86400),
        (0x82, b"1970010101000000" + b"\x04", 0),
        (0x02, bytes((70, 1, 1, 12, 0, 0, 256 - 8)), 14 * 3600),
        (0x01, bytes((70, 1, 1, 0, 0, 1, 0)), by_hand.STAMP_SECONDS),
        (0x82, b"19700101 0000000" + b"\x04", by_hand.STAMP_SECONDS),
    ],
    ids=["short", "behind creation", "long form", "west of Greenwich", "no modification time", "no digits"],
)
def test_time_stamps(flags: int, stamps: bytes, expected: int) -> None:
    disc = Disc()
    disc.add(b"", b"", px(0o100644) + nm(b"file") + entry(b"TF", bytes((flags,)) + stamps))
    assert opened(disc.image()).walk(b"/file").mtime == expected


def test_moved_directory_is_where_it_was() -> None:
    disc = Disc()
    inner = disc.place(b"inside")
    moved = len(disc.data) // SECTOR
    parent = record(b"\1", by_hand.ROOT_SECTOR, SECTOR, 2, entry(b"PL", by_hand.both32(by_hand.ROOT_SECTOR)))
    deep = [
        record(b"\0", moved, SECTOR, 2, px(0o40700)),
        parent,
        record(b"F.;1", inner, 6, 0, px(0o100644) + nm(b"file")),
    ]
    disc.place(by_hand.directory(deep, 1))
    disc.add(b"", b"", px(0o40700) + nm(b"deep") + entry(b"CL", by_hand.both32(moved)))
    disc.records.append(record(b"DEEP", moved, SECTOR, 2, px(0o40700) + nm(b"deep") + entry(b"RE", b"")))
    filesystem = opened(disc.image())
    assert names(filesystem) == [b"deep"]
    node = filesystem.walk(b"/deep")
    assert (node.kind, node.mode, node.size) == ("dir", 0o700, SECTOR)
    assert contents(filesystem.walk(b"/deep/file")) == b"inside"
    assert filesystem.walk(b"/deep/../deep/file").key == filesystem.walk(b"/deep/file").key


@pytest.mark.parametrize("log2", [15, 16, 17])
def test_zisofs(log2: int) -> None:
    size = 1 << log2
    data = pattern(size) + bytes(3 * size) + pattern(100, 2)
    packed, zf = by_hand.zisofs(data, log2)
    disc = Disc()
    disc.add(b"", packed, px(0o100644) + nm(b"file") + zf)
    node = opened(disc.image()).walk(b"/file")
    assert node.size == len(data)
    runs = list(node.runs())
    assert [type(run) for run in runs] == [Inline, Hole, Inline]
    assert [run.length for run in runs] == [size, 3 * size, 100]
    assert contents(node) == data


def test_zisofs_in_two_sections() -> None:
    data = pattern(70_000)
    packed, zf = by_hand.zisofs(data)
    disc = Disc()
    use = px(0o100644) + nm(b"file") + zf
    places = [disc.place(packed[: 2 * SECTOR]), disc.place(b"else"), disc.place(packed[2 * SECTOR :])]
    disc.records.append(record(b"F.;1", places[0], 2 * SECTOR, by_hand.MULTI_EXTENT, use))
    disc.records.append(record(b"F.;1", places[2], len(packed) - 2 * SECTOR, 0, use))
    assert contents(opened(disc.image()).walk(b"/file")) == data


def test_zisofs_of_an_empty_file() -> None:
    disc = Disc()
    disc.add(b"", b"", px(0o100644) + nm(b"file") + by_hand.zisofs(b"")[1])
    node = opened(disc.image()).walk(b"/file")
    assert node.size == 0
    assert list(node.runs()) == []


def test_zisofs_without_its_entry_is_what_it_is() -> None:
    packed, _ = by_hand.zisofs(pattern(5000))
    disc = Disc()
    disc.add(b"file", packed)  # Linux goes by the ZF entry alone
    assert contents(opened(disc.image()).walk(b"/file")) == packed


def test_unknown_compression_and_sparse_files_are_refused_by_name() -> None:
    disc = Disc()
    disc.add(b"", b"data", px(0o100644) + nm(b"odd") + entry(b"ZF", b"xx" + bytes(10)))
    disc.add(b"", b"data", px(0o100644) + nm(b"sparse") + entry(b"SF", bytes(17)))
    filesystem = opened(disc.image())
    for name, feature in ((b"/odd", "zisofs-algorithm"), (b"/sparse", "rock-ridge-sparse-file")):
        with pytest.raises(UnsupportedFeature) as caught:
            contents(filesystem.walk(name))
        assert caught.value.name == feature


def test_plain_names_as_linux_maps_them() -> None:
    disc = Disc(rock_ridge=False)
    for name in (b"README.TXT;1", b"NODOT.;1", b"OLD.TXT;2", b"BARE", b"DOT.", b"A/B;1"):
        disc.add(name, name)
    disc.records.append(record(b"README.TXT;1", 24, 1, by_hand.ASSOCIATED))
    filesystem = opened(disc.image())
    assert names(filesystem) == [b"readme.txt", b"nodot", b"old.txt.2", b"bare", b"dot.", b"a.b"]
    assert contents(filesystem.walk(b"/ReadMe.txt")) == b"README.TXT;1"
    assert filesystem.root.mode is None


def joliet(disc: Disc, level: bytes, label: str, records: list[bytes]) -> None:
    location = len(disc.data) // SECTOR
    disc.place(
        by_hand.directory(
            [record(b"\0", location, SECTOR, 2), record(b"\1", location, SECTOR, 2), *records], 1
        )
    )
    descriptor = bytearray(disc.primary(2, 1, b"%/" + level, label.encode("utf-16-be").ljust(32, b"\0")))
    descriptor[140:144] = bytes(4)  # no path table
    descriptor[156:190] = record(b"\0", location, SECTOR, 2)
    disc.descriptors.append(bytes(descriptor))


@pytest.mark.parametrize(("level", "number"), [(b"@", 1), (b"C", 2), (b"E", 3)])
def test_joliet(level: bytes, number: int) -> None:
    disc = Disc(rock_ridge=False)
    location = disc.add(b"LONGNAME.TXT;1", b"data")
    wide = ["Größe 😀.txt;1", "dots...;1", "plain"]
    joliet(disc, level, "by_hand", [record(w.encode("utf-16-be"), location, 4) for w in wide])
    filesystem = opened(disc.image())
    assert names(filesystem) == ["Größe 😀.txt".encode(), b"dots", b"plain"]
    assert contents(filesystem.walk("/GRÖSSE 😀.TXT".encode())) == b"data"  # as Linux: no regard to case
    assert filesystem.features == (f"joliet-level-{number}",)
    assert [name for name, _ in filesystem.subvolume("iso9660").entries()] == [b"longname.txt"]
    with pytest.raises(GuestFileMissing):
        filesystem.subvolume("enhanced")


def test_a_label_is_made_whole_from_both_as_blkid_does(tmp_path: Path) -> None:
    disc = Disc(rock_ridge=False)
    location = disc.add(b"FILE.;1", b"data")
    disc.label = b"AB_D-AND A LONG TAIL"
    joliet(disc, b"E", "aB\u00e7_-And_a long ", [record("file".encode("utf-16-be"), location, 4)])
    image = tmp_path / "iso"
    image.write_bytes(disc.image())
    label = opened(disc.image()).label
    assert output(needs("blkid"), "-p", "-o", "value", "-s", "LABEL", image).strip() == label
    assert label == "aB\u00e7D-And a long TAIL"


def test_a_disc_without_any_time_has_no_uuid(tmp_path: Path) -> None:
    disc = Disc()
    image = disc.image()
    image[16 * SECTOR + 813 : 16 * SECTOR + 830] = b"0" * 16 + b"\0"
    assert opened(image).uuid == ""
    (tmp_path / "iso").write_bytes(image)
    assert output(needs("blkid"), "-p", "-o", "value", "-s", "UUID", tmp_path / "iso", status=(0, 2)) == ""


def test_a_tree_of_an_enhanced_descriptor_has_a_name() -> None:
    disc = Disc(rock_ridge=False)
    location = disc.add(b"PLAIN.;1", b"data")
    other = len(disc.data) // SECTOR
    dots = [record(b"\0", other, SECTOR, 2), record(b"\1", other, SECTOR, 2)]
    disc.place(by_hand.directory([*dots, record(b"Any name may stand here", location, 4)], 1))
    descriptor = bytearray(disc.primary(2, 2))
    descriptor[156:190] = record(b"\0", other, SECTOR, 2)
    disc.descriptors.append(bytes(descriptor))
    filesystem = opened(disc.image())
    assert "enhanced" in filesystem.features
    assert names(filesystem) == [b"plain"]
    ((name, node),) = filesystem.subvolume("enhanced").entries()
    assert (name, contents(node)) == (b"Any name may stand here", b"data")


def test_a_disc_that_ends_with_its_descriptors_is_no_bridge() -> None:
    """The root directory lies in the system area, so that nothing has to follow."""
    disc = Disc(rock_ridge=False)
    image = disc.image()[: 18 * SECTOR]
    for place in (PRIMARY + 156, 2 * SECTOR):
        image[place : place + 34] = record(b"\0", 2, SECTOR, 2)
    image[2 * SECTOR + 34 : 2 * SECTOR + 68] = record(b"\1", 2, SECTOR, 2)
    filesystem = opened(image)
    assert names(filesystem) == []
    assert filesystem.features == ()


def test_rock_ridge_comes_before_joliet() -> None:
    disc = Disc()
    disc.add(b"Rock", b"data")
    joliet(disc, b"E", "BY_HAND", [record("Joliet".encode("utf-16-be"), 24, 4)])
    filesystem = opened(disc.image())
    assert names(filesystem) == [b"Rock"]
    assert [name for name, _ in filesystem.subvolume("joliet").entries()] == [b"Joliet"]


def test_empty_primary_tree_gives_way_to_joliet() -> None:
    disc = Disc()
    joliet(disc, b"E", "BY_HAND", [record("Joliet".encode("utf-16-be"), 24, 4)])
    filesystem = opened(disc.image())
    assert names(filesystem) == [b"Joliet"]
    assert any("empty" in warning for warning in filesystem.warnings)


def test_udf_bridge_is_read_through_iso() -> None:
    disc = Disc()
    disc.add(b"file", b"data")
    image = disc.image()
    image[18 * SECTOR : 18 * SECTOR + 7] = b"\0BEA01\1"
    filesystem = opened(image)
    assert names(filesystem) == [b"file"]
    assert "udf-bridge" in filesystem.features
    assert any("UDF" in warning for warning in filesystem.warnings)


def test_pure_udf_is_refused_by_name() -> None:
    image = bytearray(64 * SECTOR)
    for number, identifier in enumerate((b"BEA01", b"NSR02", b"TEA01")):
        image[(16 + number) * SECTOR + 1 : (16 + number) * SECTOR + 6] = identifier
    with pytest.raises(UnsupportedFeature) as caught:
        opened(image)
    assert caught.value.name == "udf"


def test_file_on_another_volume_is_refused_by_name() -> None:
    disc = Disc()
    disc.volume_set = (1, 2)
    disc.add(b"here", b"data")
    disc.records.append(record(b"G.;1", 24, 4, 0, px(0o100644) + nm(b"there"), volume=2))
    filesystem = opened(disc.image())
    assert contents(filesystem.walk(b"/here")) == b"data"
    with pytest.raises(UnsupportedFeature) as caught:
        contents(filesystem.walk(b"/there"))
    assert caught.value.name == "multi-volume"
    assert any("volume 1 of 2" in warning for warning in filesystem.warnings)


def test_hard_links_share_their_key() -> None:
    disc = Disc()
    location = disc.add(b"one", b"data")
    disc.records.append(record(b"T.;1", location, 4, 0, px(0o100644) + nm(b"two")))
    disc.add(b"", b"", px(0o100644, serial=9) + nm(b"empty"))
    disc.add(b"", b"", px(0o100644, serial=9) + nm(b"same"))
    disc.add(b"other", b"")
    filesystem = opened(disc.image())
    keys = {name: node.key for name, node in filesystem.root.entries()}
    assert keys[b"one"] == keys[b"two"]
    assert keys[b"empty"] == keys[b"same"]
    assert len(set(keys.values())) == 3


def el_torito(disc: Disc, catalog: list[bytes]) -> None:
    location = disc.place(b"".join(catalog))
    descriptor = b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(32, b"\0") + bytes(32)
    disc.descriptors.append((descriptor + struct.pack("<I", location)).ljust(SECTOR, b"\0"))


def boot_entry(media: int, sectors: int, location: int, indicator: int = 0x88) -> bytes:
    return struct.pack("<BBHBxHI20x", indicator, media, 0, 0, sectors, location)


VALIDATION = struct.pack("<BBxx24sHBB", 1, 0, b"", 0x55AA, 0x55, 0xAA)


def test_el_torito() -> None:
    checksum = -sum(struct.unpack("<16H", VALIDATION[:28] + b"\0\0" + VALIDATION[30:])) & 0xFFFF
    validation = VALIDATION[:28] + struct.pack("<H", checksum) + VALIDATION[30:]
    disc = Disc()
    disc.place(bytes(9 * SECTOR))
    catalog = [
        validation,
        boot_entry(0, 4, 25),
        struct.pack("<BBH28x", 0x90, 0xEF, 1),
        boot_entry(0, 0, 26),
        struct.pack("<BBH28x", 0x91, 0, 2),
        boot_entry(0x20, 8, 27, 0),
        struct.pack("<BB30x", 0x44, 0x20),
        struct.pack("<BB30x", 0x44, 0),
        boot_entry(2, 1, 28),
    ]
    el_torito(disc, catalog)
    image = disc.image()
    filesystem = opened(image)
    images = filesystem.boot_images()
    assert [(i.platform, i.bootable, i.media, i.offset) for i in images] == [
        ("x86", True, 0, 25 * SECTOR),
        ("efi", True, 0, 26 * SECTOR),
        ("x86", False, 0, 27 * SECTOR),
        ("x86", True, 2, 28 * SECTOR),
    ]
    assert images[0].load_length == images[0].length == 2048
    assert images[1].length == len(image) - 26 * SECTOR  # UEFI: to the end of the disc
    assert images[3].length == min(1440 * 1024, len(image) - 28 * SECTOR)
    assert filesystem.features == ("rock-ridge-1.09", "el-torito")
    assert filesystem.warnings == []
    found = [item.name for item in filesystem.structures.listed() if item.name.startswith("boot_")]
    assert found == [
        "boot_record",
        "boot_catalog.validation_entry",
        "boot_catalog.default_entry",
        "boot_catalog.section[0]",
        "boot_catalog.section[0].entry[0]",
        "boot_catalog.section[1]",
        "boot_catalog.section[1].entry[0]",
        "boot_catalog.section[1].entry[0].extension",
        "boot_catalog.section[1].entry[0].extension",
        "boot_catalog.section[1].entry[1]",
    ]


def test_el_torito_with_a_wrong_checksum_is_told() -> None:
    disc = Disc()
    el_torito(disc, [VALIDATION[:28] + b"\1\0" + VALIDATION[30:], boot_entry(0, 4, 24)])
    filesystem = opened(disc.image())
    assert len(filesystem.boot_images()) == 1
    assert any("checksum" in warning for warning in filesystem.warnings)


def test_directory_of_many_sectors_and_records_that_stay_inside_them() -> None:
    disc = Disc()
    location = disc.place(b"data")
    start = len(disc.data) // SECTOR
    wanted = [b"n%04d-" % i + b"x" * (i % 90) for i in range(2000)]
    records = [record(b"F%d.;1" % i, location, 4, 0, px(0o100644) + nm(n)) for i, n in enumerate(wanted)]
    sectors = 200
    disc.place(by_hand.directory([record(b"\0", start, sectors * SECTOR, 2, px(0o40755)), *records], sectors))
    disc.records.append(record(b"D", start, sectors * SECTOR, 2, px(0o40755) + nm(b"many")))
    filesystem = opened(disc.image())
    assert [name for name, _ in filesystem.walk(b"/many").entries()] == wanted
    for name in (wanted[0], wanted[999], wanted[-1]):
        assert contents(filesystem.walk(b"/many/" + name)) == b"data"
    assert filesystem.walk(b"/many").lookup(b"missing") is None
    assert filesystem.warnings == []


def test_session_that_sector_16_does_not_know_is_told() -> None:
    first, second = Disc(), Disc()
    first.add(b"old", b"data")
    second.add(b"new", b"data")
    image = first.image()
    image += bytes(-len(image) % (16 * SECTOR)) + second.image()
    filesystem = opened(image)
    assert names(filesystem) == [b"old"]
    assert any("another session begins at sector 32" in warning for warning in filesystem.warnings)


# --- structures -----------------------------------------------------------------------------------


def shown(filesystem: Iso9660, name: str) -> list[str]:
    return [structure.name for structure in filesystem.structures.below(name)]


def test_structures_of_a_directory_are_found_by_its_block() -> None:
    disc = Disc(skip=14)  # Rock Ridge behind what CD-ROM XA has there
    location = disc.add(b"file", b"data")
    filesystem = opened(disc.image())
    names = shown(filesystem, f"directory[{by_hand.ROOT_SECTOR}]")
    assert [name for name in names if name.startswith(f"directory[{by_hand.ROOT_SECTOR}].record[0]")] == [
        f"directory[{by_hand.ROOT_SECTOR}].record[0]",
        *(f"directory[{by_hand.ROOT_SECTOR}].record[0].system_use[{n}]" for n in range(3)),
    ]
    use = filesystem.structures.find(f"directory[{by_hand.ROOT_SECTOR}].record[0].system_use[0]")
    assert use
    assert filesystem.source.read(use.offset, 2) == b"SP"
    assert shown(filesystem, "directory[99999]") == []
    assert shown(filesystem, f"extent[{location}]") == []  # is not compressed
    assert filesystem.structures.find("sector[0].header") is None


def test_structures_of_raw_sectors_end_with_the_image() -> None:
    disc = Disc()
    filesystem = opened(by_hand.raw(bytes(disc.image())))
    last = len(disc.image()) // SECTOR - 1
    assert shown(filesystem, f"sector[{last}]") == [f"sector[{last}].header"]
    assert shown(filesystem, f"sector[{last + 1}]") == []
    assert shown(filesystem, "sector") == []


def test_one_damaged_entry_hides_no_directory_from_inspect() -> None:
    disc = Disc()
    inner = disc.place(b"inside")
    below = len(disc.data) // SECTOR
    dots = [record(b"\0", below, SECTOR, 2), record(b"\1", by_hand.ROOT_SECTOR, 2 * SECTOR, 2)]
    disc.place(by_hand.directory([*dots, record(b"F.;1", inner, 6, 0, px(0o100644) + nm(b"file"))], 1))
    disc.records.append(record(b"A.;1", inner, 6, 0, nm(b"broken") + entry(b"PX", b"")))
    # less than one sector long, as only damage says: all of it is read
    disc.records.append(record(b"D", below, 1, 2, px(0o40755) + nm(b"below")))
    filesystem = opened(disc.image())
    with pytest.raises(ImageError):
        _ = filesystem.walk(b"/broken").kind
    assert f"directory[{below}].record[2]" in {structure.name for structure in filesystem.structures.every()}
    names = [structure.name for structure in filesystem.structures.of_node(filesystem.walk(b"/below/file"))]
    assert names[0] == f"directory[{below}].record[2]"


def test_a_record_in_a_directory_that_no_tree_shows_has_no_number() -> None:
    """It is said to be moved here, and nothing says from where: it is in the tree of plain names alone."""
    disc = Disc()
    inner = disc.place(b"inside")
    moved = len(disc.data) // SECTOR
    dots = [record(b"\0", moved, SECTOR, 2), record(b"\1", by_hand.ROOT_SECTOR, SECTOR, 2)]
    disc.place(by_hand.directory([*dots, record(b"F.;1", inner, 6)], 1))
    disc.records.append(record(b"DEEP", moved, SECTOR, 2, px(0o40700) + nm(b"deep") + entry(b"RE", b"")))
    filesystem = opened(disc.image())
    assert names(filesystem) == []
    node = filesystem.walk(b"/deep/f", root=filesystem.subvolume("iso9660"))
    assert [structure.name for structure in filesystem.structures.of_node(node)] == ["directory_record"]


def test_the_record_of_a_file_is_named_by_its_directory() -> None:
    disc = Disc()
    disc.add(b"file", b"data")
    filesystem = opened(disc.image())
    names = [structure.name for structure in filesystem.structures.of_node(filesystem.walk(b"/file"))]
    assert names[0] == f"directory[{by_hand.ROOT_SECTOR}].record[2]"
