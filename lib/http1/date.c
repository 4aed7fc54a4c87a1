// SPDX-License-Identifier: BSD-2-Clause
/*
 * date.c - HTTP-date (RFC 9110 5.6.7): one format written, three read. Calendar arithmetic instead
 * of gmtime, which would look at the environment.
 */
#include "priv.h"

#include <errno.h>

#define DAY_S         86400
#define YEAR_0        (-62167219200) /* 0000-01-01T00:00:00Z */
#define YEAR_9999_END 253402300799

/* A four-digit year holds no more. */
static_assert((YEAR_9999_END + 1 - YEAR_0) % DAY_S == 0, "whole days");

static const char day_names[7][10] = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
};
static const char month_names[12][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
};

struct civil {
    int year;
    int month; /* 0 to 11 */
    int day;
    int hour, minute, second;
};

/*
 * Days since 1970-01-01, of the proleptic Gregorian calendar. The year is taken to begin in March,
 * so that the leap day is its last and months have a regular pattern: (153 m + 2) / 5 days before
 * month m. 719468 days lie between 0000-03-01 and 1970-01-01; 146097 are 400 years.
 */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month < 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t m = month < 2 ? month + 10 : month - 2;
    int64_t day_of_year = (153 * m + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

/* The inverse. Days of an era: 36524 in a century, 1460 in four years, less the missing leap days.
 */
static void civil_of(int64_t days, struct civil *c)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t m = (5 * doy + 2) / 153;
    c->day = (int)(doy - (153 * m + 2) / 5 + 1);
    c->month = (int)(m < 10 ? m + 2 : m - 10);
    c->year = (int)(yoe + era * 400 + (c->month < 2));
}

static void put_two(char *dst, int n)
{
    dst[0] = (char)('0' + n / 10);
    dst[1] = (char)('0' + n % 10);
}

void http1_date_format(char dst[HTTP1_DATE_BYTES], int64_t time_s)
{
    struct civil c;
    if (time_s < YEAR_0)
        time_s = YEAR_0;
    if (time_s > YEAR_9999_END)
        time_s = YEAR_9999_END;
    int64_t since_0 = time_s - YEAR_0; /* not negative: division rounds as it should */
    int second = (int)(since_0 % DAY_S);
    civil_of(since_0 / DAY_S + YEAR_0 / DAY_S, &c);
    memcpy(dst, "Day, 00 Mon 0000 00:00:00 GMT", HTTP1_DATE_BYTES);
    memcpy(dst, day_names[(since_0 / DAY_S + 6) % 7], 3); /* 0000-01-01 was a Saturday */
    put_two(dst + 5, c.day);
    memcpy(dst + 8, month_names[c.month], 3);
    put_two(dst + 12, c.year / 100);
    put_two(dst + 14, c.year % 100);
    put_two(dst + 17, second / 3600);
    put_two(dst + 20, second / 60 % 60);
    put_two(dst + 23, second % 60);
}

/*
 * Reads by a pattern: '#' is a digit, '_' a digit or a space, '@' a month; all else is itself. What
 * the digits are goes to `digits`, in order. `s` is as long as the pattern says.
 */
static bool take_pattern(const char *s, const char *pattern, int *digits, int *month)
{
    for (; *pattern; pattern++, s++) {
        switch (*pattern) {
        case '_':
        case '#':
            if (!is_class(*s, CLASS_DIGIT) && (*pattern == '#' || *s != ' '))
                return false;
            *digits++ = *s == ' ' ? 0 : *s - '0';
            break;
        case '@':
            for (*month = 0; memcmp(s, month_names[*month], 3) != 0;)
                if (++*month == 12)
                    return false;
            s += 2;
            break;
        default:
            if (*pattern != *s)
                return false;
        }
    }
    return true;
}

/* `hms` are six digits. A leap second is legal, and the same instant as the next second here. */
static int time_of(struct civil *c, const int hms[6], int64_t *time_s)
{
    static const uint8_t month_days[12] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    c->hour = hms[0] * 10 + hms[1];
    c->minute = hms[2] * 10 + hms[3];
    c->second = hms[4] * 10 + hms[5];
    bool leap = c->year % 4 == 0 && (c->year % 100 != 0 || c->year % 400 == 0);
    if (c->day < 1 || c->day > month_days[c->month] || (c->month == 1 && c->day == 29 && !leap) ||
        c->hour > 23 || c->minute > 59 || c->second > 60)
        return -EINVAL;
    *time_s =
        days_of(c->year, c->month, c->day) * DAY_S + c->hour * 3600 + c->minute * 60 + c->second;
    return 0;
}

/* RFC 850: "more than 50 years in the future" means the century before (RFC 9110 5.6.7). */
static int parse_rfc850(const char *s, size_t len, int64_t now_s, int64_t *time_s)
{
    struct civil now, c;
    int d[10], day = 0;
    for (; day < 7; day++) {
        size_t name_len = strlen(day_names[day]);
        if (len == name_len + 24 && memcmp(s, day_names[day], name_len) == 0)
            break;
    }
    if (day == 7 || !take_pattern(s + len - 24, ", ##-@-## ##:##:## GMT", d, &c.month))
        return -EINVAL;
    char today[HTTP1_DATE_BYTES];
    http1_date_format(today, now_s); /* clips, as civil_of does not */
    now.year = (today[12] - '0') * 1000 + (today[13] - '0') * 100 + (today[14] - '0') * 10 +
               today[15] - '0';
    c.day = d[0] * 10 + d[1];
    c.year = now.year / 100 * 100 + d[2] * 10 + d[3];
    if (c.year - now.year > 50)
        c.year -= 100;
    else if (now.year - c.year >= 50)
        c.year += 100;
    return time_of(&c, d + 4, time_s);
}

static bool day_name_ok(const char *s)
{
    for (int day = 0; day < 7; day++)
        if (memcmp(s, day_names[day], 3) == 0)
            return true;
    return false;
}

int http1_date_parse(const char *s, size_t len, int64_t now_s, int64_t *time_s)
{
    struct civil c;
    int d[12];
    if (len != HTTP1_DATE_BYTES && len != 24)
        return parse_rfc850(s, len, now_s, time_s);
    if (!day_name_ok(s))
        return -EINVAL;
    if (len == 24) { /* asctime: Sun Nov  6 08:49:37 1994 */
        if (!take_pattern(s + 3, " @ _# ##:##:## ####", d, &c.month))
            return -EINVAL;
        c.day = d[0] * 10 + d[1];
        c.year = d[8] * 1000 + d[9] * 100 + d[10] * 10 + d[11];
        return time_of(&c, d + 2, time_s);
    }
    if (!take_pattern(s + 3, ", ## @ #### ##:##:## GMT", d, &c.month))
        return -EINVAL;
    c.day = d[0] * 10 + d[1];
    c.year = d[2] * 1000 + d[3] * 100 + d[4] * 10 + d[5];
    return time_of(&c, d + 6, time_s);
}
