"""ISO 9660 volumes that are damaged or hostile: a clear error or the right file, in bounded time.

The inputs of XSA-497 (CVE-2026-42494, -42495, -62423, -62424, -62425), which ran over the buffers of
Xen's own iso9660 reader, bear its number in their names.
"""

from __future__ import annotations

import contextlib
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import iso9660_image as by_hand
import pytest
from clock import seconds_used
from iso9660_image import Disc, ce, entry, nm, px, record, sl
from test_iso9660_built import SECTOR, contents, joliet, names, opened, pattern

from pybootcfg.errors import BootcfgError, GuestFileMissing, ImageError, LimitExceeded, UnsupportedFeature
from pybootcfg.filesystems.base import Node, Options
from pybootcfg.filesystems.iso9660 import Iso9660
from pybootcfg.kind import Kind
from pybootcfg.source import MemorySource

ROOT = by_hand.ROOT_SECTOR * SECTOR
PRIMARY = 16 * SECTOR


@pytest.fixture(autouse=True)
def _in_bounded_time() -> Iterator[None]:
    start = seconds_used()
    yield
    assert seconds_used() - start < 10


def sample() -> tuple[bytearray, int]:
    """Return a disc with `first`, `second`, `third`, and where in it the record of `second` is."""
    disc = Disc()
    for name in (b"first", b"second", b"third"):
        disc.add(name, b"contents of " + name)
    image = disc.image()
    at = ROOT + sum(image[ROOT + n] for n in record_starts(image, 3))
    return image, at


def record_starts(image: bytes, count: int) -> list[int]:
    starts, at = [], 0
    for _ in range(count):
        starts.append(at)
        at += image[ROOT + at]
    return starts


def listed(filesystem: Iso9660) -> tuple[list[bytes], BootcfgError | None]:
    """Return the names that the root yields, and the error that ends it."""
    found: list[bytes] = []
    try:
        for name, _ in filesystem.root.entries():
            found.append(name)
    except BootcfgError as error:
        return found, error
    return found, None


def warned(filesystem: Iso9660, part: str) -> bool:
    return any(part in warning for warning in filesystem.warnings)


# --- directory records ----------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 20, 33, 40, 255])
def test_xsa_497_record_length(length: int) -> None:
    image, at = sample()
    image[at] = length
    filesystem = opened(image)
    found, error = listed(filesystem)
    assert found[0] == b"first"
    assert b"second" not in found or length > 40
    if error:
        assert isinstance(error, ImageError)
        assert error.structure
    assert contents(filesystem.walk(b"/first")) == b"contents of first"


def test_xsa_497_record_length_zero_ends_the_sector_only() -> None:
    disc = Disc()
    location = disc.place(b"data")
    many = [record(b"F%d" % i, location, 4, 0, px(0o100644) + nm(b"%d" % i)) for i in range(30)]
    disc.records += many
    image = disc.image()
    at = ROOT + sum(image[ROOT + n] for n in record_starts(image, 3))
    image[at] = 0
    found, error = listed(opened(image))
    assert error is None
    assert found[0] == b"0"
    assert b"1" not in found
    assert b"29" in found  # in the second sector


def test_xsa_497_record_over_the_end_of_its_sector() -> None:
    disc = Disc()
    disc.add(b"first", b"data")
    image = disc.image()
    body = bytearray(record(b"L.;1", 24, 4, 0, px(0o100644) + nm(b"last")))
    at = ROOT + SECTOR - 40
    filler = ROOT + sum(image[ROOT + n] for n in record_starts(image, 3))
    while filler < at:  # records without a name fill the sector
        step = min(200, at - filler)
        if at - filler - step < 34:
            step = at - filler
        if step > 254:
            step = 100
        image[filler : filler + step] = record(b"X" * (step - 34 + step % 2), 24, 4).ljust(step, b"\0")[:step]
        image[filler] = step
        filler += step
    image[at : at + len(body)] = body
    found, error = listed(opened(image))
    assert found[0] == b"first"
    assert b"last" not in found
    assert isinstance(error, ImageError)


@pytest.mark.parametrize("length", [0, 200, 255])
def test_name_longer_than_its_record(length: int) -> None:
    image, at = sample()
    image[at + 32] = length
    found, error = listed(opened(image))
    assert found == [b"first"]
    assert isinstance(error, ImageError)


