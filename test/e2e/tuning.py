#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The options that change how TCP behaves, seen from the client's side."""
import http.client
import json
import random
import socket
import time

import lab
from meanwhile import well
from packets import ACK, FIN, RST, Ghost, Link

SEED = 6191
MSS, TIMESTAMP_BYTES = 700, 12
GHOST = lab.NET + '77'
TIME_WAITS = 5
KEEPALIVE_S = 2
PEER_CONNS = 6
REFUSED_S = 1.5          # a SYN and one more have had no answer
FILM_BYTES = 3000000
FILM_RATE, VIP_RATE = 2000000, 4000000  # bytes per second
RULES = ('/vip/*=%d' % (8 * VIP_RATE), '*.mp4=%dk' % (8 * FILM_RATE // 1000))


def largest_segment(server):
    """--mss: what we announce is what the client sends, and we send no more ourselves."""
    s = lab.connect(server)
    s.sendall(b'GET /file.bin HTTP/1.1\r\nHost: t\r\n\r\n')
    got = 0
    while got < 100000:
        got += len(s.recv(65536))
    ours = json.loads(server.admin('/status?connections=10'))['connections'][0]['mss']
    theirs = lab.sh(['ss', '-Htni', 'dport = :%d' % lab.PORT]).stdout
    s.close()
    lab.ok(ours == MSS - TIMESTAMP_BYTES, '--mss: the server sends no larger segment', ours)
    lab.ok(' mss:%d ' % (MSS - TIMESTAMP_BYTES) in theirs, '--mss: nor does the client', theirs)


def keepalive(server, link):
    """--keepalive: a probe is the byte before the next one, once more. Whoever answers stays."""
    ghost = Ghost(link, GHOST)
    lab.ok(ghost.resolve() and ghost.connect(), 'the raw client connects')
    lab.ok(ghost.get(b'/small.bin').startswith(b'HTTP/1.1 200'), 'and is answered')
    began, after = time.monotonic(), None
    for flags, seq, _, _ in ghost.segments(4 * KEEPALIVE_S):
        if seq == (ghost.ack - 1) & 0xffffffff and not flags & FIN:
            after = time.monotonic() - began
            ghost.send(ACK)
            break
    lab.ok(after and 0.9 * KEEPALIVE_S < after < 3 * KEEPALIVE_S,
           '--keepalive: a silent client is asked whether it is there', after)
    counted = server.metrics()['atlas_tcp_keepalive_probes_total']
    lab.ok(counted == 1, 'the probe is counted', counted)
    lab.ok(ghost.get(b'/small.bin').startswith(b'HTTP/1.1 200'), 'and who has answered is served')
    ghost.send(ACK | RST)


def time_wait(server):
    """--time-wait: the side that closes first remembers, for so long and no longer."""
    def waiting():
        return server.metrics()['atlas_connections{state="time-wait"}']
    for _ in range(TIME_WAITS):
        lab.get(server, '/small.bin', headers={'Connection': 'close'})
    began = time.monotonic()
    lab.wait_for(lambda: waiting() >= TIME_WAITS, 1)  # the last client's FIN is on its way
    most = waiting()
    lab.ok(most >= TIME_WAITS, 'connections that the server closed first are remembered', most)
    lab.wait_for(lambda: waiting() == 0, 10)
    took = time.monotonic() - began
    lab.ok(waiting() == 0 and 1 < took < 8, '--time-wait 2: and forgotten', waiting(), took)


def peer_conns(server):
    """--peer-conns: so many from one address, and another one when one of them ends."""
    held = [lab.connect(server) for _ in range(PEER_CONNS)]
    try:
        lab.connect(server, timeout_s=REFUSED_S).close()
        refused = False
    except socket.timeout:
        refused = True
    counted = server.metrics()['atlas_drops_total{layer="tcp",cause="peer_full"}']
    lab.ok(refused and counted > 0, '--peer-conns: one more gets no answer', refused, counted)
    held.pop().close()
    try:
        held.append(lab.connect(server))
    except OSError as e:
        lab.diag(repr(e))
    lab.ok(len(held) == PEER_CONNS, '--peer-conns: until one of them ends', len(held))
    for s in held:
        s.close()
    for _ in range(100):  # a SYN right behind the FINs would find them all still counted
        if not json.loads(server.admin('/status?connections=10'))['connections']:
            break
        time.sleep(0.02)


def fetched(conn, path, size):
    """Bytes per second of one response on an open connection."""
    began = time.monotonic()
    conn.request('GET', path)
    body = conn.getresponse().read()
    if len(body) != size:
        raise ConnectionError('%s: %d bytes' % (path, len(body)))
    return size / (time.monotonic() - began)


def near(rate, limit):
    """A window's worth may leave at once, at the beginning; nothing makes up for lost time."""
    return 0.8 * limit < rate < 1.2 * limit


def rates(server):
    """--rate: each object by the first rule that matches it, whatever went before it."""
    conn = http.client.HTTPConnection(lab.SERVER, lab.PORT, timeout=60)
    for path, limit in (('/film.mp4', FILM_RATE), ('/vip/film.mp4', VIP_RATE), ('/file.bin', None),
                        ('/film.mp4', FILM_RATE), ('/file.bin', None)):
        rate = fetched(conn, path, FILM_BYTES)
        lab.diag('%s: %.2f MB/s' % (path, rate / 1e6))
        if limit:
            lab.ok(near(rate, limit), '--rate: %s at %.1f MB/s' % (path, limit / 1e6), rate)
        else:
            lab.ok(rate > 5 * FILM_RATE, '--rate: %s has no limit' % path, rate)
    conn.close()
    pipelined(server)


def pipelined(server):
    """Both requests at once: the second is not slowed by the first one's limit, nor the other way
    round."""
    s = lab.connect(server)
    s.sendall(b''.join(b'GET %s HTTP/1.1\r\nHost: t\r\n\r\n' % p
                       for p in (b'/film.mp4', b'/file.bin')))
    began, got, half, told = time.monotonic(), 0, None, None
    while got < 2 * FILM_BYTES:
        n = len(s.recv(1 << 20))
        if not n:
            break
        got += n
        if not told and got > FILM_BYTES / 2:
            told = json.loads(server.admin('/status?connections=1&peer=%s' % lab.HOST))
        if half is None and got >= FILM_BYTES:
            half = time.monotonic() - began
    s.close()
    whole = time.monotonic() - began
    lab.ok(half and near(FILM_BYTES / half, FILM_RATE) and whole - half < 0.5 * half,
           '--rate: pipelined, the first is slow and the second is not', half, whole)
    lab.ok([c['rate_bps'] for c in told['connections']] == [FILM_RATE], '/status tells the limit',
           told)


def ecn(server, agreed, why):
    """--ecn, by what the server says of a connection."""
    lab.sh(['sysctl', '-qw', 'net.ipv4.tcp_ecn=1'])  # ours asks
    s = lab.connect(server)
    s.sendall(b'GET /small.bin HTTP/1.1\r\nHost: t\r\n\r\n')
    s.recv(65536)
    ours = json.loads(server.admin('/status?connections=10'))['connections'][0]['ecn']
    s.close()
    lab.ok(ours is agreed, why, ours)


def main(world):
    if lab.STAND_IN:
        lab.skip('options', 'the stand-in has others')
        return
    rnd = random.Random(SEED)
    for name in ('file.bin', 'film.mp4', 'vip/film.mp4'):
        lab.write_file(world.path('tree', name), rnd.randbytes(FILM_BYTES))
    lab.write_file(world.path('tree/small.bin'), rnd.randbytes(1000))
    server = world.serve(volume=world.pack(world.path('tree')),
                         more=['--mss', str(MSS), '--keepalive', str(KEEPALIVE_S),
                               '--time-wait', '2', '--peer-conns', str(PEER_CONNS),
                               *(a for r in RULES for a in ('--rate', r))])
    link = Link(server.dev, lab.SERVER)
    largest_segment(server)
    keepalive(server, link)
    time_wait(server)
    peer_conns(server)
    rates(server)
    ecn(server, True, 'ECN is agreed on with a client that asks for it')
    well(server, 'other options')
    server.stop()
    server = world.serve(volume=world.pack(world.path('tree')), more=['--ecn', 'off'])
    ecn(server, False, '--ecn off: it is not')
    server.stop()


if __name__ == '__main__':
    lab.run(main, tools=['ss'])
