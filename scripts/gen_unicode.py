#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gen_unicode.py - Unicode's letters and numbers as ranges, for worker/data/unicode_ranges.h

usage: gen_unicode.py > worker/data/unicode_ranges.h

The output is committed, unlike other generated code: it decides how text becomes tokens, so it may
not depend on the Python of the machine that builds."""
import sys
import unicodedata


def ranges(initial):
    """Runs of code points whose general category begins with `initial`, as (first, last)."""
    found = []
    for code in range(0x80, sys.maxunicode + 1):
        if unicodedata.category(chr(code))[0] != initial:
            continue
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def table(name, initial):
    print(f"static const struct unicode_range {name}[] = {{")
    line = "   "
    for first, last in ranges(initial):
        item = f" {{ 0x{first:x}, 0x{last:x} }},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line + "\n};\n")


print("/* SPDX-License-Identifier: Apache-2.0 */")
print(f"/* unicode_ranges.h - general categories L and N of Unicode {unicodedata.unidata_version} beyond ASCII,")
print(" * made by scripts/gen_unicode.py; sorted, for split.c alone */")
print("/* clang-format off */")
table("unicode_letters", "L")
table("unicode_numbers", "N")
print("/* clang-format on */")
