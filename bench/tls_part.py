# SPDX-License-Identifier: BSD-2-Clause
"""What `bench/run` measures of TLS: streams, handshakes, whom these keep waiting, first bytes.

Streams are runs like those of the other parts, with their own client (see tlsload.c). The others
are counted in things a second and in core-seconds of the server for each. All of it is TLS 1.3 with
AES-128-GCM, by the same OpenSSL at both ends as far as a server uses OpenSSL.
"""
import json
import os
import subprocess
import sys
import time

import lab

MEMORY_PEERS = ('atlas ram', 'atlas ram-tls', 'nginx tls', 'nginx tls-4k', 'nginx tls-buffers')
DISK_PEERS = ('atlas disk', 'atlas disk-tls', 'nginx tls-threads')
WRK_PEERS, WRK_CONNECTIONS = ('atlas ram-tls', 'nginx tls'), 100
SERVERS = ('atlas ram-tls', 'nginx tls')
# A handshake's kind and the server's key. 64 clients at a time keep both servers busy: their
# own work for a handshake hides behind that of others.
HANDSHAKES = (('full', 'ecdsa'), ('full', 'rsa'), ('resumed', 'ecdsa'))
HANDSHAKE_CLIENTS = 64
# Requests beside a flood of handshakes: few enough not to be a load of their own.
PROBES, PROBE_INTERVAL_US = 16, 20000
WIDE_RTT_MS, WIDE_RATE_BPS = 100, 100000000
WIDE_WAYS = ('tls', 'tls-4k')
FAILURES = (RuntimeError, lab.Skip, OSError, ValueError, subprocess.SubprocessError)


class Tls:
    def __init__(self, bench):
        self.bench, self.o = bench, bench.o
        self.identities = {}
        self.runs = []  # but for the streams, which are among the bench's

    def identity(self, kind):
        if kind not in self.identities:
            self.identities[kind] = lab.Identity(self.bench.work, kind)
        return self.identities[kind]

    def results(self):
        return {'runs': self.runs, 'cache_bytes': lab.last_cache_bytes(),
                'wide_rtt_ms': WIDE_RTT_MS, 'wide_rate_bps': WIDE_RATE_BPS}

    def all(self):
        if not os.access(self.o.tlsload, os.X_OK):
            raise lab.Skip('there is no %s' % self.o.tlsload)
        self.streams()
        for number in range(self.o.runs):
            for kind, key in HANDSHAKES:
                for peer in SERVERS:
                    self.keep(self.handshakes, number, peer, kind, key)
            for beside in ('nothing', 'handshakes'):
                for peer in SERVERS:
                    self.keep(self.others, number, peer, beside)
        self.wide()

    def streams(self):
        b = self.bench
        b.rounds('memory tls', [(p, c) for c in self.o.connections for p in MEMORY_PEERS])
        b.rounds('memory tls wrk', [(p, WRK_CONNECTIONS) for p in WRK_PEERS])
        b.rounds('disk tls', [(p, c) for c in self.o.connections for p in DISK_PEERS])

    def keep(self, measure, number, peer, *args):
        """A run that fails is one of the results."""
        head = {'what': measure.__name__, 'peer': peer, 'run': number}
        try:
            row = measure(peer, *args)
        except FAILURES as e:
            row = {'failure': '%s: %s' % (' '.join(args), str(e)[:300])}
        lab.say('tls %s' % json.dumps({**head, **row}))
        self.runs.append({**head, **row})

    # --- handshakes -----------------------------------------------------------------------------

    def serve(self, peer, key):
        self.bench.data.warm()
        return self.bench.server('memory', peer, identity=self.identity(key))

    def load(self, mode, server, connections, *more, first=False):
        return lab.TlsLoad(self.o.tlsload, mode, server, connections,
                           *self.bench.data.shape('memory'), more=more, first=first)

    def handshakes(self, peer, kind, key):
        """As many as the two cores can do: connect, handshake, 1 KB, close."""
        with self.serve(peer, key) as server, \
                self.load(kind, server, HANDSHAKE_CLIENTS) as client:
            client.wait()
            counted, cores, spent = self.between_looks(server, client)
        count = counted['requests']
        if count == 0:
            raise RuntimeError('no handshake came to its end: %s' % counted['errors'])
        busy = max(cores['server_busy_s'], lab.TICK_S)
        return {'kind': kind, 'key': key, 'count': count, 'per_s': count / cores['seconds'],
                'per_core_s': count / busy, 'core_us': 1e6 * busy / count,
                'process_us': 1e6 * spent / count, 'server_busy': cores['server_busy'],
                'client_busy': cores['client_busy'], 'p50_ms': counted['p50_ms'],
                'p99_ms': counted['p99_ms'], 'errors': errors(counted),
                'wrong_kind': counted['full' if kind == 'resumed' else 'resumed']}

    def between_looks(self, server, client):
        """What the client counted in `seconds`, what the cores did, what the server spent."""
        client.ask()
        cores, spent = lab.Cores(), server.seconds()
        time.sleep(self.o.seconds)
        counted = client.ask()
        if not counted or not server.alive():
            server.fail('has ended, or its client has')
        return counted, lab.Cores().since(cores), server.seconds() - spent

    # --- those who wait meanwhile ---------------------------------------------------------------

    def others(self, peer, beside):
        """Small requests on connections that stand, with handshakes of others beside them. They
        are sent when they are due: their client goes before the one that floods."""
        with self.serve(peer, 'rsa') as server, \
                self.load('probe', server, PROBES, '--interval', str(PROBE_INTERVAL_US),
                          first=True) as probe:
            probe.wait()
            if beside == 'nothing':
                return {'beside': beside, **self.probed(server, probe)}
            with self.load('full', server, HANDSHAKE_CLIENTS) as flood:
                flood.wait()
                flood.ask()
                began = time.monotonic()
                row = self.probed(server, probe)
                done = flood.ask()
                if not done:
                    raise RuntimeError('the flood has ended')
                return {'beside': beside, **row, 'flood_errors': errors(done),
                        'handshakes_per_s': done['requests'] / (time.monotonic() - began)}

    def probed(self, server, probe):
        counted, cores, _ = self.between_looks(server, probe)
        return {'requests': counted['requests'], 'p50_ms': counted['p50_ms'],
                'p99_ms': counted['p99_ms'], 'errors': errors(counted),
                'server_busy': cores['server_busy'], 'client_busy': cores['client_busy']}

    # --- far away -------------------------------------------------------------------------------

    def wide(self):
        """In a program of its own, since it lives in the laboratory of the tests."""
        job = {'atlas': self.o.atlas, 'work': os.path.join(self.bench.work, 'wide'),
               'data': os.path.join(self.o.out, 'wan-data'), 'rtt_ms': WIDE_RTT_MS,
               'rate_bps': WIDE_RATE_BPS, 'runs': self.o.runs, 'ways': WIDE_WAYS,
               'cert': self.identity('ecdsa').cert, 'key': self.identity('ecdsa').key}
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'tls_wide.py')
        done = lab.sh(['taskset', '-c', ','.join(map(str, lab.CORES)), *lab.ALONE, sys.executable,
                       '-B', program, json.dumps(job)], check=False)
        if done.returncode:
            self.runs.append({'what': 'wide', 'peer': 'all', 'run': 0,
                              'failure': done.stderr.strip()[-1000:]})
            return
        for row in json.loads(done.stdout):
            lab.say('tls %s' % json.dumps(row))
            self.runs.append(row)


def errors(counted):
    return {kind: count for kind, count in counted['errors'].items() if count}
