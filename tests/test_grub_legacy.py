"""GRUB legacy: by its manual and sources, by grub-menulst2cfg and pygrub, and on real configurations."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from clock import seconds_used
from conftest import PLAIN_ENVIRONMENT
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_machine import MemoryMachine
from syrupy.assertion import SnapshotAssertion

from pybootcfg import choose, dialects, limits
from pybootcfg.dialects.base import Settings
from pybootcfg.dialects.grub_legacy import interpret
from pybootcfg.errors import LimitExceeded, printable
from pybootcfg.menu import Entry, EntryKind, FileRef, Menu, Submenu

FOLDER = Path(__file__).parent / "corpus/grub_legacy"
CONFIG = "/boot/grub/menu.lst"
UUID = "4f7d1a5e-26be-4b1c-8a44-3a63a4bd2a57"
TOOL = shutil.which("grub-menulst2cfg")
Run = Callable[..., "subprocess.CompletedProcess[str]"]

#: where GRUB's own sources disagree with grub-menulst2cfg, which has no continued lines, takes a word
#: for what Solaris added, and lets a kernel stand beside what is chainloaded after it
DISPUTED = re.compile(
    r"augeas__test_grub\.aug_5$"
    r"|GentooCfgFiles__(boot_grub_grub\.conf\.vm|hist_boot_grub_grub\.conf)$"
    r"|perl-Bootloader-testsuite_tests_test_interface_backup_fake_root[12]_boot_grub_menu\.lst$"
)


class Disk(MemoryMachine):
    """One disk with partitions `p1`, `p2`, ...; the first argument is the configuration's."""

    def __init__(self, *partitions: Mapping[str, str | bytes], names: str = "msdos1 msdos2 msdos3") -> None:
        super().__init__({}, [{} for _ in partitions])
        self._files = {}
        for number, (files, name) in enumerate(zip(partitions, names.split(), strict=False), 1):
            facts = self._facts[number - 1]
            self._facts[number - 1] = facts._replace(
                name=f"p{number}",
                grub=f"hd0,{name}",
                uuid=str(files.get("uuid", "")),
                label=str(files.get("label", "")),
                filesystem=str(files.get("filesystem", "ext2")),
            )
            self._files[f"p{number}"] = {
                path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()
            }


def menu_of(text: str | bytes, files: Mapping[str, str | bytes] | None = None) -> Menu:
    return interpret(MemoryMachine({CONFIG: text, **(files or {})}), FileRef(CONFIG), Settings())


def entries_of(text: str | bytes, files: Mapping[str, str | bytes] | None = None) -> list[Entry]:
    return [entry for _, entry in menu_of(text, files).flat()]


def on(disk: Disk, config: str = CONFIG) -> list[Entry]:
    return [entry for _, entry in interpret(disk, FileRef(config, "p1"), Settings()).flat()]


def drawn(menu: Menu) -> str:
    lines = [f"defaults {menu.defaults} timeout {menu.timeout} hidden {menu.hidden}", *menu.warnings]
    for index, (above, entry) in enumerate(menu.flat()):
        title = " > ".join([*(submenu.title for submenu in above), entry.title])
        mark = "*" if index == choose.default_index(menu) else " "
        restricted = " restricted" if entry.restricted else ""
        lines.append(
            f"{mark} {index} line {entry.source.line}: {printable(title)}  [{entry.kind}{restricted}]"
        )
        if entry.kernel:
            lines.append(f"      kernel {printable(str(entry.kernel))}  {printable(entry.args)!r}")
        lines += [f"      initrd {printable(str(file))}" for file in entry.initrds]
        lines += [
            f"      module {printable(str(module.file))}  {printable(module.args)!r}"
            for module in entry.modules
        ]
        lines += [f"      warning: {warning}" for warning in entry.warnings]
    return "\n".join(lines)


@pytest.mark.parametrize("name", sorted(file.name for file in FOLDER.iterdir()))
def test_menus(name: str, snapshot: SnapshotAssertion) -> None:
    pool = {"/boot/grub/bootsign/pool_rpool": "", "filesystem": "zfs"}
    linux = {"uuid": UUID, "/marker": "", CONFIG: "title inner\nroot (hd0,0)\nkernel /inner\n"}
    own = {CONFIG: (FOLDER / name).read_bytes(), "/boot/grub/default": "1\n#\n#\n"}
    menu = interpret(Disk(own, linux, pool), FileRef(CONFIG, "p1"), Settings())
    assert drawn(menu) == snapshot


# --- lines: get_line_from_config() ---------------------------------------------------------------


