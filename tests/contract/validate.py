#!/usr/bin/python3
"""Checks recorded HTTP traffic (recorder.py) against openapi.yaml.

    validate.py --spec                        the document itself: routes, problem codes, examples, unused parts
    validate.py LOG...                        every record: operation and status exist, media type, headers, body
    validate.py --coverage LOG...             and: every operation with every documented status was seen, but for those
                                              of skip.json, each with its reason

Stricter than the document: members that no schema names are findings here, where clients have to accept them.
Exit 1 if there is a finding.
"""
import copy
import json
import os
import re
import subprocess
import sys

import jsonschema
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
METHODS = ("get", "put", "post", "delete", "patch")
MAX_SHOWN = 40


def pointer(doc, ref):
    node = doc
    for part in ref.removeprefix("#/").split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def close_objects(node):
    """Objects that name their members allow no others."""
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            node.setdefault("additionalProperties", False)
        for value in node.values():
            close_objects(value)
    elif isinstance(node, list):
        for value in node:
            close_objects(value)


class Loader(yaml.SafeLoader):
    """A key that stands twice in a mapping is an error: the first one would be lost without a word."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice in one mapping: {sorted(twice)}", node.start_mark)
        return super().construct_mapping(node, deep)


class Spec:
    def __init__(self, path=os.path.join(ROOT, "openapi.yaml")):
        with open(path, encoding="utf-8") as f:
            self.doc = yaml.load(f, Loader)
        self.strict = copy.deepcopy(self.doc)
        close_objects(self.strict["components"]["schemas"])
        self.routes = []  # literal paths first: /events/stream before /events/{id}
        for template in sorted(self.doc["paths"], key=lambda p: (p.count("{"), p)):
            pattern = "".join("[^/]+" if part.startswith("{") else re.escape(part)
                              for part in re.split(r"(\{[^}]+\})", template))
            self.routes.append((re.compile(pattern + r"\Z"), template))
        self.validators = {}

    def resolve(self, node):
        while "$ref" in node:
            node = pointer(self.doc, node["$ref"])
        return node

    def template_of(self, path):
        for pattern, template in self.routes:
            if pattern.match(path):
                return template
        return None

    def operations(self):
        for template, item in self.doc["paths"].items():
            for method in METHODS:
                if method in item:
                    yield method, template, item[method]

    def check(self, schema, value):
        """Findings of a value against a schema of the document."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self.validators:
            whole = dict(copy.deepcopy(schema))
            close_objects(whole)
            whole["components"] = self.strict["components"]
            self.validators[key] = jsonschema.Draft202012Validator(
                whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
        found = []
        for e in self.validators[key].iter_errors(value):
            deep = e
            while deep.context:  # of several alternatives, the one that came furthest
                deep = max(deep.context, key=lambda c: (len(c.absolute_path), c.validator != "const"))
            where = "/".join(str(p) for p in deep.absolute_path)
            found.append(f"{where or '(root)'}: {deep.message[:300]}")
        return found


def parse_header(schema, text):
    if schema.get("type") == "integer":
        return int(text) if re.fullmatch(r"-?\d+", text) else text
    return text


def sse_blocks(text):
    """Blocks as (event, id, data), and findings about the framing. The last, cut block is left out."""
    blocks, found = [], []
    for block in text.split("\n\n")[:-1]:
        event, ident, data = None, None, []
        for line in block.split("\n"):
            name, colon, value = line.partition(": ")
            if line.startswith(":") or name == "retry":
                continue
            if not colon or name not in ("event", "id", "data"):
                found.append(f"a line that is no field: {line[:80]!r}")
            elif name == "event":
                event = value
            elif name == "id":
                ident = value
            else:
                data.append(value)
        if data or event or ident:
            blocks.append((event, ident, "\n".join(data)))
    return blocks, found


def check_stream(spec, schema, text):
    blocks, found = sse_blocks(text)
    schemas = schema["x-event-schemas"]
    last = -1
    for event, ident, data in blocks:
        control = event in schemas
        try:
            value = json.loads(data)
        except ValueError as e:
            found.append(f"{event}: {e}")
            continue
        found += [f"{event}: {f}" for f in spec.check(schemas[event if control else "*"], value)]
        if control:
            if ident is not None:
                found.append(f"{event}: a control event with an id")
            continue
        if ident is None or value.get("id") != ident or value.get("kind") != event:
            found.append(f"{event}: id {ident} and name do not agree with the data")
        elif int(ident) <= last:
            found.append(f"{event}: id {ident} after {last}")
        else:
            last = int(ident)
    if blocks and blocks[0][0] != "hello":
        found.append("does not begin with hello")
    return found


def check_content(spec, answer, record):
    content = answer.get("content")
    sent = record["headers"].get("content-type", "").split(";")[0].strip()
    if content is None or record["method"] == "HEAD":
        return ["has a body, none is documented"] if record.get("body") else []
    if sent not in content:
        return [f"media type {sent!r}, documented: {', '.join(content)}"]
    schema = content[sent].get("schema", {})
    if sent == "text/event-stream":
        return check_stream(spec, schema, record.get("sse", ""))
    if not sent.endswith("json"):
        return []
    try:
        return spec.check(schema, json.loads(record["body"]))
    except ValueError as e:
        return [f"body: {e}"]


def check_headers(spec, answer, record):
    found = []
    if "x-request-id" not in record["headers"]:
        found.append("no X-Request-Id")
    for name, header in answer.get("headers", {}).items():
        header = spec.resolve(header)
        text = record["headers"].get(name.lower())
        if text is None:
            if header.get("required"):
                found.append(f"header {name} is missing")
            continue
        found += [f"header {name}: {f}" for f in spec.check(header["schema"], parse_header(header["schema"], text))]
    return found


PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def check_problem(spec, record):
    """The number in a problem document is that of the answer, and its code is one of this status."""
    if not record["headers"].get("content-type", "").startswith("application/problem+json") or not record.get("body"):
        return []
    body = json.loads(record["body"])
    if body.get("status") != record["status"]:
        return [f"problem says {body.get('status')}"]
    if body.get("instance") != record["headers"].get("x-request-id"):
        return ["instance is not X-Request-Id"]
    return []


def check_record(spec, record, seen):
    """Findings of one exchange; notes (operation, status) in seen."""
    template = spec.template_of(record["path"])
    method = "get" if record["method"] == "HEAD" else record["method"].lower()
    status = str(record["status"])
    if template is None or method not in spec.doc["paths"].get(template, {}):
        if record["method"] == "OPTIONS" and template is not None and status == "204":
            return [] if "allow" in record["headers"] else ["no Allow"]
        if status == ("404" if template is None else "405"):
            found = check_content(spec, PROBLEM, record) + check_problem(spec, record)
            return found + ([] if template is None or "allow" in record["headers"] else ["no Allow"])
        return ["no such operation"]
    operation = spec.doc["paths"][template][method]
    if status not in operation["responses"]:
        return [f"status {status} is not documented for {operation['operationId']}: {record.get('body', '')[:200]}"]
    answer = spec.resolve(operation["responses"][status])
    seen.add((operation["operationId"], status))
    return check_headers(spec, answer, record) + check_content(spec, answer, record) + check_problem(spec, record)


def read_log(path):
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            yield f"{os.path.basename(path)}:{number}", json.loads(line)


def validate(spec, paths, coverage):
    """(findings, number of records)."""
    findings, seen, n = [], set(), 0
    for path in paths:
        for where, record in read_log(path):
            n += 1
            for f in check_record(spec, record, seen):
                findings.append(f"{where}: {record['method']} {record['path']} -> {record['status']}: {f}")
    if coverage:
        findings += check_coverage(spec, seen)
    return findings, n


def check_coverage(spec, seen):
    with open(os.path.join(HERE, "skip.json"), encoding="utf-8") as f:
        skips = json.load(f)
    wanted = {(op["operationId"], status) for _, _, op in spec.operations() for status in op["responses"]}
    skipped = {(op, status) for entry in skips for op in entry["operations"] for status in entry["statuses"]}
    findings = [f"never seen: {op} {status}" for op, status in sorted(wanted - seen - skipped)]
    findings += [f"skip.json: seen after all: {op} {status}" for op, status in sorted(skipped & seen)]
    return findings + [f"skip.json: not documented: {op} {status}" for op, status in sorted(skipped - wanted)]


# ---- the document itself ----

def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def rows_of(path, pattern):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return re.findall(pattern, f.read(), re.M)


def check_routes(spec, program):
    """Routes of the program (or of routes.def) and of the document, both ways."""
    if program:
        text = subprocess.run([program, "print-routes"], capture_output=True, text=True, check=True).stdout
        have = {(m, p, o) for m, p, _, o in map(str.split, text.splitlines())}
    else:
        have = {(m, p, o) for m, p, o in
                rows_of("api/routes.def", r'^X\((\w+), "([^"]+)", \w+, \w+, "(\w+)"\)')}
    want = {(method.upper(), template, op["operationId"]) for method, template, op in spec.operations()}
    return ([f"route without a description: {' '.join(r)}" for r in sorted(have - want)] +
            [f"described, but no route: {' '.join(r)}" for r in sorted(want - have)])


def check_scopes(spec):
    have = {o: s.lower() for s, o in rows_of("api/routes.def", r'^X\(\w+, "[^"]+", \w+, (\w+), "(\w+)"\)')}
    want = {op["operationId"]: op.get("x-scope", "none") for _, _, op in spec.operations()}
    return [f"{o}: scope {want.get(o)} described, {s} needed" for o, s in sorted(have.items()) if want.get(o) != s]


def check_enums(spec):
    schemas = spec.doc["components"]["schemas"]
    pairs = [
        ("ProblemCode", "api/encode/problem_code.def", r'^X\(\w+, \d+, "(\w+)"'),
        ("Kind", "server/event/event_kind.def", r'^X\(\w+, \d+, "(\w+)"'),
        ("Scope", "api/scope.def", r'^X\(\w+, \d+, "([\w:]+)"'),
    ]
    findings = [f"{name} differs from {path}" for name, path, pattern in pairs
                if schemas[name]["enum"] != rows_of(path, pattern)]
    if schemas["Collection"]["properties"]["state"]["enum"] != rows_of("collector/room_state.def", r'^X\(\w+, "(\w+)"'):
        findings.append("Collection.state differs from collector/room_state.def")
    return findings


def causes_of_the_code():
    """What coverage can be caused by: reasons for which connections end, and those that the ledger's users name."""
    def words(path, lines, pattern=r'"([a-z_]+)"'):
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            return [w for line in re.findall(lines, f.read(), re.S | re.M) for w in re.findall(pattern, line)]
    parts = [
        rows_of("collector/close_reason.def", r'^X\(\w+, "(\w+)"'),
        words("server/app/app_coverage.c", r"why_it_left\(struct.*?^}"),
        words("server/app/app_coverage.c", r"coverage_down\(.*?;"),
        words("server/app/app_coverage_store.c", r"INSERT INTO coverage_span.*?FROM newest", r", '(\w+)'"),
        words("server/app/app_events.c", r"app_coverage_gap\(.*?;"),
        words("collector/coverage.c", r"coverage_down\(.*?;"),
        words("collector/coverage.c", r'\[COVERAGE_MASKED\].*?;'),
        words("api/query/spans.c", r"next\.cause = .*?;"),
        words("api/ledger.c", r"\.cause = .*?;"),
    ]
    return set().union(*parts), [i for i, part in enumerate(parts) if not part]


def check_causes(spec):
    """openapi.yaml and docs/api.md know each cause, and no other."""
    have, empty = causes_of_the_code()
    with open(os.path.join(ROOT, "docs/api.md"), encoding="utf-8") as f:
        section = re.search(r"^## Coverage$(.*?)^## ", f.read(), re.S | re.M).group(1)
    told = set()
    for row in re.findall(r"^\| `(.*?)\|", section, re.M):
        told.update(re.findall(r"(\w+)`", f"`{row}"))
    named = set(spec.doc["components"]["schemas"]["Cause"]["enum"]) - {""}
    return ([f"causes: nothing found in place {i}: has the code moved?" for i in empty] +
            [f"cause {c}: only in one of openapi.yaml and the code" for c in sorted(have ^ named)] +
            [f"cause {c}: only in one of docs/api.md and the code" for c in sorted(have ^ told)])


def check_params(spec):
    """Query parameters that operations name and those that params.def knows."""
    known = set(rows_of("api/query/params.def", r'^X\(\w+, "(\w+)"'))
    named = set()
    for _, template, op in spec.operations():
        for p in op.get("parameters", []) + spec.doc["paths"][template].get("parameters", []):
            p = spec.resolve(p)
            if p["in"] == "query":
                named.add(p["name"])
    return [f"parameter {p}: only in one of openapi.yaml and params.def" for p in sorted(known ^ named)]


def check_fixtures(spec):
    """The events of the decoder's fixtures fit the schema."""
    findings, folder = [], os.path.join(ROOT, "tests", "fixtures")
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".events"):
            continue
        for number, line in enumerate(open(os.path.join(folder, name), encoding="utf-8"), 1):
            at = line.find("{")
            if at > 0 and re.fullmatch(r"[0-9a-f]{16} ", line[:at]):
                found = spec.check({"$ref": "#/components/schemas/Event"}, json.loads(line[at:]))
                findings += [f"{name}:{number}: {f}" for f in found]
    return findings


def check_spec(spec, program=None):
    used = set(references(spec.doc))
    findings = []
    for section, parts in spec.doc["components"].items():
        for name in parts:
            if section != "securitySchemes" and f"#/components/{section}/{name}" not in used:
                findings.append(f"components/{section}/{name} is never used")
    for schema in spec.doc["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    return (findings + check_routes(spec, program) + check_scopes(spec) + check_enums(spec) + check_causes(spec) + check_params(spec) +
            check_fixtures(spec))


def main():
    args = sys.argv[1:]
    spec = Spec()
    n = 0
    if args[:1] == ["--spec"]:
        findings = check_spec(spec, args[1] if len(args) > 1 else None)
    elif args and not args[0].startswith("-") or args[:1] == ["--coverage"] and len(args) > 1:
        coverage = args[0] == "--coverage"
        findings, n = validate(spec, args[coverage:], coverage)
        if n == 0:
            findings.append("no record at all")
    else:
        sys.exit(__doc__)
    for f in findings[:MAX_SHOWN]:
        print(f)
    print(f"contract: {n} records, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
