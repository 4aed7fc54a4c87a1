#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Frames that nobody should send: the server counts them, drops them, and goes on serving."""
import random
import socket
import struct
import time

import lab
from meanwhile import Meanwhile, well
from packets import (ACK, ETH_ARP, ETH_IP, FIN, PSH, RST, SYN, URG, Ghost, Link, arp, eth,
                     fix_checksums, ip4, mac, tcp)

SEED = 793
EACH = 25           # frames of each kind whose drop is counted
FLOOD = int(20000 * lab.SCALE)
FLOOD_BATCH = 200   # then a breath, so that a flood is one and not just an overflow of the TAP
GHOST, EVIL = lab.NET + '77', mac('02:00:00:00:ee:ee')
# Ethernet 14, IPv4 20, TCP 20 and 4 of options.
HEADER_BYTES = 58


def mutations(frame, rnd):
    """The frame with each byte of its headers changed, with checksums wrong and right."""
    for at in range(min(HEADER_BYTES, len(frame))):
        for value in {0, 255, frame[at] ^ 1, frame[at] ^ 0x80, rnd.randrange(256)} - {frame[at]}:
            bad = frame[:at] + bytes([value]) + frame[at + 1:]
            yield bad
            fixed = fix_checksums(bad)
            if fixed != bad:
                yield fixed
    for length in list(range(14, len(frame))) + [len(frame) + 1, len(frame) + 300]:
        yield (frame + b'\xa5' * 300)[:length]


def mutated(world, server, link, rnd):
    """Every header field wrong, in a frame of every kind, on a connection that is really open."""
    sent = 0
    with Meanwhile(world, server, 'mutated frames'):
        for port, kind in enumerate(['syn', 'ack', 'data', 'fin', 'rst', 'icmp', 'arp'], 41000):
            ghost = Ghost(link, GHOST, port=port)
            if kind not in ('icmp', 'arp') and not ghost.connect():
                lab.ok(False, 'the raw client connects before: ' + kind)
            base = {'syn': lambda: ghost.frame(SYN, sport=port + 100, options=b'\x02\x04\x05\xb4'),
                    'ack': lambda: ghost.frame(ACK, options=b'\x01\x01\x01\x01'),
                    'data': lambda: ghost.frame(ACK | PSH, b'GET / HTTP/1.1\r\n'),
                    'fin': lambda: ghost.frame(ACK | FIN, options=b'\x01\x01\x05\x02'),
                    'rst': lambda: ghost.frame(RST, seq=ghost.seq + 1, options=b'\x01\x01\x08\x0a'),
                    'icmp': lambda: eth(link.server_mac, ghost.mac, ETH_IP, ip4(
                        GHOST, lab.SERVER, 1, b'\x08\0\xf7\xff\0\0\0\0' + b'\0' * 20)),
                    'arp': lambda: eth(b'\xff' * 6, ghost.mac, ETH_ARP, arp(
                        1, ghost.mac, GHOST, b'\0' * 6, lab.SERVER))}[kind]()
            for bad in mutations(base, rnd):
                link.send(bad)
                sent += 1
                if sent % 50 == 0:
                    time.sleep(0.005)
            link.drain()
    lab.diag('%d mutated frames' % sent)
    well(server, 'mutated frames')


