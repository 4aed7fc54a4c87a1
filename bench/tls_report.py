# SPDX-License-Identifier: BSD-2-Clause
"""What is told of TLS: tables of handshakes, of those who waited meanwhile and of first bytes, the
ratios that matter, and charts. The streams are in the tables of all streams."""
import os

import plot
from tables import cell_text, columns, spread, verdict
from tls_part import HANDSHAKE_CLIENTS, PROBES, PROBE_INTERVAL_US

# At least: of the throughput without TLS from disk; of the bytes of a core-second without TLS from
# memory; of the bytes of a core-second of nginx; of nginx's handshakes.
DISK_SHARE, MEMORY_SHARE, TIMES_NGINX, TIMES_HANDSHAKES = 0.95, 0.65, 5.0, 1.0
# At most: of nginx's waiting times. From far away no round trip more, which would be a tenth of the
# longest time.
TIMES_WAIT, TIMES_WIDE = 1.0, 1.05
HANDSHAKES = {('full', 'ecdsa'): 'full, ECDSA P-256', ('full', 'rsa'): 'full, RSA 2048',
              ('resumed', 'ecdsa'): 'resumed'}
KINDS = {'full': 'full handshake', 'resumed': 'resumed'}
SERVERS = ('atlas ram-tls', 'nginx tls')
COLOURS = {'atlas': 'atlas', 'atlas ram-tls': 'atlas', 'nginx tls': 'nginx',
           'nginx tls-4k': 'nginx-2'}
CORE_FULL = 0.92


class Rows:
    """Rows by a key of some of their fields, in the order in which they came."""

    def __init__(self, rows, *fields):
        self.groups = {}
        for row in rows:
            if 'failure' not in row:
                self.groups.setdefault(tuple(row[f] for f in fields), []).append(row)

    def peers(self):
        return list(dict.fromkeys(key[0] for key in self.groups))

    def value(self, key, field):
        rows = self.groups.get(key)
        return spread([row[field] for row in rows]) if rows else None

    def median(self, key, field):
        value = self.value(key, field)
        return value['median'] if value else None

    def worst(self, key, field):
        """Of dicts that count by kind: the most of each kind in any row."""
        most = {}
        for row in self.groups[key]:
            for kind, count in row.get(field, {}).items():
                most[kind] = max(most.get(kind, 0), count)
        return most


class Tls:
    def __init__(self, results):
        told = results.get('tls') or {}
        runs = told.get('runs', [])
        self.told = told
        self.failures = [r for r in runs if 'failure' in r]
        self.handshakes = Rows([r for r in runs if r['what'] == 'handshakes'],
                               'peer', 'kind', 'key')
        self.others = Rows([r for r in runs if r['what'] == 'others'], 'peer', 'beside')
        self.wide = Rows([r for r in runs if r['what'] == 'wide'], 'peer', 'kind')


# --- text ---------------------------------------------------------------------------------------


def error_words(errors):
    return ['ERRORS (%s): %d' % item for item in sorted(errors.items())]


def handshakes_text(tls):
    rows = [['handshake', 'server', 'per second', 'per core-s', 'core-us each', 'proc-us each',
             'server', 'client', 'p50 ms', 'p99 ms', 'notes']]
    h = tls.handshakes
    for key in sorted(h.groups, key=lambda k: list(HANDSHAKES).index(k[1:])):
        notes = error_words(h.worst(key, 'errors'))
        wrong = max(row['wrong_kind'] for row in h.groups[key])
        if wrong:
            notes.append('NOT OF THIS KIND: %d' % wrong)
        for side in ('server', 'client'):
            if h.median(key, side + '_busy') > CORE_FULL:
                notes.append(side + ' core full')
        rows.append([HANDSHAKES[key[1:]], key[0], cell_text(h.value(key, 'per_s'), 1, '%.0f', True),
                     cell_text(h.value(key, 'per_core_s'), 1, '%.0f', True),
                     *('%.0f' % h.median(key, f) for f in ('core_us', 'process_us')),
                     *('%.0f%%' % (100 * h.median(key, f)) for f in ('server_busy', 'client_busy')),
                     *('%.1f' % h.median(key, f) for f in ('p50_ms', 'p99_ms')), ', '.join(notes)])
    if len(rows) == 1:
        return ''
    return ('Handshakes: TCP, TLS 1.3, one request for 1 KB, close_notify and FIN both ways; %d '
            'clients at a time\n\n' % HANDSHAKE_CLIENTS + columns(rows))


