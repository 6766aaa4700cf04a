/* Tokenizers of SentencePiece's kind: a text is normalised by the file's own steps, cut into words, and
 * each word into pieces of a vocabulary.
 *
 *   sentencepiece.c         text to ids: added tokens, steps, words, pieces, template
 *   sentencepiece_json.c    tokenizer.json of Hugging Face, whose steps are given one by one
 *   sentencepiece_model.c   SentencePiece's own files (spiece.model, tokenizer.model)
 *   steps.c                 the steps of normalisation
 *   charsmap.c              SentencePiece's compiled map of characters
 *   unigram.c, piece_bpe.c  words to pieces
 *   pieces.c                the vocabulary's index
 */
#ifndef NCLIP_HOST_TOKENIZER_PIECES_H
#define NCLIP_HOST_TOKENIZER_PIECES_H

#include "parts.h"

#define NC_SPACE_PIECE "\xe2\x96\x81" /* U+2581, what stands for a space */

/* ---- Normalisation ---- */

/* A map from strings to strings: a double array whose values are places in `text`. */
struct nc_charsmap {
    uint32_t *units; /* NULL: maps nothing */
    size_t unit_count;
    char *text; /* each value ends with a zero byte, the last one too */
    size_t text_size;
};

/* From precompiled_charsmap's bytes. NC_BAD_INPUT, naming `where`, unless they are one. */
int nc_charsmap_read(const char *where, const uint8_t *bytes, size_t size,
                     struct nc_charsmap *charsmap);
void nc_charsmap_free(struct nc_charsmap *charsmap);

/* The value of a key that text[0 .. length) begins with, of `matched` bytes: the longest one, or the
 * shortest. NULL: none. */
const char *nc_charsmap_find(const struct nc_charsmap *charsmap, const uint8_t *text, size_t length,
                             bool longest, size_t *matched);

enum nc_step_kind {
    NC_STEP_CHARSMAP,  /* as Hugging Face's tokenizers apply it: by clusters of characters */
    NC_STEP_SPM,       /* as SentencePiece does, with its handling of spaces */
    NC_STEP_CANONICAL, /* big_vision's: small letters, no ASCII punctuation, single spaces */
    NC_STEP_LOWER,
    NC_STEP_NFC,
    NC_STEP_REPLACE,   /* every `from` by `to` */
    NC_STEP_RUNS,      /* every run of two spaces or more by `to` */
    NC_STEP_WHITE,     /* every run of white space by `to` */
    NC_STEP_PUNCTUATION, /* every sign of ASCII's by `to` */
    NC_STEP_STRIP,     /* white space at the ends */
    NC_STEP_PREPEND,   /* `to` before a text that is not empty */
};

struct nc_step {
    enum nc_step_kind kind;
    char *from, *to;
    bool left, right; /* NC_STEP_STRIP */
};

enum { NC_MOST_STEPS = 12 };

/* What SentencePiece's own normalizer is told. */
struct nc_spm_rules {
    bool dummy_prefix, remove_extra_spaces, escape_spaces;
    bool inside; /* the text is no beginning: what it begins with is kept */
};

struct nc_steps {
    struct nc_step list[NC_MOST_STEPS];
    size_t count;
    struct nc_charsmap charsmap;
    struct nc_spm_rules spm;
};

/* Appends a step, `from` and `to` copied; NC_BAD_INPUT beyond NC_MOST_STEPS. */
int nc_steps_add(struct nc_steps *steps, const char *where, enum nc_step_kind kind, const char *from,
                 const char *to);
void nc_steps_free(struct nc_steps *steps);

/* *text (valid UTF-8) after all steps; `other` is working memory, and may be exchanged with it. *begun:
 * it still begins with what it began with. */
int nc_steps_run(const struct nc_steps *steps, struct nc_tokenizer_scratch *scratch,
                 struct nc_buffer *text, struct nc_buffer *other, bool *begun);

/* ---- Pieces ---- */

