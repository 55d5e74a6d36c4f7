#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gen_records.py - turn wire.schema, journal.schema or recording.schema into C, and into a reference page

usage: gen_records.py SCHEMA PREFIX OUT_DIR
writes OUT_DIR/PREFIX.h (structs and shapes), PREFIX_shapes.c (field tables), PREFIX.md; for the wire
also muster_info.h: the structs that answers to clients hold, under the public API's names.
The C that encodes and decodes is not generated: common/record.c walks the tables.
Python's standard library only; the output depends on the input alone."""
import re
import sys

from schema import refuse, statements, write_all

FIELD = re.compile(r'(\d+)\s+(?:(gone)|(\w+)\s+(u32|u64|i64|f64|bool|text\s+\d+|bytes\s+\d+|list\s+[A-Z_]+\s+\d+)'
                   r'(?:\s+(\d+)\.\.(\d+))?(\s+optional)?\s+"([^"]*)")$')
HEAD = re.compile(r'(?:message|record)\s+([A-Z_]+)\s+(\d+)(?:\s+(\w+)\s*->\s*(\w+)|\s+latest\s+([a-z_ ]+?))?\s+"([^"]*)"$')
STRUCT = re.compile(r'struct\s+([A-Z_]+)\s+"([^"]*)"$')
PROTOCOL = re.compile(r"protocol (\d+)\.(\d+)$")
INLINE_MAX = 255  # texts up to here lie in their struct
SCALAR = {"u32": "uint32_t", "u64": "uint64_t", "i64": "int64_t", "f64": "double", "bool": "bool"}


def parse(path):
    version, shapes = None, []
    for number, text in statements(path):
        if m := PROTOCOL.match(text):
            version = int(m[1]), int(m[2])
        elif m := HEAD.match(text):
            shapes.append(dict(name=m[1], id=int(m[2]), sender=m[3], receiver=m[4], latest=(m[5] or "").split(),
                               doc=m[6], fields=[]))
        elif m := STRUCT.match(text):
            shapes.append(dict(name=m[1], id=0, sender=None, receiver=None, latest=[], doc=m[2], fields=[]))
        elif (m := FIELD.match(text)) and shapes:
            if m[2]:
                shapes[-1]["fields"].append(dict(id=int(m[1]), gone=True))
                continue
            kind = m[4].split()
            field = dict(id=int(m[1]), gone=False, name=m[3], kind=kind[0], optional=bool(m[7]), doc=m[8],
                         low=int(m[5]) if m[5] else None, high=int(m[6]) if m[6] else None)
            if kind[0] in ("text", "bytes"):
                field["limit"] = int(kind[1])
            if kind[0] == "list":
                field["item"], field["limit"] = kind[1], int(kind[2])
            shapes[-1]["fields"].append(field)
        else:
            refuse(path, number, text)
    check(path, version, shapes)
    return version, shapes


def check(path, version, shapes):
    def once(what, values):
        for value in values:
            if values.count(value) > 1:
                sys.exit(f"{path}: {what} {value} is used twice")
    if version is None:
        sys.exit(f"{path}: there is no `protocol MAJOR.MINOR` line")
    once("id", [s["id"] for s in shapes if s["id"]])
    once("name", [s["name"] for s in shapes])
    known = set()
    for shape in shapes:
        once(f"field id in {shape['name']}", [f["id"] for f in shape["fields"]])
        once(f"field in {shape['name']}", [f["name"] for f in live(shape)])
        if len(live(shape)) > 64:
            sys.exit(f"{path}: {shape['name']} has more than 64 fields")
        for name in shape["latest"]:
            if [f["kind"] for f in live(shape) if f["name"] == name] not in (["u32"], ["u64"]):
                sys.exit(f"{path}: {shape['name']}: `latest {name}` names no whole number of it")
        for field in live(shape):
            if field["kind"] == "list" and field["item"] not in known:
                sys.exit(f"{path}: {shape['name']}.{field['name']}: struct {field['item']} must come before it")
            if field["low"] is not None and field["kind"] not in ("u32", "u64"):
                sys.exit(f"{path}: {shape['name']}.{field['name']}: only u32 and u64 take a range")
        if not shape["id"]:
            known.add(shape["name"])


def live(shape):
    return [field for field in shape["fields"] if not field["gone"]]


def messages(shapes):
    return [shape for shape in shapes if shape["id"]]


def declaration(prefix, field):
    kind, name = field["kind"], field["name"]
    if kind in SCALAR:
        return f"{SCALAR[kind]} {name};"
    if kind == "text" and field["limit"] <= INLINE_MAX:
        return f"char {name}[{field['limit'] + 1}];"
    if kind == "list":
        return f"struct {{ struct mu_{prefix}_{field['item'].lower()} *items; uint32_t count; }} {name};"
    return f"struct mu_blob {name};"


def header(prefix, version, shapes):
    up = prefix.upper()
    yield f"/* {prefix}.h - generated from schemas/{prefix}.schema; edit that */"
    yield f"#ifndef MU_{up}_H\n#define MU_{up}_H\n\n#include \"record.h\"\n"
    yield f"#define MU_{up}_MAJOR {version[0]}u\n#define MU_{up}_MINOR {version[1]}u\n"
    yield f"enum mu_{prefix}_type {{"
    for shape in messages(shapes):
        yield f"    MU_{up}_{shape['name']} = {shape['id']},"
    yield "};\n"
    for shape in shapes:
        way = f"{shape['sender']} -> {shape['receiver']}: " if shape["sender"] else ""
        yield f"/* {way}{shape['doc']} */\nstruct mu_{prefix}_{shape['name'].lower()} {{"
        for field in live(shape):
            yield f"    {declaration(prefix, field)} /* {field['doc']} */"
        yield "};\n"
    yield "/* Any one of them. Blobs and lists are borrowed: see record.h. */"
    yield f"struct mu_{prefix} {{\n    enum mu_{prefix}_type type;"
    yield "    uint64_t term; /* the sender's */\n    union {"
    for shape in messages(shapes):
        yield f"        struct mu_{prefix}_{shape['name'].lower()} {shape['name'].lower()};"
    yield "    };\n};\n"
    yield f"extern const struct mu_family mu_{prefix}_family;\n"
    yield "#endif"


