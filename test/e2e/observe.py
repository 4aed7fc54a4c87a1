#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What an operator sees of single connections: /status?connections, page by page, while the server
works, compared with what the clients know and with what the kernel's ss says of the other end."""
import json
import random
import re
import threading
import time
import urllib.error

import lab
from meanwhile import Meanwhile, well

SEED = 4022
IDLE = 200
PAGE = 30
BIG_BYTES = 32 << 20
OTHER_HOST = lab.NET + '9'
TAKEN = 200000
GET_BIG = b'GET /big.bin HTTP/1.1\r\nHost: o\r\n\r\n'
GET_SMALL = b'GET /small.bin HTTP/1.1\r\nHost: o\r\n\r\n'
WRONG = ('connections', 'connections=0', 'connections=1001', 'connections=x', 'after=0.0',
         'connections=5&after=1', 'connections=5&after=0.x', 'connections=5&state=OPEN',
         'connections=5&peer=10.0.7.256', 'connections=5&peer=10.0.7.1/33', 'connections=5&a=b',
         'connections=5&peer', '')


def pages(server, limit, more=''):
    """All connections, and how many pages they took."""
    rows, count, after = [], 0, None
    while count < 1000:
        text = server.admin('/status?connections=%d%s%s'
                            % (limit, more, '&after=' + after if after else ''))
        page = json.loads(text)
        rows += page['connections']
        count += 1
        after = page['next']
        if after is None:
            return rows, count
    raise RuntimeError('the pages do not end')


def port_of(sock):
    return sock.getsockname()[1]


def refused(server):
    wrong = []
    for query in WRONG:
        try:
            server.admin('/status?' + query)
            wrong.append(query)
        except urllib.error.HTTPError as e:
            if e.code != 400 or 'error' not in json.loads(e.read()):
                wrong.append('%s: %d' % (query, e.code))
    lab.ok(not wrong, 'questions that make no sense are refused', *wrong)


def compared(server, idle, active):
    """One reader, who takes some and stops: both ends' opinions of one connection."""
    ours = {port_of(s) for s in idle} | {port_of(active)}
    rows, count = pages(server, PAGE)
    ports = [r['remote_port'] for r in rows]
    lab.ok(len(ports) == len(set(ports)) and set(ports) == ours,
           'every connection is on one page, once', '%d rows, %d pages, %d connections'
           % (len(rows), count, len(ours)), sorted(set(ports) ^ ours)[:10])
    lab.ok(count >= len(ours) / (PAGE + 10), 'a page is not longer than it was asked to be', count)
    row = next((r for r in rows if r['remote_port'] == port_of(active)), {})
    lab.diag(json.dumps(row))
    text = lab.sh(['ss', '-Htni', 'sport = :%d' % port_of(active)]).stdout
    ss = {k: int(v) for k, v in re.findall(r'(\w+):(\d+)', text.replace('/', ' '))}
    lab.diag(' '.join(text.split()))
    http = row['http']
    lab.ok(row['local'] == lab.SERVER and row['local_port'] == lab.PORT and
           row['remote'] == lab.HOST and row['state'] == 'established', 'who talks to whom', row)
    lab.ok(row['received'] == len(GET_BIG) == ss['bytes_sent'],
           'received is what the client has sent', row['received'], ss.get('bytes_sent'))
    lab.ok(row['acked'] == ss['bytes_received'] and row['acked'] <= row['sent'] <= row['asked'] <=
           row['written'] and row['written'] >= BIG_BYTES,
           'acked is what the client has received, and less than what there is', row)
    lab.ok(row['mss'] == ss.get('rcvmss', row['mss']) and 500 < row['mss'] <= 1460,
           'mss is that of the segments', row['mss'], ss.get('rcvmss'))
    lab.ok(row['cwnd'] >= row['mss'] and 0 < row['srtt_us'] < 10e6 and
           row['rto_us'] >= row['srtt_us'], 'cwnd, srtt and rto are possible', row)
    lab.ok(http['phase'] == 'send' and http['responses'] == 1, 'what HTTP does on it', http)
    others = {r['http']['phase'] for r in rows if r['remote_port'] != port_of(active)}
    lab.ok(others == {'idle'}, 'the others wait for a request', others)


