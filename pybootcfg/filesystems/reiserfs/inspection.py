"""The structures of a ReiserFS by name, for `inspect`; docs/inspect.md lists them.

A node goes by the number of its block.  Where the journal holds a newer copy, that is shown, where it lies.
"""

from __future__ import annotations

from pybootcfg import schema
from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded
from pybootcfg.filesystems.reiserfs.tree import Internal, Item, Key, Leaf
from pybootcfg.structures import Stretch, Structure, Structures, fault, numbered
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pybootcfg.filesystems.reiserfs import Reiserfs
    from pybootcfg.filesystems.reiserfs.node import ReiserfsNode

layout = schema.load("reiserfs")


class ReiserfsStructures(Structures):
    """The structures of one file system."""

    def __init__(self, filesystem: Reiserfs) -> None:
        self.filesystem = filesystem
        self.block_size = filesystem.block_size

    def listed(self) -> Iterator[Structure]:
        """Yield the super block, what is to be replayed, and the root of the tree."""
        yield from self._superblocks()
        yield from self._pending()
        root = self.filesystem.superblock.s_root_block
        for structure in self.node(root):
            yield structure._replace(name=structure.name.replace(f"block[{root}]", "root", 1))
        yield from self._root_directory()

    def every(self) -> Iterator[Structure]:
        """Yield the super block, the bitmaps, the journal, and all nodes of the tree with their items."""
        yield from self._superblocks()
        yield from self._bitmaps()
        yield from self._ring()
        yield from self._tree()

    def below(self, name: str) -> Iterator[Structure]:
        """Yield those of the node, of the bitmaps or of the journal that a name begins with."""
        family, number, _ = numbered(name)
        if family == "block" and 0 < number < self.filesystem.tree.block_count:
            return self.node(number)
        if family == "bitmap":
            return self._bitmaps()
        if family == "journal.block":
            return self._ring()
        return self.listed()

    def _superblocks(self) -> Iterator[Structure]:
        filesystem = self.filesystem
        whole = filesystem.identity is not None
        superblock = layout.reiserfs_super_block if whole else layout.reiserfs_super_block_v1
        at = filesystem.superblock_offset
        yield Structure("superblock", superblock, at)
        if filesystem.place(at) != at:
            yield Structure("journal.superblock", superblock, filesystem.place(at))
        if filesystem.journal:
            yield Structure(
                "journal_header", layout.reiserfs_journal_header, filesystem.journal.header_offset
            )

    def _pending(self) -> Iterator[Structure]:
        """Yield the ends of the transactions that wait to be replayed."""
        journal = self.filesystem.journal
        if not journal:
            return
        for number, one in enumerate(self.filesystem.pending):
            place = f"journal.transactions[{number}]"
            commit = journal.offset(one.start + one.length + 1)
            yield Structure(f"{place}.desc", layout.reiserfs_journal_desc, journal.offset(one.start))
            yield Structure(f"{place}.commit", layout.reiserfs_journal_commit, commit)

    def _ring(self) -> Iterator[Structure]:
        """Yield the ends of all complete transactions of the journal, old ones too, with their lists."""
        journal = self.filesystem.journal
        if not journal:
            return
        position = 0
        while position < journal.size:
            found = journal.transaction(position)
            if found is None:
                position += 1
                continue
            last = (found.start + found.length + 1) % journal.size
            for place, decoder, count in (
                (found.start, layout.reiserfs_journal_desc, min(found.length, journal.half)),
                (last, layout.reiserfs_journal_commit, found.length - journal.half),
            ):
                name = f"journal.block[{place}].{'desc' if place == found.start else 'commit'}"
                offset = journal.offset(place)
                yield Structure(name, decoder, offset)
                if count > 0:
                    blocks = layout.realblock.repeated(count)
                    yield Structure(f"{name}.realblocks", blocks, offset + decoder.size)
            position += found.length + 2

    def _bitmaps(self) -> Iterator[Structure]:
        """Yield the bitmaps of blocks: behind the super block, then each at the start of what it describes.

        In the old format (the super block 8 KiB from the start) they all follow one another.
        """
        filesystem, bits = self.filesystem, 8 * self.block_size
        first = filesystem.superblock_offset // self.block_size + 1
        old = filesystem.superblock_offset == layout.REISERFS_OLD_DISK_OFFSET_IN_BYTES
        count = filesystem.tree.block_count
        for number in range(-(-count // bits)):
            block = first + number if old or not number else number * bits
            offset = filesystem.place(block * self.block_size)
            if offset + self.block_size > filesystem.source.size:
                return
            decoder = Stretch("bitmap", self.block_size, min(bits, count - number * bits))
            yield Structure(f"bitmap[{number}]", decoder, offset)

    def _tree(self) -> Iterator[Structure]:
        """Yield all nodes from the root down, in the order of their keys; faults where they are damaged."""
        filesystem = self.filesystem
        budget = filesystem.tree.block_count
        todo: list[tuple[int, int | None]] = [(filesystem.superblock.s_root_block, None)]
        while todo and budget:
            budget -= 1
            number, level = todo.pop()
            try:
                yield from self.node(number)
                node = filesystem.tree.node(number, level)
            except (ImageError, LimitExceeded) as error:
                yield fault(f"block[{number}]", error)
                continue
            if isinstance(node, Internal):
                todo += [(child, node.level - 1) for child in reversed(node.children)]

    def node(self, number: int) -> Iterator[Structure]:
        """Yield the parts of a node; ImageError where its items do not fit."""
        filesystem = self.filesystem
        at = filesystem.tree.offset(number, "block")
        place, name = filesystem.place(at), f"block[{number}]"
        yield Structure(f"{name}.block_head", layout.block_head, place)
        if place + self.block_size > filesystem.source.size:
            return
        head = layout.block_head.read(filesystem.source, place)
        start, end = place + layout.block_head.size, place + self.block_size
        if head.blk_level == layout.DISK_LEAF_NODE_LEVEL:
            yield from _array(f"{name}.items", layout.item_head, start, head.blk_nr_item, end)
            leaf = filesystem.tree.node(number)
            if isinstance(leaf, Leaf):
                for index, item in enumerate(leaf.items(0)):
                    yield from self._item(f"{name}.item[{index}]", item, place)
        else:
            yield from _array(f"{name}.keys", layout.reiserfs_key, start, head.blk_nr_item, end)
            start += layout.reiserfs_key.size * head.blk_nr_item
            yield from _array(f"{name}.children", layout.disk_child, start, head.blk_nr_item + 1, end)

    def _item(self, name: str, item: Item, place: int) -> Iterator[Structure]:
        """Yield what an item of the node at byte `place` holds."""
        start = place + item.location
        if item.key.type == layout.TYPE_STAT_DATA:
            old = item.version == layout.KEY_FORMAT_3_5
            decoder = layout.stat_data_v1 if old else layout.stat_data
            if item.length >= decoder.size:
                yield Structure(f"{name}.stat_data", decoder, start)
        elif item.key.type == layout.TYPE_DIRENTRY:
            heads = layout.reiserfs_de_head
            count = min(item.entry_count, item.length // heads.size)
            if count:
                yield Structure(f"{name}.entries", heads.repeated(count), start)
                yield Structure(
                    f"{name}.names",
                    Stretch("names", item.length - count * heads.size),
                    start + count * heads.size,
                )
        elif item.key.type == layout.TYPE_INDIRECT:
            pointers = item.length // layout.unformatted_pointer.size
            if pointers:
                yield Structure(f"{name}.pointers", layout.unformatted_pointer.repeated(pointers), start)
        elif item.length:
            yield Structure(f"{name}.direct", Stretch("direct", item.length), start)

    def of_node(self, node: ReiserfsNode) -> Iterator[Structure]:
        """Yield the items of a file or directory, under the names of the nodes that they are in."""
        filesystem = self.filesystem
        for item in filesystem.tree.items(Key(*node.object, 0, layout.TYPE_STAT_DATA)):
            if item.key.object > node.object:
                return
            if item.key.object == node.object:
                number = item.at // self.block_size
                leaf = filesystem.tree.node(number)
                index = leaf.keys.index(item.key)
                place = filesystem.place(item.at)
                head = place + layout.block_head.size + index * layout.item_head.size
                name = f"block[{number}]"
                yield Structure(f"{name}.items[{index}]", layout.item_head, head)
                yield from self._item(f"{name}.item[{index}]", item, place)

    def _root_directory(self) -> Iterator[Structure]:
        """Yield the stat data of the root directory."""
        filesystem = self.filesystem
        wanted = Key(*filesystem.root_object, 0, layout.TYPE_STAT_DATA)
        try:
            item = next(filesystem.tree.items(wanted))
        except BootcfgError:
            return  # the damage shows in the structures above, or where the root directory is read
        if item.key == wanted:
            yield from self._item("root_directory", item, filesystem.place(item.at))


def _array(name: str, decoder: schema.Decoder, start: int, count: int, end: int) -> Iterator[Structure]:
    """Name `count` structures that lie side by side from byte `start` on, as far as they end before `end`."""
    for index in range(min(count, (end - start) // decoder.size)):
        yield Structure(f"{name}[{index}]", decoder, start + index * decoder.size)
