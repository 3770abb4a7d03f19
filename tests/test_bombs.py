"""Configurations made to fill memory or to run for ever: each ends, in bounded time and memory.

Each runs in a process of its own, whose processor time and peak are the kernel's own figures.  What
comes out is a menu or an error of ours; a traceback, a signal or a limit of the machine is a failure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SECONDS = 10.0  #: of processor time
PEAK = 128 << 10  #: KiB, the interpreter's own 20 MiB included

#: runs a command and reports what it used; a process of its own, since a child begins with its parent's peak
LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(pid, 0)
print(f"\\n{usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}", file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""

ENTRIES = "import sys; from pybootcfg.cli.commands import main; sys.exit(main())"

#: exit statuses of the contract: a menu, nothing bootable, unsupported, damaged, a limit
STATUSES = {0, 1, 3, 4, 5}


class Outcome(NamedTuple):
    """How a bomb ended: the exit status, the last line of the error, the menu if there is one."""

    status: int
    error: str
    menu: dict[str, Any]

    @property
    def words(self) -> str:
        """All that is said about what went wrong."""
        warnings = [*self.menu.get("warnings", ())]
        for entry in self.menu.get("entries", ()):
            warnings += entry["warnings"]
        return "\n".join([self.error, *warnings])


def run(code: str, *arguments: str | Path) -> Outcome:
    """Run Python code under the budget."""
    command = [sys.executable, "-S", "-c", LAUNCHER, "-P", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    *said, usage = done.stderr.decode("utf-8", "replace").splitlines()
    seconds, peak = usage.split()
    error = "\n".join(said).strip()
    assert done.returncode in STATUSES, error[-2000:]
    assert "Traceback" not in error, error[-2000:]
    assert len(error) < 4000, "an error that is no line for people"
    assert float(seconds) <= SECONDS
    assert int(peak) <= PEAK
    return Outcome(done.returncode, error, json.loads(done.stdout) if done.stdout.strip() else {})


class Place:
    """A directory that stands for a guest's root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, files: Mapping[str, str | bytes]) -> None:
        """Write files, by their paths below the root."""
        for name, text in files.items():
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def entries(self, dialect: str, config: str) -> Outcome:
        """Have the menu shown."""
        options = ("--dialect", dialect, "--tree", self.root, "--config", self.root / config)
        return run(ENTRIES, "entries", "--json", *options)


@pytest.fixture
def guest(tmp_path: Path) -> Place:
    place = Place(tmp_path / "guest")
    place.put({"k": "kernel", "i": "ramdisk"})
    return place


def grub2(guest: Place, text: str | bytes, **others: str) -> Outcome:
    guest.put({"grub.cfg": text, **{name.replace("_", "."): other for name, other in others.items()}})
    return guest.entries("grub2", "grub.cfg")


ENTRY = "menuentry last { linux /k }\n"

# --- GRUB 2 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("if true; then\n", "fi\n"),
        ("while true; do\n", "done\n"),
        ("until false; do\n", "done\n"),
        ("for i in a; do\n", "done\n"),
        ("menuentry a {\n", "}\n"),
        ("submenu a {\n", "}\n"),
        ("function f {\n", "}\n"),
        ("{\n", "}\n"),
    ],
    ids=lambda text: text.split()[0] if isinstance(text, str) else "",
)
def test_grub2_deep_nesting(guest: Place, opening: str, closing: str) -> None:
    grub2(guest, opening * 50_000 + "true\n" + closing * 50_000 + ENTRY)
    outcome = grub2(guest, opening * 50_000 + ENTRY)  # and never closed
    assert outcome.status != 0 or outcome.menu["warnings"] or outcome.menu["entries"]


def test_grub2_submenus_within_the_syntax_but_without_end(guest: Place) -> None:
    outcome = grub2(guest, "submenu a {\n" * 150 + ENTRY + "}\n" * 150)
    assert "grub-" in outcome.words


