#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who HTTPS is spoken with, and as whom: names and certificates, ALPN, tickets, versions, HSTS.

Certificates are renewed while a download goes on, wrong ones are refused, and the plain port is
there, or leads here, or is not there, as the operator has said.
"""
import base64
import os
import random
import re
import signal
import socket
import ssl
import struct
import time

import certs
import damage
import lab
import tlslab

SEED = 6066
BIG_BYTES = 24 << 20
FIRST, RSA, WILD, EXACT, ED = ('first.example', 'rsa.example', '*.wild.example',
                               'exact.wild.example', 'ed.example')
# What a client calls the server, and whose certificate it gets to see (RFC 6066 3, RFC 6125 6.4.3).
NAMES = {FIRST: FIRST, RSA: RSA, 'RSA.Example': RSA, 'a.wild.example': WILD, 'A.WILD.example': WILD,
         'wild.example': FIRST, 'a.b.wild.example': FIRST, EXACT: EXACT, ED: ED,
         'other.example': FIRST, 'x' * 63 + '.example': FIRST, None: FIRST}
if lab.STAND_IN:
    NAMES['a.b.wild.example'] = WILD  # a star of nginx's stands for more than one label
HSTS_S = 31536000


def s_client(server, *options, stdin='', host=FIRST):
    """What openssl s_client prints about a connection that it ends at once."""
    return lab.sh(['openssl', 's_client', '-connect', server.addr + ':443', '-servername', host,
                   *options], check=False, timeout=30, input=stdin, errors='replace')


def certificate_of(server, host, version):
    """The common name of the certificate that a client is shown who asks for this host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = \
        ssl.TLSVersion.TLSv1_3 if version == '1.3' else ssl.TLSVersion.TLSv1_2
    with context.wrap_socket(lab.connect(server, port=tlslab.PORT), server_hostname=host) as s:
        der = s.getpeercert(binary_form=True)
    pem = ssl.DER_cert_to_PEM_cert(der)
    return lab.sh(['openssl', 'x509', '-noout', '-subject', '-nameopt', 'multiline'],
                  input=pem).stdout.split('commonName')[1].split('=')[1].strip()


def names(world, server):
    for version in ('1.3', '1.2'):
        wrong = []
        for host, expected in NAMES.items():
            try:
                shown = certificate_of(server, host, version)
            except OSError as e:
                shown = repr(e)
            if shown != expected:
                wrong.append('%s gets %s, not %s' % (host, shown, expected))
        lab.ok(not wrong, 'TLS %s: %d names, each with its certificate' % (version, len(NAMES)),
               *wrong)
        checked = [tlslab.get(server, tlslab.trust(world.ca, version), '/small.bin', host)[0]
                   for host in (FIRST, RSA, 'a.wild.example', EXACT, ED, lab.SERVER)]
        lab.ok(checked == [200] * 6, 'TLS %s: clients that check the chain and the name accept it'
               % version, checked)


def alpn(world, server):
    for version in ('1.3', '1.2'):
        for offer, chosen in ((['http/1.1'], 'http/1.1'), (['h2', 'http/1.1'], 'http/1.1'),
                              (['http/1.1', 'h2'], 'http/1.1'), ([], None)):
            with tlslab.connect(server, tlslab.trust(world.ca, version, alpn=offer), FIRST) as s:
                lab.ok(s.selected_alpn_protocol() == chosen, 'TLS %s: of the protocols %s, %s'
                       % (version, offer, chosen), s.selected_alpn_protocol())
        try:
            tlslab.connect(server, tlslab.trust(world.ca, version, alpn=['h2', 'spdy/3']), FIRST)
            said = 'accepted'
        except ssl.SSLError as e:
            said = tlslab.reason(e)
        lab.ok(said == 'no_application_protocol', 'TLS %s: a client without HTTP/1.1 is told so'
               % version, said)


