"""faults/: a sample of all single faults of metadata, and that the tool sees what it is to see."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import PLAIN_ENVIRONMENT, ROOT
from guests import INITRD, KERNEL, grub_guest, needs_mke2fs
from hypothesis import given
from hypothesis import strategies as st

from faults import checksums, images, metadata, plan, seals, workers
from faults.boot import SAME, Run
from faults.disk import MappedDisk
from pybootcfg.boot import Request, find_boot
from pybootcfg.guest import Guest

#: replays of much that other tests run once
pytestmark = pytest.mark.no_cover

#: one or two of each family, the small ones
SAMPLED = [
    ROOT / "examples/sample.img.xz",
    *(
        ROOT / f"tests/corpus/{name}.xz"
        for name in (
            *("ext/ext4-dirty.img", "ext/ext4-inline.img", "ext/ext2-rev0.img"),
            *("fat/fat12.img", "fat/fat32.img", "fat/exfat.img"),
            *("iso/xorriso-rr.iso", "iso/xorriso-multisession.iso", "partitions/iso-gpt.img"),
            *(
                "partitions/gpt.img",
                "partitions/mbr-logical.img",
                "partitions/bsd.img",
                "partitions/sparc.img",
            ),
            *("reiserfs/reiser36-r5.img", "ufs/ufs1-be.img", "ufs/ufs2-le.img", "zfs/datasets-v15.d0.img"),
        )
    ),
]


def test_a_sample_of_single_faults() -> None:
    """Every run ends in an answer or an error of its own, in time and memory."""
    command = [sys.executable, "-m", "faults", "--sample", "50", "--seed", "9", "--jobs", "2"]
    command += [word for image in SAMPLED for word in ("--images", str(image))]
    done = subprocess.run(
        command, cwd=ROOT, env=PLAIN_ENVIRONMENT, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (runs,) = re.findall(r"^([\d,]+) runs in", done.stdout, re.MULTILINE)
    assert int(runs.replace(",", "")) > 900
    for outcome in ("the same answer", "error: ImageError", "nothing boots: damaged", "0  FAILURES"):
        assert outcome in done.stdout


def test_processes_do_not_write_to_the_same_copies(tmp_path: Path) -> None:
    """Two at once boot a guest whose kernel and ramdisk are copied every time."""
    (image,) = images.find([images.OWN / "reiserfs/reiser36-r5.img.xz"])
    with mapped(*images.unpack(image, tmp_path)) as disks:
        planned = plan.Plan(disks, "recomputed")
        tally = workers.carry_out(planned, planned.chosen(2000, 1, "reiserfs"), jobs=2)
        planned.close()
    assert tally.failures == []
    assert tally.outcomes[SAME] > 1000


# --- the disk ------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 90), st.binary(min_size=1, max_size=10)), max_size=3),
    st.integers(0, 100),
    st.integers(0, 100),
)
def test_a_patched_disk_is_what_slices_would_be(
    patches: list[tuple[int, bytes]], one: int, other: int
) -> None:
    path = Path(os.path.realpath(__file__))
    disk = MappedDisk(path, 0)
    expected = bytearray(path.read_bytes())
    for at, data in patches:
        expected[at : at + len(data)] = data
    disk.patches = patches
    start, stop = sorted((one, other))
    try:
        assert disk.read(start, stop - start) == expected[start:stop]
        pieces = disk.pieces(start, stop - start)
        got = b"".join(
            piece if isinstance(piece, bytes) else os.pread(piece.fd, piece.length, piece.offset)
            for piece in pieces
        )
        if len(patches) < 2:  # patches of the tool do not overlap
            assert got == expected[start:stop]
    finally:
        disk.close()


@contextlib.contextmanager
def mapped(*paths: Path) -> Iterator[list[MappedDisk]]:
    disks = [MappedDisk(path, number) for number, path in enumerate(paths)]
    try:
        yield disks
    finally:
        for disk in disks:
            disk.close()


# --- what is metadata ----------------------------------------------------------------------------


@needs_mke2fs
def test_contents_are_no_metadata_and_configurations_are(tmp_path: Path) -> None:
    image = grub_guest(tmp_path, "menuentry A { linux /k marker=7; initrd /i; }\n")
    with mapped(image) as disks:
        found = metadata.read(disks)
        read = b"".join(disks[0].map[span.start : span.stop] for span in found.spans)
    assert b"marker=7" in read
    assert KERNEL[:70] not in read
    assert INITRD[:70] not in read
    assert b"\x53\xef" in read  # the superblock


@needs_mke2fs
def test_what_nothing_looks_at_is_left_out_and_nothing_else(tmp_path: Path) -> None:
    """A full stretch is tried when a byte of it matters, as of arguments; none of the boot sector's code."""
    image = grub_guest(tmp_path, "menuentry A { linux /k marker=7; }\n")
    with mapped(image) as disks:
        planned = plan.Plan(disks, "recomputed")
        at = disks[0].map.find(b"marker=7")
        parts = [part for unit in planned.units() for part in planned.looked_at(unit)]
        faults = {fault for part in parts for number in part if (fault := planned.fault(number))}
        planned.close()
    tried = {fault.offset for fault in faults}
    assert set(range(at, at + 8)) <= tried
    assert not tried & set(range(32, 0x1B8))
    assert {fault.value for fault in faults if fault.offset == at} == {0x00, 0x7F, 0x80, 0xFF, 0x6E, 0x6C}


