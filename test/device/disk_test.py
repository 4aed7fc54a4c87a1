# SPDX-License-Identifier: BSD-2-Clause
"""atlas disk, in a virtual machine: who has which disk, how it is, and changing that."""
import os
import subprocess

import guest
import tap

ATLAS, TEST = os.environ.get('ATLAS', ''), os.environ.get('DEVICE_TEST', '')
DISKS, DISK_MIB = 4, 64
MODULES = ('nvme', 'vfio-pci', 'vfio_iommu_type1', 'crc32c_generic', 'ext4', 'loop')

JOB = r'''
atlas=/tmp/files/atlas
test=/tmp/files/device_test
a=0000:00:10.0 b=0000:00:11.0 c=0000:00:12.0 d=0000:00:13.0

driver() { basename "$(readlink /sys/bus/pci/devices/$1/driver)"; }
# says PATTERN STATUS NAME COMMAND...: its exit status, and a line among what it prints.
says() {
    pattern=$1 wanted=$2 name=$3
    shift 3
    "$@" >/tmp/out 2>&1
    status=$?
    [ $status = $wanted ] && grep -Eq -- "$pattern" /tmp/out
    holds "$name"
}

until [ -b /dev/nvme0n1 -a -b /dev/nvme1n1 -a -b /dev/nvme2n1 -a -b /dev/nvme3n1 ]; do
    sleep 0.1
done

says "^$a +nvme +nvme0 +[0-9]+ +0.1 +QEMU NVMe Ctrl +-$" 0 'a disk of the kernel is listed' \
    $atlas disk list
[ $(grep -c '^0000:' /tmp/out) = 4 ]
holds 'and so are the others'

says '^  health +good' 0 'health by way of the kernel' $atlas disk info nvme0
grep -q '^  temperature *50 C$' /tmp/out && grep -q '^  model *QEMU NVMe Ctrl$' /tmp/out &&
    grep -q '^  serial *ATLAS0$' /tmp/out && grep -q 'blocks of 512 bytes' /tmp/out &&
    grep -Eq '^  IOMMU group +[0-9]+$' /tmp/out && grep -q '^  used by *nobody$' /tmp/out
holds 'with model, temperature, namespace, group and user'

# What is in use is refused, whoever uses it, and stays as it was.
mkdir /tmp/mnt
mkfs.ext4 -q /dev/nvme0n1 && mount /dev/nvme0n1 /tmp/mnt
says 'in use: nvme0n1 is mounted on /tmp/mnt' 1 'a mounted disk is refused' \
    $atlas disk bind nvme0
says "^$a .* nvme0n1 is mounted on /tmp/mnt$" 0 'and listed as mounted' $atlas disk list
umount /tmp/mnt
unshare -m sh -c 'mount /dev/nvme0n1 /tmp/mnt && touch /tmp/hidden && sleep 1000' &
hidden=$!
until [ -e /tmp/hidden ]; do sleep 0.1; done
says 'in use: nvme0n1 is held' 1 'a disk that is mounted out of sight is refused' \
    $atlas disk bind $a
kill $hidden
pkill -P $hidden
wait $hidden 2>/dev/null
mkswap -q /dev/nvme1n1 >/dev/null && swapon /dev/nvme1n1
says 'in use: nvme1n1 is swap' 1 'swap is refused' $atlas disk bind $b
swapoff /dev/nvme1n1
exec 7</dev/nvme2n1
says 'in use: process [0-9]+ \(bash\) has it' 1 'a disk that a process has is refused' \
    $atlas disk bind nvme2n1
exec 7<&-
exec 7</dev/ng2n1
says 'in use: process [0-9]+ \(bash\) has it' 1 'also by its generic file' \
    $atlas disk bind nvme2n1
exec 7<&-
losetup /dev/loop0 /dev/nvme1n1
says 'in use: nvme1n1 is what loop0 lies on' 1 'a disk below a loop device is refused' \
    $atlas disk bind $b
losetup -d /dev/loop0
mount --bind /dev/full /sys/bus/pci/drivers/nvme/unbind
says "$d does not change hands" 1 'a driver that keeps its disk is told' $atlas disk bind $d
umount /sys/bus/pci/drivers/nvme/unbind
[ "$(cat /sys/bus/pci/devices/$d/driver_override)" = '(null)' ]
holds 'and nobody else is meant to have it'
[ "$(driver $a) $(driver $b) $(driver $c)" = 'nvme nvme nvme' ]
holds 'they all stayed where they were'

# There and back.
says . 1 'who is nobody cannot bind' \
    setpriv --reuid=nobody --regid=nogroup --clear-groups $atlas disk bind $d
[ "$(driver $d)" = nvme ]
holds 'and changes nothing'
$atlas disk bind --owner nobody nvme3n1 >/tmp/out 2>&1 && [ "$(driver $d)" = vfio-pci ] &&
    [ ! -e /dev/nvme3n1 ]
holds 'a disk is bound to vfio-pci'
group=$(basename $(readlink /sys/bus/pci/devices/$d/iommu_group))
[ "$(stat -c %%U /dev/vfio/$group)" = nobody ]
holds 'its group belongs to who was named'
$atlas disk bind $d >/tmp/out 2>&1 && [ ! -s /tmp/out ]
holds 'binding it again changes nothing'
says "^$d +vfio-pci +vfio0 +$group +- +- +-$" 0 'it is listed as ours' $atlas disk list
says '^  health +good' 0 'health by way of our driver' $atlas disk info 00:13.0
grep -q '^  temperature *50 C$' /tmp/out && grep -q '^  serial *ATLAS3$' /tmp/out &&
    grep -q 'blocks of 512 bytes' /tmp/out
holds 'with serial number, temperature and namespace'
says '^  health +good' 0 'its owner can ask it as well' \
    setpriv --reuid=nobody --regid=nogroup --clear-groups $atlas disk info $d

$test given-back vfio:$d >/tmp/given-back &
victim=$!
until grep -q 'in use' /tmp/given-back; do sleep 0.1; done
says 'in use: process [0-9]+ \(device_test\) has it' 1 'a disk that a process drives is refused' \
    $atlas disk unbind $d
says 'only the process that has the disk' 0 'and cannot be asked' $atlas disk info $d
kill $victim
wait $victim 2>/dev/null
$atlas disk unbind $d >/tmp/out 2>&1 && [ "$(driver $d)" = nvme ]
holds 'a disk is given back to the kernel'
until [ -b /dev/nvme3n1 ]; do sleep 0.1; done
cmp -n 1048576 /dev/nvme3n1 /tmp/files/first
holds 'which finds on it what was there before'

# Mistakes.
says 'no NVMe disk' 1 'an unknown disk' $atlas disk bind 0000:00:1f.0
says 'modprobe diskmap' 1 'a driver that is not there' $atlas disk bind --driver diskmap $d
says 'vfio-pci or diskmap' 2 'a driver of another kind' $atlas disk bind --driver e1000 $d
says 'no user' 2 'an unknown owner' $atlas disk bind --owner nosuchuser $d
says 'which disk' 2 'no disk' $atlas disk bind
says 'nothing to do with disks' 2 'no such command' $atlas disk format $d
[ "$(driver $d)" = nvme ]
holds 'none of which changed anything'
exit 0
'''


def main():
    images = [guest.scratch('disk%d.img' % i) for i in range(DISKS)]
    for number, path in enumerate(images):
        subprocess.run([TEST, 'image', path, str(number), str(DISK_MIB)], check=True)
    first = guest.scratch('first')
    with open(images[3], 'rb') as image, open(first, 'wb') as f:
        f.write(image.read(1 << 20))
    machine = guest.Guest('disk', modules=MODULES, disks=[guest.Disk(path) for path in images],
                          files=[ATLAS, TEST, first])
    machine.run(JOB % (), seconds=100)
    for path in [*images, first]:
        os.remove(path)


tap.run(main, guest.obstacle())
