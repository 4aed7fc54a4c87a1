# SPDX-License-Identifier: BSD-2-Clause
"""A wide-area network for tests and benches: two namespaces joined by the middlebox.

    with wan.Wan(lab, delay=25, loss=0.01, rate='20M', to_left_loss=0) as net:
        net.right.spawn(['iperf3', '-s'])               # a program of the kernel's stack
        server = net.right.atlas(['--root', tree])      # or ours; net.right.nginx(tree) for a peer
        with net.left:                                  # sockets made here are the left side's
            s = socket.create_connection((server.addr, 80))
        print(net.stats()['to_right']['drop_loss'])

Every keyword is an option of middlebox(8), with _ for -. So delays are one way, in each direction.
To meet two servers with the same network, give flows_by='order' and a seed: then the fate of a
connection hangs neither on its server's address nor on the port that its client happens to bind.

                left                                                     right
    kernel: wan0, 10.9.0.1 --+                                   +-- wan0, 10.9.0.2: kernel
                             +-- box0 === middlebox === box0 ----+
    atlas: tap, 10.9.0.3 ----+                                   +-- tap, 10.9.0.4: atlas

wan0 is a bridge of the kernel, and all of it is one link: both stacks are one hop from the
middlebox, over a bridge and a TAP whose queue is longer than any window, so that nothing but the
middlebox delays or loses. Where it cannot be so (the machine is too slow), `queue_drops` says it.

The middlebox runs with a real-time priority where that is allowed: a busy machine then does not
add to the delays. Its report says by how much packets were late (`late_us`).
"""
import ctypes
import json
import os
import select
import signal
import subprocess
import time

import lab as _lab
from lab import sh, wait_for

BITS, BITS6 = '/24', '/64'
SIDES = {'left': ('10.9.0.1', 'fd09::1', '10.9.0.3'), 'right': ('10.9.0.2', 'fd09::2', '10.9.0.4')}
QUEUE_PACKETS = 20000  # of a TAP: GSO frames count once
SOCKET_BYTES = 64 << 20  # the largest window: 2.5 Gbit/s over 200 ms
READY_TIMEOUT_S = 20
STOP_TIMEOUT_S = 30
PRIORITY = ['chrt', '--rr', '10']
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def program():
    """MIDDLEBOX names it; otherwise it lies beside the program that ATLAS names."""
    built = os.path.dirname(os.path.dirname(os.environ.get('ATLAS', '')))
    return os.environ.get('MIDDLEBOX', os.path.join(built, 'middlebox', 'middlebox'))


def _enter_net(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), 'setns')


