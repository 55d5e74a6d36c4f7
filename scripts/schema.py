# SPDX-License-Identifier: Apache-2.0
"""schema.py - what the generators have in common: reading a schema line by line"""
import sys


def statements(path):
    """The lines that say something, with their numbers: no comments, no blank lines."""
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if text and not text.startswith("#"):
                yield number, text


def refuse(path, number, text):
    sys.exit(f"{path}:{number}: cannot read: {text}")


def write_all(out, files):
    """Write {name: lines} into the folder."""
    for name, lines in files.items():
        with open(f"{out}/{name}", "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
