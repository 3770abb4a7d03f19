"""Memory and work do not grow with the size of disk, directory or kernel."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PEAK = 40 << 10  #: KiB

pytestmark = pytest.mark.skipif(
    not (shutil.which("mke2fs") and shutil.which("e2fsck")), reason="e2fsprogs makes the images"
)


def peak_of(module: str, *arguments: str) -> tuple[int, bytes]:
    """Run a command; return its peak resident size in KiB and its stdout."""
    code = f"import sys; from {module} import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", code, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss, output


@pytest.fixture(scope="module")
def large_guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sparse disk of 64 GiB: a kernel of 96 MiB, and 40,000 names in the directory of its configuration."""
    folder = tmp_path_factory.mktemp("large")
    tree, image = folder / "tree", folder / "disk.img"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text("menuentry A { linux /boot/kernel a=1; }\n")
    kernel = hashlib.shake_256(b"kernel").digest(96 << 20)
    (tree / "boot/kernel").write_bytes(kernel)
    for number in range(40_000):
        (tree / f"boot/{number:040}").touch()
    image.touch()
    os.truncate(image, 64 << 30)
    options = ["-t", "ext4", "-N", "50000", "-E", "lazy_itable_init=1"]
    subprocess.run(["mke2fs", "-q", "-F", *options, "-d", tree, image], check=True)
    subprocess.run(["e2fsck", "-fyD", image], check=False, capture_output=True)
    shutil.rmtree(tree)
    return image


def test_peak_memory_of_pygrub(large_guest: Path, tmp_path: Path) -> None:
    peak, output = peak_of("pybootcfg.cli.pygrub", "-q", f"--output-directory={tmp_path}", str(large_guest))
    (kernel,) = tmp_path.iterdir()
    assert kernel.name in output.decode()
    assert (
        hashlib.sha256(kernel.read_bytes()).hexdigest()
        == hashlib.sha256(hashlib.shake_256(b"kernel").digest(96 << 20)).hexdigest()
    )
    assert peak < PEAK


def test_peak_memory_of_cat(large_guest: Path) -> None:
    code = "pybootcfg.cli.commands"
    peak, output = peak_of(code, "cat", str(large_guest), "p0:/boot/kernel")
    assert len(output) == 96 << 20
    assert peak < PEAK