class Side:
    """A namespace at one end: a host with the kernel's stack, and whoever else is on its bridge."""

    def __init__(self, net, name, sysctls):
        self.net, self.name = net, name
        self.addr, self.addr6, self.atlas_addr = SIDES[name]
        self.children = []
        self.outside = []  # namespaces to return to
        self.holder = subprocess.Popen(['unshare', '-n', 'sleep', 'infinity'])
        ours, theirs = (os.readlink('/proc/self/ns/net'), '/proc/%d/ns/net' % self.holder.pid)
        wait_for(lambda: os.readlink(theirs) != ours, 5, 0.005)
        self.ns = os.open(theirs, os.O_RDONLY | os.O_CLOEXEC)
        self.prefix = ['nsenter', '--net=' + theirs, '--']
        self.sh('ip link set lo up; ip link add wan0 type bridge mcast_snooping 0; '
                'ip link set wan0 address 02:00:00:00:09:%s mtu %d up' % (self.addr[-2:].replace(
                    '.', '0'), net.mtu))
        for key, value in sysctls.items():
            self.sh("sysctl -qw '%s=%s'" % (key, value))
        self.sh('ip addr add %s dev wan0; ip addr add %s dev wan0 nodad'
                % (self.addr + BITS, self.addr6 + BITS6))

    def connect(self, device):
        """Takes the middlebox's TAP in; its descriptor stays where it is."""
        sh('ip link set %s netns %d' % (device, self.holder.pid))
        self.sh('ip link set %s name box0; ip link set box0 mtu %d txqueuelen %d master wan0 up'
                % (device, self.net.mtu, QUEUE_PACKETS))

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
        os.close(self.ns)
        self.holder.kill()
        self.holder.wait()

    # Sockets and processes made inside `with side:` belong to it, also after the block. It counts
    # for the calling thread.
    def __enter__(self):
        self.outside.append(os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC))
        _enter_net(self.ns)
        return self

    def __exit__(self, *_):
        fd = self.outside.pop()
        _enter_net(fd)
        os.close(fd)

    def sh(self, command, check=True, **more):
        argv = ['sh', '-c', 'set -e; ' + command] if isinstance(command, str) else command
        return sh(self.prefix + argv, check, **more)

    def spawn(self, argv, **more):
        """A process that ends with the network at the latest."""
        child = subprocess.Popen(self.prefix + argv, **more)
        self.children.append(child)
        return child

    def atlas(self, source, more=(), name=None):
        return WanAtlas(self, source, more, name or 'atlas-' + self.name)

    def nginx(self, root, name=None, tls=None):
        """The same on the kernel's stack."""
        return WanNginx(self, root, name or 'nginx-' + self.name, tls)

    def netstat(self):
        """The kernel's counters of this side: {'TcpExt.TCPTimeouts': 3, ...}."""
        found = {}
        for path in ('snmp', 'netstat'):
            lines = self.sh(['cat', '/proc/net/' + path]).stdout.splitlines()
            for names, values in zip(lines[::2], lines[1::2]):
                kind = names.split(':')[0]
                for key, value in zip(names.split()[1:], values.split()[1:]):
                    found['%s.%s' % (kind, key)] = int(value)
        return found

    def queue_drops(self):
        """Packets that the TAP's queue had no room for: the middlebox never saw them."""
        link = json.loads(self.sh('ip -j -s link show dev box0').stdout)[0]
        return link['stats64']['tx']['dropped']


class WanAtlas(_lab.Atlas):
    """Atlas on a side's bridge."""

    def __init__(self, side, source, more, name):
        _lab.Server.__init__(self._prepare(side), side.net.lab, name)
        self.dev = 'atlas0'
        side.sh('ip tuntap add dev %s mode tap; ip link set %s mtu %d txqueuelen %d master wan0 up'
                % (self.dev, self.dev, side.net.mtu, QUEUE_PACKETS))
        self.argv = side.prefix + [
            os.environ['ATLAS'], 'serve', '--port', 'tap:' + self.dev, '--addr', self.addr + BITS,
            *source, '--listen', str(_lab.PORT), '--admin', '127.0.0.1:%d' % _lab.ADMIN_PORT, *more]
        self.spawn(self.argv, stdout=subprocess.PIPE)
        line = self._first_line()
        if not line.startswith('ready '):
            self.kill()
            raise RuntimeError('no "ready" from %s: %r' % (' '.join(self.argv), line))

    def _prepare(self, side):
        self.side, self.addr = side, side.atlas_addr
        return self

    def admin(self, path):
        with self.side:
            return super().admin(path)

    def down(self):
        self.side.sh('ip link del ' + self.dev, check=False)


class WanNginx(_lab.Nginx):
    """nginx on a side's kernel."""

    def __init__(self, side, root, name, tls=None):
        self.side, self.addr, self.inside = side, side.addr, side.prefix
        _lab.Server.__init__(self, side.net.lab, name)
        with side:  # it is asked whether it answers
            self._start(root, 60, 75, tls)

    def healthy(self):
        with self.side:
            return super().healthy()

    def down(self):
        pass


