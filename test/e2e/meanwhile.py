# SPDX-License-Identifier: BSD-2-Clause
"""Clients that fetch while something else happens to the server, and are not to notice."""
import hashlib
import http.client
import subprocess
import threading
import time

import lab

WELL_S = 10  # a flood may leave a client waiting for so long
CROWD_STACK_BYTES = 256 << 10


class Meanwhile:
    """curl, which fetches and compares for as long as the with-block lasts."""

    def __init__(self, world, server, what):
        self.what = what
        script = ('n=0; while :; do curl -sf -m 20 %s/file.bin | cmp -s - %s || exit 1; '
                  'n=$((n+1)); echo $n; [ -e %s ] && exit 0; done'
                  % (server.url, world.path('tree/file.bin'), world.path('enough')))
        self.flag, self.script, self.world = world.path('enough'), script, world

    def __enter__(self):
        self.child = self.world.spawn(['sh', '-c', self.script], stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        open(self.flag, 'w').close()
        out, _ = self.child.communicate(timeout=60)
        lab.sh(['rm', self.flag])
        lab.ok(self.child.returncode == 0, 'curl fetches during: ' + self.what,
               '%d went well' % len(out.split()))
        lab.diag('%s: %d fetches meanwhile' % (self.what, len(out.split())))


class Crowd:
    """Many clients at once: each fetches a file, on a connection of its own every time, compares
    its digest, and pauses, for as long as the with-block lasts. Each fetches once at the least."""

    def __init__(self, server, path, content, what, clients, patience_s, pause_s=0.05,
                 get=lab.get):
        self.server, self.path, self.what = server, path, what
        self.digest = hashlib.sha256(content).digest()
        self.patience_s, self.pause_s, self.get = patience_s, pause_s, get
        self.enough = threading.Event()
        self.lock = threading.Lock()
        self.times, self.failures = [], []
        threading.stack_size(CROWD_STACK_BYTES)
        self.threads = [threading.Thread(target=self._client, daemon=True)
                        for _ in range(clients)]

    def _client(self):
        while True:
            began = time.monotonic()
            try:
                status, _, body = self.get(self.server, self.path, timeout_s=self.patience_s)
                wrong = None if status == 200 else 'status %d' % status
                if not wrong and hashlib.sha256(body).digest() != self.digest:
                    wrong = 'wrong bytes'
            except (OSError, http.client.HTTPException) as e:
                wrong = repr(e)
            with self.lock:
                self.times.append(time.monotonic() - began)
                if wrong:
                    self.failures.append('%s after %.1f s' % (wrong, self.times[-1]))
            if self.enough.wait(self.pause_s):
                return

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.enough.set()
        end = time.monotonic() + 2 * self.patience_s
        for t in self.threads:
            t.join(max(0, end - time.monotonic()))
        hung = sum(t.is_alive() for t in self.threads)
        times = sorted(self.times)
        lab.ok(not self.failures and not hung and len(times) >= len(self.threads),
               '%d clients fetch, every time, during: %s' % (len(self.threads), self.what),
               '%d of %d fetches failed, %d clients hang' % (len(self.failures), len(times), hung),
               *self.failures[:10])
        if times:
            lab.diag('%s: %d fetches meanwhile; half took %.3f s or less, 99 %% %.3f s, the '
                     'longest %.3f s' % (self.what, len(times), times[len(times) // 2],
                                         times[len(times) * 99 // 100], times[-1]))


def well(server, what):
    try:
        answered = lab.get(server, '/small.bin', timeout_s=WELL_S)[0]
    except OSError as e:
        answered = repr(e)
    lab.ok(server.alive() and server.healthy() and answered == 200,
           'the server is well after: ' + what, answered)