def test_name_not_found_in_a_damaged_directory_is_damage_not_absence() -> None:
    image, at = sample()
    image[at] = 20
    filesystem = opened(image)
    with pytest.raises(ImageError):
        filesystem.walk(b"/second")


def test_extent_beyond_the_image() -> None:
    image, at = sample()
    image[at + 2 : at + 10] = by_hand.both32(0x7FFFFFFF)
    filesystem = opened(image)
    assert names(filesystem) == [b"first", b"second", b"third"]
    with pytest.raises(ImageError, match="behind the end of the image"):
        contents(filesystem.walk(b"/second"))
    assert contents(filesystem.walk(b"/third")) == b"contents of third"


def test_truncated_image_keeps_what_it_has() -> None:
    disc = Disc()
    disc.add(b"first", pattern(5000))
    location = disc.add(b"second", pattern(5000))
    filesystem = opened(disc.image()[: location * SECTOR + 100])
    assert contents(filesystem.walk(b"/first")) == pattern(5000)
    assert warned(filesystem, "but the image only")
    with pytest.raises(ImageError):
        contents(filesystem.walk(b"/second"))


def test_extents_of_the_greatest_size() -> None:
    disc = Disc()
    use = px(0o100644) + nm(b"huge")
    disc.records += [record(b"H.;1", 24, 0xFFFFFFFF, by_hand.MULTI_EXTENT, use) for _ in range(20)]
    disc.records.append(record(b"H.;1", 24, 0xFFFFFFFF, 0, use))
    node = opened(disc.image()).walk(b"/huge")
    assert node.size == 21 * 0xFFFFFFFF
    with pytest.raises(ImageError):
        next(node.runs())
    with pytest.raises(LimitExceeded):
        contents(node)


def test_more_sections_than_any_file_has() -> None:
    disc = Disc()
    start = len(disc.data) // SECTOR
    part = record(b"H.;1", 24, SECTOR, by_hand.MULTI_EXTENT)
    disc.place(by_hand.directory([record(b"\0", start, 200 * SECTOR, 2), *[part] * 5000], 200))
    disc.records.append(record(b"D", start, 200 * SECTOR, 2, px(0o40755) + nm(b"many")))
    with pytest.raises(LimitExceeded) as caught:
        list(opened(disc.image()).walk(b"/many").entries())
    assert caught.value.limit == "iso9660-sections"


def test_last_section_missing() -> None:
    disc = Disc()
    location = disc.add(b"whole", b"data")
    disc.records.insert(0, record(b"H.;1", location, 4, by_hand.MULTI_EXTENT, px(0o100644) + nm(b"half")))
    filesystem = opened(disc.image())
    assert names(filesystem) == [b"half", b"whole"]
    assert warned(filesystem, "last section")


def test_last_section_missing_at_the_end_of_the_directory() -> None:
    disc = Disc()
    location = disc.place(b"data")
    disc.records.append(record(b"H.;1", location, 4, by_hand.MULTI_EXTENT, px(0o100644) + nm(b"half")))
    filesystem = opened(disc.image())
    assert contents(filesystem.walk(b"/half")) == b"data"
    assert names(filesystem) == [b"half"]
    assert warned(filesystem, "the last section of the file at byte")


def test_a_record_without_room_for_its_fixed_part() -> None:
    disc = Disc()
    used = sum(disc.image()[ROOT + n] for n in record_starts(disc.image(), 2))
    while SECTOR - 20 - used >= 100:  # so that 20 bytes are left
        length = min(200, SECTOR - 20 - used - 60) & ~1
        disc.records.append(record(b"F.;1", 24, 0, 0, entry(b"PD", bytes(length - 42))))
        used += len(disc.records[-1])
    disc.records.append(record(b"F.;1", 24, 0, 0, entry(b"PD", bytes(SECTOR - 20 - used - 42))))
    image = disc.image()
    assert not image[ROOT + SECTOR - 20]
    image[ROOT + SECTOR - 20] = 34
    found, error = listed(opened(image))
    assert len(found) == len(disc.records)
    assert isinstance(error, ImageError)
    assert "a directory record goes over the end of its sector" in str(error)
    assert error.offset == ROOT + SECTOR - 20


