/* Which pictures come next: of one source after the other, piece by piece. */
#ifndef NCLIP_HOST_EMBED_FEEDER_H
#define NCLIP_HOST_EMBED_FEEDER_H

#include "piece.h"

#include <pthread.h>

struct embed_feeder {
    const struct embed_job *job;
    const struct embed_list *list;
    const struct embed_source *todo; /* [todo_count]: this rank's */
    size_t todo_count, next;
    struct embed_open_source *open; /* at hand; NULL: none */
    bool *complete;                 /* [NC_EMBED_PIECES]: of its pieces */
    size_t next_piece;
    struct embed_piece *piece;          /* that is being fed; NULL: none */
    struct embed_open_source *previous; /* for the names in common */
    bool told_common;

    pthread_mutex_t lock;                     /* of what the calling thread reads: */
    double pictures, tar_pictures, tar_bytes; /* to do in the sources that were opened; of tars */
    size_t opened;
    char *remark; /* for people; owned */
};

int embed_feeder_create(struct embed_feeder *feeder, const struct embed_job *job,
                        const struct embed_list *list, const struct embed_source *todo,
                        size_t todo_count);
void embed_feeder_destroy(struct embed_feeder *feeder);

/* The pipeline's `feed`: the batch's owner is a struct embed_piece, which it holds. */
int embed_feeder_feed(struct embed_feeder *feeder, struct embed_batch *batch, size_t most);

#endif
