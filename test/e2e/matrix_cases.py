# SPDX-License-Identifier: BSD-2-Clause
"""The requests of matrix.py, and the table of deliberate differences from nginx."""
ANY = object()  # a difference whose value is not pinned
TEXT = 'text/plain; charset=utf-8'
DATE = 'Sun, 13 Sep 2020 12:26:40 GMT'
EARLIER = 'Sun, 13 Sep 2020 12:26:39 GMT'
LATER = 'Mon, 14 Sep 2020 12:26:40 GMT'


class Case:
    """name; the bytes to send, in pieces with a pause between them; a method per response."""

    def __init__(self, name, pieces, methods):
        self.name, self.methods = name, methods
        self.pieces = [p.encode('latin-1') if isinstance(p, str) else p for p in pieces]


def request(method, target, fields=(), version='HTTP/1.1', host=True):
    lines = ['%s %s %s' % (method, target, version)]
    lines += (['Host: e2e'] if host else []) + list(fields)
    return '\r\n'.join(lines) + '\r\n\r\n'


def one(name, method, target, *fields, **more):
    return Case(name, [request(method, target, fields, **more)], [method])


def raw(name, text, methods=('GET',)):
    return Case(name, [text], list(methods))


def paths():
    good = {'root': '/', 'file': '/a.txt', 'index by name': '/index.html', 'sub index': '/sub/',
            'query': '/a.txt?x=1&y=%zz', 'empty query': '/a.txt?', 'missing': '/nope.txt',
            'missing below a file': '/a.txt/x', 'slash behind a file': '/a.txt/',
            'no index': '/no-index/', 'empty file': '/empty.txt', 'one byte': '/one.txt',
            'big': '/big.bin', 'playlist': '/video/list.m3u8', 'segment': '/video/seg.m4s',
            'mp4': '/video/movie.mp4', 'json': '/sub/deep/x.json', 'no extension': '/sub/noext',
            'png': '/pic.png', 'js': '/app.js', 'css': '/style.css', 'hidden': '/sub/.hidden',
            'tilde': '/sub/~t.txt', 'upper case': '/sub/UP.TXT', 'other case': '/A.TXT'}
    coded = {'space': '/video/seg%201.ts', 'letter': '/%61.txt', 'lower hex': '/sub/%c3%a4.txt',
             'upper hex': '/sub/%C3%A4.txt', 'raw utf-8': '/sub/\xc3\xa4.txt',
             'plus': '/sub/a+b.txt', 'coded plus': '/sub/a%2Bb.txt', 'percent': '/sub/100%25.txt',
             'hash': '/sub/h%23.txt',
             'question': '/sub/q%3F.txt', 'twice': '/%2561.txt', 'slash': '/sub%2Fdeep%2Fx.json',
             'dot': '/sub/%2e/deep/x.json', 'dots': '/sub/%2e%2e/a.txt', 'nul': '/a.txt%00',
             'bad escape': '/a%zz.txt', 'cut escape': '/a.txt%4',
             'overlong slash': '/sub%c0%afnoext',
             'coded climb': '/%2e%2e/%2e%2e/etc/passwd', 'backslash': '/sub\\noext'}
    dots = {'dot': '/./a.txt', 'dots': '/sub/../a.txt', 'dots deep': '/sub/deep/../../a.txt',
            'double slash': '//a.txt', 'slashes inside': '/sub///deep//x.json',
            'climb': '/../a.txt', 'climb far': '/sub/../../../etc/passwd', 'trailing dot': '/sub/.',
            'trailing dots': '/sub/deep/..', 'three dots': '/.../a.txt',
            'dots in a name': '/a..txt'}
    return ([one('path: ' + k, 'GET', v) for k, v in good.items()]
            + [one('coded: ' + k, 'GET', v) for k, v in coded.items()]
            + [one('dots: ' + k, 'GET', v) for k, v in dots.items()])


