"""What belongs to the objects of an object set, for `inspect`: dnodes, block pointers, ZAPs, intent logs."""

from __future__ import annotations

import functools
from contextlib import suppress

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError, ImageError, printable
from pybootcfg.filesystems.zfs import nvlist, zil
from pybootcfg.filesystems.zfs.blkptr import SIZE, BlockPointer, bits, decode, ordered
from pybootcfg.filesystems.zfs.dmu import Dnode, ObjectSet
from pybootcfg.filesystems.zfs.znode import FileSystem
from pybootcfg.schema import Decoder
from pybootcfg.source import MemorySource
from pybootcfg.structures import DecodedStructure, Stretch, Structure, fault
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

pool_layout = schema.load("zfs")
label_layout = schema.load("zfs_label")
dmu_layout = schema.load("zfs_dmu")
blkptr_layout = schema.load("zfs_blkptr")
dsl_layout = schema.load("zfs_dsl")
sa_layout = schema.load("zfs_sa")
zap_layout = schema.load("zfs_zap")
zil_layout = schema.load("zfs_zil")
zpl_layout = schema.load("zfs_zpl")

#: what a bonus buffer holds, by its type
_BONUS: dict[int, Decoder] = {
    dmu_layout.DMU_OT_DSL_DIR: dsl_layout.dsl_dir_phys,
    dmu_layout.DMU_OT_DSL_DATASET: dsl_layout.dsl_dataset_phys,
    dmu_layout.DMU_OT_ZNODE: zpl_layout.znode_phys,
}

#: what follows the common head of a record of an intent log, by its type
_RECORDS: dict[int, Decoder] = {
    zil_layout.TX_REMOVE: zil_layout.lr_object,
    zil_layout.TX_RMDIR: zil_layout.lr_object,
    zil_layout.TX_LINK: zil_layout.lr_link,
    zil_layout.TX_RENAME: zil_layout.lr_rename,
    zil_layout.TX_RENAME_EXCHANGE: zil_layout.lr_rename,
    zil_layout.TX_RENAME_WHITEOUT: zil_layout.lr_rename_whiteout,
    zil_layout.TX_WRITE: zil_layout.lr_write,
    zil_layout.TX_TRUNCATE: zil_layout.lr_truncate,
    zil_layout.TX_SETATTR: zil_layout.lr_setattr,
    zil_layout.TX_CLONE_RANGE: zil_layout.lr_clone_range,
}
_CREATES = (
    zil_layout.TX_CREATE,
    zil_layout.TX_MKDIR,
    zil_layout.TX_MKXATTR,
    zil_layout.TX_SYMLINK,
    zil_layout.TX_CREATE_ATTR,
    zil_layout.TX_MKDIR_ATTR,
)
_CREATES_WITH_ACL = (
    zil_layout.TX_CREATE_ACL,
    zil_layout.TX_CREATE_ACL_ATTR,
    zil_layout.TX_MKDIR_ACL,
    zil_layout.TX_MKDIR_ACL_ATTR,
)


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


