"""Shell completions for bash, zsh and fish, made from programs.py; manual.py writes them.

Of places inside an image, those of `inspect` are completed, by `pybootcfg inspect --complete`: a process of
its own, which keeps to a little time and memory, so that no shell hangs on an image that somebody else made.
"""

from __future__ import annotations

from pybootcfg.cli import programs
from pybootcfg.cli.programs import DIRECTORIES, FILES, PLACES, Command, Option
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MADE = "# Made by cli/completion.py from cli/programs.py."


def files() -> dict[str, str]:
    """Return the completions by their paths: a folder for each shell, names as each wants them."""
    made = {}
    for command in (programs.PYGRUB, programs.pybootcfg()):
        made[f"bash/{command.name}"] = bash(command)
        made[f"zsh/_{command.name}"] = zsh(command)
        made[f"fish/{command.name}.fish"] = fish(command)
    return made


# --- bash ----------------------------------------------------------------------------------------


def bash(command: Command) -> str:
    """Return the completion for bash; it needs nothing of the package bash-completion."""
    name = f"_{command.name}"
    lines = [
        _MADE,
        *(_BASH_PLACES_FUNCTION if _has_places(command) else ()),
        f"{name}() {{",
        '    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" words= value=',
        "    COMPREPLY=()",
        "    # bash takes an equals sign for a word of its own",
        '    if [[ $current == "=" ]]; then current=',
        '    elif [[ $previous == "=" ]]; then previous="${COMP_WORDS[COMP_CWORD-2]}"; fi',
    ]
    if command.commands:
        names = " ".join(inner.name for inner in command.commands)
        lines += [
            "    local word chosen=",
            '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
            f'        case " {names} " in *" $word "*) chosen="$word"; break ;; esac',
            "    done",
            '    case "$chosen" in',
        ]
        for inner in command.commands:
            lines += [f"        {inner.name})", *_bash_case(inner, "            "), "            ;;"]
        words = " ".join([names, *_bash_names(command.options)])
        lines += [f'        *) words="{words}"', "            ;;", "    esac"]
    else:
        lines += _bash_case(command, "    ")
    lines += [
        "    if [[ -n $value ]]; then",
        '        case "$value" in',
        '            files) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;',
        '            directories) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;',
        "            none) ;;",
        '            *) mapfile -t COMPREPLY < <(compgen -W "$value" -- "$current") ;;',
        "        esac",
        "        [[ $value == files || $value == directories ]] && compopt -o filenames",
        "    elif [[ $current == -* || $words != -* ]]; then",
        '        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")',
        "        [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace",
        "    else",
        *(_BASH_PLACES if _has_places(command) else ()),
        '        mapfile -t COMPREPLY < <(compgen -f -- "$current")',
        "        compopt -o filenames",
        "    fi",
        "    return 0",
        "}",
        f"complete -F {name} {command.name}",
    ]
    return "\n".join(lines) + "\n"


#: bash takes a colon for a word of its own, too, so that the words are read anew and the first part cut off
_BASH_PLACES = (
    "        if [[ $chosen == inspect ]]; then",
    '            local line="${COMP_LINE:0:COMP_POINT}" place= before= name= words=()',
    '            read -a words <<< "$line"',
    '            [[ $line == *[[:space:]] ]] && words+=("")',
    '            place="${words[-1]}"',
    '            [[ $place == *:* ]] && before="${place%"${place##*:}"}"',
    "            while IFS= read -r name; do",
    '                name="${name#"$before"}"',
    '                [[ $name == *[^][:alnum:]_.:/@%+=,[-]* ]] && printf -v name %q "$name"',
    '                COMPREPLY+=("$name")',
    '            done < <(_pybootcfg_places "${words[@]}" 2>/dev/null)',
    "            if [[ ${#COMPREPLY[@]} != 0 ]]; then",
    "                [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[.:/[] ]] && compopt -o nospace",
    "                return 0",
    "            fi",
    "        fi",
)
#: $@ is the line: what follows `inspect` goes to it again
_BASH_PLACES_FUNCTION = (
    "_pybootcfg_places() {",
    '    local program="$1"',
    "    while [[ $# != 0 && $1 != inspect ]]; do shift; done",
    '    [[ $# -ge 3 ]] && "$program" inspect --complete "${@:2}" < /dev/null',
    "}",
)


def _has_places(command: Command) -> bool:
    return any(argument.value in PLACES for inner in command.commands for argument in inner.arguments)


def _bash_case(command: Command, indent: str) -> Iterator[str]:
    yield f'{indent}words="{" ".join(_bash_names(command.options))}"'
    yield f'{indent}case "$previous" in'
    for option in command.options:
        if option.value:
            yield f'{indent}    {"|".join(option.names)}) value="{_value(option)}" ;;'
    yield f"{indent}esac"


def _bash_names(options: Sequence[Option]) -> list[str]:
    return [
        f"{name}=" if option.value and name.startswith("--") else name
        for option in options
        for name in option.names
    ]


def _value(option: Option) -> str:
    if option.choices:
        return " ".join(option.choices)
    return "files" if option.value in FILES else "directories" if option.value in DIRECTORIES else "none"


# --- zsh -----------------------------------------------------------------------------------------