def ranges():
    kinds = {'first byte': '0-0', 'first ten': '0-9', 'middle': '40-59', 'last by number': '99-99',
             'open': '50-', 'all': '0-', 'suffix': '-10', 'suffix of all': '-100',
             'suffix too long': '-1000', 'suffix zero': '-0', 'end beyond': '90-1000',
             'start at end': '100-', 'start beyond': '1000-2000', 'huge': '0-18446744073709551615',
             'huge start': '18446744073709551615-', 'overflow': '0-99999999999999999999999',
             'overflowing start': '99999999999999999999999-', 'two': '0-9,20-29',
             'two with space': '0-9, 20-29', 'three': '0-0,50-50,-1',
             'two, one beyond': '0-9,200-300',
             'all beyond': '200-300,400-500', 'overlap': '0-19,10-29', 'touching': '0-9,10-19',
             'backward order': '50-59,0-9', 'same twice': '0-9,0-9', 'reversed': '9-0',
             'letters': 'a-b', 'negative': '-5-10', 'empty': '', 'only dash': '-', 'space': ' 0-9',
             'space in': '0 - 9', 'comma first': ',0-9', 'comma last': '0-9,',
             'sum too much': '0-99,0-99', 'zeros in front': '0000-0009'}
    out = [one('range: ' + k, 'GET', '/a.txt', 'Range: bytes=' + v) for k, v in kinds.items()]
    more = {'other unit': 'lines=0-9', 'no unit': '0-9', 'unit in capitals': 'BYTES=0-9',
            'no equals': 'bytes 0-9', 'unit only': 'bytes'}
    out += [one('range: ' + k, 'GET', '/a.txt', 'Range: ' + v) for k, v in more.items()]
    many = ','.join('%d-%d' % (i, i) for i in range(0, 98, 2))
    out += [one('range: of an empty file', 'GET', '/empty.txt', 'Range: bytes=0-'),
            one('range: suffix of an empty file', 'GET', '/empty.txt', 'Range: bytes=-5'),
            one('range: one byte of one', 'GET', '/one.txt', 'Range: bytes=0-0'),
            one('range: across frames', 'GET', '/big.bin', 'Range: bytes=61000-200000'),
            one('range: two large', 'GET', '/big.bin', 'Range: bytes=1-70000,150000-299998'),
            one('range: of nothing', 'GET', '/nope', 'Range: bytes=0-9'),
            one('range: many', 'GET', '/a.txt', 'Range: bytes=' + many),
            one('range: with HEAD', 'HEAD', '/a.txt', 'Range: bytes=0-9'),
            one('range: twice', 'GET', '/a.txt', 'Range: bytes=0-9', 'Range: bytes=20-29')]
    return out


