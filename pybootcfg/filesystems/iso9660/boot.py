"""El Torito: the boot images that a catalogue names, for firmware to start from."""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, LimitExceeded
from pybootcfg.source import Source
from pybootcfg.structures import Checked, Structure
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

iso = schema.load("iso9660")
eltorito = schema.load("eltorito")


class BootImage(NamedTuple):
    """One image that the catalogue offers.

    `platform` is `x86`, `powerpc`, `mac`, `efi` or a number in hexadecimal; `media` 0 means no
    emulation, 1 to 3 a floppy disk, 4 a hard disk.  `offset` and `length` are in bytes of the volume;
    `load_length` is how much of it the firmware's loader reads at first.
    """

    platform: str
    bootable: bool
    media: int
    load_segment: int
    offset: int
    length: int
    load_length: int


class BootCatalog:
    """The catalogue at byte `offset` of a volume; `warn` is told of what is damaged in it."""

    def __init__(self, source: Source, offset: int, warn: Callable[[str], None]) -> None:
        self.source = source
        self.offset = offset
        self.warn = warn

    def structures(self) -> Iterator[Structure]:
        """Yield the catalogue's entries, for `inspect`."""
        for structure, _, _ in self._entries():
            yield structure

    def images(self) -> list[BootImage]:
        """Return the images in the order of the catalogue."""
        return [
            self._image(record, platform)
            for structure, record, platform in self._entries()
            if structure.decoder is eltorito.boot_entry
        ]

    def _entries(self) -> Iterator[tuple[Structure, Any, int]]:
        """Yield (structure, record, platform) as far as the catalogue is sound."""
        try:
            yield from self._walk()
        except (ImageError, LimitExceeded) as error:
            self.warn(f"El Torito boot catalogue: {error}")

    def _walk(self) -> Iterator[tuple[Structure, Any, int]]:
        name, offset = "boot_catalog", self.offset
        validation = eltorito.validation_entry.read(self.source, offset)
        if sum(eltorito.words.read(self.source, offset)) & 0xFFFF:
            self.warn("El Torito boot catalogue: the checksum of the validation entry is wrong")
        platform = validation.platform_id
        decoder = Checked(eltorito.validation_entry, _checksum)
        yield Structure(f"{name}.validation_entry", decoder, offset), validation, platform
        budget = limits.ISO9660_BOOT_ENTRIES.budget("El Torito")

        def entry(entry_name: str, decoder: schema.Decoder) -> tuple[Structure, Any, int]:
            nonlocal offset
            budget.spend()
            offset += eltorito.ENTRY_SIZE
            return Structure(entry_name, decoder, offset), decoder.read(self.source, offset), platform

        yield entry(f"{name}.default_entry", eltorito.boot_entry)
        section = 0
        while True:
            indicator = self.source.read(offset + eltorito.ENTRY_SIZE, 1)[0]
            if indicator not in (eltorito.SECTION_HEADER, eltorito.FINAL_SECTION_HEADER):
                return
            found = entry(f"{name}.section[{section}]", eltorito.section_header)
            platform = found[1].platform_id
            yield found[0], found[1], platform
            for number in range(found[1].number_of_section_entries):
                entry_name = f"{name}.section[{section}].entry[{number}]"
                image = entry(entry_name, eltorito.boot_entry)
                yield image
                more = image[1].boot_media_type & eltorito.EXTENSION_FOLLOWS
                while more:
                    extension = entry(f"{entry_name}.extension", eltorito.section_entry_extension)
                    yield extension
                    more = extension[1].flags & eltorito.EXTENSION_FOLLOWS
            if indicator == eltorito.FINAL_SECTION_HEADER:
                return
            section += 1

    def _image(self, record: Any, platform: int) -> BootImage:
        media = record.boot_media_type & eltorito.MEDIA_TYPE_MASK
        offset = record.load_rba * iso.SECTOR_SIZE
        left = max(0, self.source.size - offset)
        load_length = record.sector_count * eltorito.VIRTUAL_SECTOR_SIZE
        length = eltorito.FLOPPY_SIZES.get(media, load_length)
        if media == eltorito.HARD_DISK or (media == eltorito.NO_EMULATION and record.sector_count < 2):
            length = left  # UEFI 13.3.2: such an image goes to the end of the disc
        return BootImage(
            platform=eltorito.PLATFORMS.get(platform, f"{platform:#x}"),
            bootable=record.boot_indicator == eltorito.BOOTABLE,
            media=media,
            load_segment=record.load_segment,
            offset=offset,
            length=min(length, left),
            load_length=load_length,
        )


def _checksum(source: Source, offset: int) -> dict[str, int]:
    """Return what the checksum of the validation entry should be, so that all words add up to zero."""
    stored = eltorito.validation_entry.read(source, offset).checksum
    return {"checksum": stored - sum(eltorito.words.read(source, offset)) & 0xFFFF}
