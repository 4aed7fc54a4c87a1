#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Volumes on NVMe disks that the server drives itself: four of them, in software, each with a queue
pair for every worker. Files arrive byte for byte; a disk that is pulled out takes its own files
with it and nothing else; one that does not come up keeps the server from starting, and it says why.
"""
import json
import os
import random
import subprocess

import files
import lab

SEED = 43
DISKS = 4
DISK_MIB = 48
TOTAL = int((96 << 20) * lab.SCALE)
LARGEST = 8 << 20
REMOVE_S = 4
HOW = ['', ',seed=1,delay=20us-400us', ',seed=2,delay=1us-2ms,block=512,mdts=2',
       ',seed=3,delay=50us']


def atlas(*args):
    return subprocess.run([os.environ['ATLAS'], *args], capture_output=True, text=True, timeout=60)


def volumes(disks):
    return [word for disk in disks for word in ('--volume', disk)]


def serve(world, disks, *more):
    return world.serve(volume=disks[0], more=[*volumes(disks[1:]), *more])


def sizes(rnd):
    chosen = list(files.EDGES)
    while sum(chosen) < TOTAL:
        chosen.append(int(LARGEST ** rnd.random()))
    return chosen


def refuses(name, disks, says, *more):
    """It does not start: status 1, and one line that says why."""
    done = atlas('serve', '--port', 'tap:' + lab.TAP, '--addr', lab.SERVER + lab.BITS,
                 *volumes(disks), *more)
    lines = done.stderr.splitlines()
    lab.ok(done.returncode == 1 and len(lines) == 1 and says in lines[0] and not done.stdout, name,
           done.returncode, *lines)


def bad_disks(world, disks):
    good = disks[1:]
    with open(world.path('disk0'), 'rb') as f:
        head = f.read(1 << 20)
    refuses('a controller that never becomes ready', [disks[0] + ',ready=never', *good],
            'never became ready')
    refuses('a disk that is not there any more', [disks[0] + ',remove=0s', *good],
            'no device answers')
    refuses('a namespace that is not there', [disks[0] + ',ns=2', *good], 'no namespace 2')
    refuses('fewer queue pairs than workers', [disks[0] + ',queues=1', *good], '--workers 1',
            '--workers', '2')
    refuses('nothing but errors', [disks[0] + ',error=1', *good], 'disk0')
    refuses('an option that there is not', [disks[0] + ',speed=9', *good], 'speed')
    lab.write_file(world.path('cut'), head)
    refuses('a truncated volume', ['sim:' + world.path('cut'), *good], 'cut')
    lab.write_file(world.path('text'), b'#EXTM3U\n' * 2000)
    refuses('something else than a volume', ['sim:' + world.path('text'), *good],
            'not an atlas volume')


def statuses(server, names):
    got = {}
    for name in names:
        try:
            status = lab.get(server, '/' + name, timeout_s=20)[0]
        except OSError:
            status = 'reset'
        got[status] = got.get(status, 0) + 1
    return got


def loses_a_disk(world, disks, tree, rnd):
    """The second disk is pulled out while files come from all of them."""
    on_lost = {n[1:] for n in atlas('ls', disks[1]).stdout.splitlines()}
    others = [n for n in tree.sizes if n not in on_lost and tree.sizes[n]]
    lost = sorted(n for n in on_lost if tree.sizes[n])
    disks = [disks[0], disks[1] + ',remove=%ds' % REMOVE_S, *disks[2:]]
    server = serve(world, disks, '--workers', '2')
    lab.ok(lab.wait_for(lambda: any('no device answers' in l for l in server.log_lines()),
                        REMOVE_S + 20), 'it says that a disk is gone', *server.log_lines())
    wrong = files.fetch(world, server, tree, [(n, None, tree.sizes[n]) for n in others])
    lab.ok(not wrong, 'the files of the other disks arrive', *wrong[:20])
    got = statuses(server, lost[:10])
    lab.ok(got == {503: min(10, len(lost))}, 'those of the lost one are unavailable', got)
    told = [l for l in server.log_lines() if 'not served any more' in l]
    lab.ok(len(told) == 1, 'it was said once', *told)
    lab.ok(server.metrics().get('atlas_disk_disks_lost_total') == 1, 'it is counted',
           {k: v for k, v in server.metrics().items() if 'disk' in k and 'bucket' not in k})
    states = [(d['volume'] == name, d['namespace'], d['lost'])
              for d, name in zip(json.loads(server.admin('/status'))['disks'], disks)]
    lab.ok(states == [(True, 1, i == 1) for i in range(DISKS)], '/status shows it', states)
    lab.ok(server.healthy(), 'the server is well')
    server.settles(15, 'nothing is held afterwards')
    server.stop()


def main(world):
    rnd = random.Random(SEED)
    tree = files.Tree(world.path('tree'), sizes(rnd), rnd)
    disks = ['sim:' + world.path('disk%d' % i) for i in range(DISKS)]
    made = [d + ',size=%dM' % DISK_MIB for d in disks]
    with lab.step('packing %d files onto %d disks' % (len(tree.sizes), DISKS)):
        done = atlas('pack', *made, tree.folder)
    lab.ok(done.returncode == 0, 'the files are packed', done.stderr)
    done = atlas('verify', *disks)
    lab.ok(done.returncode == 0 and ' 0 damaged' in done.stdout, 'and whole', done.stdout,
           done.stderr)
    parts = [len(atlas('ls', d).stdout.splitlines()) for d in disks]
    lab.ok(min(parts) > 0 and sum(parts) == len(tree.sizes), 'every disk has some', parts)
    bad_disks(world, disks)
    for what, workers, more in (('one worker', '1', []), ('three workers', '3', []),
                                ('busy polling', '2', ['--poll', 'busy'])):
        server = serve(world, [d + how for d, how in zip(disks, HOW)], '--workers', workers, *more)
        names = tree.subset(TOTAL if workers == '3' else TOTAL // 4)
        files.check(world, server, tree, names, rnd, what, 100)
        server.stop()
    loses_a_disk(world, disks, tree, rnd)


if __name__ == '__main__':
    lab.run(main, tools=['curl'])
