#!/usr/bin/python3
"""Code that the compiler must refuse: banned functions, ignored results, wrong formats. Usage: must_not_compile.py CC ROOT"""
import os
import subprocess
import sys
import tempfile

CC, ROOT = sys.argv[1:3]
BANNED = ["strcpy(a, b)", "strcat(a, b)", "strncpy(a, b, 1)", "strncat(a, b, 1)", "stpcpy(a, b)", 'sprintf(a, "x")', "gets(a)",
          'strtok(a, "x")', "atoi(a)", "atol(a)", "atof(a)", "gmtime(0)", "localtime(0)", "ctime(0)", "asctime(0)",
          "tmpnam(a)", "mktemp(a)", "usleep(1)"]
CASES = [(f"void f(char *a, const char *b);\nvoid f(char *a, const char *b)\n{{\n    (void)b;\n    (void)({call});\n}}\n",
          "poisoned") for call in BANNED]
PROLOGUE = '#include "server/core/attr.h"\n#include "server/core/assert.h"\n'
CASES += [
    (PROLOGUE + "MUST_CHECK int f(void);\nvoid g(void);\nvoid g(void)\n{\n    f();\n}\n", "unused-result"),
    (PROLOGUE + 'void f(const char *fmt, ...) ATTR_PRINTF(1, 2);\nvoid g(void);\nvoid g(void)\n{\n    f("%s", 1);\n}\n', "format"),
    (PROLOGUE + "ATTR_NORETURN void f(void);\nvoid f(void)\n{\n}\n", "noreturn"),
    (PROLOGUE + "static_assert(1 == 2, \"told\");\n", "told"),
    (PROLOGUE + "static int f(int x)\n{\n    return 1;\n}\nint g(void);\nint g(void)\n{\n    return f(1);\n}\n", "unused"),
]
GOOD = [
    PROLOGUE + "MUST_CHECK int f(void);\nint g(void);\nint g(void)\n{\n    return f();\n}\n",
    PROLOGUE + "static int f(int x ATTR_UNUSED)\n{\n    return 1;\n}\nint g(void);\nint g(void)\n{\n    return f(1);\n}\n",
    PROLOGUE + "int g(int x);\nint g(int x)\n{\n    if (x) {\n        return 1;\n    }\n    UNREACHABLE();\n}\n",
    '#include <uv.h>\n#include <libpq-fe.h>\n#include <microhttpd.h>\n#include <curl/curl.h>\n#include <cjson/cJSON.h>\n'
    '#include <openssl/ssl.h>\n#include <openssl/evp.h>\n#include <openssl/err.h>\n#include <brotli/decode.h>\n#include <libdeflate.h>\n'
    '#include <zlib.h>\n#include <ini.h>\nint x;\n',
]


def compile_it(text, directory):
    path = os.path.join(directory, "x.c")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    pq = subprocess.run(["pkg-config", "--cflags", "libpq"], capture_output=True, text=True, check=True).stdout.split()
    command = [CC, "-std=gnu11", "-D_GNU_SOURCE", "-I", ROOT, *pq, "-include", os.path.join(ROOT, "server/core/banned.h"),
               "-Wall", "-Wextra", "-Wno-deprecated-declarations", "-Werror", "-O1", "-c", "-o", os.path.join(directory, "x.o"), path]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})


failed = 0
with tempfile.TemporaryDirectory() as d:
    for text, want in CASES:
        r = compile_it(text, d)
        if r.returncode == 0 or want not in r.stderr:
            failed += 1
            print(f"FAIL not refused with {want!r}:\n{text}{r.stderr}")
    for text in GOOD:
        r = compile_it(text, d)
        if r.returncode != 0:
            failed += 1
            print(f"FAIL refused:\n{text}{r.stderr}")
print(f"must not compile: {len(CASES) + len(GOOD)} cases, {failed} failed")
sys.exit(1 if failed else 0)