def table(prefix, shape):
    low = shape["name"].lower()
    yield f"static const struct mu_field {low}_fields[] = {{"
    for f in live(shape):
        kind = f["kind"]
        if kind == "text" and f["limit"] > INLINE_MAX:
            kind = "longtext"
        parts = [f".id = {f['id']}", f".kind = MU_FIELD_{kind.upper()}", f'.name = "{f["name"]}"',
                 f".offset = offsetof (struct mu_{prefix}_{low}, {f['name']})"]
        if f["name"] in shape["latest"]:
            parts.append(".latest = true")
        if f["name"] == "seal":
            parts.append(".seal = true")
        if f["optional"]:
            parts.append(".optional = true")
        if "limit" in f:
            parts.append(f".high = {f['limit']}u")
        elif f["low"] is not None:
            parts.append(f".low = {f['low']}u, .high = {f['high']}u")
        elif kind == "u32":
            parts.append(".high = UINT32_MAX")
        elif kind == "u64":
            parts.append(".high = UINT64_MAX")
        if kind == "list":
            parts.append(f".item = &{f['item'].lower()}_shape")
            parts.append(f".count_offset = offsetof (struct mu_{prefix}_{low}, {f['name']}.count)")
        yield f"    {{ {', '.join(parts)} }},"
    if not live(shape):
        yield "    { .id = 0 },"
    yield "};"
    yield (f"static const struct mu_shape {low}_shape = {{ .id = {shape['id']}, .name = \"{shape['name']}\", "
           f".sender = MU_ROLE_{(shape['sender'] or 'none').upper()}, "
           f".receiver = MU_ROLE_{(shape['receiver'] or 'none').upper()}, .size = sizeof (struct mu_{prefix}_{low}), "
           f".fields = {low}_fields, .field_count = {len(live(shape))} }};\n")


def source(prefix, version, shapes):
    up = prefix.upper()
    yield f"/* {prefix}_shapes.c - generated from schemas/{prefix}.schema; edit that */"
    yield f"#include \"{prefix}.h\"\n\n#include <stddef.h>\n"
    for shape in shapes:
        yield from table(prefix, shape)
    highest = max(shape["id"] for shape in messages(shapes))
    yield f"static const struct mu_shape *const shapes[{highest + 1}] = {{"
    for shape in messages(shapes):
        yield f"    [{shape['id']}] = &{shape['name'].lower()}_shape,"
    yield "};\n"
    yield f"const struct mu_family mu_{prefix}_family = {{"
    yield f"    .name = \"{prefix}\", .major = MU_{up}_MAJOR, .minor = MU_{up}_MINOR,"
    yield f"    .shapes = shapes, .shape_count = {highest + 1},"
    yield f"    .size = sizeof (struct mu_{prefix}),"
    yield f"    .body_offset = offsetof (struct mu_{prefix}, {messages(shapes)[0]['name'].lower()}),"
    yield "};"


def page(prefix, version, shapes):
    title = {"wire": "Wire protocol"}.get(prefix, prefix.capitalize())
    yield f"# {title}, version {version[0]}.{version[1]}\n\nGenerated from `schemas/{prefix}.schema`."
    for shape in shapes:
        way = f", {shape['sender']} to {shape['receiver']}" if shape["sender"] else ""
        number = f" ({shape['id']})" if shape["id"] else ""
        yield f"\n## {shape['name']}{number}{way}\n\n{shape['doc']}\n"
        if not live(shape):
            yield "No fields."
            continue
        yield "| id | field | type | limit | meaning |\n|---|---|---|---|---|"
        for f in live(shape):
            limit = f"at most {f['limit']}" if "limit" in f else f"{f['low']} to {f['high']}" if f["low"] is not None else ""
            kind = f"list of {f['item']}" if f["kind"] == "list" else f["kind"]
            yield f"| {f['id']} | {f['name']} | {kind}{', optional' if f['optional'] else ''} | {limit} | {f['doc']} |"


def public_header(prefix, version, shapes):
    """The structs without an id, member for member as in PREFIX.h, so that libmuster hands them on."""
    yield "/* muster_info.h - generated from schemas/wire.schema: what libmuster's answers hold */"
    yield "#ifndef MUSTER_INFO_H\n#define MUSTER_INFO_H\n\n#include <stdbool.h>\n#include <stdint.h>\n"
    yield "/* A text that is not NUL-terminated. */\nstruct muster_text {\n    const void *data;\n    uint32_t size;\n};\n"
    for shape in shapes:
        if shape["id"]:
            continue
        yield f"/* {shape['doc']} */\nstruct muster_{shape['name'].lower()} {{"
        for field in live(shape):
            text = declaration(prefix, field).replace("struct mu_blob", "struct muster_text")
            yield f"    {text} /* {field['doc']} */"
        yield "};\n"
    yield "#endif"


if __name__ == "__main__":
    schema, name, out = sys.argv[1:]
    parsed = parse(schema)
    files = {f"{name}.h": header(name, *parsed), f"{name}_shapes.c": source(name, *parsed), f"{name}.md": page(name, *parsed)}
    if name == "wire":
        files["muster_info.h"] = public_header(name, *parsed)
    write_all(out, files)
