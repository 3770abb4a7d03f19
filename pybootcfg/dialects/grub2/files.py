"""Files by their names in GRUB: `(hd0,msdos1)/boot/x`, or `/boot/x` on the device that $root names."""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.dialects.base import Machine, SearchKey
from pybootcfg.dialects.grub2.environment import Environment
from pybootcfg.dialects.grub2.failure import Failure, Status
from pybootcfg.errors import BootcfgError, LimitExceeded, printable
from pybootcfg.kind import Kind
from pybootcfg.menu import FileRef
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BYTES_PER_QUESTION = 16 << 10  #: read, so that all a run reads is 320 MiB at most


class Files:
    """A guest's files under GRUB's names.  Answers are remembered; questions are counted."""

    def __init__(
        self, machine: Machine, config: FileRef, environment: Environment, warn: Callable[[str], None]
    ) -> None:
        self._machine = machine
        self._config = config
        self._environment = environment
        self._warn = warn
        self._questions = limits.GRUB_FILE_ACCESSES.budget()
        self._kinds: dict[FileRef, Kind | None] = {}
        self._devices: dict[str, str | None] = {}
        self._found: dict[tuple[SearchKey, str], Sequence[str]] = {}
        self.loopbacks: dict[str, str] = {}  #: devices that `loopback` made, and the image of each
        self._images: dict[str, str | None] = {}  # the volumes inside
        self.own_device = "hd0"

    # --- devices ---------------------------------------------------------------------------------

    def volume(self, device: str) -> str | None:
        """Return the volume that a device name means; None when it means none."""
        if device in self.loopbacks:
            return self._inside(self.loopbacks[device])
        if device not in self._devices:
            self._questions.spend()
            self._devices[device] = self._machine.device(device)
            if self._devices[device] is None and device == self.own_device:
                self._devices[device] = self._config.volume
        return self._devices[device]

    def _inside(self, image: str) -> str | None:
        """Return the volume inside an image file; None, with a warning, when it cannot be read."""
        if image not in self._images:
            self._questions.spend()
            try:
                self._images[image] = self._machine.loopback(self.place(image))
            except LimitExceeded:
                raise
            except (BootcfgError, Failure) as error:
                self._warn(f"the image {printable(image)} cannot be looked into: {error}")
                self._images[image] = None
        return self._images[image]

    def devices(self) -> list[str]:
        """Return GRUB's names of all volumes, in its order."""
        return [facts.grub for facts in self._machine.volumes()]

    def search(self, key: SearchKey, value: str) -> list[str]:
        """Return GRUB's names of the volumes that have a label, UUID or file."""
        if (key, value) not in self._found:
            self._questions.spend()
            self._found[key, value] = self._machine.search(key, value)
        names = {facts.name: facts.grub for facts in self._machine.volumes()}
        return [names.get(volume, volume) for volume in self._found[key, value]]

    # --- names -----------------------------------------------------------------------------------

    def split(self, name: str) -> tuple[str, str]:
        """Return the device and the path of a name; raises Failure."""
        if not name.startswith("("):
            return self._environment.get("root") or "", name
        device, closed, path = name.removeprefix("(").partition(")")
        if not closed:
            raise Failure(Status.BAD_FILENAME, "missing `)' symbol")
        return device, path

    def place(self, name: str) -> FileRef:
        """Return the file that a name means; raises Failure for an unknown device."""
        device, path = self.split(name)
        volume = self.volume(device)
        if volume is None:
            raise Failure(Status.UNKNOWN_DEVICE, f"disk `{device}' not found")
        return FileRef(path, volume)

    def boot_file(self, name: str, warn: Callable[[str], None]) -> FileRef:
        """Return a file to boot; on a device that is unknown, it is looked for beside the configuration.

        Guests are often given as a bare partition, whose configuration names the disk it lay on.
        """
        try:
            device, path = self.split(name)
        except Failure:
            return FileRef(name, self._config.volume)
        volume = self.volume(device)
        if volume is None:
            volume = self._config.volume
            if device in self.loopbacks:
                image = printable(self.loopbacks[device])
                warn(f"({printable(device)}) is the image {image}, which cannot be looked into")
            else:
                where = volume or "the volume of the configuration"
                warn(f"device ({printable(device)}) is unknown; {printable(path)} is taken from {where}")
        return FileRef(path, volume)

    # --- questions -------------------------------------------------------------------------------

    def kind(self, name: str) -> Kind | None:
        """Return what a name means, symbolic links followed; None when there is no such file."""
        try:
            file = self.place(name)
        except Failure:
            return None
        path = file.path.partition(")")[2] if ")" in file.path else file.path
        path = path.rstrip("/") or "/"
        return self._kind(FileRef(path if path.startswith("/") else f"/{path}", file.volume))

    def _kind(self, file: FileRef) -> Kind | None:
        if file not in self._kinds:
            self._questions.spend()
            self._kinds[file] = self._machine.kind(file)
        return self._kinds[file]

    def exists(self, name: str) -> bool:
        """Tell whether anything goes by this name."""
        return self.kind(name) is not None

    def is_directory(self, name: str) -> bool:
        """Tell whether a directory goes by this name."""
        return self.kind(name) is Kind.DIRECTORY

    def is_file(self, name: str) -> bool:
        """Tell whether a file goes by this name and can be opened."""
        return "/" in name and self.kind(name) is Kind.FILE and not name.endswith("/")

    def has_contents(self, name: str) -> bool:
        """Tell whether a file that is not empty goes by this name."""
        if not self.is_file(name):
            return False
        self._questions.spend()
        try:
            return self._machine.size(self.place(name)) > 0
        except LimitExceeded:
            raise
        except (BootcfgError, Failure):
            return False

    def is_newer(self, name: str, other: str, bias: int) -> bool:
        """Tell whether a file was changed after another, `bias` seconds added to its time."""
        first, second = self.exists(name), self.exists(other)
        if not (first and second):
            return first and not second
        self._questions.spend(2)
        changed, compared = self._machine.mtime(self.place(name)), self._machine.mtime(self.place(other))
        return changed is not None and compared is not None and changed + bias > compared

    def names(self, folder: str) -> list[str]:
        """Return the names in a directory, sorted; none when it cannot be read."""
        try:
            file = self.place(folder)
            self._questions.spend()
            names = self._machine.names(FileRef(file.path or "/", file.volume))
        except LimitExceeded:
            raise
        except (BootcfgError, Failure):
            return []
        self._questions.spend(len(names) // 64)
        return sorted(name for name in names if name not in (".", ".."))

    def read(self, name: str) -> tuple[FileRef, bytes]:
        """Return a file and its contents; raises Failure."""
        file = self.place(name)
        if not file.path.startswith("/"):
            raise Failure(Status.BAD_FILENAME, f"invalid file name `{file.path}'")
        kind = self._kind(file)
        if kind is Kind.DIRECTORY:
            raise Failure(Status.BAD_FILE_TYPE, "not a regular file")
        if kind is not Kind.FILE:
            raise Failure(Status.FILE_NOT_FOUND, f"file `{file.path}' not found")
        self._questions.spend()
        try:
            data = self._machine.read(file)
        except LimitExceeded:
            raise
        except BootcfgError as error:
            self._warn(str(error))
            raise Failure(Status.FILE_READ_ERROR, f"file `{file.path}' cannot be read") from error
        self._questions.spend(len(data) // _BYTES_PER_QUESTION)
        return file, data
