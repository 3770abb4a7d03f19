"""What pygrub does to start, to look a file up and to copy it, counted.

Times would say more of the machine than of the program.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from decodings import decodings
from guests import grub_guest

from faults.images import unpack_file
from pybootcfg import extraction
from pybootcfg.cli import reader
from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Extent, Hole, Options, Run
from pybootcfg.source import FileSource

CORPUS = Path(__file__).parent / "corpus"

#: each costs milliseconds, and nothing on the way of pygrub needs it
HEAVY = {
    "argparse",
    "ast",
    "construct",
    "dataclasses",
    "datetime",
    "enum",
    "hashlib",
    "inspect",
    "json",
    "lark",
    "pathlib",
    "re",
    "rich",
    "shutil",
    "signal",
    "subprocess",
    "tempfile",
    "tokenize",
    "typing",
    "uuid",
}

needs_mke2fs = pytest.mark.skipif(not shutil.which("mke2fs"), reason="mke2fs makes the images")


def modules(statement: str) -> set[str]:
    """Return the modules that are there after a statement."""
    script = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-P", "-c", script], text=True).split())


# --- imports ------------------------------------------------------------------------------------------


def test_the_process_that_parses_nothing_imports_little() -> None:
    # Some environments import more than others by themselves, such as for editable installs.
    loaded = modules("import pybootcfg.cli.pygrub") - modules("pass")
    assert not HEAVY & loaded
    assert len([name for name in loaded if name.startswith("pybootcfg")]) < 20


#: boots an image in one process, as the parent and then the reader would
READ = """
from pybootcfg import bytecode
bytecode.install()
from pybootcfg.cli import pygrub, reader
from pybootcfg.cli.sandbox.prefetch import prefetch
from pybootcfg.cli.supervision import Task
from pybootcfg.source import FileSource
prefetch(everything=False)
bytecode.seal(wanting=True)
reader.read(Task(pygrub.parse(["-q", "-n", {image!r}]), [FileSource.open({image!r})]))
"""


def test_reading_a_guest_imports_little(tmp_path: Path) -> None:
    """A usual guest: nothing heavy, and of the package what it is made of, not what others are made of."""
    image = tmp_path / "guest.img"
    unpack_file(CORPUS / "ext" / "ext4-default.img.xz", image)
    script = READ.format(image=str(image)).strip().replace("\n", "; ")
    loaded = modules(script) - modules("pass")
    assert not HEAVY & loaded
    own = {name for name in loaded if name.startswith("pybootcfg")}
    assert "pybootcfg.filesystems.ext.filesystem" in own
    others = ("filesystems.fat", "filesystems.zfs", "filesystems.ext.htree", "dialects.bls", "formats")
    assert not {name for name in own if name.startswith(tuple(f"pybootcfg.{other}" for other in others))}
    assert len(own) < 100


#: how many readers pygrub starts
COUNTED = """
import sys
from pybootcfg.cli import pygrub, supervision
start_over = supervision.Task.start_over
def counted(task):
    print("once more", file=sys.stderr)
    start_over(task)
supervision.Task.start_over = counted
sys.exit(pygrub.main())
"""


@pytest.mark.parametrize(
    ("image", "once_more"),
    [
        ("ext/ext4-default.img.xz", False),
        ("ext/ext4-dirty.img.xz", False),
        ("fat/fat12.img.xz", False),
        ("fat/fat32.img.xz", False),
        ("fat/exfat.img.xz", False),
        ("iso/genisoimage-joliet.iso.xz", False),
        ("iso/xorriso-rr-joliet.iso.xz", False),
        ("partitions/gpt.img.xz", False),
        ("reiserfs/reiser36-r5.img.xz", False),
        ("ufs/ufs1-le.img.xz", False),
        ("ufs/ufs2-be.img.xz", False),
        ("zfs/datasets-v15.d0.img.xz", True),
    ],
)
def test_usual_guests_need_one_reader(tmp_path: Path, image: str, *, once_more: bool) -> None:
    """Only what few guests need is left to a second reader, which starts with everything."""
    file = tmp_path / "guest.img"
    unpack_file(CORPUS / image, file)
    command = [sys.executable, "-P", "-c", COUNTED, "-q", "-n", "--output-format=json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr.count("once more") == once_more
    assert "internal error" not in done.stderr


@needs_mke2fs
def test_a_second_reader_starts_from_nothing(tmp_path: Path) -> None:
    """What the first one has copied by the time it needs a module does not stay in the files."""
    image = grub_guest(tmp_path, "menuentry a {\nlinux /k\ninitrd /i\n}\n", k=b"KERNEL", i=b"RAMDISK")
    attack = """
from pybootcfg import bytecode
from pybootcfg.cli import reader
read = reader.read
def hesitant(task):
    if not task.everything:
        import os
        os.write(task.kernel, b"half of a kernel, and more of it than there is")
        import unicodedata
    return read(task)
reader.read = hesitant
"""
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-P", "-c", attack + COUNTED, "-q", f"--output-directory={out}", str(image)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "once more\n")
    assert sorted(file.read_bytes() for file in out.iterdir()) == [b"KERNEL", b"RAMDISK"]


@needs_mke2fs
def test_two_readers_have_the_time_of_one(tmp_path: Path) -> None:
    image = grub_guest(tmp_path, "menuentry a {\nlinux /k\n}\n", k=b"KERNEL")
    attack = """
import time
from pybootcfg.cli import reader
def slow(task):
    if task.everything:
        while True:
            pass
    while time.process_time() < 1.2:
        pass
    import unicodedata
