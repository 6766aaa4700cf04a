/* Encodes texts: cleans, splits and merges them, and cuts what is longer than the context (77
 * tokens for CLIP). */
#include "nclip/tokenizer/tokenizer.h"

#include "nclip/negation/words.h"
#include "nclip/support/error.h"
#include "pieces.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_LIMIT = 64 << 20 }; /* bytes of one text: no caption, whatever it was meant to be */

int nc_tokenizer_rules_parse(const char *name, enum nc_tokenizer_rules *rules)
{
    if (strcmp(name, "transformers") == 0)
        *rules = NC_TOKENIZER_TRANSFORMERS;
    else if (strcmp(name, "open_clip") == 0)
        *rules = NC_TOKENIZER_OPEN_CLIP;
    else
        return nc_error(NC_USAGE, "\"%s\" is no tokenizer's rules: transformers or open_clip",
                        name);
    return NC_OK;
}

int nc_truncation_parse(const char *name, enum nc_truncation *truncation)
{
    if (strcmp(name, "truncate") == 0)
        *truncation = NC_TRUNCATE;
    else if (strcmp(name, "error") == 0)
        *truncation = NC_TRUNCATE_ERROR;
    else if (strcmp(name, "skip") == 0)
        *truncation = NC_TRUNCATE_SKIP;
    else
        return nc_error(
            NC_USAGE, "\"%s\" is nothing to do with a long caption: truncate, error or skip", name);
    return NC_OK;
}

int nc_tokenizer_load(const char *path, enum nc_tokenizer_rules rules, struct nc_tokenizer **out)
{
    *out = NULL;
    struct nc_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer)
        return nc_error(NC_FAILED, "%s: no memory", path);
    tokenizer->rules = rules;
    int status = nc_tokenizer_load_files(tokenizer, path);
    if (status == NC_OK && tokenizer->pieces && tokenizer->rules == NC_TOKENIZER_OPEN_CLIP)
        status = nc_error(NC_BAD_INPUT,
                          "%s: nothing says how open_clip cleans a text before this vocabulary of pieces "
                          "(hf_tokenizer_name in the text_cfg of an open_clip_config.json here); without "
                          "it nclip has transformers' rules", path);
    if (status != NC_OK) {
        nc_tokenizer_destroy(tokenizer);
        return status;
    }
    *out = tokenizer;
    return NC_OK;
}

void nc_tokenizer_destroy(struct nc_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    nc_vocabulary_free(&tokenizer->vocabulary);
    nc_bpe_free(&tokenizer->bpe);
    nc_added_tokens_free(tokenizer);
    nc_pieces_free(tokenizer->pieces);
    free(tokenizer);
}

int32_t nc_tokenizer_start(const struct nc_tokenizer *tokenizer)
{
    return tokenizer->start;
}

int32_t nc_tokenizer_end(const struct nc_tokenizer *tokenizer)
{
    return tokenizer->end;
}

int32_t nc_tokenizer_pad(const struct nc_tokenizer *tokenizer)
{
    return tokenizer->pieces ? tokenizer->pieces->pad : -1;
}

enum nc_text_cleaning nc_tokenizer_cleaning(const struct nc_tokenizer *tokenizer)
{
    return tokenizer->cleaning;
}

size_t nc_tokenizer_vocabulary_size(const struct nc_tokenizer *tokenizer)
{
    return tokenizer->vocabulary.size;
}

const char *nc_tokenizer_piece(const struct nc_tokenizer *tokenizer, int32_t id)
{
    const struct nc_vocabulary *vocabulary = &tokenizer->vocabulary;
    if (id < 0 || (size_t)id >= vocabulary->size || vocabulary->offset[id] == UINT32_MAX)
        return NULL;
    return vocabulary->text + vocabulary->offset[id];
}

void nc_tokens_free(struct nc_tokens *tokens)
{
    free(tokens->ids);
    if (tokens->scratch) {
        free(tokens->scratch->raw.at);
        free(tokens->scratch->clean.at);
        nc_code_points_free(&tokens->scratch->text);
        nc_code_points_free(&tokens->scratch->spare);
        free(tokens->scratch->bpe.memory);
        if (tokens->scratch->pieces)
            nc_pieces_scratch_free(tokens->scratch->pieces);
        free(tokens->scratch->pieces);
        free(tokens->scratch);
    }
    *tokens = (struct nc_tokens){0};
}

