"""Files as inspect shows them: configurations, kernels, ramdisks; and what it says of formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inspect_tools import Run, document, needs, output
from syrupy.assertion import SnapshotAssertion


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


def test_nesting_without_end(pybootcfg: Run, tmp_path: Path) -> None:
    (tmp_path / "grub.cfg").write_text("if true; then " * 3000 + "true" + "; fi" * 3000 + "\n")
    done = pybootcfg("inspect", "--json", "--config", tmp_path / "grub.cfg")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", [["--formats"], ["--help-format", "ext4"], ["--help-format", "kernel"]])
def test_help(pybootcfg: Run, option: list[str]) -> None:
    done = pybootcfg("inspect", *option)
    assert done.returncode == 0, done.stderr
    assert "ext4" in done.stdout or "https://www.kernel.org" in done.stdout
    assert json.loads(pybootcfg("inspect", "--json", *option).stdout)["schema"] == 1
    assert pybootcfg("inspect", "--help-format", "nothing").returncode == 2


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
