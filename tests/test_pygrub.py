"""pygrub as its callers see it: options, results, files, exit statuses, failures."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., "CompletedProcess[str]"]

ARGS = 'root=UUID=5a3b7c1e-9d24-4f0a-8c55-2f1b0e6d7a90 ro quiet "title=two words"'
NAME = r"boot_(kernel|ramdisk)\.[a-z0-9_]{8}"


def stand_in(name: str, size: int) -> bytes:
    """The same bytes as examples/make_sample.py puts into the sample's files."""
    data, block = bytearray(), name.encode()
    while len(data) < size:
        block = hashlib.sha256(block).digest()
        data += block
    return bytes(data[:size])


KERNEL, INITRD, MICROCODE = (
    stand_in("kernel", 20_000),
    stand_in("initrd", 9_001),
    stand_in("microcode", 1_003),
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "OUT"
    folder.mkdir()
    return folder


def test_the_way_through(pygrub: Run, sample: Path, out: Path) -> None:
    done = pygrub("-q", f"--output-directory={out}", sample)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        rf"linux \(kernel '{out}/{NAME}'\)\(ramdisk '{out}/{NAME}'\)\(args '{re.escape(ARGS)}'\)", done.stdout
    )
    kernel, ramdisk = re.findall(rf"'({out}/{NAME})'", done.stdout)
    assert Path(kernel[0]).read_bytes() == KERNEL
    # the default entry has two initrds: GRUB pads each but the last to four bytes
    assert Path(ramdisk[0]).read_bytes() == MICROCODE + bytes(1) + INITRD
    assert {stat.S_IMODE(file.stat().st_mode) for file in out.iterdir()} == {0o600}
    assert len(list(out.iterdir())) == 2


@pytest.mark.parametrize(
    ("entry", "args"),
    [
        ("0", "ro console=hvc0"),
        (" 1 ", 'ro quiet "title=two words"'),
        ("simple", "ro console=hvc0"),
        ("Demo Linux", "ro console=hvc0"),
        ("demo>rescue", "ro single"),
        ("Advanced options>Demo Linux, quiet", 'ro quiet "title=two words"'),
    ],
)
def test_entry(pygrub: Run, sample: Path, entry: str, args: str) -> None:
    done = pygrub("-n", "--output-format=simple", f"--entry={entry}", sample)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("args ")[1].strip().partition(" ")[2] == args


def test_an_entry_that_is_not_there_fails(pygrub: Run, sample: Path, out: Path) -> None:
    done = pygrub("--entry=nothing like it", f"--output-directory={out}", sample)
    assert done.returncode == 1
    assert "nothing like it" in done.stderr
    assert done.stdout == ""
    assert list(out.iterdir()) == []


def test_not_really_copies_nothing(pygrub: Run, sample: Path, out: Path) -> None:
    done = pygrub("-n", "-q", "--output-format=simple", f"--output-directory={out}", sample)
    assert done.returncode == 0
    assert (
        done.stdout == f"kernel /boot/vmlinuz\nramdisk /boot/microcode.img /boot/initrd.img\nargs {ARGS}\n\n"
    )
    assert "20000 bytes" in done.stderr
    assert list(out.iterdir()) == []


def test_list_entries(pygrub: Run, sample: Path) -> None:
    done = pygrub("-l", sample)
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("title")] == [
        "title: Demo Linux",
        "title: Demo Linux, quiet",
        "title: Demo Linux, rescue",
    ]
    # an entry without initrd ends the real pygrub's listing; ours goes on and leaves the line out
    assert done.stdout.count("  initrd: ") == 2
    assert done.stdout.count("  args: ") == 3


def test_options_in_any_order_abbreviated_and_repeated(pygrub: Run, sample: Path, out: Path) -> None:
    done = pygrub(sample, "--output-d", out, "--entr=0", "--output-f=simple", "--entry", "2", "--args=a  b")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("args root=UUID=5a3b7c1e-9d24-4f0a-8c55-2f1b0e6d7a90 ro single a  b\n\n")
    assert "ramdisk" not in done.stdout


