#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Damaged volumes, wrong command lines, and files that shrink while they are served.

A program that cannot start says why in one line and exits with 1, or with 2 when the command line
is wrong. It never dies of a signal, and it never serves a byte that was not packed.
"""
import os
import random
import shutil
import socket
import subprocess
import threading
import time

import lab

SEED = 4096
FLIPS, SERVED_FLIPS = 100, int(20 * lab.SCALE)  # with one catalogue, and with two
BLOCK = 4096
LIMIT_S = 20
FILES = {'a.txt': 100, 'b.bin': 5000, 'c/d.bin': 40000, 'c/e/f.bin': BLOCK, 'g.txt': 1}


def atlas(*args):
    """(status, lines of standard error, standard output). Negative: a signal; None: too long."""
    child = subprocess.Popen([os.environ['ATLAS'], *args], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             errors='replace')
    try:
        out, err = child.communicate(timeout=LIMIT_S)
        return child.returncode, [line for line in err.splitlines() if line.strip()], out
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
        return None, err.splitlines(), out


def serve_args(*source):
    return ['serve', '--port', 'tap:' + lab.TAP, '--addr', lab.SERVER + lab.BITS, '--host-addr',
            lab.HOST + lab.BITS, '--listen', '80', '--admin', '127.0.0.1:9100', *source]


def refuses(name, status, args):
    """It ends with that status, and says one line, which is not a sanitizer's."""
    got, err, out = atlas(*args)
    lab.ok(got == status and len(err) == 1 and 'ready' not in out, name,
           'status %s, %d lines: %s' % (got, len(err), err[:5]), 'standard output: %s' % out[:200])
    if len(err) == 1:
        lab.diag('    ' + err[0])


def usage():
    volume = ['--volume', 'x']
    https = ['--tls-listen', '443', '--tls-cert', 'x', '--tls-key', 'y']
    table = {
        'unknown command': ['frobnicate'], 'unknown option': serve_args('--what'),
        'neither volume nor root': serve_args(),
        'volume and root': serve_args(*volume, '--root', '/tmp'),
        'no port': ['serve', '--addr', '10.0.7.2/24', *volume],
        'no address': ['serve', '--port', 'tap:x', *volume],
        'address that is none': ['serve', '--port', 'tap:x', '--addr', '10.0.7.256/24', *volume],
        'prefix too long': ['serve', '--port', 'tap:x', '--addr', '10.0.7.2/33', *volume],
        'listen on 0': serve_args(*volume, '--listen', '0'),
        'listen on 65536': serve_args(*volume, '--listen', '65536'),
        'listen on a word': serve_args(*volume, '--listen', 'http'),
        'no workers': serve_args(*volume, '--workers', '0'),
        'unknown congestion control': serve_args(*volume, '--cc', 'vegas'),
        'unknown poll': serve_args(*volume, '--poll', 'sometimes'),
        'value missing': ['serve', '--port'], 'a word too many': serve_args(*volume, 'word'),
        'admin without port': ['serve', '--port', 'tap:x', '--addr', '10.0.7.2/24', *volume,
                               '--admin', '127.0.0.1'],
        'HTTPS without a certificate': serve_args(*volume, '--tls-listen', '443'),
        'a certificate without its key': serve_args(*volume, '--tls-listen', '443',
                                                    '--tls-cert', 'x'),
        'the key before its certificate': serve_args(*volume, '--tls-listen', '443', '--tls-key',
                                                     'y', '--tls-cert', 'x'),
        'two keys': serve_args(*volume, *https, '--tls-key', 'z'),
        'a certificate without HTTPS': serve_args(*volume, *https[2:]),
        'HTTP and HTTPS on one port': serve_args(*volume, *https, '--tls-listen', '80'),
        'TLS 1.1': serve_args(*volume, *https, '--tls-min', '1.1'),
        'HSTS without HTTPS': serve_args(*volume, '--hsts', '60'),
        'HSTS for a word': serve_args(*volume, *https, '--hsts', 'long'),
        'HTTPS to be redirected to': serve_args(*volume, '--redirect-https'),
        'HTTP to be redirected from': ['serve', '--port', 'tap:x', '--addr', '10.0.7.2/24',
                                       *volume, *https, '--redirect-https'],
        'pack without arguments': ['pack'], 'pack with one': ['pack', 'x'],
        'pack with a volume too many': ['pack', '--volume', 'x', 'y', 'z'],
        'verify without': ['verify'],
        'ls without': ['ls'], 'rm without a path': ['rm', 'x'], 'export with one': ['export', 'x'],
    }
    for name, args in table.items():
        refuses('usage: ' + name, 2, args)
    status, err, out = atlas()
    lab.ok(status == 2 and 'usage' in err[0], 'usage: no command', status, err)
    status, err, out = atlas('--help')
    lab.ok(status == 0 and 'serve' in out, '--help explains and exits with 0', status, err)
    status, err, out = atlas('--version')
    lab.ok(status == 0 and out.strip(), '--version exits with 0', status, err)


