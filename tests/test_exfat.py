"""exFAT against what was put in, GRUB, sleuthkit, fsck.exfat and blkid; and damaged."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from exfat_image import Volume
from fat_image import carried, contents, listing, manifest, open_bytes
from syrupy.assertion import SnapshotAssertion

from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded, UnsupportedFeature
from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Extent, Hole, Options
from pybootcfg.kind import Kind
from pybootcfg.source import MemorySource

CHAINED = "/Fragmented, with a name of more than fifteen units.bin"


def require(*tools: str) -> None:
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


def run(*command: str | Path) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, timeout=60).stdout.decode(
        "utf-8", "replace"
    )


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(carried("exfat"))
    return path


@pytest.fixture
def volume() -> Volume:
    return Volume(carried("exfat"))


def slot(volume: Volume, kind: int, number: int = 0) -> int:
    """Return where the root's directory entry of that type lies; `number` counts those of the type."""
    start = volume.offset(volume.root)
    found = [place for place in range(start, start + volume.cluster_size, 32) if volume.image[place] == kind]
    return found[number]


# --- whole images --------------------------------------------------------------------------------
def test_carried_image() -> None:
    facts = manifest("exfat")
    filesystem = open_bytes(carried("exfat"))
    assert (filesystem.name, filesystem.label, filesystem.uuid) == ("exfat", facts["label"], facts["uuid"])
    assert dict(listing(filesystem.root)) == facts["files"]
    assert filesystem.warnings == []


def test_carried_image_is_sound(image: Path) -> None:
    require("fsck.exfat", "blkid")
    assert "clean" in run("fsck.exfat", "-n", image)
    facts = manifest("exfat")
    assert run("blkid", "-p", "-o", "value", "-s", "UUID", image).strip() == facts["uuid"]
    assert run("blkid", "-p", "-o", "value", "-s", "LABEL", image).strip() == facts["label"]


def test_grub_reads_the_same(image: Path) -> None:
    require("grub-fstest")
    filesystem = open_bytes(carried("exfat"))
    for path in (CHAINED, "/vmlinuz", "/valid.bin", "/Übergröße-名前-😀.txt", "/boot/grub/grub.cfg"):
        command = ["grub-fstest", str(image), "cat", f"(loop0){path}"]
        data = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
        assert contents(filesystem.walk(path.encode())) == data


def test_sleuthkit_lists_the_same(image: Path) -> None:
    require("fls")
    lines = run("fls", "-f", "exfat", "-r", "-p", image).splitlines()
    files = {"/" + line.split("\t")[1] for line in lines if line.startswith("r/r") and "$" not in line}
    assert files - {"/Mein Stick (Volume Label Entry)"} == manifest("exfat")["files"].keys()


@pytest.mark.parametrize("cluster", ["512", "4K", "64K", "1M"])
def test_what_mkfs_makes(cluster: str, tmp_path: Path) -> None:
    require("mkfs.exfat", "fsck.exfat")
    path = tmp_path / "image"
    path.write_bytes(bytes(24 << 20))
    run("mkfs.exfat", "-c", cluster, "-L", "Ünï", path)
    volume = Volume(path.read_bytes())
    data = random.Random(cluster).randbytes(100_001)  # noqa: S311
    volume.fill({"a": {"b": (data,)}, "c": (data, "chain")})
    path.write_bytes(volume.image)
    assert "clean" in run("fsck.exfat", "-n", path)
    filesystem = open_bytes(volume.image)
    assert filesystem.label == "Ünï"
    assert contents(filesystem.walk(b"/A/B")) == contents(filesystem.walk(b"/C")) == data
    assert filesystem.warnings == []


def test_runs() -> None:
    filesystem = open_bytes(carried("exfat"))
    assert len(list(filesystem.walk(b"/vmlinuz").runs())) == 1
    assert len(list(filesystem.walk(CHAINED.encode()).runs())) > 3
    first, rest = filesystem.walk(b"/valid.bin").runs()
    assert isinstance(first, Extent)
    assert first.length == 5000
    assert rest == Hole(15000)


def test_names_compare_by_the_table_of_the_volume() -> None:
    filesystem = open_bytes(carried("exfat"))
    for path in ("/ÜBERGRÖßE-名前-😀.TXT", "/übergröße-名前-😀.txt", "/BOOT/GRUB/GRUB.CFG", CHAINED.upper()):
        assert filesystem.walk(path.encode()).kind is Kind.FILE
    assert filesystem.root.lookup(b"nothing") is None
    assert filesystem.root.lookup(b"\xff") is None


