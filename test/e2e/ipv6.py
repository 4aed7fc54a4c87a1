#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""IPv6, both families at once, and a VLAN: the Linux stack as peer, neighbour and router, and raw
frames where it cannot play the part."""
import hashlib
import json
import os
import random
import select
import socket
import struct
import subprocess
import time

import lab
from packets import ACK, PSH, SYN, checksum, eth, mac

NET6 = 'fd07::'
SERVER6, HOST6, FAR6 = NET6 + '2', NET6 + '1', 'fd08::'
ETH_IP6, ETH_VLAN = 0x86dd, 0x8100
ICMP6, TCP = 58, 6
TOO_BIG, ECHO, ECHO_REPLY, ROUTER_ADVERT, SOLICIT, ADVERT, MLD2 = 2, 128, 129, 134, 135, 136, 143
ALL_NODES = 'ff02::1'
GHOST_MAC, ROUTER_A, ROUTER_B = (mac('02:00:00:00:66:%02x' % i) for i in (1, 2, 3))
SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 263, 8, 0x10  # linux/if_packet.h
VLAN = 7
SEED = 8200


# --- frames --------------------------------------------------------------------------------------


def a6(text):
    return socket.inet_pton(socket.AF_INET6, text)


def group_mac(addr):
    return b'\x33\x33' + a6(addr)[12:]


def solicited_group(addr):
    return socket.inet_ntop(socket.AF_INET6, a6('ff02::1:ff00:0')[:13] + a6(addr)[13:])


def ip6(src, dst, proto, payload, hops=255):
    """With the checksum that the protocol wants."""
    pseudo = a6(src) + a6(dst) + struct.pack('!II', len(payload), proto)
    at = 2 if proto == ICMP6 else 16
    payload = payload[:at] + b'\0\0' + payload[at + 2:]
    payload = payload[:at] + struct.pack('!H', checksum(pseudo + payload)) + payload[at + 2:]
    return (struct.pack('!IHBB', 6 << 28, len(payload), proto, hops) + a6(src) + a6(dst) + payload)


def icmp6(kind, rest, code=0):
    return struct.pack('!BBH', kind, code, 0) + rest


def solicit(src, target, hw):
    packet = ip6(src, solicited_group(target), ICMP6,
                 icmp6(SOLICIT, bytes(4) + a6(target) + b'\1\1' + hw))
    return group_mac(solicited_group(target)), packet


def advert(src, dst, hw):
    """Whose answer it is, and that it was asked."""
    return ip6(src, dst, ICMP6, icmp6(ADVERT, b'\x60\0\0\0' + a6(src) + b'\2\1' + hw))


def router_advert(src, hw, lifetime_s):
    body = struct.pack('!BBHII', 64, 0, lifetime_s, 0, 0) + b'\1\1' + hw
    return group_mac(ALL_NODES), ip6(src, ALL_NODES, ICMP6, icmp6(ROUTER_ADVERT, body))


def segment(sport, dport, seq, ack, flags, payload=b'', options=b''):
    return struct.pack('!HHIIBBHHH', sport, dport, seq & 0xffffffff, ack & 0xffffffff,
                       (5 + len(options) // 4) << 4, flags, 65535, 0, 0) + options + payload


class Wire:
    """The host's side of the TAP, below the kernel; with a VLAN every frame has its tag."""

    def __init__(self, dev, vlan=None):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.bind((dev, 0))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)  # it has the VLAN
        self.vlan = vlan

    def close(self):
        self.sock.close()

    def send(self, dst, src, packet):
        tag = b'' if self.vlan is None else struct.pack('!HH', ETH_VLAN, self.vlan)
        self.sock.send(dst + src + tag + struct.pack('!H', ETH_IP6) + packet)

    def seen(self, timeout_s):
        """(destination, VLAN or None, IPv6 packet) of the server's frames."""
        end = time.monotonic() + timeout_s
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                return
            frame, aux, _, where = self.sock.recvmsg(1 << 17, 256)
            if where[2] == socket.PACKET_OUTGOING:
                continue
            vlan, at = None, 12
            for _, kind, data in aux:
                if kind == PACKET_AUXDATA:
                    status, tci = struct.unpack_from('IIIHHH', data)[0], data[16:18]
                    if status & TP_STATUS_VLAN_VALID:
                        vlan = struct.unpack('H', tci)[0]
            if frame[12:14] == b'\x81\0':
                vlan, at = struct.unpack('!H', frame[14:16])[0], 16
            if frame[at:at + 2] == b'\x86\xdd':
                yield frame[:6], vlan, frame[at + 2:]

    def first(self, wanted, timeout_s):
        """The first frame that `wanted` says yes to, or None."""
        return next((f for f in self.seen(timeout_s) if wanted(f[2])), None)


