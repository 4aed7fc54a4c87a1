#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""tcpagent obeys: driven over its control socket, with the kernel's TCP as its peer."""
import errno
import os
import signal
import socket
import struct
import subprocess
import time

import lab
from lab import ok, sh, wait_for

AGENT = os.environ.get('TCPAGENT', '')
AGENT_PORT = 7
PEEK, DONTWAIT, WAITALL = socket.MSG_PEEK, socket.MSG_DONTWAIT, socket.MSG_WAITALL
ANSWER_TIMEOUT_S = 10
WAIT_MS = 300
AGAIN, RESET, NOTCONN, PIPE, INVAL = (-errno.EAGAIN, -errno.ECONNRESET, -errno.ENOTCONN,
                                      -errno.EPIPE, -errno.EINVAL)


class Agent:
    def __init__(self, world, more=()):
        self.path = world.path('agent')
        self.log = open(world.path('agent.log'), 'ab')
        self.process = world.spawn(
            [AGENT, '--port', 'tap:' + lab.TAP, '--addr', lab.SERVER + lab.BITS, '--host-addr',
             lab.HOST + lab.BITS, '--listen', str(AGENT_PORT), '--control', self.path, '--wait',
             str(WAIT_MS), *more], stdout=subprocess.PIPE, stderr=self.log)
        self.first_line = self.process.stdout.readline().decode()
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.control.bind(world.path('suite'))
        self.control.settimeout(ANSWER_TIMEOUT_S)

    def post(self, command):
        self.control.sendto(command.encode(), self.path)

    def answer(self):
        return int(self.control.recv(64))

    def __call__(self, command):
        self.post(command)
        return self.answer()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


def peer(timeout_s=10):
    s = socket.socket()
    s.settimeout(timeout_s)
    s.connect((lab.SERVER, AGENT_PORT))
    return s


def read_all(s):
    got = b''
    while True:
        part = s.recv(1 << 16)
        if not part:
            return got
        got += part


def accepted(agent):
    s = peer()
    ok(agent('A') == 0, 'A accepts')
    return s


def is_reset(s):
    """Whether the kernel's side learns of a reset."""
    try:
        return s.recv(1) is None
    except ConnectionResetError:
        return True


def can_send(s):
    try:
        return s.send(b'e') == 1
    except (ConnectionResetError, BrokenPipeError):
        return False


def without_a_connection(agent):
    for command in 'R 1 0', 'W 1', 'S 1', 'C':
        ok(agent(command) == NOTCONN, '%s without a connection' % command)
    began = time.monotonic()
    ok(agent('A') == AGAIN, 'A with nobody there')
    took = time.monotonic() - began
    ok(WAIT_MS / 1000 <= took < WAIT_MS / 1000 + 2, 'A waits for the time of --wait', took)
    for line in '', 'X', 'A 1', 'R', 'R 1', 'R 1 0 0', 'R x 0', 'R -1 0', 'W', 'Wx', 'S', 'CC', \
            'W 99999999999999999999', 'W ' + '1' * 100:
        ok(agent(line) == INVAL, 'no command: %r' % line[:20])
    ok(agent('A\n') == AGAIN, 'a newline behind a command does no harm')


def receives(agent):
    with accepted(agent) as s:
        ok(agent('R 100 %d' % DONTWAIT) == AGAIN, 'R with MSG_DONTWAIT and nothing there')
        ok(agent('R 100 0') == AGAIN, 'R with nothing there')
        s.sendall(b'a' * 1000)
        ok(agent('R 300 %d' % PEEK) == 300, 'R with MSG_PEEK')
        ok(agent('R 5000 %d' % (PEEK | DONTWAIT)) == 1000, 'R with MSG_PEEK leaves all there')
        ok(agent('R 300 0') == 300, 'R takes a part')
        ok(agent('R 5000 0') == 700, 'R takes the rest')
        ok(agent('R 0 0') == 0, 'R of no bytes')
        ok(agent('R 1 %d' % socket.MSG_OOB) == -errno.EOPNOTSUPP, 'R with a flag that is not known')
        agent.post('R 3000 %d' % WAITALL)
        for _ in range(3):
            time.sleep(0.05)
            s.sendall(b'b' * 1000)
        ok(agent.answer() == 3000, 'R with MSG_WAITALL waits for all')
        agent.post('R 100 0')
        time.sleep(0.1)
        s.sendall(b'c')
        ok(agent.answer() == 1, 'R waits for the first byte')
        s.shutdown(socket.SHUT_WR)
        ok(agent('R 100 0') == 0 and agent('R 100 0') == 0, 'R is 0 after the FIN, again and again')
        ok(agent('C') == 0 and read_all(s) == b'', 'C closes')


