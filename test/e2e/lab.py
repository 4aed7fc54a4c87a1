# SPDX-License-Identifier: BSD-2-Clause
"""The laboratory of the end-to-end tests: every test has a world of its own.

run(main) moves the test into fresh network, process and mount namespaces (unshare) before main
begins. What main starts dies with it, however it ends, and no interface, address or process of the
machine is touched. Inside, Lab starts servers; the test itself, being on the host's side of the
server's TAP, is the client.

A test prints TAP: ok() for each thing asserted, diag() for what is worth knowing. Without root,
/dev/net/tun, namespaces or a tool that it needs, a test says so and skips itself.

ATLAS names the program under test. E2E_SERVER=nginx puts nginx, at the far end of a veth, in its
place: a test that fails against both is probably wrong itself. E2E_KEEP=1 keeps the test's folder.
E2E_SCALE (1 by default) makes the long tests shorter, for builds with sanitizers.
"""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request

NET = '10.0.7.'
SERVER, HOST, BITS = NET + '2', NET + '1', '/24'
PORT, TLS_PORT = 80, 443
ADMIN_PORT = 9100
TAP = 'atlas0'
READY_TIMEOUT_S = 30
STOP_TIMEOUT_S = 30
LOG_TAIL_LINES = 40
SANITIZER_MARKS = ('AddressSanitizer', 'LeakSanitizer', 'runtime error:', 'ThreadSanitizer')
METRIC = re.compile(r'^(\w+)(?:\{([^}]*)\})? ([-+.\deE]+)$', re.M)
SCALE = float(os.environ.get('E2E_SCALE', '1'))
STAND_IN = os.environ.get('E2E_SERVER', 'atlas') == 'nginx'

# --- TAP ---------------------------------------------------------------------------------------

_count = 0
_failed = 0


def diag(*lines):
    for line in lines:
        for part in str(line).splitlines():
            print('#', part, flush=True)


def ok(good, name, *details):
    """One assertion. The details are printed when it fails. Says whether it holds."""
    global _count, _failed
    _count += 1
    print('%s %d - %s' % ('ok' if good else 'not ok', _count, name), flush=True)
    if not good:
        _failed += 1
        diag(*details)
    return bool(good)


def skip(name, why):
    global _count
    _count += 1
    print('ok %d - %s # SKIP %s' % (_count, name, why), flush=True)


def skip_all(why):
    print('1..0 # SKIP', why, flush=True)
    sys.exit(0)


@contextlib.contextmanager
def step(name):
    """Says how long a part of the test took."""
    began = time.monotonic()
    yield
    diag('%s: %.1f s' % (name, time.monotonic() - began))


# --- running a test ----------------------------------------------------------------------------


def run(main, tools=()):
    if os.geteuid() != 0:
        skip_all('needs root')
    if not os.path.exists('/dev/net/tun'):
        skip_all('needs /dev/net/tun')
    for tool in ('ip', 'unshare', 'nsenter', *(('nginx',) if STAND_IN else ()), *tools):
        if not shutil.which(tool):
            skip_all('needs ' + tool)
    if not STAND_IN and not os.access(os.environ.get('ATLAS', ''), os.X_OK):
        print('Bail out! ATLAS does not name a program', flush=True)
        sys.exit(1)
    if not os.environ.get('E2E_INSIDE'):
        _enter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sh('ip link set lo up')
    for name in ('all', 'default'):
        sh('sysctl -qw net.ipv6.conf.%s.disable_ipv6=1' % name, check=False)
    began = time.monotonic()
    with Lab() as lab:
        try:
            main(lab)
        except Exception as e:  # the world has to be taken down and the plan printed all the same
            ok(False, 'the test runs to its end: %s' % e, traceback.format_exc())
            lab.show_logs()
        if _failed:
            lab.show_logs()
    diag('all of it: %.1f s' % (time.monotonic() - began))
    print('1..%d' % _count, flush=True)
    sys.exit(1 if _failed else 0)


