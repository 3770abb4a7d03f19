"""Menus: what `menuentry` and `submenu` add, and what comes of each entry when it is chosen.

The body of an entry runs when it is chosen, so here it runs once the whole configuration has: with
the variables as that left them, and without any trace left for the next entry.
"""

from __future__ import annotations

from contextlib import contextmanager

from pybootcfg import limits
from pybootcfg.dialects.grub2 import wishes
from pybootcfg.dialects.grub2.failure import Failure, Status
from pybootcfg.dialects.grub2.interpreter import Block, Call, Command, Interpreter
from pybootcfg.dialects.grub2.loaders import Boot
from pybootcfg.dialects.grub2.numbers import as_int, number
from pybootcfg.dialects.grub2.options import Option, Options
from pybootcfg.dialects.grub2.syntax import string_text
from pybootcfg.entry_path import lookup
from pybootcfg.errors import LimitExceeded
from pybootcfg.menu import Entry, EntryKind, Item, Password, Place, Submenu
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Budgets of the whole run: when one of these is spent, no entry can be trusted any more.
_WHOLE_RUN = frozenset(
    limit.name
    for limit in (
        limits.GRUB_STEPS,
        limits.GRUB_TEXT,
        limits.GRUB_EXPANSION,
        limits.GRUB_ENTRIES,
        limits.GRUB_FILE_ACCESSES,
        limits.REGEXP_WORK,
    )
)


_BETWEEN_USERS = str.maketrans(",;|&", "    ")


class Definition(NamedTuple):
    """An entry as it was defined."""

    title: str
    id: str
    parameters: Sequence[str]
    body: Block | str  #: a string for `--source`
    place: Place
    submenu: bool = False
    hidden: bool = False
    restricted: bool = False
    users: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The commands of the entry as they are written."""
        return self.body.source if isinstance(self.body, Block) else self.body

    def with_items(self, shown: Shown) -> Submenu:
        """Return the submenu that shows these items."""
        return Submenu(
            self.title,
            self.place,
            self.id,
            shown.items,
            shown.defaults,
            self.hidden,
            self.restricted,
            self.users,
        )


class Edit:
    """An entry that is looked at by itself: what it runs, instead of that, and what comes of it."""

    def __init__(self, entry: Entry, text: str | None = None) -> None:
        self.entry = entry
        self.text = text  #: to be run instead of the entry's own commands
        self.own_text: str | None = None
        self.item: Item | None = None

    def takes(self, definition: Definition) -> bool:
        """Tell whether the entry was made of this definition, which is then noted."""
        entry = self.entry
        if self.own_text is not None or (definition.title, definition.id) != (entry.title, entry.id):
            return False
        if definition.place != entry.source:
            return False
        self.own_text = definition.source
        return True


class Shown(NamedTuple):
    """A menu as it is shown: what is in it, which entry is wished for, how long it waits."""

    items: tuple[Item, ...] = ()
    defaults: tuple[str, ...] = ()
    timeout: float | None = None
    hidden: bool = False


class MenuShown(Exception):
    """A configuration shows another one's menu instead of its own; the user sees that one."""

    def __init__(self, shown: Shown) -> None:
        super().__init__()
        self.shown = shown


