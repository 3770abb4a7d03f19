"""The menus that GRUB 2 configurations make, judged by GNU GRUB 2.06 (grub-emu).

In the expected values the entries' commands are what functions named `linux`, `initrd` and so on
were called with, and titles were read off a screen: blanks at their ends are lost.
"""

from __future__ import annotations

import json
import lzma
import os
from pathlib import Path
from typing import Any

import pytest
from memory_machine import MemoryMachine
from syrupy.assertion import SnapshotAssertion

from pybootcfg import limits
from pybootcfg.choose import NothingBootable, choose, default_index
from pybootcfg.dialects import grub2
from pybootcfg.dialects.base import Settings
from pybootcfg.dialects.grub2.loaders import command_line
from pybootcfg.errors import BootcfgError, LimitExceeded
from pybootcfg.menu import Entry, EntryKind, FileRef, Menu, Submenu

CORPUS = Path(__file__).with_name("corpus") / "grub2"
PRESET = {"root": "hd0", "prefix": "(hd0)/boot/grub", "grub_platform": "pc"}
KINDS = {"chain": EntryKind.CHAINLOAD}
#: Where we follow the distribution's GRUB instead: it lets \x20 pass, GNU's does not.
OTHER_GRUB = {"real/grub2/blz-mus+kickstart_iso_builder__bios_uefi_menu_grub.cfg"}
#: Where the judge gave up before a `sleep` of the entry was over.
TOO_SLOW = {"real/grub2/stanfish06+my-configs__grub2_grub.cfg"}


def _load(file: Path) -> list[Any]:
    with lzma.open(file, "rt") if file.suffix == ".xz" else file.open(encoding="utf-8") as stream:
        cases = json.load(stream)
    return list(cases["cases"] if isinstance(cases, dict) else cases)


def _real() -> list[Any]:
    folder = os.environ.get("PYBOOTCFG_BOOTCFG")
    return _load(Path(folder) / "real_grub2.json") if folder else []


def menu_of(
    config: str, files: dict[str, str | bytes] | None = None, disks: Any = (), **variables: str
) -> Menu:
    machine = MemoryMachine({"/boot/grub/grub.cfg": config, **(files or {})}, disks)
    return grub2.interpret(machine, FileRef("/boot/grub/grub.cfg"), Settings({**PRESET, **variables}))


def entry_of(body: str, **variables: str) -> Entry:
    (item,) = menu_of(f"menuentry A {{\n{body}\n}}\n", **variables).items
    assert isinstance(item, Entry)
    return item


def _title(title: str) -> str:
    return " ".join(title.split())


def _path(name: str) -> str:
    return name.partition(")")[2] if name.startswith("(") else name


def _found(menu: Menu) -> list[tuple[Any, ...]]:
    return [
        (
            [*(_title(submenu.title) for submenu in above), _title(entry.title)],
            entry.kind,
            entry.kernel and entry.kernel.path,
            [file.path for file in entry.initrds],
            entry.args.replace("\n", ""),
        )
        for above, entry in menu.flat()
    ]


def _from_commands(case: Any) -> list[tuple[Any, ...]]:
    expected = []
    for entry in case["expect"]["entries"]:
        kind, kernel, initrds, args = EntryKind.OTHER, None, [], ""
        for name, words, *_ in entry["commands"]:
            if name == "linux":
                kind, kernel, args = EntryKind.LINUX, _path(words[0]), command_line(words[1:])
            elif name == "initrd":
                initrds = [_path(word) for word in words]
        if not entry["submenu"]:
            expected.append(([_title(title) for title in entry["titles"]], kind, kernel, initrds, args))
    return expected


def _from_summary(case: Any) -> list[tuple[Any, ...]]:
    return [
        (
            [_title(title) for title in entry["titles"]],
            KINDS.get(entry["kind"]) or EntryKind(entry["kind"]),
            _path(entry["kernel"]) if "kernel" in entry else None,
            [_path(name) for name in entry.get("initrds", ())],
            entry.get("cmdline", entry["args"]),
        )
        for entry in case["expect"]["entries"]
    ]


def _interpreted(case: Any) -> Menu:
    machine = MemoryMachine(case["files"], case.get("disks", ()))
    return grub2.interpret(machine, FileRef(case["config"]), Settings({**PRESET, **case.get("env", {})}))


def _check_default(case: Any, menu: Menu) -> None:
    expected = case["expect"]
    if "vars" in expected:
        seconds = expected["vars"]["timeout"]
        assert menu.timeout == (int(seconds) if seconds else None)
    index = default_index(menu)
    if expected["default_top_index"] is None:
        assert index is None
    else:
        above, entry = list(menu.flat())[index if index is not None else -1]
        assert (above[0] if above else entry) is menu.items[expected["default_top_index"]]