def test_times() -> None:
    node = open_bytes(carried("exfat")).walk(b"/vmlinuz")
    assert node.mtime == 1709206496  # date -u -d '2024-02-29 12:34:56 +0100' +%s
    assert node.mode is None


def test_traced_structures(snapshot: SnapshotAssertion) -> None:
    filesystem = open_bytes(carried("exfat"))
    shown = []
    for structure in filesystem.structures.listed():
        trace = structure.decoder.trace(filesystem.source, structure.offset)
        assert not trace.damaged()
        shown.append(f"{structure.name} at {structure.offset:#x}")
        shown += [
            f"  {field.name}: {field.type} {field.value!r} {field.symbol or ''}".rstrip()
            for field in trace.children or [trace]
            if field.size <= 32
        ]
        if structure.name == "root[6]":
            break
    assert "\n".join(shown) == snapshot


# --- damage --------------------------------------------------------------------------------------
def warned(image: bytes | bytearray, *words: str) -> bool:
    filesystem = open_bytes(image)
    assert dict(listing(filesystem.root)) == manifest("exfat")["files"]
    filesystem.root.lookup(b"LOOKS INTO THE UPCASE TABLE")
    return any(all(word in warning for word in words) for warning in filesystem.warnings)


@pytest.mark.parametrize("fill", [0x00, 0xFF, 0x5A])
def test_main_boot_sector_overwritten(volume: Volume, fill: int) -> None:
    volume.image[:512] = bytes([fill]) * 512
    assert warned(volume.image, "main boot region is damaged", "backup is used")


def test_boot_checksums(volume: Volume) -> None:
    volume.image[600] ^= 1
    assert warned(volume.image, "its checksum is wrong", "backup is used")
    volume.image[600 + 12 * 512] ^= 1
    assert warned(volume.image, "boot region is damaged", "checksum is wrong")


def test_flags_and_use_are_not_in_the_checksum(volume: Volume) -> None:
    volume.image[106], volume.image[112] = 2, 77
    assert open_bytes(volume.image).warnings == []


@pytest.mark.parametrize(
    ("place", "code", "value", "words"),
    [
        (11, "<B", 1, "another file system"),
        (108, "<B", 8, "sectors of 2\\^8 bytes"),
        (109, "<B", 255, "clusters of 2\\^264 bytes"),
        (110, "<B", 0, "0 FATs"),
        (84, "<I", 1, "a FAT too small"),
        (92, "<I", 0, "do not fit"),
        (88, "<I", 1, "do not fit"),
        (72, "<Q", 1, "do not fit"),
        (96, "<I", 1, "a root directory in cluster 1"),
        (96, "<I", 0xFFFFFFFF, "a root directory in cluster 4294967295"),
    ],
)
def test_boot_sector_fields(volume: Volume, place: int, code: str, value: int, words: str) -> None:
    for start in (0, 12 * 512):
        struct.pack_into(code, volume.image, start + place, value)
    with pytest.raises(ImageError, match=words):
        open_bytes(volume.image)


def test_texfat_is_refused_by_name(volume: Volume) -> None:
    for start in (0, 12 * 512):
        volume.image[start + 110] = 2
    with pytest.raises(UnsupportedFeature) as caught:
        open_bytes(volume.image)
    assert caught.value.name == "texfat"


def test_entry_set_checksum(volume: Volume) -> None:
    volume.image[slot(volume, 0x85) + 2] ^= 1
    assert warned(volume.image, "vmlinuz", "checksum of its entry set is wrong")


@pytest.mark.parametrize("kind", [0x41, 0x85, 0x00])  # unused, another file, the end of the directory
def test_entry_set_cut_short(volume: Volume, kind: int) -> None:
    """It is missed by name, and hides no other but behind the end."""
    place = slot(volume, 0xC1)
    volume.image[place : place + 2] = bytes([kind, 2])
    filesystem = open_bytes(volume.image)
    assert filesystem.root.lookup(b"vmlinuz") is None
    assert (filesystem.root.lookup(b"valid.bin") is None) == (kind == 0)
    assert any("is not whole and left out" in warning for warning in filesystem.warnings)


