"""Partition tables against what sfdisk, fdisk, mmls and grub-fstest say of the same images."""

from __future__ import annotations

import json
import lzma
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pybootcfg.errors import UsageError
from pybootcfg.source import FileSource, MemorySource
from pybootcfg.volumes import Table, boot_order, read_table

IMAGES = Path(__file__).parent / "corpus" / "partitions"
KNOWN: dict[str, Any] = json.loads((IMAGES / "tables.json").read_text("utf-8"))
EXTENDED = {"5", "f", "85"}


def source(name: str) -> MemorySource:
    return MemorySource(lzma.decompress((IMAGES / f"{name}.img.xz").read_bytes()), name)


def listed(table: Table) -> list[tuple[int, int]]:
    return [(v.start, v.size) for v in table.volumes if v.name != "p0"]


def sfdisk_partitions(known: dict[str, Any]) -> list[dict[str, Any]]:
    return [p for p in known["partitions"] if not (known["label"] == "dos" and p["type"] in EXTENDED)]


@pytest.mark.parametrize("name", ["mbr-logical", "gpt", "gpt-hybrid", "gpt-backup", "iso-gpt"])
def test_agrees_with_sfdisk(name: str) -> None:
    known = KNOWN[name]["sfdisk"]
    table = read_table(source(name))
    partitions = sfdisk_partitions(known)
    volumes = [v for v in table.volumes if v.name != "p0"]
    assert table.sector_size == known["sectorsize"]
    assert listed(table) == [(p["start"] * 512, p["size"] * 512) for p in partitions]
    assert [v.name for v in volumes] == [f"p{n}" for n in range(1, len(partitions) + 1)]
    if known["label"] == "gpt":
        assert [v.type for v in volumes] == [p["type"] for p in partitions]
        assert [v.guid for v in volumes] == [p["uuid"].lower() for p in partitions]
        assert [v.label for v in volumes] == [p.get("name", "") for p in partitions]
    else:
        numbers = [int(re.findall(r"\d+$", p["node"])[0]) for p in partitions]
        assert [v.type for v in volumes] == [f"0x{int(p['type'], 16):02x}" for p in partitions]
        assert [v.guid for v in volumes] == [f"{known['id'][2:]}-{n:02x}" for n in numbers]
        assert [v.active for v in volumes] == [p.get("bootable", False) for p in partitions]


@pytest.mark.parametrize("name", ["mbr-logical", "gpt", "gpt-hybrid", "iso-gpt", "bsd", "sparc", "mbr-4096"])
def test_names_are_those_of_grub(name: str) -> None:
    ours = {v.grub for v in read_table(source(name)).volumes if v.grub}
    theirs = set(KNOWN[name]["grub"])
    if name == "bsd":
        theirs.discard("msdos1")  # its partitions are listed in its place
    if name == "mbr-4096":
        theirs = {"msdos1", "msdos5"}  # grub-fstest sees sectors of 512 bytes in any file
    assert ours == theirs


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mbr-logical", "mbr"),
        ("gpt", "gpt"),
        ("gpt-hybrid", "hybrid"),
        ("gpt-backup", "gpt"),
        ("iso-gpt", "gpt"),
        ("sparc", "vtoc"),
        ("bsd", "mbr"),
        ("mbr-4096", "mbr"),
        ("fat-mbr", "none"),
    ],
)
def test_kind(name: str, kind: str) -> None:
    assert read_table(source(name)).kind == kind


def test_gpt_attributes_make_active_and_come_first() -> None:
    table = read_table(source("gpt"))
    assert [v.name for v in table.volumes if v.active] == ["p2"]  # LegacyBIOSBootable in sfdisk's words
    assert [v.name for v in boot_order(table)] == ["p2", "p1", "p3"]


def test_active_entry_of_a_hybrid_mbr_counts() -> None:
    assert [v.grub for v in read_table(source("gpt-hybrid")).volumes if v.active] == ["gpt3", "gpt9"]


def test_backup_header_is_used_with_a_warning() -> None:
    table = read_table(source("gpt-backup"))
    assert any("backup at byte 0xfffe00 is used" in warning for warning in table.warnings)
    assert "gpt.backup.header" in [s.name for s in table.structures]


def test_mbr_with_large_sectors_agrees_with_fdisk() -> None:
    rows = [
        line.replace("*", " ").split() for line in KNOWN["mbr-4096"]["fdisk"] if line.startswith("mbr-4096")
    ]
    table = read_table(source("mbr-4096"))
    assert table.sector_size == 4096
    assert listed(table) == [(int(r[1]) * 4096, int(r[3]) * 4096) for r in rows if r[5] != "5"]
    forced = read_table(source("mbr-4096"), sector_size=512)
    assert forced.volumes[0].start == 256 * 512


def test_sparc_label_agrees_with_sfdisk() -> None:
    known = [p for p in KNOWN["sparc"]["sfdisk"]["partitions"] if p["type"] != "5"]
    table = read_table(source("sparc"))
    assert listed(table) == [(p["start"] * 512, p["size"] * 512) for p in known]
    assert [v.type for v in table.volumes] == ["root", "Linux swap"]
    assert [s.name for s in table.structures] == ["vtoc"]


def test_disklabel_agrees_with_mmls() -> None:
    rows = [line.split() for line in KNOWN["bsd"]["mmls"] if re.match(r"\d+:\s+\d", line)]
    known = [(int(r[1]), int(r[2]) * 512, int(r[4]) * 512) for r in rows if "Unused" not in r]
    table = read_table(source("bsd"))
    assert listed(table) == [(start, size) for _, start, size in sorted(known)]
    assert [v.type for v in table.volumes] == ["4.2BSD", "swap"]
    assert all(v.active for v in table.volumes)
    names = [s.name for s in table.structures]
    assert names[:3] == ["mbr", "p1.disklabel", "p1.disklabel.partition[0]"]


