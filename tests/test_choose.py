"""Which entry boots, and why."""

from __future__ import annotations

import pytest

from pybootcfg.choose import NothingBootable, choose, default_index
from pybootcfg.errors import UsageError
from pybootcfg.menu import Entry, EntryKind, FileRef, Item, Menu, Place, Submenu

PLACE = Place(FileRef("/boot/grub/grub.cfg"), 1)


def entry(title: str, name: str = "", *, kernel: bool = True) -> Entry:
    kind = EntryKind.LINUX if kernel else EntryKind.OTHER
    return Entry(title, kind, PLACE, name, FileRef("/k") if kernel else None)


def submenu(title: str, *items: Item, name: str = "", defaults: tuple[str, ...] = ()) -> Submenu:
    return Submenu(title, PLACE, name, items, defaults)


def menu(*items: Item, defaults: tuple[str, ...] = ()) -> Menu:
    return Menu("grub2", FileRef("/boot/grub/grub.cfg"), items, defaults)


ITEMS = (
    entry("A", "a"),
    submenu("S", entry("X", "x"), submenu("T", entry("Y"), entry("Z")), entry("a>b"), name="s"),
    entry("B c", "b"),
    entry("a>b", "gt"),
)


@pytest.mark.parametrize(
    ("default", "index"),
    [
        (None, 0), ("0", 0), ("1", 1), ("2", 5), (" 2 ", 5), ("2x", 5), ("0x2", 5), ("02", 5), ("9", 0),
        ("99999999999999999999999", 0), ("-1", 0), ("", 0), ("A", 0), ("b", 5), ("B c", 5), ("B  c", 0),
        ("1>0", 1), ("1>1", 2), ("1>1>1", 3), ("1>2", 4), ("S>X", 1), ("s>T>Z", 3), ("s>1>1", 3), ("S>9", 1),
        ("S>nope", 1), ("nope>0", 0), ("a>>b", 6), ("gt", 6), ("s>a>>b", 4), ("s>", 1), ("2>1", 5),
    ],
)  # fmt: skip
def test_defaults(default: str | None, index: int) -> None:
    chosen = menu(*ITEMS, defaults=() if default is None else (default,))
    assert default_index(chosen) == index
    choice = choose(chosen)
    assert (choice.index, choice.entry) == (index, list(chosen.flat())[index][1])
    assert choice.reasons


def test_a_submenu_has_a_default_of_its_own() -> None:
    chosen = menu(submenu("S", entry("X"), entry("Y"), defaults=("1",)), defaults=("0>0",))
    assert default_index(chosen) == 1


def test_numbers_come_before_titles() -> None:
    assert default_index(menu(entry("1"), entry("B"), defaults=("1",))) == 1


def test_an_empty_menu_has_no_default() -> None:
    assert default_index(menu()) is None
    assert default_index(menu(submenu("S"), entry("A"))) is None
    with pytest.raises(NothingBootable, match="an empty menu"):
        choose(menu())


def test_what_cannot_boot_gives_way_to_fallbacks() -> None:
    chosen = menu(entry("-", kernel=False), entry("A"), entry("B"), defaults=("0", "nope", "2"))
    choice = choose(chosen)
    assert (choice.index, default_index(chosen)) == (2, 0)
    assert choice.reasons == (
        "the default 0 is -",
        "that cannot be booted, so the fallback 2 is tried",
        "the default 2 is B",
    )


def test_the_reason_tells_a_missing_default_from_none() -> None:
    assert choose(menu(*ITEMS)).reasons == ("no default is set, so the first entry is taken: A",)
    missing = choose(menu(*ITEMS, defaults=("nope",)))
    assert missing.reasons == ("the default nope is not in the menu, so the first entry is taken: A",)


def test_the_first_that_boots_is_the_last_resort() -> None:
    choice = choose(menu(entry("-", kernel=False), submenu("S", entry("A")), defaults=("0",)))
    assert choice.index == 1
    assert choice.reasons[-1] == "the first that can be booted is A"
    with pytest.raises(NothingBootable, match="none of the 1 entries"):
        choose(menu(entry("-", kernel=False)))


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("0", 0), ("3", 3), (" 5", 5), ("A", 0), ("a", 0), ("Z", 3), ("S", 1), ("s", 1), ("S>X", 1),
        ("s>T>Z", 3), ("s>1", 2), ("S>T", 2), ("B c", 5), ("a>b", 4), ("gt", 6), ("s>a>>b", 4),
    ],
)  # fmt: skip
def test_wanted(wanted: str, index: int) -> None:
    assert choose(menu(*ITEMS), wanted).index == index


@pytest.mark.parametrize("wanted", ["7", "-1", "nope", "", "S>nope", "A>0", "0x1", "a B c"])
def test_wanted_in_vain(wanted: str) -> None:
    with pytest.raises(UsageError, match="0: A; 1: S>X"):
        choose(menu(*ITEMS), wanted)


def test_wanted_entries_need_no_kernel() -> None:
    assert choose(menu(entry("-", kernel=False)), "-").entry.title == "-"


def test_the_reasons_are_told_in_their_order() -> None:
    broken, other = entry("Broken", kernel=False), entry("Other", kernel=False)
    assert choose(menu(broken, other, entry("B"), defaults=("0", "1"))).reasons == (
        "the default 0 is Broken",
        "that cannot be booted, so the fallback 1 is tried",
        "the default 1 is Other",
        "Other has no kernel that could be booted",
        "the first that can be booted is B",
    )
    assert choose(menu(entry("A"), entry("B"))).reasons == (
        "no default is set, so the first entry is taken: A",
    )


@pytest.mark.parametrize(
    ("count", "more"), [(0, "it has none"), (1, "it has 0: E"), (20, "19: E"), (21, "19: E and 1 more")]
)
def test_twenty_entries_are_named_to_choose_from(count: int, more: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose(menu(*[entry("E")] * count), "none")
    assert caught.value.hint.endswith(more)


def test_a_number_of_ten_digits_is_no_index() -> None:
    many = menu(*[entry("E")] * 3)
    assert choose(many, "000000002").index == 2
    with pytest.raises(UsageError):
        choose(many, "0000000002")