def fills_the_window(agent):
    with accepted(agent) as s:
        s.setblocking(False)
        sent, total = 0, 400000
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline and sent < total:
            try:
                sent += s.send(b'd' * 10000)
            except BlockingIOError:
                time.sleep(0.02)
        here = agent('R 1000000 %d' % PEEK)
        ok(0 < here <= 65535, 'no more than the window arrives unread', here)
        s.settimeout(10)
        got = 0
        while got < sent:
            n = agent('R 1000000 0')
            if n <= 0:
                break
            got += n
        ok(got == sent, 'and all of it in the end', got, sent)
        ok(agent('C') == 0, 'C')


def sends(agent):
    with accepted(agent) as s:
        for size in 1, 1460, 65536, 3000000:
            ok(agent('W %d' % size) == size, 'W %d' % size)
            got = b''
            while len(got) < size:
                got += s.recv(1 << 16)
            ok(got == b'x' * size, 'the kernel reads %d times x' % size)
        ok(agent('W 0') == 0, 'W 0')
        ok(agent('W 5') == 5 and agent('S 1') == 0, 'S 1')
        ok(read_all(s) == b'xxxxx', 'the kernel reads to the end after S 1')
        ok(agent('W 1') == PIPE, 'W after S 1')
        s.sendall(b'more')
        ok(agent('R 100 0') == 4, 'the other direction goes on')
        ok(agent('S 1') == 0, 'S 1 twice')
        s.close()
        ok(agent('R 100 0') == 0, 'and ends')
        ok(agent('W 1') == PIPE and agent('C') == 0, 'C')


def shuts_down(agent):
    with accepted(agent) as s:
        s.sendall(b'abc')
        ok(agent('R 3 %d' % (PEEK | WAITALL)) == 3, 'three bytes are there')
        ok(agent('S 0') == 0 and agent('R 9 0') == 3 and agent('R 9 0') == 0,
           'after S 0, R has what is there, and then the end')
        ok(agent('W 3') == 3 and s.recv(9) == b'xxx', 'S 0 leaves sending alone')
        ok(agent('S 3') == INVAL, 'S 3')
        ok(agent('S 2') == 0 and read_all(s) == b'', 'S 2 ends both')
        ok(agent('C') == 0, 'C after S 2')


def is_closed_on(agent):
    s = accepted(agent)
    s.sendall(b'abc')
    ok(agent('R 3 %d' % (PEEK | WAITALL)) == 3 and agent('C') == 0 and is_reset(s),
       'C with bytes unread resets')
    s = accepted(agent)
    ok(agent('C') == 0 and read_all(s) == b'', 'C closes the agent\'s side')
    s.sendall(b'late')
    ok(wait_for(lambda: not can_send(s), 5), 'bytes that come after C reset')
    s = accepted(agent)
    s.sendall(b'abc')
    ok(agent('R 3 %d' % (PEEK | WAITALL)) == 3, 'three bytes are there')
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()
    ok(wait_for(lambda: agent('W 1') == RESET, 5), 'W on a reset connection')
    ok(agent('R 2 0') == 2 and agent('R 2 0') == 1, 'what came before the reset is received')
    ok(agent('R 2 0') == RESET and agent('R 2 0') == RESET, 'and then the reset')
    ok(agent('S 1') == RESET, 'S on a reset connection')
    ok(agent('C') == 0 and agent('C') == NOTCONN, 'C twice')


def accepts_several(agent):
    with peer() as a, peer() as b, peer() as c:
        a.sendall(b'1')
        b.sendall(b'22')
        c.sendall(b'333')
        counts = []
        for _ in range(3):
            ok(agent('A') == 0, 'A, of several')
            counts.append(agent('R 10 0'))
        ok(counts == [1, 2, 3], 'A takes them in the order in which they came', counts)
        ok(agent('A') == AGAIN, 'and no more than there are')


