/* The structures and functions with which the files of the scan call each other:
 *
 *     scan.c          the threads: who reads which file, and what comes out
 *     find.c          which files
 *     open.c          in which format a file is
 *     lines.c         the captions of a block of lines or records: text, jsonl, csv, tsv
 *     objects.c       the captions of JSON, as it comes
 *     samples.c       the captions of webdataset tars
 *     tally.c         counting, and examples by chance
 */
#ifndef NCLIP_HOST_SCAN_PARTS_H
#define NCLIP_HOST_SCAN_PARTS_H

#include "nclip/formats/blocks.h"
#include "nclip/formats/byte_stream.h"
#include "nclip/formats/json_reader.h"
#include "nclip/scan/scan.h"

/* ---- Files ---- */

struct scan_file {
    char *path;
    enum nc_scan_format format; /* NC_SCAN_BY_NAME: its content is to tell, once it is open */
    uint64_t size;              /* packed; 0: not known */
    /* Once it is open: */
    struct nc_byte_stream *stream;
    struct nc_blocks *blocks; /* of formats of lines and records */
    bool busy, ended;         /* change under the scan's lock only */
    uint64_t consumed;        /* of `size`, already told */
    bool named;    /* csv, tsv: the column is known */
    size_t column; /* index of the captions' column */
};

struct scan_files {
    struct scan_file *items;
    size_t count, capacity;
    size_t passed_over;      /* entries of folders that may hold captions and cannot be read */
    char passed_first[512];  /* the first of them: "a/b.txt: a link that leads nowhere" */
};
int scan_files_find(const char *const *paths, size_t count, const struct nc_scan_options *options,
                    struct scan_files *files);
void scan_files_free(struct scan_files *files);

/* ---- Counting: one tally a thread ---- */

struct scan_sample {
    uint64_t priority; /* the lowest are kept */
    size_t file;
    uint64_t offset;
    char *text;
    size_t length;
};

struct scan_tally {
    const struct nc_scan_options *options;
    uint64_t captions, negated, denials, unread, bytes;
    uint64_t *by_word, *denials_by_word;
    uint64_t *last_caption, *last_denial; /* [words] the caption that counted last for each */
    struct scan_sample *samples;
    size_t sample_count, worst; /* index of the highest priority */
    /* The first record without a caption, by file and offset. */
    size_t unread_file;
    uint64_t unread_offset;
    const char *unread_reason; /* static; NULL: none */
};
int scan_tally_create(const struct nc_scan_options *options, struct scan_tally *tally);
void scan_tally_free(struct scan_tally *tally);
int scan_tally_caption(struct scan_tally *tally, size_t file, uint64_t offset, const char *text,
                       size_t length);
void scan_tally_unread(struct scan_tally *tally, size_t file, uint64_t offset, const char *reason);
/* Adds `from` to `to`; its samples move. */
int scan_tally_merge(struct scan_tally *to, struct scan_tally *from);

/* ---- Which member or column holds the caption ---- */

enum { SCAN_NO_FIELD = -1 };
/* 0 is the most wanted one. */
int scan_field_rank(const struct nc_scan_options *options, const char *name, size_t length);

/* ---- Opening ---- */

/* Opens the stream, and tells the format where the name did not. */
int scan_file_open(struct scan_file *file, const struct nc_scan_options *options);
void scan_file_close(struct scan_file *file);
bool scan_file_in_blocks(const struct scan_file *file);

/* ---- Captions ---- */

/* What counting a block needs besides it; one a thread, its room is used again. */
struct scan_work {
    struct nc_block block;
    struct nc_csv_form form; /* of the block's records */
    char *scratch; /* of a quoted field without its quotes, or a string without its escapes */
    size_t scratch_capacity;
    struct nc_json_reader reader;
};
void scan_work_free(struct scan_work *work);

/* Reads the next block, and which column holds the captions where the names of columns stand in it.
 * It may then be empty and not the last. */
int scan_lines_read(struct scan_file *file, const struct nc_scan_options *options,
                    struct scan_work *work);
int scan_lines_count(const struct scan_file *file, size_t index, struct scan_work *work,
                     struct scan_tally *tally);

/* Told of packed bytes that were read, now and then. */
struct scan_watch {
    void (*moved)(void *context, struct scan_file *file);
    void *context;
};

/* Counts the captions of a whole stream of JSON values. */
int scan_objects_count(struct scan_file *file, size_t index, struct scan_tally *tally,
                       const struct scan_watch *watch);

/* The caption of one object in memory. `caption` points into the text, or into `scratch`. *reason
 * (static) says why there is none; NULL: there is one. NC_FAILED without memory. */
int scan_object_caption(const char *text, size_t size, const struct nc_scan_options *options,
                        struct scan_work *work, const char **caption, size_t *length,
                        const char **reason);

/* Counts the captions of a tar. */
int scan_samples_count(struct scan_file *file, size_t index, struct scan_tally *tally,
                       const struct scan_watch *watch);

#endif