def test_a_file_that_rock_ridge_calls_a_directory() -> None:
    disc = Disc()
    disc.add(b"file", b"data", mode=0o40755)
    filesystem = opened(disc.image())
    assert filesystem.walk(b"/file").kind is Kind.FILE
    assert contents(filesystem.walk(b"/file")) == b"data"
    assert warned(filesystem, "a directory, which its record does not")


def test_a_name_in_another_case_is_found_before_the_damage() -> None:
    disc = Disc(rock_ridge=False)
    for name in (b"FIRST.;1", b"SECOND.;1"):
        disc.add(name, b"contents of " + name)
    image = disc.image()
    image[ROOT + sum(image[ROOT + n] for n in record_starts(image, 3))] = 20
    filesystem = opened(image)
    assert contents(filesystem.walk(b"/FIRST")) == b"contents of FIRST.;1"
    with pytest.raises(ImageError, match="a directory record of 20 bytes"):
        filesystem.walk(b"/second")


def test_directory_loop_is_told_by_its_key() -> None:
    disc = Disc()
    disc.records.append(record(b"LOOP", by_hand.ROOT_SECTOR, 2 * SECTOR, 2, px(0o40755) + nm(b"loop")))
    filesystem = opened(disc.image())
    assert filesystem.walk(b"/loop").key == filesystem.root.key
    assert filesystem.walk(b"/loop/loop/loop").key == filesystem.root.key


def test_directory_of_four_gibibytes() -> None:
    disc = Disc()
    disc.records.append(record(b"D", by_hand.ROOT_SECTOR, 0xFFFFFFFF, 2, px(0o40755) + nm(b"big")))
    with pytest.raises(ImageError, match="ends behind the image"):
        list(opened(disc.image()).walk(b"/big").entries())


@pytest.mark.parametrize("name", [b"..", b".", b"a/b", b"a\0b"])
def test_impossible_names_are_left_out(name: bytes) -> None:
    disc = Disc()
    disc.add(b"", b"data", px(0o100644) + nm(name))
    disc.add(b"good", b"data")
    filesystem = opened(disc.image())
    assert names(filesystem) == [b"good"]
    assert warned(filesystem, "impossible name")


def test_byte_orders_of_a_record_disagree() -> None:
    image, at = sample()
    image[at + 6 : at + 10] = struct.pack(">I", 99)
    filesystem = opened(image)
    assert contents(filesystem.walk(b"/second")) == b"contents of second"
    assert warned(filesystem, "byte orders of a directory record")


# --- system use areas -----------------------------------------------------------------------------


def with_use(use: bytes) -> Iso9660:
    disc = Disc()
    disc.add(b"", b"contents", use)
    disc.add(b"good", b"data")
    filesystem = opened(disc.image())
    assert b"good" in names(filesystem)
    return filesystem


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_xsa_497_susp_length_underflow(length: int) -> None:
    filesystem = with_use(px(0o100600) + nm(b"name") + b"XX" + bytes((length, 1)))
    node = filesystem.walk(b"/name")
    assert (contents(node), node.mode) == (b"contents", 0o600)
    assert warned(filesystem, f"entry of {length} bytes")


def test_xsa_497_zero_length_entry_does_not_loop() -> None:
    filesystem = with_use(b"NM\0\1" + px(0o100644) + nm(b"name"))
    node = filesystem.root.lookup(b"f0")  # the name that ISO 9660 gives it, as on Linux
    assert node
    assert warned(filesystem, "entry of 0 bytes")
    with pytest.raises(ImageError):  # what it is stands behind the damage
        _ = node.kind


def test_xsa_497_nm_overrun() -> None:
    filesystem = with_use(px(0o100644) + b"NM" + bytes((200, 1, 0)) + b"name")
    assert contents(filesystem.walk(b"/f0")) == b"contents"
    assert warned(filesystem, "entry of 200 bytes")


def test_xsa_497_nm_too_short_for_its_flags() -> None:
    filesystem = with_use(px(0o100644) + b"NM" + bytes((4, 1)) + b"\0\0")
    assert contents(filesystem.walk(b"/f0")) == b"contents"


