# SPDX-License-Identifier: BSD-2-Clause
"""Disks whose content is known, and what is looked at when device_test.c has been at them."""
import os
import re
import subprocess

import guest
import tap

DISK_MIB = 64
TEST = os.environ.get('DEVICE_TEST', '')


def make_images(name, count):
    images = [guest.scratch('%s%d.img' % (name, i)) for i in range(count)]
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
