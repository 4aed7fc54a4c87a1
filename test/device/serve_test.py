# SPDX-License-Identifier: BSD-2-Clause
"""atlas serve from disks that it drives by itself, asked by curl, all in one virtual machine.

A volume is packed here, into the images of two disks, and served there: what comes through
vfio-pci or through diskmap.ko, a TCP of our own and a TAP has to be what was packed. Then another
is packed there, onto the same disks, and served as well.
"""
import hashlib
import os
import random
import shutil
import subprocess

import guest
import module
import tap

ATLAS = os.environ.get('ATLAS', '')
DISKS, DISK_MIB = 2, 64
SIZES = (0, 1, 511, 512, 4096, 65537, 1 << 20, 3000001)
TOOLS = ('curl', 'ip')

JOB = r'''
atlas=/tmp/files/atlas
$atlas disk bind --driver %(driver)s 0000:00:10.0 0000:00:11.0 || exit
specs='%(specs)s'
ip link set lo up

# ask SUMS NAME: everything in SUMS is fetched, eight at a time, and compared.
ask() {
    mkdir -p /tmp/got && cd /tmp/got && rm -f *
    sed 's,.*  ,http://10.0.9.2/,' $1 >/tmp/urls
    xargs -P 8 -n 1 curl -sS -m 60 -O </tmp/urls
    sha256sum --quiet -c $1 >/tmp/out 2>&1
    holds "$2"
    curl -sS -m 20 -r 65530-65545 -o part http://10.0.9.2/$(awk 'END { print $2 }' $1) &&
        tail -c +65531 $(awk 'END { print $2 }' $1) | head -c 16 | cmp - part
    holds 'and a range of one object'
}

# serve SUMS NAME
serve() {
    $atlas serve --port tap:atlas0 --addr 10.0.9.2/24 --host-addr 10.0.9.1/24 \
        --workers %(workers)d --arena 64 $(printf -- '--volume %%s ' $specs) \
        >/tmp/ready 2>/tmp/log &
    server=$!
    until grep -q ready /tmp/ready; do
        if ! kill -0 $server 2>/dev/null; then
            sed 's/^/# /' /tmp/log
            exit 1
        fi
        sleep 0.1
    done
    ask $1 "$2"
    $atlas disk list | grep -q "process $server (atlas) has it" >/tmp/out
    holds 'atlas disk says who has it'
    kill -TERM $server
    wait $server 2>/tmp/out
    holds 'the server ends in order'
    sed 's/^/# /' /tmp/log
}

$atlas disk info 0000:00:11.0 >/tmp/out && grep -q '^  health *good$' /tmp/out &&
    grep -q '^  serial *ATLAS1$' /tmp/out
holds 'atlas disk asks a disk for its health'
$atlas verify $specs >/tmp/out 2>&1
holds 'the volume verifies'
serve /tmp/files/sums 'what was packed elsewhere is served'
mkdir /tmp/tree
head -c 5000000 /dev/urandom >/tmp/tree/new
head -c 70000 /dev/urandom >/tmp/tree/other
(cd /tmp/tree && sha256sum other new) >/tmp/sums
$atlas pack $specs /tmp/tree >/tmp/out 2>&1
holds 'a volume is packed onto the disks'
serve /tmp/sums 'what was packed there is served'
dmesg | grep -i dmar.*fault | sed 's/^/# /'
exit 0
'''


def make_tree(folder):
    """Files of all sizes, and their sums. They lie where the guest finds none of them."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    dice, sums = random.Random(1), []
    for number, size in enumerate(SIZES):
        data = dice.randbytes(size)
        with open(os.path.join(folder, 'o%d' % number), 'wb') as f:
            f.write(data)
        sums.append('%s  o%d\n' % (hashlib.sha256(data).hexdigest(), number))
    return ''.join(sums)


def serve(way, driver, names, **machine):
    tree, sums = guest.scratch('tree'), guest.scratch('sums')
    images = [guest.scratch('%s%d.img' % (way, i)) for i in range(DISKS)]
    with open(sums, 'w', encoding='ascii') as f:
        f.write(make_tree(tree))
    for path in images:
        with open(path, 'wb') as f:
            f.truncate(DISK_MIB << 20)
    subprocess.run([ATLAS, 'pack', *images, tree], stdout=subprocess.DEVNULL, check=True)
    for path in images:
        os.truncate(path, DISK_MIB << 20)
    box = guest.Guest('serve-' + way, disks=[guest.Disk(path) for path in images],
                      files=[ATLAS, sums], **machine)
    result = box.run(JOB % {'driver': driver, 'workers': 2,
                            'specs': ' '.join('%s:%s' % (way, name) for name in names)},
                     seconds=150)
    tap.ok(not result.find('(?i)dmar.*fault'), 'the IOMMU had nothing to stop')
    shutil.rmtree(tree)
    for path in [*images, sums]:
        os.remove(path)


def main():
    disks = [guest.Disk.address(i) for i in range(DISKS)]
    serve('vfio', 'vfio-pci', disks, modules=('nvme', 'vfio-pci', 'vfio_iommu_type1', 'tun'))
    good, said = module.build()
    if tap.ok(good, 'there is a module', said):
        serve('diskmap', 'diskmap', ('diskmap0', 'diskmap1'), modules=('nvme', 'tun'),
              extra_modules=[module.PATH + ' queue_pairs=4 buffers=10240'])


def obstacle():
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    return guest.obstacle() or (missing and 'needs ' + missing[0]) or None


tap.run(main, obstacle())
