# SPDX-License-Identifier: BSD-2-Clause
"""Our NVMe driver on vfio-pci, in a virtual machine with four disks and an IOMMU.

All cases of device_test.c run in one guest, one after the other. Here it is looked at from outside:
the images that are left have to be what the guest thinks it wrote, and the guest's kernel has to
have seen the IOMMU stop what was to be stopped.
"""
import os
import re
import subprocess

import guest
import tap

DISKS = 4
DISK_MIB = 64
TEST = os.environ.get('DEVICE_TEST', '')

JOB = r'''
test=/tmp/files/device_test
disks='%(disks)s'
set -- $disks

for disk; do
    echo vfio-pci >/sys/bus/pci/devices/$disk/driver_override
    echo $disk >/sys/bus/pci/drivers_probe
done
specs=$(printf 'vfio:%%s ' $disks)
group=/dev/vfio/$(basename $(readlink /sys/bus/pci/devices/$1/iommu_group))

$test bringup $specs || exit
$test sizes vfio:$1 || exit
$test sizes $specs || exit
$test interrupts $specs || exit
$test reattach vfio:$1 vfio:$2 || exit
$test killed vfio:$1 || exit
$test stray vfio:$1 || exit
dmesg | sed -n 's/^.*\(DMAR: \[DMA .*\)$/# \1/p'

# Whoever owns the group needs no more than that, and memory that may be locked.
chown nobody $group
ulimit -l 65536
nobody='setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs'
$nobody $test interrupts vfio:$1 || exit
! $nobody $test interrupts vfio:$2 >/tmp/out && grep -q 'chown it' /tmp/out
holds 'a group that belongs to somebody else is refused'
ulimit -l 1024
! $nobody $test interrupts vfio:$1 >/tmp/out && grep -q 'ulimit -l' /tmp/out
holds 'too low a limit of locked memory is named'
ulimit -l unlimited

# Nothing is written after this: the images are compared with what it says.
$test many $specs || exit

# The operator takes a disk back from under us; the kernel waits until we have let go.
$test given-back vfio:$1 >/tmp/out &
until grep -q 'in use' /tmp/out; do sleep 0.05; done
echo $1 >/sys/bus/pci/drivers/vfio-pci/unbind
wait $! && [ ! -e /sys/bus/pci/devices/$1/driver ]
holds 'a disk in use can be unbound'
$test given-back vfio:$2 >/tmp/out &
until grep -q 'in use' /tmp/out; do sleep 0.05; done
echo 1 >/sys/bus/pci/devices/$2/remove
wait $! && [ ! -e /sys/bus/pci/devices/$2 ]
holds 'a disk in use can be removed'
cat /tmp/out
'''


def make_images():
    images = [guest.scratch('vfio%d.img' % i) for i in range(DISKS)]
    for number, path in enumerate(images):
        subprocess.run([TEST, 'image', path, str(number), str(DISK_MIB)], check=True)
    return images


def check_faults(result):
    """Every stray read has its fault: same address, by the first disk, a write to memory."""
    aimed = [int(m.group(1), 16) for m in result.find(r'^# aimed at 0x([0-9a-f]+)')]
    tap.ok(len(aimed) == 2, 'two reads were aimed outside of the granted memory')
    for address in aimed:
        pattern = (r'DMAR: \[DMA Write.*\] Request device \[00:%02x\.0\] fault addr 0x%x\b'
                   % (guest.FIRST_DISK, address))
        tap.ok(result.find(pattern), 'the IOMMU stopped the one at %#x' % address,
               *[m.string for m in result.find('DMAR')])
    granted = [m.group(0) for m in result.find(r'DMAR: .*fault addr 0x([0-9a-f]+)')
               if not any('%x' % address in m.group(1) for address in aimed)]
    tap.ok(not granted, 'and nothing else', *granted)


def check_images(result, images):
    """The guest's model of each disk, and the file that QEMU wrote, byte by byte."""
    said = {int(m.group(1)): m.group(2) for m in result.find(r'^# digest (\d+) ([0-9a-f]{16})$')}
    for number, path in enumerate(images):
        found = subprocess.run([TEST, 'digest', path], stdout=subprocess.PIPE, text=True,
                               check=True).stdout.strip()
        tap.ok(said.get(number) == found, 'disk %d holds what was written to it' % number,
               'digest %s, not %s' % (found, said.get(number)))
        if not os.environ.get('DEVICE_KEEP'):
            os.remove(path)


def main():
    images = make_images()
    disks = [guest.Disk(path, keep=True, options='mdts=5') for path in images]
    machine = guest.Guest('vfio', modules=('vfio-pci', 'vfio_iommu_type1'), disks=disks,
                          files=[TEST], memory_mib=1408)
    job = JOB % {'disks': ' '.join(guest.Disk.address(i) for i in range(DISKS))}
    result = machine.run(job, seconds=150)
    check_faults(result)
    check_images(result, images)


tap.run(main, guest.obstacle())
