"""GRUB's command line: lines that are run one after the other, after the configuration has run."""

from __future__ import annotations

from pybootcfg import limits
from pybootcfg.dialects.grub2 import commands
from pybootcfg.dialects.grub2.failure import Failure, Status
from pybootcfg.dialects.grub2.interpreter import Call, Command, Interpreter
from pybootcfg.dialects.grub2.syntax import string_text
from pybootcfg.menu import Entry, Place
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    Find = Callable[[str], Command | None]


class Completion(NamedTuple):
    """What the word before the cursor may become: where it begins, and the words."""

    start: int
    words: list[str]


class CommandLine:
    """What is typed at `grub>`.  `make` gives an interpreter that has run the configuration."""

    def __init__(self, make: Callable[[Find], Interpreter]) -> None:
        self.entry: Entry | None = None  #: what `boot` was given
        self._boot = Command(self._boot_loaded)
        self._interpreter = make(self._find)

    def run(self, line: str) -> None:
        """Run a line; raises LimitExceeded when it takes more than any line should."""
        interpreter = self._interpreter
        interpreter.steps = limits.GRUB_STEPS.budget()
        interpreter.entry_steps = limits.GRUB_ENTRY_STEPS.budget()
        interpreter.run_text(string_text(line, "command line"), interpreter.config)

    def complete(self, before: str) -> Completion:
        """Return what the last word of `before` may become: a command, a device, or a file."""
        start = max(before.rfind(char) for char in " ;{=\"'") + 1
        word = before[start:]
        if not before[:start].strip(" ") or before[:start].rstrip(" ").endswith((";", "{")):
            known = {*commands.names(), *self._interpreter.functions}
            return Completion(start, sorted(name for name in known if name.startswith(word)))
        return Completion(start, self._files(word))

    def _files(self, word: str) -> list[str]:
        files = self._interpreter.files
        if word.startswith("(") and ")" not in word:
            return [name for device in files.devices() if (name := f"({device})").startswith(word)]
        folder, slash, beginning = word.rpartition("/")
        if not slash:
            return []
        names = (name for name in files.names(f"{folder}/") if name.startswith(beginning))
        found = [f"{folder}/{name}" for name in names]
        return [f"{name}/" if files.is_directory(name) else name for name in found]

    def _find(self, name: str) -> Command | None:
        return self._boot if name == "boot" else commands.find(name)

    def _boot_loaded(self, interpreter: Interpreter, _call: Call) -> None:
        """Run `boot`: what is loaded is what the menu is left with."""
        loaded = interpreter.boot
        if loaded.kernel is None:
            raise Failure(Status.NO_KERNEL, "you need to load the kernel first")
        self.entry = Entry(
            "command line",
            loaded.kind,
            Place(interpreter.config, 0),
            kernel=loaded.kernel,
            initrds=loaded.initrds,
            args=loaded.args,
            modules=tuple(loaded.modules),
            devicetree=loaded.devicetree,
        )