def zsh(command: Command) -> str:
    """Return the completion for zsh."""
    lines = [f"#compdef {command.name}", _MADE, ""]
    if _has_places(command):
        lines += [*_ZSH_PLACES, ""]
    if not command.commands:
        lines += ["_arguments -s -S \\", *_zsh_rows(command, "    ")]
        return "\n".join(lines) + "\n"
    lines += ["local curcontext=$curcontext state line", "local -a commands", "", "commands=("]
    lines += [f"    {_quoted(f'{inner.name}:{inner.summary}')}" for inner in command.commands]
    lines += [")", "", "_arguments -C \\", *[f"    {row} \\" for row in map(_zsh_option, command.options)]]
    lines += ["    '1:command:->command' \\", "    '*::argument:->argument' && return", ""]
    lines += ["case $state in", "    command) _describe command commands ;;", "    argument)"]
    lines += ["        case $words[1] in"]
    for inner in command.commands:
        lines += [f"            {inner.name})", "                _arguments -s -S \\"]
        lines += [*_zsh_rows(inner, " " * 20), "                ;;"]
    lines += ["        esac", "        ;;", "esac"]
    return "\n".join(lines) + "\n"


#: `words` begins with the command's own name when a place is asked for
_ZSH_PLACES = (
    "_pybootcfg_places() {",
    "    local -a found",
    '    found=(${(f)"$(pybootcfg inspect --complete "${(@Q)words[2,CURRENT-1]}" \\',
    '        "${(Q)PREFIX}" 2>/dev/null </dev/null)"})',
    "    compadd -S '' -- ${(M)found:#*[.:/\\[]}",
    "    compadd -- ${found:#*[.:/\\[]}",
    "}",
)


def _zsh_rows(command: Command, indent: str) -> list[str]:
    rows = [*map(_zsh_option, command.options), *_zsh_arguments(command)]
    return [f"{indent}{row} \\" for row in rows[:-1]] + [f"{indent}{row}" for row in rows[-1:]]


def _zsh_option(option: Option) -> str:
    text = option.help.rstrip(".").replace("[", r"\[").replace("]", r"\]").replace(":", r"\:")
    if option.choices:
        value = f":{option.value}:({' '.join(option.choices)})"
    elif option.value in FILES:
        value = f":{option.value}:_files"
    elif option.value in DIRECTORIES:
        value = f":{option.value}:_files -/"
    else:
        value = f":{option.value}: " if option.value else ""
    once = "*" if option.repeats else f"({' '.join(option.names)})"
    rest = _quoted(f"[{text}]{value}")
    names = [f"{name}=" if option.value and name.startswith("--") else name for name in option.names]
    names = [f"{name}+" if option.value and not name.startswith("--") else name for name in names]
    if len(names) == 1:
        return f"{_quoted(once + names[0])}{rest}"
    return f"{_quoted(once)}{{{','.join(names)}}}{rest}"


def _zsh_arguments(command: Command) -> Iterator[str]:
    for argument in command.arguments:
        place = "*:" if argument.repeats else "::" if argument.optional else ":"
        inside = argument.value in PLACES and command.name == "inspect"
        action = "_pybootcfg_places" if inside else "_files" if argument.value in FILES else " "
        yield _quoted(f"{place}{argument.value}:{action}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# --- fish ----------------------------------------------------------------------------------------


def fish(command: Command) -> str:
    """Return the completion for fish."""
    name = command.name
    lines = [_MADE]
    if not command.commands:
        lines += [f"complete -c {name} {_fish_option(option)}" for option in command.options]
        return "\n".join(lines) + "\n"
    names = " ".join(inner.name for inner in command.commands)
    none = f"-n 'not __fish_seen_subcommand_from {names}'"
    for inner in command.commands:
        lines.append(f"complete -c {name} -f {none} -a {inner.name} -d {_fish_quoted(inner.summary)}")
    lines += [f"complete -c {name} {none} {_fish_option(option)}" for option in command.options]
    for inner in command.commands:
        seen = f"-n '__fish_seen_subcommand_from {inner.name}'"
        lines += [f"complete -c {name} {seen} {_fish_option(option)}" for option in inner.options]
        if inner.name == "inspect":
            lines += [*_FISH_PLACES, f"complete -c {name} {seen} -a '(__pybootcfg_places)'"]
    return "\n".join(lines) + "\n"


_FISH_PLACES = (
    "function __pybootcfg_places",
    "    set -l words (commandline -opc)",
    "    set -l at (contains -i -- inspect $words); or return",
    "    set -l rest $words[$at..-1]",
    "    test (count $rest) -gt 1; or return",
    "    set -l place (commandline -ct | string unescape)",
    "    $words[1] inspect --complete $rest[2..-1] $place 2>/dev/null </dev/null",
    "end",
)


def _fish_option(option: Option) -> str:
    words = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
    if option.choices:
        words.append(f"-x -a {_fish_quoted(' '.join(option.choices))}")
    elif option.value in DIRECTORIES:
        words.append("-x -a '(__fish_complete_directories)'")
    elif option.value:
        words.append("-r -F" if option.value in FILES else "-x")
    return " ".join([*words, f"-d {_fish_quoted(option.help.rstrip('.'))}"])


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
