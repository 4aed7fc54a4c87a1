#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The volume commands as their users see them: files in, files out, exit status, one line of why.

    volume_test.py ATLAS
"""
import fcntl
import filecmp
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ATLAS = os.path.abspath(sys.argv[1])
BLOCK = 4096
SIZES = {'a.txt': 0, 'b.bin': 1, 'dir/c.bin': BLOCK, 'dir/sub/d.bin': 100001, 'dir-e': 5000,
         'big.bin': 5 << 20, 'ümläut name': 77}


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix='atlas-volume-')
        self.addCleanup(shutil.rmtree, self.dir)
        self.volume = self.spec('v')
        self.tree = self.path('tree')
        for name, size in SIZES.items():
            self.file('tree/' + name, random.Random(name).randbytes(size), 1700000000 + size)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def spec(self, *names):
        """How the volume in that file is named."""
        return self.path(*names)

    def file(self, name, content, mtime=None):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as f:
            f.write(content)
        if mtime:
            os.utime(path, (mtime, mtime))
        return path

    def atlas(self, *args, status=0, says=None):
        """Runs it; a failure says one line on standard error. Returns standard output."""
        done = subprocess.run([ATLAS, *args], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, status, (args, done.stderr, done.stdout))
        if status:
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        if says:
            self.assertIn(says, done.stderr)
        return done.stdout

    def names(self):
        return self.atlas('ls', self.volume).splitlines()

    def flip(self, at):
        with open(self.path('v'), 'r+b') as f:
            byte = os.pread(f.fileno(), 1, at)[0]
            os.pwrite(f.fileno(), bytes([byte ^ 1]), at)

    def assert_same_tree(self, one, other):
        compared = filecmp.dircmp(one, other)
        self.assertFalse(compared.left_only + compared.right_only, (one, other))
        match, wrong, errors = filecmp.cmpfiles(one, other, compared.common_files, shallow=False)
        self.assertFalse(wrong + errors)
        for name in match:
            self.assertEqual(int(os.stat(os.path.join(one, name)).st_mtime),
                             int(os.stat(os.path.join(other, name)).st_mtime))
        for name in compared.common_dirs:
            self.assert_same_tree(os.path.join(one, name), os.path.join(other, name))

    def mkdir(self, name):
        os.mkdir(self.path(name))
        return self.path(name)


class Volumes(Case):
    """In files. SimVolumes below does all of it again on an NVMe controller in software."""

    def test_what_goes_in_comes_out(self):
        self.assertIn('packed 7 objects', self.atlas('pack', self.volume, self.tree + '/'))
        self.assertEqual(self.names(), sorted(('/' + n for n in SIZES), key=os.fsencode))
        self.assertIn('         100001  2023-11-16T02:00:01Z  /dir/sub/d.bin\n',
                      self.atlas('ls', '-l', self.volume))
        self.assertIn('7 objects, 5.4 MB: 0 damaged', self.atlas('verify', self.volume))
        self.atlas('export', self.volume, self.path('out'))
        self.assert_same_tree(self.tree, self.path('out'))
        self.assertEqual(os.stat(self.path('v')).st_mode & 0o777, 0o666 & ~self.umask())
        self.assertEqual(os.listdir(self.dir).count('v'), 1)
        self.assertEqual(len(os.listdir(self.dir)), 3)

    @staticmethod
    def umask():
        mask = os.umask(0)
        os.umask(mask)
        return mask

    def test_objects_are_added_replaced_and_removed(self):
        self.atlas('pack', self.volume, self.tree)
        more = self.file('more/new', b'new')
        self.file('more/deep/x', b'x')
        self.file('again/a.txt', b'now longer')
        self.atlas('add', self.volume, more, self.path('again'))
        self.assertIn('/new', self.names())
        self.atlas('export', self.volume, self.path('out'))
        with open(self.path('out/a.txt'), 'rb') as f:
            self.assertEqual(f.read(), b'now longer')
        self.atlas('rm', self.volume, '/new', '/gone', status=1, says='/gone: no such object')
        self.assertIn('/new', self.names())
        self.atlas('rm', self.volume, '/new', '/dir/', '/dir/c.bin')
        self.assertNotIn('/dir/sub/d.bin', self.names())
        self.assertIn('/dir-e', self.names())
        self.assertEqual(len(self.names()), len(SIZES) - 2)
        self.atlas('add', self.volume, more, more, status=1, says='would both be /new')
        self.atlas('verify', self.volume)

    def test_packing_replaces_a_volume_and_nothing_else(self):
        self.atlas('pack', self.volume, self.tree)
        os.chmod(self.path('v'), 0o640)
        self.file('small/x', b'x')
        self.atlas('pack', self.volume, self.path('small'))
        self.assertEqual(self.names(), ['/x'])
        self.assertEqual(os.stat(self.path('v')).st_mode & 0o777, 0o640)
        precious = self.file('precious.mp4', b'\0\0\0\x20ftypisom' * 10000)
        self.atlas('pack', self.spec('precious.mp4'), self.tree, status=1, says='no volume')
        self.assertEqual(os.path.getsize(precious), 120000)
        self.atlas('pack', self.spec('empty'), self.mkdir('nothing'))
        self.assertEqual(self.atlas('ls', self.spec('empty')), '')
        self.atlas('verify', self.spec('empty'))

    def test_a_volume_does_not_pack_itself_nor_links(self):
        inside = self.path('tree', 'v')
        os.symlink('/etc/passwd', self.path('tree', 'link'))
        os.mkfifo(self.path('tree', 'fifo'))
        for _ in range(2):
            done = subprocess.run([ATLAS, 'pack', inside, self.tree], capture_output=True,
                                  text=True, timeout=60)
            self.assertEqual(done.returncode, 0)
            self.assertIn('left out 2', done.stderr)
            self.assertEqual(len(self.atlas('ls', inside).splitlines()), len(SIZES))

    def test_damage_is_named(self):
        self.atlas('pack', self.volume, self.tree)
        with open(self.path('v'), 'rb') as f:
            content = f.read()
        at = content.index(random.Random('big.bin').randbytes(100))
        self.flip(at + (3 << 20))
        self.atlas('verify', self.volume, status=1, says='/big.bin: its bytes are not')
        self.atlas('export', self.volume, self.path('out'), status=1, says='/big.bin')
        self.assertEqual(sorted(os.listdir(self.path('out'))),
                         sorted(set(os.listdir(self.tree)) - {'big.bin'}))
        self.atlas('add', self.volume, os.path.join(self.tree, 'big.bin'))
        self.atlas('verify', self.volume)
        os.truncate(self.path('v'), 2 << 20)
        self.atlas('ls', self.volume, status=1)

    def test_a_lost_catalogue_is_told(self):
        self.atlas('pack', self.volume, self.tree)
        self.atlas('add', self.volume, self.file('new', b'new'))
        self.flip(BLOCK + 100)  # generation 2 lies in slot 1
        self.atlas('verify', self.volume, status=1, says='generation 1')
        self.assertEqual(len(self.names()), len(SIZES))
        self.atlas('add', self.volume, self.path('new'))
        self.atlas('verify', self.volume)
        self.assertIn('/new', self.names())

    def test_exporting_follows_no_link(self):
        self.atlas('pack', self.volume, self.tree)
        outside, out = self.mkdir('outside'), self.mkdir('out')
        os.symlink(outside, os.path.join(out, 'dir'))
        os.symlink(os.path.join(outside, 'f'), os.path.join(out, 'a.txt'))
        done = subprocess.run([ATLAS, 'export', self.volume, out], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 2)  # the two objects below /dir
        self.assertEqual(os.listdir(outside), [])
        self.assertFalse(os.path.islink(os.path.join(out, 'a.txt')))
        self.assertTrue(os.path.exists(os.path.join(out, 'big.bin')))

    def test_one_process_changes_a_volume(self):
        self.atlas('pack', self.volume, self.tree)
        with open(self.path('v'), 'r+b') as f:
            fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
            self.atlas('add', self.volume, self.tree, status=1, says='another process')
            self.atlas('pack', self.volume, self.tree, status=1, says='another process')
            self.atlas('rm', self.volume, '/b.bin', status=1, says='another process')
            self.atlas('verify', self.volume)

    def test_an_interrupted_pack_leaves_nothing(self):
        self.atlas('pack', self.volume, self.tree)
        slow = self.mkdir('slow')
        with open(os.path.join(slow, 'sparse'), 'wb') as f:
            f.truncate(64 << 30)
        child = subprocess.Popen([ATLAS, 'pack', self.volume, slow], stderr=subprocess.PIPE,
                                 text=True)
        deadline = time.monotonic() + 20
        while not any('.new-' in name for name in os.listdir(self.dir)):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=20)
        self.assertEqual(child.returncode, 1)
        self.assertIn('interrupted', err)
        self.assertEqual(len(self.names()), len(SIZES))
        self.assertFalse([name for name in os.listdir(self.dir) if '.new-' in name])

    def test_usage(self):
        for args in (['pack'], ['pack', 'x'], ['verify'], ['ls'], ['pack', '--volume'],
                     ['pack', '--volume', 'x', 'y', 'z'], ['add', '--volume', 'x'],
                     ['rm', 'x'], ['add', 'x'], ['export', 'x'], ['ls', '-q', 'x']):
            self.atlas(*args, status=2, says='usage: atlas ' + args[0])
        for command in ('pack', 'add', 'rm', 'ls', 'verify', 'export'):
            self.assertIn('usage: atlas ' + command, self.atlas(command, '--help'))
        self.atlas('ls', self.path('none'), status=1, says='atlas pack')
        self.atlas('ls', self.dir, status=1)
        self.atlas('ls', '/dev/null', status=1)
        self.atlas('ls', self.path('tree', 'big.bin'), status=1, says='not an atlas volume')
        self.atlas('pack', self.path('no/where'), self.tree, status=1, says='directory')
        self.atlas('pack', self.volume, self.path('none'), status=1)
        self.atlas('pack', self.volume, self.path('tree/big.bin'), status=1, says='atlas add')

    def test_names_cannot_write_to_the_terminal(self):
        self.file('evil/a\x1b[31mb\\', b'')
        self.atlas('pack', self.volume, self.path('evil'))
        self.assertEqual(self.names(), ['/a\\033[31mb\\134'])

    def test_a_terminal_shows_progress(self):
        with open(os.path.join(self.mkdir('slow'), 'sparse'), 'wb') as f:
            f.truncate(3 << 30)
        master, slave = pty.openpty()
        child = subprocess.Popen([ATLAS, 'pack', self.volume, self.path('slow')], stderr=slave,
                                 stdout=subprocess.DEVNULL)
        os.close(slave)
        shown = b''
        deadline = time.monotonic() + 20
        while b'left' not in shown and child.poll() is None and time.monotonic() < deadline:
            shown += os.read(master, 4096)
        child.send_signal(signal.SIGTERM)
        child.wait(20)
        os.close(master)
        self.assertRegex(shown.decode(), r'\[#*\.*\] +\d+ %  .* of 3\.2 GB  .*/s  0:\d\d:\d\d left')

    @unittest.skipUnless(os.getuid() == 0 and os.path.exists('/dev/loop-control'), 'no loop')
    def test_a_block_device_holds_a_volume(self):
        image = self.path('image')
        with open(image, 'wb') as f:
            f.truncate(8 << 20)
        made = subprocess.run(['losetup', '--find', '--show', image], capture_output=True,
                              text=True)
        if made.returncode:
            self.skipTest(made.stderr)
        device = made.stdout.strip()
        self.addCleanup(subprocess.run, ['losetup', '--detach', device], check=True)
        self.atlas('pack', device, self.tree)
        self.assertIn('0 damaged', self.atlas('verify', device))
        self.atlas('pack', device, self.tree)  # over the old one
        self.atlas('add', device, self.path('tree', 'big.bin'), status=1, says='no room')
        self.atlas('rm', device, '/big.bin')
        self.atlas('export', device, self.path('out'))
        self.assertEqual(len(os.listdir(self.path('out'))), len(os.listdir(self.tree)) - 1)
        with open(device, 'wb') as f:
            f.write(b'\0' * 65536 + b'_BHRfS_M' + b'\0' * 60000)
        self.atlas('pack', device, self.tree, status=1, says='wipefs')


class SimVolumes(Volumes):
    """The same on a disk behind our NVMe driver. What is about files as such is left out."""

    test_a_volume_does_not_pack_itself_nor_links = None
    test_an_interrupted_pack_leaves_nothing = None
    test_a_terminal_shows_progress = None
    test_a_block_device_holds_a_volume = None
    test_usage = None

    def spec(self, *names):
        return 'sim:%s,size=16M,seed=1,delay=1us-50us' % self.path(*names)

    def test_a_disk_is_as_large_as_it_is(self):
        self.volume = self.volume.replace('16M', '8M')
        self.atlas('pack', self.volume, self.tree)
        self.file('more/large', random.Random(1).randbytes(4 << 20))
        self.atlas('add', self.volume, self.path('more'), status=1, says='no room')
        self.atlas('verify', self.volume)
        self.atlas('rm', self.volume, '/big.bin')
        self.atlas('add', self.volume, self.path('more'), status=1, says='no room')  # not yet free
        self.atlas('rm', self.volume, '/b.bin')
        self.atlas('add', self.volume, self.path('more'))
        self.assertIn('/large', self.names())
        self.assertEqual(os.path.getsize(self.path('v')), 8 << 20)

    def test_disks_that_fail_are_told(self):
        self.atlas('pack', self.volume, self.tree)
        disk = 'sim:' + self.path('v')
        for option, says in {'remove=0s': 'no device answers', 'ns=7': 'no namespace 7',
                             'ready=never': 'never became ready', 'error=1': 'cannot',
                             'delay=soon': 'delay= takes a time', 'what=1': 'no option'}.items():
            self.atlas('ls', disk + ',' + option, status=1, says=says)
        self.atlas('ls', 'vfio:9999:99:99.9', status=1, says='9999:99:99.9')
        self.atlas('ls', 'sim:' + self.path('none'), status=1, says='does not exist')


class SeveralVolumes(Case):
    """One volume over three: two disks and a file."""

    def setUp(self):
        super().setUp()
        self.all = ['sim:%s,size=16M' % self.path('a'), self.path('b'),
                    'sim:%s,size=16M,block=512' % self.path('c')]
        self.options = [word for v in self.all for word in ('--volume', v)]
        for i in range(30):
            self.file('tree/segments/%02d.m4s' % i, random.Random(i).randbytes(20000), 1700000000)

    def listed(self, *volumes):
        return self.atlas('ls', *volumes).splitlines()

    def test_objects_are_spread(self):
        self.assertIn('packed 37 objects', self.atlas('pack', *self.all, self.tree))
        parts = [self.listed(v) for v in self.all]
        self.assertEqual(sorted(sum(parts, []), key=os.fsencode), self.listed(*self.all))
        segments = [sum('segments' in name for name in part) for part in parts]
        self.assertEqual(sum(segments), 30)
        self.assertEqual(parts[1], ['/big.bin'])  # it alone is more than all others
        self.assertIn('37 objects, 6.0 MB: 0 damaged', self.atlas('verify', *self.all))
        self.atlas('export', *self.all, self.path('out'))
        self.assert_same_tree(self.tree, self.path('out'))

    def test_disks_fill_evenly(self):
        self.atlas('pack', *self.all, os.path.join(self.tree, 'segments'))
        self.assertEqual([len(self.listed(v)) for v in self.all], [10, 10, 10])
        self.assertEqual(self.listed(self.all[0])[:2], ['/00.m4s', '/03.m4s'])

    def test_objects_stay_where_they_are(self):
        self.atlas('pack', *self.all, self.tree)
        before = [self.listed(v) for v in self.all]
        self.file('again/segments/07.m4s', b'now shorter')
        self.file('again/new', b'new')
        self.atlas('add', *self.options, self.path('again'))
        after = [self.listed(v) for v in self.all]
        self.assertEqual([[n for n in part if n != '/new'] for part in after], before)
        self.atlas('export', *self.options, self.path('out'))
        with open(self.path('out/segments/07.m4s'), 'rb') as f:
            self.assertEqual(f.read(), b'now shorter')
        self.atlas('rm', *self.options, '/segments/')
        self.assertEqual(len(self.listed(*self.all)), len(SIZES) + 1)
        self.atlas('rm', *self.options, '/gone', status=1, says='nothing was removed')
        self.atlas('verify', *self.options)

    def test_what_two_hold_is_shown_once(self):
        self.file('one/x', b'first')
        self.file('two/x', b'second')
        self.atlas('pack', self.all[0], self.path('one'))
        self.atlas('pack', self.all[1], self.path('two'))
        self.assertEqual(self.listed(*self.all[:2]), ['/x'])
        self.atlas('export', *self.all[:2], self.path('out'))
        with open(self.path('out/x'), 'rb') as f:
            self.assertEqual(f.read(), b'first')
        self.atlas('rm', *self.options[:4], '/x')
        self.assertEqual(self.listed(*self.all[:2]), [])

    def test_who_has_room_gets_it(self):
        small = 'sim:%s,size=1M' % self.path('small')
        os.makedirs(self.path('one'))
        shutil.copy(self.path('tree/big.bin'), self.path('one'))
        self.atlas('pack', small, self.all[0], self.path('one'))
        self.assertEqual(self.listed(small), [])
        self.assertEqual(self.listed(self.all[0]), ['/big.bin'])
        self.atlas('pack', small, 'sim:%s,size=1M' % self.path('other'), self.tree, status=1,
                   says='no room')

    def test_all_of_them_or_none(self):
        self.file('b', b'precious' * 1000)
        self.file('small/x', b'x')
        self.atlas('pack', self.path('d'), self.path('small'))
        self.atlas('pack', self.path('d'), self.path('b'), self.tree, status=1, says='no volume')
        self.assertEqual(self.listed(self.path('d')), ['/x'])
        self.atlas('pack', self.all[0], self.all[0], self.tree, status=1, says='twice')
        self.atlas('ls', self.path('d'), self.path('nowhere'), status=1, says='nowhere')


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
