"""ZFS space maps: logs of what was allocated and freed, of a metaslab, a vdev or a whole pool.

Specifications: OpenZFS <sys/space_map.h> (all bit fields), <sys/metaslab_impl.h>, <sys/vdev_impl.h>,
<sys/spa_log_spacemap.h>; where each map is named module/zfs/vdev.c and spa_log_spacemap.c.

A space map is an object of 64-bit words.  Two bits in front of an entry tell what it is: 0 and 1 an entry
of one word, 2 a remark about the entries after it, 3 an entry of two words (feature spacemap_v2).
Offsets and runs are in units of 1 << shift bytes, where the shift is the vdev's ashift for what belongs to
metaslabs and checkpoints, 9 for logs of the pool, 0 for obsolete segments; missing data (DTL) are ranges of
transaction groups.  A metaslab's offsets count from its own start, all others from the vdev's.
"""

from construct import Array, Computed, Enum, Int64sn, Int64un, Struct, this

# --- the bonus buffer ------------------------------------------------------------------------------

SPACE_MAP_HISTOGRAM_SIZE = 32

_before_histogram = (
    "smp_object" / Int64un,
    "smp_length" / Int64un * "bytes",  # of the entries
    "smp_alloc" / Int64sn * "bytes",  # allocated less freed
)

space_map_phys_v0 = Struct(*_before_histogram)

space_map_phys = Struct(
    *_before_histogram,
    "smp_pad" / Array(5, Int64un),
    "smp_histogram" / Array(SPACE_MAP_HISTOGRAM_SIZE, Int64un * "free segments"),
)
"""With the feature spacemap_histogram; element i counts segments of 1 << (shift + i) bytes and more."""

# --- entries ---------------------------------------------------------------------------------------

SM_PREFIX = (62, 2)  # first bit, bits
SM_DEBUG_PREFIX = 2
SM2_PREFIX = 3
SM_RUN = (0, 15)  # less one
SM_TYPE = (15, 1)
SM_OFFSET = (16, 47)
SM2_VDEV = (0, 24)  # of the first word
SM2_RUN = (24, 36)  # less one
SM2_TYPE = (63, 1)  # of the second word
SM2_OFFSET = (0, 63)

SM_ALLOC = 0
SM_FREE = 1

space_map_word = Int64un

space_map_debug = Struct(
    "word" / Int64un,
    "action" / Enum(Computed(this.word >> 60 & 0x3), ALLOC=SM_ALLOC, FREE=SM_FREE),
    "sync_pass" / Computed(this.word >> 50 & 0x3FF),
    "txg" / Computed(this.word & 0x3FFFFFFFFFFFF),  # 0: nothing but the place before a longer entry
)

space_map_entry = Struct(
    "word" / Int64un,
    "type" / Enum(Computed(this.word >> 15 & 0x1), ALLOC=SM_ALLOC, FREE=SM_FREE),
    "offset" / Computed(this.word >> 16 & 0x7FFFFFFFFFFF) * "x 1 << shift bytes",
    "run" / Computed((this.word & 0x7FFF) + 1) * "x 1 << shift bytes",
)

space_map_entry_v2 = Struct(
    "words" / Array(2, Int64un),
    "type" / Enum(Computed(this.words[1] >> 63), ALLOC=SM_ALLOC, FREE=SM_FREE),
    "vdev" / Computed(this.words[0] & 0xFFFFFF),  # in a map of one vdev 0, whatever that is
    "offset" / Computed(this.words[1] & 0x7FFFFFFFFFFFFFFF) * "x 1 << shift bytes",
    "run" / Computed((this.words[0] >> 24 & 0xFFFFFFFFF) + 1) * "x 1 << shift bytes",
)

# --- where space maps are named --------------------------------------------------------------------

LOG_SHIFT = 9  # of the pool's logs
DMU_POOL_LOG_SPACEMAP_ZAP = b"com.delphix:log_spacemap_zap"  # txg in hexadecimal: object
VDEV_TOP_ZAP_POOL_CHECKPOINT_SM = b"com.delphix:pool_checkpoint_sm"
VDEV_TOP_ZAP_INDIRECT_OBSOLETE_SM = b"com.delphix:indirect_obsolete_sm"
VDEV_TOP_ZAP_MS_UNFLUSHED_PHYS_TXGS = b"com.delphix:ms_unflushed_phys_txgs"

metaslab_object = Int64un  # the number of a metaslab's space map, 0 for one that was never used

metaslab_unflushed_phys = Struct("msp_unflushed_txg" / Int64un * "txg")
"""From which log on the pool's logs tell of a metaslab what its own map does not have yet."""