def counted_frames(link, ghost):
    """(layer, cause): a frame that is dropped for exactly that."""
    to, me = link.server_mac, ghost.mac

    def packet(proto=6, payload=b'\0' * 24, src=GHOST, dst=lab.SERVER, **more):
        return eth(to, me, ETH_IP, ip4(src, dst, proto, payload, **more))
    echo = b'\x08\0\0\0\0\x01\0\x01abcd'
    return {
        ('eth', 'type'): eth(to, me, 0x88b5, b'\0' * 46),
        ('eth', 'not_ours'): eth(EVIL, me, ETH_IP, ip4(GHOST, lab.SERVER, 6, b'\0' * 20)),
        ('eth', 'short'): eth(to, me, ETH_ARP, b'\0\1\x08\0\6\4\0\1' + b'\0' * 8),
        ('eth', 'arp_malformed'): eth(to, me, ETH_ARP, arp(1, me, GHOST, b'\0' * 6, lab.SERVER,
                                                           hlen=5)),
        ('eth', 'arp_unasked'): eth(to, me, ETH_ARP, arp(2, EVIL, lab.NET + '99', to, lab.SERVER)),
        ('ip', 'checksum'): packet(check=0x1234),
        ('ip', 'version'): packet(version=5),
        ('ip', 'short'): packet(total=1000),
        ('ip', 'fragment'): packet(frag=0x2000),
        ('ip', 'not_ours'): packet(dst=lab.NET + '200'),
        ('ip', 'source'): packet(src='127.0.0.1'),
        ('ip', 'options'): packet(options=b'\x83\x07\x04\x0a\x00\x00\x01\x00'),
        ('ip', 'proto'): packet(proto=47),
        ('ip', 'icmp_checksum'): packet(proto=1, payload=echo),
        ('tcp', 'checksum'): ghost.frame(ACK, check=0x4321),
        ('tcp', 'short'): ghost.frame(ACK, offset=15),
        ('tcp', 'no_conn'): ghost.frame(ACK, dport=9999, seq=1, ack=1),
    }


def counted(server, link):
    """Each cause has its counter, and only what is sent moves it."""
    ghost = Ghost(link, GHOST, port=42000)
    lab.ok(ghost.connect(), 'the raw client connects')
    for (layer, cause), frame in counted_frames(link, ghost).items():
        name = 'dropped and counted: %s %s' % (layer, cause)
        before = server.drops(layer, cause)
        for _ in range(EACH):
            link.send(frame)
        if lab.STAND_IN:
            lab.skip(name, 'the stand-in does not count')
            continue
        lab.wait_for(lambda: server.drops(layer, cause) >= before + EACH, 2)
        rose = server.drops(layer, cause) - before
        lab.ok(rose >= EACH, name, 'rose by %d, sent %d' % (rose, EACH))
    got = ghost.get(b'/small.bin')
    lab.ok(got.startswith(b'HTTP/1.1 200'), 'the raw connection itself still answers', got[:80])
    ghost.send(RST, seq=ghost.seq)


def blind_attacks(server, link):
    """RFC 5961: segments that only guess the numbers do not end a connection."""
    ghost = Ghost(link, GHOST, port=43000)
    lab.ok(ghost.connect(), 'the raw client connects again')
    for i in range(200):
        ghost.send(RST, seq=ghost.seq + 1 + i * 97)
        ghost.send(SYN, seq=ghost.seq + i * 89)
        ghost.send(ACK, b'evil', ack=ghost.ack + 100000 + i)
        ghost.send(ACK, b'evil', seq=ghost.seq - 100000 - i)
        ghost.send(0, b'evil')
        ghost.send(SYN | FIN | RST | PSH | URG, b'x', seq=ghost.seq + 10000)
    time.sleep(0.2)
    link.drain()
    got = ghost.get(b'/small.bin')
    lab.ok(got.startswith(b'HTTP/1.1 200'), 'guessed RST, SYN and data leave a connection alone',
           got[:80])
    ghost.send(RST, seq=ghost.seq)


def flood(world, server, link, what, make):
    with Meanwhile(world, server, what):
        began = time.monotonic()
        for i in range(FLOOD):
            link.send(make(i))
            if i % FLOOD_BATCH == 0:
                time.sleep(0.004)
        lab.diag('%s: %d frames in %.1f s' % (what, FLOOD, time.monotonic() - began))
    well(server, what)
    link.drain()


