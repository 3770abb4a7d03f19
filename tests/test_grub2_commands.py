"""GRUB 2's commands one by one: what they print and what they leave, judged by GNU GRUB 2.06 (grub-emu).

Messages of commands that grub-emu lacks are those of GRUB's sources.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from memory_machine import MemoryMachine

from pybootcfg import limits
from pybootcfg.dialects import grub2
from pybootcfg.dialects.base import Settings, VolumeFacts
from pybootcfg.errors import ImageError, LimitExceeded
from pybootcfg.menu import Entry, FileRef, Menu

COMMANDS = json.loads(Path(__file__).with_name("corpus").joinpath("grub2/commands.json").read_text())["cases"]
LABELLED = [{"label": "lbl", "uuid": "11111111-2222-3333-4444-555555555555"}]
ROOT = {"grub_platform": "emu", "root": "hd0", "prefix": "(hd0)/boot/grub"}
CONFIG = FileRef("/boot/grub/grub.cfg")


def printed(script: str, machine: MemoryMachine | None = None, **variables: str) -> str:
    text: list[str] = []
    settings = Settings({**ROOT, **variables})
    grub2.run_script(machine or MemoryMachine({}), script.encode(), settings, text.append, text.append)
    return "".join(text)


def menu_of(text: str, files: Mapping[str, str | bytes] | None = None, **variables: str) -> Menu:
    machine = MemoryMachine({CONFIG.path: text, **(files or {})})
    return grub2.interpret(machine, CONFIG, Settings({**ROOT, **variables}))


def entry_of(body: str, files: Mapping[str, str | bytes] | None = None) -> Entry:
    (item,) = menu_of(f"menuentry A {{\n{body}\n}}\n", files).items
    assert isinstance(item, Entry)
    return item


@pytest.mark.parametrize("case", COMMANDS, ids=lambda case: case["name"])
def test_a_command_does_what_grub_does(case: dict[str, Any]) -> None:
    lines = printed(case["script"], MemoryMachine(case["files"], LABELLED)).strip("\n").split("\n")
    assert [line.rstrip() for line in lines] == case["printed"].split("\n")


# --- commands that take a file to boot ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["linux", "linux16", "initrd", "multiboot", "module", "multiboot2", "module2"]
)
def test_a_loader_wants_a_file(name: str) -> None:
    assert printed(f"{name}\n") == "error: filename expected.\n"


def test_an_archive_made_of_single_files_is_not_put_together() -> None:
    entry = entry_of("linux /k\ninitrd /a newc:etc/x:/b", {"/k": "", "/a": "", "/b": ""})
    assert [file.path for file in entry.initrds] == ["/a", "/b"]
    assert any("newc:etc/x:/b: the file is taken as it is" in warning for warning in entry.warnings)


def test_a_device_tree_that_is_not_named_is_no_device_tree() -> None:
    assert entry_of("linux /k\ndevicetree /d\ndevicetree", {"/k": "", "/d": ""}).devicetree == FileRef("/d")


def test_commands_that_boot_nothing_change_nothing() -> None:
    entry = entry_of("linux /k a\nparttool hd0,1 boot+\nboot", {"/k": ""})
    assert (entry.kernel, entry.args) == (FileRef("/k"), "a")


def test_an_entry_needs_a_title() -> None:
    assert printed("menuentry\n") == "error: missing arguments.\n"


# --- devices -----------------------------------------------------------------------------------------------


class Disks(MemoryMachine):
    """A machine with a partitioned disk beside the first, one partition of it empty, and times of files."""

    times = {"/old": 100, "/new": 110}

    def volumes(self) -> list[VolumeFacts]:  # type: ignore[override]
        return [
            *super().volumes(),
            VolumeFacts("d2p1", "hd1,gpt1", "fat", "ESP", "1A2B-3C4D", "gpt", "AABB-CC"),
            VolumeFacts("d2p2", "hd1,gpt2"),
        ]

    def device(self, name: str) -> str | None:
        return {"hd1,gpt1": "d2p1", "hd1,gpt2": "d2p2"}.get(name) or super().device(name)

    def mtime(self, file: FileRef) -> int | None:
        return self.times.get(file.path)


def test_partitions_are_described_as_partitions() -> None:
    """As grub_normal_print_device_info does, without what needs a clock."""
    assert printed("ls (hd1,gpt1) (hd1,gpt2) hd0\n", Disks({}, LABELLED)) == (
        "\tPartition hd1,gpt1: Filesystem type fat - Label `ESP', UUID 1A2B-3C4D\n"
        "\tPartition hd1,gpt2: No known filesystem detected\n"
        "error: invalid file name `hd0'.\n"
    )


def test_probe_of_partitions() -> None:
    script = (
        "probe --partmap hd1,gpt1\nprobe --part-uuid hd1,gpt1\nprobe --fs hd1,gpt2\nprobe --part-uuid hd0\n"
    )
    assert printed(script, Disks({}, LABELLED)) == "gptaabb-ccerror: unknown filesystem.\nnone"


def test_a_hint_may_be_all_partitions_of_a_disk() -> None:
    machine = Disks({}, LABELLED)
    machine.search = lambda _key, _value: ["", "d2p1"]  # type: ignore[method-assign,assignment]
    script = "search --set=found --file /x {}\necho $found\n"
    assert printed(script.format("--hint hd1,"), machine) == "hd1,gpt1\n"
    assert printed(script.format("--hint hd0"), machine) == "hd0\n"
    assert printed("search --hint-arc=x --set=found --file /x\necho $found\n", machine) == "hd0\n"


def test_a_loopback_is_gone_when_it_is_deleted() -> None:
    files = {"/image": "x"}
    script = "loopback l\nloopback l /image\nloopback -d l\nloopback -d l\n"
    assert printed(script, MemoryMachine(files, LABELLED)) == (
        "error: filename expected.\nerror: device not found.\n"
    )


def test_times_of_files() -> None:
    """GRUB's test command: -nt and -ot take a bias in seconds behind them."""
    script = "for t in -nt -ot -nt5 -nt20 -ot5 -ot20; do if [ /old $t /new ]; then echo -n '' $t; fi; done\n"
    found = printed(script, Disks({"/old": "", "/new": ""}, LABELLED))
    assert found.split() == ["-ot", "-nt20", "-ot5"]


