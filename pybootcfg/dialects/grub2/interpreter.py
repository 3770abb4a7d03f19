"""Runs GRUB 2 scripts: control flow, functions, and the dispatch of commands.

The flow follows GRUB 2.06 where a script can see it: every command leaves its status in `$?`, a
command that is unknown leaves 0, `return` and `break` are flags that lists of commands look at.
"""

from __future__ import annotations

from contextlib import contextmanager

from pybootcfg import limits
from pybootcfg.dialects.base import Machine
from pybootcfg.dialects.grub2 import syntax
from pybootcfg.dialects.grub2.environment import Environment
from pybootcfg.dialects.grub2.environment_block import EnvironmentBlock
from pybootcfg.dialects.grub2.failure import Failure, Status
from pybootcfg.dialects.grub2.files import Files
from pybootcfg.dialects.grub2.options import Help, Options, Parsed, parse
from pybootcfg.dialects.grub2.snippets import Snippets
from pybootcfg.dialects.grub2.wildcards import Wildcards
from pybootcfg.dialects.grub2.words import Expander, Scope
from pybootcfg.errors import printable
from pybootcfg.grammar import SyntaxMismatch, Text, Token, Tree
from pybootcfg.menu import FileRef, Place
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pybootcfg.dialects.grub2.loaders import Boot
    from pybootcfg.dialects.grub2.menus import Menus


_CHARACTERS_PER_STEP = 8  # to parse this much takes as long as to run a command
_STEPS_PER_MISTAKE = 10
_SHOWN = 80  # characters of a name in a warning
_BLOCK = "{}"  # stands for a block among the words, where options may take it for a value


class Block(NamedTuple):
    """The block that a command was given: `{ ... }`, and the text that it stands in."""

    tree: Tree
    text: Text
    file: FileRef

    @property
    def source(self) -> str:
        """What stands between the braces."""
        tokens = [token for token in self.tree.tokens() if token.type in ("LEFT_BRACE", "RIGHT_BRACE")]
        return self.text.text[tokens[0].offset + 1 : tokens[-1].offset]

    def units(self) -> Iterator[list[Tree]]:
        """Yield the commands line by line: what GRUB parses, and so runs, at once."""
        unit: list[Tree] = []
        for child in self.tree.children:
            if isinstance(child, Tree):
                unit.append(child)
            elif child.type == "_NEWLINE" and unit:
                yield unit
                unit = []
        if unit:
            yield unit


class Call(NamedTuple):
    """One command as it is run: its name, its options and arguments, the block after them."""

    name: str
    arguments: Parsed
    block: Block | None
    place: Place

    @property
    def words(self) -> list[str]:
        """Return the arguments that are no options."""
        return self.arguments.words


class Command(NamedTuple):
    """What a command does; `options` is None for one that takes its words as they are."""

    run: Callable[[Interpreter, Call], int | None]
    options: Options | None = None
    takes_block: bool = False
    extracts: bool = False  #: may run while entries are extracted from another configuration
    yields: bool = False  #: a function of the same name is run instead


class Function(NamedTuple):
    """A function: its body, and the text that it stands in."""

    body: list[Tree]
    text: Text
    file: FileRef


