#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""HTTPS as other people's clients speak it: every byte arrives, in each version, by each suite.

    curl/OpenSSL, libcurl/GnuTLS, openssl s_client, gnutls-cli    fetch files of many sizes
    wrk, h2load, ab                                               no request fails
    Python's ssl                                                  ranges, HEAD, pipelining

Policy (ALPN, names, certificates and their renewal, tickets) is https_policy.py's.
"""
import hashlib
import os
import random
import shutil
import subprocess
import textwrap
import types

import certs
import lab
import tlslab
import tools

SEED = 8446
SIZES = [0, 1, 100, 1369, 1370, 4096, 4097, 16384, 16385, 65537, 300000, (1 << 20) + 1, 20 << 20]
BIG = 20 << 20
RSA, ECDSA = 'rsa.example', 'ec.example'
RANGES = [(0, 0), (1, 1), (16383, 16384), (BIG - 1, BIG - 1), (12345678, 12345678 + 300000),
          (4095, 70000), (BIG - 70000, BIG - 1)]
PIPELINED = 40
CLIENT_S = 60
# A client of its own process, since libcurl can only be with one TLS library in each.
GNUTLS_CLIENT = textwrap.dedent('''
    import hashlib, io, pycurl, sys
    root, host, addr, version, *paths = sys.argv[1:]
    c = pycurl.Curl()
    if 'GnuTLS' not in pycurl.version:
        sys.exit('this libcurl has no GnuTLS: ' + pycurl.version)
    for option, value in {
            'CAINFO': root, 'RESOLVE': ['%s:443:%s' % (host, addr)], 'FAILONERROR': True,
            'SSLVERSION': {'1.2': pycurl.SSLVERSION_TLSv1_2 | pycurl.SSLVERSION_MAX_TLSv1_2,
                           '1.3': pycurl.SSLVERSION_TLSv1_3}[version], 'TIMEOUT': 60}.items():
        c.setopt(getattr(c, option), value)
    for path in paths:
        digest = hashlib.sha256()
        c.setopt(c.WRITEFUNCTION, digest.update)
        c.setopt(c.URL, 'https://%s%s' % (host, path))
        c.perform()
        print(path, digest.hexdigest(), c.getinfo(c.NUM_CONNECTS))
''')


def digest(content):
    return hashlib.sha256(content).hexdigest()


def path_of(size):
    return '/%d.bin' % size


# --- whole files --------------------------------------------------------------------------------


def curl_conf(world, server, host, choice):
    """Every file, then the ranges of the largest: curl's configuration."""
    common = ['fail', 'silent', 'show-error', 'max-time = %d' % CLIENT_S, *choice,
              'cacert = "%s"' % world.ca.root, 'resolve = "%s:443:%s"' % (host, server.addr)]

    def one(i, size):
        return ['url = "https://%s%s"' % (host, path_of(size)),
                'output = "%s"' % world.path('got', str(i))]
    blocks = [[line for i, size in enumerate(SIZES) for line in one(i, size)]]
    blocks += [one(i, BIG) + ['range = "%d-%d"' % r] for i, r in enumerate(RANGES, len(SIZES))]
    return '\nnext\n'.join('\n'.join(common + block) for block in blocks) + '\n'


def curl(world, server, version, suite, host):
    """What is wrong with what curl fetches, on one connection."""
    shutil.rmtree(world.path('got'), ignore_errors=True)
    os.makedirs(world.path('got'))
    suite12 = tlslab.suite12(suite, 'rsa' if host == RSA else 'ec')
    choice = ['tlsv1.3', 'tls13-ciphers = "%s"' % suite] if version == '1.3' else \
        ['tls-max = "1.2"', 'ciphers = "%s"' % suite12]
    conf = lab.write_file(world.path('curl.conf'), curl_conf(world, server, host, choice).encode())
    done = lab.sh(['curl', '-v', '-K', conf], check=False, timeout=3 * CLIENT_S)
    wrong = [] if done.returncode == 0 else ['curl: status %d' % done.returncode]
    spoken = suite if version == '1.3' else suite12
    if 'SSL connection using TLSv%s / %s\n' % (version, spoken) not in done.stderr:
        wrong.append('not by %s' % spoken)
    if done.stderr.count('SSL connection using') != 1:
        wrong.append('%d connections' % done.stderr.count('SSL connection using'))
    for i, what in enumerate(SIZES + RANGES):
        expected = world.files[path_of(what)] if i < len(SIZES) else \
            world.files[path_of(BIG)][what[0]:what[1] + 1]
        name = world.path('got', str(i))
        got = open(name, 'rb').read() if os.path.exists(name) else b''
        if got != expected:
            wrong.append('%s: %d bytes' % (what, len(got)))
    return wrong + ([done.stderr[-2000:]] if wrong else [])


def curls(world, server):
    for version in ('1.3', '1.2'):
        for suite in tlslab.SUITES:
            for host in (ECDSA, RSA):
                wrong = curl(world, server, version, suite, host)
                lab.ok(not wrong, 'curl, TLS %s, %s, %s: every file and range'
                       % (version, suite, host), *wrong)


