"""pybootcfg scan: a line for each image, whatever the others hold or do."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

#: runs the command with one function replaced, for what no image here does
_REPLACED = """
import os, signal, sys, time
sys.dont_write_bytecode = True
from pybootcfg.cli import scan
examine = scan.examine
def tell(data, once=False):
    # the pipe that leads to the parent, whichever descriptor it is
    for fd in range(3, 64):
        try:
            while os.write(fd, data) and not once: pass
        except OSError: pass
    os._exit(0)
def misbehave(source):
    if "bad" not in source.name:
        return examine(source)
    {deed}
scan.examine = misbehave
from pybootcfg.cli.commands import main
sys.exit(main())
"""


def lines(text: str) -> dict[str, dict[str, Any]]:
    """Return the reports by the names of the images; each stands there once."""
    reports = [json.loads(line) for line in text.splitlines()]
    assert len({report["image"] for report in reports}) == len(reports)
    return {Path(report["image"]).name: report for report in reports}


def misbehaving(deed: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", _REPLACED.format(deed=deed), "scan", *map(str, arguments)]


@pytest.fixture
def pair(sample: Path, tmp_path: Path) -> list[Path]:
    """The sample under a name that behaves, and under one that does not."""
    images = [tmp_path / "bad.img", tmp_path / "good.img"]
    for image in images:
        image.symlink_to(sample)
    return images


def test_the_menu_is_that_of_entries(pybootcfg: Run, sample: Path) -> None:
    done = pybootcfg("scan", sample)
    assert (done.returncode, done.stderr) == (0, "")
    report = lines(done.stdout)["sample.img"]
    assert list(report)[:4] == ["schema", "image", "status", "error"]
    kernels = report.pop("kernels")
    assert kernels == [{"path": "p1:/boot/vmlinuz", "size": 20000, "version": None, "error": None}]
    document = json.loads(pybootcfg("entries", "--json", sample).stdout)
    assert report == {**document, "image": str(sample), "status": 0, "error": None}


def test_what_cannot_be_read_stops_nothing(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    (tmp_path / "noise.img").write_bytes(bytes(range(256)) * 4096)
    (tmp_path / "short.img").write_bytes(sample.read_bytes()[: 3 << 19])
    (tmp_path / "empty.img").touch()
    os.mkfifo(tmp_path / "fifo.img")
    names = ["noise.img", "short.img", "empty.img", "fifo.img", "absent.img"]
    done = pybootcfg("scan", *(tmp_path / name for name in names), sample)
    reports = lines(done.stdout)
    assert set(reports) == {*names, "sample.img"}
    assert reports["sample.img"]["status"] == 0
    assert all(reports[name]["status"] and reports[name]["error"] for name in names)
    assert done.returncode == max(report["status"] for report in reports.values())


def test_many_at_once(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    images = [tmp_path / f"{number}.img" for number in range(20)]
    for image in images:
        image.symlink_to(sample)
    done = pybootcfg("scan", "--jobs", "5", *images)
    assert done.returncode == 0
    reports = lines(done.stdout)
    assert set(reports) == {image.name for image in images}
    assert {len(report["entries"]) for report in reports.values()} == {3}


@pytest.mark.parametrize(
    ("deed", "status", "error"),
    [
        ("time.sleep(60)", 5, "not read within 1 seconds"),
        ("while True: pass", 5, "not read within 1 seconds"),
        ("bytearray(1 << 30)", 5, "too much memory"),
        ("os.abort()", 4, "status -"),
        ("os._exit(0)", 4, "status 0"),
        ("raise ZeroDivisionError('deep inside')", 4, "internal error: ZeroDivisionError: deep inside"),
        ("return tell(b'x', once=True)", 4, "nonsense"),
        ("return tell(b'          2\\n{}', once=True)", 4, "nonsense"),
        ("return tell(bytes(1 << 16))", 4, "says too much"),
    ],
)
def test_a_reader_that_misbehaves(pair: list[Path], deed: str, status: int, error: str) -> None:
    done = subprocess.run(
        misbehaving(deed, "--timeout", "1", *pair), capture_output=True, text=True, timeout=60, check=False
    )
    reports = lines(done.stdout)
    assert reports["good.img"]["status"] == 0, done.stderr
    assert reports["bad.img"]["status"] == status
    assert error in reports["bad.img"]["error"]
    assert done.returncode == status


def test_the_readers_end_with_the_command(pair: list[Path]) -> None:
    command = misbehaving("time.sleep(60)", pair[0])
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until = time.monotonic() + 20
        while not children.read_text() and time.monotonic() < until:
            time.sleep(0.01)
        (reader,) = map(int, children.read_text().split())
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
        while Path(f"/proc/{reader}").exists() and time.monotonic() < until:
            time.sleep(0.01)
        assert not Path(f"/proc/{reader}").exists()


def test_progress_is_for_terminals(pybootcfg: Run, pair: list[Path]) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        misbehaving("raise KeyError", *pair), stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=False
    )
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert " of 2" in shown
    assert shown.endswith("\r\x1b[K")
    assert len(lines(done.stdout.decode())) == 2
    assert pybootcfg("scan", pair[1], pair[1]).stderr == ""


@pytest.mark.parametrize("arguments", [[], ["--jobs", "0", "x"], ["--timeout", "-1", "x"]])
def test_usage(pybootcfg: Run, arguments: list[str]) -> None:
    assert pybootcfg("scan", *arguments).returncode == 2


@pytest.mark.skipif(not shutil.which("mke2fs"), reason="mke2fs makes the image")
def test_versions_of_kernels(pybootcfg: Run, tmp_path: Path) -> None:
    version = "6.1.0-40-amd64 (builder@example.org) #1 SMP PREEMPT_DYNAMIC"
    kernel = bytearray(4096)
    kernel[0x1FE:0x206] = b"\x55\xaa\xeb\x6aHdrS"
    kernel[0x206:0x208] = b"\x0f\x02"
    kernel[0x20E:0x210] = (0x800 - 0x200).to_bytes(2, "little")
    kernel[0x800 : 0x800 + len(version)] = version.encode()
    boot = tmp_path / "tree/boot"
    (boot / "grub").mkdir(parents=True)
    (boot / "with").write_bytes(kernel)
    (boot / "without").write_bytes(b"\x7fELF" + bytes(4096))
    (boot / "folder").mkdir()
    names = ("with", "without", "absent", "folder", "with")
    (boot / "grub/grub.cfg").write_text("".join(f"menuentry {n} {{ linux /boot/{n}; }}\n" for n in names))
    image = tmp_path / "kernels.img"
    subprocess.run(["mke2fs", "-q", "-d", boot.parent, image, "4096k"], check=True)
    done = pybootcfg("scan", image)
    found = {row["path"]: row for row in lines(done.stdout)["kernels.img"]["kernels"]}
    assert list(found) == [f"p0:/boot/{name}" for name in ("with", "without", "absent", "folder")]
    assert found["p0:/boot/with"] == {
        "path": "p0:/boot/with",
        "size": 4096,
        "version": version,
        "error": None,
    }
    assert (found["p0:/boot/without"]["version"], found["p0:/boot/without"]["error"]) == (None, None)
    assert found["p0:/boot/absent"]["error"]
    assert "not a file" in found["p0:/boot/folder"]["error"]
    if shutil.which("file"):
        assert version in subprocess.run(["file", boot / "with"], capture_output=True, text=True).stdout
