/* A batch of captions laid end to end, without padding.
 *
 * CLIP's text tower is causal and read at the end-of-text token, so nothing behind
 * that token can matter: a caption of n tokens takes n rows, never 77.
 *
 * For the same reason captions that begin alike have the same activations as far
 * as they agree: with `share_prefixes`, a row is computed once for all captions
 * that share the tokens up to it ("<start> a man" stands once in a batch). The
 * batch is then a forest: a caption's rows are its `path`, the rows it was first
 * to bring are its own, and gradients of shared rows add up by themselves. The
 * result is equal to rounding; real captions save a fifth of all rows or so.
 */
#ifndef NCLIP_CAPTIONS_PACKING_H
#define NCLIP_CAPTIONS_PACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nc_packing {
    size_t captions;
    size_t rows;           /* tokens that are computed */
    size_t tokens;         /* tokens of all captions: path_start[captions] */
    size_t repeated;       /* tokens on rows that an earlier caption brought */
    size_t longest;        /* tokens of the longest caption */
    int32_t *token;        /* [rows] id */
    int32_t *position;     /* [rows] place in the caption, from 0 */
    int32_t *row_start;    /* [captions + 1] own rows of caption b: row_start[b] .. row_start[b+1];
                              may be empty when a caption came twice */
    int32_t *path_start;   /* [captions + 1] */
    int32_t *path;         /* [tokens] the rows of caption b's tokens, first to last, are
                              path[path_start[b]] .. ; without shared prefixes path[i] == i */
    int32_t *last_row;     /* [captions] the end-of-text row */
    size_t capacity_captions, capacity_rows, capacity_tokens;
    /* prefix lookup, internal */
    uint64_t *trie_key;
    int32_t *trie_row;
    size_t trie_capacity;
};

/* All arrays for at most this much; freed by destroy. */
int nc_packing_create(size_t captions, size_t tokens, struct nc_packing *packing);
void nc_packing_destroy(struct nc_packing *packing);

/* Empties the batch, keeping its memory. */
void nc_packing_clear(struct nc_packing *packing);

/* Adds one caption of `count` >= 1 tokens, already cut behind its end-of-text
 * token (see nc_caption_end). NC_FAILED when the capacity is spent. */
int nc_packing_add(struct nc_packing *packing, const int32_t *tokens, size_t count,
                   bool share_prefixes);

/* Adds one caption of a tower without a mask, or that reads padding: `total` tokens, of which those
 * from `count` on are `pad`. Such a caption shares no row. Token `end` is what the tower reads: it is
 * put last, because the order of rows means nothing to tokens that all see each other (their
 * positions do); behind it must be none where they do not. */
int nc_packing_add_filled(struct nc_packing *packing, const int32_t *tokens, size_t count,
                          size_t total, int32_t pad, size_t end);

/* Rows are padded to multiples of this. */
enum { NC_PACKING_BUCKET = 128 };

/* Adds rows on no path up to the next multiple, so that batches of about one size can be
 * replayed (ops.h). They are computed, and change nothing as long as the activations hold
 * numbers there. No caption may be added afterwards. */
void nc_packing_pad(struct nc_packing *packing);

#endif
