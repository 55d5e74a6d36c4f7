#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_documents.py - what the pages for people name is there: files, headings, tests, options, commands, metrics

Speaks TAP. The environment names top_srcdir, as `make check` does."""
import glob
import os
import re

ROOT = os.environ.get("top_srcdir", ".")
MADE = {"errors.md", "journal.md", "jobspec.md", "metrics.md", "options.md", "recording.md", "states.md", "wire.md"}
FOREIGN = {"--cflags", "--libs", "--ntasks-per-node", "--nnodes", "--nproc-per-node", "--max-restarts"}  # pkg-config, srun, torchrun


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] + sorted(
    os.path.relpath(path, ROOT) for path in glob.glob(f"{ROOT}/docs/*.md") + glob.glob(f"{ROOT}/docs/decisions/*.md"))
CONFIG = read("schemas/config.schema")


def heading_names(text):
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.M)}


def links():
    """links lead somewhere"""
    for page in PAGES:
        for link in re.findall(r"\]\(([^)]+)\)", read(page)):
            path, _, heading = link.partition("#")
            if link.startswith("http") or (path in MADE and page.startswith("docs/")):
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            if not os.path.exists(os.path.join(ROOT, target)):
                yield f"{page}: {link}"
            elif heading and heading not in heading_names(read(target)):
                yield f"{page}: {link} has no such heading"


def test_files():
    files = {}
    for path in glob.glob(f"{ROOT}/tests/**/*", recursive=True) + glob.glob(f"{ROOT}/scripts/*"):
        if os.path.isfile(path) and not path.endswith((".o", ".log", ".trs", ".pyc")):
            name = os.path.basename(path)
            for key in (name, name.rsplit(".", 1)[0]):
                with open(path, encoding="utf-8", errors="replace") as file:
                    files[key] = files.get(key, "") + file.read()
    return files


def tests():
    """tests that faults.md names exist, and so do their cases"""
    files = test_files()
    everything = "".join(files.values())
    for row in re.findall(r"^\|.*\| *([^|]*\S) *\|$", read("docs/faults.md"), re.M):
        for quoted in re.findall(r"`([^`]+)`", row):
            first, *cases = re.split(r"[ ,]+", quoted)
            name = os.path.basename(first)
            if name in ("sim", "reigns") or not name.startswith(("test_", "torture", "fuzz_")):
                cases = [word for word in [first] + cases if re.fullmatch(r"[a-z]+(_[a-z]+)+", word)]
                yield from (f"{case} is in no test" for case in cases if case not in everything)
            elif name not in files:
                yield f"there is no {first}"
            else:
                yield from (f"{first} has no {case}" for case in cases
                            if re.fullmatch(r"[a-z_]+", case) and case not in files[name])


def code(text):
    """What is set as code: in backticks, in fences, or indented."""
    fence = re.compile(r"^```.*?^```", re.M | re.S)
    rest = fence.sub("", text)
    return fence.findall(text) + re.findall(r"^    .*$", rest, re.M) + re.findall(r"`[^`]+`", rest)


def options():
    """options that the pages name exist"""
    known = {"--" + name for name in re.findall(r"^ *option ([a-z-]+) ", CONFIG, re.M)} | {"--help", "--version"} | FOREIGN
    others = read("configure.ac") + "".join(read(os.path.relpath(path, ROOT)) for path in
                                            glob.glob(f"{ROOT}/scripts/[a-z]*") + glob.glob(f"{ROOT}/tests/*/*.[cp]*"))
    for page in PAGES:
        if "decisions" in page:
            continue
        for option in {word for piece in code(read(page)) for word in re.findall(r"(?<![\w-])--[a-z][a-z-]+", piece)}:
            bare = re.sub("^--(enable|disable|with|without)-", "", option)
            if option not in known and option not in others and f"[{bare}]" not in others:
                yield f"{page}: {option}"


def commands():
    """commands of `muster` that the pages show exist"""
    known = set(re.findall(r'^ *command "([a-z ]+)"', CONFIG, re.M))
    first = {name.split()[0] for name in known}
    for page in PAGES:
        for piece in code(read(page)):
            for words in re.findall(r"(?:^    |^`|[(&|] ?|\n)muster((?:\s[a-z]+)+)", piece):
                words = words.split()
                if words[0] not in first or (len(words) > 1 and " ".join(words[:2]) not in known and words[0] not in known):
                    yield f"{page}: muster {' '.join(words[:2])}"


def metrics():
    """metrics that the pages name exist"""
    known = set(re.findall(r"^metric (muster_[a-z_]+)", read("schemas/metrics.schema"), re.M))
    public = read("client/muster.h") + read("worker/trainer.h")
    for page in PAGES:
        for name in set(re.findall(r"\bmuster_[a-z_]+\b", read(page))):
            if "decisions" not in page and name not in known and name not in public:
                yield f"{page}: {name}"


def main():
    checks = [links, tests, options, commands, metrics]
    print(f"1..{len(checks)}")
    for number, check in enumerate(checks, 1):
        missing = list(check())
        for line in missing:
            print(f"# {line}")
        print(f"{'not ok' if missing else 'ok'} {number} - {check.__doc__}")


main()
