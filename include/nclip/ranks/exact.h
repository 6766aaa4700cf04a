/* Numbers that ranks begin with where operations between them are checked: whole ones, so that their
 * sums are exact in whatever order they are added. */
#ifndef NCLIP_RANKS_EXACT_H
#define NCLIP_RANKS_EXACT_H

#include <stddef.h>

static inline float nc_exact_number(size_t rank, size_t i)
{
    return (float)((rank + 1) * 3 + i % 101);
}

static inline float nc_exact_sum(size_t ranks, size_t i)
{
    float sum = 0;
    for (size_t rank = 0; rank < ranks; rank++)
        sum += nc_exact_number(rank, i);
    return sum;
}

#endif