def _enter():
    """The same program again, inside namespaces that die with it."""
    wrap = ['unshare', '--net', '--mount-proc', '--pid', '--fork', '--kill-child=KILL']
    probe = subprocess.run(wrap + ['true'], capture_output=True, text=True)
    if probe.returncode != 0:
        skip_all('needs namespaces: ' + probe.stderr.strip())
    os.environ['E2E_INSIDE'] = '1'
    sys.stdout.flush()
    os.execvp('unshare', wrap + [sys.executable, '-B', *sys.argv])


def sh(command, check=True, **more):
    done = subprocess.run(command, shell=isinstance(command, str), capture_output=True, text=True,
                          **more)
    if check and done.returncode != 0:
        raise RuntimeError('%s: status %d: %s' % (command, done.returncode, done.stderr.strip()))
    return done


def wait_for(condition, timeout_s, every_s=0.05):
    """The first true value of condition(), or its last one when the time is over."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(every_s)


def port_answers(addr, port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((addr, port)) == 0


# --- servers -----------------------------------------------------------------------------------


class Server:
    """A process that serves SERVER:PORT. Subclasses say how it is started and asked."""

    ends_with = signal.SIGTERM

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.log = os.path.join(lab.dir, name + '.log')
        self.url = 'http://%s:%d' % (self.addr, PORT)
        self.process = None
        lab.servers.append(self)

    def spawn(self, argv, **more):
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL, **more)

    def alive(self):
        return self.process.poll() is None

    def stop(self, timeout_s=STOP_TIMEOUT_S):
        """Asks it to end, and asserts that it ends well."""
        began = time.monotonic()
        if self.alive():
            self.process.send_signal(self.ends_with)
        self.gone(timeout_s, began)

    def gone(self, timeout_s=STOP_TIMEOUT_S, began=None):
        """Asserts that the server, told to end before, ends with status 0 and no reports."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            status = 'none within %d s' % timeout_s
        reports = [l for l in self.log_lines() if any(m in l for m in SANITIZER_MARKS)]
        ok(status == 0 and not reports, self.name + ' drains and ends with status 0, no reports',
           'status: %s' % status, *(reports + self.log_lines()[-LOG_TAIL_LINES:]))
        if began:
            diag('%s took %.2f s to end' % (self.name, time.monotonic() - began))
        self.lab.servers.remove(self)
        self.down()

    def kill(self):
        if self.process and self.alive():
            self.process.kill()
            self.process.wait()

    def down(self):
        pass

    def log_lines(self):
        with open(self.log, errors='replace') as f:
            return f.read().splitlines()

    def drops(self, layer, cause):
        return self.metrics().get('atlas_drops_total{layer="%s",cause="%s"}' % (layer, cause), 0)

    def busy(self):
        """What the server still holds for clients: {} when it has nothing left."""
        m = self.metrics()
        held = ('atlas_connections_open', 'atlas_chunks_in_use', 'atlas_reads_inflight',
                'atlas_responses_active')
        secure = ('atlas_tls_handshakes_active', 'atlas_tls_runs_in_use', 'atlas_tls_keys_in_use')
        return {**{k: m.get(k, 'missing') for k in held if m.get(k, 'missing') != 0},
                **{k: m[k] for k in secure if m.get(k)}}

    def settles(self, timeout_s, name):
        began = time.monotonic()
        wait_for(lambda: not self.busy(), timeout_s, 0.2)
        left = self.busy()
        diag('%s: after %.1f s' % (name, time.monotonic() - began))
        return ok(not left, name, left, {k: v for k, v in self.metrics().items()
                                         if k.startswith('atlas_connections')})


