/* What the parts of the scan share. One file a concern:
 *
 *     scan.c          the threads: who reads which file, and what comes out
 *     files.c         which files, and in which format
 *     blocks.c        formats that are cut into blocks: text, jsonl, csv, tsv
 *     json.c          JSON, read as it comes
 *     tar.c           webdataset tars
 *     tally.c         counting, and examples by chance
 */
#ifndef NCLIP_HOST_SCAN_PARTS_H
#define NCLIP_HOST_SCAN_PARTS_H

#include "nclip/formats/byte_stream.h"
#include "nclip/scan/scan.h"

/* ---- Files ---- */

struct scan_file {
    char *path;
    enum nc_scan_format format;
    uint64_t size; /* packed; 0: not known */
    /* Once it is open: */
    struct nc_byte_stream *stream;
    bool busy, ended; /* change under the scan's lock only */
    bool began;
    uint64_t offset;   /* of what is read next, unpacked */
    uint64_t consumed; /* of `size`, already told */
    char *carry;       /* the begin of a line whose end is not read yet */
    size_t carry_size, carry_capacity;
    size_t column; /* csv, tsv: index of the captions' column */
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

/* ---- Blocks ---- */

struct scan_block {
    char *bytes;
    size_t size, capacity;
    uint64_t offset; /* of its first byte, unpacked */
    bool last;       /* none is left: this one is empty */
    char *scratch;   /* of a quoted field without its quotes */
    size_t scratch_capacity;
    struct scan_text *text; /* strings of JSON */
};
/* Whole lines or records of the file, the next ones. Without a caption (only names of columns), it
 * may be empty and not the last. */
int scan_block_read(struct scan_file *file, const struct nc_scan_options *options,
                    struct scan_block *block);
int scan_block_count(const struct scan_file *file, size_t index, struct scan_block *block,
                     struct scan_tally *tally);
void scan_block_free(struct scan_block *block);

/* ---- JSON ---- */

/* A growing string, cut at NC_SCAN_CAPTION. */
struct scan_text {
    char *bytes;
    size_t size, capacity;
};
void scan_text_free(struct scan_text *text);

/* Told of packed bytes that were read, now and then. */
struct scan_watch {
    void (*moved)(void *context, struct scan_file *file);
    void *context;
};

/* Counts the captions of a whole stream of JSON values. */
int scan_json_stream(struct scan_file *file, size_t index, struct scan_tally *tally,
                     const struct scan_watch *watch);

/* The caption of one object in memory; *found is false when it has none. False: not one whole JSON
 * object. */
bool scan_json_object(const char *text, size_t size, const struct nc_scan_options *options,
                      struct scan_text *caption, bool *found, bool *no_memory);

/* ---- Tars ---- */

int scan_tar_stream(struct scan_file *file, size_t index, struct scan_tally *tally,
                    const struct scan_watch *watch);

#endif
