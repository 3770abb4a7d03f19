"""exFAT, as on disk; little-endian.

Microsoft exFAT file system specification, revision 1.00:
https://learn.microsoft.com/en-us/windows/win32/fileio/exfat-specification

The names of fields are the specification's, in lower case.
"""

from construct import (
    Bytes,
    Enum,
    FlagsEnum,
    Int8ul,
    Int16ul,
    Int32ul,
    Int64ul,
    Struct,
)

from pybootcfg.formats._fields import DosTimestamp, PowerOfTwo, Utf16, Version

# --- boot region (section 3) ---------------------------------------------------------------------
FILE_SYSTEM_NAME = b"EXFAT   "
BOOT_SIGNATURE = 0xAA55
CHECKSUM_SECTORS = 11  # the boot checksum in sector 11 is over these
BACKUP_BOOT_SECTOR = 12
VOLUME_FLAGS_OFFSET = 106  # two bytes that the boot checksum leaves out, as it does
PERCENT_IN_USE_OFFSET = 112  # this one

BYTES_PER_SECTOR_SHIFTS = range(9, 13)
CLUSTER_SHIFT_LIMIT = 25  # of bytes per cluster: 32 MiB

# volume_flags
ACTIVE_FAT = 0x0001  # the second FAT and bitmap are active: TexFAT
VOLUME_DIRTY = 0x0002

boot_sector = Struct(
    "jump_boot" / Bytes(3),
    "file_system_name" / Bytes(8),
    "must_be_zero" / Bytes(53),
    "partition_offset" / Int64ul * "sectors",
    "volume_length" / Int64ul * "sectors",
    "fat_offset" / Int32ul * "sectors",
    "fat_length" / Int32ul * "sectors",
    "cluster_heap_offset" / Int32ul * "sectors",
    "cluster_count" / Int32ul * "clusters",
    "first_cluster_of_root_directory" / Int32ul * "clusters",
    "volume_serial_number" / Int32ul,
    "file_system_revision" / Version(Int16ul),
    "volume_flags"
    / FlagsEnum(Int16ul, active_fat=0x1, volume_dirty=0x2, media_failure=0x4, clear_to_zero=0x8),
    "bytes_per_sector_shift" / PowerOfTwo(Int8ul) * "bytes",
    "sectors_per_cluster_shift" / PowerOfTwo(Int8ul) * "sectors",
    "number_of_fats" / Int8ul,  # 2 for TexFAT only
    "drive_select" / Int8ul,
    "percent_in_use" / Enum(Int8ul, unknown=0xFF) * "percent",
    "reserved" / Bytes(7),
    "boot_code" / Bytes(390),
    "boot_signature" / Int16ul,
)

boot_checksum = Int32ul  # repeated through sector 11

# --- file allocation table (section 4) -----------------------------------------------------------
FIRST_CLUSTER = 2
BAD_CLUSTER = 0xFFFFFFF7
ENTRY_MASK = 0xFFFFFFFF

fat_entry = Int32ul * "clusters"

# --- directory (sections 6 and 7) ----------------------------------------------------------------
END_OF_DIRECTORY = 0x00
IN_USE = 0x80  # in entry_type
ALLOCATION_BITMAP = 0x81
UPCASE_TABLE = 0x82
VOLUME_LABEL = 0x83
FILE = 0x85
STREAM_EXTENSION = 0xC0
FILE_NAME = 0xC1

FILE_NAME_UNITS = 15  # UTF-16 code units per entry
VOLUME_LABEL_UNITS = 11
SECONDARY_COUNT_LIMIT = 18  # a stream extension and 17 file names; vendor entries may be among them

# general_secondary_flags
ALLOCATION_POSSIBLE = 0x01
NO_FAT_CHAIN = 0x02  # the clusters lie side by side, and the FAT does not say so

ATTRIBUTE_DIRECTORY = 0x10

UTC_OFFSET_VALID = 0x80  # in a UTC offset
UTC_OFFSET_UNIT = 900  # seconds

entry_type = Enum(
    Int8ul,
    end_of_directory=END_OF_DIRECTORY,
    allocation_bitmap=ALLOCATION_BITMAP,
    upcase_table=UPCASE_TABLE,
    volume_label=VOLUME_LABEL,
    file=FILE,
    volume_guid=0xA0,
    texfat_padding=0xA1,
    stream_extension=STREAM_EXTENSION,
    file_name=FILE_NAME,
    vendor_extension=0xE0,
    vendor_allocation=0xE1,
)

secondary_flags = FlagsEnum(Int8ul, allocation_possible=ALLOCATION_POSSIBLE, no_fat_chain=NO_FAT_CHAIN)

directory_entry = Struct(
    "entry_type" / entry_type,
    "custom_defined" / Bytes(19),
    "first_cluster" / Int32ul * "clusters",
    "data_length" / Int64ul * "bytes",
)

allocation_bitmap_entry = Struct(
    "entry_type" / entry_type,
    "bitmap_flags" / Int8ul,
    "reserved" / Bytes(18),
    "first_cluster" / Int32ul * "clusters",
    "data_length" / Int64ul * "bytes",
)

upcase_table_entry = Struct(
    "entry_type" / entry_type,
    "reserved1" / Bytes(3),
    "table_checksum" / Int32ul,
    "reserved2" / Bytes(12),
    "first_cluster" / Int32ul * "clusters",
    "data_length" / Int64ul * "bytes",
)

volume_label_entry = Struct(
    "entry_type" / entry_type,
    "character_count" / Int8ul * "characters",
    "volume_label" / Utf16(2 * VOLUME_LABEL_UNITS),  # UTF-16
    "reserved" / Bytes(8),
)

file_entry = Struct(
    "entry_type" / entry_type,
    "secondary_count" / Int8ul * "entries",
    "set_checksum" / Int16ul,
    "file_attributes"
    / FlagsEnum(Int16ul, read_only=0x01, hidden=0x02, system=0x04, directory=0x10, archive=0x20),
    "reserved1" / Int16ul,
    "create_timestamp" / DosTimestamp(Int32ul),
    "last_modified_timestamp" / DosTimestamp(Int32ul),
    "last_accessed_timestamp" / DosTimestamp(Int32ul),
    "create10ms_increment" / Int8ul * "hundredths of a second",
    "last_modified10ms_increment" / Int8ul * "hundredths of a second",
    "create_utc_offset" / Int8ul * "quarters of an hour",  # signed in bits 0-6; bit 7: it is valid
    "last_modified_utc_offset" / Int8ul * "quarters of an hour",
    "last_accessed_utc_offset" / Int8ul * "quarters of an hour",
    "reserved2" / Bytes(7),
)

stream_extension_entry = Struct(
    "entry_type" / entry_type,
    "general_secondary_flags" / secondary_flags,
    "reserved1" / Int8ul,
    "name_length" / Int8ul * "UTF-16 code units",
    "name_hash" / Int16ul,  # of the up-cased name
    "reserved2" / Int16ul,
    "valid_data_length" / Int64ul * "bytes",  # zeros follow up to data_length
    "reserved3" / Int32ul,
    "first_cluster" / Int32ul * "clusters",
    "data_length" / Int64ul * "bytes",
)

file_name_entry = Struct(
    "entry_type" / entry_type,
    "general_secondary_flags" / secondary_flags,
    "file_name" / Utf16(2 * FILE_NAME_UNITS),  # UTF-16
)

upcase_unit = Int16ul
UPCASE_IDENTITY = (
    0xFFFF  # in a compressed up-case table: so many units as the next one says map to themselves
)
