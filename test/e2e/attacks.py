#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Attackers who see nothing of the traffic: a SYN flood from invented addresses, and segments and
ICMP errors with guessed sequence numbers for a connection whose addresses and ports they know.

The guesses step through the whole sequence space by no more than the server's window, so that each
sweep hits the window; RFC 5961 and RFC 5927 say what must come of it: nothing.
"""
import hashlib
import random
import socket
import struct
import threading
import time

import lab
from meanwhile import Crowd, well
from packets import ACK, ETH_IP, FIN, PSH, RST, SYN, Ghost, Link, checksum, delivered, eth, ip4, tcp

SEED = 5961
FLOOD_S = 20 * min(1, lab.SCALE * 2)
FLOOD_LEAST = 20000     # SYNs a second that are a flood
CLIENTS = 100
# Attackers bring machines of their own: the sender takes the time of the cores that is left over.
FLOODER = ['nice', '-n', '19', 'hping3', '-q', '-n', '--flood', '--rand-source', '-S', '-p',
           str(lab.PORT)]
PATIENCE_S = 40         # a client whose SYN the interface lost asks again after 1, 3, 7, 15 s
STEP = 47 << 10         # the server's receive window is 48 KiB, less the request that it has seen
ICMP_STEP = 1 << 16     # what the victim lets the server have in flight is at least half of this
BURST, BREATH_S = 200, 0.001
BIG_BYTES = 48 << 20
VICTIM_RCVBUF = 128 << 10
SLOW_BYTES, SLOW_S = 8192, 0.01  # what the victim takes, and how often, while it is attacked
CHALLENGES_PER_S = 1500  # TCP_CHALLENGE_PER_S of the server, and half of it more
GHOST = lab.NET + '77'
ICMP_UNREACHABLE, ICMP_QUENCH, ICMP_REDIRECT, ICMP_EXCEEDED, ICMP_PARAMETER = 3, 4, 5, 11, 12
NEED_FRAG = 4
SMALLEST_MTU = 68        # RFC 791


# --- SYN flood ---------------------------------------------------------------------------------


def syn_flood(server, small):
    before = delivered(server.dev)
    with Crowd(server, '/small.bin', small, 'a SYN flood', CLIENTS, PATIENCE_S):
        began = time.monotonic()
        lab.sh(['timeout', '-s', 'INT', '-k', '5', str(FLOOD_S), *FLOODER, lab.SERVER],
               check=False)
        took = time.monotonic() - began
        came, lost = (now - then for now, then in zip(delivered(server.dev), before))
    lab.diag('%d packets reached the server in %.1f s, the interface lost %d' % (came, took, lost))
    lab.ok(came >= FLOOD_LEAST * FLOOD_S and took >= FLOOD_S * 0.9,
           'it was a flood of SYNs, for %d s' % FLOOD_S, came, took)
    well(server, 'a SYN flood')


# --- the victim --------------------------------------------------------------------------------


class Victim:
    """A download that is slow until it is let go. What it gets must be the file to the last byte,
    on the one connection."""

    def __init__(self, server, timestamps):
        lab.sh('sysctl -qw net.ipv4.tcp_timestamps=%d' % timestamps)
        self.sock = lab.connect(server, rcvbuf=VICTIM_RCVBUF)
        lab.sh('sysctl -qw net.ipv4.tcp_timestamps=1')
        self.port = self.sock.getsockname()[1]
        self.hash, self.got, self.wrong = hashlib.sha256(), 0, None
        self.fast = threading.Event()
        self.sock.sendall(b'GET /big.bin HTTP/1.1\r\nHost: v\r\nConnection: close\r\n\r\n')
        self.head()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def head(self):
        head = b''
        while not head.endswith(b'\r\n\r\n'):
            head += self.sock.recv(1)
        if b' 200 ' not in head.split(b'\r\n')[0]:
            raise ConnectionError(head.decode(errors='replace'))

    def read(self):
        try:
            while data := self.sock.recv(1 << 16 if self.fast.is_set() else SLOW_BYTES):
                self.hash.update(data)
                self.got += len(data)
                if not self.fast.is_set():
                    time.sleep(SLOW_S)
        except OSError as e:
            self.wrong = repr(e)

    def running(self):
        return self.thread.is_alive()

    def finish(self, content, what):
        """Lets it go, and asserts that nothing has happened to it."""
        slow = self.got
        self.fast.set()
        self.thread.join(60)
        whole = self.got == len(content) and self.hash.digest() == hashlib.sha256(content).digest()
        lab.ok(slow < len(content) and whole and not self.wrong,
               'a download is not disturbed by: ' + what,
               '%d bytes while attacked, %d in all, %s' % (slow, self.got, self.wrong))
        self.sock.close()


# --- segments ----------------------------------------------------------------------------------


def sweep(link, victim, flags, payload=b'', rnd=None):
    """A segment for every STEP of the sequence space. All but the numbers stays as it is, so that
    the checksum is updated (RFC 1624) and not made again. Returns how many were sent."""
    ack = rnd.getrandbits(32) if rnd else 0
    seg = tcp(lab.HOST, lab.SERVER, victim.port, lab.PORT, 0, ack, flags, payload)
    frame = bytearray(eth(link.server_mac, link.sock.getsockname()[4], ETH_IP,
                          ip4(lab.HOST, lab.SERVER, 6, seg)))
    at = 14 + 20
    rest = ~struct.unpack_from('!H', frame, at + 16)[0] & 0xffff
    first = random.Random(SEED).randrange(STEP)
    count = (1 << 32) // STEP + 1
    for i in range(count):
        seq = (first + i * STEP) & 0xffffffff
        total = rest + (seq >> 16) + (seq & 0xffff)
        total = (total & 0xffff) + (total >> 16)
        total = (total & 0xffff) + (total >> 16)
        struct.pack_into('!I', frame, at + 4, seq)
        struct.pack_into('!H', frame, at + 16, ~total & 0xffff)
        link.send(frame)
        if i % BURST == 0:
            time.sleep(BREATH_S)
    return count


SWEEPS = {
    'RST': (RST, b''),
    'RST with an ACK': (RST | ACK, b''),
    'SYN': (SYN, b''),
    'SYN with an ACK': (SYN | ACK, b''),
    'data': (ACK | PSH, b'GET /evil HTTP/1.1\r\n\r\n'),
    'FIN': (ACK | FIN, b''),
    'nothing but an ACK': (ACK, b''),
}


def guessed_segments(server, link, big, rnd):
    for stamped in (0, 1):
        kind = 'with timestamps' if stamped else 'without timestamps'
        victim = Victim(server, stamped)
        began, before, arrived = time.monotonic(), server.metrics(), delivered(server.dev)[0]
        sent = 0
        for what, (flags, payload) in SWEEPS.items():
            sent += sweep(link, victim, flags, payload, rnd)
            lab.ok(victim.running(), 'the download goes on after every guess at: %s, %s'
                   % (what, kind), victim.wrong)
        came = delivered(server.dev)[0] - arrived
        lab.ok(came >= 0.99 * sent, 'the guesses reach the server', '%d of %d' % (came, sent))
        challenged(server, before, time.monotonic() - began)
        victim.finish(big, 'guessed segments, ' + kind)


def challenged(server, before, seconds):
    name = 'guesses within the window are challenged, and not too often'
    if lab.STAND_IN:
        lab.skip(name, 'the stand-in does not count')
        return
    after = server.metrics()
    rose = {k: after[k] - before[k] for k in after if after[k] != before.get(k, 0)}
    lab.diag('%.1f s of guesses:' % seconds, *('%s: %d' % (k, v) for k, v in sorted(rose.items())
                                               if '_tcp_' in k or '"tcp"' in k))
    challenges = rose.get('atlas_tcp_challenge_acks_total', 0)
    lab.ok(0 < challenges <= CHALLENGES_PER_S * (seconds + 1), name, challenges)


def exact_reset(server, link):
    """The same RST with the right number does end a connection: the sweeps are not harmless for
    some reason that we did not think of."""
    victim = Victim(server, 0)
    link.drain()
    number = next(numbers(link, victim))[1]
    seg = tcp(lab.HOST, lab.SERVER, victim.port, lab.PORT, number, 0, RST)
    link.send(eth(link.server_mac, link.sock.getsockname()[4], ETH_IP,
                  ip4(lab.HOST, lab.SERVER, 6, seg)))
    lab.ok(lab.wait_for(lambda: not victim.running(), 30) and victim.wrong,
           'a RST with the right number ends a connection', victim.got)
    victim.sock.close()


def numbers(link, victim):
    """(SEQ, ACK) of the segments that the server sends to the victim."""
    for f in link.seen(10):
        if f[12:14] == b'\x08\0' and f[23] == 6:
            start = 14 + (f[14] & 15) * 4
            sport, dport, seq, ack = struct.unpack_from('!HHII', f, start)
            if (sport, dport) == (lab.PORT, victim.port):
                yield seq, ack


# --- ICMP --------------------------------------------------------------------------------------


def icmp_error(link, victim, kind, code, seq, rest=0):
    """An error about a segment of the server's: the header that it quotes is a guess."""
    quoted = ip4(lab.SERVER, lab.HOST, 6, tcp(lab.SERVER, lab.HOST, lab.PORT, victim.port, seq, 0,
                                              ACK, b'\0' * 1460))[:28]
    body = struct.pack('!I', rest) + quoted
    head = struct.pack('!BBH', kind, code, checksum(struct.pack('!BBH', kind, code, 0) + body))
    return eth(link.server_mac, link.sock.getsockname()[4], ETH_IP,
               ip4(GHOST, lab.SERVER, 1, head + body))


