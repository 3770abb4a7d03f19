"""What belongs to the objects of an object set, for `inspect`: dnodes, block pointers, ZAPs, intent logs."""

from __future__ import annotations

import functools
from contextlib import suppress

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError, printable
from pybootcfg.filesystems.zfs import acl, contents, zap_inspection, zil
from pybootcfg.filesystems.zfs.blkptr import SIZE, BlockPointer, bits, decode, ordered
from pybootcfg.filesystems.zfs.contents import Role
from pybootcfg.filesystems.zfs.dmu import Dnode, ObjectSet
from pybootcfg.filesystems.zfs.pieces import Piece, bonus_start, dnode_piece, nvlists
from pybootcfg.filesystems.zfs.znode import FileSystem
from pybootcfg.schema import Decoder
from pybootcfg.structures import Stretch, Structure, fault
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

dmu_layout = schema.load("zfs_dmu")
blkptr_layout = schema.load("zfs_blkptr")
sa_layout = schema.load("zfs_sa")
zil_layout = schema.load("zfs_zil")

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


class Objects:
    """The structures of one object set, whose names begin with `name`.

    `roles` are the objects of whose data their type does not say what they are.
    """

    def __init__(
        self, objects: ObjectSet, pointer: BlockPointer, name: str, roles: Mapping[int, Role] | None = None
    ) -> None:
        self.roles = roles or {}
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
            try:
                yield self._object(number)[2]
            except BootcfgError as error:
                yield fault(f"{self.name}.object[{number}]", error)

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
                with suppress(BootcfgError):
                    slot += self.objects.object(first + slot).slots - 1
                slot += 1

    def _object(self, number: int) -> tuple[Dnode, Piece, Structure, int]:
        name = f"{self.name}.object[{number}]"
        dnode, piece, offset = dnode_piece(self.objects, number, name)
        return dnode, piece, piece.at(name, _shown("dnode", big=piece.big), offset, plain=True), offset

    def of_object(self, number: int) -> Iterator[Structure]:
        """Yield an object: its dnode, bonus buffer, spill block, block pointers, and what its data are."""
        dnode, piece, structure, offset = self._object(number)
        name = structure.name
        yield structure
        role = self.roles.get(number, contents.role(dnode))
        yield from self._bonus(dnode, piece, name, offset, role)
        yield from self._pointers(dnode, name)
        yield from self._compressed(dnode, name)
        if role is not None:
            yield from role.data(dnode, name)
        elif dnode.type != dmu_layout.DMU_OT_PLAIN_FILE_CONTENTS and dnode.block_size >= SIZE:
            yield from zap_inspection.structures(dnode, f"{name}.zap")
        if dnode.type == dmu_layout.DMU_OT_DSL_DATASET:
            yield from contents.bookmarks(self.objects, dnode, name)

    def _bonus(
        self, dnode: Dnode, piece: Piece, name: str, offset: int, role: Role | None
    ) -> Iterator[Structure]:
        start = bonus_start(dnode, offset)
        if role is not None and role.bonus is not None:
            yield from role.bonus(dnode, piece, f"{name}.bonus", start)
        elif dnode.bonus_type == dmu_layout.DMU_OT_SA and dnode.bonus:
            yield from self._attributes(dnode, piece, f"{name}.bonus", start, dnode.bonus)
        else:
            yield from contents.bonus(dnode, piece, f"{name}.bonus", start)
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
            if attribute == sa_layout.ZPL_DACL_ACES:
                yield from acl.entries(piece, shown, start + at, length)
            elif attribute == sa_layout.ZPL_DXATTR:
                yield from _packed(piece, shown, start + at, length)
            elif decoder is not None:
                yield piece.at(shown, decoder, start + at)
            elif length:
                yield piece.at(shown, Stretch(printable(attribute), length), start + at, plain=True)

    def _pointers(self, dnode: Dnode, name: str) -> Iterator[Structure]:
        """Yield the block pointers of indirect blocks, each block once."""
        budget = limits.INSPECT_BLOCKS.budget(name)
        todo = [(f"{name}.blkptr[{index}]", pointer) for index, pointer in enumerate(dnode.pointers)][::-1]
        seen: set[object] = set()
        while todo:
            at, pointer = todo.pop()
            block = pointer.dvas or pointer.embedded
            if pointer.hole or not pointer.level or block in seen:
                continue
            seen.add(block)
            budget.spend()
            below = list(dnode.below(pointer))
            piece = Piece(dnode.blocks.cached(pointer), pointer, at, big=pointer.big)
            decoder = _shown("blkptr", big=piece.big)
            yield piece.at(f"{at}.blkptrs", decoder.repeated(len(below)), 0, plain=True)
            todo += [
                (f"{at}.blkptr[{index}]", one)
                for index, one in reversed(list(enumerate(below)))
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


def _packed(piece: Piece, name: str, start: int, length: int) -> Iterator[Structure]:
    """Yield the parts of a packed list; what cannot be told of it does not end the other attributes."""
    try:
        for part, decoder, offset in nvlists(piece.data[start : start + length]):
            yield piece.at(f"{name}.{part}", decoder, start + offset, plain=True)
    except BootcfgError as error:
        yield fault(name, error)


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
