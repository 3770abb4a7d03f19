"""What a process must import before it is locked in, for it will not be able to open files any more."""

from __future__ import annotations

import contextlib

from pybootcfg import bytecode

#: modules that are no Python code, and those that read them, for any guest
COMMON = ("array", "bisect", "zlib")

#: what few guests need, some of it optional: checksums and compression of ZFS, Unicode in file names, ...
RARE = (
    "backports.zstd",
    "blake3",
    "calendar",
    "compression.zstd",
    "construct",
    "datetime",
    "hashlib",
    "json",
    "lz4.block",
    "unicodedata",
)


def prefetch(*, everything: bool) -> None:
    """Make importable what reading a guest may need: with `everything`, what few guests need as well.

    Without, `bytecode.ModuleNeeded` tells that the guest is one of the few.
    """
    bytecode.hold(everything=everything)
    unprepared = () if bytecode.is_prepared() else _unprepared()
    for name in (*COMMON, *unprepared, *(RARE if everything else ())):
        with contextlib.suppress(ImportError):
            __import__(name)


def _unprepared() -> tuple[str, ...]:
    """Return what makes schemas and grammars usable; the grammars themselves are read here."""
    from pybootcfg import tables

    for name in tables.names():
        tables.grammar_text(name)
    return ("construct", "lark")
