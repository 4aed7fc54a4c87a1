#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The same requests to nginx and to the server under test; every difference is a deliberate one.

matrix_cases.py holds the requests, and DIFFERENCES: what the server answers where it means to
differ, with the section that says why. An entry of DIFFERENCES that is no difference any more fails
too, so that the table stays true.
"""
import concurrent.futures
import os
import random
import re
import select
import socket
import time

import lab
import matrix_cases as cases

MTIME_S = 1600000000  # Sun, 13 Sep 2020 12:26:40 GMT
SILENCE_S = 0.25      # a connection on which nothing happens for so long is open
ANSWER_S = 8
HEADERS = ('content-length', 'content-range', 'accept-ranges', 'last-modified', 'content-type',
           'allow', 'location', 'transfer-encoding')


class Response:
    def __init__(self, status, headers, body, interim):
        self.status, self.headers, self.body, self.interim = status, headers, body, interim

    def view(self):
        """What is compared: of an error, its text is nobody's business."""
        h = self.headers
        view = {'status': self.status, 'interim': self.interim}
        if self.status < 400:
            view.update({k: h[k] for k in HEADERS if k in h})
            view['body'] = self.body
            view['etag'] = 'etag' in h
            if view.get('content-type', '').startswith('multipart/byteranges'):
                view.update(unwrap(h['content-type'], self.body))
                view.pop('content-length', None)
        elif 'content-range' in h:
            view['content-range'] = h['content-range']
        return view


def unwrap(content_type, body):
    """A multipart body without its boundary, which is the server's own choice."""
    mark = b'--' + content_type.partition('boundary=')[2].strip('"').encode()
    parts = []
    for part in (b'\r\n' + body).split(b'\r\n' + mark)[1:-1]:
        head, _, content = part[2:].partition(b'\r\n\r\n')
        fields = sorted(line.lower() for line in head.split(b'\r\n'))
        parts.append((fields, content))
    closed = body.rstrip(b'\r\n').endswith(mark + b'--')
    return {'content-type': 'multipart/byteranges', 'body': parts, 'closed well': closed}


def parse_head(data):
    lines = data.decode('latin-1').split('\r\n')
    status = re.fullmatch(r'HTTP/1\.1 (\d{3})(?: .*)?', lines[0])
    if not status:
        raise ValueError('status line %r' % lines[0])
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(':')
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~\w-]+", name):
            raise ValueError('field line %r' % line)
        if name.lower() in headers:
            raise ValueError('field %r twice' % name)
        headers[name.lower()] = value.strip()
    return int(status.group(1)), headers


class Reader:
    def __init__(self, sock):
        self.sock, self.data, self.ended = sock, b'', None

    def more(self, timeout_s):
        """Reads on. False when nothing came or the connection has ended."""
        if self.ended or not select.select([self.sock], [], [], timeout_s)[0]:
            return False
        try:
            got = self.sock.recv(1 << 16)
        except ConnectionError:
            self.ended = 'reset'
            return False
        if not got:
            self.ended = 'closed'
        self.data += got
        return bool(got)

    def head(self):
        while b'\r\n\r\n' not in self.data:
            if not self.more(ANSWER_S):
                return None, {}
        head, _, self.data = self.data.partition(b'\r\n\r\n')
        return parse_head(head)

    def response(self, method):
        """The next final response, with the statuses of the interim ones before it."""
        interim = []
        status, headers = self.head()
        while status and status < 200:
            interim.append(status)
            status, headers = self.head()
        if not status:
            return None
        if status in (204, 304) or method == 'HEAD':
            return Response(status, headers, b'', interim)
        if 'content-length' not in headers:
            while self.more(ANSWER_S):
                pass
            body, self.data = self.data, b''
            return Response(status, headers, body, interim)
        length = int(headers['content-length'])
        while len(self.data) < length and self.more(ANSWER_S):
            pass
        body, self.data = self.data[:length], self.data[length:]
        if len(body) < length:
            raise ValueError('body ends after %d of %d bytes' % (len(body), length))
        return Response(status, headers, body, interim)


def ask(server, case, etag):
    """One case against one server: what was answered, and whether the connection stayed open."""
    try:
        with lab.connect(server) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i, piece in enumerate(case.pieces):
                if i:
                    time.sleep(0.05)
                try:
                    sock.sendall(piece.replace(b'{etag}', etag))
                except ConnectionError:
                    break
            reader, got = Reader(sock), []
            for method in case.methods:
                r = reader.response(method)
                if r is None:
                    break
                got.append(r)
            while reader.more(SILENCE_S):
                pass
            then = 'closed' if reader.ended else 'open'
            return {'responses': got, 'then': then, 'rest': reader.data}
    except (OSError, ValueError) as e:
        return {'responses': [], 'then': 'error: %s' % e, 'rest': b''}


def shorten(value):
    text = repr(value)
    return text if len(text) < 300 else text[:300] + '... (%d)' % len(text)


def differences(a, b):
    """Field by field: {name: (of a, of b)}. Names of the second response on begin with '2: '.

    Whether a connection survives an error is each server's own choice (RFC 9112 9.3).
    """
    out = {}
    if len(a['responses']) != len(b['responses']):
        return {'responses': tuple([r.status for r in x['responses']] for x in (a, b))}
    if a['rest'] != b['rest']:
        out['rest'] = (a['rest'], b['rest'])
    for i, (ra, rb) in enumerate(zip(a['responses'], b['responses'])):
        va, vb = ra.view(), rb.view()
        for k in sorted(va.keys() | vb.keys()) if va['status'] == vb['status'] else ['status']:
            if va.get(k) != vb.get(k):
                out[('%d: ' % (i + 1) if i else '') + k] = (va.get(k), vb.get(k))
    if a['then'] != b['then'] and all(r.status < 400 for x in (a, b) for r in x['responses']):
        out['then'] = (a['then'], b['then'])
    return out


