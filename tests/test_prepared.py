"""What the build prepared is what the sources give now."""

from __future__ import annotations

import importlib
import importlib.util
import marshal
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import CodeType, ModuleType
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


# --- the same in this process, on a finder of its own --------------------------------------------------


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch) -> bytecode.Finder:
    """A finder that holds nothing; imports are as before when the test is over."""
    made = bytecode.Finder()
    monkeypatch.setattr(bytecode, "_finder", made)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    return made


def loaded(finder: bytecode.Finder, name: str) -> ModuleType:
    """Run the code that a finder has for a module, without putting it among those that are imported."""
    spec = finder.find_spec(name)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    finder.exec_module(module)
    return module


PACKAGE = {
    "__init__.py": '"""The package."""\n',
    "boot.py": '"""Documentation."""\nassert False\nANSWER = 42\n',
    "inner/__init__.py": "",
    "inner/deep.py": "def where():\n    return where.__code__.co_filename\n",
    "data/notes.txt": "no package\n",
    "places.py": "",  # needed by nobody who reads a guest
    "tables.py": "RARE = True\n",  # needed by few
}


def test_what_is_prepared_is_found_and_run(
    finder: bytecode.Finder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    root = str(tmp_path)
    monkeypatch.setattr(bytecode, "ROOT", root)
    monkeypatch.setattr(bytecode, "PACKAGE", "boxed")
    monkeypatch.setattr(bytecode._modules, "__defaults__", ("boxed", root))
    monkeypatch.setattr(bytecode, "STANDARD", ("keyword", "encodings.cp437", "sys"))
    monkeypatch.setattr(bytecode.prepared, "__path__", [root])
    for file in (bytecode.COMMON, bytecode.RARE):
        (tmp_path / file).write_bytes(bytecode.prepare(file))
    common = {"boxed", "boxed.boot", "boxed.inner", "boxed.inner.deep"}
    assert not bytecode.is_prepared()
    bytecode.hold(everything=False)
    assert bytecode.is_prepared()
    assert finder in sys.meta_path
    assert {*finder._modules} == common | {"keyword", "encodings.cp437"}
    bytecode.hold(everything=True)
    assert {*finder._modules} == common | {"keyword", "encodings.cp437", "boxed.tables"}
    boot = loaded(finder, "boxed.boot")
    assert (boot.ANSWER, boot.__doc__, boot.__file__) == (42, None, f"{root}/boot.py")
    assert loaded(finder, "boxed.inner").__path__ == [f"{root}/inner"]
    assert loaded(finder, "boxed.inner.deep").where() == f"{root}/inner/deep.py"
    assert loaded(finder, "boxed.tables").RARE
    assert "lambda" in loaded(finder, "keyword").kwlist


def test_what_nothing_was_prepared_for_is_compiled(
    finder: bytecode.Finder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the sources: everything that is not imported yet is at hand, as its own file has it."""
    monkeypatch.setattr(bytecode.prepared, "__path__", [str(tmp_path)])
    for name in ("pybootcfg.filesystems.dates", "pybootcfg.filesystems.ext", "keyword"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.import_module("pybootcfg.boot")
    bytecode.hold(everything=False)
    assert not bytecode.is_prepared()
    assert {"pybootcfg.filesystems.dates", "pybootcfg.filesystems.ext", "keyword"} <= {*finder._modules}
    assert "pybootcfg.boot" not in finder
    dates = loaded(finder, "pybootcfg.filesystems.dates")
    assert dates.__file__ == f"{bytecode.ROOT}/filesystems/dates.py"
    assert dates.__doc__
    assert loaded(finder, "pybootcfg.filesystems.ext").__path__ == [f"{bytecode.ROOT}/filesystems/ext"]
    assert loaded(finder, "keyword").iskeyword("lambda")


@installed
def test_the_standard_library_of_another_python_is_imported(
    finder: bytecode.Finder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version", "another")
    monkeypatch.delitem(sys.modules, "encodings.cp850", raising=False)
    bytecode.hold(everything=False)
    assert "pybootcfg.boot" in finder
    assert not {*bytecode.STANDARD} & {*finder._modules}
    assert {*bytecode.STANDARD} <= {*sys.modules}


def test_a_missing_module_is_an_answer_or_an_end(finder: bytecode.Finder) -> None:
    assert finder.find_spec("unicodedata") is None
    finder.wanting = True
    with pytest.raises(bytecode.ModuleNeeded, match="unicodedata"):
        finder.find_spec("unicodedata")


def test_what_is_sealed_imports_what_is_at_hand_only(
    finder: bytecode.Finder, monkeypatch: pytest.MonkeyPatch
) -> None:
    bytecode.seal(wanting=True)
    left, wanting, silent = [*sys.meta_path], finder.wanting, sys.dont_write_bytecode
    monkeypatch.undo()
    assert [getattr(one, "__name__", one) for one in left] == ["BuiltinImporter", "FrozenImporter", finder]
    assert (wanting, silent) == (True, True)


def test_a_python_that_keeps_compiled_patterns_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """`re` may hide its parts: patterns are then compiled when they are wanted."""
    assert tables._compiled("a(?P<b>c)") is not None
    monkeypatch.delattr(re, "_compiler")
    assert tables._compiled("a(?P<b>c)") is None


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