def test_a_given_kernel_needs_no_configuration(pygrub: Run, sample: Path, out: Path) -> None:
    done = pygrub(
        "-q",
        "--kernel=boot/vmlinuz-6.1.0-demo",
        "--args=x",
        "--output-format=simple0",
        f"--output-directory={out}",
        sample,
    )
    assert done.returncode == 0, done.stderr
    kernel, args, *rest = done.stdout.split("\0")
    assert Path(kernel.removeprefix("kernel ")).read_bytes() == KERNEL
    assert args == "args  x"
    assert rest == ["", ""]
    assert len(list(out.iterdir())) == 1


def test_offset(pygrub: Run, sample: Path) -> None:
    assert pygrub("-n", "-q", "--offset=1048576", sample).returncode == 0
    assert pygrub("-n", "-q", "--offset=4096", sample).returncode == 1


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "--nonsense IMAGE",
        "--output-format=xml IMAGE",
        "--offset=x IMAGE",
        "--runas=root -q IMAGE",
        "--runas=65534 IMAGE",
        "--help",
    ],
)
def test_usage_errors(pygrub: Run, sample: Path, arguments: str) -> None:
    done = pygrub(*[str(sample) if word == "IMAGE" else word for word in arguments.split()])
    assert done.returncode == 1
    assert "usage: pygrub" in done.stderr
    assert done.stdout == ""


def test_help(pygrub: Run, sample: Path) -> None:
    done = pygrub("--help", sample)
    assert (done.returncode, done.stdout) == (0, "")
    assert "usage: pygrub" in done.stderr


def test_missing_output_directory(pygrub: Run, sample: Path, tmp_path: Path) -> None:
    done = pygrub("-q", f"--output-directory={tmp_path / 'none'}", sample)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("is not an existing directory")


def failing_images(folder: Path, sample: Path) -> dict[str, Path]:
    data = sample.read_bytes()
    images = {
        "absent": None,
        "empty": b"",
        "short": data[:700],
        "zeros": bytes(1 << 20),
        "text": b"hello\n" * 1000,
        "cut": data[: (1 << 20) + 5000],
    }
    for name, contents in images.items():
        if contents is not None:
            (folder / name).write_bytes(contents)
    (folder / "folder").mkdir()
    return {name: folder / name for name in [*images, "folder"]}


@pytest.mark.parametrize("name", ["absent", "empty", "short", "zeros", "text", "cut", "folder"])
def test_failures_name_their_cause_and_leave_nothing(
    pygrub: Run, sample: Path, tmp_path: Path, out: Path, name: str
) -> None:
    image = failing_images(tmp_path, sample)[name]
    done = pygrub("-q", f"--output-directory={out}", image)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("RuntimeError: ")
    assert "Traceback" not in done.stderr
    assert list(out.iterdir()) == []


def test_debug_shows_the_traceback(pygrub: Run, tmp_path: Path) -> None:
    done = pygrub("-q", "--debug", tmp_path / "none")
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("RuntimeError: ")


def test_output_to_a_file_that_is_there(pygrub: Run, sample: Path, tmp_path: Path, out: Path) -> None:
    result = tmp_path / "result"
    assert pygrub("-q", f"--output={result}", f"--output-directory={out}", sample).returncode == 1
    assert list(out.iterdir()) == []
    result.touch()
    done = pygrub("-q", f"--output={result}", f"--output-directory={out}", sample)
    assert (done.returncode, done.stdout) == (0, "")
    assert result.read_text().startswith("linux (kernel '")


