#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What the tools that everybody has find from outside, while clients fetch undisturbed: nping's
wrong checksums, scapy's random packets, the floods of t50 and hping3, and nmap's opinion."""
import hashlib
import itertools
import os
import random
import re
import struct
import sys
import time
import xml.etree.ElementTree

import lab
from meanwhile import Meanwhile, well
from packets import Ghost, Link, delivered, eth, mac

SEED = 793
FUZZED = int(100000 * lab.SCALE)
MAKERS = 2          # scapy processes, each with a seed of its own: the packets are always the same
MAKING_S = 300      # for scapy, on a machine that is busy or slow
BURST = 100         # random packets after which there is a breath: they should all arrive
BREATH_S = 0.003
PINGS = 20
FLOOD_S = 2
FLOOD_LEAST = 5000  # a flood that brings fewer packets is none
SERVER6 = 'fd00:7::2'
EVIL = mac('02:00:00:00:ee:ee')
GHOST = lab.NET + '77'
HERE = os.path.dirname(os.path.abspath(__file__))

# The TCP checksums of t50 5.8.7 are never right: the others have to try what lies behind the check.
FLOODS = {
    't50: SYNs from everywhere': ['t50', '--flood', '-S', '--dport', '80'],
    't50: SYNs from one neighbour': ['t50', '--flood', '-S', '--dport', '80', '-s', GHOST],
    't50: ACKs': ['t50', '--flood', '-A', '--dport', '80'],
    't50: SYNs with options': ['t50', '--flood', '-S', '--dport', '80', '--mss', '1', '--wscale',
                               '15'],
    't50: ACKs with SACK': ['t50', '--flood', '-A', '--dport', '80', '--sack', '1:2'],
    't50: wrong checksums': ['t50', '--flood', '-B', '-S', '--dport', '80'],
    't50: every protocol in turn': ['t50', '--flood', '--protocol', 'T50'],
    'hping3: SYNs': ['hping3', '-q', '-n', '--flood', '-S', '-p', '80'],
    'hping3: SYNs from everywhere': ['hping3', '-q', '-n', '--flood', '-S', '-p', '80',
                                     '--rand-source'],
    'hping3: FIN PSH URG': ['hping3', '-q', '-n', '--flood', '-F', '-P', '-U', '-p', '80'],
    'hping3: ACKs to every port': ['hping3', '-q', '-n', '--flood', '-A', '-p', '++1'],
    'hping3: fragments': ['hping3', '-q', '-n', '--flood', '-S', '-f', '-d', '100', '-p', '80'],
    'hping3: UDP': ['hping3', '-q', '-n', '--flood', '-2', '-p', '++1'],
    'hping3: pings': ['hping3', '-q', '-n', '--flood', '-1'],
}
NMAP_TRIES = 3
NMAP_SEQUENCES = ('tcpsequence', 'ipidsequence', 'tcptssequence')
# What nmap says of numbers that nobody can foretell.
ISN_GOOD = 'Good luck!'
IPID_GOOD = ('All zeros', 'Randomized', 'Random positive increments')


# --- nping -------------------------------------------------------------------------------------


def nping(*more):
    """How many packets were answered."""
    out = lab.sh(['nping', '-c', str(PINGS), '--rate', '50', *more, lab.SERVER]).stdout
    return int(re.search(r'Rcvd: (\d+)', out).group(1))


def wrong_checksums(world, server, link):
    to_http = ('--tcp', '-p', '80', '--flags', 'syn')
    # The kernel would correct the header's checksum, unless it is given whole frames.
    frames = ('--send-eth', '--dest-mac', link.server_mac.hex(':'))
    with Meanwhile(world, server, 'nping'):
        answers = nping(*to_http)
        lab.ok(answers == PINGS, 'nping: every SYN is answered', answers)
        answers = nping(*to_http, *frames)
        lab.ok(answers == PINGS, 'nping: every SYN in a frame is answered', answers)
        for what, layer, more in (('TCP', 'tcp', ('--badsum',)),
                                  ('IP', 'ip', (*frames, '--badsum-ip'))):
            before = server.drops(layer, 'checksum')
            answers = nping(*to_http, *more)
            lab.ok(answers == 0, 'nping: no SYN with a wrong %s checksum is answered' % what,
                   answers)
            name = 'nping: all with a wrong %s checksum are counted' % what
            if lab.STAND_IN:
                lab.skip(name, 'the stand-in does not count')
                continue
            dropped = server.drops(layer, 'checksum') - before
            lab.ok(dropped == PINGS, name, dropped)
    well(server, 'nping')


# --- scapy -------------------------------------------------------------------------------------


class Maker:
    """A process that makes random packets, ahead of the time at which they are sent."""

    def __init__(self, world, seed, count):
        self.path, self.log = world.path('fuzz.%d' % seed), world.path('fuzz.log.%d' % seed)
        with open(self.path, 'wb') as out, open(self.log, 'wb') as log:
            self.child = world.spawn([sys.executable, '-B', os.path.join(HERE, 'outside_fuzz.py'),
                                      str(seed), str(count), lab.SERVER, SERVER6],
                                     stdout=out, stderr=log)

    def packets(self):
        """(Ethernet type, packet) of each."""
        with open(self.path, 'rb') as f:
            while head := f.read(4):
                kind, length = struct.unpack('!HH', head)
                yield kind, f.read(length)


def makers(world):
    return [Maker(world, SEED + i, FUZZED // MAKERS) for i in range(MAKERS)]


def random_packets(world, server, link, making):
    with lab.step('waiting for scapy'):
        failed = [open(m.log).read() for m in making if m.child.wait(MAKING_S) != 0]
    before = delivered(server.dev)[0]
    digest, sent = hashlib.sha256(), 0
    with Meanwhile(world, server, 'random packets'):
        for kind, packet in itertools.chain(*(m.packets() for m in making)):
            digest.update(packet)
            link.send(eth(link.server_mac, EVIL, kind, packet))
            sent += 1
            if sent % BURST == 0:
                time.sleep(BREATH_S)
    link.drain()
    came = delivered(server.dev)[0] - before
    lab.diag('%d random packets from seed %d, SHA-256 %s' % (sent, SEED, digest.hexdigest()[:16]))
    lab.ok(not failed and sent == FUZZED // MAKERS * MAKERS, 'scapy makes all random packets',
           sent, *failed)
    lab.ok(came >= sent * 0.99, 'the random packets reach the server', '%d of %d' % (came, sent))
    well(server, 'random packets')


# --- t50 and hping3 ----------------------------------------------------------------------------


def floods(world, server):
    for what, command in FLOODS.items():
        before = delivered(server.dev)[0]
        seconds = max(0.5, FLOOD_S * lab.SCALE)
        with Meanwhile(world, server, what):
            lab.sh(['timeout', '-s', 'INT', '-k', '5', str(seconds), *command, lab.SERVER],
                   check=False)
        came = delivered(server.dev)[0] - before
        lab.diag('%s: %d packets reached the server' % (what, came))
        lab.ok(came >= FLOOD_LEAST * lab.SCALE, 'it was a flood: ' + what, came)
        well(server, what)


# --- nmap --------------------------------------------------------------------------------------


def nmap_host():
    """What nmap found. It times its packets, and on a busy machine it may have to ask again."""
    for _ in range(NMAP_TRIES):
        # Two closed ports beside the open one; -d, so that the fingerprint is always printed.
        out = lab.sh(['nmap', '-Pn', '-n', '-O', '-d', '--max-os-tries', '2', '-p', '80,81,443',
                      '-oX', '-', lab.SERVER]).stdout
        host = xml.etree.ElementTree.fromstring(out[out.index('<?xml'):]).find('host')
        if all(host.find(name) is not None for name in NMAP_SEQUENCES):
            break
    return host


def nmap(world, server):
    with Meanwhile(world, server, 'nmap'):
        host = nmap_host()
    ports = {p.get('portid'): p.find('state').get('state') for p in host.iter('port')}
    lab.ok(ports == {'80': 'open', '81': 'closed', '443': 'closed'},
           'nmap: one port is open, the others are closed', ports)
    isn, ipid, ts = (host.find(name) for name in NMAP_SEQUENCES)
    if not lab.ok(None not in (isn, ipid, ts), 'nmap gets six SYN-ACKs to judge'):
        return
    lab.diag('nmap: initial sequence numbers: index %s, "%s"; IP identification: %s; timestamps: %s'
             % (isn.get('index'), isn.get('difficulty'), ipid.get('class'), ts.get('class')))
    for print_ in host.iter('osfingerprint'):
        lab.diag(print_.get('fingerprint').replace('\nOS:', ''))
    lab.ok(isn.get('difficulty') == ISN_GOOD, 'nmap: nobody guesses an initial sequence number',
           isn.attrib)
    lab.ok(ipid.get('class') in IPID_GOOD, 'nmap: IP identifications count nothing', ipid.attrib)
    # RFC 7323 5.4 asks for an offset per connection: a common clock tells how long we have run.
    lab.ok(ts.get('class') in ('other', 'none returned (unsupported)'),
           'nmap: timestamps do not tell the time since the start', ts.attrib)
    well(server, 'nmap')


def main(world):
    rnd = random.Random(SEED)
    lab.write_file(world.path('tree/file.bin'), rnd.randbytes(3000000))
    lab.write_file(world.path('tree/small.bin'), rnd.randbytes(1000))
    # What the floods left half open lasts a minute, which hostile.py waits for; here it is cut off.
    server = world.serve(volume=world.pack(world.path('tree')), header_s=5, idle_s=5,
                         more=[] if lab.STAND_IN else ['--drain-timeout', '5'])
    link = Link(server.dev, lab.SERVER)
    lab.ok(Ghost(link, GHOST).resolve(), 'the server answers ARP')
    with lab.step('nping'):
        wrong_checksums(world, server, link)
    with lab.step('nmap'):
        nmap(world, server)
    making = makers(world)
    with lab.step('floods'):
        floods(world, server)
    with lab.step('random packets'):
        random_packets(world, server, link, making)
    server.stop()


if __name__ == '__main__':
    lab.run(main, tools=['curl', 'cmp', 'nping', 'nmap', 't50', 'hping3', 'timeout'])
