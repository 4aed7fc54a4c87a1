# SPDX-License-Identifier: BSD-2-Clause
"""What `bench/run` measures of reading disks: pread, io_uring and libnvme with the same pattern of
reads (diskload.c), and from disk to wire with few or many buffers (diskwire.c).

The files and block devices of --disk are read by pread and io_uring, the disks of --nvme by
libnvme. No disk can be read both ways at the same time: the kernel's driver has it, or we do.
"""
import json
import os
import subprocess

import lab
from tables import spread

# A peer is an engine and how it waits; `alone`: one read at a time, whatever the window.
PEERS = {'pread': ('pread', True, ()), 'pread, threads': ('pread', False, ()),
         'io_uring': ('io_uring', False, ('--sleep',)),
         'io_uring, polling': ('io_uring', False, ()),
         'libnvme': ('libnvme', False, ())}
WINDOW_PEERS = ('pread, threads', 'io_uring', 'io_uring, polling', 'libnvme')
WIRE_PEERS = ('io_uring', 'libnvme')
SIZES = (512, 2048, 4096, 16384, 65536, 262144, 1048576)
SIZES_WINDOW = 128
WINDOWS, WINDOW_BYTES = (1, 4, 16, 64, 128, 256, 512), 16384
WIRE_BYTES, WIRE_WINDOW = 8192, 128
FEW, MANY = 1024, 16384
# What goes round: name, buffers, order, queue, hold in us, cold.
WIRE = (('few, ring', FEW, 'ring', 0, 0, False), ('few, ring, cold', FEW, 'ring', 0, 0, True),
        ('many, ring', MANY, 'ring', 0, 0, False), ('many, ring, cold', MANY, 'ring', 0, 0, True),
        ('many, stack', MANY, 'stack', 0, 0, False))
LATE = (('at once', MANY, 'stack', 0, 0, False), ('512 wait', MANY, 'stack', 512, 0, False),
        ('2,048 wait', MANY, 'stack', 2048, 0, False),
        ('8,192 wait', MANY, 'stack', 8192, 0, False),
        ('held 1 ms', MANY, 'stack', 0, 1000, False), ('held 5 ms', MANY, 'stack', 0, 5000, False),
        ('held 20 ms', MANY, 'stack', 0, 20000, False))
SHARE = 10           # of --seconds is how long one of these runs takes, since there are hundreds
SECONDS_MIN = 0.3
WARM_S = 0.2
FAILURES = (RuntimeError, lab.Skip, OSError, ValueError, subprocess.SubprocessError)
FIELDS = ('bytes_per_s', 'reads_per_s', 'cpu_us_per_read', 'cpu_busy', 'p50_us', 'p90_us', 'p99_us',
          'p999_us', 'cpu_s_per_gb', 'in_use_bytes', 'touched_bytes', 'cache_misses_per_kb')


