"""What `pybootcfg inspect` shows of the images that the project carries, and how it ends on damage."""

from __future__ import annotations

import json
import lzma
import os
import pty
import re
import shutil
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from json_schema import check
from syrupy.assertion import SnapshotAssertion

from pybootcfg.cli import commands, inspection

Run = Callable[..., "CompletedProcess[str]"]

CORPUS = Path(__file__).parent / "corpus"
IMAGES = sorted(
    str(file.relative_to(CORPUS))
    for file in CORPUS.glob("*/*.xz")
    if ".img" in file.name or ".iso" in file.name
)
SCHEMA = json.loads((Path(inspection.__file__).parent / "inspect.schema.json").read_text())


@pytest.fixture
def disk(tmp_path: Path) -> Callable[[str], Path]:
    """Unpack an image that the project carries to disk.img."""

    def unpack(name: str) -> Path:
        image = tmp_path / "disk.img"
        image.write_bytes(lzma.decompress((CORPUS / f"{name}.xz").read_bytes()))
        return image

    return unpack


Disk = Callable[[str], Path]


def leaves(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for child in node["children"]:
        yield from leaves(child)
    if not node["children"]:
        yield node


def document(done: CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def inside(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run inspect in this process, which saves its start: (exit status, stdout)."""

    def run(*arguments: str) -> tuple[int, str]:
        status = inspection.inspect(commands._parser().parse_args(["inspect", *arguments]))
        return status, capsys.readouterr().out

    return run


Inside = Callable[..., tuple[int, str]]


@pytest.mark.parametrize("name", IMAGES)
def test_overview_and_superblocks(
    inside: Inside, disk: Disk, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(disk(name.removesuffix(".xz")).parent)
    monkeypatch.setenv("NO_COLOR", "1")
    _, shown = inside("disk.img")
    assert "boots" in shown
    shown += inside("--structures", "disk.img")[1]
    assert re.sub(r"looked for [^)]+", "looked for ...", shown) == snapshot


@pytest.mark.parametrize("name", IMAGES)
def test_json_fits_its_schema_and_the_disk(inside: Inside, disk: Disk, name: str) -> None:
    image = disk(name.removesuffix(".xz"))
    status, text = inside("--json", str(image))
    incomplete = "raidz" in name  # one of several disks cannot be read by itself
    assert status == (4 if incomplete else 0)
    whole = json.loads(text)
    check(whole, SCHEMA)
    status, text = inside("--json", "--all", str(image))
    unused = name.startswith("zfs/")  # the first uberblock of a ring may have a version and no magic number
    assert status in ((0, 4) if unused else (0,))
    everything = json.loads(text)
    check(everything, SCHEMA)
    assert len(everything["structures"]) >= len(whole["structures"])
    data = image.read_bytes()
    for structure in everything["structures"]:
        if not structure.get("decoded"):
            for leaf in leaves(structure):
                there = data[leaf["offset"] : leaf["offset"] + leaf["size"]].hex()
                assert leaf["raw"] == there, (structure["name"], leaf["name"])


def test_a_place(pybootcfg: Run, sample: Path) -> None:
    done = pybootcfg("inspect", sample, "p1.superblock")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    # the partition begins at 1 MiB, its superblock 1 KiB behind, the magic 0x38 bytes into that
    assert lines[0] == "p1.superblock  at 0x100400, 1024 bytes"
    assert "0x00100438|53 ef                   |S.      |  s_magic: 0xef53 (valid)" in lines


def test_json(pybootcfg: Run, sample: Path) -> None:
    (table,) = document(pybootcfg("inspect", "--json", sample, "mbr"))["structures"]
    assert (table["name"], table["offset"], table["size"]) == ("mbr", 0, 512)
    (signature,) = [node for node in table["children"] if node["name"] == "signature"]
    assert signature == {
        "name": "signature",
        "type": "u16le",
        "offset": 510,
        "size": 2,
        "raw": "55aa",
        "value": 0xAA55,
        "symbol": None,
        "valid": True,
        "error": None,
        "children": [],
    }


def test_jsonl_has_a_node_on_each_line(pybootcfg: Run, sample: Path) -> None:
    done = pybootcfg("inspect", "--jsonl", sample, "p1.inode[2:302]")
    assert done.returncode == 0, done.stderr
    nodes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [node["name"] for node in nodes] == [f"p1.inode[{number}]" for number in range(2, 302)]
    for node in nodes:
        check(node, SCHEMA["$defs"]["node"], SCHEMA)


@pytest.mark.parametrize(
    ("name", "place", "offset", "size"),
    [
        # two entries of FAT12 share three bytes; the FAT follows one reserved sector of 1024 bytes
        ("fat/fat12.img", "p0.fat[2:4]", 0x403, 3),
        ("fat/fat32.img", "p0.fat[0].entries[3]", 32 * 512 + 12, 4),
        ("iso/xorriso-rr-joliet.iso", "p0.volume_descriptors", 16 * 2048, 2048),
        # labels have 128 KiB for the ring of uberblocks, at their second half
        ("zfs/datasets-v15.d0.img", "p0.uberblock[17]", 0x20000 + 17 * 1024, 216),
        ("partitions/gpt.img", "gpt.entries[2]", 1024 + 2 * 128, 128),
        ("partitions/gpt.img", "gpt.entries[2].unique_partition_guid", 1024 + 2 * 128 + 16, 16),
    ],
)
def test_places(pybootcfg: Run, disk: Disk, name: str, place: str, offset: int, size: int) -> None:
    found = document(pybootcfg("inspect", "--json", disk(name), place))["structures"][0]
    assert (found["offset"], found["size"]) == (offset, size)


def test_a_field_is_a_place(pybootcfg: Run, sample: Path) -> None:
    (found,) = document(pybootcfg("inspect", "--json", sample, "mbr.partition_record[0].os_type"))[
        "structures"
    ]
    assert (found["offset"], found["raw"], found["symbol"]) == (0x1C2, "83", "Linux")


@pytest.mark.parametrize(
    ("place", "status"), [("p7.superblock", 2), ("p1.nothing", 1), ("p1.inode[99999]", 1)]
)
def test_an_unknown_place(pybootcfg: Run, sample: Path, place: str, status: int) -> None:
    done = pybootcfg("inspect", sample, place)
    assert done.returncode == status
    assert place.split(".")[0] in done.stderr


def test_damage_shows_the_tree_up_to_the_fault(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    image = tmp_path / "cut.img"
    image.write_bytes(sample.read_bytes()[: (1 << 20) + 1024 + 100])
    done = pybootcfg("inspect", image, "mbr")
    assert done.returncode == 0
    done = pybootcfg("volumes", "--json", image)
    (volume,) = json.loads(done.stdout)["volumes"]
    assert volume["filesystem"] is None
    assert any("1024 bytes wanted" in warning for warning in volume["warnings"])


def test_damage_is_followed_by_the_siblings(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    image = tmp_path / "cut.img"
    image.write_bytes(sample.read_bytes()[:0x117340])  # in the middle of inode 12
    done = pybootcfg("inspect", "--json", image, "p1.inode[11:14]")
    assert done.returncode == 4
    before, cut, after = json.loads(done.stdout)["structures"]
    assert before["error"] is None
    assert (cut["children"][0]["raw"], cut["children"][-1]["error"]) == ("ed41", "only 24 bytes left")
    assert after["children"][0]["error"] == "only 0 bytes left"


# --- what other programs say ---------------------------------------------------------------------


def needs(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not found:
        pytest.skip(f"{program} is not installed")
    return found


def output(*command: str | Path) -> str:
    return subprocess.run(
        [*map(str, command)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",  # sgdisk cuts characters in two
        check=True,
        timeout=60,
        env={"TZ": "UTC"},
    ).stdout


@pytest.fixture
def volume(sample: Path, tmp_path: Path) -> Path:
    """The only volume of the sample, which begins at 1 MiB, as a file of its own."""
    image = tmp_path / "volume.img"
    image.write_bytes(sample.read_bytes()[1 << 20 :])
    return image


def test_inodes_and_runs_by_debugfs(pybootcfg: Run, sample: Path, volume: Path) -> None:
    debugfs = needs("debugfs")
    path = "/boot/vmlinuz-6.1.0-demo"
    stat = output(debugfs, "-R", f"stat {path}", volume)
    (node,) = document(pybootcfg("inspect", "--json", sample, f"p1:{path}"))["structures"]
    parts = {child["name"]: child for child in node["children"]}
    number = re.search(r"Inode: (\d+)", stat)
    assert number
    inode = parts["structures"]["children"][0]
    assert inode["name"] == f"inode[{number[1]}]"
    imap = output(debugfs, "-R", f"imap {path}", volume)
    where = re.search(r"located at block (\d+), offset 0x([0-9a-f]+)", imap)
    assert where
    assert inode["offset"] == (1 << 20) + int(where[1]) * 1024 + int(where[2], 16)
    first, last = map(int, re.search(r"EXTENTS:\s+\(\d+-\d+\):(\d+)-(\d+)", stat).groups())  # type: ignore[union-attr]
    (run,) = parts["runs"]["children"]
    assert run["offset"] == (1 << 20) + first * 1024
    assert -(-run["size"] // 1024) == last - first + 1


def test_bitmaps_by_dumpe2fs(pybootcfg: Run, sample: Path, volume: Path) -> None:
    shown = output(needs("dumpe2fs"), volume)
    block = re.search(r"Inode bitmap at (\d+)", shown)
    free = re.search(r"(\d+) free blocks, (\d+) free inodes", shown)
    per_group = re.search(r"Inodes per group: +(\d+)", shown)
    assert block
    assert free
    assert per_group
    (found,) = document(pybootcfg("inspect", "--json", sample, "p1.group[0].inode_bitmap"))["structures"]
    assert found["offset"] == (1 << 20) + int(block[1]) * 1024
    used = int(per_group[1]) - int(free[2])
    assert found["symbol"] == f"{used} of {per_group[1]} bits set"
    (found,) = document(pybootcfg("inspect", "--json", sample, "p1.group[0].block_bitmap"))["structures"]
    bits = int(re.search(r"Block count: +(\d+)", shown)[1]) - 1  # type: ignore[index]  # block 0 is in no group
    assert found["symbol"] == f"{bits - int(free[1])} of {bits} bits set"


def test_owner_of_a_byte(pybootcfg: Run, sample: Path, volume: Path) -> None:
    found = document_of_owner(pybootcfg("inspect", "--json", sample, "--at", "0x100439"))
    assert (found["structure"], found["path"], found["volume_offset"]) == (
        "p1.superblock",
        ["s_magic"],
        0x439,
    )
    data = sample.read_bytes()
    place = data.index(b"Advanced options")
    found = document_of_owner(pybootcfg("inspect", "--json", sample, "--at", str(place)))
    assert found["file"] == "/boot/grub/grub.cfg"
    text = output(needs("debugfs"), "-R", "cat /boot/grub/grub.cfg", volume)
    assert found["file_offset"] == text.index("Advanced options")
    assert pybootcfg("inspect", sample, "--at", str(len(data))).returncode == 2
    assert pybootcfg("inspect", sample, "--at", "0x80000").returncode == 1  # between table and partition


def document_of_owner(done: CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_range_shows_gaps(pybootcfg: Run, sample: Path) -> None:
    found = document(pybootcfg("inspect", "--json", sample, "--range", "0:0x100800"))["structures"]
    assert (
        [(one["name"], one["offset"], one["size"]) for one in found[:4]]
        == [
            ("mbr", 0, 512),
            ("gap", 512, 0x100400 - 512),
            ("p1.superblock", 0x100400, 1024),
            # a block of the file system later
        ][: len(found)]
    )
    assert found[-1]["offset"] + found[-1]["size"] >= 0x100800


def test_difference(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.img"
    data = bytearray(sample.read_bytes())
    data[0x1C2] = 0x0C  # the partition's type
    other.write_bytes(data)
    (found,) = json.loads(pybootcfg("inspect", "--json", sample, "--diff", other).stdout)["differences"]
    assert found["name"] == "mbr.partition_record[0].os_type"
    assert (found["before"]["raw"], found["after"]["raw"]) == ("83", "0c")
    assert pybootcfg("inspect", sample, "--diff", sample).stdout == "no difference\n"


# --- kernels, configurations ---------------------------------------------------------------------


def test_a_configuration(pybootcfg: Run, sample: Path, snapshot: SnapshotAssertion) -> None:
    shown = pybootcfg("inspect", sample, "p1:/boot/grub/grub.cfg").stdout
    assert shown[shown.index("  syntax") :] == snapshot


def test_a_loose_configuration(pybootcfg: Run, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    (tmp_path / "grub.cfg").write_text(
        "set x=1\nmenuentry 'One \x1b[31m' {\n linux /vmlinuz a=b\n}\nif true\n"
    )
    done = pybootcfg("inspect", "--config", "grub.cfg", cwd=tmp_path)
    assert "\x1b" not in done.stdout
    assert done.stdout.replace(f"{tmp_path}/", "") == snapshot


@pytest.mark.parametrize("option", [["--formats"], ["--help-format", "ext4"], ["--help-format", "kernel"]])
def test_help(pybootcfg: Run, option: list[str]) -> None:
    done = pybootcfg("inspect", *option)
    assert done.returncode == 0, done.stderr
    assert "ext4" in done.stdout or "https://www.kernel.org" in done.stdout
    assert json.loads(pybootcfg("inspect", "--json", *option).stdout)["schema"] == 1
    assert pybootcfg("inspect", "--help-format", "nothing").returncode == 2


# --- manners -------------------------------------------------------------------------------------


def test_depth_and_array_fold(pybootcfg: Run, sample: Path) -> None:
    shown = pybootcfg("inspect", sample, "mbr", "--depth", "1").stdout
    assert "4 fields (--depth)" in shown
    assert "boot_indicator" not in shown
    shown = pybootcfg("inspect", sample, "mbr", "--array", "1").stdout
    assert shown.count("boot_indicator") == 1
    assert "3 more (--array)" in shown


def test_pictures(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        done = pybootcfg(
            "inspect", sample, "--svg", tmp_path / f"{number}.svg", "--html", tmp_path / f"{number}.html"
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    drawn = (tmp_path / "1.svg").read_text()
    assert drawn == (tmp_path / "2.svg").read_text()
    assert "metadata" in drawn
    assert "url(http" not in drawn  # nothing is fetched from elsewhere
    assert "p1:/boot/grub/grub.cfg" in (tmp_path / "1.html").read_text()


def test_colours_are_alike_on_field_and_bytes(pybootcfg: Run, sample: Path) -> None:
    shown = pybootcfg("inspect", "--color", "always", sample, "p1.superblock.s_magic").stdout
    assert shown.count("\x1b[36m") == 3
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONSAFEPATH": "1"}
    assert "\x1b" not in pybootcfg("inspect", sample, env=environment).stdout


def test_ascii_where_the_locale_has_no_more(pybootcfg: Run, sample: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONSAFEPATH": "1"}
    shown = pybootcfg("inspect", sample, "mbr", env=environment).stdout
    assert shown.isascii()
    assert "..." in shown


def bzimage(version: bytes, payload: bytes) -> bytes:
    """A kernel's file by the boot protocol 2.15: one sector of setup, then the payload."""
    image = bytearray(1024 + 16)
    image[0x1F1] = 1  # setup_sects
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x202:0x208] = b"HdrS\x0f\x02"
    image[0x20E:0x210] = (0x100).to_bytes(2, "little")  # kernel_version, from 0x200
    image[0x211] = 1  # loadflags
    image[0x248:0x250] = (16).to_bytes(4, "little") + len(payload).to_bytes(4, "little")
    image[0x300 : 0x300 + len(version) + 1] = version + b"\0"
    return bytes(image) + payload


@pytest.mark.parametrize(
    ("magic", "name"),
    [("1f8b0800", "gzip"), ("28b52ffd", "zstd"), ("fd377a585a00", "xz"), ("02214c18", "lz4")],
)
def test_a_kernel(pybootcfg: Run, tmp_path: Path, magic: str, name: str) -> None:
    version = b"6.1.0-test (a@b) #1 SMP \x1b[31m"
    (tmp_path / "vmlinuz").write_bytes(bzimage(version, bytes.fromhex(magic).ljust(64, b"x")))
    (node,) = document(pybootcfg("inspect", "--json", tmp_path, "p0:/vmlinuz"))["structures"]
    parts = {child["name"]: child for child in node["children"]}
    header = {child["name"]: child for child in parts["x86_setup_header"]["children"]}
    assert (header["header"]["offset"], header["header"]["valid"]) == (0x202, True)
    assert parts["version"]["symbol"].encode() == version
    assert (parts["payload"]["symbol"], parts["payload"]["offset"]) == (name, 1024 + 16)
    assert "\x1b" not in pybootcfg("inspect", tmp_path, "p0:/vmlinuz").stdout
    told = output(needs("file"), "-b", tmp_path / "vmlinuz")
    assert "Linux kernel x86 boot executable" in told
    assert "version 6.1.0-test (a@b) #1 SMP" in told


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (bytes(56) + b"ARM\x64", "arm64_header"),
        (bytes(56) + b"RSC\x05", "riscv_header"),
        (b"MZ\0\0zimg" + bytes(16) + b"zstd", "zboot_header"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0", "elf_header"),
        (b"070701", "archive"),
        (b"\x1f\x8b\x08\0", "compression"),
    ],
)
def test_other_kernels_and_ramdisks(pybootcfg: Run, tmp_path: Path, start: bytes, name: str) -> None:
    (tmp_path / "file").write_bytes(start.ljust(4096, b"\0"))
    done = pybootcfg("inspect", "--json", tmp_path, "p0:/file")
    (node,) = json.loads(done.stdout)["structures"]
    (found,) = [child for child in node["children"] if child["name"] == name]
    assert found["error"] is None
    assert (found["symbol"] or found["children"]) is not None


def test_everything_has_the_inodes_in_use(pybootcfg: Run, disk: Disk) -> None:
    image = disk("ext/ext4-default.img")
    done = pybootcfg("inspect", "--all", "--jsonl", image)
    assert done.returncode == 0, done.stderr
    names = [json.loads(line)["name"] for line in done.stdout.splitlines()]
    shown = output(needs("dumpe2fs"), "-h", image)
    count, free = (int(re.search(rf"{what}: +(\d+)", shown)[1]) for what in ("Inode count", "Free inodes"))  # type: ignore[index]
    assert sum(name.startswith("p0.inode[") for name in names) == count - free


def test_nesting_without_end(pybootcfg: Run, tmp_path: Path) -> None:
    (tmp_path / "grub.cfg").write_text("if true; then " * 3000 + "true" + "; fi" * 3000 + "\n")
    done = pybootcfg("inspect", "--json", "--config", tmp_path / "grub.cfg")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("columns", "shown"), [(80, 8), (160, 16)])
