# SPDX-License-Identifier: BSD-2-Clause
"""A virtual machine for the device tests: Debian's kernel, emulated NVMe disks, an emulated IOMMU.

    guest = Guest(modules=('vfio-pci',), disks=[Disk(path), ...], files=[program])
    result = guest.run('/tmp/files/program --some argument', seconds=60)

The job is a bash script. In the guest it is root, sees the file system of this machine (read-only,
over 9p, with empty folders of its own at /tmp and /run), so that everything installed here can be
used there, and finds `files` in /tmp/files. The disks are at fixed places: see Disk.address. What
the job prints is relayed as it comes: a line `ok - ...` or `not ok - ...` counts as a test, and
anything else is shown as a comment.

Nothing here needs root, KVM or a network. DEVICE_TMP names a folder for images, DEVICE_INIT the
program init.c, ATLAS_KERNEL the folder that tools/fetch-kernel made (default: build-kernel);
DEVICE_ACCEL=kvm is for those in a hurry, and DEVICE_KEEP=1 keeps console and images.
"""
import os
import re
import shutil
import signal
import stat
import subprocess
import threading
import time

import tap

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KERNEL = os.environ.get('ATLAS_KERNEL') or os.path.join(ROOT, 'build-kernel')
QEMU = 'qemu-system-x86_64'
FIRST_DISK = 0x10  # PCI device number, on bus 0
CONSOLE_TAIL = 30  # lines of the kernel's that are shown when a job fails
# What makes a boot take two seconds instead of five; the rest is said in fetch-kernel.
BOOT_OPTIONS = ('console=ttyS0 panic=-1 quiet loglevel=5 mitigations=off nokaslr no_timer_check '
                'tsc=reliable lpj=4000000 cryptomgr.notests audit=0 apparmor=0 selinux=0 '
                'nowatchdog i8042.noprobe 8250.nr_uarts=2 rcupdate.rcu_expedited=1 '
                'random.trust_cpu=on')
# For jobs: what came before `holds NAME` has to have worked; if not, what it left in /tmp/out is
# shown.
PRELUDE = r'''
holds() {
    if [ $? = 0 ]; then echo "ok - $1"; else
        echo "not ok - $1"
        [ ! -s /tmp/out ] || sed 's/^/# /' /tmp/out
    fi
}
'''
HOST_MODULES = ('virtio_pci', '9pnet_virtio', '9p')


def obstacle():
    """None, or why no guest can be had here."""
    if not shutil.which(QEMU):
        return 'needs %s (Debian package qemu-system-x86)' % QEMU
    if not os.path.exists(os.path.join(KERNEL, 'version')):
        return 'needs a kernel: run tools/fetch-kernel'
    if not os.access(os.environ.get('DEVICE_INIT', ''), os.X_OK):
        return 'needs DEVICE_INIT, the program built from init.c'
    return None


def scratch(name):
    """A path in the tests' folder, which exists."""
    folder = os.environ.get('DEVICE_TMP') or os.path.join(ROOT, 'build', 'test', 'device', 'tmp')
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, name)


class Disk:
    """An emulated controller with one namespace, or with the namespaces that `backend` describes.

    options: QEMU's, as in 'mdts=7,logical_block_size=4096'. The image is not changed unless `keep`.
    """

    def __init__(self, path=None, options='', keep=False, drive=None):
        self.path, self.options, self.keep = path, options, keep
        self.drive = drive  # QEMU arguments that define a block node called disk%d, instead of path

    def arguments(self, index):
        name = 'disk%d' % index
        options = ',' + self.options if self.options else ''
        if self.drive:
            backend = [word % {'name': name} for word in self.drive]
        else:
            backend = ['-drive', 'file=%s,if=none,id=%s,format=raw%s'
                       % (self.path.replace(',', ',,'), name, '' if self.keep else ',snapshot=on')]
        return backend + ['-device', 'nvme,drive=%s,serial=ATLAS%d,addr=%#x%s'
                          % (name, index, FIRST_DISK + index, options)]

    @staticmethod
    def address(index):
        return '0000:00:%02x.0' % (FIRST_DISK + index)


class Result:
    def __init__(self, status, lines, console, seconds):
        self.status = status  # of the job; None: the guest ended, or was ended, without one
        self.lines, self.console, self.seconds = lines, console, seconds

    def find(self, pattern):
        """Matches of a regular expression in what the job printed."""
        return [m for m in (re.search(pattern, line) for line in self.lines) if m]


