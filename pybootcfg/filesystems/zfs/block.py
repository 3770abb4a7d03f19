"""Reading blocks: the copies that a pointer names, gang blocks, checksums, decompression, a small cache.

Specification: "ZFS On-Disk Specification" chapter 2; OpenZFS module/zfs/zio.c.
"""

from __future__ import annotations

from collections import OrderedDict

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, LimitExceeded, UnsupportedFeature
from pybootcfg.filesystems.zfs import checksum, compression, label
from pybootcfg.filesystems.zfs.blkptr import SIZE, BlockPointer, Dva, decode
from pybootcfg.filesystems.zfs.vdev import Missing, Vdev
from pybootcfg.limits import Budget
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

layout = schema.load("zfs_blkptr")
dmu_layout = schema.load("zfs_dmu")


class BlockReader:
    """Reads the blocks of one pool, whose top-level vdevs are `tops` by number."""

    def __init__(self, name: str, warn: Callable[[str], None]) -> None:
        self.name = name
        self.warn = warn
        self.tops: dict[int, Vdev] = {}
        self.missing: list[str] = []  #: devices of the pool that are not there, for messages
        self.salt = bytes(32)
        self._cache: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._cached = 0  # bytes

    def top(self, number: int) -> Vdev:
        """Return top-level vdev `number`; one that is not known gives no copies."""
        return self.tops.get(number) or Missing(f"vdev {number}")

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()
        self._cached = 0

    def cached(self, pointer: BlockPointer) -> bytes:
        """Return a metadata block, from the cache where it is there."""
        if pointer.embedded is not None or pointer.hole:
            return self.read(pointer)
        key = (pointer.dvas, pointer.cksum, pointer.lsize, pointer.psize, pointer.birth)
        data = self._cache.get(key)
        if data is not None:
            self._cache.move_to_end(key)
            return data
        data = self.read(pointer)
        self._cache[key] = data
        self._cached += len(data)
        while self._cached > limits.ZFS_BLOCK_CACHE.value and len(self._cache) > 1:
            self._cached -= len(self._cache.popitem(last=False)[1])
        return data

    def read(self, pointer: BlockPointer) -> bytes:
        """Return the `lsize` bytes of a block, checked and decompressed; a hole is zeros.

        Raises ImageError when no copy is right, UnsupportedFeature for encrypted blocks and for functions
        that are not known.
        """
        if pointer.lsize > layout.SPA_MAXBLOCKSIZE:
            raise LimitExceeded("zfs-block-size", pointer.lsize, layout.SPA_MAXBLOCKSIZE)
        if pointer.embedded is not None:
            return compression.decompress(pointer.compress, pointer.embedded, pointer.lsize)
        if pointer.hole:
            return bytes(pointer.lsize)
        if pointer.crypt and pointer.type != dmu_layout.DMU_OT_OBJSET:  # those are only authenticated
            raise UnsupportedFeature("ZFS encryption", "the block belongs to an encrypted dataset")
        data = self.stored(pointer)
        return compression.decompress(pointer.compress, data, pointer.lsize)

    def stored(self, pointer: BlockPointer) -> bytes:
        """Return the `psize` bytes of a block as they are stored, checked."""
        return self._stored(pointer, limits.ZFS_GANG_BLOCKS.budget(self.name), 0)

    def _stored(self, pointer: BlockPointer, pieces: Budget, depth: int) -> bytes:
        limits.ZFS_GANG_DEPTH.check(depth, "gang block")
        pieces.spend()
        wrong: list[str] = []
        damage: ImageError | None = None
        for dva in pointer.dvas:
            if dva.gang:
                try:
                    return self._gang(pointer, dva, pieces, depth)
                except ImageError as error:
                    damage = error
                    continue
            top = self.top(dva.vdev)
            for copy in top.copies(dva.offset, pointer.psize, pointer.birth):
                if self._right(pointer, copy.data):
                    self._blame([*wrong, *copy.blamed])
                    return copy.data
            if top.complete:  # what is missing is named already
                wrong.append(top.name)
        raise damage or self._damaged(pointer)

    def _right(self, pointer: BlockPointer, data: bytes) -> bool:
        found = checksum.checksum(pointer.checksum, data, big=pointer.big, salt=self.salt)
        return found is None or found == pointer.cksum

    def _blame(self, members: list[str]) -> None:
        for member in members:
            self.warn(f"{member}: what it holds is damaged, stale or missing; other copies were read instead")

    def _gang(self, pointer: BlockPointer, dva: Dva, pieces: Budget, depth: int) -> bytes:
        """Return a block that is scattered: a header block points at its pieces, each checked for itself."""
        identity = pointer.dvas[0]
        verifier = (identity.vdev, identity.offset, pointer.birth, 0)
        header, big = self._gang_header(dva, verifier, pointer)
        parts = []
        length = 0
        for at in range(0, len(header) - layout.ZIO_ECK_SIZE - SIZE + 1, SIZE):
            part = decode(header, at, big=big)
            if part.hole or length >= pointer.psize:
                continue
            length += part.psize
            if length > pointer.psize:
                break
            parts.append(self._stored(part, pieces, depth + 1))
        if length != pointer.psize:
            raise ImageError(
                f"a gang block of {pointer.psize} bytes has pieces of {length}", structure="zio_gbh"
            )
        return b"".join(parts)

    def _gang_header(self, dva: Dva, verifier: tuple[int, ...], pointer: BlockPointer) -> tuple[bytes, bool]:
        """Return the header and whether it is big-endian; it is a sector or, on older pools, 512 bytes."""
        top = self.top(dva.vdev)
        for size in sorted({layout.SPA_OLD_GANGBLOCKSIZE, 1 << top.ashift}, reverse=True):
            for copy in top.copies(dva.offset, size, pointer.birth):
                big = label.verified(copy.data, verifier)
                if big is not None:
                    self._blame(list(copy.blamed))
                    return copy.data, big
        raise self._damaged(pointer)

    def _damaged(self, pointer: BlockPointer) -> ImageError:
        tops = [self.top(dva.vdev) for dva in pointer.dvas]
        named = zip(tops, pointer.dvas, strict=True)
        places = ", ".join(f"{top.name} at {dva.offset:#x}" for top, dva in named)
        missing = self.missing or sorted({top.name for top in tops if not top.complete})
        return ImageError(
            f"no copy of a block is right ({places})",
            structure="block pointer",
            source=self.name,
            hint=f"devices of the pool are missing: {', '.join(missing)}" if missing else "",
        )
