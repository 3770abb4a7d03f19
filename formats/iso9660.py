"""ISO 9660 volumes: volume descriptors, path tables, directory records; and raw CD sectors.

ISO 9660:1988 = ECMA-119 (4th edition, 2019), https://ecma-international.org/publications-and-standards/standards/ecma-119/
    with ISO 9660:1999 (enhanced volume descriptor, ECMA-119 clause 8.5).
Joliet Specification, Microsoft, 1995: a supplementary descriptor whose names are UCS-2, big-endian.
ECMA-130 (CD-ROM), clause 14: the header of a raw sector of 2352 bytes.

Byte order: most numbers are recorded twice, little-endian and then big-endian ("both-byte orders",
clause 7.2.3 and 7.3.3).  Character fields are padded with spaces.
"""

from __future__ import annotations

from construct import (
    Array,
    Bytes,
    Const,
    Enum,
    FlagsEnum,
    Int8sb,
    Int8ub,
    Int16ub,
    Int16ul,
    Int32ub,
    Int32ul,
    Padding,
    Struct,
)

from pybootcfg.formats._fields import DigitsTime, RecordingTime

SECTOR_SIZE = 2048  #: of the logical sectors, in which descriptors and directories are recorded
SYSTEM_AREA_SIZE = 16 * SECTOR_SIZE  #: bytes before the first volume descriptor, free for boot code
STANDARD_IDENTIFIER = b"CD001"

BOOT_RECORD = 0
PRIMARY = 1
SUPPLEMENTARY = 2  # with version 2: the enhanced volume descriptor
PARTITION = 3
TERMINATOR = 255

ENHANCED_VERSION = 2  #: volume_descriptor_version of an enhanced volume descriptor

#: escape sequences (ISO 2022) that name UCS-2, and the Joliet level they stand for
JOLIET_LEVELS = {b"%/@": 1, b"%/C": 2, b"%/E": 3}

HIDDEN = 0x01
DIRECTORY = 0x02
ASSOCIATED = 0x04  # such as a resource fork; has the name of the file that it belongs to
MULTI_EXTENT = 0x80  # not the last section of its file

#: the identifiers of a directory's own record and of its parent's (clause 6.8.2.2)
SELF = b"\0"
PARENT = b"\1"

#: starts of the descriptors that UDF places behind these ones (ECMA-167 2/9.1, volume recognition)
UDF_IDENTIFIERS = (b"BEA01", b"NSR02", b"NSR03")

both_endian_16 = Struct("little" / Int16ul, "big" / Int16ub)
both_endian_32 = Struct("little" / Int32ul, "big" / Int32ub)

descriptor_type = Enum(
    Int8ub,
    boot_record=BOOT_RECORD,
    primary=PRIMARY,
    supplementary=SUPPLEMENTARY,
    partition=PARTITION,
    terminator=TERMINATOR,
)

#: clause 8.4.26.1; all digits "0" and the offset 0 where no time is given
digits_date_and_time = DigitsTime(
    Struct(
        "year" / Bytes(4),
        "month" / Bytes(2),
        "day" / Bytes(2),
        "hour" / Bytes(2),
        "minute" / Bytes(2),
        "second" / Bytes(2),
        "hundredths_of_a_second" / Bytes(2),
        "offset_from_gmt" / Int8sb * "quarters of an hour",  # east positive
    )
)

#: clause 9.1.5; all zero where no time is given
recording_date_and_time = RecordingTime(
    Struct(
        "years_since_1900" / Int8ub,
        "month" / Int8ub,
        "day" / Int8ub,
        "hour" / Int8ub,
        "minute" / Int8ub,
        "second" / Int8ub,
        "offset_from_gmt" / Int8sb * "quarters of an hour",  # east positive
    )
)

#: clause 9.1; the file identifier, a padding byte (to an even offset) and the system use area follow
directory_record = Struct(
    "length_of_directory_record" / Int8ub * "bytes",  # 0: nothing more in this sector
    "extended_attribute_record_length" / Int8ub * "logical blocks",  # before the data
    "location_of_extent" / both_endian_32 * "logical blocks",
    "data_length" / both_endian_32 * "bytes",
    "recording_date_and_time" / recording_date_and_time,
    "file_flags"
    / FlagsEnum(
        Int8ub,
        hidden=HIDDEN,
        directory=DIRECTORY,
        associated=ASSOCIATED,
        record=0x08,
        protection=0x10,
        multi_extent=MULTI_EXTENT,
    ),
    "file_unit_size" / Int8ub * "logical blocks",  # 0 unless interleaved
    "interleave_gap_size" / Int8ub * "logical blocks",
    "volume_sequence_number" / both_endian_16,
    "length_of_file_identifier" / Int8ub * "bytes",
)

