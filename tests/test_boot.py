"""From a guest to what it boots, on a directory that stands for the guest: `boot.find_boot`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from guests import make_guest, needs_mke2fs
from zfs_image import disks as zfs_disks

from pybootcfg import limits
from pybootcfg.boot import (
    Abandoned,
    Boot,
    NothingBootableError,
    Request,
    find_boot,
    find_configuration,
    find_menu,
)
from pybootcfg.dialects.base import Settings
from pybootcfg.errors import GuestFileMissing, ImageError, LimitExceeded
from pybootcfg.extraction import copy_file
from pybootcfg.filesystems.base import Options
from pybootcfg.guest import Configuration, Guest
from pybootcfg.menu import FileRef, Menu
from pybootcfg.source import MemorySource


def guest_of(folder: Path, files: dict[str, str]) -> Guest:
    for name, text in files.items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Guest.of_directory(str(folder), "p0")


GRUB = "/boot/grub/grub.cfg"


@pytest.mark.parametrize("name", ["/boot/k", "boot/k", "//boot/k"])
def test_the_caller_names_the_files(tmp_path: Path, name: str) -> None:
    guest = guest_of(tmp_path, {"/boot/k": "k", "/i": "i", GRUB: "menuentry A { linux /other; }\n"})
    found = find_boot(guest, Request(kernel=name, ramdisk="i", args="a b"))
    assert (found.kernel, found.initrds) == (FileRef("/boot/k", "p0"), (FileRef("/i", "p0"),))
    assert found.args == " a b"  # as the real pygrub's, with a blank
    assert find_boot(guest, Request(kernel=name)).initrds == ()


def test_a_file_that_the_caller_names_has_to_be_one(tmp_path: Path) -> None:
    guest = guest_of(tmp_path, {"/boot/k": "k"})
    with pytest.raises(NothingBootableError, match="no such file"):
        find_boot(guest, Request(kernel="/none"))
    with pytest.raises(NothingBootableError, match="is a dir, not a file"):
        find_boot(guest, Request(kernel="/boot"))


UNIX, ARCHIVE = "/platform/i86xpv/kernel/unix", "/platform/i86pc/boot_archive"
UNIX_64, ARCHIVE_64 = "/platform/i86xpv/kernel/amd64/unix", "/platform/i86pc/amd64/boot_archive"


def test_solaris(tmp_path: Path) -> None:
    """pygrub's sniff_solaris: the kernel's own name behind `root=` and `ip=`, before the rest."""
    guest = guest_of(tmp_path, {UNIX: "32", ARCHIVE: "a"})
    found = find_boot(guest, Request(args="-v ip=dhcp root=/dev/x -B x"))
    assert (found.kernel.path, found.initrds[0].path) == (UNIX, ARCHIVE)
    assert found.args == f"ip=dhcp root=/dev/x {UNIX} -v -B x"
    guest = guest_of(tmp_path, {UNIX_64: "64", ARCHIVE_64: "a"})
    assert find_boot(guest, Request()).args == UNIX_64


def test_solaris_without_its_archive(tmp_path: Path) -> None:
    with pytest.raises(NothingBootableError, match="boot_archive: no such file"):
        find_boot(guest_of(tmp_path, {UNIX: "32"}), Request())


def test_netware(tmp_path: Path) -> None:
    found = find_boot(guest_of(tmp_path, {"/nwserver/xnloader.sys": "x"}), Request(args="a"))
    assert (found.kernel.path, found.initrds, found.args) == ("/nwserver/xnloader.sys", (), "a")


FALLBACK = """set default=0
set fallback=1
menuentry A { linux /none; }
menuentry B { linux /k b; }
"""


def test_a_fallback_takes_the_place_of_an_entry_that_lacks_its_kernel(tmp_path: Path) -> None:
    guest = guest_of(tmp_path, {GRUB: FALLBACK, "/k": "k"})
    found = find_boot(guest, Request())
    assert (found.kernel.path, found.args) == ("/k", "b")
    assert any("so the fallback is tried" in reason for reason in found.reasons)


def test_an_entry_that_was_asked_for_has_no_fallback(tmp_path: Path) -> None:
    guest = guest_of(tmp_path, {GRUB: FALLBACK, "/k": "k"})
    with pytest.raises(NothingBootableError, match="/none: no such file"):
        find_boot(guest, Request(entry="A"))


@pytest.mark.parametrize(
    ("path", "text", "boots", "times"),
    [
        (GRUB, "menuentry A { linux /k; }\n", True, 1),
        (GRUB, FALLBACK, True, 2),  # once for the default, once more for what stands in for it
        (GRUB, FALLBACK.replace("/k b", "/none"), False, 2),
        ("/boot/grub/menu.lst", "title a\nkernel /none\n", False, 1),
        ("/etc/lilo.conf", "image=/none\n", False, 1),
        ("/etc/lilo.conf", "image /none\n", False, 1),  # which cannot be read
        ("/loader/entries/a.conf", "linux /none\n", False, 1),
        ("/syslinux.cfg", "label a\nkernel /none\n", False, 1),
    ],
)
def test_a_menu_is_made_again_only_when_that_may_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, text: str, boots: bool, times: int
) -> None:
    made: list[Configuration] = []
    interpret = Guest.interpret

    def counting(guest: Guest, configuration: Configuration, settings: Settings) -> Menu:
        made.append(configuration)
        return interpret(guest, configuration, settings)

    monkeypatch.setattr(Guest, "interpret", counting)
    guest = guest_of(tmp_path, {path: text, "/k": "k"})
    with nullcontext() if boots else pytest.raises(NothingBootableError):
        find_boot(guest, Request())
    assert len(made) == times


def test_the_menu_that_is_shown_is_the_first_with_entries(tmp_path: Path) -> None:
    files = {"/boot/grub/menu.lst": "title a\nkernel /k\n", "/etc/lilo.conf": "image=/k\n", "/k": "k"}
    assert find_menu(guest_of(tmp_path, files), Settings()).dialect == "grub_legacy"
    assert find_menu(guest_of(tmp_path, {GRUB: "set timeout=1\n"}), Settings()).dialect == "grub_legacy"
    assert find_menu(guest_of(tmp_path, {GRUB: FALLBACK}), Settings()).dialect == "grub2"


def test_a_guest_without_a_menu_says_why(tmp_path: Path) -> None:
    guest = guest_of(tmp_path, {GRUB: "false | true\n", "/etc/lilo.conf": "= =\n"})
    with pytest.raises(NothingBootableError) as caught:
        find_menu(guest, Settings())
    empty, unread = caught.value.attempts
    assert empty.why.startswith(f"{GRUB}: no entries; p0:{GRUB}:1:7: syntax error")
    assert (unread.why.startswith("/etc/lilo.conf: p0:/etc/lilo.conf:1:"), unread.status) == (True, 4)
    assert caught.value.exit_status == 4
    with pytest.raises(NothingBootableError, match="no boot configuration"):
        find_menu(guest_of(tmp_path / "empty", {"/a": ""}), Settings())


def test_the_device_of_a_loose_configuration_is_where_its_files_are() -> None:
    guest, file = Guest([], Options()), FileRef("/somewhere/grub.cfg")
    guest.loose[file] = b"menuentry A { linux (hd0)/k; initrd (hd1)/i; }\n"
    ((_, entry),) = guest.interpret(Configuration("grub2", file), Settings()).flat()
    assert entry.kernel == FileRef("/k")
    assert any("hd1" in warning for warning in entry.warnings)


def test_who_is_asked_may_want_nothing(tmp_path: Path) -> None:
    """No other configuration or volume is tried then."""
    asked: list[str] = []

    def refuse(_guest: Guest, menu: Menu, _request: Request) -> Boot:
        asked.append(menu.dialect)
        raise Abandoned("no")

    files = {GRUB: "menuentry A { linux /k; }\n", "/boot/grub/menu.lst": "title a\nkernel /k\n", "/k": "k"}
    with pytest.raises(Abandoned):
        find_boot(guest_of(tmp_path, files), Request(), refuse)
    assert asked == ["grub2"]


def test_a_guest_without_a_configuration(tmp_path: Path) -> None:
    assert find_configuration(guest_of(tmp_path, {"/a": ""})) is None


def test_the_configuration_that_comes_first(tmp_path: Path) -> None:
    found = find_configuration(guest_of(tmp_path, {GRUB: "", "/etc/lilo.conf": ""}))
    assert found == Configuration("grub2", FileRef(GRUB, "p0"))


def test_a_kernel_that_is_a_directory(tmp_path: Path) -> None:
    guest = guest_of(tmp_path, {GRUB: "menuentry A { linux /boot; }\n"})
    with pytest.raises(NothingBootableError, match="is a dir, not a file") as caught:
        find_boot(guest, Request())
    assert caught.value.exit_status == ImageError.exit_status


@pytest.mark.parametrize(
    ("name", "volume"),
    [
        ("hd0", "p0"),
        ("xen/xvda", "p0"),
        ("xvda", "p0"),
        ("xvdb", None),
        ("xvd", None),
        ("hd", None),
        ("hd٣", None),
    ],
)
def test_names_of_disks(tmp_path: Path, name: str, volume: str | None) -> None:
    """docs/misc of Xen: a guest's disks are xvda and on; GRUB calls them hd0 and on."""
    assert guest_of(tmp_path, {"/a": ""}).device(name) == volume


