#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The page of the demo plays over HTTPS in headless Chromium, which trusts our key alone.

Chromium's ClientHello is longer than a segment, offers what nobody knows (RFC 8701), HTTP/2 before
HTTP/1.1, and on its next connections the tickets of its first.
"""
import os

import browser
import certs
import lab
import tlslab

PLAY_S = 5
SECURE = '''
  return {secure: window.isSecureContext, origin: location.origin,
          protocols: [...new Set(performance.getEntriesByType("resource").map(
            (entry) => entry.nextHopProtocol).filter((name) => name))]};
'''


def main(world):
    if not os.path.exists(os.path.join(browser.SOURCE, 'demo/index.html')):
        lab.skip('the demo plays', 'there is no demo here')
        return
    volume = world.pack(browser.make_site(world))
    identity = certs.Authority(world.path('ca')).issue('site', [lab.SERVER])
    server = world.serve(volume=volume, tls=tlslab.Service([identity]))
    with lab.step('starting the browser'):
        window = browser.Browser(world, ['--ignore-certificate-errors-spki-list=' + identity.pin()])
    window.open(tlslab.url(server) + '/')
    window.run(browser.WATCH)
    browser.plays(window, PLAY_S)
    seen = window.run(SECURE)
    lab.ok(seen['secure'] and seen['origin'] == tlslab.url(server) and
           seen['protocols'] == ['http/1.1'], 'all of it came by HTTP/1.1 over TLS', seen)
    errors = [m for m in window.console() if 'favicon' not in m and
              (window.run(browser.LOOK)['hls'] or 'hls.min.js' not in m)]
    lab.ok(not errors, 'no error to the end', *errors)
    window.quit()
    server.settles(20, 'nothing is held once the browser has gone')
    if not lab.STAND_IN:
        wrong = {k: tlslab.count(server, k) for k in ('failed', 'differs', 'alerts_out')}
        lab.ok(tlslab.count(server, 'handshakes') and not any(wrong.values()),
               'its handshakes are counted, and nothing went wrong', wrong)
    server.stop()


if __name__ == '__main__':
    lab.run(main, tools=['chromium', 'chromedriver', 'ffmpeg', 'openssl'])
