"""The files that the toolstack is to have: without a name until all is well, and never left behind."""

from __future__ import annotations

import contextlib
import errno
import os

from pybootcfg.cli.signals import signal
from pybootcfg.errors import UsageError
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

DEFAULT_DIRECTORY = "/var/run/xen/pygrub"
KERNEL, RAMDISK = "boot_kernel", "boot_ramdisk"

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_"
#: what open(2) says where the file system, or the kernel, has no files without a name
_NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL}


class Outputs:
    """Kernel and ramdisk files in one directory, mode 0600.

    A file gets its name in `publish` only, so that a process that is killed before leaves nothing.
    From then on, until `keep`, a guard process takes the names away again when this one ends.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory or DEFAULT_DIRECTORY
        if not directory:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
        elif not os.path.isdir(directory):
            raise UsageError(f"{directory} is not an existing directory")
        self.names = {prefix: f"{prefix}.{_random_name()}" for prefix in (KERNEL, RAMDISK)}
        self.descriptors: dict[str, int] = {}
        self._folder = -1
        self._guard: Guard | None = None
        self._named = False

    def __enter__(self) -> Self:
        self._folder = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for prefix in self.names:
                self.descriptors[prefix] = self._create(prefix)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._guard:
            self._remove(*self.names)
            self._guard.dismiss()
        for fd in (*self.descriptors.values(), self._folder):
            if fd >= 0:
                os.close(fd)

    def _create(self, prefix: str) -> int:
        flags = os.O_WRONLY | os.O_CLOEXEC
        if not self._named and os.path.isdir("/proc/self/fd"):  # through which it gets its name
            try:
                return os.open(".", flags | os.O_TMPFILE, 0o600, dir_fd=self._folder)
            except OSError as error:
                if error.errno not in _NO_TMPFILE:
                    raise
        self._named = True
        self._watch()
        flags |= os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.open(self.names[prefix], flags, 0o600, dir_fd=self._folder)

    def _watch(self) -> None:
        self._guard = self._guard or Guard(self._folder, list(self.names.values()))

    def _remove(self, *prefixes: str) -> None:
        for prefix in prefixes:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.names[prefix], dir_fd=self._folder)

    def path(self, prefix: str) -> str:
        """Return the path that a file will have."""
        return os.path.join(self.directory, self.names[prefix])

    def size(self, prefix: str) -> int:
        """Return the size of a file in bytes."""
        return os.fstat(self.descriptors[prefix]).st_size

    def publish(self, *wanted: str) -> None:
        """Give the wanted files their names; the others vanish."""
        self._watch()
        if self._named:
            self._remove(*(prefix for prefix in self.names if prefix not in wanted))
            return
        for prefix in wanted:
            # linkat(2) with AT_SYMLINK_FOLLOW; without a descriptor Python would call link(2).
            source = f"/proc/self/fd/{self.descriptors[prefix]}"
            os.link(source, self.names[prefix], dst_dir_fd=self._folder, follow_symlinks=True)

    def keep(self) -> None:
        """Leave the published files to the toolstack."""
        guard, self._guard = self._guard, None  # first, so that a signal from here on undoes nothing
        if guard:
            guard.release()


class Guard:
    """A process that waits for this one to end, and then removes the files unless told to keep them.

    SIGKILL gives no process the time to tidy up after itself.
    """

    def __init__(self, folder: int, names: list[str]) -> None:
        waiting, self._telling = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _stand_guard(folder, names, waiting)
            finally:
                os._exit(0)
        os.close(waiting)

    def release(self) -> None:
        """Have the guard leave the files alone."""
        os.write(self._telling, b"keep")
        self.dismiss()

    def dismiss(self) -> None:
        """Let the guard do its work, and wait until it is done."""
        os.close(self._telling)
        os.waitpid(self._pid, 0)


def _stand_guard(folder: int, names: list[str], waiting: int) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.setsid()
    close_all_but(folder, waiting)
    if not os.read(waiting, 1):
        for name in names:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)


def close_all_but(*kept: int) -> None:
    """Close every descriptor of this process except `kept`."""
    try:
        every = sorted(map(int, os.listdir("/proc/self/fd")))
    except OSError:
        every = list(range(os.sysconf("SC_OPEN_MAX")))
    for fd in every:
        if fd not in kept:
            with contextlib.suppress(OSError):
                os.close(fd)


def _random_name() -> str:
    """Return eight characters that nobody can foresee, as mkstemp(3) makes them."""
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in os.urandom(8))
