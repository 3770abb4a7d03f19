"""The images that are read, made without root and without mounting anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.guest import MIB, UUID


class Kind(NamedTuple):
    """A kind of image: its name in the table, the program that makes it, and how."""

    name: str
    program: str
    make: Callable[[Path, Path], None]

    @property
    def available(self) -> bool:
        """Whether the program is installed here."""
        return which(self.program) is not None


def which(program: str) -> str | None:
    """Return a program's path; file systems are often made by what only root has in its PATH."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def run(program: str, *arguments: str | Path) -> None:
    """Run a program that makes images, in silence unless it fails."""
    path = which(program)
    if path is None:
        raise FileNotFoundError(program)
    environment = {**os.environ, "MTOOLS_SKIP_CHECK": "1"}
    done = subprocess.run([path, *arguments], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{program} ended with status {done.returncode}: {done.stderr[-2000:]}")


def _room(tree: Path) -> int:
    """Return the size of an image in bytes that holds the tree with room to spare."""
    contents = sum(file.stat().st_size for file in tree.rglob("*") if file.is_file())
    return (contents + contents // 8 + 48 * MIB) // MIB * MIB


def _ext4(block_size: int) -> Callable[[Path, Path], None]:
    def make(tree: Path, image: Path) -> None:
        options = ["-q", "-F", "-t", "ext4", "-b", str(block_size), "-U", UUID]
        run("mke2fs", *options, "-d", tree, image, f"{_room(tree) // 1024}k")

    return make


def _fat32(tree: Path, image: Path) -> None:
    # FAT32 has at least 65,525 clusters.
    with image.open("wb") as out:
        out.truncate(max(_room(tree), 72 * MIB))
    run("mkfs.fat", "-F", "32", "-s", "2" if _room(tree) > 136 * MIB else "1", "-i", UUID[:8], image)
    run("mcopy", "-s", "-Q", "-i", image, tree / "boot", "::/")


def _iso9660(tree: Path, image: Path) -> None:
    run("xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", image, tree)


def _ufs1(tree: Path, image: Path) -> None:
    run("makefs", "-t", "ffs", "-o", "version=1", "-s", str(_room(tree)), image, tree)


KINDS = (
    Kind("ext4 4k", "mke2fs", _ext4(4096)),
    Kind("ext4 1k", "mke2fs", _ext4(1024)),
    Kind("FAT32", "mkfs.fat", _fat32),
    Kind("ISO 9660", "xorriso", _iso9660),
    Kind("UFS1", "makefs", _ufs1),
)