class Objects:
    """The structures of one object set, whose names begin with `name`.

    `mappings` are the objects that say where the blocks of removed devices went.
    """

    def __init__(
        self, objects: ObjectSet, pointer: BlockPointer, name: str, mappings: frozenset[int] = frozenset()
    ) -> None:
        self.mappings = mappings
        self.objects = objects
        self.pointer = pointer
        self.name = name

    @functools.cached_property
    def filesystem(self) -> FileSystem | None:
        """The POSIX layer, which knows the order of system attributes; None where there is none."""
        if self.objects.type != dmu_layout.DMU_OST_ZFS:
            return None
        with suppress(BootcfgError):
            return FileSystem(self.objects, 0)
        return None

    def heads(self) -> Iterator[Structure]:
        """Yield the object set and its intent log."""
        piece = Piece(self.objects.data, self.pointer, self.name, big=self.objects.big)
        yield piece.at(self.name, _shown("objset", big=piece.big), 0, plain=True)
        yield piece.at(f"{self.name}.objset_phys", dmu_layout.objset_phys, 0)
        yield from self._log()

    def listed(self, limit: int) -> Iterator[Structure]:
        """Yield the dnodes of the objects whose numbers are below a limit."""
        for number in self._numbers(limit):
            yield self._object(number)[2]

    def every(self) -> Iterator[Structure]:
        """Yield the object set, its intent log, and all objects with what belongs to them."""
        yield from self.heads()
        budget = limits.INSPECT_INODES.budget(self.name)
        for number in self._numbers(None):
            budget.spend()
            try:
                yield from self.of_object(number)
            except BootcfgError as error:
                yield fault(f"{self.name}.object[{number}]", error)

    def _numbers(self, limit: int | None) -> Iterator[int]:
        """Yield the numbers of the objects in use."""
        per_block = self.objects.meta.block_size >> dmu_layout.DNODE_SHIFT
        for block in range(self.objects.meta.last_block + 1):
            first = block * per_block
            if limit is not None and first >= limit:
                return
            try:
                if self.objects.meta.pointer(block) is None:
                    continue
                data, _ = self.objects.meta.block(block)
            except BootcfgError:
                continue  # the meta dnode's block pointers show what is missing
            slot = 0 if block else 1
            while slot < per_block and (limit is None or first + slot < limit):
                if data[slot << dmu_layout.DNODE_SHIFT] == dmu_layout.DMU_OT_NONE:
                    slot += 1
                    continue
                yield first + slot
                with suppress(ImageError):
                    slot += self.objects.object(first + slot).slots - 1
                slot += 1

    def _object(self, number: int) -> tuple[Dnode, Piece, Structure, int]:
        dnode = self.objects.object(number)
        block, offset = divmod(number << dmu_layout.DNODE_SHIFT, self.objects.meta.block_size)
        data, big = self.objects.meta.block(block)
        name = f"{self.name}.object[{number}]"
        piece = Piece(data, self.objects.meta.pointer(block), name, big=big)
        return dnode, piece, piece.at(name, _shown("dnode", big=big), offset, plain=True), offset

    def of_object(self, number: int) -> Iterator[Structure]:
        """Yield an object: its dnode, bonus buffer, spill block, block pointers, and what its data are."""
        dnode, piece, structure, offset = self._object(number)
        yield structure
        yield from self._bonus(dnode, piece, structure.name, offset)
        yield from self._pointers(dnode, structure.name)
        yield from self._compressed(dnode, structure.name)
        if number in self.mappings:
            yield from _mapping(dnode, f"{structure.name}.mapping")
        elif dnode.type == dmu_layout.DMU_OT_PACKED_NVLIST:
            yield from self._nvlist(dnode, structure.name)
        elif dnode.type != dmu_layout.DMU_OT_PLAIN_FILE_CONTENTS and dnode.block_size >= SIZE:
            yield from _zap(dnode, f"{structure.name}.zap")

    def _bonus(self, dnode: Dnode, piece: Piece, name: str, offset: int) -> Iterator[Structure]:
        start = offset + dmu_layout.DNODE_CORE_SIZE + len(dnode.pointers) * SIZE
        decoder = _BONUS.get(dnode.bonus_type)
        if decoder is not None and len(dnode.bonus) >= decoder.size:
            yield piece.at(f"{name}.bonus", decoder, start)
        elif dnode.bonus_type == dmu_layout.DMU_OT_SA and dnode.bonus:
            yield from self._attributes(dnode, piece, f"{name}.bonus", start, dnode.bonus)
        if dnode.spill is not None and not dnode.spill.hole:
            data = dnode.blocks.cached(dnode.spill)
            spill = Piece(data, dnode.spill, name, big=dnode.spill.big)
            yield from self._attributes(dnode, spill, f"{name}.spill", 0, data)

    def _attributes(
        self, dnode: Dnode, piece: Piece, name: str, start: int, data: bytes
    ) -> Iterator[Structure]:
        """Yield the head of system attributes, and these where their order is known."""
        yield piece.at(f"{name}.sa_header", sa_layout.sa_hdr_phys, start)
        header = ordered(sa_layout.sa_hdr_phys, big=piece.big).decode(data)
        size = bits(header.sa_layout_info, sa_layout.SA_HDR_SIZE) * 8
        count = (size - sa_layout.sa_hdr_phys.size) // sa_layout.sa_length.size
        if count > 0:
            place = start + sa_layout.sa_hdr_phys.size
            yield piece.at(f"{name}.sa_lengths", sa_layout.sa_length.repeated(count), place)
        registry = self.filesystem.registry if self.filesystem else None
        if registry is None:
            return
        for attribute, at, length in registry.places(data, dnode, big=piece.big):
            decoder: Decoder | None = {8: sa_layout.attribute_u64, 16: sa_layout.attribute_time}.get(length)
            shown = f"{name}.{printable(attribute)}"
            if decoder is not None:
                yield piece.at(shown, decoder, start + at)
            elif length:
                yield piece.at(shown, Stretch(printable(attribute), length), start + at, plain=True)

    def _pointers(self, dnode: Dnode, name: str) -> Iterator[Structure]:
        """Yield the block pointers of indirect blocks, each block once."""
        budget = limits.INSPECT_BLOCKS.budget(name)
        todo = [(f"{name}.blkptr[{index}]", pointer) for index, pointer in enumerate(dnode.pointers)]
        while todo:
            at, pointer = todo.pop(0)
            if pointer.hole or not pointer.level:
                continue
            budget.spend()
            below = list(dnode.below(pointer))
            piece = Piece(dnode.blocks.cached(pointer), pointer, at, big=pointer.big)
            decoder = _shown("blkptr", big=piece.big)
            yield piece.at(f"{at}.blkptrs", decoder.repeated(len(below)), 0, plain=True)
            todo += [
                (f"{at}.blkptr[{index}]", one)
                for index, one in enumerate(below)
                if one.level and not one.hole
            ]

    def _compressed(self, dnode: Dnode, name: str) -> Iterator[Structure]:
        """Yield the head that LZ4 and ZSTD put before the first block of an object, as it is stored."""
        decoders: dict[int, Decoder] = {
            blkptr_layout.ZIO_COMPRESS_LZ4: blkptr_layout.lz4_header,
            blkptr_layout.ZIO_COMPRESS_ZSTD: blkptr_layout.zfs_zstdhdr,
        }
        pointer = dnode.pointer(0)
        decoder = decoders.get(pointer.compress) if pointer else None
        if pointer is None or decoder is None or pointer.crypt:
            return
        data = pointer.embedded
        if data is None:
            data = dnode.blocks.stored(pointer)
        yield Piece(data, pointer, name, big=True).at(
            f"{name}.block[0].{decoder.name}", decoder, 0, plain=True
        )

    def _nvlist(self, dnode: Dnode, name: str) -> Iterator[Structure]:
        data = dnode.contents(limits.ZFS_CONFIG_SIZE)
        piece = Piece(data, dnode.pointer(0), name, big=True)
        for part, decoder, offset in nvlists(data):
            yield piece.at(f"{name}.{part}", decoder, offset, plain=True)

    def _log(self) -> Iterator[Structure]:
        """Yield the blocks of the intent log and the records in them, old ones too."""
        pointer = decode(self.objects.data, zil.ZIL_HEADER_OFFSET + zil.ZH_LOG_OFFSET, big=self.objects.big)
        for number, block in enumerate(zil.log_blocks(self.objects, None)):
            name = f"{self.name}.zil.block[{number}]"
            piece = Piece(block.data, pointer, name, big=block.big)
            head = 0 if block.start else len(block.data) - zil_layout.zil_chain.size
            yield piece.at(f"{name}.zil_chain", zil_layout.zil_chain, head)
            at, index = block.start, 0
            while at + zil_layout.lr.size <= block.end:
                record = ordered(zil_layout.lr, big=block.big).decode(block.data, at)
                yield from _record(piece, f"{name}.record[{index}]", record.lrc_txtype, at)
                if record.lrc_reclen < zil_layout.lr.size:
                    break
                at += record.lrc_reclen
                index += 1
            pointer = block.next


