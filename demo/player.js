// SPDX-License-Identifier: BSD-2-Clause
// Plays video/master.m3u8 and shows what arrives. With hls.js where it is there and the browser has
// Media Source Extensions; otherwise by the browser's own HLS, which tells less about itself.
"use strict";

const MASTER = "video/master.m3u8";
const BARS_MAX = 40;

const $ = (id) => document.getElementById(id);
const video = $("video");
const segments = [];
let received = 0;
let player = null;

// What a script that watches this page may read.
const state = document.documentElement.dataset;
state.player = "starting";

function notice(text) {
    $("notice").textContent = text;
    $("notice").hidden = !text;
}

function levelName(level) {
    return `${level.width} × ${level.height}`;
}

function megabits(bitsPerSecond) {
    const value = bitsPerSecond / 1e6;
    return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

function drawBars() {
    const shown = segments.slice(-BARS_MAX);
    const most = Math.max(...shown.map((s) => s.rate));
    const highest = Math.max(...shown.map((s) => s.height));
    $("bars").replaceChildren(...shown.map((s) => {
        const bar = document.createElement("i");
        bar.style.height = `${Math.max(4, (100 * s.rate) / most)}%`;
        bar.className = s.height < highest ? "low" : "";
        return bar;
    }));
}

function segmentArrived(segment) {
    segments.push(segment);
    received += segment.bytes;
    state.segments = segments.length;
    $("received").textContent = (received / 1e6).toFixed(1);
    $("last").textContent = `${segment.name}: ${Math.round(segment.bytes / 1000)} kB in ` +
        `${segment.ms.toFixed(0)} ms, ${megabits(segment.rate)} Mbit/s` +
        (segment.height ? `, ${segment.height} lines` : "");
    drawBars();
}

function showQuality() {
    const chosen = player.autoLevelEnabled ? -1 : player.nextLevel;
    const button = (index, text) => {
        const made = document.createElement("button");
        made.type = "button";
        made.textContent = text;
        made.setAttribute("aria-pressed", String(index === chosen));
        made.addEventListener("click", () => {
            player.nextLevel = index;
            showQuality();
        });
        return made;
    };
    $("quality").replaceChildren(button(-1, "Automatic"),
        ...player.levels.map((level, index) => button(index, `${level.height} lines`)));
}

function startHls() {
    player = new Hls({ startLevel: 0 });
    player.on(Hls.Events.MANIFEST_PARSED, showQuality);
    player.on(Hls.Events.LEVEL_SWITCHED, (event, data) => {
        const level = player.levels[data.level];
        $("rendition").textContent = levelName(level);
        state.rendition = `${level.width}x${level.height}`;
    });
    player.on(Hls.Events.FRAG_LOADED, (event, data) => {
        const stats = data.frag.stats;
        const ms = Math.max(0.1, stats.loading.end - stats.loading.start);
        if (data.frag.sn === "initSegment") {
            return;
        }
        segmentArrived({
            name: data.frag.relurl,
            bytes: stats.total,
            ms,
            rate: (stats.total * 8000) / ms,
            height: player.levels[data.frag.level].height,
        });
    });
    player.on(Hls.Events.ERROR, (event, data) => {
        if (data.fatal) {
            state.player = "error";
            notice(`The video stopped: ${data.details}. Is the server still running?`);
        }
    });
    player.loadSource(MASTER);
    player.attachMedia(video);
}

// The browser's own player tells nothing about segments; the browser's list of what it fetched may.
function startNative() {
    notice("Played by the browser itself: hls.js is not here, so there are fewer figures.");
    video.addEventListener("resize", () => {
        $("rendition").textContent = `${video.videoWidth} × ${video.videoHeight}`;
        state.rendition = `${video.videoWidth}x${video.videoHeight}`;
    });
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries().filter((e) => e.name.endsWith(".m4s"))) {
            const ms = Math.max(0.1, entry.responseEnd - entry.requestStart);
            const bytes = entry.encodedBodySize;
            segmentArrived({
                name: entry.name.split("/").pop(), bytes, ms, rate: (bytes * 8000) / ms, height: 0,
            });
        }
    }).observe({ type: "resource", buffered: true });
    video.src = MASTER;
}

function bufferedAhead() {
    const { buffered, currentTime } = video;
    for (let i = 0; i < buffered.length; i++) {
        if (buffered.start(i) <= currentTime && currentTime <= buffered.end(i)) {
            return buffered.end(i) - currentTime;
        }
    }
    return 0;
}

function showFigures() {
    const quality = video.getVideoPlaybackQuality();
    $("buffer").textContent = bufferedAhead().toFixed(1);
    $("dropped").textContent = quality.droppedVideoFrames;
    $("frames").textContent = `of ${quality.totalVideoFrames}`;
    state.frames = quality.totalVideoFrames;
    if (player && segments.length) {
        $("bandwidth").textContent = megabits(player.bandwidthEstimate);
    } else if (segments.length) {
        $("bandwidth").textContent = megabits(segments[segments.length - 1].rate);
    }
}

video.addEventListener("playing", () => {
    state.player = "playing";
});
video.addEventListener("error", () => {
    state.player = "error";
    notice(`The browser cannot play this video: ${video.error.message || "no reason given"}.`);
});
for (const place of document.querySelectorAll(".origin")) {
    place.textContent = location.origin;
}
if (window.Hls && Hls.isSupported()) {
    startHls();
} else if (video.canPlayType("application/vnd.apple.mpegurl")) {
    startNative();
} else {
    state.player = "error";
    notice("This browser plays HLS only with hls.js, which is not here. Install npm and run make " +
        "demo again, or open the address below with ffplay, mpv or VLC.");
}
video.play().catch(() => notice("Press play to start the video."));
setInterval(showFigures, 500);