def test_output_to_a_fifo(pygrub: Run, sample: Path, tmp_path: Path, out: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    done = pygrub("-q", f"--output={fifo}", f"--output-directory={out}", sample)
    reader.join(10)
    assert done.returncode == 0
    assert read[0].startswith("linux (kernel '")


def test_a_result_that_the_format_cannot_hold(pygrub: Run, sample: Path, out: Path) -> None:
    done = pygrub("-q", "--args=a\nb", "--output-format=simple", f"--output-directory={out}", sample)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "newline" in done.stderr
    assert list(out.iterdir()) == []


def test_args_too_long_for_libxl_fail_loudly(pygrub: Run, sample: Path, out: Path) -> None:
    room = 8186 - len(ARGS) - 1
    command = ["-q", "--output-format=simple0", f"--output-directory={out}", sample]
    done = pygrub(f"--args={'x' * (room + 1)}", *command)
    assert done.returncode == 1
    assert "libxl reads at most 8186" in done.stderr
    assert list(out.iterdir()) == []
    assert pygrub(f"--args={'x' * room}", *command).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_leave_nothing_behind(
    sample: Path, tmp_path: Path, out: Path, number: signal.Signals
) -> None:
    """The result goes to a FIFO that is full, so that the signal finds pygrub with its files made."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    filling = bytes(4096)
    try:
        while True:
            os.write(writer, filling)
    except BlockingIOError:
        pass
    code = "import sys; from pybootcfg.cli.pygrub import main; sys.exit(main())"
    command = [
        sys.executable,
        "-P",
        "-c",
        code,
        "-q",
        f"--output={fifo}",
        f"--output-directory={out}",
        str(sample),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while len(list(out.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert process.poll() is None
    process.send_signal(number)
    process.communicate(timeout=30)
    os.close(reader)
    os.close(writer)
    assert process.returncode != 0
    assert list(out.iterdir()) == []


def test_isconfig(pygrub: Run, tmp_path: Path) -> None:
    config = tmp_path / "grub.cfg"
    config.write_text("menuentry A { linux /k1 a=1; initrd /i1; }\nmenuentry B { linux /k2 b; }\n")
    done = pygrub("--isconfig", config)
    assert done.stdout == "  kernel: /k1\n  initrd: /i1\n  args: a=1\n"
    done = pygrub("--isconfig", "--entry=B", "--args=more", config)
    assert done.stdout == "  kernel: /k2\n  args: b more\n"


def test_json_listing(pygrub: Run, pybootcfg: Run, sample: Path) -> None:
    assert pygrub("-l", "--json", sample).stdout == pybootcfg("entries", "--json", sample).stdout


needs_mke2fs = pytest.mark.skipif(not shutil.which("mke2fs"), reason="mke2fs makes the image")


def make_image(tmp_path: Path, files: dict[str, bytes]) -> Path:
    tree, image = tmp_path / "tree", tmp_path / "made.img"
    for name, contents in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(contents)
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image, "4m"], check=True, capture_output=True
    )
    return image


@needs_mke2fs
def test_solaris(pygrub: Run, tmp_path: Path) -> None:
    unix, archive = "platform/i86xpv/kernel/amd64/unix", "platform/i86pc/amd64/boot_archive"
    image = make_image(tmp_path, {unix: b"UNIX", archive: b"ARCHIVE", "platform/i86xpv/kernel/unix": b"32"})
    done = pygrub("-n", "-q", "--output-format=simple", f"--args=-k root=/dev/dsk/c0d0s0 /{unix} -v", image)
    assert done.stdout == (
        f"kernel /{unix}\nramdisk /{archive}\nargs root=/dev/dsk/c0d0s0 /{unix} -k -v\n\n"
    ), done.stderr


@needs_mke2fs
def test_netware(pygrub: Run, tmp_path: Path) -> None:
    image = make_image(tmp_path, {"nwserver/xnloader.sys": b"LOADER"})
    assert pygrub("-n", "-q", "--output-format=simple", image).stdout == "kernel /nwserver/xnloader.sys\n\n"


@needs_mke2fs
def test_an_empty_ramdisk_is_left_out(pygrub: Run, tmp_path: Path, out: Path) -> None:
    config = b"menuentry A { linux /k; initrd /i; }\n"
    image = make_image(tmp_path, {"boot/grub/grub.cfg": config, "k": b"KERNEL", "i": b""})
    done = pygrub("-q", "--output-format=simple", f"--output-directory={out}", image)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"kernel {out}/{NAME}\n\n", done.stdout)
    assert len(list(out.iterdir())) == 1


@needs_mke2fs
def test_a_missing_kernel_is_named(pygrub: Run, tmp_path: Path, out: Path) -> None:
    config = b"menuentry A { linux /boot/gone; }\n"
    image = make_image(tmp_path, {"boot/grub/grub.cfg": config})
    done = pygrub("-q", f"--output-directory={out}", image)
    assert done.returncode == 1
    assert "/boot/gone" in done.stderr.splitlines()[-1]


@needs_mke2fs
def test_guest_text_reaches_no_terminal_unescaped(pygrub: Run, tmp_path: Path) -> None:
    config = b"menuentry $'x' 'a\x1b]0;own\x07b' { linux /\x1b[2J; }\nmenuentry 'c\x1b[31m' { linux /k; }\n"
    image = make_image(tmp_path, {"boot/grub/grub.cfg": config})
    for arguments in (["-l"], ["-q", "-n"], ["-q", "-n", "--entry=\x1b[31m"]):
        done = pygrub(*arguments, image)
        assert "\x1b" not in done.stdout + done.stderr


@needs_mke2fs
def test_a_guest_brings_no_hypervisor_of_its_own(pygrub: Run, tmp_path: Path) -> None:
    modules = b"module2 /xen-4.17.gz x; module2 /vmlinuz ro; module2 /initrd"
    config = b"menuentry A { multiboot2 /tboot.gz t; " + modules + b"; }\n"
    files = {
        "boot/grub/grub.cfg": config,
        "tboot.gz": b"T",
        "xen-4.17.gz": b"X",
        "vmlinuz": b"V",
        "initrd": b"I",
    }
    done = pygrub("-n", "-q", "--output-format=simple", make_image(tmp_path, files))
    assert done.stdout == "kernel /vmlinuz\nramdisk /initrd\nargs ro\n\n", done.stderr


@pytest.mark.skipif(not (shutil.which("mke2fs") and shutil.which("sfdisk")), reason="they make the image")
def test_a_file_that_is_beside_the_configuration_instead(pygrub: Run, tmp_path: Path) -> None:
    """The configuration names the first partition, but the kernel is on its own, the second."""
    config = b"default 0\ntitle A\nroot (hd0,0)\nkernel /vmlinuz ro\n"
    volume = make_image(tmp_path, {"boot/grub/menu.lst": config, "vmlinuz": b"V"})
    empty = make_image(tmp_path / "empty", {"nothing": b""})
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20) + empty.read_bytes() + volume.read_bytes())
    table = "label: dos\nstart=2048, size=8192, type=83\nstart=10240, type=83\n"
    subprocess.run(["sfdisk", "-q", disk], input=table, text=True, check=True, capture_output=True)
    done = pygrub("-n", "-q", "--output-format=simple", disk)
    assert done.stdout == "kernel /vmlinuz\nargs ro\n\n", done.stderr
    assert "p1:/vmlinuz is not there, but p2:/vmlinuz is" in done.stderr


@needs_mke2fs
def test_freebsd_is_told_what_to_name(pygrub: Run, pybootcfg: Run, tmp_path: Path) -> None:
    image = make_image(
        tmp_path, {"boot/kernel/kernel": b"FREEBSD", "boot/loader.conf": b"autoboot_delay=3\n"}
    )
    done = pygrub("-n", "-q", image)
    assert done.returncode == 1
    assert "--kernel=/boot/kernel/kernel" in done.stderr
    assert pybootcfg("entries", image).returncode == 3
    done = pygrub("-n", "-q", "--kernel=/boot/kernel/kernel", "--output-format=simple", image)
    assert done.stdout == "kernel /boot/kernel/kernel\n\n"


@needs_mke2fs
def test_times_of_files_decide(pybootcfg: Run, tmp_path: Path) -> None:
    """GRUB's `test` compares times with -nt and -ot, seconds added to the first behind the operator."""
    image = make_image(tmp_path, {"old": b"1", "new": b"2"})
    os.utime(tmp_path / "tree/old", (1_000_000_000, 1_000_000_000))
    os.utime(tmp_path / "tree/new", (1_000_000_100, 1_000_000_100))
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tmp_path / "tree", image, "4m"], check=True)
    script = tmp_path / "script"
    cases = [
        "/new -nt /old",
        "/old -nt /new",
        "/old -ot /new",
        "/old -nt101 /new",
        "/old -nt99 /new",
        "/new -nt /no",
    ]
    script.write_text("".join(f"if [ {case} ]; then echo yes; else echo no; fi\n" for case in cases))
    done = pybootcfg("script", script, image, "--set", "root=hd0")
    assert done.stdout.split() == ["yes", "no", "yes", "yes", "no", "yes"]
