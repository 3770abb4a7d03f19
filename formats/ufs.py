"""The Unix file system of BSD and Solaris: UFS1 and UFS2, in either byte order.

Specifications: FreeBSD fs(5), <ufs/ffs/fs.h>, <ufs/ufs/dinode.h> and <ufs/ufs/dir.h>
(https://man.freebsd.org/cgi/man.cgi?query=fs&sektion=5); for NetBSD's journal its own <ufs/ffs/fs.h>;
for Solaris <sys/fs/ufs_fs.h>, <sys/fs/ufs_inode.h> and <sys/fs/ufs_fsdir.h> of illumos.

Every field is in the byte order of the machine that made the file system; the order shows in
`fs_magic`.  A block address counts fragments of `fs_fsize` bytes from the start of the volume.
"""

from construct import (
    Array,
    Bytes,
    Enum,
    FlagsEnum,
    Int8sn,
    Int8un,
    Int16sn,
    Int16un,
    Int32sn,
    Int32un,
    Int64sn,
    Int64un,
    Padding,
    Struct,
)

from pybootcfg.formats._fields import Mode, PowerOfTwo, UnixTime

# --- where the superblock lies, in bytes ---------------------------------------------------------

SBLOCK_FLOPPY = 0
SBLOCK_UFS1 = 8192
SBLOCK_UFS2 = 65536
SBLOCK_PIGGY = 262144
SBLOCKSEARCH = (SBLOCK_UFS2, SBLOCK_UFS1, SBLOCK_FLOPPY, SBLOCK_PIGGY)
SBLOCKSIZE = 8192

# --- sizes ---------------------------------------------------------------------------------------

DEV_BSIZE = 512  # bytes in the unit of fs_fsbtodb and di_blocks
MINBSIZE = 4096
MAXBSIZE = 65536
MAXFRAG = 8  # fragments in a block
DIRBLKSIZ = 512  # no directory entry crosses a multiple of it
DIRBLKSIZ_NEXT = 1024  # on NeXTSTEP, OPENSTEP, Mac OS X
MAXNAMLEN = 255
NXADDR = 2
NDADDR = 12
NIADDR = 3

# --- superblock ----------------------------------------------------------------------------------

FS_UFS1_MAGIC = 0x00011954
FS_UFS2_MAGIC = 0x19540119
FS_UFS2EA_MAGIC = 0x19012038  # NetBSD: UFS2 whose inodes may hold extended attributes
FS_BAD_MAGIC = 0x19960408  # newfs did not finish
MTB_UFS_MAGIC = 0x00DECADE  # Solaris: over 1 TB
FS_MAGIC_LFN = 0x00095014  # HP-UX HFS: names over 14 bytes
FS_MAGIC_SEC = 0x00612195  # HP-UX HFS: B1 security
FS_MAGIC_FEA = 0x00195612  # HP-UX HFS: feature bits
FS_MAGIC_4GB = 0x05231994  # HP-UX HFS: over 4 GB

fs_magic = Enum(
    Int32un,
    FS_UFS1_MAGIC=FS_UFS1_MAGIC,
    FS_UFS2_MAGIC=FS_UFS2_MAGIC,
    FS_UFS2EA_MAGIC=FS_UFS2EA_MAGIC,
    FS_BAD_MAGIC=FS_BAD_MAGIC,
    MTB_UFS_MAGIC=MTB_UFS_MAGIC,
    FS_MAGIC_LFN=FS_MAGIC_LFN,
    FS_MAGIC_SEC=FS_MAGIC_SEC,
    FS_MAGIC_FEA=FS_MAGIC_FEA,
    FS_MAGIC_4GB=FS_MAGIC_4GB,
)

FS_UNCLEAN = 0x001
FS_DOSOFTDEP = 0x002
FS_NEEDSFSCK = 0x004
FS_SUJ = 0x008
FS_ACLS = 0x010
FS_MULTILABEL = 0x020
FS_GJOURNAL = 0x040
FS_FLAGS_UPDATED = 0x080  # in fs_old_flags: fs_flags and fs_sblockloc count
FS_NFS4ACLS = 0x100  # FreeBSD
FS_DOWAPBL = 0x100  # NetBSD
FS_METACKHASH = 0x200
FS_TRIM = 0x400
FS_NFS4ACLS_NETBSD = 0x800

