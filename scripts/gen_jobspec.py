#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gen_jobspec.py - turn schemas/jobspec.schema into C, a JSON Schema, a page and a man page

usage: gen_jobspec.py SCHEMA MAN_TEMPLATE VERSION OUT_DIR

Writes jobspec_table.h and jobspec_table.c (struct mu_jobspec and its table), jobspec.schema.json (for
editors), jobspec.md, and muster-job.5 (MAN_TEMPLATE with @KEYS@ and @VERSION@ filled in)."""
import json
import sys

sys.dont_write_bytecode = True
from entries import (Arrays, Entry, Wrong, c_name, complain, number, statements, troff,  # noqa: E402
                    NUMBERS, WHOLE)

TOP = ""


def parse(path):
    """The sections in order, [(name, meaning, [Entry])]; keys of the file itself lie in sections
    without a name, so that the order of the schema is kept."""
    sections, seen = [], set()
    for indented, words, line_number in statements(path):
        try:
            if words[0] == "section":
                sections.append((words[1], words[2], []))
                key = words[1]
            elif words[0] == "key":
                if not indented and (not sections or sections[-1][0] != TOP):
                    sections.append((TOP, "", []))
                section = sections[-1]
                key = f"{section[0]}.{words[1]}" if section[0] else words[1]
                section[2].append(Entry(key, words[2:-1], words[-1]))
            else:
                raise Wrong(f"what is {words[0]}?")
            if key in seen:
                raise Wrong(f"{key} is there twice")
            seen.add(key)
        except (Wrong, IndexError, ValueError) as problem:
            complain(path, line_number, problem)
    return sections


def entries_of(sections):
    return [entry for _, _, entries in sections for entry in entries]


def hash_of(start, path):
    """FNV-1a, as in common/jobspec.c."""
    for byte in path.encode():
        start = (start ^ byte) * 0x01000193 & 0xffffffff
    return start


SLOT_BITS = 8


def place_keys(paths):
    """Where a hash begins, and each slot's key by its highest bits, so that no two keys have one slot: a look-up is then one
    comparison."""
    for start in range(1, 1 << 16):
        slots = [len(paths)] * (1 << SLOT_BITS)
        for key, path in enumerate(paths):
            slots[hash_of(start, path) >> 32 - SLOT_BITS] = key
        if sum(slot < len(paths) for slot in slots) == len(paths):
            return start, slots
    sys.exit("no hash keeps the keys apart")


def enum_name(entry):
    return "mu_jobspec_" + c_name(entry.path)


# --- C -----------------------------------------------------------------------------------------

def header(sections):
    entries = entries_of(sections)
    yield "/* jobspec_table.h - generated from schemas/jobspec.schema; edit that */"
    yield '#ifndef MU_JOBSPEC_TABLE_H\n#define MU_JOBSPEC_TABLE_H\n\n#include "entry.h"\n'
    for entry in entries:
        if entry.type == "choice":
            yield f"enum {enum_name(entry)} {{"
            for choice in entry.choices:
                yield f"    {enum_name(entry).upper()}_{c_name(choice).upper()},"
            yield "};\n"
    yield "struct mu_jobspec {"
    for name, meaning, members in sections:
        indent = "        " if name else "    "
        if name:
            yield f"    struct mu_jobspec_{name} {{ /* {meaning} */"
        for entry in members:
            member = entry.c_member(c_name(entry.path.split(".")[-1]), f"enum {enum_name(entry)}")
            yield f"{indent}{member} /* {entry.kind()}. {entry.meaning} */"
        if name:
            yield f"    }} {name};"
    yield "};\n"
    yield "enum { /* places in the table, in the schema's order */"
    for entry in entries:
        yield f"    MU_JOBSPEC_{c_name(entry.path).upper()}_KEY,"
    yield "    MU_JOBSPEC_KEY_COUNT"
    yield "};\n"
    yield f"#define MU_JOBSPEC_SECTION_COUNT {sum(1 for name, _, _ in sections if name)}\n"
    yield "extern const struct mu_entry mu_jobspec_keys[MU_JOBSPEC_KEY_COUNT];\n"
    start, slots = place_keys([entry.path for entry in entries])
    yield "/* By the hash of its path, begun like this: a key's place, or MU_JOBSPEC_KEY_COUNT where there is none. */"
    yield f"#define MU_JOBSPEC_HASH_START {start}u\n#define MU_JOBSPEC_SLOT_BITS {SLOT_BITS}"
    yield f"extern const unsigned char mu_jobspec_slots[{len(slots)}];\n"
    yield "/* The sections' names, NULL-terminated. */"
    yield "extern const char *const mu_jobspec_sections[];\n\n#endif"


def source(sections):
    arrays = Arrays()
    rows = [f"    {entry.c_initializer(f'offsetof (struct mu_jobspec, {entry.path})', arrays)},"
            for entry in entries_of(sections)]
    yield "/* jobspec_table.c - generated from schemas/jobspec.schema; edit that */"
    yield '#include "jobspec_table.h"\n\n#include <stddef.h>\n'
    yield from arrays.lines()
    yield "\nconst struct mu_entry mu_jobspec_keys[MU_JOBSPEC_KEY_COUNT] = {"
    yield from rows
    yield "};\n"
    _, slots = place_keys([entry.path for entry in entries_of(sections)])
    yield "const unsigned char mu_jobspec_slots[] = {"
    yield from (f"    {', '.join(map(str, slots[i:i + 16]))}," for i in range(0, len(slots), 16))
    yield "};\n"
    names = ", ".join(f'"{name}"' for name, _, _ in sections if name)
    yield f"const char *const mu_jobspec_sections[] = {{ {names}, NULL }};"


# --- JSON Schema -------------------------------------------------------------------------------

def json_value(entry, text):
    if entry.type in NUMBERS:
        return number(text, entry.type)
    return text == "true" if entry.type == "bool" else text


def json_type(entry):
    """The part of the JSON Schema that says which values are good."""
    text = {"type": "string", "minLength": 1, "maxLength": entry.limit}
    if entry.type in NUMBERS:
        low = "exclusiveMinimum" if "ABOVE" in entry.flags else "minimum"
        high = "exclusiveMaximum" if "BELOW" in entry.flags else "maximum"
        kind = "integer" if entry.type in WHOLE else "number"
        return {"type": kind, low: entry.low, high: entry.high}
    if entry.type in ("text", "texts"):
        return {"type": ["string", "number"], "minLength": 1, "maxLength": entry.limit}
    if entry.type == "label":
        text["pattern"] = "^[A-Za-z0-9][A-Za-z0-9._-]*$"
        return text
    if entry.type in ("path", "paths"):
        text["maxLength"] = 4095
        many = {"type": "array", "items": text, "minItems": 1, "maxItems": entry.limit}
        return text if entry.type == "path" else {"anyOf": [text, many]}
    if entry.type == "choice":
        return {"enum": entry.choices}
    if entry.type == "name":
        other = dict(text) if "TAKES_ID" in entry.flags else dict(text, pattern="[/.]")
        return {"anyOf": [{"enum": entry.choices}, other]}
    if entry.type == "settings":
        scalar = {"type": ["string", "number", "boolean"]}
        return {"type": "object", "maxProperties": entry.limit, "additionalProperties": {
            "anyOf": [scalar, {"type": "array", "items": scalar, "minItems": 1}]}}
    return {"type": "boolean"}


def json_field(entry):
    words = entry.meaning + (f" Unit: {entry.unit}." if entry.unit else "")
    out = {"description": words, **json_type(entry)}
    if entry.standard is not None:
        out["default"] = json_value(entry, entry.standard)
    elif entry.type != "settings":
        out["examples"] = [json_value(entry, entry.example)]
    return out


def json_object(properties, entries):
    out = {"type": "object", "additionalProperties": False, "properties": properties}
    required = [entry.path.split(".")[-1] for entry in entries if entry.required]
    return dict(out, required=required) if required else out


def json_schema(sections):
    properties, needed = {}, []
    for name, meaning, entries in sections:
        own = {entry.path.split(".")[-1]: json_field(entry) for entry in entries}
        if name:
            properties[name] = {"description": meaning, **json_object(own, entries)}
        else:
            properties.update(own)
        if any(entry.required for entry in entries):
            needed += [name] if name else [entry.path for entry in entries if entry.required]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Muster job file",
        "description": "What `muster submit` takes; muster-job(5) describes it.",
        **json_object(properties, []),
        "required": needed,
        "oneOf": [{"required": ["steps"]}, {"required": ["epochs"]}],
    }
    yield json.dumps(schema, indent=2)


# --- pages -------------------------------------------------------------------------------------

def page(sections):
    yield "# The job file: every key\n\nGenerated from `schemas/jobspec.schema`; `muster-job(5)` is the same as a man page."
    for name, meaning, entries in sections:
        if name:
            yield f"\n## {name}\n\n{meaning}\n"
        else:
            yield f"\n## {', '.join(entry.path for entry in entries)}\n"
        yield "| key | takes | default | meaning |\n|---|---|---|---|"
        for entry in entries:
            unit = f" ({entry.unit})" if entry.unit else ""
            yield f"| `{entry.path}` | {entry.kind()}{unit} | {entry.standing()} | {entry.meaning} |"


def man_keys(sections):
    for name, meaning, entries in sections:
        if name:
            yield f".SS {troff(name)}\n{troff(meaning)}"
        else:
            yield f".SS {troff(', '.join(entry.path for entry in entries))}"
        for entry in entries:
            unit = f" ({entry.unit})" if entry.unit else ""
            default = {"required": "Required.", "none": ""}.get(entry.standing(), f"Default: {entry.standing()}.")
            facts = f"Takes {entry.kind()}{unit}. {default}".strip()
            yield f".TP\n.B {troff(entry.path)}\n{troff(entry.meaning)}\n.br\n{troff(facts)}"


def main():
    schema, template, version, out = sys.argv[1:]
    sections = parse(schema)
    with open(template, encoding="utf-8") as file:
        manual = file.read().replace("@KEYS@", "\n".join(man_keys(sections))).replace("@VERSION@", version)
    for name, lines in (("jobspec_table.h", header(sections)), ("jobspec_table.c", source(sections)),
                        ("jobspec.schema.json", json_schema(sections)), ("jobspec.md", page(sections)),
                        ("muster-job.5", [manual.rstrip("\n")])):
        with open(f"{out}/{name}", "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
