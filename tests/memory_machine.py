"""A guest in memory, for tests: disks of files, with labels and UUIDs, as the dialects see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pybootcfg import limits
from pybootcfg.dialects.base import SearchKey, VolumeFacts
from pybootcfg.errors import BootcfgError, GuestFileMissing, UnsupportedFeature
from pybootcfg.kind import Kind
from pybootcfg.menu import FileRef


class MemoryMachine:
    """Disk i is `hd{i}`; the first one's volume is called `own`, the configuration's volume."""

    def __init__(
        self, files: Mapping[str, str | bytes], disks: Sequence[Mapping[str, Any]] = (), own: str = ""
    ) -> None:
        self._facts: list[VolumeFacts] = []
        self._files: dict[str, dict[str, bytes]] = {}
        for number, disk in enumerate(disks or [{}]):
            name = own if number == 0 else f"d{number + 1}p0"
            contents: dict[str, bytes] = dict.fromkeys(disk.get("files", ()), b"x")
            if number == 0:
                contents |= {path: _bytes(data) for path, data in files.items()}
            self._facts.append(
                VolumeFacts(name, f"hd{number}", "ext2", disk.get("label") or "", disk.get("uuid") or "")
            )
            self._files[name] = contents

    def volumes(self) -> Sequence[VolumeFacts]:
        return self._facts

    def device(self, name: str) -> str | None:
        return next((facts.name for facts in self._facts if facts.grub == name), None)

    def search(self, key: SearchKey, value: str) -> Sequence[str]:
        if key is SearchKey.LABEL:
            return [facts.name for facts in self._facts if facts.label == value]
        if key is SearchKey.UUID:
            return [facts.name for facts in self._facts if facts.uuid and facts.uuid.lower() == value.lower()]
        return [facts.name for facts in self._facts if self.kind(FileRef(value, facts.name)) is not None]

    def loopback(self, image: FileRef) -> str:
        raise UnsupportedFeature("file system", f"no known file system in {image}")

    def kind(self, file: FileRef) -> Kind | None:
        files = self._files.get(file.volume, {})
        if file.path in files:
            return Kind.FILE
        folder = file.path.rstrip("/") + "/"
        if folder == "/" or any(path.startswith(folder) for path in files):
            return Kind.DIRECTORY
        return None

    def size(self, file: FileRef) -> int:
        return len(self.read(file))

    def mtime(self, file: FileRef) -> int | None:  # noqa: ARG002
        return None

    def names(self, folder: FileRef) -> Sequence[str]:
        start = folder.path.rstrip("/") + "/"
        files = self._files.get(folder.volume, {})
        return list({path.removeprefix(start).partition("/")[0] for path in files if path.startswith(start)})

    def read(self, file: FileRef, limit: limits.Limit = limits.CONFIG_SIZE) -> bytes:
        data = self._files.get(file.volume, {}).get(file.path)
        if data is None:
            raise GuestFileMissing(file.path)
        limit.check(len(data), file.path)
        return data


def _bytes(data: str | bytes) -> bytes:
    return data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape")


class DamagedMachine(MemoryMachine):
    """A guest some of whose files and directories are there, but raise an error when they are read."""

    def __init__(
        self, files: Mapping[str, str | bytes], damaged: str, error: BootcfgError, own: str = ""
    ) -> None:
        super().__init__(files, own=own)
        self._damaged = damaged
        self._error = error

    def names(self, folder: FileRef) -> Sequence[str]:
        if folder.path.rstrip("/") == self._damaged:
            raise self._error
        return super().names(folder)

    def read(self, file: FileRef, limit: limits.Limit = limits.CONFIG_SIZE) -> bytes:
        if file.path == self._damaged:
            raise self._error
        return super().read(file, limit)