def is_icmp6(packet, kind):
    return len(packet) > 40 and packet[6] == ICMP6 and packet[40] == kind


def holds(packet):
    """The checksum of an ICMPv6 message or a segment behind a plain header."""
    pseudo = packet[8:40] + struct.pack('!II', len(packet) - 40, packet[6])
    return checksum(pseudo + packet[40:]) == 0


# --- worlds --------------------------------------------------------------------------------------


def enable_ipv6():
    for name in ('all', 'default', 'lo'):
        lab.sh('sysctl -qw net.ipv6.conf.%s.disable_ipv6=0' % name)
    lab.sh('sysctl -qw net.ipv6.conf.default.accept_ra=0')


def make_tap(name, more=''):
    """A TAP that is there before the server, so that its first words are heard."""
    lab.sh('ip tuntap add dev %s mode tap vnet_hdr %s' % (name, more))
    lab.sh('ip link set %s up' % name)


class Alone(lab.Atlas):
    """A server that gets just these options; the host's side is the test's business."""

    addr = SERVER6

    def __init__(self, world, root, dev, options, name):
        lab.Server.__init__(self, world, name)
        self.argv = [os.environ['ATLAS'], 'serve', '--port', 'tap:' + dev, '--root', root,
                     '--admin', '127.0.0.1:%d' % lab.ADMIN_PORT, '--drain-timeout', '1', *options]
        self.dev = dev
        self.spawn(self.argv, stdout=subprocess.PIPE)
        self.ready = self._first_line().strip()
        if not self.ready.startswith('ready '):
            raise RuntimeError('no "ready": %r' % self.ready)

    def counter(self, name):
        return self.metrics().get('atlas_' + name, 0)

    def hw(self):
        """The server's Ethernet address: the host's with one bit changed."""
        link = json.loads(lab.sh('ip -j link show ' + self.dev).stdout)[0]
        host = bytearray(mac(link['address']))
        host[0], host[5] = (host[0] | 2) & 0xfe, host[5] ^ 1
        return bytes(host)


def files(world):
    """A tree with a large file and small ones; {path: sha256}."""
    digests, rnd = {}, random.Random(SEED)
    for name, size in (('big.bin', int(40e6 * lab.SCALE)), ('page.html', 3000), ('one', 1)):
        body = rnd.randbytes(size)
        lab.write_file(world.path('tree', name), body)
        digests[name] = hashlib.sha256(body).hexdigest()
    return digests


def curl(addr, path, *more, inside=()):
    host = '[%s]' % addr if ':' in addr else addr
    return subprocess.Popen([*inside, 'curl', '-gsf', '-m', '60', *more,
                             'http://%s/%s' % (host, path)], stdout=subprocess.PIPE)


def digest(child):
    body, _ = child.communicate()
    return hashlib.sha256(body).hexdigest() if child.returncode == 0 else child.returncode


# --- tests ---------------------------------------------------------------------------------------


def check_capture(path):
    """Every IPv6 packet of a capture is one that a wire would carry, with its checksum."""
    bad, packets, big = [], 0, 0
    with open(path, 'rb') as f:
        data = f.read()
    at = 0
    while at + 12 <= len(data):
        kind, length = struct.unpack_from('<II', data, at)
        if kind == 6:
            size = struct.unpack_from('<I', data, at + 20)[0]
            frame = data[at + 28:at + 28 + size]
            if frame[12:14] == b'\x86\xdd' and frame[20] in (TCP, ICMP6):
                packets += 1
                big += len(frame) == 1514
                if len(frame) > 1514 or not holds(frame[14:]):
                    bad.append(frame[:80].hex())
        at += length
    lab.ok(packets > 1000 and big > 100 and not bad,
           'the capture has IPv6 cut into segments, with whole checksums',
           '%d packets, %d full ones, %d bad' % (packets, big, len(bad)), *bad[:3])