def broken_volumes(world, volume):
    size = os.path.getsize(volume)
    with open(volume, 'rb') as f:
        whole = f.read()
    made = {'empty file': b'', 'one byte': b'A', 'short of a block': whole[:BLOCK - 1],
            'zeros': bytes(size), 'random bytes': random.Random(1).randbytes(1 << 20),
            'text': b'#EXTM3U\n' * 2000, 'only two blocks': whole[:2 * BLOCK]}
    for quarter in (1, 2, 3):
        made['cut at %d quarters' % quarter] = whole[:size * quarter // 4]
    made['cut by a block'] = whole[:size - BLOCK]
    for name, content in made.items():
        path = lab.write_file(world.path('broken'), content)
        refuses('volume: ' + name, 1, serve_args('--volume', path))
        refuses('ram: ' + name, 1, serve_args('--volume', 'ram:' + path))
        refuses('verify: ' + name, 1, ['verify', path])
    for name, path in {'missing': world.path('nowhere'), 'directory': world.dir,
                       'terminal': '/dev/null'}.items():
        refuses('volume: ' + name, 1, serve_args('--volume', path))
    refuses('root: missing', 1, serve_args('--root', world.path('nowhere')))
    refuses('root: a file', 1, serve_args('--root', volume))
    refuses('pack: missing directory', 1, ['pack', world.path('new'), world.path('nowhere')])
    refuses('pack: a folder that does not exist', 1, ['pack', world.path('no/where'),
                                                      world.path('tree')])
    busy = socket.socket()
    busy.bind(('127.0.0.1', 9100))
    busy.listen()
    refuses('admin: address in use', 1, serve_args('--volume', volume))
    busy.close()


def metadata_blocks(volume, contents):
    """The blocks that hold nothing of any file. The format itself is not this test's business."""
    data = set()
    for content in contents.values():
        for at in range(0, len(content), BLOCK):
            data.add(content[at:at + BLOCK].ljust(BLOCK, b'\0'))
    blocks = []
    with open(volume, 'rb') as f:
        for i in range(os.path.getsize(volume) // BLOCK):
            block = f.read(BLOCK)
            if block not in data and any(block):
                blocks.append((i, block))
    return blocks


def flips(blocks, rnd):
    """(where, mask): mostly where bytes are not zero, for there they mean something."""
    for _ in range(FLIPS):
        number, block = rnd.choice(blocks)
        used = [i for i, b in enumerate(block) if b]
        at = rnd.choice(used) if rnd.random() < 0.7 else rnd.randrange(BLOCK)
        yield number * BLOCK + at, 1 << rnd.randrange(8)


def true_contents(server, contents):
    """What is wrong with what is served: a file may be missing or fail, but not be another."""
    wrong = []
    for name, content in contents.items():
        try:
            status, _, body = lab.get(server, '/' + name, timeout_s=5)
            if status == 200 and body != content:
                wrong.append('%s has other bytes' % name)
        except OSError:
            pass  # broken off: honest
    return wrong


def serve_flipped(world, volume, contents):
    """Whether it is served, and what is wrong about that."""
    try:
        server = world.serve(volume=volume)
    except RuntimeError:
        server = world.servers.pop()
        status = server.process.returncode
        return False, [] if status == 1 else ['no start, but status %s' % status]
    wrong = true_contents(server, contents)
    server.process.terminate()
    status = server.process.wait(LIMIT_S)
    world.servers.remove(server)
    return True, wrong + ([] if status == 0 else ['ended with %s' % status])


def flipped(world, volume, contents, what):
    """A bit wrong at FLIPS places. How many of SERVED_FLIPS volumes are served all the same."""
    rnd = random.Random(SEED)
    blocks = metadata_blocks(volume, contents)
    lab.ok(len(blocks) >= 2, 'the volume has metadata', len(blocks))
    copy = world.path('flipped')
    shutil.copy(volume, copy)
    bad, refused, survived = [], 0, 0
    with open(copy, 'r+b') as f:
        for i, (at, mask) in enumerate(flips(blocks, rnd)):
            byte = os.pread(f.fileno(), 1, at)[0]
            os.pwrite(f.fileno(), bytes([byte ^ mask]), at)
            status, err, _ = atlas('verify', copy)
            listed, list_err, _ = atlas('ls', copy)
            good = status in (0, 1) and listed in (0, 1) and \
                (status == 0 or err) and (listed == 0 or len(list_err) == 1)
            if not good:
                bad.append('byte %d, mask %#x: verify %s %s, ls %s %s'
                           % (at, mask, status, err[:3], listed, list_err[:3]))
            if i < SERVED_FLIPS:
                served, wrong = serve_flipped(world, copy, contents)
                survived += served
                refused += not served
                bad += ['byte %d, mask %#x: served: %s' % (at, mask, w) for w in wrong]
            os.pwrite(f.fileno(), bytes([byte]), at)
    lab.ok(not bad, '%s: a wrong bit at %d places of the metadata' % (what, FLIPS), *bad[:20])
    lab.diag('%s: %d refused, %d served' % (what, refused, survived))
    status, err, _ = atlas('verify', copy)
    lab.ok(status == 0 and not err, what + ': with all bits back the volume is whole', status, err)
    return survived


def download_cut(server, path, length, cut):
    """Begins to fetch, cuts the file, reads on: how it ended, and how many bytes came."""
    with lab.connect(server, rcvbuf=65536, timeout_s=30) as s:
        s.sendall(b'GET %s HTTP/1.1\r\nHost: e2e\r\n\r\n' % path)
        got = len(s.recv(1000))
        cut()
        while True:
            try:
                n = len(s.recv(1 << 20))
            except ConnectionResetError:
                return 'reset', got
            except OSError as e:
                return repr(e), got
            if not n:
                return 'closed', got
            got += n
            if got >= length:
                return 'complete', got


def shrinks(world, what, serve, path, keep):
    """The disk loses `path` beyond `keep` bytes while two clients read: one wants lost bytes."""
    server = serve()
    expected = world.contents['small.bin']
    errors, stop = [], threading.Event()

    def other():
        while not stop.is_set():
            try:
                status, _, body = lab.get(server, '/small.bin')
                if status != 200 or body != expected:
                    errors.append(status)
            except OSError as e:
                errors.append(repr(e))
    thread = threading.Thread(target=other)
    thread.start()
    how, got = download_cut(server, b'/z-large.bin', world.large, lambda: os.truncate(path, keep))
    time.sleep(0.2)
    stop.set()
    thread.join()
    lab.ok(how == ('closed' if lab.STAND_IN else 'reset') and got < world.large,
           what + ': the connection whose bytes are gone is reset', how, got)
    lab.ok(not errors, what + ': the others go on', errors[:5])
    lab.ok(server.alive() and server.healthy(), what + ': the server is well')
    if not lab.STAND_IN:
        errors = server.metrics().get('atlas_disk_read_errors_total')
        lab.diag('read errors counted: %s' % errors)
    server.settles(20, what + ': nothing is held afterwards')
    server.stop()


def shrinking(world):
    rnd = random.Random(3)
    world.large = 64 << 20
    world.contents = {'small.bin': rnd.randbytes(20000)}
    for name, content in {**world.contents, 'z-large.bin': rnd.randbytes(world.large)}.items():
        lab.write_file(world.path('shrink', name), content)
    shrinking_file = world.path('shrink', 'z-large.bin')
    if not lab.STAND_IN:
        volume = world.pack(world.path('shrink'), 'shrinking')
        size = os.path.getsize(volume)
        where = place_of(volume, shrinking_file)
        keep = where + (16 << 20)
        lab.diag('the large file lies at %d of %d' % (where, size))
        shrinks(world, 'volume cut while served', lambda: world.serve(volume=volume), volume, keep)
    shrinks(world, 'file cut while served', lambda: world.serve(root=world.path('shrink')),
            shrinking_file, 16 << 20)


def place_of(volume, path):
    with open(path, 'rb') as f:
        first = f.read(BLOCK)
    with open(volume, 'rb') as f:
        at = 0
        while block := f.read(BLOCK):
            if block == first:
                return at
            at += BLOCK
    raise RuntimeError('the volume does not hold ' + path)


def main(world):
    rnd = random.Random(SEED)
    contents = {name: rnd.randbytes(size) for name, size in FILES.items()}
    contents.update({'many/%03d' % i: rnd.randbytes(rnd.randrange(200)) for i in range(100)})
    for name, content in contents.items():
        lab.write_file(world.path('tree', name), content)
    if lab.STAND_IN:
        lab.skip('command lines and volumes', 'the stand-in has none')
    else:
        with lab.step('wrong command lines'):
            usage()
        volume = world.pack(world.path('tree'))
        with lab.step('broken volumes'):
            broken_volumes(world, volume)
        with lab.step('flipped bits'):
            flipped(world, volume, contents, 'one catalogue')
        contents['added.bin'] = rnd.randbytes(3 * BLOCK + 5)
        added = lab.write_file(world.path('added.bin'), contents['added.bin'])
        lab.sh([os.environ['ATLAS'], 'add', volume, added])
        with lab.step('flipped bits, two catalogues'):
            saved = flipped(world, volume, contents, 'two catalogues')
            lab.ok(saved == SERVED_FLIPS, 'one of two catalogues is always whole', saved)
    with lab.step('shrinking files'):
        shrinking(world)


if __name__ == '__main__':
    lab.run(main)