class Atlas(Server):
    addr = SERVER

    def __init__(self, lab, source, more=(), name='atlas', tls=None):
        super().__init__(lab, name)
        listen = tls.argv() if tls else ['--listen', str(PORT)]
        self.argv = [os.environ['ATLAS'], 'serve', '--port', 'tap:' + TAP, '--addr', SERVER + BITS,
                     '--host-addr', HOST + BITS, *source, *listen,
                     '--admin', '127.0.0.1:%d' % ADMIN_PORT, *more]
        self.dev = TAP
        self.spawn(self.argv, stdout=subprocess.PIPE)
        line = self._first_line()
        if not line.startswith('ready '):
            self.kill()
            raise RuntimeError('no "ready" from %s: %r' % (' '.join(self.argv), line))

    def _first_line(self):
        os.set_blocking(self.process.stdout.fileno(), False)
        got = b''

        def more():
            nonlocal got
            got += self.process.stdout.read() or b''
            return b'\n' in got or not self.alive()
        wait_for(more, READY_TIMEOUT_S, 0.01)
        return got.decode(errors='replace')

    def admin(self, path):
        with urllib.request.urlopen('http://127.0.0.1:%d%s' % (ADMIN_PORT, path), timeout=5) as r:
            return r.read().decode()

    def metrics(self):
        """{'name{labels}': value}, workers added up."""
        totals = {}
        for name, labels, value in METRIC.findall(self.admin('/metrics')):
            labels = ','.join(l for l in labels.split(',') if l and not l.startswith('worker='))
            key = name + ('{%s}' % labels if labels else '')
            totals[key] = totals.get(key, 0.0) + float(value)
        return totals

    def healthy(self):
        return self.admin('/healthz').strip() == 'ok' and bool(json.loads(self.admin('/status')))

    def draining(self):
        try:
            self.admin('/healthz')
        except urllib.error.HTTPError as e:
            return e.code == 503
        return False


NGINX_CONF = '''
daemon off; worker_processes 1; user root; worker_rlimit_nofile 20000;
error_log stderr crit; pid {dir}/nginx.pid;
events {{ worker_connections 15000; }}
http {{
  types {{ text/html html; text/css css; text/javascript js; application/json json; image/png png;
          video/mp4 mp4; video/mp2t ts; video/iso.segment m4s; text/plain txt;
          application/vnd.apple.mpegurl m3u8; }}
  default_type application/octet-stream; charset utf-8;
  charset_types text/css text/plain text/javascript;
  access_log off; server_tokens off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; {timeouts}
  {servers}
}}
'''
NGINX_PLAIN = 'server {{ listen {addr}:{port} backlog=16384; {what} }}'
NGINX_FILES = 'root {root}; index index.html; etag on;'
NGINX_REDIRECT = 'return 308 https://$host$request_uri;'


class Nginx(Server):
    """nginx in a network namespace of its own, at the far end of a veth."""

    ends_with = signal.SIGQUIT

    def __init__(self, lab, root, subnet='10.0.8.', dev='ngx0', name='nginx', header_s=60,
                 idle_s=75, tls=None):
        self.addr, self.dev = subnet + '2', dev
        super().__init__(lab, name)
        self.holder = subprocess.Popen(['unshare', '-n', 'sleep', 'infinity'])
        ours = os.readlink('/proc/self/ns/net')
        theirs = '/proc/%d/ns/net' % self.holder.pid
        wait_for(lambda: os.readlink(theirs) != ours, 5, 0.005)
        sh('ip link add name %s type veth peer name srv0 netns %d' % (dev, self.holder.pid))
        sh('ip addr add %s1/24 dev %s; ip link set %s up' % (subnet, dev, dev))
        self.inside = ['nsenter', '-t', str(self.holder.pid), '-n']
        sh(self.inside + ['sh', '-c', 'ip link set lo up; ip link set srv0 up; '
                          'ip addr add %s/24 dev srv0; sysctl -qw net.core.somaxconn=16384; '
                          'sysctl -qw net.ipv4.tcp_retries2=5; '
                          'sysctl -qw net.ipv4.tcp_synack_retries=1 net.ipv4.tcp_orphan_retries=2'
                          % self.addr])
        self._start(root, header_s, idle_s, tls)

    def _servers(self, root, tls):
        plain = NGINX_REDIRECT if tls and tls.redirect else NGINX_FILES.format(root=root)
        text = NGINX_PLAIN.format(addr=self.addr, port=PORT, what=plain)
        if not tls:
            return text
        return (text if tls.plain else '') + tls.nginx(self.addr, root)

    def _start(self, root, header_s, idle_s, tls=None):
        work = os.path.join(self.lab.dir, self.name + '.d')
        os.makedirs(work, exist_ok=True)
        timeouts = ('client_header_timeout %ds; client_body_timeout %ds; keepalive_timeout %ds; '
                    'send_timeout %ds; reset_timedout_connection on; lingering_close off;'
                    % (header_s, header_s, idle_s, idle_s))
        conf = os.path.join(work, 'nginx.conf')
        with open(conf, 'w') as f:
            f.write(NGINX_CONF.format(dir=work, timeouts=timeouts,
                                      servers=self._servers(root, tls)))
        self.spawn(self.inside + ['nginx', '-p', work, '-e', 'stderr', '-c', conf],
                   stdout=subprocess.DEVNULL)
        self.port = PORT if not tls or tls.plain else TLS_PORT
        if not wait_for(lambda: port_answers(self.addr, self.port), 10):
            raise RuntimeError('nginx does not answer')

    def down(self):
        self.holder.kill()
        self.holder.wait()
        sh('ip link del ' + self.dev, check=False)

    def metrics(self):
        """As far as the kernel knows them, by the names that Atlas gives them."""
        table = sh(self.inside + ['ss', '-Hnt', 'state', 'connected', 'exclude', 'time-wait'])
        known = {'atlas_connections_open': float(len(table.stdout.splitlines()))}
        for held in ('chunks_in_use', 'reads_inflight', 'responses_active'):
            known['atlas_' + held] = 0.0
        return known

    def healthy(self):
        return port_answers(self.addr, self.port)

    def draining(self):
        return not self.healthy()


