#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gen_options.py - turn schemas/config.schema into C, manual pages, a page and bash completion

usage: gen_options.py CONFIG_SCHEMA ERRORS_SCHEMA MAN_DIR VERSION OUT_DIR

Writes options_table.h and options_table.c, options.md, and for each program PROGRAM.bash
(completion) and its manual page: MAN_DIR/PROGRAM.SECTION.in with @OPTIONS@, @COMMANDS@, @ENVIRONMENT@, @EXAMPLES@, @EXITS@ and
@VERSION@ filled in."""
import sys

sys.dont_write_bytecode = True
import gen_errors  # noqa: E402
from entries import (Arrays, Entry, Wrong, c_name, c_text, complain, statements, troff)  # noqa: E402


class Option:
    """An entry with its letter, its argument and its environment variable."""

    def __init__(self, words, meaning, owner):
        self.entry = Entry(words[0], words[1:], meaning)
        self.name = words[0]
        extra = self.entry.extra
        self.letter = extra.get("letter")
        self.argument = None if self.entry.type == "bool" else extra.get("as", "VALUE")
        self.environment = None
        if isinstance(owner, Program):
            self.environment = extra.get("env", "MUSTER_" + c_name(self.name).rstrip("_").upper())

    def forms(self):
        argument = f" {self.argument}" if self.argument else ""
        return (f"-{self.letter}, " if self.letter else "") + f"--{self.name}{argument}"

    def facts(self):
        entry, facts = self.entry, []
        if self.argument:
            unit = f" ({entry.unit})" if entry.unit else ""
            facts.append(f"Takes {entry.kind()}{unit}.")
        if entry.standard is not None and self.argument:
            facts.append(f"Default: {entry.standard}.")
        if entry.required:
            facts.append("Required.")
        if self.environment:
            facts.append(f"Environment: {self.environment}.")
        return " ".join(facts)


class Program:
    def __init__(self, name, section, config, meaning):
        self.name, self.section, self.config, self.meaning = name, section, config, meaning
        self.usage, self.examples, self.options, self.commands = "", [], [], []
        self.least = self.most = 0


class Command:
    def __init__(self, name, arguments, operands, meaning):
        self.name, self.arguments, self.meaning = name, arguments, meaning
        self.least, self.most = map(int, operands.split(".."))
        self.options = []


def parse(path):
    programs, owner = [], None
    for _, words, line_number in statements(path):
        try:
            if words[0] == "program":
                owner = Program(*words[1:])
                programs.append(owner)
            elif words[0] == "usage":
                programs[-1].usage = words[1]
                if len(words) > 2:
                    programs[-1].least, programs[-1].most = map(int, words[2].split(".."))
            elif words[0] == "example":
                programs[-1].examples.append((words[1], words[2]))
            elif words[0] == "command":
                owner = Command(*words[1:])
                programs[-1].commands.append(owner)
            elif words[0] == "option":
                owner.options.append(Option(words[1:-1], words[-1], owner))
                check(programs[-1], owner)
            else:
                raise Wrong(f"what is {words[0]}?")
        except (Wrong, IndexError, TypeError, ValueError) as problem:
            complain(path, line_number, problem)
    return programs


def check(program, owner):
    """No name or letter twice within reach of one command line; -h and -V are everybody's."""
    options = program.options + (owner.options if owner is not program else [])
    for words in ([option.name for option in options],
                  [option.letter for option in options if option.letter]):
        for word in words:
            if words.count(word) > 1 or word in ("help", "version", "h", "V"):
                raise Wrong(f"{word} is there twice")


# --- C -------------------------------------------------------------------------------------------

def enum_name(program, owner, option):
    middle = "" if owner is program else c_name(owner.name) + "_"
    return f"mu_{program.config}_{middle}{c_name(option.name)}"


def members(program, owner, indent):
    for option in owner.options:
        enum = f"enum {enum_name(program, owner, option)}"
        yield f"{indent}{option.entry.c_member(c_name(option.name), enum)} /* {option.entry.meaning} */"


