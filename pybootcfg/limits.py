"""Every cap on hostile input, by name, in one table; and the totals of one run.

A number that a disk or a configuration claims meets its cap at the place of use
(`GPT_ENTRIES.check(header.entry_count)`); work that a claim could prolong draws on a budget
(`steps = SYMLINKS.budget()`, then `steps.spend()` per step).  A `Total` bounds what all of that comes
to for one guest.  All raise `LimitExceeded` with the name of the cap, so that a person can tell which
one was hit, and can raise it: `--limit NAME=VALUE`.
"""

from __future__ import annotations

import os

from pybootcfg.errors import LimitExceeded, UsageError, printable

TABLE: dict[str, Limit] = {}


class Limit:
    """One cap.

    `value` is in the unit that `reason` names.  `seen` is the largest value that the corpus of real images
    and configurations reaches, or that a format's own tools make; 0 where neither has any.
    """

    __slots__ = ("name", "reason", "seen", "value")

    def __init__(self, name: str, value: int, seen: int, reason: str) -> None:
        self.name = name
        self.value = value
        self.seen = seen
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
        TOTAL_STEPS.add()


class Total(Limit):
    """A cap on what one run comes to, over all volumes, files and configurations of a guest.

    There is one run at a time: `begin` starts it.  Work may take more for more contents; memory may not.
    """

    __slots__ = ("cap", "grows", "spent")

    def __init__(self, name: str, value: int, seen: int, reason: str, *, grows: bool = True) -> None:
        super().__init__(name, value, seen, reason)
        self.grows = grows
        self.cap = value
        self.spent = 0
        TOTALS.append(self)

    def add(self, amount: int = 1) -> None:
        """Count what was used; raise LimitExceeded from when the cap is passed on."""
        self.spent += amount
        if self.spent > self.cap:
            raise _expired[0] if _expired else LimitExceeded(self.name, self.spent, self.cap)

    def scaled(self) -> int:
        """Return the cap of this run."""
        return self.value * (_scale[0] if self.grows else 1)


TOTALS: list[Total] = []
#: the error of a run that was told to end; its counters stop at whatever they are asked next
_expired: list[LimitExceeded] = []
_scale = [1]


def begin(scale: int | None = None) -> None:
    """Begin a run: nothing is used yet.  `scale` multiplies the totals that grow, now and in later runs."""
    _scale[:] = [scale or _scale[0]]
    _expired.clear()
    for total in TOTALS:
        total.cap, total.spent = total.scaled(), 0


def expire(total: Total) -> LimitExceeded:
    """End the run, since `total` is used up; return the error that it is to raise, now and at each count."""
    cap = total.scaled()
    _expired.append(LimitExceeded(total.name, cap, cap))
    for each in TOTALS:
        each.cap = -1
    return _expired[0]  # if there was an earlier end, that one


