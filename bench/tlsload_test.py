#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Whether tlsload sees what is there: it talks to a server of a few lines that does well, or badly.

    TLSLOAD=build/bench/tlsload bench/tlsload_test.py          prints TAP
"""
import json
import os
import re
import select
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import lab  # noqa: E402

OBJECTS, BODY_BYTES = 20, 40000  # a body is three records of the largest size
TLS13_OVERHEAD = 5 + 1 + 16
PLAIN_PORT, TLS_PORT = 80, 443
count = failed = 0


def ok(good, name, *details):
    global count, failed
    count += 1
    failed += not good
    print('%sok %d - %s' % ('' if good else 'not ', count, name))
    if not good:
        print('# ' + ' '.join(map(str, details)), flush=True)


class Handler(socketserver.StreamRequestHandler):
    """HTTP, as far as it is needed. The server says what is wrong with it."""

    def setup(self):
        if self.server.context:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self):
        while True:
            lines = []
            while (line := self.rfile.readline().strip()):
                lines.append(line.decode())
            if not lines:
                return
            method, path, _ = lines[0].split()
            n = int(re.search(r'(\d+)\.bin', path).group(1))
            time.sleep(self.server.world.delay_s)
            self.answer(method, n, any(l.startswith('Range:') for l in lines))

    def answer(self, method, n, small):
        size = 1024 if small else BODY_BYTES
        body = b'x' * (size + (self.server.world.too_long and method == 'GET'))
        # Heads differ in length from object to object, as those of servers do.
        head = ('HTTP/1.1 %s\r\nContent-Length: %d\r\nETag: "%s"\r\n\r\n'
                % ('206 Partial' if small else '200 OK', size, 'e' * n)).encode()
        self.wfile.write(head + (b'' if method == 'HEAD' else body))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 100

    def handle_error(self, request, client_address):
        pass  # clients that are killed do not say goodbye


class World:
    """The same objects on a plain port and on one with TLS."""

    def __init__(self, identity, tickets=2):
        self.delay_s, self.too_long = 0, False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.cert, identity.key)
        context.num_tickets = tickets
        self.servers = []
        for port, how in ((PLAIN_PORT, None), (TLS_PORT, context)):
            server = Server(('127.0.0.1', port), Handler)
            server.context, server.world = how, self
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.servers.append(server)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.shutdown()
            server.server_close()


def load(mode, *more, seconds=0.5, before=lambda: None):
    """What it says after `seconds`; {} if it is never ready."""
    tls = '--plain' not in more
    process = subprocess.Popen(
        [os.environ['TLSLOAD'], mode, '--connections', '4', '--objects', str(OBJECTS),
         '--plain-port', str(PLAIN_PORT), *more, '127.0.0.1', str(TLS_PORT if tls else PLAIN_PORT)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if not select.select([process.stdout], [], [], 10)[0] or \
                process.stdout.readline() != 'ready\n':
            return {}
        before()
        time.sleep(seconds)
        process.stdin.write('\n')
        process.stdin.flush()
        return json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        try:
            process.wait(5)
        finally:
            process.kill()


def test_streams(world):
    for way in ((), ('--plain',)):
        said = load('drain', *way)
        ok(said and said['requests'] > 10 and not any(said['errors'].values()),
           'drain %s: responses of different lengths' % ' '.join(way), said)
        each = said.get('bytes', 0) / max(said.get('requests', 0), 1)
        most = BODY_BYTES + 200 + (0 if way else 4 * TLS13_OVERHEAD)
        ok(BODY_BYTES * 0.8 < each < most * 1.2, 'each counts what it has on the wire', each)

    def spoil():
        world.too_long = True
    for way in ((), ('--plain',)):
        said = load('drain', *way, before=spoil)
        ok(said and said['errors']['response'] > 0,
           'drain %s: one byte too many is an error' % ' '.join(way), said)
        world.too_long = False


def test_handshakes(identity):
    with World(identity):
        said = load('full')
        ok(said and said['full'] > 10 and said['resumed'] == 0 and
           abs(said['full'] - said['requests']) <= 8 and not any(said['errors'].values()),
           'full handshakes', said)
        said = load('resumed')
        ok(said and said['resumed'] > 10 and said['full'] == 0 and
           not any(said['errors'].values()), 'resumed ones', said)
    with World(identity, tickets=0):
        said = load('resumed')
        ok(said and said['resumed'] == 0 and said['full'] > 0, 'without tickets, none is', said)


def test_probe(world):
    said = load('probe', '--interval', '20000')
    ok(said and 40 <= said['requests'] <= 400 and said['p50_ms'] < 100,
       'probe keeps its pace', said)

    def slow():
        world.delay_s = 0.04
    said = load('probe', '--plain', '--interval', '10000', seconds=1.5, before=slow)
    ok(said and said['p50_ms'] > 200, 'a request waits from when it was due', said)
    world.delay_s = 0


def main():
    if os.geteuid() != 0 or subprocess.run(lab.ALONE + ['true'], capture_output=True).returncode:
        print('1..0 # SKIP needs root and namespaces')
        return 0
    if not os.environ.get('BENCH_INSIDE'):
        lab.enter()
    lab.sh('ip link set lo up')
    with tempfile.TemporaryDirectory() as folder:
        identity = lab.Identity(folder, 'ecdsa')
        with World(identity) as world:
            test_streams(world)
            test_probe(world)
        test_handshakes(identity)
    print('1..%d' % count)
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())