@pytest.mark.parametrize(
    "line",
    [
        "set a=$a$a",
        'set a="$a$a"',
        "a=$a$a$a$a",
        "set a=${a}x$a; set b=$a$b$a",
        "for i in $a $a; do set a=$a$i; done",
        "eval \"set a='$a$a'\"",
        "function f { set a=$1$1; }; f $a$a",
        "set $a$a=x; set a=$a$a",
        "regexp --set 1:a '(.*)' $a$a",
    ],
)
def test_grub2_doubling_variables(guest: Place, line: str) -> None:
    outcome = grub2(
        guest, "set a=xxxxxxxx\n" + f"{line}\n" * 200 + "menuentry a$a { linux /k $a$a }\n" + ENTRY
    )
    assert outcome.status in (0, 5)
    if outcome.menu:
        assert outcome.menu["entries"][-1]["title"] == "last"


def test_grub2_doubling_in_the_arguments_of_an_entry(guest: Place) -> None:
    text = "set a=" + "x" * 30_000 + "\nmenuentry a {\n" + "set b=$b$a\n" * 200 + "linux /k $b$b$b\n}\n"
    assert grub2(guest, text).status in (0, 5)


@pytest.mark.parametrize(
    "loop",
    [
        "while true; do true; done",
        "until false; do true; done",
        "while true; do set a=$a.; done",
        "while true; do menuentry a { linux /k }; done",
        "while true; do submenu a { true; }; done",
        "while true; do echo x; done",
        "while true; do export a; set b$i=1; set i=1$i; done",
        "while true; do search --file /k --set=x; done",
        "while true; do source /empty.cfg; done",
        "function f { while true; do f; done; }; f",
        "while true; do for i in 1 2 3; do continue 9; done; done",
        "menuentry a { while true; do true; done; linux /k }",
        "menuentry a { until false; do set a=$a.; done; linux /k }",
        "for i in $many; do for j in $many; do true; done; done",
        "while true; do password root x; done",
        "while true; do if [ -f /k ]; then regexp a aaaa; fi; done",
    ],
    ids=str,
)
def test_grub2_endless_loops(guest: Place, loop: str) -> None:
    outcome = grub2(guest, f"set many='{'1 ' * 5000}'\n{loop}\n{ENTRY}", empty_cfg="")
    assert "over the limit" in outcome.words


@pytest.mark.parametrize(
    "text",
    [
        "function f { f; }\nf\n",
        "function f { f; f; }\nf\n",
        "function f { g; }\nfunction g { f; }\nf\n",
        "function f { eval f; }\nf\n",
        "function f { if f; then f; fi; }\nf\n",
        "function f { menuentry a { f; linux /k }; f; }\nf\n",
        "set e='eval $e'\neval $e\n",
        "function f { set n=$n$n.; f $n $n; }\nf\n",
        "function f { submenu a { f; }; }\nexport f\nf\n",
    ],
)
def test_grub2_recursion(guest: Place, text: str) -> None:
    outcome = grub2(guest, text + ENTRY)
    assert outcome.status in (0, 1, 5)
    assert "over the limit" in outcome.words


@pytest.mark.parametrize("entry", ["menuentry a { linux /k }\n", "menuentry a{b\n}\n", "submenu a{b\n}\n"])
def test_grub2_million_entries(guest: Place, entry: str) -> None:
    outcome = grub2(guest, entry * 1_000_000)
    assert outcome.status == 5