class Interpreter:
    """The state of one run.  `find` gives a command by its name."""

    def __init__(
        self,
        machine: Machine,
        config: FileRef,
        menus: Menus,
        boot: Boot,
        find: Callable[[str], Command | None],
        output: Callable[[str], None],
        errors: Callable[[str], None],
    ) -> None:
        self.environment = Environment()
        self.warnings: list[str] = []
        self.files = Files(machine, config, self.environment, self.warn)
        self.machine = machine
        self.expander = Expander(self.environment, Wildcards(self.files).expand)
        self.functions: dict[str, Function] = {}
        self.blocks: dict[FileRef, EnvironmentBlock] = {}  #: environment blocks that were changed
        self.environment_text = limits.GRUB_ENVIRONMENT.budget()
        self.snippets = Snippets()
        self.steps = limits.GRUB_STEPS.budget()
        self.entry_steps: limits.Budget | None = None
        self.regexp_work = limits.REGEXP_WORK.budget()
        self.extractors = 0
        self.config = config
        self.pending = ""  #: an error that a command leaves behind although it succeeds
        self.menus = menus
        self.boot = boot
        self._find = find
        self._output = output
        self._errors = errors
        self._printed = limits.GRUB_OUTPUT.budget()
        self._parsed = limits.GRUB_TEXT.budget()
        self._depth = 0
        self._unknown: set[str] = set()
        self._text = Text("")
        self._file = config
        self.loops = 0
        self.breaks = 0
        self.continues = False
        self.returns = False

    # --- what is printed -------------------------------------------------------------------------

    def print(self, text: str) -> None:
        """Print to the terminal that GRUB would print to."""
        self._printed.spend(len(text))
        self._output(text)

    def complain(self, message: str) -> None:
        """Print an error as GRUB prints it."""
        self._printed.spend(len(message))
        self._errors(f"error: {message}.\n")

    def warn(self, message: str) -> None:
        """Note what the caller should know, once."""
        if message not in self.warnings and len(self.warnings) < limits.GRUB_WARNINGS.value:
            self.warnings.append(message)

    # --- scripts ---------------------------------------------------------------------------------

    def run_text(self, text: Text, file: FileRef, *, stop_at_mistake: bool = False) -> int:
        """Run a script, unit by unit; return the status of the last."""
        self._parsed.spend(len(text.text))
        self.steps.spend(len(text.text) // _CHARACTERS_PER_STEP)
        status = 0
        with self._deeper(), self._standing_in(text, file):
            for unit in syntax.units(text):
                if isinstance(unit, SyntaxMismatch):
                    self._report(text, unit)
                    if stop_at_mistake:
                        return 0
                    continue
                status = self.run_unit(list(unit.trees()))
        return status

    def _report(self, text: Text, mistake: SyntaxMismatch) -> None:
        self.steps.spend(_STEPS_PER_MISTAKE)
        for message in syntax.grubs_words(text, mistake):
            self.complain(message)
        self.warn(str(mistake))

    def run_unit(self, commands: Sequence[Tree]) -> int:
        """Define the functions of a unit, as GRUB does on reading it, then run its commands."""
        functions = [tree for tree in commands if tree.data == "function"]
        if functions:
            for function in functions:
                self._define(function)
            commands = [tree for tree in commands if tree.data != "function"]
            if not commands:
                return 0
        return self._leave(self._list(commands))

    def run_block(self, block: Block, parameters: Sequence[str]) -> None:
        """Run the body of an entry with parameters of its own."""
        with self._scope(parameters), self._deeper(), self._standing_in(block.text, block.file):
            for unit in block.units():
                self.run_unit(unit)

    def run_source(self, text: Text, file: FileRef, parameters: Sequence[str]) -> None:
        """Run the body of an entry that was given as a string."""
        with self._scope(parameters):
            self.run_text(text, file, stop_at_mistake=True)

    @contextmanager
    def _scope(self, parameters: Sequence[str]) -> Iterator[None]:
        outer = self.expander.scope, self.loops, self.breaks, self.continues, self.returns
        self.expander.scope = Scope(parameters)
        self.loops, self.breaks, self.continues, self.returns = 0, 0, False, False
        try:
            yield
        finally:
            self.expander.scope, self.loops, self.breaks, self.continues, self.returns = outer

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        limits.GRUB_DEPTH.check(self._depth + 1)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    @contextmanager
    def _standing_in(self, text: Text, file: FileRef) -> Iterator[None]:
        outer = self._text, self._file
        self._text, self._file = text, file
        try:
            yield
        finally:
            self._text, self._file = outer

    def _define(self, tree: Tree) -> None:
        name = next(tree.tokens("NAME")).text
        body = next(tree.trees("commands"))
        self.functions[name] = Function(list(body.trees()), self._text, self._file)

    # --- control flow ----------------------------------------------------------------------------

    def _leave(self, status: int) -> int:
        self.environment.values["?"] = str(status)
        return status

    def _list(self, commands: Sequence[Tree]) -> int:
        status = 0
        for command in commands:
            if self.breaks:
                break
            if command.data == "simple":
                status = self._simple(command)
            else:
                limits.GRUB_DEPTH.check(self._depth + 1)
                self._depth += 1
                try:
                    status = _STATEMENTS[command.data](self, command)
                finally:
                    self._depth -= 1
            self.environment.values["?"] = str(status)
            if self.returns:
                break
        return status

    def _commands(self, tree: Tree) -> int:
        return self._leave(self._list([child for child in tree.children if isinstance(child, Tree)]))

    def _if(self, tree: Tree) -> int:
        branches = list(tree.trees())
        while len(branches) > 1:
            condition, body, *branches = branches
            status = self._commands(condition)
            if self.returns:
                return status
            if self.environment.get("?") == "0":
                return self._commands(body)
        return self._commands(branches[0]) if branches else self._leave(0)

    def _for(self, tree: Tree) -> int:
        name = next(tree.tokens()).text
        words, body = tree.trees()
        status = 0
        self.loops += 1
        for value in self.expander.arguments(list(words.tokens())):
            self._step()
            if self.continues and self.breaks == 1:
                self.breaks = 0
            if not self.breaks:
                self.environment.set(name, value)
                status = self._commands(body)
                if self.returns:
                    break
        self._end_loop()
        return status

    def _while(self, tree: Tree) -> int:
        condition, body = tree.trees()
        until = tree.data == "until"
        self.loops += 1
        while True:
            self._step()
            status = self._commands(condition)
            if self.returns or (not status if until else status):
                break
            status = self._commands(body)
            if self.returns:
                break
            if self.breaks == 1 and self.continues:
                self.breaks = 0
            if self.breaks:
                break
        self._end_loop()
        return status

    def _end_loop(self) -> None:
        if self.breaks:
            self.breaks -= 1
        self.loops -= 1

    # --- commands --------------------------------------------------------------------------------

    def _step(self) -> None:
        self.steps.spend()
        if self.entry_steps is not None:
            self.entry_steps.spend()

    def _simple(self, tree: Tree) -> int:
        self._step()
        words = tree.children
        block: Block | None = None
        last = words[-1]
        if isinstance(last, Tree):
            block = Block(last, self._text, self._file)
            words = words[:-1]
        arguments = self.expander.arguments([word for word in words if isinstance(word, Token)])
        if not arguments:
            return 0
        invert = arguments[0] == "!"
        if invert:
            del arguments[0]
            if not arguments:
                self.complain("no command is specified")
                return Status.BAD_ARGUMENT
        name, *arguments = arguments
        place = Place(self._file, 0)
        command = self._find(name)
        if command is not None and not (command.yields and name in self.functions):
            if command.takes_block:
                place = Place(self._file, self._text.line(tree.offset))
            elif block is not None:
                arguments.append(f"{{{block.source}}}")
            status = self.run_command(command, name, arguments, block, place, invert=invert)
        elif name in self.functions:
            if block is not None:
                arguments.append(f"{{{block.source}}}")
            status = self._call(self.functions[name], arguments)
            status = int(not status) if invert and status <= 1 else 0 if invert else status
        else:
            status = self._assign(name)
        return status

    def run_command(
        self,
        command: Command,
        name: str,
        words: list[str],
        block: Block | None,
        place: Place,
        *,
        invert: bool = False,
    ) -> int:
        """Run one command; return its status, having printed what it complains about."""
        try:
            if self.extractors and not command.extracts:
                message = f"{name} isn't allowed to execute in an extractor"
                raise Failure(Status.EXTRACTOR, message)
            arguments = self._parse(command, words, block)
            status = command.run(self, Call(name, arguments, block, place)) or 0
        except Help:
            status = 0
        except Failure as failure:
            status = failure.status
            if failure.message and status != Status.TEST_FAILURE:
                self.complain(failure.message)
        if self.pending and not (invert and status == 0):
            self.complain(self.pending)
        self.pending = ""
        if invert:
            status = {0: 1, 1: 0}.get(status, 0)
        return status

    def _parse(self, command: Command, words: list[str], block: Block | None) -> Parsed:
        if not command.options:
            return Parsed(words)
        if block is None:
            return parse(command.options, words)
        arguments = parse(command.options, [*words, _BLOCK])
        if not arguments.words or arguments.words.pop() != _BLOCK:
            raise Failure(Status.BAD_ARGUMENT, "missing arguments")  # an option has taken the block
        return arguments

    def _call(self, function: Function, arguments: list[str]) -> int:
        outer = self.expander.scope, self.loops
        self.expander.scope = Scope(arguments)
        self.loops = 0
        try:
            with self._deeper(), self._standing_in(function.text, function.file):
                return self._leave(self._list(function.body))
        finally:
            self.returns = False
            self.expander.scope, self.loops = outer

    def _assign(self, word: str) -> int:
        name, equals, value = word.partition("=")
        if not equals:
            self.complain(f"can't find command `{name}'")
            if name not in self._unknown:
                self._unknown.add(name)
                self.warn(f"command {printable(name[:_SHOWN])} is unknown and passed over")
        elif name.isdigit() or name[:1].isdigit() or name in ("#", "*", "@"):
            self.complain(f"invalid variable name `{name}'")
        else:
            self.environment.set(name, value)
        return 0


_STATEMENTS: dict[str, Callable[[Interpreter, Tree], int]] = {
    "if": Interpreter._if,
    "for": Interpreter._for,
    "while": Interpreter._while,
    "until": Interpreter._while,
}
