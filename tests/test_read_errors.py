"""What a disk's damage or failure does to what is booted: it is told, and does not pass for absence."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from faulty_file import broken_at, reading
from guests import INITRD, KERNEL, grub_guest, make_guest, needs_mke2fs

from pybootcfg import extraction
from pybootcfg.boot import NothingBootableError, Request, find_boot
from pybootcfg.filesystems.base import Extent
from pybootcfg.guest import Guest
from pybootcfg.source import FileSource

Run = Callable[..., "CompletedProcess[str]"]

pytestmark = [
    needs_mke2fs,
    pytest.mark.skipif(not shutil.which("debugfs"), reason="debugfs says where things lie"),
]

CONFIG = "menuentry A { linux /k a=1; initrd /i; }\n"


def debugfs(image: Path, command: str) -> str:
    done = subprocess.run(["debugfs", "-w", "-R", command, image], capture_output=True, text=True, check=True)
    return done.stdout


def block_of(image: Path, path: str) -> int:
    """Return where the first block of a file or directory begins, in bytes."""
    sizes = [line for line in debugfs(image, "stats -h").splitlines() if line.startswith("Block size:")]
    return int(debugfs(image, f"bmap {path} 0")) * int(sizes[0].split()[-1])


@pytest.mark.parametrize("path", ["/", "/boot", "/boot/grub", "/boot/grub/grub.cfg"])
def test_a_sector_that_cannot_be_read_is_named(path: str, tmp_path: Path) -> None:
    """Not even where the rest of the way would find another configuration."""
    image = grub_guest(
        tmp_path, CONFIG, **{"extlinux.conf": b"default a\nlabel a\n kernel /k\n append wrong\n"}
    )
    place = block_of(image, path)
    disk = FileSource.open(image)
    with reading([disk], broken_at(place, disk)), pytest.raises(NothingBootableError) as error:
        find_boot(Guest.of_sources([disk]), Request())
    disk.close()
    assert f"Input/output error at byte {place:#x}" in str(error.value)


def test_a_sector_of_the_kernel_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    image = make_guest(tmp_path, {"k": KERNEL * 3})
    disk = FileSource.open(image)
    node = Guest.of_sources([disk]).listed[0].filesystem.walk(b"/k")
    runs = [run for run in node.runs() if isinstance(run, Extent)]
    place = (runs[-1].offset + runs[-1].length - 1) // 512 * 512
    fd = os.memfd_create("kernel")
    with reading([disk], broken_at(place, disk)), pytest.raises(OSError, match=f"at byte {place:#x}"):
        extraction.copy_file(node, fd)
    os.close(fd)
    disk.close()


def test_a_damaged_directory_does_not_pass_for_a_missing_one(tmp_path: Path, pygrub: Run) -> None:
    image = grub_guest(tmp_path, CONFIG)
    debugfs(image, "clri /boot/grub")
    done = pygrub("-q", "-n", image)
    assert done.returncode == 1
    assert "no boot configuration" in done.stderr
    assert "/boot/grub/grub.cfg cannot be read: " in done.stderr
    assert "at byte 0x" in done.stderr


@pytest.mark.skipif(not shutil.which("sfdisk"), reason="sfdisk makes the table")
def test_a_volume_that_is_passed_over_for_its_damage_is_told(tmp_path: Path, pygrub: Run) -> None:
    """The active one is damaged, and the other one boots."""
    first, second = (grub_guest(tmp_path / name, CONFIG) for name in ("first", "second"))
    debugfs(first, "sif <2> block[5] 0x7fffffff")
    image = tmp_path / "disk.img"
    size = first.stat().st_size
    image.write_bytes(bytes(1 << 20) + first.read_bytes() + second.read_bytes() + bytes(1 << 20))
    table = f"label: dos\nstart=2048, size={size // 512}, type=83, bootable\nsize={size // 512}, type=83\n"
    subprocess.run(["sfdisk", "-q", image], input=table.encode(), check=True, capture_output=True)
    done = pygrub("-q", "-n", "--explain", "--output-format=simple", image)
    assert done.returncode == 0, done.stderr
    assert "args a=1" in done.stdout
    assert "warning: p1 was passed over: " in done.stderr
    assert f"{len(INITRD)} bytes" in done.stderr