def test_lines() -> None:
    """What the functions of GRUB 0.97 make of each trap in lines.lst."""
    menu = menu_of((FOLDER / "lines.lst").read_bytes(), {"/marker": ""})
    entries = [entry for _, entry in menu.flat()]
    assert (menu.defaults, menu.timeout, menu.hidden) == (("1",), 16.0, False)
    assert [entry.title for entry in entries] == [
        "Tabs and blanks",
        "Caf\udce9    continued",
        "Last command counts",
        "Chain after kernel",
        "Menu within",
        "Itself",
        "Late globals",
        "Unknown devices",
        "(",
        "no newline at the end",
    ]
    assert entries[0].args == 'a  b "c d" e\\x20f #not-a-comment '
    assert entries[1].args == "root=/dev/sda1    ro"
    assert [file.path for file in entries[1].initrds] == ["/one", "/two", "/three"]
    assert (entries[2].kernel, entries[2].args, entries[2].modules) == (FileRef("/new"), "new", ())
    assert (entries[3].kind, entries[3].kernel) == (EntryKind.CHAINLOAD, None)
    assert entries[5].kind is EntryKind.OTHER
    assert entries[7].kernel == FileRef("/net")
    assert len(entries[7].warnings) == 3
    assert entries[9].source.line == 45


@pytest.mark.parametrize(
    ("line", "args"),
    [
        ("kernel /x", ""),
        ("kernel=/x  =a", "=a"),
        ("kernel --no-mem-option --type=biglinux /x --type=a", "--type=a"),
        ("kernel /x a\\\tb", "a\\ b"),
        ("\t kernel\t/x\ta", "a"),
    ],
)
def test_kernel_arguments(line: str, args: str) -> None:
    (entry,) = entries_of(f"title t\n{line}")
    assert (entry.kernel, entry.args) == (FileRef("/x"), args)


def test_titles_without_commands_do_not_count() -> None:
    """cmain(): an entry exists once a command of it was met, so numbers count without the others."""
    menu = menu_of(
        "default 1\ntitle -----\ntitle a\nkernel /a\ntitle -----\n# no\ntitle b\nkernel /b\ntitle end"
    )
    assert [entry.title for _, entry in menu.flat()] == ["a", "b"]
    assert choose.choose(menu).entry.title == "b"
    assert len(menu.warnings) == 3


# --- defaults: cmain(), default_func(), fallback_func() ------------------------------------------

FOUR = "".join(f"title {name}\nkernel /{name}\n" for name in "abcd")


@pytest.mark.parametrize(
    ("head", "saved", "defaults"),
    [
        ("", None, ()),
        ("default 2", None, ("2",)),
        ("default=2", None, ("2",)),
        ("default 010", None, ("10",)),
        ("default 0x3", None, ("3",)),
        ("default 4", None, ("0",)),
        ("default 4\nfallback 9 2 3", None, ("2", "3")),
        ("fallback 3 3 1", None, ("0", "3", "1")),
        ("default 99999999999999999999999", None, ("0",)),
        ("default /default", None, ()),
        ("default saved", None, ("0",)),
        ("default saved", "2\n#\n#\n#\n# WARNING: do not change this file\n", ("2",)),
        ("default saved ", "3", ("3",)),
        ("default saved", "garbage", ("0",)),
        ("default saved", "1234567890123", ("0",)),
    ],
)
def test_defaults(head: str, saved: str | None, defaults: tuple[str, ...]) -> None:
    files = {} if saved is None else {"/boot/grub/default": saved}
    menu = menu_of(f"{head}\n{FOUR}", files)
    assert menu.defaults == (("0",) if defaults == ("10",) else defaults)
    choose.choose(menu)


def test_a_fallback_boots_when_the_default_cannot() -> None:
    menu = menu_of("default 1\nfallback 3\ntitle a\nkernel /a\ntitle b\nchainloader +1\n" + FOUR)
    assert choose.choose(menu).entry.title == "b"
    assert choose.choose(menu).index == 3


