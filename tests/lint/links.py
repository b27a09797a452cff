#!/usr/bin/python3
"""Links between the project's own documents lead somewhere."""
import os
import re
import subprocess
import sys

ROOT = sys.argv[1]
files = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "*.md"],
                       capture_output=True, text=True, check=True).stdout.split()
broken = 0
for path in files:
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", f.read()):
            if not re.match(r"[a-z]+:", target) and not os.path.exists(os.path.join(ROOT, os.path.dirname(path), target)):
                print(f"{path}: {target} does not exist")
                broken += 1
print(f"links: {len(files)} documents, {broken} broken")
sys.exit(1 if broken or not files else 0)
