# SPDX-License-Identifier: BSD-2-Clause
"""diskmap.ko for the kernel that the tests boot."""
import os
import re
import subprocess

import guest

PATH = guest.scratch('module/diskmap.ko')
SOURCES = os.path.join(guest.ROOT, 'kernel', 'diskmap')


def build(again=False):
    """(whether it is there and nothing was complained of, what was said)."""
    newest = max(os.stat(os.path.join(SOURCES, name)).st_mtime for name in os.listdir(SOURCES))
    if not again and os.path.exists(PATH) and os.stat(PATH).st_mtime > newest:
        return True, ''
    done = subprocess.run([os.path.join(guest.ROOT, 'tools', 'build-module'),
                           os.path.join(guest.KERNEL, 'headers'), os.path.dirname(PATH)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    complaints = re.findall(r'.*\b(?:warning|error)\b.*', done.stdout, re.I)
    return done.returncode == 0 and not complaints and os.path.exists(PATH), done.stdout
