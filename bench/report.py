# SPDX-License-Identifier: BSD-2-Clause
"""From single runs to medians, tables, ratios and charts."""
import json
import os

import plot
import storage_report
import tls_report
from tables import GB, Table, cell_text, columns, spread, verdict

PEER_COLOURS = {'atlas ram': 'atlas', 'atlas disk': 'atlas', 'nginx sendfile': 'nginx',
                'nginx sendfile-threads': 'nginx-2', 'nginx copy': 'nginx-2',
                'nginx copy-threads': 'nginx-3', 'nginx directio-threads': 'nginx-4',
                'fio 60k': 'raw', 'fio 300k': 'raw-2', 'atlas ram-tls': 'atlas-ram',
                'atlas disk-tls': 'atlas-ram', 'nginx tls': 'nginx', 'nginx tls-4k': 'nginx-2',
                'nginx tls-buffers': 'nginx-3', 'nginx tls-threads': 'nginx-4'}
TARGETS = {'memory': 3.0, 'disk': 1.3, 'fio': 0.9, 'core': 1 / 3, 'many': 0.9, 'idle': 512}


# --- text ---------------------------------------------------------------------------------------

COLUMNS = (('GB/s', 'throughput', 1 / GB, '%.3f'), ('GB/core-s', 'per_core_s', 1 / GB, '%.3f'),
           ('GB/proc-s', 'per_process_s', 1 / GB, '%.3f'),
           ('core-s/GB', 'core_s_per_gb', 1, '%.3f'), ('server', 'server_busy', 100, '%.0f%%'),
           ('client', 'client_busy', 100, '%.0f%%'), ('p50 ms', 'p50_ms', 1, '%.1f'),
           ('p99 ms', 'p99_ms', 1, '%.1f'))
WITH_SPREAD = ('throughput', 'per_core_s')
TITLES = {'memory': 'From memory: atlas ram: volume, nginx from the page cache',
          'disk': 'From disk: atlas O_DIRECT, nginx with a page cache too small for the set',
          'memory tls': 'From memory, with TLS and without: a client that does not decrypt',
          'memory tls wrk': 'From memory with TLS: wrk, which decrypts',
          'disk tls': 'From disk, with TLS and without: a client that does not decrypt'}
LIMIT_BUSY = 0.92
NOISE_MAX = 0.05


def notes(connections, peer, cell):
    """What a reader of the row must know."""
    metrics, words = cell['metrics'], []
    words += ['ERRORS (%s): %d' % item for item in sorted(cell['errors'].items())]
    if 'retransmitted' in metrics and metrics['retransmitted']['high'] > 0:
        words.append('segments sent again: %d' % metrics['retransmitted']['high'])
    words += ['dropped (%s): %d' % item for item in sorted(cell['drops'].items())]
    for name in ('client_rx_steered', 'server_rx_steered'):
        if name in metrics and metrics[name]['median'] < 0.9:
            words.append('NOT STEERED (%s)' % name.split('_')[0])
    if 'up' in metrics and metrics['up']['low'] < connections:
        words.append('ONLY %d CONNECTED' % metrics['up']['low'])
    if metrics['server_busy']['median'] > LIMIT_BUSY:
        words.append('server core full')
    if not peer.startswith('fio') and metrics['client_busy']['median'] > LIMIT_BUSY:
        words.append('client core full')
    return ', '.join(words)


def scenario_text(table, scenario):
    rows = [['connections', 'server', *(c[0] for c in COLUMNS), 'notes']]
    keys = sorted((k for k in table.cells if k[0] == scenario), key=lambda k: k[2])
    for key in keys:
        metrics = table.cells[key]['metrics']
        rows.append(['{:,}'.format(key[2]) if key[2] else '-', key[1],
                     *(cell_text(metrics.get(name), scale, form, name in WITH_SPREAD)
                       for _, name, scale, form in COLUMNS),
                     notes(key[2], key[1], table.cells[key])])
    if len(rows) == 1:
        return ''
    return TITLES[scenario] + '\n\n' + columns(rows)


# --- the ratios that matter ---------------------------------------------------------------------


