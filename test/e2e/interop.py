#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Our TCP and Linux's understand each other over the worst networks that the middlebox makes.

A thousand transfers and more, of one byte to a few megabytes, many at a time, and every body is
held against its digest: nothing may hang, and no byte may be wrong.

    the kernel fetches from atlas       stormload and curl, on connections that last and that do not
    our stack fetches from nginx        stormload with a TCP of its own
    our stack fetches from atlas        the same

Each client meets each of the networks below.
"""
import concurrent.futures
import hashlib
import json
import os
import random
import shutil
import subprocess
import urllib.parse

import lab
import wan
from lab import diag, ok, step

SEED = 20
FILES, LARGEST = 60, 3 << 20
TRANSFERS = max(int(60 * lab.SCALE), 30)  # of one stormload
CURLS = max(int(30 * lab.SCALE), 10)
CONNECTIONS, CURLS_AT_ONCE = 24, 8
TIMEOUT_S, ENOUGH_S = 40, 100 / min(lab.SCALE, 1)
STORM_TAP = 'storm0'

# What a network does, and which of the middlebox's counters must have moved.
NETWORKS = {
    'all at once': (
        dict(delay='2-20', loss=0.01, burst='p=0.004,r=0.6', reorder=0.02, reorder_by=4,
             duplicate=0.02, corrupt=0.005, rate='60M', queue='64k'),
        ('drop_loss', 'drop_burst', 'drop_queue', 'reordered', 'duplicated', 'corrupted')),
    'a short queue that marks': (
        dict(delay='1-15', rate='60M', queue='30p', ecn_mark='5p', reorder=0.01, reorder_by=2),
        ('drop_queue', 'ecn_marked', 'reordered')),
    'a quarter is overtaken, every tenth comes twice': (
        dict(delay='5-10', rate='60M', queue='128k', reorder=0.25, reorder_by=8, duplicate=0.1),
        ('reordered', 'duplicated')),
    'one in twenty is lost, both ways': (
        dict(delay=2, loss=0.05, rate='100M', queue='128k'), ('drop_loss',)),
}


class Files:
    """A tree with files of all sizes, the paths, and what sha256sum says of them."""

    def __init__(self, world):
        self.tree, rnd = world.path('tree'), random.Random(SEED)
        self.digests, lines = {}, []
        for i in range(FILES):
            size = 1 if i == 0 else LARGEST if i == 1 else int(LARGEST ** rnd.random())
            body = rnd.randbytes(size)
            lab.write_file(os.path.join(self.tree, '%d.bin' % i), body)
            digest = hashlib.sha256(body).hexdigest()
            self.digests['/%d.bin' % i] = digest
            lines.append('%s  ./%d.bin\n' % (digest, i))
        self.paths = list(self.digests)
        self.urls, self.manifest = world.path('urls'), world.path('manifest')
        lab.write_file(self.urls, '\n'.join(self.paths).encode())
        lab.write_file(self.manifest, ''.join(lines).encode())


class Storm:
    """stormload on the left, by the kernel's TCP or by ours, while others do the same."""

    def __init__(self, net, files, server, seed, ours=False, close=False):
        self.name = '%s from %s%s' % ('our stack' if ours else 'the kernel', server.name,
                                      ', a connection each' if close else '')
        own = ['--port', 'tap:' + STORM_TAP, '--addr', net.left.atlas_addr + wan.BITS]
        self.child = net.left.spawn(
            [os.environ['STORMLOAD'], '--json', '-', *(own if ours else ()),
             *(('--close',) if close else ()), '--connections', str(CONNECTIONS),
             '--requests', str(TRANSFERS), '--timeout', str(TIMEOUT_S), '--seed', str(seed),
             '--urls', files.urls, '--verify', files.manifest, server.url],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def verdict(self, network):
        """How many bodies were right."""
        try:
            out, err = self.child.communicate(timeout=ENOUGH_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            ok(False, '%s: %s ends' % (network, self.name), 'not within %d s' % ENOUGH_S)
            return 0
        report = json.loads(out) if out.startswith('{') else {}
        wrong = {k: n for k, n in report.get('errors', {'no report': 1}).items() if n}
        good = self.child.returncode == 0 and not wrong and report['verified'] == TRANSFERS
        ok(good, '%s: %s, every body is right' % (network, self.name), self.child.returncode,
           wrong, report, err)
        return report.get('verified', 0)


def curl(side, server, path, digest):
    """What went wrong, or None."""
    got = subprocess.run(side.prefix + ['curl', '-sS', '--fail', '--max-time', str(TIMEOUT_S),
                                        server.url + urllib.parse.quote(path)],
                         capture_output=True)
    if got.returncode != 0:
        return '%s: %s' % (path, got.stderr.decode(errors='replace').strip())
    if hashlib.sha256(got.stdout).hexdigest() != digest:
        return '%s: %d bytes with a wrong digest' % (path, len(got.stdout))
    return None


def curls(net, files, server):
    """A client that is not ours either checks a part."""
    rnd = random.Random(SEED + 1)
    chosen = [rnd.choice(files.paths) for _ in range(CURLS)]
    with concurrent.futures.ThreadPoolExecutor(CURLS_AT_ONCE) as pool:
        return list(pool.map(lambda p: curl(net.left, server, p, files.digests[p]), chosen))


def own_port(side):
    side.sh('ip tuntap add dev %s mode tap; ip link set %s mtu %d txqueuelen %d master wan0 up'
            % (STORM_TAP, STORM_TAP, side.net.mtu, wan.QUEUE_PACKETS))


def meet(world, files, name, options, counters):
    """All clients over one network; returns how many bodies were right."""
    with wan.Wan(world, seed=SEED, sysctls={'net.ipv4.tcp_ecn': 1}, **options) as net:
        own_port(net.left)
        atlas = net.right.atlas(['--root', files.tree])
        nginx = net.right.nginx(files.tree)
        storms = [Storm(net, files, atlas, 1), Storm(net, files, atlas, 2, close=True),
                  Storm(net, files, nginx, 3, ours=True)]
        wrong = [w for w in curls(net, files, atlas) if w]
        ok(not wrong, '%s: curl from atlas, every body is right' % name, *wrong)
        good = sum(storm.verdict(name) for storm in storms) + CURLS - len(wrong)
        last = Storm(net, files, atlas, 4, ours=True, close=True)
        good += last.verdict(name)
        stats = net.settled()
        # Only what says that it understands marks is marked.
        ect = sum(side.netstat()['IpExt.InECT0Pkts'] for side in net.sides)
        still = [c for c in counters if not stats['to_left'][c] and (ect or c != 'ecn_marked')]
        ok(not still, '%s: it did what it was to do' % name, still, stats)
        diag('%s: late by (us): %s' % (name, stats['late_us']))
        atlas.settles(30, '%s: atlas holds nothing any more' % name)
        for server in (atlas, nginx):
            server.stop()
    return good


def main(world):
    files, good = Files(world), 0
    for name, (options, counters) in NETWORKS.items():
        with step(name):
            good += meet(world, files, name, options, counters)
    whole = len(NETWORKS) * (4 * TRANSFERS + CURLS)
    ok(good == whole, '%d transfers, every byte right' % whole, good)


if not os.access(wan.program(), os.X_OK):
    lab.skip_all('needs the middlebox: %s is not there' % wan.program())
if not shutil.which('nginx'):
    lab.skip_all('needs nginx')
lab.run(main, tools=('sysctl', 'curl'))
