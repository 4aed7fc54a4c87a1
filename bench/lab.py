# SPDX-License-Identifier: BSD-2-Clause
"""The laboratory of the benchmarks: namespaces, links, steering, cores, and the servers compared.

The server runs on core 0, the client on core 1. Everything happens in network, process and mount
namespaces made for the run; what is started dies with it. Atlas is at the far end of a TAP, its
peers are at the far end of a veth in a namespace of their own, and both links are set up alike:
the same MTU, segmentation and checksums left to the "hardware", and received packets steered to the
core of the side that receives them, as a network card's own interrupt would do it.
"""
import contextlib
import ctypes
import errno
import glob
import http.client
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

SERVER_CORE, CLIENT_CORE = 0, 1
CORES = (SERVER_CORE, CLIENT_CORE)
MTU = 1500
PORT, TLS_PORT = 80, 443
TLS_SUITE = 'TLS_AES_128_GCM_SHA256'
FILES_WANTED = 100000  # of each process: sockets and open files
READY_TIMEOUT_S = 120
WARM_S = 1  # before the first look
PRIORITY = ['chrt', '--rr', '10']
# In front of a command: namespaces of its own, in which nothing survives it.
ALONE = ['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child=KILL', '--mount-proc']
TICK_S = 1.0 / os.sysconf('SC_CLK_TCK')
OFFLOADS = ('rx', 'tx', 'sg', 'tso', 'gso', 'gro')
PR_SET_THP_DISABLE, TCP_ULP = 41, 31
METRIC = re.compile(r'^(\w+)(?:\{([^}]*)\})? ([-+.\deE]+)$', re.M)


class Skip(Exception):
    """Something cannot be measured here."""


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def sh(argv, check=True, **more):
    done = subprocess.run(argv, shell=isinstance(argv, str), capture_output=True, text=True, **more)
    if check and done.returncode != 0:
        raise RuntimeError('%s: status %d: %s' % (argv, done.returncode, done.stderr.strip()))
    return done


def read(path):
    with open(path) as f:
        return f.read()


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


def wait_for(condition, timeout_s, every_s=0.02):
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(every_s)


def on_core(core):
    return ['taskset', '-c', str(core)]


# --- the world ----------------------------------------------------------------------------------


def enter():
    """The same program again, inside namespaces that die with it."""
    if os.environ.get('BENCH_INSIDE'):
        return
    probe = sh(ALONE + ['true'], check=False)
    if probe.returncode != 0:
        raise SystemExit('bench: needs root and namespaces: ' + probe.stderr.strip())
    os.environ['BENCH_INSIDE'] = '1'
    sys.stdout.flush()
    os.execvp('unshare', ALONE + [sys.executable, '-B', *sys.argv])


def set_up(work):
    """To be called once, inside: this process and its namespace are the client's side."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.sched_setaffinity(0, {CLIENT_CORE})
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max(), files_max()))
    sh('ip link set lo up')
    quiet_network([])
    sys_dir = os.path.join(work, 'sys')
    os.makedirs(sys_dir, exist_ok=True)
    sh(['mount', '-t', 'sysfs', 'sysfs', sys_dir])  # shows the devices of this namespace
    return sys_dir


def files_max():
    """Raising the hard limit needs a capability that containers like to withhold."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)


def quiet_network(inside):
    for name, value in (('net.ipv6.conf.all.disable_ipv6', 1),
                        ('net.ipv6.conf.default.disable_ipv6', 1),
                        ('net.ipv4.ip_local_port_range', '1024 65535'),
                        ('net.ipv4.tcp_max_syn_backlog', 16384),
                        # What a killed server leaves behind is given up soon.
                        ('net.ipv4.tcp_orphan_retries', 1), ('net.ipv4.tcp_fin_timeout', 2),
                        # A client that opens thousands of connections a second stands for many,
                        # none of which runs out of ports.
                        ('net.ipv4.tcp_max_tw_buckets', 0),
                        ('net.core.somaxconn', 16384)):
        sh(inside + ['sysctl', '-qw', '%s=%s' % (name, value)], check=False)


