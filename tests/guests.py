"""Small guests for tests: ext4 images with given files, made by mke2fs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

needs_mke2fs = pytest.mark.skipif(not shutil.which("mke2fs"), reason="mke2fs makes the image")

KERNEL = b"KERNEL " * 5000
INITRD = b"INITRD " * 3000


def make_guest(
    folder: Path, files: Mapping[str, bytes], *, size: str = "8m", name: str = "guest.img"
) -> Path:
    """Return an image with these files, by their paths without the leading slash."""
    tree, image = folder / f"{name}.tree", folder / name
    for path, contents in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(contents)
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image, size]
    subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(tree)
    return image


def grub_guest(folder: Path, config: str | bytes, **files: bytes) -> Path:
    """Return an image with a grub.cfg, a kernel /k, an initial ramdisk /i, and more files in the root."""
    text = config.encode() if isinstance(config, str) else config
    everything = {"boot/grub/grub.cfg": text, "k": KERNEL, "i": INITRD, **files}
    return make_guest(folder, everything)