def conditionals():
    ims, inm, ius, im = ('If-Modified-Since: ', 'If-None-Match: ', 'If-Unmodified-Since: ',
                         'If-Match: ')
    table = {'modified since, equal': [ims + DATE], 'modified since, earlier': [ims + EARLIER],
             'modified since, later': [ims + LATER],
             'modified since, nonsense': [ims + 'yesterday'],
             'modified since, rfc 850': [ims + 'Sunday, 13-Sep-20 12:26:40 GMT'],
             'modified since, asctime': [ims + 'Sun Sep 13 12:26:40 2020'],
             'none match, same': [inm + '{etag}'], 'none match, weak': [inm + 'W/{etag}'],
             'none match, other': [inm + '"other"'], 'none match, star': [inm + '*'],
             'none match, list': [inm + '"a", {etag}, "b"'],
             'none match beats date': [inm + '"other"', ims + DATE],
             'none match and date': [inm + '{etag}', ims + EARLIER],
             'unmodified, equal': [ius + DATE], 'unmodified, earlier': [ius + EARLIER],
             'unmodified, later': [ius + LATER], 'match, same': [im + '{etag}'],
             'match, other': [im + '"other"'], 'match, star': [im + '*'],
             'match, list': [im + '"a", {etag}'], 'match, weak': [im + 'W/{etag}'],
             'match and unmodified': [im + '{etag}', ius + EARLIER]}
    out = [one('if: ' + k, 'GET', '/a.txt', *v) for k, v in table.items()]
    part, ifr = 'Range: bytes=0-9', 'If-Range: '
    table = {'date': [part, ifr + DATE], 'earlier date': [part, ifr + EARLIER],
             'later date': [part, ifr + LATER], 'etag': [part, ifr + '{etag}'],
             'other etag': [part, ifr + '"other"'], 'weak etag': [part, ifr + 'W/{etag}'],
             'nonsense': [part, ifr + 'x'], 'without range': [ifr + '"other"'],
             'and none match': [part, inm + '{etag}'], 'and match': [part, im + '"other"'],
             'and unmodified': [part, ius + EARLIER],
             'beyond the end': ['Range: bytes=500-', ifr + '"other"']}
    out += [one('if-range: ' + k, 'GET', '/a.txt', *v) for k, v in table.items()]
    out += [one('if: HEAD none match', 'HEAD', '/a.txt', inm + '{etag}'),
            one('if: missing file', 'GET', '/nope', im + '*'),
            one('if: missing file, none match', 'GET', '/nope', inm + '*')]
    return out


def methods():
    out = [one('method: HEAD', 'HEAD', '/a.txt'), one('method: HEAD big', 'HEAD', '/big.bin'),
           one('method: HEAD missing', 'HEAD', '/nope'), one('method: HEAD index', 'HEAD', '/'),
           one('method: OPTIONS', 'OPTIONS', '/a.txt'), one('method: OPTIONS star', 'OPTIONS', '*'),
           one('method: GET star', 'GET', '*'), one('method: unknown', 'BREW', '/a.txt'),
           one('method: lower case', 'get', '/a.txt'), one('method: TRACE', 'TRACE', '/a.txt'),
           one('method: CONNECT', 'CONNECT', 'e2e:80'),
           one('method: PATCH', 'PATCH', '/a.txt', 'Content-Length: 0'),
           one('method: DELETE', 'DELETE', '/a.txt'),
           one('method: long', 'A' * 200, '/a.txt')]
    body = 'x' * 10
    chunked = 'Transfer-Encoding: chunked'
    for method in ('POST', 'PUT', 'GET'):
        out.append(raw('body: %s with length, then another' % method,
                       request(method, '/a.txt', ['Content-Length: 10']) + body
                       + request('GET', '/one.txt'), (method, 'GET')))
        out.append(raw('body: %s chunked, then another' % method,
                       request(method, '/a.txt', [chunked]) + 'a\r\n' + body + '\r\n0\r\n\r\n'
                       + request('GET', '/one.txt'), (method, 'GET')))
    bad = {'length not a number': ['Content-Length: ten'],
           'length negative': ['Content-Length: -1'],
           'length twice': ['Content-Length: 0', 'Content-Length: 0'],
           'lengths differ': ['Content-Length: 0', 'Content-Length: 1'],
           'length and chunked': ['Content-Length: 5', chunked],
           'coding unknown': ['Transfer-Encoding: gzip'],
           'chunked not last': ['Transfer-Encoding: chunked, gzip'],
           'length too large': ['Content-Length: 99999999999']}
    out += [one('body: ' + k, 'POST', '/a.txt', *v) for k, v in bad.items()]
    out += [raw('body: bad chunk size', request('GET', '/a.txt', [chunked]) + 'zz\r\n'),
            Case('expect: continue', [request('GET', '/a.txt', ['Expect: 100-continue',
                                                               'Content-Length: 10']), body],
                 ['GET']),
            one('expect: no body', 'GET', '/a.txt', 'Expect: 100-continue'),
            one('expect: something else', 'GET', '/a.txt', 'Expect: tea'),
            one('expect: 1.0', 'GET', '/a.txt', 'Expect: 100-continue', version='HTTP/1.0')]
    return out