@pytest.mark.parametrize("case", _load(CORPUS / "menus.json"), ids=lambda case: case["name"])
def test_a_menu_is_what_grub_shows(case: Any) -> None:
    menu = _interpreted(case)
    assert _found(menu) == _from_commands(case)
    _check_default(case, menu)


@pytest.mark.parametrize("case", _load(CORPUS / "mkconfig.json.xz"), ids=lambda case: case["name"])
def test_what_grub_mkconfig_makes(case: Any) -> None:
    menu = _interpreted(case)
    assert _found(menu) == _from_summary(case)
    _check_default(case, menu)
    assert not grub2.check(case["files"][case["config"]].encode(), case["config"])


@pytest.mark.skipif(not _real(), reason="PYBOOTCFG_BOOTCFG names no folder of real configurations")
@pytest.mark.parametrize("case", _real(), ids=lambda case: case["name"])
def test_a_real_configuration(case: Any) -> None:
    data = case["files"][case["config"]].encode("utf-8", "surrogateescape")
    assert (not grub2.check(data, case["config"])) is case["grub_script_check"]["accept"]
    menu = _interpreted(case)
    found, expected = _found(menu), _from_summary(case)
    if case["name"] in OTHER_GRUB:
        found = [(*rest, args.replace("\\x20", "x20")) for *rest, args in found]
    if case["name"] in TOO_SLOW:
        found[0] = (found[0][0], EntryKind.OTHER, *found[0][2:])
    assert found == expected
    _check_default(case, menu)


@pytest.mark.parametrize("case", _load(CORPUS / "mkconfig.json.xz")[:3], ids=lambda case: case["name"])
def test_snapshot(case: Any, snapshot: SnapshotAssertion) -> None:
    assert _interpreted(case) == snapshot


# --- entries -------------------------------------------------------------------------------------


def test_several_initrds_in_their_order() -> None:
    entry = entry_of("linux /k ro\ninitrd /ucode.img (hd0)/initrd.img\n")
    assert entry.initrds == (FileRef("/ucode.img"), FileRef("/initrd.img"))
    assert entry_of("linux /k\ninitrd /a\ninitrd /b\n").initrds == (FileRef("/b"),)
    assert entry_of("linux /k\ninitrd /a\nlinux /l\n").initrds == ()


@pytest.mark.parametrize("command", ["linux", "linux16", "linuxefi"])
def test_names_of_the_linux_loader(command: str) -> None:
    suffix = command.removeprefix("linux")
    entry = entry_of(f"{command} /k a b\ninitrd{suffix} /i\n")
    assert (entry.kind, entry.kernel, entry.args) == (EntryKind.LINUX, FileRef("/k"), "a b")
    assert entry.initrds == (FileRef("/i"),)


def test_xen_as_multiboot() -> None:
    entry = entry_of("multiboot2 /xen.gz dom0_mem=1G\nmodule2 /vmlinuz root=x\nmodule2 --nounzip /initrd\n")
    assert (entry.kind, entry.kernel, entry.args) == (EntryKind.MULTIBOOT, FileRef("/xen.gz"), "dom0_mem=1G")
    assert [(module.file.path, module.args) for module in entry.modules] == [
        ("/vmlinuz", "root=x"),
        ("/initrd", ""),
    ]
    entry = entry_of("xen_hypervisor /xen.efi\nxen_module /vmlinuz a\nxen_module /initrd\n")
    assert entry.kind is EntryKind.MULTIBOOT
    assert len(entry.modules) == 2


def test_other_loaders() -> None:
    assert entry_of("chainloader +1\n").kind is EntryKind.CHAINLOAD
    assert entry_of("ntldr /bootmgr\n").kind is EntryKind.OTHER
    assert entry_of("linux /k\ndevicetree /x.dtb\n").devicetree == FileRef("/x.dtb")
    assert entry_of("halt\n") == Entry("A", EntryKind.OTHER, entry_of("halt\n").source, "A")


def test_quoting_for_the_kernel() -> None:
    entry = entry_of("linux /k a\\ b 'it'\\''s' \"q\\\"q\" b\\\\s '' c=\"d e\"f g")
    assert entry.args == '"a b" it\\\'s q\\"q b\\\\s  "c=d ef" g'


def test_hexadecimal_escapes_follow_the_distribution() -> None:
    assert entry_of("linux /k hd:LABEL=Fed\\x2042 'a\\x20b'").args == "hd:LABEL=Fedx2042 a\\\\x20b"
    assert entry_of('linuxefi /k hd:LABEL=CentOS\\x207 "a\\x20b" c\\d').args == (
        "hd:LABEL=CentOS\\x207 a\\x20b cd"
    )