def test_xsa_497_name_of_many_entries() -> None:
    disc = Disc()
    body = nm(b"n" * 250, 1) * 200
    area = disc.place(body)
    disc.add(b"", b"contents", px(0o100644) + ce(area, 0, len(body)))
    filesystem = opened(disc.image())
    listed(filesystem)
    assert warned(filesystem, "iso9660-name")


@pytest.mark.parametrize(
    ("offset", "length", "part"),
    [
        (2048, 10, "at byte 2048 of its block"),
        (0xFFFFFFFF, 10, "of its block"),
        (0, 0xFFFFFFFF, "iso9660-continuation: 4294967295"),
        (0, 65536, "behind the end of the image"),
        (2000, 100, "over the end of its block"),
    ],
)
def test_xsa_497_ce_overrun(offset: int, length: int, part: str) -> None:
    disc = Disc()
    area = disc.place(bytes(SECTOR))
    disc.add(b"", b"contents", px(0o100644) + nm(b"name") + ce(area, offset, length))
    filesystem = opened(disc.image())
    assert contents(filesystem.walk(b"/name")) == b"contents"
    assert warned(filesystem, part)


def test_xsa_497_ce_block_beyond_the_image() -> None:
    filesystem = with_use(px(0o100644) + nm(b"name") + ce(0xFFFFFFFF, 0, 10))
    assert contents(filesystem.walk(b"/name")) == b"contents"
    assert warned(filesystem, "behind the end of the image")


def test_chain_of_continuation_areas_that_comes_back() -> None:
    disc = Disc()
    area = len(disc.data) // SECTOR
    disc.place(nm(b"a", 1) + ce(area, 0, 34))
    disc.add(b"", b"contents", px(0o100644) + ce(area, 0, 34))
    filesystem = opened(disc.image())
    assert names(filesystem) == [b"a"]
    assert warned(filesystem, "comes back to itself")


def test_chain_of_continuation_areas_without_end() -> None:
    disc = Disc()
    area = len(disc.data) // SECTOR
    disc.place(b"".join(ce(area, 28 * (i + 1), 28) for i in range(70)))
    disc.add(b"", b"contents", px(0o100644) + nm(b"name") + ce(area, 0, 28))
    filesystem = opened(disc.image())
    assert contents(filesystem.walk(b"/name")) == b"contents"
    assert warned(filesystem, "iso9660-continuations")


def test_sl_overrun() -> None:
    filesystem = with_use(px(0o120777) + nm(b"link") + entry(b"SL", bytes((0, 0, 200)) + b"abc"))
    node = filesystem.walk(b"/link", follow=False)
    with pytest.raises(ImageError, match="component of 200 bytes"):
        node.target()


def test_symbolic_link_without_sl() -> None:
    node = with_use(px(0o120777) + nm(b"link")).walk(b"/link", follow=False)
    with pytest.raises(ImageError, match="without SL"):
        node.target()


def test_moved_directory_that_is_not_one() -> None:
    filesystem = with_use(px(0o40755) + nm(b"dir") + entry(b"CL", by_hand.both32(24)))
    node = filesystem.walk(b"/dir")
    with pytest.raises(ImageError):
        list(node.entries())


def test_moved_directory_that_is_its_own_parent() -> None:
    filesystem = with_use(px(0o40755) + nm(b"dir") + entry(b"CL", by_hand.both32(by_hand.ROOT_SECTOR)))
    assert filesystem.walk(b"/dir").key == filesystem.root.key


def test_px_too_short() -> None:
    filesystem = with_use(nm(b"name") + entry(b"PX", b"\0" * 8))
    with pytest.raises(ImageError):
        _ = filesystem.walk(b"/name").kind


def test_byte_orders_of_a_rock_ridge_entry_disagree() -> None:
    bad = entry(b"PX", struct.pack("<I", 0o100600) + bytes(4) + by_hand.both32(1) * 3)
    filesystem = with_use(bad + nm(b"name"))
    assert filesystem.walk(b"/name").mode == 0o600
    assert warned(filesystem, "of a PX entry")


# --- zisofs ---------------------------------------------------------------------------------------


def damaged_zisofs(change: Callable[[bytearray, bytearray], None]) -> Node:
    packed, zf = (bytearray(part) for part in by_hand.zisofs(pattern(100_000)))
    change(packed, zf)
    disc = Disc()
    disc.add(b"", bytes(packed), px(0o100644) + nm(b"file") + bytes(zf))
    return opened(disc.image()).walk(b"/file")


