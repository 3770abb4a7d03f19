"""What is told by its contents: the dialect of a loose configuration, kinds of images, file systems."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pybootcfg import dialects, limits
from pybootcfg.dialects.base import Settings
from pybootcfg.errors import ConfigError, ImageError, LimitExceeded
from pybootcfg.filesystems import container, open_filesystem
from pybootcfg.filesystems.base import Options
from pybootcfg.filesystems.directory import Directory
from pybootcfg.guest import Guest
from pybootcfg.kind import Kind
from pybootcfg.menu import FileRef, Menu
from pybootcfg.source import MemorySource

Run = Callable[..., "CompletedProcess[str]"]

CONTENTS = {
    "grub2": "menuentry 'Linux' { linux /k a; }\n",
    "grub_legacy": "default 0\ntitle Linux\n kernel /k a\n",
    "syslinux": "default linux\nlabel linux\n menu label Linux\n kernel /k\n append a\n",
    "lilo": "boot=/dev/sda\nimage=/k\n label=Linux\n literal=a\n",
    "bls": "title Linux\nlinux /k\noptions a\n",
}


def recognised(text: str, name: str) -> Menu:
    """Return what a loose file of this name is taken for."""
    guest, file = Guest([], Options()), FileRef(f"/{name}")
    guest.loose[file] = text.encode()
    return dialects.recognise(guest, file, Settings())


@pytest.mark.parametrize("name", ["some.txt", "grub.cfg", "menu.lst", "syslinux.cfg", "lilo.conf"])
@pytest.mark.parametrize("dialect", CONTENTS)
def test_contents_tell(dialect: str, name: str) -> None:
    menu = recognised(CONTENTS[dialect], name)
    assert menu.dialect == dialect
    assert [(entry.kernel, entry.args) for _, entry in menu.flat()] == [(FileRef("/k"), "a")]


def test_a_file_is_recognised_when_nobody_names_its_dialect(pybootcfg: Run, tmp_path: Path) -> None:
    file = tmp_path / "some.txt"
    file.write_text(CONTENTS["lilo"])
    done = pybootcfg("entries", "--json", "--config", file)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["dialect"] == "lilo"
    assert [(entry["kernel"], entry["args"]) for entry in document["entries"]] == [("/k", "a")]


def test_nothing_tells() -> None:
    """What boots nothing is what its name says, even without an entry."""
    menu = recognised("Dear reader,\nthis boots nothing.\n", "menu.lst")
    assert (menu.dialect, menu.items) == ("grub_legacy", ())


def test_what_cannot_be_read_is_a_mistake_in_the_dialect_that_its_name_says() -> None:
    with pytest.raises(ConfigError, match=r"/lilo\.conf:1:"):
        recognised("{ } = = {\n", "lilo.conf")


def test_a_limit_is_not_hidden_by_other_dialects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.GRUB_STEPS, "value", 1000)
    with pytest.raises(LimitExceeded, match="grub-steps"):
        recognised("while true; do true; done\n", "grub.cfg")


def test_a_limit_is_the_exit_status(pybootcfg: Run, tmp_path: Path) -> None:
    file = tmp_path / "grub.cfg"
    file.write_text("while true; do true; done\n")
    assert pybootcfg("entries", "--limit=grub-steps=1000", "--config", file).returncode == 5


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
