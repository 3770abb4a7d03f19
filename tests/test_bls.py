"""The Boot Loader Specification as systemd-boot shows it, judged by bootctl, and as GRUB's `blscfg` does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from memory_machine import MemoryMachine
from syrupy.assertion import SnapshotAssertion

from pybootcfg import boot, choose, dialects, limits, versions
from pybootcfg.boot import Request
from pybootcfg.dialects import bls
from pybootcfg.dialects.base import SearchKey, Settings, VolumeFacts
from pybootcfg.dialects.bls import places
from pybootcfg.dialects.grub2 import interpret as interpret_grub2
from pybootcfg.dialects.grub2.blscfg import expand
from pybootcfg.dialects.grub2.environment import Environment
from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded
from pybootcfg.filesystems.base import Options
from pybootcfg.filesystems.pe import PortableExecutable
from pybootcfg.formats import pe
from pybootcfg.guest import Configuration, Guest
from pybootcfg.kind import Kind
from pybootcfg.menu import Entry, EntryKind, FileRef, Menu
from pybootcfg.source import MemorySource

if TYPE_CHECKING:
    from conftest import Run

HERE = Path(__file__).parent
CASES: list[dict[str, Any]] = json.loads((HERE / "corpus/bls/bootctl.json").read_text())["cases"]
ORDERS: dict[str, list[list[str]]] = json.loads((HERE / "corpus/bls/versions.json").read_text())
STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
CONF = "/loader/loader.conf"


def menu_of(files: dict[str, Any], config: str = CONF, cpu: str = "x86_64") -> Menu:
    return bls.interpret(MemoryMachine(files), FileRef(config), Settings({"grub_cpu": cpu}))


def entries(menu: Menu) -> list[Entry]:
    return [entry for _, entry in menu.flat()]


def said(menu: Menu) -> list[dict[str, Any]]:
    return [
        {
            "id": entry.id,
            "title": entry.title,
            "linux": str(entry.kernel) if entry.kernel else None,
            "initrd": [str(file) for file in entry.initrds],
            "options": entry.args,
        }
        for entry in entries(menu)
    ]


# --- against bootctl -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_bootctl(case: dict[str, Any]) -> None:
    named = [path for e in case["entries"] for path in (e["linux"], e["efi"], *e["initrd"]) if path]
    menu = menu_of({**dict.fromkeys(named, "x"), **case["files"]})
    assert said(menu) == [{k: v for k, v in e.items() if k != "efi"} for e in case["entries"]]
    assert choose.default_index(menu) == case["default"]


@pytest.mark.parametrize("config", [CONF, "/loader/entries", "/loader/entries/", "first entry"])
def test_real_configurations(config: str) -> None:
    folder = os.environ.get("PYBOOTCFG_BOOTCFG")
    if not folder:
        pytest.skip("PYBOOTCFG_BOOTCFG names no folder of configurations")
    for case in json.loads((Path(folder) / "bls.json").read_text()):
        entry = next(path for path in case["files"] if path.startswith("/loader/entries/"))
        menu = menu_of(case["files"], entry if config == "first entry" else config)
        assert said(menu) == [
            {
                "id": e["id"],
                "title": e["showTitle"],
                "linux": e.get("linux"),
                "initrd": e.get("initrd", []),
                "options": e.get("options", ""),
            }
            for e in case["expect"]["entries"]
        ], case["name"]


@pytest.mark.parametrize(("first", "relation", "second"), ORDERS["systemd"])
def test_order_of_systemd(first: str, relation: str, second: str) -> None:
    assert _relation(versions.systemd(first), versions.systemd(second)) == relation


@pytest.mark.parametrize(("first", "relation", "second"), ORDERS["rpm"])
def test_order_of_rpm(first: str, relation: str, second: str) -> None:
    assert _relation(versions.rpm(first), versions.rpm(second)) == relation


def _relation(first: versions.Key, second: versions.Key) -> str:
    return "<" if first < second else ">" if first > second else "=="


# --- loader.conf ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "timeout", "hidden"),
    [
        ("", None, True),
        ("timeout 5", 5.0, False),
        ("timeout 0", 0.0, True),
        ("timeout menu-force", None, False),
        ("timeout menu-hidden", 0.0, True),
        ("timeout menu-disabled", 0.0, True),
        ("timeout 3\ntimeout never\ntimeout 99999999999999999999999", 3.0, False),
        ("timeout 3\ntimeout 4", 4.0, False),
    ],
)
def test_timeout(text: str, timeout: float | None, hidden: bool) -> None:
    menu = menu_of({CONF: text})
    assert (menu.timeout, menu.hidden) == (timeout, hidden)


def test_default_that_only_the_firmware_knows() -> None:
    menu = menu_of({CONF: "default @saved", "/loader/entries/a.conf": "linux /k", "/k": "x"})
    assert choose.default_index(menu) == 0
    assert "@saved" in menu.warnings[0]


def test_unknown_special_default_is_passed_over() -> None:
    files = {f"/loader/entries/{name}.conf": f"title {name}\nlinux /k" for name in "abc"}
    menu = menu_of({CONF: "default b.conf\ndefault @other", "/k": "x", **files})
    assert [entry.title for entry in entries(menu)] == ["c", "b", "a"]
    assert choose.default_index(menu) == 1


def test_editor() -> None:
    assert menu_of({CONF: "editor no"}).superusers == ()
    assert menu_of({CONF: "editor maybe"}).superusers is None


# --- what systemd-boot itself passes over ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("title t\narchitecture aa64\nlinux /k", "it is for aa64"),
        ("title t\nlinux /missing", "/missing is not there"),
        ("title t", "it has no kernel"),
        ("title t\nlinux /k\nefi /k", "it has linux and efi"),
    ],
)
def test_passed_over(text: str, why: str) -> None:
    """An entry that the boot stub hides is listed, as by bootctl, but does not boot by itself."""
    menu = menu_of({"/loader/entries/z.conf": text, "/loader/entries/a.conf": "linux /k", "/k": "x"})
    first, second = entries(menu)
    assert (first.id, second.id) == ("z.conf", "a.conf")
    assert why in first.warnings[0]
    assert choose.default_index(menu) == 1


def test_architecture_of_the_machine() -> None:
    files = {"/loader/entries/a.conf": "architecture aa64\nlinux /k", "/k": "x"}
    assert not entries(menu_of(files, cpu="arm64"))[0].warnings


def test_variables_of_grub_are_told() -> None:
    files = {"/loader/entries/a.conf": "linux /k\noptions root=x $kernelopts", "/k": "x"}
    entry = entries(menu_of(files))[0]
    assert entry.args == "root=x $kernelopts"
    assert "not replaced" in entry.warnings[0]


def test_enclosing_quotes_are_told() -> None:
    files = {"/loader/entries/a.conf": 'linux /k\noptions "root=x ro"', "/k": "x"}
    entry = entries(menu_of(files))[0]
    assert (entry.args, len(entry.warnings)) == ('"root=x ro"', 1)


def test_snapshot(snapshot: SnapshotAssertion) -> None:
    case = next(case for case in CASES if case["name"] == "kernel-install")
    assert menu_of(case["files"]) == snapshot


# --- places --------------------------------------------------------------------------------------


class Partitions(MemoryMachine):
    """Partitions of one disk, with their types."""

    def __init__(self, **volumes: tuple[str, dict[str, str]]) -> None:
        super().__init__({})
        self._facts = [
            VolumeFacts(name, f"hd0,gpt{name[1:]}", "fat", type=kind) for name, (kind, _) in volumes.items()
        ]
        self._files = {
            name: {p: t.encode() for p, t in files.items()} for name, (_, files) in volumes.items()
        }


ENTRY = {"/loader/entries/a.conf": "linux /k", "/k": "x"}


def test_entries_on_both_partitions() -> None:
    machine = Partitions(
        p1=(places.XBOOTLDR, ENTRY),
        p2=(places.ESP, {CONF: "default b*\ntimeout 7", "/loader/entries/b.conf": "linux /l", "/l": "x"}),
        p3=("other", ENTRY),
    )
    for config in (FileRef(CONF, "p2"), FileRef("/loader/entries", "p1")):
        menu = bls.interpret(machine, config, Settings())
        assert [str(entry.kernel) for entry in entries(menu)] == ["p2:/l", "p1:/k"]
        assert (choose.default_index(menu), menu.timeout) == (0, 7.0)


@pytest.mark.parametrize(
    ("config", "files", "kernel"),
    [
        ("/boot/loader/entries", {"/boot/loader/entries/a.conf": "linux /k", "/boot/k": "x"}, "/boot/k"),
        # /boot is a directory of the root file system
        ("/boot/loader/entries", {"/boot/loader/entries/a.conf": "linux /boot/k", "/boot/k": "x"}, "/boot/k"),
        (
            "/efi/loader/loader.conf",
            {"/boot/loader/entries/a.conf": "linux /k", "/efi/loader/loader.conf": "", "/boot/k": "x"},
            "/boot/k",
        ),
        (
            "/boot/loader/entries",
            {"/boot/loader/entries/a.conf": "linux /k", "/boot/efi/loader/loader.conf": "", "/boot/k": "x"},
            "/boot/k",
        ),
        ("/somewhere/a.conf", {"/somewhere/a.conf": "linux /k", "/k": "x"}, "/k"),
        ("/somewhere", {"/somewhere/a.conf": "linux /k", "/k": "x"}, "/k"),
    ],
)
def test_mounted_partitions(config: str, files: dict[str, str], kernel: str) -> None:
    menu = menu_of(files, config)
    assert [str(entry.kernel) for entry in entries(menu)] == [kernel]
    assert not menu.warnings


def test_registry(tmp_path: Path) -> None:
    """A directory of entries is a configuration; GRUB's comes before it."""
    (tmp_path / "boot/loader/entries").mkdir(parents=True)
    (tmp_path / "boot/loader/entries/a.conf").write_text("linux /k\n")
    (tmp_path / "boot/grub2").mkdir()
    (tmp_path / "boot/grub2/grub.cfg").write_text("blscfg\n")
    (tmp_path / "boot/k").write_text("x")
    guest = Guest.of_directory(str(tmp_path), "p0")
    found = list(guest.configurations(guest.volume("p0")))
    assert [(one.dialect, one.file.path) for one in found] == [
        ("grub2", "/boot/grub2/grub.cfg"),
        ("bls", "/boot/loader/entries"),
    ]
    for configuration in found:
        assert entries(guest.interpret(configuration, Settings()))[0].id.startswith("a")


@pytest.mark.parametrize(
    "file", ["x/loader.conf", "/boot/loader/entries", "/boot/loader/entries/", "entries/b.conf"]
)
def test_guess(file: str) -> None:
    assert dialects.guess(file) == "bls"


def test_loose_entry_file() -> None:
    guest = Guest([], Options())
    guest.loose[FileRef("/x/entries/a.conf")] = b"title A\nlinux /k\n"
    menu = guest.interpret(Configuration("bls", FileRef("/x/entries/a.conf")), Settings())
    assert [(entry.title, str(entry.kernel), entry.warnings) for entry in entries(menu)] == [("A", "/k", ())]


@pytest.mark.parametrize("config", ["loader/loader.conf", "loader/entries"])
def test_loose_directory(pybootcfg: Run, tmp_path: Path, config: str) -> None:
    (tmp_path / "loader/entries").mkdir(parents=True)
    (tmp_path / "loader/loader.conf").write_text("timeout 5\n")
    (tmp_path / "loader/entries/a.conf").write_text("linux /k\n")
    found = json.loads(pybootcfg("entries", "--config", tmp_path / config, "--json").stdout)
    assert (found["timeout"], [entry["id"] for entry in found["entries"]]) == (5.0, ["a.conf"])


# --- hostile input -------------------------------------------------------------------------------


