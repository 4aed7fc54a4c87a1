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
ACCEPTED = {
}
# What gnutls-cli-debug must and must not find; what it says besides is about taste.
MUST = ('whether we need to disable TLS 1.2... no', 'for TLS 1.2 (RFC5246) support... yes',
        'for TLS 1.3 (RFC8446) support... yes', 'for AES-GCM cipher (RFC5288) support... yes',
        'for CHACHA20-POLY1305 cipher (RFC7905) support... yes',
        'for Safe renegotiation (RFC5746) support... yes',
        'fallback from TLS 1.6 to... TLS1.2', 'whether the server supports session resumption... yes',
        'for TLS 1.0 (RFC2246) support... no', 'for TLS 1.1 (RFC4346) support... no',
        'for SSL 3.0 (RFC6101) support... no')
MUST_NOT = ('crash', 'fail')


def start(world, name, argv):
    with open(world.path(name + '.out'), 'wb') as f:
        return world.spawn(argv, stdout=f, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                           cwd=world.dir)


def text_of(world, name):
    with open(world.path(name + '.out'), errors='replace') as f:
        return re.sub(r'\x1b\[[\d;]*[A-Za-z]', '', f.read())


def testssl(world, server):
    return start(world, 'testssl', [
        'testssl', '-p', '-f', '-E', '-S', '-U', '--quiet', '--warnings', 'off', '--color', '0',
        '--nodns', 'none', '--add-ca', world.ca.root, '--ip', server.addr, '--openssl',
        '/usr/bin/openssl', '--jsonfile', world.path('testssl.json'), 'https://' + NAME])


def judge_testssl(world):
    try:
        with open(world.path('testssl.json')) as f:
            found = json.load(f)
    except (OSError, ValueError) as e:
        found = []
        lab.diag(repr(e))
    ids = {f['id'] for f in found}
    wanted = {'TLS1_2', 'TLS1_3', 'FS', 'cert_trust', 'heartbleed', 'ROBOT', 'LUCKY13', 'BEAST'}
    lab.ok(len(found) > 60 and wanted <= ids, 'testssl looks at everything', len(found),
           wanted - ids, text_of(world, 'testssl')[-1500:])
    bad = [f for f in found if f['severity'] not in GOOD and f['id'] not in ACCEPTED]
    lab.ok(not bad, 'testssl finds nothing worse than good',
           *['%(severity)s %(id)s: %(finding)s' % f for f in bad])
    for f in found:
        if f['id'] in ACCEPTED and f['severity'] not in GOOD:
            lab.diag('accepted: %s %s: %s (%s)' % (f['severity'], f['id'], f['finding'],
                                                   ACCEPTED[f['id']]))
    never = [i for i in ACCEPTED if not any(f['id'] == i and f['severity'] not in GOOD
                                            for f in found)]
    lab.ok(not never, 'what is accepted is what is found', never)
    return {f['id']: f['finding'] for f in found}


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
    vulnerable = [h.get('sslversion') for h in test.findall('heartbleed')
                  if h.get('vulnerable') != '0']
    renegotiation = test.find('renegotiation')
    compression = test.find('compression')
    fallback = test.find('fallback')
    lab.ok(not vulnerable and compression.get('supported') == '0' and
           renegotiation.get('secure') == '1' and fallback.get('supported') == '1',
           'sslscan: no heartbleed, no compression, secure renegotiation, TLS_FALLBACK_SCSV',
           *[xml.etree.ElementTree.tostring(e) for e in (renegotiation, compression, fallback)
             if e is not None], vulnerable)
    groups = [g.get('name') for g in test.findall('group')]
    weak = [g.get('name') for g in test.findall('group') if int(g.get('bits')) < 112]
    lab.ok('x25519' in groups and not weak, 'sslscan: X25519, and no weak group', groups)
    lab.diag('groups: %s' % groups)


def gnutls_debug(world, server):
    return start(world, 'gnutls', ['gnutls-cli-debug', '-p', '443', server.addr])


def judge_gnutls(world):
    text = text_of(world, 'gnutls')
    lines = [' '.join(line.split()) for line in text.splitlines()]
    missing = [m for m in MUST if not any(m in line for line in lines)]
    lab.ok(not missing, 'gnutls-cli-debug: versions, suites, fallback, resumption as they should',
           *missing, text)
    bad = [line for line in lines if any(w in line.lower() for w in MUST_NOT)]
    lab.ok(not bad, 'gnutls-cli-debug: no failure', *bad)


def main(world):
    lab.write_file(world.path('tree', 'index.html'), b'<!doctype html><title>a</title>\n')
    world.ca = certs.Authority(world.path('ca'))
    identity = world.ca.staple(world.ca.issue('audited', [NAME, lab.SERVER]))
    server = world.serve(volume=world.pack(world.path('tree')), tls=tlslab.Service([identity]))
    auditors = {judge_sslscan: sslscan, judge_gnutls: gnutls_debug, judge_testssl: testssl}
    with lab.step('audits'):
        children = [(judge, begin(world, server)) for judge, begin in auditors.items()]
        for judge, child in children:
            with lab.step(judge.__name__):
                child.wait(PATIENCE_S)
                judge(world)
    status, _, _ = tlslab.get(server, tlslab.trust(world.ca), '/', NAME)
    lab.ok(status == 200 and server.alive() and server.healthy(), 'the server is well', status)
    server.settles(30, 'nothing is held afterwards')
    if not lab.STAND_IN:
        lab.diag(*['%s %d' % (k, v) for k, v in server.metrics().items() if '_tls_' in k])
    server.stop()


if __name__ == '__main__':
    lab.run(main, tools=['testssl', 'sslscan', 'gnutls-cli-debug', 'openssl'])
