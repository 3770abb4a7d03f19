"""Decoded blocks of a pool whose structures get names and addresses, for `inspect`."""

from __future__ import annotations

from pybootcfg import schema
from pybootcfg.errors import printable
from pybootcfg.filesystems.zfs import nvlist
from pybootcfg.filesystems.zfs.blkptr import SIZE, BlockPointer, ordered
from pybootcfg.filesystems.zfs.dmu import Dnode, ObjectSet
from pybootcfg.schema import Decoder
from pybootcfg.source import MemorySource
from pybootcfg.structures import DecodedStructure, Structure
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

dmu_layout = schema.load("zfs_dmu")
label_layout = schema.load("zfs_label")


class DecodedBlock(MemorySource):
    """The decoded bytes of a block as if they lay at an address; there is nothing else."""

    def __init__(self, data: bytes, address: int, name: str) -> None:
        super().__init__(data, name)
        self.address = address
        self.size = address + len(data)

    def _read(self, offset: int, length: int) -> bytes:
        start = offset - self.address
        return bytes(length) if start < 0 else self.data[start : start + length]


class Piece:
    """One decoded block, whose structures get names and addresses."""

    def __init__(self, data: bytes, pointer: BlockPointer | None, name: str, *, big: bool) -> None:
        start = label_layout.VDEV_LABEL_START_SIZE
        self.address = pointer.dvas[0].offset + start if pointer and pointer.dvas else 0
        self.block = DecodedBlock(data, self.address, name)
        self.data = data
        self.big = big

    def shift(self, distance: int) -> None:
        """Let the data begin further on in the block."""
        self.block = DecodedBlock(self.data, self.address + distance, self.block.name)
        self.address += distance

    def at(self, name: str, decoder: Decoder, offset: int, *, plain: bool = False) -> Structure:
        """Return the structure at an offset; `plain` for decoders that know their byte order."""
        inner = decoder if plain else ordered(decoder, big=self.big)
        return Structure(name, DecodedStructure(inner, self.block), self.address + offset)


def nvlists(data: bytes) -> Iterator[tuple[str, Decoder, int]]:
    """Yield (name, decoder, offset) of the parts of a packed nvlist."""
    yield "nvlist", label_layout.nvs_header, 0
    yield "nvlist_version", label_layout.nvlist, label_layout.nvs_header.size
    for pair in nvlist.pairs(data):
        yield f"nvlist.{printable(pair.path)}", label_layout.nvpair, pair.offset


def arrays(dnode: Dnode, name: str, decoder: Decoder, count: int) -> Iterator[Structure]:
    """Yield `count` records that fill an object from its start, block by block, as arrays.

    Blocks have `decoder.size` records each that do not go on in the next block.
    """
    for number in range(dnode.last_block + 1):
        here = min(count, dnode.block_size // decoder.size)
        if here <= 0:
            return
        count -= here
        yield block_piece(dnode, number, name).at(f"{name}[{number}]", decoder.repeated(here), 0)


def block_piece(dnode: Dnode, number: int, name: str) -> Piece:
    """Return block `number` of an object."""
    data, big = dnode.block(number)
    return Piece(data, dnode.pointer(number), name, big=big)


def dnode_piece(objects: ObjectSet, number: int, name: str) -> tuple[Dnode, Piece, int]:
    """Return an object, the block that its dnode is in, and where in that."""
    dnode = objects.object(number)
    block, offset = divmod(number << dmu_layout.DNODE_SHIFT, objects.meta.block_size)
    return dnode, block_piece(objects.meta, block, name), offset


def bonus_start(dnode: Dnode, offset: int) -> int:
    """Return where the bonus buffer is of a dnode at an offset of a block."""
    core: int = dmu_layout.DNODE_CORE_SIZE
    return offset + core + len(dnode.pointers) * SIZE