def test_a_wide_terminal_gets_more_bytes(sample: Path, columns: int, shown: int) -> None:
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (24, columns))
    code = "import sys; from pybootcfg.cli.commands import main; sys.exit(main())"
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONSAFEPATH": "1"}
    environment.pop("COLUMNS", None)
    command = [sys.executable, "-c", code, "inspect", str(sample), "mbr.boot_code"]
    subprocess.run(command, stdout=writer, check=True, timeout=60, env=environment)
    os.close(writer)
    text = os.read(reader, 10000).decode()
    os.close(reader)
    assert len(text.splitlines()[1].split("|")[1].split("…")[0].split()) == shown


def values(node: dict[str, Any]) -> dict[str, Any]:
    return {child["name"]: child for child in node["children"]}


def test_partitions_by_sgdisk(pybootcfg: Run, disk: Disk) -> None:
    image = disk("partitions/gpt.img")
    told = output(needs("sgdisk"), "-i", "3", image)  # which counts from 1
    (entry,) = document(pybootcfg("inspect", "--json", image, "gpt.entries[2]"))["structures"]
    found = values(entry)
    assert f"Partition GUID code: {found['partition_type_guid']['symbol'][:36]}" in told
    assert f"Partition unique GUID: {found['unique_partition_guid']['symbol']}" in told
    assert f"First sector: {found['starting_lba']['value']} " in told
    assert f"Last sector: {found['ending_lba']['value']} " in told