#: clause 9.4, type L; the directory identifier and a padding byte (to an even length) follow
path_table_record = Struct(
    "length_of_directory_identifier" / Int8ub * "bytes",
    "extended_attribute_record_length" / Int8ub * "logical blocks",
    "location_of_extent" / Int32ul * "logical blocks",
    "parent_directory_number" / Int16ul,
)
#: the same in a table of type M
path_table_record_m = Struct(
    "length_of_directory_identifier" / Int8ub * "bytes",
    "extended_attribute_record_length" / Int8ub * "logical blocks",
    "location_of_extent" / Int32ub * "logical blocks",
    "parent_directory_number" / Int16ub,
)

#: clause 8.1: what all volume descriptors begin with
volume_descriptor = Struct(
    "volume_descriptor_type" / descriptor_type,
    "standard_identifier" / Const(STANDARD_IDENTIFIER),
    "volume_descriptor_version" / Int8ub,
)

#: clause 8.2
boot_record = Struct(
    "volume_descriptor_type" / descriptor_type,
    "standard_identifier" / Const(STANDARD_IDENTIFIER),
    "volume_descriptor_version" / Int8ub,
    "boot_system_identifier" / Bytes(32),
    "boot_identifier" / Bytes(32),
    "boot_system_use" / Bytes(1977),
)

#: clause 8.3
terminator = Struct(
    "volume_descriptor_type" / descriptor_type,
    "standard_identifier" / Const(STANDARD_IDENTIFIER),
    "volume_descriptor_version" / Int8ub,
)

#: what primary and supplementary descriptors have in common from byte 120 on
_volume = (
    "volume_set_size" / both_endian_16,
    "volume_sequence_number" / both_endian_16,
    "logical_block_size" / both_endian_16 * "bytes",
    "path_table_size" / both_endian_32 * "bytes",
    "location_of_type_l_path_table" / Int32ul * "logical blocks",
    "location_of_optional_type_l_path_table" / Int32ul * "logical blocks",
    "location_of_type_m_path_table" / Int32ub * "logical blocks",
    "location_of_optional_type_m_path_table" / Int32ub * "logical blocks",
    "directory_record_for_root_directory" / directory_record,
    "root_directory_identifier" / Bytes(1),
    "volume_set_identifier" / Bytes(128),
    "publisher_identifier" / Bytes(128),
    "data_preparer_identifier" / Bytes(128),
    "application_identifier" / Bytes(128),
    "copyright_file_identifier" / Bytes(37),
    "abstract_file_identifier" / Bytes(37),
    "bibliographic_file_identifier" / Bytes(37),
    "volume_creation_date_and_time" / digits_date_and_time,
    "volume_modification_date_and_time" / digits_date_and_time,
    "volume_expiration_date_and_time" / digits_date_and_time,
    "volume_effective_date_and_time" / digits_date_and_time,
    "file_structure_version" / Int8ub,
    Padding(1),
    "application_use" / Bytes(512),
    Padding(653),
)

#: clause 8.4
primary_volume_descriptor = Struct(
    "volume_descriptor_type" / descriptor_type,
    "standard_identifier" / Const(STANDARD_IDENTIFIER),
    "volume_descriptor_version" / Int8ub,
    Padding(1),
    "system_identifier" / Bytes(32),
    "volume_identifier" / Bytes(32),
    Padding(8),
    "volume_space_size" / both_endian_32 * "logical blocks",
    Padding(32),
    *_volume,
)

#: clause 8.5: the same with flags and escape sequences; Joliet's and the enhanced one
supplementary_volume_descriptor = Struct(
    "volume_descriptor_type" / descriptor_type,
    "standard_identifier" / Const(STANDARD_IDENTIFIER),
    "volume_descriptor_version" / Int8ub,  # 1, or 2 for an enhanced volume descriptor
    "volume_flags" / FlagsEnum(Int8ub, unregistered_escape_sequence=0x01),
    "system_identifier" / Bytes(32),
    "volume_identifier" / Bytes(32),
    Padding(8),
    "volume_space_size" / both_endian_32 * "logical blocks",
    "escape_sequences" / Bytes(32),
    *_volume,
)

# --- ECMA-130: raw sectors, as in .bin files -------------------------------------------------------

SYNC = b"\0" + b"\xff" * 10 + b"\0"
RAW_SECTOR_SIZES = (2352, 2448)  #: bytes; 2448 with 96 bytes of subchannel data behind each sector
FORM_2 = 0x20  #: submode bit: 2324 bytes of data without error correction, as video has

sector_header = Struct(
    "sync" / Const(SYNC),
    "address" / Array(3, Int8ub),  # minute, second, frame; binary-coded decimal
    "mode" / Int8ub,  # 1: data follow; 2: a subheader follows
)

#: ISO/IEC 10149 / CD-ROM XA; recorded twice
sector_subheader = Struct(
    "file_number" / Int8ub,
    "channel_number" / Int8ub,
    "submode" / FlagsEnum(Int8ub, end_of_record=0x01, video=0x02, audio=0x04, data=0x08, form_2=FORM_2),
    "coding_information" / Int8ub,
    Padding(4),
)