def floods(world, server, link, rnd):
    to = link.server_mac

    def syn(src, dport):
        return eth(to, EVIL, ETH_IP, ip4(src, lab.SERVER, 6, tcp(
            src, lab.SERVER, rnd.randrange(1024, 65536), dport, rnd.getrandbits(32), 0, SYN,
            options=b'\x02\x04\x05\xb4')))

    def neighbour(i):
        return lab.NET + str(80 + i % 170)
    flood(world, server, link, 'SYNs from neighbours that do not exist',
          lambda i: syn(neighbour(i), 80))
    flood(world, server, link, 'SYNs from far away',
          lambda i: syn('198.51.%d.%d' % (100 + i % 100, 1 + i // 100 % 250), 80))
    flood(world, server, link, 'SYNs to closed ports', lambda i: syn(GHOST, 1000 + i % 50000))
    flood(world, server, link, 'pings', lambda i: eth(to, EVIL, ETH_IP, ip4(
        GHOST, lab.SERVER, 1, b'\x08\0' + struct.pack('!H', 0xf7ff - 1) + b'\0\0\0\1')))
    flood(world, server, link, 'ARP requests', lambda i: eth(b'\xff' * 6, EVIL, ETH_ARP, arp(
        1, EVIL, neighbour(i), b'\0' * 6, lab.SERVER)))
    flood(world, server, link, 'noise', lambda i: eth(
        to, EVIL, rnd.choice([ETH_IP, ETH_ARP, 0x86dd, 0x8100, 0]),
        rnd.randbytes(rnd.randrange(0, 200))))


def poisoning(world, server, link):
    """Somebody claims to be the client, or the server. The client's traffic stays the client's."""
    if lab.STAND_IN:
        lab.skip('ARP poisoning', 'Linux believes the liar')
        return
    host, me, every = lab.HOST, link.server_mac, b'\xff' * 6
    lab.get(server, '/small.bin')
    link.drain()
    claims = [eth(me, EVIL, ETH_ARP, arp(2, EVIL, host, me, lab.SERVER)),
              eth(every, EVIL, ETH_ARP, arp(2, EVIL, host, every, host)),
              eth(every, EVIL, ETH_ARP, arp(1, EVIL, host, b'\0' * 6, host)),
              eth(me, EVIL, ETH_ARP, arp(1, EVIL, host, b'\0' * 6, lab.SERVER)),
              eth(every, EVIL, ETH_ARP, arp(2, EVIL, lab.SERVER, every, lab.SERVER)),
              eth(every, EVIL, ETH_ARP, arp(1, EVIL, lab.SERVER, b'\0' * 6, lab.SERVER))]
    with Meanwhile(world, server, 'ARP poisoning'):
        stolen = 0
        for _ in range(40):
            for claim in claims:
                link.send(claim)
            stolen += sum(f[0:6] == EVIL and f[12:14] == b'\x08\0' and
                          f[30:34] == socket.inet_aton(host) for f in link.seen(0.03))
    lab.ok(stolen == 0, 'no packet for the client goes to the liar', '%d did' % stolen)
    well(server, 'ARP poisoning')


def main(world):
    rnd = random.Random(SEED)
    lab.write_file(world.path('tree/file.bin'), rnd.randbytes(3000000))
    lab.write_file(world.path('tree/small.bin'), rnd.randbytes(1000))
    lab.write_file(world.path('tree/index.html'), b'<p>hello\n')
    server = world.serve(volume=world.pack(world.path('tree')), header_s=5, idle_s=5)
    link = Link(server.dev, lab.SERVER)
    lab.ok(Ghost(link, GHOST).resolve(), 'the server answers ARP')
    for part in (lambda: counted(server, link), lambda: blind_attacks(server, link),
                 lambda: mutated(world, server, link, rnd), lambda: poisoning(world, server, link),
                 lambda: floods(world, server, link, rnd)):
        part()
    server.settles(90, 'half-open and abandoned connections are gone')
    server.stop()


if __name__ == '__main__':
    lab.run(main, tools=['curl', 'cmp'])
