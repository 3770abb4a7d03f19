"""What the build prepared is what the sources give now."""

from __future__ import annotations

import importlib.util
import marshal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

import pybootcfg.formats
import pybootcfg.prepared
from pybootcfg import bytecode, schema, tables

FORMATS = sorted(file.stem for file in Path(pybootcfg.formats.__path__[0]).glob("[!_]*.py"))
PREPARED = Path(pybootcfg.prepared.__path__[0])

installed = pytest.mark.skipif(
    not list(PREPARED.glob("format_*.py")), reason="run from the sources, where nothing is prepared"
)


@installed
@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_current(name: str) -> None:
    assert (PREPARED / f"format_{name}.py").read_text() == schema.prepare(name)


@installed
@pytest.mark.parametrize("name", tables.names())
def test_a_grammar_is_current(name: str) -> None:
    assert (PREPARED / f"grammar_{name}.py").read_text() == tables.prepare(name)


@installed
def test_nothing_else_is_prepared() -> None:
    found = {file.stem for file in PREPARED.glob("*_*.py")} - {"__init__"}
    assert found == {f"format_{name}" for name in FORMATS} | {f"grammar_{name}" for name in tables.names()}


# --- the code -------------------------------------------------------------------------------------------


def index(file: str) -> tuple[dict[str, Any], memoryview]:
    data = memoryview((PREPARED / file).read_bytes())
    found = marshal.loads(data)  # noqa: S302
    return found, data[len(data) - found["size"] :]


def code_of(module: tuple[bool, str, int, int], blob: memoryview) -> CodeType:
    _, _, first, size = module
    code = marshal.loads(blob[first : first + size])  # noqa: S302
    assert isinstance(code, CodeType)
    return code


def compiled(source: Path, name: str) -> CodeType:
    return compile(source.read_bytes(), name, "exec", optimize=2, dont_inherit=True)


@installed
@pytest.mark.parametrize("file", [bytecode.COMMON, bytecode.RARE])
def test_the_code_is_that_of_the_modules(file: str) -> None:
    """Each file's source, compiled now, is the code that was prepared: nothing stale is run."""
    found, blob = index(file)
    for name, module in found["modules"].items():
        package, path, _, _ = module
        source = Path(bytecode.ROOT) / path
        assert package == (source.name == "__init__.py")
        assert name == "pybootcfg" or name.replace(".", "/").endswith(
            str(Path(path).with_suffix("")).removesuffix("/__init__")
        )
        assert code_of(module, blob) == compile(
            source.read_text(), path, "exec", optimize=2, dont_inherit=True
        )
    assert found["python"] == sys.version
    for name, module in found["standard"].items():
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin == module[1]
        assert code_of(module, blob) == compiled(Path(module[1]), module[1])


@installed
def test_the_code_is_complete() -> None:
    """Every module is in one of the two files, or known to be needed by nobody who reads a guest."""
    everything = {name for name, _ in bytecode._modules()}
    common, rare = ({*index(file)[0]["modules"]} for file in (bytecode.COMMON, bytecode.RARE))
    assert not common & rare
    assert common | rare == everything
    assert {"pybootcfg.boot", "pybootcfg.filesystems.ext.htree", "pybootcfg.dialects.grub2"} <= common
    assert {"pybootcfg.filesystems.zfs.pool", "pybootcfg.cli.menu"} <= rare


def run(script: str) -> str:
    command = [sys.executable, "-P", "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@installed
def test_modules_come_from_the_prepared_code() -> None:
    said = run(
        """
        import sys
        from pybootcfg import bytecode
        bytecode.install()
        from pybootcfg import boot
        import pybootcfg.filesystems.ext as ext
        print(type(boot.__spec__.loader).__name__, boot.__file__, ext.__path__[0], boot.__doc__)
        print(boot.find_boot.__code__.co_filename)
        """
    )
    root = bytecode.ROOT
    assert said.split() == ["Finder", f"{root}/boot.py", f"{root}/filesystems/ext", "None", f"{root}/boot.py"]


@installed
def test_code_of_another_python_is_left_alone(tmp_path: Path) -> None:
    """What was taken from the standard library is for exactly the Python that it was taken from."""
    found, blob = index(bytecode.COMMON)
    (tmp_path / "other").write_bytes(marshal.dumps({**found, "python": "3.0"}) + blob)
    said = run(
        f"""
        import sys
        from pybootcfg import bytecode
        bytecode.install({str(tmp_path / "other")!r})
        import enum
        from pybootcfg import boot
        print(type(enum.__spec__.loader).__name__, type(boot.__spec__.loader).__name__)
        bytecode.install({str(tmp_path / "missing")!r})
        """
    )
    assert said.split() == ["SourceFileLoader", "Finder"]


@installed
def test_a_sealed_process_says_what_it_needs() -> None:
    said = run(
        """
        from pybootcfg import bytecode
        bytecode.install()
        from pybootcfg.cli import reader
        from pybootcfg.cli.sandbox.prefetch import prefetch
        prefetch(everything=False)
        bytecode.seal(wanting=True)
        import pybootcfg.filesystems.ext, pybootcfg.dialects.syslinux, re, encodings.cp437
        try:
            import unicodedata
        except ImportError:
            print("missing")
        except bytecode.ModuleNeeded as needed:
            print(needed)
        """
    )
    assert said.split() == ["unicodedata"]


@installed
def test_another_python_imports_beforehand_what_it_may_need() -> None:
    said = run(
        """
        import sys
        sys.version = "another"
        from pybootcfg import bytecode
        bytecode.install()
        from pybootcfg.cli import reader
        from pybootcfg.cli.sandbox.prefetch import prefetch
        prefetch(everything=False)
        bytecode.seal(wanting=True)
        import re, fnmatch, encodings.cp850
        print(re.sub("a", "b", "banana"), type(re.__spec__.loader).__name__)
        """
    )
    assert said.split() == ["bbnbnb", "SourceFileLoader"]


@pytest.mark.parametrize("prepare", ["bytecode.install()", "pass"])
def test_with_everything_what_is_not_there_is_missing(prepare: str) -> None:
    said = run(
        f"""
        from pybootcfg import bytecode
        {prepare}
        from pybootcfg.cli import reader
        from pybootcfg.cli.sandbox.prefetch import prefetch
        prefetch(everything=True)
        bytecode.seal(wanting=False)
        import pybootcfg.filesystems.zfs, unicodedata, hashlib, zlib
        try:
            import pybootcfg_nothing
        except ModuleNotFoundError:
            print("missing")
        """
    )
    assert said.split() == ["missing"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_prepared_format_says_what_its_module_says(name: str, tmp_path: Path) -> None:
    """No constant is left out, and every plan gives the size of its schema."""
    file = tmp_path / "prepared.py"
    file.write_text(schema.prepare(name))
    spec = importlib.util.spec_from_file_location("prepared", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    source = importlib.import_module(f"pybootcfg.formats.{name}")
    for key, value in module.CONSTANTS.items():
        assert value == getattr(source, key)
    constants = {key for key in vars(source) if key.isupper()} - {"UUID"} - module.PLANS.keys()
    assert constants <= module.CONSTANTS.keys()
    for key, plan in module.PLANS.items():
        fresh = schema.Decoder(key, getattr(source, key))
        if plan is None:
            with pytest.raises(TypeError):
                _ = fresh.size
        else:
            assert schema.Decoder(key, schema.Prepared(name, key, schema._plan(plan))).size == fresh.size