@pytest.mark.no_cover
def test_too_many_entries() -> None:
    files = {f"/loader/entries/{number}.conf": "linux /k" for number in range(5000)}
    with pytest.raises(LimitExceeded, match="bls-entries"):
        menu_of(files)


def test_large_file_is_passed_over() -> None:
    files = {"/loader/entries/a.conf": "linux /k\n", "/loader/entries/b.conf": "#" * (1 << 21)}
    menu = menu_of(files)
    assert [entry.id for entry in entries(menu)] == ["a.conf"]
    assert "bls-file-size" in menu.warnings[0]


def test_arbitrary_bytes() -> None:
    data = bytes(range(256)) * 40 + b"\nlinux /k\ntitle \xff\xfe\n"
    entry = entries(menu_of({"/loader/entries/a.conf": data}))[0]
    assert entry.title.encode("utf-8", "surrogateescape") == b"\xff\xfe"


# --- unified kernel images ------------------------------------------------------------------------

OSREL = b"NAME=\"Some System\"\nID=some\nVERSION_ID=12\n# PRETTY_NAME=no\nPRETTY_NAME='Some System 12'\n"


def unified(*sections: tuple[str, bytes]) -> bytes:
    """Build a PE file of sections, each padded to 512 bytes in the file."""
    head = pe.msdos_header.build({"e_magic": None, "e_lfanew": 64})
    head += pe.file_header.build(
        {
            "signature": None,
            "machine": 0x8664,
            "number_of_sections": len(sections),
            "time_date_stamp": 0,
            "pointer_to_symbol_table": 0,
            "number_of_symbols": 0,
            "size_of_optional_header": 240,
            "characteristics": 0x22,
        }
    )
    head += bytes(240)
    offset = 8192
    body = b""
    for name, data in sections:
        head += pe.section_header.build(
            {
                "name": name.encode().ljust(8, b"\0"),
                "virtual_size": len(data),
                "virtual_address": offset,
                "size_of_raw_data": -(-len(data) // 512) * 512,
                "pointer_to_raw_data": offset + len(body),
                "pointer_to_relocations": 0,
                "pointer_to_linenumbers": 0,
                "number_of_relocations": 0,
                "number_of_linenumbers": 0,
                "characteristics": 0x40,
            }
        )
        body += data.ljust(-(-len(data) // 512) * 512, b"\0")
    return head.ljust(offset, b"\0") + body


def guest_of(folder: Path, **files: bytes) -> Guest:
    for name, data in files.items():
        path = folder / "EFI/Linux" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return Guest.of_directory(str(folder), "p0")


def unified_menu(guest: Guest) -> Menu:
    return guest.interpret(Configuration("bls", FileRef("/EFI/Linux", "p0")), Settings())


MAIN = (
    (".text", b"stub"),
    (".osrel", OSREL),
    (".cmdline", b"root=/dev/xvda1\tro \n"),
    (".uname", b"6.1.0"),
    (".linux", b"the kernel" * 1000),
    (".ucode", b"microcode"),
    (".initrd", b"the ramdisk" * 1000),
)


def test_unified_kernel_image(tmp_path: Path) -> None:
    guest = guest_of(tmp_path, **{"some+2-1.efi": unified(*MAIN)})
    entry = entries(unified_menu(guest))[0]
    assert (entry.title, entry.id, entry.kind) == ("Some System 12", "some.efi", EntryKind.LINUX)
    assert (str(entry.kernel), entry.args) == ("p0:/EFI/Linux/some+2-1.efi", "root=/dev/xvda1 ro")
    found = boot.find_boot(guest, Request(args="more"))
    assert found.args == "root=/dev/xvda1 ro more"
    contents = [guest.node(file).read() for file in (found.kernel, *found.initrds)]
    assert contents == [b"the kernel" * 1000, b"microcode", b"the ramdisk" * 1000]


def test_profiles(tmp_path: Path) -> None:
    image = unified(
        *MAIN,
        (".profile", b"ID=main\n"),
        (".profile", b"ID=rescue\nTITLE='Rescue mode'\n"),
        (".cmdline", b"single"),
        (".profile", b""),
        (".initrd", b"another"),
        (".cmdline", b"third"),
    )
    guest = guest_of(tmp_path, **{"a.efi": image})
    menu = unified_menu(guest)
    assert [(entry.id, entry.title, entry.args) for entry in entries(menu)] == [
        ("a.efi", "Some System 12", "root=/dev/xvda1 ro"),
        ("a.efi@rescue", "Some System 12 (Rescue mode)", "single"),
        ("a.efi@2", "Some System 12 (Profile #3)", "third"),
    ]
    found = boot.find_boot(guest, Request(entry="a.efi@2"))
    contents = [guest.node(file).read() for file in (found.kernel, *found.initrds)]
    assert contents == [b"the kernel" * 1000, b"microcode", b"another"]


@pytest.mark.parametrize(
    ("key", "options", "args"),
    [("uki", "", "root=/dev/xvda1 ro"), ("efi", "", "root=/dev/xvda1 ro"), ("linux", "options a", "a")],
)
def test_entry_file_that_names_an_image(tmp_path: Path, key: str, options: str, args: str) -> None:
    guest = guest_of(tmp_path, **{"a.efi": unified(*MAIN)})
    (tmp_path / "loader/entries").mkdir(parents=True)
    (tmp_path / "loader/entries/e.conf").write_text(f"{key} /EFI/Linux/a.efi\n{options}\n")
    found = boot.find_boot(guest, Request(entry="e.conf"))
    assert (str(found.kernel), found.args) == ("p0:/EFI/Linux/a.efi:/.linux", args)


@pytest.mark.parametrize(
    ("data", "warns"),
    [
        (b"MZ", True),
        (b"MZ" + bytes(58) + b"\xff" * 4, True),
        (unified(*MAIN)[:4000], True),
        (unified((".linux", b"x")), False),  # no .osrel: not an image of the specification
        (unified((".osrel", b"ID='unfinished")), False),
        (unified((".osrel", b"ID='unfinished"), (".linux", b"x")), True),
        (b"#!/bin/sh\n", True),
        (b"", True),
    ],
)
def test_no_unified_kernel_image(tmp_path: Path, data: bytes, warns: bool) -> None:
    menu = unified_menu(guest_of(tmp_path, **{"a.efi": data, "b.efi": unified(*MAIN)}))
    assert [entry.id for entry in entries(menu)] == ["b.efi"]
    assert bool(menu.warnings) == warns


def test_a_damaged_image_is_an_error_and_no_kernel(tmp_path: Path) -> None:
    """Nothing boots a unified kernel image as it is, so it is not taken for want of what is in it."""
    (tmp_path / "loader/entries").mkdir(parents=True)
    (tmp_path / "loader/entries/e.conf").write_text("uki /a.efi\n")
    (tmp_path / "a.efi").write_bytes(unified(*MAIN)[:9000])
    guest = guest_of(tmp_path)
    with pytest.raises(
        boot.NothingBootableError, match="a section lies beyond the end of the file"
    ) as caught:
        boot.find_boot(guest, Request())
    assert caught.value.exit_status == ImageError.exit_status
    menu = guest.interpret(Configuration("bls", FileRef("/loader/entries", "p0")), Settings())
    assert [(entry.kind, entry.args) for entry in entries(menu)] == [(EntryKind.LINUX, "")]


def test_a_profile_without_a_kernel(tmp_path: Path) -> None:
    """The sections before the first .profile are those of all profiles; the kernel is not among them."""
    image = unified(
        (".osrel", OSREL),
        (".profile", b"ID=main\n"),
        (".linux", b"the kernel"),
        (".profile", b"ID=rescue\n"),
        (".cmdline", b"single"),
    )
    guest = guest_of(tmp_path, **{"a.efi": image})
    assert str(boot.find_boot(guest, Request(entry="a.efi")).kernel) == "p0:/EFI/Linux/a.efi:/.linux"
    with pytest.raises(boot.NothingBootableError, match=r"/@1/\.linux: no such file"):
        boot.find_boot(guest, Request(entry="a.efi@rescue"))


def test_section_beyond_the_end() -> None:
    whole = unified((".linux", b"x" * 5000))
    executable = PortableExecutable(MemorySource(whole[:9000], "test"), Options())
    node = executable.walk(b"/.linux")
    with pytest.raises(ImageError, match="beyond the end"):
        list(node.runs())


def test_structures() -> None:
    executable = PortableExecutable(MemorySource(unified(*MAIN), "test"), Options())
    names = [structure.name for structure in executable.structures.listed()]
    assert names[:3] == ["msdos_header", "file_header", "section_header[0]"]
    assert (executable.machine, len(names)) == ("x64", 2 + len(MAIN))


@pytest.mark.skipif(not (STUB.exists() and shutil.which("objcopy")), reason="no systemd stub or no objcopy")
def test_image_of_the_systems_own_tools(tmp_path: Path) -> None:
    command: list[str | Path] = ["objcopy"]
    for number, (name, data) in enumerate(MAIN[1:], 1):
        (tmp_path / name).write_bytes(data)
        command += ["--add-section", f"{name}={tmp_path / name}"]
        command += ["--change-section-vma", f"{name}={number << 24:#x}"]
    (tmp_path / "EFI/Linux").mkdir(parents=True)
    subprocess.run([*command, STUB, tmp_path / "EFI/Linux/a.efi"], check=True)
    guest = Guest.of_directory(str(tmp_path), "p0")
    found = boot.find_boot(guest, Request())
    contents = [guest.node(file).read() for file in (found.kernel, *found.initrds)]
    assert contents == [b"the kernel" * 1000, b"microcode", b"the ramdisk" * 1000]
    assert found.args == "root=/dev/xvda1 ro"


# --- blscfg --------------------------------------------------------------------------------------

ID = "0123456789abcdef0123456789abcdef"
GRUB_CFG = "/grub2/grub.cfg"


def snippet(version: str, **fields: str | Sequence[str]) -> dict[str, str]:
    lines = {
        "title": f"Linux {version}",
        "version": version,
        "linux": f"/vmlinuz-{version}",
        "initrd": f"/initramfs-{version}.img $tuned_initrd",
        "options": "root=UUID=1 ro $kernelopts $tuned_params",
        **fields,
    }
    text = "".join(
        f"{key} {value}\n"
        for key, all_ in lines.items()
        for value in ([all_] if isinstance(all_, str) else all_)
    )
    return {f"/loader/entries/{ID}-{version}.conf": text}


def grub_menu(script: str, *snippets: dict[str, str], variables: str = "", **more: str) -> Menu:
    files = {
        GRUB_CFG: script,
        "/grub2/grubenv": f"# GRUB Environment Block\n{variables}".ljust(1024, "#"),
        **more,
    }
    for one in snippets:
        files |= one
    return interpret_grub2(MemoryMachine(files), FileRef(GRUB_CFG), Settings())


def test_blscfg_order_and_ids() -> None:
    names = ["6.1.9-100.fc37", "6.1.10-100.fc37", "6.1.10-100.fc37+debug", "6.1.10~rc1-1.fc37", "0-rescue"]
    menu = grub_menu("blscfg\n", *(snippet(name) for name in names))
    assert [entry.id.removeprefix(f"{ID}-") for entry in entries(menu)] == [
        "6.1.10-100.fc37+debug",
        "6.1.10-100.fc37",
        "6.1.10~rc1-1.fc37",
        "6.1.9-100.fc37",
        "0-rescue",
    ]


@pytest.mark.parametrize(
    ("saved", "title"),
    [(f"{ID}-6.1.9-1", "Linux 6.1.9-1"), ("1", "Linux 6.1.9-1"), ("Linux 6.1.10-1", "Linux 6.1.10-1")],
)
def test_blscfg_default(saved: str, title: str) -> None:
    script = 'load_env\nset default="${saved_entry}"\nblscfg\n'
    menu = grub_menu(script, snippet("6.1.9-1"), snippet("6.1.10-1"), variables=f"saved_entry={saved}\n")
    index = choose.default_index(menu)
    assert index is not None
    assert entries(menu)[index].title == title


@pytest.mark.parametrize(
    ("default", "booted"),
    [
        ("6abc>second", "second"),  # an id, although it begins with a digit
        ("6 titles>second", "second"),  # so does a title
        ("1>second", "second"),
        ("6abc>>second", "first"),  # `>>` is a `>` in a name, and no entry has that one
        ("7none>second", "first"),  # neither a name nor a number: the first entry
    ],
)
def test_ids_that_begin_with_digits_lead_into_submenus(default: str, booted: str) -> None:
    """menuentry_eq of grub-core/normal/menu.c, which Fedora's GRUB asks before it reads a number."""
    script = f"""set default='{default}'
menuentry first {{ linux /first; }}
submenu '6 titles' --id 6abc {{
menuentry other {{ linux /other; }}
menuentry second {{ linux /second; }}
}}
insmod blscfg
"""
    menu = grub_menu(script)
    assert choose.choose(menu).entry.title == booted


def test_options_that_their_variables_make_too_long() -> None:
    script = f"set kernelopts={'x' * 30_000}\nblscfg\n"
    long = snippet("6-1", options="$kernelopts $kernelopts")
    assert len(entries(grub_menu(script, long))[0].args) == 60_001
    with pytest.raises(LimitExceeded, match=r"grub-variable: 90\d{3} is over .* \[options of an entry\]"):
        grub_menu(script, snippet("6-1", options="$kernelopts $kernelopts $kernelopts"))


def test_blscfg_variables() -> None:
    """An undefined variable vanishes; one of grubenv is replaced, in options only."""
    script = "load_env\nset tuned_params=''\nblscfg\n"
    one = snippet("6.1.9-1", title="Linux $kernelopts")
    menu = grub_menu(script, one, variables="kernelopts=rhgb quiet \n")
    entry = entries(menu)[0]
    assert entry.title == "Linux $kernelopts"
    assert entry.args == "root=UUID=1 ro rhgb quiet"
    assert [str(file) for file in entry.initrds] == ["/initramfs-6.1.9-1.img"]
    assert str(entry.kernel) == "/vmlinuz-6.1.9-1"
    entry = entries(grub_menu("set tuned_initrd=/t.img\nblscfg\n", one))[0]
    assert entry.args == "root=UUID=1 ro"
    assert [str(file) for file in entry.initrds] == ["/initramfs-6.1.9-1.img", "/t.img"]


def test_blscfg_early_initrds_and_default_options() -> None:
    one = {f"/loader/entries/{ID}-6-1.conf": "title t\nlinux /b/vmlinuz\ninitrd /b/i1\ninitrd /b/i2\n"}
    script = 'set default_kernelopts="root=x $y"\nset early_initrd="ucode.img acpi.img"\nblscfg\n'
    entry = entries(grub_menu(script, one))[0]
    assert [str(file) for file in entry.initrds] == ["/b/ucode.img", "/b/acpi.img", "/b/i1", "/b/i2"]
    assert entry.args == "root=x"
    one = {f"/loader/entries/{ID}-6-1.conf": "linux /b/vmlinuz\n"}
    entry = entries(grub_menu(script, one))[0]
    assert [str(file) for file in entry.initrds] == ["/b/ucode.img", "/b/acpi.img"]
    assert entry.title == "/b/vmlinuz"


@pytest.mark.parametrize(
    ("text", "title", "args"),
    [
        ("title a\nlinux /k\noptions one\noptions two\n", "a", "one"),  # only the first counts
        ("title a\nlinux /k\n\noptions one\n", "a", ""),  # a blank line ends the file
        ("title a\nlinux /k\nversion\noptions one\n", "a", ""),  # so does one without a value
        ("title a\nlinux /k\n# comment\n  options one \\x20two\r\n", "a", "one \\x20two"),
        ("title\ta b\nlinux\t/k\noptions one\n", "/k", "one"),  # the tab does not end the key: no title
        ("title\ta\nlinux\t/k\noptions\tone\n", "a", "one"),
        ('title a\nlinux /k\noptions one "two three"\n', "a", 'one "two three"'),
    ],
)
def test_blscfg_syntax(text: str, title: str, args: str) -> None:
    entry = entries(grub_menu("blscfg\n", {f"/loader/entries/{ID}-6-1.conf": text}))[0]
    assert (entry.title, entry.args, str(entry.kernel)) == (title, args, "/k")


def test_blscfg_passes_over() -> None:
    menu = grub_menu(
        "blscfg\n",
        {"/loader/entries/a.conf": "title no kernel\n", "/loader/entries/.b.conf": "linux /b\n"},
        {"/loader/entries/c-1_0.conf": "linux /c\n", "/loader/entries/c-1.0.conf": "linux /c\n"},
        {"/loader/entries/d.txt": "linux /d\n", "/loader/entries/.conf": "linux /d\n"},
    )
    assert [entry.id for entry in entries(menu)] == ["c-1.0"]
    assert [warning.partition(":")[0] for warning in menu.warnings] == ["blscfg", "blscfg"]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("blscfg default", ["6.1.9-1"]),
        ("blscfg non-default", ["6.1.10-1", "6.1.8-1"]),
        ("blscfg default; blscfg non-default", ["6.1.9-1", "6.1.10-1", "6.1.8-1"]),
        (f"blscfg {ID}-6.1.8-1", ["6.1.8-1"]),
        ("blscfg; blscfg", ["6.1.10-1", "6.1.9-1", "6.1.8-1"]),
        ("bls_import", ["6.1.10-1", "6.1.9-1", "6.1.8-1"]),
        ("blscfg '(hd0)/loader/entries'", ["6.1.10-1", "6.1.9-1", "6.1.8-1"]),
        (f"blscfg '(hd0)/loader/entries/{ID}-6.1.8-1.conf'", ["6.1.8-1"]),
        ("blscfg --show-default", ["6.1.9-1"]),
        (f"blscfg -p /loader/entries -e {ID}-6.1.8-1.conf", ["6.1.8-1"]),
        ("blscfg '(hd9)/loader/entries'", []),
        ("blscfg /nowhere", []),
    ],
)
def test_blscfg_arguments(command: str, shown: list[str]) -> None:
    snippets = [snippet("6.1.9-1"), snippet("6.1.10-1"), snippet("6.1.8-1")]
    menu = grub_menu(f"set default=1\n{command}\n", *snippets)
    assert [entry.id.removeprefix(f"{ID}-") for entry in entries(menu)] == shown


def test_blscfg_in_submenus() -> None:
    """What one submenu shows is not taken from another."""
    script = "blscfg default\nsubmenu A { blscfg non-default }\nsubmenu B { blscfg non-default }\n"
    menu = grub_menu(f"set default=0\nexport default\n{script}", snippet("6-1"), snippet("5-1"))
    found = [([submenu.title for submenu in above], entry.title) for above, entry in menu.flat()]
    assert found == [([], "Linux 6-1"), (["A"], "Linux 5-1"), (["B"], "Linux 5-1")]


@pytest.mark.parametrize(
    ("script", "folder"),
    [
        ("blscfg\n", "/boot/loader/entries"),
        ("set blsdir=/ostree/entries\nblscfg\n", "/ostree/entries"),
        ("set blsdir=/nowhere\nblscfg\n", "/boot/loader/entries"),
        ("set root=hd7,gpt1\nblscfg\n", "/loader/entries"),
    ],
)
def test_blscfg_folder(script: str, folder: str) -> None:
    files = {f"{folder}/{ID}-6-1.conf": "title t\nlinux /boot/k\n"}
    assert [str(entry.kernel) for entry in entries(grub_menu(script, files))] == ["/boot/k"]


def test_blscfg_on_the_volume_of_root() -> None:
    """The ESP has grub.cfg, $root has the entries, $boot is the ESP again: as Red Hat writes it."""

    class Two(Partitions):
        def device(self, name: str) -> str | None:
            return {"hd0,gpt1": "p1", "hd0,gpt2": "p2"}.get(name)

        def search(self, key: SearchKey, value: str) -> Sequence[str]:
            assert key is SearchKey.UUID
            return {"ESP": ["p1"], "ROOT": ["p2"]}.get(value, [])

    script = "search --fs-uuid --set=root ROOT\nsearch --fs-uuid --set=boot ESP\ninsmod blscfg\nblscfg\n"
    machine = Two(
        p1=(places.ESP, {"/EFI/x/grub.cfg": script}),
        p2=("other", {"/loader/entries/a-1-1.conf": "title t\nlinux /k\n"}),
    )
    menu = interpret_grub2(machine, FileRef("/EFI/x/grub.cfg", "p1"), Settings())
    assert [str(entry.kernel) for entry in entries(menu)] == ["p2:/k"]


def test_blscfg_users() -> None:
    one = snippet("6-1", grub_users="$grub_users", grub_arg="--unrestricted")
    two = snippet("5-1", grub_users="root")
    menu = grub_menu("set superusers=root\nblscfg\n", one, two)
    assert [(entry.restricted, entry.users) for entry in entries(menu)] == [(False, ()), (True, ("root",))]


def test_blscfg_device_tree() -> None:
    files = {"/loader/entries/a-1-1.conf": "linux /b/k\ndevicetree /x.dtb\n"}
    files["/loader/entries/a-1-2.conf"] = "linux /b/k\n"
    menu = grub_menu("set devicetree=y.dtb\nblscfg\n", files)
    assert [str(entry.devicetree) for entry in entries(menu)] == ["/b/y.dtb", "/x.dtb"]


@pytest.mark.parametrize(
    ("value", "expanded"),
    [
        ("root=x $var", "root=x 1 2 "),
        ("$var root=x", "1 2 root=x"),
        ("$var/root", "1 2 /root"),
        ("$nothing root=x", "root=x"),
        ("root=x $nothing", "root=x "),
        ("$var$var end", "1 2 1 2 end"),
        ("$nothing", None),
        ("", None),
        ("$nothing$var", None),
        ("$var x", "1 2 "),  # a single character at the end is lost
        ("plain", "plain"),
    ],
)
def test_blscfg_expansion(value: str, expanded: str | None) -> None:
    environment = Environment()
    environment.set("var", "1 2")
    assert expand(environment, value) == expanded


def test_blscfg_limits() -> None:
    files = {f"/loader/entries/a-{number}-1.conf": "linux /k\n" for number in range(4200)}
    with pytest.raises(BootcfgError, match="bls-entries"):
        grub_menu("blscfg\n", files)


# --- what systemd-boot passes over -------------------------------------------------------------------------


def test_names_that_begin_with_auto_are_its_own() -> None:
    menu = menu_of({"/loader/entries/auto-a.conf": "linux /k", "/k": "x"})
    assert "names that begin with auto- are its own" in "".join(entries(menu)[0].warnings)


def test_images_that_are_passed_over(tmp_path: Path) -> None:
    """systemd's boot_entry_add_unified: hidden files, other endings; and it wants an ID in .osrel."""
    nameless = unified((".linux", b"k"), (".osrel", b"PRETTY_NAME=Nameless\n"))
    files = {name: unified(*MAIN) for name in ("a.efi", ".hidden.efi", "a.exe", "auto-b.efi")}
    menu = unified_menu(guest_of(tmp_path, **files, **{"c.efi": nameless}))
    assert {entry.id: "".join(entry.warnings) for entry in entries(menu)} == {
        "a.efi": "",
        "auto-b.efi": "systemd-boot passes it over: names that begin with auto- are its own",
        "c.efi": "systemd-boot passes it over: its .osrel section has no ID",
    }


def test_too_many_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.BLS_ENTRIES, "value", 3)
    profiles = [(".profile", b"ID=p%d\n" % number) for number in range(5)]
    with pytest.raises(LimitExceeded, match="bls-entries"):
        unified_menu(guest_of(tmp_path, **{"a.efi": unified(*MAIN, *profiles)}))