def test_boot_sector_by_fsck_fat(pybootcfg: Run, disk: Disk) -> None:
    image = disk("fat/fat32.img")
    told = output(needs("fsck.fat"), "-nv", image)
    (sector,) = document(pybootcfg("inspect", "--json", image, "p0.boot_sector"))["structures"]
    found = {name: child["value"] for name, child in values(sector).items()}
    assert f"{found['bpb_byts_per_sec']} bytes per logical sector" in told
    assert f"{found['bpb_rsvd_sec_cnt']} reserved sectors" in told
    assert f"{found['bpb_num_fats']} FATs, 32 bit entries" in told
    (entry,) = document(pybootcfg("inspect", "--json", image, "p0.fat[0:1]"))["structures"]
    assert f"First FAT starts at byte {entry['offset']} " in told


def test_volume_descriptor_by_isoinfo(pybootcfg: Run, disk: Disk) -> None:
    image = disk("iso/xorriso-rr-joliet.iso")
    told = output(needs("isoinfo"), "-d", "-i", image)
    (found, *_) = document(pybootcfg("inspect", "--json", image, "p0.volume_descriptors"))["structures"]
    size = values(values(found)["volume_space_size"])["little"]["value"]
    assert f"Volume size is: {size}" in told
    assert f"Logical block size is: {values(values(found)['logical_block_size'])['little']['value']}" in told
