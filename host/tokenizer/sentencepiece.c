/* Texts to ids by a vocabulary of pieces: the added tokens are looked for, what is between them is
 * normalised and cut into words, and these into pieces. */
#include "pieces.h"

#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { SPACE_PIECE = 0x2581 };

struct job {
    const struct nc_tokenizer *tokenizer;
    const struct nc_pieces *pieces;
    struct nc_tokenizer_scratch *scratch;
    struct nc_pieces_scratch *work;
    const struct nc_id_sink *sink;
};

static bool is_white(const uint8_t *at, size_t *length)
{
    uint32_t code;
    *length = nc_utf8_decode_one(at, &code);
    return nc_code_class(NC_TOKENIZER_TRANSFORMERS, code) == NC_SPACE;
}

/* ---- Words ---- */

/* A word's pieces, and in scratch->clean the text that they stand for. */
static int encode_word(struct job *job, const uint8_t *word, size_t length)
{
    const struct nc_vocabulary *vocabulary = &job->tokenizer->vocabulary;
    struct nc_buffer *clean = &job->scratch->clean;
    struct nc_pieces_scratch *work = job->work;
    int status = job->pieces->is_bpe
                     ? nc_piece_bpe_encode(job->pieces, vocabulary, word, length, work)
                     : nc_unigram_encode(job->pieces, vocabulary, word, length, work);
    if (status == NC_OK)
        status = nc_buffer_reserve(clean, clean->count + length);
    size_t done = 0;
    for (size_t i = 0; i <= work->count && status == NC_OK; i++) {
        size_t start = i < work->count ? work->starts[i] : length;
        while (done < start) { /* the text with spaces, for people's words to be found in it */
            bool space = start - done >= 3 && memcmp(word + done, NC_SPACE_PIECE, 3) == 0;
            clean->at[clean->count++] = space ? ' ' : word[done];
            done += space ? 3 : 1;
        }
        if (i < work->count)
            status = job->sink->push(job->sink->context, work->ids[i], clean->count);
    }
    return status;
}

/* Cuts behind each space, or before each piece of a space. */
static int encode_split(struct job *job, const uint8_t *word, size_t length)
{
    const struct nc_pieces *p = job->pieces;
    int status = NC_OK;
    for (size_t from = 0, to; from < length && status == NC_OK; from = to) {
        for (to = from + 1; to < length; to++) {
            if (p->split_behind_space && word[to - 1] == ' ')
                break;
            if (p->metaspace != NC_METASPACE_NONE && p->metaspace_split && length - to >= 3 &&
                memcmp(word + to, NC_SPACE_PIECE, 3) == 0)
                break;
        }
        status = encode_word(job, word + from, to - from);
    }
    return status;
}

/* A byte, a space as its piece; there is room. */
static void put(struct nc_buffer *out, uint8_t byte)
{
    if (byte == ' ') {
        memcpy(out->at + out->count, NC_SPACE_PIECE, 3);
        out->count += 3;
    } else {
        out->at[out->count++] = byte;
    }
}

static int encode_metaspace(struct job *job, const uint8_t *word, size_t length, bool at_start)
{
    const struct nc_pieces *p = job->pieces;
    struct nc_buffer *out = &job->work->other;
    bool prepend = p->metaspace == NC_METASPACE_ALWAYS ||
                   (p->metaspace == NC_METASPACE_FIRST && at_start);
    if (p->metaspace == NC_METASPACE_NONE)
        return encode_split(job, word, length);
    int status = nc_buffer_reserve(out, 3 * (length + 1));
    if (status != NC_OK)
        return status;
    bool there = word[0] == ' ' || (length >= 3 && memcmp(word, NC_SPACE_PIECE, 3) == 0);
    out->count = 0;
    if (prepend && !there)
        put(out, ' ');
    for (size_t i = 0; i < length; i++)
        put(out, word[i]);
    return encode_split(job, out->at, out->count);
}