def put(packed: bytearray, at: int, value: int) -> None:
    packed[at : at + 4] = struct.pack("<I", value)


def shortened_block(packed: bytearray, _: bytearray) -> None:
    block = zlib.compress(b"short")
    packed[36 : 36 + len(block)] = block  # behind four blocks' pointers


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda packed, _: put(packed, 0, 1), "header is not"),
        (lambda packed, _: put(packed, 8, 99), "but"),
        (lambda packed, _: put(packed, 20, 0xFFFFFFFF), "pointers"),
        (lambda packed, _: put(packed, 20, 1), "pointers"),
        (lambda packed, _: put(packed, 60, 0xEEEEEEEE), "does not unpack|holds"),
        (lambda packed, _: packed.__delitem__(slice(20, None)), "do not fit"),
        (lambda packed, _: packed.__delitem__(slice(5, None)), "16 bytes of a file wanted, but 5 left"),
        (shortened_block, "holds 5 bytes, not 32768"),
    ],
    ids=["magic", "size", "pointer beyond", "pointer back", "data", "truncated", "no header", "short block"],
)
def test_zisofs_damage(change: Callable[[bytearray, bytearray], None], part: str) -> None:
    with pytest.raises(ImageError, match=part):
        contents(damaged_zisofs(change))


@pytest.mark.parametrize("log2", [0, 3, 11, 18, 64, 255])
def test_zisofs_block_size(log2: int) -> None:
    def change(_: bytearray, zf: bytearray) -> None:
        zf[7] = log2

    with pytest.raises(ImageError, match=f"2\\^{log2} "):
        contents(damaged_zisofs(change))


def test_zisofs_bomb() -> None:
    packed = bytes.fromhex("ef2255a1bc1b95a0") + struct.pack("<BBBBQxxxx", 0, 6, 1, 20, 1 << 60)
    zf = entry(b"ZF", b"PZ" + bytes((6, 20)) + struct.pack("<Q", 1 << 60), 2)
    disc = Disc()
    disc.add(b"", packed, px(0o100644) + nm(b"bomb") + zf)
    node = opened(disc.image()).walk(b"/bomb")
    assert node.size == 1 << 60
    with pytest.raises(ImageError, match="do not fit"):
        next(node.runs())


# --- descriptors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 3, 256, 4096, 65535])
def test_logical_block_size(size: int) -> None:
    image, _ = sample()
    image[PRIMARY + 128 : PRIMARY + 132] = by_hand.both16(size)
    with pytest.raises(ImageError, match=f"block size of {size} bytes"):
        opened(image)


def test_byte_orders_of_the_descriptor_disagree() -> None:
    image, _ = sample()
    image[PRIMARY + 84 : PRIMARY + 88] = b"\0\0\0\1"
    image[PRIMARY + 130 : PRIMARY + 132] = b"\0\3"
    filesystem = opened(image)
    assert contents(filesystem.walk(b"/second")) == b"contents of second"
    assert warned(filesystem, "byte orders of volume_space_size disagree")
    assert warned(filesystem, "byte orders of logical_block_size disagree, 2048 and 3")


def test_no_primary_descriptor() -> None:
    image, _ = sample()
    image[PRIMARY] = 2
    with pytest.raises(ImageError, match="no primary volume descriptor"):
        opened(image)


def test_descriptors_without_a_terminator() -> None:
    image, _ = sample()
    image[17 * SECTOR : 18 * SECTOR] = bytes(SECTOR)
    filesystem = opened(image)
    assert contents(filesystem.walk(b"/second")) == b"contents of second"
    assert warned(filesystem, "without a terminator")


def test_descriptors_without_end() -> None:
    image, _ = sample()
    image += bytes(200 * SECTOR)
    partition = b"\3CD001\1".ljust(SECTOR, b"\0")
    for sector in range(17, 200):
        if sector not in (20, 21):
            image[sector * SECTOR : (sector + 1) * SECTOR] = partition
    opened(image)


def test_root_record_damaged_is_found_by_the_path_table() -> None:
    image, _ = sample()
    image[PRIMARY + 156 + 2 : PRIMARY + 156 + 10] = by_hand.both32(3)
    filesystem = opened(image)
    assert contents(filesystem.walk(b"/second")) == b"contents of second"
    assert warned(filesystem, "path table")


