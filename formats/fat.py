"""FAT12, FAT16 and FAT32 with long file names, as on disk; little-endian.

Microsoft Extensible Firmware Initiative FAT32 File System Specification ("FAT: General Overview of
On-Disk Format"), version 1.03, 2000-12-06:
https://download.microsoft.com/download/1/6/1/161ba512-40e2-4cc9-843a-923143f3456c/fatgen103.doc

The names of fields are the specification's, in lower case.
"""

from construct import (
    Bytes,
    Enum,
    FlagsEnum,
    Int8ul,
    Int16ul,
    Int24ul,
    Int32ul,
    Padding,
    Struct,
)

from pybootcfg.formats._fields import DosDate, DosTime, Utf16, Version

# --- boot sector and BIOS parameter block --------------------------------------------------------
BOOT_SIGNATURE = 0xAA55
BOOT_SIGNATURE_OFFSET = 510  # also where the sector is larger
EXTENDED_BOOT_SIGNATURES = (0x28, 0x29)  # a volume serial number follows; with 0x29 a label and a type too
BACKUP_BOOT_SECTOR = 6  # "no value other than 6 is recommended"

SECTOR_SIZES = (512, 1024, 2048, 4096)
MEDIA = (0xF0, *range(0xF8, 0x100))
FIRST_CLUSTER = 2

# The type of a volume follows from its number of clusters ("FAT Type Determination"); a volume whose
# bpb_fat_sz16 is zero is FAT32 to Linux, GRUB and mkfs.fat whatever that number is.
FAT12_CLUSTERS = 4085  # FAT12 has fewer
FAT16_CLUSTERS = 65525  # FAT16 has fewer

NO_NAME = b"NO NAME    "  # bs_vol_lab of a volume without a label

# bpb_ext_flags
EXT_ACTIVE_FAT = 0x000F  # which FAT is the active one; only with EXT_NOT_MIRRORED
EXT_NOT_MIRRORED = 0x0080

media = Enum(Int8ul, removable=0xF0, fixed=0xF8)
extended_boot_signature = Enum(Int8ul, serial_only=0x28, serial_label_type=0x29)

_bios_parameter_block = (
    "bs_jmp_boot" / Bytes(3),
    "bs_oem_name" / Bytes(8),
    "bpb_byts_per_sec" / Int16ul * "bytes",
    "bpb_sec_per_clus" / Int8ul * "sectors",
    "bpb_rsvd_sec_cnt" / Int16ul * "sectors",  # before the first FAT
    "bpb_num_fats" / Int8ul,
    "bpb_root_ent_cnt" / Int16ul * "entries",  # 0 on FAT32
    "bpb_tot_sec16" / Int16ul * "sectors",  # 0 when bpb_tot_sec32 counts
    "bpb_media" / media,
    "bpb_fat_sz16" / Int16ul * "sectors",  # of one FAT; 0 on FAT32
    "bpb_sec_per_trk" / Int16ul * "sectors",
    "bpb_num_heads" / Int16ul,
    "bpb_hidd_sec" / Int32ul * "sectors",  # before the partition
    "bpb_tot_sec32" / Int32ul * "sectors",
)

_extended_boot_record = (
    "bs_drv_num" / Int8ul,
    "bs_reserved1" / FlagsEnum(Int8ul, dirty=0x01, test_surface=0x02),
    "bs_boot_sig" / extended_boot_signature,
    "bs_vol_id" / Int32ul,  # the serial number
    "bs_vol_lab" / Bytes(11),
    "bs_fil_sys_type" / Bytes(8),  # says nothing about the type
)

# of FAT12 and FAT16
boot_sector = Struct(
    *_bios_parameter_block,
    *_extended_boot_record,
    "boot_code" / Bytes(448),
    "signature" / Int16ul,
)

boot_sector_fat32 = Struct(
    *_bios_parameter_block,
    "bpb_fat_sz32" / Int32ul * "sectors",  # of one FAT
    "bpb_ext_flags" / Int16ul,
    "bpb_fs_ver" / Version(Int16ul),
    "bpb_root_clus" / Int32ul * "clusters",  # of the root directory
    "bpb_fs_info" / Int16ul * "sectors",
    "bpb_bk_boot_sec" / Int16ul * "sectors",  # 0 when there is no backup
    "bpb_reserved" / Bytes(12),
    *_extended_boot_record,
    "boot_code" / Bytes(420),
    "signature" / Int16ul,
)

