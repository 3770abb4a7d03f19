"""GRUB 2 scripts: what they print, judged by GNU GRUB 2.06 (grub-emu) and grub-script-check.

tests/corpus/grub2 holds scripts of our own with what GRUB printed for them: output and error
messages in one stream, blanks at the ends of lines left out.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from memory_machine import MemoryMachine

from pybootcfg import limits
from pybootcfg.dialects import grub2
from pybootcfg.dialects.base import Settings
from pybootcfg.dialects.grub2 import regexp, words
from pybootcfg.dialects.grub2.words import split, unescape
from pybootcfg.errors import LimitExceeded

CORPUS = Path(__file__).with_name("corpus") / "grub2"


def _cases(name: str) -> list[Any]:
    file = CORPUS / name
    with lzma.open(file, "rt") if file.suffix == ".xz" else file.open(encoding="utf-8") as stream:
        return list(json.load(stream)["cases"])


def run(script: str, files: Mapping[str, str | bytes] | None = None, **variables: str) -> str:
    """Run a script; return what it prints, errors among it."""
    printed: list[str] = []
    machine = MemoryMachine(files or {})
    settings = Settings({"grub_platform": "emu", **variables})
    data = script.encode("utf-8", "surrogateescape")
    grub2.run_script(machine, data, settings, printed.append, printed.append)
    return "".join(printed)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip("\n").split("\n")]


@pytest.mark.parametrize("case", _cases("scripts.json"), ids=lambda case: case["name"])
def test_a_script_prints_what_grub_prints(case: dict[str, str]) -> None:
    assert _lines(run(case["script"])) == _lines(case["printed"])


@pytest.mark.parametrize("case", _cases("programs.json.xz"), ids=lambda case: case["name"])
def test_a_random_program_prints_what_grub_prints(case: dict[str, str]) -> None:
    assert _lines(run(case["script"])) == _lines(case["printed"])


def test_syntax_is_judged_as_grub_script_check_judges_it() -> None:
    wrong = [
        case["script"]
        for case in _cases("syntax.json.xz")
        if (not grub2.check(case["script"].encode(), "script")) is not case["accept"]
    ]
    assert not wrong


def test_a_mistake_names_its_place() -> None:
    text = b"# comment\necho a\nif true; then\n  echo b |\nfi\n"
    (first, second) = grub2.check(text, "grub.cfg")
    assert (first.file, first.line, first.column) == ("grub.cfg", 4, 10)
    assert first.excerpt == "  echo b |\n         ^"
    assert second.line == 5


def test_the_status_is_that_of_the_last_command() -> None:
    def status(script: bytes) -> int:
        return grub2.run_script(MemoryMachine({}), script, Settings(), lambda _: None, lambda _: None)

    assert status(b"true\n") == 0
    assert status(b"false\n") == 1
    assert status(b"set x\n") == 18
    assert status(b"") == 0


def test_wildcards_are_sorted_and_stay_when_nothing_matches() -> None:
    files = {"/d2/e/f": "", "/d1/e/f": "", "/d1/x.cfg": "", "/d1/*": "", "/dx/e": ""}
    assert run("echo /d?/e/f /d*/*.cfg (hd0)/d1/x* /none/* *.cfg\n", files) == (
        "/d1/e/f /d2/e/f /d1/x.cfg (hd0)/d1/x.cfg /none/* *.cfg\n"
    )
    assert run('echo "/d1/*" /d1/\\* \'/d?\' a/d?\nx=/d?\necho $x "$x"\n', files) == (
        "/d1/* /d1/* /d? a/d?\n/d1 /d2 /dx /d?\n"
    )
    assert run('for f in /d1/*; do echo "$f"; done\n', files) == "/d1/*\n/d1/e\n/d1/x.cfg\n"
    assert run("echo *\n") == "(hd0)\n"


def test_files_in_tests() -> None:
    files = {"/boot/a": "x", "/boot/empty": ""}
    script = "for t in -e -f -d -s; do for f in %s; do if [ $t $f ]; then echo is $t $f; fi; done; done\n"
    assert run(script % "/boot /boot/ /boot/a (hd0)/boot/a boot /boot/empty /no (hd9)/boot", files) == (
        "is -e /boot\nis -e /boot/\nis -e /boot/a\nis -e (hd0)/boot/a\nis -e boot\nis -e /boot/empty\n"
        "is -f /boot/a\nis -f (hd0)/boot/a\nis -f /boot/empty\n"
        "is -d /boot\nis -d /boot/\nis -d boot\n"
        "is -s /boot/a\nis -s (hd0)/boot/a\n"
    )


BLOCK = "# GRUB Environment Block\nsaved_entry=a\\\\b\nx=1=2\n"


def test_environment_blocks() -> None:
    files = {"/boot/grub/grubenv": (BLOCK + "#" * 924)[:1024], "/bad": "no block at all, but long enough"}
    script = """
