"""Modules for a process that will not be able to open files any more.

Importing every reader and dialect costs ten times what reading their code does, and a guest needs
two or three of them.  So the code of the whole package is read ahead, and run when it is first
imported; the rest of the world (compiled modules, the standard library) is imported right away.
"""

from __future__ import annotations

import codecs
import contextlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys

import pybootcfg
from pybootcfg import cli, formats, grammar
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType
    from typing import Any

#: what the package imports of others, as far as it may not be there yet; some of it is optional
OUTSIDE = (
    "array",
    "backports.zstd",
    "blake3",
    "calendar",
    "compression.zstd",
    "copy",
    "dataclasses",
    "datetime",
    "fnmatch",
    "hashlib",
    "lz4.block",
    "unicodedata",
    "uuid",
    "zlib",
)

#: codecs that are modules of their own, imported when first used
ENCODINGS = ("ascii", "cp437", "cp850", "latin-1", "unicode_escape", "utf-16-le", "utf-16-be")


class Held(importlib.machinery.SourceFileLoader):
    """Loads one module from what was read of it beforehand: its bytecode and its source."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name, path)
        self._files: dict[str, bytes] = {}
        self._stats = super().path_stats(path)
        for file in (importlib.util.cache_from_source(path), path):
            with contextlib.suppress(FileNotFoundError):
                self._files[file] = super().get_data(file)

    def path_stats(self, path: str) -> Mapping[str, Any]:  # noqa: ARG002  of this module only
        """Return what tells whether the bytecode belongs to the source."""
        return self._stats

    def get_data(self, path: str) -> bytes:
        """Return the contents of a file, from memory only."""
        try:
            return self._files[path]
        except KeyError:
            raise FileNotFoundError(path) from None


class Finder:
    """A finder for `sys.meta_path` that knows the modules that were read ahead."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}

    def hold(self, name: str, path: str) -> None:
        """Read a module's files."""
        self._held[name] = Held(name, path)

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a module that was read ahead, without a look at the disk."""
        loader = self._held.get(name)
        if loader is None:
            return None
        folder = [os.path.dirname(loader.path)] if loader.is_package(name) else None
        return importlib.util.spec_from_file_location(
            name, loader.path, loader=loader, submodule_search_locations=folder
        )


def prefetch() -> None:
    """Make everything importable that reading a guest may need."""
    for name in OUTSIDE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for encoding in ENCODINGS:
        codecs.lookup(encoding)
    finder = Finder()
    for package in (pybootcfg, cli, formats):
        for name, path in _modules(package.__name__, os.path.dirname(package.__file__ or "")):
            if name not in sys.modules:
                finder.hold(name, path)
    sys.meta_path.insert(0, finder)
    sys.dont_write_bytecode = True
    grammar.prefetch()


def _modules(package: str, folder: str) -> Iterator[tuple[str, str]]:
    """Yield the modules of a package and of the packages in it: names and paths."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name, extension = os.path.splitext(entry.name)
            if extension == ".py" and name != "__init__":
                yield f"{package}.{name}", entry.path
            elif entry.is_dir() and os.path.isfile(init := os.path.join(entry.path, "__init__.py")):
                yield f"{package}.{name}", init
                yield from _modules(f"{package}.{name}", entry.path)
