"""A loose configuration's dialect is told by its contents when nobody names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

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
