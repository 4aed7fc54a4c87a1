# SPDX-License-Identifier: BSD-2-Clause
"""Raw frames for hostile.py: built by hand, so that every field can be wrong."""
import random
import select
import socket
import struct
import time

ETH_IP, ETH_ARP = 0x0800, 0x0806
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32


def checksum(data):
    if len(data) % 2:
        data += b'\0'
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def mac(text):
    return bytes.fromhex(text.replace(':', ''))


def eth(dst, src, kind, payload):
    return dst + src + struct.pack('!H', kind) + payload


def ip4(src, dst, proto, payload, version=4, ihl=5, total=None, ident=1, frag=0x4000, ttl=64,
        check=None, options=b''):
    ihl += len(options) // 4
    if total is None:
        total = 20 + len(options) + len(payload)

    def head(c):
        return struct.pack('!BBHHHBBH4s4s', version << 4 | ihl & 15, 0, total & 0xffff, ident, frag,
                           ttl, proto, c, socket.inet_aton(src), socket.inet_aton(dst)) + options
    return head(checksum(head(0)) if check is None else check) + payload


def tcp(src, dst, sport, dport, seq, ack, flags, payload=b'', offset=None, window=65535, check=None,
        urgent=0, options=b''):
    if offset is None:
        offset = 5 + len(options) // 4

    def head(c):
        return struct.pack('!HHIIBBHHH', sport, dport, seq & 0xffffffff, ack & 0xffffffff,
                           (offset & 15) << 4, flags, window, c, urgent) + options
    if check is None:
        pseudo = (socket.inet_aton(src) + socket.inet_aton(dst)
                  + struct.pack('!BBH', 0, 6, len(head(0)) + len(payload)))
        check = checksum(pseudo + head(0) + payload)
    return head(check) + payload


def fix_checksums(frame):
    """The frame with the checksums that fit what it claims to be, if it can have them."""
    if len(frame) < 34 or frame[12:14] != b'\x08\0':
        return frame
    b = bytearray(frame)
    ihl = (b[14] & 15) * 4
    if ihl < 20 or 14 + ihl > len(b):
        return frame
    b[24:26] = b'\0\0'
    b[24:26] = struct.pack('!H', checksum(bytes(b[14:14 + ihl])))
    end = min(len(b), 14 + struct.unpack('!H', b[16:18])[0])
    start = 14 + ihl
    if b[23] == 6 and end - start >= 20:
        b[start + 16:start + 18] = b'\0\0'
        pseudo = bytes(b[26:34]) + struct.pack('!BBH', 0, 6, end - start)
        b[start + 16:start + 18] = struct.pack('!H', checksum(pseudo + bytes(b[start:end])))
    return bytes(b)


def arp(op, sha, spa, tha, tpa, htype=1, ptype=0x0800, hlen=6, plen=4):
    return struct.pack('!HHBBH6s4s6s4s', htype, ptype, hlen, plen, op, sha, socket.inet_aton(spa),
                       tha, socket.inet_aton(tpa))


def delivered(dev):
    """(packets that the other end of an interface has taken, packets that were lost on the way)"""
    with open('/proc/net/dev') as f:
        line = next(line for line in f if line.strip().startswith(dev + ':'))
    fields = line.split(':')[1].split()
    return int(fields[9]), int(fields[11])


class Link:
    """The host's side of the server's interface, below the kernel's own stack."""

    def __init__(self, dev, server_ip):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.bind((dev, 0))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.server_ip = server_ip
        self.server_mac = None

    def send(self, frame):
        try:
            self.sock.send(frame)
        except OSError:
            pass  # the queue of the interface is full, or the frame is one that no driver takes

    def seen(self, timeout_s):
        """Frames that arrive from the server within the time, our own not among them."""
        end = time.monotonic() + timeout_s
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                return
            frame, where = self.sock.recvfrom(1 << 16)
            if where[2] != socket.PACKET_OUTGOING:
                yield frame

    def drain(self):
        for _ in self.seen(0.001):
            pass


