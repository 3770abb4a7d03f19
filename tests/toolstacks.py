"""How toolstacks run pygrub and read its answer, written from their side and apart from the product.

libxl: tools/libs/light/libxl_bootloader.c of Xen 4.20 (argv, pty, files, records); xenopsd:
ocaml/xenopsd/lib/bootloader.ml of xen-api; xend: tools/python/xen/xend of Xen 4.1.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pybootcfg import grammar

#: pygrub as a command; the part before its own arguments
PYGRUB = [sys.executable, "-P", "-c", "import sys; from pybootcfg.cli.pygrub import main; sys.exit(main())"]

PATH_MAX = 4096
RING = 4096  #: bytes towards xenconsole that libxl keeps; older ones are dropped


def is_root() -> bool:
    return os.geteuid() == 0


# --- libxl -----------------------------------------------------------------------------------------


@dataclass
class Domain:
    """What the configuration of a domain gives to its boot loader."""

    kernel: str = ""
    ramdisk: str = ""
    cmdline: str = ""
    restrict_uid: int | None = None
    bootloader_args: Sequence[str] = ()


@dataclass
class Outcome:
    """What libxl has after its boot loader ran; `log` is what came out of the pty."""

    status: int
    log: bytes
    records: list[tuple[str, bytes]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    kernel: bytes | None = None
    ramdisk: bytes | None = None
    cmdline: bytes | None = None
    left: list[str] = field(default_factory=list)
    timed_out: bool = False


def libxl_arguments(domain: Domain, output: Path, folder: Path, disk: Path) -> list[str]:
    """make_bootloader_args."""
    arguments = []
    if domain.kernel:
        arguments.append(f"--kernel={domain.kernel}")
    if domain.ramdisk:
        arguments.append(f"--ramdisk={domain.ramdisk}")
    if domain.cmdline:
        arguments.append(f"--args={domain.cmdline}")
    if domain.restrict_uid is not None:
        arguments += [f"--runas={domain.restrict_uid}", "--quiet"]
    arguments += [f"--output={output}", "--output-format=simple0", f"--output-directory={folder}"]
    return [*arguments, *domain.bootloader_args, str(disk)]


class Bootloader:
    """One run of the boot loader by libxl: files, pty, process."""

    def __init__(
        self,
        lib: Path,
        disk: Path,
        domain: Domain | None = None,
        *,
        command: Sequence[str] = PYGRUB,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.output = lib / "bootloader.7.d", lib / "bootloader.7.out"
        self.folder.mkdir(mode=0o600 if is_root() else 0o700, exist_ok=True)
        os.close(os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        arguments = libxl_arguments(domain or Domain(), self.output, self.folder, disk)
        self.log = b""
        self.master, slave = os.openpty()
        tty.setraw(self.master)
        everything = {**os.environ, **(environment or {}), "TERM": "vt100"}
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.master)
                os.login_tty(slave)
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                os.execvpe(command[0], [*command, *arguments], everything)  # noqa: S606
            finally:
                os._exit(127)
        os.close(slave)

    def pump(self, seconds: float, until: Callable[[bytes], bool] = lambda _: False) -> bool:
        """Copy what comes out of the pty into the log; return False once it is closed."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not until(self.log):
            if select.select([self.master], [], [], left)[0]:
                try:
                    data = os.read(self.master, RING)
                except OSError:
                    return False
                if not data:
                    return False
                self.log += data
        return True

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def wait(self, timeout: float = 60) -> Outcome:
        """Run to the end; SIGTERM when the pty is closed, SIGKILL after the time-out."""
        timed_out = self.pump(timeout)
        with contextlib.suppress(ProcessLookupError):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if not pid:
                if timed_out:
                    os.kill(self.pid, signal.SIGKILL)
                else:
                    time.sleep(0.02)  # libxl sends SIGTERM at once; the process is exiting by then
                _, status = os.waitpid(self.pid, 0)
        os.close(self.master)
        outcome = Outcome(os.waitstatus_to_exitcode(status), self.log, timed_out=timed_out)
        if outcome.status == 0:
            self._parse(outcome)
        outcome.left = sorted(os.listdir(self.folder))
        self.output.unlink()
        shutil.rmtree(self.folder)
        return outcome

    def _parse(self, outcome: Outcome) -> None:
        """parse_bootloader_result: NUL-ended records; kernel and ramdisk are mapped and unlinked."""
        for record in self.output.read_bytes().split(b"\0"):
            if not record:
                continue
            if len(record) >= 2 * PATH_MAX:
                outcome.complaints.append("record too long, ignored")
                continue
            for word in (b"kernel", b"ramdisk", b"args"):
                rest = record.removeprefix(word)
                if rest != record and rest[:1].isspace():
                    outcome.records.append((word.decode(), rest.lstrip()))
                    break
            else:
                outcome.complaints.append(f"unexpected output {record!r}")
        for word, value in outcome.records:
            if word == "args":
                outcome.cmdline = value
            elif word == "kernel":
                outcome.kernel = _map_and_unlink(value)
            else:
                outcome.ramdisk = _map_and_unlink(value)


