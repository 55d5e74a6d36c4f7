#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_jobspec_schema.py - does the JSON Schema that editors use say what the C reader says?

Speaks TAP; skipped where Python has no jsonschema or no yaml. The environment names top_srcdir and
top_builddir, as `make check` does."""
import copy
import json
import os
import re
import sys

try:
    import jsonschema
    import yaml
except ImportError as missing:
    print(f"1..0 # SKIP {missing} (apt-get install python3-jsonschema python3-yaml)")
    sys.exit(0)

# YAML 1.1 takes 1e-3 for a text; the job file, JSON and editors take it for a number.
yaml.SafeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^-?\d+(\.\d*)?[eE][-+]?\d+$"), list("-0123456789"))

WRONG = [
    ("an unknown key", lambda job: job.update(layers=4)),
    ("an unknown key in a section", lambda job: job["batch"].update(macro=4)),
    ("a name with a blank", lambda job: job.update(name="a b")),
    ("a missing trainer", lambda job: job.pop("trainer")),
    ("a missing batch", lambda job: job.pop("batch")),
    ("a missing micro-batch", lambda job: job["batch"].pop("micro")),
    ("steps and epochs", lambda job: job.update(steps=1, epochs=1)),
    ("neither steps nor epochs", lambda job: (job.pop("steps", 0), job.pop("epochs", 0))),
    ("a quoted number", lambda job: job.update(seed="1")),
    ("a fraction of a step", lambda job: job.update(hash_every=2.5)),
    ("a learning rate of zero", lambda job: job["optimizer"].update(learning_rate=0)),
    ("more workers than a generation may have", lambda job: job.update(workers={"min": 1, "max": 65536})),
    ("a window that is too small", lambda job: job.update(window=15)),
    ("a window that is too large", lambda job: job.update(window=257)),
    ("a beta of one", lambda job: job["optimizer"].update(beta1=1)),
    ("an unknown format", lambda job: job["data"].update(format="parquet")),
    ("an empty list of files", lambda job: job["data"].update(path=[])),
    ("an unknown trainer", lambda job: job.update(trainer="gtp")),
    ("a mapping as a setting", lambda job: job["model"].update(heads={"count": 4})),
]


def accepts(validator, job):
    return next(validator.iter_errors(job), None) is None


def main():
    with open(f"{os.environ['top_builddir']}/common/jobspec.schema.json", encoding="utf-8") as file:
        schema = json.load(file)
    kind = getattr(jsonschema, "Draft202012Validator", jsonschema.Draft7Validator)
    kind.check_schema(schema)
    validator, count, failed = kind(schema), 0, 0
    for name in "gpt-gcide", "mlp-fashion":
        with open(f"{os.environ['top_srcdir']}/examples/{name}.yaml", encoding="utf-8") as file:
            good = yaml.safe_load(file)
        cases = [("as it is", lambda job: None, True)]
        cases += [("a plug-in as trainer", lambda job: job.update(trainer="./mine.so"), True)]
        cases += [(what, change, False) for what, change in WRONG]
        for what, change, expected in cases:
            job = copy.deepcopy(good)
            change(job)
            count += 1
            right = accepts(validator, job) == expected
            failed += not right
            print(f"{'ok' if right else 'not ok'} {count} - {name}, {what}: {'accepted' if expected else 'refused'}")
    print(f"1..{count}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
