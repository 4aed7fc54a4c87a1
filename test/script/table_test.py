#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Holds the tables of README.md against the cases: no requirement without a case or a reason.

    table_test.py FOLDER
"""
import glob
import os
import re
import sys

# Appendix B of RFC 9293.
LAST = {"MUST": 69, "SHLD": 31}
ROW = re.compile(r"\| (MUST|SHLD)-(\d+) \| [^|]+ \| ([^|]+) \|")
NAMED = re.compile(r"`(\w+)` \((\d+)\)")


def read_cases(folder):
    """Name of the file -> titles of its cases."""
    cases = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.trace"))):
        with open(path, encoding="utf-8") as f:
            titles = [line[5:].strip() for line in f if line.startswith("case ")]
        cases[os.path.basename(path)[:-len(".trace")]] = titles
    return cases


def found(cases, requirement):
    """File -> how many of its titles name the requirement."""
    names = re.compile(rf"\b{requirement}\b")
    counts = {name: sum(bool(names.search(t)) for t in titles) for name, titles in cases.items()}
    return {name: n for name, n in counts.items() if n}


def check(what, wrong):
    check.count += 1
    for line in wrong:
        print("#", line)
    print(f"{'not ok' if wrong else 'ok'} {check.count} - {what}")
    check.failed |= bool(wrong)


check.count, check.failed = 0, False


def main(folder):
    cases = read_cases(folder)
    with open(os.path.join(folder, "README.md"), encoding="utf-8") as f:
        rows = {(kind, int(n)): cell for kind, n, cell in ROW.findall(f.read())}
    wanted = [(kind, n) for kind, last in LAST.items() for n in range(1, last + 1)]
    check("every requirement has a row",
          [f"{kind}-{n} has none" for kind, n in wanted if (kind, n) not in rows])
    wrong = []
    for (kind, n), cell in rows.items():
        named = {name: int(count) for name, count in NAMED.findall(cell)}
        there = found(cases, f"{kind}-{n}")
        if named != there:
            wrong.append(f"{kind}-{n}: the table says {named}, the files have {there}")
        elif not there and len(cell) < 10:
            wrong.append(f"{kind}-{n}: neither a case nor a reason")
    check("every row names the files that have cases for it, or says why there are none", wrong)
    titles = [t for listed in cases.values() for t in listed]
    check("every title is the only one of its kind",
          sorted({t for t in titles if titles.count(t) > 1}))
    check("every title names a section of an RFC",
          [t for t in titles if not re.match(r"RFC \d+ (?:[\dA]|MUST-|SHLD-|MAY-)|RFC 792:", t)])
    print(f"1..{check.count}")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