ERRORS = {
    'host unreachable': (ICMP_UNREACHABLE, 1, 0),
    'protocol unreachable': (ICMP_UNREACHABLE, 2, 0),
    'port unreachable': (ICMP_UNREACHABLE, 3, 0),
    'forbidden': (ICMP_UNREACHABLE, 13, 0),
    'fragmentation needed, no MTU': (ICMP_UNREACHABLE, NEED_FRAG, 0),
    'fragmentation needed, MTU 68': (ICMP_UNREACHABLE, NEED_FRAG, SMALLEST_MTU),
    'fragmentation needed, MTU 1': (ICMP_UNREACHABLE, NEED_FRAG, 1),
    'source quench': (ICMP_QUENCH, 0, 0),
    'redirect': (ICMP_REDIRECT, 1, 0x0a00074d),
    'time exceeded': (ICMP_EXCEEDED, 0, 0),
    'parameter problem': (ICMP_PARAMETER, 0, 0),
}


def guessed_icmp(server, link, big):
    """First with every number that is wrong, then, which is worse than blind, with the right one:
    no error ends an open connection (RFC 5927 5.2), and none makes its segments tiny."""
    victim = Victim(server, 0)
    before = server.metrics()
    guesses = range(0, 1 << 32, ICMP_STEP * 16)
    for what, (kind, code, rest) in ERRORS.items():
        for i, seq in enumerate(guesses):
            link.send(icmp_error(link, victim, kind, code, seq, rest))
            if i % BURST == 0:
                time.sleep(BREATH_S)
    after = server.metrics()
    lab.diag(*('%s: %d' % (k, after[k] - before[k]) for k in after
               if 'icmp' in k and after[k] != before.get(k)))
    lab.ok(victim.running(), 'the download goes on after ICMP errors with guessed numbers')
    link.drain()
    for what, (kind, code, rest) in ERRORS.items():
        for seq, _ in numbers(link, victim):
            for _ in range(3):
                link.send(icmp_error(link, victim, kind, code, seq, rest))
            break
        lab.ok(victim.running(), 'the download goes on after the right number in: ' + what,
               victim.wrong)
    victim.finish(big, 'ICMP errors')


def main(world):
    rnd = random.Random(SEED)
    big, small = rnd.randbytes(BIG_BYTES), rnd.randbytes(100000)
    lab.write_file(world.path('tree/big.bin'), big)
    lab.write_file(world.path('tree/small.bin'), small)
    server = world.serve(volume=world.pack(world.path('tree')),
                         more=[] if lab.STAND_IN else ['--drain-timeout', '5'])
    link = Link(server.dev, lab.SERVER)
    lab.ok(Ghost(link, GHOST).resolve(), 'the server answers ARP')
    with lab.step('guessed segments'):
        guessed_segments(server, link, big, rnd)
        exact_reset(server, link)
    with lab.step('guessed ICMP errors'):
        guessed_icmp(server, link, big)
    well(server, 'blind attacks')
    with lab.step('SYN flood'):
        syn_flood(server, small)
    server.stop()


if __name__ == '__main__':
    lab.run(main, tools=['hping3', 'nice', 'timeout'])
