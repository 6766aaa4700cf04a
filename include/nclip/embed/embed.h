/* Pictures through the vision tower into an embedding store: one source, or many on many ranks.
 *
 * One source is stored as nc_embedding_writer does it. Of several (or in a store that has several)
 * each is cut into pieces of NC_EMBED_PIECE pictures, and piece p of source s is shard 1000 s + p,
 * so that the store does not depend on the number of ranks, nor on how often the run was stopped:
 *
 *     STORE/sources/list.jsonl          the sources by number, and how keys are made
 *     STORE/sources/000012-003.*        of a piece that is complete, in a source that is not
 *     STORE/sources/000012.*            of a source that is complete: its .json appears last
 *
 * with `.skipped`, `.damaged` and `.captions` lines, from which STORE/skipped.jsonl,
 * STORE/damaged.jsonl and the captions are joined when all is done. */
#ifndef NCLIP_EMBED_EMBED_H
#define NCLIP_EMBED_EMBED_H

#include "nclip/support/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NC_EMBED_PIECE = 8192, NC_EMBED_PIECES = 1000 };

struct nc_communicator;

struct nc_embed_options {
    const char *model;
    const char *const *images; /* [image_count]: folders, lists, tars, pictures, globs, ranges */
    size_t image_count;
    const char *store;
    const char *device;
    int device_number;
    enum nc_type precision, type;
    const char *transparency; /* NULL: the model's */
    bool strict, skip_missing;
    bool keys_by_path;      /* "laion/00001.tar/000010000.jpg" in the place of "000010000.jpg" */
    const char *key_prefix; /* or NULL */
    const char *also_text;  /* JSONL with the captions of the sidecars; or NULL */
    size_t batch;
    struct nc_communicator *ranks; /* NULL: alone */
};

/* The stages of the pipeline, with the seconds that their threads worked. */
enum nc_embed_stage {
    NC_EMBED_READING,
    NC_EMBED_DECODING,
    NC_EMBED_DEVICE,
    NC_EMBED_WRITING,
    NC_EMBED_STAGES
};
extern const char *const nc_embed_stage_names[NC_EMBED_STAGES]; /* "reading", ... */

struct nc_embed_stages {
    double busy[NC_EMBED_STAGES];   /* of all threads of the stage together */
    double waited[NC_EMBED_STAGES]; /* that the device waited for the stage; [DEVICE] is 0 */
    double seconds;
    size_t pictures;
    bool shared; /* the device and the decoders have the same cores */
};

/* Which stage holds up the others: what the device waited for, or the device itself. */
enum nc_embed_stage nc_embed_limit(const struct nc_embed_stages *stages);

struct nc_embed_result {
    size_t embedded, present;      /* by this call; that were in the store before it */
    size_t rows, skipped, damaged; /* of the store */
    size_t sources, missing;       /* of the call; 1, 0 where there is one */
    size_t repeated;               /* pictures whose key another source has: among the skipped */
    char *repeated_first;          /* the first of these: "KEY of SOURCE"; owned */
    size_t captions;               /* lines of also_text */
    double seconds, pictures_per_second;
    struct nc_embed_stages stages; /* of this rank */
    bool stopped;                  /* by a signal: the status is NC_FAILED */
};

/* On every rank with the same options; the result is rank 0's to tell. What was embedded is kept,
 * whatever happens after it. A failure that not all ranks have is the caller's to make known
 * (nc_communicator_abort()). */
int nc_embed(const struct nc_embed_options *options, struct nc_embed_result *result);
void nc_embed_result_free(struct nc_embed_result *result);

#endif