fs_flags = FlagsEnum(
    Int32un,
    FS_UNCLEAN=FS_UNCLEAN,
    FS_DOSOFTDEP=FS_DOSOFTDEP,
    FS_NEEDSFSCK=FS_NEEDSFSCK,
    FS_SUJ=FS_SUJ,
    FS_ACLS=FS_ACLS,
    FS_MULTILABEL=FS_MULTILABEL,
    FS_GJOURNAL=FS_GJOURNAL,
    FS_FLAGS_UPDATED=FS_FLAGS_UPDATED,
    FS_NFS4ACLS=FS_NFS4ACLS,
    FS_METACKHASH=FS_METACKHASH,
    FS_TRIM=FS_TRIM,
    FS_NFS4ACLS_NETBSD=FS_NFS4ACLS_NETBSD,
)

FSLARGEFILES = 0x01  # Solaris, in fs_old_flags

CK_SUPERBLOCK = 0x01
CK_CYLGRP = 0x02
CK_INODE = 0x04

fs_metackhash = FlagsEnum(Int32un, CK_SUPERBLOCK=CK_SUPERBLOCK, CK_CYLGRP=CK_CYLGRP, CK_INODE=CK_INODE)

FS_ISCLEAN = 1  # Solaris: FSCLEAN
FS_WASCLEAN = 2  # Solaris: FSSTABLE
FSOSF1 = 3  # clean, by Digital UNIX
FSLOG = 0xFD  # Solaris: a file system with a log
FSOKAY = 0x7C269D38  # Solaris: fs_state + fs_time, else fs_clean does not count

FS_42INODEFMT = -1
FS_44INODEFMT = 2

csum = Struct(
    "cs_ndir" / Int32sn * "directories",
    "cs_nbfree" / Int32sn * "blocks",
    "cs_nifree" / Int32sn * "inodes",
    "cs_nffree" / Int32sn * "fragments",
)

csum_total = Struct(
    "cs_ndir" / Int64sn * "directories",
    "cs_nbfree" / Int64sn * "blocks",
    "cs_nifree" / Int64sn * "inodes",
    "cs_nffree" / Int64sn * "fragments",
    "cs_numclusters" / Int64sn * "clusters",
    "cs_spare" / Array(3, Int64sn),
)