def header(programs):
    yield "/* options_table.h - generated from schemas/config.schema; edit that */"
    yield '#ifndef MU_OPTIONS_TABLE_H\n#define MU_OPTIONS_TABLE_H\n\n#include "entry.h"\n'
    for program in programs:
        for owner in [program] + program.commands:
            for option in owner.options:
                if option.entry.type == "choice":
                    name = enum_name(program, owner, option)
                    words = ", ".join(f"{name}_{c_name(choice)}".upper() for choice in option.entry.choices)
                    yield f"enum {name} {{ {words} }};"
        if program.commands:
            words = ", ".join(f"MU_{program.config}_{c_name(command.name)}".upper() for command in program.commands)
            yield f"enum mu_{program.config}_command {{ {words} }};"
        yield f"\nstruct mu_{program.config}_options {{"
        yield from members(program, program, "    ")
        for command in program.commands:
            if command.options:
                yield "    struct {"
                yield from members(program, command, "        ")
                yield f"    }} {c_name(command.name)};"
        yield "};\n"
    yield "struct mu_program;"
    for program in programs:
        yield f"extern const struct mu_program mu_{program.config}_program;"
    yield "\n/* All of them, NULL-terminated. */\nextern const struct mu_program *const mu_programs[];\n\n#endif"


def option_rows(program, owner, name, arrays):
    if not owner.options:
        return
    yield f"static const struct mu_option {name}[] = {{"
    prefix = "" if owner is program else c_name(owner.name) + "."
    for option in owner.options:
        offset = f"offsetof (struct mu_{program.config}_options, {prefix}{c_name(option.name)})"
        yield f"    {{ .entry = {option.entry.c_initializer(offset, arrays)},"
        extra = [f".letter = '{option.letter}'"] if option.letter else []
        extra += [f".argument = {c_text(option.argument)}"] if option.argument else []
        extra += [f".environment = {c_text(option.environment)}"] if option.environment else []
        yield "      " + ", ".join(extra) + " },"
    yield "};\n"


def program_rows(program, arrays):
    base = f"{program.config}_options"
    yield from option_rows(program, program, base, arrays)
    for command in program.commands:
        yield from option_rows(program, command, f"{base}_{c_name(command.name)}", arrays)
    if program.commands:
        yield f"static const struct mu_command {program.config}_commands[] = {{"
        for command in program.commands:
            number = f"MU_{program.config}_{c_name(command.name)}".upper()
            name = f"{base}_{c_name(command.name)}" if command.options else "NULL"
            yield (f"    {{ {c_text(command.name)}, {c_text(command.arguments)}, {c_text(command.meaning)}, "
                   f"{command.least}, {command.most}, {name}, {len(command.options)}, {number} }},")
        yield "};\n"
    yield f"static const struct mu_example {program.config}_examples[] = {{"
    for line, meaning in program.examples:
        yield f"    {{ {c_text(line)}, {c_text(meaning)} }},"
    yield "};\n"
    commands = f"{program.config}_commands" if program.commands else "NULL"
    yield (f"const struct mu_program mu_{program.config}_program = {{\n"
           f"    .name = {c_text(program.name)}, .section = {c_text(program.config)},\n"
           f"    .usage = {c_text(program.usage)}, .meaning = {c_text(program.meaning)},\n"
           f"    .operands_min = {program.least}, .operands_max = {program.most},\n"
           f"    .options = {base}, .option_count = {len(program.options)},\n"
           f"    .commands = {commands}, .command_count = {len(program.commands)},\n"
           f"    .examples = {program.config}_examples, .example_count = {len(program.examples)},\n}};\n")


def source(programs):
    arrays, rows = Arrays(), []
    for program in programs:
        rows += program_rows(program, arrays)
    yield "/* options_table.c - generated from schemas/config.schema; edit that */"
    yield '#include "options.h"\n\n#include <stddef.h>\n'
    yield from arrays.lines()
    yield ""
    yield from rows
    names = ", ".join(f"&mu_{program.config}_program" for program in programs)
    yield f"const struct mu_program *const mu_programs[] = {{ {names}, NULL }};"


# --- pages -----------------------------------------------------------------------------------------

def man_options(options):
    for option in options:
        yield f".TP\n.B {troff(option.forms())}\n{troff(option.entry.meaning)}"
        if option.facts():
            yield f".br\n{troff(option.facts())}"
    if options and options[0].environment:
        yield ".TP\n.B \\-h, \\-\\-help\nShow the options, their defaults and exit statuses."
        yield ".TP\n.B \\-V, \\-\\-version\nShow the version."


def man_commands(program):
    for command in program.commands:
        usage = " ".join(filter(None, (command.name, command.arguments)))
        yield f".SS {troff(usage)}\n{troff(command.meaning)}"
        yield from man_options(command.options)


def man_environment(program):
    for option in program.options:
        several = "; several with commas between" if option.entry.type in ("texts", "paths", "endpoints") else ""
        yield f".TP\n.B {option.environment}\nAs {troff('--' + option.name)}{several}."