load_env; echo "$saved_entry $x"
x=new; y="p q"; save_env x y
unset saved_entry; save_env saved_entry
list_env
set x=; load_env x; echo "$x"
load_env --file /bad; echo $?
load_env --file /none; echo $?
save_env; echo $?
"""
    assert run(script, files) == (
        "a\\b 1=2\nx=new\ny=p q\nnew\n"
        "error: invalid environment block.\n4\n"
        "error: file `/none' not found.\n5\n"
        "error: no variable is specified.\n18\n"
    )


def test_an_environment_block_can_be_full() -> None:
    files = {"/boot/grub/grubenv": BLOCK + "#" * 9}
    assert run("z=123456; save_env z; echo $?; z=1234567; save_env z; echo $?; list_env\n", files) == (
        "0\nerror: environment block too small.\n18\nsaved_entry=a\\b\nx=1=2\nz=123456\n"
    )


def test_an_environment_block_that_is_broken_is_read_up_to_there() -> None:
    assert run("list_env\n", {"/boot/grub/grubenv": BLOCK + "y=unterminated"}) == "saved_entry=a\\b\nx=1=2\n"
    assert run("list_env\n", {"/boot/grub/grubenv": BLOCK + "####\nz=3\n####"}).endswith("z=3\n")


def test_search_and_probe() -> None:
    disks = [{"uuid": "AB-cd", "label": "one", "files": ["/f"]}, {"uuid": "EF", "files": ["/f", "/g"]}]
    script = """