def steer(inside, sys_dir, dev, core):
    """Packets that `dev` receives are worked on by `core` (receive packet steering)."""
    path = '%s/class/net/%s/queues/rx-0/rps_cpus' % (sys_dir, dev)
    sh(inside + ['sh', '-c', 'echo %x >%s' % (1 << core, path)])


def offload(inside, dev):
    for what in OFFLOADS:
        sh(inside + ['ethtool', '-K', dev, what, 'on'], check=False)


def offloads(inside, dev):
    text = sh(inside + ['ethtool', '-k', dev]).stdout
    long_names = ('rx-checksumming', 'tx-checksumming', 'scatter-gather',
                  'tcp-segmentation-offload', 'generic-segmentation-offload',
                  'generic-receive-offload')
    return {name: value for name, value in re.findall(r'^([\w-]+): (\w+)', text, re.M)
            if name in long_names}


# --- what the cores did -------------------------------------------------------------------------


class Cores:
    """A look at the counters of both cores; the difference of two looks is a dict."""

    def __init__(self):
        self.at = time.monotonic()
        self.stat, self.softnet = {}, {}
        for line in read('/proc/stat').splitlines():
            match = re.match(r'cpu(\d+) (.*)', line)
            if match:
                names = ('user', 'nice', 'system', 'idle', 'iowait', 'irq', 'softirq', 'steal')
                ticks = (int(t) * TICK_S for t in match.group(2).split())
                self.stat[int(match.group(1))] = dict(zip(names, ticks))
        for line in read('/proc/net/softnet_stat').splitlines():
            words = [int(w, 16) for w in line.split()]
            self.softnet[words[12]] = words[0]  # packets worked on, by core

    def since(self, before):
        seconds = self.at - before.at
        out = {'seconds': seconds}
        for name, core in (('server', SERVER_CORE), ('client', CLIENT_CORE)):
            spent = {k: v - before.stat[core][k] for k, v in self.stat[core].items()}
            # Neither waiting for a disk nor what the hypervisor took is work.
            busy = sum(spent[k] for k in ('user', 'nice', 'system', 'irq', 'softirq'))
            out[name + '_busy_s'] = busy
            out[name + '_busy'] = min(busy / seconds, 1.0)
            out[name + '_softirq_s'] = spent['softirq'] + spent['irq']
            out[name + '_steal_s'] = spent['steal']
            out[name + '_packets'] = self.softnet[core] - before.softnet[core]
        return out


def process_seconds(pid):
    """User and system time of a process, its threads and its children that run."""
    total = 0.0
    for one in [pid, *children(pid)]:
        with contextlib.suppress(OSError):
            words = read('/proc/%d/stat' % one).rpartition(')')[2].split()
            total += (int(words[11]) + int(words[12])) * TICK_S
    return total


def children(pid):
    with contextlib.suppress(OSError):
        return [int(p) for p in read('/proc/%d/task/%d/children' % (pid, pid)).split()]
    return []


def kernel_tls():
    """Whether the kernel could encrypt for a server. It looks for that before it sees that this
    socket is not connected."""
    with socket.socket() as s:
        try:
            s.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b'tls')
        except OSError as e:
            return e.errno != errno.ENOENT
    return True


def last_cache_bytes():
    """The largest cache in front of the memory, or None where the machine does not tell."""
    sizes = [read(path).strip() for path in
             glob.glob('/sys/devices/system/cpu/cpu%d/cache/index*/size' % SERVER_CORE)]
    return max((int(s[:-1]) << {'K': 10, 'M': 20}[s[-1]] for s in sizes), default=None)


def memory_bytes(pid):
    """Resident memory of a process and its children, hugepages included."""
    total = 0
    for one in [pid, *children(pid)]:
        text = read('/proc/%d/smaps_rollup' % one)
        for name in ('Rss', 'Shared_Hugetlb', 'Private_Hugetlb'):
            match = re.search(r'^%s:\s+(\d+) kB' % name, text, re.M)
            total += int(match.group(1)) * 1024 if match else 0
    return total