def test_an_executable_without_a_kernel_is_booted_as_it_is(tmp_path: Path) -> None:
    guest = guest_of(tmp_path, **{"a.efi": unified((".text", b"x"), (".osrel", OSREL))})
    (tmp_path / "loader/entries").mkdir(parents=True)
    (tmp_path / "loader/entries/e.conf").write_text("linux /EFI/Linux/a.efi\noptions x\n")
    found = boot.find_boot(guest, Request())
    assert (str(found.kernel), found.args) == ("p0:/EFI/Linux/a.efi", "x")


def test_sections_are_files_and_profiles_directories() -> None:
    """A section that is longer in memory than in the file ends in zeros, as a loader maps it."""
    image = unified(*MAIN, (".profile", b"ID=main\n"), (".profile", b"ID=rescue\n"))
    long = image.replace(
        b".uname\0\0" + (5).to_bytes(4, "little"), b".uname\0\0" + (5 + 1000).to_bytes(4, "little")
    )
    assert long != image
    executable = PortableExecutable(MemorySource(long, "test"), Options())
    assert executable.name == "pe"
    root = executable.root
    nodes = {name: node for name, node in root.entries() if not name.startswith(b"@")}
    assert len({node.key for node in (root, root.lookup(b"@1"), *nodes.values()) if node}) == len(nodes) + 2
    for node in nodes.values():
        assert (node.kind, list(node.entries()), node.lookup(b"x"), node.target()) == (
            Kind.FILE,
            [],
            None,
            b"",
        )
    for folder in (root, root.lookup(b"@1")):
        assert folder is not None
        assert (folder.kind, folder.size, list(folder.runs()), folder.target()) == (
            Kind.DIRECTORY,
            0,
            [],
            b"",
        )
    assert nodes[b".uname"].read() == b"6.1.0".ljust(512, b"\0") + bytes(1005 - 512)
