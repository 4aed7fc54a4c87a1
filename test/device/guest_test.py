# SPDX-License-Identifier: BSD-2-Clause
"""The virtual machine itself: what every other device test relies on."""
import os

import guest
import tap

JOB = r'''
test $(id -u) = 0 && echo 'ok - the job is root'
test -r /tmp/files/guest_test.py && echo 'ok - it has its files'
touch /usr/x 2>/dev/null || echo 'ok - this machine cannot be changed'
echo x >/tmp/x && echo 'ok - it has a /tmp of its own'
group=$(readlink /sys/bus/pci/devices/%(disk)s/iommu_group)
test -n "$group" && echo 'ok - there is an IOMMU, and the disk is where it should be'
echo not a test
exit 3
'''


def main():
    image = guest.scratch('guest.img')
    with open(image, 'wb') as f:
        f.truncate(1 << 20)
    machine = Quiet('guest', disks=[guest.Disk(image)], files=[os.path.abspath(__file__)])
    result = machine.run(JOB % {'disk': guest.Disk.address(0)}, seconds=50)
    os.remove(image)
    tap.ok(len(result.find('^ok - ')) == 5, 'all of the job was done', *result.lines,
           *result.console.splitlines()[-guest.CONSOLE_TAIL:])
    tap.ok(result.status == 3, 'the exit status of the job comes back')
    tap.ok(not os.path.exists('/usr/x'), 'and really has not been changed')


class Quiet(guest.Guest):
    def judge(self, result, overdue, seconds):
        """Here, a job that fails is what is wanted."""


tap.run(main, guest.obstacle())
