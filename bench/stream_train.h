/* Training steps on a stream, and how long they wait for it. */
#ifndef NCLIP_BENCH_STREAM_TRAIN_H
#define NCLIP_BENCH_STREAM_TRAIN_H

#include "stream_data.h"

struct stream_training {
    /* asked for */
    size_t batch, width, layers; /* of the text tower; its heads have 64 columns */
    double seconds;              /* about so long */
    uint64_t pool_bytes;         /* 0: a quarter of the free memory */
    const char *device;
    /* measured */
    double first_batch_seconds; /* from opening the feed to the first batch, and the step's plan */
    double trained, waited;     /* seconds */
    size_t steps;
    uint64_t read_bytes;
    double reading; /* seconds in which something was read */
    size_t planned_bytes, anonymous_bytes; /* the step's; of the process at the end */
};

int stream_train(const struct stream_data *data, struct stream_training *training);

#endif