@pytest.mark.parametrize("opening", ["", "'", '"', '$"'])
@pytest.mark.parametrize("unit", ["\\x", "$a", "\n"], ids=repr)
def test_grub2_one_long_word(guest: Place, opening: str, unit: str) -> None:
    grub2(guest, opening + unit * ((3 << 20) // len(unit)))


@pytest.mark.parametrize(
    "unit",
    ["#", "x", "x ", "'", '"', "\\\n", "menuentry ", ";", "{ ", "$", "echo x; ", "a=b;", "a|"],
    ids=repr,
)
def test_grub2_one_long_line(guest: Place, unit: str) -> None:
    grub2(guest, unit * ((3 << 20) // len(unit)))


@pytest.mark.parametrize("unit", ["#", "x "])
def test_grub2_a_line_of_100_megabytes(guest: Place, unit: str) -> None:
    assert "config-size" in grub2(guest, unit * (100_000_000 // len(unit))).error


@pytest.mark.parametrize(
    "expression",
    [
        "(a*)*b",
        "(a|a)*b",
        "(a|aa)+b",
        "((((a*)*)*)*)*b",
        "(.*)(.*)(.*)(.*)(.*)(.*)(.*)b",
        "a{1,255}a{1,255}a{1,255}a{1,255}b",
        "(((a{1,255}){1,255}){1,255}){1,255}",
        "(" * 10_000 + ")" * 10_000,
        "[a-z" * 10_000,
        "\\\\(" * 20,
        "(a*)*\\\\1b",
        "a?" * 400 + "a" * 400,
    ],
    ids=lambda text: text[:20],
)
def test_grub2_regular_expressions_that_backtrack(guest: Place, expression: str) -> None:
    text = f"set s={'a' * 5000}\nfor i in 1 2 3 4 5 6 7 8 9; do regexp '{expression}' $s; done\n{ENTRY}"
    outcome = grub2(guest, text)
    assert outcome.status in (0, 5)


@pytest.mark.parametrize(
    "command", ["source", "configfile", "normal", ".", "extract_entries_source", "legacy_configfile"]
)
def test_grub2_configurations_that_lead_to_one_another(guest: Place, command: str) -> None:
    body = f"{command} /b.cfg\n{ENTRY}{command} /b.cfg\n"
    outcome = grub2(guest, body, b_cfg=f"{command} /grub.cfg\n{command} /grub.cfg\n")
    assert outcome.status in (0, 1, 5)


def test_grub2_submenus_that_contain_their_own_configuration(guest: Place) -> None:
    outcome = grub2(guest, "submenu a {\nconfigfile /grub.cfg\n}\nsubmenu b {\nsource /grub.cfg\n}\n" + ENTRY)
    assert outcome.status in (0, 5)


def test_grub2_links_in_a_circle(guest: Place) -> None:
    for name, target in (("a", "b"), ("b", "a"), ("self", "self"), ("deep", "deep/deep")):
        (guest.root / name).symlink_to(target)
    outcome = grub2(
        guest, "source /a\nsource /self\nsource /deep\n[ -f /a ]\nlinux /self\nmenuentry x { linux /a }\n"
    )
    assert outcome.status == 0
    (entry,) = outcome.menu["entries"]
    assert entry["kernel"] == "/a"


def test_grub2_patterns_of_names(guest: Place) -> None:
    guest.put({f"d/{number}/x": "" for number in range(200)})
    outcome = grub2(guest, "for i in " + "/*/*/*/*/*/*/* " * 200 + "; do true; done\n" + ENTRY)
    assert outcome.status in (0, 5)


@pytest.mark.parametrize(
    "line",
    [
        f"[ {'1' * 10_000} -eq {'1' * 10_000} ]",
        f"set default={'9' * 10_000}",
        f"set timeout={'9' * 10_000}",
        f"echo ${'1' * 10_000}",
        f"shift {'9' * 10_000}",
        f"sleep {'9' * 10_000}",
        f"password_pbkdf2 root grub.pbkdf2.sha512.{'9' * 10_000}.00.00",
        f"return {'9' * 10_000}",
    ],
    ids=lambda line: line[:12],
)
def test_grub2_numbers_of_ten_thousand_digits(guest: Place, line: str) -> None:
    assert grub2(guest, f"{line}\n{ENTRY}").status in (0, 4, 5)


@pytest.mark.parametrize("size", [500 << 10, 15 << 20])
@pytest.mark.parametrize("unit", ["\\", "#", "a=b\n", "a", "=", "\n", "\\\n"], ids=repr)
def test_grubenv_of_megabytes(guest: Place, unit: str, size: int) -> None:
    head = "# GRUB Environment Block\n"
    guest.put({"grubenv": head + unit * (size // len(unit))})
    outcome = grub2(guest, "load_env -f /grubenv\nlist_env -f /grubenv\nsave_env -f /grubenv a\n" + ENTRY)
    assert outcome.status in (0, 5)


@pytest.mark.parametrize(
    "command", ["load_env -f", "list_env -f", "cat", "cmp /big", "source", "save_env -f"]
)
def test_grub2_large_files_read_in_a_loop(guest: Place, command: str) -> None:
    guest.put({"big": b"\0" * (15 << 20)})
    more = " a" if command.startswith("save") else ""
    assert "over the limit" in grub2(guest, f"while true; do {command} /big{more}; done\n{ENTRY}").words


def test_grubenv_of_many_variables_saved_in_a_loop(guest: Place) -> None:
    block = "# GRUB Environment Block\n" + "".join(f"{n}=\n" for n in range(60_000))
    guest.put({"grubenv": block})
    outcome = grub2(guest, f"while true; do save_env -f /grubenv {'x ' * 1000}; done\n{ENTRY}")
    assert "over the limit" in outcome.words


def test_grubenv_that_doubles_with_each_reading(guest: Place) -> None:
    guest.put({"grubenv": "# GRUB Environment Block\na=" + "x" * 900 + "\n" + "#" * 96})
    lines = "set a=$a$a\nsave_env -f /grubenv a\nload_env -f /grubenv\n" * 2000
    assert grub2(guest, lines + ENTRY).status in (0, 5)


# --- Boot Loader Specification -----------------------------------------------------------------------


def bls(guest: Place, conf: str = "", **entries: str) -> Outcome:
    guest.put({"loader/loader.conf": conf})
    guest.put({f"loader/entries/{name}.conf": text for name, text in entries.items()})
    return guest.entries("bls", "loader/loader.conf")


@pytest.mark.parametrize("size", [16 << 20, 100_000_000])
def test_bls_entry_of_megabytes(guest: Place, size: int) -> None:
    outcome = bls(guest, a="title a\nlinux /k\n" + "a" * size, b="title b\nlinux /k\n")
    assert [entry["title"] for entry in outcome.menu["entries"]] == ["b"]
    assert "bls-file-size" in outcome.words


@pytest.mark.parametrize("unit", ["options x\n", "title a\n", "a", "#", "\n", "initrd /i\n"], ids=repr)
def test_bls_entry_just_below_the_limit(guest: Place, unit: str) -> None:
    bls(guest, a="title a\nlinux /k\n" + unit * (((1 << 20) - 100) // len(unit)), b="title b\nlinux /k\n")


def test_bls_many_entries(guest: Place) -> None:
    outcome = bls(guest, **{f"e{number}": "title a\nlinux /k\n" for number in range(5_000)})
    assert outcome.status == 5
    assert "bls-entries" in outcome.error


def test_bls_versions_of_many_digits(guest: Place) -> None:
    entry = "title a\nsort-key k\nlinux /k\nversion "
    outcome = bls(guest, **{f"e{n}": entry + "1" * 20_000 + f".{n}\n" for n in range(50)})
    assert len(outcome.menu["entries"]) == 50


@pytest.mark.parametrize(
    "pattern", ["*a" * 2000 + "b", "*" * 4000, "[" * 4000, "?*" * 2000, "[!" + "a-z" * 1000]
)
def test_bls_default_patterns_that_backtrack(guest: Place, pattern: str) -> None:
    names = {"a" * 200 + str(number): "title a\nlinux /k\n" for number in range(50)}
    assert bls(guest, f"default {pattern}\n", **names).status == 0


def test_bls_numbers_of_many_digits(guest: Place) -> None:
    conf = f"timeout {'9' * 10_000}\ndefault {'9' * 10_000}\n"
    assert bls(guest, conf, a="title a\nlinux /k\n", b="title b\nlinux /k\n").status == 0


def test_bls_links_in_a_circle(guest: Place) -> None:
    bls(guest, a="title a\nlinux /k\n")
    for name in ("x", "y"):
        (guest.root / f"loader/entries/{name}.conf").symlink_to("y.conf" if name == "x" else "x.conf")
    outcome = guest.entries("bls", "loader/loader.conf")
    assert [entry["title"] for entry in outcome.menu["entries"]] == ["a"]


def test_blscfg_in_a_loop(guest: Place) -> None:
    guest.put({f"loader/entries/{n}.conf": f"title {n}\nlinux /k\noptions $o\n" for n in range(300)})
    outcome = grub2(guest, f"set o={'x' * 30_000}\nwhile true; do blscfg; done\n{ENTRY}")
    assert outcome.status in (0, 5)


# --- GRUB legacy -------------------------------------------------------------------------------------


def legacy(guest: Place, text: str | bytes, **others: str) -> Outcome:
    guest.put({"boot/grub/menu.lst": text, **{f"{name}.lst": other for name, other in others.items()}})
    return guest.entries("grub_legacy", "boot/grub/menu.lst")


@pytest.mark.parametrize(
    "unit",
    [
        "title a\nkernel /k\n",
        "title\n",
        "x",
        "\\\n",
        "(",
        "#",
        "#\\",
        "initrd ",
        "\t",
        "\\",
        "\\a",
        "=",
        "--a ",
        "module /i\n",
    ],
    ids=repr,
)
def test_grub_legacy_of_a_megabyte(guest: Place, unit: str) -> None:
    outcome = legacy(guest, "title z\nkernel /k\n" + unit * (((1 << 20) - 100) // len(unit)))
    assert outcome.status in (0, 5)


def test_grub_legacy_of_100_megabytes(guest: Place) -> None:
    assert "config-size" in legacy(guest, "title z\nkernel /k\n" + "x" * 100_000_000).error


def test_grub_legacy_million_entries(guest: Place) -> None:
    assert "grub-legacy-text" in legacy(guest, "title\nboot\n" * 1_000_000).error


@pytest.mark.parametrize("target", ["/boot/grub/menu.lst", "/b.lst"])
def test_grub_legacy_configurations_that_lead_to_one_another(guest: Place, target: str) -> None:
    entries = f"title a\nconfigfile {target}\n" * 100
    outcome = legacy(
        guest, entries + "title z\nkernel /k\n", b="title b\nconfigfile /boot/grub/menu.lst\n" * 100
    )
    assert outcome.status in (0, 5)


def test_grub_legacy_numbers_of_many_digits(guest: Place) -> None:
    many = "9" * 10_000
    text = f"default {many}\ntimeout {many}\nfallback {many}\ntitle a\nroot (hd{many},{many})\nkernel /k\n"
    assert legacy(guest, text).status in (0, 4, 5)


# --- LILO --------------------------------------------------------------------------------------------


def lilo(guest: Place, text: str | bytes, **others: str) -> Outcome:
    guest.put({"etc/lilo.conf": text, **{f"etc/{name}.conf": other for name, other in others.items()}})
    return guest.entries("lilo", "etc/lilo.conf")


@pytest.mark.parametrize(
    "unit",
    ["image=/k\n", "image=/k label=a ", '"', "x ", "x", "\\x", "${a}", "${", "=", "\\\n", "append=x\n", "#"],
    ids=repr,
)
def test_lilo_just_below_the_limit(guest: Place, unit: str) -> None:
    outcome = lilo(guest, "image=/k\nlabel=z\n" + unit * (((1 << 18) - 100) // len(unit)))
    assert outcome.status in (0, 1, 4, 5)


@pytest.mark.parametrize(("unit", "limit"), [("image=/k\n", "lilo-text"), ("x " * 50, "config-size")])
def test_lilo_million_entries(guest: Place, unit: str, limit: str) -> None:
    assert limit in lilo(guest, unit * 1_000_000).error


@pytest.mark.parametrize("other", ["include=/etc/lilo.conf\n", "include=/etc/b.conf\n"])
def test_lilo_files_that_include_one_another(guest: Place, other: str) -> None:
    outcome = lilo(guest, "image=/k\nlabel=z\n" + "include=/etc/b.conf\n" * 50, b=other * 50)
    assert outcome.status in (0, 4, 5)


# --- SYSLINUX ----------------------------------------------------------------------------------------


def syslinux(guest: Place, text: str | bytes, **others: str) -> Outcome:
    guest.put({"syslinux.cfg": text, **{f"{name}.cfg": other for name, other in others.items()}})
    return guest.entries("syslinux", "syslinux.cfg")


@pytest.mark.parametrize(
    "unit",
    ["label a\nkernel /k\n", "label a\n", "x", " ", "append ", "#", "menu title x\n", "\n", "include b\n"],
    ids=repr,
)
def test_syslinux_of_megabytes(guest: Place, unit: str) -> None:
    outcome = syslinux(guest, "label z\nkernel /k\n" + unit * (((4 << 20) - 100) // len(unit)))
    assert outcome.status == 5


def test_syslinux_of_100_megabytes(guest: Place) -> None:
    assert "config-size" in syslinux(guest, "label z\nkernel /k\n" + "x" * 100_000_000).error


def test_syslinux_million_entries(guest: Place) -> None:
    assert "syslinux-text" in syslinux(guest, "label a\n" * 1_000_000).error


def test_syslinux_deep_nesting(guest: Place) -> None:
    text = "menu begin a\n" * 50_000 + "label a\nkernel /k\n" + "menu end\n" * 50_000
    assert syslinux(guest, text).status == 5


@pytest.mark.parametrize(
    "word", ["include {}", "menu include {}", "label a\nconfig /{}", "label a\nmenu include {}"]
)
def test_syslinux_files_that_lead_to_one_another(guest: Place, word: str) -> None:
    line = word.format("b.cfg") + "\n"
    back = (word.format("syslinux.cfg") + "\n") * 30
    outcome = syslinux(guest, "label z\nkernel /k\n" + line * 30, b=back)
    assert outcome.status in (0, 4, 5)


def test_syslinux_submenus_that_go_to_one_another(guest: Place) -> None:
    text = "".join(f"menu begin m{n}\nlabel l{n}\nmenu goto m{1 - n}\nmenu end\n" for n in (0, 1))
    assert syslinux(guest, text + "label z\nkernel /k\n").status in (0, 1)


def test_syslinux_commands_that_lead_to_one_another(guest: Place) -> None:
    text = "default a\nlabel a\ncom32 ifcpu64.c32\nappend b -- b\nlabel b\ncom32 ifcpu64.c32\nappend a -- a\n"
    assert syslinux(guest, text + "label z\nkernel /k\n").status in (0, 1)


def test_syslinux_numbers_of_many_digits(guest: Place) -> None:
    many = "9" * 5000
    words = ("timeout", "totaltimeout", "menu rows", "menu autoboot", "default", "ontimeout")
    text = "".join(f"{word} {many}\n" for word in words) + "label z\nkernel /k\n"
    assert syslinux(guest, text).status == 0


# --- S-expressions -----------------------------------------------------------------------------------

READ = """
import sys
from pybootcfg import grammar
from pybootcfg.errors import BootcfgError
with open(sys.argv[1], encoding="utf-8") as file:
    text = file.read()
try:
    grammar.load("sxp").parse(grammar.Text(text, "answer"))
except BootcfgError as error:
    print(f"error: {error}"[:500], file=sys.stderr)
    sys.exit(error.exit_status)
"""


@pytest.mark.parametrize("unit", ["(", "()", "a ", "a", "'", "'a'", "\\", "'\\x41", "#\n", "(a "], ids=repr)
@pytest.mark.parametrize("opening", ["", "'"])
def test_sxp_of_megabytes(tmp_path: Path, unit: str, opening: str) -> None:
    file = tmp_path / "answer"
    file.write_text(opening + unit * ((8 << 20) // len(unit)))
    assert run(READ, file).status in (0, 4, 5)


WORD = """
import os, sys
from pybootcfg.errors import BootcfgError
from pybootcfg.results import FORMATS, Answer, format_answer
args = sys.argv[1] * (8 << 20)
for form in FORMATS:
    try:
        format_answer(Answer("/k", "/r", args), form)
    except BootcfgError as error:
        print(f"error: {error}"[:500], file=sys.stderr)
"""


@pytest.mark.parametrize("unit", ["'", "\\", "\x1b"], ids=repr)
def test_answers_of_megabytes(unit: str) -> None:
    assert "libxl reads at most" in run(WORD, unit).error


# --- guests ------------------------------------------------------------------------------------------


def test_nothing_is_left_in_the_temporary_directory(
    guest: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    grub2(guest, "while true; do set a=$a.; done\n")
    assert os.listdir(folder) == []
