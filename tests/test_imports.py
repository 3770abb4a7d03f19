"""DESIGN: imports go one way, and each room keeps to its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"pybootcfg": "pybootcfg", "cli": "pybootcfg.cli", "formats": "pybootcfg.formats"}


def modules() -> dict[str, Path]:
    """Every module of the package by its full name."""
    found = {}
    for folder, package in ROOMS.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            found[name] = file
    return found


MODULES = modules()


def imports(file: Path, *, top_level: bool = False) -> Iterator[str]:
    """Yield what a module imports; with `top_level` only what its own import brings in."""

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
            lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            if top_level and (typing_only or lazy):
                continue
            yield child
            yield from walk(child)

    for node in walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def within(name: str, *rooms: str) -> bool:
    return any(name == room or name.startswith(room + ".") for room in rooms)


@pytest.mark.parametrize("name", MODULES)
def test_rooms_know_only_their_neighbours(name: str) -> None:
    used = set(imports(MODULES[name]))
    own = {module for module in used if within(module, "pybootcfg")}
    if within(name, "pybootcfg.formats"):
        assert all(within(module, "pybootcfg.formats") for module in own)
        allowed = {"construct", "enum", "__future__", "typing", "uuid"}
        if name == "pybootcfg.formats._fields":  # which puts values into words
            allowed |= {"abc", "collections", "datetime", "stat"}
        assert {module.split(".")[0] for module in used - own} <= allowed
        return
    if not within(name, "pybootcfg.cli"):
        assert not [module for module in own if within(module, "pybootcfg.cli")]
    if within(name, "pybootcfg.filesystems"):
        assert not [module for module in own if within(module, "pybootcfg.dialects", "pybootcfg.guest")]
    if within(name, "pybootcfg.dialects"):
        assert not [module for module in own if within(module, "pybootcfg.filesystems", "pybootcfg.guest")]
    foreign = {module.split(".")[0] for module in used - own}
    assert (
        name in {"pybootcfg.schema", "pybootcfg.tracing", "pybootcfg.variable"} or "construct" not in foreign
    )
    assert name == "pybootcfg.tables" or "lark" not in foreign
    assert name == "pybootcfg.schema" or "struct" not in foreign


def test_no_import_circles() -> None:
    graph = {
        name: {m for m in imports(file, top_level=True) if m in MODULES} for name, file in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for below in graph[name]:
                visit(below, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


#: calculate with whole blocks as single numbers, and decode no field that way
ARITHMETIC = {
    "pybootcfg.checksums",
    "pybootcfg.filesystems.zfs.fletcher",
    "pybootcfg.filesystems.zfs.raidz",
}


@pytest.mark.parametrize("name", sorted(MODULES.keys() - ARITHMETIC - {"pybootcfg.schema"}))
def test_numbers_are_decoded_by_schemas_only(name: str) -> None:
    source = MODULES[name].read_text()
    assert "from_bytes" not in source
    assert "unpack_from" not in source


@pytest.mark.parametrize("name", [name for name in MODULES if not within(name, "pybootcfg.cli")])
def test_no_error_is_caught_unseen(name: str) -> None:
    """What a reader did not foresee is a fault to be found, not one to be passed over."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}"
            caught = {part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)}
            assert not caught & {"Exception", "BaseException"}, f"line {node.lineno}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("contextlib.suppress", "suppress"):
            caught = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            assert not caught & {"Exception", "BaseException"}, f"line {node.lineno}"


def test_start_up_of_pygrub_imports_no_drawing_library() -> None:
    code = (
        "import sys, pybootcfg.cli.pygrub; print(*{'rich', 'curses', 'argparse', 'lark'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []
