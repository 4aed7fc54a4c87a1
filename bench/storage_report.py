# SPDX-License-Identifier: BSD-2-Clause
"""What is told of reading disks: tables, what they do not show, and charts."""
import os

import plot
from tables import GB, cell_text, columns
from storage_part import PEERS, SIZES_WINDOW, WINDOW_BYTES, WIRE_BYTES, WIRE_PEERS, WIRE_WINDOW

MB, MIB = 1e6, 1 << 20
COLOURS = {'pread': 'raw', 'pread, threads': 'raw-2', 'io_uring': 'nginx',
           'io_uring, polling': 'nginx-2', 'libnvme': 'atlas'}
READ_COLUMNS = (('GB/s', 'bytes_per_s', 1 / GB, '%.3f', True),
                ('reads/s', 'reads_per_s', 1, '%.0f', False),
                ('CPU us/read', 'cpu_us_per_read', 1, '%.2f', False),
                ('p50 us', 'p50_us', 1, '%.0f', True), ('p90 us', 'p90_us', 1, '%.0f', False),
                ('p99 us', 'p99_us', 1, '%.0f', False), ('p99.9 us', 'p999_us', 1, '%.0f', False))
WIRE_COLUMNS = (('GB/s', 'bytes_per_s', 1 / GB, '%.3f', True),
                ('CPU s/GB', 'cpu_s_per_gb', 1, '%.3f', True),
                ('in use MiB', 'in_use_bytes', 1 / MIB, '%.1f', False),
                ('touched MiB', 'touched_bytes', 1 / MIB, '%.1f', False),
                ('misses/kB', 'cache_misses_per_kb', 1, '%.2f', False))
TABLES = (('sizes', 'bytes', READ_COLUMNS,
           'Random reads of one size, %d out at a time; pread alone has 1 (figure 4.8; the '
           'smallest: 4.9)' % SIZES_WINDOW),
          ('windows', 'window', READ_COLUMNS,
           'Random reads of %d bytes, as many out at a time as the window says (figure 4.6)'
           % WINDOW_BYTES),
          ('buffers', 'buffers', WIRE_COLUMNS,
           'From disk to wire, %d bytes at a time, %d out to the disk: 1,024 or 16,384 buffers '
           'that go round (figure 2.3)' % (WIRE_BYTES, WIRE_WINDOW)),
          ('late', 'consumer', WIRE_COLUMNS,
           'The same with 16,384 buffers and a late consumer: reads wait before they are sent, or '
           'the port is late to give buffers back (figure 2.4)'))

NO_DISK = '''\
LIBNVME HERE READS NO DISK: its controller is software in the same thread, which copies from the
page cache. Its rows say what driver, controller and copy take, and must not be compared with those
of pread and io_uring, which wait for a disk. With --nvme vfio:BDF, where there is an NVMe disk,
they can be.'''


class Cells:
    def __init__(self, told):
        self.cells = [c for c in told.get('cells', []) if 'failure' not in c]

    def of(self, what):
        return [c for c in self.cells if c['what'] == what]

    def value(self, what, peer, place, field):
        for c in self.of(what):
            if c['peer'] == peer and place_of(c) == place:
                return c['metrics'].get(field)
        return None

    def places(self, what):
        return list(dict.fromkeys(place_of(c) for c in self.of(what)))


def place_of(cell):
    """What the axis or the first column of its table shows."""
    return cell['window'] if cell['what'] == 'windows' else cell['at']


def in_software(told):
    return any(name.startswith('sim:') for name in told['about']['libnvme']['named'])


def head_text(told):
    lines = ['Reading disks: pread, io_uring and libnvme on one core', '']
    for peer, who in (('io_uring', 'pread and io_uring read'), ('libnvme', 'libnvme reads')):
        lines.append('%s %s' % (who, ', '.join(told['about'][peer]['named'])))
    lines.append('places within the first %.1f GB of each, %.1f s each run; the last-level cache '
                 'has %s; frames go to %s'
                 % (told['range_bytes'] / GB, told['seconds'],
                    '%.0f MiB' % (told['cache_bytes'] / MIB) if told['cache_bytes'] else
                    'an unknown size', told['port']))
    if in_software(told):
        lines += ['', NO_DISK]
    return '\n'.join(lines) + '\n'


def peer_text(told, peer):
    return peer + ' (sim)' if peer == 'libnvme' and in_software(told) else peer


def table_text(told, cells, what, first, fields, title):
    places, found = cells.places(what), cells.of(what)
    if not found:
        return ''
    rows = [[first, 'reads by', *(f[0] for f in fields), 'notes']]
    for cell in sorted(found, key=lambda c: places.index(place_of(c))):
        place = place_of(cell)
        rows.append(['{:,}'.format(place) if isinstance(place, int) else place,
                     peer_text(told, cell['peer']),
                     *(cell_text(cell['metrics'].get(name), scale, form, with_spread)
                       for _, name, scale, form, with_spread in fields),
                     'DROPPED: %d frames' % cell['dropped'] if cell['dropped'] else ''])
    return title + '\n\n' + columns(rows)