def rx_packets(inside, dev):
    line = sh(inside + ['sh', '-c', 'grep %s: /proc/net/dev' % dev]).stdout
    return int(line.split(':')[1].split()[1])


# --- a memory limit -----------------------------------------------------------------------------


class MemoryLimit:
    """A memory control group, of whichever version the machine has: how the page cache is kept too
    small for the set that is served."""

    def __init__(self, limit_bytes):
        name = 'atlas-bench-%s' % os.urandom(4).hex()
        v1, v2 = '/sys/fs/cgroup/memory', '/sys/fs/cgroup'
        if os.path.exists(v1 + '/memory.limit_in_bytes'):
            self.version, self.path, knob = 1, os.path.join(v1, name), 'memory.limit_in_bytes'
        elif 'memory' in self._controllers(v2):
            self.version, self.path, knob = 2, os.path.join(v2, name), 'memory.max'
        else:
            raise Skip('there is no memory control group to keep the page cache small with')
        os.mkdir(self.path)
        write(os.path.join(self.path, knob), str(limit_bytes))

    @staticmethod
    def _controllers(root):
        with contextlib.suppress(OSError):
            return read(root + '/cgroup.subtree_control').split()
        return []

    def enter(self):
        """Words in front of a command that make it run within the limit."""
        return ['sh', '-c', 'echo 0 >%s/cgroup.procs && exec "$@"' % self.path, 'sh']

    def close(self):
        def gone():
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
            return not os.path.exists(self.path)
        wait_for(gone, 5, 0.1)


def small_pages_only():
    """For a child that is about to be: no transparent hugepages, so that memory is counted to the
    page and not to the hugepage."""
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)


def drop_caches():
    os.sync()
    write('/proc/sys/vm/drop_caches', '3')


# --- servers ------------------------------------------------------------------------------------


class Identity:
    """A certificate that its own key has signed, and the key."""

    KEYS = {'ecdsa': ('ec', 'ec_paramgen_curve:prime256v1'), 'rsa': ('rsa', 'rsa_keygen_bits:2048')}

    def __init__(self, folder, kind):
        algorithm, option = self.KEYS[kind]
        self.cert = os.path.join(folder, kind + '.cert.pem')
        self.key = os.path.join(folder, kind + '.key.pem')
        sh(['openssl', 'req', '-x509', '-newkey', algorithm, '-pkeyopt', option, '-nodes',
            '-keyout', self.key, '-out', self.cert, '-days', '2', '-subj', '/CN=bench.example',
            '-addext', 'subjectAltName=DNS:bench.example'])

    def context(self):
        """A client's that trusts nobody else, and does not mind by which name the server goes."""
        context = ssl.create_default_context(cafile=self.cert)
        context.check_hostname = False
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