def summary_memory(table):
    for n in table.connections('memory', ['atlas ram']):
        ours = table.median('memory', 'atlas ram', n, 'per_core_s')
        theirs, peer = table.best('memory', 'nginx', n, 'per_core_s')
        if ours and theirs:
            yield verdict('memory, %d connections: bytes per server-core second, atlas / %s'
                          % (n, peer), ours / theirs, TARGETS['memory'])


def summary_disk(table):
    raw, how = table.best('disk', 'fio', 0, 'throughput')
    for n in table.connections('disk', ['atlas disk']):
        ours = table.median('disk', 'atlas disk', n, 'throughput')
        theirs, peer = table.best('disk', 'nginx', n, 'throughput')
        if ours and theirs:
            yield verdict('disk, %d connections: throughput, atlas / %s' % (n, peer),
                          ours / theirs, TARGETS['disk'])
        if ours and raw:
            yield verdict('disk, %d connections: throughput, atlas / %s' % (n, how), ours / raw,
                          TARGETS['fio'])
        cost = table.median('disk', 'atlas disk', n, 'core_s_per_gb')
        theirs, peer = table.best('disk', 'nginx', n, 'core_s_per_gb', min)
        if cost and theirs:
            yield verdict('disk, %d connections: server-core time per GB, atlas / %s' % (n, peer),
                          cost / theirs, TARGETS['core'], at_least=False)


def summary_many(table):
    for scenario, peer in (('disk', 'atlas disk'), ('memory', 'atlas ram')):
        few = table.median(scenario, peer, 100, 'throughput')
        many = table.median(scenario, peer, 10000, 'throughput')
        if few and many:
            yield verdict('%s: throughput with 10,000 connections / with 100' % peer, many / few,
                          TARGETS['many'])


def summary_idle(idle):
    for row in idle:
        words = '%s: bytes per idle connection, %d connections' % (row['peer'], row['count'])
        if row['peer'] == 'atlas disk-tls':
            yield '        %s: %.0f' % (words, row['bytes_each'])
        elif row['peer'].startswith('atlas'):
            yield verdict(words, row['bytes_each'], TARGETS['idle'], at_least=False, form='%.0f')
            if row.get('own_figure'):
                yield '        what atlas itself says of that: %.0f' % row['own_figure']
        else:
            yield '        %s: %.0f, and the kernel\'s sockets beside it' % (words,
                                                                            row['bytes_each'])


def instructions_text(rows):
    if not rows:
        return ''
    head = [['trace', 'turns', 'bytes/turn', 'instructions/turn', 'and copying']]
    body = [[r['trace'], '{:,}'.format(r['turns']), '{:,.0f}'.format(r['bytes_per_turn']),
             '{:,.0f}'.format(r['instructions_per_turn'] - r['copying_per_turn']),
             '{:,.0f}'.format(r['copying_per_turn'])] for r in rows]
    return ('Instructions of a turn, in which an ACK arrives and frames leave (callgrind; copying '
            'is memcpy alone,\nwhere an instruction may be a byte)\n\n' + columns(head + body))


def reads_text(rows):
    if not rows:
        return ''
    head = [['reads/doorbell', 'driver', 'controller in software']]
    body = [['%d' % r['per_doorbell'], '{:,.0f}'.format(r['driver']),
             '{:,.0f}'.format(r['controller'])] for r in rows]
    return 'Instructions of a 4 KiB read by the NVMe driver (callgrind)\n\n' + columns(head + body)


def steering_text(rows):
    if not rows:
        return ''
    head = [['server', 'received packets steered', 'GB/core-s', 'softirq core 0',
             'softirq core 1']]
    body = [[r['peer'], 'yes' if r['steered'] else 'no', '%.3f' % (r['per_core_s'] / GB),
             '%.2f s/GB' % r['server_softirq_s_per_gb'], '%.2f s/GB' % r['client_softirq_s_per_gb']]
            for r in rows]
    return 'What steering does: who pays for received packets (memory, 100 connections)\n\n' + \
        columns(head + body)