def others_text(tls):
    rows = [['server', 'beside it', 'p50 ms', 'p99 ms', 'requests', 'server', 'client', 'notes']]
    o = tls.others
    for key in sorted(o.groups, key=lambda k: k[1], reverse=True):
        beside = key[1]
        if beside == 'handshakes':
            beside = '%.0f RSA handshakes a second' % o.median(key, 'handshakes_per_s')
        notes = error_words({**o.worst(key, 'flood_errors'), **o.worst(key, 'errors')})
        rows.append([key[0], beside, *(cell_text(o.value(key, f), 1, '%.2f', True)
                                       for f in ('p50_ms', 'p99_ms')),
                     '%.0f' % o.median(key, 'requests'),
                     *('%.0f%%' % (100 * o.median(key, f)) for f in ('server_busy', 'client_busy')),
                     ', '.join(notes)])
    if len(rows) == 1:
        return ''
    return ('Who waits meanwhile: requests for 1 KB on %d TLS connections that stand, every %d ms '
            'on each\n\n' % (PROBES, PROBE_INTERVAL_US // 1000) + columns(rows))


def wide_text(tls):
    rows = [['client', 'server', 'TCP ms', 'TLS ms', 'first byte ms', 'first MB ms', 'notes']]
    w = tls.wide
    for key in sorted(w.groups, key=lambda k: list(KINDS).index(k[1])):
        late = sum(bool(row['late']) for row in w.groups[key])
        rows.append([KINDS[key[1]], key[0],
                     *(cell_text(w.value(key, f), 1, '%.0f', f in ('first_ms', 'mb_ms'))
                       for f in ('connect_ms', 'greet_ms', 'first_ms', 'mb_ms')),
                     'NETWORK WAS LATE: %d' % late if late else ''])
    if len(rows) == 1:
        return ''
    return ('From %d ms away, %.0f Mbit/s, no loss: time since the SYN\n\n'
            % (tls.told['wide_rtt_ms'], tls.told['wide_rate_bps'] / 1e6) + columns(rows))


def text(results):
    tls = Tls(results)
    return '\n'.join(p for p in (handshakes_text(tls), others_text(tls), wide_text(tls)) if p)


def failures(results):
    return ['%s, %s: %s' % (r['what'], r['peer'], r['failure']) for r in Tls(results).failures]


# --- the ratios that matter ---------------------------------------------------------------------


def summary_streams(table):
    for n in table.connections('disk tls', ['atlas disk-tls']):
        ours, plain = (table.median('disk tls', p, n, 'throughput')
                       for p in ('atlas disk-tls', 'atlas disk'))
        if ours and plain:
            yield verdict('disk, %d connections: throughput, atlas with TLS / without' % n,
                          ours / plain, DISK_SHARE)
    for n in table.connections('memory tls', ['atlas ram-tls']):
        ours, plain = (table.median('memory tls', p, n, 'per_core_s')
                       for p in ('atlas ram-tls', 'atlas ram'))
        theirs, peer = table.best('memory tls', 'nginx', n, 'per_core_s')
        if ours and plain:
            yield verdict('memory, %d connections: bytes per server-core second, atlas with TLS / '
                          'without' % n, ours / plain, MEMORY_SHARE)
        if ours and theirs:
            yield verdict('memory, %d connections: bytes per server-core second, atlas with TLS / '
                          '%s' % (n, peer), ours / theirs, TIMES_NGINX)


def summary_handshakes(tls):
    """Where the client can do no more, how many there are a second says what the client can do."""
    h = tls.handshakes
    for (kind, key), name in HANDSHAKES.items():
        cells = [(p, kind, key) for p in SERVERS]
        for field, words in (('per_s', 'a second'), ('per_core_s', 'per server-core second')):
            ours, theirs = (h.median(cell, field) for cell in cells)
            if not ours or not theirs:
                continue
            full = any(h.median(cell, 'client_busy') > CORE_FULL for cell in cells)
            if field == 'per_s' and full:
                yield ('        handshakes a second, %s, atlas / nginx: %.2f, with a client whose '
                       'core is full' % (name, ours / theirs))
            else:
                yield verdict('handshakes %s, %s, atlas / nginx' % (words, name), ours / theirs,
                              TIMES_HANDSHAKES)


def summary_wide(tls):
    for kind, name in KINDS.items():
        for field, words in (('first_ms', 'first byte'), ('mb_ms', 'first MB')):
            ours = tls.wide.median(('atlas', kind), field)
            theirs = [(tls.wide.median((p, kind), field), p) for p in tls.wide.peers()
                      if p.startswith('nginx')]
            if ours and theirs:
                yield verdict('%d ms away, %s: time to the %s, atlas / %s'
                              % (tls.told['wide_rtt_ms'], name, words, min(theirs)[1]),
                              ours / min(theirs)[0], TIMES_WIDE, at_least=False)


def summary_working_set(table, tls):
    cache = tls.told.get('cache_bytes')
    for n in table.connections('disk tls', ['atlas disk-tls']):
        used = table.value('disk tls', 'atlas disk-tls', n, 'working_set_bytes')
        if used and cache:
            yield verdict('disk, %d connections over TLS: MiB of buffers in use, the most (the '
                          'last-level cache has %.0f)' % (n, cache / 2**20), used['high'] / 2**20,
                          cache / 2**20, at_least=False, form='%.1f')


def summary(results, table):
    tls = Tls(results)
    yield from summary_streams(table)
    yield from summary_working_set(table, tls)
    yield from summary_handshakes(tls)
    for field in ('p50_ms', 'p99_ms'):
        ours, theirs = (tls.others.median((p, 'handshakes'), field) for p in SERVERS)
        if ours and theirs:
            yield verdict('%s of small requests beside a flood of RSA handshakes, atlas / nginx'
                          % field[:3], ours / theirs, TIMES_WAIT, at_least=False, form='%.3f')
    yield from summary_wide(tls)


# --- charts -------------------------------------------------------------------------------------


def plot_groups(folder, name, title, subtitle, label, rows, groups, key_of, field):
    """`groups`: names on the axis with what key_of(peer, group) needs to find its rows."""
    series = []
    for peer in rows.peers():
        values = [rows.value(key_of(peer, group), field) for group in groups]
        row = [v and plot.Value(v['median'], v['low'], v['high']) for v in values]
        if any(row):
            series.append((peer, plot.COLOURS[COLOURS[peer]], row))
    if series:
        plot.bars(os.path.join(folder, name), title, subtitle, label, list(groups.values()), series)


def write_plots(results, folder):
    tls = Tls(results)
    plot_groups(folder, 'tls-handshakes.svg', 'Handshakes per busy second of the server\'s core',
                'TLS 1.3 with one small request each; medians, lowest to highest run',
                'handshakes per busy core-second', tls.handshakes, HANDSHAKES,
                lambda peer, group: (peer, *group), 'per_core_s')
    if tls.wide.groups:
        where = '%d ms away, %.0f Mbit/s, no loss; medians, lowest to highest run' % (
            tls.told['wide_rtt_ms'], tls.told['wide_rate_bps'] / 1e6)
        for field, name, title in (
                ('first_ms', 'tls-first-byte.svg', 'Time from the SYN to the first byte'),
                ('mb_ms', 'tls-first-mb.svg', 'Time from the SYN to the first megabyte')):
            plot_groups(folder, name, title, where, 'ms', tls.wide, KINDS,
                        lambda peer, group: (peer, group), field)
