/* How rare negation is: counts the captions that hold a negation word, and those that deny something
 * (nclip/negation/words.h tells the two apart), in any amount of text.
 *
 * Files are read by all cores; a large file of lines is cut into blocks. What is counted, and which
 * examples are shown, does not depend on the number of threads. Memory depends on the number of
 * threads and on the longest caption, not on the data.
 *
 *     text        one caption a line; blank lines are none
 *     jsonl       one object a line, its member `field`
 *     json        COCO and everything like it: `field` of every object at any depth up to 8
 *     csv, tsv    column `field` (nclip/formats/csv.h says how they are read)
 *     tar         webdataset: of each sample its .txt, or `field` of its .json
 *
 * all of them also packed with gzip or zstd. Lines, objects, records and samples whose caption
 * cannot be read are counted, and the first is named with the reason. Case, word boundaries and n't
 * are as in nclip/negation/words.h; bytes that are not UTF-8 are taken as letters.
 */
#ifndef NCLIP_SCAN_SCAN_H
#define NCLIP_SCAN_SCAN_H

#include "nclip/negation/words.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum nc_scan_format {
    NC_SCAN_BY_NAME, /* by the file's ending, without .gz or .zst; else by its first bytes */
    NC_SCAN_TEXT,
    NC_SCAN_JSONL,
    NC_SCAN_JSON,
    NC_SCAN_CSV,
    NC_SCAN_TSV,
    NC_SCAN_TAR,
};

enum {
    NC_SCAN_LONGEST = 1 << 26, /* bytes of a line or record; a longer one is NC_BAD_INPUT
                                  (NC_BLOCKS_LONGEST) */
    NC_SCAN_CAPTION = 1 << 20, /* bytes of a caption in JSON and tars that are looked at */
};

struct nc_scan_options {
    const struct nc_negation_list *words;
    enum nc_scan_format format;
    const char *quotes; /* of csv and tsv: "csv", "none"; NULL: as nclip/formats/csv.h says */
    /* The member of an object or the name of a column, or (csv, tsv) its number from 1, which also
     * says that there is no row of names. NULL: the first there is of updated_caption, caption,
     * text, TEXT. */
    const char *field;
    size_t threads;  /* 0: one a core */
    size_t block;    /* bytes read at once; 0: a good number */
    size_t examples; /* captions with a negation or denial to keep, by chance */
    uint64_t seed;
    bool progress;
};

struct nc_scan_example {
    char *text; /* owned; at most 1000 bytes of it, what is not UTF-8 as "?" */
    size_t length;
    const char *file; /* owned by the result */
    uint64_t offset;  /* of its line, object or member in the unpacked file */
};

struct nc_scan_result {
    uint64_t captions, negated; /* the plain count, which papers' figures are compared with */
    uint64_t *by_word;          /* captions that hold word i of the list */
    uint64_t denials;           /* captions that deny something */
    uint64_t *denials_by_word;  /* with word i */
    uint64_t unread;   /* lines, records and samples without a caption that can be read */
    uint64_t bytes;    /* unpacked */
    size_t files;
    char unread_first[512]; /* the first of them: "a.jsonl byte 120: not a JSON object"; or "" */
    struct nc_scan_example *examples; /* in the order of the files */
    size_t example_count;
    void *owned;
};

/* Files, folders (all files below with a known ending, by name) and "-" (once). NC_BAD_INPUT: what
 * cannot be read, damaged packing, JSON that breaks off, a column that is not there, no caption at
 * all. The first file at fault is named, whatever the threads did. What a folder holds and cannot be
 * read (a link that leads nowhere or back) is a warning on standard error, and NC_BAD_INPUT where
 * the folder holds nothing else. */
int nc_scan(const char *const *paths, size_t count, const struct nc_scan_options *options,
            struct nc_scan_result *result);
void nc_scan_result_free(struct nc_scan_result *result); /* {0} is allowed */

#endif
