"""The menu without a terminal: what is selected, edited, searched, refused and booted."""

from __future__ import annotations

from pathlib import Path

import pytest
from menu_screen import (
    BACKSPACE,
    BOOT,
    DELETE,
    DOWN,
    END,
    ENTER,
    ESCAPE,
    HOME,
    LEFT,
    PAGE_DOWN,
    PAGE_UP,
    RIGHT,
    TAB,
    UP,
    Screen,
    make_tree,
)
from syrupy.assertion import SnapshotAssertion

from pybootcfg import limits
from pybootcfg.cli.menu import Cancelled
from pybootcfg.cli.menu.frame import Frame, Size, columns_of, take, width_of
from pybootcfg.cli.menu.keys import Key, KeyReader, Typed
from pybootcfg.cli.menu.text import TextArea

UUID = "5a3b7c1e-9d24-4f0a-8c55-2f1b0e6d7a90"


def grub(folder: Path, config: str | bytes, **files: str) -> Path:
    return make_tree(folder, {"boot/grub/grub.cfg": config, **files})


# --- keys ----------------------------------------------------------------------------------------


def typed(data: bytes, *, final: bool = True) -> list[Typed]:
    reader = KeyReader()
    reader.feed(data)
    keys = []
    while (key := reader.next(final=final)) is not None:
        keys.append(key)
    return keys


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"\x1b[A\x1bOB\x1b[C\x1bOD", [Key.UP, Key.DOWN, Key.RIGHT, Key.LEFT]),
        (b"\x1b[H\x1b[1~\x1b[7~\x1bOH\x01", [Key.HOME] * 5),
        (b"\x1b[F\x1b[4~\x1b[8~\x1bOF\x05", [Key.END] * 5),
        (b"\x1b[5~\x1b[6~\x1b[3~\x1b[21~", [Key.PAGE_UP, Key.PAGE_DOWN, Key.DELETE, Key.BOOT]),
        (b"\x1b[1;5A", [Key.UP]),
        (b"\r\n\t\x7f\x08", [Key.ENTER, Key.ENTER, Key.TAB, Key.BACKSPACE, Key.BACKSPACE]),
        (
            b"\x0b\x15\x17\x18\x03",
            [Key.DELETE_TO_END, Key.DELETE_TO_START, Key.DELETE_WORD, Key.BOOT, Key.CANCEL],
        ),
        (b"\x1b", [Key.ESCAPE]),
        (b"\x1be", [Key.ESCAPE, "e"]),
        (b"\x1b\x1b[A", [Key.ESCAPE, Key.UP]),
        (b"\x18\x0c\x07", [Key.BOOT, Key.REDRAW, Key.ESCAPE]),
        (b"\x1b[999zx", ["x"]),  # unknown, and passed over
        (b"\x1b[3\x1b[A", [Key.UP]),  # broken off
        (b"\x1b[" + b"1" * 100 + b"x", []),  # no end in sight
        ("é€😀".encode(), ["é", "€", "😀"]),
        (b"\xe9a", ["\udce9", "a"]),  # Latin-1
        (b"\x80\xff", ["\udc80", "\udcff"]),
        ("\x85\u202e".encode(), []),  # control characters above ASCII
        (b"\x00\x1c\x1d", []),
    ],
)
def test_keys(data: bytes, keys: list[Typed]) -> None:
    assert typed(data) == keys


@pytest.mark.parametrize("data", [b"\x1b[21~", b"\x1bOA", "😀".encode(), b"\x1b[A"])
def test_keys_in_pieces(data: bytes) -> None:
    reader = KeyReader()
    for byte in data[:-1]:
        reader.feed(bytes([byte]))
        assert reader.next() is None
        assert reader.unfinished
    reader.feed(data[-1:])
    assert reader.next() == typed(data)[0]
    assert not reader.unfinished


# --- text ----------------------------------------------------------------------------------------


def edited(text: str, keys: bytes, **options: bool) -> str:
    """Return the text with | for the cursor."""
    area = TextArea(text, **options)
    for key in typed(keys):
        area.press(key)
    area.insert("|")
    return area.text


