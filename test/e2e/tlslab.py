# SPDX-License-Identifier: BSD-2-Clause
"""Servers and clients of the HTTPS tests: what lab.py is to the others.

    service = tlslab.Service([identity, ...], hsts=3600)
    server = world.serve(volume=volume, tls=service)     # atlas, or the stand-in set up alike
    tlslab.get(server, tlslab.trust(ca), '/a.txt', 'shop.example')

Client looks below: it does a handshake with OpenSSL in memory, so that every byte of both
directions passes through the test's hands. Sealer makes records that OpenSSL would not: it takes
the keys from the key log, and seals with python3-cryptography.
"""
import hashlib
import hmac
import http.client
import os
import socket
import ssl
import struct

import lab
from lab import TLS_PORT as PORT

try:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
except ImportError:
    lab.skip_all('needs python3-cryptography')

CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
RECORD_MAX = (1 << 14) + 256
ALERTS = {0: 'close_notify', 10: 'unexpected_message', 20: 'bad_record_mac', 22: 'record_overflow',
          40: 'handshake_failure', 47: 'illegal_parameter', 50: 'decode_error',
          51: 'decrypt_error', 70: 'protocol_version', 71: 'insufficient_security',
          80: 'internal_error', 86: 'inappropriate_fallback', 100: 'no_renegotiation',
          109: 'missing_extension', 110: 'unsupported_extension', 112: 'unrecognized_name',
          120: 'no_application_protocol'}
# The suites by their names in TLS 1.3, and by what their names end with in TLS 1.2.
SUITES = {'TLS_AES_128_GCM_SHA256': 'AES128-GCM-SHA256',
          'TLS_AES_256_GCM_SHA384': 'AES256-GCM-SHA384',
          'TLS_CHACHA20_POLY1305_SHA256': 'CHACHA20-POLY1305'}


def suite12(suite, key):
    return 'ECDHE-%s-%s' % ('RSA' if key == 'rsa' else 'ECDSA', SUITES[suite])


NGINX_TLS = '''
  server {{ listen {addr}:443 ssl{default}; server_name {names}; root {root}; index index.html;
    ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols {versions};
    ssl_ciphers {suites12}; ssl_conf_command Ciphersuites {suites13}; {more} }}
'''


class Service:
    """What the operator asks for; says it to atlas and to nginx."""

    def __init__(self, identities, plain=True, redirect=False, hsts=0, min_version=None,
                 suites=None, more=()):
        self.identities, self.plain, self.redirect = identities, plain, redirect
        self.hsts, self.min_version, self.suites, self.more = hsts, min_version, suites, more

    def argv(self):
        argv = ['--listen', str(lab.PORT)] if self.plain else []
        argv += ['--tls-listen', str(PORT)]
        for i in self.identities:
            argv += ['--tls-cert', i.cert, '--tls-key', i.key]
            argv += ['--tls-ocsp', i.ocsp] if i.ocsp else []
        argv += ['--redirect-https'] if self.redirect else []
        argv += ['--hsts', str(self.hsts)] if self.hsts else []
        argv += ['--tls-min', self.min_version] if self.min_version else []
        argv += ['--tls-suites', self.suites] if self.suites else []
        return argv + list(self.more)

    def nginx(self, addr, root):
        wanted = (self.suites or ':'.join([*SUITES, *('ECDHE-%s-%s' % (a, s) for a in
                                                      ('ECDSA', 'RSA') for s in SUITES.values())]))
        names13 = [s for s in wanted.split(':') if s.startswith('TLS_')] or list(SUITES)
        names12 = [s for s in wanted.split(':') if not s.startswith('TLS_')] or ['ECDHE+AESGCM']
        text = ''
        for i in self.identities:
            more = 'ssl_prefer_server_ciphers on; '
            if i.ocsp:
                more += 'ssl_stapling on; ssl_stapling_file %s; ' % i.ocsp
            if self.hsts:
                more += 'add_header Strict-Transport-Security "max-age=%d" always; ' % self.hsts
            text += NGINX_TLS.format(
                addr=addr, root=root, default='' if text else ' default_server', cert=i.cert,
                key=i.key, names=' '.join(i.hosts), suites12=':'.join(names12),
                suites13=':'.join(names13), more=more,
                versions='TLSv1.3' if self.min_version == '1.3' else 'TLSv1.2 TLSv1.3')
        return text


def url(server, host=None):
    return 'https://' + (host or server.addr)


# --- clients, from above ------------------------------------------------------------------------