class Server:
    """A process that serves self.addr:self.port through self.dev, the client's end of its link:
    over TLS if it has an identity."""

    def __init__(self, work, name, identity=None):
        self.name, self.identity = name, identity
        self.log = os.path.join(work, name + '.log')
        self.process = None
        self.port = TLS_PORT if identity else PORT
        self.url = 'http%s://%s:%d' % ('s' if identity else '', self.addr, self.port)

    def spawn(self, argv, **more):
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL, **more)

    def alive(self):
        return self.process.poll() is None

    def fail(self, why):
        self.stop()
        raise RuntimeError('%s %s: %s' % (self.name, why, read(self.log)[-2000:].strip()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """How it ends is not what is measured."""
        if self.process and self.alive():
            self.process.kill()
        if self.process:
            self.process.wait()

    def seconds(self):
        return process_seconds(self.process.pid)

    def memory(self):
        return memory_bytes(self.process.pid)

    def counters(self):
        """What the server itself has counted, or {}."""
        return {}

    def link(self):
        """Packets that arrived: at the client's end, and at the server's end as far as the kernel
        works on them there."""
        return {'client_rx': rx_packets([], self.dev), 'server_rx': 0}

    def get(self, path):
        if self.identity:
            conn = http.client.HTTPSConnection(self.addr, self.port, timeout=30,
                                               context=self.identity.context())
        else:
            conn = http.client.HTTPConnection(self.addr, self.port, timeout=30)
        try:
            conn.request('GET', path)
            answer = conn.getresponse()
            return answer.status, answer.read()
        finally:
            conn.close()


def atlas_tls(identity):
    """Options for a port with TLS beside the plain one."""
    if not identity:
        return []
    return ['--tls-listen', str(TLS_PORT), '--tls-cert', identity.cert, '--tls-key', identity.key,
            '--tls-suites', TLS_SUITE]


class Atlas(Server):
    addr, host_addr, dev, admin_port = '10.77.1.2', '10.77.1.1', 'atlas0', 9100

    def __init__(self, work, sys_dir, program, volume, small_pages=False, identity=None):
        super().__init__(work, 'atlas', identity)
        self.spawn([*on_core(SERVER_CORE), program, 'serve', '--port', 'tap:' + self.dev,
                    '--addr', self.addr + '/24', '--host-addr', self.host_addr + '/24',
                    '--volume', volume, '--listen', str(PORT), '--workers', '1',
                    '--admin', '127.0.0.1:%d' % self.admin_port, *atlas_tls(identity)],
                   stdout=subprocess.PIPE,
                   preexec_fn=small_pages_only if small_pages else None)
        os.set_blocking(self.process.stdout.fileno(), False)
        got = b''

        def ready():
            nonlocal got
            got += self.process.stdout.read() or b''
            return b'\n' in got or not self.alive()
        wait_for(ready, READY_TIMEOUT_S)
        if not got.startswith(b'ready '):
            self.fail('is not ready')
        sh('ip link set %s mtu %d' % (self.dev, MTU))
        offload([], self.dev)
        steer([], sys_dir, self.dev, CLIENT_CORE)
        self.offloads = offloads([], self.dev)

    def counters(self):
        conn = http.client.HTTPConnection('127.0.0.1', self.admin_port, timeout=5)
        conn.request('GET', '/metrics')
        text = conn.getresponse().read().decode()
        conn.close()
        totals = {}
        for name, labels, value in METRIC.findall(text):
            cause = re.search(r'layer="(\w+)",cause="(\w+)"', labels)
            key = 'drop_%s_%s' % cause.groups() if cause else name[len('atlas_'):]
            if cause or not labels or labels.startswith('worker='):
                totals[key] = totals.get(key, 0.0) + float(value)
        return totals


NGINX_CONF = '''
daemon off; worker_processes 1; user root; worker_rlimit_nofile {files};
error_log stderr crit; pid {dir}/nginx.pid; {thread_pool}
events {{ worker_connections {files}; multi_accept on; }}
http {{
  default_type application/octet-stream; access_log off; server_tokens off;
  tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 1h;
  send_timeout 10m; client_header_timeout 10m;
  open_file_cache max={cached} inactive=1h; open_file_cache_valid 1h; open_file_cache_min_uses 1;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  {how}
  server {{ listen {addr}:{port} backlog=16384; root {root}; }}
  {secure}
}}
'''

# As its manual advises for TLS, beyond its defaults. Its session cache is left off: in TLS 1.3 a
# ticket is the session, and the cache would only be written to.
NGINX_TLS = '''
  server {{ listen {addr}:{port} ssl backlog=16384; root {root};
    ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites {suite}; ssl_session_tickets on; ssl_session_timeout 1h; }}
'''

# How nginx can be told to send a file. The thread pool is as deep as fio's queue of whole objects;
# a buffer holds an object.
NGINX_WAYS = {
    'sendfile': 'sendfile on;',
    'copy': 'sendfile off; output_buffers 1 320k;',
    'sendfile-threads': 'sendfile on; aio threads=pool;',
    'copy-threads': 'sendfile off; aio threads=pool; output_buffers 1 320k;',
    'directio-threads': 'sendfile off; aio threads=pool; directio 4k; output_buffers 1 320k;',
    # Over TLS, without the kernel's help, a file is read into output_buffers whatever is said of
    # sendfile. 16k records, the default, are the best for throughput; 4k for the first byte.
    'tls': 'sendfile on; ssl_buffer_size 16k;',
    'tls-4k': 'sendfile on; ssl_buffer_size 4k;',
    'tls-buffers': 'sendfile on; ssl_buffer_size 16k; output_buffers 1 320k;',
    'tls-threads': 'sendfile on; ssl_buffer_size 16k; output_buffers 1 320k; aio threads=pool;',
}


def nginx_conf(folder, addr, root, way, identity=None):
    how = NGINX_WAYS[way]
    secure = identity and NGINX_TLS.format(addr=addr, port=TLS_PORT, root=root, cert=identity.cert,
                                           key=identity.key, suite=TLS_SUITE)
    pool = 'thread_pool pool threads=64 max_queue=65536;' if 'threads' in how else ''
    return NGINX_CONF.format(dir=folder, addr=addr, port=PORT, root=root, how=how,
                             files=files_max(), thread_pool=pool, secure=secure or '',
                             cached=min(20000, files_max() // 3))


class Nginx(Server):
    """nginx in a network namespace of its own, at the far end of a veth."""

    addr, host_addr, dev, far = '10.77.2.2', '10.77.2.1', 'cli0', 'srv0'

    def __init__(self, work, sys_dir, root, way, limit=None, steered=True, identity=None):
        super().__init__(work, 'nginx-' + way, identity)
        self.holder = subprocess.Popen(['unshare', '--net', '--mount', 'sleep', 'infinity'])
        self.inside = ['nsenter', '-t', str(self.holder.pid), '-n', '-m']
        try:
            self._link(sys_dir, steered)
            self._start(work, root, way, limit)
        except BaseException:
            self.stop()
            raise

    def _link(self, sys_dir, steered):
        ours = os.readlink('/proc/self/ns/mnt')
        theirs = '/proc/%d/ns/mnt' % self.holder.pid
        wait_for(lambda: os.readlink(theirs) != ours, 5, 0.005)
        sh('ip link add name %s type veth peer name %s netns %d'
           % (self.dev, self.far, self.holder.pid))
        for inside, dev, addr, core in (([], self.dev, self.host_addr, CLIENT_CORE),
                                        (self.inside, self.far, self.addr, SERVER_CORE)):
            sh(inside + ['ip', 'addr', 'add', addr + '/24', 'dev', dev])
            sh(inside + ['ip', 'link', 'set', dev, 'mtu', str(MTU), 'up'])
            if inside:
                sh(inside + ['mount', '-t', 'sysfs', 'sysfs', sys_dir])
            if steered:
                steer(inside, sys_dir, dev, core)
            offload(inside, dev)
        sh(self.inside + ['ip', 'link', 'set', 'lo', 'up'])
        quiet_network(self.inside)
        self.offloads = offloads(self.inside, self.far)

    def _start(self, work, root, way, limit):
        folder = os.path.join(work, self.name)
        os.makedirs(folder, exist_ok=True)
        conf = os.path.join(folder, 'nginx.conf')
        write(conf, nginx_conf(folder, self.addr, root, way, self.identity))
        self.spawn([*(limit.enter() if limit else []), *self.inside, *on_core(SERVER_CORE),
                    'nginx', '-p', folder, '-e', 'stderr', '-c', conf], stdout=subprocess.DEVNULL)

        def answers():
            with socket.socket() as s:
                s.settimeout(1)
                return not self.alive() or s.connect_ex((self.addr, self.port)) == 0
        if not wait_for(answers, READY_TIMEOUT_S) or not self.alive():
            self.fail('does not answer')

    def stop(self):
        if self.process and self.alive():
            for pid in children(self.process.pid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        super().stop()
        self.holder.kill()
        self.holder.wait()
        sh('ip link del ' + self.dev, check=False)

    def link(self):
        return {'client_rx': rx_packets([], self.dev),
                'server_rx': rx_packets(self.inside, self.far)}


# --- the client ---------------------------------------------------------------------------------


class Client:
    """wrk on the client's core, all its connections busy from the beginning."""

    def __init__(self, server, connections, begin_s, seconds, objects, per_dir):
        self.begin_s = begin_s
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'wrk.lua')
        self.process = subprocess.Popen(
            [*on_core(CLIENT_CORE), 'wrk', '-t1', '-c%d' % connections,
             '-d%ds' % (begin_s + seconds + 1),
             '--timeout', '120s', '-s', script, server.url, '--', str(objects), str(per_dir),
             str(random.getrandbits(31))],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def wait(self):
        """Until all its connections stand, by experience."""
        time.sleep(self.begin_s)

    def bytes_read(self):
        """What the client has taken from its sockets so far."""
        match = re.search(r'^rchar: (\d+)', read('/proc/%d/io' % self.process.pid), re.M)
        return int(match.group(1))

    def result(self):
        """Waits for the end: what wrk counted, connecting and all."""
        said, _ = self.process.communicate()
        line = re.search(r'^result (.*)$', said, re.M)
        if not line:
            raise RuntimeError('wrk said nothing: ' + said[-500:])
        return json.loads(line.group(1))


class TlsLoad:
    """tlsload on the client's core; see there for the modes. It runs until it is closed."""

    def __init__(self, program, mode, server, connections, objects, per_dir, more=(), first=False):
        allowed = first and sh([*PRIORITY, 'true'], check=False).returncode == 0
        self.total, self.said = 0, None
        self.process = subprocess.Popen(
            [*on_core(CLIENT_CORE), *(PRIORITY if allowed else ()), program, mode,
             *(() if server.identity else ('--plain',)), '--connections', str(connections),
             '--objects', str(objects), '--per-dir', str(per_dir), '--plain-port', str(PORT),
             '--seed', str(random.getrandbits(31)), *more, server.addr, str(server.port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def _line(self, timeout_s):
        if not select.select([self.process.stdout], [], [], timeout_s)[0]:
            return ''
        return self.process.stdout.readline()

    def wait(self):
        """Until all its connections have been answered, and a little longer."""
        if self._line(READY_TIMEOUT_S) != 'ready\n':
            raise RuntimeError('tlsload is not served: %s' % (self.ask() or 'it has ended'))
        time.sleep(WARM_S)

    def ask(self):
        """What it has counted since it was asked before."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write('\n')
            line = self._line(10)
            if line:
                self.said = json.loads(line)
                self.total += self.said['bytes']
                return self.said
        return None

    def bytes_read(self):
        if not self.ask():
            raise RuntimeError('tlsload does not answer')
        return self.total

    def result(self):
        return self.said


def connected(server):
    """Connections with the server that stand now."""
    return sh(['ss', '-Htn', 'state', 'established', 'dst', server.addr]).stdout.count('\n')


def idle_connections(server, count, path):
    """Opens `count` connections, asks on each for an object's head, and leaves them idle."""
    opened, context = [], server.identity and server.identity.context()
    ask = ('HEAD %s HTTP/1.1\r\nHost: bench\r\n\r\n' % path).encode()
    for _ in range(count):
        s = socket.create_connection((server.addr, server.port), timeout=30)
        if context:
            s = context.wrap_socket(s)
        s.sendall(ask)
        answer = b''
        while b'\r\n\r\n' not in answer:
            part = s.recv(4096)
            if not part:
                raise RuntimeError('%s closed an idle connection' % server.name)
            answer += part
        if b' 200 ' not in answer[:20]:
            raise RuntimeError('%s answered %r' % (server.name, answer[:40]))
        opened.append(s)
    return opened


def check_tools(names):
    missing = [n for n in names if not shutil.which(n)]
    if missing:
        raise SystemExit('bench: please install: ' + ' '.join(missing))