def forgets(agent):
    s, waiting = accepted(agent), peer()
    ok(agent('Z') == 0, 'Z')
    ok(agent('R 1 0') == NOTCONN and agent('A') == AGAIN, 'Z forgets those accepted and others')
    ready = [x for x in (s, waiting) if is_readable(x)]
    ok(not ready, 'and tells nobody')
    s.sendall(b'a')
    waiting.sendall(b'a')
    ok(is_reset(s) and is_reset(waiting), 'a forgotten connection is reset when it speaks')
    with accepted(agent) as again:
        ok(agent('W 3') == 3 and again.recv(9) == b'xxx', 'the port listens on after Z')
        ok(agent('C') == 0, 'C')
    for _ in range(20):
        s = peer()
        agent('A')
        agent('W 100000')
        agent('Z')
        s.close()
    ok(agent('A') == AGAIN, 'Z again and again, with data under way')


def is_readable(s):
    s.settimeout(0.3)
    try:
        return s.recv(1) is not None
    except TimeoutError:
        return False
    finally:
        s.settimeout(10)


def answers_nobody(agent):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
        nameless.sendto(b'A', agent.path)
    ok(agent('R 1 0') == NOTCONN, 'a command without a sender is obeyed, and the next one answered')


def status(*argv):
    done = subprocess.run([AGENT, *argv], capture_output=True, text=True, timeout=20)
    return done.returncode, done.stdout, done.stderr


def command_line(world):
    good = {'--port': 'tap:agent9', '--addr': '10.9.9.2/24', '--listen': '7',
            '--control': world.path('control')}
    for name, value in (('--port', None), ('--addr', None), ('--listen', None), ('--control', None),
                        ('--addr', '10.9.9.2'), ('--listen', '0'), ('--listen', '7x'),
                        ('--control', 'x' * 200), ('--wait', '-1'), ('--gateway', 'x'),
                        ('--host-addr', 'x'), ('--nonsense', '')):
        args = [w for k, v in {**good, name: value}.items() if v is not None for w in (k, v)]
        rc, out, err = status(*args)
        ok(rc == 2 and not out and len(err.strip().splitlines()) == 1,
           'wrong usage: %s %s' % (name, (value or '')[:10]), rc, err)
    ok(status(*[w for kv in good.items() for w in kv], 'more')[0] == 2, 'wrong usage: an argument')
    rc, out, _ = status('--help')
    ok(rc == 0 and '--control' in out, '--help')
    for name, value in ('--port', 'nothing:x'), ('--control', '/nowhere/at/all'), \
            ('--control', world.path()), ('--pcap', '/nowhere/at/all'):
        rc, out, err = status(*[w for kv in {**good, name: value}.items() for w in kv])
        ok(rc == 1 and not out and len(err.strip().splitlines()) == 1,
           'cannot start: %s %s' % (name, value), rc, err)
    ok(not os.path.exists(good['--control']), 'the socket is removed when it cannot start')


def main(world):
    agent = Agent(world, ['--pcap', world.path('agent.pcapng')])
    ok(agent.first_line == 'ready %s:%d\n' % (lab.SERVER, AGENT_PORT), 'ready', agent.first_line)
    for part in (without_a_connection, receives, fills_the_window, sends, shuts_down, is_closed_on,
                 accepts_several, forgets, answers_nobody):
        with lab.step(part.__name__):
            part(agent)
    held = peer()
    ok(agent.stop() == 0, 'SIGTERM ends it with status 0')
    held.close()
    ok(not os.path.exists(agent.path), 'the socket is gone')
    ok(os.path.getsize(world.path('agent.pcapng')) > 1000, '--pcap wrote something')
    with open(world.path('agent.log')) as f:
        log = f.read()
    ok('Sanitizer' not in log and 'runtime error' not in log, 'no reports', log)
    sh(['ip', 'link', 'del', lab.TAP], check=False)
    command_line(world)


if __name__ == '__main__':
    if not os.access(AGENT, os.X_OK):
        lab.skip_all('TCPAGENT does not name a program')
    os.environ['ATLAS'] = AGENT  # what the laboratory looks for before it begins
    lab.run(main)
