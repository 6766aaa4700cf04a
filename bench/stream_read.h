/* How fast a store is read: one file after the other by dd, and blocks in a random order. */
#ifndef NCLIP_BENCH_STREAM_READ_H
#define NCLIP_BENCH_STREAM_READ_H

#include "stream_data.h"

struct stream_rate {
    uint64_t bytes;
    double seconds;
};

/* `dd iflag=direct` over all files of the store, in their order. */
int stream_read_sequential(const struct stream_data *data, struct stream_rate *rate);

/* All blocks, each checked, by so many readers at once. *name: how they read. */
int stream_read_blocks(const struct stream_data *data, size_t readers, struct stream_rate *rate,
                       const char **name);

#endif
