#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What TLS clients should not do: each is told what is wrong, and the others do not notice.

Alerts are read off the wire: before the keys they are plain, later OpenSSL at our end decrypts
them. Where RFC 8446 leaves the choice to the server, several are right.
"""
import random
import resource
import select
import socket
import struct
import threading
import time

import certs
import lab
import tlslab
from badclients import Watcher, close_all
from hellos import HOST, X25519, extensions, first, flawed_hellos, hello, vector
from meanwhile import Crowd
from tlslab import ALERT, DATA, HANDSHAKE, record

SEED = 5246
HEADER_S, IDLE_S = 6, 6
GRACE_S = 8
MUTATED = int(600 * lab.SCALE)
HALF = int(1000 * min(1, lab.SCALE * 2))
HALF_BYTES = 100 << 10   # of memory for a handshake that is under way
LEAK_BYTES = 4 << 10     # that the memory may grow by, for each, when it happens again
AT_ONCE, HASTY = 16, 50
PATIENCE_S = 0.1
GET = b'GET /small.bin HTTP/1.1\r\nHost: good.example\r\n\r\n'
GET_CLOSE = GET.replace(b'\r\n\r\n', b'\r\nConnection: close\r\n\r\n')
GET_BIG = GET.replace(b'small', b'big')

# --- before the keys ----------------------------------------------------------------------------


def plain_answer(server, data, patience_s=None):
    """(records that the server sent, what is left over, how it ended). A client with limited
    patience ends its half when it is over."""
    with lab.connect(server, port=tlslab.PORT) as s:
        try:
            s.sendall(data)
            if patience_s is not None:
                select.select([s], [], [], patience_s)
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        got, how = tlslab.read_to_end(s, HEADER_S + GRACE_S)
    return *tlslab.records(got), how


def alert_of(found):
    """The name of the alert that ends what the server has said in plain."""
    if not found or found[-1][0] != ALERT or len(found[-1][2]) != 2 or found[-1][2][0] != 2:
        return None
    return tlslab.ALERTS.get(found[-1][2][1], 'alert %d' % found[-1][2][1])


def alerts(server):
    for name, (data, right) in flawed_hellos().items():
        found, rest, how = plain_answer(server, data)
        said = '400' if rest.startswith(b'HTTP/1.1 400 ') else alert_of(found)
        lab.ok(said in right and (not rest or said == '400') and how != 'open',
               '%s: %s' % (name, ' or '.join(r or 'silence' for r in right)),
               'said: %s' % said, [(f[0], len(f[2])) for f in found], rest[:50], how)


def retries(server):
    """Without a share of a group that both know there is a second try (RFC 8446 4.1.4)."""
    for what, share in (('no key share', 0), ('a key share of an unknown group', 0x0a0a)):
        exts = extensions((0x0304,), groups=(0x0a0a, X25519), share=share)
        with lab.connect(server, port=tlslab.PORT) as s:
            s.sendall(first(hello(exts=exts)))
            got = s.recv(4096)
        retry = bytes.fromhex('cf21ad74e59a6111be1d8c021e65b891')
        lab.ok(retry in got, '%s: HelloRetryRequest' % what, got[:80])


def long_hellos(server):
    """What is allowed to be long (RFC 7685) is answered, or refused, but not waited for."""
    for size in (1500, 5000, 15000, 60000):
        message = hello(exts={**extensions(), 21: bytes(size)})
        data = b''.join(first(message[at:at + 16384]) for at in range(0, len(message), 16384))
        found, rest, how = plain_answer(server, data, 1)
        said = alert_of(found) or (found and found[0][2][0] == 2 and 'ServerHello')
        right = ['ServerHello'] + (['illegal_parameter', 'decode_error', 'record_overflow']
                                   if size > 16000 else [])
        lab.ok(said in right and how != 'open', 'a ClientHello of %d bytes: %s'
               % (len(message), ' or '.join(right)), said, how)


def spoke_http(server):
    before = tlslab.count(server, 'plaintext')
    for text in (GET, b'HEAD / HTTP/1.0\r\n\r\n', b'POST /x HTTP/1.1\r\nHost: a\r\n\r\n'):
        with lab.connect(server, port=tlslab.PORT) as s:
            s.sendall(text)
            got, how = tlslab.read_to_end(s, HEADER_S)
        lab.ok(got.startswith(b'HTTP/1.1 400 ') and how != 'open',
               'plain HTTP is told so in plain: ' + text.decode().split('\r')[0], got[:200], how)
    if not lab.STAND_IN:
        rose = tlslab.count(server, 'plaintext') - before
        lab.ok(rose == 3, 'and counted', rose)


def proper(found, rest, how):
    """Whatever came in, what goes out is TLS, and comes to an end. OpenSSL gives its alert the
    version of the record that it is about."""
    wrong = [f for f in found if f[0] not in (20, ALERT, HANDSHAKE, DATA) or
             f[1] >> 8 != 3 and f[0] != ALERT or not 0 < len(f[2]) <= tlslab.RECORD_MAX]
    return not wrong and not rest and how != 'open'


def crowd_of_hellos(server, jobs, what):
    """jobs: (name, bytes, patience_s), AT_ONCE at a time."""
    wrong, said, lock, left = [], {}, threading.Lock(), iter(jobs)

    def work():
        while True:
            with lock:
                job = next(left, None)
            if not job:
                return
            try:
                found, rest, how = plain_answer(server, *job[1:])
                good = proper(found, rest, how) or rest.startswith(b'HTTP/1.1 400')
                kind = alert_of(found) or ('a flight' if found else 'nothing')
            except OSError as e:
                good, kind, found, rest, how = False, repr(e), [], b'', ''
            with lock:
                said[kind] = said.get(kind, 0) + 1
                if not good:
                    wrong.append('%s: %s %r %s' % (job[0], [(*f[:2], len(f[2])) for f in found],
                                                   rest[:40], how))
    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    lab.ok(not wrong, what + ': every answer is TLS, and ends', *wrong[:10])
    lab.diag('%s: %s' % (what, said))
    return said


def real_hellos(world, server):
    """What OpenSSL's client says first, in either version, without and with a ticket."""
    made = []
    for version in ('1.3', '1.2'):
        context = tlslab.trust(world.ca, version, alpn=['http/1.1'])
        with tlslab.Client(server, context, HOST) as client:
            client.handshake().send(GET_CLOSE)
            client.last_word()  # TLS 1.3's tickets come after the handshake
            session = client.tls.session
        lab.ok(session.has_ticket, 'TLS %s: the server gives a ticket' % version)
        made += [tlslab.Memory(context, HOST, s).pending() for s in (None, session)]
    return made


