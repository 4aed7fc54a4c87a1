// SPDX-License-Identifier: BSD-2-Clause
#include "test.h"

#include "media.c" /* to see the table */

#define OCTETS "application/octet-stream"

static const struct {
    const char *path, *type;
} cases[] = {
    {"/a.m3u8", "application/vnd.apple.mpegurl"},
    {"/a.M3U8", "application/vnd.apple.mpegurl"},
    {"/a.ts", "video/mp2t"},
    {"/a.m4s", "video/iso.segment"},
    {"/a.mp4", "video/mp4"},
    {"/a.b.MP4", "video/mp4"},
    {"/a.aac", "audio/aac"},
    {"/a.vtt", "text/vtt; charset=utf-8"},
    {"/a.cmfv", "video/mp4"},
    {"/a.cmfa", "audio/mp4"},
    {"/a.cmft", "application/mp4"},
    {"/a.mpd", "application/dash+xml"},
    {"/a.webm", "video/webm"},
    {"/a.mkv", "video/x-matroska"},
    {"/a.mov", "video/quicktime"},
    {"/a.srt", "application/x-subrip; charset=utf-8"},
    {"/a.ttml", "application/ttml+xml"},
    {"/a.avif", "image/avif"},
    {"/a.webp", "image/webp"},
    {"/a.svg", "image/svg+xml"},
    {"/a.jpg", "image/jpeg"},
    {"/a.JPEG", "image/jpeg"},
    {"/a.png", "image/png"},
    {"/a.html", "text/html; charset=utf-8"},
    {"/a.css", "text/css; charset=utf-8"},
    {"/a.js", "text/javascript; charset=utf-8"},
    {"/a.mjs", "text/javascript; charset=utf-8"},
    {"/a.json", "application/json"},
    {"/a.wasm", "application/wasm"},
    {"/a.woff2", "font/woff2"},
    {"/a.ico", "image/x-icon"},
    {"/a.txt", "text/plain; charset=utf-8"},
    {"/a.xml", "text/xml; charset=utf-8"},
    {"/a.map", "application/json"},
    {"/a.pdf", "application/pdf"},
    {"/a.webmanifest", "application/manifest+json"},
    {"/a.webmanifestx", OCTETS},
    {"/a", OCTETS},
    {"/", OCTETS},
    {"", OCTETS},
    {"mp4", OCTETS},
    {"/a.", OCTETS},
    {"/a.mp4/", OCTETS},
    {"/a.mp4/b", OCTETS},
    {"/a.mp", OCTETS},
    {"/a.mp44", OCTETS},
    {"/a.exe", OCTETS},
    {"/.mp4", "video/mp4"},
    {"/a.verylongextension", OCTETS},
};

static void test_types(void **state)
{
    for (size_t i = 0; i < array_len(cases); i++) {
        size_t len = strlen(cases[i].path);
        char *copy = exact_copy(cases[i].path, len);
        assert_string_equal(http1_media_type(copy, len), cases[i].type);
        free(copy);
    }
}

/* The search needs the order, and every entry must be found by it. */
static void test_sorted(void **state)
{
    for (size_t i = 0; i < array_len(medias); i++) {
        char path[32];
        if (i > 0)
            assert_true(strcmp(medias[i - 1].extension, medias[i].extension) < 0);
        int len = snprintf(path, sizeof(path), "/x.%s", medias[i].extension);
        assert_ptr_equal(http1_media_type(path, (size_t)len), medias[i].type);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