superblock = Struct(
    "fs_firstfield" / Int32un,
    "fs_unused_1" / Int32un,
    "fs_sblkno" / Int32sn * "fragments",  # from the start of a cylinder group
    "fs_cblkno" / Int32sn * "fragments",
    "fs_iblkno" / Int32sn * "fragments",
    "fs_dblkno" / Int32sn * "fragments",
    "fs_old_cgoffset" / Int32sn * "fragments",
    "fs_old_cgmask" / Int32sn,
    "fs_old_time" / UnixTime(Int32sn),
    "fs_old_size" / Int32un * "fragments",  # UFS1
    "fs_old_dsize" / Int32un * "fragments",
    "fs_ncg" / Int32un * "cylinder groups",
    "fs_bsize" / Int32sn * "bytes",
    "fs_fsize" / Int32sn * "bytes",
    "fs_frag" / Int32sn * "fragments",  # in a block
    "fs_minfree" / Int32sn * "percent",
    "fs_old_rotdelay" / Int32sn * "milliseconds",
    "fs_old_rps" / Int32sn * "revolutions per second",
    "fs_bmask" / Int32sn,
    "fs_fmask" / Int32sn,
    "fs_bshift" / PowerOfTwo(Int32sn) * "bytes",
    "fs_fshift" / PowerOfTwo(Int32sn) * "bytes",
    "fs_maxcontig" / Int32sn * "blocks",
    "fs_maxbpg" / Int32sn * "blocks",
    "fs_fragshift" / PowerOfTwo(Int32sn) * "fragments",
    "fs_fsbtodb" / PowerOfTwo(Int32sn) * "sectors",
    "fs_sbsize" / Int32sn * "bytes",
    "fs_spare1" / Array(2, Int32sn),
    "fs_nindir" / Int32sn * "pointers",
    "fs_inopb" / Int32un * "inodes",
    "fs_old_nspf" / Int32sn * "sectors",
    "fs_optim" / Enum(Int32sn, time=0, space=1),
    "fs_old_npsect" / Int32un * "sectors per track",  # Solaris, little-endian: fs_state
    "fs_old_interleave" / Int32sn,
    "fs_old_trackskew" / Int32sn,
    "fs_id" / Array(2, Int32un),
    "fs_old_csaddr" / Int32un * "fragments",
    "fs_cssize" / Int32sn * "bytes",
    "fs_cgsize" / Int32sn * "bytes",
    "fs_spare2" / Int32sn,
    "fs_old_nsect" / Int32sn * "sectors per track",
    "fs_old_spc" / Int32sn * "sectors per cylinder",
    "fs_old_ncyl" / Int32sn * "cylinders",
    "fs_old_cpg" / Int32sn * "cylinders",
    "fs_ipg" / Int32un * "inodes",  # in a cylinder group
    "fs_fpg" / Int32sn * "fragments",  # in a cylinder group
    "fs_old_cstotal" / csum,
    "fs_fmod" / Int8sn,
    "fs_clean" / Int8un,
    "fs_ronly" / Int8sn,
    "fs_old_flags" / Int8un,
    "fs_fsmnt" / Bytes(468),  # up to its first NUL; 512 bytes where FS_FLAGS_UPDATED is clear
    "fs_volname" / Bytes(32),
    "fs_swuid" / Int64un,
    "fs_pad" / Int32sn,
    "fs_cgrotor" / Int32sn,
    "fs_ocsp" / Bytes(128),  # pointers of the kernel that wrote it
    "fs_old_cpc" / Int32sn,
    "fs_maxbsize" / Int32sn * "bytes",
    "fs_unrefs" / Int64sn,
    "fs_providersize" / Int64sn * "fragments",
    "fs_metaspace" / Int64sn * "fragments",
    "fs_sparecon64" / Array(13, Int64sn),
    "fs_sblockactualloc" / Int64sn * "bytes",
    "fs_sblockloc" / Int64sn * "bytes",  # of the superblock proper, also in its copies
    "fs_cstotal" / csum_total,
    "fs_time" / UnixTime(Int64sn),
    "fs_size" / Int64sn * "fragments",  # UFS2
    "fs_dsize" / Int64sn * "fragments",
    "fs_csaddr" / Int64sn * "fragments",
    "fs_pendingblocks" / Int64sn * "sectors of 512 bytes",
    "fs_pendinginodes" / Int32un * "inodes",
    "fs_snapinum" / Array(20, Int32un),
    "fs_avgfilesize" / Int32un * "bytes",
    "fs_avgfpdir" / Int32un * "files",
    "fs_save_cgsize" / Int32sn * "bytes",
    "fs_mtime" / UnixTime(Int64sn),
    "fs_sujfree" / Int32sn,
    "fs_sparecon32" / Array(21, Int32sn),
    "fs_ckhash" / Int32un,
    "fs_metackhash" / fs_metackhash,
    "fs_flags" / fs_flags,
    "fs_contigsumsize" / Int32sn * "blocks",
    "fs_maxsymlinklen"
    / Int32sn
    * "bytes",  # shorter targets lie in the inode; 0 also means the 4.2BSD directories
    "fs_old_inodefmt" / Int32sn,
    "fs_maxfilesize" / Int64un * "bytes",
    "fs_qbmask" / Int64un,  # fs_bsize - 1
    "fs_qfmask" / Int64un,  # fs_fsize - 1
    "fs_state" / Int32un,
    "fs_old_postblformat" / Int32sn,
    "fs_old_nrpos" / Int32sn,
    "fs_spare5" / Array(2, Int32sn),
    "fs_magic" / fs_magic,
)