def trust(ca, version=None, ciphers=None, alpn=None, keys=None):
    """What a client demands. `version` is '1.2' or '1.3', `keys` a file for the key log."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca.root)
    if version:
        context.minimum_version = context.maximum_version = {
            '1.2': ssl.TLSVersion.TLSv1_2, '1.3': ssl.TLSVersion.TLSv1_3}[version]
    if ciphers:
        context.set_ciphers(ciphers)
    if alpn:
        context.set_alpn_protocols(alpn)
    if keys:
        context.keylog_filename = keys
    return context


def connect(server, context, host=None, session=None, **more):
    sock = lab.connect(server, port=PORT, **more)
    try:
        return context.wrap_socket(sock, server_hostname=host or server.addr, session=session)
    except BaseException:
        sock.close()
        raise


def exchange(sock, host, path, method='GET', headers=None):
    """(status, headers in small letters, body) of one request on an open connection."""
    conn = http.client.HTTPConnection(host)
    conn.sock = sock
    conn.request(method, path, headers=headers or {})
    conn.sock = sock  # http.client forgets it after a response that ends the connection
    r = conn.getresponse()
    return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()


def get(server, context, path, host=None, timeout_s=60, method='GET', headers=None):
    with connect(server, context, host, timeout_s=timeout_s) as s:
        return exchange(s, host or server.addr, path, method, headers)


def reason(error):
    """The alert that OpenSSL read, by its name in RFC 8446."""
    said = (getattr(error, 'reason', None) or str(error)).lower().replace(' ', '_')
    return next((name for name in ALERTS.values() if 'alert_' + name in said), said)


# --- clients, from below ------------------------------------------------------------------------


def record(kind, body, version=0x0303):
    return struct.pack('!BHH', kind, version, len(body)) + body


def records(data):
    """([(kind, version, body)], what is left over)."""
    found = []
    while len(data) >= 5:
        kind, version, length = struct.unpack('!BHH', data[:5])
        if len(data) < 5 + length:
            break
        found.append((kind, version, data[5:5 + length]))
        data = data[5 + length:]
    return found, data


def read_to_end(sock, timeout_s):
    """(what was sent, how it ended)."""
    got = b''
    sock.settimeout(timeout_s)
    try:
        while part := sock.recv(1 << 16):
            got += part
        return got, 'closed'
    except ConnectionResetError:
        return got, 'reset'
    except TimeoutError:
        return got, 'open'


class Memory:
    """A TLS client with no wire. `tls` is its SSLObject."""

    def __init__(self, context, host, session=None):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host,
                                    session=session)

    def pending(self):
        """What OpenSSL wants to be sent: before anything else, its ClientHello."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()


