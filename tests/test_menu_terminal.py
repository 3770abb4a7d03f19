"""The menu on real terminals: ptys as libxl makes them, and tmux."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from menu_screen import DOWN, ENTER, UP, make_tree
from syrupy.assertion import SnapshotAssertion

PROGRAM = str(Path(__file__).with_name("menu_screen.py"))
WAIT = 60.0  # seconds for anything that takes well under one
RING = 4096  # bytes that libxl keeps for a console that is slow to read
UUID = "5a3b7c1e-9d24-4f0a-8c55-2f1b0e6d7a90"
BOOTS_QUIET = f"[p1:/boot/vmlinuz] [p1:/boot/microcode.img p1:/boot/initrd.img] [root=UUID={UUID} ro quiet"
CONFIG = """\
set default="demo>quiet"
set timeout=900
menuentry "Demo Linux" --class gnu-linux --id simple {
    linux /boot/vmlinuz ro console=hvc0
    initrd /boot/initrd.img
}
submenu "Advanced options" --id demo {
    menuentry "Demo Linux, quiet" --id quiet {
        linux /boot/vmlinuz ro quiet "title=two words"
        initrd /boot/microcode.img /boot/initrd.img
    }
    menuentry "Demo Linux, rescue" --id rescue {
        linux /boot/vmlinuz ro single
    }
}
"""


def environment(**variables: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "VIRTUAL_ENV") if name in os.environ}
    return {**kept, "TERM": "vt100", "LC_ALL": "C.UTF-8", "PYTHONSAFEPATH": "1", **variables}


class Pty:
    """The menu of an image on a pseudo-terminal of its own, raw and without a size unless told otherwise."""

    def __init__(
        self,
        image: Path,
        *options: str,
        raw: bool = True,
        size: tuple[int, int] = (0, 0),
        variables: dict[str, str] | None = None,
        program: Sequence[str] = (PROGRAM,),
    ) -> None:
        self.master, self.slave = pty.openpty()
        if raw:
            tty.setraw(self.slave, termios.TCSANOW)
        termios.tcsetwinsize(self.slave, size)
        self.before = termios.tcgetattr(self.slave)
        self.output = b""

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [sys.executable, *program, *options, str(image)],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env=environment(**(variables or {})),
            start_new_session=True,
            preexec_fn=take_terminal,
        )

    def send(self, data: bytes) -> None:
        os.write(self.master, data)

    def resize(self, rows: int, columns: int) -> None:
        termios.tcsetwinsize(self.master, (rows, columns))

    def read(self, seconds: float) -> bool:
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            self.output += os.read(self.master, 65536)
        return True

    def until(self, text: str) -> str:
        """Return what has been drawn up to a text, and forget it."""
        end = time.monotonic() + WAIT
        while text.encode() not in self.output:
            assert time.monotonic() < end, self.output
            self.read(0.2)
        place = self.output.index(text.encode()) + len(text.encode())
        seen, self.output = self.output[:place], self.output[place:]
        return seen.decode()

    def status(self) -> int:
        """Return the exit status."""
        end = time.monotonic() + WAIT
        while self.process.poll() is None:
            assert time.monotonic() < end, self.output
            self.read(0.05)
        while self.read(0):
            pass
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for descriptor in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def opened() -> Iterator[Any]:
    """Open ptys that are closed after the test."""
    ptys: list[Pty] = []

    def make(*arguments: Any, **options: Any) -> Pty:
        ptys.append(Pty(*arguments, **options))
        return ptys[-1]

    yield make
    for one in ptys:
        one.close()


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """A guest whose menu waits for long, so that no test has to hurry."""
    files = dict.fromkeys(("boot/vmlinuz", "boot/initrd.img", "boot/microcode.img"), "x")
    return make_tree(tmp_path / "guest", {"boot/grub/grub.cfg": CONFIG, **files})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path, {"boot/grub/grub.cfg": "menuentry Only { linux /boot/k one; }\n"})


def config(folder: Path, text: str) -> Path:
    (folder / "boot/grub/grub.cfg").write_text(text)
    return folder


def test_keys_sent_at_once(opened: Any, sample: Path) -> None:
    """T10 of the protocol of libxl: down and Enter, before anything is drawn."""
    one = opened(sample, "--prepared")
    one.send(UP + DOWN + ENTER + ENTER)
    one.until(BOOTS_QUIET)
    assert one.status() == 0
    assert termios.tcgetattr(one.slave) == one.before


def test_a_pty_without_a_size_is_a_vt100(opened: Any, patient: Path) -> None:
    """libxl opens its ptys without a size; curses took terminfo's 24 by 80."""
    one = opened(patient)
    seen = one.until("Boots in")
    assert "\x1b[24;1H" in seen
    assert "\x1b[25;1H" not in seen
    assert "└" + "─" * 78 + "┘" in seen
    assert len(seen.encode()) < RING, "a slow console would lose some of it"
    assert "\n" not in seen


def test_a_countdown_runs_out(opened: Any, tree: Path) -> None:
    one = opened(config(tree, "set timeout=1\nmenuentry A { linux /boot/k a; }\n"))
    one.until("Boots in 1 second")
    one.until("BOOTS [p0:/boot/k] [] [a]")
    assert one.status() == 0