@pytest.mark.parametrize(
    ("text", "keys", "result"),
    [
        ("quiet", b" ro", "quiet ro|"),
        ("quiet", b"\x01a", "a|quiet"),
        ("quiet", b"\x01\x05b", "quietb|"),
        ("quiet", LEFT + LEFT + BACKSPACE, "qu|et"),
        ("quiet", HOME + DELETE + DELETE, "|iet"),
        ("one two", HOME + RIGHT * 3 + b"\x0b", "one|"),
        ("one two", LEFT * 3 + b"\x15", "|two"),
        ("one two  ", b"\x17", "one |"),
        ("one two", b"\x17\x17\x17", "|"),
        ("", BACKSPACE + DELETE + LEFT + RIGHT + UP + DOWN, "|"),
        ("ü", LEFT + "€".encode(), "€|ü"),
        ("a\nb", b"", "a b|"),
    ],
)
def test_line_editing(text: str, keys: bytes, result: str) -> None:
    assert edited(text, keys) == result


@pytest.mark.parametrize(
    ("text", "keys", "result"),
    [
        ("one\ntwo", b"", "|one\ntwo"),
        ("one\ntwo", DOWN + END + ENTER + b"three", "one\ntwo\nthree|"),
        ("one\ntwo", DOWN + BACKSPACE, "one|two"),
        ("one\ntwo", END + DELETE, "one|two"),
        ("one\ntwo", END + b"\x0b", "one|two"),
        ("one\ntwo", END + RIGHT + LEFT, "one|\ntwo"),
        ("one\nt", END + DOWN, "one\nt|"),
        ("1\n2\n3", PAGE_DOWN, "1\n2\n|3"),
        ("1\n2\n3", PAGE_DOWN + UP * 9, "|1\n2\n3"),
    ],
)
def test_text_editing(text: str, keys: bytes, result: str) -> None:
    assert edited(text, keys, multiline=True) == result


def test_a_line_has_an_end() -> None:
    area = TextArea("x" * (limits.MENU_LINE.value - 1))
    area.insert("abc")
    assert area.text.endswith("xa")
    assert len(area.text) == limits.MENU_LINE.value


def test_long_lines_wrap() -> None:
    frame = Frame(Size(4, 10))
    area = TextArea("0123456789abc漢字")
    area.draw(frame, 0, 0, 3, 10)
    assert frame.text().splitlines()[:2] == ["0123456789", "abc漢字"]
    assert frame.cursor == (1, 7)


# --- the picture ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "width"), [("abc", 3), ("漢字", 4), ("e\u0301", 1), ("\uff41", 2), ("ü", 1), ("", 0)]
)
def test_widths(text: str, width: int) -> None:
    assert width_of(text) == width
    assert sum(map(columns_of, text)) == width


@pytest.mark.parametrize(
    ("text", "width", "result"),
    [("abcdef", 4, "abc…"), ("漢字漢字", 6, "漢字…"), ("漢字", 4, "漢字"), ("ab", 1, "a")],
)
def test_what_is_too_long_is_cut(text: str, width: int, result: str) -> None:
    frame = Frame(Size(1, 20))
    assert frame.put(0, 0, text, width) == width_of(result)
    assert frame.text() == result


def test_guest_text_is_escaped() -> None:
    frame = Frame(Size(1, 80))
    frame.put(0, 0, "a\x1b[31mb\x07\u202ec\udcff\n")
    assert frame.text() == r"a\x1b[31mb\x07\u202ec\xff\n"


def test_without_utf8_all_is_ascii() -> None:
    frame = Frame(Size(1, 80), utf8=False)
    frame.put(0, 0, "é漢" + "x" * 100)
    assert frame.text().isascii()
    assert frame.text().startswith(r"\xe9\u6f22xxx")


def test_combining_characters_do_not_pile_up() -> None:
    frame = Frame(Size(1, 10))
    frame.put(0, 0, "\u0301a" + "\u0301" * 100 + "b")
    assert width_of(frame.text()) == 2
    assert len(frame.text()) < 20


