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


#: runs a command and reports its peak; a process of its own, since a child starts out with its parent's peak
LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak_of(module: str, *arguments: str) -> tuple[int, str]:
    """Run a command; return its peak resident size in KiB and the digest of its stdout."""
    code = f"import sys; from {module} import main; sys.exit(main())"
    command = [sys.executable, "-S", "-c", LAUNCHER, "-P", "-c", code, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    digest = hashlib.file_digest(process.stdout, "sha256").hexdigest()  # type: ignore[arg-type]
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    return int(errors.split()[-1]), digest


KERNEL = [hashlib.shake_256(bytes([number])).digest(1 << 20) for number in range(48)]
KERNEL_DIGEST = hashlib.sha256(b"".join(KERNEL)).hexdigest()


@pytest.fixture(scope="module")
def large_guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sparse disk of 4 GiB: a kernel of 48 MiB, and 8,000 names in the directory of its configuration."""
    folder = tmp_path_factory.mktemp("large")
    tree, image = folder / "tree", folder / "disk.img"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text("menuentry A { linux /boot/kernel a=1; }\n")
    with (tree / "boot/kernel").open("wb") as kernel:
        kernel.writelines(KERNEL)
    for number in range(8_000):
        (tree / f"boot/{number:040}").touch()
    image.touch()
    os.truncate(image, 4 << 30)
    options = ["-t", "ext4", "-N", "10000", "-E", "lazy_itable_init=1"]
    subprocess.run(["mke2fs", "-q", "-F", *options, "-d", tree, image], check=True)
    subprocess.run(["e2fsck", "-fyD", image], check=False, capture_output=True)
    shutil.rmtree(tree)
    return image


def test_peak_memory_of_pygrub(large_guest: Path, tmp_path: Path) -> None:
    peak, _ = peak_of("pybootcfg.cli.pygrub", "-q", f"--output-directory={tmp_path}", str(large_guest))
    (kernel,) = tmp_path.iterdir()
    with kernel.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == KERNEL_DIGEST
    assert peak < PEAK


def test_peak_memory_of_cat(large_guest: Path) -> None:
    peak, digest = peak_of("pybootcfg.cli.commands", "cat", str(large_guest), "p0:/boot/kernel")
    assert digest == KERNEL_DIGEST
    assert peak < PEAK
