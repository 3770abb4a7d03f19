"""ZFS: what concerns a pool as a whole; the layers below have modules of their own.

Specifications: "ZFS On-Disk Specification" (Sun Microsystems, 2006) for what is common to all pools,
and for what came later the headers of OpenZFS (https://github.com/openzfs/zfs, include/sys):
<sys/fs/zfs.h>, <zfeature_common.h>, <sys/vdev_impl.h>, <sys/vdev_indirect_mapping.h>; zpool-features(7).

ZFS writes in the byte order of its host.  Every block pointer says in which order its block is, so
all fields are in native order here and are read through `.little` or `.big`; the label nvlists alone
are XDR, always big-endian.

    zfs_label     four on each device: the vdev tree (nvlist) and a ring of uberblocks
    zfs_blkptr    block pointers, gang headers, checksum and compression functions
    zfs_dmu       objects: dnodes and object sets
    zfs_zap       name-value stores; directories too
    zfs_dsl       datasets, snapshots and their properties, objects of the Meta Object Set
    zfs_zpl       the POSIX layer: master node, directory entries, znodes
    zfs_sa        system attributes: how newer znodes are laid out
    zfs_zil       the intent log
"""

from construct import Array, Int64un, Struct

# --- pool versions (SPA_VERSION) -------------------------------------------------------------------

SPA_VERSION_1 = 1
SPA_VERSION_BEFORE_FEATURES = 28
SPA_VERSION_FEATURES = 5000

# --- pool states -----------------------------------------------------------------------------------

POOL_STATE_ACTIVE = 0
POOL_STATE_EXPORTED = 1
POOL_STATE_DESTROYED = 2
POOL_STATE_SPARE = 3
POOL_STATE_L2CACHE = 4

# --- features that change what a reader sees -------------------------------------------------------

#: features_for_read that need no or a known special treatment (zpool-features(7))
FEATURES_FOR_READ = frozenset(
    (
        "com.datto:bookmark_v2",
        "com.datto:encryption",  # refused by dataset
        "com.delphix:bookmark_written",
        "com.delphix:device_removal",
        "com.delphix:embedded_data",
        "com.delphix:extensible_dataset",
        "com.delphix:head_errlog",
        "com.delphix:hole_birth",
        "com.delphix:redacted_datasets",  # redacted blocks are refused one by one
        "com.delphix:redaction_bookmarks",
        "com.delphix:redaction_list_spill",
        "com.joyent:multi_vdev_crash_dump",
        "com.klarasystems:dynamic_gang_header",
        "com.klarasystems:vdev_zaps_v2",
        "org.freebsd:zstd_compress",
        "org.illumos:edonr",
        "org.illumos:lz4_compress",
        "org.illumos:sha512",
        "org.illumos:skein",
        "org.open-zfs:large_blocks",
        "org.openzfs:blake3",
        "org.openzfs:raidz_expansion",
        "org.zfsonlinux:large_dnode",
        "org.zfsonlinux:longname",
    )
)
FEATURE_DYNAMIC_GANG_HEADER = "com.klarasystems:dynamic_gang_header"

# --- vdev types (ZPOOL_CONFIG_TYPE) ----------------------------------------------------------------

VDEV_TYPE_ROOT = "root"
VDEV_TYPE_MIRROR = "mirror"
VDEV_TYPE_REPLACING = "replacing"
VDEV_TYPE_SPARE = "spare"
VDEV_TYPE_RAIDZ = "raidz"
VDEV_TYPE_DISK = "disk"
VDEV_TYPE_FILE = "file"
VDEV_TYPE_MISSING = "missing"
VDEV_TYPE_HOLE = "hole"
VDEV_TYPE_INDIRECT = "indirect"

# --- objects of the Meta Object Set ----------------------------------------------------------------

DMU_POOL_DIRECTORY_OBJECT = 1
DMU_POOL_CONFIG = b"config"
DMU_POOL_FEATURES_FOR_READ = b"features_for_read"
DMU_POOL_ROOT_DATASET = b"root_dataset"
DMU_POOL_PROPS = b"pool_props"
DMU_POOL_CHECKSUM_SALT = b"org.illumos:checksum_salt"
ZPOOL_PROP_BOOTFS = b"bootfs"

# --- removed devices: where their blocks went ------------------------------------------------------

VIMEP_SRC_OFFSET = (0, 63)  # of vimep_src: first bit, bits; in units of 512 bytes

vdev_indirect_mapping_entry_phys = Struct(
    "vimep_src" / Int64un,
    "vimep_dst" / Array(2, Int64un),  # a DVA; its asize is the length of the run
)
"""One run of a removed device; entries are sorted by their source offset."""

# --- RAID-Z expansion ------------------------------------------------------------------------------

RRSS_OFFSET = (0, 55)  # of ub_raidz_reflow_info: first bit, bits; in units of 512 bytes
RRSS_STATE = (55, 9)
RRSS_SCRATCH_NOT_IN_USE = 0
RRSS_SCRATCH_VALID = 1
RRSS_SCRATCH_INVALID_SYNCED = 2
RRSS_SCRATCH_INVALID_SYNCED_ON_IMPORT = 3
RRSS_SCRATCH_INVALID_SYNCED_REFLOW = 4
