"""What the security advisories about pygrub were about, by name, done to ours."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from guests import INITRD, KERNEL, grub_guest, make_guest, needs_mke2fs
from toolstacks import PYGRUB, Domain, libxl

pytestmark = needs_mke2fs

PLAIN = Domain(bootloader_args=["-q"])


def run_pygrub(out: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*PYGRUB, "-q", f"--output-directory={out}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


# --- CVE-2007-4993: text of grub.conf was run as Python ----------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        'default "+str(0*os.system(\\"touch {mark}\\"))+"',
        "default __import__('os').system('touch {mark}')",
        "timeout=0*__import__('os').system('touch {mark}')",
        "title $(touch {mark})",
        "hiddenmenu `touch {mark}`",
        "password {{0.__class__}}%s%n;touch {mark}",
    ],
)
def test_cve_2007_4993_configurations_are_not_run(tmp_path: Path, out: Path, line: str) -> None:
    mark = tmp_path / "mark"
    for name in ("menu.lst", "grub.cfg"):
        text = f"{line.format(mark=mark)}\ntitle A\nroot (hd0,0)\nkernel /k a=1\ninitrd /i\n"
        text += "menuentry A { linux /k a=1; initrd /i; }\n" if name == "grub.cfg" else ""
        image = make_guest(tmp_path, {f"boot/grub/{name}": text.encode(), "k": KERNEL, "i": INITRD})
        done = run_pygrub(out, "--no-sandbox", image)  # nothing but the interpreter stands in between
        assert not mark.exists()
        assert "Traceback" not in done.stderr
        for file in out.iterdir():
            file.unlink()


# --- XSA-25 (CVE-2012-4544, CVE-2012-2625): sizes that fill the host's memory or disk -----------------------


def sparse_guest(folder: Path, size: int, initrds: str = "/i") -> Path:
    tree = folder / "sparse.tree"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text(f"menuentry A {{ linux /k a=1; initrd {initrds}; }}\n")
    (tree / "i").write_bytes(INITRD)
    for name, length in (("k", size), ("big", 100 << 20)):
        (tree / name).touch()
        os.truncate(tree / name, length)
    image = folder / "sparse.img"
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image, "16m"], check=True, capture_output=True
    )
    shutil.rmtree(tree)
    return image


@pytest.mark.parametrize("size", [(1 << 30) + 1, 1 << 40])
def test_xsa_25_a_huge_kernel(tmp_path: Path, out: Path, size: int) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = run_pygrub(out, sparse_guest(tmp_path, size))
    assert done.returncode == 1
    assert f"file-size: {size} is over the limit of {1 << 30}" in done.stderr
    assert list(out.iterdir()) == []
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(before, 64 << 10)


def test_xsa_25_many_ramdisks_that_are_small_each(tmp_path: Path, out: Path) -> None:
    done = run_pygrub(out, sparse_guest(tmp_path, 4096, "/big " * 11))
    assert done.returncode == 1
    assert "File too large" in done.stderr.splitlines()[-1]
    assert list(out.iterdir()) == []


def test_xsa_25_a_huge_configuration(tmp_path: Path, out: Path) -> None:
    image = make_guest(tmp_path, {"boot/grub/grub.cfg": b"# \n" * (6 << 20), "k": KERNEL}, size="40m")
    done = run_pygrub(out, image)
    assert done.returncode == 1
    assert "config-size" in done.stderr
    assert list(out.iterdir()) == []


# --- XSA-160 (CVE-2015-8341): files and mappings that stay behind -------------------------------------------


def test_xsa_160_no_failure_leaves_a_file(tmp_path: Path, out: Path) -> None:
    image = grub_guest(tmp_path, "menuentry A { linux /k a=1; initrd /i /gone; }\n")
    open_before = len(os.listdir("/proc/self/fd"))
    for arguments in (
        [image],  # the ramdisk is not there
        ["--output-format=simple", "--args=a\nb", "--kernel=/k", "--ramdisk=/i", image],  # refused at the end
        ["--output=/dev/full", "--kernel=/k", "--ramdisk=/i", image],  # nowhere to go, at the very end
        ["--output=/nowhere/at/all", image],
        ["--entry=none", image],
        [tmp_path / "absent.img"],
    ):
        done = run_pygrub(out, *arguments)
        assert done.returncode == 1, arguments
        assert list(out.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_xsa_160_many_starts_do_not_fill_the_folder(tmp_path: Path) -> None:
    """Libxl unlinks what it was given, and there is nothing else."""
    image = grub_guest(tmp_path, "menuentry A { linux /k a=1; initrd /i; }\n")
    for _ in range(5):
        outcome = libxl(tmp_path, image, PLAIN)
        assert (outcome.status, outcome.left) == (0, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["guest.img"]


# --- XSA-198 (CVE-2016-9379, CVE-2016-9380): see also T5 of libxl, and xend ------------------------------


@pytest.mark.parametrize("form", ["sxp", "simple", "simple0"])
def test_xsa_198_the_host_s_files_are_neither_named_nor_removed(tmp_path: Path, out: Path, form: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    forgeries = [
        f")(ramdisk {victim}",
        f"')(ramdisk '{victim}",
        f"\nramdisk {victim}\n",
        f"\n\nramdisk {victim}",
    ]
    for forgery in forgeries:
        quoted = "'" + forgery.replace("'", "'\\''") + "'"
        image = grub_guest(tmp_path, f"menuentry A {{ linux /k {quoted}; }}\n")
        done = run_pygrub(out, f"--output-format={form}", image)
        ends = {"simple": "\n", "simple0": "\0"}
        records = done.stdout.split(ends[form]) if form in ends else []
        assert not [record for record in records if record.startswith("ramdisk")]
        assert f"(ramdisk '{victim}')" not in done.stdout.partition("(args ")[0]
        for file in out.iterdir():
            file.unlink()
    outcome = libxl(tmp_path, image, PLAIN)
    assert outcome.ramdisk is None
    assert victim.read_text() == "precious"


# --- XSA-443, XSA-497, XSA-508: the reader of file systems in the hands of the guest ---------------------


def test_xsa_443_and_508_what_reads_the_guest_has_no_rights(tmp_path: Path, out: Path) -> None:
    """test_sandbox.py has the acts; here only that no option is needed for it."""
    code = """
import os, sys
from pybootcfg.cli import pygrub, reader
from pybootcfg.errors import BootcfgError
def read(task):
    try:
        os.open("/etc/passwd", os.O_RDONLY)
    except PermissionError:
        raise BootcfgError("refused")
reader.read = read
sys.exit(pygrub.main())
"""
    image = grub_guest(tmp_path, "menuentry A { linux /k; }\n")
    command = [sys.executable, "-P", "-c", code, "-q", f"--output-directory={out}", str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "RuntimeError: refused"