# --- FSInfo sector -------------------------------------------------------------------------------
FSI_LEAD_SIGNATURE = 0x41615252
FSI_STRUC_SIGNATURE = 0x61417272
FSI_UNKNOWN = 0xFFFFFFFF

fs_info = Struct(
    "fsi_lead_sig" / Enum(Int32ul, RRaA=FSI_LEAD_SIGNATURE),
    "fsi_reserved1" / Padding(480),
    "fsi_struc_sig" / Enum(Int32ul, rrAa=FSI_STRUC_SIGNATURE),
    "fsi_free_count" / Enum(Int32ul, unknown=FSI_UNKNOWN) * "clusters",  # a hint
    "fsi_nxt_free" / Enum(Int32ul, unknown=FSI_UNKNOWN) * "clusters",  # a hint
    "fsi_reserved2" / Padding(12),
    "fsi_trail_sig" / Int32ul,
)

# --- file allocation table -----------------------------------------------------------------------
# An entry holds the number of the next cluster.  The first two entries belong to no cluster: entry 0
# repeats bpb_media with all higher bits set.  Above the mark of a bad cluster all values end a chain.
FREE_CLUSTER = 0
FAT12_BAD_CLUSTER = 0xFF7
FAT16_BAD_CLUSTER = 0xFFF7
FAT32_BAD_CLUSTER = 0x0FFFFFF7
FAT32_MASK = 0x0FFFFFFF  # the upper four bits are reserved

fat12_pair = Int24ul  # entry 2n in the lower 12 bits, entry 2n + 1 in the upper 12 bits
fat16_entry = Int16ul * "clusters"
fat32_entry = Int32ul * "clusters"

# --- directory -----------------------------------------------------------------------------------
END_OF_DIRECTORY = 0x00  # first byte of the name: this entry and all after it are free
DELETED = 0xE5
KANJI_E5 = 0x05  # first byte of the name: stands for 0xE5

ATTR_READ_ONLY = 0x01
ATTR_HIDDEN = 0x02
ATTR_SYSTEM = 0x04
ATTR_VOLUME_ID = 0x08
ATTR_DIRECTORY = 0x10
ATTR_ARCHIVE = 0x20
ATTR_LONG_NAME = 0x0F

LAST_LONG_ENTRY = 0x40  # in ldir_ord of the entry with the end of the name, which comes first on the disk
LONG_NAME_ENTRIES = 20
LONG_NAME_UNITS = 13  # UTF-16 code units per entry

# dir_nt_res, as Windows NT and Linux use it
LOWER_CASE_BASE = 0x08
LOWER_CASE_EXTENSION = 0x10

attributes = FlagsEnum(
    Int8ul,
    read_only=ATTR_READ_ONLY,
    hidden=ATTR_HIDDEN,
    system=ATTR_SYSTEM,
    volume_id=ATTR_VOLUME_ID,
    directory=ATTR_DIRECTORY,
    archive=ATTR_ARCHIVE,
)

directory_entry = Struct(
    "dir_name" / Bytes(11),  # base and extension, padded with spaces, in the OEM code page
    "dir_attr" / attributes,
    "dir_nt_res"
    / FlagsEnum(Int8ul, lower_case_base=LOWER_CASE_BASE, lower_case_extension=LOWER_CASE_EXTENSION),
    "dir_crt_time_tenth" / Int8ul * "hundredths of a second",  # 0 to 199
    "dir_crt_time" / DosTime(Int16ul),
    "dir_crt_date" / DosDate(Int16ul),
    "dir_lst_acc_date" / DosDate(Int16ul),
    "dir_fst_clus_hi" / Int16ul * "x 2^16 clusters",  # FAT32 only
    "dir_wrt_time" / DosTime(Int16ul),
    "dir_wrt_date" / DosDate(Int16ul),
    "dir_fst_clus_lo" / Int16ul * "clusters",
    "dir_file_size" / Int32ul * "bytes",  # 0 for directories
)

long_name_entry = Struct(
    "ldir_ord" / Int8ul,
    "ldir_name1" / Utf16(10),  # UTF-16, ended by 0x0000 and then padded with 0xFFFF
    "ldir_attr" / attributes,
    "ldir_type" / Int8ul,
    "ldir_chksum" / Int8ul,  # of dir_name of the entry that follows
    "ldir_name2" / Utf16(12),
    "ldir_fst_clus_lo" / Int16ul * "clusters",
    "ldir_name3" / Utf16(4),
)
