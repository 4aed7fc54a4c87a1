#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""stormload measures Atlas, nginx and servers that misbehave, by the kernel's TCP and by ours."""
import hashlib
import json
import os
import random
import socket
import threading
import urllib.parse

import lab

SEED = 1
FILES = 40
TAP, HOST, CLIENTS, BITS = 'storm0', '10.9.0.1', '10.9.1.1-10.9.1.50', '/16'
SECONDS = '0.7'
HEAD = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'


def make_tree(folder):
    """Files of all sizes; returns (paths, manifest's lines)."""
    rnd = random.Random(SEED)
    paths, lines = [], []
    for i in range(FILES):
        name = 'dir %d/file%d.bin' % (i % 3, i)
        body = rnd.randbytes(int(1000000 ** rnd.random()) - (i == 0))
        lab.write_file(os.path.join(folder, name), body)
        paths.append('/' + urllib.parse.quote(name))
        lines.append('%s  ./%s' % (hashlib.sha256(body).hexdigest(), name))
    return paths, lines


def storm(*args, timeout_s=60):
    """(exit status, the JSON report or None, what went to standard error)"""
    done = lab.sh([os.environ['STORMLOAD'], '--json', '-', *map(str, args)], check=False,
                  timeout=timeout_s)
    sane = [m for m in lab.SANITIZER_MARKS if m in done.stderr]
    if sane:
        raise RuntimeError('stormload: ' + done.stderr)
    return (done.returncode, json.loads(done.stdout) if done.stdout.startswith('{') else None,
            done.stderr)


def causes(report):
    return {k: n for k, n in report['errors'].items() if n}


def ok_run(name, got, least=1, **want):
    """The run was good, with at least so many responses and exactly these members."""
    status, report, err = got
    wrong = {k: report.get(k) for k, v in want.items() if report.get(k) != v} if report else err
    return lab.ok(status == 0 and not wrong and not causes(report)
                  and report['responses'] >= least, name, status, report, err)


def failed_run(name, got, cause, count=None):
    """The run failed for this one cause."""
    status, report, err = got
    found = causes(report) if report else None
    return lab.ok(status == 1 and found and list(found) == [cause]
                  and (count is None or found[cause] == count), name, status, report, err)


def sane_figures(name, report):
    q = [report['response_us'][k] for k in ('p50', 'p90', 'p99', 'p99.9', 'p99.99', 'max')]
    rate = report['responses'] / report['seconds']
    lab.ok(q == sorted(q) and 0 < q[0] and report['response_us']['mean'] <= q[-1]
           and abs(rate - report['responses_per_s']) <= 0.01 * rate
           and report['response_us']['count'] == report['responses']
           and report['open'] == report['connections'], name, report)


