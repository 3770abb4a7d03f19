"""LILO: by its manual page and sources, and on real configurations."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from clock import seconds_used
from memory_machine import MemoryMachine
from syrupy.assertion import SnapshotAssertion
from test_grub_legacy import Disk, Run, drawn, partitioned

from pybootcfg import choose, dialects, limits
from pybootcfg.dialects.base import Settings
from pybootcfg.dialects.lilo import interpret
from pybootcfg.errors import ConfigError, GuestFileMissing, LimitExceeded
from pybootcfg.menu import Entry, EntryKind, FileRef, Menu

FOLDER = Path(__file__).parent / "corpus/lilo"
CONFIG = "/etc/lilo.conf"
IMAGE = "image=/vm label=l "


def menu_of(text: str | bytes, files: Mapping[str, str | bytes] | None = None) -> Menu:
    return interpret(MemoryMachine({CONFIG: text, **(files or {})}), FileRef(CONFIG), Settings())


def entry_of(text: str) -> Entry:
    ((_, entry),) = menu_of(text).flat()
    return entry


@pytest.mark.parametrize("name", sorted(file.name for file in FOLDER.iterdir()))
def test_menus(name: str, snapshot: SnapshotAssertion) -> None:
    boot = {"/vmlinuz": "", "/vmlinuz-old": "", "/initrd-old.gz": ""}
    disk = Disk({CONFIG: (FOLDER / name).read_bytes()}, boot)
    assert drawn(interpret(disk, FileRef(CONFIG, "p1"), Settings())) == snapshot


# --- tokens: next(), cfg_get_token() -------------------------------------------------------------


def test_tokens() -> None:
    """What the functions of cfg.c make of each trap in tokens.conf."""
    menu = menu_of((FOLDER / "tokens.conf").read_bytes())
    first, second = [entry for _, entry in menu.flat()]
    assert (menu.timeout, menu.hidden, menu.warnings) == (4.5, False, ())
    assert (first.title, first.kernel) == ('a"b', FileRef("/boot/vm linuz#1"))
    assert first.args == 'root=LABEL=a b a=b"c'
    assert (second.title, second.kernel) == ("Quoted", FileRef("/boot/q\udce9"))
    assert second.args == 'rw root=LABEL=a b one "two" \\three  four $five six'
    assert second.initrds == (FileRef('/boot/i"y'),)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("= a", 1, 1),
        ("prompt\nimage == b", 2, 8),
        ("image=/a\nappend=", 2, 8),
        ('image=/a\n append="never closed\n label=x\n', 2, 9),
        ('append="a\tb"', 1, 8),
        ('append="a\\b"', 1, 8),
    ],
)
def test_mistakes_in_the_syntax(text: str, line: int, column: int) -> None:
    with pytest.raises(ConfigError, match="syntax error") as caught:
        menu_of(text)
    assert (caught.value.file, caught.value.line, caught.value.column) == (CONFIG, line, column)


# --- the command line: bsect_common() ------------------------------------------------------------


@pytest.mark.parametrize(
    ("top", "own", "args"),
    [
        ("", "", ""),
        ("read-only root=/dev/a append=x ramdisk=010", "", "ro root=/dev/a ramdisk=8 x"),
        ("append=x", "append=y", "y"),
        ("append=x", "addappend=y", "x y"),
        ("", "addappend=y", "y"),
        ("append=x", "append=y addappend=z", "y z"),
        ('append="x "', "addappend=y", "x  y"),
        ('append=" "', "read-only", "ro  "),
        ("read-only root=/a append=x", 'literal="y  z "', "y  z"),
        ("read-only", "read-write", "ro rw"),
        ("READ-ONLY Root=/a", "", "ro root=/a"),
        ("root=/a", "root=UUID=x", None),
        ("root=/a", 'root="UUID=x"', "root=UUID=x"),
        ("root=current", "", "root=current"),
        ("root=0x0801", "", "root=801"),
        ("vga=791 literal=x", "", ""),
    ],
)
def test_command_line(top: str, own: str, args: str | None) -> None:
    text = f"{top}\n{IMAGE}{own}"
    if args is None:
        with pytest.raises(ConfigError):
            menu_of(text)
    else:
        assert entry_of(text).args == args


@pytest.mark.parametrize(
    ("top", "own", "restricted"),
    [
        ("", "", False),
        ("", "lock mandatory", False),
        ("password=x", "", True),
        ('password=""', "", True),
        ("", "password=x", True),
        ("password=x restricted", "", False),
        ("password=x", "restricted", False),
        ("password=x restricted", "mandatory", True),
        ("password=x", "bypass", False),
        ("password=x", "password=y bypass", True),
    ],
)
def test_passwords(top: str, own: str, restricted: bool) -> None:
    assert entry_of(f"{top} {IMAGE}{own}").restricted is restricted


# --- the menu ------------------------------------------------------------------------------------

THREE = "image=/boot/2.6.32 image=/b label=B alias=other other=/dev/sda1 label=1"


@pytest.mark.parametrize(
    ("wish", "index"),
    [("2.6.32", 0), ("b", 1), ("B", 1), ("OTHER", 1), ("1", 2), ("none", None), ("0", None), ("sda1", None)],
)
def test_default(wish: str, index: int | None) -> None:
    menu = menu_of(f"default={wish} {THREE}")
    assert menu.defaults == (() if index is None else (str(index),))
    assert choose.default_index(menu) == (index or 0)
    assert len(menu.warnings) == (index is None)
    assert choose.choose(menu, "other").index == 1


def test_kinds() -> None:
    menu = menu_of("image=/dev/fd0 range=1+512 other=/dev/sda1 literal=x image=/c initrd=/i append=a")
    kinds = [(entry.title, entry.kind, entry.args) for _, entry in menu.flat()]
    assert kinds == [
        ("fd0", EntryKind.OTHER, ""),
        ("sda1", EntryKind.CHAINLOAD, "x"),
        ("c", EntryKind.LINUX, "a"),
    ]
    assert choose.choose(menu).entry.initrds == (FileRef("/i"),)


def test_optional_images() -> None:
    """They are left out when LILO would have missed a file; without any files, nothing can be told."""
    text = "initrd=/i image=/a image=/b optional image=/c optional initrd=/j image=/dev/fd0 range=1 optional"
    assert len(list(menu_of(text).flat())) == 4
    titles = [entry.title for _, entry in menu_of(text, {"/i": "", "/c": ""}).flat()]
    assert titles == ["a", "fd0"]
    titles = [entry.title for _, entry in menu_of(f"optional {text}", {"/i": "", "/c": ""}).flat()]
    assert titles == ["fd0"]


def test_a_boot_partition() -> None:
    text = "image=/boot/vm initrd=/boot/sub/i image=/kernels/vm image=/boot/own image=/boot/none"
    disk = Disk({CONFIG: text, "/boot/own": ""}, {}, {"/vm": "", "/sub/i": "", "/kernels/vm": "", "/own": ""})
    entries = [entry for _, entry in interpret(disk, FileRef(CONFIG, "p1"), Settings()).flat()]
    assert [entry.kernel for entry in entries] == [
        FileRef("/vm", "p3"),
        FileRef("/kernels/vm", "p3"),
        FileRef("/boot/own", "p1"),
        FileRef("/boot/none", "p1"),
    ]
    assert entries[0].initrds == (FileRef("/sub/i", "p3"),)
    assert [len(entry.warnings) for entry in entries] == [2, 1, 0, 0]


def test_options_that_lilo_refuses() -> None:
    menu = menu_of(f"label=x {IMAGE} timeout=30 unknown=1 compact=yes append append=a append=b")
    ((_, entry),) = menu.flat()
    assert menu.timeout == 3.0
    assert entry.args == "b"
    assert len(menu.warnings) == 6
    assert len(entry.warnings) == 1


def test_included_files() -> None:
    files = {"/etc/more": "root=/dev/b\n image=/b\n", "/loop": "include=/loop"}
    menu = menu_of("include=/etc/more label=b2 image=/c", files)
    assert [(entry.title, entry.args) for _, entry in menu.flat()] == [
        ("b2", "root=/dev/b"),
        ("c", "root=/dev/b"),
    ]
    assert [entry.source.file.path for _, entry in menu.flat()] == ["/etc/more", CONFIG]
    with pytest.raises(ConfigError, match="includes itself"):
        menu_of("include=/loop", files)
    with pytest.raises(GuestFileMissing):
        menu_of("include=/none")


@pytest.mark.parametrize(
    "text",
    [
        "image=a " * 30_000,
        "x" * (1 << 20) + " ",
        "include=/i " * 200,
        "a=b\n" * 70_000,
    ],
)
def test_large_files_end_in_a_clear_error(text: str) -> None:
    began = seconds_used()
    with pytest.raises(LimitExceeded):
        menu_of(text, {"/i": ""})
    assert seconds_used() - began < 20


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", ["\\\n", "#\n", "${", "a=b ", '"\\\n"', "\\\\", "$a", "optional "])
def test_long_files(unit: str) -> None:
    began = seconds_used()
    with contextlib.suppress(LimitExceeded):
        menu_of("image=a " + unit * (limits.LILO_TEXT.value // len(unit) - 10) + "\n")
    assert seconds_used() - began < 20


# --- judges --------------------------------------------------------------------------------------


def test_a_disk(pygrub: Run, tmp_path: Path) -> None:
    """The kernels lie on the partition that is mounted at /boot."""
    text = "boot=/dev/sda\nread-only\nroot=/dev/sda1\nimage=/boot/vm\n label=l\n initrd=/boot/i\n append=a\n"
    image = partitioned(tmp_path, {CONFIG: text}, {"/vm": "kernel", "/i": "initrd"})
    done = pygrub("-q", "--output-format=simple", f"--output-directory={tmp_path}", image)
    assert done.returncode == 0, done.stderr
    record = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line)
    assert Path(record["kernel"]).read_text() == "kernel"
    assert Path(record["ramdisk"]).read_text() == "initrd"
    assert record["args"] == "ro root=/dev/sda1 a"


def test_entries_of_a_loose_configuration(pybootcfg: Run) -> None:
    done = pybootcfg("entries", "--config", FOLDER / "usual.conf", "--dialect", "lilo", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["dialect"], document["default"], document["timeout"]) == ("lilo", 1, 120)
    assert [entry["title"] for entry in document["entries"]][1:3] == ["linux-OLD", "missing"]
    assert document["entries"][1]["kernel"] == "/boot/vmlinuz-old"


REAL = os.environ.get("PYBOOTCFG_BOOTCFG")


def real_cases() -> list[Any]:
    if not REAL:
        return [pytest.param(None, marks=pytest.mark.skip(reason="PYBOOTCFG_BOOTCFG is not set"))]
    cases = json.loads((Path(REAL) / "real_lilo.json").read_text())
    return [pytest.param(case, id=case["name"]) for case in cases]


@pytest.mark.parametrize("case", real_cases())
def test_real_menus(case: dict[str, Any]) -> None:
    menu = interpret(MemoryMachine(case["files"]), FileRef(case["config"]), Settings())
    wanted = case["expect"]
    ours, theirs = [], []
    for (_, entry), expected in zip(menu.flat(), wanted["entries"], strict=True):
        kind = {"chain": "chainload"}.get(expected["kind"], expected["kind"])
        ours.append((entry.title, str(entry.kind), entry.kernel and entry.kernel.path, entry.args))
        theirs.append((expected["title"], kind, expected["kernel"], expected["args"]))
        assert [file.path for file in entry.initrds] == expected["initrds"]
        assert (entry.id or None) == expected["alias"]
    assert ours == theirs
    assert choose.default_index(menu) == wanted["default_index"]
    assert menu.timeout == (int(wanted["timeout"]) / 10 if wanted["timeout"] else None)


def test_the_registry_knows_the_place() -> None:
    assert dialects.DIALECTS[[dialect.name for dialect in dialects.DIALECTS].index("lilo")].paths == (CONFIG,)
    assert dialects.guess("lilo.conf") == "lilo"