def text(results):
    told = results.get('storage') or {}
    if not told.get('about') or not told['cells']:
        return ''
    cells = Cells(told)
    parts = [head_text(told), *(table_text(told, cells, *t) for t in TABLES)]
    return '\n'.join(p for p in parts if p)


def failures(results):
    told = results.get('storage') or {}
    return ['storage %s, %s: %s' % (c['what'], c['peer'], c['failure'])
            for c in told.get('cells', []) if 'failure' in c]


# --- charts -------------------------------------------------------------------------------------


def plot_value(value, scale):
    return value and plot.Value(*(value[k] * scale for k in ('median', 'low', 'high')))


def series(told, cells, what, places, field, scale, peers=PEERS):
    rows = [(peer_text(told, peer), plot.COLOURS[COLOURS[peer]],
             [plot_value(cells.value(what, peer, p, field), scale) for p in places])
            for peer in peers]
    return [row for row in rows if any(row[2])]


def is_round(number):
    """1, 2 or 5 times a power of ten."""
    return float('%.0e' % number) == number and ('%e' % number)[0] in '125'


def plot_distribution(folder, told, cells, warning):
    found = [c for c in cells.of('sizes') if 'distribution' in c]
    if not found:
        return
    steps = [step for step, _ in found[0]['distribution']]
    # From the last step that nobody has reached yet to the first that all have.
    medians = [[v['median'] for v in column] for column in
               zip(*([v for _, v in c['distribution']] for c in found))]
    first = max([i for i, m in enumerate(medians) if max(m) < 0.001], default=0)
    last = min([i for i, m in enumerate(medians) if min(m) > 0.999], default=len(steps) - 1)
    drawn = slice(first, max(last, first + 1) + 1)
    plot.lines(os.path.join(folder, 'storage-latency.svg'),
               'Latency of reads of %d bytes, %d out at a time' % (found[0]['at'], SIZES_WINDOW),
               'pread alone has 1 out; medians, lowest to highest run' + warning,
               'per cent that took no longer', 'microseconds', steps[drawn],
               [(peer_text(told, c['peer']), plot.COLOURS[COLOURS[c['peer']]],
                 [plot_value(v, 100) for _, v in c['distribution'][drawn]]) for c in found],
               labels=[s for s in steps[drawn] if is_round(s)])


def write_plots(results, folder):
    told = results.get('storage') or {}
    if not told.get('about') or not told['cells']:
        return
    cells = Cells(told)
    warning = '; libnvme reads memory, not the disk' if in_software(told) else ''
    words = 'random reads on one core; medians, lowest to highest run' + warning
    for name, what, field, scale, title, label, x_label in (
            ('storage-sizes.svg', 'sizes', 'bytes_per_s', 1 / GB,
             'Throughput over the size of reads, %d out at a time' % SIZES_WINDOW, 'GB/s',
             'bytes of a read'),
            ('storage-window-latency.svg', 'windows', 'p50_us', 1,
             'Latency over the window, %d bytes' % WINDOW_BYTES, 'p50, microseconds',
             'reads out at a time'),
            ('storage-window-throughput.svg', 'windows', 'bytes_per_s', 1 / GB,
             'Throughput over the window, %d bytes' % WINDOW_BYTES, 'GB/s',
             'reads out at a time')):
        places = sorted(cells.places(what))
        if len(places) > 1:
            plot.lines(os.path.join(folder, name), title, words, label, x_label, places,
                       series(told, cells, what, places, field, scale))
    plot_distribution(folder, told, cells, warning)
    words = '%d bytes, %d out to the disk' % (WIRE_BYTES, WIRE_WINDOW)
    if told['cache_bytes']:
        words += ', last-level cache %.0f MiB' % (told['cache_bytes'] / MIB)
    for what, name, title in (('buffers', 'buffers', 'few or many buffers'),
                              ('late', 'late', 'a late consumer')):
        places = cells.places(what)
        for field, suffix, scale, label in (
                ('cpu_s_per_gb', 'cost', 1, 'CPU seconds per GB'),
                ('touched_bytes', 'working-set', 1 / MIB, 'MiB touched')):
            if places:
                plot.bars(os.path.join(folder, 'storage-%s-%s.svg' % (name, suffix)),
                          'From disk to wire with %s: %s' % (title, label),
                          words + warning, label, places,
                          series(told, cells, what, places, field, scale, WIRE_PEERS))
