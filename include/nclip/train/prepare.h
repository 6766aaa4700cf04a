/* Joins captions to the rows of an embedding store, once, into a prepared set
 * (nclip/captions/set.h), in memory that does not grow with their number.
 *
 * The first pass reads the captions, tokenizes them on all cores, finds each picture's row and
 * appends the example to a file of its own, by ranges of rows. The second sorts one range after the
 * other and writes the set's shards. Killed at any moment, the same call goes on where it stopped,
 * and ends with the same bytes. */
#ifndef NCLIP_TRAIN_PREPARE_H
#define NCLIP_TRAIN_PREPARE_H

#include "nclip/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nc_prepare_options {
    const char *const *captions; /* files; "-": standard input, once */
    size_t caption_count;
    const char *embeddings, *model_folder, *out;
    enum nc_truncation too_long; /* captions of more tokens than the context */
    bool skip_malformed; /* records that cannot be read are left out and counted; else they end it */
    bool quiet;                  /* no progress */
    size_t range_bytes;          /* of examples that are sorted at once; 0: 32 MiB */
    double save_seconds;         /* between two states that a later call goes on from; 0: 5 */
};

struct nc_prepare_result {
    uint64_t captions; /* that this call read, without those that it passed over */
    double seconds;
    bool resumed; /* it went on where an earlier call had stopped */
    bool before;  /* the set was complete already */
};

/* A set that is complete, or half made, from other captions, embeddings or another model is refused
 * (NC_USAGE), and so is a folder with something else in it. A picture or a distractor that the
 * store lacks is left out and counted; captions of which none is left are NC_BAD_INPUT. SIGINT,
 * SIGTERM and their like end the call with NC_FAILED, saying how to go on. */
int nc_prepare(const struct nc_prepare_options *options, struct nc_prepare_result *result);

#endif