def test_take() -> None:
    assert take("漢字", 3) == "漢"
    assert take("abc", 2) == "ab"


# --- choosing ------------------------------------------------------------------------------------

MANY = "set timeout=5\n" + "".join(f"menuentry 'Entry {n}' {{ linux /boot/k n={n}; }}\n" for n in range(100))


def test_the_menu(sample: Path, snapshot: SnapshotAssertion) -> None:
    screen = Screen(sample)
    assert screen.text == snapshot(name="with a countdown")
    assert screen.press(DOWN).text == snapshot(name="countdown stopped")
    assert screen.press(ENTER).text == snapshot(name="submenu")
    assert screen.press(b"e").text == snapshot(name="edit")
    assert screen.press(ESCAPE, b"a").text == snapshot(name="arguments")
    assert screen.press(ESCAPE, b"c", b"ls /boot/", ENTER).text == snapshot(name="command line")
    assert screen.press(ESCAPE, b"/", b"resc").text == snapshot(name="search")


def test_enter_boots_what_is_selected(sample: Path) -> None:
    screen = Screen(sample, args="more").press(UP, UP, ENTER)
    assert screen.boot is not None
    assert screen.boot.args == f"root=UUID={UUID} ro console=hvc0 more"
    assert str(screen.boot.kernel) == "p1:/boot/vmlinuz"
    assert screen.boot.reasons == ("Demo Linux was chosen in the menu",)


def test_the_default_leads_into_its_submenu(sample: Path) -> None:
    screen = Screen(sample)
    assert screen.selected == "Advanced options >"
    assert screen.press(ENTER).selected == "Demo Linux, quiet"
    assert screen.press(ESCAPE).selected == "Advanced options >"
    assert screen.press(ESCAPE).selected == "Advanced options >"  # nothing below the first menu


def test_moving_clamps_and_scrolls(tmp_path: Path) -> None:
    screen = Screen(grub(tmp_path, MANY))
    for keys, selected in [
        (UP, 0),
        (DOWN, 1),
        (END, 99),
        (DOWN, 99),
        (UP, 98),
        (PAGE_UP, 83),
        (PAGE_DOWN, 98),
        (PAGE_DOWN, 99),
        (HOME, 0),
        (b"\x0e", 1),
        (b"\x10", 0),
    ]:
        assert screen.press(keys).selected == f"Entry {selected}"


@pytest.mark.no_cover
@pytest.mark.parametrize("rows", range(1, 26))
@pytest.mark.parametrize("columns", [1, 2, 7, 20, 80, 300])
def test_every_size_will_do(sample: Path, rows: int, columns: int) -> None:
    screen = Screen(sample, size=Size(rows, columns))
    views = [b"", DOWN, ENTER, b"e", ESCAPE + b"a", ESCAPE + b"c", ESCAPE + b"/"]
    for keys in views:
        text = screen.press(keys).text
        assert len(text.splitlines()) <= rows
        assert all(width_of(line.replace(">", "").replace("<", "")) <= columns for line in text.splitlines())


