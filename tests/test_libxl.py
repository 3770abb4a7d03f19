"""pygrub as libxl runs it: tests T1 to T10 of how toolstacks call a boot loader (toolstacks.py)."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from guests import INITRD, KERNEL, grub_guest, needs_mke2fs
from toolstacks import PYGRUB, Bootloader, Domain, Outcome, is_root, libxl

if TYPE_CHECKING:
    from conftest import Corpus

CONFIG = "set timeout=30\nmenuentry A { linux /k a=1; initrd /i; }\nmenuentry B { linux /k b=2; }\n"
PLAIN = Domain(bootloader_args=["-q"])
DOWN, ENTER, CTRL_C = b"\x1b[B", b"\r", b"\x03"

needs_root = pytest.mark.skipif(not is_root(), reason="only root can change users")


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("mke2fs"):
        pytest.skip("mke2fs makes the image")
    return grub_guest(tmp_path_factory.mktemp("guest"), CONFIG)


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def assert_boots_a(outcome: Outcome, *, more: bytes = b"") -> None:
    assert outcome.status == 0, outcome.log
    assert outcome.complaints == []
    assert (outcome.kernel, outcome.ramdisk, outcome.cmdline) == (KERNEL, INITRD, b"a=1" + more)
    assert [word for word, _ in outcome.records] == ["kernel", "ramdisk", "args"]
    assert outcome.left == []


# --- T1: plain ---------------------------------------------------------------------------------------


def test_t1_plain(tmp_path: Path, guest: Path) -> None:
    assert_boots_a(libxl(tmp_path, guest, PLAIN))
    assert list(tmp_path.iterdir()) == []


def test_t1_what_the_domain_configures(tmp_path: Path, guest: Path) -> None:
    domain = Domain("/k", "/i", "root=/dev/xvda1 console=hvc0 \"two words\" a='b' =", bootloader_args=["-q"])
    outcome = libxl(tmp_path, guest, domain)
    assert (outcome.kernel, outcome.ramdisk) == (KERNEL, INITRD)
    # libxl drops white space in front of a value; the real pygrub puts one blank there
    assert outcome.cmdline == domain.cmdline.encode()


def test_t1_arguments_of_the_guest_and_of_the_domain_are_merged(tmp_path: Path, guest: Path) -> None:
    domain = Domain(cmdline="more=é \xff", bootloader_args=["-q"])
    assert_boots_a(libxl(tmp_path, guest, domain), more=" more=é \xff".encode())


# --- T2: restricted ----------------------------------------------------------------------------------


@needs_root
def test_t2_restricted(tmp_path: Path, guest: Path) -> None:
    before = mounts()
    secret = tmp_path / "secret.img"  # the disk need not be readable by the user that reads it
    shutil.copy(guest, secret)
    secret.chmod(0o600)
    lib = tmp_path / "lib"
    lib.mkdir()
    assert_boots_a(libxl(lib, secret, Domain(restrict_uid=54321)))
    assert list(lib.iterdir()) == []
    assert mounts() == before


@needs_root
def test_t2_a_restricted_failure_fails(tmp_path: Path, guest: Path) -> None:
    """The real pygrub exits 0 here: it hands the wait status to exit()."""
    before = mounts()
    broken = tmp_path / "broken.img"
    broken.write_bytes(guest.read_bytes()[: 1 << 20])
    run = Bootloader(tmp_path, broken, Domain(restrict_uid=54321))
    folder = run.folder
    outcome = run.wait()
    assert outcome.status == 1
    assert outcome.left == []
    assert b"RuntimeError: " in outcome.log
    assert not folder.exists()
    assert mounts() == before


@needs_root
def test_t2_restricted_needs_no_menu(tmp_path: Path, guest: Path) -> None:
    outcome = libxl(tmp_path, guest, Domain(restrict_uid=54321, bootloader_args=["-i"]))
    assert outcome.status == 1
    assert b"you must also set --entry or -q" in outcome.log


def test_t2_the_time_out_of_libxl_ends_it(tmp_path: Path, guest: Path) -> None:
    """With a menu that waits; libxl itself only times out when restricted."""
    run = Bootloader(tmp_path, guest)
    assert run.pump(30, until=lambda log: b"30 seconds" in log or b"29 seconds" in log)
    outcome = run.wait(timeout=0.2)
    assert outcome.timed_out
    assert outcome.status == -signal.SIGKILL
    assert outcome.left == []


# --- T3: see also test_libxl_kills.py ------------------------------------------------------------------


def test_t3_sigterm_leaves_nothing(tmp_path: Path, guest: Path) -> None:
    run = Bootloader(tmp_path, guest)
    assert run.pump(30, until=lambda log: b"seconds" in log)
    os.kill(run.pid, signal.SIGTERM)
    outcome = run.wait()
    assert outcome.status == 128 + signal.SIGTERM
    assert outcome.left == []


# --- T4: the length of records -------------------------------------------------------------------------


def test_t4_the_longest_arguments_that_libxl_reads(tmp_path: Path, guest: Path) -> None:
    room = 8186 - len("a=1 ")
    fits = libxl(tmp_path, guest, Domain(cmdline="x" * room, bootloader_args=["-q"]))
    assert_boots_a(fits, more=b" " + b"x" * room)
    assert fits.complaints == []
    over = libxl(tmp_path, guest, Domain(cmdline="x" * (room + 1), bootloader_args=["-q"]))
    assert over.status == 1
    assert b"8187 bytes long; libxl reads at most 8186" in over.log
    assert over.left == []


# --- T5: forged records --------------------------------------------------------------------------------

FORGERIES = {
    "sxp": ")(ramdisk /etc/passwd",
    "sxp-quoted": "')(ramdisk '/etc/passwd",
    "sxp-double": '")(ramdisk "/etc/passwd',
    "backslash": "\\')(ramdisk '/etc/passwd",
    "escape": "\x1b]0;owned\x07",
}


@needs_mke2fs
@pytest.mark.parametrize("name", FORGERIES)
def test_t5_xsa_198_text_of_the_guest_forges_no_record(tmp_path: Path, name: str) -> None:
    quoted = "'" + FORGERIES[name].replace("'", "'\\''") + "'"
    image = grub_guest(tmp_path, f"menuentry A {{ linux /k {quoted}; initrd /i; }}\n")
    outcome = libxl(tmp_path, image, PLAIN)
    assert outcome.status == 0, outcome.log
    assert [word for word, _ in outcome.records] == ["kernel", "ramdisk", "args"]
    assert outcome.ramdisk == INITRD
    assert FORGERIES[name].split(" ")[-1].encode().strip(b"'\"") in (outcome.cmdline or b"")


@needs_mke2fs
@pytest.mark.parametrize("form", ["simple", "simple0", "sxp", "json"])
@pytest.mark.parametrize("text", ["x\nramdisk /etc/passwd", "x\nargs y\n\nkernel /etc/shadow"])
def test_t5_xsa_198_newlines(tmp_path: Path, form: str, text: str) -> None:
    image = grub_guest(tmp_path, f"menuentry A {{ linux /k '{text}'; initrd /i; }}\n")
    out = tmp_path / "out"
    out.mkdir()
    done = subprocess.run(
        [*PYGRUB, "-q", f"--output-format={form}", f"--output-directory={out}", image],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.replace("\0", "\0\n").splitlines()
    assert (
        not [line for line in lines if line.startswith(("ramdisk /etc", "kernel /etc"))] or form == "simple0"
    )
    if form == "simple":
        assert done.returncode == 1
        assert "newline" in done.stderr.splitlines()[-1]
        assert list(out.iterdir()) == []
    elif form == "simple0":
        assert [record.split(" ")[0] for record in done.stdout.split("\0")][:3] == [
            "kernel",
            "ramdisk",
            "args",
        ]
        assert len(done.stdout.split("\0")) == 5


@needs_mke2fs
def test_t5_a_nul_byte_forges_no_record(tmp_path: Path) -> None:
    image = grub_guest(tmp_path, b"menuentry A { linux /k x\0ramdisk\0/etc/passwd; initrd /i; }\n")
    outcome = libxl(tmp_path, image, PLAIN)
    assert b"/etc/passwd" not in dict(outcome.records).get("ramdisk", b"")
    assert outcome.complaints == []
    assert outcome.left == []


# --- T6: what is not there -------------------------------------------------------------------------------


@needs_mke2fs
def test_t6_empty_and_missing_parts_have_no_record(tmp_path: Path) -> None:
    config = """\
