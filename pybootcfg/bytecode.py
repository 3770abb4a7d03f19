"""The code of the package in one file, which the build makes: one read in place of hundreds.

`install` reads it and puts a finder in front of Python's own.  So pygrub starts in fewer steps, and the
process that reads a guest has at hand whatever it may come to need of the package, although it cannot
open a file any more.  `seal` then makes that all there is.  What few guests need is in a second file.

The code is that of one version of Python, of which the files have the name, and without docstrings; a few
modules of the standard library are there too, for exactly the Python that they were taken from.  Where
nothing fits, or nothing was prepared, the modules' own files are read instead.
"""

from __future__ import annotations

import marshal
import os
import sys

from pybootcfg import prepared
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any
else:
    ModuleSpec = type(__spec__)  # importing importlib.machinery costs more than what it is for

PACKAGE = "pybootcfg"
ROOT = os.path.dirname(os.path.abspath(prepared.__path__[0]))
COMMON, RARE = (f"{name}.{sys.implementation.cache_tag}" for name in ("common", "rare"))

#: modules and packages in the second file
FEW_NEED = (
    *("filesystems.zfs", "formats", "tables", "tracing", "variable"),
    *(f"prepared.{kind}" for kind in ("format_kernel", "format_zfs", "grammar_os_release", "grammar_sxp")),
    *(f"cli.{name}" for name in ("files", "listing", "menu", "passwords", "paths", "scan", "script")),
)

#: what no process that reads a guest for pygrub needs
NOBODY_NEEDS = (
    "places",
    *(f"cli.{name}" for name in ("commands", "completion", "display", "inspection", "manual")),
    *(f"cli.{name}" for name in ("programs", "progress", "show")),
)

#: modules of the standard library: those that pygrub starts with, and those that some guests need
STANDARD = (
    *("bisect", "collections", "contextlib", "functools", "keyword", "operator"),
    *("reprlib", "struct", "types"),
    *("copyreg", "enum", "fnmatch"),
    *("re", "re._casefix", "re._compiler", "re._constants", "re._parser"),
    *(f"encodings.{name}" for name in ("cp437", "cp850", "unicode_escape", "utf_16_be", "utf_16_le")),
)


class ModuleNeeded(BaseException):
    """A sealed process needs a module that it does not have.

    No ImportError, and not even an Exception, for nothing that reads a guest must take it for an answer.
    """


