# SPDX-License-Identifier: BSD-2-Clause
"""How long a client far away waits for the first byte over TLS, and for the first megabyte.

    tls_wide.py JOB

JOB is a JSON object, see `Tls.wide` in tls_part.py; prints a JSON list, one object for each
connection. The network is that of test/e2e/wan.py: a long way, no loss, a queue that holds what
the link carries in a round trip.

Clocks start before the SYN. The client, Python's, is told of the server's certificate only that it
is the right one; it does not delay small segments (TCP_NODELAY), as browsers do not. Nothing is
learnt from connection to connection but the ticket, and each server is new to the kernel.
"""
import importlib.util
import json
import os
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import wan_cells as cells  # noqa: E402  (which finds the laboratory of the tests)
import lab  # noqa: E402
import wan  # noqa: E402

PATH = '/long'
FIRST_MB = 1000000
KINDS = ('full', 'resumed')


def bench_lab():
    """The benchmarks' own laboratory has the same name as that of the tests."""
    spec = importlib.util.spec_from_file_location('bench_lab', os.path.join(HERE, 'lab.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BENCH = bench_lab()


class Identity(BENCH.Identity):
    """One that is there already."""

    def __init__(self, cert, key):
        self.cert, self.key = cert, key


class SecureNginx(wan.WanNginx):
    """nginx on a side's kernel, configured as the other benchmarks have it."""

    def __init__(self, side, root, way, identity):
        self.way, self.identity = way, identity
        super().__init__(side, root, 'nginx-' + way)

    def _start(self, root, header_s, idle_s, tls=None):
        work = self.lab.path(self.name)
        os.makedirs(work, exist_ok=True)
        conf = os.path.join(work, 'nginx.conf')
        BENCH.write(conf, BENCH.nginx_conf(work, self.addr, root, self.way, self.identity))
        self.spawn(self.inside + ['nginx', '-p', work, '-e', 'stderr', '-c', conf])
        if not lab.wait_for(lambda: lab.port_answers(self.addr, BENCH.TLS_PORT), 10):
            raise RuntimeError('nginx does not answer')


class Fetch(cells.Fetch):
    """GET over TLS, with the session of an earlier one or without."""

    def __init__(self, side, server, context, session):
        self.context, self.session = context, session
        super().__init__(side, server, PATH, port=BENCH.TLS_PORT)

    def ask(self, path):
        self.connected_s = time.monotonic() - self.began
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = self.context.wrap_socket(self.socket, session=self.session)
        self.greeted_s = time.monotonic() - self.began
        super().ask(path)

    def seconds_to(self, size):
        return next(when for when, got in self.steps if got >= size)


def measure(net, server, context, session):
    """(a row, the newest session)"""
    fetch = Fetch(net.left, server, context, session)
    while fetch.read() and fetch.got < FIRST_MB:
        pass
    reused = fetch.socket.session_reused
    if reused != bool(session):
        raise RuntimeError('%s: resumed: %s' % (server.name, reused))
    row = {'connect_ms': 1e3 * fetch.connected_s, 'greet_ms': 1e3 * fetch.greeted_s,
           'first_ms': 1e3 * fetch.seconds_to(1), 'mb_ms': 1e3 * fetch.seconds_to(FIRST_MB)}
    newest = fetch.socket.session
    fetch.close()
    return row, newest


def start(net, way, tree, volume, identity):
    if way == 'atlas':
        return net.right.atlas(['--volume', 'ram:' + volume],
                               ['--arena', '16', *BENCH.atlas_tls(identity)])
    return SecureNginx(net.right, tree, way, identity)


def visit(world, job, way, data, seed):
    """One server, once it has answered somebody: a client that is new, then the same with a
    ticket."""
    identity = Identity(job['cert'], job['key'])
    rows, session = [], None
    with cells.network(world, {'rtt_ms': job['rtt_ms'], 'rate_bps': job['rate_bps'], 'seed': seed,
                               'queue_bdp': 1, 'loss': 'none', 'cc': 'cubic'}) as net:
        server = start(net, way, *data, identity)
        measure(net, server, identity.context(), None)
        net.settled()
        context = identity.context()
        for kind in KINDS:
            row, session = measure(net, server, context, session)
            rows.append({'kind': kind, **row})
            net.settled()  # what the last one left behind is in nobody's way
        late = cells.health(net)[1]
    return [{**row, 'late': late} for row in rows]


def main():
    job = json.loads(sys.argv[1])
    os.environ['ATLAS'] = job['atlas']
    data = cells.make_data(job['data'], job['atlas'])
    world, rows = cells.World(job['work']), []
    for seed in range(1, job['runs'] + 1):
        for way in ('atlas', *job['ways']):
            head = {'what': 'wide', 'peer': 'atlas' if way == 'atlas' else 'nginx ' + way,
                    'run': seed - 1}
            try:
                rows += [{**head, **row} for row in visit(world, job, way, data, seed)]
            except (RuntimeError, OSError, StopIteration) as e:
                rows.append({**head, 'failure': str(e)[-300:]})
    json.dump(rows, sys.stdout)


if __name__ == '__main__':
    main()