class Client(Memory):
    """A TLS client whose wire is `sock`."""

    def __init__(self, server, context, host=None, **more):
        super().__init__(context, host or server.addr)
        self.sock = lab.connect(server, port=PORT, **more)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seen = b''  # all that the server has sent

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def feed(self):
        """Reads from the wire once; ConnectionError at its end."""
        part = self.sock.recv(1 << 16)
        if not part:
            self.incoming.write_eof()
            raise ConnectionError('closed')
        self.seen += part
        self.incoming.write(part)

    def handshake(self, send=None, last=True):
        """`send` puts bytes on the wire; all at once by default. Without `last`, what ends the
        handshake waits for what is sent next."""
        send = send or self.sock.sendall
        while True:
            try:
                self.tls.do_handshake()
                if last:
                    send(self.outgoing.read())
                return self
            except ssl.SSLWantReadError:
                if self.outgoing.pending:
                    send(self.outgoing.read())
                self.feed()

    def send(self, data):
        self.tls.write(data)
        self.sock.sendall(self.outgoing.read())

    def say_goodbye(self):
        """close_notify; the server may go on."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.sock.sendall(self.outgoing.read())

    def recv(self):
        """Some plaintext; b'' after close_notify. SSLError: what went wrong, or an alert."""
        while True:
            try:
                return self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                self.feed()

    def last_word(self, timeout_s=10, into=None):
        """Reads on until the connection ends: (plaintext, 'close_notify', another alert's name, or
        'closed', 'reset', 'open'). Others can look at `into` meanwhile."""
        self.sock.settimeout(timeout_s)
        plain = bytearray() if into is None else into
        try:
            while part := self.recv():
                plain += part
            return plain, 'close_notify'
        except ssl.SSLError as e:
            return plain, reason(e)
        except ConnectionResetError:
            return plain, 'reset'
        except TimeoutError:
            return plain, 'open'
        except ConnectionError:
            return plain, 'closed'


def _expand_label(make, secret, label, length):
    """HKDF-Expand-Label (RFC 8446 7.1) with an empty context, of at most one block."""
    name = b'tls13 ' + label
    info = struct.pack('!HB', length, len(name)) + name + b'\0\x01'
    return hmac.new(secret, info, make).digest()[:length]


def _prf(make, secret, label_and_seed, length):
    """RFC 5246 5."""
    out, a = b'', label_and_seed
    while len(out) < length:
        a = hmac.new(secret, a, make).digest()
        out += hmac.new(secret, a + label_and_seed, make).digest()
    return out[:length]


class Sealer:
    """Makes records as the client of an open connection, which from now on says nothing itself."""

    def __init__(self, client, keys_path):
        name, version, bits = client.tls.cipher()
        self.make = hashlib.sha384 if name.endswith('SHA384') else hashlib.sha256
        self.key_bytes = bits // 8
        self.chacha = 'CHACHA20' in name
        self.is13 = version == 'TLSv1.3'
        with open(keys_path) as f:
            log = [line.split() for line in f if not line.startswith('#')]
        label = 'CLIENT_TRAFFIC_SECRET_0' if self.is13 else 'CLIENT_RANDOM'
        client_random, secret = [bytes.fromhex(x) for x in next(
            line[1:] for line in reversed(log) if line[0] == label)]
        if self.is13:
            self._take(secret)
        else:
            self._take12(secret, client_random, client.seen[11:43])
        self.seq = 0 if self.is13 else 1  # 1.2's Finished was the first

    def _cipher(self, key):
        return ChaCha20Poly1305(key) if self.chacha else AESGCM(key)

    def _take(self, secret):
        self.secret, self.seq = secret, 0
        self.aead = self._cipher(_expand_label(self.make, secret, b'key', self.key_bytes))
        self.iv = _expand_label(self.make, secret, b'iv', 12)

    def _take12(self, master, client_random, server_random):
        iv_bytes = 12 if self.chacha else 4
        block = _prf(self.make, master, b'key expansion' + server_random + client_random,
                     2 * self.key_bytes + 2 * iv_bytes)
        self.aead = self._cipher(block[:self.key_bytes])
        self.iv = block[2 * self.key_bytes:2 * self.key_bytes + iv_bytes]

    def record(self, kind, content, spoil=False):
        """One record, whatever it holds and however long it is."""
        number = struct.pack('!Q', self.seq)
        self.seq += 1
        if self.is13:
            content += bytes([kind])
            head = struct.pack('!BHH', DATA, 0x0303, len(content) + 16)
            sealed, explicit = self._seal(number, content, head), b''
        else:
            explicit = b'' if self.chacha else number
            extra = number + struct.pack('!BHH', kind, 0x0303, len(content))
            sealed = self._seal(number, content, extra)
            head = struct.pack('!BHH', kind, 0x0303, len(explicit) + len(sealed))
        if spoil:
            sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
        return head + explicit + sealed

    def _seal(self, number, content, extra):
        if len(self.iv) == 4:  # RFC 5288 3
            nonce = self.iv + number
        else:
            nonce = bytes(a ^ b for a, b in zip(self.iv, bytes(4) + number))
        return self.aead.encrypt(nonce, content, extra)

    def key_update(self, asks=True):
        """RFC 8446 4.6.3. What follows is sealed with the next keys."""
        made = self.record(HANDSHAKE, b'\x18\0\0\x01' + bytes([asks]))
        self._take(_expand_label(self.make, self.secret, b'traffic upd', self.make().digest_size))
        return made


def open_sealed(world, server, ca, version, ciphers=None, host=None):
    """(client after its handshake, sealer)."""
    keys = world.path('keys-%d' % len(os.listdir(world.dir)))
    client = Client(server, trust(ca, version, ciphers, keys=keys), host).handshake()
    return client, Sealer(client, keys)


def count(server, what):
    """A counter of /metrics; the stand-in has none."""
    return 0 if lab.STAND_IN else server.metrics()['atlas_tls_%s_total' % what]


def memory_bytes(server):
    """Resident memory of the server and of the processes that it has started."""
    total, pids = 0, [server.process.pid]
    while pids:
        pid = pids.pop()
        with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
            pids += [int(x) for x in f.read().split()]
        with open('/proc/%d/status' % pid) as f:
            for line in f:
                if line.startswith('VmRSS:'):
                    total += int(line.split()[1]) << 10
    return total
