/* Writes a shard of version 2. */
#ifndef NCLIP_HOST_STORE_SHARD_WRITE_H
#define NCLIP_HOST_STORE_SHARD_WRITE_H

#include "format.h"

/* What is in it; all borrowed. */
struct nc_shard_content {
    const struct nc_embedding_info *info;
    size_t rows;
    const void *row_data;       /* [rows, dimension]; NULL: they are in rows_file */
    const uint64_t *block_sums; /* of the rows in rows_file; else they are computed */
    const uint64_t *key_ends;   /* [rows], as in the file */
    const char *key_text;
    size_t key_text_bytes;
    const char *rows_file; /* or NULL */
    uint64_t rows_offset, rows_file_bytes;
};

/* The head, its sums included, in *head (malloc'd). */
int nc_shard_make_head(const char *path, const struct nc_shard_content *content, uint8_t **head,
                       size_t *size, struct nc_shard_header *header);

/* Writes the file at `path`, which appears by rename. */
int nc_shard_write(const char *path, const struct nc_shard_content *content, uint64_t *bytes);

#endif