def mutated(world, server, rnd):
    """Bytes changed, left out and put in. Nobody waits long for what does not come."""
    jobs = []
    for i in range(MUTATED):
        data = bytearray(rnd.choice(world.hellos))
        for _ in range(rnd.choice([1, 1, 1, 2, 5])):
            at = rnd.choice([rnd.randrange(len(data)), rnd.randrange(80)])
            what = rnd.randrange(4)
            if what == 0:
                data[at] = rnd.randrange(256)
            elif what == 1:
                data[at] ^= 1 << rnd.randrange(8)
            elif what == 2:
                del data[at:at + rnd.randrange(1, 20)]
            else:
                data[at:at] = rnd.randbytes(rnd.randrange(1, 20))
        jobs.append(('mutation %d of seed %d' % (i, SEED), bytes(data), PATIENCE_S))
    said = crowd_of_hellos(server, jobs, '%d mutated ClientHellos' % MUTATED)
    lab.ok(len(said) >= 5 and said.get('nothing', 0) < MUTATED * 2 / 3,
           'mutations are understood, or refused in many ways', said)


def truncated(world, server):
    jobs = [('%d bytes' % n, h[:n], 0) for h in world.hellos
            for n in (*range(1, 48, 3), *range(48, len(h), 29), len(h) - 1)]
    crowd_of_hellos(server, jobs, '%d truncated ClientHellos, then the end' % len(jobs))


def sliced(world, server):
    """One byte to a segment, and one byte of handshake to a record: slow, but right."""
    for version in ('1.3', '1.2'):
        def crumbs(data):
            for byte in data:
                client.sock.sendall(bytes([byte]))
        with tlslab.Client(server, tlslab.trust(world.ca, version), HOST) as client:
            client.handshake(crumbs)
            client.tls.write(GET_CLOSE)
            crumbs(client.outgoing.read())
            plain, how = client.last_word()
        lab.ok(plain.endswith(world.small) and how == 'close_notify',
               'TLS %s, a byte to a segment' % version, plain[:100], how)

        with tlslab.Client(server, tlslab.trust(world.ca, version), HOST) as client:
            message = client.pending()[5:]
            client.sock.sendall(b''.join(first(message[at:at + 1]) for at in range(len(message))))
            client.handshake().send(GET_CLOSE)
            plain, how = client.last_word()
        lab.ok(plain.endswith(world.small) and how == 'close_notify',
               'TLS %s, a ClientHello of %d records' % (version, len(message)), plain[:100], how)


