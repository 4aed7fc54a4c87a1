// SPDX-License-Identifier: BSD-2-Clause
/*
 * media.c - media types by extension (RFC 9110 8.3). Text has its charset: what is made today is
 * UTF-8, and a browser that is not told so may guess otherwise.
 */
#include "priv.h"

#define EXTENSION_BYTES_MAX 11 /* "webmanifest" */

/* Sorted, for the binary search; the test checks it. */
static const struct media {
    char extension[12];
    const char *type;
} medias[] = {
    {"3gp", "video/3gpp"},
    {"aac", "audio/aac"},
    {"avi", "video/x-msvideo"},
    {"avif", "image/avif"},
    {"bmp", "image/bmp"},
    {"cmfa", "audio/mp4"}, /* CMAF tracks: ISO/IEC 23000-19 7.3.3 */
    {"cmft", "application/mp4"},
    {"cmfv", "video/mp4"},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"dash", "application/dash+xml"},
    {"flac", "audio/flac"},
    {"flv", "video/x-flv"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/x-icon"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"}, /* RFC 9239 */
    {"json", "application/json"},             /* RFC 8259 11: no charset parameter */
    {"key", "application/octet-stream"},      /* of HLS: 16 bytes */
    {"m2ts", "video/mp2t"},
    {"m3u", "application/vnd.apple.mpegurl"},
    {"m3u8", "application/vnd.apple.mpegurl"}, /* RFC 8216 4 */
    {"m4a", "audio/mp4"},
    {"m4s", "video/iso.segment"},
    {"m4v", "video/mp4"},
    {"map", "application/json"},
    {"md", "text/markdown; charset=utf-8"}, /* RFC 7763 */
    {"mjs", "text/javascript; charset=utf-8"},
    {"mkv", "video/x-matroska"},
    {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"mpd", "application/dash+xml"},
    {"mpeg", "video/mpeg"},
    {"mpg", "video/mpeg"},
    {"oga", "audio/ogg"},
    {"ogg", "audio/ogg"},
    {"ogv", "video/ogg"},
    {"opus", "audio/ogg"},
    {"otf", "font/otf"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"srt", "application/x-subrip; charset=utf-8"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"ts", "video/mp2t"}, /* never TypeScript here: RFC 8216 3.2 */
    {"ttf", "font/ttf"},
    {"ttml", "application/ttml+xml"},
    {"txt", "text/plain; charset=utf-8"},
    {"vtt", "text/vtt; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"wav", "audio/wav"},
    {"weba", "audio/webm"},
    {"webm", "video/webm"},
    {"webmanifest", "application/manifest+json"},
    {"webp", "image/webp"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"xhtml", "application/xhtml+xml"},
    {"xml", "text/xml; charset=utf-8"},
    {"zip", "application/zip"},
};

const char *http1_media_type(const char *path, size_t len)
{
    char key[12] = {0};
    size_t n = 0;
    while (n < len && n <= EXTENSION_BYTES_MAX && path[len - 1 - n] != '.' &&
           path[len - 1 - n] != '/')
        n++;
    if (n == 0 || n == len || n > EXTENSION_BYTES_MAX || path[len - 1 - n] != '.')
        return "application/octet-stream";
    for (size_t i = 0; i < n; i++) {
        char c = path[len - n + i];
        key[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    size_t low = 0, high = array_len(medias);
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = memcmp(key, medias[middle].extension, sizeof(key));
        if (order == 0)
            return medias[middle].type;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return "application/octet-stream";
}