class Misbehaving:
    """Answers each connection's requests with the bytes given; then closes it, or stays silent."""

    def __init__(self, answer, close=True, slices=1):
        self.answer, self.close, self.slices = answer, close, slices
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.url = 'http://127.0.0.1:%d/' % self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(s,), daemon=True).start()

    def talk(self, s):
        with s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while s.recv(65536):
                    step = max(len(self.answer) // self.slices, 1)
                    for i in range(0, len(self.answer), step):
                        s.sendall(self.answer[i:i + step])
                    if self.close:
                        return
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def good_servers(files, way, url):
    """What must work with every server, by either TCP. files: Files; way: options."""
    got = storm(*way, '--connections', 20, '--duration', SECONDS, '--urls', files.urls,
                '--verify', files.manifest, url)
    if ok_run('bodies are right', got, FILES):
        lab.ok(got[1]['verified'] == got[1]['responses'], 'each body was checked', got[1])
        sane_figures('its figures agree with each other', got[1])
    ok_run('so many requests', storm(*way, '--connections', 7, '--requests', 500, '--urls',
                                     files.urls, '--seed', 3, url), 500, responses=500)
    got = storm(*way, '--connections', 20, '--requests', 1000, '--close', url + files.paths[0])
    ok_run('a connection for each request', got, 1000, connects=1000, responses=1000)
    got = storm(*way, '--connections', 200, '--idle', '--active', 3, '--duration', SECONDS,
                url + files.paths[0])
    ok_run('idle connections are held', got, 1, connects=200, open=200, idle_ended=0)
    failed_run('a wrong digest is found', storm(
        *way, '--connections', 4, '--requests', 2 * FILES, '--urls', files.urls, '--verify',
        files.corrupt, url), 'digest', 2)
    got = storm(*way, '--connections', 4, '--requests', 100, url + '/missing')
    if failed_run('404s are failures', got, 'status', 100):
        lab.ok(got[1]['status'] == {'404': 100}, 'the status is told', got[1])
    got = storm(*way, '--connections', 2, '--think', 50, '--duration', SECONDS,
                url + files.paths[0])
    ok_run('thinking clients', got, 10)
    lab.ok(got[1]['responses'] <= 2 * float(SECONDS) / 0.05 + 4, 'they think', got[1])
    got = storm(*way, '--connections', 20, '--rate', 40, '--duration', SECONDS,
                url + files.paths[0])
    ok_run('connections are opened at a rate', got)
    lab.ok(got[1]['connects'] <= 40 * float(SECONDS) + 4, 'no faster than that', got[1])


class Files:
    """A tree, its URLs, and manifests: the right one, and one with a wrong digest."""

    def __init__(self, world):
        self.tree = world.path('tree')
        self.paths, lines = make_tree(self.tree)
        self.urls, self.manifest, self.corrupt = (world.path(n) for n in ('urls', 'man', 'bad'))
        lab.write_file(self.urls, '\n'.join(self.paths).encode())
        lab.write_file(self.manifest, '\n'.join(lines).encode())
        lines[5] = ('0' if lines[5][0] != '0' else '1') + lines[5][1:]
        lab.write_file(self.corrupt, '\n'.join(lines).encode())


def misbehaving_servers():
    for name, answer, close, cause in (
            ('truncated', HEAD + b'hell', True, 'closed'),
            ('empty', b'', True, 'closed'),
            ('no HTTP', b'SSH-2.0-x\r\n', True, 'malformed'),
            ('more than was asked for', HEAD + b'hello!', False, 'malformed'),
            ('chunk without end', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe',
             True, 'closed'),
            ('silent', HEAD + b'hel', False, 'timeout')):
        with Misbehaving(answer, close) as server:
            failed_run('a response that is: ' + name,
                       storm('--requests', 2, '--timeout', '0.3', server.url), cause, 2)
    for name, answer, slices, body in (
            ('to the end of the connection', b'HTTP/1.0 200 OK\r\n\r\nhello', 1, 5),
            ('chunked, byte by byte', b'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: '
             b'chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n', 1000, 5),
            ('not modified', b'HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n', 1, 0)):
        with Misbehaving(answer, True, slices) as server:
            ok_run('a response that is: ' + name, storm('--requests', 3, server.url), 3,
                   body_bytes=3 * body)
    with Misbehaving(HEAD + b'hello', True) as server:
        ok_run('a server that closes kept-alive connections unasked',
               storm('--requests', 5, server.url), 5, responses=5)


def usage():
    for name, args, says in (
            ('no URL', [], 'URL is missing'),
            ('a URL that is none', ['https://a/'], 'http://'),
            ('no addresses', ['--port', 'tap:x', 'http://127.0.0.1/'], '--addr is missing'),
            ('a wrong number', ['--connections', '0', 'http://127.0.0.1/'], '--connections'),
            ('active without idle', ['--active', '1', 'http://127.0.0.1/'], '--idle'),
            ('no manifest', ['--verify', '/nonexistent', 'http://127.0.0.1/'], '/nonexistent')):
        status, _, err = storm(*args)
        lab.ok(status == 2 and says in err and err.count('\n') == 1, 'usage: ' + name, status, err)


def server_down(way, url):
    failed_run('a server that is down', storm(*way, '--connections', 2, '--requests', 4, url),
               'refused', 4)


def start_nginx(world, root):
    """nginx in the test's own namespace, on the kernel's side of stormload's TAP."""
    work = world.path('nginx.d')
    os.makedirs(work)
    server = lab.NGINX_PLAIN.format(addr='0.0.0.0', port=8080,
                                    what=lab.NGINX_FILES.format(root=root))
    conf = lab.write_file(os.path.join(work, 'nginx.conf'), lab.NGINX_CONF.format(
        dir=work, servers=server, timeouts='').encode())
    world.spawn(['nginx', '-p', work, '-e', 'stderr', '-c', conf])
    if not lab.wait_for(lambda: lab.port_answers('127.0.0.1', 8080), 10):
        raise RuntimeError('nginx does not answer')


def main(world):
    files = Files(world)
    usage()
    misbehaving_servers()
    server_down([], 'http://127.0.0.1:1/')
    lab.diag('--- atlas, the kernel\'s TCP')
    server = world.serve(root=files.tree)
    good_servers(files, ['--workers', 2], server.url)
    server.settles(15, 'nothing is held afterwards')
    server.stop()
    lab.diag('--- nginx, the kernel\'s TCP')
    start_nginx(world, files.tree)
    good_servers(files, [], 'http://127.0.0.1:8080')
    lab.diag('--- nginx, our own TCP')
    way = ['--port', 'tap:' + TAP, '--host-addr', HOST + BITS, '--addr', CLIENTS + BITS]
    good_servers(files, way, 'http://%s:8080' % HOST)
    server_down(way, 'http://%s:1/' % HOST)
    failed_run('a host that is not there', storm(*way, '--requests', 1, '--timeout', 1,
                                                 'http://10.9.0.77/'), 'connect_timeout', 1)
    failed_run('a host that cannot be reached', storm(*way, '--requests', 1, 'http://192.0.2.1/'),
               'unreachable', 1)


if __name__ == '__main__':
    if not os.access(os.environ.get('STORMLOAD', ''), os.X_OK):
        lab.skip_all('STORMLOAD does not name a program')
    lab.run(main, tools=['nginx'])
