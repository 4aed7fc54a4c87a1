#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Clients that behave badly cost the others nothing, and the server lets go of them in time."""
import multiprocessing
import random
import resource
import select
import socket
import struct
import time

import lab

BIG_BYTES = 64 << 20
IDLE = int(10000 * min(1, lab.SCALE * 2))
STOPPED, RESET, VANISHED, DRIBBLING = 50, 100, 30, 50
HEADER_S, IDLE_S = 12, 12
GRACE_S = 6           # how late a timeout may fire when the machine is busy
GONE_S = 90           # by then a client that never answers must have been given up
GHOST = lab.NET + '66'
MEASURE_S = 4
GET_BIG = b'GET /big.bin HTTP/1.1\r\nHost: e2e\r\n\r\n'
GET_ONE = b'GET /one.txt HTTP/1.1\r\nHost: e2e\r\n\r\n'


def read_response(sock, buf):
    """One response with Content-Length into buf: the number of body bytes, which end at its end."""
    got = 0
    view = memoryview(buf)
    while b'\r\n\r\n' not in bytes(view[:min(got, 4096)]):
        n = sock.recv_into(view[got:])
        if not n:
            raise ConnectionError('ended within the head')
        got += n
    head, _, _ = bytes(view[:4096]).partition(b'\r\n\r\n')
    if b' 200 ' not in head.split(b'\r\n')[0]:
        raise ConnectionError(head.split(b'\r\n')[0].decode())
    length = int(head.lower().partition(b'content-length:')[2].split(b'\r\n')[0])
    end = len(head) + 4 + length
    while got < end:
        n = sock.recv_into(view[got:end])
        if not n:
            raise ConnectionError('ended after %d of %d bytes' % (got, end))
        got += n
    return len(head) + 4, end


def fetch_for(server, seconds, expected, results):
    """Fetches the big file again and again, comparing every byte: (bytes, seconds, errors)."""
    buf = bytearray(len(expected) + 8192)
    total, errors = 0, []
    began = time.monotonic()
    try:
        with lab.connect(server) as sock:
            while time.monotonic() < began + seconds or not total:
                sock.sendall(GET_BIG)
                start, end = read_response(sock, buf)
                if memoryview(buf)[start:end].tobytes() != expected:
                    errors.append('wrong bytes')
                total += end - start
    except OSError as e:
        errors.append(repr(e))
    results.put((total, time.monotonic() - began, errors))


def measure(server, expected, what):
    results = multiprocessing.Queue()
    child = multiprocessing.Process(target=fetch_for, args=(server, MEASURE_S, expected, results))
    child.start()
    total, seconds, errors = results.get(timeout=120)
    child.join()
    lab.ok(not errors and total, 'a good client fetches %s' % what, *errors)
    lab.diag('%s: %.0f MB/s' % (what, total / seconds / 1e6))
    return total / seconds


def start_big(server, count, read_bytes, **more):
    """Connections that have asked for the big file and read a little of it."""
    socks = []
    for _ in range(count):
        s = lab.connect(server, **more)
        s.sendall(GET_BIG)
        socks.append(s)
    for s in socks:
        got = 0
        while got < read_bytes:
            n = len(s.recv(read_bytes - got))
            if not n:
                raise ConnectionError('the download ended at %d bytes' % got)
            got += n
    return socks


def close_all(socks):
    for s in socks:
        s.close()


class Watcher:
    """Notices which of many connections the server has ended."""

    def __init__(self, socks):
        self.poll, self.open = select.epoll(), {}
        for s in socks:
            s.setblocking(False)
            self.open[s.fileno()] = s
            self.poll.register(s.fileno(), select.EPOLLIN)

    def turn(self, timeout_s):
        for fd, _ in self.poll.poll(timeout_s):
            try:
                ended = not self.open[fd].recv(1 << 16)
            except BlockingIOError:
                continue
            except OSError:
                ended = True
            if ended:
                self.poll.unregister(fd)
                self.open.pop(fd).close()

    def until_empty(self, timeout_s, every_turn=lambda: None):
        end = time.monotonic() + timeout_s
        while self.open and time.monotonic() < end:
            every_turn()
            self.turn(0.2)
        return len(self.open)


def open_idle(server):
    """Half of them never say a word, half have had an answer."""
    socks = [lab.connect(server) for _ in range(IDLE)]
    for s in socks[::2]:
        s.sendall(GET_ONE)
    answered = 0
    for s in socks[::2]:
        answered += b'200 OK' in s.recv(4096)
    return socks, answered


