"""BSD disklabel: the partition table of the BSDs, inside an MBR slice or on a whole disk.

- FreeBSD disklabel(5): https://man.freebsd.org/cgi/man.cgi?query=disklabel&sektion=5
- NetBSD disklabel(5): https://man.netbsd.org/disklabel.5 ; OpenBSD disklabel(5) and <sys/disklabel.h>
- header <sys/disklabel.h>, whose names these are

Byte order is the machine's, hence native here; d_magic tells.  The array of `partition` follows at
byte 148.  All offsets and sizes are in sectors of d_secsize bytes.
"""

from construct import Array, Bytes, Const, Enum, Int8un, Int16un, Int32un, Struct

DISKMAGIC = 0x82564557
MAXPARTITIONS = 22  # of all BSDs; the most that fit into a sector of 512 bytes
RAW_PART = 2  # partition `c` is the whole slice or disk; on NetBSD for PCs `d` is the disk
LABEL_OFFSETS = (512, 64, 128, 0)  # bytes from the start of the slice or disk, by port; PCs first
LABEL_SECTOR = 1  # on PCs; counts in the disk's own sectors

# d_type
DISK_TYPES = {
    1: "SMD",
    2: "MSCP",
    3: "DEC",
    4: "SCSI",
    5: "ESDI",
    6: "ST506",
    7: "HP-IB",
    8: "HP-FL",
    10: "floppy",
    11: "CCD",
    12: "vinum",
}

# p_fstype
FS_UNUSED = 0
FILESYSTEM_TYPES = {
    0: "unused",
    1: "swap",
    2: "Version 6",
    3: "Version 7",
    4: "System V",
    5: "4.1BSD",
    6: "Eighth Edition",
    7: "4.2BSD",
    8: "MSDOS",
    9: "4.4LFS",
    10: "unknown",
    11: "HPFS",
    12: "ISO9660",
    13: "boot",
    14: "vinum",
    15: "raid",
    16: "Filecore",
    17: "ext2fs",
    18: "NTFS",
    20: "ccd",
    21: "jfs",
    22: "HAMMER",
    23: "HAMMER2",
    27: "ZFS",
}

_DISK_NUMBERS = {name: number for number, name in DISK_TYPES.items()}
_FILESYSTEM_NUMBERS = {name: number for number, name in FILESYSTEM_TYPES.items()}

_geometry = (
    "d_magic" / Const(DISKMAGIC, Int32un),
    "d_type" / Enum(Int16un, **_DISK_NUMBERS),
    "d_subtype" / Int16un,
    "d_typename" / Bytes(16),
    "d_packname" / Bytes(16),
    "d_secsize" / Int32un * "bytes",
    "d_nsectors" / Int32un * "sectors per track",
    "d_ntracks" / Int32un * "tracks per cylinder",
    "d_ncylinders" / Int32un * "cylinders",
    "d_secpercyl" / Int32un * "sectors",
    "d_secperunit" / Int32un * "sectors",
)

disklabel = Struct(
    *_geometry,
    "d_sparespertrack" / Int16un * "sectors",
    "d_sparespercyl" / Int16un * "sectors",
    "d_acylinders" / Int32un * "cylinders",
    "d_rpm" / Int16un * "revolutions per minute",
    "d_interleave" / Int16un,
    "d_trackskew" / Int16un * "sectors",
    "d_cylskew" / Int16un * "sectors",
    "d_headswitch" / Int32un * "microseconds",
    "d_trkseek" / Int32un * "microseconds",
    "d_flags" / Int32un,
    "d_drivedata" / Array(5, Int32un),
    "d_spare" / Array(5, Int32un),
    "d_magic2" / Const(DISKMAGIC, Int32un),
    "d_checksum" / Int16un,  # the XOR of all 16-bit words up to the last partition is zero
    "d_npartitions" / Int16un * "partitions",
    "d_bbsize" / Int32un * "bytes",
    "d_sbsize" / Int32un * "bytes",
)

partition = Struct(
    "p_size" / Int32un * "sectors",
    "p_offset" / Int32un * "sectors",  # from the start of the disk, or of the slice
    "p_fsize" / Int32un * "bytes",
    "p_fstype" / Enum(Int8un, **_FILESYSTEM_NUMBERS),
    "p_frag" / Int8un,
    "p_cpg" / Int16un * "cylinders",
)

# OpenBSD has put the high words of sizes where others keep the times of old drives.

openbsd_disklabel = Struct(
    *_geometry,
    "d_uid" / Bytes(8),
    "d_acylinders" / Int32un * "cylinders",
    "d_bstarth" / Int16un,
    "d_bendh" / Int16un,
    "d_bstart" / Int32un * "sectors",
    "d_bend" / Int32un * "sectors",
    "d_flags" / Int32un,
    "d_spare4" / Array(5, Int32un),
    "d_secperunith" / Int16un * "x 2^32 sectors",
    "d_version" / Int16un,  # 1: p_offseth and p_sizeh count
    "d_spare" / Array(4, Int32un),
    "d_magic2" / Const(DISKMAGIC, Int32un),
    "d_checksum" / Int16un,
    "d_npartitions" / Int16un * "partitions",
    "d_spare2" / Int32un,
    "d_spare3" / Int32un,
)

openbsd_partition = Struct(
    "p_size" / Int32un * "sectors",
    "p_offset" / Int32un * "sectors",  # from the start of the disk
    "p_offseth" / Int16un * "x 2^32 sectors",
    "p_sizeh" / Int16un * "x 2^32 sectors",
    "p_fstype" / Enum(Int8un, **_FILESYSTEM_NUMBERS),
    "p_fragblock" / Int8un,
    "p_cpg" / Int16un * "cylinders",
)

word = Int16un  # of the checksum, whose XOR does not mind the byte order
