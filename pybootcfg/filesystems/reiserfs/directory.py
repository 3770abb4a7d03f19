"""Directories: items whose entries are sorted by the hash of their names, and the search by that hash."""

from __future__ import annotations

from itertools import islice

from pybootcfg import limits, schema
from pybootcfg.filesystems.reiserfs import hashes
from pybootcfg.filesystems.reiserfs.tree import Item, Key, Tree
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

layout = schema.load("reiserfs")

#: entries that are looked at to tell which hash sorts them; two different ones never agree for so long
SAMPLE = 64


class Entry(NamedTuple):
    """One entry: `offset` is its `deh_offset`; `dir_id` and `objectid` are the key of what it names."""

    offset: int
    name: bytes
    dir_id: int
    objectid: int
    visible: bool


def entries(tree: Tree, directory: tuple[int, int], start: int = 0) -> Iterator[Entry]:
    """Yield the entries of a directory (directory id, object id) whose `deh_offset` is not below `start`.

    `.` and `..` are left out.  Raises ImageError when an item is damaged, after the entries before it.
    """
    scanned = limits.DIRECTORY_SIZE.budget("directory item")
    start = max(start, layout.DOT_DOT_OFFSET + 1)
    for item in tree.items(Key(*directory, start, layout.TYPE_DIRENTRY)):
        if item.key.object > directory:
            return
        if item.key.object == directory and item.key.type == layout.TYPE_DIRENTRY:
            scanned.spend(item.length)
            yield from _entries(item, start)


def _entries(item: Item, start: int) -> Iterator[Entry]:
    """Yield the entries of one directory item; names lie behind the heads, the first name last."""
    count = item.entry_count
    heads_end = count * layout.reiserfs_de_head.size
    if heads_end > item.length:
        raise item.error(f"{count} entries cannot be in {item.length} bytes", "reiserfs_de_head")
    end = item.length
    for head in layout.reiserfs_de_head.array(item.block, count, item.location, at=item.at):
        location = head.deh_location
        if not heads_end <= location <= end:
            raise item.error(f"a name at {location} lies outside of its place", "reiserfs_de_head")
        if head.deh_offset >= start:
            name = item.block[item.location + location : item.location + end]
            name = name.partition(b"\0")[0]  # names of 3.6 are padded to 8 bytes
            visible = bool(head.deh_state & layout.DEH_VISIBLE)
            yield Entry(head.deh_offset, name, head.deh_dir_id, head.deh_objectid, visible)
        end = location


def find(tree: Tree, directory: tuple[int, int], name: bytes, codes: tuple[int, ...]) -> Entry | None:
    """Return the visible entry called `name`, searched under its hash by each of `codes` in turn."""
    for code in codes:
        for value in hashes.values(code, name):
            # Names with the same hash differ in the generation number, which follows it.
            for entry in entries(tree, directory, value):
                if entry.offset & layout.HASH_VALUE_MASK != value:
                    break
                if entry.name == name and entry.visible:
                    return entry
    return None


def scan(tree: Tree, directory: tuple[int, int], name: bytes) -> Entry | None:
    """Return the visible entry called `name`, wherever in the directory it is."""
    for entry in entries(tree, directory):
        if entry.name == name and entry.visible:
            return entry
    return None


def fitting_hashes(tree: Tree, directory: tuple[int, int]) -> tuple[int, ...]:
    """Return the codes of the hashes that the directory may be sorted by; all when it is empty."""
    codes = tuple(hashes.FUNCTIONS)
    for entry in islice(entries(tree, directory), SAMPLE):
        value = entry.offset & layout.HASH_VALUE_MASK
        codes = tuple(code for code in codes if value in hashes.values(code, entry.name))
    return codes
