#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Random packets by scapy's fuzz(), for outside.py: outside_fuzz.py SEED COUNT IP4 IP6

Writes COUNT packets to standard output, each as Ethernet type and length (two bytes each, big
endian) and the packet. The same seed gives the same packets. A program of its own, since scapy
makes some thousands in a second: several run at once.
"""
import logging
import random
import struct
import sys

logging.getLogger('scapy').setLevel(logging.ERROR)  # it would warn that there is no way to IP6

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6PacketTooBig,
                                IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                                IPv6ExtHdrRouting)
from scapy.layers.l2 import ARP
from scapy.packet import Raw, fuzz
from scapy.volatile import RandIP, RandMAC

IP4, IP6, ETH_ARP = 0x0800, 0x86dd, 0x0806
# Left alone, scapy takes these from an interface and from the clock: not the same twice.
EVIL = '02:00:00:00:ee:ee'
TIMES = {'ts_ori': 1, 'ts_rx': 2, 'ts_tx': 3}
RENEW = 50  # packets made of one template: which fields there are is settled when it is made


def templates(ip4, ip6):
    """(Ethernet type, what makes a template). fuzz() leaves alone what is given here, and scapy
    fills in lengths and checksums that fit: what fuzz() invents gets past the first check."""
    quoted = IP(src=ip4, dst='192.0.2.1') / TCP(sport=80)
    return [
        (IP4, lambda: IP(dst=ip4) / fuzz(TCP(dport=80))),
        (IP4, lambda: IP(dst=ip4) / fuzz(TCP(dport=80, dataofs=None)) / Raw(b'GET / HTTP/1.1\r\n')),
        (IP4, lambda: fuzz(IP(dst=ip4, version=4, proto=6, frag=0, flags=0)) / fuzz(TCP())),
        (IP4, lambda: fuzz(IP(dst=ip4)) / fuzz(TCP())),
        (IP4, lambda: IP(dst=ip4) / fuzz(UDP()) / Raw(b'?')),
        (IP4, lambda: IP(dst=ip4) / fuzz(ICMP(**TIMES)) / fuzz(quoted)),
        (IP4, lambda: fuzz(IP(dst=ip4)) / fuzz(ICMP(**TIMES))),
        (IP4, lambda: fuzz(IP())),
        (ETH_ARP, lambda: fuzz(ARP(hwsrc=EVIL, pdst=ip4, hwlen=6, plen=4, hwtype=1,
                                ptype=0x800))),
        (ETH_ARP, lambda: fuzz(ARP(hwsrc=RandMAC(), psrc=RandIP()))),
        (IP6, lambda: IPv6(dst=ip6) / fuzz(TCP(dport=80))),
        (IP6, lambda: fuzz(IPv6(dst=ip6, version=6, nh=6)) / fuzz(TCP())),
        (IP6, lambda: fuzz(IPv6(dst=ip6)) / fuzz(UDP())),
        (IP6, lambda: IPv6(dst=ip6) / fuzz(ICMPv6PacketTooBig()) / IPv6(src=ip6) / fuzz(TCP())),
        (IP6, lambda: IPv6(dst=ip6) / fuzz(ICMPv6EchoRequest())),
        (IP6, lambda: IPv6(dst=ip6, hlim=255) / fuzz(ICMPv6ND_NS(tgt=ip6))),
        (IP6, lambda: IPv6(dst=ip6, hlim=255) / fuzz(ICMPv6ND_NA())),
        (IP6, lambda: IPv6(dst=ip6) / fuzz(IPv6ExtHdrHopByHop()) / fuzz(TCP())),
        (IP6, lambda: IPv6(dst=ip6) / fuzz(IPv6ExtHdrDestOpt()) / fuzz(TCP())),
        (IP6, lambda: IPv6(dst=ip6) / fuzz(IPv6ExtHdrRouting()) / fuzz(TCP())),
        (IP6, lambda: IPv6(dst=ip6) / fuzz(IPv6ExtHdrFragment()) / fuzz(TCP())),
    ]


def packets(seed, count, ip4, ip6):
    random.seed(seed)
    kinds = templates(ip4, ip6)
    made = 0
    while made < count:
        kind, make = kinds[made // RENEW % len(kinds)]
        template = make()
        for _ in range(min(RENEW, count - made)):
            yield kind, bytes(template)[:1500]
            made += 1


def main(seed, count, ip4, ip6):
    for kind, packet in packets(int(seed), int(count), ip4, ip6):
        sys.stdout.buffer.write(struct.pack('!HH', kind, len(packet)) + packet)


if __name__ == '__main__':
    main(*sys.argv[1:])