def test_only_whole_hexadecimal_escapes_are_kept() -> None:
    """Fedora's patch asks for two hexadecimal digits behind `\\x`; all else loses its backslash as ever."""
    assert entry_of("linuxefi /k a\\xzz b\\x2 c\\x20d 'e\\x4'").args == ("axzz bx2 c\\x20d e\\\\x4")


def test_return_stops_the_line_only_as_in_grub() -> None:
    body = "linux /a\nreturn\nlinux /b\nif true; then linux /c; fi\necho; linux /d\n"
    assert entry_of(body).kernel == FileRef("/b")  # measured with echo in place of linux


def test_an_entry_leaves_no_trace() -> None:
    menu = menu_of(
        "set x=0\nmenuentry A { set x=1; set y=2; eval 'function f { linux /f; }'; linux /a $x $y; }\n"
        "menuentry B { linux /b x=$x y=$y; f; }\n"
    )
    first, second = (entry for _, entry in menu.flat())
    assert (first.args, second.args, second.kernel) == ("1 2", "x=0 y=", FileRef("/b"))
    assert second.warnings == ("command f is unknown and passed over",)


def test_places_and_properties() -> None:
    menu = menu_of(
        "# x\nset superusers=root\n\nmenuentry A --users '' { true; }\n"
        "menuentry B --unrestricted --id b {\n true\n}\n"
    )
    a, b = (entry for _, entry in menu.flat())
    assert (a.source.line, a.restricted, a.id) == (4, True, "A")
    assert (b.source.line, b.restricted, b.id) == (5, False, "b")


def test_an_unknown_device_falls_back_with_a_warning() -> None:
    menu = menu_of("set root='hd7,msdos1'\nmenuentry A { linux /vmlinuz; initrd (lvm/vg-lv)/initrd; }\n")
    (entry,) = (entry for _, entry in menu.flat())
    assert (entry.kernel, entry.initrds) == (FileRef("/vmlinuz"), (FileRef("/initrd"),))
    assert "hd7,msdos1" in entry.warnings[0]
    assert "lvm/vg-lv" in entry.warnings[1]


def test_paths_on_a_loopback_device_are_warned_about() -> None:
    entry = entry_of("loopback loop /x.iso\nlinux (loop)/casper/vmlinuz\n")
    assert entry.kernel == FileRef("/casper/vmlinuz")
    assert "/x.iso" in entry.warnings[0]


def test_other_volumes() -> None:
    disks = [{"uuid": "aa"}, {"uuid": "bb", "files": ["/vmlinuz"]}]
    menu = menu_of(
        "search --fs-uuid --set=root bb\nmenuentry A { linux /vmlinuz; initrd (hd0)/i; }\n", disks=disks
    )
    (entry,) = (entry for _, entry in menu.flat())
    assert (entry.kernel, entry.initrds) == (FileRef("/vmlinuz", "d2p0"), (FileRef("/i"),))


def test_a_stub_shows_the_menu_of_another_configuration() -> None:
    files: dict[str, str | bytes] = {
        "/x/grub.cfg": "set default=1\nset timeout=3\nmenuentry A { linux /a $p; }\n"
        "menuentry B { linux /b; }\n"
    }
    menu = menu_of(
        "set p=1\nexport p\nset timeout=9\nconfigfile /x/grub.cfg\nmenuentry C { linux /c; }\n", files
    )
    assert [entry.title for _, entry in menu.flat()] == ["A", "B"]
    assert (menu.defaults, menu.timeout, default_index(menu)) == (("1",), 3, 1)
    assert next(menu.flat())[1].args == "1"


def test_a_configfile_that_is_missing_is_passed_over() -> None:
    menu = menu_of("configfile /none.cfg\nmenuentry A { configfile /none.cfg; }\n")
    ((_, entry),) = menu.flat()
    assert entry.warnings == ("/none.cfg: file `/none.cfg' not found",)
    assert menu.warnings == ("/none.cfg: file `/none.cfg' not found",)


def test_a_mistake_is_a_warning_with_its_place() -> None:
    menu = menu_of("# one\nmenuentry A { linux /a }\nmenuentry B { linux /b | c; }\n")
    assert [entry.title for _, entry in menu.flat()] == ["A"]
    assert menu.warnings[0].startswith("/boot/grub/grub.cfg:3:24: syntax error: '|' found")


def test_timeout_and_style() -> None:
    def timeout(config: str) -> tuple[float | None, bool]:
        menu = menu_of(config)
        return menu.timeout, menu.hidden

    assert timeout("set timeout=5\n") == (5, False)
    assert timeout("set timeout=-1\nset timeout_style=hidden\n") == (None, False)
    assert timeout("set timeout=0\nset timeout_style=hidden\n") == (0, True)
    assert timeout("set timeout=10x\n") == (10, False)
    assert timeout("") == (None, False)