# --- devices -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "root", "volume"),
    [
        ("msdos1 msdos2", "(hd0,1)", "p2"),
        ("gpt1 gpt2", "(hd0,1)", "p2"),
        ("msdos1 msdos5", "(hd0,4)", "p2"),
        ("msdos1 msdos2,bsd5", "(hd0,1,e)", "p2"),
        ("msdos1 msdos2,sunpc1", "(hd0,1,a)", "p2"),
        ("bsd1 bsd5", "(hd0,e)", "p2"),
        ("msdos1 msdos2", "(hd1,1)", "p1"),
        ("msdos1 msdos2", "(hd0,1,a)", "p1"),
        ("msdos1 msdos2", "(hd0,99999999999999999999)", "p1"),
        ("msdos1 msdos2", "(cd)", "p1"),
    ],
)
def test_partitions_are_counted_from_zero(names: str, root: str, volume: str) -> None:
    for lines in (f"root {root}\nkernel /x a", f"rootnoverify={root}\nkernel /x a", f"kernel {root}/x a"):
        (entry,) = on(Disk({CONFIG: f"title t\n{lines}\n"}, {}, names=names))
        assert (entry.kernel, entry.args) == (FileRef("/x", volume), "a")
        assert bool(entry.warnings) == (volume == "p1")


@pytest.mark.parametrize(
    ("command", "second", "warned"),
    [
        (f"uuid {UUID.upper()}", {"uuid": UUID}, False),
        (f"root {UUID}", {"uuid": UUID}, False),
        ("findroot (root1,0,a)", {"/boot/grub/bootsign/root1": ""}, False),
        ("findroot root1", {"/boot/grub/bootsign/root1": ""}, False),
        ("findroot (pool_tank,0,a)", {"/@/boot/grub/bootsign/pool_tank": ""}, False),
        ("findroot (pool_tank,0,a)", {"label": "tank"}, False),
        ("find --set-root --ignore-cd /marker", {"/marker": ""}, False),
        ("find /marker", {"/marker": ""}, None),
        ("uuid 1234", {"uuid": UUID}, True),
        ("findroot (root1,0,a)", {}, True),
    ],
)
def test_searches(command: str, second: dict[str, str], warned: bool | None) -> None:
    (entry,) = on(Disk({CONFIG: f"title t\n{command}\nkernel /x\n"}, second))
    assert entry.kernel == FileRef("/x", "p2" if warned is False else "p1")
    assert bool(entry.warnings) == bool(warned)


def test_a_zfs_boot_environment() -> None:
    lines = (
        "title t\nfindroot (pool_r,0,a)\nbootfs r/ROOT/be\n"
        "kernel$ /k/$ISADIR/unix -B $ZFS-BOOTFS,a\nmodule$ /m/$ISADIR"
    )
    disk = Disk({CONFIG: lines}, {"label": "r", "filesystem": "zfs"})
    (entry,) = on(disk)
    assert entry.kernel == FileRef("/ROOT/be@/k/amd64/unix", "p2")
    assert entry.args == "-B zfs-bootfs=r/ROOT/be,a"
    assert [module.file for module in entry.modules] == [FileRef("/ROOT/be@/m/amd64", "p2")]


# --- menus within menus --------------------------------------------------------------------------


def test_configfile_makes_a_submenu() -> None:
    inner = "default 1\ntitle c\nkernel /c\ntitle d\nkernel (hd0,0)/d\n"
    disk = Disk(
        {CONFIG: f"default 1\n{FOUR[:18]}title more\nroot (hd0,1)\nconfigfile /inner\n"}, {"/inner": inner}
    )
    menu = interpret(disk, FileRef(CONFIG, "p1"), Settings())
    assert isinstance(menu.items[1], Submenu)
    assert choose.choose(menu).entry.kernel == FileRef("/d", "p1")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"/a": f"title again\nconfigfile {CONFIG}\n"},
        {"/a": "title again\nconfigfile /a\n"},
        {"/a": "nothing"},
        {"/a": "title t\nconfigfile /b\n", "/b": "title t\nconfigfile /a\n"},
    ],
)
def test_configfile_that_leads_nowhere(files: dict[str, str]) -> None:
    (entry,) = entries_of("title t\nconfigfile /a\n", files)
    assert entry.kind is EntryKind.OTHER


def test_configfiles_that_multiply() -> None:
    files = {
        f"/{n}": "".join(f"title {m}\nconfigfile /{m}\n" for m in range(20)) + f"#{n}" for n in range(20)
    }
    with pytest.raises(LimitExceeded, match="grub-legacy-menus"):
        entries_of("title t\nconfigfile /0\n", files)


