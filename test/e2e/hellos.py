# SPDX-License-Identifier: BSD-2-Clause
"""ClientHellos built by hand, so that every field can be wrong; and some that are."""
import struct

import lab
from tlslab import DATA, HANDSHAKE, record

HOST = 'good.example'
SUITES13, SUITES12 = (0x1301, 0x1302, 0x1303), (0xc02b, 0xc02c, 0xcca9)
X25519, P256, SECP521 = 0x1d, 0x17, 0x19
SNI, GROUPS, SIGNATURES, ALPN, EARLY, VERSIONS, MODES, SHARES = 0, 10, 13, 16, 42, 43, 45, 51


def vector(size, content):
    return len(content).to_bytes(size, 'big') + content


def words(*numbers):
    return b''.join(struct.pack('!H', n) for n in numbers)


def extensions(versions=(0x0304, 0x0303), groups=(X25519, P256), share=X25519, alpn=(),
               host=HOST):
    """{number: content}, in the order in which they are sent."""
    made = {SNI: vector(2, b'\0' + vector(2, host.encode())), GROUPS: vector(2, words(*groups)),
            SIGNATURES: vector(2, words(0x0403, 0x0804, 0x0807)),
            VERSIONS: vector(1, words(*versions)), MODES: b'\x01\x01',
            SHARES: vector(2, words(share) + vector(2, bytes(range(1, 33))) if share else b'')}
    if alpn:
        made[ALPN] = vector(2, b''.join(vector(1, p) for p in alpn))
    if not versions:
        del made[VERSIONS], made[SHARES], made[MODES]
    return made


def hello(suites=SUITES13 + SUITES12, legacy=0x0303, methods=b'\0', exts=None, more=b''):
    """A handshake message. `more` is put behind the extensions, within their block."""
    exts = extensions() if exts is None else exts
    block = b''.join(words(k) + vector(2, v) for k, v in exts.items()) + more
    body = words(legacy) + bytes(range(32)) + vector(1, bytes(32)) + vector(2, words(*suites)) + \
        vector(1, methods) + vector(2, block)
    return b'\x01' + vector(3, body)


def first(message, version=0x0301):
    return record(HANDSHAKE, message, version)


def flawed_hellos():
    """name: (bytes, alerts that are right, None being silence)."""
    guess = ['400'] if lab.STAND_IN else []  # nginx takes for HTTP what is not a handshake
    old = {k: v for k, v in extensions(versions=()).items()}
    good = hello()
    return {
        'TLS 1.1 only': (first(hello(legacy=0x0302, exts=old)), ['protocol_version']),
        'TLS 1.0 only': (first(hello(legacy=0x0301, exts=old)), ['protocol_version']),
        'SSL 3.0 only': (first(hello(legacy=0x0300, exts={}), 0x0300),
                         ['protocol_version', 'handshake_failure']),
        'a version list without ours': (first(hello(exts=extensions(versions=(0x0302, 0x7f1c)))),
                                        ['protocol_version']),
        'CBC and RC4 suites only': (first(hello((0xc013, 0x002f, 0x0005), exts=old)),
                                    ['handshake_failure']),
        'RSA key exchange only': (first(hello((0x009c, 0x009d), exts=old)), ['handshake_failure']),
        'no suites of the version': (first(hello((0x1304, 0x1305))), ['handshake_failure']),
        'no group in common': (first(hello(exts=extensions(groups=(0x0105,), share=0))),
                               ['handshake_failure']),
        'no signature algorithm in common': (
            first(hello(exts={**extensions(), SIGNATURES: vector(2, words(0x0201))})),
            ['handshake_failure']),
        'TLS 1.3 without signature algorithms': (
            first(hello(exts={k: v for k, v in extensions((0x0304,)).items() if k != SIGNATURES})),
            ['missing_extension']),
        'a key share of a group not offered': (
            first(hello(exts=extensions((0x0304,), groups=(P256,)))), ['illegal_parameter']),
        'a key share that is no point': (
            first(hello(exts={**extensions((0x0304,)), SHARES: vector(
                2, words(P256) + vector(2, b'\x04' + bytes(64)))})),
            ['illegal_parameter']),
        'compression in TLS 1.3': (first(hello(methods=b'\x01')),
                                   ['illegal_parameter', 'decode_error']),
        'an extension twice': (first(hello(more=words(VERSIONS) + vector(2, b'\x02\x03\x04'))),
                               ['illegal_parameter', 'decode_error']),
        'an extension longer than its block': (first(hello(more=b'\x00\x10\xff\xff')),
                                               ['decode_error']),
        'a byte behind the extensions': (first(b'\x01' + vector(3, good[4:] + b'\0')),
                                         ['decode_error']),
        'HTTP/2 only': (first(hello(exts=extensions(alpn=(b'h2',)))),
                        ['no_application_protocol']),
        'Finished first': (first(b'\x14' + vector(3, bytes(12))), ['unexpected_message']),
        'ServerHello first': (first(b'\x02' + good[1:]), ['unexpected_message']),
        'data first': (record(DATA, bytes(40)), ['unexpected_message', 'protocol_version', *guess]),
        'a message of 16 MB': (first(b'\x01\xff\xff\xff' + bytes(1000)),
                               ['illegal_parameter', 'decode_error', 'record_overflow']),
        'a record of 16385 bytes': (first(hello(more=words(21) + vector(2, bytes(16385)))[:16385]),
                                    ['record_overflow']),
        'a record of 65535 bytes': (struct.pack('!BHH', HANDSHAKE, 0x0301, 65535) + bytes(200),
                                    ['record_overflow']),
        'an unknown record type': (record(99, bytes(40)), ['unexpected_message',
                                                           'protocol_version', *guess]),
        # Whoever speaks that need not understand an alert.
        'a record of version 5.0': (record(HANDSHAKE, good, 0x0500), ['protocol_version', None]),
    }