def _map_and_unlink(path: bytes) -> bytes:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        os.unlink(path)
        return bytes(mapped)


def libxl(lib: Path, disk: Path, domain: Domain | None = None, **options: object) -> Outcome:
    """Run a boot loader as libxl does, to the end."""
    return Bootloader(lib, disk, domain, **options).wait()  # type: ignore[arg-type]


# --- xenopsd ---------------------------------------------------------------------------------------


def xenopsd(disk: Path, bootargs: str = "", directory: str = "") -> dict[str, str]:
    """Bootloader.extract: the answer is stdout; a failure is what follows RuntimeError: on stderr."""
    given = [f"--output-directory={directory}"] if directory else []
    command = [*PYGRUB, "--output-format=simple", "-q", *bootargs.split(" "), *given, str(disk)]
    command = [word for word in command if word]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        found = re.search(r"RuntimeError: (.*)", done.stderr)
        raise RuntimeError(found[1] if found else done.stderr)
    answer: dict[str, str] = {}
    for line in done.stdout.split("\n"):
        word, _, rest = line.partition(" ")
        if not line:
            continue
        if word not in ("kernel", "ramdisk", "args") or word in answer:
            raise ValueError(line)
        answer[word] = rest
    for word in ("kernel", "ramdisk"):
        if word in answer and directory:
            assert os.path.dirname(os.path.normpath(answer[word])) == directory
    return answer


# --- xend ------------------------------------------------------------------------------------------

_ESCAPES = {"a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"}


def read_sxp(text: str) -> list[object]:
    """Read what pygrub answers by default, with the escapes that xend knows."""
    return [_value(tree) for tree in grammar.load("sxp").parse(grammar.Text(text, "answer")).trees()]


def _value(tree: grammar.Tree) -> object:
    if tree.data == "list":
        return [_value(child) for child in tree.trees()]
    if tree.data == "atom":
        return "".join(token.text for token in tree.tokens())
    return "".join(_unescaped(token) for token in tree.tokens())


def _unescaped(token: grammar.Token) -> str:
    rest = token.text[1:]
    if token.type == "ESCAPE":
        return _ESCAPES.get(rest, rest)
    if token.type == "OCTAL":
        return chr(int(rest, 8))
    if token.type == "HEXADECIMAL":
        return chr(int(rest[1:], 16))
    return token.text


def xend(folder: Path, disk: Path, *arguments: str, kernel: str = "", args: str = "") -> list[object]:
    """XendBootloader.bootloader: a FIFO, a pty, the default format; the exit status is not looked at."""
    fifo = folder / "xenbl.1"
    os.mkfifo(fifo, 0o600)
    answer = bytearray()

    def read() -> None:
        with fifo.open("rb") as file:
            answer.extend(file.read())

    given = [f"--kernel={kernel}"] * bool(kernel) + [f"--args={args}"] * bool(args)
    command = [*PYGRUB, *given, "-q", f"--output={fifo}", *arguments, str(disk)]
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    master, slave = os.openpty()
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    flags = fcntl.fcntl(master, fcntl.F_GETFL)
    fcntl.fcntl(master, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    while process.poll() is None:
        with contextlib.suppress(OSError):
            os.read(master, RING)
        time.sleep(0.01)
    os.close(master)
    if process.returncode != 0:  # it never opened the FIFO, perhaps; xend's own non-blocking open sees that
        with contextlib.suppress(OSError):
            os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    reader.join(10)
    if not answer:
        raise RuntimeError("Boot loader didn't return any data!")
    return read_sxp(answer.decode("utf-8", "surrogateescape"))