search --no-floppy --fs-uuid --set=root ab-CD; echo $root
search --set=x --file /g; echo $x
search -l -s y one; echo $y
search --set z --file /f --hint hd1; echo $z
search --set z --file /f --hint-bios=hd1; echo $z
search -f /f; echo
search.fs_uuid ef v hd1,gpt1; echo $v
search --fs-uuid ef w; echo "[$w]"
search --label --set=q One; echo "$? [$q]"
probe --fs --set=t (hd1); probe -u hd0; echo " $t"
"""
    printed: list[str] = []
    settings = Settings({"grub_platform": "pc"})
    grub2.run_script(MemoryMachine({}, disks), script.encode(), settings, printed.append, printed.append)
    assert "".join(printed) == (
        "hd0\nhd1\nhd0\nhd1\nhd1\n hd0 hd1\nhd1\n hd1[]\nerror: no such device: One.\n5 []\nAB-cd ext2\n"
    )


def test_words_that_are_kept_at_hand_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_CACHED_WORDS", 3)
    script = "a=1\n" + "".join(f"echo x{number}$a\n" for number in range(10)) + "echo x0$a\n"
    assert run(script).split() == [*(f"x{number}1" for number in range(10)), "x01"]


def test_a_variable_that_becomes_too_long() -> None:
    with pytest.raises(LimitExceeded, match=r"grub-variable: 90000 is over .* \[\$y\]"):
        run(f"x={'x' * 30_000}\ny=$x$x$x\n")


def test_source_sees_and_changes_everything() -> None:
    files = {"/sub/a.cfg": "echo $config_file $config_directory\nx=2\nfunction f { echo f; }\n"}
    assert run("x=1\nsource /sub/a.cfg\necho $x $config_directory\nf\n. /none; echo $?\n", files) == (
        "(hd0)/sub/a.cfg (hd0)/sub\n2 (hd0)/boot/grub\nf\n0\n"
    )


def test_blanks_are_those_of_grub() -> None:
    assert split(" a\tb\x0b\x0cc\r\nd\x1ce\u00a0f ") == ["a", "b", "c", "d\x1ce\u00a0f"]
    assert unescape("a\\\\b\\*\\") == "a\\b*"


def test_bytes_that_are_no_text_come_through() -> None:
    assert run("echo a\udcffb\n") == "a\udcffb\n"


@pytest.mark.parametrize(
    ("pattern", "text", "groups"),
    [
        ("(a|ab)(c|bcd)(d*)", "abcd", ["abcd", "a", "bcd", ""]),
        ("x*", "aaa", ["", None][:1]),
        ("a{2,3}", "aaaa", ["aaa"]),
        ("^(.*)-([0-9]+)$", "linux-12", ["linux-12", "linux", "12"]),
        ("[]a-c^]+", "z]b^", ["]b^"]),
        ("[^[:space:]]+$", "a bc", ["bc"]),
        ("\\<b\\w*", "ab bc", ["bc"]),
        ("a\\.b|c", "axb c", ["c"]),
        ("b", "aaa", None),
        ("(a)|b", "b", ["b", None]),
    ],
)
def test_regular_expressions(pattern: str, text: str, groups: list[str | None] | None) -> None:
    assert regexp.compile(pattern).search(text, limits.REGEXP_WORK.budget()) == groups


@pytest.mark.parametrize(
    "pattern", ["(", "*a", "a|*b", "[a", "[[:nope:]]", "[b-a]", "a{2,1}", "a{x}", "\\", "^*"]
)
def test_what_is_no_regular_expression(pattern: str) -> None:
    with pytest.raises(regexp.BadExpression):
        regexp.compile(pattern)


@pytest.mark.parametrize("pattern", ["(" * 60 + ")" * 60, "a" * 1001, "((a{100}){100}){100}", "a{256}"])
def test_regular_expressions_are_bounded(pattern: str) -> None:
    with pytest.raises(LimitExceeded):
        regexp.compile(pattern)


HOSTILE = {
    "while": "while true; do true; done\n",
    "until": "until false; do echo x; done\n",
    "growing variable": "a=x\nwhile true; do set a=$a$a; done\n",
    "growing by one": "while true; do a=x$a; done\n",
    "many variables": "i=\nwhile true; do i=1$i; set v$i=1; done\n",
    "nested loops": "a='1 2 3 4 5 6 7 8 9'\n" + "for i in $a; do " * 9 + "true; " + "done; " * 8 + "done\n",
    "functions": "function f { f; f; }\nf\n",
    "eval": 'x="eval \\"\\$x\\""\neval "$x"\n',
    "deep if": "if true; then\n" * 700 + "true\n" + "fi\n" * 700,
    "deeper if": "if true; then\n" * 9000,
    "parentheses": "[ " + "( " * 500 + "]\n",
    "regexp": "while true; do regexp '(a*)*(a*)*b' aaaaaaaaaaaaaaaaaaaa; done\n",
    "many words": "x" + " x" * 400_000 + "\n",
    "many commands on a line": "a;" * 400_000 + "\n",
    "fields": "x='" + "a " * 30_000 + "'\nwhile true; do true $x; done\n",
    "files": "while true; do i=1$i; [ -f /$i ]; done\n",
    "mistakes": "}\n" * 300_000,
    "far too long": "#\n" * 3_000_000,
}


@pytest.mark.no_cover
@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_script_ends_in_a_limit(script: str) -> None:
    with pytest.raises(LimitExceeded):
        run(script)
