"""Every cap on hostile input, by name, in one table.

A number that a disk or a configuration claims meets its cap at the place of use
(`GPT_ENTRIES.check(header.entry_count)`); work that a claim could prolong draws on a budget
(`steps = SYMLINKS.budget()`, then `steps.spend()` per step).  Both raise `LimitExceeded` with the
name of the cap, so that a person can tell which one was hit.
"""

from __future__ import annotations

from pybootcfg.errors import LimitExceeded

TABLE: dict[str, Limit] = {}


class Limit:
    """One cap: its name, its value in the unit that the name implies, and why it is what it is."""

    __slots__ = ("name", "reason", "value")

    def __init__(self, name: str, value: int, reason: str) -> None:
        self.name = name
        self.value = value
        self.reason = reason
        TABLE[name] = self

    def check(self, value: int, where: str = "") -> int:
        """Return `value`, or raise LimitExceeded when it is over the cap or negative."""
        if not 0 <= value <= self.value:
            raise LimitExceeded(self.name, value, self.value, where)
        return value

    def budget(self, where: str = "") -> Budget:
        """Return a counter that may be spent up to the cap."""
        return Budget(self, where)


class Budget:
    """Work done against one cap."""

    __slots__ = ("limit", "spent", "where")

    def __init__(self, limit: Limit, where: str = "") -> None:
        self.limit = limit
        self.where = where
        self.spent = 0

    def spend(self, amount: int = 1) -> None:
        """Count `amount` units of work; raise LimitExceeded once the cap is passed."""
        self.spent += amount
        if self.spent > self.limit.value:
            raise LimitExceeded(self.limit.name, self.spent, self.limit.value, self.where)


KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# --- reading -------------------------------------------------------------------------------------
READ_SIZE = Limit("read-size", 64 * MIB, "one read into memory; the largest metadata read is 64 KiB")
CONFIG_SIZE = Limit("config-size", 16 * MIB, "one configuration file; the largest real one seen is 1.7 MB")
FILE_SIZE = Limit("file-size", 1 * GIB, "a kernel or ramdisk; Xen's own XC_DOM_DECOMPRESS_MAX")
DIRECTORY_SIZE = Limit("directory-size", 4 * GIB, "bytes of one directory read by scanning")

# --- schemas -------------------------------------------------------------------------------------
ARRAY_ITEMS = Limit("array-items", 65536, "elements of an array whose count a schema takes from the disk")
TRACED_FIELD = Limit("traced-field", 1 * MIB, "bytes of one field that inspect looks at")

# --- volumes -------------------------------------------------------------------------------------
GPT_ENTRY_SIZE = Limit("gpt-entry-size", 4096, "bytes of one GPT entry; all tools write 128")
GPT_ENTRY_ARRAY = Limit("gpt-entry-array", 1 * MIB, "bytes of all GPT entries; all tools write 16 KiB")
EBR_CHAIN = Limit("ebr-chain", 1024, "extended boot records; Linux gives up after 100 empty ones")

# --- paths ---------------------------------------------------------------------------------------
PATH_LENGTH = Limit("path-length", 4096, "PATH_MAX of Linux")
SYMLINKS = Limit("symlinks", 40, "MAXSYMLINKS of Linux, for one path")
PATH_DEPTH = Limit("path-depth", 1024, "directories below each other; deeper ones are loops or attacks")
DIRECTORY_NAMES = Limit("directory-names", 200_000, "names of one directory held at once, for a glob")
LISTED_FAILURES = Limit("listed-failures", 100_000, "files of one listing that cannot be read")
LISTED_FILES = Limit("listed-files", 20_000_000, "files in one recursive listing")

# --- files as disks ------------------------------------------------------------------------------
LOOPBACKS = Limit("loopbacks", 64, "files of one guest opened as disks; real configurations name one or two")
LOOPBACK_RUNS = Limit("loopback-runs", 500_000, "fragments of a file that is opened as a disk")

# --- grammars ------------------------------------------------------------------------------------
SYNTAX_TOKENS = Limit(
    "syntax-tokens", 300_000, "words and symbols in one statement or document; real ones stay under 20,000"
)
SYNTAX_TOKEN = Limit("syntax-token", 32 * KIB, "characters of one word; a kernel takes 4 KiB of arguments")
SYNTAX_DEPTH = Limit("syntax-depth", 2000, "entries on the parser's stack; real grub.cfg files stay under 60")

# --- fat -----------------------------------------------------------------------------------------
FAT_DIRECTORY_SIZE = Limit("fat-directory-size", 65536 * 32, "bytes; the specification allows 65536 entries")
FAT_CHAIN_WINDOWS = Limit("fat-chain-windows", 16384, "pieces of the FAT read for one chain; 4 GiB need 2048")
EXFAT_DIRECTORY_SIZE = Limit("exfat-directory-size", 256 * MIB, "bytes; exFAT specification, section 7.1")
EXFAT_UPCASE_TABLE_SIZE = Limit("exfat-upcase-table-size", 128 * KIB, "two bytes for each UTF-16 code unit")

