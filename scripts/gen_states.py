#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gen_states.py - turn schemas/states.schema into C tables and into a reference page

usage: gen_states.py SCHEMA OUT_DIR      writes states.h, states.c, states.md"""
import re
import sys

from schema import refuse, statements, write_all

MACHINE = re.compile(r'machine\s+(\w+)\s+"([^"]*)"$')
STATE = re.compile(r'([A-Z]+)\s+(\d+)\s+"([^"]*)"(?:\s*->\s*([A-Z ]+))?$')


def parse(path):
    machines = []
    for number, text in statements(path):
        if m := MACHINE.match(text):
            machines.append(dict(name=m[1], doc=m[2], states=[]))
        elif (m := STATE.match(text)) and machines:
            machines[-1]["states"].append(dict(name=m[1], number=int(m[2]), doc=m[3], next=(m[4] or "").split()))
        else:
            refuse(path, number, text)
    for machine in machines:
        names = [state["name"] for state in machine["states"]]
        numbers = [state["number"] for state in machine["states"]]
        if numbers != list(range(len(numbers))) or len(numbers) > 32:
            sys.exit(f"{path}: {machine['name']}: numbers count from 0, at most 32")
        for state in machine["states"]:
            for following in state["next"]:
                if following not in names:
                    sys.exit(f"{path}: {machine['name']}.{state['name']}: no state is named {following}")
    return machines


def header(machines):
    yield "/* states.h - generated from schemas/states.schema; edit that */"
    yield "#ifndef MU_STATES_H\n#define MU_STATES_H\n\n#include <stdbool.h>\n"
    for machine in machines:
        up = machine["name"].upper()
        yield f"/* {machine['doc']} */\nenum mu_{machine['name']}_state {{"
        for state in machine["states"]:
            yield f"    MU_{up}_{state['name']} = {state['number']}, /* {state['doc']} */"
        yield f"    MU_{up}_STATES = {len(machine['states'])}\n}};\n"
        yield f"/* The state's name in small letters; any int may be asked about. */"
        yield f"const char *mu_{machine['name']}_state_name (int state);"
        yield f"bool mu_{machine['name']}_may_move (int from, int to);\n"
    yield "#endif"


def source(machines):
    yield '/* states.c - generated from schemas/states.schema; edit that */\n#include "states.h"\n\n#include <stdint.h>\n'
    for machine in machines:
        name, numbers = machine["name"], {s["name"]: s["number"] for s in machine["states"]}
        yield f"static const char *const {name}_names[] = {{"
        yield "    " + ", ".join(f'"{s["name"].lower()}"' for s in machine["states"]) + "\n};"
        yield f"static const uint32_t {name}_moves[] = {{"
        for state in machine["states"]:
            bits = sum(1 << numbers[n] for n in state["next"])
            yield f"    {bits:#x}u, /* {state['name']} -> {' '.join(state['next'])} */"
        yield "};\n"
        count = len(machine["states"])
        yield f"const char *mu_{name}_state_name (int state)\n{{"
        yield f"    return state >= 0 && state < {count} ? {name}_names[state] : \"unknown\";\n}}\n"
        yield f"bool mu_{name}_may_move (int from, int to)\n{{"
        yield f"    return from >= 0 && from < {count} && to >= 0 && to < {count}\n           && ({name}_moves[from] >> to & 1u) != 0;\n}}\n"


def page(machines):
    yield "# State machines\n\nGenerated from `schemas/states.schema`."
    for machine in machines:
        yield f"\n## {machine['name']}\n\n{machine['doc']}\n\n| state | meaning | may become |\n|---|---|---|"
        for state in machine["states"]:
            yield f"| {state['name'].lower()} | {state['doc']} | {', '.join(n.lower() for n in state['next'])} |"


if __name__ == "__main__":
    schema, out = sys.argv[1:]
    parsed = parse(schema)
    write_all(out, {"states.h": header(parsed), "states.c": source(parsed), "states.md": page(parsed)})