class Ghost:
    """A TCP client made of raw frames, with an address that the kernel does not have."""

    def __init__(self, link, ip, hw='02:00:00:00:66:66', port=40000):
        self.link, self.ip, self.mac, self.port = link, ip, mac(hw), port
        self.seq, self.ack = random.getrandbits(32), 0

    def frame(self, flags, payload=b'', seq=None, ack=None, **more):
        fields = {k: more.pop(k) for k in list(more) if k.startswith('ip_')}
        seg = tcp(self.ip, self.link.server_ip, more.pop('sport', self.port), more.pop('dport', 80),
                  self.seq if seq is None else seq, self.ack if ack is None else ack, flags,
                  payload, **more)
        packet = ip4(self.ip, self.link.server_ip, 6, seg, **{k[3:]: v for k, v in fields.items()})
        return eth(self.link.server_mac, self.mac, ETH_IP, packet)

    def send(self, flags, payload=b'', **more):
        self.link.send(self.frame(flags, payload, **more))

    def segments(self, timeout_s):
        """(flags, seq, ack, payload) of what is sent to us; ARP questions are answered."""
        want = socket.inet_aton(self.ip)
        for f in self.link.seen(timeout_s):
            if f[12:14] == b'\x08\x06' and f[20:22] == b'\0\1' and f[38:42] == want:
                self.announce(tha=f[22:28], tpa=socket.inet_ntoa(f[28:32]), op=2)
            elif f[12:14] == b'\x08\0' and f[23] == 6 and f[30:34] == want:
                start = 14 + (f[14] & 15) * 4
                sport, dport, seq, ack, off, flags = struct.unpack('!HHIIBB', f[start:start + 14])
                if dport == self.port and sport == 80:
                    end = 14 + struct.unpack('!H', f[16:18])[0]
                    yield flags, seq, ack, f[start + (off >> 4) * 4:end]

    def announce(self, tha, tpa, op):
        self.link.send(eth(tha if op == 2 else b'\xff' * 6, self.mac, ETH_ARP,
                           arp(op, self.mac, self.ip, tha if op == 2 else b'\0' * 6, tpa)))

    def resolve(self):
        """Asks for the server's Ethernet address, as any host does before it talks."""
        for _ in range(5):
            self.announce(None, self.link.server_ip, 1)
            for f in self.link.seen(0.5):
                if f[12:14] == b'\x08\x06' and f[20:22] == b'\0\2' and \
                        f[28:32] == socket.inet_aton(self.link.server_ip) and f[0:6] == self.mac:
                    self.link.server_mac = f[22:28]
                    return True
        return False

    def connect(self, timeout_s=3):
        """Three-way handshake. False when nobody answers."""
        for _ in range(3):
            self.send(SYN, options=b'\x02\x04\x05\xb4')
            for flags, seq, ack, _ in self.segments(timeout_s / 3):
                if flags & (SYN | ACK) == SYN | ACK and ack == (self.seq + 1) & 0xffffffff:
                    self.seq, self.ack = ack, (seq + 1) & 0xffffffff
                    self.send(ACK)
                    return True
        return False

    def get(self, path, timeout_s=3):
        """What the open connection answers to a request, at least to the end of the head."""
        text = b'GET %s HTTP/1.1\r\nHost: g\r\n\r\n' % path
        got = b''
        for _ in range(3):
            self.send(ACK | PSH, text)
            for flags, seq, ack, payload in self.segments(timeout_s / 3):
                if flags & RST:
                    return got
                if payload and seq == self.ack:
                    self.ack = (self.ack + len(payload)) & 0xffffffff
                    got += payload
                    self.send(ACK, seq=self.seq + len(text))
                if b'\r\n\r\n' in got:
                    self.seq += len(text)
                    return got
        return got