FS_MAGIC_OFFSET = 1372  # bytes into the superblock
FS_CKHASH_OFFSET = 1304

#: what Solaris has in the same place, where it differs
solaris_superblock = Struct(
    "fs_link" / Int32un,
    "fs_rolled" / Int32un,
    Padding(1312),
    "fs_version" / Int32sn,
    "fs_logbno" / Int32un,  # 0 without a log
    "fs_reclaim" / Int32un,
    "fs_sparecon2" / Int32un,
    "fs_state" / Int32un,  # little-endian: fs_npsect
    "fs_qbmask" / Int64un,
    "fs_qfmask" / Int64un,
    "fs_postblformat" / Int32sn,
    "fs_nrpos" / Int32sn,
    "fs_postbloff" / Int32sn,
    "fs_rotbloff" / Int32sn,
    "fs_magic" / fs_magic,
)

FS_NEED_ROLL = 2  # fs_rolled: the log holds what the file system does not yet

#: what NetBSD has in the same place, where FS_DOWAPBL is set
netbsd_superblock = Struct(
    Padding(864),
    "fs_journal_version" / Int8un,
    "fs_journal_location" / Int8un,
    "fs_journal_reserved" / Array(2, Int8un),
    "fs_journal_flags" / Int32un,
    "fs_journallocs" / Array(4, Int64un),
)

UFS_WAPBL_VERSION = 1

# --- cylinder group ------------------------------------------------------------------------------

CG_MAGIC = 0x090255

cg = Struct(
    "cg_firstfield" / Int32sn,
    "cg_magic" / Enum(Int32un, CG_MAGIC=CG_MAGIC),
    "cg_old_time" / UnixTime(Int32sn),
    "cg_cgx" / Int32un,
    "cg_old_ncyl" / Int16sn * "cylinders",
    "cg_old_niblk" / Int16sn * "inodes",
    "cg_ndblk" / Int32un * "fragments",
    "cg_cs" / csum,
    "cg_rotor" / Int32un * "fragments",
    "cg_frotor" / Int32un * "fragments",
    "cg_irotor" / Int32un,
    "cg_frsum" / Array(MAXFRAG, Int32un),
    "cg_old_btotoff" / Int32sn * "bytes",
    "cg_old_boff" / Int32sn * "bytes",
    "cg_iusedoff" / Int32un * "bytes",
    "cg_freeoff" / Int32un * "bytes",
    "cg_nextfreeoff" / Int32un * "bytes",
    "cg_clustersumoff" / Int32un * "bytes",
    "cg_clusteroff" / Int32un * "bytes",
    "cg_nclusterblks" / Int32un * "blocks",
    "cg_niblk" / Int32un * "inodes",
    "cg_initediblk" / Int32un * "inodes",
    "cg_unrefs" / Int32un,
    "cg_sparecon32" / Int32sn,
    "cg_ckhash" / Int32un,
    "cg_time" / UnixTime(Int64sn),
    "cg_sparecon64" / Array(3, Int64sn),
)

CG_CKHASH_OFFSET = 132

# --- inode ---------------------------------------------------------------------------------------

ROOTINO = 2
WINO = 1  # of a whiteout

IFMT = 0o170000
IFIFO = 0o010000
IFCHR = 0o020000
IFDIR = 0o040000
IFBLK = 0o060000
IFREG = 0o100000
IFLNK = 0o120000
IFSOCK = 0o140000
IFWHT = 0o160000

SF_SNAPSHOT = 0x00200000  # di_flags, BSD
ICOMPRESS = 0x0004  # di_flags, Solaris: the contents are compressed for dcfs

BLK_NOCOPY = 1  # in a snapshot: not in use when it was taken
BLK_SNAP = 2  # in a snapshot: held by another snapshot

