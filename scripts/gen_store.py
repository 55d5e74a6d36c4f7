#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gen_store.py - turn schemas/store.sql into a table of migration steps in C

usage: gen_store.py SCHEMA OUT_DIR      writes store_steps.h"""
import re
import sys


def parse(path):
    steps = []
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        if match := re.match(r"-- step (\d+)$", line.rstrip()):
            if int(match[1]) != len(steps) + 1:
                sys.exit(f"{path}:{number}: steps count from 1 by one")
            steps.append([])
        elif steps and (text := line.split("--")[0].rstrip()):
            steps[-1].append(text)
    if not steps:
        sys.exit(f"{path}: there is no `-- step 1` line")
    return steps


if __name__ == "__main__":
    schema, out = sys.argv[1:]
    with open(f"{out}/store_steps.h", "w", encoding="utf-8") as file:
        file.write("/* store_steps.h - generated from schemas/store.sql; edit that */\n")
        file.write("static const char *const store_steps[] = {\n")
        for step in parse(schema):
            for text in step:
                file.write('    "' + text.replace("\\", "\\\\").replace('"', '\\"') + '\\n"\n')
            file.write("    ,\n")
        file.write("};\n")