def test_hidden_entries_and_blscfg_are_named() -> None:
    menu = menu_of("hiddenentry A { linux /a; }\nblscfg\n")
    ((_, entry),) = menu.flat()
    assert entry.hidden


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1])
def test_of_two_entries_of_one_name_the_one_on_its_line_is_edited(number: int) -> None:
    machine = MemoryMachine({"/boot/grub/grub.cfg": "menuentry A { linux /a; }\nmenuentry A { linux /b; }\n"})
    config, settings = FileRef("/boot/grub/grub.cfg"), Settings(PRESET)
    entry = [entry for _, entry in grub2.interpret(machine, config, settings).flat()][number]
    own = "/ab"[:1] + "ab"[number]
    text = grub2.entry_text(machine, config, settings, entry)
    assert text is not None
    assert text.split() == ["linux", f"{own};"]
    edited = grub2.evaluate_entry(machine, config, settings, entry, text.replace(own, "/edited"))
    assert isinstance(edited, Entry)
    assert (edited.kernel, edited.source.line) == (FileRef("/edited"), number + 1)


def test_a_body_without_end_spoils_its_entry_only() -> None:
    menu = menu_of("menuentry A { linux /a; while true; do true; done; }\nmenuentry B { linux /b; }\n")
    a, b = (entry for _, entry in menu.flat())
    assert a.kernel is None
    assert limits.GRUB_ENTRY_STEPS.name in a.warnings[0]
    assert b.kernel == FileRef("/b")


@pytest.mark.parametrize(
    "config",
    [
        "while true; do menuentry a { linux /k; }; done\n",
        # words that spend what the whole run has before the entry has taken too many steps
        f"set x={'x' * 30_000}\nexport x\nsubmenu a {{ while true; do true $x $x $x; done; }}\n",
        "menuentry a { true; }\nsource /boot/grub/grub.cfg\n",
        "".join(f"menuentry a{number} {{ while true; do true; done; }}\n" for number in range(100)),
    ],
)
def test_a_menu_without_end_ends_in_a_limit(config: str) -> None:
    with pytest.raises(LimitExceeded):
        menu_of(config)


@pytest.mark.parametrize("config", ["source /boot/grub/grub.cfg\n", "configfile /boot/grub/grub.cfg\n"])
def test_a_configuration_that_only_runs_itself_is_empty(config: str) -> None:
    menu = menu_of(config)
    assert not menu.items
    assert "is given up" in menu.warnings[0]


def test_submenus_in_one_another_are_bounded() -> None:
    menu = menu_of("submenu a {\n" * 100 + "menuentry b { linux /b; }\n" + "}\n" * 100)
    assert isinstance(menu.items[0], Submenu)
    assert not list(menu.flat())
    assert limits.GRUB_MENU_DEPTH.name in menu.warnings[0]


@pytest.mark.no_cover
def test_many_entries() -> None:
    config = "".join(
        f"menuentry 'Linux {number}' {{\n linux /vmlinuz-{number} root=/dev/xvda1 ro quiet\n initrd /i\n}}\n"
        for number in range(10_000)
    )
    assert sum(1 for _ in menu_of(config).flat()) == 10_000


# --- only the default entry ------------------------------------------------------------------------------

ALL_CASES = [*_load(CORPUS / "menus.json"), *_load(CORPUS / "mkconfig.json.xz"), *_real()]


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case["name"])
def test_the_default_alone_is_the_default_among_all(case: Any) -> None:
    """What boots is the same when only the default entry is run; where it would not be, nothing boots."""
    machine = MemoryMachine(case["files"], case.get("disks", ()))
    settings = Settings({**PRESET, **case.get("env", {})})
    config = FileRef(case["config"])
    try:
        expected = choose(grub2.interpret(machine, config, settings)).entry
    except BootcfgError as error:
        expected = type(error)
    try:
        found: Any = choose(grub2.interpret(machine, config, settings._replace(default_only=True))).entry
    except BootcfgError as error:
        found = type(error)
    assert found in (expected, NothingBootable)


def test_entries_that_nobody_wants_are_not_run() -> None:
    bodies = "".join(f"menuentry e{n} {{ search --file /f{n} --set x; linux /k{n}; }}\n" for n in range(50))
    machine = MemoryMachine({"/boot/grub/grub.cfg": f"set default=e7\n{bodies}"})
    asked: list[str] = []
    search = machine.search
    machine.search = lambda key, value: asked.append(value) or search(key, value)  # type: ignore[method-assign,func-returns-value]
    config = FileRef("/boot/grub/grub.cfg")
    menu = grub2.interpret(machine, config, Settings(PRESET, default_only=True))
    kernel = choose(menu).entry.kernel
    assert kernel is not None
    assert kernel.path == "/k7"
    assert asked == ["/f7"]
    assert len(menu.items) == 50
