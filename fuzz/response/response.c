// SPDX-License-Identifier: BSD-2-Clause
/*
 * Bytes as a server might send them. Whatever they are, the verdict must not depend on how they
 * arrive, and bytes that are skipped must count like bytes that were seen.
 */
#include <stdlib.h>

#include "response.h"

#define CHECK(x) ((x) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct verdict {
    struct response r;
    int64_t error;
    size_t used;
};

static struct verdict feed(const uint8_t *data, size_t len, size_t step, bool skip)
{
    struct verdict v = {0};

    response_init(&v.r, false);
    while (v.used < len && !v.r.done) {
        size_t part = min_u64(step, len - v.used);
        uint64_t before = v.r.body_bytes, skippable = response_skippable(&v.r);
        bool body = skippable > 0;
        int64_t n = (int64_t)min_u64(skippable, part);

        if (skip && n > 0)
            response_skip(&v.r, (uint64_t)n);
        else
            n = response_feed(&v.r, data + v.used, part, &body);
        if (n < 0) {
            v.error = n;
            return v;
        }
        CHECK(n > 0 && (size_t)n <= part && v.r.body_bytes - before == (body ? (size_t)n : 0));
        v.used += (size_t)n;
    }
    CHECK(!v.r.done || (v.r.status >= 200 && v.r.status < 600));
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct verdict whole = feed(data, len, SIZE_MAX, false);
    struct response closed = whole.r;
    bool ends_there = response_end(&closed);

    for (size_t step = 1; step < 4; step++) {
        struct verdict v = feed(data, len, step, step == 2);

        CHECK(v.error == whole.error && v.r.done == whole.r.done && v.r.status == whole.r.status);
        CHECK(v.error || (v.used == whole.used && v.r.body_bytes == whole.r.body_bytes));
        CHECK(v.error || response_end(&v.r) == ends_there);
    }
    return 0;
}