def both_families(world, digests):
    capture = world.path('capture.pcapng')
    server = world.serve(root=world.path('tree'),
                         more=['--addr', SERVER6 + '/64', '--host-addr', HOST6 + '/64',
                               '--pcap', capture])
    for addr in (SERVER6, lab.SERVER):
        lab.ok(all(digest(curl(addr, name)) == want for name, want in digests.items()),
               'curl fetches whole files from ' + addr)
    with open(world.path('tree', 'big.bin'), 'rb') as f:
        body = f.read()
    for first, last in ((0, 0), (1439, 1440), (1000000, 3000000), (len(body) - 1, len(body) - 1)):
        got, _ = curl(SERVER6, 'big.bin', '-r', '%d-%d' % (first, last)).communicate()
        lab.ok(got == body[first:last + 1], 'bytes %d to %d over IPv6' % (first, last))
    together = [curl(addr, 'big.bin') for addr in (SERVER6, lab.SERVER) * 4]
    lab.ok(all(digest(child) == digests['big.bin'] for child in together),
           'both families at once')
    metrics = server.metrics()
    lab.ok(metrics['atlas_eth_ndp_solicits_in_total'] > 0
           and metrics['atlas_eth_ndp_adverts_out_total'] > 0,
           'Linux found the server by Neighbor Discovery')
    server.settles(10, 'nothing is left behind')
    server.stop()
    check_capture(capture)