def connections():
    again = request('GET', '/one.txt')
    get_a = request('GET', '/a.txt')
    out = [one('1.0: plain', 'GET', '/a.txt', version='HTTP/1.0'),
           one('1.0: no host', 'GET', '/a.txt', version='HTTP/1.0', host=False),
           one('1.0: keep-alive', 'GET', '/a.txt', 'Connection: keep-alive', version='HTTP/1.0'),
           one('1.0: range', 'GET', '/a.txt', 'Range: bytes=0-9', version='HTTP/1.0'),
           one('1.0: HEAD', 'HEAD', '/a.txt', version='HTTP/1.0'),
           one('1.1: close', 'GET', '/a.txt', 'Connection: close'),
           one('1.1: close in a list', 'GET', '/a.txt', 'Connection: x, Close'),
           one('1.1: close with 304', 'GET', '/a.txt', 'Connection: close', 'If-None-Match: *'),
           raw('1.1: two in turn', get_a + again, 'GET GET'.split()),
           raw('pipeline: ten', get_a * 10, ['GET'] * 10),
           raw('pipeline: HEAD and GET', request('HEAD', '/a.txt') + get_a + request('HEAD', '/')
               + again, ['HEAD', 'GET', 'HEAD', 'GET']),
           raw('pipeline: missing between', get_a + request('GET', '/nope') + again, ['GET'] * 3),
           raw('pipeline: 304 and 206 between', get_a
               + request('GET', '/a.txt', ['If-Modified-Since: ' + DATE])
               + request('GET', '/a.txt', ['Range: bytes=5-6']) + again, ['GET'] * 4),
           raw('pipeline: close in the middle', get_a
               + request('GET', '/a.txt', ['Connection: close']) + again, ['GET'] * 3),
           raw('pipeline: bad in the middle', get_a + 'BAD\r\n\r\n' + again, ['GET'] * 3),
           raw('pipeline: large then small', request('GET', '/big.bin') + again, ['GET'] * 2),
           Case('slow: byte by byte', [c for c in 'GET /one.txt HTTP/1.1\r\nHost: e\r\n\r\n'],
                ['GET']),
           Case('slow: between CR and LF', [get_a[:-1], get_a[-1:]], ['GET']),
           Case('slow: next request cut', [get_a + again[:7], again[7:]], ['GET', 'GET']),
           raw('empty line first', '\r\n' + get_a)]
    return out


