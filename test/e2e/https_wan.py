#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""HTTPS over a bad network: what is lost is read from the disk and sealed again, and so must not
have changed.

    curl, many at a time                 every byte right, by each suite
    KeyUpdates in mid-download           by openssl's s_client and by our own records
    a file replaced under another name   what was begun goes on with the old content
    a file overwritten in place          the connection ends: a record is never sealed as another
    a file cut                           the connection ends
    an object of a volume replaced       the old content to its end
"""
import concurrent.futures
import os
import random
import subprocess
import threading
import time

import certs
import lab
import tlslab
import wan
from https import body_of

SEED = 8449
HOST = 'far.example'
SMALL_FILES, LARGEST = 12, 2 << 20
CURLS, AT_ONCE = int(40 * lab.SCALE), 8
TIMEOUT_S = 60
PIECE = 512  # compared at once
READERS = 8
WHOLE = {'replaced.bin': 2 << 20, 'written.bin': 2 << 20, 'cut.bin': 2 << 20, 'object.bin': 2 << 20,
         'keys.bin': 4 << 20}
NETWORK = dict(delay='2-12', loss=0.01, burst='p=0.003,r=0.6', reorder=0.02, reorder_by=4,
               duplicate=0.02, corrupt=0.003, rate='80M', queue='64k')
LOSSY = dict(delay='5-12', to_left_loss=0.02, to_left_reorder=0.02, to_left_reorder_by=4,
             to_left_rate='60M', to_left_queue='64k')
UPDATES = 6


def serve(net, world, source, more=()):
    service = tlslab.Service([world.identity], plain=False)
    if lab.STAND_IN:
        return net.right.nginx(world.path('tree'), tls=tlslab.Service([world.identity]))
    return net.right.atlas([*source, *service.argv(), *more])


# --- byte for byte ------------------------------------------------------------------------------


def curl(net, world, server, name, version, suite):
    """What went wrong, or None."""
    choice = ['--tlsv1.3', '--tls13-ciphers', suite] if version == '1.3' else \
        ['--tls-max', '1.2', '--ciphers', tlslab.suite12(suite, 'ec')]
    got = subprocess.run(
        net.left.prefix + ['curl', '-sS', '--fail', '--max-time', str(TIMEOUT_S), *choice,
                           '--cacert', world.ca.root, '--resolve',
                           '%s:443:%s' % (HOST, server.addr), 'https://%s/%s' % (HOST, name)],
        capture_output=True)
    if got.returncode != 0:
        return '%s: %s' % (name, got.stderr.decode(errors='replace').strip())
    if got.stdout != world.files[name]:
        return '%s: %d bytes, and not the right ones' % (name, len(got.stdout))
    return None


def many(world, net, server, what):
    rnd = random.Random(SEED)
    names = [n for n in world.files if n[0].isdigit()]
    jobs = [(rnd.choice(names), ('1.3', '1.2')[i % 2], list(tlslab.SUITES)[i % 3])
            for i in range(CURLS)]
    before = tlslab.count(server, 'records_again')
    with lab.step('%s: %d curls' % (what, CURLS)), \
            concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        wrong = [w for w in pool.map(lambda job: curl(net, world, server, *job), jobs) if w]
    lab.ok(not wrong, '%s: %d curls, every byte right' % (what, CURLS), *wrong)
    if not lab.STAND_IN:
        again = tlslab.count(server, 'records_again') - before
        lab.ok(again > 0, '%s: records were sealed again' % what, again)
        lab.diag('%d records were sealed again' % again)


def drain(pipe, into):
    while part := pipe.read1(1 << 16):
        into.extend(part)


def body_at(out):
    """Where the response's body begins in what s_client prints; its end until it has begun."""
    end = out.find(b'\r\n\r\n', max(out.find(b'HTTP/1.1 '), 0))
    return end + 4 if end >= 0 else len(out)