def staples(world, server):
    curl = ['curl', '-sS', '-o', world.path('out'), '--cert-status', '--cacert', world.ca.root]
    for host, stapled in ((FIRST, True), (RSA, False)):
        for version in ('1.3', '1.2'):
            done = lab.sh(curl + ['--tls-max', version, '--resolve', '%s:443:%s'
                                  % (host, server.addr), 'https://%s/small.bin' % host],
                          check=False, timeout=30)
            good = done.returncode == (0 if stapled else 91)  # 91: no valid status of the cert
            lab.ok(good, 'TLS %s: curl finds %s OCSP response for %s'
                   % (version, 'a good' if stapled else 'no', host), done.returncode, done.stderr)
    text = s_client(server, '-status').stdout
    lab.ok('Cert Status: good' in text, 'the OCSP response says "good"', text[:1500])


# --- tickets ------------------------------------------------------------------------------------


def resumes(world, server, version, what, between=lambda: None):
    """A session saved by one process is taken up by another."""
    saved = world.path('session-' + version)
    option = '-tls1_3' if version == '1.3' else '-tls1_2'
    request = 'GET /small.bin HTTP/1.1\nHost: first.example\nConnection: close\n\n'
    first = s_client(server, option, '-sess_out', saved, '-ign_eof', '-crlf', stdin=request)
    between()
    again = s_client(server, option, '-sess_in', saved, '-ign_eof', '-crlf', stdin=request)
    lab.ok('\nNew, TLSv1' in first.stdout and '\nReused, TLSv1' in again.stdout and
           'HTTP/1.1 200' in again.stdout, 'TLS %s: a session is resumed, %s' % (version, what),
           again.stdout[-3000:], again.stderr)
    return saved


def other_name(server, saved):
    """A ticket is for the name that it was given to (RFC 6066 3)."""
    text = s_client(server, '-tls1_3', '-sess_in', saved, host=RSA).stdout
    lab.ok('\nNew, TLSv1' in text and 'CN = ' + RSA in text or lab.STAND_IN,
           'a session is not resumed under another name', text[-3000:])


def reconnects(server):
    """The six connections of -reconnect: one is new."""
    text = s_client(server, '-tls1_2', '-reconnect').stdout
    counts = len(re.findall(r'^New, TLSv1', text, re.M)), len(re.findall(r'^Reused, TLSv1', text,
                                                                         re.M))
    lab.ok(counts == (1, 5), 's_client -reconnect: one session, resumed five times', counts)


def patched_for_early_data(path, out):
    """The saved session, with the server's permission to send 16384 bytes of early data: the
    element [15] of SSL_SESSION (max_early_data), which the server has not given."""
    with open(path) as f:
        lines = f.read().split('-----')
    der = base64.b64decode(lines[2])
    elements, at = [], 4  # behind the head of the outer sequence, which has a length of two bytes
    while at < len(der):
        size, head = der[at + 1], 2
        if size >= 0x80:
            head = 2 + (size & 0x7f)
            size = int.from_bytes(der[at + 2:at + head], 'big')
        elements.append(der[at:at + head + size])
        at += head + size
    early = b'\xaf\x04\x02\x02\x40\x00'
    kept = [e for e in elements if e[0] != early[0]]
    later = [e for e in kept if e[0] > early[0]]
    content = b''.join(kept[:len(kept) - len(later)] + [early] + later)
    der = b'\x30\x82' + struct.pack('!H', len(content)) + content
    text = base64.encodebytes(der).decode()
    lab.write_file(out, ('-----%s-----\n%s-----%s-----\n' % (lines[1], text, lines[3])).encode())
    return len(kept) == len(elements)


def early_data(world, server, saved):
    """A request in early data could be replayed by anybody (RFC 8446 8): none is answered."""
    out = world.path('patched')
    never = patched_for_early_data(saved, out)
    lab.ok(never, 'tickets do not permit early data')
    early = lab.write_file(world.path('early'), b'GET /small.bin HTTP/1.1\r\nHost: early\r\n\r\n')
    done = s_client(server, '-tls1_3', '-sess_in', out, '-early_data', early, '-ign_eof', '-crlf',
                    stdin='GET /one.txt HTTP/1.1\nHost: later\nConnection: close\n\n')
    text = done.stdout
    lab.ok('Early data was rejected' in text, 'early data that is sent all the same is rejected',
           text[-3000:], done.stderr)
    lab.ok(text.count('HTTP/1.1 ') == 1 and 'Content-Length: 1\n' in text.replace('\r', ''),
           'only what comes after the handshake is answered', text[-3000:])