# --- reiserfs ------------------------------------------------------------------------------------
REISERFS_TREE_HEIGHT = Limit("reiserfs-tree-height", 7, "levels of the tree; Linux stops at 5")
REISERFS_JOURNAL_BLOCKS = Limit("reiserfs-journal-blocks", 1 << 16, "mkreiserfs makes 32749 at most")

# --- iso9660 -------------------------------------------------------------------------------------
ISO9660_DESCRIPTORS = Limit("iso9660-descriptors", 84, "volume descriptors; as Linux, up to sector 100")
ISO9660_SECTIONS = Limit("iso9660-sections", 4096, "sections of one file; 8 TiB need 2048, Linux takes 100")
ISO9660_EXTENTS = Limit("iso9660-extents", 65_536, "pieces of one interleaved and compressed file")
ISO9660_NAME = Limit("iso9660-name", 1024, "bytes of a Rock Ridge name; Linux takes 254")
ISO9660_CONTINUATIONS = Limit("iso9660-continuations", 32, "CE entries of one record, as in Linux")
ISO9660_CONTINUATION = Limit(
    "iso9660-continuation", 64 * KIB, "bytes of all continuation areas of one record"
)
ISO9660_BOOT_ENTRIES = Limit(
    "iso9660-boot-entries", 1024, "entries of an El Torito catalogue; 64 fill a sector"
)
ISO9660_PATH_TABLE = Limit("iso9660-path-table", 256, "path table records that inspect shows")

# --- ufs -----------------------------------------------------------------------------------------
UFS_DIRECTORY_SIZE = Limit("ufs-directory-size", 256 * MIB, "bytes of one directory: ten million names")
UFS_FILE_BLOCKS = Limit("ufs-file-blocks", 1 << 24, "blocks of one file: 512 GiB of the usual 32 KiB")
UFS_SUPERBLOCK_SEARCH = Limit("ufs-superblock-search", 256 * MIB, "bytes searched for a superblock's copy")

# --- ext -----------------------------------------------------------------------------------------
EXT_JOURNAL_BLOCKS = Limit("ext-journal-blocks", 1 << 20, "distinct blocks that one replay puts in place")
EXT_REVOKES = Limit("ext-revokes", 1 << 20, "distinct blocks that the log of one journal revokes")
EXT_GROUPS_SHOWN = Limit(
    "ext-groups-shown", 16384, "group descriptors that inspect shows; 2 TiB of 4 KiB blocks"
)
EXT_FAST_COMMIT_TAGS = Limit(
    "ext-fast-commit-tags", 1 << 18, "tags of one fast commit area; 256 blocks is usual"
)

# --- zfs -----------------------------------------------------------------------------------------
ZFS_NVPAIRS = Limit("zfs-nvpairs", 1 << 16, "pairs of one nvlist; a pool of 1000 disks has 15,000")
ZFS_NVLIST_DEPTH = Limit("zfs-nvlist-depth", 16, "lists within each other; a spare in a raidz is at depth 5")
ZFS_VDEVS = Limit("zfs-vdevs", 4096, "devices of one pool, top-level ones too")
ZFS_RAIDZ_WIDTH = Limit("zfs-raidz-width", 255, "children of a raidz; the field GF(2^8) has no room for more")
ZFS_RECONSTRUCTIONS = Limit("zfs-reconstructions", 4096, "sets of columns tried to make a raidz block good")
ZFS_RECONSTRUCTED = Limit("zfs-reconstructed", 4 * GIB, "bytes made good on trial in one raidz, all blocks")
ZFS_COMBINATIONS = Limit("zfs-combinations", 64, "combinations of copies of a removed device's block")
ZFS_GANG_BLOCKS = Limit("zfs-gang-blocks", 65536, "pieces of one block; 16 MiB in sectors are 32768")
ZFS_GANG_DEPTH = Limit("zfs-gang-depth", 16, "gang headers below each other")
ZFS_INDIRECT_DEPTH = Limit("zfs-indirect-depth", 64, "removed devices that point at each other")
ZFS_MAPPING_ENTRIES = Limit("zfs-mapping-entries", 65536, "runs of a removed device under one block")
ZFS_BLOCK_CACHE = Limit("zfs-block-cache", 8 * MIB, "bytes of metadata blocks kept")
ZFS_ZAP_BLOCKS = Limit("zfs-zap-blocks", 1 << 17, "blocks of one ZAP; 2 GiB, 20 million names")
ZFS_DATASETS = Limit("zfs-datasets", 100_000, "datasets of one pool looked through for mount points")
ZFS_DATASET_DEPTH = Limit("zfs-dataset-depth", 128, "datasets below each other; zfs(8) stops at 50")
ZFS_CONFIG_SIZE = Limit("zfs-config-size", 16 * MIB, "bytes of the packed configuration in the pool")
ZFS_ATTRIBUTES = Limit("zfs-attributes", 4096, "system attributes or layouts registered; ZPL has 22")
ZFS_OBJECTS_SHOWN = Limit("zfs-objects-shown", 4096, "objects of one object set that inspect shows")
ZFS_LOG_BLOCKS = Limit("zfs-log-blocks", 16384, "blocks of one intent log")
ZFS_LOG_DATA = Limit("zfs-log-data", 256 * MIB, "bytes of file data in the records of one intent log")
ZFS_LOG_NAMES = Limit("zfs-log-names", 10_000, "names looked through to say which files a log touches")
ZFS_LOG_RECORDS = Limit("zfs-log-records", 200_000, "records of one intent log")

