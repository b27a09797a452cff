#!/usr/bin/python3
"""Cheap facts about the text of the tree: file and function length, words that do not belong, memory and time functions.

Exit 1 if there is a problem. Limits are those of CONTRIBUTING.md.
"""
import os
import re
import subprocess
import sys

ROOT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILE_LINES = {"tests/": 1000, "": 600}
FUNCTION_LINES = 80

# word -> files that may use it
ALLOC = re.compile(r"(?<![\w.>])(malloc|calloc|realloc|free|strdup|strndup|asprintf)\s*\(")
BLOCKING = re.compile(r"(?<![\w])(PQexec|PQconnectdb|getaddrinfo|gethostbyname|sleep|usleep|nanosleep|fsync|fdatasync)\s*\(")
BLOCKING_OK = ("server/db/migrate", "server/db/private_pg", "server/spool/", "server/app/app_file", "collector/upstream/keep_file", "tests/")
MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def lines_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read().split("\n")


def strip(text):
    """Without comments and string literals, same number of lines."""
    def blank(m):
        return re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def functions(code):
    """(name, first line, number of lines) of each function: a '{' in column 0 closed by a '}' in column 0."""
    start, name = None, None
    for n, line in enumerate(code, 1):
        if line == "{":
            head = " ".join(code[max(0, n - 6):n - 1])
            found = re.findall(r"(\w+)\s*\(", head)
            start, name = n, found[-1] if found else "?"
        elif line.startswith("}") and start:
            yield name, start, n - start - 1
            start = None


def main():
    files = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
                           capture_output=True, text=True, check=True).stdout.split("\n")
    problems = []
    n_c = 0
    for path in files:
        if not path or not os.path.exists(os.path.join(ROOT, path)):
            continue
        if path.endswith((".c", ".h")):
            n_c += 1
            raw = lines_of(path)
            code = strip("\n".join(raw)).split("\n")
            limit = next(v for k, v in FILE_LINES.items() if path.startswith(k))
            if len(raw) > limit:
                problems.append(f"{path}: {len(raw)} lines, at most {limit}")
            for name, at, length in functions(code):
                if length > FUNCTION_LINES and not path.startswith("tests/"):
                    problems.append(f"{path}:{at}: {name} has {length} lines, at most {FUNCTION_LINES}")
            for n, line in enumerate(code, 1):
                if not path.startswith(("server/core/mem.", "tests/")) and ALLOC.search(line):
                    problems.append(f"{path}:{n}: memory comes from mem_*: {line.strip()}")
                if not path.startswith(BLOCKING_OK) and BLOCKING.search(line):
                    problems.append(f"{path}:{n}: blocks the loop: {line.strip()}")
            if path.endswith(".h") and not any("#pragma once" in x for x in raw):
                problems.append(f"{path}: no #pragma once")
        if path.endswith((".c", ".h", ".def", ".py", ".sql", ".js")) and not path.startswith("tests/lint/"):
            for n, line in enumerate(lines_of(path), 1):
                if MARKS.search(line):
                    problems.append(f"{path}:{n}: unfinished: {line.strip()}")
    for p in problems:
        print(p)
    print(f"text: {n_c} C files, {len(problems)} problems")
    return 1 if problems or n_c == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
