"""Whether effort stays flat where it should: a huge directory, a huge disk, many files, a long menu."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.guest import MIB
from bench.images import run, which
from bench.measure import Command, expect_output
from bench.programs import WITH_LIBRARIES, interpreter

BLOCK = 4096
#: a directory's entries are spread over so many files, as ext4 lets none have more than 65,000 names
NAMED_FILES = 64
FILE_TYPE_REGULAR = 1


class Case(NamedTuple):
    """Commands that are compared with the second one of them: what it shows, and the target of the ratio."""

    title: str
    commands: list[Command]
    target: str


def _pybootcfg(name: str, *arguments: str | Path, prints: list[bytes]) -> Command:
    program = Path(sys.executable).with_name("pybootcfg")
    return Command(name, [program, *arguments], expect_output(prints))


def huge_directory(work: Path, entries: int) -> Case:
    """Return the case of one file found in a directory of so many names, indexed by hashes.

    No tool adds a million names in reasonable time: the directory's blocks are written as a file, which
    is then declared a directory, and e2fsck builds the index.
    """
    image, tree = work / "directory.img", work / "directory"
    (tree / "small").mkdir(parents=True)
    (tree / "files").mkdir()
    for number in range(NAMED_FILES):
        (tree / f"files/{number}").write_text(f"contents of {number}\n")
    (tree / "small/one").write_text("contents of one\n")
    (tree / "large").touch()
    _make_without_checksums(image, tree, entries)
    inodes = _inode_numbers(image)  # which are the same the next time
    with (tree / "large").open("wb") as out:
        out.writelines(directory_blocks(entries, inodes))
    _make_without_checksums(image, tree, entries)
    run("debugfs", "-w", "-R", "sif /large mode 040755", image)
    _index(image)
    return Case(
        f"one file of a directory of {entries:,} (ext4, htree)",
        [
            _pybootcfg("large", "cat", image, f"/large/{_name(entries * 2 // 3)}", prints=[b"contents of "]),
            _pybootcfg("small", "cat", image, "/small/one", prints=[b"contents of one\n"]),
        ],
        "1.5",
    )


def _make_without_checksums(image: Path, tree: Path, entries: int) -> None:
    # A checksum would have to know the inode that the blocks will belong to.
    options = ["-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-O", "^metadata_csum", "-N", "4096"]
    run("mke2fs", *options, "-d", tree, image, f"{(entries * 64 + 16 * MIB) // 1024}k")


def _name(number: int) -> str:
    return f"file-{number:08}"


def directory_blocks(entries: int, inodes: Sequence[int]) -> Iterator[bytes]:
    """Yield the blocks of a linear directory, each entry 24 bytes: inode, length, name length, type, name."""
    per_block = BLOCK // 24
    for start in range(0, entries, per_block):
        names = range(start, min(start + per_block, entries))
        block = bytearray()
        for number in names:
            length = BLOCK - len(block) if number == names[-1] else 24
            name = _name(number).encode()
            block += inodes[number % len(inodes)].to_bytes(4, "little") + length.to_bytes(2, "little")
            block += bytes([len(name), FILE_TYPE_REGULAR]) + name.ljust(16, b"\0")
        yield bytes(block.ljust(BLOCK, b"\0"))


def _inode_numbers(image: Path) -> list[int]:
    """Return the inodes of the files that the large directory's names stand for."""
    command: list[str | Path] = [which("debugfs") or "debugfs", "-R", "ls -p /files", image]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split("/") for line in listing.splitlines() if line.startswith("/")]
    return [int(row[1]) for row in rows if row[5] not in (".", "..")]


def _index(image: Path) -> None:
    """Have e2fsck add what the directory lacks, count its links and build its index."""
    # Its status tells what it mended; that all is well in the end, a second run tells.
    subprocess.run([which("e2fsck") or "e2fsck", "-fyD", image], capture_output=True)
    run("e2fsck", "-fn", image)


def huge_disk(work: Path, size: int) -> Case:
    """Return the case of the same file on a sparse disk of `size` bytes and on a small one."""
    tree = work / "tree-of-one"
    tree.mkdir()
    (tree / "one").write_text("contents of one\n")
    commands = []
    for name, bytes_ in (("large", size), ("small", 64 * MIB)):
        image = work / f"{name}-disk.img"
        run("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image, f"{bytes_ // 1024}k")
        commands.append(_pybootcfg(name, "cat", image, "/one", prints=[b"contents of one\n"]))
    return Case(f"one file on a disk of {size >> 40} TiB, sparse (ext4)", commands, "1.5")


def many_files(work: Path, files: int) -> Case:
    """Return the case of listing so many files with their sizes."""
    image = work / "files.img"
    tree = work / "many"
    for number in range(files):
        if number % 500 == 0:
            folder = tree / f"folder-{number // 500:04}"
            folder.mkdir(parents=True)
        (folder / f"file-{number:06}").touch()
    run(
        "mke2fs",
        "-q",
        "-F",
        "-t",
        "ext4",
        "-N",
        str(files + 4096),
        "-d",
        tree,
        image,
        f"{files // 2 + 32768}k",
    )
    last = f"file-{files - 1:06}".encode()
    commands = [_pybootcfg("pybootcfg ls -R --json", "ls", "-R", "--json", image, "/", prints=[last])]
    python = interpreter("pytsk3")
    if python:
        listing: list[str | Path] = [python, WITH_LIBRARIES, "pytsk3-list", image, work]
        commands.append(Command("pytsk3", listing, expect_output([last])))
    fls = which("fls")
    if fls:
        commands.append(Command("fls -r -l", [fls, "-r", "-l", image], expect_output([last])))
    return Case(f"listing {files:,} files with sizes (ext4)", commands, "1.0")


def long_menu(work: Path, entries: int) -> Case:
    """Return the case of a grub.cfg with so many entries, and with a tenth of them."""
    commands = []
    for name, count in (("large", entries), ("small", entries // 10)):
        file = work / f"{name}.grub.cfg"
        file.write_text("set timeout=5\n" + "".join(map(_short_entry, range(count))))
        prints = [f'"index": {count - 1},'.encode()]
        label = f"{count:,} entries, {os.path.getsize(file) / MIB:.2f} MiB"
        commands.append(_pybootcfg(label, "entries", "--json", "--config", file, prints=prints))
    return Case("a long grub.cfg", commands, "10 (linear)")


def _short_entry(number: int) -> str:
    return (
        f"menuentry 'Linux {number:05}' --id e{number:05} {{\n"
        f"  linux /boot/vmlinuz-{number:05} root=/dev/xvda1 ro\n"
        f"  initrd /boot/initrd-{number:05}\n}}\n"
    )
