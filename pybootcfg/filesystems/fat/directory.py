"""Directory entries of FAT: short names, the long names that stand before them, times.

The rules are those of the Linux vfat driver (fs/fat/dir.c), which GRUB and mtools share: a long name
counts when its pieces come in order, agree on the checksum of the short name, and stand directly
before it; else the short name counts.
"""

from __future__ import annotations

import functools

from pybootcfg import schema
from pybootcfg.filesystems import dates
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_fat = schema.load("fat")

#: The code pages that a short name may be written in; the first is what Linux takes unless told otherwise.
_CODE_PAGES = ("cp437", "cp850")


@functools.cache
def _code_page(page: int) -> str:
    """Return the characters of a code page by their numbers."""
    return bytes(range(256)).decode(_CODE_PAGES[page])


class Entry(NamedTuple):
    """One file or directory: its name as listed, its other names, its directory entry and where that is."""

    name: str
    aliases: tuple[str, ...]
    record: Any
    slot: int  #: number of the directory entry, counted from the start of the directory


class Cursor:
    """Turns the directory entries of one directory, given block by block, into names."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.warn = warn
        self.ended = False
        self._slot = -1
        self._pieces: list[bytes] = []  # of a long name, its end first
        self._order = 0  # of the piece read last
        self._checksum = 0

    def feed(self, block: bytes) -> Iterator[Entry]:
        """Yield the entries of the next block of the directory; sets `ended` where the directory ends."""
        size = _fat.directory_entry.size
        for index, record in enumerate(_fat.directory_entry.array(block, len(block) // size)):
            self._slot += 1
            first = record.dir_name[0]
            if first == _fat.END_OF_DIRECTORY:
                self.ended = True
                return
            if first == _fat.DELETED:
                self._order = 0
            elif record.dir_attr == _fat.ATTR_LONG_NAME:
                self._long_piece(_fat.long_name_entry.decode(block, index * size))
            else:
                name = self._long_name(record.dir_name)
                if not record.dir_attr & _fat.ATTR_VOLUME_ID and record.dir_name not in _SELF_AND_PARENT:
                    yield from self._named(name, record)

    def _long_piece(self, piece: Any) -> None:
        order = piece.ldir_ord & ~_fat.LAST_LONG_ENTRY
        if piece.ldir_ord & _fat.LAST_LONG_ENTRY:
            self._pieces.clear()
            self._checksum = piece.ldir_chksum
            good = 0 < order <= _fat.LONG_NAME_ENTRIES
        else:
            good = 0 < order == self._order - 1 and piece.ldir_chksum == self._checksum
        self._order = order if good else 0
        self._pieces.append(piece.ldir_name1 + piece.ldir_name2 + piece.ldir_name3)

    def _long_name(self, short: bytes) -> str:
        """Return the long name that belongs to the short one, empty when there is none."""
        order, self._order = self._order, 0
        if order != 1:  # its first piece did not come last, or there are no pieces
            return ""
        if short_name_checksum(short) != self._checksum:
            self.warn(
                f"a long name does not belong to its short name {short_name(short, 0)!a}, which is used"
            )
            return ""
        units = b"".join(reversed(self._pieces))  # decoded as a whole: a surrogate pair may span two pieces
        return units.decode("utf-16-le", "surrogatepass").partition("\0")[0]

    def _named(self, long_name: str, record: Any) -> Iterator[Entry]:
        plain = short_name(record.dir_name, 0)
        name = long_name or short_name(record.dir_name, record.dir_nt_res)
        if "/" in name or name in (".", ".."):
            self.warn(f"the long name {name!a} is no file name; the short name is used")
            name = plain
        if not plain or not name or "/" in name or name in (".", ".."):
            self.warn(f"a directory entry with the impossible name {plain!a} is left out")
            return
        aliases = (plain,) if plain.isascii() else (plain, short_name(record.dir_name, 0, page=1))
        yield Entry(name, aliases, record, self._slot)


_SELF_AND_PARENT = (b".          ", b"..         ")


def short_name(raw: bytes, lower_case: int, *, page: int = 0) -> str:
    """Return a short name as text, its parts in lower case where the flags in `lower_case` say so.

    Empty for an entry whose base is blank, which no system shows.
    """
    if raw[0] == _fat.KANJI_E5:
        raw = b"\xe5" + raw[1:]
    text = _decoded(raw, page)
    base, extension = (part.partition("\0")[0].rstrip(" ") for part in (text[:8], text[8:]))
    if lower_case & _fat.LOWER_CASE_BASE:
        base = _lower(base, page)
    if lower_case & _fat.LOWER_CASE_EXTENSION:
        extension = _lower(extension, page)
    return f"{base}.{extension}" if base and extension else base


def label_text(raw: bytes) -> str:
    """Return a volume label of eleven bytes as text."""
    if raw[0] == _fat.KANJI_E5:
        raw = b"\xe5" + raw[1:]
    return _decoded(raw, 0).partition("\0")[0].rstrip(" ")


def _decoded(raw: bytes, page: int) -> str:
    return raw.decode("ascii") if raw.isascii() else "".join(map(_code_page(page).__getitem__, raw))


def _lower(text: str, page: int) -> str:
    """Lower the letters whose lower case the code page has too."""
    if text.isascii():
        return text.lower()
    return "".join(low if (low := char.lower()) in _code_page(page) else char for char in text)


def short_name_checksum(raw: bytes) -> int:
    """Return the checksum of a short name that its long name's entries carry ("ChkSum()")."""
    total = 0
    for byte in raw:
        total = ((total >> 1 | total << 7) + byte) & 0xFF
    return total


def fold(name: str) -> str:
    """Return a name such that two that differ in case only become equal.

    >>> fold("Straße") == fold("STRASSE"), fold("Ж") == fold("ж")
    (False, True)
    """
    if name.isascii():
        return name.upper()
    return "".join(upper if len(upper := char.upper()) == 1 else char for char in name)


def timestamp(date: int, time: int) -> int | None:
    """Return seconds since 1970 for a date and time as FAT has them; None when there is no such day."""
    year, month, day = 1980 + (date >> 9), date >> 5 & 0xF, date & 0x1F
    hour, minute, second = time >> 11, time >> 5 & 0x3F, 2 * (time & 0x1F)
    if not dates.is_day(year, month, day) or hour > 23 or minute > 59 or second > 59:
        return None
    return dates.timestamp(year, month, day, hour, minute, second)
