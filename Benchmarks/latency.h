/* latency: a histogram of nanoseconds, exact to 1 %, of fixed size whatever it is given.
 *
 * Buckets are linear within each power of two: SUB_BUCKETS of them, as in HdrHistogram.
 */
#ifndef LATENCY_H
#define LATENCY_H

#include <stdint.h>

enum { SUB_BUCKET_BITS = 8, SUB_BUCKETS = 1 << SUB_BUCKET_BITS, POWERS = 64 - SUB_BUCKET_BITS };

struct latency {
    uint64_t count;
    uint64_t buckets[(POWERS + 1) * SUB_BUCKETS];
};

static inline void latency_record(struct latency *l, uint64_t nanoseconds)
{
    int bits = 64 - __builtin_clzll(nanoseconds | 1);
    int power = bits > SUB_BUCKET_BITS ? bits - SUB_BUCKET_BITS : 0;
    l->buckets[(uint64_t)power * SUB_BUCKETS + (nanoseconds >> power)]++;
    l->count++;
}

/* The least value that `part` (0 to 1) of all values are at or below, in microseconds. */
static inline double latency_microseconds(const struct latency *l, double part)
{
    uint64_t rank = (uint64_t)(part * (double)l->count), seen = 0;
    for (uint64_t i = 0; i < sizeof l->buckets / sizeof *l->buckets; i++) {
        seen += l->buckets[i];
        if (seen > rank) {
            uint64_t power = i / SUB_BUCKETS;
            return (double)((i % SUB_BUCKETS) << power) / 1000;
        }
    }
    return 0;
}

#endif
