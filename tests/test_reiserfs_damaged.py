"""Damaged ReiserFS images, named by the fault: a clear error or the right file, and soon.

Each fault is put into an image of reiserfs_image.py.  `boot/kernel` lies beside the damage or behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from clock import seconds_used
from reiserfs_image import Directory, File, Image, Link, opened

from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded
from pybootcfg.filesystems.base import Extent, Filesystem, Node, Options
from pybootcfg.filesystems.reiserfs import Reiserfs
from pybootcfg.formats import reiserfs as layout
from pybootcfg.kind import Kind
from pybootcfg.source import MemorySource

KERNEL = bytes(range(256)) * 40
BLOCK = 1024
SECONDS = 5.0


def healthy() -> Image:
    tree: Directory = {
        b"boot": {b"kernel": File(KERNEL), b"link": Link(b"kernel"), b"menu.lst": File(b"title x\n")},
        b"many": {b"f%03d" % number: File(b"%d" % number) for number in range(60)},
    }
    return Image(tree, BLOCK, leaf_items=8, fanout=8)


def rewrite(image: Image, number: int, decoder: Any, offset: int, **changes: Any) -> None:
    """Change fields of the structure at `offset` of a block."""
    block = image.blocks[number]
    fields = decoder.parse(block[offset:])
    fields.update(changes)
    built = decoder.build(fields)
    image.blocks[number] = block[:offset] + built + block[offset + len(built) :]


def leaf_of(image: Image, key: tuple[int, ...]) -> tuple[int, int, Any]:
    """Return the leaf, the place of the head in it, and the head of the first item whose key starts so."""
    for number in image.level_blocks[0]:
        block = image.blocks[number]
        for index in range(layout.block_head.parse(block).blk_nr_item):
            at = layout.block_head.sizeof() + index * layout.item_head.sizeof()
            head = layout.item_head.parse(block[at:])
            if (head.ih_key.k_dir_id, head.ih_key.k_objectid, head.ih_key.k_offset)[: len(key)] == key:
                return number, at, head
    raise AssertionError(key)


BOOT, KERNEL_OBJECT = (2, 3), (3, 4)


def node_level_wrong(image: Image) -> None:
    rewrite(image, leaf_of(image, (*BOOT, 0))[0], layout.block_head, 0, blk_level=3)


def node_freed(image: Image) -> None:
    rewrite(image, leaf_of(image, (*BOOT, 0))[0], layout.block_head, 0, blk_level=0)


def item_beyond_block(image: Image) -> None:
    number, at, _ = leaf_of(image, (*BOOT, 0))
    rewrite(image, number, layout.item_head, at, ih_item_location=BLOCK - 3)


def item_in_heads(image: Image) -> None:
    number, at, _ = leaf_of(image, (*BOOT, 0))
    rewrite(image, number, layout.item_head, at, ih_item_location=8)


def too_many_items(image: Image) -> None:
    rewrite(image, leaf_of(image, (*BOOT, 0))[0], layout.block_head, 0, blk_nr_item=0xFFFF)


def no_items(image: Image) -> None:
    rewrite(image, leaf_of(image, (*BOOT, 0))[0], layout.block_head, 0, blk_nr_item=0)


def too_many_keys(image: Image) -> None:
    rewrite(image, image.root, layout.block_head, 0, blk_nr_item=0xFFFF)


def keys_out_of_order(image: Image) -> None:
    number = leaf_of(image, (*BOOT, 0))[0]
    start, size = layout.block_head.sizeof(), layout.item_head.sizeof()
    block = image.blocks[number]
    swapped = block[start + size : start + 2 * size] + block[start : start + size]
    image.blocks[number] = block[:start] + swapped + block[start + 2 * size :]


def keys_of_another_node(image: Image) -> None:
    image.blocks[image.level_blocks[0][0]] = image.blocks[image.level_blocks[0][-1]]


def children(image: Image, number: int) -> int:
    count = layout.block_head.parse(image.blocks[number]).blk_nr_item
    return int(layout.block_head.sizeof() + count * layout.reiserfs_key.sizeof())


def pointer_beyond_device(image: Image) -> None:
    at = children(image, image.root)
    rewrite(image, image.root, layout.disk_child, at, dc_block_number=0xFFFFFFF0)


def root_beyond_device(image: Image) -> None:
    image.blocks[image.super_block] = image.superblock(s_root_block=image.block_count)


def rebuild_unfinished(image: Image) -> None:
    image.blocks[image.super_block] = image.superblock(s_root_block=0xFFFFFFFF)


def tree_cycle(image: Image) -> None:
    rewrite(image, image.root, layout.disk_child, children(image, image.root), dc_block_number=image.root)


def depth_200(image: Image) -> None:
    rewrite(image, image.root, layout.block_head, 0, blk_level=200)


def entries_object(image: Image) -> tuple[int, int]:
    number, _, head = leaf_of(image, (*BOOT, 1))
    return number, head.ih_item_location


def name_beyond_item(image: Image) -> None:
    number, at = entries_object(image)
    rewrite(image, number, layout.reiserfs_de_head, at + 2 * 16, deh_location=0xFFF0)


def name_in_heads(image: Image) -> None:
    number, at = entries_object(image)
    rewrite(image, number, layout.reiserfs_de_head, at + 2 * 16, deh_location=3)


def entry_count_insane(image: Image) -> None:
    number, at, _ = leaf_of(image, (*BOOT, 1))
    rewrite(image, number, layout.item_head, at, ih_entry_count=0xFFFF)


def stat_data_missing(image: Image) -> None:
    number, at, head = leaf_of(image, (*KERNEL_OBJECT, 0))
    head.ih_key.k_objectid -= 1
    head.ih_key.k_offset = 9
    rewrite(image, number, layout.item_head, at, ih_key=head.ih_key)


def stat_data_short(image: Image) -> None:
    number, at, _ = leaf_of(image, (*KERNEL_OBJECT, 0))
    rewrite(image, number, layout.item_head, at, ih_item_len=12)


def set_stat(image: Image, **changes: Any) -> None:
    number, _, head = leaf_of(image, (*KERNEL_OBJECT, 0))
    rewrite(image, number, layout.stat_data, head.ih_item_location, **changes)


def size_2_to_60(image: Image) -> None:
    set_stat(image, sd_size=1 << 60)


def mode_unknown(image: Image) -> None:
    set_stat(image, sd_mode=0o030644)


def file_block_beyond_device(image: Image) -> None:
    number, _, head = leaf_of(image, (*KERNEL_OBJECT, 1))
    at = head.ih_item_location + 4
    block = image.blocks[number]
    image.blocks[number] = block[:at] + b"\xff\xff\xff\x7f" + block[at + 4 :]


def block_size_0(image: Image) -> None:
    image.blocks[image.super_block] = image.superblock(s_blocksize=0)


def block_size_odd(image: Image) -> None:
    image.blocks[image.super_block] = image.superblock(s_blocksize=1536)


FAULTS: dict[Callable[[Image], None], str] = {
    node_level_wrong: "level 1 expected, but 3 found",
    node_freed: "level 0",
    item_beyond_block: "does not fit into its node",
    item_in_heads: "does not fit into its node",
    too_many_items: "65535 items cannot be in a leaf",
    no_items: "0 items cannot be in a leaf",
    too_many_keys: "65535 keys cannot be in an internal node",
    keys_out_of_order: "keys are not in order",
    keys_of_another_node: "keys lie outside",
    pointer_beyond_device: "is not one of",
    root_beyond_device: "the root is block",
    rebuild_unfinished: "rebuild-tree was not finished",
    tree_cycle: "level 2 expected, but 3 found",
    depth_200: "reiserfs-tree-height: 200",
    name_beyond_item: "lies outside of its place",
    name_in_heads: "lies outside of its place",
    entry_count_insane: "65535 entries cannot be in",
    stat_data_missing: "no stat data",
    stat_data_short: "44 bytes wanted",
    size_2_to_60: "more than a key can count",
    mode_unknown: "which is no type",
    file_block_beyond_device: "is beyond the end",
    block_size_0: "block size 0",
    block_size_odd: "block size 1536",
}


def contents(node: Node) -> bytes:
    chunks = []
    for run in node.runs():
        assert run.length < 1 << 30
        chunks.append(
            run.source.read(run.offset, run.length) if isinstance(run, Extent) else bytes(run.length)
        )
    return b"".join(chunks)


def everything(filesystem: Filesystem) -> list[BootcfgError]:
    """Read all that can be reached; return the errors on the way."""
    errors, todo, seen = [], [filesystem.root], set()
    while todo:
        node = todo.pop()
        try:
            if node.key in seen:
                continue
            seen.add(node.key)
            if node.kind is Kind.DIRECTORY:
                todo += [child for _, child in node.entries()]
            elif node.kind is Kind.FILE:
                contents(node)
            elif node.kind is Kind.SYMLINK:
                node.target()
        except BootcfgError as error:
            errors.append(error)
    return errors


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_fault_is_named(fault: Callable[[Image], None]) -> None:
    image = healthy()
    fault(image)
    before = seconds_used()
    with pytest.raises((ImageError, LimitExceeded), match=FAULTS[fault]):
        contents(image.open().walk(b"/boot/kernel"))
    assert seconds_used() - before < SECONDS


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_rest_is_read_in_bounded_time(fault: Callable[[Image], None]) -> None:
    image = healthy()
    fault(image)
    before = seconds_used()
    try:
        errors = everything(image.open())
    except BootcfgError as error:
        errors = [error]
    assert errors
    assert seconds_used() - before < SECONDS


def test_the_image_without_faults() -> None:
    image = healthy()
    assert len(image.level_blocks) == 3
    assert contents(image.open().walk(b"/boot/kernel")) == KERNEL
    assert everything(image.open()) == []


# --- faults that a file survives -----------------------------------------------------------------


def test_name_without_an_end() -> None:
    """A name that fills its place to the last byte has no zero behind it."""
    image = Image({b"12345678": File(b"x"), b"abcdefgh": File(b"y")}, padding=8)
    assert sorted(name for name, _ in image.open().root.entries()) == [b"12345678", b"abcdefgh"]


def test_free_space_wrong() -> None:
    image = healthy()
    rewrite(image, leaf_of(image, (*BOOT, 0))[0], layout.block_head, 0, blk_free_space=7)
    filesystem = image.open()
    assert contents(filesystem.walk(b"/boot/kernel")) == KERNEL
    assert any("free space" in warning for warning in filesystem.warnings)


def test_hash_of_an_entry_wrong() -> None:
    """The entry is not where its hash says; those beside it are found, and a listing shows it."""
    image = healthy()
    number, at = entries_object(image)
    rewrite(image, number, layout.reiserfs_de_head, at + 2 * 16, deh_offset=0x100)
    filesystem = image.open()
    boot = filesystem.walk(b"/boot")
    assert len(list(boot.entries())) == 3
    assert sum(boot.lookup(name) is not None for name in (b"kernel", b"link", b"menu.lst")) == 2


def replayable(image: Image, length: int | None = None) -> tuple[int, int]:
    """Put the leaf of /boot into the journal, a stale one in its place; return leaf and index behind."""
    number = leaf_of(image, (*BOOT, 0))[0]
    behind = image.log(0, 10, 5, {number: image.blocks[number]})
    if length is None:
        image.blocks[number] = b"\xee" * BLOCK
    image.blocks[image.journal_first + image.journal_size] = image.journal_header(9, 0, 5)
    if length is not None:
        rewrite(image, image.journal_first, layout.reiserfs_journal_desc, 0, j_len=length)
    return number, behind


@pytest.mark.parametrize("length", [0, 2, 400, 0xFFFFFFFF])
def test_journal_transaction_length_insane(length: int) -> None:
    image = healthy()
    replayable(image, length)
    assert contents(image.open().walk(b"/boot/kernel")) == KERNEL


def test_journal_transaction_truncated() -> None:
    image = healthy()
    number, behind = replayable(image)
    image.log(behind, 11, 5, {number: b"\xee" * BLOCK, image.root: b"\xee" * BLOCK})
    del image.blocks[image.journal_first + behind + 3]
    filesystem = image.open()
    assert contents(filesystem.walk(b"/boot/kernel")) == KERNEL


@pytest.mark.parametrize("where", ["beyond the end", "in the journal"])
def test_journal_copy_of_a_wrong_block(where: str) -> None:
    image = healthy()
    _, behind = replayable(image)
    wrong = image.block_count if where == "beyond the end" else image.journal_first + 9
    image.log(behind, 11, 5, {wrong: b"\xee" * BLOCK})
    filesystem = image.open()
    assert contents(filesystem.walk(b"/boot/kernel")) == KERNEL
    assert any("the journal cannot be replayed" in warning for warning in filesystem.warnings)


@pytest.mark.parametrize(
    "changes",
    [
        {"jp_journal_size": 0xFFFFFFFF},
        {"jp_journal_size": 0},
        {"jp_journal_size": 60000},
        {"jp_journal_1st_block": 0x7FFFFFFF},
        {"jp_journal_magic": 1},
    ],
    ids=str,
)
def test_journal_parameters_insane(changes: dict[str, int]) -> None:
    image = healthy()
    parameters = image.journal_params | changes
    image.blocks[image.super_block] = image.superblock(s_journal=parameters)
    filesystem = image.open()
    assert contents(filesystem.walk(b"/boot/kernel")) == KERNEL
    assert any("the journal cannot be replayed" in warning for warning in filesystem.warnings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"s_blocksize": 2048}, "another block size"), ({"s_magic": b"ReIsErXXXX"}, "not one of a super block")],
    ids=lambda value: str(value),
)
def test_journal_copy_of_the_super_block_wrong(changes: dict[str, Any], message: str) -> None:
    image = healthy()
    image.log(0, 10, 5, {image.super_block: image.superblock(**changes)})
    image.blocks[image.journal_first + image.journal_size] = image.journal_header(9, 0, 5)
    with pytest.raises(ImageError, match=message):
        image.open()
    assert contents(image.open(Options(replay_journal=False)).walk(b"/boot/kernel")) == KERNEL


def test_journal_of_description_blocks_only() -> None:
    image = healthy()
    for index in range(image.journal_size):
        image.log(index, 1 + index, 5, {})
    image.blocks[image.journal_first + image.journal_size] = image.journal_header(0, 0, 0)
    assert contents(image.open().walk(b"/boot/kernel")) == KERNEL


def test_journal_that_runs_into_itself() -> None:
    """Transactions fill the ring to the last block, and the first follows again."""
    image = healthy()
    number, index = replayable(image)
    leaf = image.blocks[image.journal_first + 1]
    trans_id = 11
    while index + 3 < image.journal_size:
        index = image.log(index, trans_id, 5, {number: leaf})
        trans_id += 1
    filesystem = image.open()
    assert contents(filesystem.walk(b"/boot/kernel")) == KERNEL


@pytest.mark.parametrize("keep", [0, 0x10000, 0x10010, 0x10400, 0x20000, 0x90000])
def test_image_truncated(keep: int) -> None:
    data = healthy().image()[:keep]
    try:
        errors = everything(opened(data))
    except (BootcfgError, AssertionError):
        return
    assert errors


@pytest.mark.no_cover
def test_every_byte_of_the_tree_and_the_super_block() -> None:
    """No value of any byte of metadata leads to anything but a result or one of our errors."""
    image = Image(
        {b"boot": {b"kernel": File(KERNEL[:3000]), b"l": Link(b"kernel")}}, BLOCK, leaf_items=5, fanout=2
    )
    data = bytearray(image.image())
    nodes = [number * BLOCK for level in image.level_blocks for number in level]
    places = [at + byte for at in nodes for byte in range(BLOCK) if any(data[at + byte : at + byte + 9])]
    places += range(image.super_block * BLOCK, image.super_block * BLOCK + 204)
    for place in places[:: max(1, len(places) // 1500)]:
        before = data[place]
        for value in (0x00, 0xFF, before ^ 0x01):
            data[place] = value
            try:
                everything(opened(bytes(data), Options()))
            except BootcfgError:
                pass
            except AssertionError:
                assert place < image.root * BLOCK
        data[place] = before


# --- structures ----------------------------------------------------------------------------------


def test_blocks_beyond_the_device_end_what_is_shown() -> None:
    image = healthy()
    image.blocks[image.super_block] = image.superblock(s_block_count=image.block_count + 3 * BLOCK * 8)
    structures = image.open().structures
    names = [structure.name for structure in structures.every()]
    assert [name for name in names if name.startswith("bitmap")] == ["bitmap[0]"]
    beyond = image.block_count + 5
    assert [structure.name for structure in structures.below(f"block[{beyond}]")] == [
        f"block[{beyond}].block_head"
    ]


def test_a_root_directory_that_is_not_there_is_not_shown() -> None:
    image = healthy()
    assert "root_directory.stat_data" in {structure.name for structure in image.open().structures.listed()}
    number, at, head = leaf_of(image, (1, 2, 0))
    rewrite(image, number, layout.item_head, at, ih_key=head.ih_key | {"k_dir_id": 0})
    names = {structure.name for structure in image.open().structures.listed()}
    assert "root.block_head" in names
    assert "root_directory.stat_data" not in names
    image = healthy()
    rewrite(image, leaf_of(image, (1, 2, 0))[0], layout.block_head, 0, blk_level=0)
    names = {structure.name for structure in image.open().structures.listed()}
    assert "root.block_head" in names
    assert "root_directory.stat_data" not in names


@pytest.mark.parametrize("size", [0, 9000, 65536 + 100])
def test_no_super_block_where_the_device_ends(size: int) -> None:
    with pytest.raises(ImageError, match="there is no ReiserFS super block"):
        Reiserfs(MemorySource(bytes(size), "disk"), Options())


def test_bitmaps_are_found_by_their_numbers() -> None:
    assert [structure.name for structure in healthy().open().structures.below("bitmap[0]")] == ["bitmap[0]"]


# --- files whose parts do not fit --------------------------------------------------------------------------


def test_an_error_that_a_kernel_noted_is_told() -> None:
    image = healthy()
    image.blocks[image.super_block] = image.superblock(s_fs_state=1)
    assert any("says that the file system has errors" in warning for warning in image.open().warnings)


@pytest.mark.parametrize("size", [1000, len(KERNEL), len(KERNEL) + 5000])
def test_a_size_that_is_not_that_of_the_items(size: int) -> None:
    """What is behind the size is left out, what is before it and nowhere reads as zeros."""
    image = healthy()
    set_stat(image, sd_size=size)
    assert contents(image.open().walk(b"/boot/kernel")) == KERNEL.ljust(size, b"\0")[:size]


def test_blocks_behind_the_size_are_left_out_wherever_they_lie() -> None:
    image = Image({b"file": File(KERNEL, gap=1)}, BLOCK)
    number, _, head = leaf_of(image, (2, 3, 0))
    rewrite(image, number, layout.stat_data, head.ih_item_location, sd_size=2 * BLOCK)
    (first, second) = image.open().walk(b"/file").runs()
    assert (first.length, second.length) == (BLOCK, BLOCK)
    assert contents(image.open().walk(b"/file")) == KERNEL[: 2 * BLOCK]


@pytest.mark.parametrize(("offset", "words"), [(1, None), (1025, "overlap at its byte 1024"), (20481, None)])
def test_a_tail_that_lies_elsewhere(offset: int, words: str | None) -> None:
    """One that begins before the end of the blocks is damage, one behind it leaves a gap."""
    blocks = len(KERNEL) // BLOCK * BLOCK
    tail = b"the tail"
    tree: Directory = {b"file": File(KERNEL[:blocks] + tail)}
    image = Image(tree, BLOCK)
    number, at, head = leaf_of(image, (2, 3, blocks + 1))
    if offset > 1:
        head.ih_key.k_offset = offset
        rewrite(image, number, layout.item_head, at, ih_key=head.ih_key)
        place = leaf_of(image, (2, 3, 0))[2].ih_item_location
        rewrite(image, number, layout.stat_data, place, sd_size=offset - 1 + len(tail))
    node = image.open().walk(b"/file")
    if words:
        with pytest.raises(ImageError, match=words):
            contents(node)
    else:
        assert contents(node) == KERNEL[:blocks].ljust(max(blocks, offset - 1), b"\0") + tail


def test_a_name_with_a_separator_is_left_out() -> None:
    image = Image({b"a-b": File(b"x"), b"sound": File(b"y")}, BLOCK)
    for number in image.level_blocks[0]:
        image.blocks[number] = image.blocks[number].replace(b"a-b", b"a/b")
    filesystem = image.open()
    assert [name for name, _ in filesystem.root.entries()] == [b"sound"]
    assert any("a name that cannot be used: 'a/b'" in warning for warning in filesystem.warnings)