def test_a_directory_is_no_file_and_a_file_no_directory(tmp_path: Path) -> None:
    guest = guest_of(tmp_path, {"/dir/a": "x"})
    with pytest.raises(Exception, match="not a file, but a dir"):
        guest.read(FileRef("/dir", "p0"))
    with pytest.raises(Exception, match="not a directory"):
        guest.names(FileRef("/dir/a", "p0"))
    with pytest.raises(Exception, match="not a file, but a dir"):
        guest.loopback(FileRef("/dir", "p0"))
    assert guest.mtime(FileRef("/dir/a", "p0")) == int((tmp_path / "dir/a").stat().st_mtime)
    assert guest.mtime(FileRef("/none", "p0")) is None


def test_configurations_that_the_caller_brought_along(tmp_path: Path) -> None:
    guest = guest_of(tmp_path, {})
    loose = FileRef("/x/grub.cfg")
    guest.loose[loose] = b"menuentry A { linux /k; }\n"
    assert (guest.size(loose), guest.mtime(loose), guest.read(loose)) == (26, None, guest.loose[loose])


def test_a_file_that_is_opened_twice_as_a_disk_is_opened_once(tmp_path: Path, sample: Path) -> None:
    (tmp_path / "disk.img").write_bytes(sample.read_bytes()[1 << 20 : 8 << 20])
    guest = guest_of(tmp_path, {})
    image = FileRef("/disk.img", "p0")
    first = guest.volume(guest.loopback(image))
    assert guest.volume(guest.loopback(image)) is first
    assert first.mountable is not None