def test_root_record_and_path_table_damaged() -> None:
    image, _ = sample()
    image[PRIMARY + 156 + 2 : PRIMARY + 156 + 10] = by_hand.both32(0x00FFFFFF)
    image[PRIMARY + 140 : PRIMARY + 144] = struct.pack("<I", 0xFFFFFFFF)
    with pytest.raises(ImageError):
        opened(image)


def test_root_directory_overwritten() -> None:
    image, _ = sample()
    image[ROOT : ROOT + SECTOR] = b"\xa5" * SECTOR
    with pytest.raises(ImageError):
        opened(image)


def test_primary_tree_damaged_joliet_sound() -> None:
    disc = Disc()
    location = disc.add(b"rock", b"data")
    joliet(disc, b"E", "BY_HAND", [record("wide".encode("utf-16-be"), location, 4)])
    image = disc.image()
    image[ROOT : ROOT + SECTOR] = bytes(SECTOR)
    filesystem = opened(image)
    assert contents(filesystem.walk(b"/wide")) == b"data"
    assert warned(filesystem, "Joliet's is used")


def test_a_damaged_primary_root_is_not_taken_for_an_empty_one() -> None:
    """Its first record cannot be read; that Joliet's tree is sound does not make another tree of it."""
    disc = Disc()
    location = disc.add(b"rock", b"data")
    joliet(disc, b"E", "BY_HAND", [record("wide".encode("utf-16-be"), location, 4)])
    image = disc.image()
    image[ROOT + sum(image[ROOT + n] for n in record_starts(image, 2))] = 20
    filesystem = opened(image)
    assert "rock-ridge-1.09" in filesystem.features
    assert not warned(filesystem, "empty")
    found, error = listed(filesystem)
    assert found == []
    assert isinstance(error, ImageError)
    assert [name for name, _ in filesystem.subvolume("joliet").entries()] == [b"wide"]


def test_joliet_tree_damaged_primary_sound() -> None:
    disc = Disc(rock_ridge=False)
    location = disc.add(b"PLAIN.;1", b"data")
    joliet(disc, b"E", "BY_HAND", [record("wide".encode("utf-16-be"), location, 4)])
    image = disc.image()
    image[(location + 1) * SECTOR : (location + 2) * SECTOR] = bytes(SECTOR)
    filesystem = opened(image)
    assert contents(filesystem.walk(b"/plain")) == b"data"
    assert warned(filesystem, "primary one is used")


@pytest.mark.parametrize("damaged", ["primary", "joliet"])
def test_one_damaged_tree_hides_no_other_from_inspect(damaged: str) -> None:
    disc = Disc(rock_ridge=False)
    location = disc.add(b"PLAIN.;1", b"data")
    joliet(disc, b"E", "BY_HAND", [record("wide".encode("utf-16-be"), location, 4)])
    image = disc.image()
    roots = {"primary": by_hand.ROOT_SECTOR, "joliet": location + 1}
    start = roots.pop(damaged) * SECTOR
    image[start : start + SECTOR] = bytes(SECTOR)
    (sound,) = roots.values()
    filesystem = opened(image)
    assert "path_table[0]" in {structure.name for structure in filesystem.structures.listed()}
    assert f"directory[{sound}].record[2]" in {structure.name for structure in filesystem.structures.every()}
    node = next(node for _, node in filesystem.root.entries())
    assert next(filesystem.structures.of_node(node)).name == f"directory[{sound}].record[2]"
    assert warned(filesystem, f"the directory tree of the {damaged}_volume_descriptor is damaged")


def test_boot_catalogue_beyond_the_image() -> None:
    disc = Disc()
    descriptor = b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(32, b"\0") + bytes(32) + b"\xff" * 4
    disc.descriptors.append(descriptor.ljust(SECTOR, b"\0"))
    disc.add(b"file", b"data")
    filesystem = opened(disc.image())
    assert filesystem.boot_images() == []
    assert contents(filesystem.walk(b"/file")) == b"data"
    assert warned(filesystem, "El Torito")


