# SPDX-License-Identifier: BSD-2-Clause
"""What `bench/wan` measures, one network at a time: a server, the middlebox, a client of Linux.

A job is a dict that says all of it (see `Job`), an outcome is a dict of what was seen. Jobs run in
worker processes, each in namespaces of its own, several at a time: at a rate such as 20 Mbit/s the
machine is idle, and the middlebox tells of every run whether its packets left when they should.

All clients are sockets of the kernel on the left, all servers are on the right. Since the
middlebox draws from the order in which flows appear, the n-th connection of a job with the same
seed meets the same losses, packet by packet, whichever server it asks.
"""
import json
import os
import random
import select
import shutil
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'test', 'e2e'))

import lab  # noqa: E402
import wan  # noqa: E402

LOSSES = {
    'none': {},
    '0.1 %': {'to_left_loss': 0.001},
    '1 %': {'to_left_loss': 0.01},
    '3 %': {'to_left_loss': 0.03},
    'burst': {'to_left_burst': 'p=0.0025,r=0.25'},  # one in a hundred, four in a row
    'both': {'loss': 0.01},                         # 1 % of the ACKs as well
}
RTTS_MS = (10, 40, 100, 200)
QUEUES_BDP = (0.25, 1, 4)
SERVERS = ('atlas', 'nginx')
# The kernel's name of an algorithm, and ours. The third is a BBR on both sides, of two versions.
ALGORITHMS = {'cubic': 'cubic', 'reno': 'newreno', 'bbr': 'bbr'}
SHORT_BYTES, LONG_BYTES = 300000, 56 << 20
SHORT_TIMEOUT_S, SHORTS_DEADLINE_S = 30, 40
READ_BYTES = 1 << 18
PRIORITY = ['nice', '-n', '-15']
LATE_US = 2000           # of a hundred packets, one at most may be later than that
TIMED_OUT = (TimeoutError, socket.timeout)


class World:
    """What wan.Wan needs of a test's laboratory: a folder, and the servers that run."""

    def __init__(self, folder):
        self.dir, self.servers = folder, []
        os.makedirs(folder, exist_ok=True)

    def path(self, *names):
        return os.path.join(self.dir, *names)


def make_data(folder, atlas):
    """The two objects, as files and as the volume that atlas is to hold in memory."""
    tree, volume = os.path.join(folder, 'tree'), os.path.join(folder, 'volume')
    if not os.path.exists(volume):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(tree)
        for name, size in (('short', SHORT_BYTES), ('long', LONG_BYTES)):
            with open(os.path.join(tree, name), 'wb') as f:
                f.write(os.urandom(size))
        subprocess.run([atlas, 'pack', volume, tree], check=True, stdout=subprocess.DEVNULL)
    return tree, volume


def bdp_bytes(rate_bps, rtt_ms):
    return rate_bps * rtt_ms // 8000


def network(world, job):
    """The middlebox for a job: a slow link and a queue towards the client, losses, delay."""
    queue = max(int(bdp_bytes(job['rate_bps'], job['rtt_ms']) * job['queue_bdp']), 4 * 1514)
    net = wan.Wan(world, delay=job['rtt_ms'] / 2, flows_by='order', seed=job['seed'],
                  to_left_rate=job['rate_bps'], to_left_queue=queue,
                  to_right_jitter=job.get('jitter_ms', 0), **LOSSES[job['loss']])
    # The sysctl offers a namespace only what the machine allows to everybody; a route takes all.
    net.right.sh('ip route change 10.9.0.0%s dev wan0 src %s congctl %s'
                 % (wan.BITS, net.right.addr, job['cc']))
    return net


def start(net, kind, job):
    if kind == 'atlas':
        more = ['--cc', ALGORITHMS[job['cc']], '--arena', '16', *job.get('atlas_more', ())]
        source = ['--volume', ('' if job.get('disk') else 'ram:') + job['volume']]
        return net.right.atlas(source, more)
    return net.right.nginx(job['tree'])


# --- a client -----------------------------------------------------------------------------------


class Fetch:
    """GET on a connection of its own. The clock starts before the SYN."""

    def __init__(self, side, server, path, timeout_s=SHORT_TIMEOUT_S, port=lab.PORT):
        self.began = time.monotonic()
        with side:
            self.socket = socket.socket()
        self.socket.settimeout(timeout_s)
        self.socket.connect((server.addr, port))
        self.steps = []  # (seconds, bytes of the body) after each read
        self.ask(path)

    def ask(self, path):
        self.socket.sendall(('GET %s HTTP/1.1\r\nHost: bench\r\n\r\n' % path).encode())
        self.size = None
        self.got = 0  # of the body

    def read(self):
        """One read; False at the end of the body."""
        part = self.socket.recv(READ_BYTES)
        if not part:
            raise OSError('the server closed after %d of %s bytes' % (self.got, self.size))
        if self.size is None:
            part = self._head(part)
        self.got += len(part)
        self.steps.append((time.monotonic() - self.began, self.got))
        return self.got < self.size

    def _head(self, part):
        while b'\r\n\r\n' not in part:
            part += self.socket.recv(READ_BYTES)
        head, _, body = part.partition(b'\r\n\r\n')
        if b' 200 ' not in head.split(b'\r\n')[0]:
            raise OSError('answered %r' % head[:40])
        self.size = next(int(l.split(b':')[1]) for l in head.lower().split(b'\r\n')
                         if l.startswith(b'content-length'))
        return body

    def until(self, end):
        """Reads until that time; at the end of the object asks no more."""
        while (left := end - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0] and not self.read():
                raise OSError('the object is too short for such a rate')

    def bytes_at(self, seconds):
        return max((got for when, got in self.steps if when <= seconds), default=0)

    def close(self):
        self.socket.close()