class Guest:
    def __init__(self, name, modules=(), disks=(), files=(), memory_mib=1024, cpus=1, iommu=True,
                 boot='', qemu=(), extra_modules=()):
        """modules: by name, as modprobe takes them, with parameters after a blank, loaded in this
        order with all that they need. extra_modules: paths of .ko files, loaded after those."""
        self.name, self.disks, self.files = name, list(disks), list(files)
        self.modules = list(HOST_MODULES) + list(modules)
        self.extra_modules = list(extra_modules)
        self.memory_mib, self.cpus, self.iommu = memory_mib, cpus, iommu
        self.boot, self.qemu = boot, list(qemu)

    def run(self, job, seconds):
        """Boots, runs the job, relays what it says, and returns when the machine is off."""
        console, initrd = scratch(self.name + '.console'), scratch(self.name + '.cpio')
        with open(initrd, 'wb') as f:
            write_initrd(f, self.modules, self.extra_modules, self.files, PRELUDE + job)
        began = time.monotonic()
        child = subprocess.Popen(self.command(console, initrd), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 start_new_session=True)
        timer = threading.Timer(seconds, child.kill)
        timer.start()
        status, lines = None, []
        try:
            for raw in child.stdout:
                line = raw.decode('utf-8', 'replace').strip('\r\n')
                if line.startswith('@exit '):
                    status = int(line.split()[1])
                elif line.startswith('@ready'):
                    tap.diag('%s: up after %.1f s' % (self.name, time.monotonic() - began))
                else:
                    lines.append(line)
                    tap.relay(line)
        finally:
            overdue = not timer.is_alive()
            timer.cancel()
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
            child.wait()
        result = Result(status, lines, read_text(console), time.monotonic() - began)
        self.judge(result, overdue, seconds)
        if not os.environ.get('DEVICE_KEEP'):
            os.remove(initrd)
            os.remove(console)
        return result

    def judge(self, result, overdue, seconds):
        tap.diag('%s: %.1f s in all' % (self.name, result.seconds))
        if result.status == 0:
            return
        if overdue:
            said = 'did not end within %d s' % seconds
        elif result.status is None:
            said = 'the guest ended before the job'
        else:
            said = 'exit status %d' % result.status
        tap.ok(False, '%s: the job runs to its end: %s' % (self.name, said),
               *result.console.splitlines()[-CONSOLE_TAIL:])

    def command(self, console, initrd):
        accel = os.environ.get('DEVICE_ACCEL', 'tcg')
        words = [QEMU, '-machine', 'q35,accel=%s,kernel-irqchip=split' % accel,
                 '-cpu', 'host' if accel == 'kvm' else 'max', '-m', str(self.memory_mib),
                 '-smp', str(self.cpus), '-nodefaults', '-no-reboot', '-display', 'none']
        if self.iommu:
            words += ['-device', 'intel-iommu,intremap=on,caching-mode=on']
        words += ['-kernel', os.path.join(KERNEL, 'vmlinux'), '-initrd', initrd,
                  '-append', ' '.join(filter(None, (
                      BOOT_OPTIONS, 'intel_iommu=on' if self.iommu else '', self.boot)))]
        words += ['-chardev', 'file,id=console,path=' + console.replace(',', ',,'),
                  '-serial', 'chardev:console', '-serial', 'stdio']
        words += ['-fsdev', 'local,id=host,path=/,security_model=none,readonly=on,multidevs=remap',
                  '-device', 'virtio-9p-pci,fsdev=host,mount_tag=host']
        for index, disk in enumerate(self.disks):
            words += disk.arguments(index)
        return words + self.qemu


def read_text(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as f:
            return f.read()
    except FileNotFoundError:
        return ''


# --- the initial file system ---------------------------------------------------------------------


def module_paths(names):
    """[(path, parameters)] of the modules and all that they need, in the order of loading."""
    found, order = {}, {}
    for folder, _, files in os.walk(os.path.join(KERNEL, 'modules', 'kernel')):
        for file in files:
            if file.endswith('.ko'):
                found[file[:-3].replace('-', '_')] = os.path.join(folder, file)
    built_in = {os.path.basename(line)[:-3].replace('-', '_') for line in
                read_text(os.path.join(KERNEL, 'modules', 'modules.builtin')).split()}

    def add(name, parameters=''):
        name = name.replace('-', '_')
        if name in built_in or name in order:
            return
        if name not in found:
            raise RuntimeError('the kernel has no module called ' + name)
        for needed in module_needs(found[name]):
            add(needed)
        order[name] = (found[name], parameters)

    for entry in names:
        name, _, parameters = entry.partition(' ')
        add(name, parameters)
    return list(order.values())


def module_needs(path):
    with open(path, 'rb') as f:
        match = re.search(rb'\0depends=([^\0]*)\0', f.read())
    return [name for name in match.group(1).decode().split(',') if name] if match else []


class Cpio:
    """An archive in the kernel's initramfs format ("newc"), uncompressed."""

    def __init__(self, out):
        self.out, self.inode = out, 0

    def entry(self, name, mode, data=b'', device=(0, 0)):
        self.inode += 1
        head = b'070701' + b''.join(b'%08x' % v for v in (
            self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0))
        self.write(head + name.encode() + b'\0')
        self.write(data)

    def write(self, data):
        self.out.write(data + bytes(-len(data) % 4))

    def folder(self, name):
        self.entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        self.entry(name, stat.S_IFREG | mode, data)

    def copy(self, name, path):
        with open(path, 'rb') as f:
            self.file(name, f.read(), stat.S_IMODE(os.stat(path).st_mode))

    def close(self):
        self.inode = -1
        self.entry('TRAILER!!!', 0)


def write_initrd(out, modules, extra_modules, files, job):
    archive = Cpio(out)
    for folder in ('dev', 'proc', 'sys', 'host', 'files', 'ko'):
        archive.folder(folder)
    # The kernel opens it for the first process.
    archive.entry('dev/console', stat.S_IFCHR | 0o600, device=(5, 1))
    archive.copy('init', os.environ['DEVICE_INIT'])
    loads = module_paths(modules)
    for entry in extra_modules:
        path, _, parameters = entry.partition(' ')
        loads += [p for p in module_paths(module_needs(path)) if p not in loads]
        loads.append((path, parameters))
    lines = []
    for path, parameters in loads:
        name = 'ko/' + os.path.basename(path)
        archive.copy(name, path)
        lines.append(('/%s %s' % (name, parameters)).strip())
    archive.file('modules', ('\n'.join(lines) + '\n').encode())
    for path in files:
        archive.copy('files/' + os.path.basename(path), path)
    archive.file('job', job.encode())
    archive.close()
