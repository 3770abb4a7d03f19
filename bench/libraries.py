"""Fetches files with a library for Python, as a program of a few lines would.

Run on its own, by a Python that has the library: LIBRARY IMAGE FOLDER PATH..., or
`pytsk3-list` for LIBRARY.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

CHUNK = 1 << 20


def with_pytsk3(image: str, path: str) -> Iterator[bytes]:
    """Yield the contents of a file by way of The Sleuth Kit."""
    import pytsk3

    disk = pytsk3.Img_Info(image)  # the library does not keep alive what it was given
    filesystem = pytsk3.FS_Info(disk)
    file = filesystem.open(path)
    size = file.info.meta.size
    for offset in range(0, size, CHUNK):
        yield file.read_random(offset, min(CHUNK, size - offset))


def with_dissect_extfs(image: str, path: str) -> Iterator[bytes]:
    """Yield the contents of a file on ext4."""
    from dissect.extfs import ExtFS

    with open(image, "rb") as disk:
        stream = ExtFS(disk).get(path).open()
        while chunk := stream.read(CHUNK):
            yield chunk


def with_dissect_fat(image: str, path: str) -> Iterator[bytes]:
    """Yield the contents of a file on FAT."""
    from dissect.fat import FATFS

    with open(image, "rb") as disk:
        stream = FATFS(disk).get(path).open()
        while chunk := stream.read(CHUNK):
            yield chunk


def list_with_pytsk3(image: str) -> None:
    """Print every file's path and size."""
    import pytsk3

    disk = pytsk3.Img_Info(image)
    filesystem = pytsk3.FS_Info(disk)
    folders = [("", filesystem.open_dir("/"))]
    while folders:
        path, folder = folders.pop()
        for entry in folder:
            name = entry.info.name.name.decode()
            if name in (".", "..") or entry.info.meta is None:
                continue
            print(f"{path}/{name}", entry.info.meta.size)
            if entry.info.meta.type == pytsk3.TSK_FS_META_TYPE_DIR:
                folders.append((f"{path}/{name}", entry.as_directory()))


def main() -> None:
    """Copy the files, or list them all."""
    library, image, folder, *paths = sys.argv[1:]
    if library == "pytsk3-list":
        list_with_pytsk3(image)
        return
    fetch = {
        "pytsk3": with_pytsk3,
        "dissect.extfs": with_dissect_extfs,
        "dissect.fat": with_dissect_fat,
    }[library]
    for path in paths:
        with open(os.path.join(folder, os.path.basename(path)), "wb") as out:
            out.writelines(fetch(image, path))


if __name__ == "__main__":
    main()