def fetch_shorts(net, server, count):
    """Completion times in seconds; None for one that did not come to its end in time."""
    took, deadline = [], time.monotonic() + SHORTS_DEADLINE_S
    for _ in range(count):
        if time.monotonic() > deadline:
            break
        try:
            fetch = Fetch(net.left, server, '/short')
        except TIMED_OUT:
            took.append(None)
            continue
        try:
            while fetch.read():
                pass
            took.append(round(fetch.steps[-1][0], 4))
        except TIMED_OUT:
            took.append(None)
        finally:
            fetch.close()
    return took


# --- jobs ---------------------------------------------------------------------------------------


def counters(net, kind, server):
    """What the sender counted: of the kernel, or of atlas."""
    if kind == 'atlas':
        return {k[6:]: v for k, v in server.metrics().items() if k.startswith('atlas_tcp_')}
    return {k: v for k, v in net.right.netstat().items() if k.startswith('Tcp')}


def difference(before, after):
    return {k: v - before.get(k, 0) for k, v in after.items() if v != before.get(k, 0)}


def health(net):
    """Whether the network was the one asked for: {} if so, else what was wrong."""
    stats, wrong = net.stats(), {}
    if stats['late_us']['p99'] > LATE_US:
        wrong['late_us'] = stats['late_us']
    for side in net.sides:
        if side.queue_drops():
            wrong['queue_drops_' + side.name] = side.queue_drops()
    for name in ('to_left', 'to_right'):
        if stats[name]['drop_memory']:
            wrong['drop_memory'] = stats[name]['drop_memory']
    return stats, wrong


def seen(net, job, outcome):
    stats, wrong = health(net)
    for name, key in (('to_left', 'path'), ('to_right', 'path_back')):
        outcome[key] = {k: v for k, v in stats[name].items() if v and isinstance(v, int)}
    outcome['late_us'] = stats['late_us']
    if wrong:
        outcome['void'] = wrong
    return outcome


def run_download(world, job):
    """First some short objects, one after the other, then a long one for a fixed time."""
    kind, outcome = job['server'], {}
    with network(world, job) as net:
        server = start(net, kind, job)
        outcome['short_s'] = fetch_shorts(net, server, job['shorts'])
        before = counters(net, kind, server)
        fetch = Fetch(net.left, server, '/long')
        fetch.until(fetch.began + job['seconds'])
        outcome['goodput_bps'] = round(fetch.got * 8 / job['seconds'])
        outcome['each_second'] = [fetch.bytes_at(s + 1) - fetch.bytes_at(s)
                                  for s in range(job['seconds'])]
        outcome['counters'] = difference(before, counters(net, kind, server))
        fetch.close()
        return seen(net, job, outcome)


def settled_share(side, server, job, begin, end):
    """What one connection gets from begin + settle_s to the end, in bit/s. It asks for the object
    again when there is no more of it: a settling time may be long."""
    settled_at, got = begin + job['settle_s'], 0
    fetch = Fetch(side, server, '/long')
    while True:
        before = fetch.got
        more = fetch.read()
        if time.monotonic() > settled_at:
            got += fetch.got - before
        if time.monotonic() > end:
            break
        if not more:
            fetch.ask('/long')
    fetch.close()
    return got * 8 / job['seconds']


def run_fairness(world, job):
    """Two connections of each server through one queue, beginning one after the other in an order
    that the seed draws; shares of what arrives once all of them have had time to meet."""
    draw = random.Random(job['seed'])
    order = [*SERVERS, *SERVERS]
    draw.shuffle(order)
    got = {kind: [] for kind in SERVERS}
    failures = []
    with network(world, job) as net:
        servers = {kind: start(net, kind, job) for kind in SERVERS}
        begin = time.monotonic()
        end = begin + job['settle_s'] + job['seconds']

        def flow(kind, at):
            try:
                time.sleep(at)
                got[kind].append(settled_share(net.left, servers[kind], job, begin, end))
            except OSError as e:
                failures.append('%s: %s' % (kind, e))

        flows = [threading.Thread(target=flow, args=(kind, i * 0.5 + draw.uniform(0, 0.4)))
                 for i, kind in enumerate(order)]
        for thread in flows:
            thread.start()
        for thread in flows:
            thread.join()
        if failures:
            raise RuntimeError('; '.join(failures))
        return seen(net, job, {'order': order, 'goodput_bps': got})


KINDS = {'download': run_download, 'fairness': run_fairness}


def run(job, folder):
    """A job's outcome; what went wrong is part of it."""
    world = World(folder)
    try:
        return KINDS[job['kind']](world, job)
    except (RuntimeError, OSError, LookupError, ValueError, subprocess.SubprocessError) as e:
        return {'failure': '%s: %s' % (type(e).__name__, e)}
    finally:
        for server in list(world.servers):
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


# --- workers ------------------------------------------------------------------------------------


def work(folder):
    """The life of a worker: jobs come in as lines of JSON, outcomes go out."""
    lab.sh('ip link set lo up')
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line), folder)), flush=True)


class Worker:
    """A process that does one job after the other, in namespaces that die with it. It and its
    children go before whatever else the machine does: the kernel's TCP does its work when a packet
    arrives, and a server that is a process shall not have to wait for its turn."""

    def __init__(self, program, folder):
        wrap = ['unshare', '--net', '--mount-proc', '--pid', '--fork', '--kill-child=KILL']
        if subprocess.run([*PRIORITY, 'true'], capture_output=True).returncode == 0:
            wrap = PRIORITY + wrap
        self.process = subprocess.Popen(
            [*wrap, sys.executable, '-B', program, '--worker', folder], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, job):
        self.process.stdin.write(json.dumps(job) + '\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError('a worker has ended')
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
