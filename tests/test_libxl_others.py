"""pygrub as xenopsd (XAPI) and xend run it, with their own ways of reading the answer."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from guests import INITRD, KERNEL, grub_guest, needs_mke2fs
from toolstacks import PYGRUB, read_sxp, xend, xenopsd

CONFIG = "menuentry A { linux /k a=1 'two words'; initrd /i; }\nmenuentry B { linux /k b=2; }\n"


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("mke2fs"):
        pytest.skip("mke2fs makes the image")
    return grub_guest(tmp_path_factory.mktemp("guest"), CONFIG)


# --- xenopsd ---------------------------------------------------------------------------------------------


def test_xenopsd(tmp_path: Path, guest: Path) -> None:
    answer = xenopsd(guest, directory=str(tmp_path))
    assert list(answer) == ["kernel", "ramdisk", "args"]
    assert Path(answer["kernel"]).read_bytes() == KERNEL
    assert Path(answer["ramdisk"]).read_bytes() == INITRD
    assert answer["args"] == 'a=1 "two words"'
    assert len(list(tmp_path.iterdir())) == 2


def test_xenopsd_with_arguments_of_the_virtual_machine(tmp_path: Path, guest: Path) -> None:
    answer = xenopsd(guest, "--entry=1 --args=console=hvc0", str(tmp_path))
    assert (list(answer), answer["args"]) == (["kernel", "args"], "b=2 console=hvc0")


def test_xenopsd_in_the_usual_folder(guest: Path) -> None:
    """Without --output-directory: /var/run/xen/pygrub, made with mode 0700 when it is not there."""
    usual = Path("/var/run/xen/pygrub")
    if os.geteuid() != 0:
        pytest.skip("only root may write there")
    was_there = usual.exists()
    answer = xenopsd(guest)
    try:
        assert os.path.dirname(answer["kernel"]) == str(usual)
        assert Path(answer["kernel"]).read_bytes() == KERNEL
        assert was_there or usual.stat().st_mode & 0o777 == 0o700
    finally:
        for word in ("kernel", "ramdisk"):
            Path(answer[word]).unlink()
        if not was_there:
            usual.rmdir()


@needs_mke2fs
def test_xenopsd_shows_its_user_why(tmp_path: Path) -> None:
    image = grub_guest(tmp_path, "menuentry A { linux /gone; }\n")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(RuntimeError, match=r"no bootable entry .*: /gone: no such file or directory"):
        xenopsd(image, directory=str(out))
    with pytest.raises(RuntimeError, match="No such file or directory"):
        xenopsd(tmp_path / "absent.img", directory=str(out))
    assert list(out.iterdir()) == []


def test_nothing_but_the_answer_goes_to_stdout(tmp_path: Path, guest: Path) -> None:
    """Warnings, explanations and debugging go to stderr."""
    command = [
        *PYGRUB,
        "-q",
        "--debug",
        "--explain",
        "--output-format=simple",
        f"--output-directory={tmp_path}",
    ]
    done = subprocess.run([*command, guest], capture_output=True, text=True, check=True)
    assert [line.split(" ")[0] for line in done.stdout.splitlines()] == ["kernel", "ramdisk", "args", ""]
    assert "because" in done.stderr


# --- xend --------------------------------------------------------------------------------------------------


def as_dictionary(answer: list[object]) -> dict[str, str]:
    assert answer[0] == "linux"
    return dict(answer[1:])  # type: ignore[arg-type]


def test_xend(tmp_path: Path, guest: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    answer = as_dictionary(xend(tmp_path, guest, f"--output-directory={out}", args="ip=1.2.3.4"))
    assert list(answer) == ["kernel", "ramdisk", "args"]
    assert Path(answer["kernel"]).read_bytes() == KERNEL
    assert Path(answer["ramdisk"]).read_bytes() == INITRD
    assert answer["args"] == 'a=1 "two words" ip=1.2.3.4'


@needs_mke2fs
@pytest.mark.parametrize(
    "text", ["it's", 'it\'s "x"', "back\\x41", "a\tb", "a\nb", "\x1b[31m", "é漢", "a')(x 'y"]
)
def test_xend_reads_back_what_the_guest_says(tmp_path: Path, text: str) -> None:
    """XSA-198 (CVE-2016-9379): whatever the arguments are, they stay the value of `args`."""
    quoted = "'" + text.replace("'", "'\\''") + "'"
    image = grub_guest(tmp_path, f"menuentry A {{ linux /k {quoted}; initrd /i; }}\n")
    out = tmp_path / "out"
    out.mkdir()
    answer = xend(tmp_path, image, f"--output-directory={out}")
    assert [item[0] for item in answer[1:]] == ["kernel", "ramdisk", "args"]  # type: ignore[index]
    assert as_dictionary(answer)["args"] == expected_arguments(text)


def expected_arguments(text: str) -> str:
    """GRUB's loader quotes a word with blanks again, and escapes quotes and backslashes in every word."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')
    return f'"{escaped}"' if " " in text else escaped


def test_xend_gets_nothing_from_a_failure(tmp_path: Path, guest: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(RuntimeError, match="didn't return any data"):
        xend(tmp_path, guest, f"--output-directory={out}", "--entry=nothing like it")
    assert list(out.iterdir()) == []


# --- the grammar itself, on what xend's own reader is known to take ----------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", []),
        ("linux", ["linux"]),
        ("(a)(b c)", [["a"], ["b", "c"]]),
        ("linux (kernel 'K')(args 'a b')", ["linux", ["kernel", "K"], ["args", "a b"]]),
        (r"'it\'s'", ["it's"]),
        (r"""("it's" 'a "b"')""", [["it's", 'a "b"']]),
        (r"'\a\b\t\n\v\f\r\\'", ["\a\b\t\n\v\f\r\\"]),
        (r"'\x41\101\0'", ["AA\0"]),
        (r"'\u0041\q'", [r"\u0041\q"]),
        ("a # a comment\n b", ["a", "b"]),
        ("(a (b (c)))", [["a", ["b", ["c"]]]]),
        ("''", [""]),
    ],
)
def test_sxp(text: str, value: list[object]) -> None:
    assert read_sxp(text) == value