def tickets(world, server):
    before = tlslab.count(server, 'resumed')
    for version in ('1.3', '1.2'):
        saved = resumes(world, server, version, 'at once')
        if version == '1.3':
            other_name(server, saved)
            early_data(world, server, saved)
    reconnects(server)
    if not lab.STAND_IN:
        rose = tlslab.count(server, 'resumed') - before
        lab.ok(rose == 8, 'resumed handshakes are counted', rose)


# --- renewal ------------------------------------------------------------------------------------


def serial_seen(server, world, host=FIRST):
    with tlslab.connect(server, tlslab.trust(world.ca), host) as s:
        return s.getpeercert()['serialNumber'].upper().lstrip('0')


def hang_up(server, expected, world):
    """SIGHUP, and whether the certificate that is shown becomes the expected one."""
    server.process.send_signal(signal.SIGHUP)
    return lab.wait_for(lambda: serial_seen(server, world) == expected.upper().lstrip('0'), 10)


def renewal(world, server, first):
    old, new = first.serial(), world.ca.staple(world.ca.issue('renewed', first.hosts))
    lab.ok(serial_seen(server, world) == old.lstrip('0'), 'the first certificate is shown')
    with tlslab.connect(server, tlslab.trust(world.ca), FIRST, rcvbuf=65536) as s:
        s.sendall(b'GET /big.bin HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n')
        got = bytearray(s.recv(100000))

        def renew():
            first.replace_with(new)
            lab.ok(hang_up(server, new.serial(), world), 'SIGHUP: the new certificate is shown')
        if lab.STAND_IN:
            renew()  # its tickets die with it, and while the old process ends both answer
        else:
            resumes(world, server, '1.3', 'across a renewal', renew)
            resumes(world, server, '1.2', 'after a renewal')
        s.settimeout(60)
        while part := s.recv(1 << 20):
            got += part
    lab.ok(got.partition(b'\r\n\r\n')[2] == world.big, 'the download that went on meanwhile is '
           'whole', len(got))


def renewal_fails(world, server, first, other):
    """What cannot be used changes nothing, and the log says so."""
    serial = first.serial()
    with open(first.cert, 'rb') as f:
        good = f.read()
    for what, content in (('no certificate', b'hello\n'), ('an empty file', b''),
                          ('a certificate of another key', open(other.cert, 'rb').read())):
        lines = len(server.log_lines())
        lab.write_file(first.cert, content)
        server.process.send_signal(signal.SIGHUP)
        said = lab.wait_for(lambda: server.log_lines()[lines:], 5)
        time.sleep(0.1)
        said = server.log_lines()[lines:]
        named = [os.path.basename(path) in ''.join(said) for path in (first.cert, first.key)]
        lab.ok(any(named) and (len(said) == 1 or lab.STAND_IN),
               'renewal with %s: one line in the log, which names it' % what, *said)
        lab.diag(*said)
        lab.ok(server.alive() and serial_seen(server, world) == serial.lstrip('0'),
               'renewal with %s: the old certificate stays' % what)
    lab.write_file(first.cert, good)
    lab.ok(hang_up(server, serial, world), 'a renewal afterwards is fine again')


