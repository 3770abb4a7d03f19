"""Raw CD sectors (ECMA-130) as the 2048 bytes of data that each of them carries."""

from __future__ import annotations

from pybootcfg import schema
from pybootcfg.errors import ImageError
from pybootcfg.source import FilePiece, Sectors, Source
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

iso = schema.load("iso9660")

CHUNK_SECTORS = 64  #: sectors read at once


class RawSectors(Sectors):
    """Mode 1 and mode 2 form 1 sectors of `raw_size` bytes, without their headers.

    Raises ImageError when read where a sector has no header or carries no data.
    """

    def __init__(self, base: Source, raw_size: int) -> None:
        self.base = base
        self.raw_size = raw_size
        self.name = base.name
        self.size = base.size // raw_size * iso.SECTOR_SIZE

    def place(self, offset: int) -> int:
        """Return where a byte lies among the raw sectors."""
        number, skip = divmod(offset, iso.SECTOR_SIZE)
        start = number * self.raw_size
        header = iso.sector_header.read(self.base, start)
        head = iso.sector_header.size + (iso.sector_subheader.size if header.mode == 2 else 0)
        return int(start + head + skip)

    def _read(self, offset: int, length: int) -> bytes:
        return b"".join(self._chunks(offset, length))

    def _pieces(self, offset: int, length: int) -> Iterator[FilePiece | bytes]:
        return self._chunks(offset, length)

    def _chunks(self, offset: int, length: int) -> Iterator[bytes]:
        while length:
            first, skip = divmod(offset, iso.SECTOR_SIZE)
            count = min(CHUNK_SECTORS, -(-(skip + length) // iso.SECTOR_SIZE))
            raw = self.base.read(first * self.raw_size, count * self.raw_size, "raw sectors")
            data = b"".join(self._data(raw, i * self.raw_size, first + i) for i in range(count))
            yield data[skip : skip + length]
            taken = min(length, len(data) - skip)
            offset, length = offset + taken, length - taken

    def _data(self, raw: bytes, start: int, number: int) -> bytes:
        """Return the data of sector `number`, whose header is at `start` of `raw`."""
        at = number * self.raw_size
        header = iso.sector_header.decode(raw, start, at=at - start)
        start += iso.sector_header.size
        if header.mode == 2:
            subheader = iso.sector_subheader.decode(raw, start, at=at - start)
            if subheader.submode & iso.FORM_2:
                raise ImageError(
                    f"sector {number} is of form 2 and carries no file data",
                    offset=at,
                    structure="sector_subheader",
                    source=self.name,
                )
            start += iso.sector_subheader.size
        elif header.mode != 1:
            raise ImageError(
                f"sector {number} is of mode {header.mode}, which carries no data",
                offset=at,
                structure="sector_header",
                source=self.name,
            )
        return raw[start : start + iso.SECTOR_SIZE]


def cooked(source: Source) -> Source:
    """Return `source` as sectors of 2048 bytes: itself, or its raw sectors without their headers."""
    if source.size < iso.sector_header.size or source.read(0, len(iso.SYNC)) != iso.SYNC:
        return source
    for raw_size in iso.RAW_SECTOR_SIZES:
        if source.size >= 2 * raw_size and source.read(raw_size, len(iso.SYNC)) == iso.SYNC:
            return RawSectors(source, raw_size)
    return source
