"""Master boot record: the partition table that PCs have had since PC DOS 2.0.

- UEFI Specification 2.10, section 5.2 "LBA 0 Format":
  https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html
- Microsoft, "FAT: General Overview of On-Disk Format" 1.03, for the BIOS parameter block.

Everything is little-endian.  An extended boot record has the same layout; there the starting LBAs
count from the record itself (first entry) or from the start of the extended partition (the link).
"""

from construct import Array, Bytes, Const, Enum, Int8ul, Int16ul, Int32ub, Int32ul, Padding, Struct

SIGNATURE = 0xAA55

# partition_entry.boot_indicator
INACTIVE = 0x00
ACTIVE = 0x80

# partition_entry.os_type, as far as they mean something to a reader
EMPTY = 0x00
EXTENDED_TYPES = (0x05, 0x0F, 0x85)
OPENBSD = 0xA6
NETBSD = 0xA9
BSD_TYPES = (0x6C, 0xA5, OPENBSD, NETBSD)  # a slice with a disklabel; DragonFly's and FreeBSD's as well
SOLARIS_TYPES = (0x82, 0xBF)  # a slice with a VTOC; the old type is Linux swap as well
GPT_PROTECTIVE = 0xEE

OS_TYPES = {
    0x00: "empty",
    0x01: "FAT12",
    0x04: "FAT16 below 32 MiB",
    0x05: "extended",
    0x06: "FAT16",
    0x07: "NTFS or exFAT",
    0x0B: "FAT32",
    0x0C: "FAT32 LBA",
    0x0E: "FAT16 LBA",
    0x0F: "extended LBA",
    0x11: "hidden FAT12",
    0x12: "diagnostics",
    0x14: "hidden FAT16 below 32 MiB",
    0x16: "hidden FAT16",
    0x17: "hidden NTFS or ISO 9660",
    0x1B: "hidden FAT32",
    0x1C: "hidden FAT32 LBA",
    0x1E: "hidden FAT16 LBA",
    0x27: "Windows recovery",
    0x39: "Plan 9",
    0x41: "PReP boot",
    0x42: "Windows dynamic disk",
    0x63: "GNU Hurd",
    0x65: "NetWare",
    0x6C: "DragonFly BSD",
    0x82: "Linux swap or Solaris",
    0x83: "Linux",
    0x85: "Linux extended",
    0x88: "Linux plaintext",
    0x8E: "Linux LVM",
    0x93: "hidden Linux",
    0x96: "ISO 9660",
    0x9F: "BSD/OS",
    0xA5: "FreeBSD",
    0xA6: "OpenBSD",
    0xA8: "Darwin UFS",
    0xA9: "NetBSD",
    0xAB: "Darwin boot",
    0xAF: "HFS",
    0xB7: "BSDI",
    0xB8: "BSDI swap",
    0xBE: "Solaris boot",
    0xBF: "Solaris",
    0xCD: "ISO 9660 hybrid",
    0xDA: "non-file-system data",
    0xDE: "Dell utility",
    0xEA: "Linux extended boot",
    0xEB: "BeOS",
    0xEE: "GPT protective",
    0xEF: "EFI system",
    0xFB: "VMware VMFS",
    0xFC: "VMware swap",
    0xFD: "Linux RAID",
}

partition_entry = Struct(
    "boot_indicator" / Enum(Int8ul, inactive=INACTIVE, active=ACTIVE),
    "starting_chs" / Bytes(3),
    "os_type" / Enum(Int8ul, **{name: number for number, name in OS_TYPES.items()}),
    "ending_chs" / Bytes(3),
    "starting_lba" / Int32ul * "sectors",
    "size_in_lba" / Int32ul * "sectors",
)

mbr = Struct(
    "boot_code" / Bytes(440),
    "unique_mbr_disk_signature" / Int32ul,
    "unknown" / Int16ul,
    "partition_record" / Array(4, partition_entry),
    "signature" / Const(SIGNATURE, Int16ul),
)

ebr = Struct(
    "unused" / Bytes(446),
    "partition_record" / Array(4, partition_entry),  # a logical partition, the link to the next EBR
    "signature" / Const(SIGNATURE, Int16ul),
)

# A file system on a whole disk may have a boot sector of its own, which ends in the same signature.

OEM_NAMES_WITHOUT_BPB = (b"NTFS    ", b"EXFAT   ", b"-FVE-FS-", b"ReFS\0\0\0\0")

boot_sector = Struct(
    "jump" / Bytes(3),
    "oem_name" / Bytes(8),
    "bytes_per_sector" / Int16ul * "bytes",
    "sectors_per_cluster" / Int8ul * "sectors",
    "reserved_sectors" / Int16ul * "sectors",
    "number_of_fats" / Int8ul,
    "root_entries" / Int16ul * "entries",
    "total_sectors_16" / Int16ul * "sectors",
    "media" / Int8ul,
)

# An ISO 9660 image may carry a partition table in its unused first 32 KiB (ECMA-119, section 8.4).

VOLUME_DESCRIPTOR_OFFSET = 32768  # bytes
BLOCK_SIZE = 2048  # bytes

primary_volume_descriptor = Struct(
    "volume_descriptor_type" / Const(1, Int8ul),
    "standard_identifier" / Const(b"CD001"),
    Padding(74),
    "volume_space_size" / Int32ul * "blocks",
    "volume_space_size_big_endian" / Int32ub * "blocks",
)
