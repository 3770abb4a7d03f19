"""FAT12, FAT16 and FAT32 against what mtools put in, and against GRUB and blkid."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import shutil
import subprocess
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from fat_image import CORPUS, Disk, carried, contents, entry, listing, long_entries, manifest, open_bytes
from syrupy.assertion import SnapshotAssertion

from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Extent, Filesystem, Options
from pybootcfg.kind import Kind
from pybootcfg.source import FileSource, Window

CARRIED = ("fat12", "fat16", "fat32")


def require(*tools: str) -> None:
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


def run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    words = [str(word) for word in command]
    return subprocess.run(words, check=check, capture_output=True, timeout=60)


def blkid(image: Path) -> dict[str, str]:
    lines = run("blkid", "-p", "-o", "export", image).stdout.decode().splitlines()
    return dict(line.replace("\\ ", " ").split("=", 1) for line in lines)


def open_path(path: Path) -> Filesystem:
    filesystem = open_filesystem(FileSource.open(path), Options())
    assert filesystem is not None
    return filesystem


# --- whole images --------------------------------------------------------------------------------
@pytest.mark.parametrize("name", CARRIED)
def test_carried_images(name: str) -> None:
    facts = manifest(name)
    filesystem = open_bytes(carried(name))
    assert (filesystem.name, filesystem.label, filesystem.uuid) == (name, facts["label"], facts["uuid"])
    assert dict(listing(filesystem.root)) == facts["files"]
    assert filesystem.warnings == []


@pytest.mark.parametrize("name", CARRIED)
def test_carried_images_are_what_grub_reads(name: str, tmp_path: Path) -> None:
    require("grub-fstest")
    image = tmp_path / "image"
    image.write_bytes(carried(name))
    filesystem = open_path(image)
    for path in manifest(name)["files"]:
        if "many" not in path:
            data = run("grub-fstest", image, "cat", f"(loop0){path}").stdout
            assert contents(filesystem.walk(path.encode())) == data, path


@pytest.mark.parametrize(
    "name", ["fat12", "fat12-plain83", "fat16", "fat32", "fat32-4ksector", "fat32-linux"]
)
def test_corpus_images(corpus: Any, name: str) -> None:
    facts = corpus.manifest(name)
    filesystem = open_path(corpus.disks(name)[0])
    expected = {p: [f["size"], f["sha256"]] for p, f in facts["files"].items() if f["type"] == "file"}
    assert dict(listing(filesystem.root)) == expected
    assert filesystem.name == facts["blkid"]["VERSION"].lower()
    assert (filesystem.label, filesystem.uuid) == (facts["blkid"]["LABEL"], facts["blkid"]["UUID"])
    assert filesystem.warnings == []
    for path, fact in facts["files"].items():
        if not path.startswith("/many/"):
            upper = filesystem.walk(path.upper().encode())
            assert upper.kind == fact["type"], path


@pytest.mark.parametrize(
    ("name", "sector", "count"), [("part-gpt-boot", 4096, 10240), ("part-mbr-logical", 28672, 9000)]
)
def test_partitions(corpus: Any, name: str, sector: int, count: int) -> None:
    source = FileSource.open(corpus.disks(name)[0])
    filesystem = open_filesystem(Window(source, sector * 512, count * 512, "p"), Options())
    assert filesystem is not None
    assert filesystem.name == "fat16"
    assert filesystem.warnings == []
    if name == "part-gpt-boot":
        assert filesystem.walk(b"/efi/Fedora/grub.CFG").read().startswith(b"search --no-floppy")


# mkfs.fat calls some of these too small for FAT32; to Linux, GRUB and blkid they are FAT32 all the same
@pytest.mark.no_cover
@pytest.mark.parametrize("sector", [512, 1024, 2048, 4096])
@pytest.mark.parametrize("bits", [12, 16, 32])
def test_what_mkfs_makes(bits: int, sector: int, tmp_path: Path) -> None:
    require("mkfs.fat", "mcopy", "blkid")
    data = random.Random(bits * sector).randbytes(70_001)  # noqa: S311
    file = tmp_path / "file"
    file.write_bytes(data)
    made = 0
    for per_cluster, fats, reserved, blocks in itertools.product(
        (1, 4, 32), (1, 2, 3), ((), ("-R", "7")), (3000, 40000)
    ):
        image = tmp_path / "image"
        image.unlink(missing_ok=True)
        sizes = ("-F", bits, "-S", sector, "-s", per_cluster, "-f", fats, *reserved)
        options = [str(option) for option in sizes]
        if run("mkfs.fat", *options, "-n", "A LABEL", "-C", image, str(blocks), check=False).returncode:
            continue
        copied = run("mcopy", "-i", image, file, "::/A long Name.bin", check=False).returncode == 0
        filesystem, facts = open_path(image), blkid(image)
        assert (filesystem.name, filesystem.label) == (f"fat{bits}", "A LABEL"), options
        assert (facts["VERSION"].lower(), facts["UUID"]) == (filesystem.name, filesystem.uuid), options
        assert filesystem.warnings == [], options
        if copied:  # mtools does not touch a FAT32 with too few clusters
            assert filesystem.walk(b"/a LONG name.BIN").read() == data, options
        made += 1
    assert made


def test_the_type_follows_the_number_of_clusters() -> None:
    for clusters, name in ((4084, "fat12"), (4085, "fat16"), (65524, "fat16")):
        disk = Disk(carried("fat16"))
        total = (disk.heap // 512) + clusters
        disk.poke(19, "<H", total if total < 65536 else 0)
        disk.poke(32, "<I", total)
        assert open_bytes(disk.image).name == name


def test_no_boot_signature() -> None:
    for name in CARRIED:
        image = bytearray(carried(name))
        image[510:512] = bytes(2)
        filesystem = open_bytes(image)
        assert dict(listing(filesystem.root)) == manifest(name)["files"]


# --- labels, times -------------------------------------------------------------------------------
def test_label_is_that_of_the_root_directory(tmp_path: Path) -> None:
    disk = Disk(carried("fat16"))
    place = disk.image.index(b"SIXTEEN    ", disk.root)
    image = tmp_path / "image"
    variants = {}
    disk.image[place : place + 11] = b"OTHER ONE  "
    variants["OTHER ONE"] = bytes(disk.image)
    disk.image[place] = 0xE5
    variants[""] = bytes(disk.image)
    for label, data in variants.items():
        assert open_bytes(data).label == label
        if shutil.which("blkid"):
            image.write_bytes(data)
            assert blkid(image).get("LABEL", "") == label


def test_serial_needs_its_signature(tmp_path: Path) -> None:
    for signature in (0x28, 0x29, 0x00):
        image = bytearray(carried("fat16"))
        image[38] = signature
        uuid = open_bytes(image).uuid
        assert uuid == ("1616-BEEF" if signature else "")
        if shutil.which("blkid"):
            (tmp_path / "image").write_bytes(image)
            assert blkid(tmp_path / "image").get("UUID", "") == uuid


def test_time_is_taken_as_utc() -> None:
    disk = Disk(carried("fat16"))
    place = disk.slot(b"LOWER   TXT")
    disk.image[place : place + 32] = entry(b"LOWER   TXT", lower=0x18)
    node = open_bytes(disk.image).walk(b"/lower.txt")
    assert node.mtime == 1709210096  # date -u -d '2024-02-29 12:34:56' +%s
    assert node.mode is None
    disk.poke(place + 24, "<H", 0)
    assert open_bytes(disk.image).walk(b"/lower.txt").mtime is None


# --- names ---------------------------------------------------------------------------------------
def names_in_root(*slots: bytes) -> tuple[list[str], Filesystem]:
    """Put directory entries into an empty root directory and list it."""
    disk = Disk(carried("fat16"))
    disk.image[disk.root : disk.heap] = b"".join(slots).ljust(disk.heap - disk.root, b"\0")
    filesystem = open_bytes(disk.image)
    return [name.decode("utf-8", "surrogatepass") for name, _ in filesystem.root.entries()], filesystem


SHORT = b"LONGNA~1TXT"


@pytest.mark.parametrize(
    ("raw", "lower", "name"),
    [
        (b"README  TXT", 0x00, "README.TXT"),
        (b"README  TXT", 0x08, "readme.TXT"),
        (b"README  TXT", 0x10, "README.txt"),
        (b"README  TXT", 0x18, "readme.txt"),
        (b"NOEXT      ", 0x00, "NOEXT"),
        (b"A B C   D E", 0x00, "A B C.D E"),
        (b"\x05AB     X  ", 0x00, "\N{GREEK SMALL LETTER SIGMA}AB.X"),  # 0x05: 0xE5
        (b"\x9aBER    TXT", 0x08, "über.TXT"),
        (b"\x80\xa5      ", 0x00, "ÇÑ"),
    ],
)
def test_short_names(raw: bytes, lower: int, name: str) -> None:
    names, filesystem = names_in_root(entry(raw.ljust(11), lower=lower))
    assert names == [name]
    for spelling in (name, name.upper(), name.lower()):
        assert filesystem.root.lookup(spelling.encode()) is not None, spelling


def test_short_name_in_code_page_850() -> None:
    names, filesystem = names_in_root(entry(b"\xb5\xd6\xe3     TXT"))
    assert names == ["╡╓π.TXT"]  # as Linux, whose default is code page 437, shows it
    assert filesystem.root.lookup("ÁÍÒ.txt".encode()) is not None


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "exactly13unit",
        "exactly-26-units-of-utf-16",
        "x" * 255,
        "Ünï-名前-Ж.txt",
        "emoji-😀-𠀀.txt",
        "twelve-units😀.txt",
    ],
)
def test_long_names(name: str) -> None:
    names, filesystem = names_in_root(*long_entries(name, SHORT), entry(SHORT))
    assert names == [name]
    assert filesystem.warnings == []
    for spelling in (name.encode(), name.upper().encode(), b"LONGNA~1.TXT", b"longna~1.txt"):
        assert filesystem.root.lookup(spelling) is not None, spelling
    assert filesystem.root.lookup(b"no such name") is None
    assert filesystem.root.lookup(b"\xff\xfe") is None


def test_lone_surrogates_stay_apart() -> None:
    names, _ = names_in_root(*long_entries("a\ud800b", SHORT), entry(SHORT))
    assert names == ["a\ud800b"]


def test_the_exact_name_comes_before_one_in_another_case() -> None:
    one, two = b"NAME~1     ", b"NAME~2     "
    slots = [
        *long_entries("Ärger", one),
        entry(one, size=0),
        *long_entries("ärger", two),
        entry(two, first=5, size=9),
    ]
    _, filesystem = names_in_root(*slots)
    sizes = [filesystem.walk(name.encode()).size for name in ("/Ärger", "/ärger", "/ÄRGER")]
    assert sizes == [0, 9, 0]


LONG = long_entries("a long name of three entries", SHORT)


@pytest.mark.parametrize(
    ("fault", "slots"),
    [
        ("wrong checksum", long_entries("a long name", SHORT, checksum=1)),
        ("wrong order", [LONG[0], LONG[2], LONG[1]]),
        ("first piece missing", LONG[1:]),
        ("last piece missing", LONG[:2]),
        ("piece in the middle missing", [LONG[0], LONG[2]]),
        ("orphan before another name", [*LONG[:2], *LONG[:1]]),
        ("deleted entry in between", [*LONG, b"\xe5" + entry(b"XDELETED   ")[1:]]),
        ("label in between", [*LONG, entry(b"LABEL      ", 0x08)]),
        ("too many pieces", [bytes([0x40 | 21]) + LONG[0][1:], *LONG[1:]]),
        (
            "a piece of another name",
            [LONG[0], long_entries("another long name, of 3 entries", b"OTHER   TXT")[1], LONG[2]],
        ),
        ("a path for a name", long_entries("../../etc/passwd", SHORT)),
        ("the parent for a name", long_entries("..", SHORT)),
    ],
)
def test_a_bad_long_name_leaves_the_short_one(fault: str, slots: list[bytes]) -> None:
    names, _ = names_in_root(*slots, entry(SHORT))
    assert names == ["LONGNA~1.TXT"], fault


def test_what_is_not_listed() -> None:
    names, _ = names_in_root(
        entry(b"LABEL      ", 0x08),
        entry(b"\xe5ONE       "),
        entry(b".          ", 0x10),
        entry(b"..         ", 0x10),
        entry(b"        EXT"),
        entry(b"A/B        "),
        entry(b"SHOWN      ", 0x27),
        entry(b"\0"),
        entry(b"BEHIND     "),
    )
    assert names == ["SHOWN"]


def test_upper_half_of_the_cluster_counts_in_fat32_only() -> None:
    disk = Disk(carried("fat16"))
    disk.poke(disk.slot(b"VMLINU~10-T") + 20, "<H", 0x4711)  # the handle of OS/2 extended attributes
    filesystem = open_bytes(disk.image)
    data = contents(filesystem.walk(b"/vmlinuz-6.1.0-test"))
    assert [len(data), hashlib.sha256(data).hexdigest()] == manifest("fat16")["files"]["/vmlinuz-6.1.0-test"]


# --- bulk ----------------------------------------------------------------------------------------
def sparse_fat32(path: Path, clusters: list[int]) -> None:
    """Make an empty FAT32 of 128 MiB with a file BIG in the given clusters of 512 bytes."""
    require("mkfs.fat")
    run("mkfs.fat", "-F", "32", "-s", "1", "-f", "1", "-C", path, str(128 << 10))
    with path.open("r+b") as file:
        head = Disk(file.read(1 << 20))
        for cluster, following in itertools.pairwise([*clusters, 0x0FFFFFFF]):
            file.seek(head.fat + 4 * cluster)
            file.write(following.to_bytes(4, "little"))
        file.seek(head.cluster(2))
        file.write(entry(b"BIG        ", first=clusters[0], size=512 * len(clusters)))


def test_a_contiguous_file_is_one_run(tmp_path: Path) -> None:
    sparse_fat32(tmp_path / "image", list(range(3, 3 + 122_880)))  # 60 MiB
    filesystem = open_path(tmp_path / "image")
    started = time.perf_counter()
    node = filesystem.walk(b"/big")
    runs = list(node.runs())
    assert time.perf_counter() - started < 0.5  # measured: 6 ms
    assert len(runs) == 1
    assert runs[0].length == node.size == 60 << 20


@pytest.mark.no_cover
def test_a_fragmented_file_takes_little_memory(tmp_path: Path) -> None:
    clusters = [*range(3, 120_003, 2), *range(4, 120_004, 2)]
    sparse_fat32(tmp_path / "image", clusters)
    filesystem = open_path(tmp_path / "image")
    node = filesystem.walk(b"/big")
    heap = filesystem.cluster_offset(2)  # type: ignore[attr-defined]
    tracemalloc.start()
    for cluster, run_ in zip(clusters, node.runs(), strict=True):
        assert isinstance(run_, Extent)
        assert (run_.offset, run_.length) == (heap + (cluster - 2) * 512, 512)
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


# --- inspect -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", CARRIED)
def test_traced_structures(name: str, snapshot: SnapshotAssertion) -> None:
    filesystem = open_bytes(carried(name))
    shown = []
    for structure in filesystem.structures.listed():
        trace = structure.decoder.trace(filesystem.source, structure.offset)
        assert not trace.damaged()
        shown.append(f"{structure.name} at {structure.offset:#x}")
        shown += [
            f"  {field.name}: {field.type} {field.value!r} {field.symbol or ''}".rstrip()
            for field in trace.children or [trace]
            if field.size <= 16 and not field.name.startswith(("dir_crt", "dir_wrt", "dir_lst"))
        ]
        if structure.name == "root[3]":
            break
    assert "\n".join(shown) == snapshot


def test_manifests_have_an_image() -> None:
    for path in CORPUS.glob("*.json"):
        assert json.loads(path.read_text())["files"]
        assert path.with_suffix(".img.xz").stat().st_size < 100_000


def test_root_is_a_directory() -> None:
    root = open_bytes(carried("fat32")).root
    assert (root.kind, root.size, root.mtime) == (Kind.DIRECTORY, 0, None)


def test_entries_of_no_table_are_not_found() -> None:
    structures = open_bytes(carried("fat16")).structures
    found = structures.find("fat[0].entries[2]")
    assert found
    assert found.offset == Disk(carried("fat16")).fat + 4
    for name in ("fat[2].entries[2]", "fat[0].entries[70000]", "fat[x].entries[2]", "fat[0].entries[-1]"):
        assert structures.find(name) is None