def limits_text(limits):
    if not limits:
        return ''
    lines = ['What one core can take, on pipes', '']
    if 'synflood' in limits:
        s = spread([r['syns_per_s'] for r in limits['synflood']])
        lines.append('SYNs answered: {:,.0f} a second ({:,.0f} to {:,.0f})'.format(
            s['median'], s['low'], s['high']))
    if 'mbox' in limits:
        s = spread([r['packets_per_s'] for r in limits['mbox']])
        lines.append('middlebox: {:,.0f} packets a second ({:,.0f} to {:,.0f})'.format(
            s['median'], s['low'], s['high']))
    for row in limits.get('million', ()):
        few, many = row['active_only'], row['with_idle']
        lines.append('{:,} connections, {:,} of them active: {:,.0f} MiB of the server\'s memory, '
                     '{:,.0f} bytes each; the active ones are answered in {:.2f} times the time '
                     'without the idle ones'.format(
                         many['connections'], few['connections'], many['server_bytes'] / 2**20,
                         many['bytes_per_connection'], row['slower']))
    if 'nvme_null' in limits:
        s = spread([r['reads_per_s'] for r in limits['nvme_null']])
        lines.append('NVMe driver and a controller in software that takes no time: {:,.1f} million '
                     'reads a second ({:,.1f} to {:,.1f})'.format(
                         s['median'] / 1e6, s['low'] / 1e6, s['high'] / 1e6))
    for cipher in ('aes_128_gcm', 'aes_256_gcm', 'chacha20_poly1305'):
        rows = [r[cipher] for r in limits.get('seal', ())]
        if rows:
            rate, peer, times = (spread([r[key] for r in rows]) for key in
                                 ('tlsrec_per_s', 'openssl_per_s', 'tlsrec_over_library'))
            lines.append('records sealed in place, {}: {:.1f} GB/s ({:.1f} to {:.1f}), {:.2f} '
                         'times the time of the cipher library alone; OpenSSL {:.1f} GB/s'.format(
                             cipher, rate['median'] / 1e9, rate['low'] / 1e9, rate['high'] / 1e9,
                             times['median'], peer['median'] / 1e9))
    return '\n'.join(lines) + '\n'


def text(results):
    table = Table(results['runs'])
    parts = [machine_text(results['machine'], results['settings'])]
    parts += [noise_text(results['noise'])] + [scenario_text(table, s) for s in TITLES]
    parts += [steering_text(results.get('steering')), instructions_text(results['instructions']),
              reads_text(results.get('reads')),
              limits_text(results.get('limits')), tls_report.text(results),
              storage_report.text(results)]
    lines = [*summary_memory(table), *summary_disk(table), *summary_many(table),
             *summary_idle(results['idle']), *tls_report.summary(results, table)]
    if lines:
        parts.append('Summary (medians)\n\n' + '\n'.join(lines) + '\n')
    failures = ['%s, %s, %s connections: %s' % (*key, why) for key, why in table.failures]
    failures += tls_report.failures(results) + storage_report.failures(results)
    if failures:
        parts.append('Runs that failed\n\n' + '\n'.join(failures) + '\n')
    return '\n'.join(p for p in parts if p)


def noise_text(noise):
    highest = max(noise['before'].values(), default=0), max(noise['after'].values(), default=0)
    if max(highest) <= NOISE_MAX:
        return ''
    return ('THE MACHINE WAS NOT QUIET: a core was %.0f %% busy before the first run, and %.0f %% '
            'after the last.\nWhat is said of core time counts that in; GB/proc-s (the time of '
            'the server\'s own processes) does not.\n' % tuple(100 * h for h in highest))


def machine_text(machine, settings):
    lines = ['%s: %s' % item for item in machine.items()]
    lines.append('settings: ' + ', '.join('%s %s' % item for item in settings.items()))
    return '\n'.join(lines) + '\n'


# --- files --------------------------------------------------------------------------------------


def condensed(results):
    """What is kept in the repository: medians, not every run."""
    table = Table(results['runs'])
    cells = [{'scenario': s, 'peer': p, 'connections': c, **table.cells[s, p, c]}
             for s, p, c in sorted(table.cells)]
    storage = {k: v for k, v in results['storage'].items() if k != 'runs'}
    return {**{k: v for k, v in results.items() if k != 'runs'}, 'cells': cells,
            'storage': storage}


