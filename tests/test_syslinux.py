"""SYSLINUX and its relatives, by their manuals, by grub-syslinux2cfg, and on real configurations."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from memory_machine import MemoryMachine
from syrupy.assertion import SnapshotAssertion

from pybootcfg import choose
from pybootcfg.dialects.base import Settings, VolumeFacts
from pybootcfg.dialects.grub2 import interpret as interpret_grub2
from pybootcfg.dialects.syslinux import interpret
from pybootcfg.errors import ConfigError, GuestFileMissing, LimitExceeded
from pybootcfg.menu import Entry, EntryKind, FileRef, Menu, Scheme, Submenu

HERE = Path(__file__).parent
CASES: list[dict[str, Any]] = json.loads((HERE / "corpus/syslinux/cases.json").read_text())
CONFIG = "/boot/syslinux/syslinux.cfg"
TOOL = shutil.which("grub-syslinux2cfg")


def menu_of(text: str | bytes, config: str = CONFIG, **files: str) -> Menu:
    return interpret(MemoryMachine({config: text, **files}), FileRef(config), Settings())


def flat(menu: Menu) -> list[tuple[tuple[Submenu, ...], Entry]]:
    return list(menu.flat())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_case(case: dict[str, Any]) -> None:
    menu = interpret(MemoryMachine(case["files"]), FileRef(case["config"]), Settings())
    found = []
    for (above, entry), wanted in zip(flat(menu), case["entries"], strict=False):
        said: dict[str, Any] = {
            "title": entry.title,
            "id": entry.id,
            "submenu": [submenu.title for submenu in above],
            "kind": entry.kind.value,
            "kernel": entry.kernel and str(entry.kernel),
            "initrd": [str(file) for file in entry.initrds],
            "args": entry.args,
            "modules": [{"path": str(module.file), "args": module.args} for module in entry.modules],
            "devicetree": entry.devicetree and str(entry.devicetree),
            "warnings": len(entry.warnings),
        }
        defaults: dict[str, Any] = {"modules": [], "devicetree": None, "warnings": 0}
        assert said == defaults | wanted, case["says"]
        found.append(entry)
    assert len(flat(menu)) == len(case["entries"])
    assert choose.default_index(menu) == case["default"], case["says"]
    assert menu.timeout == case["timeout"]
    assert len(menu.warnings) == case["warnings"], menu.warnings


@pytest.mark.skipif(TOOL is None, reason="grub-syslinux2cfg is not installed")
@pytest.mark.parametrize("case", [case for case in CASES if case.get("tool")], ids=lambda case: case["name"])
def test_against_grub_syslinux2cfg(case: dict[str, Any], tmp_path: Path) -> None:
    """GRUB's own translator, its output run by our GRUB, says the same of Linux entries."""
    for path, text in case["files"].items():
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    config = tmp_path / case["config"].lstrip("/")
    # without a wait the tool makes no menu, but boots the default at once
    config.write_text("prompt 1\ntimeout 50\n" + case["files"][case["config"]])
    folder = os.path.dirname(case["config"])
    script = subprocess.run(
        [str(TOOL), "-s", f"-r{tmp_path}", "-t/", f"-T{folder}", str(config)], capture_output=True, check=True
    ).stdout
    theirs = interpret_grub2(MemoryMachine({"/grub.cfg": script}), FileRef("/grub.cfg"), Settings())
    ours = interpret(MemoryMachine(case["files"]), FileRef(case["config"]), Settings())

    def told(menu: Menu) -> list[tuple[str, str, list[str], list[str]]]:
        return [
            (
                entry.title,
                os.path.normpath(entry.kernel.path),
                [os.path.normpath(file.path) for file in entry.initrds],
                entry.args.split(),
            )
            for _, entry in menu.flat()
            if entry.kernel and entry.kind is EntryKind.LINUX
        ]

    assert told(ours)
    assert told(ours) == told(theirs)
    assert (
        choose.default_index(ours) == choose.default_index(theirs) or "c32" in case["files"][case["config"]]
    )