# --- after the handshake ------------------------------------------------------------------------


def told(world, server, name, version, make, right):
    """After the handshake `make(sealer)` is sent; how the server ends the connection."""
    client, sealer = tlslab.open_sealed(world, server, world.ca, version, host=HOST)
    with client:
        try:
            client.sock.sendall(make(sealer))
        except OSError:
            pass  # it may end while we are still talking
        plain, how = client.last_word(HEADER_S + GRACE_S)
    lab.ok(how in right and b'HTTP/1.1 2' not in plain,
           'TLS %s, %s: %s' % (version, name, ' or '.join(right)), how, plain[:200])


def after_the_handshake(world, server, rnd):
    over = {'1.3': 16384 + 257, '1.2': 16384 + 2049}
    for version in ('1.3', '1.2'):
        for name, make, right in (
                ('a record with a wrong tag', lambda s: s.record(DATA, GET, spoil=True),
                 ['bad_record_mac']),
                ('a record of noise', lambda s: record(DATA, rnd.randbytes(400)),
                 ['bad_record_mac']),
                ('a record that was sent before', lambda s: 2 * s.record(DATA, b'G'),
                 ['bad_record_mac']),
                ('a record that is too long', lambda s: struct.pack(
                    '!BHH', DATA, 0x0303, over[version]) + bytes(3000), ['record_overflow']),
                ('a record of 16385 bytes', lambda s: s.record(DATA, b'G' * 16385),
                 ['record_overflow']),
                ('a record shorter than a tag', lambda s: record(DATA, bytes(7)),
                 ['bad_record_mac', 'decode_error']),
                ('noise', lambda s: b'\xde\xad\xbe\xef' * 40,
                 ['unexpected_message', 'protocol_version', 'record_overflow', 'bad_record_mac']),
                ('plain HTTP', lambda s: GET, ['unexpected_message', 'protocol_version',
                                               'record_overflow', 'bad_record_mac']),
                ('an unknown type inside', lambda s: s.record(99, b'x'), ['unexpected_message']),
                ('an alert of one byte', lambda s: s.record(ALERT, b'\x02'),
                 ['decode_error', 'unexpected_message']),
                ('a fatal alert', lambda s: s.record(ALERT, b'\x02\x50'), ['closed', 'reset',
                                                                          'close_notify']),
                ('40 empty records', lambda s: b''.join(s.record(DATA, b'') for _ in range(40)),
                 ['unexpected_message', 'closed', 'reset'])):
            told(world, server, name, version, make, right)


def only_13(world, server):
    for name, make, right in (
            ('Finished again', lambda s: s.record(HANDSHAKE, b'\x14' + vector(3, bytes(48))),
             ['unexpected_message', 'illegal_parameter']),
            ('ClientHello again', lambda s: s.record(HANDSHAKE, hello()), ['unexpected_message']),
            ('an empty KeyUpdate', lambda s: s.record(HANDSHAKE, b'\x18\0\0\0'),
             ['decode_error']),
            ('a KeyUpdate that asks for 2', lambda s: s.record(HANDSHAKE, b'\x18\0\0\x01\x02'),
             ['illegal_parameter', 'decode_error']),
            ('data behind a KeyUpdate in one record', lambda s: s.record(
                HANDSHAKE, b'\x18\0\0\x01\0' + b'\x18\0\0\x01\0'), ['unexpected_message']),
            ('ChangeCipherSpec in cipher', lambda s: s.record(20, b'\x01'),
             ['unexpected_message']),
            ('an empty handshake record', lambda s: s.record(HANDSHAKE, b''),
             ['unexpected_message']),
            ('an empty alert', lambda s: s.record(ALERT, b''), ['unexpected_message'])):
        told(world, server, name, '1.3', make, right)


def renegotiation(world, server):
    """RFC 7525 3.5, 9325 3.5: not at all. What was asked before may still be answered."""
    client, sealer = tlslab.open_sealed(world, server, world.ca, '1.2', host=HOST)
    with client:
        client.sock.sendall(sealer.record(HANDSHAKE, hello(exts={
            **extensions(versions=()), 0xff01: vector(1, bytes(12))})))
        plain, how = client.last_word(HEADER_S + GRACE_S)
    server_hellos = sum(b'\x02\0\0' == body[:3] for kind, _, body in
                        tlslab.records(client.seen)[0] if kind == HANDSHAKE)
    lab.ok(how != 'open' and not plain and server_hellos == 1,
           'TLS 1.2: a renegotiation is refused', how, server_hellos)
    lab.diag('a renegotiation is answered with: %s' % how)


