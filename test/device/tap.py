# SPDX-License-Identifier: BSD-2-Clause
"""TAP for the device tests: what is asserted here, and what is asserted in a guest."""
import re
import sys
import traceback

_count = 0
_failed = 0

RELAYED = re.compile(r'(not )?ok (?:\d+ )?- (.*)')


def diag(*lines):
    for line in lines:
        for part in str(line).splitlines():
            print('#', part, flush=True)


def ok(good, name, *details):
    """One assertion. The details are printed when it fails. Says whether it holds."""
    global _count, _failed
    _count += 1
    print('%s %d - %s' % ('ok' if good else 'not ok', _count, name), flush=True)
    if not good:
        _failed += 1
        diag(*details)
    return bool(good)


def relay(line):
    """A line from a guest: a test of its own, or something worth showing."""
    match = RELAYED.match(line)
    if match:
        ok(not match.group(1), match.group(2))
    elif line.strip():
        diag(line[2:] if line.startswith('# ') else line)


def skip_all(why):
    print('1..0 # SKIP', why, flush=True)
    sys.exit(0)


def run(main, obstacle):
    """Calls main() unless there is an obstacle (a reason to skip), prints the plan, and exits."""
    if obstacle:
        skip_all(obstacle)
    try:
        main()
    except Exception as e:  # the plan is printed all the same
        ok(False, 'the test runs to its end: %s' % e, traceback.format_exc())
    print('1..%d' % _count, flush=True)
    sys.exit(1 if _failed else 0)