# --- grub2 ---------------------------------------------------------------------------------------
GRUB_STEPS = Limit("grub-steps", 400_000, "commands run for one configuration; a large real one needs 10,000")
GRUB_ENTRY_STEPS = Limit("grub-entry-steps", 20_000, "commands run for one entry of the menu")
GRUB_DEPTH = Limit("grub-depth", 100, "functions, blocks, sourced files and submenus inside one another")
GRUB_MENU_DEPTH = Limit("grub-menu-depth", 10, "submenus and further configurations inside one another")
GRUB_TEXT = Limit("grub-text", 4 * MIB, "characters of script parsed; the largest real grub.cfg has 1.7 MB")
GRUB_VARIABLE = Limit(
    "grub-variable", 64 * KIB, "characters in one variable; a kernel takes 4 KiB of arguments"
)
GRUB_ENVIRONMENT = Limit(
    "grub-environment", 512 * KIB, "bytes of environment blocks read, over a whole run; a block has 1 KiB"
)
GRUB_VARIABLES = Limit("grub-variables", 10_000, "variables in one context; GRUB's own are 50")
GRUB_EXPANSION = Limit("grub-expansion", 32 * MIB, "characters that words expand to, over a whole run")
GRUB_OUTPUT = Limit("grub-output", 4 * MIB, "characters that a script prints")
GRUB_ENTRIES = Limit("grub-entries", 20_000, "entries of a menu and all its submenus")
GRUB_FILE_ACCESSES = Limit("grub-file-accesses", 20_000, "questions about the guest's files and devices")
GRUB_WARNINGS = Limit("grub-warnings", 200, "warnings kept for a configuration, and for an entry")
REGEXP_LENGTH = Limit("regexp-length", 1000, "characters of a regular expression in a configuration")
REGEXP_STATES = Limit("regexp-states", 5000, "states of the machine that matches a regular expression")
REGEXP_REPEATS = Limit("regexp-repeats", 255, "RE_DUP_MAX of POSIX")
REGEXP_DEPTH = Limit("regexp-depth", 50, "groups inside one another in a regular expression")
REGEXP_WORK = Limit("regexp-work", 1_000_000, "states visited in matching, over a whole run")

# --- syslinux ------------------------------------------------------------------------------------
SYSLINUX_TEXT = Limit("syslinux-text", 4 * MIB, "characters read for one menu; a large one has 100,000")
SYSLINUX_STATEMENTS = Limit("syslinux-statements", 100_000, "lines read for one menu; a large one has 2,000")
SYSLINUX_LINE = Limit("syslinux-line", 16 * KIB, "characters of one line; SYSLINUX reads 4095 at a time")
SYSLINUX_LABELS = Limit("syslinux-labels", 20_000, "labels and submenus, those of further configurations too")
SYSLINUX_INCLUDES = Limit("syslinux-includes", 16, "files that include each other; as syslinux.cfg(5) says")
SYSLINUX_MENU_DEPTH = Limit("syslinux-menu-depth", 16, "submenus and further configurations in one another")
SYSLINUX_FILES = Limit("syslinux-files", 500, "files included, and configurations that entries load")
SYSLINUX_COMMANDS = Limit("syslinux-commands", 16, "commands that lead to one another, as ifcpu64.c32 does")
SYSLINUX_WARNINGS = Limit("syslinux-warnings", 200, "warnings kept for a configuration, and for an entry")

