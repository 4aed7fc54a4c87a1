// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pathmap.h"

#define PATHS 20000

static uint32_t find(const struct pathmap *map, const char *const *paths, const char *path)
{
    struct pathmap_probe probe = pathmap_start(pathmap_hash(map, path, strlen(path)));
    uint32_t i;

    while ((i = pathmap_next(map, &probe)) != PATHMAP_NONE) {
        if (!strcmp(paths[i], path))
            break;
    }
    return i;
}

static void every_path_is_found_while_the_map_grows(void **state)
{
    const char **paths = calloc(PATHS, sizeof(*paths));
    struct paths store = {0};
    struct pathmap map;
    char path[32];

    assert_int_equal(pathmap_init(&map), 0);
    for (uint32_t i = 0; i < PATHS; i++) {
        int len = snprintf(path, sizeof(path), "/%u/object", i);

        assert_int_equal(find(&map, paths, path), PATHMAP_NONE);
        paths[i] = paths_keep(&store, path, (size_t)len);
        assert_int_equal(pathmap_add(&map, pathmap_hash(&map, path, (size_t)len), i), 0);
    }
    for (uint32_t i = 0; i < PATHS; i++) {
        snprintf(path, sizeof(path), "/%u/object", i);
        assert_int_equal(find(&map, paths, path), i);
    }
    assert_true(map.count * 4 <= (map.mask + 1) * 3);
    pathmap_clear(&map);
    assert_int_equal(find(&map, paths, "/1/object"), PATHMAP_NONE);
    pathmap_free(&map);
    paths_free(&store);
    free(paths);
}

static void two_maps_hash_differently(void **state)
{
    struct pathmap a, b;

    assert_int_equal(pathmap_init(&a), 0);
    assert_int_equal(pathmap_init(&b), 0);
    assert_true(pathmap_hash(&a, "/x", 2) != pathmap_hash(&b, "/x", 2));
    pathmap_free(&a);
    pathmap_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_is_found_while_the_map_grows),
        cmocka_unit_test(two_maps_hash_differently),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
