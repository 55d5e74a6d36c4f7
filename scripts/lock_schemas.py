#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lock_schemas.py - hold a schema to what was released

usage: lock_schemas.py check SCHEMA LOCK     say what a released peer would trip over; exit 1 if anything
       lock_schemas.py write SCHEMA LOCK     add what is new to the lock (at a release)

A lock lists every message and field that was ever released. A field may be added or marked `gone`; its
id, name, type and limit stay. A limit may grow only with a new minor version, which the lock sees as a
changed line and a person decides on by editing it."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gen_records import parse  # noqa: E402


def lines(path):
    version, shapes = parse(path)
    yield f"protocol {version[0]}"
    for shape in shapes:
        yield f"{shape['name']} = {shape['id']}"
        for field in shape["fields"]:
            where = f"{shape['name']}.{field['id']}"
            if field["gone"]:
                yield f"{where} gone"
                continue
            limit = field.get("limit", "")
            span = f"{field['low']}..{field['high']}" if field["low"] is not None else ""
            optional = " optional" if field["optional"] else ""
            yield f"{where} {field['name']} {field['kind']} {field.get('item', '')}{limit}{span}{optional}".rstrip()


def main():
    verb, schema, lock = sys.argv[1:]
    now = list(lines(schema))
    released = [line.rstrip("\n") for line in open(lock, encoding="utf-8")] if os.path.exists(lock) else []
    if verb == "write":
        with open(lock, "w", encoding="utf-8") as file:
            file.write("\n".join(now) + "\n")
        return 0
    ids = {line.split()[0]: line for line in now}
    bad = 0
    for line in released:
        key = line.split()[0]
        if line not in now and ids.get(key) != f"{key} gone":
            print(f"{schema}: released as `{line}`, now `{ids.get(key, 'missing')}`")
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