def idle_connections(world, server, expected, alone):
    with lab.step('opening %d connections' % IDLE):
        socks, answered = open_idle(server)
    lab.ok(answered == IDLE // 2, 'half of %d idle connections had an answer' % IDLE, answered)
    opened = server.metrics()['atlas_connections_open']
    lab.ok(opened >= IDLE, 'all of them are open', opened)
    rate = measure(server, expected, 'beside %d idle connections' % IDLE)
    lab.diag('ratio to alone: %.2f' % (rate / alone))
    watcher = Watcher(socks)
    with lab.step('the server ends idle connections'):
        left = watcher.until_empty(max(HEADER_S, IDLE_S) + GRACE_S)
    lab.ok(left == 0, 'the server ends all idle connections', '%d left' % left)
    server.settles(20, 'idle: back to the baseline')


def bad_clients(world, server, expected, alone):
    lab.sh('ip addr add %s/24 dev %s' % (GHOST, server.dev))
    with lab.step('starting bad clients'):
        stopped = start_big(server, STOPPED, 1000, rcvbuf=8192)
        reset = start_big(server, RESET, 20000)
        ghosts = start_big(server, VANISHED, 20000, source=GHOST)
        dribble = [lab.connect(server) for _ in range(DRIBBLING)]
    for s in reset[:RESET // 2]:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        s.close()
    # From now on the kernel drops what is sent to the ghosts, without a word.
    vanished = time.monotonic()
    lab.sh('ip addr del %s/24 dev %s' % (GHOST, server.dev))
    watcher = Watcher(dribble)
    said = iter(b'GET /one.txt HTTP/1.1\r\nHost: e2e\r\nX-Slow: ' + b'a' * 1000)
    last = time.monotonic()

    def drip():
        nonlocal last
        if time.monotonic() - last < 1:
            return
        last = time.monotonic()
        byte = bytes([next(said)])
        for s in watcher.open.values():
            try:
                s.send(byte)
            except OSError:
                pass  # the watcher notices
    drip()
    rate = measure(server, expected, 'beside bad clients')
    lab.diag('ratio to alone: %.2f' % (rate / alone))
    left = watcher.until_empty(HEADER_S + GRACE_S, drip)
    lab.ok(left == 0, 'a byte a second is not enough to hold a connection', '%d left' % left)
    close_all(reset[RESET // 2:])
    close_all(stopped)
    server.settles(GONE_S, 'bad clients: back to the baseline')
    lab.diag('clients vanished %.1f s ago' % (time.monotonic() - vanished))
    close_all(ghosts)
    lab.ok(server.healthy(), 'the server is well')


def half_closed(server, expected):
    """A client that closes its half right after the request is still owed the answer."""
    if lab.STAND_IN:  # nginx breaks off when it sees the FIN in mid-response
        return
    with lab.connect(server) as s:
        s.sendall(GET_BIG.replace(b'Host', b'Connection: close\r\nHost'))
        s.shutdown(socket.SHUT_WR)
        buf = bytearray(len(expected) + 8192)
        try:
            start, end = read_response(s, buf)
            good = buf[start:end] == expected and s.recv(1) == b''
        except OSError as e:
            good = repr(e)
    lab.ok(good is True, 'a client that has closed its half gets everything', good)


def silent_forever(world, expected):
    """Clients that never read: the server ends them by itself."""
    server = world.serve(volume=world.volume, header_s=3, idle_s=3)
    socks = start_big(server, STOPPED, 1000, rcvbuf=8192)
    held = server.metrics()['atlas_connections_open']
    lab.ok(held >= STOPPED, 'clients that stop reading are waited for at first', held)
    server.settles(GONE_S, 'clients that stop reading are ended by the server')
    close_all(socks)
    server.stop()


def drain(world, expected):
    """SIGTERM during a download: it completes, nobody new gets in."""
    server = world.serve(volume=world.volume)
    buf = bytearray(len(expected) + 8192)
    with lab.connect(server) as idle, lab.connect(server, rcvbuf=65536) as s:
        idle.sendall(GET_ONE)
        idle.recv(4096)
        s.sendall(GET_BIG)
        time.sleep(0.2)
        began = time.monotonic()
        server.process.send_signal(server.ends_with)
        time.sleep(0.5)
        lab.ok(server.alive(), 'it does not end while a download goes on')
        lab.ok(server.draining(), 'it says that it drains')
        with socket.socket() as late:
            late.settimeout(3)
            try:
                refused = late.connect_ex((server.addr, lab.PORT))
            except OSError as e:
                refused = repr(e)
        lab.ok(refused == 111, 'a new connection is refused', refused)
        try:
            ended = idle.recv(1)
        except OSError as e:
            ended = repr(e)
        lab.ok(ended == b'', 'an idle connection is closed', ended)
        try:
            start, end = read_response(s, buf)
            good = buf[start:end] == expected
        except OSError as e:
            good = repr(e)
    lab.ok(good is True, 'the download completes', good)
    server.gone(began=began)


def main(world):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    expected = random.Random(1).randbytes(BIG_BYTES)
    lab.write_file(world.path('tree', 'big.bin'), expected)
    lab.write_file(world.path('tree', 'one.txt'), b'x')
    world.volume = world.pack(world.path('tree'))
    server = world.serve(volume=world.volume, header_s=HEADER_S, idle_s=IDLE_S)
    alone = measure(server, expected, 'alone')
    half_closed(server, expected)
    if hard >= IDLE + 500:
        idle_connections(world, server, expected, alone)
    else:
        lab.skip('idle connections', 'RLIMIT_NOFILE is %d' % hard)
    bad_clients(world, server, expected, alone)
    server.stop()
    silent_forever(world, expected)
    drain(world, expected)


if __name__ == '__main__':
    lab.run(main)
