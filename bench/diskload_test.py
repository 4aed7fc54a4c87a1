#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Whether diskload and diskwire read what is there, and count it, by each way to a disk.

    DISKLOAD=build/bench/diskload DISKWIRE=build/bench/diskwire bench/diskload_test.py   prints TAP
"""
import json
import os
import subprocess
import sys
import tempfile

LOAD, WIRE = os.environ['DISKLOAD'], os.environ['DISKWIRE']
FILE_BYTES, READS = 4 << 20, 300
count = failed = 0


def ok(good, name, *details):
    global count, failed
    count += 1
    failed += not good
    print('%sok %d - %s' % ('' if good else 'not ', count, name))
    if not good:
        print('# ' + ' '.join(map(str, details)).replace('\n', '\n# '), flush=True)


def skip(name, why):
    global count
    count += 1
    print('ok %d - %s # SKIP %s' % (count, name, why))


def run(*argv):
    return subprocess.run(list(map(str, argv)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, timeout=60)


def load(engine, disks, *more):
    return run(LOAD, '--engine', engine, '--warm', 0, *more, *disks)


def check_reads(engine, disks, window, bytes_each, *more):
    """Every sector is where it belongs, and all of the reads are in the distribution."""
    name = '%s, window %d, %d bytes, %s%s' % (
        engine, window, bytes_each, ' '.join(d.rpartition('/')[2] for d in disks), ' '.join(more))
    done = load(engine, disks, '--check', '--window', window, '--bytes', bytes_each, '--reads',
                READS, *more)
    if done.returncode:
        ok(False, name, done.stderr)
        return
    said = json.loads(done.stdout)
    threads = window if engine == 'pread' else 1
    shares = [share for _, share in said['distribution']]
    good = (READS * threads <= said['reads'] <= READS * threads + window
            and said['threads'] == threads and said['p50_us'] <= said['p99_us']
            and said['bytes_per_s'] > 0 and shares == sorted(shares) and shares[-1] > 0.99)
    ok(good, name, done.stdout)


def check_wire(engine, disk, window, buffers, in_use, touched, *more):
    """How much memory is in use follows from the way in which buffers go round."""
    name = '%s to a pipe, window %d of %d buffers%s' % (
        engine, window, buffers, ''.join(' ' + str(m) for m in more))
    done = run(WIRE, '--engine', engine, '--bytes', 4096, '--window', window, '--buffers', buffers,
               '--seconds', 0.2, '--warm', 0.05, *more, disk)
    if done.returncode:
        ok(False, name, done.stderr)
        return
    said = json.loads(done.stdout)
    frame_bytes = 4096 + 14
    good = (said['reads'] > 0 and said['dropped'] == 0
            and in_use(said['in_use_bytes'] // 4096) and touched(said['touched_bytes'] // 4096)
            and abs(said['sent_bytes'] - said['reads'] * frame_bytes) <= buffers * frame_bytes)
    ok(good, name, done.stdout)


def main():
    folder = tempfile.TemporaryDirectory(dir='.')  # a temporary file system may have no O_DIRECT
    file = os.path.join(os.path.abspath(folder.name), 'sectors')
    other = os.path.join(os.path.abspath(folder.name), 'zeros')
    done = run(LOAD, '--make', FILE_BYTES, file)
    ok(done.returncode == 0 and os.path.getsize(file) == FILE_BYTES, 'a file is made', done.stderr)
    ok(run(LOAD, '--make', FILE_BYTES, file).returncode == 1, 'what is there is not overwritten')
    with open(other, 'wb') as f:
        f.truncate(FILE_BYTES)

    for engine, disk in (('pread', file), ('io_uring', file), ('libnvme', 'sim:' + file)):
        about = load(engine, [disk], '--about')
        if about.returncode and engine != 'libnvme':
            skip(engine, about.stderr.strip())
            continue
        ok(about.returncode == 0 and json.loads(about.stdout)['least_bytes'] == FILE_BYTES,
           '%s: what the disk is like' % engine, about.stderr)
        for window, bytes_each in ((1, 4096), (16, 4096), (4, 256 << 10)):
            check_reads(engine, [disk], window, bytes_each)
        check_reads(engine, [disk, disk], 8, 4096)
        done = load(engine, [disk.replace(file, other)], '--check', '--reads', READS)
        ok(done.returncode == 1 and 'other bytes' in done.stderr,
           '%s: wrong bytes are found' % engine, done.stdout, done.stderr)
        done = load(engine, [disk], '--reads', READS, '--bytes', FILE_BYTES * 2)
        ok(done.returncode == 1 and str(FILE_BYTES) in done.stderr,
           '%s: a read larger than the disk is refused' % engine, done.stdout, done.stderr)
        window = 1 if engine == 'pread' else 8
        check_wire(engine, disk, window, 64, lambda n: n == window, lambda n: n <= window)
        check_wire(engine, disk, window, 64, lambda n: n == window, lambda n: n == 64,
                   '--order', 'ring')
        check_wire(engine, disk, window, 64, lambda n: 20 + window <= n <= 20 + 2 * window,
                   lambda n: n <= 20 + 2 * window, '--queue', 20)
        check_wire(engine, disk, window, 64, lambda n: n > 2 * window, lambda n: n > 2 * window,
                   '--hold', 50000)
    for engine in ('io_uring', 'libnvme'):
        disk = {'io_uring': file, 'libnvme': 'sim:%s,delay=200' % file}[engine]
        if load(engine, [disk], '--about').returncode == 0:
            check_reads(engine, [disk], 16, 4096, '--sleep')
    check_reads('libnvme', ['sim:%s,block=512' % file], 128, 512)
    done = load('libnvme', ['sim:%s,delay=20000' % file], '--reads', 20)
    ok(done.returncode == 0 and 20e3 <= json.loads(done.stdout)['p50_us'] < 60e3,
       'a delay of 20 ms is seen', done.stdout, done.stderr)
    for bad in ('sim:', 'sim:x,ns=1', 'sim:%s,block=600' % file, file):
        done = load('libnvme', [bad])
        ok(done.returncode == 1 and 'libnvme reads' in done.stderr, '%s is refused' % bad[:12],
           done.stdout, done.stderr)
    print('1..%d' % count)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