class Finder:
    """Finds modules in memory: of each, whether it is a package, its file, its code (maybe marshalled)."""

    def __init__(self) -> None:
        self._modules: dict[str, tuple[bool, str, Any]] = {}
        self.wanting = False

    def hold(self, name: str, file: str, code: Any, *, package: bool) -> None:
        """Have a module at hand; `code` is a code object, or one as bytes."""
        self._modules.setdefault(name, (package, file, code))

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Return the spec of a module; None, or ModuleNeeded when that is wanted, for one not at hand."""
        found = self._modules.get(name)
        if found is None:
            if self.wanting:
                raise ModuleNeeded(name)
            return None
        package, file, _ = found
        spec = ModuleSpec(name, self, origin=file, is_package=package)  # type: ignore[arg-type]
        if package:
            spec.submodule_search_locations = [os.path.dirname(file)]
        return spec

    def create_module(self, _spec: ModuleSpec) -> None:
        """Leave it to Python to make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the code of a module."""
        import _imp

        _, file, code = self._modules[module.__name__]
        module.__file__ = file
        if isinstance(code, memoryview):
            code = marshal.loads(code)  # noqa: S302  as Python's own files of bytecode
            _imp._fix_co_filename(code, file)  # type: ignore[attr-defined]
        exec(code, vars(module))  # noqa: S102


_finder = Finder()


def install(name: str = COMMON) -> None:
    """Find the modules of the package in a prepared file, if there is one."""
    try:
        with open(os.path.join(prepared.__path__[0], name), "rb", buffering=0) as file:
            data = memoryview(file.read())
    except FileNotFoundError:
        return
    index = marshal.loads(data)  # noqa: S302
    start = len(data) - index["size"]
    for name, (package, path, first, size) in index["modules"].items():
        _finder.hold(name, f"{ROOT}/{path}", data[start + first : start + first + size], package=package)
    if index["python"] == sys.version:
        for name, (package, path, first, size) in index["standard"].items():
            _finder.hold(name, path, data[start + first : start + first + size], package=package)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def is_prepared() -> bool:
    """Tell whether the modules of the package come from a prepared file."""
    return f"{PACKAGE}.boot" in _finder


def hold(*, everything: bool) -> None:
    """Have at hand what reading a guest may need: with `everything`, what few guests need, too."""
    if not is_prepared():
        install()
    if is_prepared():
        if everything:
            install(RARE)
        for name in STANDARD:
            if name not in _finder:  # another Python than the one that it was prepared for
                import_module(name)
        return
    from importlib.machinery import SourceFileLoader
    from importlib.util import find_spec

    for name, path in [*_modules(), *((name, "") for name in STANDARD)]:
        if name in sys.modules or name in _finder:
            continue
        if not path:
            spec = find_spec(name)
            path = (spec.origin if spec else None) or ""
        if path.endswith(".py"):
            code = SourceFileLoader(name, path).get_code(name)
            _finder.hold(name, path, code, package=path.endswith("__init__.py"))


def import_module(name: str) -> Any:
    """Return a module as `importlib.import_module` does, which takes longer to import than most modules."""
    __import__(name)
    return sys.modules[name]


def seal(*, wanting: bool) -> None:
    """Let nothing be imported but what is at hand; `wanting` has all else raise ModuleNeeded."""
    from _frozen_importlib import BuiltinImporter, FrozenImporter

    _finder.wanting = wanting
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, _finder]
    sys.dont_write_bytecode = True


def prepare(file: str) -> bytes:
    """Return the contents of COMMON or RARE for the package as it lies here, and for this Python."""
    from importlib.util import find_spec

    blob = bytearray()

    def kept(source: str, path: str, *, package: bool) -> tuple[bool, str, int, int]:
        with open(source, "rb") as text:
            data = marshal.dumps(compile(text.read(), path, "exec", dont_inherit=True, optimize=2))
        blob.extend(data)
        return package, path, len(blob) - len(data), len(data)

    modules, standard = {}, {}
    for name, path in _modules():
        if is_within(name, FEW_NEED) is (file == RARE):
            relative = os.path.relpath(path, ROOT)
            modules[name] = kept(path, relative, package=path.endswith("__init__.py"))
    for name in STANDARD if file == COMMON else ():
        spec = find_spec(name)
        if spec and spec.origin and spec.origin.endswith(".py"):
            standard[name] = kept(
                spec.origin, spec.origin, package=spec.submodule_search_locations is not None
            )
    index = {"python": sys.version, "size": len(blob), "modules": modules, "standard": standard}
    return marshal.dumps(index) + blob


def is_within(name: str, places: tuple[str, ...]) -> bool:
    """Tell whether a module is one of these, or in one of them, or is called like one that is longer."""
    return name.removeprefix(f"{PACKAGE}.").startswith(places)


def _modules(package: str = PACKAGE, folder: str = ROOT) -> Iterator[tuple[str, str]]:
    """Yield the modules of the package that reading a guest may need: names and paths."""
    yield package, os.path.join(folder, "__init__.py")
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            stem, extension = os.path.splitext(entry.name)
            name = f"{package}.{stem}"
            if is_within(name, NOBODY_NEEDS):
                continue
            if extension == ".py" and stem != "__init__":
                yield name, entry.path
            elif entry.is_dir() and os.path.isfile(os.path.join(entry.path, "__init__.py")):
                yield from _modules(name, entry.path)
