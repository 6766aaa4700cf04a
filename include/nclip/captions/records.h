/* Captions one after the other, with everything that a caption may carry, in memory that does not
 * grow with their number.
 *
 *     image           its picture's key                  (COCO: image_id's file_name)
 *     caption         what is trained on                 (updated_caption where there is one)
 *     original        the picture's own caption          (caption, where updated_caption is there)
 *     contradiction   false of the picture
 *     absence         true, says what is absent
 *     paraphrase
 *     choices         array of strings, false
 *     distractor      a picture's key                    (COCO: distractor_id)
 *
 * Several files are one stream. JSONL comes line by line, packed or not, also from a pipe; COCO
 * JSON is read whole, as nclip/captions/captions.h does. All but image and caption may be missing or
 * null; other members are passed over. */
#ifndef NCLIP_CAPTIONS_RECORDS_H
#define NCLIP_CAPTIONS_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nc_caption_record {
    const char *image, *caption;
    const char *original, *contradiction, *absence, *paraphrase, *distractor; /* NULL: none */
    const char *const *choices;
    size_t choice_count;
};

/* A run of records, not yet taken apart: any number of threads may read from one. It begins as
 * {0}, and is used again for the next run. */
struct nc_caption_batch {
    uint64_t first;    /* place of its first record in the stream, from 0 */
    size_t count;      /* 0: the stream has ended */
    uint64_t hash;     /* of all text of the stream up to the end of these records */
    uint64_t position; /* bytes of the files, as they are on disk, up to there */
    /* the rest is the stream's own */
    const char *source;
    char *text; /* owned */
    size_t capacity;
    struct nc_caption_line {
        size_t offset, length, number;
    } *lines; /* owned: [count] */
    size_t line_capacity;
    struct nc_caption_file *file; /* COCO: a share of what was read whole */
    size_t file_first;
};

struct nc_caption_stream;

/* Opens files ("-": standard input, once; NC_USAGE otherwise). Each is looked at when its turn
 * comes. The paths are borrowed. */
int nc_caption_stream_open(const char *const *paths, size_t count,
                           struct nc_caption_stream **stream);
void nc_caption_stream_close(struct nc_caption_stream *stream); /* NULL is allowed */
uint64_t nc_caption_stream_bytes(const struct nc_caption_stream *stream); /* on disk; 0: not known */

/* The next records; the same each time that the same text is read. What is no file of captions, or
 * holds none, is NC_BAD_INPUT. Batches outlive the stream. */
int nc_caption_stream_next(struct nc_caption_stream *stream, struct nc_caption_batch *batch);
void nc_caption_batch_free(struct nc_caption_batch *batch); /* {0} is allowed */

/* What takes records apart; one a thread. It begins as {0}. */
struct nc_caption_parser {
    void *tree;
    const char **choices;
    size_t choice_capacity;
    char where[512]; /* names the record that was read last: "FILE line 7" */
};
void nc_caption_parser_free(struct nc_caption_parser *parser);

/* Record i of the batch, valid until the parser reads another. NC_BAD_INPUT names file, line or
 * annotation, and member. */
int nc_caption_batch_read(const struct nc_caption_batch *batch, size_t i,
                          struct nc_caption_parser *parser, struct nc_caption_record *record);

#endif
