# SPDX-License-Identifier: BSD-2-Clause
"""Our NVMe driver on diskmap.ko, in a virtual machine with four disks and an IOMMU.

All cases of device_test.c run in one guest, one after the other, as in vfio_test.py. The memory of
all four disks is the first one's, which lends it to the others.
"""
import guest
import known
import module
import tap

DISKS = 4
# For four disks with 128 requests of 1 MiB each, and their driver.
BUFFER_BYTES, BUFFERS = 65536, 8800

JOB = r'''
test=/tmp/files/device_test
parameters=/sys/module/diskmap/parameters
set -- %(disks)s

echo %(buffers)d >$parameters/buffers
for disk; do
    echo diskmap >/sys/bus/pci/devices/$disk/driver_override
    echo $disk >/sys/bus/pci/drivers_probe
    echo 64 >$parameters/buffers # the others have little of their own
done
first=$1 second=$2
specs='diskmap:diskmap0 diskmap:diskmap1 diskmap:diskmap2 diskmap:diskmap3'
set -- $specs
free=$(cat /sys/class/diskmap/diskmap0/buffers_free)

$test bringup $specs || exit
$test sizes $1 || exit
$test sizes $specs || exit
$test interrupts $specs || exit
$test reattach $1 $2 || exit
$test killed $1 || exit
$test stray $1 || exit
dmesg | sed -n 's/^.*\(DMAR: \[DMA .*\)$/# \1/p'

# Whoever owns the device needs no more than that.
nobody='setpriv --reuid=nobody --regid=nogroup --clear-groups --no-new-privs'
chown nobody /dev/diskmap0
$nobody $test interrupts $1 || exit
! $nobody $test bringup $2 >/tmp/out && grep -q 'change its owner' /tmp/out
holds 'a disk that belongs to somebody else is refused'

# Nothing is written after this: the images are compared with what it says.
$test many $specs || exit
[ $(cat /sys/class/diskmap/diskmap0/buffers_free) = $free ]
holds 'all memory has been given back'
[ "$(cat /sys/class/diskmap/*/resets)" = "$(printf '0\n0\n0\n0')" ]
holds 'no controller had to be reset'

# The operator takes a disk back from under us; the kernel waits until we have let go.
taken() {
    $test given-back $1 >/tmp/out &
    until grep -q 'in use' /tmp/out; do sleep 0.05; done
    echo $3 >$2
    wait $!
    holds "a disk in use is taken back by way of $2"
    cat /tmp/out
}
taken $1 /sys/bus/pci/drivers/diskmap/unbind $first
echo %(buffers)d >$parameters/buffers
echo $first >/sys/bus/pci/drivers_probe
taken $1 /sys/bus/pci/devices/$first/remove 1
! dmesg | grep -E 'BUG|WARNING|Oops|Call Trace|general protection' >/tmp/out
holds 'the kernel had nothing to complain of'
'''


def main():
    good, said = module.build()
    if not tap.ok(good, 'there is a module', said):
        return
    images = known.make_images('kmod', DISKS)
    disks = [guest.Disk(path, keep=True, options='mdts=5') for path in images]
    loaded = '%s queue_pairs=4 buffer_bytes=%d' % (module.PATH, BUFFER_BYTES)
    machine = guest.Guest('kmod', disks=disks, files=[known.TEST], extra_modules=[loaded],
                          memory_mib=1408)
    job = JOB % {'disks': ' '.join(guest.Disk.address(i) for i in range(DISKS)),
                 'buffers': BUFFERS}
    result = machine.run(job, seconds=150)
    known.check_faults(result)
    known.check_images(result, images)


tap.run(main, guest.obstacle())
