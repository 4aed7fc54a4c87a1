#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The middlebox between two kernels: has the network that it makes the properties asked for?"""
import hashlib
import os
import shutil
import socket
import statistics
import struct
import subprocess
import threading
import time

import lab
import wan
from lab import diag, ok, step

PORT = 5001
SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>; Python has no name for it


# --- clients and servers of the kernel ----------------------------------------------------------


def _echo_request(ident, seq, size):
    body = struct.pack('!HH', ident, seq) + bytes(size)
    total = sum(struct.unpack('!%dH' % (len(body) // 2), body)) + 0x0800
    while total >> 16:
        total = (total >> 16) + (total & 0xffff)
    return struct.pack('!BBH', 8, 0, ~total & 0xffff) + body


def ping(net, count=10, size=56, timeout_s=3):
    """Round-trip times in ms, None for an echo that did not come."""
    times = []
    with net.left:
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    s.settimeout(timeout_s)
    with s:
        for seq in range(count):
            began = time.perf_counter()
            s.sendto(_echo_request(77, seq, size), (net.right.addr, 0))
            try:
                while True:
                    reply = s.recv(65536)
                    if reply[20] == 0 and reply[24:28] == struct.pack('!HH', 77, seq):
                        break
                times.append((time.perf_counter() - began) * 1000)
            except TimeoutError:
                times.append(None)
    return times


def transfer(sender, receiver, size, addr=None, timeout_s=60):
    """Sends bytes over one TCP connection; (what was sent, what arrived) as digests."""
    addr = addr or receiver.addr
    family = socket.AF_INET6 if ':' in addr else socket.AF_INET
    data = os.urandom(size)
    got = hashlib.sha256()
    with receiver:
        server = socket.create_server((addr, PORT), family=family)
    server.settimeout(timeout_s)

    def receive():
        try:
            s, _ = server.accept()
            s.settimeout(timeout_s)
            with s:
                while part := s.recv(1 << 18):
                    got.update(part)
        except OSError as e:
            diag('receiving: %s' % e)

    thread = threading.Thread(target=receive)
    thread.start()
    with sender:
        s = socket.socket(family)
    with s, server:
        s.settimeout(timeout_s)
        s.connect((addr, PORT))
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        thread.join(timeout_s)
    return hashlib.sha256(data).hexdigest(), got.hexdigest()


def udp_pair(net):
    """Sockets with fixed ports: the same flow in every run."""
    with net.left:
        a = socket.socket(type=socket.SOCK_DGRAM)
    with net.right:
        b = socket.socket(type=socket.SOCK_DGRAM)
    b.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    a.bind((net.left.addr, PORT))
    b.bind((net.right.addr, PORT))
    a.connect((net.right.addr, PORT))
    b.settimeout(1)
    return a, b


def datagrams_that_arrive(net, count, size=100, pause_s=0.0):
    """The numbers of those datagrams that arrive, in the order in which they do."""
    a, b = udp_pair(net)
    got = []
    with a, b:
        for i in range(count):
            a.send(struct.pack('!I', i) + bytes(size - 4))
            if pause_s:
                time.sleep(pause_s)
        try:
            while True:
                got.append(struct.unpack('!I', b.recv(65536)[:4])[0])
        except TimeoutError:
            return got


# --- the properties -----------------------------------------------------------------------------


def check_usage():
    cases = {
        'help': (['--help'], 0, '--to-right-'),
        'no ports': ([], 2, '--'),
        'one port': (['--left', 'tap:a'], 2, '--right is missing'),
        'a wrong probability': (['--left', 'tap:a', '--right', 'tap:b', '--to-left-loss', '2'], 2,
                                "--to-left-loss takes a probability"),
        'a queue without a rate': (['--left', 'tap:a', '--right', 'tap:b', '--queue', '9k'], 2,
                                   '--queue needs --rate'),
        'too long a way': (['--left', 'tap:a', '--right', 'tap:b', '--rate', '1k', '--queue', '9k'],
                           2, 'under way'),
        'an unknown option': (['--lose', '1'], 2, '--lose'),
        'no such port': (['--left', 'tap:a', '--right', 'pigeon:b'], 1, 'no such port'),
    }
    for name, (argv, status, said) in cases.items():
        done = subprocess.run([wan.program(), *argv], capture_output=True, text=True, timeout=20)
        text = done.stdout if status == 0 else done.stderr
        ok(done.returncode == status and said in text and
           (status == 0 or len(text.splitlines()) == 1),
           'usage: %s: status %d' % (name, status), done.returncode, text)


def check_delay(the_lab):
    with wan.Wan(the_lab, delay=25) as net:
        times = ping(net)
        ok(None not in times and 50 <= min(times) and statistics.median(times) < 55,
           '--delay 25: a round trip takes 50 ms', times)
        diag('round trips: %.2f to %.2f ms' % (min(times), max(times)))
    with wan.Wan(the_lab, delay=10, to_left_delay=70) as net:
        times = ping(net)
        ok(None not in times and 80 <= min(times) and statistics.median(times) < 85,
           '--to-left-delay: 10 ms there and 70 ms back', times)


def check_transfers(the_lab):
    worst = dict(delay='5-20', loss=0.01, burst='p=0.01,r=0.3', reorder=0.02, reorder_by=3,
                 duplicate=0.02, corrupt=0.005, rate='200M', queue='100p')
    with wan.Wan(the_lab, **worst) as net:
        for sender, receiver, addr in ((net.left, net.right, None), (net.right, net.left, None),
                                       (net.left, net.right, net.right.addr6)):
            with step('from the %s' % sender.name):
                sent, got = transfer(sender, receiver, 1 << 20, addr)
            ok(sent == got, 'every byte arrives: from the %s to %s'
               % (sender.name, addr or receiver.addr))
        stats = net.settled()
        for name in ('to_right', 'to_left'):
            came, went = wan.balance(stats[name])
            ok(came == went, '%s: the counters add up' % name, stats[name])
        ok(stats['right']['tx_packets'] + stats['right']['drop_tx_error'] +
           stats['right']['drop_tx_full'] == stats['to_right']['sent'],
           'what was sent is what the port sent', stats)
        missing = [k for k in ('drop_loss', 'drop_burst', 'reordered', 'duplicated', 'corrupted')
                   if not stats['to_right'][k]]
        ok(not missing, 'every impairment occurred', missing)
        ok(stats['late_us']['p50'] < 5000, 'packets leave when they should', stats['late_us'])
        diag('late by (us): %s' % stats['late_us'])
        ok(net.left.queue_drops() == 0, 'nothing is lost before the middlebox')
        ok(net.stop() == 0, 'it ends with status 0', net.log_text())


def check_rate(the_lab):
    with wan.Wan(the_lab, rate='20M', queue='50ms', delay=5) as net:
        a, b = udp_pair(net)
        sent = arrived = 0
        with a, b:
            for _ in range(5):  # each burst is worth 173 ms of the rate
                for _ in range(300):
                    sent += a.send(bytes(1400)) > 0
                time.sleep(0.1)
            net.settled()
            b.settimeout(0.2)
            try:
                while b.recv(65536):
                    arrived += 1
            except TimeoutError:
                pass
        stats = net.settled()['to_right']
        # The hosts' own multicasts, a few, may be among those dropped.
        ok(0 <= stats['drop_queue'] - (sent - arrived) <= 10, 'what does not arrive is counted',
           sent, arrived, stats)
        ok(stats['drop_queue'] > 0, 'a full queue drops', stats)
        ok(49e6 <= stats['queue_peak_ns'] <= 50e6, 'the queue holds 50 ms', stats)
    check_rate_of_tcp(the_lab)


def check_rate_of_tcp(the_lab):
    with wan.Wan(the_lab, to_right_rate='20M', to_right_queue='100ms', delay=5) as net:
        began, before = None, None
        thread = threading.Thread(target=transfer, args=(net.left, net.right, 8 << 20))
        thread.start()
        time.sleep(0.6)  # slow start is over, and the queue never empties
        before, began = net.stats()['to_right'], time.monotonic()
        time.sleep(2)
        after, ended = net.stats()['to_right'], time.monotonic()
        thread.join()
        rate = (after['sent_bytes'] - before['sent_bytes']) * 8 / (ended - began) / 1e6
        ok(19 <= rate <= 21, '--rate 20M: within 5 %', '%.2f Mbit/s' % rate)
        diag('rate: %.2f Mbit/s' % rate)


def check_ecn(the_lab):
    with wan.Wan(the_lab, rate='50M', queue='200p', ecn_mark='20p', delay=10,
                 sysctls={'net.ipv4.tcp_ecn': 1}) as net:
        sent, got = transfer(net.left, net.right, 4 << 20)
        stats = net.settled()['to_right']
        marked = net.right.netstat()['IpExt.InCEPkts']
        ok(sent == got and stats['ecn_marked'] > 0, '--ecn-mark marks', stats)
        ok(marked == stats['ecn_marked'], 'the receiver sees every mark, with a right checksum',
           marked, stats)
        before = stats['ecn_marked']
        sent, got = transfer(net.left, net.right, 4 << 20, net.right.addr6)
        after = net.settled()['to_right']['ecn_marked']
        ok(sent == got and after > before, 'IPv6 as well', before, after)


def check_order(the_lab):
    numbers = list(range(1500))
    with wan.Wan(the_lab, delay='1-9', duplicate=0) as net:
        got = datagrams_that_arrive(net, len(numbers))
        ok(got == numbers, 'without --reorder a flow keeps its order', got[:50])
    with wan.Wan(the_lab, reorder=0.05, reorder_by=4) as net:
        got = datagrams_that_arrive(net, len(numbers), pause_s=0.0002)
        ok(got != numbers and sorted(got) == numbers, '--reorder changes it, and loses none')
        ok(net.settled()['to_right']['reordered'] > 20, 'as often as asked for', net.stats())
    with wan.Wan(the_lab, path_mtu=1400) as net:
        fits, large = ping(net, 2, 1400 - 28), ping(net, 2, 1404 - 28, timeout_s=0.5)
        ok(None not in fits and large == [None, None], '--path-mtu 1400', fits, large)


def check_seed(the_lab):
    runs = []
    for seed in (5, 5, 6):
        with wan.Wan(the_lab, seed=seed, loss=0.1, burst='p=0.01,r=0.2', delay=2) as net:
            runs.append(datagrams_that_arrive(net, 1000))
    ok(runs[0] == runs[1], 'the same seed loses the same packets', len(runs[0]), len(runs[1]))
    ok(runs[0] != runs[2] and 700 < len(runs[0]) < 1000, 'another one loses others',
       len(runs[0]), len(runs[2]))


def check_drain(the_lab):
    with wan.Wan(the_lab, delay=500) as net:
        a, b = udp_pair(net)
        with a, b:
            for i in range(100):
                a.send(bytes(100))
            lab.wait_for(lambda: net.stats()['under_way'] >= 100, 5)
            began = time.monotonic()
            status = net.stop()
            took = time.monotonic() - began
            arrived = 0
            try:
                while b.recv(1000):
                    arrived += 1
            except TimeoutError:
                pass
        ok(status == 0 and took < 3 and net.stats()['under_way'] == 0,
           'SIGTERM: it ends when what is under way has arrived', status, took, net.stats())
        ok(arrived == 100, 'and it does arrive', arrived)


def check_servers(the_lab):
    tree = the_lab.path('tree')
    body = os.urandom(3 << 20)
    lab.write_file(os.path.join(tree, 'film'), body)
    with wan.Wan(the_lab, delay='10-40', loss=0.005, rate='100M') as net:
        server = net.right.atlas(['--root', tree])
        peers = [server]
        if shutil.which('nginx'):
            peers.append(net.right.nginx(tree))
        for peer in peers:
            with net.left:
                status, _, got = lab.get(peer, '/film')
            ok(status == 200 and got == body, '%s serves from behind the middlebox' % peer.name,
               status)
            ok(peer.metrics().get('atlas_connections_open') is not None, 'and can be asked')
            peer.stop()


def main(the_lab):
    check_usage()
    for check in (check_delay, check_transfers, check_rate, check_ecn, check_order, check_seed,
                  check_drain, check_servers):
        with step(check.__name__):
            check(the_lab)


if not os.access(wan.program(), os.X_OK):
    lab.skip_all('needs the middlebox: %s is not there' % wan.program())
lab.run(main, tools=('sysctl',))
