/* A store and a prepared set of any size, generated on disk, to be read again. */
#ifndef NCLIP_BENCH_STREAM_DATA_H
#define NCLIP_BENCH_STREAM_DATA_H

#include "nclip/captions/set.h"
#include "nclip/store/store.h"

struct stream_data {
    const char *folder;     /* gets "store" and "set" */
    size_t rows, dimension; /* bf16 */
    const char *model;      /* whose store and set they claim to be, for nclip train; NULL: of none */
    struct nc_embedding_store *store;
    struct nc_set *set;
    double store_seconds, set_seconds; /* of making them; 0: they were there */
};

/* Opens both; makes what is not there, and goes on with a store that is half made. A caption a row, as
 * long as those of COCO. What is there and of another size is NC_USAGE. */
int stream_data_open(struct stream_data *data);
void stream_data_close(struct stream_data *data);

#endif
