#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Paths that take less than both ends: with a router that says so, and with one that does not."""
import hashlib
import http.client
import json
import os
import random
import subprocess
import time

import lab
import wan
from lab import diag, ok, step

SEED = 4821
BYTES = 3 << 20
HOLES = (1400, 1280)
FIRST_S, NEXT_S = 5, 1.5  # the first client waits for two timeouts, the next for none
WITHIN = 8                # bytes; the search ends there
DELAY_MS = 10
ATLAS6 = 'fd09::4'
FAR_ADDR, FAR_MTU = '10.0.9.2', 1300


def tree(world):
    body = random.Random(SEED).randbytes(BYTES)
    lab.write_file(world.path('tree', 'big.bin'), body)
    return world.path('tree'), hashlib.sha256(body).hexdigest()


def counters(server):
    """TCP's own, by name."""
    found = {}
    for key, value in server.metrics().items():
        if key.startswith('atlas_tcp_'):
            found[key[len('atlas_tcp_'):].removesuffix('_total')] = value
    return found


class Client:
    """A connection from the other side of the network, by the kernel's stack."""

    def __init__(self, side, addr):
        self.http = http.client.HTTPConnection(addr, lab.PORT, timeout=60)
        with side:
            self.http.connect()

    def fetch(self, path='/big.bin'):
        """(digest, seconds)"""
        began = time.monotonic()
        self.http.request('GET', path)
        body = self.http.getresponse().read()
        return hashlib.sha256(body).hexdigest(), time.monotonic() - began

    def close(self):
        self.http.close()


def packet_sizes(server):
    """Of each connection that is open, in bytes."""
    page = json.loads(server.admin('/status?connections=10'))
    return [row['path_mtu'] for row in page['connections'] if row['state'] == 'established']


def settle(server, client):
    """Fetches until the search for the path's size is over."""
    for _ in range(8):
        before = counters(server)['mtu_probes']
        client.fetch()
        if counters(server)['mtu_probes'] == before:
            return


def black_hole(world, root, want, hole, addr, more=()):
    name = '%s behind a silent link of %d bytes' % ('IPv6' if ':' in addr else 'IPv4', hole)
    with wan.Wan(world, delay=DELAY_MS, path_mtu=hole) as net:
        server = net.right.atlas(['--root', root], more=['--addr', ATLAS6 + '/64', *more])
        first = Client(net.left, addr)
        got, seconds = first.fetch()
        ok(got == want and seconds < FIRST_S, '%s: 3 MB arrive, byte for byte' % name,
           'digest %s, %.1f s' % (got == want, seconds))
        n = counters(server)
        diag('%.2f s, %s' % (seconds, {k: v for k, v in n.items() if 'mtu' in k or 'hole' in k}))
        ok(n['black_holes'] == 1, name + ': the black hole was noticed, once', n)
        settle(server, first)
        sizes = packet_sizes(server)
        ok(len(sizes) == 1 and hole - WITHIN < sizes[0] <= hole,
           name + ': packets are as large as fit', sizes)
        first.close()
        second = Client(net.left, addr)
        got, seconds = second.fetch()
        second.close()
        ok(got == want and seconds < NEXT_S, name + ': the next client does not wait',
           'digest %s, %.1f s' % (got == want, seconds))
        after = counters(server)
        ok(after['black_holes'] == 1 and after['rto_fired'] == n['rto_fired'],
           name + ': what is known of the path is used', after)
        server.stop()


def off(world, root):
    with wan.Wan(world, delay=DELAY_MS, path_mtu=1400) as net:
        server = net.right.atlas(['--root', root], more=['--mtu-probing', 'off'])
        client = Client(net.left, server.addr)
        client.http.sock.settimeout(4)
        try:
            client.fetch()
            ok(False, '--mtu-probing off: the path is one that swallows large packets')
        except TimeoutError:
            ok(counters(server)['black_holes'] == 0,
               '--mtu-probing off: the path is one that swallows large packets')
        client.close()


def always(world, root, want):
    with wan.Wan(world, delay=DELAY_MS, path_mtu=1400) as net:
        server = net.right.atlas(['--root', root], more=['--mtu-probing', 'always'])
        client = Client(net.left, server.addr)
        got, seconds = client.fetch()
        n = counters(server)
        ok(got == want and n['black_holes'] == 0 and n['rto_fired'] == 0,
           '--mtu-probing always: nobody waits for a timeout', '%.1f s' % seconds, n)
        settle(server, client)
        sizes = packet_sizes(server)
        ok(len(sizes) == 1 and 1400 - WITHIN < sizes[0] <= 1400,
           '--mtu-probing always: packets are as large as fit', sizes)
        client.close()
        server.stop()


def router(world, root, want):
    """A network behind the host, over a link that takes less than both ends."""
    server = world.serve(root=root)
    holder = world.spawn(['unshare', '-n', 'sleep', '60'])
    ours, theirs = os.readlink('/proc/self/ns/net'), '/proc/%d/ns/net' % holder.pid
    lab.wait_for(lambda: os.readlink(theirs) != ours, 5, 0.005)
    inside = ['nsenter', '--net=' + theirs, '--']
    lab.sh('ip link add name near0 mtu %d type veth peer name far0 mtu 1500 netns %d'
           % (FAR_MTU, holder.pid))
    lab.sh('ip addr add 10.0.9.1/24 dev near0; ip link set near0 up; '
           'sysctl -qw net.ipv4.ip_forward=1')
    lab.sh(inside + ['sh', '-c', 'ip link set lo up; ip link set far0 up; '
                     'ip addr add %s/24 dev far0; ip route add default via 10.0.9.1' % FAR_ADDR])
    for turn in ('a router says what fits', 'the next client begins with that'):
        began = time.monotonic()
        done = subprocess.run(inside + ['curl', '-sf', '-m', '20', server.url + '/big.bin'],
                              capture_output=True, check=False)
        seconds = time.monotonic() - began
        n = counters(server)
        diag('%.2f s' % seconds)
        ok(hashlib.sha256(done.stdout).hexdigest() == want and n['rto_fired'] == 0 and
           n['mtu_claims'] == 1, turn + ': no timeout is needed', '%.1f s' % seconds, n)
    server.stop()


def main(world):
    root, want = tree(world)
    for hole in HOLES:
        for addr in (wan.SIDES['right'][2], ATLAS6):
            with step('%s, %d' % (addr, hole)):
                black_hole(world, root, want, hole, addr)
    off(world, root)
    always(world, root, want)
    router(world, root, want)


if __name__ == '__main__':
    lab.run(main, tools=['curl', 'ip', 'nsenter'])
