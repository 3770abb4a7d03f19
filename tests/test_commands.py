"""pybootcfg as CLI.md promises it: documents, places, exit statuses, manners."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., "CompletedProcess[str]"]

UUID = "5a3b7c1e-9d24-4f0a-8c55-2f1b0e6d7a90"
CONFIG = "p1:/boot/grub/grub.cfg"


def test_entries_json(pybootcfg: Run, sample: Path) -> None:
    done = pybootcfg("entries", "--json", sample)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("}\n")
    document = json.loads(done.stdout)
    assert list(document) == ["schema", "dialect", "config", "timeout", "default", "entries", "warnings"]
    assert (document["schema"], document["dialect"], document["config"]) == (1, "grub2", CONFIG)
    assert (document["timeout"], document["default"], document["warnings"]) == (5, 1, [])
    assert document["entries"][1] == {
        "index": 1,
        "title": "Demo Linux, quiet",
        "id": "quiet",
        "submenu": ["Advanced options"],
        "kind": "linux",
        "kernel": "p1:/boot/vmlinuz",
        "initrd": ["p1:/boot/microcode.img", "p1:/boot/initrd.img"],
        "args": f'root=UUID={UUID} ro quiet "title=two words"',
        "modules": [],
        "devicetree": None,
        "source": {"file": CONFIG, "line": 12},
        "warnings": [],
    }
    assert [entry["args"] for entry in document["entries"]] == [
        f"root=UUID={UUID} ro console=hvc0",
        f'root=UUID={UUID} ro quiet "title=two words"',
        f"root=UUID={UUID} ro single",
    ]


def test_entries_for_people(pybootcfg: Run, sample: Path) -> None:
    lines = pybootcfg("entries", sample).stdout.splitlines()
    assert lines[0] == f"{CONFIG}  grub2, timeout 5 s"
    assert "     Advanced options >" in [line.rstrip() for line in lines] or any(
        line.strip() == "Advanced options >" for line in lines
    )
    assert [line for line in lines if line.startswith(" *")] == [" * 1   Demo Linux, quiet"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "boot/grub").mkdir(parents=True)
    (folder / "boot/grub/grub.cfg").write_text(
        "source $prefix/more.cfg\n"
        "if [ -f /boot/k ]; then set a=there; fi\n"
        "menuentry A { linux /boot/k $a $b; }\n"
    )
    (folder / "boot/grub/more.cfg").write_text("menuentry First { linux /f platform=$grub_platform; }\n")
    (folder / "boot/k").write_text("kernel")
    (folder / "boot/link").symlink_to("/etc/passwd")
    return folder


def test_a_loose_configuration_with_its_tree(pybootcfg: Run, tree: Path) -> None:
    config = tree / "boot/grub/grub.cfg"
    done = pybootcfg(
        "entries", "--json", "--config", config, "--tree", tree, "--set", "b=x y", "--set=grub_platform=pc"
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["config"] == "/boot/grub/grub.cfg"
    assert [(entry["title"], entry["kernel"], entry["args"]) for entry in document["entries"]] == [
        ("First", "/f", "platform=pc"),
        ("A", "/boot/k", "there x y"),
    ]


def test_a_loose_configuration_alone(pybootcfg: Run, tree: Path) -> None:
    done = pybootcfg("entries", "--json", "--config", tree / "boot/grub/grub.cfg")
    document = json.loads(done.stdout)
    assert [(entry["kernel"], entry["args"]) for entry in document["entries"]] == [("/boot/k", "")]


def test_a_directory_as_the_guest(pybootcfg: Run, tree: Path) -> None:
    document = json.loads(pybootcfg("entries", "--json", tree).stdout)
    assert [entry["kernel"] for entry in document["entries"]] == ["p0:/f", "p0:/boot/k"]
    # a link to /etc/passwd means the guest's, which it has not
    done = pybootcfg("cat", tree, "p0:/boot/link")
    assert (done.returncode, done.stdout) == (1, "")
    done = pybootcfg("ls", "-R", "--json", tree)
    assert {row["path"]: row["type"] for row in json.loads(done.stdout)["files"]}["/boot/link"] == "symlink"


def test_volumes_json(pybootcfg: Run, sample: Path) -> None:
    document = json.loads(pybootcfg("volumes", "--json", sample).stdout)
    assert (document["schema"], document["table"], document["sector_size"]) == (1, "mbr", 512)
    (volume,) = document["volumes"]
    features = volume.pop("features")
    assert {"extent", "64bit"} <= set(features)
    assert volume == {
        "name": "p1",
        "start": 1 << 20,
        "size": 7 << 20,
        "type": "0x83",
        "label": "",
        "active": True,
        "filesystem": "ext4",
        "fs_label": "demo",
        "fs_uuid": UUID,
        "warnings": [],
    }


def test_ls(pybootcfg: Run, sample: Path) -> None:
    document = json.loads(pybootcfg("ls", "--json", sample, "/boot").stdout)
    assert document["volume"] == "p1"
    rows = {row["path"]: row for row in document["files"]}
    assert list(rows) == [
        "/boot/grub",
        "/boot/initrd.img",
        "/boot/microcode.img",
        "/boot/vmlinuz",
        "/boot/vmlinuz-6.1.0-demo",
    ]
    assert rows["/boot/vmlinuz"]["target"] == "vmlinuz-6.1.0-demo"
    assert rows["/boot/initrd.img"]["size"] == 9001
    assert rows["/boot/initrd.img"]["mode"] == "0644"
    listed = pybootcfg("ls", "-R", sample, "p1:/boot/").stdout
    assert listed.splitlines()[-1].endswith("/boot/vmlinuz-6.1.0-demo")


def test_cat(pybootcfg: Run, sample: Path) -> None:
    done = pybootcfg("cat", sample, "/boot/vmlinuz", text=False)
    document = json.loads(pybootcfg("cat", "--json", sample, "p1:/boot/vmlinuz").stdout)
    assert base64.b64decode(document["base64"]) == done.stdout
    assert document["size"] == len(done.stdout) == 20_000


def test_extract(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = pybootcfg("extract", "--json", sample, "p1:/boot", "p1:/boot/initrd.img", "-o", out)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["errors"] == []
    assert os.readlink(out / "boot/vmlinuz") == "vmlinuz-6.1.0-demo"
    assert (out / "boot/initrd.img").read_bytes() == (out / "initrd.img").read_bytes()
    rows = json.loads(pybootcfg("ls", "-R", "--sha256", "--json", sample, "/boot").stdout)["files"]
    for row in rows:
        if row["type"] == "file":
            assert hashlib.sha256((out / row["path"].lstrip("/")).read_bytes()).hexdigest() == row["sha256"]
    # what is there already is not overwritten
    assert pybootcfg("extract", sample, "p1:/boot/initrd.img", "-o", out).returncode == 1


def test_extract_names_links_that_cannot_be(
    pybootcfg: Run, disk: Callable[[str], Path], tmp_path: Path
) -> None:
    """NUL bytes in what they point to; all else is copied out."""
    image = disk("iso/xorriso-rr.iso")
    image.write_bytes(image.read_bytes().replace(b"vmlinuz", b"vm\0inuz"))
    done = pybootcfg("extract", image, "/", "-o", tmp_path / "out")
    assert (done.returncode, "Traceback" in done.stderr) == (4, False)
    assert "'/boot/vm\\x00inuz' cannot be the target of a link here" in done.stderr
    assert os.readlink(tmp_path / "out/dangling") == "no/such/file"


def test_script(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    script = tmp_path / "s.cfg"
    script.write_text("set a='b c'\necho $a\nnothing_like_it\nfalse\n")
    done = pybootcfg("script", script)
    assert (done.returncode, done.stdout) == (1, "b c\n")
    assert "can't find command `nothing_like_it'" in done.stderr
    script.write_text(f"search --fs-uuid --set=x {UUID}\necho $x\ncat ($x)/boot/grub/grub.cfg\n")
    done = pybootcfg("script", script, sample)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('hd0,msdos1\nset default="demo>quiet"\n')
    document = json.loads(pybootcfg("script", "--json", script, sample).stdout)
    assert (document["status"], document["output"]) == (0, done.stdout)


def test_script_check(pybootcfg: Run, tmp_path: Path) -> None:
    script = tmp_path / "s.cfg"
    script.write_text("echo ok\nif true; then\n")
    done = pybootcfg("script", "--check", script)
    assert done.returncode == 4
    assert f"{script}:3" in done.stderr or f"{script}:2" in done.stderr
    script.write_text("if true; then echo ok; fi\n")
    assert pybootcfg("script", "--check", script).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("entries", 2),
        ("ls IMAGE p9:/", 2),
        ("cat IMAGE p1:/nothing", 1),
        ("cat IMAGE p1:/boot", 1),
        ("volumes /nothing/there", 1),
        ("entries --config NOTHING", 1),
        ("ls --sector-size=513 IMAGE", 2),
        ("ls IMAGE p1[data]:/", 1),
        ("ls IMAGE p1[data:/", 2),
        ("entries --set a IMAGE", 2),
        ("nonsense", 2),
    ],
)
def test_exit_statuses(pybootcfg: Run, sample: Path, arguments: str, status: int) -> None:
    done = pybootcfg(*[str(sample) if word == "IMAGE" else word for word in arguments.split()])
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_unsupported_is_3_and_damage_is_4(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    data = bytearray(sample.read_bytes())
    image = tmp_path / "disk.img"
    data[0x100460] |= 0x80  # an incompat bit that no version of ext4 has used
    data[0x100463] |= 0x80
    image.write_bytes(data)
    done = pybootcfg("ls", image, "p1:/")
    assert done.returncode == 3
    assert "80000000" in done.stderr
    image.write_bytes(sample.read_bytes()[: (1 << 20) + (1 << 18)])
    done = pybootcfg("ls", "-R", "--json", image, "p1:/")
    assert done.returncode == 4
    assert json.loads(done.stdout or '{"errors": [{}]}')["errors"]


def test_a_reader_that_goes_away_is_no_error(sample: Path) -> None:
    code = "import sys; from pybootcfg.cli.commands import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", code, "cat", str(sample), "p1:/boot/vmlinuz"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert errors == b""
    assert process.returncode in (-signal.SIGPIPE, 0)


@pytest.mark.skipif(not shutil.which("mke2fs"), reason="mke2fs makes the image")
def test_names_that_are_not_utf8(pybootcfg: Run, tmp_path: Path) -> None:
    tree, image = tmp_path / "tree", tmp_path / "disk.img"
    tree.mkdir()
    (Path(os.fsdecode(os.fsencode(tree) + b"/bad\xff\x1b[31mname"))).write_text("x")
    subprocess.run(["mke2fs", "-q", "-F", "-d", tree, image, "1m"], check=True, capture_output=True)
    done = pybootcfg("ls", "-R", "--json", image, "p0:/")
    assert "/bad\udcff\x1b[31mname" in [row["path"] for row in json.loads(done.stdout)["files"]]
    shown = pybootcfg("ls", image, "p0:/").stdout
    assert r"/bad\xff\x1b[31mname" in shown
    assert "\x1b" not in shown


def test_output_is_the_same_in_any_locale_and_for_any_hash_seed(pybootcfg: Run, sample: Path) -> None:
    outputs = set()
    for locale, seed in (("C", "0"), ("C.UTF-8", "1"), ("POSIX", "2")):
        environment = {**os.environ, "LC_ALL": locale, "PYTHONHASHSEED": seed, "PYTHONSAFEPATH": "1"}
        done = pybootcfg("ls", "-R", "--json", "--sha256", sample, env=environment)
        outputs.add(done.stdout + pybootcfg("entries", "--json", sample, env=environment).stdout)
    assert len(outputs) == 1


def test_colours_are_wanted_or_not(pybootcfg: Run, sample: Path) -> None:
    plain = {**os.environ, "PYTHONSAFEPATH": "1"}
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        plain.pop(name, None)
    assert "\x1b[" not in pybootcfg("entries", sample, env=plain).stdout
    assert "\x1b[" in pybootcfg("entries", sample, "--color=always", env={**plain, "NO_COLOR": "1"}).stdout
    assert "\x1b[" in pybootcfg("entries", sample, env={**plain, "FORCE_COLOR": "1"}).stdout
    assert (
        "\x1b[" not in pybootcfg("entries", sample, env={**plain, "FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout
    )


def test_options_between_the_places(pybootcfg: Run, sample: Path, tmp_path: Path) -> None:
    assert (
        pybootcfg("ls", sample, "--json", "p1:/boot").stdout
        == pybootcfg("ls", "--json", sample, "p1:/boot").stdout
    )
    done = pybootcfg("extract", sample, "p1:/boot/grub", "-o", tmp_path / "out", "p1:/boot/initrd.img")
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["grub", "initrd.img"]


@pytest.mark.skipif(not shutil.which("mke2fs"), reason="mke2fs makes the image")
@pytest.mark.parametrize(
    ("config", "status"),
    [("while true; do true; done\n", 5), ("echo nothing to boot\n", 1), ("menuentry A { linux /k; }\n", 0)],
)
def test_the_exit_status_tells_why_there_is_no_menu(
    pybootcfg: Run, tmp_path: Path, config: str, status: int
) -> None:
    tree, image = tmp_path / "tree", tmp_path / "disk.img"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text(config)
    subprocess.run(["mke2fs", "-q", "-F", "-d", tree, image, "1m"], check=True, capture_output=True)
    done = pybootcfg("entries", image)
    assert done.returncode == status, done.stderr
    assert bool(done.stderr) == bool(status)


@pytest.mark.skipif(not shutil.which("mke2fs"), reason="mke2fs makes the image")
def test_a_broken_configuration_does_not_hide_another(pybootcfg: Run, pygrub: Run, tmp_path: Path) -> None:
    tree, image = tmp_path / "tree", tmp_path / "disk.img"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text("while true; do true; done\n")
    (tree / "boot/grub/menu.lst").write_text("title A\nkernel /k a\n")
    (tree / "k").write_text("K")
    subprocess.run(["mke2fs", "-q", "-F", "-d", tree, image, "1m"], check=True, capture_output=True)
    assert json.loads(pybootcfg("entries", "--json", image).stdout)["dialect"] == "grub_legacy"
    done = pygrub("-n", "-q", "--output-format=simple", image)
    assert done.stdout == "kernel /k\nargs a\n\n", done.stderr