def test_small_screens(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    for size in (Size(12, 40), Size(6, 30), Size(3, 16)):
        screen = Screen(grub(tmp_path, MANY), size=size).press(PAGE_DOWN)
        assert screen.text == snapshot(name=f"{size.columns} by {size.rows}")


def test_titles_of_a_hostile_guest(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    titles = ["\x1b]0;own\x07", "wide 漢字" * 20, "e\u0301" * 200, "\u202eltr", "x" * 500, "a\tb"]
    config = "".join(f"menuentry '{title}' {{ linux /boot/k; }}\n" for title in titles).encode()
    config += b"menuentry 'latin \xe9' { linux /boot/k; }\nmenuentry '' { linux /boot/k; }\n"
    screen = Screen(grub(tmp_path, config))
    assert "\x1b" not in screen.text
    assert screen.text == snapshot


def test_an_entry_that_cannot_be_booted_says_why(tmp_path: Path) -> None:
    config = (
        "menuentry A { linux /boot/gone; }\nmenuentry B { chainloader +1; }\nmenuentry C { linux /boot/k; }\n"
    )
    screen = Screen(grub(tmp_path, config))
    assert "/boot/gone" in screen.press(ENTER).text
    assert screen.press(b"x", DOWN).selected == "B"
    assert "names no kernel" in screen.press(ENTER).text
    assert "no kernel" in screen.press(ENTER).text
    assert screen.press(DOWN, ENTER).boot is not None


def test_hidden_entries_are_not_shown(tmp_path: Path) -> None:
    screen = Screen(grub(tmp_path, "hiddenentry H { linux /boot/k; }\nmenuentry A { linux /boot/k a; }\n"))
    assert screen.selected == "A"
    assert "| H" not in screen.text


def test_ctrl_c_leaves_from_everywhere(sample: Path) -> None:
    for keys in (b"", b"e", b"a", b"c", b"/"):
        screen = Screen(sample).press(ENTER, keys)
        with pytest.raises(Cancelled):
            screen.press(b"\x03")


# --- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("timeout", "seconds"), [("5", 5), ("0", 0), ("-1", None), ("", None)])
def test_countdown(tmp_path: Path, timeout: str, seconds: int | None) -> None:
    screen = Screen(grub(tmp_path, f"set timeout={timeout}\nmenuentry A {{ linux /boot/k; }}\n"))
    assert screen.session.seconds_left == seconds
    if seconds:
        for now, left in [(0.1, seconds), (1, seconds - 1), (4.5, 1), (1000, 0)]:
            screen.now = now
            assert screen.session.seconds_left == left
        screen.press(DOWN)
        assert screen.session.seconds_left is None


def test_resizing_is_no_key(sample: Path) -> None:
    session = Screen(sample).session
    session.press(Key.RESIZE)
    session.press(Key.REDRAW)
    assert session.seconds_left == 5


def test_a_hidden_menu_waits_for_a_key(tmp_path: Path) -> None:
    config = "set timeout=5\nset timeout_style=hidden\nmenuentry A { linux /boot/k; }\n"
    screen = Screen(grub(tmp_path, config))
    assert "Press a key for the menu." in screen.text
    assert screen.press(ENTER).selected == "A"
    assert screen.boot is None


def test_a_default_that_is_missing_gives_way_to_its_fallback(tmp_path: Path) -> None:
    config = (
        "set default=0\nset fallback=1\nmenuentry A { linux /boot/gone; }\nmenuentry B { linux /boot/k b; }\n"
    )
    assert Screen(grub(tmp_path, config)).session.boot_default().args == "b"


# --- editing -------------------------------------------------------------------------------------


def test_edited_commands_are_evaluated_by_grubs_interpreter(sample: Path) -> None:
    screen = Screen(sample).press(UP, b"e")
    assert "$kopts" in screen.text
    screen.press(END, b" ${kopts}x single", BOOT)
    assert screen.boot is not None
    assert screen.boot.args == f"root=UUID={UUID} ro console=hvc0 ro console=hvc0x single"
    assert [str(file) for file in screen.boot.initrds] == ["p1:/boot/initrd.img"]
    assert screen.boot.reasons == ("Demo Linux was edited in the menu",)


def test_an_entry_of_a_submenu_sees_what_the_submenu_set(tmp_path: Path) -> None:
    config = """\
set outside=no
export shared=yes
submenu S { set inside=1
  menuentry A { linux /boot/k a=$inside; } }
"""
    screen = Screen(grub(tmp_path, config)).press(
        ENTER, b"e", END, b" linux /boot/k in=$inside out=$outside", BOOT
    )
    assert screen.boot is not None
    assert screen.boot.args == "in=1 out="


def test_edited_commands_with_a_mistake_are_refused(sample: Path) -> None:
    screen = Screen(sample).press(ENTER, b"e", END, ENTER, b"if true; fi", BOOT)
    assert "Press a key to go on." in screen.text
    assert "fi" in screen.press(ENTER).text  # the changes are still there
    assert screen.boot is None
    screen.press(b"\x15", BOOT)
    assert screen.boot is not None


def test_what_is_edited_is_forgotten_with_escape(sample: Path) -> None:
    screen = Screen(sample).press(ENTER, b"e", b"# changed ", ESCAPE, b"e")
    assert "changed" not in screen.text


def test_edited_commands_that_load_nothing(sample: Path) -> None:
    screen = Screen(sample).press(ENTER, b"e", b"\x0b" * 20, b"echo hello", BOOT)
    assert "names no kernel" in screen.text


def test_edited_commands_may_lead_to_another_menu(tmp_path: Path) -> None:
    tree = grub(tmp_path, "menuentry A { true; }\n", **{"other.cfg": "menuentry Z { linux /boot/k z; }\n"})
    screen = Screen(tree).press(b"e", b"\x0b", b"configfile /other.cfg", BOOT)
    assert screen.selected == "Z"
    assert screen.press(ENTER).boot is not None


def test_arguments_are_those_of_the_kernel(sample: Path) -> None:
    screen = Screen(sample, args="extra").press(ENTER, b"a")
    assert 'ro quiet "title=two words" extra' in screen.text.replace("\n ", "")
    screen.press(b"\x15", b"single", ENTER)
    assert screen.boot is not None
    assert screen.boot.args == "single"
    assert len(screen.boot.initrds) == 2


def test_arguments_of_xen_are_those_of_the_first_module(tmp_path: Path) -> None:
    config = "menuentry X { multiboot2 /boot/xen.gz dom0_mem=1G; module2 /boot/k root=x; module2 /boot/i; }\n"
    screen = Screen(grub(tmp_path, config, **{"boot/xen.gz": "XEN"})).press(b"a")
    assert "root=x" in screen.text
    screen.press(b" ro", ENTER)
    assert screen.boot is not None
    assert (screen.boot.kernel.path, screen.boot.args) == ("/boot/k", "root=x ro")


LEGACY = """\
default 1
timeout 7
title First
    root (hd0)
    kernel /boot/k root=/dev/a
    initrd /boot/i
title Second
    kernel /boot/k root=/dev/b
"""


def test_entries_of_other_dialects_are_edited_as_a_few_commands(tmp_path: Path) -> None:
    screen = Screen(make_tree(tmp_path, {"boot/grub/menu.lst": LEGACY}))
    assert screen.selected == "Second"
    screen.press(UP, b"e")
    assert "kernel p0:/boot/k" in screen.text
    assert "initrd p0:/boot/i" in screen.text
    screen.press(PAGE_DOWN, END, b" /boot/j", ENTER, b"args root=/dev/c", BOOT)
    assert screen.boot is not None
    assert screen.boot.args == "root=/dev/c"
    assert [file.path for file in screen.boot.initrds] == ["/boot/i", "/boot/j"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"boot /x", "boot is no command here"),
        (b"kernel", "a file name is wanted"),
        (b"kernel vmlinuz", "is no absolute path"),
        (b"kernel p9:/boot/k", "no volume p9"),
        (b"root (hd7,3)", "no device (hd7,3)"),
        (b'kernel "', "a file name is wanted"),
    ],
)
def test_mistakes_in_the_few_commands(tmp_path: Path, line: bytes, complaint: str) -> None:
    screen = Screen(make_tree(tmp_path, {"boot/grub/menu.lst": LEGACY})).press(b"e", line, ENTER, BOOT)
    assert complaint in screen.text