struct nc_pieces {
    struct nc_steps steps;
    /* words */
    bool split_at_white, split_behind_space; /* white space goes; spaces stay with what is before */
    enum { NC_METASPACE_NONE, NC_METASPACE_NEVER, NC_METASPACE_FIRST, NC_METASPACE_ALWAYS } metaspace;
    bool metaspace_split;
    bool space_first; /* a piece of a space goes before the text; those in it are spaces */
    /* the vocabulary is the tokenizer's; its ids from `size` on are added tokens, no pieces */
    size_t size;
    bool is_bpe;
    double *score;     /* [size] of a piece */
    bool *normal;      /* [size] may stand in a text */
    bool *user;        /* [size] user-defined: always stays whole; or NULL */
    int32_t *order;    /* [ordered] normal pieces, sorted by their bytes */
    size_t ordered;
    size_t first[257]; /* in order, of pieces that begin with each byte */
    bool single;       /* sums of scores are fp32, as SentencePiece's own */
    double unknown_score, largest_score;
    int32_t bytes[256]; /* the piece of a byte; -1 */
    bool byte_fallback, fuse_unknown, ignore_merges;
    int32_t unknown;     /* -1: what is unknown is left out */
    const struct nc_bpe *merges; /* of pairs of pieces; NULL: any two whose sum is a piece */
    uint32_t *rank;      /* [size] without merges: by score, the best first */
    bool has_start, has_end; /* the template */
    bool end_once;           /* a text that ends with the end's token gets no other */
    int32_t pad;
};

/* Once vocabulary and normal are there: order, first, bytes; scores' extremes; rank where `merges` is
 * NULL. */
int nc_pieces_index(struct nc_pieces *pieces, const char *where,
                    const struct nc_vocabulary *vocabulary);
void nc_pieces_free(struct nc_pieces *pieces); /* and the memory of `pieces` itself; NULL is allowed */

/* Working memory of one thread. */
struct nc_pieces_scratch {
    struct nc_buffer valid, text, other, memory;
    int32_t *ids;      /* [capacity] the pieces of a word, `count` of them */
    uint32_t *starts;  /* [capacity] where each begins in the word */
    size_t count, capacity;
};
int nc_pieces_reserve(struct nc_pieces_scratch *scratch, size_t capacity);
void nc_pieces_scratch_free(struct nc_pieces_scratch *scratch);

/* The pieces of one word, at most `length` of them. */
int nc_unigram_encode(const struct nc_pieces *pieces, const struct nc_vocabulary *vocabulary,
                      const uint8_t *word, size_t length, struct nc_pieces_scratch *scratch);
int nc_piece_bpe_encode(const struct nc_pieces *pieces, const struct nc_vocabulary *vocabulary,
                        const uint8_t *word, size_t length, struct nc_pieces_scratch *scratch);

/* Appends what is unknown: its bytes' pieces, or the unknown piece, once for a run. */
void nc_pieces_add_unknown(const struct nc_pieces *pieces, const uint8_t *word, size_t start,
                           size_t end, bool first_of_run, struct nc_pieces_scratch *scratch);

/* Bytes of the code point that begins with this byte. */
static inline size_t nc_utf8_length(uint8_t byte)
{
    return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/* ---- Loading: of files.c ---- */

/* Whether the model of a tokenizer.json is one of these. */
bool nc_pieces_is_json(const struct cJSON *root);
int nc_pieces_load_json(struct nc_tokenizer *tokenizer, const char *where, const char *folder,
                        const struct cJSON *root);
int nc_pieces_load_model(struct nc_tokenizer *tokenizer, const char *where, const char *folder,
                         const uint8_t *bytes, size_t size);

/* Adds a token to look for; `text` is copied. */
int nc_pieces_add_token(struct nc_tokenizer *tokenizer, const char *where,
                        const struct nc_added_token *token);

/* ---- Encoding: of tokenizer.c ---- */

/* Called for each id with the place in scratch->clean that its text begins at. */
struct nc_id_sink {
    int (*push)(void *context, int32_t id, size_t place);
    void *context;
};

/* The ids of valid UTF-8, without start and end. scratch->clean is the text that they stand for, with
 * spaces. */
int nc_pieces_encode(const struct nc_tokenizer *tokenizer, const char *text, size_t length,
                     struct nc_tokenizer_scratch *scratch, const struct nc_id_sink *sink);

#endif