/* A part of the normalised text without added tokens. */
static int encode_words(struct job *job, const uint8_t *text, size_t length, bool at_start)
{
    if (!job->pieces->split_at_white)
        return length ? encode_metaspace(job, text, length, at_start) : NC_OK;
    int status = NC_OK;
    for (size_t at = 0, end, size; at < length && status == NC_OK; at = end) {
        bool white = is_white(text + at, &size);
        for (end = at + size; end < length && is_white(text + end, &size) == white;)
            end += size;
        if (!white)
            status = encode_metaspace(job, text + at, end - at, at_start && !at);
    }
    return status;
}

/* ---- Added tokens ---- */

static int push_token(struct job *job, const struct nc_added_token *token)
{
    struct nc_buffer *clean = &job->scratch->clean;
    size_t place = clean->count;
    int status = nc_buffer_reserve(clean, place + token->length);
    if (status != NC_OK)
        return status;
    memcpy(clean->at + place, token->text, token->length);
    clean->count += token->length;
    return job->sink->push(job->sink->context, token->id, place);
}

static int encode_part(struct job *job, const uint8_t *text, size_t length, bool at_start);

/* The text between the added tokens that are looked for in raw text (`normalized`: in normalised text),
 * which take white space beside them where they ask for it. */
static int between_tokens(struct job *job, bool normalized, const uint8_t *text, size_t length,
                          bool at_start)
{
    int status = NC_OK;
    for (size_t from = 0, at = 0, size; status == NC_OK && from <= length;) {
        const struct nc_added_token *token =
            nc_added_token_find(job->tokenizer, normalized, text, from, length, &at);
        size_t end = token ? at : length, next = token ? at + token->length : length + 1;
        while (token && token->left_space && end > from) {
            size_t last = end - 1;
            while (last > from && (text[last] & 0xc0) == 0x80)
                last--;
            if (!is_white(text + last, &size))
                break;
            end = last;
        }
        while (token && token->right_space && next < length && is_white(text + next, &size))
            next += size;
        if (end > from)
            status = normalized ? encode_words(job, text + from, end - from, at_start && !from)
                                : encode_part(job, text + from, end - from, at_start && !from);
        if (token && status == NC_OK)
            status = push_token(job, token);
        from = next;
    }
    return status;
}

static int encode_part(struct job *job, const uint8_t *text, size_t length, bool at_start)
{
    struct nc_pieces_scratch *work = job->work;
    bool begun;
    work->text.count = 0;
    int status = nc_buffer_reserve(&work->text, length + 1);
    if (status != NC_OK)
        return status;
    memcpy(work->text.at, text, length);
    work->text.count = length;
    status = nc_steps_run(&job->pieces->steps, job->scratch, &work->text, &work->other, &begun);
    return status == NC_OK ? between_tokens(job, true, work->text.at, work->text.count,
                                            at_start && begun)
                           : status;
}

/* Valid UTF-8 of the text, in `out`. */
static int make_valid(const char *text, size_t length, bool space_first,
                      struct nc_tokenizer_scratch *scratch, struct nc_buffer *out)
{
    bool replaced = false;
    scratch->text.count = 0;
    int status = nc_utf8_decode(text, length, &scratch->text, &replaced);
    if (status == NC_OK)
        status = nc_buffer_reserve(out, 4 * scratch->text.count + 4);
    if (status != NC_OK)
        return status;
    out->count = 0;
    if (space_first)
        put(out, ' ');
    for (size_t i = 0; i < scratch->text.count; i++) {
        uint32_t code = scratch->text.at[i];
        code = space_first && code == SPACE_PIECE ? ' ' : code;
        out->count += (size_t)utf8proc_encode_char((utf8proc_int32_t)code, out->at + out->count);
    }
    return NC_OK;
}

int nc_pieces_encode(const struct nc_tokenizer *tokenizer, const char *text, size_t length,
                     struct nc_tokenizer_scratch *scratch, const struct nc_id_sink *sink)
{
    if (!scratch->pieces && !(scratch->pieces = calloc(1, sizeof *scratch->pieces)))
        return nc_error(NC_FAILED, "no memory for the tokenizer");
    struct job job = {tokenizer, tokenizer->pieces, scratch, scratch->pieces, sink};
    int status = make_valid(text, length, job.pieces->space_first, scratch, &scratch->pieces->valid);
    return status == NC_OK ? between_tokens(&job, false, scratch->pieces->valid.at,
                                            scratch->pieces->valid.count, true)
                           : status;
}