/* ---- encoding */

struct encoder {
    const struct nc_tokenizer *tokenizer;
    struct nc_tokens *tokens;
    size_t limit;  /* ids from here on do not fit, but for the end; SIZE_MAX: no limit */
    size_t cut_at; /* where in the cleaned text the first of those starts; SIZE_MAX: all fit */
};

static int reserve_ids(struct nc_tokens *tokens, size_t more)
{
    size_t needed = tokens->count + more;
    if (needed <= tokens->capacity)
        return NC_OK;
    size_t capacity = needed > 2 * tokens->capacity ? needed : 2 * tokens->capacity;
    int32_t *ids = realloc(tokens->ids, capacity * sizeof *ids);
    if (!ids)
        return nc_error(NC_FAILED, "no memory for %zu token ids", capacity);
    tokens->ids = ids;
    tokens->capacity = capacity;
    return NC_OK;
}

/* How many bytes of text a piece stands for. */
static size_t piece_bytes(const struct nc_tokenizer *tokenizer, int32_t id)
{
    const char *piece = nc_tokenizer_piece(tokenizer, id);
    if (!piece || id == tokenizer->bpe.unknown)
        return 1;
    size_t bytes = 0, length = tokenizer->vocabulary.length[id];
    if (length > 4 && memcmp(piece + length - 4, "</w>", 4) == 0)
        length -= 4;
    for (size_t i = 0; i < length; i++)
        bytes += ((uint8_t)piece[i] & 0xc0) != 0x80;
    return bytes;
}

/* Notes where the text is cut when the ids just added, from `before` on, are the
 * first beyond the limit. They stand for the text from `start` on. */
static void note_cut(struct encoder *encoder, size_t before, size_t start)
{
    if (encoder->cut_at != SIZE_MAX || encoder->tokens->count <= encoder->limit)
        return;
    for (size_t i = before; i < encoder->limit; i++)
        start += piece_bytes(encoder->tokenizer, encoder->tokens->ids[i]);
    encoder->cut_at = start;
}

static int push_id(void *context, int32_t id, size_t start)
{
    struct encoder *encoder = context;
    int status = reserve_ids(encoder->tokens, 1);
    if (status != NC_OK)
        return status;
    encoder->tokens->ids[encoder->tokens->count++] = id;
    note_cut(encoder, encoder->tokens->count - 1, start);
    return NC_OK;
}

/* The words of the cleaned text [from, to). */
static int encode_words(struct encoder *encoder, size_t from, size_t to)
{
    const struct nc_tokenizer *tokenizer = encoder->tokenizer;
    struct nc_tokens *tokens = encoder->tokens;
    struct nc_tokenizer_scratch *scratch = tokens->scratch;
    struct nc_word word = {.from = from};
    int status = NC_OK;
    while (status == NC_OK && nc_next_word(tokenizer, scratch->clean.at, to, &word)) {
        size_t before = tokens->count, count = 0;
        if (word.special >= 0) {
            status = push_id(encoder, word.special, word.start);
            continue;
        }
        status = reserve_ids(tokens, word.length);
        if (status != NC_OK)
            break;
        status = nc_bpe_encode(&tokenizer->bpe, scratch->clean.at + word.start, word.length,
                               &scratch->bpe, tokens->ids + before, &count);
        tokens->count = before + count;
        note_cut(encoder, before, word.start);
    }
    return status;
}

/* Cleans a part of the raw text and encodes it, with the added tokens that are
 * looked for in cleaned text. */
static int encode_part(struct encoder *encoder, const char *text, size_t length)
{
    struct nc_tokenizer_scratch *scratch = encoder->tokens->scratch;
    size_t from = scratch->clean.count, at = 0;
    int status = nc_clean(encoder->tokenizer->rules, text, length, scratch);
    while (status == NC_OK) {
        const struct nc_added_token *token = nc_added_token_find(
            encoder->tokenizer, true, scratch->clean.at, from, scratch->clean.count, &at);
        status = encode_words(encoder, from, token ? at : scratch->clean.count);
        if (!token || status != NC_OK)
            break;
        status = push_id(encoder, token->id, at);
        from = at + token->length;
    }
    return status;
}

