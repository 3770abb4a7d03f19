"""Two ways of keeping checksums from hiding what lies behind them; both from outside of the package.

`ignored()` makes every comparison of a checksum succeed, by putting functions in the place of the package's
own that return numbers equal to all others:

    ext         crc32c, crc16 and the CRC-32 of the journal: superblock, descriptors, inodes, extents,
                directories, index, log and fast commits
    ufs         the check-hashes of superblock and inodes
    exfat, fat  boot region, up-case table, entry sets; long names and their short name
    gpt         headers and entries
    disklabel   not compared to anything: a wrong one is a warning only;   vtoc: always right
    iso9660     has none that counts (that of El Torito is a warning)
    zfs         all functions of block pointers, the embedded SHA-256, the intent log
    reiserfs    has none
"""

from __future__ import annotations

import contextlib
import importlib
import types
from collections.abc import Iterator
from typing import Any


class Agreeable(int):
    """A checksum that is what it has to be, whatever that is."""

    def __eq__(self, _: object) -> bool:
        return True

    def __ne__(self, _: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0

    def __and__(self, _: int) -> Agreeable:
        return self

    def __rshift__(self, _: int) -> Agreeable:
        return self

    def __xor__(self, _: int) -> Agreeable:
        return self

    __rxor__ = __xor__


class _AgreeableWords(tuple):  # type: ignore[type-arg]
    __slots__ = ()

    def __eq__(self, _: object) -> bool:
        return True

    def __ne__(self, _: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


_RIGHT = Agreeable(0)
_RIGHT_WORDS = _AgreeableWords((0, 0, 0, 0))


def _right(*_: Any, **__: Any) -> Agreeable:
    return _RIGHT


def _right_words(*_: Any, **__: Any) -> tuple[int, ...]:
    return _RIGHT_WORDS


#: module, name in it, what stands there while checksums are ignored
_ANSWERS: list[tuple[str, str, Any]] = [
    ("pybootcfg.volumes.gpt", "zlib", types.SimpleNamespace(crc32=_right)),
    ("pybootcfg.volumes.vtoc", "_checksum_holds", lambda _: True),
    ("pybootcfg.filesystems.exfat", "checksum", _right),
    ("pybootcfg.filesystems.fat.directory", "short_name_checksum", _right),
    ("pybootcfg.filesystems.ufs.superblock", "crc32c", _right),
    ("pybootcfg.filesystems.zfs.zil", "fletcher2", _right_words),
    ("pybootcfg.filesystems.zfs.zil", "fletcher4", _right_words),
    ("pybootcfg.filesystems.zfs.checksum", "embedded", _right_words),
    *(
        (f"pybootcfg.filesystems.ext.{module}", name, _right)
        for name, modules in {
            "crc32c": (
                *("superblock", "log", "groups", "fast_commit", "mapping", "inode", "directory", "journal"),
            ),
            "crc32c_zeros": ("inode", "directory"),
            "crc16": ("groups",),
            "crc32_be": ("journal",),
        }.items()
        for module in modules
    ),
]


@contextlib.contextmanager
def ignored() -> Iterator[None]:
    """Have every checksum be right, as long as this lasts."""
    with contextlib.ExitStack() as stack:
        for module, name, answer in _ANSWERS:
            stack.enter_context(replaced(importlib.import_module(module), name, answer))
        checksum: Any = importlib.import_module("pybootcfg.filesystems.zfs.checksum")
        stack.enter_context(replaced(checksum, "checksum", lambda *_, **__: None))
        yield


@contextlib.contextmanager
def replaced(place: Any, name: str, value: Any) -> Iterator[Any]:
    """Put another value in the place of an attribute for a while; yield the value that was there."""
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield before
    finally:
        setattr(place, name, before)
