"""El Torito: the boot catalogue of a bootable CD-ROM.

"El Torito" Bootable CD-ROM Format Specification, version 1.0 (Phoenix and IBM, 1995), section 2;
platform 0xEF and the meaning of small sector counts: UEFI Specification 2.10, section 13.3.2.
Byte order: little-endian.  All entries are 32 bytes long.
"""

from __future__ import annotations

from construct import Array, Bytes, Const, Enum, FlagsEnum, Int8ub, Int16ul, Int32ul, Padding, Struct

BOOT_SYSTEM_IDENTIFIER = b"EL TORITO SPECIFICATION".ljust(32, b"\0")

ENTRY_SIZE = 32  #: bytes
VIRTUAL_SECTOR_SIZE = 512  #: bytes, the unit of sector_count

BOOTABLE = 0x88
SECTION_HEADER = 0x90
FINAL_SECTION_HEADER = 0x91
EXTENSION = 0x44
EXTENSION_FOLLOWS = 0x20

PLATFORMS = {0x00: "x86", 0x01: "powerpc", 0x02: "mac", 0xEF: "efi"}

NO_EMULATION = 0
HARD_DISK = 4
MEDIA_TYPE_MASK = 0x0F  #: the rest of boot_media_type are flags of section entries
FLOPPY_SIZES = {1: 1200 * 1024, 2: 1440 * 1024, 3: 2880 * 1024}  #: bytes, by media type

platform_id = Enum(Int8ub, x86=0x00, powerpc=0x01, mac=0x02, efi=0xEF)
boot_indicator = Enum(Int8ub, not_bootable=0x00, bootable=BOOTABLE)
media_type = Enum(Int8ub, no_emulation=0, floppy_1200=1, floppy_1440=2, floppy_2880=3, hard_disk=HARD_DISK)

#: figure 7: the boot record volume descriptor, at sector 17
boot_record = Struct(
    "boot_record_indicator" / Int8ub,
    "iso_9660_identifier" / Const(b"CD001"),
    "version" / Int8ub,
    "boot_system_identifier" / Const(BOOT_SYSTEM_IDENTIFIER),
    Padding(32),
    "boot_catalog" / Int32ul * "sectors of 2048 bytes",  # its first one
)

#: figure 2
validation_entry = Struct(
    "header_id" / Const(1, Int8ub),
    "platform_id" / platform_id,
    Padding(2),
    "id_string" / Bytes(24),
    "checksum" / Int16ul,  # makes the sum of all words zero
    "key_bytes" / Const(b"\x55\xaa"),
)

words = Array(ENTRY_SIZE // 2, Int16ul)

#: figure 3 (initial/default entry) and figure 5 (section entry)
boot_entry = Struct(
    "boot_indicator" / boot_indicator,
    "boot_media_type" / media_type,  # the high four bits are flags
    "load_segment" / Int16ul * "paragraphs of 16 bytes",  # 0: 0x7C0
    "system_type" / Int8ub,  # of the emulated hard disk's partition
    Padding(1),
    "sector_count" / Int16ul * "sectors of 512 bytes",  # to be loaded
    "load_rba" / Int32ul * "sectors of 2048 bytes",  # the first one
    "selection_criteria_type" / Int8ub,
    "vendor_unique_selection_criteria" / Bytes(19),
)

#: figure 4
section_header = Struct(
    "header_indicator" / Enum(Int8ub, more_follow=SECTION_HEADER, final=FINAL_SECTION_HEADER),
    "platform_id" / platform_id,
    "number_of_section_entries" / Int16ul * "entries",
    "id_string" / Bytes(28),
)

#: figure 6
section_entry_extension = Struct(
    "extension_indicator" / Const(EXTENSION, Int8ub),
    "flags" / FlagsEnum(Int8ub, extension_follows=EXTENSION_FOLLOWS),
    "vendor_unique_selection_criteria" / Bytes(30),
)