def key_updates(world, server):
    """A client may ask for new keys at any time, but not make the server do nothing else."""
    client, sealer = tlslab.open_sealed(world, server, world.ca, '1.3', host=HOST)
    with client:
        for i in range(5):
            client.sock.sendall(sealer.key_update(asks=i != 2) + sealer.record(DATA, GET))
        plain = b''
        while plain.count(world.small) < 5:
            part = client.recv()
            if not part:
                break
            plain += part
        lab.ok(plain.count(world.small) == 5, 'five requests, each with new keys', len(plain))
        flood = b''.join(sealer.key_update() for _ in range(5000))
        try:
            client.sock.sendall(flood + sealer.record(DATA, GET_CLOSE))
        except OSError:
            pass
        plain, how = client.last_word(20)
    lab.ok(how != 'open' and len(client.seen) < 600000,
           '5000 KeyUpdates: little is said about it, and it ends', how, len(client.seen))
    lab.diag('5000 KeyUpdates: %s, %d bytes' % (how, len(client.seen)))


def long_head(world, server):
    """Most of the longest head there may be, then a full record that cannot be read before all of
    it is there: the window has room for both."""
    begin = GET.split(b'\r\n\r\n')[0] + b'\r\nX-Long: ' + b'x' * ((16 << 10) - 100)
    rest = b'\r\n\r\n' + GET * ((16 << 10) // len(GET) - 1)
    client, sealer = tlslab.open_sealed(world, server, world.ca, '1.3', host=HOST)
    with client:
        client.sock.sendall(sealer.record(DATA, begin))
        time.sleep(0.1)
        client.sock.sendall(sealer.record(DATA, rest))
        wanted, plain = 1 + rest.count(GET), b''
        while plain.count(world.small) < wanted:
            part = client.recv()
            if not part:
                break
            plain += part
    lab.ok(plain.count(world.small) == wanted and b' 408 ' not in plain,
           'a head of %d bytes, and a record of 16 KiB behind it' % len(begin),
           plain.count(world.small), wanted)


# --- clients that come and do not go --------------------------------------------------------------


def all_at_once(world, server, context):
    """A client that has no more to say than one request: what is wrong with the answer, or None."""
    with tlslab.Client(server, context, HOST) as c:
        c.handshake(last=False).tls.write(GET)
        c.say_goodbye()
        c.sock.shutdown(socket.SHUT_WR)
        plain, how = c.last_word()
    return None if plain.endswith(world.small) else '%d bytes, %s' % (len(plain), how)


def ends(world, server):
    """Every way to end a connection but the proper one, and that."""
    for version in ('1.3', '1.2'):
        name, context = 'TLS %s, ' % version, tlslab.trust(world.ca, version)
        with tlslab.Client(server, context, HOST) as c:
            c.handshake().send(GET_CLOSE)
            plain, how = c.last_word()
            lab.ok(plain.endswith(world.small) and how == 'close_notify',
                   name + 'the server says that it ends: close_notify', how)
        with tlslab.Client(server, context, HOST) as c:
            c.handshake().send(GET_BIG)
            c.say_goodbye()
            plain, how = c.last_word()
            lab.ok(lab.STAND_IN or plain.endswith(world.big),
                   name + 'close_notify behind a request: it is answered', len(plain), how)
        answers = [all_at_once(world, server, context) for _ in range(HASTY)]
        lab.ok(set(answers) == {None} or lab.STAND_IN, name + 'the end of the handshake, a '
               'request, close_notify and FIN at once: it is answered', '%d of %d' % (
                   answers.count(None), len(answers)), next((a for a in answers if a), ''))
        with tlslab.Client(server, context, HOST) as c:
            c.handshake().send(GET_BIG)
            c.sock.shutdown(socket.SHUT_WR)
            plain, how = c.last_word(HEADER_S + IDLE_S + GRACE_S)
            lab.ok(how != 'open', name + 'FIN without close_notify: it comes to an end', how)
            lab.diag('%sFIN without close_notify: %d bytes, %s' % (name, len(plain), how))
    still = [tlslab.Client(server, context, HOST, rcvbuf=8192).handshake() for _ in range(10)]
    for c in still:
        c.send(GET_BIG)
    never = [tlslab.Client(server, tlslab.trust(world.ca, v), HOST).handshake()
             for v in ('1.3', '1.2') for _ in range(20)]
    for c in never[::2]:
        c.send(GET)
    began = time.monotonic()
    hows = [c.last_word(HEADER_S + IDLE_S + GRACE_S)[1] for c in never]
    lab.ok('open' not in hows, 'clients that never close are ended by the server', hows)
    lab.diag('after %.1f s: %s' % (time.monotonic() - began, {h: hows.count(h) for h in hows}))
    hows = [c.last_word()[1] for c in still]
    lab.ok(lab.STAND_IN or set(hows) == {'reset'}, 'and so are those who take nothing', hows)
    for c in never + still:
        c.sock.close()


def half_open(world, server):
    """A third has said nothing, a third half of its ClientHello, a third all of it."""
    socks = []
    for i in range(HALF):
        s = lab.connect(server, port=tlslab.PORT)
        text = world.hellos[i % len(world.hellos)]
        s.sendall([b'', text[:len(text) // 2], text][i % 3])
        socks.append(s)
    return socks


def memory_below(limit, used, name):
    if lab.SCALE < 1:
        lab.skip(name, 'a sanitizer keeps what is given back')
    else:
        lab.ok(used < limit, name, '%d bytes, limit %d' % (used, limit))


def half_finished(world, server):
    before = tlslab.memory_bytes(server)
    with Crowd(server, '/small.bin', world.small, '%d half-finished handshakes' % HALF, 8, 20,
               get=world.get):
        socks = half_open(world, server)
        time.sleep(1)
        during = tlslab.memory_bytes(server) - before
        held = server.metrics()['atlas_connections_open']
    lab.ok(held >= HALF, 'all of them are open', held)
    memory_below(HALF * HALF_BYTES, during, 'their memory is bounded')
    watcher = Watcher(socks)
    left = watcher.until_empty(HEADER_S + GRACE_S)
    lab.ok(left == 0, 'the server ends all of them', '%d left' % left)
    server.settles(20, 'half-finished: nothing is held afterwards')
    lab.diag('%d KiB for each' % (during // HALF // 1024))


def again(world, server):
    """What an allocator keeps is used again, so that more is a leak."""
    for times in ('second', 'third'):
        before = tlslab.memory_bytes(server)
        close_all(half_open(world, server))
        server.settles(20, 'half-finished a %s time: nothing is held afterwards' % times)
        grown = tlslab.memory_bytes(server) - before
        lab.diag('the %s time: %d KiB' % (times, grown // 1024))
    memory_below(HALF * LEAK_BYTES, grown, 'the third time costs no memory')


def main(world):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rnd = random.Random(SEED)
    world.small, world.big = rnd.randbytes(1000), rnd.randbytes(3 << 20)
    lab.write_file(world.path('tree', 'small.bin'), world.small)
    lab.write_file(world.path('tree', 'big.bin'), world.big)
    world.ca = certs.Authority(world.path('ca'))
    service = tlslab.Service([world.ca.issue('good', [HOST, lab.SERVER])])
    server = world.serve(volume=world.pack(world.path('tree')), header_s=HEADER_S, idle_s=IDLE_S,
                         tls=service)
    context = tlslab.trust(world.ca)
    world.get = lambda server, path, timeout_s: tlslab.get(server, context, path, HOST, timeout_s)
    world.hellos = real_hellos(world, server)
    with Crowd(server, '/small.bin', world.small, 'bad clients', 2, 20, get=world.get):
        for name, part in (
                ('alerts', lambda: alerts(server)), ('retry', lambda: retries(server)),
                ('long', lambda: long_hellos(server)),
                ('plain HTTP', lambda: spoke_http(server)),
                ('mutated', lambda: mutated(world, server, rnd)),
                ('truncated', lambda: truncated(world, server)),
                ('sliced', lambda: sliced(world, server)),
                ('after', lambda: after_the_handshake(world, server, rnd)),
                ('TLS 1.3', lambda: only_13(world, server)),
                ('renegotiation', lambda: renegotiation(world, server)),
                ('key updates', lambda: key_updates(world, server)),
                ('long head', lambda: long_head(world, server)),
                ('ends', lambda: ends(world, server))):
            with lab.step(name):
                part()
    with lab.step('half-finished'):
        half_finished(world, server)
        again(world, server)
    lab.ok(server.alive() and server.healthy(), 'the server is well')
    server.stop()


if __name__ == '__main__':
    lab.run(main)
