"""zisofs: files compressed block by block with zlib, read without unpacking what is not asked for."""

from __future__ import annotations

import itertools
import zlib

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError
from pybootcfg.filesystems.base import Hole, Inline, Run
from pybootcfg.filesystems.iso9660.contents import Contents
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

susp = schema.load("susp")

POINTERS_AT_ONCE = 4096  #: block pointers held in memory


class Compression(NamedTuple):
    """What a ZF entry says of its file; sizes in bytes, `version` 1 or 2 of zisofs."""

    version: int
    header_size: int
    block_size: int
    size: int  # uncompressed


def runs(contents: Contents, compression: Compression) -> Iterator[Run]:
    """Yield the uncompressed bytes of a file, one block at a time; blocks of zeros as holes.

    Raises ImageError for a header that is not zisofs or says otherwise than the ZF entry, for
    pointers that do not ascend within the file, and for a block that does not unpack to its size.
    """
    if not compression.size:
        return
    _check_header(contents, compression)
    left = compression.size
    hole = 0
    for start, end in _blocks(contents, compression):
        length = min(left, compression.block_size)
        left -= length
        if start == end:  # a block of zeros is not stored
            hole += length
            continue
        if hole:
            yield Hole(hole)
            hole = 0
        yield Inline(_unpack(contents, start, end, length))
    if hole:
        yield Hole(hole)


def _check_header(contents: Contents, compression: Compression) -> None:
    decoder = susp.zisofs_header if compression.version == 1 else susp.zisofs2_header
    try:
        header = decoder.decode(contents.read(0, decoder.size))
    except ImageError as error:
        raise _damage(contents, f"marked as zisofs, but its header is not: {error.message}") from None
    found = (header.header_size_div_4 * 4, 1 << min(header.block_size_log2, 63), header.uncompressed_size)
    if found != compression[1:]:
        raise _damage(
            contents,
            f"header size, block size and size are {found} in the zisofs header,"
            f" but {tuple(compression[1:])} in the ZF entry",
        )


def _blocks(contents: Contents, compression: Compression) -> Iterator[tuple[int, int]]:
    """Yield the byte range of each compressed block; the pointers are read a few at a time."""
    pointer = susp.block_pointer_1 if compression.version == 1 else susp.block_pointer_2
    blocks = -(-compression.size // compression.block_size)
    data_start = compression.header_size + (blocks + 1) * pointer.size
    if data_start > contents.size:
        raise _damage(
            contents, f"{blocks + 1} zisofs block pointers do not fit in a file of {contents.size} bytes"
        )
    for first in range(0, blocks, POINTERS_AT_ONCE):
        count = min(POINTERS_AT_ONCE, blocks - first)
        offset = compression.header_size + first * pointer.size
        pointers = pointer.array(contents.read(offset, (count + 1) * pointer.size), count + 1)
        for start, end in itertools.pairwise(pointers):
            # deflate never grows data by more than a few bytes in a thousand
            if not data_start <= start <= end <= contents.size or end - start > 2 * compression.block_size:
                raise _damage(contents, f"zisofs block pointers {start} and {end} are damaged")
            yield start, end


def _unpack(contents: Contents, start: int, end: int, length: int) -> bytes:
    """Return the `length` bytes that the compressed bytes from `start` to `end` hold."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(contents.read(start, end - start), length)
    except zlib.error as error:
        raise _damage(contents, f"the zisofs block at byte {start} does not unpack: {error}") from None
    if len(data) != length:
        raise _damage(contents, f"the zisofs block at byte {start} holds {len(data)} bytes, not {length}")
    limits.TOTAL_DECODED.add(length)
    return data


def _damage(contents: Contents, message: str) -> ImageError:
    return ImageError(
        message,
        offset=contents.sections[0].location * contents.block_size,
        structure="zisofs",
        source=contents.source.name,
    )