def ping(addr, size):
    """True: an echo of this many bytes comes back as it was. The kernel makes the checksum."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as s:
        s.settimeout(3)
        body = bytes(i * 7 & 255 for i in range(size))
        s.sendto(icmp6(ECHO, struct.pack('!HH', 8200, size & 0xffff) + body), addr)
        try:
            while True:
                got = s.recv(1 << 16)
                if got[0] == ECHO_REPLY and got[4:6] == struct.pack('!H', 8200):
                    return got[8:] == body
        except socket.timeout:
            return False


def refused(addr):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.connect(addr)
        s.send(b'nobody listens')
        try:
            s.recv(1)
        except ConnectionRefusedError:
            return True
        except socket.timeout:
            pass
    return False


def link_local(hw):
    b = bytes([hw[0] ^ 2]) + hw[1:3] + b'\xff\xfe' + hw[3:]
    return socket.inet_ntop(socket.AF_INET6, a6('fe80::')[:8] + b)


def host_and_icmp(world, digests):
    """What the server says first, echoes, unreachable ports, several workers."""
    make_tap('at1', 'multi_queue')
    lab.sh('ip addr add %s/64 dev at1 nodad' % HOST6)
    wire = Wire('at1')
    server = Alone(world, world.path('tree'), 'at1',
                   ['--addr', SERVER6 + '/64', '--workers', '2', '--gateway', HOST6], 'icmp')
    lab.ok(server.ready == 'ready http://[%s]/' % SERVER6, 'it says its IPv6 address', server.ready)
    said = [p for _, _, p in wire.seen(3.5)]
    probes = {bytes(p[48:64]) for p in said if is_icmp6(p, SOLICIT) and p[8:24] == bytes(16)}
    local = link_local(server.hw())
    lab.ok(probes == {a6(SERVER6), a6(local)}, 'it probes for its addresses', probes)
    lab.ok(any(is_icmp6(p, ADVERT) and p[8:24] == a6(SERVER6) and p[24:40] == a6(ALL_NODES)
               and holds(p) for p in said), 'it announces them')
    lab.ok(any(p[6] == 0 and len(p) > 48 and p[48] == MLD2 and p[40:48] == b'\x3a\0\5\2\0\0\1\0'
               for p in said), 'it reports its groups')
    lab.ok(all(ping((SERVER6, 0), size) for size in (0, 1, 100, 1452)), 'it answers echoes')
    index = socket.if_nametoindex('at1')
    lab.ok(ping((local, 0, 0, index), 56), 'also to its link-local address')
    lab.ok(not ping((SERVER6, 0), 1453), 'but no fragments')
    lab.ok(server.drops('ip', 'fragment') == 2, 'which are counted')
    lab.ok(refused((SERVER6, 9)), 'UDP is told that nobody listens')
    together = [curl(SERVER6, 'page.html') for _ in range(40)]
    lab.ok(all(digest(child) == digests['page.html'] for child in together),
           '40 connections to two workers')
    lab.ok(server.counter('eth_relayed_in_total') > 0, 'which tell each other of neighbours')
    server.stop()
    wire.close()
    lab.sh('ip link del at1')


def duplicate_address(world):
    make_tap('at2')
    lab.sh('ip addr add %s/64 dev at2 nodad; ip addr add %s/64 dev at2 nodad' % (HOST6, SERVER6))
    server = Alone(world, world.path('tree'), 'at2', ['--addr', SERVER6 + '/64'], 'duplicate')
    lab.ok(lab.wait_for(lambda: server.counter('eth_ndp_duplicates_total') == 1, 5),
           "an address that is the host's is noticed")
    lab.ok(lab.wait_for(lambda: any('another machine' in l for l in server.log_lines()), 3),
           'and the operator is told', *server.log_lines())
    server.stop()
    lab.sh('ip link del at2')


def path_mtu(world, digests):
    """The host routes to a network behind a narrow link; its Packet Too Big is heeded."""
    make_tap('at3')
    lab.sh('ip addr add %s/64 dev at3 nodad; sysctl -qw net.ipv6.conf.all.forwarding=1' % HOST6)
    client = world.spawn(['unshare', '-n', 'sleep', 'infinity'])
    ours = os.readlink('/proc/self/ns/net')
    lab.wait_for(lambda: os.readlink('/proc/%d/ns/net' % client.pid) != ours, 5, 0.005)
    inside = ['nsenter', '-t', str(client.pid), '-n']
    lab.sh('ip link add far0 type veth peer name near0 netns %d' % client.pid)
    lab.sh('ip addr add %s1/64 dev far0 nodad; ip link set far0 mtu 1400 up' % FAR6)
    lab.sh([*inside, 'sh', '-c', 'ip link set lo up; ip addr add %s2/64 dev near0 nodad; '
            'ip link set near0 up; ip -6 route add default via %s1' % (FAR6, FAR6)])
    server = Alone(world, world.path('tree'), 'at3',
                   ['--addr', SERVER6 + '/64', '--gateway', HOST6], 'mtu')
    lab.ok(digest(curl(SERVER6, 'big.bin', inside=inside)) == digests['big.bin'],
           'a client behind a link of 1400 bytes gets its file')
    lab.ok(server.counter('ip_icmp_errors_in_total') > 0
           and server.counter('tcp_icmp_errors_total') > 0,
           'after a Packet Too Big', server.counter('ip_icmp_errors_in_total'))
    server.stop()
    client.kill()
    client.wait()
    lab.sh('ip link del far0; ip link del at3; sysctl -qw net.ipv6.conf.all.forwarding=0')


def routers(world):
    """Advertised routers: the first is used, and the second when the first one goes."""
    make_tap('at4')
    wire = Wire('at4')
    server = Alone(world, world.path('tree'), 'at4', ['--addr', SERVER6 + '/64'], 'routers')
    ours, stranger, port = server.hw(), 'fd99::9', 4000

    def syn_ack(timeout_s):
        return wire.first(lambda p: p[6] == TCP and p[53] == SYN | ACK and p[24:40] == a6(stranger),
                          timeout_s)

    def knock(hw):
        nonlocal port
        port += 1
        wire.send(ours, hw, ip6(stranger, SERVER6, TCP, segment(port, 80, 1, 0, SYN)))

    knock(ROUTER_A)
    lab.ok(syn_ack(1.5) is None and server.drops('ip', 'no_route') >= 0, 'no router, no way back')
    for name, hw in (('fe80::a', ROUTER_A), ('fe80::b', ROUTER_B)):
        dst, packet = router_advert(name, hw, 1800)
        wire.send(dst, hw, packet)
    lab.ok(lab.wait_for(lambda: server.counter('eth_ndp_routers_in_total') == 2, 3),
           'routers are heard')
    knock(ROUTER_A)
    got = syn_ack(3)
    lab.ok(got and got[0] == ROUTER_A, 'the first one is used', got)
    dst, packet = router_advert('fe80::a', ROUTER_A, 0)
    wire.send(dst, ROUTER_A, packet)
    got = syn_ack(4)
    lab.ok(got and got[0] == ROUTER_B, 'the same connection goes on by the second one', got)
    lab.ok(server.counter('eth_ndp_router_changes_total') == 2, 'and the change is counted')
    server.stop()
    wire.close()
    lab.sh('ip link del at4')


class Client:
    """As much of a TCP as fetches one file in a VLAN; without it no kernel here has a VLAN."""

    def __init__(self, wire, server_mac, addr):
        self.wire, self.server_mac, self.addr = wire, server_mac, addr
        self.seq, self.ack = 1000, 0

    def send(self, flags, payload=b'', options=b''):
        self.wire.send(self.server_mac, GHOST_MAC,
                       ip6(self.addr, SERVER6, TCP,
                           segment(5000, 80, self.seq, self.ack, flags, payload, options)))
        self.seq += len(payload) + bool(flags & SYN)

    def get(self, path, size):
        """What follows the head, and whether every frame had the tag."""
        stream, tagged = b'', True
        self.send(SYN, options=b'\2\4\5\xa0')
        for _, vlan, p in self.wire.seen(10):
            if is_icmp6(p, SOLICIT) and p[48:64] == a6(self.addr):
                self.wire.send(self.server_mac, GHOST_MAC, advert(self.addr, SERVER6, GHOST_MAC))
            if p[6] != TCP or p[24:40] != a6(self.addr):
                continue
            tagged &= vlan == VLAN
            seq, flags = struct.unpack('!I', p[44:48])[0], p[53]
            data = p[40 + (p[52] >> 4) * 4:40 + struct.unpack('!H', p[4:6])[0]]
            if flags & SYN:
                self.ack = seq + 1
                self.send(ACK | PSH, b'GET /%s HTTP/1.1\r\nHost: x\r\n\r\n' % path.encode())
            elif data and seq == self.ack & 0xffffffff:
                self.ack += len(data)
                stream += data
                self.send(ACK)
            if len(stream.partition(b'\r\n\r\n')[2]) >= size:
                break
        return stream.partition(b'\r\n\r\n')[2], tagged


def vlan(world, digests):
    make_tap('at5')
    server = Alone(world, world.path('tree'), 'at5',
                   ['--addr', SERVER6 + '/64', '--vlan', str(VLAN)], 'vlan')
    ours = server.hw()
    ghost = NET6 + '66'
    for tag in (VLAN, VLAN + 1, None, 0, VLAN | 0xa000):
        wire = Wire('at5', tag)
        dst, packet = solicit(ghost, SERVER6, GHOST_MAC)
        wire.send(dst, GHOST_MAC, packet)
        got = wire.first(lambda p: is_icmp6(p, ADVERT) and p[24:40] == a6(ghost), 1)
        is_ours = tag is not None and tag & 0xfff == VLAN
        lab.ok(bool(got) == is_ours and (not got or (got[1] == VLAN and holds(got[2]))),
               'a question in VLAN %s is %s' % (tag, 'answered in ours' if is_ours else 'ignored'))
        wire.close()
    lab.ok(server.drops('eth', 'vlan') >= 3, 'what is ignored is counted')
    wire = Wire('at5', VLAN)
    body, tagged = Client(wire, ours, ghost).get('page.html', 3000)
    lab.ok(hashlib.sha256(body).hexdigest() == digests['page.html'] and tagged,
           'a file comes through the VLAN', '%d bytes, all tagged: %s' % (len(body), tagged))
    wire.close()
    server.stop()
    lab.sh('ip link del at5')


def generator(world):
    """stormload, too, has neighbours and routers of either family."""
    program = os.environ.get('STORMLOAD', '')
    if not os.access(program, os.X_OK):
        lab.skip('a load generator over IPv6', 'STORMLOAD does not name a program')
        return
    lab.sh('ip addr add %s1/128 dev lo nodad' % FAR6)
    listener = socket.create_server((FAR6 + '1', 80), family=socket.AF_INET6)
    load = subprocess.Popen([program, '--port', 'tap:at6', '--host-addr', HOST6 + '/64', '--addr',
                             SERVER6 + '/64', '--gateway', HOST6, '--requests', '1',
                             '--connections', '1', 'http://[%s1]/' % FAR6],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    listener.settimeout(10)
    try:
        asker, peer = listener.accept()
        asked = asker.recv(1000)
        asker.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        lab.ok(asked.startswith(b'GET / ') and peer[0] == SERVER6,
               'stormload reaches a server behind a gateway')
        asker.close()
    except socket.timeout:
        lab.ok(False, 'stormload reaches a server behind a gateway')
    words = load.communicate(timeout=20)[1].decode()
    lab.ok(load.returncode == 0, 'and takes its answer', words)
    listener.close()
    lab.sh('ip addr del %s1/128 dev lo' % FAR6)


def main(world):
    if lab.STAND_IN:
        lab.skip('IPv6', 'is about this server alone')
        return
    if not os.path.exists('/proc/sys/net/ipv6'):
        lab.skip('IPv6', 'this kernel has none')
        return
    enable_ipv6()
    digests = files(world)
    for test, more in ((both_families, (digests,)), (host_and_icmp, (digests,)),
                       (duplicate_address, ()), (path_mtu, (digests,)), (routers, ()),
                       (vlan, (digests,)), (generator, ())):
        with lab.step(test.__name__):
            test(world, *more)


if __name__ == '__main__':
    lab.run(main, tools=('curl',))
