/* Embeddings that other programs made, and stores for them: .npy files of rows beside tables of
 * what the rows are of, as clip-retrieval and LAION lay them out:
 *
 *     img_emb/img_emb_0000.npy            rows in fp16 or fp32
 *     metadata/metadata_0000.parquet      row i is of row i there: image_path, caption, ...
 *
 * A .npy file and its table are told by the number at the end of their names, whatever zeros stand
 * before it. Tables may be Parquet, CSV, TSV, JSON lines, or plain lines of keys (formats/table.h).
 */
#ifndef NCLIP_STORE_EXCHANGE_H
#define NCLIP_STORE_EXCHANGE_H

#include "nclip/store/store.h"

#include <stdbool.h>
#include <stddef.h>

/* ---- where the rows are ---- */

struct nc_store_source {
    char *rows;  /* the .npy file */
    char *table; /* what its rows are of; NULL: nothing tells */
};

struct nc_store_sources {
    struct nc_store_source *items; /* in the order of their numbers */
    size_t count;
};

/* `path` is a .npy file, a folder of them, or a folder that has img_emb/ (and metadata/ beside it).
 * `table` (NULL: the one found) is that of a single file. NC_BAD_INPUT: no .npy file; a table
 * without rows or rows without a table where others have one, naming it; a number twice. */
int nc_store_sources_find(const char *path, const char *table, struct nc_store_sources *sources);
void nc_store_sources_free(struct nc_store_sources *sources); /* {0} is allowed */

/* ---- from them into a store ---- */

struct nc_store_import {
    const char *model_hash, *preprocessing; /* whose embeddings they are */
    size_t dimension;                       /* of that model; 0: not known */
    const char *key;     /* the column of keys; NULL: "FILE/ROW", img_emb_0000/17 */
    const char *caption; /* the column of captions, for captions_out */
    const char *captions_out; /* JSON lines of image and caption; NULL: none */
    bool link;                /* rows stay in the .npy files, by their absolute paths */
    const bool *normalized;   /* NULL: as the first rows are */
};

struct nc_store_imported {
    size_t files, rows, before, captions; /* rows: of this call; before: there already */
    size_t skipped;                       /* not finite: in skipped.jsonl */
    bool normalized;
};

/* Makes the store, or goes on with one that was broken off: the rows that are there must be the
 * first of the sources. NC_BAD_INPUT names the file and the row: other columns than the model has,
 * fewer or more rows than keys, a key twice, a row that is not of length 1 where the others are.
 * A row that is not finite is skipped and noted (with `link`: NC_BAD_INPUT). NC_FAILED after a
 * signal, saying how to go on. */
int nc_store_import(const struct nc_store_sources *sources, const struct nc_store_import *options,
                    const char *folder, struct nc_store_imported *imported);

/* The keys of a source's first rows, at most `most`; `column` as above. Freed also on failure. */
int nc_store_source_keys(const struct nc_store_source *source, const char *column, size_t most,
                         char ***keys, size_t *count);
void nc_store_source_keys_free(char **keys, size_t count);

/* ---- from a store to them ---- */

struct nc_store_export {
    enum nc_type type;    /* fp16 or fp32 */
    size_t rows_per_file; /* 0: 1,000,000 */
    bool parquet;         /* else JSON lines */
    const char *captions; /* a file of captions: the first of each picture; NULL: none */
};

/* Writes FOLDER/img_emb/img_emb_NNNN.npy and FOLDER/metadata/metadata_NNNN.parquet (or .jsonl), in
 * the order of the rows. Each file appears when complete; *files counts them. */
int nc_store_export(const struct nc_embedding_store *store, const struct nc_store_export *options,
                    const char *folder, size_t *files);

#endif
