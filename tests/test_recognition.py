"""What is told by its contents: the dialect of a loose configuration, kinds of images, file systems."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pybootcfg.errors import ImageError
from pybootcfg.filesystems import container, open_filesystem
from pybootcfg.filesystems.base import Options
from pybootcfg.filesystems.directory import Directory
from pybootcfg.kind import Kind
from pybootcfg.source import MemorySource

Run = Callable[..., "CompletedProcess[str]"]

CONTENTS = {
    "grub2": "menuentry 'Linux' { linux /k a; }\n",
    "grub_legacy": "default 0\ntitle Linux\n kernel /k a\n",
    "syslinux": "default linux\nlabel linux\n menu label Linux\n kernel /k\n append a\n",
    "lilo": "boot=/dev/sda\nimage=/k\n label=Linux\n literal=a\n",
    "bls": "title Linux\nlinux /k\noptions a\n",
}


@pytest.mark.parametrize("name", ["some.txt", "grub.cfg", "menu.lst", "syslinux.cfg", "lilo.conf"])
@pytest.mark.parametrize("dialect", CONTENTS)
def test_contents_tell(pybootcfg: Run, tmp_path: Path, dialect: str, name: str) -> None:
    file = tmp_path / name
    file.write_text(CONTENTS[dialect])
    done = pybootcfg("entries", "--json", "--config", file)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["dialect"] == dialect
    assert [(entry["kernel"], entry["args"]) for entry in document["entries"]] == [("/k", "a")]


def test_nothing_tells(pybootcfg: Run, tmp_path: Path) -> None:
    file = tmp_path / "some.txt"
    file.write_text("Dear reader,\nthis boots nothing.\n")
    done = pybootcfg("entries", "--config", file)
    assert done.returncode in (1, 4)


def test_a_limit_is_not_hidden_by_other_dialects(pybootcfg: Run, tmp_path: Path) -> None:
    file = tmp_path / "grub.cfg"
    file.write_text("while true; do true; done\n")
    assert pybootcfg("entries", "--config", file).returncode == 5


@pytest.mark.parametrize(
    ("begin", "kind"),
    [(b"QFI\xfb", "qcow2"), (b"vhdxfile", "vhdx"), (b"KDMV", "vmdk"), (b"\xeb\x3c\x90", "raw")],
)
def test_containers_of_disks_are_named(begin: bytes, kind: str) -> None:
    assert container(MemorySource(begin.ljust(4096, b"\0"), "image")) == kind


def test_a_pool_of_which_only_damaged_labels_at_the_end_are_left_is_an_error() -> None:
    data = bytearray(1 << 20)
    for place in (2 << 18, 3 << 18):  # two labels of 256 KiB; the list of pairs begins at 16 KiB
        data[place + 16384 : place + 16396] = b"\1\1" + bytes(9) + b"\1"
    with pytest.raises(ImageError, match="no ZFS label is valid"):
        open_filesystem(MemorySource(bytes(data), "image"), Options())


def test_a_folder_is_read_as_a_file_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    folder = Directory(str(tmp_path))
    node = folder.walk(b"/link", follow=False)
    assert (node.kind, node.target()) == (Kind.SYMLINK, b"file")
    assert (folder.walk(b"/link").mode, folder.walk(b"/link").read()) == (0o640, b"text")