reader.read = slow
"""
    out = tmp_path / "out"
    out.mkdir()
    options = ["-q", "--limit", "total-cpu=2", f"--output-directory={out}", str(image)]
    before = os.times()
    command = [sys.executable, "-P", "-c", attack + COUNTED, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    after = os.times()
    assert done.returncode == 1
    assert "once more" in done.stderr
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used < 3.5
    assert list(out.iterdir()) == []


# --- calls ----------------------------------------------------------------------------------------------


@pytest.mark.no_cover
@needs_mke2fs
@pytest.mark.parametrize(
    ("block_size", "most"),
    [
        (4096, {"copy_file_range": 1, "pread": 1}),
        (1024, {"copy_file_range": 30, "pread": 1, "preadv": 241, "write": 241}),
    ],
)
def test_a_large_file_is_copied_by_few_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_size: int, most: dict[str, int]
) -> None:
    """60 MiB that lie in few pieces: in the kernel in one go, or 256 KiB at a time where pages do not fit."""
    root = tmp_path / "root"
    root.mkdir()
    data = bytes(range(1, 256)) * 4
    with (root / "initrd").open("wb") as file:
        for number in range(60 << 10):
            file.write(number.to_bytes(4, "little") + data)
    image = tmp_path / "disk.img"
    options = ["-q", "-t", "ext4", "-b", str(block_size), "-d"]
    subprocess.run(["mke2fs", *options, root, image, "128m"], check=True)
    filesystem = open_filesystem(FileSource.open(str(image)), Options())
    assert filesystem is not None
    node = filesystem.walk(b"/initrd")
    calls = dict.fromkeys(("copy_file_range", "sendfile", "pread", "preadv", "write"), 0)
    for name in calls:
        function = getattr(os, name)

        def counted(*arguments: Any, name: str = name, function: Any = function) -> Any:
            calls[name] += 1
            return function(*arguments)

        monkeypatch.setattr(os, name, counted)
    out = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        assert extraction.copy_file(node, out) == (root / "initrd").stat().st_size
    finally:
        os.close(out)
    monkeypatch.undo()
    assert {name: count for name, count in calls.items() if count > most.get(name, 0)} == {}
    digests = [hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in ("out", "root/initrd")]
    assert digests[0] == digests[1]


#: what became of each wish for room
ROOM = """
from pybootcfg.cli import reader
call = reader.kernel.call
def told(task):
    def watched(name, fd, mode, offset, length):
        task.remarks.append(f"{name} {['kernel', 'ramdisk'][fd == task.ramdisk]} {mode} {offset} {length}")
        {act}
        call(name, fd, mode, offset, length)
        task.remarks[-1] += " given"
    reader.kernel.call = watched
    return read(task)
read, reader.read = reader.read, told
"""


@needs_mke2fs
@pytest.mark.parametrize(
    ("act", "given"), [("pass", True), ("raise OSError(95, 'Operation not supported')", False)]
)
def test_room_is_found_for_what_is_long(tmp_path: Path, act: str, *, given: bool) -> None:
    """A locked-in reader may ask for it; and goes on where there is none to be had that way."""
    kernel, ramdisk = (bytes([number]) * (size << 10) for number, size in ((1, 1024), (2, 3072)))
    config = "menuentry a {\nlinux /k\ninitrd /i /j\n}\n"
    image = grub_guest(tmp_path, config, k=kernel, i=b"small", j=ramdisk)
    out = tmp_path / "out"
    out.mkdir()
    script = (
        ROOM.replace("{act}", act) + "import sys\nfrom pybootcfg.cli import pygrub\nsys.exit(pygrub.main())"
    )
    command = [sys.executable, "-P", "-c", script, "-q", f"--output-directory={out}", str(image)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    asked = [line.split() for line in done.stderr.splitlines()]
    assert asked[0][:5] == ["fallocate", "kernel", "0", "0", str(1 << 20)]
    assert {line[5:] == ["given"] for line in asked} == {given}
    assert {line[1] for line in asked[1:]} == {"ramdisk"}
    assert sum(int(line[4]) for line in asked[1:]) <= 3 << 20
    assert sorted(file.read_bytes() for file in out.iterdir()) == [kernel, b"small\0\0\0" + ramdisk]


def test_holes_are_given_no_room(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"data" * (1 << 19))
    disk = FileSource.open(str(tmp_path / "disk"))
    runs: list[Run] = [Hole(8 << 20), Extent(disk, 0, 1 << 20), Extent(disk, 0, 100), Hole(8 << 20)]
    with (tmp_path / "out").open("wb", buffering=0) as out:
        extraction.copy_runs(reader._with_room(iter(runs), out.fileno(), 0), out.fileno(), regular=True)
    disk.close()
    status = (tmp_path / "out").stat()
    assert status.st_size == (17 << 20) + 100
    assert status.st_blocks * 512 < 2 << 20


@pytest.mark.no_cover
@needs_mke2fs
@pytest.mark.skipif(not shutil.which("e2fsck"), reason="e2fsck makes the index")
def test_a_look_up_decodes_as_much_in_a_large_directory(tmp_path: Path) -> None:
    """One of 6,000 names is found by decoding a block of entries at most, for there is an index."""
    decoded = {}
    for size in (400, 6000):
        root = tmp_path / f"root{size}"
        root.mkdir()
        for number in range(size):
            (root / f"a file of the number {number:06}").touch()
        image = tmp_path / f"{size}.img"
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-N", "8000", "-d", root, image, "64m"], check=True)
        subprocess.run(["e2fsck", "-fyD", image], capture_output=True)
        filesystem = open_filesystem(FileSource.open(str(image)), Options())
        assert filesystem is not None
        filesystem.walk(b"/lost+found")
        with decodings() as counts:
            assert filesystem.walk(b"/a file of the number 000377").size == 0
        decoded[size] = counts.total()
    a_block = 4096 // 36  # entries of such names
    assert all(0 < count < a_block + 40 for count in decoded.values())