def man_examples(program):
    for line, meaning in program.examples:
        yield f".TP\n.B {troff(line)}\n{troff(meaning[0].upper() + meaning[1:])}."


def man_exits(errors):
    by_status = {}
    for _, _, status, meaning in errors:
        by_status.setdefault(status, []).append(meaning)
    for status, meanings in sorted(by_status.items()):
        yield f".TP\n.B {status}\n{troff(' '.join(meanings))}"


def manual(program, template, errors, version):
    with open(template, encoding="utf-8") as file:
        text = file.read()
    for mark, lines in (("OPTIONS", man_options(program.options)), ("COMMANDS", man_commands(program)),
                        ("ENVIRONMENT", man_environment(program)), ("EXAMPLES", man_examples(program)),
                        ("EXITS", man_exits(errors)), ("VERSION", [version])):
        text = text.replace(f"@{mark}@", "\n".join(lines))
    return [text.rstrip("\n")]


def table(options):
    yield "| option | environment | takes | default | meaning |\n|---|---|---|---|---|"
    for option in options:
        entry = option.entry
        unit = f" ({entry.unit})" if entry.unit else ""
        takes = entry.kind() + unit if option.argument else ""
        default = entry.standing() if option.argument else ""
        variable = f"`{option.environment}`" if option.environment else ""
        cells = (f"`{option.forms()}`", variable, takes, default, entry.meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def page(programs):
    yield "# Options of every program\n\nGenerated from `schemas/config.schema`."
    for program in programs:
        yield f"\n## {program.name}\n\n{program.meaning}\n"
        yield from table(program.options)
        for command in program.commands:
            usage = " ".join(filter(None, (program.name, command.name, command.arguments)))
            yield f"\n### `{usage}`\n\n{command.meaning}"
            if command.options:
                yield ""
                yield from table(command.options)


def choices_of(options, command):
    """Case branches: what may stand behind each of these options. Where it can be anything, files are tried."""
    for option in options:
        forms = [f"--{option.name}"] + ([f"-{option.letter}"] if option.letter else [])
        pattern = " | ".join(f"{command},{form}" for form in forms)
        if option.entry.choices:
            yield f'    {pattern}) COMPREPLY=($(compgen -W "{" ".join(option.entry.choices)}" -- "$word")); return ;;'
        elif option.argument:
            yield f"    {pattern}) return ;;"


def completion(program):
    """Options where a word begins with -, else commands and choices; files where neither fits."""
    yield "# bash completion - generated from schemas/config.schema"
    function = "_" + c_name(program.name)
    everywhere = " ".join(f"--{option.name}" for option in program.options) + " --help --version"
    firsts = list(dict.fromkeys(command.name.split()[0] for command in program.commands))
    yield f"{function} ()\n{{"
    yield '    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= each'
    yield f'    local options="{everywhere}" words=\n    COMPREPLY=()'
    if firsts:
        yield '    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do\n        case "$command${command:+ }$each" in'
        for name in firsts + [command.name for command in program.commands if " " in command.name]:
            yield f'        "{name}") command="{name}" ;;'
        yield "        esac\n    done"
    yield '    case "$command,$before" in'
    yield from choices_of(program.options, "*")
    for command in program.commands:
        yield from choices_of(command.options, f'"{command.name}"')
    yield '    esac\n    case "$command" in'
    if firsts:
        yield f'    "") words="{" ".join(firsts)}" ;;'
    for first in firsts:
        seconds = [command.name.split()[1] for command in program.commands if command.name.startswith(first + " ")]
        if seconds:
            yield f'    {first}) words="{" ".join(seconds)}" ;;'
    for command in program.commands:
        if command.options:
            own = " ".join(f"--{option.name}" for option in command.options)
            yield f'    "{command.name}") options="$options {own}" ;;'
    yield "    esac"
    yield '    [[ $word == -* ]] && words=$options'
    yield '    COMPREPLY=($(compgen -W "$words" -- "$word"))'
    yield f"}}\ncomplete -o default -F {function} {program.name}\n"


def main():
    schema, errors_schema, man_dir, version, out = sys.argv[1:]
    programs = parse(schema)
    errors = gen_errors.parse(errors_schema)
    files = [("options_table.h", header(programs)), ("options_table.c", source(programs)),
             ("options.md", page(programs))]
    for program in programs:
        name = f"{program.name}.{program.section}"
        files.append((f"{program.name}.bash", completion(program)))
        files.append((name, manual(program, f"{man_dir}/{name}.in", errors, version)))
    for name, lines in files:
        with open(f"{out}/{name}", "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
