"""The table of limits, the totals of one run, and --limit."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pybootcfg import limits
from pybootcfg.boot import Request, find_boot
from pybootcfg.cli.command_line import parse
from pybootcfg.errors import LimitExceeded, UsageError
from pybootcfg.guest import Guest

ROOT = Path(__file__).parent.parent
Run = Callable[..., "CompletedProcess[str]"]
NAMES = {name: row for name, row in vars(limits).items() if isinstance(row, limits.Limit)}


@pytest.fixture(autouse=True)
def table_as_it_was() -> Iterator[None]:
    before = {name: row.value for name, row in limits.TABLE.items()}
    yield
    for name, row in limits.TABLE.items():
        row.value = before[name]
    limits.begin(1)


# --- the table ---------------------------------------------------------------------------------------------


def test_every_limit_is_in_the_table_under_its_own_name() -> None:
    assert {name.lower().replace("_", "-"): row for name, row in NAMES.items()} == limits.TABLE


def test_every_limit_has_a_reason_and_room_above_what_was_seen() -> None:
    for row in limits.TABLE.values():
        assert len(row.reason) > 10, row.name
        assert 0 <= row.seen <= row.value, row.name


def test_every_limit_is_used() -> None:
    sources = [
        file.read_text()
        for folder in ("pybootcfg", "cli")
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "limits.py"
    ]
    used = {
        node.attr
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "limits"
    }
    assert NAMES.keys() - used == {"TOTAL_STEPS"}  # which all budgets draw on


def test_no_limit_is_fixed_when_a_module_is_imported() -> None:
    """--limit comes later than imports do."""
    for folder in ("pybootcfg", "cli"):
        for file in (ROOT / folder).rglob("*.py"):
            for statement in ast.parse(file.read_text()).body:
                if isinstance(statement, ast.Assign | ast.AnnAssign):
                    text = ast.unparse(statement)
                    assert not ("limits." in text and ".value" in text), f"{file}: {text}"


# --- checks and budgets ------------------------------------------------------------------------------------


def test_a_check_lets_pass_what_is_within() -> None:
    assert [limits.SYMLINKS.check(value) for value in (0, 1, 40)] == [0, 1, 40]


@pytest.mark.parametrize("value", [-1, 41, 1 << 70])
def test_a_check_names_the_limit_the_value_and_the_place(value: int) -> None:
    with pytest.raises(LimitExceeded) as caught:
        limits.SYMLINKS.check(value, "/boot")
    error = caught.value
    assert (error.limit, error.value, error.cap, error.exit_status) == ("symlinks", value, 40, 5)
    assert (
        str(error)
        == f"symlinks: {value} is over the limit of 40 [/boot] (--limit=symlinks=VALUE sets another)"
    )


def test_a_budget_is_spent_to_the_last_unit() -> None:
    budget = limits.SYMLINKS.budget("/boot")
    budget.spend()
    budget.spend(39)
    with pytest.raises(LimitExceeded, match=r"symlinks: 41 is over the limit of 40 .*/boot"):
        budget.spend()
    with pytest.raises(LimitExceeded):
        budget.spend(0)


def test_budgets_do_not_share_what_is_spent() -> None:
    limits.SYMLINKS.budget().spend(40)
    limits.SYMLINKS.budget().spend(40)


# --- totals ------------------------------------------------------------------------------------------------


def test_a_run_begins_with_nothing_used() -> None:
    limits.TOTAL_READS.add(limits.TOTAL_READS.value)
    limits.begin()
    limits.TOTAL_READS.add(limits.TOTAL_READS.value)
    with pytest.raises(LimitExceeded, match="total-reads"):
        limits.TOTAL_READS.add()


def test_a_total_that_is_used_up_stays_so() -> None:
    for _ in range(3):
        with pytest.raises(LimitExceeded, match="total-copied"):
            limits.TOTAL_COPIED.add(limits.TOTAL_COPIED.value + 1)


def test_the_scale_of_a_run_holds_for_the_next_one() -> None:
    limits.begin(3)
    limits.begin()
    limits.TOTAL_COPIED.add(3 * limits.TOTAL_COPIED.value)
    with pytest.raises(LimitExceeded, match="total-copied"):
        limits.TOTAL_COPIED.add()


def test_memory_is_the_same_whatever_the_scale() -> None:
    limits.begin(3)
    assert {total for total in limits.TOTALS if total.cap != 3 * total.value} == {limits.TOTAL_MEMORY}
    assert limits.TOTAL_MEMORY.cap == limits.TOTAL_MEMORY.value


def test_every_budget_draws_on_the_steps_of_the_run() -> None:
    limits.allow("total-steps=10")
    for _ in range(10):
        limits.SYMLINKS.budget().spend(30)
    with pytest.raises(LimitExceeded, match="total-steps: 11 is over the limit of 10 "):
        limits.SYMLINKS.budget().spend()


def test_a_run_that_is_told_to_end_ends_at_whatever_it_counts_next() -> None:
    error = limits.expire(limits.TOTAL_CPU)
    assert str(error) == "total-cpu: the limit of 8 is used up (--limit=total-cpu=VALUE sets another)"
    for count in (limits.TOTAL_READ.add, limits.TOTAL_COPIED.add, limits.SYMLINKS.budget().spend):
        with pytest.raises(LimitExceeded) as caught:
            count()
        assert caught.value is error
    assert limits.expire(limits.TOTAL_TIME) is error  # which was the first
    limits.begin()
    limits.TOTAL_READ.add()


def test_the_end_of_a_run_tells_what_it_had() -> None:
    limits.begin(3)
    assert "total-cpu: the limit of 24 is used up" in str(limits.expire(limits.TOTAL_CPU))
    limits.begin(1)


def test_the_total_holds_over_all_volumes_of_a_guest(sample: Path) -> None:
    find_boot(Guest.open([str(sample)]), Request())
    needed = limits.TOTAL_READS.spent
    assert 0 < needed < 1000
    limits.allow(f"total-reads={needed}")
    find_boot(Guest.open([str(sample)]), Request())
    limits.allow(f"total-reads={needed - 1}")
    with pytest.raises(Exception, match="total-reads") as caught:
        find_boot(Guest.open([str(sample)]), Request())
    assert caught.value.exit_status == 5  # type: ignore[attr-defined]


# --- --limit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [("41", 41), ("0", 0), ("7K", 7168), ("3M", 3145728), ("2G", 2147483648), ("9" * 18, int("9" * 18))],
)
def test_a_limit_is_replaced(text: str, value: int) -> None:
    limits.allow(f"symlinks={text}")
    assert limits.SYMLINKS.value == value


@pytest.mark.parametrize(
    "text", ["", "=", "-1", "x", "1.5", "1e3", "K", "1k", "1KK", "²", "٣", "9" * 19, " 1"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"symlinks=.*: a number is wanted, such as 40 or 64M"):
        limits.allow(f"symlinks={text}")
    assert limits.SYMLINKS.value == 40


def test_a_limit_without_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match="symlinks=: a number is wanted"):
        limits.allow("symlinks")


def test_a_name_that_is_not_in_the_table_is_refused_with_those_that_are_close() -> None:
    with pytest.raises(UsageError, match=r"no limit is called symlink \(symlinks or .*\?\)"):
        limits.allow("symlink=1")
    with pytest.raises(UsageError, match=r"no limit is called \\x1b\[ \(`pybootcfg limits` lists them\)"):
        limits.allow("\x1b[=1")


@pytest.mark.parametrize(
    ("name", "first", "count"),
    [
        ("symx", "symlinks", 4),  # those that begin alike, by how far they do
        ("total-reax", "total-reads", 4),
        ("otal-steps", "total-steps", 1),  # else those that have it in them
        ("syx", "`pybootcfg limits` lists them", 1),
        ("", "`pybootcfg limits` lists them", 1),
    ],
)
def test_close_names_are_told(name: str, first: str, count: int) -> None:
    with pytest.raises(UsageError) as caught:
        limits.allow(f"{name}=1")
    told = caught.value.hint.removesuffix("?").split(" or ")
    assert (told[0], len(told)) == (first, count)
    assert all(each in limits.TABLE for each in told if "`" not in each)


def test_pygrub_takes_limits_with_and_without_an_equals_sign() -> None:
    command = parse(["--limit=symlinks=7", "disk.img", "--limit", "path-depth=8", "--device", "other.img"])
    assert (limits.SYMLINKS.value, limits.PATH_DEPTH.value) == (7, 8)
    assert (command.image, command.devices) == ("disk.img", ("other.img",))


@pytest.mark.parametrize("arguments", [["--limit"], ["--limit="], ["--limit=symlinks"], ["--limit", "x=1"]])
def test_pygrub_refuses_senseless_limits(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(["disk.img", *arguments])


def test_limits_reach_the_confined_reader(pygrub: Run, sample: Path) -> None:
    done = pygrub("-n", "--limit=total-reads=2", sample)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("RuntimeError: ")
    assert "over the limit of 2 (--limit=total-reads=VALUE sets another)" in last
    done = pygrub("-n", "--limit=total-reads=200", sample)
    assert done.returncode == 0, done.stderr


def test_commands_take_limits(pybootcfg: Run, sample: Path) -> None:
    done = pybootcfg("entries", "--limit", "grub-entries=1", sample)
    assert done.returncode == 5
    assert "grub-entries: 2 is over the limit of 1" in done.stderr
    assert pybootcfg("entries", "--limit=grub-entries=9", "--limit=grub-text=1M", sample).returncode == 0
    done = pybootcfg("entries", "--limit", "grub-entry=1", sample)
    assert done.returncode == 2
    assert "grub-entries" in done.stderr


def test_the_table_is_listed_with_what_is_in_effect(pybootcfg: Run) -> None:
    document = json.loads(pybootcfg("limits", "--json", "--limit=symlinks=3").stdout)
    rows = {row["name"]: row for row in document["limits"]}
    assert rows.keys() == limits.TABLE.keys()
    assert rows["symlinks"] == {
        "name": "symlinks",
        "value": 3,
        "seen": limits.SYMLINKS.seen,
        "reason": limits.SYMLINKS.reason,
    }
    lines = pybootcfg("limits").stdout.splitlines()
    assert len(lines) == 1 + len(rows)
    assert [line.split()[0] for line in lines[1:]] == list(rows)


# --- what the kernel keeps ---------------------------------------------------------------------------------

KEPT = """
import argparse, sys
from pybootcfg import limits
from pybootcfg.cli import commands, show
{prepare}
def command(options):
    {body}