def test_a_file_that_cannot_be_read_is_one_that_fails() -> None:
    class Broken(MemoryMachine):
        def read(self, file: FileRef, limit: limits.Limit = limits.CONFIG_SIZE) -> bytes:
            if file.path == "/broken":
                raise ImageError("the inode is damaged")
            if file.path == "/large":
                limit.check(1 << 40)
            return super().read(file, limit)

    machine = Broken({"/broken": "", "/large": ""}, LABELLED)
    assert "error: file `/broken' cannot be read.\n" in printed("cat /broken\n", machine)
    with pytest.raises(LimitExceeded, match="config-size"):
        printed("cat /large\n", machine)


@pytest.mark.parametrize("question", ["kind", "size", "names"])
@pytest.mark.parametrize("error", [ImageError("damaged"), LimitExceeded("total-reads", 2, 1)])
def test_questions_that_cannot_be_answered(question: str, error: Exception) -> None:
    """Damage means that there is nothing there; a limit ends the run."""

    class Broken(MemoryMachine):
        pass

    def fail(*_: object) -> None:
        raise error

    machine = Broken({"/dir/a": "x"}, LABELLED)
    script = "if [ -s /dir/a ]; then echo yes; fi\nls /dir\nfor f in /dir/*; do echo $f; done\n"
    before = printed(script, machine)
    assert before == "yes\na \n/dir/a\n"
    setattr(machine, question, fail)
    if isinstance(error, LimitExceeded) and question != "kind":
        with pytest.raises(LimitExceeded):
            printed(script, machine)
    elif question != "kind":
        assert "damaged" not in printed(script, machine)


# --- what is not carried out -------------------------------------------------------------------------------