def drain(world, server):
    """SIGTERM: the download goes on to its end; who has nothing to wait for is told good-bye."""
    context = tlslab.trust(world.ca)
    with tlslab.Client(server, context, FIRST) as idle, \
            tlslab.connect(server, context, FIRST, rcvbuf=65536) as s:
        idle.handshake().send(b'HEAD /small.bin HTTP/1.1\r\nHost: f\r\n\r\n')
        idle.recv()
        s.sendall(b'GET /big.bin HTTP/1.1\r\nHost: f\r\n\r\n')
        got = bytearray(s.recv(100000))
        server.process.send_signal(server.ends_with)
        how = idle.last_word()[1]
        lab.ok(how == 'close_notify' or lab.STAND_IN, 'SIGTERM: an idle connection ends with '
               'close_notify', how)
        while part := s.recv(1 << 20):
            got += part
    lab.ok(got.partition(b'\r\n\r\n')[2] == world.big, 'SIGTERM: the download is whole', len(got))
    server.gone()


# --- the plain port, and the rest of the policy ---------------------------------------------------


def hsts(world, server):
    secure = tlslab.get(server, tlslab.trust(world.ca), '/small.bin', FIRST)[1]
    missing = tlslab.get(server, tlslab.trust(world.ca), '/nowhere', FIRST)[1]
    plain = lab.get(server, '/small.bin')[1]
    wanted = 'max-age=%d' % HSTS_S
    lab.ok(secure.get('strict-transport-security', '').startswith(wanted) and
           missing.get('strict-transport-security', '').startswith(wanted),
           'Strict-Transport-Security over TLS', secure, missing)
    lab.ok('strict-transport-security' not in plain, 'but not in plain (RFC 6797 7.2)', plain)


def both_ports(world, server):
    """One server, one client of each kind, at the same time."""
    context = tlslab.trust(world.ca)
    with lab.connect(server) as p, tlslab.connect(server, context, FIRST) as s:
        for _ in range(20):
            for sock in (p, s):
                sock.sendall(b'GET /small.bin HTTP/1.1\r\nHost: b\r\n\r\n')
            for sock, what in ((p, 'plain'), (s, 'TLS')):
                got = b''
                while not got.endswith(world.small):
                    part = sock.recv(1 << 16)
                    if not part:
                        lab.ok(False, 'the %s port answers' % what, got[:100])
                        return
                    got += part
    lab.ok(True, 'the plain and the TLS port answer side by side')


def redirects(world, volume, first):
    server = world.serve(volume=volume, tls=tlslab.Service([first], redirect=True, hsts=HSTS_S))
    for host, path, location in (
            (FIRST, '/small.bin', 'https://first.example/small.bin'),
            (FIRST + ':80', '/a%20b?x=1&y=%2F', 'https://first.example/a%20b?x=1&y=%2F'),
            ('other.example', '/', 'https://other.example/')):
        status, headers, _ = lab.get(server, path, {'Host': host})
        lab.ok(status in (301, 308) and headers.get('location') == location,
               'redirected to ' + location, status, headers)
    with lab.connect(server) as s:
        s.sendall(b'GET /x HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n'
                  b'GET /x HTTP/1.1\r\nHost: e\xff\r\nConnection: close\r\n\r\n')
        got, _ = tlslab.read_to_end(s, 2)
        lab.ok(b'e\xff' not in got or lab.STAND_IN, 'what is not a host is not repeated', got)
    status, _, body = tlslab.get(server, tlslab.trust(world.ca), '/small.bin', FIRST)
    lab.ok(status == 200 and body == world.small, 'over TLS the file is there', status)
    server.stop()


def refusal(server, world, **how):
    try:
        with tlslab.connect(server, tlslab.trust(world.ca, **how), FIRST) as s:
            return '%s %s' % (s.version(), s.cipher()[0])
    except ssl.SSLError as e:
        return tlslab.reason(e)


