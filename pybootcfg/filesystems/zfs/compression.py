"""Decompression of blocks, by number; nothing grows past the size that the block pointer gives.

Specifications: OpenZFS module/zfs/zio_compress.c, lzjb.c, zle.c, lz4_zfs.c, module/zstd/zfs_zstd.c.
LZ4 and zstd come from libraries that are imported when the first such block is read.
"""

from __future__ import annotations

import sys
import zlib

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, UnsupportedFeature
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

layout = schema.load("zfs_blkptr")


class Undecodable(Exception):
    """The bytes are not what the compression function makes; says why."""


def decompress(function: int, data: bytes, size: int) -> bytes:
    """Return `size` bytes; what the compressed form leaves out at the end is zero.

    Raises ImageError when the bytes are not of that form, UnsupportedFeature for functions that are not
    known and for libraries that are missing.
    """
    if function == layout.ZIO_COMPRESS_OFF:
        return data if len(data) == size else data[:size].ljust(size, b"\0")
    if function == layout.ZIO_COMPRESS_EMPTY:
        return bytes(size)
    if layout.ZIO_COMPRESS_GZIP_1 <= function <= layout.ZIO_COMPRESS_GZIP_9:
        function = layout.ZIO_COMPRESS_GZIP_1
    known = _FUNCTIONS.get(function)
    if known is None:
        raise UnsupportedFeature(f"ZFS compression function {function}")
    limits.TOTAL_DECODED.add(size)
    name, decode = known
    try:
        plain = decode(data, size)
    except Undecodable as error:
        raise ImageError(f"a block cannot be decompressed: {name} says {error}") from None
    return plain if len(plain) == size else plain.ljust(size, b"\0")


def _lzjb(data: bytes, size: int) -> bytes:
    """LZJB: a byte of flags before eight items, each a literal byte or a 6-bit length and 10-bit distance."""
    out = bytearray()
    at, end = 0, len(data)
    while len(out) < size and at < end:
        flags = data[at]
        at += 1
        if not flags:  # eight literals, as in data that hardly compresses
            out += data[at : at + 8]
            at += 8
            continue
        for bit in (1, 2, 4, 8, 16, 32, 64, 128):
            if at >= end or len(out) >= size:
                break
            if not flags & bit:
                out.append(data[at])
                at += 1
                continue
            if at + 1 >= end:
                raise Undecodable("it ends within a copy")
            first = data[at]
            length = (first >> 2) + 3
            distance = (first & 3) << 8 | data[at + 1]
            at += 2
            start = len(out) - distance
            if start < 0 or not distance:
                raise Undecodable("a copy starts before the block")
            if distance >= length:
                out += out[start : start + length]
            else:
                pattern = out[start:]
                out += (pattern * (length // distance + 1))[:length]
    return bytes(out[:size])


def _zle(data: bytes, size: int) -> bytes:
    """ZLE: a length byte, up to 64 for that many literals and one, above for zeros."""
    out = bytearray()
    at, end, level = 0, len(data), layout.ZLE_LEVEL
    while len(out) < size and at < end:
        length = data[at] + 1
        at += 1
        if length <= level:
            out += data[at : at + length]
            at += length
        else:
            out += bytes(length - level)
    return bytes(out[:size])


def _gzip(data: bytes, size: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, size)
    except zlib.error as error:
        raise Undecodable(str(error)) from None


def _lz4(data: bytes, size: int) -> bytes:
    try:
        from lz4 import block
    except ImportError:
        raise _missing("lz4") from None
    length = layout.lz4_header.decode(data).compressed_size
    if length + 4 > len(data):
        raise Undecodable(f"{length} bytes are more than the block has")
    try:
        plain: bytes = block.decompress(memoryview(data)[4 : 4 + length], uncompressed_size=size)
    except block.LZ4BlockError as error:
        raise Undecodable(str(error)) from None
    return plain


def _zstd(data: bytes, size: int) -> bytes:
    zstd = _zstandard()
    header = layout.zfs_zstdhdr
    length = header.decode(data).c_len
    if length + header.size > len(data):
        raise Undecodable(f"{length} bytes are more than the block has")
    frame = layout.ZSTD_MAGIC + data[header.size : header.size + length]
    try:
        plain: bytes = zstd.ZstdDecompressor().decompress(frame, size)
    except zstd.ZstdError as error:
        raise Undecodable(str(error)) from None
    return plain


def _zstandard() -> ModuleType:
    """Return the library, which Python has from version 3.14 on."""
    from importlib import import_module

    try:
        return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError:
        raise _missing("backports.zstd") from None


def _missing(package: str) -> UnsupportedFeature:
    return UnsupportedFeature(
        f"ZFS compression by {package}", f"these blocks need the Python package {package}"
    )


_FUNCTIONS: dict[int, tuple[str, Callable[[bytes, int], bytes]]] = {
    layout.ZIO_COMPRESS_ON: ("lzjb", _lzjb),
    layout.ZIO_COMPRESS_LZJB: ("lzjb", _lzjb),
    layout.ZIO_COMPRESS_GZIP_1: ("gzip", _gzip),
    layout.ZIO_COMPRESS_ZLE: ("zle", _zle),
    layout.ZIO_COMPRESS_LZ4: ("lz4", _lz4),
    layout.ZIO_COMPRESS_ZSTD: ("zstd", _zstd),
}