ufs1_dinode = Struct(
    "di_mode" / Mode(Int16un),
    "di_nlink" / Int16sn * "links",
    "di_ouid" / Int16un,
    "di_ogid" / Int16un,
    "di_size" / Int64un * "bytes",
    "di_atime" / UnixTime(Int32sn),
    "di_atimensec" / Int32sn * "nanoseconds",
    "di_mtime" / UnixTime(Int32sn),
    "di_mtimensec" / Int32sn * "nanoseconds",
    "di_ctime" / UnixTime(Int32sn),
    "di_ctimensec" / Int32sn * "nanoseconds",
    "di_db" / Array(NDADDR, Int32un) * "fragments",
    "di_ib" / Array(NIADDR, Int32un) * "fragments",
    "di_flags" / Int32un,
    "di_blocks" / Int32un * "sectors of 512 bytes",
    "di_gen" / Int32un,
    "di_uid" / Int32un,  # Solaris: ic_shadow, then ic_uid and ic_gid
    "di_gid" / Int32un,
    "di_modrev" / Int64un,
)

ufs2_dinode = Struct(
    "di_mode" / Mode(Int16un),
    "di_nlink" / Int16sn * "links",
    "di_uid" / Int32un,
    "di_gid" / Int32un,
    "di_blksize" / Int32un * "bytes",
    "di_size" / Int64un * "bytes",
    "di_blocks" / Int64un * "sectors of 512 bytes",
    "di_atime" / UnixTime(Int64sn),
    "di_mtime" / UnixTime(Int64sn),
    "di_ctime" / UnixTime(Int64sn),
    "di_birthtime" / UnixTime(Int64sn),
    "di_mtimensec" / Int32sn * "nanoseconds",
    "di_atimensec" / Int32sn * "nanoseconds",
    "di_ctimensec" / Int32sn * "nanoseconds",
    "di_birthnsec" / Int32sn * "nanoseconds",
    "di_gen" / Int32un,
    "di_kernflags" / Int32un,
    "di_flags" / Int32un,
    "di_extsize" / Int32un * "bytes",
    "di_extb" / Array(NXADDR, Int64un) * "fragments",
    "di_db" / Array(NDADDR, Int64un) * "fragments",
    "di_ib" / Array(NIADDR, Int64un) * "fragments",
    "di_modrev" / Int64un,
    "di_freelink" / Int32un,
    "di_ckhash" / Int32un,
    "di_spare" / Array(2, Int32un),
)

DI_CKHASH_OFFSET = 244

#: the target of a short symbolic link, in the place of di_db and di_ib
ufs1_shortlink = Struct(Padding(40), "di_shortlink" / Bytes(60))
ufs2_shortlink = Struct(Padding(112), "di_shortlink" / Bytes(120))

ufs1_daddr_t = Int32un * "fragments"  # one pointer of an indirect block
ufs2_daddr_t = Int64un * "fragments"

# --- directory -----------------------------------------------------------------------------------

DT_WHT = 14

#: 4.4BSD; the name follows, padded with NULs to a multiple of 4 bytes
direct = Struct(
    "d_ino" / Int32un,
    "d_reclen" / Int16un * "bytes",  # up to the next entry
    "d_type" / Int8un,
    "d_namlen" / Int8un * "bytes",
)

#: 4.2BSD and Solaris
odirect = Struct(
    "d_ino" / Int32un,
    "d_reclen" / Int16un * "bytes",
    "d_namlen" / Int16un * "bytes",
)

# --- in the block of a cylinder group, after its head ---------------------------------------------

cg_clustersum = Int32sn * "runs of free blocks"  # as long as the index, the last and longer; 0 is not used
cg_old_blktot = Int32sn * "blocks"  # free ones, by cylinder
cg_old_blks = Int16sn * "blocks"  # free ones, by cylinder and rotational position

# --- extended attributes, in the blocks of di_extb: di_extsize bytes ------------------------------
# Specification: FreeBSD sys/ufs/ufs/extattr.h

extattr = Struct(
    "ea_length" / Int32un * "bytes",  # of the whole, a multiple of 8
    "ea_namespace" / Enum(Int8un, user=1, system=2),
    "ea_contentpadlen" / Int8un * "bytes",
    "ea_namelength" / Int8un * "bytes",
)
"""Then the name, zeros up to a multiple of 8 bytes, the contents and their padding."""

EA_ALIGNMENT = 8