def policies(world, volume, first):
    """TLS only, the new version only; then one suite of each version only."""
    server = world.serve(volume=volume, tls=tlslab.Service([first], plain=False, min_version='1.3'))
    with socket.socket() as s:
        s.settimeout(3)
        refused = s.connect_ex((server.addr, lab.PORT))
    lab.ok(refused == 111, 'TLS only: nobody listens on the plain port', refused)
    said = refusal(server, world, version='1.2')
    lab.ok(said == 'protocol_version', 'TLS 1.3 only: a client of 1.2 is told so', said)
    said = refusal(server, world, version='1.3')
    lab.ok(said.startswith('TLSv1.3'), 'TLS 1.3 only: one of 1.3 is not', said)
    server.stop()
    one13, one12 = 'TLS_CHACHA20_POLY1305_SHA256', 'ECDHE-ECDSA-AES128-GCM-SHA256'
    server = world.serve(volume=volume, tls=tlslab.Service([first], suites=one13 + ':' + one12))
    said = refusal(server, world, version='1.3')
    lab.ok(said == 'TLSv1.3 ' + one13, 'one suite: that one, in TLS 1.3', said)
    said = refusal(server, world, version='1.2')
    lab.ok(said == 'TLSv1.2 ' + one12, 'one suite: that one, in TLS 1.2', said)
    said = refusal(server, world, version='1.2', ciphers='ECDHE-ECDSA-AES256-GCM-SHA384')
    lab.ok(said == 'handshake_failure', 'a client with other suites only is told so', said)
    server.stop()


def cannot_start(world, volume, first, rsa):
    """One line that says why, and an exit status, before anything is served."""
    if lab.STAND_IN:
        return
    weak = world.ca.issue('weak', ['weak.example'], 'rsa1024')
    empty = lab.write_file(world.path('empty.pem'), b'')

    def args(*words):
        return damage.serve_args('--volume', volume, '--tls-listen', '443', *words)
    cert, key = ['--tls-cert', first.cert], ['--tls-key', first.key]
    for name, status, words in (
            ('no certificate', 2, []), ('a certificate without a key', 2, cert),
            ('a key without a certificate', 2, key),
            ('an unknown version', 2, [*cert, *key, '--tls-min', '1.1']),
            ('an unknown suite', 2, [*cert, *key, '--tls-suites', 'RC4-SHA']),
            ('a certificate that is not there', 1, ['--tls-cert', '/nowhere.pem', *key]),
            ('a key that is not there', 1, [*cert, '--tls-key', '/nowhere.pem']),
            ('an empty certificate', 1, ['--tls-cert', empty, *key]),
            ('an empty key', 1, [*cert, '--tls-key', empty]),
            ("another certificate's key", 1, [*cert, '--tls-key', rsa.key]),
            ('an RSA key of 1024 bits', 1, ['--tls-cert', weak.cert, '--tls-key', weak.key]),
            ('an OCSP response that is none', 1, [*cert, *key, '--tls-ocsp', first.cert])):
        damage.refuses('does not start with ' + name, status, args(*words))


def main(world):
    rnd = random.Random(SEED)
    world.big, world.small = rnd.randbytes(BIG_BYTES), rnd.randbytes(1000)
    for name, content in (('big.bin', world.big), ('small.bin', world.small), ('one.txt', b'1')):
        lab.write_file(world.path('tree', name), content)
    volume = world.pack(world.path('tree'))
    world.ca = ca = certs.Authority(world.path('ca'))
    first = ca.staple(ca.issue('first', [FIRST, lab.SERVER]))
    rsa = ca.issue('rsa', [RSA], 'rsa')
    others = [ca.issue('wild', [WILD], 'ec384'), ca.issue('exact', [EXACT]),
              ca.issue('ed', [ED], 'ed25519')]
    server = world.serve(volume=volume, tls=tlslab.Service([first, rsa, *others], hsts=HSTS_S),
                         more=['--workers', '2'])  # tickets of one are good for the other
    for part in (names, alpn, staples, tickets, hsts, both_ports):
        with lab.step(part.__name__):
            part(world, server)
    with lab.step('renewal'):
        renewal(world, server, first)
        renewal_fails(world, server, first, others[1])
    server.settles(20, 'nothing is held afterwards')
    with lab.step('drain'):
        drain(world, server)
    with lab.step('policies'):
        redirects(world, volume, first)
        policies(world, volume, first)
        cannot_start(world, volume, first, rsa)


if __name__ == '__main__':
    lab.run(main, tools=['curl', 'openssl'])