def test_the_screen_is_drawn_anew_only_where_it_changes(opened: Any, patient: Path) -> None:
    one = opened(patient)
    one.until("Boots in")
    seen = one.until("Boots in")
    assert len(seen) < 200


def test_no_time_no_menu(opened: Any, tree: Path) -> None:
    one = opened(config(tree, "set timeout=0\nmenuentry A { linux /boot/k a; }\n"))
    seen = one.until("BOOTS [p0:/boot/k] [] [a]")
    assert "\x1b" not in seen
    assert one.status() == 0


@pytest.mark.parametrize("raw", [True, False])
def test_ctrl_c_cancels(opened: Any, tree: Path, *, raw: bool) -> None:
    one = opened(tree, raw=raw)
    one.until("Only")
    one.send(b"\x03")
    one.until("Cancelled")
    assert one.status() == 1
    assert termios.tcgetattr(one.slave) == one.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_the_terminal_as_it_was(opened: Any, tree: Path, number: signal.Signals) -> None:
    one = opened(tree, raw=False)
    one.until("search")
    one.process.send_signal(number)
    assert one.status() == 128 + number
    assert termios.tcgetattr(one.slave) == one.before
    assert one.output.endswith(b"\x1b[H\x1b[2J")


@pytest.mark.parametrize("keys", [b"", b"e", b"c"])
def test_a_terminal_that_goes_away(opened: Any, tree: Path, keys: bytes) -> None:
    one = opened(tree)
    one.until("search")
    if keys:
        one.send(keys)
        one.until("Esc goes back")
    os.close(one.slave)
    os.close(one.master)
    assert one.process.wait(WAIT) != 0


@pytest.mark.parametrize(
    ("variables", "size", "why"),
    [
        ({"TERM": "dumb"}, (24, 80), "dumb"),
        ({"TERM": ""}, (24, 80), "TERM is not set"),
        ({}, (2, 80), "too small"),
        ({}, (24, 9), "too small"),
    ],
)
def test_terminals_that_cannot_show_a_menu(
    opened: Any, tree: Path, variables: dict[str, str], size: tuple[int, int], why: str
) -> None:
    one = opened(tree, size=size, variables=variables)
    one.until("UnusableTerminal")
    one.until(why)
    assert one.status() == 1


@pytest.mark.parametrize("stdin", [subprocess.DEVNULL, subprocess.PIPE])
def test_no_terminal_at_all(tree: Path, stdin: int) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, str(tree)],
        stdin=stdin,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=WAIT,
        check=False,
    )
    assert done.returncode == 1
    assert "UnusableTerminal: there is no terminal" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_without_utf8_the_frame_is_the_vt100s(opened: Any, tree: Path) -> None:
    one = opened(config(tree, "menuentry 'Grüße' { linux /boot/k; }\n"), variables={"LC_ALL": "C"})
    seen = one.until("search")
    assert seen.isascii()
    assert "\x1b(0m" + "q" * 78 + "j\x1b(B" in seen
    assert r"Gr\xfc\xdfe" in seen


@pytest.mark.parametrize("pieces", [[b"\x1b", b"[", b"B"], [b"\x1bO", b"B"]])
def test_keys_may_come_in_pieces(opened: Any, tree: Path, pieces: list[bytes]) -> None:
    one = opened(config(tree, "menuentry A { linux /boot/k a; }\nmenuentry B { linux /boot/k b; }\n"))
    one.until("search")
    for piece in pieces:
        one.send(piece)
    one.send(ENTER)
    one.until("[b]")
    assert one.status() == 0


def test_escape_alone_goes_back(opened: Any, sample: Path) -> None:
    one = opened(sample)
    one.send(b"e" + DOWN + ENTER + b"e")
    one.until("Commands of Demo Linux, quiet")
    one.send(b"\x1b")
    one.until("Enter boots it")
    one.send(UP + ENTER)
    one.until(BOOTS_QUIET)
    assert one.status() == 0


def test_what_is_typed_is_utf8(opened: Any, tree: Path) -> None:
    one = opened(tree)
    one.until("search")
    one.send(b"a" + "\x15é漢=".encode() + b"\xe9" + ENTER)
    assert one.status() == 0
    assert "[é漢=".encode() in one.output


def test_resizing(opened: Any, patient: Path) -> None:
    one = opened(patient, size=(24, 80))
    one.until("Boots in")
    one.resize(10, 40)
    one.until("┌" + "─" * 38 + "┐")
    one.send(b"\x1b[A")
    seen = one.until("Demo Linux")
    assert "\x1b[11;1H" not in seen
    one.send(ENTER)
    one.until("BOOTS")
    assert one.status() == 0


def test_ctrl_l_draws_anew(opened: Any, tree: Path) -> None:
    one = opened(tree)
    one.until("search")
    one.send(b"\x0c")
    one.until("Only")


