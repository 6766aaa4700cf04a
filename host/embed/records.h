/* What is kept of pieces and sources, in STORE/sources:
 *
 *     000012-003.json    {"pictures", "sum", "rows"}: piece 3 of source 12 is complete once this
 * and its shard (where it has rows) are there 000012-003.begun/  a piece that a stop interrupted: a
 * store with its rows, and its texts 000012.json        source 12 is complete, and nothing of its
 * pieces is needed any more
 *
 * beside each the texts: lines of skipped.jsonl, of damaged.jsonl, of captions; files that would be
 * empty are not there. */
#ifndef NCLIP_HOST_EMBED_RECORDS_H
#define NCLIP_HOST_EMBED_RECORDS_H

#include "job.h"
#include "nclip/support/files.h"
#include "sources.h"

enum embed_kind { EMBED_SKIPPED, EMBED_DAMAGED, EMBED_CAPTIONS, EMBED_KINDS };
extern const char *const embed_endings[EMBED_KINDS]; /* ".skipped", ... */

#define EMBED_WHOLE SIZE_MAX /* in the place of a piece: the source */

/* A piece that is complete or interrupted. */
struct embed_record {
    size_t pictures;   /* of the source */
    uint64_t sum;      /* of its keys: another where the source is another */
    size_t rows, done; /* of the piece: rows, and pictures that they come from */
};

/* "STORE/sources/000012-003ENDING", for free(); NULL without memory. */
char *embed_record_path(const char *store, size_t source, size_t piece, const char *ending);

/* Writes the texts; an empty one's file is removed. `folder` NULL: of the piece; else into it. */
int embed_texts_write(const char *store, size_t source, size_t piece, const char *folder,
                      const struct embed_text texts[EMBED_KINDS]);

int embed_record_write(const char *path, const struct embed_record *record);
/* *there is false where the file is missing. */
int embed_record_read(const char *path, struct embed_record *record, bool *there);

/* Whether the piece is complete; *other: it is, or was begun, but of another source by that name.
 */
int embed_piece_done(const char *store, size_t source, size_t piece, const struct embed_record *now,
                     bool *done, bool *other);

/* Forgets all pieces of a source, with their shards. */
int embed_pieces_forget(const char *store, size_t source, size_t pieces);

/* All pieces are complete: their texts become the source's, and its .json appears. */
int embed_source_finish(const char *store, size_t source, size_t pieces, const char *path,
                        size_t pictures);

/* Removes what a kill left in the folder, and finds which sources are done. */
int embed_records_clean(const char *folder, size_t first, size_t count,
                        struct embed_selection *selection);

/* Appends the file to the writer, if it is there, and counts its lines. */
int embed_append_file(const char *path, struct nc_writer *writer, size_t *lines);

#endif
