#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Load generators and slow-attack tools that others wrote: no request fails, the service stays."""
import os
import random
import re
import subprocess

import lab

ATTACK_S = 15
ATTACKERS = 200
LOAD_S = max(2, int(4 * lab.SCALE))
# What each mode of slowhttptest does, and the options that make it do it within ATTACK_S.
ATTACKS = {
    'slow heads': ['-H', '-i', '5'],
    'slow bodies': ['-B', '-i', '5', '-s', '8192'],
    'slow reading': ['-X', '-w', '512', '-y', '1024', '-n', '5', '-z', '32', '-k', '3'],
    'overlapping ranges': ['-R', '-a', '10', '-b', '3000'],
}


def attack(world, server, name, options):
    out = world.path('slow-%s.out' % options[0].strip('-'))
    url = server.url + ('/big.bin' if '-X' in options else '/small.bin')
    argv = ['slowhttptest', *options, '-c', str(ATTACKERS), '-r', '100', '-l', str(ATTACK_S),
            '-p', '3', '-u', url]
    with open(out, 'w') as f:
        return name, out, world.spawn(argv, stdout=f, stderr=subprocess.STDOUT)


def judge_attack(name, out, child):
    child.wait(ATTACK_S + 60)
    with open(out, errors='replace') as f:
        text = re.sub(r'\x1b\[[\d;]*[A-Za-z]', '', f.read())
    available = re.findall(r'service available:\s+(\w+)', text)
    lab.ok(available and set(available) == {'YES'}, 'slowhttptest, %s: the service stays' % name,
           'seen: %s' % available, text[-1500:])
    made = re.findall(r'(?:connected|closed|error):\s+\d+', text)[-3:]
    lab.diag('%s: %s; %s' % (name, ', '.join(made), ' '.join(text.split('\n')[-4:]).strip()))


def attacks(world, server):
    """All four at once: 800 slow clients, and a good one among them."""
    with lab.step('slowhttptest'):
        running = [attack(world, server, n, o) for n, o in ATTACKS.items()]
        fetched = []
        while any(child.poll() is None for _, _, child in running):
            status, _, body = lab.get(server, '/big.bin', timeout_s=20)
            fetched.append(status == 200 and body == world.big)
        lab.ok(fetched and all(fetched), 'a good client fetches meanwhile',
               '%d of %d' % (sum(fetched), len(fetched)))
        for each in running:
            judge_attack(*each)
    lab.ok(server.alive() and server.healthy(), 'the server is well')
    server.settles(60, 'slowhttptest: nothing is held afterwards')


def ab(server, what, options, path, count):
    done = lab.sh(['ab', '-q', *options, '-n', str(count), '-c', '50', server.url + path],
                  check=False, timeout=120)
    text = done.stdout
    failed = re.search(r'Failed requests:\s+(\d+)', text)
    complete = re.search(r'Complete requests:\s+(\d+)', text)
    non_2xx = re.search(r'Non-2xx responses:\s+(\d+)', text)
    rate = re.search(r'Requests per second:\s+([\d.]+)', text)
    lab.ok(done.returncode == 0 and failed and failed.group(1) == '0' and not non_2xx
           and complete.group(1) == str(count), 'ab, %s: no failed request' % what,
           text, done.stderr)
    lab.diag('ab, %s: %s requests/s' % (what, rate.group(1) if rate else '?'))


def wrk(server, what, path, connections):
    done = lab.sh(['wrk', '-t', '2', '-c', str(connections), '--timeout', '30s',
                   '-d', '%ds' % LOAD_S, server.url + path], check=False, timeout=LOAD_S + 60)
    errors = re.findall(r'(Socket errors:.*|Non-2xx.*)', done.stdout)
    count = re.search(r'(\d+) requests in', done.stdout)
    rate = re.search(r'Requests/sec:\s+([\d.]+)', done.stdout)
    lab.ok(done.returncode == 0 and not errors and count and int(count.group(1)) > 0,
           'wrk, %s: no failed request' % what, done.stdout, done.stderr)
    lab.diag('wrk, %s: %s requests/s' % (what, rate.group(1) if rate else '?'))


def h2load(server, what, path, count):
    done = lab.sh(['h2load', '--h1', '-n', str(count), '-c', '100', '-t', '1', server.url + path],
                  check=False, timeout=120)
    line = re.search(r'requests: (\d+) total, .* (\d+) succeeded, (\d+) failed, (\d+) errored, '
                     r'(\d+) timeout', done.stdout)
    rate = re.search(r'([\d.]+) req/s', done.stdout)
    lab.ok(line and line.groups() == (str(count), str(count), '0', '0', '0'),
           'h2load, %s: no failed request' % what, done.stdout[-2000:], done.stderr)
    lab.diag('h2load, %s: %s requests/s' % (what, rate.group(1) if rate else '?'))


def loads(server):
    few, many = int(2000 * lab.SCALE), int(20000 * lab.SCALE)
    with lab.step('ab'):
        ab(server, 'kept alive', ['-k'], '/small.bin', many)
        ab(server, 'a connection each', [], '/small.bin', many // 2)
        ab(server, 'kept alive, 300 kB', ['-k'], '/medium.bin', few)
        ab(server, 'HEAD', ['-k', '-i'], '/small.bin', few)
    with lab.step('wrk'):
        wrk(server, '100 connections, 1 kB', '/small.bin', 100)
        wrk(server, '200 connections, 300 kB', '/medium.bin', 200)
    with lab.step('h2load'):
        h2load(server, '1 kB', '/small.bin', many)
        h2load(server, '300 kB', '/medium.bin', few)


def main(world):
    rnd = random.Random(2)
    world.big = rnd.randbytes(8 << 20)
    lab.write_file(world.path('tree', 'small.bin'), rnd.randbytes(1024))
    lab.write_file(world.path('tree', 'medium.bin'), rnd.randbytes(300000))
    lab.write_file(world.path('tree', 'big.bin'), world.big)
    volume = world.pack(world.path('tree'))
    os.chdir(world.dir)  # slowhttptest writes where it stands
    server = world.serve(volume=volume)
    loads(server)
    server.settles(20, 'load generators: nothing is held afterwards')
    server.stop()
    server = world.serve(volume=volume, header_s=10, idle_s=10)
    attacks(world, server)
    server.stop()


if __name__ == '__main__':
    lab.run(main, tools=['slowhttptest', 'wrk', 'ab', 'h2load'])