class Lab:
    """The world: a folder for files, and the servers that run."""

    def __enter__(self):
        test = os.path.splitext(os.path.basename(sys.argv[0]))[0]
        base = os.environ.get('E2E_TMP') or os.path.join(os.getcwd(), 'e2e-tmp')
        self.dir = os.path.join(base, test)
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        self.servers = []
        self.children = []
        return self

    def __exit__(self, *_):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
        for server in list(self.servers):
            server.kill()
            server.down()
        if not os.environ.get('E2E_KEEP'):
            shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def spawn(self, argv, **more):
        child = subprocess.Popen(argv, **more)
        self.children.append(child)
        return child

    def pack(self, tree, name='volume'):
        """A volume with the files of a directory. The stand-in serves the directory itself."""
        if STAND_IN:
            return tree
        volume = self.path(name)
        sh([os.environ['ATLAS'], 'pack', volume, tree])
        return volume

    def serve(self, volume=None, root=None, ram=None, header_s=None, idle_s=None, more=(),
              tls=None):
        """Starts the server under test and returns it when it is ready."""
        if STAND_IN:
            return Nginx(self, root or volume or ram, NET, TAP, header_s=header_s or 60,
                         idle_s=idle_s or 75, tls=tls)
        source = (['--root', root] if root else ['--volume', volume or 'ram:' + ram])
        if header_s:
            more = ['--header-timeout', str(header_s), *more]
        if idle_s:
            more = ['--idle-timeout', str(idle_s), '--send-timeout', str(idle_s),
                    '--linger-timeout', str(idle_s), '--user-timeout', str(idle_s), *more]
        return Atlas(self, source, more, tls=tls)

    def show_logs(self):
        for server in self.servers:
            diag('--- log of %s' % server.name, *server.log_lines()[-LOG_TAIL_LINES:])


# --- clients -----------------------------------------------------------------------------------


def connect(server, source=None, rcvbuf=None, timeout_s=20, port=PORT):
    s = socket.socket()
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    if source:
        s.bind((source, 0))
    s.settimeout(timeout_s)
    s.connect((server.addr, port))
    return s


def get(server, path, headers=None, timeout_s=60):
    """(status, headers in small letters, body) of one GET on a connection of its own."""
    conn = http.client.HTTPConnection(server.addr, PORT, timeout=timeout_s)
    try:
        conn.request('GET', path, headers=headers or {})
        r = conn.getresponse()
        return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
    finally:
        conn.close()


def write_file(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(content)
    return path
