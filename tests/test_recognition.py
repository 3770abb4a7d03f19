"""A loose configuration's dialect is told by its contents when nobody names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pybootcfg import dialects, limits
from pybootcfg.dialects.base import Settings
from pybootcfg.errors import ConfigError, LimitExceeded
from pybootcfg.filesystems.base import Options
from pybootcfg.guest import Guest
from pybootcfg.menu import FileRef, Menu

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
