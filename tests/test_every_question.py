"""Every question that can be asked of a file system, asked of every image that the project carries.

The invariants come from what the answers mean: a structure lies on its disk, an owner holds the byte that it
owns, a byte of a file is that byte, and what is nothing answers as nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from faults import images
from pybootcfg.errors import BootcfgError, GuestFileMissing
from pybootcfg.filesystems.base import Extent, Filesystem, Node, Options
from pybootcfg.guest import Guest, GuestVolume
from pybootcfg.kind import Kind
from pybootcfg.menu import FileRef
from pybootcfg.places import files, find
from pybootcfg.places.addresses import disk_offset
from pybootcfg.places.owners import between, owner

IMAGES = images.find([images.OWN])


@pytest.fixture(scope="module", params=IMAGES, ids=[image.name for image in IMAGES])
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    disks = images.unpack(request.param, tmp_path_factory.mktemp("disks"))
    return Guest.open([str(disk) for disk in disks])


def mounted(guest: Guest) -> Iterator[tuple[GuestVolume, Filesystem]]:
    for volume in guest.listed:
        if volume.mountable:
            yield volume, volume.mountable


def nodes(filesystem: Filesystem, most: int = 60) -> Iterator[tuple[str, Node]]:
    """Yield the first files of a tree, breadth first."""
    todo: list[tuple[str, Node]] = [("", filesystem.root)]
    while todo and most:
        path, node = todo.pop(0)
        yield path or "/", node
        most -= 1
        try:
            if node.kind is Kind.DIRECTORY:
                todo += [
                    (f"{path}/{name.decode('utf-8', 'surrogateescape')}", one) for name, one in node.entries()
                ]
        except BootcfgError:
            continue


@pytest.mark.no_cover
def test_structures_lie_on_the_disk_and_go_by_their_names(guest: Guest) -> None:
    for _, filesystem in mounted(guest):
        for number, structure in enumerate(filesystem.structures.listed()):
            if number == 100:
                break
            found = filesystem.structures.find(structure.name)
            assert found is not None, structure.name
            assert (found.name, found.offset) == (structure.name, structure.offset)
            field = structure.decoder.trace(filesystem.source, structure.offset)
            if not field.decoded and filesystem.family != "zfs":
                assert 0 <= structure.offset <= structure.offset + field.size <= filesystem.source.size
        for name in (
            "",
            "nonsense",
            "inode[]",
            "inode[x]",
            "inode[99999999999999999999999]",
            "inode[0]",
            "fat[9].entries[1]",
        ):
            assert filesystem.structures.find(name) is None, name


def bytes_of_all_kinds(guest: Guest) -> list[int]:
    """Return offsets on the first disk: at both ends, in its middle, in structures and in files."""
    disk = guest.disks[0].source
    found = [0, disk.size // 2, disk.size - 1]
    for _, filesystem in mounted(guest):
        listed = list(islice(filesystem.structures.listed(), 40))
        inside = [(structure.source or filesystem.source, structure.offset) for structure in listed[::13]]
        with contextlib.suppress(BootcfgError):  # of a directory, or of damage
            for _, node in nodes(filesystem, 20):
                runs = node.runs() if node.kind is Kind.FILE else ()
                inside += [
                    (run.source, run.offset + run.length // 2) for run in runs if isinstance(run, Extent)
                ][:1]
        found += [place for one in inside if (place := disk_offset(*one)) is not None][:4]
    return [offset for offset in found if offset < disk.size]


@pytest.mark.no_cover
def test_an_owner_holds_the_byte_that_it_owns(guest: Guest) -> None:
    disk = guest.disks[0]
    for offset in bytes_of_all_kinds(guest):
        found = owner(guest, offset)
        if found.structure is not None:
            assert found.structure.offset <= offset < found.structure.offset + found.structure.size
            for field in found.fields:
                assert field.offset <= offset < field.offset + field.size
        if found.file is not None:
            assert found.volume is not None
            node = guest.node(FileRef(found.file.path, found.volume.name))
            byte = node.read(count=found.file.offset + 1)[-1:]
            assert byte == disk.source.read(offset, 1)


def test_owners_by_name_hold_their_byte(guest: Guest) -> None:
    for volume, filesystem in mounted(guest):
        size = min(volume.volume.size, filesystem.source.size)
        for offset in range(0, size, max(256, size // 300)):
            name = filesystem.structures.owner(offset)
            structure = filesystem.structures.find(name) if name else None
            if structure:
                field = structure.decoder.trace(filesystem.source, structure.offset)
                room = max(field.size, filesystem.structures.room(structure.name))
                assert structure.offset <= offset < structure.offset + room, (name, hex(offset))


def test_what_lies_between_two_bytes_leaves_no_gap(guest: Guest) -> None:
    size = guest.disks[0].source.size
    for start, stop in ((0, 4096), (1024, 70_000), (size - 5000, size), (size // 2, size // 2 + 20_000)):
        position = max(0, start)
        for field in between(guest, start, min(stop, size)):
            assert field.offset <= position
            position = max(position, field.offset + field.size)
        assert position >= min(stop, size)


def test_files_answer_every_question(guest: Guest) -> None:
    for volume, filesystem in mounted(guest):
        keys: dict[object, Kind] = {}
        for path, node in nodes(filesystem):
            try:
                kind, size = node.kind, node.size
            except BootcfgError:
                continue
            assert keys.setdefault(node.key, kind) is kind
            assert size >= 0
            assert node.mode is None or 0 <= node.mode <= 0o7777
            assert node.mtime is None or isinstance(node.mtime, int)
            with contextlib.suppress(BootcfgError):  # of a file that only a log holds there are none
                assert all(structure.offset >= 0 for structure in filesystem.structures.of_node(node))
            field = files.of_node(guest, filesystem, FileRef(path, volume.name), node)
            assert (field.name, field.type) == (f"{volume.name}:{path}", str(kind))
            assert kind is Kind.SYMLINK or guest.mtime(FileRef(path, volume.name)) == node.mtime
            if kind is Kind.FILE:
                check_file(node)
            else:
                check_other(node, kind)


def check_file(node: Node) -> None:
    total = 0
    for run in node.runs():
        total += run.length
        if isinstance(run, Extent):
            assert run.source.size >= run.offset + run.length
            place = disk_offset(run.source, run.offset)
            assert place is None or place >= 0
    assert total == node.size
    ends(lambda: list(node.entries()))
    ends(lambda: node.lookup(b"x"))
    ends(node.target)


def check_other(node: Node, kind: Kind) -> None:
    if kind is Kind.SYMLINK:
        assert len(node.target()) == node.size or node.size == 0 or node.target()
    else:
        ends(node.target)
    if kind is Kind.DIRECTORY:
        with contextlib.suppress(BootcfgError):  # a tree that is there in part only
            assert node.lookup(b"a name that no directory has") is None


def ends(question: Callable[[], object]) -> None:
    """Ask what makes no sense of this kind of file: an answer or an error, whichever."""
    with contextlib.suppress(BootcfgError):
        question()


def test_what_only_some_file_systems_have(guest: Guest) -> None:
    for volume, filesystem in mounted(guest):
        assert isinstance(filesystem.journal_state, str)
        assert isinstance(filesystem.label, str)
        assert filesystem.name.startswith(filesystem.family[:3])
        assert filesystem.structures.owner(filesystem.source.size - 1) is not None
        if filesystem.family != "zfs":
            assert filesystem.boot_properties == ""
            root, rest = filesystem.grub_path(b"/a@/b")
            assert (root.key, rest) == (filesystem.root.key, b"/a@/b")
            with pytest.raises(GuestFileMissing):
                filesystem.subvolume("x")
        assert list(filesystem.structures.every())[:1] != [] or not list(filesystem.structures.listed())
        with pytest.raises(BootcfgError):
            list(find(guest, f"{volume.name}.nonsense"))


def test_journals_may_be_left_alone(guest: Guest) -> None:
    sources = [disk.source for disk in guest.disks]
    other = Guest.of_sources(sources, options=Options(replay_journal=False))
    for (_, filesystem), (_, replayed) in zip(mounted(other), mounted(guest), strict=True):
        assert filesystem.name == replayed.name
        if replayed.journal_state.startswith("not clean"):
            assert filesystem.journal_state.startswith("not clean")
            assert filesystem.warnings != replayed.warnings
