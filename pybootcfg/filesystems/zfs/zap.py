"""Name-value stores: micro and fat ZAPs, read by the hash of a name or from end to end.

Specification: formats/zfs_zap.py.
"""

from __future__ import annotations

import functools
import unicodedata

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.zfs.blkptr import ordered
from pybootcfg.filesystems.zfs.dmu import Dnode
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

layout = schema.load("zfs_zap")


#: the decoders of a value's integers, by their width in bytes
INTEGERS = {1: layout.value_8, 2: layout.value_16, 4: layout.value_32, 8: layout.value_64}


class Entry(NamedTuple):
    """One name with its value: `data` holds integers of `width` bytes, big-endian."""

    name: bytes
    width: int
    data: bytes

    @property
    def number(self) -> int:
        """The first integer."""
        number: int = INTEGERS[self.width].decode(self.data)
        return number

    @property
    def text(self) -> bytes:
        """The value as a string, without the NUL that ends it."""
        return self.data.partition(b"\0")[0] if self.width == 1 else b""


class Zap:
    """One ZAP object; `fold` makes look-ups in a case-insensitive dataset find other cases too."""

    def __init__(self, dnode: Dnode, *, fold: bool = False) -> None:
        self.dnode = dnode
        self.fold = fold
        self.data, self.big = dnode.block(0)
        kind = self._decoder("block_type").decode(self.data)
        self.micro = kind == layout.ZBT_MICRO
        if self.micro:
            self.normflags: int = self._decoder("mzap_phys").decode(self.data).mz_normflags
            return
        if kind != layout.ZBT_HEADER:
            raise dnode.damaged(f"it is no ZAP, its first block is of type {kind:#x}")
        self.header: Any = self._decoder("zap_phys").decode(self.data)
        self.normflags = self.header.zap_normflags
        if self.header.zap_magic != layout.ZAP_MAGIC or dnode.block_size & dnode.block_size - 1:
            raise dnode.damaged("the header of its fat ZAP makes no sense")

    def _decoder(self, name: str) -> Any:
        return ordered(getattr(layout, name), big=self.big)

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in the order of the disk; raise ImageError for damaged leaves after the rest."""
        if self.micro:
            yield from self._micro_entries()
            return
        failure: ImageError | None = None
        for block in self._leaves():
            try:
                yield from Leaf(self, block).entries()
            except ImageError as error:
                failure = failure or error
        if failure:
            raise failure

    def find(self, name: bytes) -> Entry | None:
        """Return the entry called `name`.

        A fat ZAP is asked by the name's hash; when its index is damaged, all leaves are looked through.
        Where names are equal up to case or normalisation, the exact one comes first.
        """
        if self.micro:
            return self._micro_find(name)
        try:
            found = self._chosen(self._candidates(name), name)
        except ImageError as error:
            return self._rescued(name, error)
        if found is None and self.normflags:
            # The hash is over the normalised name, and Unicode's tables have changed since.
            return self._chosen(self.entries(), name)
        return found

    def _rescued(self, name: bytes, failure: ImageError) -> Entry | None:
        """Return an entry that the damaged index did not lead to; all leaves are looked through."""
        budget = limits.ZFS_ZAP_BLOCKS.budget(self.dnode.name)
        for number in range(1, self.dnode.last_block + 1):
            budget.spend()
            try:
                found = self._chosen(Leaf(self, number).entries(), name)
            except ImageError:
                continue
            if found is not None:
                return found
        raise failure

    def number(self, name: bytes, default: int = 0) -> int:
        """Return the number called `name`, or `default` when there is none."""
        found = self.find(name)
        return default if found is None else found.number

    # --- names -----------------------------------------------------------------------------------

    def _chosen(self, entries: Iterator[Entry], name: bytes) -> Entry | None:
        second = None
        wanted = self._normal(name, fold=self.fold) if self.normflags else name
        for entry in entries:
            if entry.name == name:
                return entry
            if second is None and self.normflags and self._normal(entry.name, fold=self.fold) == wanted:
                second = entry
        return second

    def _normal(self, name: bytes, *, fold: bool) -> bytes:
        """Return the form of a name that is compared: normalised and, with `fold`, in upper case."""
        text = name.decode("utf-8", "surrogateescape")
        if fold and self.normflags & layout.U8_TEXTPREP_TOUPPER:
            text = "".join(upper if len(upper := char.upper()) == 1 else char for char in text)
        form = _FORMS.get(self.normflags & layout.U8_TEXTPREP_FORM)
        if form is not None:
            text = unicodedata.normalize(form, text)
        return text.encode("utf-8", "surrogateescape")

    # --- microzap --------------------------------------------------------------------------------

    def _micro_entries(self) -> Iterator[Entry]:
        decoder = self._decoder("mzap_ent_phys")
        for at in range(layout.mzap_phys.size, len(self.data) - decoder.size + 1, decoder.size):
            if self.data[at + layout.MZAP_NAME_OFFSET]:
                yield self._micro_entry(at)

    def _micro_entry(self, at: int) -> Entry:
        raw = self._decoder("mzap_ent_phys").decode(self.data, at)
        return Entry(raw.mze_name.partition(b"\0")[0], 8, raw.mze_value.to_bytes(8, "big"))

    def _micro_find(self, name: bytes) -> Entry | None:
        if self.normflags:
            return self._chosen(self._micro_entries(), name)
        size = layout.mzap_ent_phys.size
        if not name or len(name) >= size - layout.MZAP_NAME_OFFSET:
            return None
        at = self.data.find(name + b"\0", size)
        while at >= 0:  # the search runs over raw bytes; only the place of a name counts
            if at % size == layout.MZAP_NAME_OFFSET:
                return self._micro_entry(at - layout.MZAP_NAME_OFFSET)
            at = self.data.find(name + b"\0", at + 1)
        return None

    # --- fat ZAP ---------------------------------------------------------------------------------

    def _candidates(self, name: bytes) -> Iterator[Entry]:
        """Yield the entries whose hash is that of `name`."""
        wanted = self._hash(name)
        block = self._pointer(wanted)
        yield from Leaf(self, block).chain(wanted)

    def _hash(self, name: bytes) -> int:
        value = int(self.header.zap_salt)
        table = _crc64()
        for byte in self._normal(name, fold=True) if self.normflags else name:
            value = value >> 8 ^ table[(value ^ byte) & 0xFF]
        wide = self.header.zap_flags & layout.ZAP_FLAG_HASH64
        kept: int = layout.ZAP_HASHBITS_64 if wide else layout.ZAP_HASHBITS
        return value >> 64 - kept << 64 - kept

    def _table(self) -> tuple[int, int]:
        """Return where the pointer table begins in the object, in bytes, and its bits."""
        table, size = self.header.zap_ptrtbl, self.dnode.block_size
        count = size // 2 if not table.zt_numblks else table.zt_numblks * size
        start = size // 2 if not table.zt_numblks else table.zt_blk * size
        if table.zt_shift > 58 or count < 8 << table.zt_shift:
            raise self.dnode.damaged("the pointer table of its fat ZAP makes no sense")
        return start, table.zt_shift

    def _pointer(self, wanted: int) -> int:
        start, shift = self._table()
        offset = start + 8 * (wanted >> 64 - shift if shift else 0)
        block: int = self._decoder("zap_pointer").decode(self.dnode.read(offset, 8))
        return block

    def _leaves(self) -> Iterator[int]:
        """Yield the numbers of the leaf blocks, each once; neighbours in the table are often the same."""
        start, shift = self._table()
        seen: set[int] = set()
        budget = limits.ZFS_ZAP_BLOCKS.budget(self.dnode.name)
        array = self._decoder("zap_pointer").array
        total, step = 8 << shift, self.dnode.block_size
        if start + total > self.dnode.size:
            raise self.dnode.damaged("the pointer table of its fat ZAP ends after the object")
        for offset in range(start, start + total, step):
            budget.spend()
            count = min(step, start + total - offset) // 8
            piece = self.dnode.read(offset, count * 8)
            for block in dict.fromkeys(array(piece, count)):
                if block not in seen:
                    seen.add(block)
                    budget.spend()
                    yield block


class Leaf:
    """One leaf block of a fat ZAP."""

    def __init__(self, zap: Zap, number: int) -> None:
        self.zap = zap
        dnode = zap.dnode
        if not 0 < number <= dnode.last_block:
            raise dnode.damaged(f"its fat ZAP has no leaf block {number}")
        self.data, big = dnode.block(number)
        self.header: Any = ordered(layout.zap_leaf_header, big=big).decode(self.data)
        if self.header.lh_block_type != layout.ZBT_LEAF or self.header.lh_magic != layout.ZAP_LEAF_MAGIC:
            raise dnode.damaged(f"block {number} of its fat ZAP is no leaf")
        self.entry = ordered(layout.zap_leaf_entry, big=big).decode
        self.array = ordered(layout.zap_leaf_array, big=big).decode
        self.hash = ordered(layout.zap_leaf_hash, big=big).decode
        self.hash_shift = dnode.block_size.bit_length() - 1 - layout.ZAP_LEAF_HASH_SHIFT
        self.chunks_at = layout.zap_leaf_header.size + (2 << self.hash_shift)
        self.chunks = (len(self.data) - self.chunks_at) // layout.ZAP_LEAF_CHUNKSIZE

    def entries(self) -> Iterator[Entry]:
        """Yield all entries."""
        size = layout.ZAP_LEAF_CHUNKSIZE
        data, start = self.data, self.chunks_at
        for number in range(self.chunks):
            if data[start + number * size] == layout.ZAP_CHUNK_ENTRY:
                yield self._read(self.entry(data, start + number * size))

    def chain(self, wanted: int) -> Iterator[Entry]:
        """Yield the entries whose hash is `wanted`."""
        shift = 64 - self.hash_shift - self.header.lh_prefix_len
        if shift < 0:
            raise self._damaged("prefix")
        index = wanted >> shift & (1 << self.hash_shift) - 1
        number = self.hash(self.data, layout.zap_leaf_header.size + 2 * index)
        for _ in range(self.chunks):
            if number == layout.CHAIN_END:
                return
            raw = self.entry(self.data, self._chunk(number))
            if raw.le_type != layout.ZAP_CHUNK_ENTRY:
                raise self._damaged("hash chain")
            if raw.le_hash == wanted:
                yield self._read(raw)
            number = raw.le_next
        raise self._damaged("hash chain")

    def _read(self, raw: Any) -> Entry:
        wide = self.zap.header.zap_flags & layout.ZAP_FLAG_UINT64_KEY
        name = self._bytes(raw.le_name_chunk, raw.le_name_numints * (8 if wide else 1))
        if raw.le_value_intlen not in INTEGERS:
            raise self._damaged("value")
        data = self._bytes(raw.le_value_chunk, raw.le_value_numints * raw.le_value_intlen)
        return Entry(name if wide else name.partition(b"\0")[0], raw.le_value_intlen, data)

    def _bytes(self, number: int, length: int) -> bytes:
        """Return `length` bytes from a list of array chunks."""
        pieces = []
        left = length
        for _ in range(self.chunks):
            if left <= 0:
                break
            raw = self.array(self.data, self._chunk(number))
            if raw.la_type != layout.ZAP_CHUNK_ARRAY:
                raise self._damaged("array")
            pieces.append(raw.la_array)
            left -= len(raw.la_array)
            number = raw.la_next
        if left > 0:
            raise self._damaged("array")
        return b"".join(pieces)[:length]

    def _chunk(self, number: int) -> int:
        if number >= self.chunks:
            raise self._damaged("chunk")
        at: int = self.chunks_at + number * layout.ZAP_LEAF_CHUNKSIZE
        return at

    def _damaged(self, what: str) -> ImageError:
        return self.zap.dnode.damaged(f"a leaf of its fat ZAP is damaged: {what}")


_FORMS: dict[int, Any] = {
    layout.U8_TEXTPREP_NFD: "NFD",
    layout.U8_TEXTPREP_NFC: "NFC",
    layout.U8_TEXTPREP_NFKD: "NFKD",
    layout.U8_TEXTPREP_NFKC: "NFKC",
}


@functools.cache
def _crc64() -> tuple[int, ...]:
    """Return the table of the CRC that names are hashed with."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (layout.ZFS_CRC64_POLY if value & 1 else 0)
        table.append(value)
    return tuple(table)