def sane(result, planned):
    """What holds for every response whatever it answers. A list of complaints."""
    wrong = []
    if result['then'].startswith('error'):
        wrong.append(result['then'])
    for r in result['responses']:
        h = r.headers
        if r.status >= 200 and 'date' not in h:
            wrong.append('%d without Date (RFC 9110 6.6.1)' % r.status)
        if r.status in (206,) and 'content-range' not in h and \
                'multipart' not in h.get('content-type', ''):
            wrong.append('206 without Content-Range (RFC 9110 15.3.7)')
        if r.status == 405 and 'allow' not in h:
            wrong.append('405 without Allow (RFC 9110 15.5.6)')
        if r.status == 204 and 'content-length' in h:
            wrong.append('204 with Content-Length (RFC 9110 8.6)')
        if 'transfer-encoding' in h and 'content-length' in h:
            wrong.append('both framings (RFC 9112 6.2)')
    if result['responses']:
        if result['responses'][-1].status == 400 and result['then'] != 'closed':
            wrong.append('what follows a 400 cannot be understood (RFC 9112 9.3)')
        closes = 'close' in result['responses'][-1].headers.get('connection', '').lower()
        if closes != (result['then'] == 'closed') and not planned.pop('closes unannounced', False):
            wrong.append('Connection says close: %s, and it is %s (RFC 9112 9.6)'
                         % (closes, result['then']))
    return wrong


def judge(case, ours, reference):
    planned = dict(cases.DIFFERENCES.get(case.name, ({}, ''))[0]) if not lab.STAND_IN else {}
    wrong = sane(ours, planned) if not lab.STAND_IN else []
    found = differences(reference, ours)
    for field, (theirs, mine) in found.items():
        if field not in planned:
            wrong.append('%s: nginx %s, here %s' % (field, shorten(theirs), shorten(mine)))
        elif planned[field] is not cases.ANY and mine != planned[field]:
            wrong.append('%s: meant to be %s, is %s' % (field, shorten(planned[field]),
                                                        shorten(mine)))
    wrong += ['%s: no longer differs' % f for f in planned if f not in found]
    lab.ok(not wrong, case.name, *wrong,
           'request: %s' % shorten(b' / '.join(case.pieces)),
           'headers here: %s' % [r.headers for r in ours['responses']])


def make_tree(world):
    rnd = random.Random(9110)
    files = {'index.html': b'<!doctype html><title>root</title>\n', 'a.txt': b'0123456789' * 10,
             'big.bin': rnd.randbytes(300000), 'empty.txt': b'', 'one.txt': b'x',
             'video/seg 1.ts': rnd.randbytes(70000), 'video/list.m3u8': b'#EXTM3U\n',
             'video/seg.m4s': rnd.randbytes(5000), 'video/movie.mp4': rnd.randbytes(9000),
             'sub/index.html': b'<p>sub\n', 'sub/deep/x.json': b'{}', 'sub/noext': b'plain',
             'sub/a+b.txt': b'plus', 'sub/100%.txt': b'percent', 'sub/q?.txt': b'question',
             'sub/h#.txt': b'hash', 'sub/\u00e4.txt': b'umlaut', 'sub/.hidden': b'dot',
             'sub/~t.txt': b'tilde', 'sub/UP.TXT': b'upper', 'no-index/file.txt': b'f',
             'pic.png': b'\x89PNG\r\n', 'app.js': b'1;\n', 'style.css': b'a{}\n'}
    for name, content in files.items():
        path = lab.write_file(world.path('tree', name), content)
        os.utime(path, (MTIME_S, MTIME_S))
    return world.path('tree')


def main(world):
    tree = make_tree(world)
    server = world.serve(volume=world.pack(tree))
    reference = lab.Nginx(world, tree, name='reference')
    etags = [lab.get(s, '/a.txt')[1].get('etag', '').encode() for s in (server, reference)]
    all_cases = cases.make()
    names = [c.name for c in all_cases]
    lab.ok(len(names) == len(set(names)) and len(names) >= 120, '%d cases, all named' % len(names))
    unknown = set(cases.DIFFERENCES) - set(names)
    lab.ok(not unknown, 'every planned difference is about a case', unknown)
    with lab.step('%d cases' % len(names)), concurrent.futures.ThreadPoolExecutor(24) as pool:
        ours = [pool.submit(ask, server, c, etags[0]) for c in all_cases]
        theirs = [pool.submit(ask, reference, c, etags[1]) for c in all_cases]
        for case, a, b in zip(all_cases, ours, theirs):
            judge(case, a.result(), b.result())
    if not lab.STAND_IN:
        diag = ['%s: %s' % (n, why) for n, (_, why) in cases.DIFFERENCES.items()]
        lab.diag('%d deliberate differences:' % len(diag), *diag)
    lab.ok(server.alive() and server.healthy(), 'the server is well')
    server.settles(30, 'nothing is held afterwards')
    server.stop()


if __name__ == '__main__':
    lab.run(main, tools=['nginx'])
