#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""--pcap: tshark finds every packet of both directions in the file, no wrong checksum, and, put
together again, the very bytes that were fetched."""
import hashlib
import os
import random

import lab
from packets import ACK, RST, Ghost, Link

SEED = 1071
FILE_BYTES = 3000000  # many GSO frames: what the wire gets in pieces is one packet here
PINGS = 5
GHOST = lab.NET + '77'
VALIDATE = [a for name in ('ip.check_checksum', 'tcp.check_checksum')
            for a in ('-o', name + ':TRUE')]
CHECKSUMS = ('ip.checksum.status', 'tcp.checksum.status', 'icmp.checksum.status')
BAD, GOOD = '0', '1'
LOST = ('tcp.analysis.lost_segment', 'tcp.analysis.ack_lost_segment')
FIELDS = ('frame.number', 'eth.src', 'tcp.stream', 'tcp.len', 'tcp.flags', 'icmp.type',
          'arp.opcode', *CHECKSUMS, *LOST)
SYN_ACK, SYN_BIT, RST_BIT = 0x12, 0x02, 0x04


def tshark(path, *more):
    return lab.sh(['tshark', '-n', '-r', path, *VALIDATE, *more]).stdout


def packets_of(path):
    """A dictionary of FIELDS for each packet. The first of several values: an ICMP error quotes."""
    lines = tshark(path, '-T', 'fields', '-E', 'occurrence=f', *(a for f in FIELDS
                                                                 for a in ('-e', f))).splitlines()
    return [dict(zip(FIELDS, line.split('\t'))) for line in lines]


def talk(server, link):
    """Something of everything: data both ways, pings, an error, a RST, several connections."""
    bodies = [lab.get(server, '/file.bin')[2] for _ in range(2)]
    lab.get(server, '/none')
    lab.sh(['nping', '--icmp', '-c', str(PINGS), '--rate', '20', '--data-length', '1001',
            lab.SERVER])
    lab.sh(['nping', '--udp', '-p', '9', '-c', '1', lab.SERVER])  # port unreachable
    ghost = Ghost(link, GHOST)
    lab.ok(ghost.resolve() and ghost.connect(), 'a raw client connects')
    ghost.send(ACK, sport=ghost.port + 1)  # belongs to nothing: RST
    ghost.send(RST)
    return bodies


def checksums(packets, mac):
    wrong = [p for p in packets if BAD in (p[c] for c in CHECKSUMS)]
    judged = sum(p['eth.src'] == mac and p['tcp.checksum.status'] == GOOD for p in packets)
    lab.ok(packets and not wrong, 'no checksum is wrong', len(packets), *wrong[:5])
    lab.ok(judged > 100, 'the checksums of what the server sent are filled in', judged)


def streams(path, packets, bodies, content):
    """Each TCP stream put together by tshark, against what the clients got."""
    found = []
    for stream in sorted({p['tcp.stream'] for p in packets if p['tcp.len'] not in ('', '0')}):
        # Lines of the server's side are set in by a tab.
        text = tshark(path, '-q', '-z', 'follow,tcp,raw,' + stream)
        got = b''.join(bytes.fromhex(line) for line in text.splitlines() if line.startswith('\t'))
        found.append(got.partition(b'\r\n\r\n')[2])
    want = hashlib.sha256(content).digest()
    whole = sum(hashlib.sha256(body).digest() == want for body in found)
    lab.ok(all(body == content for body in bodies) and whole == len(bodies),
           'the streams in the file are what was fetched', [len(body) for body in found])


def completeness(packets, mac, counts):
    """Nothing was lost between the wire and the file. A GSO frame, which the port counts once, is
    in the file as the packets that the wire gets."""
    ours = sum(p['eth.src'] == mac for p in packets)
    lab.ok(len(packets) - ours == counts['rx'], 'every packet received is in the file',
           len(packets), ours, counts)
    lab.ok(ours >= counts['tx'] > 0, 'every packet sent is in the file', ours, counts)
    lost = [p for p in packets if any(p[name] for name in LOST)]
    lab.ok(not lost, 'tshark misses no segment', *lost[:5])
    flags = [int(p['tcp.flags'] or '0', 16) for p in packets]
    kinds = {'SYN': sum(f & SYN_ACK == SYN_BIT for f in flags),
             'SYN-ACK': sum(f & SYN_ACK == SYN_ACK for f in flags),
             'RST from us': sum(f & RST_BIT and p['eth.src'] == mac
                                for f, p in zip(flags, packets)),
             'ARP': sum(p['arp.opcode'] != '' for p in packets)}
    lab.ok(kinds['SYN'] >= 4 and kinds['SYN-ACK'] >= 4 and kinds['RST from us'] >= 1 and
           kinds['ARP'] >= 2, 'SYNs, RSTs and ARP are among them', kinds)
    icmp = {kind: sum(p['icmp.type'] == kind for p in packets) for kind in '038'}
    lab.ok(icmp == {'8': PINGS, '0': PINGS, '3': 1}, 'pings, their answers and an error too', icmp)


def main(world):
    if lab.STAND_IN:
        lab.skip('capture', 'the stand-in writes none')
        return
    content = random.Random(SEED).randbytes(FILE_BYTES)
    lab.write_file(world.path('tree/file.bin'), content)
    path = world.path('capture.pcapng')
    server = world.serve(volume=world.pack(world.path('tree')), more=['--pcap', path])
    link = Link(server.dev, lab.SERVER)
    bodies = talk(server, link)
    server.settles(30, 'everything is sent and acknowledged')
    counts = {way: server.metrics()['atlas_port_%s_packets_total' % way] for way in ('rx', 'tx')}
    mac = link.server_mac.hex(':')
    server.stop()
    lab.diag('%d bytes of capture' % os.path.getsize(path))
    packets = packets_of(path)
    checksums(packets, mac)
    streams(path, packets, bodies, content)
    completeness(packets, mac, counts)


if __name__ == '__main__':
    lab.run(main, tools=['tshark', 'nping'])