def test_entry_set_without_stream_extension(volume: Volume) -> None:
    volume.image[slot(volume, 0xC0)] = 0xC1
    filesystem = open_bytes(volume.image)
    assert filesystem.root.lookup(b"vmlinuz") is None
    assert filesystem.root.lookup(b"valid.bin") is not None
    assert any("has no stream extension" in warning for warning in filesystem.warnings)


def test_upcase_table_damaged(volume: Volume) -> None:
    place = slot(volume, 0x82)
    volume.image[place + 4] ^= 1
    assert warned(volume.image, "up-case table is wrong")
    struct.pack_into("<Q", volume.image, place + 24, 1 << 40)
    with pytest.raises(LimitExceeded):
        open_bytes(volume.image).root.lookup(b"anything")


@pytest.mark.parametrize(
    ("offset", "code", "value", "words"),
    [
        (20, "<I", 0, "do not all exist"),
        (20, "<I", 0xFFFFFF00, "do not all exist"),
        (24, "<Q", 1 << 63, "more than the volume"),
        (24, "<Q", 1536 * 4096, "do not all exist"),
    ],
)
def test_contiguous_file(volume: Volume, offset: int, code: str, value: int, words: str) -> None:
    struct.pack_into(code, volume.image, slot(volume, 0xC0) + offset, value)
    node = open_bytes(volume.image).walk(b"/vmlinuz")
    with pytest.raises(ImageError, match=words):
        contents(node)


Edit = Callable[[list[int]], tuple[int, int]]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda chain: (chain[3], chain[1]), "leads back into itself"),
        (lambda chain: (chain[-1], chain[0]), "leads back into itself"),
        (lambda chain: (chain[3], 0), "a free cluster"),
        (lambda chain: (chain[3], 0xFFFFFFF7), "marked bad"),
        (lambda chain: (chain[3], 0x0FFFFFFF), "does not exist"),
        (lambda chain: (chain[3], 0xFFFFFFFF), "too early"),
    ],
)
def test_chain(volume: Volume, edit: Edit, words: str) -> None:
    (cluster,) = struct.unpack_from("<I", volume.image, slot(volume, 0xC0, 1) + 20)
    chain = []
    while cluster != 0xFFFFFFFF:
        chain.append(cluster)
        (cluster,) = struct.unpack_from("<I", volume.image, volume.fat + 4 * cluster)
    cluster, value = edit(chain)
    struct.pack_into("<I", volume.image, volume.fat + 4 * cluster, value)
    with pytest.raises(ImageError, match=words):
        contents(open_bytes(volume.image).walk(CHAINED.encode()))


def test_truncated(volume: Volume) -> None:
    filesystem = open_bytes(volume.image[: volume.offset(volume.root) + 4096])
    assert filesystem.warnings
    with pytest.raises(ImageError, match="the end is at byte"):
        contents(filesystem.walk(b"/vmlinuz"))


def test_noise_in_the_metadata(volume: Volume) -> None:
    chance = random.Random(11)  # noqa: S311
    root = volume.offset(volume.root)
    places = [*range(64, 120), *range(volume.fat, volume.fat + 200), *range(root, root + 1000)]
    for _ in range(100):
        image = bytearray(volume.image)
        for place in chance.sample(places, chance.randrange(1, 12)):
            image[place] = chance.choice((0, 1, 0x10, 0x85, 0xC0, 0xC1, 0xFF, chance.randrange(256)))
        try:
            filesystem = open_filesystem(MemorySource(bytes(image), "image"), Options())
            if filesystem is not None:
                dict(listing(filesystem.root))
        except (BootcfgError, RecursionError):  # listing() does not look for loops
            pass


def test_a_volume_without_label_and_table(volume: Volume) -> None:
    """Both entries may be unused: no label then, and names compare by Unicode's own table."""
    for kind in (0x83, 0x82):
        volume.image[slot(volume, kind)] = kind & 0x7F
    filesystem = open_bytes(volume.image)
    assert filesystem.label == ""
    assert filesystem.root.lookup(b"VMLINUZ") is not None
    assert "there is no up-case table; that of Unicode is used" in filesystem.warnings