def malformed():
    line = 'GET /a.txt HTTP/1.1\r\n'
    host = 'Host: e2e\r\n'
    table = {
        'no host': line + '\r\n', 'host twice': line + host + host + '\r\n',
        'host empty': line + 'Host:\r\n\r\n', 'host with slash': line + 'Host: a/b\r\n\r\n',
        'no version': 'GET /a.txt\r\n' + host + '\r\n', '0.9': 'GET /a.txt\r\n',
        'version 2.0': 'GET /a.txt HTTP/2.0\r\n' + host + '\r\n',
        'version 1.2': 'GET /a.txt HTTP/1.2\r\n' + host + '\r\n',
        'version 0.9': 'GET /a.txt HTTP/0.9\r\n' + host + '\r\n',
        'version words': 'GET /a.txt HTTP/one\r\n' + host + '\r\n',
        'version in small letters': 'GET /a.txt http/1.1\r\n' + host + '\r\n',
        'other protocol': 'GET /a.txt FTP/1.1\r\n' + host + '\r\n',
        'two spaces': 'GET  /a.txt HTTP/1.1\r\n' + host + '\r\n',
        'space in target': 'GET /a b.txt HTTP/1.1\r\n' + host + '\r\n',
        'space at end': 'GET /a.txt HTTP/1.1 \r\n' + host + '\r\n',
        'no slash': 'GET a.txt HTTP/1.1\r\n' + host + '\r\n',
        'absolute': 'GET http://other/a.txt HTTP/1.1\r\n' + host + '\r\n',
        'absolute, port': 'GET http://other:8080/a.txt HTTP/1.1\r\n' + host + '\r\n',
        'absolute, no path': 'GET http://other HTTP/1.1\r\n' + host + '\r\n',
        'fragment': 'GET /a.txt#x HTTP/1.1\r\n' + host + '\r\n',
        'control in target': 'GET /a\x01.txt HTTP/1.1\r\n' + host + '\r\n',
        'nul in target': 'GET /a\0.txt HTTP/1.1\r\n' + host + '\r\n',
        'only LF': 'GET /a.txt HTTP/1.1\nHost: e2e\n\n',
        'CR in value': line + host + 'X: a\rb\r\n\r\n',
        'nul in value': line + host + 'X: a\0b\r\n\r\n',
        'control in value': line + host + 'X: a\x01b\r\n\r\n',
        'high bytes in value': line + host + 'X: \xff\xfe\r\n\r\n',
        'tab before value': line + host + 'X:\tv\r\n\r\n',
        'space before colon': line + host + 'X : v\r\n\r\n',
        'space in name': line + host + 'X Y: v\r\n\r\n',
        'no colon': line + host + 'nonsense\r\n\r\n',
        'no name': line + host + ': v\r\n\r\n',
        'folded': line + host + 'X: a\r\n b\r\n\r\n',
        'folded first': line + ' X: a\r\n' + host + '\r\n',
        'binary': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + '\0' * 40 + '\r\n\r\n',
        'http/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    }
    out = [raw('bad: ' + k, v) for k, v in table.items()]
    sizes = {'target of 2000': request('GET', '/a.txt?' + 'q' * 2000),
             'target of 7000': request('GET', '/a.txt?' + 'q' * 7000),
             'target of 20000': request('GET', '/a.txt?' + 'q' * 20000),
             'path of 4000': request('GET', '/' + 'p' * 4000),
             'name of 300': request('GET', '/sub/' + 'n' * 300),
             '90 fields': request('GET', '/a.txt', ['X-%d: v' % i for i in range(90)]),
             '1000 fields': request('GET', '/a.txt', ['X-%d: v' % i for i in range(1000)]),
             'field of 7000': request('GET', '/a.txt', ['Cookie: ' + 'c' * 7000]),
             'field of 40000': request('GET', '/a.txt', ['Cookie: ' + 'c' * 40000]),
             'fields of 24000': request('GET', '/a.txt', ['X-%d: %s' % (i, 'v' * 1000)
                                                         for i in range(24)])}
    return out + [raw('size: ' + k, v) for k, v in sizes.items()]


def make():
    return paths() + ranges() + conditionals() + methods() + connections() + malformed()


# Why; what the server answers; the cases. Of an answer with another status only the status is
# compared, the rest follows from it. 'responses' is the list of statuses where nginx answers with
# another number of them. A part's name begins with '2: ' when it is of the second response.
TABLE = [
    ('RFC 9112 2.2: a lone LF may be taken for a line end; two readings of one request smuggle',
     {'status': 400}, 'bad: only LF'),
    ('RFC 9110 5.5: control bytes in a field value are invalid', {'status': 400},
     'bad: control in value'),
    ('RFC 9112 3: exactly one space between the words of a request line', {'status': 400},
     'bad: two spaces', 'bad: space at end'),
    ('RFC 9112 3: HTTP/0.9 is gone', {'responses': [400]}, 'bad: no version', 'bad: 0.9'),
    ('RFC 9112 5: a field line without a colon is none', {'status': 400}, 'bad: no colon'),
    ('RFC 9112 3.2: a fragment is no part of a target', {'status': 400}, 'bad: fragment'),
    ('RFC 9110 15.6.6: a version that is not supported', {'status': 505}, 'bad: version 0.9',
     'bad: http/2 preface'),
    ('RFC 9110 9.1: a method that is not known', {'status': 501}, 'method: unknown',
     'method: lower case', 'method: long'),
    ('RFC 9110 10.1.1: an expectation that cannot be met', {'status': 417},
     'expect: something else'),
    ('RFC 9110 10.1.1: no 100 where no body is announced', {'interim': []}, 'expect: no body'),
    ('RFC 9110 9.3.7: OPTIONS tells what is possible', {'status': 204}, 'method: OPTIONS',
     'method: OPTIONS star'),
    ('RFC 9110 15.5.6: known, and not allowed', {'status': 405}, 'method: CONNECT'),
    ('RFC 6585 5: the head is too large', {'status': 431}, 'size: 1000 fields',
     'size: field of 40000', 'size: fields of 24000'),
    ('RFC 9112 6.3: chunked, but not last: the length is unknowable', {'status': 400},
     'body: chunked not last'),
    ('RFC 9110 14.2: Range is defined for GET', {'status': 200}, 'range: with HEAD'),
    ('RFC 9110 14.2: a Range that is not understood counts as absent', {'status': 200},
     'range: letters', 'range: negative', 'range: only dash', 'range: reversed', 'range: space in'),
    ('RFC 9110 5.3: a Range that comes twice has no meaning', {'status': 200}, 'range: twice'),
    ('RFC 9110 14.1.2: a last position beyond the end is the end', {'status': 206}, 'range: huge',
     'range: overflow'),
    ('RFC 9110 5.6.1.2: empty elements of a list are skipped', {'status': 206},
     'range: comma first', 'range: comma last'),
    ('RFC 9110 15.3.7.2: ranges that touch or overlap are joined',
     {'content-type': TEXT, 'content-length': '30', 'content-range': 'bytes 0-29/100',
      'body': ANY, 'closed well': ANY}, 'range: overlap'),
    ('RFC 9110 15.3.7.2: ranges that touch or overlap are joined',
     {'content-type': TEXT, 'content-length': '20', 'content-range': 'bytes 0-19/100',
      'body': b'0123456789' * 2, 'closed well': ANY}, 'range: touching'),
    ('RFC 9110 15.3.7.2: ranges that touch or overlap are joined',
     {'content-type': TEXT, 'content-length': '10', 'content-range': 'bytes 0-9/100',
      'body': b'0123456789', 'closed well': ANY}, 'range: same twice'),
    ('RFC 9110 17.15: very many ranges are an attack', {'status': 200}, 'range: many'),
    ('RFC 9110 13.1.3: not modified since a later date either', {'status': 304},
     'if: modified since, later'),
    ('RFC 9110 13.1.3: the date is ignored where there is If-None-Match', {'status': 304},
     'if: none match and date'),
    ('RFC 9110 13.1.4: the date is ignored where there is If-Match', {'status': 200},
     'if: match and unmodified'),
    ('RFC 9112 9.6 (a SHOULD): the answer was under way when the body turned out to be broken',
     {'status': 200, 'closes unannounced': True}, 'body: bad chunk size'),
    ('RFC 9110 15.4.5: a 304 with ETag needs no Last-Modified', {'last-modified': None},
     'if: modified since, equal', 'if: modified since, rfc 850', 'if: modified since, asctime',
     'if: none match, same', 'if: none match, weak', 'if: none match, star',
     'if: none match, list', 'if-range: and none match', 'if: HEAD none match',
     '1.1: close with 304'),
    ('RFC 9110 15.4.5: a 304 with ETag needs no Last-Modified', {'2: last-modified': None},
     'pipeline: 304 and 206 between'),
    ('RFC 9110 15.5.4: a server may say 404 for what it will not show', {'status': 404},
     'path: no index'),
]
DIFFERENCES = {name: (fields, why) for why, fields, *names in TABLE for name in names}
