"""Disks that fail or change while they are read: the right answer, or an error that names the byte.

Over tests/corpus, and over the folder of PYBOOTCFG_CORPUS where that is set.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faulty_file import broken_at, changing, everything, reading, short, shrinking

from faults import images
from faults.boot import Run
from pybootcfg import extraction
from pybootcfg.errors import BootcfgError
from pybootcfg.filesystems.base import Filesystem, Node
from pybootcfg.guest import Guest
from pybootcfg.kind import Kind
from pybootcfg.places import structures
from pybootcfg.source import FileSource

EXAMPLE = Path(__file__).parent.parent / "examples/sample.img.xz"
IMAGES = images.find(
    [images.OWN, EXAMPLE, *(Path(folder) for folder in [os.environ.get("PYBOOTCFG_CORPUS", "")] if folder)]
)

#: what is done to a guest, and what it gives
Task = Callable[[list[FileSource]], tuple[object, list[str]]]

#: how an error names the byte; ZFS names that of each copy on its device
NAMED = re.compile(r"at byte 0x|\(p\d.* at 0x")
FILES = 25  # of one volume that are read in a walk


def boot(sources: list[FileSource]) -> tuple[object, list[str]]:
    """What pygrub does, up to the copies; faults.boot checks that their sizes are those of the answer."""
    run = Run(sources)
    try:
        answer = run.boot()
        digests = []
        for fd in run.outputs:
            os.lseek(fd, 0, os.SEEK_SET)
            with open(fd, "rb", closefd=False) as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    finally:
        run.close()
    warnings = [remark for remark in answer.remarks if remark.startswith("warning: ")]
    return (answer[:3], digests), warnings


def walk(sources: list[FileSource]) -> tuple[object, list[str]]:
    """What `ls -R --sha256` does, over the first files of each volume."""
    guest = Guest.of_sources(sources)
    found: dict[str, object] = {}
    warnings = [warning for disk in guest.disks for warning in disk.table.warnings]
    for volume in guest.listed:
        filesystem = volume.mountable
        if filesystem is None:
            found[volume.name] = type(volume.failure)
            warnings += [str(volume.failure)] if volume.failure else []
            continue
        for path, node in files(filesystem):
            digest = hashlib.sha256()
            if node.kind is Kind.SYMLINK:
                digest.update(node.target())
            elif node.kind is Kind.FILE and node.size < 1 << 22:
                extraction.hash_file(node, digest)
            found[f"{volume.name}{path!r}"] = node.kind, node.size, digest.hexdigest()
        warnings += filesystem.warnings
    return found, warnings


def files(filesystem: Filesystem) -> Iterator[tuple[bytes, Node]]:
    todo, seen, left = [(b"", filesystem.root)], {filesystem.root.key}, FILES
    while todo:
        folder, node = todo.pop()
        for name, child in node.entries():
            yield folder + b"/" + name, child
            left -= 1
            if not left:
                return
            if child.kind is Kind.DIRECTORY and child.key not in seen:
                seen.add(child.key)
                todo.append((folder + b"/" + name, child))


def inspect(sources: list[FileSource]) -> tuple[object, list[str]]:
    """What `inspect --structures` and a look at the fields does, over the first structures."""
    found, errors = [], []
    guest = Guest.of_sources(sources)
    for _, structure in zip(range(80), structures(guest), strict=False):
        field = structure.trace()
        found.append((field.name, field.offset, field.size, repr(field.children)))
        errors += [str(child.error) for child in (field, *field.children) if child.error]
    for volume in guest.listed:
        errors += [str(volume.failure)] if volume.failure else []
        errors += volume.mountable.warnings if volume.mountable else []
    return (found, errors), [*errors, *(warning for disk in guest.disks for warning in disk.table.warnings)]


@contextmanager
def opened(image: images.Image, folder: Path) -> Iterator[list[FileSource]]:
    sources = [FileSource.open(path) for path in images.unpack(image, folder)]
    try:
        yield sources
    finally:
        for source in sources:
            source.close()


def outcome(task: Task, sources: list[FileSource]) -> tuple[object, list[str], str]:
    """What a task gives, its warnings, and in words its error and those that it was made of."""
    try:
        return *task(sources), ""
    except (BootcfgError, OSError) as error:
        attempts = getattr(error, "attempts", ())
        return type(error), [], "; ".join([str(error), *(attempt.why for attempt in attempts)])


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.mark.parametrize("task", [boot, walk, inspect])
@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_a_faulty_disk(image: images.Image, task: Task, unpacked: Path) -> None:
    dice = random.Random(f"{image.name} {task.__name__}")  # noqa: S311
    reads: list[tuple[int, int, int]] = []

    def watch(fd: int, offset: int, length: int, _number: int) -> int:
        reads.append((fd, offset, length))
        return length

    with opened(image, unpacked) as sources:
        with reading(sources, watch):
            right, warnings, error = outcome(task, sources)

        with reading(sources, short):
            assert outcome(task, sources) == (right, warnings, error)

        for fd, offset, length in dice.sample([read for read in reads if read[2]], 2):
            (disk,) = (source for source in sources if source.fd == fd)
            broken = offset + dice.randrange(length)
            with reading(sources, broken_at(broken, disk)):
                told(outcome(task, sources), right, error, NAMED)

        for number in dice.sample(range(len(reads)), 2):
            with reading(sources, shrinking(number, dice.randrange(sources[0].size))):
                told(outcome(task, sources), right, error, NAMED)

        for number in dice.sample(range(len(reads)), 2):
            with reading(sources, everything, changing(number, dice.choice((1, 17, 509, 4099)))):
                outcome(task, sources)


def told(done: tuple[object, list[str], str], right: object, error: str, where: re.Pattern[str]) -> None:
    """Check that a result is the right one, or that it says at which byte the disk failed."""
    result, warnings, failure = done
    if (result == right and not failure) or (failure == error and failure):
        return
    assert failure or warnings, "another result, and nobody is told"
    if failure:
        assert where.search(failure), failure


def test_data_that_changes_between_two_reads(tmp_path: Path) -> None:
    """Whatever is read at whatever time: what is said of sizes is what was written."""
    dice = random.Random(1)  # noqa: S311
    (image,) = images.find([EXAMPLE])
    outcomes = set()
    with opened(image, tmp_path) as sources:
        right, _, _ = outcome(boot, sources)
        for after in range(0, 120, 3):
            alter = changing(after, dice.choice((1, 3, 64, 1021, 16381)))
            with reading(sources, everything, alter):
                result, _, error = outcome(boot, sources)  # faults.boot.WrongResult would fail the test
            outcomes.add("error" if error else "right" if result == right else "other")
    assert outcomes >= {"error", "right"}