menuentry empty { linux /k a; initrd /none; }
menuentry bare { linux /k; }
menuentry two { linux /k a; initrd /one /i; }
"""
    image = grub_guest(tmp_path, config, none=b"", one=b"123")
    empty, bare, two = (
        libxl(tmp_path, image, Domain(bootloader_args=[f"--entry={n}"])) for n in ("empty", "bare", "two")
    )
    assert [word for word, _ in empty.records] == ["kernel", "args"]
    assert [word for word, _ in bare.records] == ["kernel"]
    assert two.ramdisk == b"123\0" + INITRD
    assert empty.left == bare.left == two.left == []


# --- T7: options -----------------------------------------------------------------------------------------


def run_pygrub(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [*PYGRUB, *map(os.fspath, arguments)]  # type: ignore[arg-type]
    return subprocess.run(command, check=False, **{"capture_output": True, "timeout": 60, **options})


def test_t7_options_behind_the_image_abbreviated_repeated(tmp_path: Path, guest: Path) -> None:
    domain = Domain(bootloader_args=["--entr=A", "--entry", "B", "--arg=x", "--args=y z"], cmdline="first")
    outcome = libxl(tmp_path, guest, domain)
    assert (outcome.kernel, outcome.ramdisk, outcome.cmdline) == (KERNEL, None, b"b=2 y z")
    done = run_pygrub(guest, "-q", "--output=-", "--output-f", "simple", f"--output-dir={tmp_path}")
    assert done.stdout.startswith(f"kernel {tmp_path}/boot_kernel.".encode())


def test_t7_the_last_of_quiet_and_interactive_counts(tmp_path: Path, guest: Path) -> None:
    run = Bootloader(tmp_path, guest, Domain(bootloader_args=["-q", "-i"]))
    assert run.pump(30, until=lambda log: b"seconds" in log)
    run.type(ENTER)
    assert_boots_a(run.wait())


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_t7_closed_standard_descriptors(tmp_path: Path, guest: Path, closed: str) -> None:
    script = f'exec "$@" {closed}'
    command = ["sh", "-c", script, "sh", *PYGRUB, "-q", f"--output-directory={tmp_path}", str(guest)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 0
    assert done.stdout.startswith(b"linux (kernel '")


def test_t7_a_closed_stderr_sends_nothing_to_stdout(tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *PYGRUB, "-q", "--explain", str(tmp_path / "gone")]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")


def test_t7_ignored_signals_of_children(tmp_path: Path, guest: Path) -> None:
    command = ["sh", "-c", 'trap "" CHLD; exec "$@"', "sh", *PYGRUB, "-q", f"--output-directory={tmp_path}"]
    done = subprocess.run([*command, guest], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_t7_closed_output(tmp_path: Path, guest: Path) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *PYGRUB, "-q", f"--output-directory={tmp_path}", str(guest)]
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 1
    assert b"standard output is closed" in done.stderr
    assert list(tmp_path.iterdir()) == []


# --- T8: no room -----------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for the result and half a kernel."""
    place = tmp_path / "small"
    place.mkdir()
    if (
        not is_root()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no file system can be mounted")
    yield place
    subprocess.run(["umount", place], check=True)


def assert_fails(done: subprocess.CompletedProcess[bytes], folder: Path, *causes: bytes) -> None:
    assert done.returncode == 1
    assert done.stdout == b""
    last = done.stderr.splitlines()[-1]
    assert last.startswith(b"RuntimeError: ")
    assert any(cause in last for cause in causes), last
    assert list(folder.iterdir()) == []


@needs_mke2fs
def test_t8_no_space_left(tmp_path: Path, small_disk: Path) -> None:
    image = grub_guest(tmp_path, CONFIG, k=os.urandom(1 << 20))
    done = run_pygrub("-q", f"--output-directory={small_disk}", image)
    assert_fails(done, small_disk, b"copying p0:/k: No space left on device")


@needs_mke2fs
@pytest.mark.parametrize("sparse", [False, True])
def test_t8_larger_than_allowed(tmp_path: Path, *, sparse: bool) -> None:
    image = grub_guest(tmp_path, CONFIG, k=bytes(3 << 20) if sparse else os.urandom(3 << 20))
    out = tmp_path / "out"
    out.mkdir()
    environment = {**os.environ, "PYGRUB_MAX_FILE_SIZE_MB": "2"}
    done = run_pygrub("-q", f"--output-directory={out}", image, env=environment)
    assert_fails(done, out, b"copying p0:/k: File too large (PYGRUB_MAX_FILE_SIZE_MB")
    environment["PYGRUB_MAX_FILE_SIZE_MB"] = "3"
    assert run_pygrub("-q", f"--output-directory={out}", image, env=environment).returncode == 0


def test_t8_a_result_that_cannot_be_written(tmp_path: Path, guest: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("/dev/full is not there")
    done = run_pygrub("-q", f"--output={full}", f"--output-directory={tmp_path}", guest)
    assert_fails(done, tmp_path, b"No space left on device")


def test_t8_no_access(tmp_path: Path, guest: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    done = run_pygrub("-q", f"--output={tmp_path / 'gone'}", f"--output-directory={out}", guest)
    assert_fails(done, out, b"No such file or directory")
    assert run_pygrub("-q", f"--output-directory={out / 'gone'}", guest).returncode == 1
    if not is_root():
        out.chmod(0o500)
        assert_fails(run_pygrub("-q", f"--output-directory={out}", guest), out, b"Permission denied")


# --- T10: the menu -----------------------------------------------------------------------------------------


def in_menu(tmp_path: Path, image: Path, *keys: bytes, shown: bytes = b"seconds") -> Outcome:
    run = Bootloader(tmp_path, image)
    assert run.pump(30, until=lambda log: shown in log), run.log
    for key in keys:
        run.type(key)
    return run.wait()


def test_t10_enter_boots_the_default(tmp_path: Path, guest: Path) -> None:
    assert_boots_a(in_menu(tmp_path, guest, ENTER))


def test_t10_down_and_enter_boot_the_next(tmp_path: Path, guest: Path) -> None:
    outcome = in_menu(tmp_path, guest, DOWN, ENTER)
    assert (outcome.kernel, outcome.ramdisk, outcome.cmdline) == (KERNEL, None, b"b=2")


def test_t10_edited_arguments(tmp_path: Path, guest: Path) -> None:
    outcome = in_menu(tmp_path, guest, b"a", b" edited", ENTER)
    assert outcome.status == 0, outcome.log
    assert outcome.cmdline == b"a=1 edited"


def test_t10_leaving_boots_nothing(tmp_path: Path, guest: Path) -> None:
    outcome = in_menu(tmp_path, guest, CTRL_C)
    assert outcome.status == 1
    assert b"RuntimeError: the menu was left without a choice" in outcome.log
    assert outcome.left == []


def test_t10_a_terminal_that_goes_boots_nothing(tmp_path: Path, guest: Path) -> None:
    run = Bootloader(tmp_path, guest)
    assert run.pump(30, until=lambda log: b"seconds" in log)
    lost, spare = os.openpty()
    os.dup2(lost, run.master)  # closes the real master: SIGHUP, and the end of input
    os.close(spare)
    os.close(lost)
    _, status = os.waitpid(run.pid, 0)
    assert os.waitstatus_to_exitcode(status) != 0
    assert list(run.folder.iterdir()) == []
    assert run.output.read_bytes() == b""


@needs_mke2fs
@pytest.mark.parametrize("timeout", [0, 1])
def test_t10_the_time_out_boots_the_default(tmp_path: Path, timeout: int) -> None:
    image = grub_guest(tmp_path, CONFIG.replace("30", str(timeout)))
    begun = time.monotonic()
    assert_boots_a(libxl(tmp_path, image))
    assert time.monotonic() - begun < timeout + 20


@needs_mke2fs
def test_t10_without_time_out_it_waits(tmp_path: Path) -> None:
    image = grub_guest(tmp_path, CONFIG.replace("30", "-1"))
    run = Bootloader(tmp_path, image)
    assert run.pump(30, until=lambda log: b"A" in log and b"B" in log)
    assert run.pump(1.5)
    assert os.waitpid(run.pid, os.WNOHANG) == (0, 0)
    run.type(ENTER)
    assert_boots_a(run.wait())


def test_t10_an_unusable_terminal_boots_the_default_and_says_so(tmp_path: Path, guest: Path) -> None:
    dumb = ["env", "TERM=dumb", *PYGRUB]
    outcome = Bootloader(tmp_path, guest, command=dumb).wait()
    assert_boots_a(outcome)
    assert b"can show no menu; booting the default entry" in outcome.log
    done = run_pygrub(f"--output-directory={tmp_path}", guest, stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    assert b"no terminal for a menu; booting the default entry" in done.stderr


def test_t10_the_terminal_is_as_it_was(tmp_path: Path, guest: Path) -> None:
    """A reader that is killed while it shows the menu leaves it to its parent."""
    import termios

    run = Bootloader(tmp_path, guest)
    assert run.pump(30, until=lambda log: b"seconds" in log)
    (child,) = map(int, Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split())
    before = termios.tcgetattr(run.master)
    os.kill(child, signal.SIGKILL)
    outcome = run.wait()
    assert outcome.status == 1
    assert re.search(rb"RuntimeError: the reader of the disk was ended by signal 9", outcome.log)
    assert before  # the pty is raw from the beginning; what matters is that the run ended in words


# --- every bootable image --------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folder = os.environ.get("PYBOOTCFG_CORPUS")
    if "image_name" in metafunc.fixturenames:
        manifests = sorted(Path(folder, "manifests").glob("*.json")) if folder else []
        metafunc.parametrize("image_name", [file.stem for file in manifests])


def test_every_bootable_image_of_the_corpus(corpus: Corpus, tmp_path: Path, image_name: str) -> None:
    """Plain, restricted and with a menu: the same kernel and ramdisk, and those of the manifest."""
    manifest = corpus.manifest(image_name)
    disks = corpus.disks(image_name)
    more = [f"--device={disk}" for disk in disks[1:]]
    domains = [Domain(bootloader_args=["-q", *more]), Domain(bootloader_args=more)]
    if is_root():
        domains.append(Domain(restrict_uid=54321, bootloader_args=more))

    def run(number: int) -> Outcome:
        lib = tmp_path / str(number)
        lib.mkdir()
        running = Bootloader(lib, disks[0], domains[number])
        if number == 1:
            running.pump(30, until=lambda log: b"Enter" in log)
            running.type(ENTER)
        return running.wait()

    plain = run(0)
    if plain.status:
        last = plain.log.splitlines()[-1]
        assert (plain.status, plain.left) == (1, [])
        assert last.startswith(b"RuntimeError: no bootable entry found")
        pytest.skip(f"it does not boot: {last[:200].decode()}")
    contents = {facts.get("sha256") for facts in manifest["files"].values()}
    assert hashlib.sha256(plain.kernel or b"").hexdigest() in contents
    with ThreadPoolExecutor(2) as pool:
        others = list(pool.map(run, range(1, len(domains))))
    for outcome in (plain, *others):
        assert outcome.status == 0, outcome.log
        assert outcome.complaints == []
        assert outcome.left == []
        assert (outcome.kernel, outcome.ramdisk) == (plain.kernel, plain.ramdisk)
        assert outcome.cmdline == plain.cmdline