def test_snapshot(snapshot: SnapshotAssertion) -> None:
    """The live CD of this folder as a whole."""
    folder = HERE / "corpus/syslinux/live"
    files = {
        f"/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    menu = interpret(MemoryMachine(files), FileRef("/isolinux/isolinux.cfg"), Settings())
    lines = [f"timeout {menu.timeout}, hidden {menu.hidden}, defaults {menu.defaults}", *menu.warnings]
    for above, entry in menu.flat():
        lines.append(" > ".join([*(submenu.title for submenu in above), entry.title]))
        lines.append(
            f"  {entry.source.file}:{entry.source.line} {entry.id} {entry.kind.value} {entry.kernel}"
        )
        lines.append(f"  {[str(file) for file in entry.initrds]} {entry.args!r}")
        lines.extend(f"  module {module.file} {module.args!r}" for module in entry.modules)
        lines.extend(f"  {warning}" for warning in entry.warnings)
    choice = choose.choose(menu)
    lines.append(f"boots {choice.index}: {'; '.join(choice.reasons)}")
    assert "\n".join(lines) == snapshot


def test_bytes_are_kept() -> None:
    menu = menu_of(b"label a\n menu label caf\xe9\n linux k\n append x=\xff\n")
    (entry,) = (entry for _, entry in menu.flat())
    assert entry.title.encode("utf-8", "surrogateescape") == b"caf\xe9"
    assert entry.args.encode("utf-8", "surrogateescape") == b"x=\xff"


def test_places() -> None:
    menu = menu_of(
        "# c\n\nlabel a\nlinux k\ntext help\n\nendtext\nmenu begin x\nlabel b\n linux k\nmenu end\n"
    )
    assert [(entry.id, entry.source.line) for _, entry in menu.flat()] == [("a", 3), ("b", 9)]
    assert [item.source.line for item in menu.items] == [3, 8]


def test_hidden_and_restricted() -> None:
    menu = menu_of("menu hidden\nlabel a\n linux k\n menu hide\nlabel b\n linux k\n menu passwd x\n")
    assert menu.hidden
    assert [(entry.hidden, entry.restricted) for _, entry in menu.flat()] == [(True, False), (False, True)]


def test_passwords() -> None:
    menu = menu_of(
        "menu master passwd $6$salt$hash\nlabel a\n linux k\n menu passwd secret\nlabel b\n linux k\n"
        "label c\n linux k\n menu passwd\nmenu begin x\nmenu passwd $4$sha$1\nlabel d\n linux k\nmenu end\n"
    )
    entries = {entry.id: entry for _, entry in menu.flat()}
    assert {name: (entry.restricted, entry.users) for name, entry in entries.items()} == {
        "a": (True, ("a",)),
        "b": (False, ()),
        "c": (True, ()),
        "d": (False, ()),
    }
    assert menu.superusers == ("",)
    assert [(p.user, p.scheme, p.secret) for p in menu.passwords] == [
        ("a", Scheme.PLAIN, "secret"),
        ("", Scheme.CRYPT, "$6$salt$hash"),
    ]
    assert menu.items[-1].restricted
    assert len(menu.warnings) == 1


@pytest.mark.parametrize(
    ("text", "superusers"),
    [("allowoptions 0\n", ()), ("menu master\n", None), ("label a\nmenu passwd\n", ())],
)
def test_who_may_edit(text: str, superusers: tuple[str, ...] | None) -> None:
    assert menu_of(text).superusers == superusers


def test_default_that_cannot_be_booted_gives_way_to_ontimeout() -> None:
    menu = menu_of(
        "default hd\nontimeout c\nlabel hd\n localboot 0x80\nlabel b\n linux k\n"
        "menu begin x\nlabel c\n linux k\nmenu end\n"
    )
    assert menu.defaults == ("0", "2>0")
    assert choose.choose(menu).entry.id == "c"


def test_onerror_is_the_last_resort() -> None:
    menu = menu_of(
        "default a\nontimeout b\nonerror c\nlabel a\n linux a\nlabel b\n linux b\nlabel c\n linux c\n"
    )
    assert menu.defaults == ("0", "1", "2")
    assert menu_of("default a\nonerror menu.c32\nlabel a\n linux a\n").defaults == ("0",)


def test_devices() -> None:
    machine = MemoryMachine({CONFIG: "label a\n linux (hd1)/k\n initrd (hd7)/i\n"}, [{}, {"files": ["/k"]}])
    ((_, entry),) = interpret(machine, FileRef(CONFIG), Settings()).flat()
    assert entry.kernel == FileRef("/k", "d2p0")
    assert entry.initrds == (FileRef("/i"),)
    assert len(entry.warnings) == 1


def test_backslashes_on_fat_only() -> None:
    assert menu_of("label a\n linux \\boot\\k\n").items[0].kernel == FileRef("/boot/syslinux/\\boot\\k")  # type: ignore[union-attr]


def test_fsuuid() -> None:
    machine = MemoryMachine(
        {CONFIG: "sysappend 0x40003\nlabel a\n linux k\n append ro\n"}, [{"uuid": "12-34"}]
    )
    ((_, entry),) = interpret(machine, FileRef(CONFIG), Settings()).flat()
    assert entry.args == "ro FSUUID=12-34"
    assert not entry.warnings


def test_missing() -> None:
    with pytest.raises(GuestFileMissing):
        interpret(MemoryMachine({}), FileRef(CONFIG), Settings())


@pytest.mark.parametrize(
    ("text", "line"),
    [("include syslinux.cfg\n", 1), ("label a\n\ninclude a.cfg x\n", 1)],
    ids=["self", "pair"],
)
def test_include_loop(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match="includes itself") as caught:
        menu_of(text, **{"/boot/syslinux/a.cfg": "include syslinux.cfg"})
    assert caught.value.line == line
    assert caught.value.column == len("include s")


def test_modules_that_lead_to_each_other() -> None:
    menu = menu_of("label a\n com32 ifcpu64.c32\n append b -- b\nlabel b\n com32 ifcpu64\n append a\n")
    assert [entry.kind for _, entry in menu.flat()] == [EntryKind.CHAINLOAD] * 2
    assert all("leads to itself" in entry.warnings[0] for _, entry in menu.flat())


def numbered(count: int, text: Callable[[int], str]) -> dict[str, str]:
    return {f"/boot/syslinux/{number}.cfg": text(number) for number in range(count)}


@pytest.mark.parametrize(
    ("text", "files", "limit"),
    [
        ("label x\n" * 50_000, {}, "syslinux-labels"),
        ("x\n" * 200_000, {}, "syslinux-statements"),
        ("append " + "x " * 500_000, {}, "syslinux-line"),
        ("label x\n" * 1_000_000, {}, "syslinux-text"),
        ("label x\n" * 10_000_000, {}, "config-size"),
        ("menu begin\n" * 100, {}, "syslinux-menu-depth"),
        ("include 0.cfg", numbered(40, lambda n: f"include {n + 1}.cfg"), "syslinux-includes"),
        ("include 0.cfg", numbered(14, lambda n: f"include {n + 1}.cfg\n" * 3), "syslinux-files"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_limits(text: str, files: dict[str, str], limit: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        menu_of(text, **files)
    assert caught.value.limit == limit


def test_configurations_that_all_lead_to_each_other() -> None:
    everywhere = "".join(f"label {number}\nconfig {number}.cfg\n" for number in range(30))
    assert len(flat(menu_of(everywhere, **numbered(30, lambda _: everywhere)))) < 1000


def test_long_line_is_told() -> None:
    menu = menu_of(f"label a\n linux k\n append {'x' * 5000}\n")
    assert "4095" in menu.warnings[0]


@pytest.mark.parametrize(
    "junk", [b"\0", b"\x1a", b"\xff\xfe", b"menu", b"menu #", b"text", b"\r", b"#", b"f13 "]
)
def test_junk(junk: bytes) -> None:
    for text in (junk, junk + b"\n", b"label a\n" + junk + b"\nlinux k\n", b"label a\nlinux k\n" + junk):
        assert len(flat(menu_of(text))) == (b"label" in text)


# --- real configurations -------------------------------------------------------------------------

_ROOM = os.environ.get("PYBOOTCFG_BOOTCFG")
_REAL: list[dict[str, Any]] = json.loads((Path(_ROOM) / "real_syslinux.json").read_text()) if _ROOM else []
_KINDS = {
    "linux": "linux",
    "multiboot": "multiboot",
    "chain": "chainload",
    "menu": "other",
    "config": "other",
}


def _same(entry: Entry, wanted: dict[str, Any]) -> bool:
    """Compare with the reference reader, which does not look into modules or at MENU DISABLED."""
    if wanted["raw_kernel"] and wanted["raw_kernel"].endswith("linux.c32"):
        return entry.kind is EntryKind.LINUX and wanted["args"].endswith(entry.args)
    if entry.kind is EntryKind.OTHER or wanted["kind"] == "local":
        return wanted["kind"] in ("menu", "config", "local") or "implicit_kernel" in wanted
    if entry.kind.value != _KINDS[wanted["kind"]]:
        return False
    if entry.kind is EntryKind.MULTIBOOT:
        whole = [
            f"{entry.kernel} {entry.args}",
            *(f"{module.file} {module.args}" for module in entry.modules),
        ]
        return " --- ".join(map(str.strip, whole)) == str(wanted["args"])
    initrds = [file.path for file in entry.initrds]
    kernel = entry.kernel.path if entry.kernel else None
    return (kernel, initrds, entry.args) == (wanted["kernel"], wanted["initrds"], wanted["args"])


@pytest.mark.skipif(not _REAL, reason="PYBOOTCFG_BOOTCFG names no folder of real configurations")
@pytest.mark.parametrize("case", _REAL, ids=lambda case: case["name"].rpartition("/")[2])
def test_real(case: dict[str, Any]) -> None:
    menu = interpret(MemoryMachine(case["files"]), FileRef(case["config"]), Settings())
    expected = case["expect"]
    assert len(flat(menu)) == len(expected["entries"])
    for (above, entry), wanted in zip(flat(menu), expected["entries"], strict=True):
        assert (entry.title, [submenu.title for submenu in above]) == (wanted["title"], wanted["sub"])
        assert _same(entry, wanted), (entry, wanted)
    headings = [wanted["title"] for wanted in expected["entries"] if "implicit_kernel" in wanted]
    if not any(entry.title in headings for _, entry in flat(menu)[:1]):  # it would mark one as the default
        assert choose.default_index(menu) == (expected["default_index"] if expected["entries"] else None)
    tenths = int(expected["timeout"] or 0)
    assert menu.timeout == (tenths / 10 if tenths > 0 else None)


# --- what is missing from a line ---------------------------------------------------------------------------


def said_of(menu: Menu) -> str:
    return "\n".join([*menu.warnings, *(warning for _, entry in flat(menu) for warning in entry.warnings)])


@pytest.mark.parametrize(
    "line",
    [
        "include",
        "fdt /x.dtb",
        "fdtoverlays /x.dtbo",
        "menu hide",
        "menu disable",
        "menu goto main",
        "menu exit",
    ],
)
def test_a_line_without_a_label_or_a_word_changes_nothing(line: str) -> None:
    menu = menu_of(f"{line}\nlabel a\n kernel /k\n append x\n")
    assert [(entry.title, entry.args, entry.devicetree) for _, entry in flat(menu)] == [("a", "x", None)]


def test_an_initrd_takes_one_word() -> None:
    menu = menu_of("label a\n kernel /k\n initrd /one /two\n")
    assert "INITRD takes one word, with commas between files" in said_of(menu)


@pytest.mark.parametrize("number", ["2", "3", "0", "99999"])
def test_a_default_that_is_no_label_is_taken_for_a_number(number: str) -> None:
    """doc/syslinux.txt: labels may be given by their number in the file, which begins with 1."""
    menu = menu_of(f"default {number}\nprompt 1\nimplicit 0\nlabel a\n kernel /k\nlabel b\n kernel /l\n")
    assert choose.default_index(menu) == (1 if number == "2" else 0)
    assert ("it is taken for a number" in said_of(menu)) == (number == "2")


def test_a_menu_marks_nothing_that_it_does_not_show() -> None:
    menu = menu_of("ui menu.c32\ndefault b\nlabel a\n kernel /k\nlabel b\n menu hide\n kernel /l\n")
    assert choose.choose(menu).entry.title == "a"


def test_a_default_of_a_submenu_is_its_own() -> None:
    text = (
        "ui menu.c32\nmenu begin x\n menu default\n label a\n  kernel /k\n label b\n  kernel /l\nmenu end\n"
    )
    assert choose.choose(menu_of(text)).entry.title == "a"


@pytest.mark.parametrize(
    ("command", "kernel"),
    [
        ("ifcpu.c32 pae -- a -- b", "/k"),
        ("ifcpu.c32 pae", None),
        ("whichsys.c32 -pxe- b -sys- a", "/k"),
        ("whichsys.c32 -pxe- b", None),
        ("ifcpu64.c32 c -- b", None),
    ],
)
def test_modules_that_run_another_command(command: str, kernel: str | None) -> None:
    """com32/modules: ifcpu.c32 and whichsys.c32 choose between the commands that they are given."""
    text = f"implicit 0\nlabel start\n com32 {command}\nlabel a\n kernel /k\nlabel b\n kernel /l\n"
    entry = flat(menu_of(text))[0][1]
    assert (entry.kind is EntryKind.LINUX and entry.kernel and entry.kernel.path) == (kernel or False)
    assert ("runs nothing that is known" in said_of(menu_of(text))) == (kernel is None)


@pytest.mark.parametrize(
    ("args", "kind"),
    [
        ("-solaris -aout /xen --- /k", EntryKind.MULTIBOOT),
        ("-aout", EntryKind.CHAINLOAD),
        ("", EntryKind.CHAINLOAD),
    ],
)
def test_mboot_wants_an_image(args: str, kind: EntryKind) -> None:
    entry = flat(menu_of(f"label a\n com32 mboot.c32\n append {args}\n"))[0][1]
    assert entry.kind is kind
    if kind is EntryKind.MULTIBOOT:
        assert entry.kernel == FileRef("/xen")


def test_files_on_other_machines_keep_their_names() -> None:
    entry = flat(menu_of("label a\n linux http://host/k\n initrd tftp://host/i\n"))[0][1]
    assert entry.kernel == FileRef("http://host/k")
    assert "http://host/k is on another machine" in "".join(entry.warnings)


def test_names_may_be_written_as_on_dos() -> None:
    class Fat(MemoryMachine):
        def volumes(self) -> list[VolumeFacts]:  # type: ignore[override]
            return [facts._replace(filesystem="fat") for facts in super().volumes()]

    files = {CONFIG: "label a\n linux \\live\\k\n"}
    kernels = [
        flat(interpret(machine, FileRef(CONFIG), Settings()))[0][1].kernel
        for machine in (Fat(files), MemoryMachine(files))
    ]
    assert kernels == [FileRef("/live/k"), FileRef("/boot/syslinux/\\live\\k")]


def test_a_configuration_in_a_directory_that_is_not_there() -> None:
    text = "label a\n config /other.cfg /nowhere\n"
    menu = menu_of(text, **{"/other.cfg": "label b\n linux k\n"})
    assert "there is no directory /nowhere to change to" in said_of(menu)
    assert [entry.kernel for _, entry in flat(menu)] == [FileRef("/boot/syslinux/k")]