# --- ZFS, further disks, other kinds of kernels ------------------------------------------------------------


def test_a_dataset_that_the_arguments_name_is_where_the_kernel_is_looked_for() -> None:
    guest = Guest.of_sources(zfs_disks("datasets-v15"))
    found = find_boot(guest, Request(kernel="/boot/vmlinuz", args="-B zfs-bootfs=rpool/ROOT/be,x=y quiet"))
    assert found.kernel == FileRef("/boot/vmlinuz", "p0[rpool/ROOT/be]")
    with pytest.raises(NothingBootableError, match="rpool/none"):
        find_boot(guest, Request(kernel="/boot/vmlinuz", args="zfs-bootfs=rpool/none"))


def test_grubs_names_of_files_on_zfs() -> None:
    guest = Guest.of_sources(zfs_disks("datasets-v15"))
    own = guest.node(FileRef("/boot/vmlinuz", "p0"))
    assert guest.node(FileRef("/ROOT/be@/boot/vmlinuz", "p0")).key == own.key
    with pytest.raises(GuestFileMissing):
        guest.node(FileRef("/ROOT/none@/boot/vmlinuz", "p0"))


@needs_mke2fs
def test_a_kernel_is_looked_for_beside_its_configuration_when_it_is_not_where_it_should_be(
    tmp_path: Path,
) -> None:
    config = b"menuentry A { linux (hd1)/k a; }\n"
    first = make_guest(tmp_path, {"boot/grub/grub.cfg": config, "k": b"kernel"})
    second = make_guest(tmp_path, {"other": b"x"}, name="second.img")
    found = find_boot(Guest.open([str(first), str(second)]), Request())
    assert str(found.kernel) == "p0:/k"
    assert any("d2p0:/k is not there, but p0:/k is" in reason for reason in found.reasons)


def test_a_disk_of_zeros_has_no_configuration() -> None:
    assert find_configuration(Guest.of_sources([MemorySource(bytes(1 << 20), "zeros")])) is None


def test_a_kernel_that_only_looks_like_a_program_is_booted_as_it_is(tmp_path: Path) -> None:
    guest = guest_of(tmp_path, {GRUB: "menuentry A { linux /k; }\n"})
    (tmp_path / "k").write_bytes(b"MZ" + bytes(58) + b"\xff" * 4)
    assert find_boot(guest, Request()).kernel == FileRef("/k", "p0")


def test_paths_stop_at_the_root_and_at_files(tmp_path: Path) -> None:
    guest = guest_of(tmp_path, {"/dir/a": "x"})
    assert guest.node(FileRef("/../../dir/../../dir/a", "p0")).size == 1
    with pytest.raises(GuestFileMissing, match="not a directory on the way"):
        guest.node(FileRef("/dir/a/b", "p0"))


def test_a_file_is_copied_up_to_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = guest_of(tmp_path, {"/k": "kernel"}).node(FileRef("/k", "p0"))
    with (tmp_path / "out").open("wb", buffering=0) as out:
        assert copy_file(node, out.fileno()) == 6
    assert (tmp_path / "out").read_text() == "kernel"
    monkeypatch.setattr(limits.FILE_SIZE, "value", 5)
    with pytest.raises(LimitExceeded, match="file-size"), (tmp_path / "out").open("wb", buffering=0) as out:
        copy_file(node, out.fileno())