def test_boot_catalogue_of_many_entries() -> None:
    disc = Disc()
    validation = struct.pack("<BBxx24sHBB", 1, 0, b"", 0x55AA, 0x55, 0xAA)
    entry_88 = struct.pack("<BBHBxHI20x", 0x88, 0, 0, 0, 4, 24)
    location = disc.place(validation + entry_88 + struct.pack("<BBH28x", 0x91, 0, 65535) + entry_88 * 65535)
    descriptor = b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(32, b"\0") + bytes(32)
    disc.descriptors.append((descriptor + struct.pack("<I", location)).ljust(SECTOR, b"\0"))
    filesystem = opened(disc.image())
    assert len(filesystem.boot_images()) <= 1024
    assert warned(filesystem, "iso9660-boot-entries")


def test_raw_sector_without_its_header() -> None:
    disc = Disc()
    location = disc.add(b"kernel", pattern(5000))
    image = bytearray(by_hand.raw(bytes(disc.image())))
    image[location * 2352 + 3] = 0
    with pytest.raises(ImageError):
        contents(opened(image).walk(b"/kernel"))


# --- anything at all ------------------------------------------------------------------------------


def everything(filesystem: Iso9660) -> None:
    """Read all that a hostile volume shows, one level deep; only errors of the project may come."""
    list(filesystem.structures.listed())
    filesystem.boot_images()
    _ = filesystem.label, filesystem.uuid, filesystem.features
    for _, node in filesystem.root.entries():
        try:
            _ = node.key, node.kind, node.size, node.mode, node.mtime
            if node.kind == "file":
                contents(node)
            elif node.kind == "dir":
                list(node.entries())
            elif node.kind == "symlink":
                node.target()
        except (ImageError, LimitExceeded, UnsupportedFeature, GuestFileMissing):
            continue


@pytest.mark.parametrize("seed", range(40))
def test_bytes_changed_at_random(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    packed, zf = by_hand.zisofs(pattern(70_000))
    disc = Disc()
    disc.add(b"file", b"data")
    disc.add(b"", packed, px(0o100644) + nm(b"packed") + zf)
    disc.add(b"", b"", px(0o120777) + nm(b"link") + sl((8, b""), (0, b"boot")))
    disc.add(b"", b"data", px(0o100644) + nm(b"long", 1) + ce(disc.place(nm(b"er")), 0, 7))
    sound = disc.image()
    places = [*range(PRIMARY, PRIMARY + 200), *range(ROOT, ROOT + 700), *range(len(sound) - 4096, len(sound))]
    for _ in range(15):
        image = bytearray(sound)
        for _ in range(chance.choice((1, 3, 20))):
            image[chance.choice(places)] = chance.choice(
                (0, 1, 3, 4, 0x7F, 0x80, 0xFF, chance.randrange(256))
            )
        image[PRIMARY + 1 : PRIMARY + 6] = b"CD001"
        with contextlib.suppress(BootcfgError):
            everything(opened(image))


def test_an_image_that_ends_before_its_descriptors() -> None:
    with pytest.raises(ImageError, match="the end is at byte"):
        Iso9660(MemorySource(bytes(PRIMARY + 5), "disc"), Options())


def test_a_damaged_directory_is_a_fault_of_its_own_in_inspect() -> None:
    disc = Disc()
    for name in (b"broken", b"sound"):
        place = len(disc.data) // SECTOR
        dots = [record(b"\0", place, SECTOR, 2), record(b"\1", by_hand.ROOT_SECTOR, 2 * SECTOR, 2)]
        disc.place(by_hand.directory(dots, 1) if name == b"sound" else b"\x21" + bytes(40))
        disc.records.append(record(name.upper(), place, SECTOR, 2, px(0o40755) + nm(name)))
    sound = len(disc.data) // SECTOR - 1
    names = {structure.name for structure in opened(disc.image()).structures.every()}
    assert f"directory[{sound - 1}].fault" in names
    assert f"directory[{sound}].record[0]" in names


def test_a_link_from_the_root_on_is_followed_from_there() -> None:
    disc = Disc()
    disc.add(b"file", b"data")
    disc.add(b"link", b"", px(0o120777) + nm(b"link") + sl((8, b""), (0, b"file")))
    filesystem = opened(disc.image())
    assert filesystem.walk(b"/link", follow=False).target() == b"/file"
    assert contents(filesystem.walk(b"/link")) == b"data"