def allow(text: str) -> None:
    """Replace a limit as `NAME=VALUE` says: whole numbers, or such with K, M or G for powers of 1024.

    Raises UsageError for a name that is not in the table, and for what is no number.
    """
    name, equals, number = text.partition("=")
    limit = TABLE.get(name)
    if limit is None:
        common = {known: len(os.path.commonprefix([known, name])) for known in TABLE}  # noqa: RUF071
        alike = sorted(TABLE, key=lambda known: -common[known])[:4]
        close = alike if alike[0][:3] == name[:3] else [known for known in TABLE if name and name in known]
        hint = f"{' or '.join(close)}?" if close else "`pybootcfg limits` lists them"
        raise UsageError(f"no limit is called {printable(name)}", hint=hint)
    digits, unit = (number[:-1], number[-1:]) if number[-1:] in UNITS else (number, "")
    if not (equals and digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise UsageError(f"{name}={printable(number)}: a number is wanted, such as {limit.value} or 64M")
    limit.value = int(digits) * UNITS.get(unit, 1)
    begin()


KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
UNITS = {"K": KIB, "M": MIB, "G": GIB}

# --- one run --------------------------------------------------------------------------------------
# For what a guest boots; commands that show or copy contents have more, by the size of the disks.
TOTAL_CPU = Total("total-cpu", 8, 1, "seconds of processor time")
TOTAL_TIME = Total(
    "total-time", 900, 1, "seconds from start to answer, unless there is a menu; libxl waits for 120"
)
TOTAL_MEMORY = Total(
    "total-memory",
    96 * MIB,
    24 * MIB,
    "bytes of private memory; with shared code it stays under 128 MiB",
    grows=False,
)
TOTAL_READS = Total("total-reads", 1_000_000, 431, "reads of the disks; a second has room for 200,000")
TOTAL_READ = Total(
    "total-read", 8 * GIB, 4_460_923, "bytes read of the disks, but for what the kernel copies"
)
TOTAL_DECODED = Total("total-decoded", 8 * GIB, 0, "bytes that decompression yields")
TOTAL_COPIED = Total("total-copied", 2 * GIB, 0, "bytes of files copied out; a kernel and a ramdisk")
TOTAL_STEPS = Total(
    "total-steps", 2_000_000, 77_231, "steps of interpreters and walks, all that draws on a budget"
)

# --- reading -------------------------------------------------------------------------------------
READ_SIZE = Limit(
    "read-size", 16 * MIB, 1 * MIB, "bytes of one read into memory; files are copied in pieces of 1 MiB"
)
CONFIG_SIZE = Limit("config-size", 16 * MIB, 1_700_000, "bytes of one configuration file")
FILE_SIZE = Limit("file-size", 1 * GIB, 0, "bytes of a kernel or ramdisk; Xen's own XC_DOM_DECOMPRESS_MAX")
DIRECTORY_SIZE = Limit(
    "directory-size",
    4 * GIB,
    272_376,
    "bytes of one directory read by scanning; a million names of ext4 take 40 MiB, long ones 300",
)

# --- schemas -------------------------------------------------------------------------------------
ARRAY_ITEMS = Limit("array-items", 65536, 0, "elements of an array whose count a schema takes from the disk")
TRACED_FIELD = Limit("traced-field", 1 * MIB, 4096, "bytes of one field that inspect looks at")

# --- volumes -------------------------------------------------------------------------------------
GPT_ENTRY_SIZE = Limit("gpt-entry-size", 4096, 128, "bytes of one GPT entry; all tools write 128")
GPT_ENTRY_ARRAY = Limit("gpt-entry-array", 1 * MIB, 16 * KIB, "bytes of all GPT entries; 128 of them")
EBR_CHAIN = Limit("ebr-chain", 1024, 2, "extended boot records; Linux gives up after 100 empty ones")

# --- paths ---------------------------------------------------------------------------------------
PATH_LENGTH = Limit("path-length", 4096, 1000, "bytes of a path; PATH_MAX of Linux")
SYMLINKS = Limit("symlinks", 40, 1, "links followed for one path; MAXSYMLINKS of Linux")
PATH_DEPTH = Limit("path-depth", 1024, 13, "directories below each other; deeper ones are loops or attacks")
DIRECTORY_NAMES = Limit("directory-names", 200_000, 1, "names of one directory held at once, for a glob")
LISTED_FAILURES = Limit("listed-failures", 100_000, 0, "files of one listing that cannot be read")
LISTED_FILES = Limit("listed-files", 20_000_000, 6394, "files in one recursive listing")

# --- files as disks ------------------------------------------------------------------------------
LOOPBACKS = Limit("loopbacks", 64, 0, "files of one guest opened as disks")
LOOPBACK_RUNS = Limit("loopback-runs", 500_000, 0, "fragments of a file that is opened as a disk")

# --- grammars ------------------------------------------------------------------------------------
SYNTAX_TOKENS = Limit("syntax-tokens", 300_000, 20_000, "words and symbols in one statement or document")
SYNTAX_TOKEN = Limit(
    "syntax-token", 32 * KIB, 2000, "characters of one word; a kernel takes 4 KiB of arguments"
)
SYNTAX_DEPTH = Limit("syntax-depth", 2000, 60, "entries on the parser's stack")

# --- file systems ---------------------------------------------------------------------------------
FILESYSTEM_WARNINGS = Limit("filesystem-warnings", 100, 2, "warnings kept for one file system")

# --- fat -----------------------------------------------------------------------------------------
FAT_DIRECTORY_SIZE = Limit(
    "fat-directory-size", 65536 * 32, 73_728, "bytes; the specification allows 65536 entries"
)
FAT_CHAIN_WINDOWS = Limit(
    "fat-chain-windows", 16384, 2048, "pieces of the FAT read for one chain; 4 GiB need 2048"
)
EXFAT_DIRECTORY_SIZE = Limit("exfat-directory-size", 256 * MIB, 0, "bytes; exFAT specification, section 7.1")
EXFAT_UPCASE_TABLE_SIZE = Limit(
    "exfat-upcase-table-size",
    128 * KIB,
    0,
    "bytes; two for each UTF-16 code unit, most tables are compressed",
)

# --- reiserfs ------------------------------------------------------------------------------------
REISERFS_TREE_HEIGHT = Limit("reiserfs-tree-height", 7, 5, "levels of the tree; Linux stops at 5")
REISERFS_JOURNAL_BLOCKS = Limit(
    "reiserfs-journal-blocks", 1 << 16, 32_749, "blocks of the journal; mkreiserfs makes 32749 at most"
)

# --- iso9660 -------------------------------------------------------------------------------------
ISO9660_DESCRIPTORS = Limit("iso9660-descriptors", 84, 0, "volume descriptors; as Linux, up to sector 100")
ISO9660_SECTIONS = Limit(
    "iso9660-sections", 4096, 1, "sections of one file; 8 TiB need 2048, Linux takes 100"
)
ISO9660_EXTENTS = Limit("iso9660-extents", 65_536, 0, "pieces of one interleaved and compressed file")
ISO9660_NAME = Limit("iso9660-name", 1024, 230, "bytes of a Rock Ridge name; Linux takes 254")
ISO9660_CONTINUATIONS = Limit("iso9660-continuations", 32, 1, "CE entries of one record, as in Linux")
ISO9660_CONTINUATION = Limit(
    "iso9660-continuation", 64 * KIB, 1027, "bytes of all continuation areas of one record"
)
ISO9660_BOOT_ENTRIES = Limit(
    "iso9660-boot-entries", 1024, 1, "entries of an El Torito catalogue; 64 fill a sector"
)
ISO9660_PATH_TABLE = Limit("iso9660-path-table", 256, 0, "path table records that inspect shows")

# --- ufs -----------------------------------------------------------------------------------------
UFS_DIRECTORY_SIZE = Limit(
    "ufs-directory-size", 256 * MIB, 47_616, "bytes of one directory; ten million names"
)
UFS_FILE_BLOCKS = Limit("ufs-file-blocks", 1 << 24, 12, "blocks of one file; 512 GiB of the usual 32 KiB")
UFS_SUPERBLOCK_SEARCH = Limit("ufs-superblock-search", 256 * MIB, 0, "bytes searched for a superblock's copy")

# --- ext -----------------------------------------------------------------------------------------
EXT_JOURNAL_BLOCKS = Limit("ext-journal-blocks", 1 << 20, 36, "distinct blocks that one replay puts in place")
EXT_REVOKES = Limit("ext-revokes", 1 << 20, 0, "distinct blocks that the log of one journal revokes")
EXT_GROUPS_SHOWN = Limit(
    "ext-groups-shown", 16384, 0, "group descriptors that inspect shows; 2 TiB of 4 KiB blocks"
)
EXT_FAST_COMMIT_TAGS = Limit(
    "ext-fast-commit-tags", 1 << 18, 0, "tags of one fast commit area; 256 blocks is usual"
)

# --- zfs -----------------------------------------------------------------------------------------
ZFS_NVPAIRS = Limit("zfs-nvpairs", 1 << 16, 15_000, "pairs of one nvlist; those of a pool of 1000 disks")
ZFS_NVLIST_DEPTH = Limit(
    "zfs-nvlist-depth", 16, 5, "lists within each other; a spare in a raidz is at depth 5"
)
ZFS_VDEVS = Limit("zfs-vdevs", 4096, 0, "devices of one pool, top-level ones too")
ZFS_RAIDZ_WIDTH = Limit(
    "zfs-raidz-width", 255, 4, "children of a raidz; the field GF(2^8) has no room for more"
)
ZFS_RECONSTRUCTIONS = Limit(
    "zfs-reconstructions", 4096, 0, "sets of columns tried to make a raidz block good; all pairs of 16"
)
ZFS_RECONSTRUCTED = Limit(
    "zfs-reconstructed", 4 * GIB, 0, "bytes made good on trial in one raidz, all blocks"
)
ZFS_COMBINATIONS = Limit("zfs-combinations", 64, 0, "combinations of copies of a removed device's block")
ZFS_GANG_BLOCKS = Limit("zfs-gang-blocks", 65536, 32_768, "pieces of one block; those of 16 MiB in sectors")
ZFS_GANG_DEPTH = Limit("zfs-gang-depth", 16, 1, "gang headers below each other")
ZFS_INDIRECT_DEPTH = Limit("zfs-indirect-depth", 64, 0, "removed devices that point at each other")
ZFS_MAPPING_ENTRIES = Limit("zfs-mapping-entries", 65536, 0, "runs of a removed device under one block")
ZFS_BLOCK_CACHE = Limit("zfs-block-cache", 8 * MIB, 0, "bytes of metadata blocks kept")
ZFS_ZAP_BLOCKS = Limit("zfs-zap-blocks", 1 << 17, 33, "blocks of one ZAP; 2 GiB, 20 million names")
ZFS_DATASETS = Limit("zfs-datasets", 100_000, 11, "datasets of one pool looked through for mount points")
ZFS_DATASET_DEPTH = Limit("zfs-dataset-depth", 128, 50, "datasets below each other; zfs(8) stops at 50")
ZFS_CONFIG_SIZE = Limit("zfs-config-size", 16 * MIB, 2436, "bytes of the packed configuration in the pool")
ZFS_ATTRIBUTES = Limit("zfs-attributes", 4096, 29, "system attributes or layouts registered")
ZFS_OBJECTS_SHOWN = Limit("zfs-objects-shown", 4096, 0, "objects of one object set that inspect shows")
ZFS_METASLABS = Limit("zfs-metaslabs", 1 << 18, 191, "metaslabs of one vdev; ZFS makes 2^17")
ZFS_SPACE_MAP_ENTRIES = Limit("zfs-space-map-entries", 1 << 24, 0, "entries of one space map, of any kind")
ZFS_HISTORY_RECORDS = Limit("zfs-history-records", 1_000_000, 0, "commands in the history of one pool")
ZFS_LOG_BLOCKS = Limit("zfs-log-blocks", 16384, 1, "blocks of one intent log")
ZFS_LOG_DATA = Limit("zfs-log-data", 256 * MIB, 0, "bytes of file data in the records of one intent log")
ZFS_LOG_NAMES = Limit("zfs-log-names", 10_000, 0, "names looked through to say which files a log touches")
ZFS_LOG_RECORDS = Limit("zfs-log-records", 200_000, 0, "records of one intent log")

# --- grub2 ---------------------------------------------------------------------------------------
GRUB_STEPS = Limit("grub-steps", 400_000, 10_000, "commands run for one configuration")
GRUB_ENTRY_STEPS = Limit("grub-entry-steps", 20_000, 23, "commands run for one entry of the menu")
GRUB_DEPTH = Limit("grub-depth", 100, 2, "functions, blocks, sourced files and submenus inside one another")
GRUB_MENU_DEPTH = Limit("grub-menu-depth", 10, 1, "submenus and further configurations inside one another")
GRUB_TEXT = Limit("grub-text", 4 * MIB, 1_700_000, "characters of script parsed")
GRUB_VARIABLE = Limit(
    "grub-variable", 64 * KIB, 0, "characters in one variable; a kernel takes 4 KiB of arguments"
)
GRUB_ENVIRONMENT = Limit(
    "grub-environment", 512 * KIB, KIB, "bytes of environment blocks read, over a whole run"
)
GRUB_VARIABLES = Limit("grub-variables", 10_000, 50, "variables in one context; GRUB's own are 50")
GRUB_EXPANSION = Limit(
    "grub-expansion", 32 * MIB, 15_618, "characters that words expand to, over a whole run"
)
GRUB_OUTPUT = Limit("grub-output", 4 * MIB, 2326, "characters that a script prints")
GRUB_ENTRIES = Limit("grub-entries", 20_000, 34, "entries of a menu and all its submenus")
GRUB_FILE_ACCESSES = Limit("grub-file-accesses", 20_000, 102, "questions about the guest's files and devices")
GRUB_WARNINGS = Limit("grub-warnings", 200, 0, "warnings kept for a configuration, and for an entry")
REGEXP_LENGTH = Limit("regexp-length", 1000, 16, "characters of a regular expression in a configuration")
REGEXP_STATES = Limit("regexp-states", 5000, 15, "states of the machine that matches a regular expression")
REGEXP_REPEATS = Limit("regexp-repeats", 255, 0, "repetitions in braces; RE_DUP_MAX of POSIX")
REGEXP_DEPTH = Limit("regexp-depth", 50, 2, "groups inside one another in a regular expression")
REGEXP_WORK = Limit("regexp-work", 1_000_000, 308, "states visited in matching, over a whole run")

# --- syslinux ------------------------------------------------------------------------------------
SYSLINUX_TEXT = Limit("syslinux-text", 4 * MIB, 100_000, "characters read for one menu")
SYSLINUX_STATEMENTS = Limit("syslinux-statements", 100_000, 2000, "lines read for one menu")
SYSLINUX_LINE = Limit(
    "syslinux-line", 16 * KIB, 4095, "characters of one line; SYSLINUX reads 4095 at a time"
)
SYSLINUX_LABELS = Limit(
    "syslinux-labels", 20_000, 102, "labels and submenus, those of further configurations too"
)
SYSLINUX_INCLUDES = Limit(
    "syslinux-includes", 16, 16, "files that include each other; as syslinux.cfg(5) says"
)
SYSLINUX_MENU_DEPTH = Limit(
    "syslinux-menu-depth", 16, 1, "submenus and further configurations in one another"
)
SYSLINUX_FILES = Limit("syslinux-files", 500, 5, "files included, and configurations that entries load")
SYSLINUX_COMMANDS = Limit(
    "syslinux-commands", 16, 0, "commands that lead to one another, as ifcpu64.c32 does"
)
SYSLINUX_WARNINGS = Limit("syslinux-warnings", 200, 0, "warnings kept for a configuration, and for an entry")

# --- grub_legacy / lilo --------------------------------------------------------------------------
GRUB_LEGACY_TEXT = Limit("grub-legacy-text", 1 * MIB, 12_000, "bytes of one menu.lst")
GRUB_LEGACY_ENTRIES = Limit("grub-legacy-entries", 20_000, 27, "entries of a menu and of those it leads to")
GRUB_LEGACY_MENUS = Limit("grub-legacy-menus", 100, 1, "configurations that one menu leads to by configfile")
GRUB_LEGACY_DEPTH = Limit("grub-legacy-depth", 8, 0, "configurations that lead to one another by configfile")
GRUB_LEGACY_QUESTIONS = Limit("grub-legacy-questions", 20_000, 37, "devices, labels and files looked for")
GRUB_LEGACY_WARNINGS = Limit("grub-legacy-warnings", 200, 0, "warnings kept for a menu, and for an entry")
LILO_TEXT = Limit("lilo-text", 256 * KIB, 7788, "bytes of one lilo.conf")
LILO_ENTRIES = Limit("lilo-entries", 20_000, 27, "images and other systems; LILO has room for 27")
LILO_INCLUDES = Limit("lilo-includes", 100, 0, "files that a lilo.conf includes")
LILO_QUESTIONS = Limit("lilo-questions", 20_000, 6, "files looked for")
LILO_WARNINGS = Limit("lilo-warnings", 200, 0, "warnings kept for a configuration, and for an entry")

# --- menu ----------------------------------------------------------------------------------------
MENU_CPU = Limit("menu-cpu", 100, 0, "seconds of processor time of the reader that shows a menu")
MENU_LINE = Limit("menu-line", 8186, 0, "characters typed into one line; libxl takes as many of arguments")
MENU_TEXT = Limit("menu-text", 64 * KIB, 0, "characters of an entry's commands that are edited")
MENU_OUTPUT = Limit("menu-output", 2000, 0, "lines of output that the command line keeps")
MENU_COMPLETIONS = Limit("menu-completions", 200, 0, "completions shown for one word")
PASSWORD_ROUNDS = Limit(
    "password-rounds", 5_000_000, 10_000, "rounds of a password's hash; the cap takes two seconds"
)

# --- bls -----------------------------------------------------------------------------------------
BLS_FILE_SIZE = Limit("bls-file-size", 1 * MIB, 1024, "bytes of one entry file or text section")
BLS_TEXT = Limit("bls-text", 8 * MIB, 1460, "bytes of all entry files of one menu")
BLS_ENTRIES = Limit("bls-entries", 4096, 8, "entries of one menu, profiles of unified kernel images included")
PE_SECTIONS = Limit("pe-sections", 4096, 15, "sections of one PE file; those of a unified kernel image")
PE_PROFILES = Limit("pe-profiles", 256, 0, "profiles of one unified kernel image, as in systemd-boot")

# --- sandbox -------------------------------------------------------------------------------------
SANDBOX_MEMORY = Limit(
    "sandbox-memory", 256 * MIB, 0, "bytes of address space of the reader, as for the real pygrub"
)
RESTRICTED_FILE_SIZE = Limit(
    "restricted-file-size", 128 * MIB, 0, "bytes of a file copied with --runas, as pygrub did"
)
ANSWER_SIZE = Limit("answer-size", 4 * MIB, 0, "bytes that the reader answers with")
LISTING_SIZE = Limit("listing-size", 64 * MIB, 0, "bytes that the reader answers with when a menu is listed")
ARGS_LENGTH = Limit(
    "args-length", 64 * KIB, 4 * KIB, "bytes of a kernel command line; Linux takes 4 KiB at most"
)
REMARKS = Limit("remarks", 300, 0, "lines about the guest that the reader passes on")
REMARK_LENGTH = Limit("remark-length", 1000, 0, "characters of one such line")

# --- inspect -------------------------------------------------------------------------------------
INSPECT_ITEMS = Limit(
    "inspect-items", 1_000_000, 0, "structures that one place such as inode[2:900] stands for"
)
INSPECT_INODES = Limit("inspect-inodes", 20_000_000, 2643, "inodes of a dump of everything")
INSPECT_BLOCKS = Limit("inspect-blocks", 1_000_000, 0, "blocks of one file's block tree that are shown")
INSPECT_RUNS = Limit("inspect-runs", 10_000, 0, "runs of a file that are shown")
INSPECT_FILES = Limit("inspect-files", 500_000, 0, "files looked at to find whose byte it is")
INSPECT_STRUCTURES = Limit("inspect-structures", 200_000, 0, "structures looked at to find whose byte it is")
INSPECT_NODES = Limit("inspect-nodes", 200_000, 0, "nodes of a configuration's syntax tree that are shown")
INSPECT_DEPTH = Limit("inspect-depth", 100, 20, "nodes of a syntax tree below one another")
INSPECT_RANGE = Limit("inspect-range", 16 * MIB, 0, "bytes of one --range")
KERNEL_VERSION = Limit("kernel-version", 4096, 100, "bytes of a kernel's version string")
INSPECT_GAP = Limit("inspect-gap", 4096, 0, "bytes of a gap that are shown")