def test_there_is_no_clock() -> None:
    assert printed("date\ndate 2026-01-01\n") == "1970-01-01 00:00:00 Thursday\n"


def test_nobody_types() -> None:
    assert printed('x=1\nread x\necho "<$x>"\nread\n') == "<>\n"


def test_commands_that_are_not_carried_out_fail_with_a_warning() -> None:
    menu = menu_of("md5sum x\n")
    assert any("md5sum is not carried out here and fails" in warning for warning in menu.warnings)


def test_a_regular_expression_that_is_not_known_matches_nothing() -> None:
    menu = menu_of(r"if regexp '(a)\1' aa; then menuentry yes { true; }; else menuentry no { true; }; fi")
    assert [item.title for item in menu.items] == ["no"]
    assert any("is no regular expression that is known here" in warning for warning in menu.warnings)


def test_normal_shows_another_configuration() -> None:
    files = {"/boot/grub/other.cfg": "menuentry Other { linux /k; }\n"}
    menu = menu_of("normal /boot/grub/other.cfg\n", files)
    assert [item.title for item in menu.items] == ["Other"]
    menu = menu_of("prefix=(hd0)/x\nnormal\n", {"/x/grub.cfg": "menuentry X { linux /k; }\n"})
    assert [item.title for item in menu.items] == ["X"]


def test_entries_are_taken_over_from_another_configuration() -> None:
    files = {"/other.cfg": "menuentry Other { linux /k; }\n"}
    menu = menu_of("extract_entries_configfile /other.cfg\n", files)
    assert [item.title for item in menu.items] == ["Other"]


def test_passwords_that_are_none() -> None:
    assert printed("password a\npassword_pbkdf2 a b\n") == (
        "error: two arguments expected.\nerror: invalid PBKDF2 password.\n"
    )


# --- what else may stand there -----------------------------------------------------------------------------


def test_help_is_asked_for_and_nothing_done() -> None:
    assert printed("search --help\necho $?\n") == "0\n"


def test_snippets_that_cannot_be_read_are_passed_over() -> None:
    class Broken(MemoryMachine):
        def read(self, file: FileRef, limit: limits.Limit = limits.CONFIG_SIZE) -> bytes:
            if file.path.endswith("b.conf"):
                raise ImageError("the inode is damaged")
            return super().read(file, limit)

    files = {
        CONFIG.path: "blscfg\n",
        "/boot/loader/entries/a.conf": "title A\nlinux /a\n",
        "/boot/loader/entries/b.conf": "title B\nlinux /b\n",
    }
    menu = grub2.interpret(Broken(files, LABELLED), CONFIG, Settings({**ROOT, "grub_platform": "efi"}))
    assert [item.title for item in menu.items] == ["A"]
    assert any(warning.startswith("blscfg: ") for warning in menu.warnings)


def test_commands_for_other_machines_do_nothing() -> None:
    assert printed("drivemap -s hd0 hd1\nxnu_splash x\necho $?\n") == "0\n"


def test_several_fonts_at_once() -> None:
    machine = MemoryMachine({"/f/a.pf2": "x", "/boot/grub/fonts/b.pf2": "x"}, LABELLED)
    assert printed("loadfont /f/a.pf2 b (hd0)/f/a.pf2\necho $?\nloadfont b none\necho $?\n", machine) == (
        "0\nerror: file `/boot/grub/fonts/none.pf2' not found.\n5\n"
    )


def test_an_image_that_a_limit_keeps_from_being_looked_into_ends_the_run() -> None:
    class Full(MemoryMachine):
        def loopback(self, image: FileRef) -> str:
            raise LimitExceeded("loopbacks", 65, 64, str(image))

    with pytest.raises(LimitExceeded, match="loopbacks"):
        printed("loopback l /image\nls (l)/\ncat (l)/x\n", Full({"/image": "x"}, LABELLED))


def test_a_kernel_without_a_closing_bracket_in_its_name() -> None:
    assert entry_of("linux (hd0/k").kernel == FileRef("(hd0/k")