# --- grub_legacy / lilo --------------------------------------------------------------------------
GRUB_LEGACY_TEXT = Limit("grub-legacy-text", 1 * MIB, "bytes of one menu.lst; the largest real one has 12 KB")
GRUB_LEGACY_ENTRIES = Limit("grub-legacy-entries", 20_000, "entries of a menu and of those it leads to")
GRUB_LEGACY_MENUS = Limit("grub-legacy-menus", 100, "configurations that one menu leads to by configfile")
GRUB_LEGACY_DEPTH = Limit("grub-legacy-depth", 8, "configurations that lead to one another by configfile")
GRUB_LEGACY_QUESTIONS = Limit("grub-legacy-questions", 20_000, "devices, labels and files looked for")
GRUB_LEGACY_WARNINGS = Limit("grub-legacy-warnings", 200, "warnings kept for a menu, and for an entry")
LILO_TEXT = Limit("lilo-text", 256 * KIB, "bytes of one lilo.conf; the largest real one has 8 KB")
LILO_ENTRIES = Limit("lilo-entries", 20_000, "images and other systems; LILO has room for 27")
LILO_INCLUDES = Limit("lilo-includes", 100, "files that a lilo.conf includes")
LILO_QUESTIONS = Limit("lilo-questions", 20_000, "files looked for")
LILO_WARNINGS = Limit("lilo-warnings", 200, "warnings kept for a configuration, and for an entry")

# --- menu ----------------------------------------------------------------------------------------
MENU_LINE = Limit("menu-line", 8186, "characters typed into one line; libxl takes as many of arguments")
MENU_TEXT = Limit("menu-text", 64 * KIB, "characters of an entry's commands that are edited")
MENU_OUTPUT = Limit("menu-output", 2000, "lines of output that the command line keeps")
MENU_COMPLETIONS = Limit("menu-completions", 200, "completions shown for one word")
PASSWORD_ROUNDS = Limit(
    "password-rounds", 5_000_000, "rounds of a password's hash: two seconds; 10,000 are usual"
)

# --- bls -----------------------------------------------------------------------------------------
BLS_FILE_SIZE = Limit(
    "bls-file-size", 1 * MIB, "bytes of one entry file or text section; real ones have 1 KiB"
)
BLS_TEXT = Limit("bls-text", 8 * MIB, "bytes of all entry files of one menu")
BLS_ENTRIES = Limit("bls-entries", 4096, "entries of one menu, profiles of unified kernel images included")
PE_SECTIONS = Limit("pe-sections", 4096, "sections of one PE file; a unified kernel image has about 15")
PE_PROFILES = Limit("pe-profiles", 256, "profiles of one unified kernel image, as in systemd-boot")

# --- sandbox -------------------------------------------------------------------------------------
SANDBOX_MEMORY = Limit("sandbox-memory", 256 * MIB, "address space of the reader, as for the real pygrub")
SANDBOX_CPU = Limit("sandbox-cpu", 100, "seconds of processor time of the reader; libxl waits for 120")
SANDBOX_TIME = Limit("sandbox-time", 900, "seconds in which the reader answers, unless there is a menu")
RESTRICTED_FILE_SIZE = Limit("restricted-file-size", 128 * MIB, "a file copied with --runas, as pygrub did")
ANSWER_SIZE = Limit("answer-size", 4 * MIB, "bytes that the reader answers with")
LISTING_SIZE = Limit("listing-size", 64 * MIB, "bytes that the reader answers with when a menu is listed")
ARGS_LENGTH = Limit("args-length", 64 * KIB, "bytes of a kernel command line; Linux takes 4 KiB at most")
REMARKS = Limit("remarks", 300, "lines about the guest that the reader passes on")
REMARK_LENGTH = Limit("remark-length", 1000, "characters of one such line")

# --- inspect -------------------------------------------------------------------------------------
INSPECT_ITEMS = Limit("inspect-items", 1_000_000, "structures that one place such as inode[2:900] stands for")
INSPECT_INODES = Limit("inspect-inodes", 20_000_000, "inodes of a dump of everything")
INSPECT_BLOCKS = Limit("inspect-blocks", 1_000_000, "blocks of one file's block tree that are shown")
INSPECT_RUNS = Limit("inspect-runs", 10_000, "runs of a file that are shown")
INSPECT_FILES = Limit("inspect-files", 500_000, "files looked at to find whose byte it is")
INSPECT_STRUCTURES = Limit("inspect-structures", 200_000, "structures looked at to find whose byte it is")
INSPECT_NODES = Limit("inspect-nodes", 200_000, "nodes of a configuration's syntax tree that are shown")
INSPECT_DEPTH = Limit("inspect-depth", 100, "nodes of a syntax tree below one another; real ones have 20")
INSPECT_RANGE = Limit("inspect-range", 16 * MIB, "bytes of one --range")
KERNEL_VERSION = Limit("kernel-version", 4096, "bytes of a kernel's version string; real ones have 100")
INSPECT_GAP = Limit("inspect-gap", 4096, "bytes of a gap that are shown")
