# SPDX-License-Identifier: BSD-2-Clause
"""diskmap.ko, driven by hand, in a virtual machine with two disks and an IOMMU.

It is built here, for the kernel that the machine boots; a warning of the compiler is a failure. The
cases of module_test.c and module_misuse.c run in one guest, one after the other; a second guest,
without an IOMMU, sees the module refuse to take a disk.
"""
import os
import subprocess

import guest
import module
import tap

DISKS = 2
DISK_MIB = 16
ONES = '0000:00:1e.0'  # memory that a test puts in the place of a disk's registers
TEST = os.environ.get('MODULE_TEST', '')

JOB = r'''
test=/tmp/files/module_test
first=%(first)s
bind() {
    echo diskmap >/sys/bus/pci/devices/$1/driver_override
    echo $1 >/sys/bus/pci/drivers_probe
}
unbind() {
    echo $1 >/sys/bus/pci/drivers/diskmap/unbind
}

[ ! -e /dev/diskmap0 ]
holds 'the module takes no disk by itself'
bind $first
bind %(second)s
set -- /dev/diskmap0 /dev/diskmap1
[ "$(stat -c %%a:%%U $1)" = 600:root ]
holds 'the device is for root alone'
[ "$(cat /sys/class/diskmap/diskmap1/serial)" = ATLAS1 ]
holds 'sysfs says which disk it is'

$test borrow $1 $2 || exit # first, since it wants to know what is on a disk
$test attach $1 $2 || exit
$test reattach $1 || exit
$test refused $1 || exit
$test pinned $1 || exit
$test watched $1 || exit
$test held $1 || exit
$test renewed $1 || exit
$test together $1 || exit
$test killed $1 || exit
$test restart $1 || exit
$test reset $1 || exit
$test stray $1 || exit
dmesg | sed -n 's/^.*\(DMAR: \[DMA .*\)$/# \1/p'
$test fuzz $1 || exit
$test trouble $1 || exit
awk '/diskmap0-[1-9]/ { n += $2 + $3 } END { exit n < 100 }' /proc/interrupts
holds 'there were interrupts'

exec 3<>$1
! $test unload-module 2>/tmp/out && grep -q temporarily /tmp/out
holds 'the module stays as long as it is in use'
exec 3<&-
for i in 1 2 3; do
    $test unload-module && [ ! -e $1 ]
    holds 'it is unloaded'
    parameters="queue_pairs=4 buffers=512 buffer_bytes=$((4096 << i))"
    $test load-module /tmp/files/diskmap.ko "$parameters" &&
        [ $(cat /sys/class/diskmap/diskmap0/buffer_bytes) = $((4096 << i)) ]
    holds "and loaded with $parameters"
    $test reattach $1 || exit
done

$test gone $1 || exit
bind $first
$test vanished $1 %(ones)s || exit
unbind $first
bind $first
$test dead $1 || exit
[ $(cat /sys/class/diskmap/diskmap0/state) = dead ]
holds 'sysfs says that it is dead'
unbind $first
bind $first
$test reattach $1 || exit
! dmesg | grep -E 'BUG|WARNING|Oops|Call Trace|general protection' >/tmp/out
holds 'the kernel had nothing to complain of'
'''

UNSAFE_JOB = r'''
test=/tmp/files/module_test
echo diskmap >/sys/bus/pci/devices/%(disk)s/driver_override
echo %(disk)s >/sys/bus/pci/drivers_probe
[ ! -e /dev/diskmap0 ] && dmesg | grep -q 'no IOMMU confines'
holds 'refused without an IOMMU'
echo 1 >/sys/module/diskmap/parameters/unsafe
echo 256 >/sys/module/diskmap/parameters/buffers
echo %(disk)s >/sys/bus/pci/drivers_probe
[ "$(cat /sys/class/diskmap/diskmap0/confined)" = 0 ]
holds 'and taken when told to'
[ $(($(cat /proc/sys/kernel/tainted) & 64)) = 64 ]
holds 'which the kernel does not forget'
$test reattach /dev/diskmap0 || exit
$test pinned /dev/diskmap0 || exit
$test rawio /dev/diskmap0 || exit
'''


def make_images():
    images = [guest.scratch('module%d.img' % i) for i in range(DISKS)]
    for number, path in enumerate(images):
        subprocess.run([TEST, 'image', path, str(number), str(DISK_MIB)], check=True)
    return images


def check_faults(result):
    """Every stray read has its fault: its address, by its disk, a write to memory."""
    aimed = [int(m.group(1), 16) for m in result.find(r'^# aimed at 0x([0-9a-f]+)')]
    tap.ok(len(aimed) == 2, 'two reads were aimed at memory that the disk must not reach')
    for address in aimed:
        pattern = (r'DMAR: \[DMA Write.*\] Request device \[00:%02x\.0\] fault addr 0x%x\b'
                   % (guest.FIRST_DISK, address))
        tap.ok(result.find(pattern), 'the IOMMU stopped the one at %#x' % address,
               *[m.string for m in result.find('DMAR')])


def main():
    good, said = module.build(again=True)
    if not tap.ok(good, 'the module is built without a warning', said):
        return
    images = make_images()
    loaded = module.PATH + ' queue_pairs=4 buffers=2048 buffer_bytes=8192'
    blocks = 'logical_block_size=4096,physical_block_size=4096'
    machine = guest.Guest('module', files=[TEST, module.PATH], memory_mib=768, cpus=2,
                          qemu=['-object', 'memory-backend-ram,id=ones,size=16K,share=on',
                                '-device', 'ivshmem-plain,memdev=ones,addr=0x1e'],
                          boot='iomem=relaxed',  # registers can be mapped beside their driver
                          disks=[guest.Disk(images[0], options='mdts=5'),
                                 guest.Disk(images[1], options=blocks)],
                          extra_modules=[loaded])
    result = machine.run(JOB % {'first': guest.Disk.address(0), 'second': guest.Disk.address(1),
                                'ones': ONES}, seconds=120)
    check_faults(result)
    machine = guest.Guest('unsafe', files=[TEST], disks=[guest.Disk(images[0])], iommu=False,
                          extra_modules=[module.PATH])
    machine.run(UNSAFE_JOB % {'disk': guest.Disk.address(0)}, seconds=40)
    for path in images:
        os.remove(path)


tap.run(main, guest.obstacle())
