#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The options that change how TCP behaves, seen from the client's side."""
import json
import random
import time

import lab
from meanwhile import well
from packets import ACK, FIN, RST, Ghost, Link

SEED = 6191
MSS, TIMESTAMP_BYTES = 700, 12
GHOST = lab.NET + '77'
TIME_WAITS = 5
KEEPALIVE_S = 2


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
    began, most = time.monotonic(), waiting()
    lab.ok(most >= TIME_WAITS, 'connections that the server closed first are remembered', most)
    lab.wait_for(lambda: waiting() == 0, 10)
    took = time.monotonic() - began
    lab.ok(waiting() == 0 and 1 < took < 8, '--time-wait 2: and forgotten', waiting(), took)


def main(world):
    if lab.STAND_IN:
        lab.skip('options', 'the stand-in has others')
        return
    rnd = random.Random(SEED)
    lab.write_file(world.path('tree/file.bin'), rnd.randbytes(3000000))
    lab.write_file(world.path('tree/small.bin'), rnd.randbytes(1000))
    server = world.serve(volume=world.pack(world.path('tree')),
                         more=['--mss', str(MSS), '--keepalive', str(KEEPALIVE_S),
                               '--time-wait', '2'])
    link = Link(server.dev, lab.SERVER)
    largest_segment(server)
    keepalive(server, link)
    time_wait(server)
    well(server, 'other options')
    server.stop()


if __name__ == '__main__':
    lab.run(main, tools=['ss'])