def gnutls_curl(world, server, version):
    done = lab.sh(['/usr/bin/python3', '-c', GNUTLS_CLIENT, world.ca.root, ECDSA, server.addr,
                   version, *map(path_of, SIZES)], check=False, timeout=2 * CLIENT_S)
    name = 'libcurl with GnuTLS, TLS %s: every file, on one connection' % version
    if "No module named 'pycurl'" in done.stderr:
        lab.skip(name, 'needs python3-pycurl')
        return
    got = [line.split() for line in done.stdout.splitlines()]
    right = [[path_of(s), digest(world.files[path_of(s)]), '1' if i == 0 else '0']
             for i, s in enumerate(SIZES)]
    lab.ok(done.returncode == 0 and got == right, name,
           *[g for g, r in zip(got, right) if g != r], done.stderr[-1000:])


def body_of(output):
    """The body of the response in what a client like s_client prints."""
    head, _, rest = output[output.find(b'HTTP/1.1 '):].partition(b'\r\n\r\n')
    length = [line.split(b':')[1] for line in head.lower().split(b'\r\n')
              if line.startswith(b'content-length:')]
    return rest[:int(length[0])] if length else None


def line_client(argv, path, host):
    """A program that sends its standard input. It is left to end when the server closes."""
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    child.stdin.write(b'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n'
                      % (path.encode(), host.encode()))
    child.stdin.flush()
    held, child.stdin = child.stdin, None  # communicate() would close it, which is a word, too
    try:
        out, err = child.communicate(timeout=CLIENT_S)
        return child.returncode, out, err.decode(errors='replace')
    except subprocess.TimeoutExpired:
        child.kill()
        return None, child.communicate()[0], 'does not end'
    finally:
        held.close()


def judged(world, name, result, size):
    status, out, err = result
    got = body_of(out)
    lab.ok(status == 0 and got == world.files[path_of(size)], name, 'status %s' % status,
           'nothing' if got is None else '%d bytes' % len(got), out[:300], err[-1000:])


def s_clients(world, server):
    for version in ('1.3', '1.2'):
        for suite in tlslab.SUITES:
            chosen = ['-tls1_3', '-ciphersuites', suite] if version == '1.3' else \
                ['-tls1_2', '-cipher', tlslab.suite12(suite, 'rsa')]
            result = line_client(
                ['openssl', 's_client', '-connect', server.addr + ':443', '-servername', RSA,
                 '-verify_hostname', RSA, '-verify_return_error', '-CAfile', world.ca.root,
                 '-quiet', *chosen], path_of(300000), RSA)
            judged(world, 's_client, TLS %s, %s' % (version, suite), result, 300000)


def short_records(world, server):
    """Clients with little memory say so (RFC 6066 4); s_client refuses what is longer."""
    for version in ('-tls1_3', '-tls1_2'):
        for limit in ('512', '4096'):
            result = line_client(
                ['openssl', 's_client', '-connect', server.addr + ':443', '-servername', ECDSA,
                 '-CAfile', world.ca.root, '-quiet', version, '-maxfraglen', limit],
                path_of(300000), ECDSA)
            judged(world, 's_client %s, at most %s bytes in a record' % (version, limit), result,
                   300000)


def gnutls_clients(world, server):
    ciphers = ('AES-128-GCM', 'AES-256-GCM', 'CHACHA20-POLY1305')
    for version in ('1.3', '1.2'):
        for cipher in ciphers:
            priority = 'NORMAL:-VERS-ALL:+VERS-TLS%s:-CIPHER-ALL:+%s' % (version, cipher)
            result = line_client(
                ['gnutls-cli', '--x509cafile', world.ca.root, '--priority', priority,
                 '--sni-hostname', ECDSA, '--verify-hostname', ECDSA, '-p', '443', '--logfile',
                 world.path('gnutls.log'), server.addr], path_of(300000), ECDSA)
            judged(world, 'gnutls-cli, TLS %s, %s' % (version, cipher), result, 300000)


# --- HTTP inside --------------------------------------------------------------------------------