# --- hostile menus -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "title a\nkernel /a\n" * 58_000,
        "title a\n" + "".join(f"findroot s{n}\n" for n in range(60_000)),
        "x" * (1 << 20) + "\n",
        "x" * (limits.SYNTAX_TOKEN.value + 1),
        "\\\n" * (limits.SYNTAX_TOKEN.value // 2 + 1),
    ],
)
def test_large_menus_end_in_a_clear_error(text: str) -> None:
    began = seconds_used()
    with pytest.raises(LimitExceeded):
        menu_of(text)
    assert seconds_used() - began < 20


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "unit", ["\\\n", "#\\\n", "(", "title \\\n", "= ", "kernel (a,", "initrd /a ", "\t", "--a "]
)
def test_long_lines(unit: str) -> None:
    line = unit * ((limits.SYNTAX_TOKEN.value - 8) // len(unit))
    began = seconds_used()
    menu_of("title t\n" + f"{line}\n" * 15)
    assert seconds_used() - began < 20


PIECES = [
    *("title", "kernel", "kernel$", "module$", "root", "findroot", "uuid", "find", "initrd", "configfile"),
    *("default", "fallback", "timeout", "saved", "(hd0,0)", "(hd0", "(", ")", ",", "=", "\\", "#"),
    *("--type=x", "--set-root", "/x", "0x1", "9", " ", "\t", "\n", "\n", "\r", "\0", "\xff"),
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES)))
def test_every_text_is_a_menu(words: list[str]) -> None:
    """GRUB refuses no line: the grammar has a place for everything."""
    menu_of("".join(words).encode("latin-1"))


# --- judges --------------------------------------------------------------------------------------


@pytest.mark.skipif(TOOL is None, reason="grub-menulst2cfg is not installed")
@pytest.mark.parametrize("name", ["automagic.lst", "hypervisor.conf"])
def test_against_grub_menulst2cfg(name: str) -> None:
    """Kernels and their arguments, as GRUB's own translator quotes them."""
    text = re.sub(rb"(?m)^[ \t]+", b"", (FOLDER / name).read_bytes())
    script = subprocess.run([str(TOOL)], input=text, capture_output=True, check=True).stdout.decode()
    theirs = []
    for line in script.splitlines():
        command, *words = shlex.split(line) if line.startswith(("menuentry", "  legacy_kernel")) else [""]
        if command == "menuentry":
            theirs.append((words[0], None, ""))
        elif command == "legacy_kernel":
            # the file comes twice: as GRUB 2 finds it, then the line as it was
            path, _, *args = [word for word in words if not word.startswith("--")]
            theirs[-1] = (theirs[-1][0], path.partition(")")[2] or path, " ".join(args))
    ours = [
        (entry.title, entry.kernel and entry.kernel.path, " ".join(entry.args.split()))
        for entry in entries_of((FOLDER / name).read_bytes())
    ]
    assert ours == theirs


REAL_PYGRUB = next(Path("/usr/lib").glob("xen-*/bin/pygrub"), None)


def partitioned(folder: Path, *partitions: Mapping[str, str | bytes]) -> Path:
    """Make a disk of ext2 partitions of 4 MiB with mke2fs and sfdisk."""
    for tool in ("mke2fs", "sfdisk"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    image = folder / "disk.img"
    size = 4 << 20
    image.write_bytes(bytes((len(partitions) + 1) * size))
    table = "label: dos\n" + "".join(
        f"{(i + 1) * size // 512},{size // 512},83\n" for i in range(len(partitions))
    )
    subprocess.run(["sfdisk", "-q", image], input=table.encode(), check=True, capture_output=True)
    for number, files in enumerate(partitions, 1):
        tree = folder / f"tree{number}"
        for path, text in files.items():
            file = tree / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
        part = folder / f"part{number}.img"
        part.write_bytes(bytes(size))
        subprocess.run(["mke2fs", "-q", "-F", "-d", tree, part], check=True, capture_output=True)
        with image.open("r+b") as disk:
            disk.seek(number * size)
            disk.write(part.read_bytes())
    return image


@pytest.mark.parametrize("entry", [0, 1])
def test_a_disk(pygrub: Run, tmp_path: Path, entry: int) -> None:
    """The first entry as the real pygrub boots it; the second's files lie where that one does not look."""
    text = (
        b'default 1\r\ntitle one\r\n\troot (hd0,0)\r\n\tkernel /vm1 a  "b c"\r\n\tinitrd /i1\r\n'
        b"title two\r\nroot (hd0,1)\r\nkernel /boot/vm2 root=/dev/sda2\r\ninitrd /boot/i2"
    )
    image = partitioned(
        tmp_path,
        {"/grub/menu.lst": text, "/vm1": "kernel 1", "/i1": "initrd 1"},
        {"/boot/vm2": "kernel 2", "/boot/i2": "initrd 2"},
    )
    options = ("-q", f"--entry={entry}", "--output-format=simple", f"--output-directory={tmp_path}")
    done = pygrub(*options, image)
    assert done.returncode == 0, done.stderr
    record = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line)
    assert Path(record["kernel"]).read_text() == f"kernel {entry + 1}"
    assert Path(record["ramdisk"]).read_text() == f"initrd {entry + 1}"
    assert record["args"] == ['a  "b c"', "root=/dev/sda2"][entry]
    if entry == 0 and REAL_PYGRUB:
        command = [REAL_PYGRUB, *options, image]
        real = subprocess.run(command, capture_output=True, text=True, check=True, env=PLAIN_ENVIRONMENT)
        theirs = dict(line.split(" ", 1) for line in real.stdout.splitlines() if line)
        assert theirs["args"] == record["args"]
        assert Path(theirs["kernel"]).read_bytes() == Path(record["kernel"]).read_bytes()


