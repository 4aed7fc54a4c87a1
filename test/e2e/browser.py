#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The page of the demo plays in headless Chromium, in both renditions.

The browser is driven through chromedriver's WebDriver protocol (W3C WebDriver), which is JSON over
HTTP. The site is made here, as `make demo` makes it: demo/, hls.js, and tools/sample-video.
"""
import base64
import json
import os
import shutil
import time
import urllib.error
import urllib.request

import lab

VIDEO_S = 40        # longer than the test, so that the loop is not part of it
PLAY_S = 10
PLAYED_MIN = 0.9
FRAMES_MIN = 15     # a second, of 25: a busy machine may leave some out
SWITCH_S = 25
DRIVER_PORT = 9515
FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync',
         '--disable-dev-shm-usage', '--autoplay-policy=no-user-gesture-required',
         '--mute-audio', '--window-size=1280,900']
SOURCE = os.environ.get('E2E_SOURCE') or os.path.join(os.path.dirname(__file__), '..', '..')

WATCH = '''
  window.fatal = [];
  if (window.Hls && player)
    player.on(Hls.Events.ERROR, (event, data) => {
      if (data.fatal) window.fatal.push(data.details);
    });
'''
LOOK = '''
  const v = document.querySelector("video"), q = v.getVideoPlaybackQuality();
  return {time: v.currentTime, paused: v.paused, frames: q.totalVideoFrames,
          dropped: q.droppedVideoFrames, error: v.error && v.error.message, fatal: window.fatal,
          height: v.videoHeight, player: document.documentElement.dataset.player,
          rendition: document.documentElement.dataset.rendition,
          segments: document.documentElement.dataset.segments, hls: !!window.Hls,
          notice: document.getElementById("notice").textContent};
'''


class Browser:
    def __init__(self, world, flags=()):
        self.base = 'http://127.0.0.1:%d' % DRIVER_PORT
        self.session = None
        with open(world.path('chromedriver.log'), 'wb') as log:
            world.spawn(['chromedriver', '--port=%d' % DRIVER_PORT, '--log-level=WARNING'],
                        stdout=log, stderr=log)
        if not lab.wait_for(lambda: lab.port_answers('127.0.0.1', DRIVER_PORT), 20):
            raise RuntimeError('chromedriver does not answer')
        options = {'args': [*FLAGS, *flags, '--user-data-dir=' + world.path('profile')]}
        made = self.call('POST', '/session', {'capabilities': {'alwaysMatch': {
            'browserName': 'chrome', 'goog:chromeOptions': options,
            'goog:loggingPrefs': {'browser': 'ALL'}}}})
        self.session = made['sessionId']

    def call(self, method, path, body=None):
        url = self.base + ('/session/' + self.session if self.session else '') + path
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(url, data, {'Content-Type': 'application/json'},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as r:
                return json.load(r)['value']
        except urllib.error.HTTPError as e:
            raise RuntimeError('WebDriver %s: %s' % (path, e.read().decode()[:500])) from e

    def open(self, url):
        self.call('POST', '/url', {'url': url})

    def run(self, script):
        return self.call('POST', '/execute/sync', {'script': script, 'args': []})

    def click(self, xpath):
        found = self.call('POST', '/element', {'using': 'xpath', 'value': xpath})
        self.call('POST', '/element/%s/click' % next(iter(found.values())), {})

    def console(self):
        entries = self.call('POST', '/se/log', {'type': 'browser'})
        return [e['message'] for e in entries if e['level'] == 'SEVERE']

    def quit(self):
        self.call('DELETE', '')


def make_site(world):
    site = world.path('site')
    shutil.copytree(os.path.join(SOURCE, 'demo'), site,
                    ignore=shutil.ignore_patterns('node_modules', 'out', 'package*.json'))
    hls = os.path.join(SOURCE, 'demo/node_modules/hls.js/dist/hls.min.js')
    if os.path.exists(hls):
        shutil.copy(hls, site)
    with lab.step('making %d s of video' % VIDEO_S):
        lab.sh([os.path.join(SOURCE, 'tools/sample-video'), site + '/video', str(VIDEO_S)])
    return site


def plays(browser, seconds=PLAY_S):
    """Watches from the first moving picture on."""
    lab.wait_for(lambda: browser.run(LOOK)['time'] > 0, 20)
    first, began = browser.run(LOOK), time.monotonic()
    time.sleep(seconds)
    last, wall = browser.run(LOOK), time.monotonic() - began
    lab.diag('%.1f s: %s' % (wall, last))
    played = last['time'] - first['time']
    lab.ok(played >= PLAYED_MIN * seconds, 'the video plays', 'from %s' % first, 'to %s' % last)
    lab.ok(last['frames'] - first['frames'] >= FRAMES_MIN * seconds, 'pictures are decoded', first,
           last)
    lab.ok(last['error'] is None and not last['fatal'] and last['player'] == 'playing',
           'neither the video nor its player has an error', last)
    return last


def switches(browser):
    """Each rendition in turn, by the page's own buttons."""
    heights = browser.run('return player.levels.map((level) => level.height);')
    lab.ok(len(heights) >= 2, 'there are several renditions', heights)
    for height in sorted(heights, reverse=True) + [max(heights)]:
        browser.click('//button[contains(., "%d lines")]' % height)
        before = browser.run(LOOK)

        def switched():
            now = browser.run(LOOK)
            return now['height'] == height and now['rendition'].endswith('x%d' % height) and now
        now = lab.wait_for(switched, SWITCH_S, 0.2)
        lab.ok(now, 'the picture switches to %d lines' % height, before, browser.run(LOOK))
        seen = browser.run(LOOK)
        moved = lab.wait_for(lambda: browser.run(LOOK)['time'] > seen['time'] + 0.5, 5, 0.1)
        lab.ok(moved, 'it plays on in %d lines' % height, seen)


def main(world):
    if not os.path.exists(os.path.join(SOURCE, 'demo/index.html')):
        lab.skip('the demo plays', 'there is no demo here')
        return
    server = world.serve(volume=world.pack(make_site(world)))
    with lab.step('starting the browser'):
        browser = Browser(world)
    browser.open(server.url + '/')
    browser.run(WATCH)
    last = plays(browser)
    if last['hls']:
        with lab.step('switching renditions'):
            switches(browser)
    else:
        lab.skip('switching renditions', 'demo/node_modules has no hls.js: npm ci there')
    end = browser.run(LOOK)
    errors = [m for m in browser.console() if 'favicon' not in m]
    lab.ok(not end['fatal'] and end['error'] is None and not errors, 'no error to the end', end,
           *errors)
    picture = browser.call('GET', '/screenshot')
    if os.environ.get('E2E_KEEP'):
        lab.write_file(world.path('screen.png'), base64.b64decode(picture))
    browser.quit()
    server.settles(20, 'nothing is held once the browser has gone')
    server.stop()


if __name__ == '__main__':
    lab.run(main, tools=['chromium', 'chromedriver', 'ffmpeg'])
