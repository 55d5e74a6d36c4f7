#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gen_errors.py - turn schemas/errors.schema into C and into a reference page

usage: gen_errors.py SCHEMA OUT_DIR      writes errors.h, errors.c, errors.md"""
import re
import sys

from schema import refuse, statements, write_all

LINE = re.compile(r'error\s+([A-Z_]+)\s+(\d+)\s+exit\s+(\d+)\s+"([^"]*)"$')


def parse(path):
    errors = []
    for number, text in statements(path):
        match = LINE.match(text)
        if not match:
            refuse(path, number, text)
        errors.append((match[1], int(match[2]), int(match[3]), match[4]))
    for place, what in (0, "name"), (1, "number"):
        values = [error[place] for error in errors]
        for value in values:
            if values.count(value) > 1:
                sys.exit(f"{path}: {what} {value} is used twice")
    return errors


def header(errors):
    yield "/* errors.h - generated from schemas/errors.schema; edit that */"
    yield "#ifndef MU_ERRORS_H\n#define MU_ERRORS_H\n\nenum mu_code {"
    for name, number, _, meaning in errors:
        yield f"    MU_{name} = {number}, /* {meaning} */"
    yield "};\n\n#endif"


def source(errors):
    yield '/* errors.c - generated from schemas/errors.schema; edit that */\n#include "error.h"\n\n#include <stddef.h>\n'
    yield "static const struct { int code, status; const char *name, *meaning; } table[] = {"
    for name, number, status, meaning in errors:
        yield f'    {{ {number}, {status}, "{name}", "{meaning}" }},'
    yield "};\n"
    yield "static size_t find (int code)\n{\n    size_t internal = 0;"
    yield "    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {"
    yield "        if (table[i].code == code)\n            return i;"
    yield "        if (table[i].code == MU_INTERNAL)\n            internal = i;\n    }\n    return internal;\n}\n"
    yield "const char *mu_code_name (int code) { return table[find (code)].name; }"
    yield "const char *mu_code_meaning (int code) { return table[find (code)].meaning; }"
    yield "int mu_code_exit (int code) { return table[find (code)].status; }"


def page(errors):
    yield "# Error codes\n\nGenerated from `schemas/errors.schema`.\n"
    yield "| number | name | exit status | meaning |\n|---|---|---|---|"
    for name, number, status, meaning in errors:
        yield f"| {number} | {name} | {status} | {meaning} |"


if __name__ == "__main__":
    schema, out = sys.argv[1:]
    parsed = parse(schema)
    write_all(out, {"errors.h": header(parsed), "errors.c": source(parsed), "errors.md": page(parsed)})