show.volumes = command
commands._parse = lambda _: argparse.Namespace(
    command={command!r}, image={image!r}, device=[], limit={limit!r}, debug=False)
commands._COMMANDS[{command!r}] = command
sys.exit(commands.main())
"""


def kept(
    body: str, *limit: str, command: str = "volumes", image: str = "", prepare: str = ""
) -> CompletedProcess[str]:
    code = KEPT.format(body=body, limit=list(limit), command=command, image=image, prepare=prepare)
    return subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


def test_processor_time_of_a_command() -> None:
    done = kept("while True: pass", "total-cpu=1")
    assert (done.returncode, done.stderr) == (
        5,
        "pybootcfg: total-cpu: the limit of 1 is used up (--limit=total-cpu=VALUE sets another)\n",
    )


@pytest.mark.no_cover
def test_an_error_that_is_passed_over_comes_back() -> None:
    """As where a file that cannot be read counts as one that is not there."""
    body = """
    import contextlib
    from pybootcfg.errors import BootcfgError
    for _ in range(2):
        with contextlib.suppress(BootcfgError):
            while True: pass
    while True: pass"""
    done = kept(body, "total-cpu=1")
    assert (done.returncode, "total-cpu: the limit of 1 is used up" in done.stderr) == (5, True)


def test_time_of_a_command() -> None:
    done = kept("import time; time.sleep(30)", "total-time=1")
    assert (done.returncode, "total-time: the limit of 1 is used up" in done.stderr) == (5, True)


def test_memory_of_a_command() -> None:
    done = kept("bytearray(200 << 20)")
    assert (done.returncode, "total-memory: the limit of 100663296 is used up" in done.stderr) == (5, True)
    assert kept("bytearray(200 << 20)", "total-memory=300M").returncode == 0


@pytest.mark.parametrize(
    ("mebibytes", "times"), [(1, 1), (2, 2), (9, 5), (130, 1 + 65 + 2), (640, 1 + 128 + 10)]
)
def test_commands_over_contents_have_more_by_what_the_disks_take(
    tmp_path: Path, mebibytes: int, times: int
) -> None:
    """Once more for each 2 MiB, up to 256, and for each 64 MiB; holes in an image do not count."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, mebibytes << 20)
    os.truncate(image, 1 << 40)
    code = "print(limits.TOTAL_READS.cap // limits.TOTAL_READS.value)"
    assert kept(code, command="ls", image=str(image)).stdout == f"{times}\n"
    assert kept(code, image=str(image)).stdout == "1\n"


def test_a_lower_limit_of_the_caller_stays() -> None:
    prepare = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (3, 5))"
    body = "import resource; print(resource.getrlimit(resource.RLIMIT_CPU))"
    assert kept(body, prepare=prepare).stdout == "(3, 5)\n"
    assert kept(body, "total-cpu=4", prepare=prepare).stdout == "(4, 5)\n"


def test_a_process_starts_with_the_totals_as_they_stand_in_the_table() -> None:
    """Before a run was begun, and in the first one."""
    code = """
from pybootcfg import limits
def state(): return all(total.cap == total.value and total.spent == 0 for total in limits.TOTALS)
first = state()
limits.TOTAL_READS.add(5)
limits.begin()
print(first, state(), len(limits.TOTALS))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == [
        "True",
        "True",
        str(sum(isinstance(row, limits.Total) for row in NAMES.values())),
    ]
