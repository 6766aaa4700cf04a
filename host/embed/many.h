/* Many sources into a store, on one rank or many. */
#ifndef NCLIP_HOST_EMBED_MANY_H
#define NCLIP_HOST_EMBED_MANY_H

#include "job.h"
#include "patterns.h"

/* On every rank, with the model open; `paths` are rank 0's. */
int embed_many(struct embed_job *job, const struct embed_paths *paths);

#endif
