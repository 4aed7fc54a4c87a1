# SPDX-License-Identifier: BSD-2-Clause
"""Our NVMe driver on vfio-pci, in a virtual machine with four disks and an IOMMU.

All cases of device_test.c run in one guest, one after the other. Here it is looked at from outside:
the images that are left have to be what the guest thinks it wrote, and the guest's kernel has to
have seen the IOMMU stop what was to be stopped.
"""
import guest
import known
import tap

DISKS = 4

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


def main():
    images = known.make_images('vfio', DISKS)
    disks = [guest.Disk(path, keep=True, options='mdts=5') for path in images]
    machine = guest.Guest('vfio', modules=('vfio-pci', 'vfio_iommu_type1'), disks=disks,
                          files=[known.TEST], memory_mib=1408)
    job = JOB % {'disks': ' '.join(guest.Disk.address(i) for i in range(DISKS))}
    result = machine.run(job, seconds=150)
    known.check_faults(result)
    known.check_images(result, images)


tap.run(main, guest.obstacle())