/* The raw text, with the added tokens that are looked for in it. */
static int encode_text(struct encoder *encoder, const char *text, size_t length)
{
    struct nc_tokenizer_scratch *scratch = encoder->tokens->scratch;
    int status = NC_OK;
    for (size_t from = 0, at = 0; status == NC_OK;) {
        const struct nc_added_token *token = nc_added_token_find(
            encoder->tokenizer, false, (const uint8_t *)text, from, length, &at);
        size_t to = token ? at : length;
        if (to > from)
            status = encode_part(encoder, text + from, to - from);
        if (!token || status != NC_OK)
            break;
        size_t start = scratch->clean.count;
        status = nc_buffer_reserve(&scratch->clean, start + token->length);
        if (status != NC_OK)
            break;
        memcpy(scratch->clean.at + start, token->text, token->length);
        scratch->clean.count += token->length;
        status = push_id(encoder, token->id, start);
        from = at + token->length;
    }
    return status;
}

static bool negation_after(const struct nc_tokenizer_scratch *scratch, size_t cut_at)
{
    const char *text = (const char *)scratch->clean.at;
    struct nc_negation_match match = {0};
    while (nc_denial_find(text, scratch->clean.count, match.end, &match))
        if (match.end > cut_at)
            return true;
    return false;
}

int nc_tokenizer_encode(const struct nc_tokenizer *tokenizer, const char *text, size_t length,
                        size_t context, enum nc_truncation truncation, struct nc_tokens *tokens)
{
    tokens->count = tokens->full_count = 0;
    tokens->truncated = tokens->skipped = tokens->negation_lost = false;
    if (context == 1)
        return nc_error(NC_USAGE, "a context of 1 token has no room for start and end: use 2 or "
                                  "more, or 0 for no limit");
    if (length > TEXT_LIMIT)
        return nc_error(NC_BAD_INPUT, "a text of %zu bytes is longer than the %d MiB allowed",
                        length, TEXT_LIMIT >> 20);
    if (!tokens->scratch && !(tokens->scratch = calloc(1, sizeof *tokens->scratch)))
        return nc_error(NC_FAILED, "no memory for the tokenizer");
    tokens->scratch->clean.count = 0;

    const struct nc_pieces *pieces = tokenizer->pieces;
    bool has_start = !pieces || pieces->has_start, has_end = !pieces || pieces->has_end;
    struct encoder encoder = {tokenizer, tokens, context ? context - has_end : SIZE_MAX, SIZE_MAX};
    const struct nc_id_sink sink = {push_id, &encoder};
    int status = NC_OK;
    if (tokenizer->cleaning != NC_TEXT_AS_IT_IS) {
        status = nc_text_clean(tokenizer->cleaning, text, length, tokens->scratch);
        text = (const char *)tokens->scratch->raw.at;
        length = status == NC_OK ? tokens->scratch->raw.count : 0;
    }
    if (status == NC_OK)
        status = reserve_ids(tokens, length / 2 + 2);
    if (status == NC_OK && has_start)
        tokens->ids[tokens->count++] = tokenizer->start;
    if (status == NC_OK)
        status = pieces ? nc_pieces_encode(tokenizer, text, length, tokens->scratch, &sink)
                        : encode_text(&encoder, text, length);
    if (status == NC_OK)
        status = reserve_ids(tokens, 1);
    if (status != NC_OK) {
        tokens->count = 0;
        return status;
    }
    bool ended = pieces && pieces->end_once && tokens->count &&
                 tokens->ids[tokens->count - 1] == tokenizer->end;
    if (has_end && !ended)
        tokens->ids[tokens->count++] = tokenizer->end;
    tokens->full_count = tokens->count;
    if (!context || tokens->count <= context)
        return NC_OK;

    tokens->count = 0;
    if (truncation == NC_TRUNCATE_ERROR)
        return nc_error(NC_BAD_INPUT,
                        "the text has %zu tokens, more than the %zu that fit: shorten it, or let "
                        "it be truncated or skipped",
                        tokens->full_count, context);
    if (truncation == NC_TRUNCATE_SKIP) {
        tokens->skipped = true;
        return NC_OK;
    }
    tokens->count = context;
    if (has_end)
        tokens->ids[context - 1] = tokenizer->end;
    tokens->truncated = true;
    tokens->negation_lost = negation_after(tokens->scratch, encoder.cut_at);
    return NC_OK;
}