class Menus:
    """The menus that are being defined, innermost last."""

    def __init__(self) -> None:
        self.definitions: list[list[Definition]] = [[]]
        self.default_only = False  #: whether only the default entry is evaluated
        self.shows = True  #: whether a further configuration's menu is shown, rather than passed over
        self._entries = limits.GRUB_ENTRIES.budget()
        self._chosen: Shown | None = None  #: the menu that the entry being run has shown
        self._inside = 0  #: how many entries are being run, one inside the other
        self.passwords: dict[str, Password] = {}
        self.edit: Edit | None = None

    def add(self, definition: Definition) -> None:
        """Add an entry to the innermost menu."""
        self._entries.spend()
        self.definitions[-1].append(definition)

    @contextmanager
    def nested(self, interpreter: Interpreter, *, own_context: bool = True) -> Iterator[None]:
        """Collect a further configuration's menu and, when there is any, show it."""
        limits.GRUB_MENU_DEPTH.check(len(self.definitions))
        self.definitions.append([])
        if own_context:
            interpreter.environment.open()
        try:
            yield
            if self.definitions[-1] and self.shows and self._chosen is None:
                shown = self.show(interpreter)
                if not self._inside:
                    raise MenuShown(shown)
                self._chosen = shown
        finally:
            self.definitions.pop()
            if own_context:
                interpreter.environment.close()

    def show(self, interpreter: Interpreter) -> Shown:
        """Return the innermost menu as it would be shown now."""
        environment = interpreter.environment
        defaults = _defaults(environment.get("default"), environment.get("fallback"))
        timeout = _timeout(environment.get("timeout"))
        hidden = timeout is not None and environment.get("timeout_style") in ("hidden", "countdown")
        items = self._items(interpreter, self.definitions[-1], defaults)
        if interpreter.expander.keeps_hexadecimal:
            defaults = tuple(wishes.numbered(items, wish) for wish in defaults)
        return Shown(items, defaults, timeout, hidden)

    def _items(
        self, interpreter: Interpreter, definitions: list[Definition], defaults: tuple[str, ...]
    ) -> tuple[Item, ...]:
        """Return the items of a menu: each with what comes of choosing it, or only the default one."""
        if not self.default_only or not definitions:
            return tuple(self._item(interpreter, definition) for definition in definitions)
        items = [_unevaluated(definition) for definition in definitions]
        found = None
        if defaults:
            fedora = interpreter.expander.keeps_hexadecimal
            found = lookup(items, wishes.numbered(items, defaults[0]) if fedora else defaults[0])
        default = next((index for index, item in enumerate(items) if found and item is found[0]), 0)
        items[default] = self._item(interpreter, definitions[default])
        return tuple(items)

    def _item(self, interpreter: Interpreter, definition: Definition) -> Item:
        edit = self.edit
        if edit is None or not edit.takes(definition):
            return self._evaluated(interpreter, definition)
        if edit.text is not None:
            definition = definition._replace(body=edit.text)
        edit.item = self._evaluated(interpreter, definition)
        return edit.item

    def _evaluated(self, interpreter: Interpreter, definition: Definition) -> Item:
        """Choose an entry, note what it does, and undo that."""
        variables = interpreter.environment.snapshot()
        interpreter.steps.spend(1 + len(variables.values) // 64)
        functions, blocks = dict(interpreter.functions), dict(interpreter.blocks)
        snippets = interpreter.snippets.entries
        loopbacks = dict(interpreter.files.loopbacks)
        outer = interpreter.warnings, interpreter.boot, interpreter.entry_steps, self._chosen
        keeps_hexadecimal = interpreter.expander.keeps_hexadecimal
        interpreter.warnings, interpreter.boot, self._chosen = [], Boot(), None
        interpreter.entry_steps = limits.GRUB_ENTRY_STEPS.budget()
        self._inside += 1
        try:
            if definition.submenu:
                return self._submenu(interpreter, definition)
            return self._entry(interpreter, definition)
        finally:
            self._inside -= 1
            if definition.submenu:  # which has no place of its own for them
                outer[0].extend(interpreter.warnings)
            interpreter.expander.keeps_hexadecimal = keeps_hexadecimal
            interpreter.warnings, interpreter.boot, interpreter.entry_steps, self._chosen = outer
            interpreter.environment.restore(variables)
            interpreter.functions, interpreter.blocks = functions, blocks
            interpreter.snippets.entries = snippets
            interpreter.files.loopbacks = loopbacks

    def _entry(self, interpreter: Interpreter, definition: Definition) -> Item:
        self._choose(interpreter, definition, interpreter.environment.get("default"))
        self.definitions.append([])  # what a body adds to the menu comes too late to be seen
        try:
            self._run(interpreter, definition)
        except LimitExceeded as error:
            if error.limit in _WHOLE_RUN:
                raise
            interpreter.boot = Boot()
            interpreter.warnings.append(f"the entry is given up: {error}")
        finally:
            self.definitions.pop()
        boot = interpreter.boot
        if boot.kernel is None and boot.kind is EntryKind.OTHER and self._chosen is not None:
            return definition.with_items(self._chosen)
        return Entry(
            definition.title,
            boot.kind,
            definition.place,
            definition.id,
            boot.kernel,
            boot.initrds,
            boot.args,
            tuple(boot.modules),
            boot.devicetree,
            definition.hidden,
            definition.restricted,
            tuple(interpreter.warnings),
            definition.users,
        )

    def _submenu(self, interpreter: Interpreter, definition: Definition) -> Submenu:
        limits.GRUB_MENU_DEPTH.check(len(self.definitions))
        environment = interpreter.environment
        default = environment.get("default")
        chosen = environment.get("chosen")
        environment.open()
        self.definitions.append([])
        shown = Shown()
        try:
            self._choose(interpreter, definition, default, chosen)
            self._run(interpreter, definition)
            shown = self._chosen or self.show(interpreter)
        except LimitExceeded as error:
            if error.limit in _WHOLE_RUN:
                raise
            interpreter.warnings.append(f"the submenu is given up: {error}")
        finally:
            self.definitions.pop()
            environment.close()
        return definition.with_items(shown)

    def _choose(
        self, interpreter: Interpreter, definition: Definition, default: str | None, above: str | None = None
    ) -> None:
        """Set what GRUB sets when an entry is chosen."""
        environment = interpreter.environment
        above = above or environment.get("chosen")
        name = definition.id.replace(">", ">>")
        environment.set("chosen", f"{above}>{name}" if above else name)
        environment.export("chosen")
        rest = _below(default or "")
        if rest:
            environment.set("default", rest)
        else:
            environment.unset("default")

    def _run(self, interpreter: Interpreter, definition: Definition) -> None:
        interpreter.environment.values["?"] = "0"
        if isinstance(definition.body, Block):
            interpreter.run_block(definition.body, definition.parameters)
        else:
            text = string_text(definition.body, str(definition.place.file))
            interpreter.run_source(text, definition.place.file, definition.parameters)


def _unevaluated(definition: Definition) -> Item:
    """Return an item of a menu as it is before somebody chooses it."""
    if definition.submenu:
        return Submenu(definition.title, definition.place, definition.id)
    return Entry(definition.title, EntryKind.OTHER, definition.place, definition.id)


def _below(default: str) -> str:
    """Return what follows the first `>` of a path of entries; `>>` is a `>` in a name."""
    position = 0
    while (position := default.find(">", position)) >= 0:
        if not default.startswith(">>", position):
            return default[position + 1 :]
        position += 2
    return ""


def _defaults(default: str | None, fallback: str | None) -> tuple[str, ...]:
    fallbacks = tuple((fallback or "").split())
    if default is None:
        return ("0", *fallbacks) if fallbacks else ()
    return (default, *fallbacks)


def user_names(text: str) -> tuple[str, ...]:
    """Return the users in a list: blanks, commas, semicolons, `|` and `&` stand between them."""
    return tuple(user for user in text.translate(_BETWEEN_USERS).split(" ") if user)


def _timeout(value: str | None) -> float | None:
    try:
        seconds = as_int(number(value or "").value)
    except Failure:
        return None
    return float(seconds) if seconds >= 0 else None


# --- the commands --------------------------------------------------------------------------------


def _menuentry(interpreter: Interpreter, call: Call) -> None:
    arguments = call.arguments
    source = arguments.value("source")
    if not call.words and call.block is None:
        raise Failure(Status.BAD_ARGUMENT, "missing arguments")
    if source is not None and call.block is not None:
        raise Failure(Status.BAD_ARGUMENT, "multiple menuentry definitions")
    if source is None and call.block is None:
        raise Failure(Status.BAD_ARGUMENT, "no menuentry definition")
    if not call.words:
        raise Failure(Status.MENU, "menuentry is missing title")
    title = call.words[0]
    protected = interpreter.environment.get("superusers") is not None
    interpreter.menus.add(
        Definition(
            title,
            arguments.value("id") or title if "id" in arguments else title,
            call.words,
            call.block if call.block is not None else source or "",
            call.place,
            submenu=call.name == "submenu",
            hidden=call.name == "hiddenentry",
            restricted=protected and ("users" in arguments or "unrestricted" not in arguments),
            users=user_names(arguments.value("users") or ""),
        )
    )


_OPTIONS = Options(
    (
        Option("class", takes=True),
        Option("users", takes=True),
        Option("hotkey", takes=True),
        Option("source", takes=True),
        Option("id", takes=True),
        Option("unrestricted"),
    ),
    passes_unknown=True,
)

COMMANDS: dict[str, Command] = {
    name: Command(_menuentry, _OPTIONS, takes_block=True, extracts=True)
    for name in ("menuentry", "submenu", "hiddenentry")
}