# --- checksums -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("ext/ext4-dirty.img", 100),
        ("ext/ext4-inline.img", 10),
        ("partitions/gpt.img", 2),
        ("fat/exfat.img", 1),
        ("zfs/datasets-v15.d0.img", 100),
    ],
)
def test_checksums_are_known(name: str, count: int, tmp_path: Path) -> None:
    """Each that is found is what stands on the untouched image."""
    (image,) = images.find([ROOT / f"tests/corpus/{name}.xz"])
    with mapped(*images.unpack(image, tmp_path)) as disks:
        found = seals.find(disks).found
        for seal in found:
            disk = disks[seal.disk]
            message = b"".join(part if isinstance(part, bytes) else disk.read(*part) for part in seal.parts)
            computed = seal.compute(message)
            for field in seal.fields:
                stands = disk.read(field.offset, field.stop - field.start)
                assert stands == computed[field.start : field.stop]
    assert len(found) >= count


@needs_mke2fs
@pytest.mark.skipif(not shutil.which("e2fsck"), reason="e2fsck judges")
def test_mended_checksums_satisfy_e2fsck(tmp_path: Path) -> None:
    """The label in the superblock, and the root directory's time of access."""
    image = grub_guest(tmp_path, "menuentry A { linux /k; }\n")
    with mapped(image) as disks:
        planned = plan.Plan(disks, "recomputed")
        (disk,) = disks
        inode = next(seal.fields[0].offset - 0x7C for seal in planned.seals.found if len(seal.fields) == 2)
        for offset in (1024 + 120, inode + 8):
            with planned.changed("d1", offset, b"X"):
                whole = disk.read(0, disk.size)
            copy = tmp_path / "copy.img"
            copy.write_bytes(whole)
            assert fsck(copy) == 0
            copy.write_bytes(whole[:offset] + b"Y" + whole[offset + 1 :])
            assert fsck(copy) != 0
        planned.close()


def fsck(image: Path) -> int:
    return subprocess.run(["e2fsck", "-fn", image], capture_output=True, check=False).returncode


@needs_mke2fs
def test_ignored_checksums_are_those_that_are_wrong(tmp_path: Path) -> None:
    image = grub_guest(tmp_path, "menuentry A { linux /k; }\n")
    with mapped(image) as disks:
        disks[0].patches = [(1024 + 1020, b"\xde\xad\xbe\xef")]

        def warnings() -> list[str]:
            guest = Guest.of_sources(disks)
            find_boot(guest, Request())
            return guest.listed[0].filesystem.warnings

        assert warnings() == ["the superblock has a bad checksum"]
        with checksums.ignored():
            assert warnings() == []
        assert warnings() == ["the superblock has a bad checksum"]


# --- guards --------------------------------------------------------------------------------------


class Ordeal:
    """Stands for a plan: what its faults come to is told by their values."""

    def __init__(self) -> None:
        self.run: Any = self
        self.expected = ""
        self.unforeseen: list[str] = []

    def renew(self) -> None:
        pass

    def fault(self, number: int) -> plan.Fault:
        return plan.Fault("d1", number, number % 10)

    def looked_at(self, unit: range) -> Sequence[range]:
        return [unit]

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        yield

    def outcome(self, fault: plan.Fault | str) -> str:
        value = getattr(fault, "value", 0)
        if value == 3:
            raise IndexError("beyond")
        if value == 4:
            while True:
                pass
        if value == 5:
            bytearray(1 << 30)
        if value == 6:
            faulthandler.disable()  # pytest's, which would print where this happens
            os.kill(os.getpid(), signal.SIGSEGV)
        if value == 7:
            signal.setitimer(signal.ITIMER_PROF, 0)
            time.sleep(1000)
        return SAME


@pytest.mark.parametrize("items", [list(range(30)), [range(10), range(10, 20), range(20, 30)]])
def test_no_run_ends_or_hangs_the_tool(
    items: list[int | range], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "CPU", 0.02)
    monkeypatch.setattr(workers, "WALL", 3.0)  # less is over soon on a busy machine
    ordeal: Any = Ordeal()
    tally = workers.carry_out(ordeal, items, jobs=2)
    what = {
        3: "IndexError: beyond",
        4: "over 0 s of processor time",
        5: "over 128 MiB of memory",
        6: "the process ended with status -11",
        7: "no end in 3 s",
    }
    failed = {failure.fault.offset: failure.what for failure in tally.failures if failure.fault}
    assert sorted(failed) == [number for number in range(30) if number % 10 in what]
    for number, said in failed.items():
        assert said.startswith(what[number % 10])
    assert tally.outcomes[SAME] == 15
    capfd.readouterr()


def test_an_answer_of_wrong_sizes_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (image,) = images.find([ROOT / "examples/sample.img.xz"])
    with mapped(*images.unpack(image, tmp_path)) as disks:
        run = Run(disks)
        before = run.boot()
        plain = os.fstat
        monkeypatch.setattr(
            os, "fstat", lambda fd: plain(fd) if fd != run.outputs[0] else plain(run.outputs[1])
        )
        with pytest.raises(AssertionError, match="copied"):
            run.outcome(before[:3])
        run.close()