class Storage:
    def __init__(self, o, volume):
        self.o = o
        self.disks = [os.path.abspath(d) for d in o.disk or [volume]]
        self.nvme = o.nvme or ['sim:%s,block=512' % volume]
        self.load, self.wire = (os.path.join(o.bench, p) for p in ('diskload', 'diskwire'))
        self.seconds = max(o.seconds / SHARE, SECONDS_MIN)
        self.range_bytes = self.block_bytes = 0
        self.runs = []
        self.about = {}

    def all(self):
        for program in (self.load, self.wire):
            if not os.access(program, os.X_OK):
                raise lab.Skip('there is no %s' % program)
        self.look()
        for number in range(self.o.runs):
            for size in (s for s in SIZES if s % self.block_bytes == 0):
                for peer in PEERS:
                    self.keep(self.read, number, peer, 'sizes', size, SIZES_WINDOW)
            for window in WINDOWS:
                for peer in WINDOW_PEERS:
                    self.keep(self.read, number, peer, 'windows', WINDOW_BYTES, window)
            for what, cases in (('buffers', WIRE), ('late', LATE)):
                for case in cases:
                    for peer in WIRE_PEERS:
                        self.keep(self.send, number, peer, what, case)

    def disks_of(self, peer):
        return self.nvme if PEERS[peer][0] == 'libnvme' else self.disks

    def look(self):
        """What all of them can do: the same range of places, blocks that suit every disk."""
        for peer in ('io_uring', 'libnvme'):
            done = self.said(self.load, peer, '--about')
            self.about[peer] = {**done, 'named': self.disks_of(peer)}
        self.range_bytes = min(a['least_bytes'] for a in self.about.values())
        self.block_bytes = max(a['block_bytes'] for a in self.about.values())
        for spec in self.nvme:
            if spec.startswith('sim:'):  # it reads through the page cache, and that is warm
                with open(spec[4:].split(',')[0], 'rb') as f:
                    while f.read(1 << 24):
                        pass

    def said(self, program, peer, *args):
        done = lab.sh([*lab.on_core(lab.SERVER_CORE), program, '--engine', PEERS[peer][0],
                       *map(str, args), *self.disks_of(peer)], check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip() or 'it ended with %d' % done.returncode)
        return json.loads(done.stdout)

    def keep(self, measure, number, peer, what, *args):
        """A run that fails is one of the results."""
        head = {'what': what, 'peer': peer, 'run': number}
        try:
            row = measure(number, peer, *args)
        except FAILURES as e:
            row = {'failure': '%s: %s' % (' '.join(str(a) for a in args), str(e)[:300])}
        lab.say('storage %s' % json.dumps({**head, **{k: v for k, v in row.items()
                                                      if k != 'distribution'}}))
        self.runs.append({**head, **row})

    def read(self, number, peer, size, window):
        _, alone, more = PEERS[peer]
        said = self.said(self.load, peer, '--bytes', size, '--window', 1 if alone else window,
                         '--seconds', self.seconds, '--warm', WARM_S, '--seed', number + 1,
                         '--range', self.range_bytes, *more)
        return {**said, 'at': size, 'window': window}  # of the table, though pread alone has 1

    def send(self, number, peer, case):
        name, buffers, order, queue, hold_us, cold = case
        # Both sleep, so that CPU time is what the work takes, not what waiting for a disk takes.
        said = self.said(self.wire, peer, '--sleep', '--port', self.o.port,
                         '--bytes', WIRE_BYTES, '--window', WIRE_WINDOW, '--buffers', buffers,
                         '--order', order, '--queue', queue, '--hold', hold_us,
                         '--seconds', self.seconds, '--warm', WARM_S, '--seed', number + 1,
                         *(['--cold'] if cold else []))
        return {**said, 'at': name, 'window': None}

    def results(self):
        return {'about': self.about, 'range_bytes': self.range_bytes, 'port': self.o.port,
                'seconds': self.seconds, 'cache_bytes': lab.last_cache_bytes(),
                'cells': cells(self.runs), 'runs': self.runs}


def cells(runs):
    """Runs of the same thing as medians and spreads, in the order in which they came."""
    groups, out = {}, []
    for run in runs:
        key = (run['what'], run['peer'], run.get('at'), run.get('window'))
        if 'failure' in run:
            out.append({k: run[k] for k in ('what', 'peer', 'run', 'failure')})
        else:
            groups.setdefault(key, []).append(run)
    for (what, peer, at, window), group in groups.items():
        cell = {'what': what, 'peer': peer, 'at': at, 'window': window, 'runs': len(group),
                'dropped': max(r.get('dropped', 0) for r in group),
                'metrics': {f: spread([r[f] for r in group]) for f in FIELDS
                            if all(r.get(f) is not None for r in group)}}
        # Whole distributions of the smallest reads only, which are the ones that are drawn.
        if what == 'sizes' and at == min(r['at'] for r in runs if r.get('what') == 'sizes'
                                         and 'at' in r):
            cell['distribution'] = [[step[0][0], spread([s[1] for s in step])] for step in
                                    zip(*(r['distribution'] for r in group))]
        out.append(cell)
    return out