# --- command line --------------------------------------------------------------------------------


def lines(screen: Screen) -> list[str]:
    return [line for line in screen.text.splitlines() if line.strip()]


def test_grubs_command_line_keeps_its_state(sample: Path) -> None:
    screen = Screen(sample).press(b"c", b"echo $kopts", ENTER, b"set a=1", ENTER, b"echo a is $a", ENTER)
    assert lines(screen)[:5] == [
        "grub> echo $kopts",
        "ro console=hvc0",
        "grub> set a=1",
        "grub> echo a is $a",
        "a is 1",
    ]


def test_grubs_command_line_boots(sample: Path) -> None:
    screen = Screen(sample).press(b"c", b"boot", ENTER)
    assert "error: you need to load the kernel first." in screen.text
    screen.press(b"linux /boot/vmlinuz hand=made", ENTER, b"initrd /boot/initrd.img", ENTER, b"boot", ENTER)
    assert screen.boot is not None
    assert screen.boot.args == "hand=made"
    assert [str(file) for file in screen.boot.initrds] == ["p1:/boot/initrd.img"]


def test_grubs_command_line_survives_mistakes(sample: Path) -> None:
    screen = Screen(sample).press(b"c", b"nonsense", ENTER, b"if ; }", ENTER, b"cat /none", ENTER)
    assert "can't find command `nonsense'" in screen.text
    assert "syntax error" in screen.text
    assert "file `/none' not found" in screen.text
    screen.press(b"while true; do echo x; done", ENTER)
    assert "over the limit" in screen.text
    screen.press(b"echo alive", ENTER)
    assert "alive" in lines(screen)[-3]


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (b"ec", "grub> echo"),
        (b"cat /bo", "grub> cat /boot/"),
        (b"cat /boot/gr", "grub> cat /boot/grub/"),
        (b"cat /boot/grub/g", "grub> cat /boot/grub/grub.cfg"),
        (b"ls (", "grub> ls (hd0,msdos1)"),
        (b"ls (hd0,msdos1)/boot/init", "grub> ls (hd0,msdos1)/boot/initrd.img"),
        (b"true; ech", "grub> true; echo"),
        (b"cat /none/", "grub> cat /none/"),
        (b"zz", "grub> zz"),
        (b"cat vmli", "grub> cat vmli"),  # a name of a file begins with a slash
    ],
)
def test_tab_completes(sample: Path, typed: bytes, line: str) -> None:
    screen = Screen(sample).press(b"c", typed, TAB)
    assert lines(screen)[-2].rstrip() == line


