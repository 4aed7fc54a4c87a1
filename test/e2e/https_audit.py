#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Auditors find nothing: testssl.sh, sslscan and gnutls-cli-debug, each with a mind of its own.

Their reports are read by machine. A finding that is worse than good is a failure, unless ACCEPTED
says why it is meant to be so; an entry there that is never met fails, too.
"""
import json
import re
import subprocess
import xml.etree.ElementTree

import certs
import lab
import tlslab

NAME = 'audited.example'
PATIENCE_S = 150
GOOD = ('OK', 'INFO')
SUITES12 = {'ECDHE-%s-%s' % (kind, suite) for kind in ('ECDSA', 'RSA')
            for suite in tlslab.SUITES.values()}
# testssl's name of the finding: why it is no harm.
ACCEPTED = {'engine_problem': "the auditor's own openssl knows no GOST"}
# The same, of what a busy machine sees and another does not: what the finding says, and why.
SOMETIMES = {'sessionresumption_ticket': (
    'check failed because of connect problem',
    'the auditor may leave before TLS 1.3 has given it a ticket; gnutls-cli-debug does not')}
# testssl, cut in two that run side by side: what to look at, and findings that must be there.
LOOKS = {'policy': (['-p', '-f', '-E', '-S'], ['TLS1_2', 'TLS1_3', 'ALPN', 'cert_trust',
                                               'OCSP_stapling', 'cert_chain_of_trust']),
         'vulnerabilities': (['-U'], ['heartbleed', 'CCS', 'ticketbleed', 'ROBOT', 'secure_renego',
                                      'secure_client_renego', 'CRIME_TLS', 'fallback_SCSV',
                                      'SWEET32', 'LOGJAM', 'BEAST', 'LUCKY13', 'RC4'])}
# What gnutls-cli-debug must find; what it says besides is about taste.
MUST = ('whether we need to disable TLS 1.2... no', 'for TLS 1.0 (RFC2246) support... no',
        'for TLS 1.1 (RFC4346) support... no', 'fallback from TLS 1.1 to... failed',
        'for TLS 1.2 (RFC5246) support... yes', 'for TLS 1.3 (RFC8446) support... yes',
        'neg fallback from TLS 1.6 to... TLS1.2', 'for certificate chain order... sorted',
        'for safe renegotiation (RFC5746) support... yes',
        'for ext master secret (RFC7627) support... yes', 'for heartbeat (RFC6520) support... no',
        'small records (512 bytes) are tolerated on handshake... yes',
        'a bogus TLS record version in the client hello is accepted... yes',
        'whether the server supports session resumption... yes',
        'for anonymous authentication support... no', 'for RSA key exchange support... no',
        'for ephemeral EC Diffie-Hellman support... yes', 'for curve X25519 (RFC8422)... yes',
        'for AES-GCM cipher (RFC5288) support... yes', 'for AES-CBC cipher (RFC3268) support... no',
        'for CHACHA20-POLY1305 cipher (RFC7905) support... yes',
        'for OCSP status response (RFC6066) support... yes')
TASTE = 'whether the server understands TLS closure alerts'


def start(world, name, argv):
    with open(world.path(name + '.out'), 'wb') as f:
        return world.spawn(argv, stdout=f, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                           cwd=world.dir)


def text_of(world, name):
    with open(world.path(name + '.out'), errors='replace') as f:
        return re.sub(r'\x1b\[[\d;]*[A-Za-z]', '', f.read())


def testssl(part):
    def begin(world, server):
        return start(world, part, [
            'testssl', *LOOKS[part][0], '--quiet', '--warnings', 'off', '--color', '0', '--nodns',
            'none', '--add-ca', world.ca.root, '--ip', server.addr, '--openssl', '/usr/bin/openssl',
            '--jsonfile', world.path(part + '.json'), 'https://' + NAME])

    def judge(world):
        try:
            with open(world.path(part + '.json')) as f:
                found = json.load(f)
        except (OSError, ValueError) as e:
            found = []
            lab.diag(repr(e))
        missing = [i for i in LOOKS[part][1] if not any(f['id'] == i for f in found)]
        lab.ok(not missing, 'testssl, %s: it looks at everything' % part, missing,
               text_of(world, part)[-1500:])
        worse = [f for f in found if f['severity'] not in GOOD and
                 not f['finding'].startswith(SOMETIMES.get(f['id'], ('-',))[0])]
        lab.ok(not [f for f in worse if f['id'] not in ACCEPTED],
               'testssl, %s: nothing is worse than good' % part,
               *['%(severity)s %(id)s: %(finding)s' % f for f in worse])
        world.met |= {f['id'] for f in worse}
        lab.diag('testssl, %s: %d findings' % (part, len(found)),
                 *['accepted: %s (%s)' % (f['id'], ACCEPTED[f['id']]) for f in worse
                   if f['id'] in ACCEPTED])
    return 'testssl, ' + part, begin, judge


def sslscan(world, server):
    return start(world, 'sslscan', ['sslscan', '--no-colour', '--sni-name=' + NAME, '--show-times',
                                    '--ocsp', '--xml=' + world.path('sslscan.xml'),
                                    server.addr + ':443'])


def judge_sslscan(world):
    try:
        test = xml.etree.ElementTree.parse(world.path('sslscan.xml')).getroot().find('ssltest')
    except (OSError, xml.etree.ElementTree.ParseError) as e:
        lab.ok(False, 'sslscan reports', repr(e), text_of(world, 'sslscan')[-1500:])
        return
    protocols = {p.get('type') + p.get('version'): p.get('enabled')
                 for p in test.findall('protocol')}
    lab.ok([p for p, on in sorted(protocols.items()) if on == '1'] == ['tls1.2', 'tls1.3'],
           'sslscan: TLS 1.2 and 1.3, nothing older', protocols)
    taken = {(c.get('sslversion'), c.get('cipher')) for c in test.findall('cipher')}
    right = {('TLSv1.3', s) for s in tlslab.SUITES} | {('TLSv1.2', s) for s in SUITES12
                                                       if 'ECDSA' in s}
    lab.ok(taken == right, 'sslscan: these suites and no others', sorted(taken ^ right))
    harmful = [xml.etree.ElementTree.tostring(e) for e in (
        *[h for h in test.findall('heartbleed') if h.get('vulnerable') != '0'],
        *[e for kind in ('renegotiation', 'compression') for e in test.findall(kind)
          if e.get('supported') != '0'])]
    lab.ok(len(test.findall('heartbleed')) == 2 and test.findall('renegotiation') and not harmful,
           'sslscan: no heartbleed, no compression, no renegotiation', *harmful)
    groups = [g.get('name') for g in test.findall('group')]
    weak = [g.get('name') for g in test.findall('group') if int(g.get('bits')) < 112]
    lab.ok('x25519' in groups and not weak, 'sslscan: X25519, and no weak group', weak)
    lab.diag('groups: %s' % groups)


def gnutls_debug(world, server):
    return start(world, 'gnutls', ['gnutls-cli-debug', '-p', '443', server.addr])


def judge_gnutls(world):
    text = text_of(world, 'gnutls')
    lines = [' '.join(line.split()) for line in text.splitlines()]
    missing = [m for m in MUST if not any(m in line for line in lines)]
    lab.ok(not missing, 'gnutls-cli-debug: versions, suites, fallback, resumption as they should',
           *missing, text)
    lab.diag(*[line for line in lines if TASTE in line])


def main(world):
    lab.write_file(world.path('tree', 'index.html'), b'<!doctype html><title>a</title>\n')
    world.ca = certs.Authority(world.path('ca'))
    identity = world.ca.staple(world.ca.issue('audited', [NAME, lab.SERVER]))
    server = world.serve(volume=world.pack(world.path('tree')), tls=tlslab.Service([identity]))
    world.met = set()
    auditors = [('sslscan', sslscan, judge_sslscan), ('gnutls', gnutls_debug, judge_gnutls),
                *map(testssl, LOOKS)]
    children = [begin(world, server) for _, begin, _ in auditors]
    for child, (name, _, judge) in zip(children, auditors):
        with lab.step(name):
            child.wait(PATIENCE_S)
            judge(world)
    lab.ok(world.met >= set(ACCEPTED), 'what is accepted is still found', set(ACCEPTED) - world.met)
    status, _, _ = tlslab.get(server, tlslab.trust(world.ca), '/', NAME)
    lab.ok(status == 200 and server.alive() and server.healthy(), 'the server is well', status)
    server.settles(30, 'nothing is held afterwards')
    if not lab.STAND_IN:
        lab.diag(*['%s %d' % (k, v) for k, v in server.metrics().items() if '_tls_' in k])
    server.stop()


if __name__ == '__main__':
    lab.run(main, tools=['testssl', 'sslscan', 'gnutls-cli-debug', 'openssl'])