def s_client_updates(world, net, server):
    """K is s_client's command for a KeyUpdate that asks for one."""
    child = net.left.spawn(
        ['openssl', 's_client', '-connect', server.addr + ':443', '-servername', HOST, '-CAfile',
         world.ca.root, '-tls1_3'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, errors = bytearray(), bytearray()
    drains = [threading.Thread(target=drain, args=pair) for pair in
              ((child.stdout, out), (child.stderr, errors))]
    for t in drains:
        t.start()

    def say(text):
        child.stdin.write(text)
        child.stdin.flush()
    lab.wait_for(lambda: b'Verify return code' in out, 10, 0.01)
    say(b'GET /keys.bin HTTP/1.1\r\nHost: k\r\n\r\n')
    size = len(world.files['keys.bin'])

    def came(count):
        lab.wait_for(lambda: len(out) - body_at(out) >= count or child.poll() is not None,
                     TIMEOUT_S, 0.005)
    for i in range(1, UPDATES + 1):
        came(i * size // (UPDATES + 1))
        say(b'K\n')
        lab.wait_for(lambda: errors.count(b'KEYUPDATE') >= i, 5, 0.001)
    came(size)
    say(b'Q\n')  # what it still has to print itself comes behind the body
    drains[0].join(TIMEOUT_S)
    child.kill()
    for t in drains:
        t.join()
    asked = errors.count(b'KEYUPDATE')
    body = body_of(bytes(out))
    lab.ok(body == world.files['keys.bin'] and asked == UPDATES,
           's_client asks for new keys %d times meanwhile: every byte right' % UPDATES, asked,
           len(body or b''), bytes(out[:300]), bytes(errors[-500:]))


def sealed_updates(world, net, server):
    """Between requests for parts, new keys: asked for, and only announced."""
    rnd, whole = random.Random(SEED), world.files['keys.bin']
    with net.left:
        client, sealer = tlslab.open_sealed(world, server, world.ca, '1.3', host=HOST)
    before, wrong, got = tlslab.count(server, 'key_updates'), [], b''
    with client:
        ranges = [(at, at + rnd.randrange(100000)) for at in
                  (rnd.randrange(len(whole) - 100000) for _ in range(4 * UPDATES))]
        for i, (at, end) in enumerate(ranges):
            update = sealer.key_update(asks=i % 2 == 0)
            client.sock.sendall(update + sealer.record(
                tlslab.DATA, b'GET /keys.bin HTTP/1.1\r\nHost: k\r\nRange: bytes=%d-%d\r\n\r\n'
                % (at, end)))
        for at, end in ranges:
            while len(got.partition(b'\r\n\r\n')[2]) < end + 1 - at:
                part = client.recv()
                if not part:
                    raise RuntimeError('ended after %d bytes' % len(got))
                got += part
            body, got = got.partition(b'\r\n\r\n')[2], b''
            if body[:end + 1 - at] != whole[at:end + 1]:
                wrong.append((at, end))
            got = body[end + 1 - at:]
    lab.ok(not wrong, '%d ranges, each with new keys: every byte right' % len(ranges), wrong)
    if not lab.STAND_IN:
        updates = tlslab.count(server, 'key_updates') - before
        lab.ok(0 < updates <= len(ranges) / 2, 'KeyUpdates were answered', updates)


# --- sources that change --------------------------------------------------------------------------


class Reader(threading.Thread):
    """Downloads a file."""

    def __init__(self, client, name):
        super().__init__()
        self.client, self.name_of_file, self.got, self.how = client, name, bytearray(), None

    def run(self):
        try:
            self.client.handshake().send(b'GET /%s HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n'
                                         % self.name_of_file.encode())
            _, self.how = self.client.last_word(TIMEOUT_S, self.got)
        except OSError as e:
            self.how = repr(e)
        finally:
            self.client.sock.close()

    def body(self):
        return bytes(self.got.partition(b'\r\n\r\n')[2])


def while_read(world, net, server, name, change):
    """READERS downloads; when each has begun, `change` happens."""
    with net.left:
        readers = [Reader(tlslab.Client(server, tlslab.trust(world.ca, ('1.3', '1.2')[i % 2]),
                                        HOST), name) for i in range(READERS)]
    for r in readers:
        r.start()
    lab.wait_for(lambda: all(r.got or r.how for r in readers), TIMEOUT_S, 0.01)
    unfinished = sum(r.how is None for r in readers)
    change()
    for r in readers:
        r.join()
    lab.ok(unfinished >= READERS / 4, '%s: it changes while it is read' % name, unfinished)
    return readers


def whole(world, name, readers, what):
    right = sum(r.body() == world.files[name] and r.how == 'close_notify' for r in readers)
    lab.ok(right == len(readers), what, right, [(len(r.body()), r.how) for r in readers])


def replaced(world, net, server):
    path, new = world.path('tree', 'replaced.bin'), world.path('new')
    lab.write_file(new, random.Random(1).randbytes(len(world.files['replaced.bin'])))
    readers = while_read(world, net, server, 'replaced.bin', lambda: os.rename(new, path))
    whole(world, 'replaced.bin', readers, 'a new file under the name: the old one goes on')


def strange(body, old, new):
    """Where a byte is neither the old nor the new one."""
    for at in range(0, len(body), PIECE):
        piece = body[at:at + PIECE]
        if piece not in (old[at:at + len(piece)], new[at:at + len(piece)]):
            yield from (at + i for i, b in enumerate(piece) if b not in (old[at + i], new[at + i]))


def overwritten(world, net, server):
    """What a client gets is the old or the new content, record by record, each in its place."""
    path, old = world.path('tree', 'written.bin'), world.files['written.bin']
    new = random.Random(2).randbytes(len(old))
    before = tlslab.count(server, 'differs')

    def write():
        with open(path, 'r+b') as f:
            f.write(new)
            f.flush()
            os.fsync(f.fileno())
    readers = while_read(world, net, server, 'written.bin', write)
    wrong = [(i, at) for i, r in enumerate(readers) for at in strange(r.body(), old, new)]
    hows = [r.how for r in readers]
    lab.ok(not wrong, 'overwritten in place: every byte is the old or the new one', wrong[:20])
    lab.diag('overwritten in place: %s' % {h: hows.count(h) for h in hows})
    cut = [r for r in readers if r.how != 'close_notify']
    lab.ok(all(len(r.body()) < len(old) for r in cut) and
           all(len(r.body()) == len(old) for r in readers if r not in cut),
           'overwritten in place: whoever does not get all of it can tell', hows)
    if not lab.STAND_IN:
        differs = tlslab.count(server, 'differs') - before
        lab.ok(differs > 0 and differs <= hows.count('reset'),
               'overwritten in place: connections are reset, and counted', differs, hows)
    world.files['written.bin'] = new
    wrong = curl(net, world, server, 'written.bin', '1.3', 'TLS_AES_128_GCM_SHA256')
    lab.ok(not wrong, 'whoever comes later gets the new content', wrong)


def shortened(world, net, server):
    path = world.path('tree', 'cut.bin')
    old = world.files['cut.bin']
    readers = while_read(world, net, server, 'cut.bin', lambda: os.truncate(path, 1 << 20))
    good = [old.startswith(r.body()) and (r.how != 'close_notify' or r.body() == old)
            for r in readers]
    lab.ok(all(good) and any(r.how != 'close_notify' for r in readers),
           'a file that is cut: the connection ends, and what came is right',
           [(len(r.body()), r.how) for r in readers])


def object_replaced(world, net, server, volume):
    atlas = os.environ['ATLAS']
    other = lab.write_file(world.path('other', 'object.bin'), random.Random(3).randbytes(2 << 20))

    def change():
        lab.sh([atlas, 'rm', volume, '/object.bin'])
        lab.sh([atlas, 'add', volume, other])
    readers = while_read(world, net, server, 'object.bin', change)
    whole(world, 'object.bin', readers, 'an object replaced: the old one to its end')
    out = world.path('exported')
    lab.sh([atlas, 'export', volume, out])
    with open(os.path.join(out, 'object.bin'), 'rb') as a, open(other, 'rb') as b:
        lab.ok(a.read() == b.read(), 'and in the volume is the new one')


def main(world):
    rnd = random.Random(SEED)
    world.files = {'%d.bin' % i: rnd.randbytes(int(LARGEST ** rnd.random()))
                   for i in range(SMALL_FILES)}
    world.files.update({name: rnd.randbytes(size) for name, size in WHOLE.items()})
    for name, content in world.files.items():
        lab.write_file(world.path('tree', name), content)
    volume = world.pack(world.path('tree'))
    world.ca = certs.Authority(world.path('ca'))
    world.identity = world.ca.issue('far', [HOST])
    with wan.Wan(world, seed=SEED, **NETWORK) as net:
        server = serve(net, world, ['--volume', volume])
        many(world, net, server, 'a volume')
        for part in (s_client_updates, sealed_updates):
            with lab.step(part.__name__):
                part(world, net, server)
        server.settles(30, 'bad network: nothing is held afterwards')
        server.stop()
    with wan.Wan(world, seed=SEED, **LOSSY) as net:
        server = serve(net, world, ['--root', world.path('tree')])
        many(world, net, server, 'a directory')
        for part in (replaced, overwritten, shortened):
            with lab.step(part.__name__):
                part(world, net, server)
        server.settles(30, 'files that change: nothing is held afterwards')
        server.stop()
        if not lab.STAND_IN:
            server = serve(net, world, ['--volume', volume])
            object_replaced(world, net, server, volume)
            server.settles(30, 'an object replaced: nothing is held afterwards')
            server.stop()


if __name__ == '__main__':
    if not os.access(wan.program(), os.X_OK):
        lab.skip_all('needs the middlebox: %s is not there' % wan.program())
    lab.run(main, tools=['openssl', 'curl'])
