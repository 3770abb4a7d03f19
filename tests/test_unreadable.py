"""Configurations a file of which cannot be read: the rest is shown, with a warning; a limit ends the run."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from memory_machine import DamagedMachine

from pybootcfg import dialects
from pybootcfg.dialects.base import Settings
from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded
from pybootcfg.menu import FileRef, Menu

DAMAGE = ImageError("the inode is damaged", offset=0x400)
OVER = LimitExceeded("total-reads", 2, 1)


class Case(NamedTuple):
    """A configuration, the file of it that is damaged, and the titles of the entries that are left."""

    dialect: str
    config: str
    files: dict[str, str]
    damaged: str
    titles: list[str]
    warned: bool = True
    limit_ends: bool = True


UKI = {"/EFI/Linux/a.efi": "MZ", "/loader/entries/a.conf": "title A\nlinux /k\n"}
CASES = [
    Case(
        "grub_legacy",
        "/boot/grub/menu.lst",
        {
            "/boot/grub/menu.lst": "title a\nkernel /k\ntitle b\nconfigfile /other.lst\n",
            "/other.lst": "title c\nkernel /k\n",
        },
        "/other.lst",
        ["a", "b"],
    ),
    Case(
        "grub_legacy",
        "/boot/grub/menu.lst",
        {"/boot/grub/menu.lst": "default saved\ntitle a\nkernel /k\n", "/boot/grub/default": "1\n"},
        "/boot/grub/default",
        ["a"],
        warned=False,
        limit_ends=False,
    ),
    Case(
        "bls",
        "/loader/loader.conf",
        {"/loader/loader.conf": "timeout 3\n", "/loader/entries/a.conf": "title A\nlinux /k\n"},
        "/loader/loader.conf",
        ["A"],
        limit_ends=False,
    ),
    Case("bls", "/loader/entries", UKI, "/loader/entries", []),
    Case("bls", "/loader/entries", UKI, "/EFI/Linux", ["A"]),
    Case(
        "syslinux",
        "/syslinux.cfg",
        {
            "/syslinux.cfg": "label a\n kernel /k\nlabel b\n config /other.cfg\n",
            "/other.cfg": "label c\n kernel /k\n",
        },
        "/other.cfg",
        ["a", "b"],
    ),
    Case(
        "grub2",
        "/grub.cfg",
        {"/grub.cfg": "source /other.cfg\nmenuentry A { linux /k; }\n", "/other.cfg": ""},
        "/other.cfg",
        ["A"],
    ),
]


def menu_of(case: Case, error: BootcfgError) -> Menu:
    machine = DamagedMachine(case.files, case.damaged, error)
    return dialects.load(case.dialect)(machine, FileRef(case.config), Settings())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.dialect}-{case.damaged}")
def test_the_rest_of_the_menu_is_shown(case: Case) -> None:
    menu = menu_of(case, DAMAGE)
    assert [entry.title for _, entry in menu.flat()] == case.titles
    warnings = [*menu.warnings, *(warning for _, entry in menu.flat() for warning in entry.warnings)]
    assert any("the inode is damaged" in warning for warning in warnings) == case.warned


@pytest.mark.parametrize("case", [case for case in CASES if case.limit_ends], ids=lambda case: case.damaged)
def test_a_limit_ends_the_run(case: Case) -> None:
    with pytest.raises(LimitExceeded, match="total-reads"):
        menu_of(case, OVER)