def heads_and_ranges(world, server, version):
    name = 'TLS %s: ' % version
    context = tlslab.trust(world.ca, version)
    rnd, wrong, big = random.Random(SEED), [], world.files[path_of(BIG)]
    with tlslab.connect(server, context, ECDSA) as s:
        for size in SIZES:
            status, headers, body = tlslab.exchange(s, ECDSA, path_of(size), 'HEAD')
            if (status, body, headers.get('content-length')) != (200, b'', str(size)):
                wrong.append('HEAD %d: %s %s' % (size, status, headers))
        for _ in range(60):
            at = rnd.choice([rnd.randrange(BIG), 16384 * rnd.randrange(1280) + rnd.randint(-2, 2)])
            at = min(max(at, 0), BIG - 1)
            end = min(at + int(200000 ** rnd.random()), BIG) - 1
            status, headers, body = tlslab.exchange(
                s, ECDSA, path_of(BIG), headers={'Range': 'bytes=%d-%d' % (at, end)})
            if status != 206 or body != big[at:end + 1]:
                wrong.append('range %d-%d: %s, %d bytes' % (at, end, status, len(body)))
        status, headers, body = tlslab.exchange(
            s, ECDSA, path_of(BIG), headers={'Range': 'bytes=0-9,100000-100099,-5'})
        parts = body.split(b'\r\n\r\n')
        if status != 206 or [p[:n] for p, n in zip(parts[1:], (10, 100, 5))] != \
                [big[:10], big[100000:100100], big[-5:]]:
            wrong.append('three ranges: %s, %r' % (status, body[:500]))
        status, headers, body = tlslab.exchange(s, ECDSA, '/nowhere')
        if status != 404:
            wrong.append('a file that is not there: %s' % status)
    lab.ok(not wrong, name + 'HEAD, ranges and an error on one connection', *wrong[:10])


def read_bodies(read, count):
    """So many responses from a stream of plaintext: their bodies."""
    data, bodies = b'', []
    while len(bodies) < count:
        head, blank, rest = data.partition(b'\r\n\r\n')
        length = int(head.lower().partition(b'content-length:')[2].split(b'\r\n')[0]) \
            if blank else 0
        if not blank or len(rest) < length:
            part = read()
            if not part:
                break
            data += part
            continue
        bodies.append(rest[:length])
        data = rest[length:]
    return bodies


def pipelined(world, server, version):
    """Requests all in one record, and one byte to a record."""
    rnd = random.Random(SEED + 1)
    sizes = [rnd.choice(SIZES[:-1]) for _ in range(PIPELINED)]
    text = b''.join(b'GET %s HTTP/1.1\r\nHost: %s\r\n\r\n' % (path_of(s).encode(), ECDSA.encode())
                    for s in sizes)
    for how, step in (('in one record', len(text)), ('a byte to a record', 1),
                      ('33 bytes to a record', 33)):
        with tlslab.connect(server, tlslab.trust(world.ca, version), ECDSA) as s:
            for at in range(0, len(text), step):
                s.sendall(text[at:at + step])
            bodies = read_bodies(lambda: s.recv(1 << 18), len(sizes))
        lab.ok(bodies == [world.files[path_of(n)] for n in sizes],
               'TLS %s: %d requests pipelined, %s' % (version, PIPELINED, how), len(bodies))


def loads(server):
    secure = types.SimpleNamespace(url=tlslab.url(server))
    few, many = int(400 * lab.SCALE), int(3000 * lab.SCALE)
    tools.wrk(secure, 'TLS, 50 connections, 100 bytes', path_of(100), 50)
    tools.wrk(secure, 'TLS, 50 connections, 300 kB', path_of(300000), 50)
    tools.h2load(secure, 'TLS, 100 bytes', path_of(100), many)
    tools.h2load(secure, 'TLS, 300 kB', path_of(300000), few)
    tools.ab(secure, 'TLS, a connection each', [], path_of(1369), few)
    tools.ab(secure, 'TLS 1.2, a connection each', ['-f', 'TLS1.2'], path_of(1369), few)


def counted(server):
    if lab.STAND_IN:
        return
    lab.diag(*['%s %d' % (k, v) for k, v in server.metrics().items() if '_tls_' in k])
    wrong = {k: tlslab.count(server, k) for k in ('failed', 'plaintext', 'differs', 'alerts_out')}
    lab.ok(tlslab.count(server, 'handshakes') > 500 and not any(wrong.values()),
           'handshakes are counted, and nothing went wrong', wrong)


def main(world):
    rnd = random.Random(SEED)
    world.files = {path_of(s): rnd.randbytes(s) for s in SIZES}
    for path, content in world.files.items():
        lab.write_file(world.path('tree') + path, content)
    world.ca = certs.Authority(world.path('ca'))
    identities = [world.ca.issue('ec', [ECDSA, lab.SERVER]), world.ca.issue('rsa', [RSA], 'rsa')]
    server = world.serve(volume=world.pack(world.path('tree')), tls=tlslab.Service(identities))
    with lab.step('curl'):
        curls(world, server)
    with lab.step('other clients'):
        for version in ('1.3', '1.2'):
            gnutls_curl(world, server, version)
        s_clients(world, server)
        gnutls_clients(world, server)
        short_records(world, server)
    with lab.step('HTTP'):
        for version in ('1.3', '1.2'):
            heads_and_ranges(world, server, version)
            pipelined(world, server, version)
    with lab.step('load generators'):
        loads(server)
    server.settles(20, 'nothing is held afterwards')
    counted(server)
    server.stop()


if __name__ == '__main__':
    lab.run(main, tools=['curl', 'openssl', 'gnutls-cli', 'wrk', 'h2load', 'ab'])