def test_iso_image_comes_as_a_whole_first() -> None:
    table = read_table(source("iso-gpt"))
    assert [v.name for v in table.volumes] == ["p0", "p1", "p2", "p3"]
    assert (table.volumes[0].start, table.volumes[0].size) == (0, source("iso-gpt").size)
    assert boot_order(table)[0].name == "p0"


def test_whole_disk_file_system_with_a_table_of_its_own() -> None:
    table = read_table(source("fat-mbr"))
    assert [(v.name, v.start, v.size) for v in table.volumes] == [("p0", 0, 4 << 20)]


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_structures_can_be_traced(name: str) -> None:
    disk = source(name)
    for structure in read_table(disk).structures:
        tree = structure.decoder.trace(disk, structure.offset)
        assert not tree.damaged(), structure.name
        assert tree.size == structure.decoder.size


def test_trace_tells_types_by_name() -> None:
    disk = source("gpt")
    entry = next(s for s in read_table(disk).structures if s.name == "gpt.entries[8]")
    tree = entry.decoder.trace(disk, entry.offset)
    symbols = {field.name: field.symbol for field in tree.children}
    assert symbols["partition_type_guid"] == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B (EFI system)"
    assert symbols["unique_partition_guid"] == "AAAAAAAA-0001-4000-8000-000000000009"
    assert symbols["attributes"] == "required_partition"


def test_offset_makes_one_volume() -> None:
    table = read_table(source("gpt"), offset=4096 * 512)
    assert [(v.name, v.start, v.size) for v in table.volumes] == [("p0", 4096 * 512, (16 << 20) - 4096 * 512)]
    for wrong in (-1, 16 << 20):
        with pytest.raises(UsageError):
            read_table(source("gpt"), offset=wrong)


def test_odd_sector_size_is_refused() -> None:
    with pytest.raises(UsageError):
        read_table(source("gpt"), sector_size=520)


def test_few_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = source("gpt")
    reads = []
    real = MemorySource._read
    monkeypatch.setattr(MemorySource, "_read", lambda self, *a: reads.append(a) or real(self, *a))
    read_table(disk)
    assert len(reads) <= 3


# --- the tools that made the corpus, where they are installed ------------------------------------


def run(*command: str | Path, text: str = "") -> str:
    return subprocess.run([*map(str, command)], input=text, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def sfdisk(tmp_path: Path) -> Any:
    tool = shutil.which("sfdisk") or shutil.which("sfdisk", path="/usr/sbin:/sbin")
    if not tool:
        pytest.skip("sfdisk is not installed")

    def make(script: str, size: int = 32 << 20) -> FileSource:
        image = tmp_path / "disk.img"
        image.write_bytes(b"")
        with image.open("r+b") as file:
            file.truncate(size)
        run(tool, "-q", image, text=script)
        make.known = json.loads(run(tool, "--json", image))["partitiontable"]  # type: ignore[attr-defined]
        return FileSource.open(image)

    return make


@pytest.mark.parametrize("count", [1, 50])
def test_long_chains(sfdisk: Any, count: int) -> None:
    script = "label: dos\n1: start=2048, size=1024, type=83\n2: start=4096, type=5\n"
    script += "".join(f"{n}: start={n * 4096}, size=1024, type=83\n" for n in range(5, 5 + count))
    table = read_table(sfdisk(script, size=256 << 20))
    known = sfdisk_partitions(sfdisk.known)
    assert listed(table) == [(p["start"] * 512, p["size"] * 512) for p in known]
    assert table.warnings == []


def test_gpt_with_many_entries(sfdisk: Any) -> None:
    script = "label: gpt\ntable-length: 512\nfirst-lba: 2048\n"
    script += "".join(f"{n}: start={2048 + n * 64}, size=64\n" for n in range(1, 300, 7))
    table = read_table(sfdisk(script))
    known = sfdisk.known["partitions"]
    assert listed(table) == [(p["start"] * 512, p["size"] * 512) for p in known]
    assert [v.grub for v in table.volumes] == [f"gpt{re.findall(r'[0-9]+$', p['node'])[0]}" for p in known]


# --- the shared corpus ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["part-active2", "part-gpt-4k", "part-gpt-boot", "part-mbr-logical"],
)
def test_volume_of_the_manifest(corpus: Any, name: str) -> None:
    known = corpus.manifest(name)
    table = read_table(FileSource.open(corpus.disks(name)[0]))
    assert known["offset"] in [v.start for v in table.volumes]
    assert table.sector_size == known.get("logical_sector", 512)


def test_disklabel_of_the_corpus(corpus: Any) -> None:
    table = read_table(FileSource.open(corpus.disks("ufs2-disklabel-mbr")[0]))
    assert [(v.start, v.grub) for v in table.volumes] == [
        (2064 * 512, "msdos1,bsd1"),  # as mmls and grub-fstest say
        (26640 * 512, "msdos1,bsd4"),
    ]


def test_boot_order_of_the_manifest(corpus: Any) -> None:
    table = read_table(FileSource.open(corpus.disks("part-active2")[0]))
    assert boot_order(table)[0].start == corpus.manifest("part-active2")["offset"]


def test_whole_disk_images_are_one_volume(corpus: Any) -> None:
    for name in corpus.names("ext2", "ext3", "ext4", "fat", "reiserfs", "xfs", "btrfs", "squashfs"):
        table = read_table(FileSource.open(corpus.disks(name)[0]))
        assert (name, table.kind, [v.name for v in table.volumes]) == (name, "none", ["p0"])
