#!/usr/bin/python3
"""The events of tests/fixtures are events of openapi.yaml, and there is one of every kind."""
import glob
import json
import os
import sys

import jsonschema
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def events(path):
    """Lines of `<natural key> <event>`; others say that there is none."""
    with open(path, encoding="utf-8") as f:
        for line in f:
            key, _, text = line.partition(" ")
            if len(key) == 16 and text.startswith("{"):
                yield json.loads(text)


def main():
    with open(os.path.join(ROOT, "openapi.yaml"), encoding="utf-8") as f:
        components = yaml.safe_load(f)["components"]
    validator = jsonschema.Draft202012Validator({"$ref": "#/components/schemas/Event", "components": components})
    missing = set(components["schemas"]["Kind"]["enum"])
    n = problems = 0
    for path in sorted(glob.glob(os.path.join(ROOT, "tests/fixtures/*.events"))):
        for event in events(path):
            n += 1
            missing.discard(event["kind"])
            for error in validator.iter_errors(event):
                problems += 1
                print(f"{os.path.basename(path)}: {error.json_path}: {error.message[:300]}")
    for kind in sorted(missing):
        problems += 1
        print(f"no fixture of kind {kind}")
    print(f"fixtures: {n} events, {problems} problems")
    return 1 if problems or n == 0 else 0


sys.exit(main())