def test_tab_shows_what_is_possible(sample: Path) -> None:
    screen = Screen(sample).press(b"c", b"cat /boot/v", TAB, TAB)
    assert lines(screen)[-2] == "grub> cat /boot/vmlinuz"
    assert "vmlinuz  vmlinuz-6.1.0-demo" in screen.text


def test_lines_are_recalled_and_output_scrolls(sample: Path) -> None:
    screen = Screen(sample).press(b"c", b"set", ENTER)
    bottom = screen.text
    assert screen.press(PAGE_UP).text != bottom
    assert screen.press(PAGE_DOWN).text == bottom
    assert lines(screen.press(UP))[-2] == "grub> set"
    assert lines(screen.press(DOWN))[-2].rstrip() == "grub>"


def test_the_other_dialects_have_a_small_command_line(tmp_path: Path) -> None:
    screen = Screen(make_tree(tmp_path, {"boot/grub/menu.lst": LEGACY})).press(b"c")
    assert "kernel p0:/boot/k" in screen.text
    screen.press(b"ker", TAB, b"/boot/", TAB, TAB)
    assert "grub/  i  j  k" in screen.text
    screen.press(b"k x=1", ENTER, b"initrd /boot/i /boot/j", ENTER, b"nonsense", ENTER)
    assert "nonsense is no command here" in screen.text
    screen.press(b"boot", ENTER)
    assert screen.boot is not None
    assert screen.boot.args == "x=1"
    assert [file.path for file in screen.boot.initrds] == ["/boot/i", "/boot/j"]


# --- search --------------------------------------------------------------------------------------


def test_search_goes_into_submenus(sample: Path) -> None:
    screen = Screen(sample).press(b"/", b"RESCUE", ENTER)
    assert screen.selected == "Demo Linux, rescue"
    assert screen.press(ESCAPE).selected == "Advanced options >"


def test_search_finds_nothing(sample: Path) -> None:
    screen = Screen(sample).press(b"/", b"windows")
    assert "0 of 3 entries" in screen.text
    assert screen.press(ENTER).selected == "Advanced options >"


# --- passwords -----------------------------------------------------------------------------------

