#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Files of every size arrive byte for byte: from a volume, a directory tree and memory."""
import os
import random
import shutil

import lab

SEED = 2018
FILES = 500
LARGEST = 200 << 20
TOTAL = int((3 << 30) * lab.SCALE)
AT_ONCE = 100
BATCH_BYTES = 1 << 30  # so that what curl writes never fills the memory
BLOCK, GSO = 4096, 61440

# Around the sizes where a block, a read or a frame of 15 blocks begins or ends.
EDGES = [0, 1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 16383, 16384, 16385, 65535, 65536, 65537,
         GSO - 1, GSO, GSO + 1, 2 * GSO - 1, 2 * GSO, 2 * GSO + 1, 10 * GSO, 1 << 20, (1 << 20) + 1,
         256 * BLOCK - 1, 1447, 1448, 1449, 1460, 1461]


class Tree:
    """Files cut from one random buffer, each with a head that no other has."""

    def __init__(self, folder, sizes, rnd):
        self.folder, self.sizes = folder, {}
        noise = rnd.randbytes(min(256 << 20, max(max(sizes), 1) + (4 << 20)))
        view = memoryview(noise)
        for i, size in enumerate(sizes):
            name = '%s/f%04d-%d.%s' % ('abcdefg'[i % 7], i, size, rnd.choice(['ts', 'm4s', 'bin']))
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            head = ('%s %d\n' % (name, i)).encode()[:size]
            at = rnd.randrange(len(noise) - max(sizes) + 1)
            with open(path, 'wb') as f:
                f.write(head)
                f.write(view[at:at + size - len(head)])
            self.sizes[name] = size

    def subset(self, limit_bytes):
        names, total = [], 0
        for name, size in self.sizes.items():
            if total + size <= limit_bytes:
                names.append(name)
                total += size
        return names


def make_sizes(rnd):
    sizes = list(EDGES)
    largest = min(LARGEST, TOTAL // 8)
    sizes += [largest, largest - 1]
    left = TOTAL - sum(sizes)
    while len(sizes) < FILES:
        size = min(int(largest ** rnd.random()), max(left, 2000))
        if size > left:
            size = int(2000 ** rnd.random())
        left -= size
        sizes.append(size)
    rnd.shuffle(sizes)
    return sizes


def same(path, expected, off, length):
    """Whether the file at `path` holds exactly expected[off:off+length]."""
    if not os.path.exists(path):
        return length == 0  # curl makes no file for an empty body
    if os.path.getsize(path) != length:
        return False
    with open(path, 'rb') as a, open(expected, 'rb') as b:
        b.seek(off)
        while length:
            n = min(length, 4 << 20)
            if a.read(n) != b.read(n):
                return False
            length -= n
    return True


def fetch(world, server, tree, jobs):
    """jobs: (name, off or None, length). One curl, AT_ONCE transfers at once. The wrong ones."""
    room = os.path.join('/dev/shm' if os.access('/dev/shm', os.W_OK) else world.dir,
                        'e2e-%d' % os.getpid())
    shutil.rmtree(room, ignore_errors=True)
    os.makedirs(room)
    conf = world.path('curl.conf')
    try:
        with open(conf, 'w') as f:
            for i, (name, off, length) in enumerate(jobs):
                f.write('%surl = "%s/%s"\noutput = "%s/%d"\nfail\nsilent\nshow-error\n'
                        'write-out = "%%{http_code}\\n"\nmax-time = 200\n'
                        % ('next\n' if i else '', server.url, name, room, i))
                if off is not None:
                    f.write('range = "%d-%d"\n' % (off, off + length - 1))
        done = lab.sh(['curl', '--parallel', '--parallel-immediate', '--parallel-max', str(AT_ONCE),
                       '-K', conf], check=False)
        wrong = []
        if done.returncode != 0:
            wrong.append('curl: status %d: %s' % (done.returncode, done.stderr[-500:]))
        want = {'200': sum(j[1] is None for j in jobs), '206': sum(j[1] is not None for j in jobs)}
        codes = done.stdout.split()
        if any(codes.count(c) != n for c, n in want.items()):
            wrong.append('statuses: %s' % {c: codes.count(c) for c in set(codes)})
        for i, (name, off, length) in enumerate(jobs):
            if not same('%s/%d' % (room, i), os.path.join(tree.folder, name), off or 0, length):
                wrong.append('%s from %s, %d bytes' % (name, off, length))
        return wrong
    finally:
        shutil.rmtree(room, ignore_errors=True)


def batches(jobs):
    batch, total = [], 0
    for job in jobs:
        if batch and total + job[2] > BATCH_BYTES:
            yield batch
            batch, total = [], 0
        batch.append(job)
        total += job[2]
    if batch:
        yield batch


def random_ranges(tree, names, rnd, count):
    jobs = []
    names = [n for n in names if tree.sizes[n] > 0]
    for _ in range(count):
        name = rnd.choice(names)
        size = tree.sizes[name]
        near = rnd.choice([0, BLOCK, GSO, 16384, size // 2, size - 1]) + rnd.randint(-2, 2)
        off = rnd.choice([rnd.randrange(size), min(max(near, 0), size - 1)])
        longest = min(size - off, 8 << 20)
        length = rnd.choice([1, longest, rnd.randint(1, longest), min(longest, BLOCK)])
        jobs.append((name, off, length))
    return jobs


def check(world, server, tree, names, rnd, what, ranges):
    whole = [(n, None, tree.sizes[n]) for n in names]
    wrong = []
    total = sum(j[2] for j in whole)
    with lab.step('%s: %d files, %d MB, whole' % (what, len(whole), total >> 20)):
        for batch in batches(whole):
            wrong += fetch(world, server, tree, batch)
    lab.ok(not wrong, '%s: %d whole files, %d at a time' % (what, len(whole), AT_ONCE), *wrong[:20])
    jobs = random_ranges(tree, names, rnd, ranges)
    wrong = []
    with lab.step('%s: %d ranges, %d MB' % (what, len(jobs), sum(j[2] for j in jobs) >> 20)):
        for batch in batches(jobs):
            wrong += fetch(world, server, tree, batch)
    lab.ok(not wrong, '%s: %d random ranges' % (what, len(jobs)), *wrong[:20])
    server.settles(15, what + ': nothing is held afterwards')


def main(world):
    rnd = random.Random(SEED)
    with lab.step('making the tree'):
        tree = Tree(world.path('tree'), make_sizes(rnd), rnd)
    with lab.step('packing the volume'):
        volume = world.pack(tree.folder)
    with lab.step('volume'):
        server = world.serve(volume=volume)
        check(world, server, tree, list(tree.sizes), rnd, 'volume', 600)
        server.stop()
    with lab.step('directory tree'):
        server = world.serve(root=tree.folder)
        check(world, server, tree, tree.subset(TOTAL // 4), rnd, 'root', 300)
        server.stop()

    small = Tree(world.path('small'), [s for s in make_sizes(rnd) if s < 8 << 20][:150], rnd)
    with lab.step('memory'):
        server = world.serve(ram=world.pack(small.folder, 'small-volume'))
        check(world, server, small, list(small.sizes), rnd, 'ram', 300)
        server.stop()


if __name__ == '__main__':
    lab.run(main, tools=['curl'])