def filtered(server, idle):
    """Half of the idle connections come from another address."""
    theirs = {port_of(s) for s in idle if s.getsockname()[0] == OTHER_HOST}
    for peer, expected in ((OTHER_HOST, theirs), (OTHER_HOST + '/32', theirs),
                           (lab.NET + '8%2F30', theirs), ('192.0.2.0/24', set())):
        rows, _ = pages(server, 1000, '&peer=' + peer)
        lab.ok({r['remote_port'] for r in rows} == expected, 'only those whose peer is in ' + peer,
               len(rows), len(expected))
    for state, expected in (('established', len(idle) + 1), ('TIME-WAIT', 0),
                            ('SYN-SENT&state=ESTABLISHED', len(idle) + 1)):
        rows, _ = pages(server, 1000, '&state=' + state)
        lab.ok(len(rows) == expected, 'only those whose state is ' + state, len(rows), expected)


def watched(world, server):
    """Many look at all connections all the time, and clients come and go."""
    stop, looks, wrong = threading.Event(), [0], []

    def look():
        while not stop.is_set():
            try:
                pages(server, PAGE)
                looks[0] += 1
            except (OSError, ValueError, RuntimeError) as e:
                wrong.append(repr(e))
    with Meanwhile(world, server, 'pages are read'):
        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        for _ in range(20):
            socks = [lab.connect(server) for _ in range(20)]
            for s in socks:
                s.sendall(GET_SMALL)
            for s in socks:
                s.recv(100)
                s.close()
            time.sleep(0.05)
        stop.set()
        watcher.join(30)
    lab.diag('all pages read %d times' % looks[0])
    lab.ok(looks[0] > 3 and not wrong, 'pages can be read while connections come and go',
           *wrong[:5])


def observe(world, workers):
    volume = world.pack(world.path('tree'), 'volume%d' % workers)
    server = world.serve(volume=volume, more=['--workers', str(workers), '--drain-timeout', '3'])
    lab.sh('ip addr add %s/32 dev %s' % (OTHER_HOST, server.dev))
    lab.diag('--- workers: %d' % workers)
    rows, count = pages(server, PAGE)
    lab.ok(rows == [] and count == 1, 'nothing is open at first', rows, count)
    refused(server)
    idle = []
    for i in range(IDLE):
        s = lab.connect(server, source=OTHER_HOST if i % 2 else None)
        s.sendall(GET_SMALL)
        idle.append(s)
    for s in idle:
        got = 0
        while got < 1000 + 100:  # the body, and the least that a head has
            got += len(s.recv(65536))
    active = lab.connect(server, rcvbuf=1 << 17)
    active.sendall(GET_BIG)
    got = 0
    while got < TAKEN:
        got += len(active.recv(65536))
    time.sleep(0.5)  # the window has closed, and everything sent is acknowledged
    compared(server, idle, active)
    filtered(server, idle)
    watched(world, server)
    for s in [*idle, active]:
        s.close()
    lab.wait_for(lambda: not pages(server, 1000, '&state=ESTABLISHED')[0], 10)
    well(server, 'all that looking')
    server.stop()


def main(world):
    if lab.STAND_IN:
        lab.skip('connections one by one', 'the stand-in tells nothing')
        return
    rnd = random.Random(SEED)
    lab.write_file(world.path('tree/file.bin'), rnd.randbytes(3000000))
    lab.write_file(world.path('tree/big.bin'), rnd.randbytes(BIG_BYTES))
    lab.write_file(world.path('tree/small.bin'), rnd.randbytes(1000))
    for workers in (1, 2):
        observe(world, workers)


if __name__ == '__main__':
    lab.run(main, tools=['curl', 'cmp', 'ss'])
