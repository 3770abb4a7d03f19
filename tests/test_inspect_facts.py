"""What inspect says of the corpus, against what the file systems' own programs say of it."""

from __future__ import annotations

import json
import lzma
import re
import uuid
from pathlib import Path

import ext_image
import pytest
from inspect_tools import Disk, Run, document, needs, numbers, output, structures, values


def test_inodes_and_runs_by_debugfs(pybootcfg: Run, sample: Path, volume: Path) -> None:
    debugfs = needs("debugfs")
    path = "/boot/vmlinuz-6.1.0-demo"
    stat = output(debugfs, "-R", f"stat {path}", volume)
    (node,) = document(pybootcfg("inspect", "--json", sample, f"p1:{path}"))["structures"]
    parts = {child["name"]: child for child in node["children"]}
    number = re.search(r"Inode: (\d+)", stat)
    assert number
    inode = parts["structures"]["children"][0]
    assert inode["name"] == f"inode[{number[1]}]"
    imap = output(debugfs, "-R", f"imap {path}", volume)
    where = re.search(r"located at block (\d+), offset 0x([0-9a-f]+)", imap)
    assert where
    assert inode["offset"] == (1 << 20) + int(where[1]) * 1024 + int(where[2], 16)
    first, last = map(int, re.search(r"EXTENTS:\s+\(\d+-\d+\):(\d+)-(\d+)", stat).groups())  # type: ignore[union-attr]
    (run,) = parts["runs"]["children"]
    assert run["offset"] == (1 << 20) + first * 1024
    assert -(-run["size"] // 1024) == last - first + 1


def test_bitmaps_by_dumpe2fs(pybootcfg: Run, sample: Path, volume: Path) -> None:
    shown = output(needs("dumpe2fs"), volume)
    block = re.search(r"Inode bitmap at (\d+)", shown)
    free = re.search(r"(\d+) free blocks, (\d+) free inodes", shown)
    per_group = re.search(r"Inodes per group: +(\d+)", shown)
    assert block
    assert free
    assert per_group
    (found,) = document(pybootcfg("inspect", "--json", sample, "p1.group[0].inode_bitmap"))["structures"]
    assert found["offset"] == (1 << 20) + int(block[1]) * 1024
    used = int(per_group[1]) - int(free[2])
    assert found["symbol"] == f"{used} of {per_group[1]} bits set"
    (found,) = document(pybootcfg("inspect", "--json", sample, "p1.group[0].block_bitmap"))["structures"]
    bits = int(re.search(r"Block count: +(\d+)", shown)[1]) - 1  # type: ignore[index]  # block 0 is in no group
    assert found["symbol"] == f"{bits - int(free[1])} of {bits} bits set"


def test_everything_has_the_inodes_in_use(pybootcfg: Run, disk: Disk) -> None:
    image = disk("ext/ext4-default.img")
    done = pybootcfg("inspect", "--all", "--jsonl", image)
    assert done.returncode == 0, done.stderr
    names = [json.loads(line)["name"] for line in done.stdout.splitlines()]
    shown = output(needs("dumpe2fs"), "-h", image)
    count, free = (int(re.search(rf"{what}: +(\d+)", shown)[1]) for what in ("Inode count", "Free inodes"))  # type: ignore[index]
    assert sum(bool(re.fullmatch(r"p0\.inode\[\d+\]", name)) for name in names) == count - free


def test_partitions_by_sgdisk(pybootcfg: Run, disk: Disk) -> None:
    image = disk("partitions/gpt.img")
    told = output(needs("sgdisk"), "-i", "3", image)  # which counts from 1
    (entry,) = document(pybootcfg("inspect", "--json", image, "gpt.entries[2]"))["structures"]
    found = values(entry)
    assert f"Partition GUID code: {found['partition_type_guid']['symbol'][:36]}" in told
    assert f"Partition unique GUID: {found['unique_partition_guid']['symbol']}" in told
    assert f"First sector: {found['starting_lba']['value']} " in told
    assert f"Last sector: {found['ending_lba']['value']} " in told


def test_boot_sector_by_fsck_fat(pybootcfg: Run, disk: Disk) -> None:
    image = disk("fat/fat32.img")
    told = output(needs("fsck.fat"), "-nv", image)
    (sector,) = document(pybootcfg("inspect", "--json", image, "p0.boot_sector"))["structures"]
    found = {name: child["value"] for name, child in values(sector).items()}
    assert f"{found['bpb_byts_per_sec']} bytes per logical sector" in told
    assert f"{found['bpb_rsvd_sec_cnt']} reserved sectors" in told
    assert f"{found['bpb_num_fats']} FATs, 32 bit entries" in told
    (entry,) = document(pybootcfg("inspect", "--json", image, "p0.fat[0:1]"))["structures"]
    assert f"First FAT starts at byte {entry['offset']} " in told


def test_volume_descriptor_by_isoinfo(pybootcfg: Run, disk: Disk) -> None:
    image = disk("iso/xorriso-rr-joliet.iso")
    told = output(needs("isoinfo"), "-d", "-i", image)
    (found, *_) = document(pybootcfg("inspect", "--json", image, "p0.volume_descriptors"))["structures"]
    size = values(values(found)["volume_space_size"])["little"]["value"]
    assert f"Volume size is: {size}" in told
    assert f"Logical block size is: {values(values(found)['logical_block_size'])['little']['value']}" in told


# --- ext: dumpe2fs, debugfs ------------------------------------------------------------------------

EXT = ["ext2-1k", "ext2-rev0", "ext4-default", "ext4-dirty", "ext4-inline"]

#: what `dumpe2fs -h` calls fields of the superblock
DUMPE2FS = {
    "Inode count": "s_inodes_count",
    "Block count": "s_blocks_count_lo",
    "Reserved block count": "s_r_blocks_count_lo",
    "Free blocks": "s_free_blocks_count_lo",
    "Free inodes": "s_free_inodes_count",
    "First block": "s_first_data_block",
    "Blocks per group": "s_blocks_per_group",
    "Inodes per group": "s_inodes_per_group",
    "Mount count": "s_mnt_count",
    "First inode": "s_first_ino",
    "Inode size": "s_inode_size",
    "Journal inode": "s_journal_inum",
    "Required extra isize": "s_min_extra_isize",
    "Desired extra isize": "s_want_extra_isize",
    "Reserved GDT blocks": "s_reserved_gdt_blocks",
    "Group descriptor size": "s_desc_size",
}


@pytest.mark.parametrize("name", EXT)
def test_superblock_by_dumpe2fs(pybootcfg: Run, disk: Disk, name: str) -> None:
    image = disk(f"ext/{name}.img")
    told = dict(re.findall(r"^([^:\n]+): +(.*)$", output(needs("dumpe2fs"), "-h", image), re.MULTILINE))
    # dumpe2fs reads what is on the disk, without the journal
    (node,) = document(pybootcfg("inspect", "--no-journal", "--json", image, "p0.superblock"))["structures"]
    found = numbers(node)
    compared = [label for label in DUMPE2FS if label in told]
    assert len(compared) >= 8
    for label in compared:
        assert str(found[DUMPE2FS[label]]) == told[label].split()[0], label
    assert 1024 << found["s_log_block_size"] == int(told["Block size"])
    assert uuid.UUID(hex=values(node)["s_uuid"]["raw"]) == uuid.UUID(told["Filesystem UUID"])
    if "Checksum" in told:
        assert found["s_checksum"] == int(told["Checksum"], 16)
    features = set(told["Filesystem features"].replace("(none)", "").split())
    shown = {
        word
        for field in ("s_feature_compat", "s_feature_incompat", "s_feature_ro_compat")
        for word in values(node)[field]["symbol"].split(" | ")
        if word
    }
    assert shown == features


@pytest.mark.parametrize("name", EXT)
def test_groups_by_dumpe2fs(pybootcfg: Run, disk: Disk, name: str) -> None:
    image = disk(f"ext/{name}.img")
    told = output(needs("dumpe2fs"), image)
    size = int(re.search(r"Block size: +(\d+)", told)[1])  # type: ignore[index]
    groups = re.findall(
        r"^Group (\d+):.*?Block bitmap at (\d+).*?Inode bitmap at (\d+).*?Inode table at (\d+)"
        r".*?(\d+) free blocks, (\d+) free inodes, (\d+) directories",
        told,
        re.MULTILINE | re.DOTALL,
    )
    assert groups
    copies = re.findall(
        r"^Group (\d+):[^\n]*\n(?:  [^\n]*\n)?  Backup superblock at (\d+)", told, re.MULTILINE
    )
    for number, *expected in groups:
        found = structures(pybootcfg("inspect", "--no-journal", "--json", image, f"p0.group[{number}]"))
        fields = numbers(found[f"p0.group[{number}].descriptor"])
        names = ("block_bitmap", "inode_bitmap", "inode_table", "free_blocks_count", "free_inodes_count")
        shown = [fields[f"bg_{name}_lo"] for name in (*names, "used_dirs_count")]
        assert shown == list(map(int, expected))
        for part, block in zip(("block_bitmap", "inode_bitmap"), expected, strict=False):
            assert found[f"p0.group[{number}].{part}"]["offset"] == int(block) * size
        for group, block in copies:
            if group == number:
                assert found[f"p0.group[{number}].superblock"]["offset"] == int(block) * size


def test_extent_blocks_by_debugfs(pybootcfg: Run, tmp_path: Path) -> None:
    """A file with a hole behind each block has an extent tree that no inode holds."""
    (tmp_path / "t").mkdir()
    with (tmp_path / "t" / "holes").open("wb") as stream:
        for number in range(600):
            stream.seek(2048 * number)
            stream.write(b"x" * 1024)
    image = ext_image.mke2fs(tmp_path / "i", "-t", "ext4", "-b", "1024", tree=tmp_path / "t", size="8M")
    told = ext_image.debugfs(image, "ex /holes")
    rows = re.findall(r"^ *(\d+)/ *(\d+) +\d+/ *\d+ +(\d+) - +(\d+) +(\d+) - +\d+ ", told, re.MULTILINE)
    leaves = [(int(first), int(place)) for level, depth, first, _, place in rows if level == depth]
    assert len(leaves) == 600
    number = re.search(r"Inode: (\d+)", ext_image.debugfs(image, "stat /holes"))
    assert number
    found = structures(pybootcfg("inspect", "--json", image, f"p0.inode[{number[1]}].extent_block"))
    shown = [
        (fields["ee_block"], fields["ee_start_lo"])
        for name, node in found.items()
        if name.endswith("].extents")
        for fields in map(numbers, node["children"])
    ]
    assert sorted(shown) == leaves
    assert all(node["offset"] % 1024 in (0, 12, 1020) for node in found.values())


def test_indirect_blocks_and_directories_by_debugfs(pybootcfg: Run, disk: Disk) -> None:
    image = disk("ext/ext2-1k.img")
    debugfs = needs("debugfs")
    listed = output(debugfs, "-R", "ls -l /", image)
    names = {}
    found = structures(pybootcfg("inspect", "--json", image, "p0.inode[2].directory_block"))
    for node in found.values():
        entry = numbers(node)
        if entry["inode"]:
            names[bytes.fromhex(entry["name"]).decode()] = entry["inode"]
    told = re.findall(r"^ *(\d+) +\d+ .* (\S+)$", listed, re.MULTILINE)
    assert names == {name: int(number) for number, name in told}


def test_journal_by_debugfs(pybootcfg: Run, disk: Disk) -> None:
    image = disk("ext/ext4-dirty.img")
    told = output(needs("debugfs"), "-R", "logdump -a", image)
    blocks = re.findall(r"Found expected sequence (\d+), type \d+ \((\w+) \w*\s*\w*\) at block (\d+)", told)
    assert blocks
    found = structures(pybootcfg("inspect", "--json", image, "p0.journal.block"))
    for sequence, kind, position in blocks:
        part = {"descriptor": "header", "commit": "commit", "revoke": "revoke_header"}[kind]
        node = found[f"p0.journal.block[{position}].{part}"]
        assert numbers(node)["h_sequence"] == int(sequence)
    tags = re.findall(r"FS block (\d+) logged at (?:sequence \d+, )?journal block (\d+)", told)
    shown = [numbers(node)["t_blocknr"] for name, node in found.items() if ".tag[" in name]
    assert {int(block) for block, _ in tags} <= set(shown)


# --- FAT: fsck.fat, minfo --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fat12", "fat16", "fat32"])
def test_boot_sectors_by_fsck_fat_and_minfo(pybootcfg: Run, disk: Disk, name: str) -> None:
    image = disk(f"fat/{name}.img")
    (node,) = document(pybootcfg("inspect", "--json", image, "p0.boot_sector"))["structures"]
    found = numbers(node)
    size = found["bpb_byts_per_sec"]
    big = name == "fat32"
    sectors = found["bpb_fat_sz32"] if big else found["bpb_fat_sz16"]
    # fsck.fat knows no three FATs, as on the smallest image
    told = output(needs("fsck.fat"), "-nv", image, status=(0, 1)) if found["bpb_num_fats"] < 3 else ""
    for text in (
        f"{size} bytes per logical sector",
        f"{size * found['bpb_sec_per_clus']} bytes per cluster",
        f"{found['bpb_rsvd_sec_cnt']} reserved sector",
        f"{found['bpb_num_fats']} FATs, {name[3:]} bit entries",
        f"{sectors * size} bytes per FAT (= {sectors} sectors)",
        f"{found['bpb_tot_sec16'] or found['bpb_tot_sec32']} sectors total",
        f"Media byte {found['bpb_media']:#x}",
        f'System ID "{bytes.fromhex(found["bs_oem_name"]).decode().rstrip()}"',
    ):
        assert not told or text in told
    told = output(needs("minfo"), "-i", image, "::")
    for text in (
        f"sector size: {size} bytes",
        f"cluster size: {found['bpb_sec_per_clus']} sectors",
        f"reserved (boot) sectors: {found['bpb_rsvd_sec_cnt']}",
        f"max available root directory slots: {found['bpb_root_ent_cnt']}",
        f"sectors per track: {found['bpb_sec_per_trk']}",
        f"heads: {found['bpb_num_heads']}",
        f"serial number: {found['bs_vol_id']:08X}",
    ):
        assert text in told
    if big:
        (node,) = document(pybootcfg("inspect", "--json", image, "p0.fs_info"))["structures"]
        info = numbers(node)
        assert f"free clusters={info['fsi_free_count']}" in told
        assert f"last allocated cluster={info['fsi_nxt_free']}" in told
        assert f"signature={info['fsi_lead_sig']:#x}" in told


# --- ISO 9660: isoinfo -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["xorriso-rr-joliet", "genisoimage-rr", "makefs-rr", "genisoimage-level1"])
def test_descriptor_and_path_table_by_isoinfo(pybootcfg: Run, disk: Disk, name: str) -> None:
    image = disk(f"iso/{name}.iso")
    isoinfo = needs("isoinfo")
    told = output(isoinfo, "-d", "-i", image)
    (node,) = document(pybootcfg("inspect", "--json", image, "p0.primary_volume_descriptor"))["structures"]
    found = values(node)
    for label, field in (("Volume size", "volume_space_size"), ("Logical block size", "logical_block_size"),
                         ("Volume set size", "volume_set_size")):  # fmt: skip
        assert f"{label} is: {numbers(found[field])['little']}" in told
    if "Joliet" not in told:  # else isoinfo tells Joliet's
        volume = bytes.fromhex(found["volume_identifier"]["value"]).decode().rstrip()
        assert f"Volume id: {volume}\n" in told
    told = output(isoinfo, "-p", "-i", image)
    rows = re.findall(r"^ *(\d+): +(\d+) ([0-9a-f]+) (.*)$", told, re.MULTILINE)
    assert rows
    table = structures(pybootcfg("inspect", "--json", image, "p0.path_table"))
    twin = structures(pybootcfg("inspect", "--json", image, "p0.path_table_m"))
    for index, (_, parent, extent, directory) in enumerate(rows):
        for shown in (table[f"p0.path_table[{index}]"], twin[f"p0.path_table_m[{index}]"]):
            fields = numbers(shown)
            assert fields["location_of_extent"] == int(extent, 16)
            assert fields["parent_directory_number"] == int(parent)
            identifier = bytes.fromhex(fields["directory_identifier"])
            assert identifier.strip(b"\0").decode() == directory.strip()


def test_directory_records_by_isoinfo(pybootcfg: Run, disk: Disk) -> None:
    image = disk("iso/genisoimage-level1.iso")
    told = output(needs("isoinfo"), "-l", "-i", image)
    files = re.findall(
        r"^[-d]\S+ +\d+ +\d+ +\d+ +(\d+) \w+ +\d+ +\d+ +\[ *(\d+) \d\d\] +(\S+) *$", told, re.MULTILINE
    )
    assert len(files) > 50
    shown = set()
    for line in pybootcfg("inspect", "--all", "--jsonl", image).stdout.splitlines():
        node = json.loads(line)
        if ".record[" in node["name"]:
            record = values(node)
            size, place = (numbers(record[name])["little"] for name in ("data_length", "location_of_extent"))
            identifier = bytes.fromhex(record["file_identifier"]["value"])
            name = {b"\0": ".", b"\1": ".."}.get(identifier, identifier.decode("latin-1"))
            shown.add((size, place, name.removesuffix(";1")))
    assert {(int(size), int(place), name.removesuffix(";1")) for size, place, name in files} <= shown


# --- UFS: fsstat -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ufs1-le", "ufs1-be"])
def test_ufs_by_fsstat(pybootcfg: Run, disk: Disk, name: str) -> None:
    image = disk(f"ufs/{name}.img")
    told = output(needs("fsstat"), "-f", "ufs", image)
    (node,) = document(pybootcfg("inspect", "--json", image, "p0.superblock"))["structures"]
    found = numbers(node)
    for text in (
        f"Block Size: {found['fs_bsize']}",
        f"Fragment Size: {found['fs_fsize']}",
        f"Number of Cylinder Groups: {found['fs_ncg']}",
        f"Inodes per group: {found['fs_ipg']}",
        f"Fragments per group: {found['fs_fpg']}",
    ):
        assert text in told
    starts = re.findall(r"Group Desc(?:riptor)?: (\d+)", told)
    assert len(starts) == found["fs_ncg"]
    for group, start in enumerate(starts):
        (head,) = document(pybootcfg("inspect", "--json", image, f"p0.group[{group}].cg"))["structures"]
        assert head["offset"] == int(start) * found["fs_fsize"]
    totals = re.findall(r"Total Free (?:Blocks|blocks|inodes|Inodes|frags|Fragments): (\d+)", told)
    summary = document(pybootcfg("inspect", "--json", image, "p0.summary"))["structures"][0]
    counts = [numbers(child) for child in summary["children"]]
    if totals:
        assert int(totals[0]) in {sum(one[key] for one in counts) for key in counts[0]}


# --- ReiserFS: debugreiserfs -----------------------------------------------------------------------


def test_reiserfs_by_debugreiserfs(pybootcfg: Run, disk: Disk) -> None:
    image = disk("reiserfs/reiser36-r5.img")
    program = needs("debugreiserfs")
    told = output(program, image)
    (node,) = document(pybootcfg("inspect", "--json", image, "p0.superblock"))["structures"]
    found, inner = numbers(node), values(node)["s_v1"]
    found.update(numbers(inner))
    journal = numbers(values(inner)["s_journal"])
    for text in (
        f"Count of blocks on the device: {found['s_block_count']}",
        f"Number of bitmaps: {found['s_bmap_nr']}",
        f"Blocksize: {found['s_blocksize']}",
        f"data, reserved] blocks): {found['s_free_blocks']}",
        f"Root block: {found['s_root_block']}",
        f"Tree height: {found['s_tree_height']}",
        f"first block {journal['jp_journal_1st_block']}",
        f"Magic [{journal['jp_journal_magic']:#x}]",
        f"UUID: {uuid.UUID(hex=values(node)['s_uuid']['raw'])}",
    ):
        assert text in told
    root = found["s_root_block"]
    told = output(program, "-1", str(root), image)
    parts = structures(pybootcfg("inspect", "--json", image, f"p0.block[{root}]"))
    head = numbers(parts[f"p0.block[{root}].block_head"])
    assert f"level={head['blk_level']}, nr_items={head['blk_nr_item']}, " in told
    assert f"free_space={head['blk_free_space']} " in told
    children = re.findall(r"dc_number=(\d+), dc_size=(\d+)", told)
    assert len(children) == head["blk_nr_item"] + 1
    for index, (number, size) in enumerate(children):
        child = numbers(parts[f"p0.block[{root}].children[{index}]"])
        assert (child["dc_block_number"], child["dc_size"]) == (int(number), int(size))
    keys = re.findall(r"KEY \d+: +\[(\d+) (\d+) ", told)
    for index, (directory, number) in enumerate(keys):
        key = numbers(parts[f"p0.block[{root}].keys[{index}]"])
        assert (key["k_dir_id"], key["k_objectid"]) == (int(directory), int(number))
    bitmap = document(pybootcfg("inspect", "--json", image, "p0.bitmap[0]"))["structures"][0]
    used = found["s_block_count"] - found["s_free_blocks"]
    assert bitmap["symbol"] == f"{used} of {found['s_block_count']} bits set"


# --- ZFS: zdb --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def zdb() -> str:
    """What the zdb of zfs-fuse 0.7.0, which needs its daemon, said of the pool: -l, -uu, -dd, -dddd."""
    file = Path(__file__).parent / "corpus" / "zfs" / "datasets-v15.zdb.xz"
    return lzma.decompress(file.read_bytes()).decode()


def test_label_and_uberblock_by_zdb(pybootcfg: Run, disk: Disk, zdb: str) -> None:
    image = disk("zfs/datasets-v15.d0.img")
    told = dict(re.findall(r"^ +(\w+): '?([^'\n]+)'?$", zdb.partition("LABEL 1")[0], re.MULTILINE))
    found = structures(pybootcfg("inspect", "--json", image, "p0.label[0]"))
    for name in ("version", "txg", "pool_guid", "hostid", "top_guid", "vdev_children", "name", "hostname"):
        value = values(found[f"p0.zfs.label[0].nvlist.{name}"])["value"]
        text = bytes.fromhex(values(value)["text"]["value"]).decode() if value["children"] else value["value"]
        assert str(text) == told[name], name
    (node,) = document(pybootcfg("inspect", "--json", image, "p0.active_uberblock"))["structures"]
    shown = numbers(node)
    for name in ("version", "txg", "guid_sum", "timestamp"):
        assert f"\t{name} = {shown[f'ub_{name}']}" in zdb


def test_objects_by_zdb(pybootcfg: Run, disk: Disk, zdb: str) -> None:
    """Number, levels and block size of each object of the pool and of all its datasets."""
    image = disk("zfs/datasets-v15.d0.img")
    units = {"": 1, "K": 1024, "M": 1024**2}
    expected = {}
    for name, rows in re.findall(
        r"^Dataset (\S+) \[.*?\n(.*?)(?=^Dataset|^details)", zdb, re.MULTILINE | re.DOTALL
    ):
        for number, levels, size, unit in re.findall(
            r"^ +(\d+) +(\d+) +\S+ +([\d.]+)([KM]?) +\S+ +\S+ +[\d.]+  \S", rows, re.MULTILINE
        ):
            place = "p0.zfs.mos" if name == "mos" else f"p0.zfs.dataset[{name}]"
            if int(number):
                block = int(float(size) * units[unit])
                expected[f"{place}.object[{number}]"] = (int(levels), block)
    shown = {}
    for line in pybootcfg("inspect", "--all", "--jsonl", image).stdout.splitlines():
        node = json.loads(line)
        if re.fullmatch(r"p0\.zfs\.(mos|dataset\[[^]@]+\])\.object\[\d+\]", node["name"]):
            core = numbers(values(node)["core"])
            shown[node["name"]] = (core["dn_nlevels"], core["dn_datablkszsec"] * 512)
    snapshots = {name for name in expected if "@" in name}
    assert len(expected) > 1000
    assert {name: expected[name] for name in expected.keys() - snapshots} == shown


def test_entries_of_a_zap_by_zdb(pybootcfg: Run, disk: Disk, zdb: str) -> None:
    image = disk("zfs/datasets-v15.d0.img")
    told = zdb.partition("details:")[2].partition("ZFS master node")[2].partition("Object")[0]
    expected = {name: int(value) for name, value in re.findall(r"^\t\t(\S+) = (\d+)", told, re.MULTILINE)}
    found = structures(pybootcfg("inspect", "--json", image, "p0.dataset[rpool/ROOT/be].object[1].zap"))
    shown = {}
    for name, node in found.items():
        if ".entry[" in name:
            entry = numbers(node)
            shown[bytes.fromhex(entry["mze_name"]).rstrip(b"\0").decode()] = entry["mze_value"]
    assert shown == expected != {}
