// SPDX-License-Identifier: BSD-2-Clause
#include "nvme/nvme.h"
#include "spec.h"

#define KELVIN_0C      273
#define UNIT_BYTES     (1000ull * 512) /* in which data read and written are counted */
#define CELSIUS_NOBODY 1000            /* no disk is hotter, or says so in earnest */

/* A count of 128 bits; more than 64 of them nobody reaches, and a lie stays the largest number. */
static uint64_t count_of(const struct nvme_u128 *n)
{
    return n->high ? UINT64_MAX : n->low;
}

static uint64_t bytes_of(const struct nvme_u128 *n)
{
    uint64_t units = count_of(n);

    return units > UINT64_MAX / UNIT_BYTES ? UINT64_MAX : units * UNIT_BYTES;
}

void nvme_health_parse(struct nvme_health *out, const void *log)
{
    struct nvme_health_log l;
    int celsius;

    memcpy(&l, log, sizeof(l));
    celsius = (int)(l.temperature[0] | l.temperature[1] << 8) - KELVIN_0C;
    *out = (struct nvme_health){
        .warnings = l.critical_warning,
        .celsius = celsius < CELSIUS_NOBODY ? celsius : CELSIUS_NOBODY,
        .spare_percent = l.spare,
        .spare_least_percent = l.spare_threshold,
        .used_percent = l.percentage_used,
        .bytes_read = bytes_of(&l.units_read),
        .bytes_written = bytes_of(&l.units_written),
        .reads = count_of(&l.reads),
        .writes = count_of(&l.writes),
        .busy_minutes = count_of(&l.busy_minutes),
        .power_cycles = count_of(&l.power_cycles),
        .power_on_hours = count_of(&l.power_on_hours),
        .unsafe_shutdowns = count_of(&l.unsafe_shutdowns),
        .media_errors = count_of(&l.media_errors),
        .error_log_entries = count_of(&l.error_log_entries),
    };
}

const char *nvme_health_warning(const struct nvme_health *health, uint32_t index)
{
    static const char *const words[NVME_HEALTH_WARNINGS] = {
        "little spare capacity is left: replace the disk",
        "it is too hot, or too cold: see to its cooling",
        "it is unreliable after errors of its medium: replace the disk",
        "it takes no more writes: replace the disk",
        "its backup of volatile memory failed: replace the disk",
        "its persistent memory takes no more writes",
    };

    return index < NVME_HEALTH_WARNINGS && health->warnings >> index & 1 ? words[index] : NULL;
}