def write_json(path, value):
    with open(path, 'w') as f:
        json.dump(value, f, indent=1, sort_keys=True)
        f.write('\n')


def plot_value(table, scenario, peer, connections, metric, scale):
    value = table.value(scenario, peer, connections, metric)
    return value and plot.Value(*(value[k] * scale for k in ('median', 'low', 'high')))


def plot_bars(table, folder, name, scenario, metric, scale, title, label, counts):
    counts = [c for c in table.connections(scenario) if c in counts]
    if not counts:
        return
    series = []
    for peer in table.peers(scenario):
        # What has no connections (fio) is the same beside each group.
        row = [plot_value(table, scenario, peer, 0 if peer.startswith('fio') else c, metric, scale)
               for c in counts]
        if any(row):
            series.append((peer, plot.COLOURS[PEER_COLOURS[peer]], row))
    plot.bars(os.path.join(folder, name), title, '300 KB objects, kept-alive connections; one core '
              'for the server; medians, lowest to highest run', label,
              ['{:,} connections'.format(c) for c in counts], series)


def plot_lines(table, folder, name, metric, scale, title, label):
    series, xs = [], set()
    for scenario, prefix, words, colour in (
            ('disk', 'atlas', 'atlas, disk', 'atlas'),
            ('memory', 'atlas', 'atlas, ram', 'atlas-ram'),
            ('disk', 'nginx', 'nginx, disk', 'nginx'),
            ('memory', 'nginx', 'nginx, page cache', 'nginx-2')):
        peers = table.peers(scenario, prefix)
        if peers:  # of several, the one that was measured over the whole range
            peer = max(peers, key=lambda p: len(table.connections(scenario, [p])))
            series.append((words, plot.COLOURS[colour], scenario, peer))
            xs.update(table.connections(scenario, [peer]))
    xs = sorted(xs)
    if len(xs) > 1:
        plot.lines(os.path.join(folder, name), title, '300 KB objects, all connections busy; one '
                   'core for the server; medians, lowest to highest run', label,
                   'concurrent connections', xs,
                   [(words, colour, [plot_value(table, s, p, x, metric, scale) for x in xs])
                    for words, colour, s, p in series])


def write_plots(results, folder):
    table = Table(results['runs'])
    counts = results['settings']['connections']
    plot_bars(table, folder, 'memory.svg', 'memory', 'per_core_s', 1 / GB,
              'From memory: what a busy second of the server\'s core delivers',
              'GB per busy core-second', counts)
    plot_bars(table, folder, 'disk.svg', 'disk', 'throughput', 1 / GB,
              'From disk: throughput', 'GB/s', counts)
    plot_bars(table, folder, 'disk-cost.svg', 'disk', 'core_s_per_gb', 1,
              'From disk: what a gigabyte costs the server\'s core', 'busy core-seconds per GB',
              counts)
    plot_bars(table, folder, 'tls-memory.svg', 'memory tls', 'per_core_s', 1 / GB,
              'TLS from memory: what a busy second of a core delivers',
              'GB per busy core-second', counts)
    plot_bars(table, folder, 'tls-disk.svg', 'disk tls', 'throughput', 1 / GB,
              'TLS from disk: throughput', 'GB/s', counts)
    tls_report.write_plots(results, folder)
    storage_report.write_plots(results, folder)
    plot_lines(table, folder, 'connections.svg', 'throughput', 8 / GB,
               'Throughput over connections', 'Gb/s')
    plot_lines(table, folder, 'cores.svg', 'server_busy', 100,
               'How busy the server\'s core is', 'per cent of the core')


def write_all(results, folder, keep_runs):
    os.makedirs(folder, exist_ok=True)
    write_json(os.path.join(folder, 'results.json'), results if keep_runs else condensed(results))
    with open(os.path.join(folder, 'report.txt'), 'w') as f:
        f.write(text(results))
    write_plots(results, folder)
