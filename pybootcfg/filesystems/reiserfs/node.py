"""Files, directories and links: stat data of both formats, and the items that hold contents."""

from __future__ import annotations

import functools

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, printable
from pybootcfg.filesystems.base import Hole, Node, Run
from pybootcfg.filesystems.reiserfs import directory
from pybootcfg.filesystems.reiserfs.tree import Item, Key
from pybootcfg.kind import Kind, of_mode
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from typing import Any

    from pybootcfg.filesystems.reiserfs import Reiserfs

layout = schema.load("reiserfs")


class Piece(NamedTuple):
    """`length` bytes of a file at byte `start` of the file system; None for a hole."""

    start: int | None
    length: int


class ReiserfsNode(Node):
    """The object with this directory id and object id."""

    def __init__(self, filesystem: Reiserfs, dir_id: int, objectid: int) -> None:
        self.filesystem = filesystem
        self.object = (dir_id, objectid)

    @property
    def key(self) -> Hashable:
        """Directory id and object id, which make the key of the stat data."""
        return self.object

    @functools.cached_property
    def _stat(self) -> Any:
        """The stat data, in the format that the item head tells."""
        key = Key(*self.object, 0, layout.TYPE_STAT_DATA)
        item = next(self.filesystem.tree.items(key))
        if item.key != key:
            raise self._damage("no stat data", item.at)
        decoder = layout.stat_data_v1 if item.version == layout.KEY_FORMAT_3_5 else layout.stat_data
        if item.length < decoder.size:
            raise item.error(f"{decoder.size} bytes wanted, but the item has {item.length}", decoder.name)
        return decoder.decode(item.block, item.location, at=item.at)

    def _damage(self, what: str, offset: int | None = None) -> ImageError:
        return ImageError(
            f"object {self.object[0]} {self.object[1]} has {what}",
            offset=offset,
            structure="stat_data",
            source=self.filesystem.source.name,
        )

    @property
    def kind(self) -> Kind:
        """What the mode says."""
        kind = of_mode(self._stat.sd_mode)
        if kind is None:
            raise self._damage(f"mode {self._stat.sd_mode:#o}, which is no type")
        return kind

    @property
    def size(self) -> int:
        """Bytes, as the stat data says; ImageError for more than a key can count."""
        size: int = self._stat.sd_size
        if size > layout.MAX_FILE_SIZE:
            raise self._damage(f"{size} bytes, more than a key can count")
        return size

    @property
    def mode(self) -> int | None:
        """Permission bits."""
        return int(self._stat.sd_mode & 0o7777)

    @property
    def mtime(self) -> int | None:
        """Seconds since 1970."""
        return int(self._stat.sd_mtime)

    def runs(self) -> Iterator[Run]:
        """Yield blocks that lie side by side as one extent, and tails where they lie in the tree."""
        left = self.size
        for start, length in _joined(self._pieces()):
            if not left:
                return
            length = min(length, left)
            left -= length
            yield Hole(length) if start is None else self.filesystem.extent(start, length)
        if left:
            yield Hole(left)

    def _pieces(self) -> Iterator[Piece]:
        """Yield where the items of the file say that its bytes are, without gaps between them."""
        position = 0
        for item in self.filesystem.tree.items(Key(*self.object, 1, layout.TYPE_STAT_DATA)):
            if item.key.object > self.object:
                return
            if item.key.object != self.object or item.key.type == layout.TYPE_STAT_DATA:
                continue
            start = item.key.offset - 1
            if start < position:
                raise item.error(f"items of a file overlap at its byte {start}", "item_head")
            if start > position:
                yield Piece(None, start - position)
            position = start
            for piece in self._item_pieces(item):
                position += piece.length
                yield piece

    def _item_pieces(self, item: Item) -> Iterator[Piece]:
        if item.key.type == layout.TYPE_DIRECT:
            yield Piece(item.at + item.location, item.length)
        elif item.key.type == layout.TYPE_INDIRECT:
            count = item.length // layout.unformatted_pointer.size
            pointers = layout.unformatted_pointer.array(item.block, count, item.location, at=item.at)
            yield from self._blocks(pointers, item)
        else:
            raise item.error("the item is not one that a file has", "item_head")

    def _blocks(self, pointers: tuple[int, ...], item: Item) -> Iterator[Piece]:
        """Yield the runs of blocks that lie side by side, and of holes."""
        block_size = self.filesystem.block_size
        index = 0
        while index < len(pointers):
            first = pointers[index]
            count = _run_length(pointers, index)
            if first + (count if first else 0) > self.filesystem.tree.block_count:
                raise item.error(
                    f"block {max(pointers[index : index + count])} is beyond the end", "unformatted_pointer"
                )
            yield Piece(first * block_size if first else None, count * block_size)
            index += count

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield the entries that Linux shows, in the order of their hashes."""
        filesystem = self.filesystem
        for entry in directory.entries(filesystem.tree, self.object):
            if not entry.visible or self._hides(entry.name):
                continue
            if not entry.name or b"/" in entry.name or len(entry.name) > layout.REISERFS_MAX_NAME:
                filesystem.warn(f"an entry has a name that cannot be used: {printable(entry.name[:40])!r}")
                continue
            yield entry.name, ReiserfsNode(filesystem, entry.dir_id, entry.objectid)

    def lookup(self, name: bytes) -> Node | None:
        """Return the entry called `name`, searched in the tree under its hash."""
        if self._hides(name):
            return None
        entry = self._find(name)
        return entry and ReiserfsNode(self.filesystem, entry.dir_id, entry.objectid)

    def _find(self, name: bytes) -> directory.Entry | None:
        """Search by hash; where that way is damaged, through the whole directory."""
        tree, codes = self.filesystem.tree, self.filesystem.hash_codes
        if codes:
            try:
                return directory.find(tree, self.object, name, codes)
            except ImageError as error:
                self.filesystem.warn(f"a directory is searched without its hashes: {error}")
        return directory.scan(tree, self.object, name)

    def _hides(self, name: bytes) -> bool:
        """Whether Linux does not show this name: the root's directory of extended attributes."""
        return name == layout.PRIVROOT_NAME and self.object == self.filesystem.root_object

    def target(self) -> bytes:
        """Return the contents up to the padding."""
        return self.read(limits.PATH_LENGTH).partition(b"\0")[0]


def _run_length(pointers: tuple[int, ...], index: int) -> int:
    """Return how many pointers from `index` on are holes, or count up by one.

    Contiguous files are compared in doubling steps rather than pointer by pointer.
    """
    first, step = pointers[index], 1
    rise = 1 if first else 0
    end = index + 1
    while end < len(pointers) and step:
        chunk = pointers[end : end + step]
        start = first + rise * (end - index)
        expected = tuple(range(start, start + len(chunk))) if rise else (0,) * len(chunk)
        if chunk == expected:
            end += len(chunk)
            step *= 2
        else:
            step //= 2
    return end - index


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Yield the same pieces, those that continue each other as one."""
    last = Piece(None, 0)
    for piece in pieces:
        end = None if last.start is None else last.start + last.length
        if piece.start == end:
            last = Piece(last.start, last.length + piece.length)
            continue
        if last.length:
            yield last
        last = piece
    if last.length:
        yield last
