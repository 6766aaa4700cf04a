/* One source into a store, as nc_embedding_writer keeps it. */
#ifndef NCLIP_HOST_EMBED_ONE_H
#define NCLIP_HOST_EMBED_ONE_H

#include "job.h"

/* The model is open, the device is not. */
int embed_one(struct embed_job *job, const char *path);

#endif