def _record(piece: Piece, name: str, kind: int, at: int) -> Iterator[Structure]:
    kind &= ~zil_layout.TX_CI
    yield piece.at(name, zil_layout.lr, at)
    at += zil_layout.lr.size
    if kind in _RECORDS:
        yield piece.at(f"{name}.{_RECORDS[kind].name}", _RECORDS[kind], at)
    if kind in _CREATES or kind in _CREATES_WITH_ACL:
        yield piece.at(f"{name}.lr_create", zil_layout.lr_create, at)
        at += zil_layout.lr_create.size
        if kind in _CREATES_WITH_ACL:
            yield piece.at(f"{name}.lr_acl", zil_layout.lr_acl, at)
        elif kind in (zil_layout.TX_CREATE_ATTR, zil_layout.TX_MKDIR_ATTR):
            yield piece.at(f"{name}.lr_attr", zil_layout.lr_attr, at)


def _shown(name: str, *, big: bool) -> Decoder:
    module = blkptr_layout if name == "blkptr" else dmu_layout
    decoder: Decoder = getattr(module, f"{name}_shown_{'big' if big else 'little'}")
    return ordered(decoder, big=big)


def _mapping(dnode: Dnode, name: str) -> Iterator[Structure]:
    """Yield the entries of a mapping, block by block; its bonus buffer says how many there are."""
    decoder = pool_layout.vdev_indirect_mapping_entry_phys
    left = ordered(blkptr_layout.word, big=dnode.big).array(dnode.bonus, 3)[2]
    for number in range(dnode.last_block + 1):
        data, big = dnode.block(number)
        count = min(left, dnode.block_size // decoder.size)
        left -= count
        if count:
            piece = Piece(data, dnode.pointer(number), name, big=big)
            yield piece.at(f"{name}[{number}]", decoder.repeated(count), 0)


# --- ZAP -----------------------------------------------------------------------------------------


def _zap(dnode: Dnode, name: str) -> Iterator[Structure]:
    """Yield the structures of a ZAP; nothing for an object that is none."""
    data, big = dnode.block(0)
    piece = Piece(data, dnode.pointer(0), name, big=big)
    kind = ordered(zap_layout.block_type, big=big).decode(data)
    if kind == zap_layout.ZBT_MICRO:
        yield piece.at(f"{name}.mzap_phys", zap_layout.mzap_phys, 0)
        size = zap_layout.mzap_ent_phys.size
        for index, at in enumerate(range(zap_layout.mzap_phys.size, len(data) - size + 1, size)):
            if data[at + zap_layout.MZAP_NAME_OFFSET]:
                yield piece.at(f"{name}.entry[{index}]", zap_layout.mzap_ent_phys, at)
    elif kind == zap_layout.ZBT_HEADER:
        header = ordered(zap_layout.zap_phys, big=big).decode(data)
        if header.zap_magic == zap_layout.ZAP_MAGIC:
            yield piece.at(f"{name}.zap_phys", zap_layout.zap_phys, 0)
            yield from _fat_zap(dnode, piece, header.zap_ptrtbl, name)


def _fat_zap(dnode: Dnode, first: Piece, table: Any, name: str) -> Iterator[Structure]:
    """Yield the pointer table and the leaves of a fat ZAP."""
    size = dnode.block_size
    tables = range(table.zt_blk, min(table.zt_blk + table.zt_numblks, dnode.last_block + 1))
    if not table.zt_numblks:
        count = size // 2 // zap_layout.zap_pointer.size
        yield first.at(f"{name}.pointers", zap_layout.zap_pointer.repeated(count), size // 2)
    budget = limits.ZFS_ZAP_BLOCKS.budget(name)
    for number in range(1, dnode.last_block + 1):
        budget.spend()
        pointer = dnode.pointer(number)
        if pointer is None:
            continue
        data, big = dnode.block(number)
        piece = Piece(data, pointer, name, big=big)
        if number in tables:
            count = size // zap_layout.zap_pointer.size
            yield piece.at(f"{name}.pointers[{number}]", zap_layout.zap_pointer.repeated(count), 0)
        elif ordered(zap_layout.block_type, big=big).decode(data) == zap_layout.ZBT_LEAF:
            yield from _leaf(piece, f"{name}.leaf[{number}]")


def _leaf(piece: Piece, name: str) -> Iterator[Structure]:
    yield piece.at(f"{name}.header", zap_layout.zap_leaf_header, 0)
    chains = 1 << max(0, len(piece.data).bit_length() - 1 - zap_layout.ZAP_LEAF_HASH_SHIFT)
    yield piece.at(
        f"{name}.hashes", zap_layout.zap_leaf_hash.repeated(chains), zap_layout.zap_leaf_header.size
    )
    start = zap_layout.zap_leaf_header.size + chains * zap_layout.zap_leaf_hash.size
    kinds = {
        zap_layout.ZAP_CHUNK_ENTRY: ("entry", zap_layout.zap_leaf_entry),
        zap_layout.ZAP_CHUNK_ARRAY: ("array", zap_layout.zap_leaf_array),
    }
    size = zap_layout.ZAP_LEAF_CHUNKSIZE
    for index, at in enumerate(range(start, len(piece.data) - size + 1, size)):
        if piece.data[at] in kinds:
            kind, decoder = kinds[piece.data[at]]
            yield piece.at(f"{name}.{kind}[{index}]", decoder, at)