PYGRUB = ("-c", "import sys; from pybootcfg.cli.pygrub import main; sys.exit(main())")
PROTECTED = """\
set superusers=root
password_pbkdf2 root {secret}
menuentry Free --unrestricted {{ linux /boot/vmlinuz free; }}
menuentry Closed {{ linux /boot/vmlinuz closed; }}
"""


@pytest.mark.skipif(not shutil.which("mke2fs"), reason="mke2fs makes the image")
def test_pygrub_asks_for_passwords_inside_its_sandbox(opened: Any, patient: Path, tmp_path: Path) -> None:
    digest = hashlib.pbkdf2_hmac("sha512", b"geheim", b"salt", 1000)
    config(patient, PROTECTED.format(secret=f"grub.pbkdf2.sha512.1000.{b'salt'.hex()}.{digest.hex()}"))
    image, out = tmp_path / "disk.img", tmp_path / "out"
    out.mkdir()
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-d", patient, image, "4m"], check=True, capture_output=True
    )
    one = opened(image, f"--output-directory={out}", "--output-format=simple", program=PYGRUB)
    one.until("'p' asks")
    one.send(DOWN + ENTER + b"root" + ENTER + b"geheim" + ENTER)
    one.until("args closed")
    assert one.status() == 0
    assert len(list(out.iterdir())) == 1


def test_pygrub_uses_grubs_command_line_inside_its_sandbox(opened: Any, sample: Path, tmp_path: Path) -> None:
    one = opened(sample, f"--output-directory={tmp_path}", "--output-format=simple", program=PYGRUB)
    one.send(
        b"cregexp a b" + ENTER + b"date" + ENTER + b"linux /boot/vmlinu\t hand=made" + ENTER + b"boot" + ENTER
    )
    one.until("args hand=made")
    assert one.status() == 0


# --- tmux ----------------------------------------------------------------------------------------

needs_tmux = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is the terminal")


class Tmux:
    """A terminal of tmux, 80 by 24, that shows the menu of an image."""

    def __init__(self, socket: Path, image: Path) -> None:
        self._socket = str(socket)
        command = (
            f"exec 2>&1; '{sys.executable}' '{PROGRAM}' --prepared '{image}'; echo status $?; exec sleep 1000"
        )
        self.run("new-session", "-d", "-x", "80", "-y", "24", "-s", "menu", "sh", "-c", command)

    def run(self, *arguments: str) -> str:
        variables = environment(TERM="xterm-256color")
        command = ["tmux", "-u", "-f", "/dev/null", "-S", self._socket, *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env=variables, timeout=WAIT, check=True
        )
        return done.stdout

    def keys(self, *keys: str) -> None:
        self.run("send-keys", "-t", "menu", *keys)

    def until(self, text: str) -> str:
        """Return the screen once it shows a text."""
        end = time.monotonic() + WAIT
        before = ""
        while text not in (screen := self.run("capture-pane", "-p", "-t", "menu")) or screen != before:
            assert time.monotonic() < end, screen
            before = screen
            time.sleep(0.02)
        return re.sub(r"Boots in \d+", "Boots in N", screen)


@pytest.fixture
def tmux(tmp_path: Path, patient: Path) -> Iterator[Tmux]:
    shown = Tmux(tmp_path / "socket", patient)
    yield shown
    with contextlib.suppress(subprocess.SubprocessError):
        shown.run("kill-server")


@needs_tmux
def test_screens(tmux: Tmux, snapshot: SnapshotAssertion) -> None:
    assert tmux.until("Boots in") == snapshot(name="menu")
    tmux.keys("Up", "e")
    assert tmux.until("Ctrl-X") == snapshot(name="edit")
    tmux.keys("Escape")
    tmux.until("Up and Down")
    tmux.keys("Down", "Enter", "a")
    assert tmux.until("Kernel arguments") == snapshot(name="arguments")
    tmux.keys("Escape")
    tmux.until("Up and Down")
    tmux.keys("c", "ls /boot/", "Enter", "cat /boot/gr", "Tab")
    assert tmux.until("cat /boot/grub/") == snapshot(name="command line")
    tmux.keys("Escape")
    tmux.until("Up and Down")
    tmux.keys("/", "resc")
    assert tmux.until("1 of 3") == snapshot(name="search")
    tmux.keys("Enter")
    assert tmux.until("single") == snapshot(name="found")
    tmux.run("resize-window", "-t", "menu", "-x", "40", "-y", "12")
    assert tmux.until("─" * 38 + "┐") == snapshot(name="resized")
    tmux.keys("Enter")
    assert "single" in tmux.until("status 0").replace("\n", "")


@needs_tmux
def test_editing_in_tmux(tmux: Tmux) -> None:
    tmux.until("Boots in")
    tmux.keys("Up", "e")
    tmux.until("Ctrl-X")
    tmux.keys("End", " edited=1", "F10")
    assert "edited=1" in tmux.until("status 0").replace("\n", "")


@needs_tmux
def test_leaving_in_tmux(tmux: Tmux) -> None:
    tmux.until("Boots in")
    tmux.keys("C-c")
    screen = tmux.until("status 1")
    assert "Cancelled" in screen
    assert "─" not in screen, "the screen is as it was before"
