"""GUID partition table.

- UEFI Specification 2.10, section 5.3 "GUID Partition Table (GPT) Disk Layout":
  https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html
- UEFI Specification 2.10, appendix A "GUID and Time Formats".
- Discoverable Partitions Specification, and the operating systems' own lists, for partition types.

Everything is little-endian; a GUID is a record of little-endian fields and big-endian bytes.
"""

from uuid import UUID

from construct import Bytes, Const, Enum, FlagsEnum, Int16ul, Int32ul, Int64ul, Struct

from pybootcfg.formats._fields import Utf16

SIGNATURE = b"EFI PART"
REVISION = 0x00010000
HEADER_SIZE = 92  # bytes, the least
ENTRY_SIZE = 128  # bytes, the least; larger ones are multiples
PRIMARY_LBA = 1

# partition_entry.attributes
REQUIRED_PARTITION = 1 << 0
NO_BLOCK_IO_PROTOCOL = 1 << 1
LEGACY_BIOS_BOOTABLE = 1 << 2

UNUSED = bytes(16)
FREEBSD_DISKLABEL = "516E7CB4-6ECF-11D6-8FF8-00022D09712B"

PARTITION_TYPES = {
    "024DEE41-33E7-11D3-9D69-0008C781F39F": "MBR partition scheme",
    "C12A7328-F81F-11D2-BA4B-00A0C93EC93B": "EFI system",
    "21686148-6449-6E6F-744E-656564454649": "BIOS boot",
    "BC13C2FF-59E6-4262-A352-B275FD6F7172": "Linux extended boot",
    "0FC63DAF-8483-4772-8E79-3D69D8477DE4": "Linux file system",
    "44479540-F297-41B2-9AF7-D131D5F0458A": "Linux root (x86)",
    "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709": "Linux root (x86-64)",
    "69DAD710-2CE4-4E3C-B16C-21A1D49ABED3": "Linux root (ARM)",
    "B921B045-1DF0-41C3-AF44-4C6F280D3FAE": "Linux root (ARM64)",
    "72EC70A6-CF74-40E6-BD49-4BDA08E8F224": "Linux root (RISC-V 64)",
    "8484680C-9521-48C6-9C11-B0720656F69E": "Linux /usr (x86-64)",
    "933AC7E1-2EB4-4F13-B844-0E14E2AEF915": "Linux /home",
    "3B8F8425-20E0-4F3B-907F-1A25A76F98E8": "Linux /srv",
    "4D21B016-B534-45C2-A9FB-5C16E091FD2D": "Linux /var",
    "7EC6F557-3BC5-4ACA-B293-16EF5DF639D1": "Linux /var/tmp",
    "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F": "Linux swap",
    "E6D6D379-F507-44C2-A23C-238F2A3DF928": "Linux LVM",
    "A19D880F-05FC-4D3B-A006-743F0F84911E": "Linux RAID",
    "8DA63339-0007-60C0-C436-083AC8230908": "Linux reserved",
    "CA7D7CCB-63ED-4C53-861C-1742536059CC": "LUKS",
    "7FFEC5C9-2D00-49B7-8941-3EA10A5586B7": "dm-crypt",
    "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7": "Microsoft basic data",
    "E3C9E316-0B5C-4DB8-817D-F92DF00215AE": "Microsoft reserved",
    "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC": "Windows recovery",
    "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3": "LDM metadata",
    "AF9B60A0-1431-4F62-BC68-3311714A69AD": "LDM data",
    "83BD6B9D-7F41-11DC-BE0B-001560B84F0F": "FreeBSD boot",
    "516E7CB4-6ECF-11D6-8FF8-00022D09712B": "FreeBSD disklabel",
    "516E7CB5-6ECF-11D6-8FF8-00022D09712B": "FreeBSD swap",
    "516E7CB6-6ECF-11D6-8FF8-00022D09712B": "FreeBSD UFS",
    "516E7CBA-6ECF-11D6-8FF8-00022D09712B": "FreeBSD ZFS",
    "49F48D32-B10E-11DC-B99B-0019D1879648": "NetBSD swap",
    "49F48D5A-B10E-11DC-B99B-0019D1879648": "NetBSD FFS",
    "49F48DAA-B10E-11DC-B99B-0019D1879648": "NetBSD RAID",
    "824CC7A0-36A8-11E3-890A-952519AD3F61": "OpenBSD data",
    "6A82CB45-1DD2-11B2-99A6-080020736631": "Solaris boot",
    "6A85CF4D-1DD2-11B2-99A6-080020736631": "Solaris root",
    "6A87C46F-1DD2-11B2-99A6-080020736631": "Solaris swap",
    "6A898CC3-1DD2-11B2-99A6-080020736631": "Solaris /usr or ZFS",
    "6A945A3B-1DD2-11B2-99A6-080020736631": "Solaris reserved",
    "48465300-0000-11AA-AA11-00306543ECAC": "Apple HFS+",
    "7C3457EF-0000-11AA-AA11-00306543ECAC": "Apple APFS",
    "FE3A2A5D-4F32-41A7-B725-ACCC3285A309": "ChromeOS kernel",
    "3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC": "ChromeOS root",
}

guid = Struct(
    "time_low" / Int32ul,
    "time_mid" / Int16ul,
    "time_hi_and_version" / Int16ul,
    "clock_seq" / Bytes(2),
    "node" / Bytes(6),
)


class Guid(Bytes):  # type: ignore[misc]  # Construct has no types
    """Sixteen bytes that are a GUID."""

    def __init__(self) -> None:
        super().__init__(16)

    def symbol(self, value: bytes) -> str:
        """Return what people call this value: the GUID and, for a known partition type, its name."""
        text = str(UUID(bytes_le=value)).upper()
        return f"{text} ({PARTITION_TYPES[text]})" if text in PARTITION_TYPES else text


header = Struct(
    "signature" / Const(SIGNATURE),
    "revision" / Enum(Int32ul, **{"1.0": REVISION}),
    "header_size" / Int32ul * "bytes",  # covered by header_crc32
    "header_crc32" / Int32ul,  # counted with this field zero
    "reserved" / Int32ul,
    "my_lba" / Int64ul * "blocks",
    "alternate_lba" / Int64ul * "blocks",
    "first_usable_lba" / Int64ul * "blocks",
    "last_usable_lba" / Int64ul * "blocks",
    "disk_guid" / Guid(),
    "partition_entry_lba" / Int64ul * "blocks",
    "number_of_partition_entries" / Int32ul * "entries",
    "size_of_partition_entry" / Int32ul * "bytes",
    "partition_entry_array_crc32" / Int32ul,
)

partition_entry = Struct(
    "partition_type_guid" / Guid(),  # all zero: the entry is unused
    "unique_partition_guid" / Guid(),
    "starting_lba" / Int64ul * "blocks",
    "ending_lba" / Int64ul * "blocks",  # the last block, not the one behind it
    "attributes"
    / FlagsEnum(
        Int64ul,
        required_partition=REQUIRED_PARTITION,
        no_block_io_protocol=NO_BLOCK_IO_PROTOCOL,
        legacy_bios_bootable=LEGACY_BIOS_BOOTABLE,
    ),
    "partition_name" / Utf16(72),
)