def test_entries_of_a_loose_menu(pybootcfg: Run, tmp_path: Path) -> None:
    config = tmp_path / "tree/boot/grub/menu.lst"
    config.parent.mkdir(parents=True)
    config.write_bytes((FOLDER / "hypervisor.conf").read_bytes())
    done = pybootcfg("entries", "--config", config, "--tree", tmp_path / "tree", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["dialect"], document["default"], document["timeout"]) == ("grub_legacy", 1, 3)
    assert [entry["kind"] for entry in document["entries"]] == ["multiboot", "linux", "multiboot", "linux"]
    assert document["entries"][0]["modules"][0]["path"] == "/vmlinuz-2.6.18-8xen"
    assert document["entries"][1]["initrd"] == ["/initrd-2.6.18-8.img"]


REAL = os.environ.get("PYBOOTCFG_BOOTCFG")


def real_cases() -> list[Any]:
    if not REAL:
        return [pytest.param(None, marks=pytest.mark.skip(reason="PYBOOTCFG_BOOTCFG is not set"))]
    cases = json.loads((Path(REAL) / "real_menulst.json").read_text())
    return [pytest.param(case, id=case["name"]) for case in cases]


@pytest.mark.parametrize("case", real_cases())
def test_real_menus(case: dict[str, Any]) -> None:
    """Expected values are grub-menulst2cfg's, which splits arguments at blanks."""
    menu = interpret(MemoryMachine(case["files"]), FileRef(case["config"]), Settings())
    wanted = case["expect"]
    kinds = {"chain": "chainload", "config": "other"}
    ours, theirs = [], []
    for (_, entry), expected in zip(menu.flat(), wanted["entries"], strict=True):
        kind = kinds.get(expected["kind"], expected["kind"])
        files = [module.file for module in entry.modules] or entry.initrds
        ours.append(
            (
                entry.title,
                str(entry.kind),
                entry.kernel and entry.kernel.path,
                entry.args.split(),
                [file.path for file in files],
                [module.args.split() for module in entry.modules],
            )
        )
        theirs.append(
            (
                expected["title"],
                kind,
                without_device(expected["kernel"]),
                expected["args"].split(),
                [without_device(path) for path in expected["initrds"]],
                [args.split() for _, args in expected["modules"]] if kind == "multiboot" else [],
            )
        )
    assert choose.default_index(menu) == wanted["default_index"]
    assert menu.timeout == (float(wanted["timeout"]) if wanted["timeout"] else None)
    differing = [(mine, other) for mine, other in zip(ours, theirs, strict=True) if mine != other]
    assert len(differing) == bool(DISPUTED.search(case["name"])), differing


def without_device(path: str | None) -> str | None:
    return path and re.sub(r"^\(.*?\)", "", path)


def test_the_registry_knows_the_places() -> None:
    (row,) = [dialect for dialect in dialects.DIALECTS if dialect.name == "grub_legacy"]
    assert CONFIG in row.paths
    assert dialects.guess("/x/grub.conf") == dialects.guess("menu.lst") == "grub_legacy"


# --- what is missing from a line ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    ["password", "password --md5", "uuid", "findroot", "bootfs", "initrd", "configfile", "root", "find"],
)
def test_a_command_without_its_word_changes_nothing(line: str) -> None:
    (entry,) = entries_of(f"title a\nkernel /k x\n{line}\n")
    assert (entry.kernel, entry.args, entry.initrds) == (FileRef("/k"), "x", ())


@pytest.mark.parametrize("line", ["kernel", "module", "kernel$", "module$"])
def test_a_loader_that_names_no_file(line: str) -> None:
    (entry,) = entries_of(f"title a\n{line}\n")
    assert entry.kernel is None
    assert any("no file is named" in warning for warning in entry.warnings)
