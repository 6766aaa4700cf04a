/* The piece at hand: its rows and notes in memory, then in the store. */
#ifndef NCLIP_HOST_EMBED_PIECE_H
#define NCLIP_HOST_EMBED_PIECE_H

#include "nclip/store/parts.h"
#include "records.h"

#include <stdatomic.h>

/* A source that is open: until its last batch is stored, and the next one is compared with it. */
struct embed_open_source {
    struct nc_image_source *source;
    const char *path;
    size_t number, pieces, last_todo; /* the last piece that is not complete */
    uint64_t sum;                     /* of its keys */
    _Atomic size_t holders;
};
void embed_source_release(
    struct embed_open_source *source); /* the last holder closes it; NULL: none */

/* Which pictures: [first, end) of the source, of which those before `at` are fed. */
struct embed_piece {
    struct embed_open_source *of;
    size_t number, first, at, end;
    bool begun;             /* those before `at` come from an earlier run */
    _Atomic size_t holders; /* the feeder, each batch of it, the sink */
};
void embed_piece_release(struct embed_piece *piece); /* the last holder frees it; NULL: none */

/* Takes the batches of one piece after the other. */
struct embed_sink {
    const struct embed_job *job;
    const struct embed_list *list;
    struct nc_embedding_part *part;
    struct embed_text texts[EMBED_KINDS];
    struct embed_piece *piece; /* at hand; NULL between two */
    size_t done;               /* pictures of it that were taken, those of an earlier run too */
    double saved;
    _Atomic size_t embedded, skipped;
};

int embed_sink_create(struct embed_sink *sink, const struct embed_job *job,
                      const struct embed_list *list);
void embed_sink_destroy(struct embed_sink *sink);

/* A batch whose owner is a struct embed_piece. */
int embed_sink_take(struct embed_sink *sink, struct embed_batch *batch);

/* Puts the piece at hand aside, for the next run to go on with. */
int embed_sink_save(struct embed_sink *sink);

#endif
