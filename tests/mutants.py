"""Changes the modules that all else relies on, one place at a time, and counts what no test notices.

    python tests/mutants.py [--sample N] [--jobs N] [MODULE...]

A mutant is a copy of the installed package with one operator, constant or condition of one module changed.
The module's tests run against it; a mutant that they let pass is printed with its place, for a person to
look at: it shows a test that is missing, or code that does not matter.  So is one that they do not end with
in ten times what they take with no change, for which a busy machine may be to blame.
"""

from __future__ import annotations

import argparse
import ast
import collections
import concurrent.futures
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent
SANDBOX = (
    *("test_sandbox_landlock.py", "test_sandbox_headers.py", "test_sandbox_process.py"),
    *("test_sandbox_outside.py", "test_sandbox.py", "test_sandbox_answers.py", "test_libxl_kills.py"),
)
#: the modules, by their files in the package, and the tests that have to notice
TARGETS: dict[str, tuple[str, ...]] = {
    "schema.py": ("test_schema.py", "test_prepared.py", "test_volumes.py"),
    "results.py": ("test_results.py",),
    "choose.py": ("test_choose.py", "test_boot.py"),
    "limits.py": ("test_limits.py",),
    "cli/sandbox/identity.py": SANDBOX,
    "cli/sandbox/kernel.py": SANDBOX,
    "cli/sandbox/landlock.py": SANDBOX,
    "cli/sandbox/layers.py": SANDBOX,
    "cli/sandbox/namespaces.py": SANDBOX,
    "cli/sandbox/process.py": SANDBOX,
    "cli/sandbox/rlimits.py": SANDBOX,
    "cli/sandbox/seccomp.py": SANDBOX,
}
#: as root, a mutant of the sandbox could take away the mounts of the whole machine, /proc among them
APART = ("unshare", "--mount", "--propagation", "private") if os.getuid() == 0 else ()
#: how many times as long as with no change, and how long at least, the tests of a mutant may take
PATIENCE, SECONDS = 10, 60

OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.FloorDiv,),
    ast.FloorDiv: (ast.Mult,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}


class Mutant(NamedTuple):
    """One change: the module, the line, what was there and what is now, and the module's text with it."""

    module: str
    line: int
    before: str
    after: str
    source: str


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    tree = ast.parse(source)
    types = {id(part) for note in annotations(tree) for part in ast.walk(note)}
    for index, node in enumerate(ast.walk(tree)):
        for change in () if id(node) in types else changes(node):
            mutated = copy.deepcopy(tree)
            place = next(one for number, one in enumerate(ast.walk(mutated)) if number == index)
            if apply(place, change):
                text = ast.unparse(ast.fix_missing_locations(mutated))
                before, after = ast.unparse(node), ast.unparse(place)
                yield Mutant(module, getattr(node, "lineno", 0), first_line(before), first_line(after), text)


def annotations(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the types that a module writes down, which nothing looks at when it runs."""
    for node in ast.walk(tree):
        for note in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if note is not None:
                yield note


def first_line(text: str) -> str:
    return text.partition("\n")[0]


def changes(node: ast.AST) -> Iterator[object]:
    """Yield what can be changed of a node."""
    if isinstance(node, ast.Compare) and len(node.ops) >= 1:
        for number, operator in enumerate(node.ops):
            yield from ((number, new) for new in OPERATORS.get(type(operator), ()))
    elif isinstance(node, ast.BinOp | ast.BoolOp):
        yield from OPERATORS.get(type(node.op), ())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not"
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield from (node.value + 1, node.value - 1)
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield not node.value
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield from ("true", "false")
    elif isinstance(node, ast.Return) and not is_none(node.value):
        yield "return"
    elif isinstance(node, ast.Expr | ast.Raise | ast.AugAssign):
        yield "delete"


def is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def apply(node: ast.AST, change: object) -> bool:
    """Make a change; return whether there is one to make."""
    if isinstance(node, ast.Compare) and isinstance(change, tuple):
        node.ops[change[0]] = change[1]()
    elif isinstance(node, ast.BinOp | ast.BoolOp) and isinstance(change, type):
        node.op = change()
    elif isinstance(node, ast.UnaryOp):
        node.operand, node.op = ast.UnaryOp(ast.Not(), node.operand), ast.Not()
    elif isinstance(node, ast.Constant):
        node.value = change  # type: ignore[assignment]
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        if "TYPE_CHECKING" in ast.dump(node.test):
            return False
        node.test = ast.Constant(change == "true")
    elif isinstance(node, ast.Return):
        node.value = ast.Constant(None)
    else:  # a statement that is left out; docstrings are none that do anything
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.Yield):
            return False
        deleted = ast.Expr(ast.Constant(None))
        node.__class__, node.__dict__ = deleted.__class__, {**node.__dict__, **deleted.__dict__}  # type: ignore[assignment]
    return True


def rows_of_the_table(source: str) -> set[int]:
    """Return the lines of the table of limits, whose numbers are not code."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Limit", "Total"):
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def outcome(module: str, source: str, package: Path, seconds: float | None = None) -> str:
    """Return what the tests say of a module with another source: `passed`, `failed` or `endless`."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copied = Path(folder) / "pybootcfg"
        shutil.copytree(package, copied)  # with its bytecode, which is current but for the one module
        (copied / module).write_text(source)
        environment = {**os.environ, "PYTHONPATH": folder}
        tests = [str(TESTS / name) for name in TARGETS[module]]
        options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={folder}/tests"]
        command = [*APART, sys.executable, "-P", "-m", "pytest", *options, *tests]
        try:
            done = subprocess.run(
                command, cwd=TESTS.parent, env=environment, capture_output=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return "endless"
        return "failed" if done.returncode else "passed"


def patience(module: str, source: str, package: Path) -> float:
    """Return the seconds that the tests of a module may take, which must pass as it is."""
    begun = time.monotonic()
    if outcome(module, ast.unparse(ast.parse(source)), package) != "passed":
        sys.exit(f"{module}: its tests fail with no change, so that they can tell nothing")
    return max(SECONDS, PATIENCE * (time.monotonic() - begun))


def main() -> int:
    """Try the mutants; print those that live, and the share that does not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", default=list(TARGETS), metavar="MODULE")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="only so many of each module")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    options = parser.parse_args()
    import pybootcfg

    package = Path(pybootcfg.__file__).parent
    killed = tried = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as workers:
        for module in options.modules:
            source = (package / module).read_text()
            table = rows_of_the_table(source)
            every = [mutant for mutant in mutants(module, source) if mutant.line not in table]
            if options.sample:
                chance = random.Random(module)  # noqa: S311
                every = sorted(
                    chance.sample(every, min(len(every), options.sample)), key=lambda one: one.line
                )
            seconds = patience(module, source, package)
            found: collections.Counter[str] = collections.Counter()
            outcomes = workers.map(lambda one: outcome(one.module, one.source, package, seconds), every)  # noqa: B023
            for mutant, what in zip(every, outcomes, strict=True):
                found[what] += 1
                if what != "failed":
                    print(f"{module}:{mutant.line}: {mutant.before}  ->  {mutant.after}: {what}", flush=True)
            noticed = found["failed"] + found["endless"]
            print(f"{module}: {noticed} of {len(every)} mutants are noticed, {found['endless']} by time")
            killed, tried = killed + noticed, tried + len(every)
    print(f"{killed} of {tried}: {100 * killed / max(1, tried):.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
