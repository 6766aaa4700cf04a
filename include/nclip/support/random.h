/* Numbers that depend on a seed alone, on any machine: SplitMix64 (Steele, Lea, Flood 2014). */
#ifndef NCLIP_SUPPORT_RANDOM_H
#define NCLIP_SUPPORT_RANDOM_H

#include <stdint.h>

#define NC_RANDOM_STEP 0x9e3779b97f4a7c15u /* 2^64 over the golden ratio, odd */

/* SplitMix64's last step, a bijection: every bit of `z` affects every bit of the result. */
static inline uint64_t nc_random_mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline uint64_t nc_random_next(uint64_t *state)
{
    return nc_random_mix(*state += NC_RANDOM_STEP);
}

#endif