class Wan:
    """The network; `options` are the middlebox's. Ends with the with-block, or with stop()."""

    def __init__(self, lab, mtu=1500, sysctls=None, **options):
        self.lab, self.mtu, self.options = lab, mtu, options
        self.stats_path = lab.path('middlebox.json')
        self.log = lab.path('middlebox.log')
        self.process = None
        self.sides = []
        self.last = None  # the report of a middlebox that has ended
        settings = {
            'net.ipv6.conf.all.disable_ipv6': 0,
            'net.ipv6.conf.default.disable_ipv6': 0,
            'net.ipv4.tcp_no_metrics_save': 1,  # a run learns nothing from the one before
            'net.ipv4.tcp_rmem': '4096 131072 %d' % SOCKET_BYTES,
            'net.ipv4.tcp_wmem': '4096 16384 %d' % SOCKET_BYTES,
            **(sysctls or {}),
        }
        try:
            for name in SIDES:
                self.sides.append(Side(self, name, settings))
            self.left, self.right = self.sides
            self._start()
        except BaseException:
            self.close()
            raise

    def _argv(self):
        more = [x for key, value in self.options.items() if value is not None
                for x in ('--' + key.replace('_', '-'), str(value))]
        argv = [program(), '--left', 'tap:boxl', '--right', 'tap:boxr', '--stats',
                self.stats_path, *more]
        allowed = subprocess.run(PRIORITY + ['true'], capture_output=True).returncode == 0
        return PRIORITY + argv if allowed else argv

    def _start(self):
        # The devices are there before the middlebox, which so learns of their MTU.
        for device in ('boxl', 'boxr'):
            sh('ip tuntap add dev %s mode tap; ip link set %s mtu %d' % (device, device, self.mtu))
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(self._argv(), stdout=subprocess.PIPE, stderr=log,
                                            stdin=subprocess.DEVNULL)
        if not select.select([self.process.stdout], [], [], READY_TIMEOUT_S)[0] or \
                self.process.stdout.readline() != b'ready\n':
            raise RuntimeError('no "ready" from the middlebox: ' + self.log_text())
        self.left.connect('boxl')
        self.right.connect('boxr')
        # The first answers fill the neighbours' tables; from now on nobody waits for them.
        for side, other in (self.sides, self.sides[::-1]):
            side.sh('ip neigh replace %s lladdr 02:00:00:00:09:0%s dev wan0 nud permanent; '
                    'ip -6 neigh replace %s lladdr 02:00:00:00:09:0%s dev wan0 nud permanent'
                    % (other.addr, other.addr[-1], other.addr6, other.addr[-1]))

    def log_text(self):
        with open(self.log, errors='replace') as f:
            return f.read().strip()

    def stats(self):
        """What the middlebox has counted: now, or when it ended."""
        if self.last:
            return self.last
        if os.path.exists(self.stats_path):
            os.unlink(self.stats_path)
        self.process.send_signal(signal.SIGUSR1)
        if not wait_for(lambda: os.path.exists(self.stats_path), 10, 0.005):
            raise RuntimeError('the middlebox does not report')
        return self._read_stats()

    def _read_stats(self):
        with open(self.stats_path) as f:
            return json.load(f)

    def settled(self, timeout_s=10):
        """The report, once nothing is under way."""
        end = time.monotonic() + timeout_s
        while True:
            stats = self.stats()
            if not stats['under_way'] or time.monotonic() > end:
                return stats
            time.sleep(0.05)

    def stop(self):
        """Lets what is under way arrive; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(STOP_TIMEOUT_S)
        self.last = self._read_stats()
        return status

    def close(self):
        for server in [s for s in self.lab.servers if getattr(s, 'side', None) in self.sides]:
            server.kill()
            server.down()
            self.lab.servers.remove(server)
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for device in ('boxl', 'boxr'):
            sh('ip link del ' + device, check=False)
        for side in self.sides:
            side.close()
        self.sides = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def balance(direction):
    """What came in and what became of it: two numbers, equal when nothing is under way."""
    drops = sum(v for k, v in direction.items() if k.startswith('drop_'))
    return direction['packets'] + direction['duplicated'], direction['sent'] + drops