PROTECTED = """\
set superusers="root"
password root geheim
password user klein
menuentry Free --unrestricted { linux /boot/k free; }
menuentry Users --users user { linux /boot/k users; }
menuentry Closed { linux /boot/k closed; }
submenu Sub { menuentry Inner --unrestricted { linux /boot/k inner; } }
"""


@pytest.fixture
def protected(tmp_path: Path) -> Screen:
    return Screen(grub(tmp_path, PROTECTED))


def test_what_is_unrestricted_boots(protected: Screen) -> None:
    assert protected.press(ENTER).boot is not None


@pytest.mark.parametrize("keys", [b"e", b"a", b"c", DOWN + ENTER, DOWN * 3 + ENTER])
def test_the_rest_asks_for_a_password(protected: Screen, keys: bytes) -> None:
    assert "User:" in protected.press(keys).text
    assert "That is not the password." in protected.press(b"root", ENTER, b"wrong", ENTER).text
    assert "'p' asks" in protected.press(ENTER).text
    assert protected.boot is None


def test_a_user_may_boot_their_entry_and_not_edit(protected: Screen) -> None:
    protected.press(b"p", b"user", ENTER, b"klein", ENTER, DOWN, b"e", b"user", ENTER, b"klein", ENTER)
    assert "may not edit" in protected.text
    protected.press(ENTER, DOWN, ENTER, b"user", ENTER, b"klein", ENTER)
    assert "may not boot" in protected.text
    assert protected.press(ENTER, UP, ENTER).boot is not None


def test_a_superuser_may_do_all(protected: Screen) -> None:
    protected.press(b"p", b"root", ENTER, b"geheim")
    assert "geheim" not in protected.text
    assert "******" in protected.text
    protected.press(ENTER, END, ENTER)
    assert protected.selected == "Inner"
    assert "Commands of Inner" in protected.press(b"e").text


def test_the_password_leads_on_to_what_needed_it(protected: Screen) -> None:
    protected.press(DOWN, ENTER, b"user", ENTER, b"klein", ENTER)
    assert protected.boot is not None
    assert protected.boot.args == "users"


def test_search_does_not_open_a_closed_submenu(protected: Screen) -> None:
    assert protected.press(b"/", b"inner", ENTER).selected == "Sub >"


def test_superusers_without_a_password_lock_everybody_out(tmp_path: Path) -> None:
    screen = Screen(grub(tmp_path, 'set superusers=""\nmenuentry A --unrestricted { linux /boot/k; }\n'))
    assert "User:" in screen.press(b"c").text
    assert "not the password" in screen.press(ENTER, ENTER).text


LEGACY_PROTECTED = """\
password --md5 $1$GPH7jns5$y877tB1WDqnsEYNfVCaI.1
title Open
    kernel /boot/k open
title Locked
    lock
    kernel /boot/k locked
title Own
    password eigen
    kernel /boot/k own
"""


def test_grub_legacy_has_one_password_and_no_users(tmp_path: Path) -> None:
    tree = make_tree(tmp_path, {"boot/grub/menu.lst": LEGACY_PROTECTED})
    screen = Screen(tree).press(DOWN, ENTER)
    assert "User:" not in screen.text
    assert "not the password" in screen.press(b"eigen", ENTER).text
    screen.press(ENTER, b"p", b"geheim", ENTER, b"e")
    assert "Commands of Locked" in screen.text
    screen = Screen(tree).press(END, ENTER, b"eigen", ENTER)
    assert screen.boot is not None
    assert screen.boot.args == "own"


def test_a_countdown_boots_what_quiet_mode_boots(tmp_path: Path) -> None:
    """Nobody is there to type a password, and nobody has chosen anything."""
    screen = Screen(grub(tmp_path, "set timeout=1\nset default=Closed\n" + PROTECTED))
    assert screen.session.boot_default().args == "closed"


def test_entries_restricted_by_a_dialect_that_gives_no_password(tmp_path: Path) -> None:
    screen = Screen(grub(tmp_path, "menuentry A { linux /boot/k; }\n"))
    access = screen.session.access
    entry = screen.session.menu.items[0]
    assert access.may_open(entry._replace(restricted=True))