def test_a_label_that_cannot_be_read(volume: Volume) -> None:
    """The root directory leads back into itself, so that no search in it comes to an end."""
    struct.pack_into("<I", volume.image, volume.fat + 4 * volume.root, volume.root)
    volume.image[slot(volume, 0x83)] = 3
    start = volume.offset(volume.root)
    for place in range(start, start + volume.cluster_size, 32):
        if not volume.image[place]:
            volume.image[place] = 1  # not the end of the directory
    filesystem = open_bytes(volume.image)
    assert filesystem.label == ""
    assert any(warning.startswith("the label cannot be read") for warning in filesystem.warnings)


def test_a_time_without_an_offset_is_taken_as_utc(volume: Volume) -> None:
    (name, node) = next(iter(open_bytes(volume.image).root.entries()))
    place = slot(volume, 0x85)
    before = node.mtime
    assert before is not None
    offset = volume.image[place + 23]
    assert offset & 0x80
    quarters = (offset & 0x7F) - (0x80 if offset & 0x40 else 0)
    volume.image[place + 23] = 0
    assert open_bytes(volume.image).root.lookup(name).mtime == before + quarters * 900  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [512, 5000, 12 * 512])
def test_a_boot_region_that_is_cut_off(volume: Volume, size: int) -> None:
    with pytest.raises(ImageError):
        open_bytes(volume.image[:size]).root.lookup(b"vmlinuz")


def test_structures_that_are_not_there(volume: Volume) -> None:
    filesystem = open_bytes(volume.image)
    assert filesystem.structures.find("directory[99999].entry[0]") is None
    for kind in (0x81, 0x82):
        volume.image[slot(volume, kind)] = kind & 0x7F  # not in use
    names = {structure.name for structure in open_bytes(volume.image).structures.every()}
    assert "fat.entries[2]" in names
    assert not any("bitmap" in name or "upcase" in name for name in names)


def test_a_table_whose_clusters_cannot_be_is_told(volume: Volume) -> None:
    struct.pack_into("<I", volume.image, slot(volume, 0x81) + 20, 0xFFFFFF)
    filesystem = open_bytes(volume.image)
    names = {structure.name for structure in filesystem.structures.every()}
    assert "upcase_table" in names
    assert "allocation_bitmap" not in names
    assert any(warning.startswith("allocation_bitmap: ") for warning in filesystem.warnings)


def test_whose_byte_it_is(volume: Volume) -> None:
    filesystem = open_bytes(volume.image)
    upcase = struct.unpack_from("<I", volume.image, slot(volume, 0x82) + 20)[0]
    owner = filesystem.structures.owner
    assert owner(volume.fat + 4 * 3 + 1) == "fat.entries[3]"
    assert owner(volume.bitmap) == "allocation_bitmap"
    assert owner(volume.offset(upcase) + 10) == "upcase_table"
    assert owner(len(volume.image) - 1) == ""


def test_a_damaged_directory_hides_no_other_from_inspect(volume: Volume) -> None:
    volume.fill({"broken": {"x": (b"x",)}, "sound": {"y": (b"y",)}})
    keys = {path: node.key for path, node in open_bytes(volume.image).nodes()}
    broken, sound = keys[b"/broken"], keys[b"/sound"]
    start = volume.offset(volume.root)
    for place in range(start, start + volume.cluster_size, 32):
        if volume.image[place] == 0xC0 and volume.image[place + 20 : place + 24] == broken.to_bytes(
            4, "little"
        ):
            struct.pack_into("<Q", volume.image, place + 24, 1 << 40)  # DataLength
    names = {structure.name for structure in open_bytes(volume.image).structures.every()}
    assert f"directory[{broken}].entry.fault" in names
    assert f"directory[{sound}].entry[0]" in names


def test_a_damaged_root_directory_hides_no_entry_of_the_fat(volume: Volume) -> None:
    """Its chain is broken, and what the root has of the tables stands behind the break."""
    struct.pack_into("<I", volume.image, volume.fat + 4 * volume.root, 0x7FFFFFFF)
    for kind in (0x81, 0x82):
        volume.image[slot(volume, kind)] = kind & 0x7F
    start = volume.offset(volume.root)
    for place in range(start, start + volume.cluster_size, 32):
        volume.image[place] = volume.image[place] or 1  # not the end of the directory
    names = {structure.name for structure in open_bytes(volume.image).structures.every()}
    assert {f"fat.entries[{volume.root}]", "root.fault"} <= names
