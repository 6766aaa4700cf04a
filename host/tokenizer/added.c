/* Special and added tokens: which there are, and where they stand in a text.
 *
 * transformers gathers them from up to four files beside the vocabulary
 * (tokenization_utils_base.py, _from_pretrained; tokenization_utils_tokenizers.py).
 * A folder that only has the vocabulary gets <|startoftext|> and <|endoftext|>,
 * looked for as they are, before anything is normalised.
 */
#include "parts.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <stdlib.h>
#include <string.h>

enum { EXTRA = 2 * NC_VOCABULARY_LIMIT /* order of those without id */ };

enum { BOS, EOS, UNK, SEP, PAD, CLS, MASK, NAMED }; /* in the order of transformers */
static const char *const named_keys[NAMED] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                              "pad_token", "cls_token", "mask_token"};

struct request {
    const char *content; /* in one of the JSON trees or static */
    bool normalized;
    double order; /* the id that a file gives it: only their order counts */
};

struct requests {
    struct request named[NAMED]; /* content NULL: none */
    struct request *list;
    size_t count, capacity;
    bool from_config; /* tokenizer_config.json lists the added tokens itself */
};

static int read_request(const char *where, const cJSON *item, bool normalized, double order,
                        struct request *request)
{
    *request = (struct request){NULL, normalized, order};
    if (cJSON_IsString(item)) {
        request->content = item->valuestring;
        return NC_OK;
    }
    bool single_word = false;
    int status = nc_json_string(where, item, "content", &request->content);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, item, "normalized", &request->normalized);
    if (status == NC_OK)
        status = nc_json_optional_bool(where, item, "single_word", &single_word);
    if (status == NC_OK && single_word)
        status = nc_error(NC_BAD_INPUT,
                          "%s: the added token \"%.40s\" asks for single_word, which is not "
                          "supported: set it to false",
                          where, request->content);
    return status;
}

static int append(struct requests *all, const char *where, struct request request)
{
    if (all->count == all->capacity) {
        size_t capacity = all->capacity ? 2 * all->capacity : 16;
        struct request *list = realloc(all->list, capacity * sizeof *list);
        if (!list)
            return nc_error(NC_FAILED, "%s: no memory for the added tokens", where);
        all->list = list;
        all->capacity = capacity;
    }
    all->list[all->count++] = request;
    return NC_OK;
}

/* bos_token and the others as a string, an object, or null for "leave it". Written
 * as a string, a special token is looked for in the raw text. */
static int read_named(const char *where, const cJSON *root, bool normalized, struct requests *all)
{
    for (int i = 0; i < NAMED; i++) {
        const cJSON *item = nc_json_member(root, named_keys[i]);
        if (!item || cJSON_IsNull(item))
            continue;
        struct request request;
        int status = read_request(where, item, cJSON_IsObject(item) && normalized, 0, &request);
        if (status != NC_OK)
            return status;
        all->named[i] = request;
    }
    return NC_OK;
}

static int read_extra(const char *where, const cJSON *root, struct requests *all)
{
    static const char *const keys[] = {"additional_special_tokens", "extra_special_tokens"};
    for (size_t i = 0; i < 2; i++) {
        const cJSON *list = nc_json_member(root, keys[i]), *item;
        if (!cJSON_IsArray(list))
            continue;
        cJSON_ArrayForEach(item, list)
        {
            struct request request;
            int status = read_request(where, item, false, EXTRA, &request);
            if (status == NC_OK)
                status = append(all, where, request);
            if (status != NC_OK)
                return status;
        }
    }
    return NC_OK;
}

static int read_config(const char *where, const cJSON *root, struct requests *all)
{
    int status = read_named(where, root, true, all);
    if (status == NC_OK)
        status = read_extra(where, root, all);
    const cJSON *decoder = nc_json_member(root, "added_tokens_decoder"), *item;
    if (status != NC_OK || !cJSON_IsObject(decoder))
        return status;
    all->from_config = true;
    cJSON_ArrayForEach(item, decoder)
    {
        struct request request;
        bool special = false;
        status = nc_json_optional_bool(where, item, "special", &special);
        if (status == NC_OK)
            status = read_request(where, item, !special, strtod(item->string, NULL), &request);
        if (status == NC_OK)
            status = append(all, where, request);
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

static int read_special_map(const char *where, const cJSON *root, struct requests *all)
{
    int status = all->from_config ? NC_OK : read_named(where, root, false, all);
    return status == NC_OK && !all->from_config ? read_extra(where, root, all) : status;
}

/* added_tokens.json: an object from token to id. */
static int read_added_map(const char *where, const cJSON *root, struct requests *all)
{
    const cJSON *item;
    if (all->from_config)
        return NC_OK;
    cJSON_ArrayForEach(item, root)
    {
        if (!cJSON_IsNumber(item) || !item->string)
            return nc_error(NC_BAD_INPUT, "%s: expected an object from token to id", where);
        bool special = false;
        for (int i = 0; i < NAMED; i++)
            special = special ||
                      (all->named[i].content && strcmp(all->named[i].content, item->string) == 0);
        int status =
            append(all, where, (struct request){item->string, !special, item->valuedouble});
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

static int read_tokenizer_json(const char *where, const cJSON *root, struct requests *all)
{
    const cJSON *list = nc_json_member(root, "added_tokens"), *item;
    if (all->from_config || !cJSON_IsArray(list))
        return NC_OK;
    cJSON_ArrayForEach(item, list)
    {
        struct request request;
        size_t id = 0;
        bool special = false;
        int status = nc_json_optional_size(where, item, "id", &id);
        if (status == NC_OK)
            status = nc_json_optional_bool(where, item, "special", &special);
        if (status == NC_OK)
            status = read_request(where, item, !special, (double)id, &request);
        if (status == NC_OK)
            status = append(all, where, request);
        if (status != NC_OK)
            return status;
    }
    return NC_OK;
}

/* Reads `name` in `folder` when it is there. */
static int read_beside(const char *folder, const char *name, cJSON **tree, struct requests *all,
                       int (*read)(const char *, const cJSON *, struct requests *))
{
    char *path = nc_path_join(folder, name);
    if (!path)
        return nc_error(NC_FAILED, "%s: no memory", folder);
    int status = NC_OK;
    if (nc_file_exists(path)) {
        status = nc_json_load(path, tree);
        if (status == NC_OK && !cJSON_IsObject(*tree))
            status = nc_error(NC_BAD_INPUT, "%s: expected a JSON object", path);
        if (status == NC_OK)
            status = read(path, *tree, all);
    }
    free(path);
    return status;
}

static int by_order(const void *a, const void *b)
{
    double x = ((const struct request *)a)->order, y = ((const struct request *)b)->order;
    return (x > y) - (x < y);
}

/* The id of a token; one that the vocabulary lacks gets the next. */
static int token_id(struct nc_tokenizer *tokenizer, const char *where, const char *content,
                    int32_t *id)
{
    struct nc_vocabulary *vocabulary = &tokenizer->vocabulary;
    *id = nc_vocabulary_find(vocabulary, content, strlen(content));
    if (*id >= 0)
        return NC_OK;
    size_t next = vocabulary->size;
    *id = (int32_t)next;
    return nc_vocabulary_add(vocabulary, where, content, strlen(content), next, false);
}

static int add_token(struct nc_tokenizer *tokenizer, const char *where,
                     const struct request *request)
{
    size_t length = strlen(request->content);
    if (!length)
        return NC_OK;
    struct nc_added_token token = {.length = length, .normalized = request->normalized};
    int status = token_id(tokenizer, where, request->content, &token.id);
    if (status != NC_OK)
        return status;
    if (token.normalized) {
        struct nc_tokenizer_scratch scratch = {0};
        status = nc_clean(NC_TOKENIZER_TRANSFORMERS, request->content, length, &scratch);
        token.length = scratch.clean.count;
        token.text = (char *)scratch.clean.at;
        nc_code_points_free(&scratch.text);
        nc_code_points_free(&scratch.spare);
        if (status == NC_OK && !token.length) {
            free(token.text);
            return NC_OK;
        }
    } else {
        token.text = strdup(request->content);
        if (!token.text)
            status = nc_error(NC_FAILED, "%s: no memory for the added tokens", where);
    }
    /* Asked for again, it looks as it was asked for last. */
    for (size_t i = 0; status == NC_OK && i < tokenizer->added_count; i++)
        if (tokenizer->added[i].id == token.id) {
            free(tokenizer->added[i].text);
            tokenizer->added[i] = token;
            tokenizer->added_first[token.normalized][(uint8_t)token.text[0]] = true;
            return NC_OK;
        }
    struct nc_added_token *added = NULL;
    if (status == NC_OK)
        added = realloc(tokenizer->added, (tokenizer->added_count + 1) * sizeof *added);
    if (!added) {
        free(token.text);
        return status != NC_OK ? status
                               : nc_error(NC_FAILED, "%s: no memory for the added tokens", where);
    }
    tokenizer->added = added;
    tokenizer->added_first[token.normalized][(uint8_t)token.text[0]] = true;
    added[tokenizer->added_count++] = token;
    return NC_OK;
}

/* A named token that is also listed looks the way the list says. */
static bool is_listed(const struct requests *all, size_t listed, const char *content)
{
    for (size_t i = 0; i < listed; i++)
        if (strcmp(all->list[i].content, content) == 0)
            return true;
    return false;
}

/* First those with an id, in its order, then the named, then the extra ones: new
 * ids follow from this order. */
static int add_all(struct nc_tokenizer *tokenizer, const char *where, struct requests *all)
{
    int status = NC_OK;
    size_t listed = 0;
    while (listed < all->count && all->list[listed].order < EXTRA)
        listed++;
    for (size_t i = 0; i < listed && status == NC_OK; i++)
        status = add_token(tokenizer, where, &all->list[i]);
    for (int i = 0; i < NAMED && status == NC_OK; i++)
        if (all->named[i].content && !is_listed(all, listed, all->named[i].content))
            status = add_token(tokenizer, where, &all->named[i]);
    for (size_t i = listed; i < all->count && status == NC_OK; i++)
        if (!is_listed(all, listed, all->list[i].content))
            status = add_token(tokenizer, where, &all->list[i]);
    return status;
}

static int settle(struct nc_tokenizer *tokenizer, const char *where, struct requests *all)
{
    const char *start = all->named[BOS].content, *end = all->named[EOS].content;
    if (all->count)
        qsort(all->list, all->count, sizeof *all->list, by_order);
    /* transformers would give the special tokens new ids, beyond what the model knows. */
    for (int i = BOS; i <= EOS; i++) {
        const char *content = all->named[i].content;
        if (!*content ||
            (nc_vocabulary_find(&tokenizer->vocabulary, content, strlen(content)) < 0 &&
             !is_listed(all, all->count, content)))
            return nc_error(NC_BAD_INPUT, "%s: the vocabulary lacks \"%.40s\"", where, content);
    }
    int status = add_all(tokenizer, where, all);
    if (status != NC_OK)
        return status;
    tokenizer->start = nc_vocabulary_find(&tokenizer->vocabulary, start, strlen(start));
    tokenizer->end = nc_vocabulary_find(&tokenizer->vocabulary, end, strlen(end));
    const char *unknown = all->named[UNK].content;
    int32_t id = nc_vocabulary_find(&tokenizer->vocabulary, unknown, strlen(unknown));
    tokenizer->bpe.unknown = id >= 0 ? id : tokenizer->end;
    tokenizer->bpe.sweep = tokenizer->rules == NC_TOKENIZER_OPEN_CLIP;
    /* open_clip knows no added tokens, and its spelling of the special ones is in the
     * words' pattern. */
    if (tokenizer->rules == NC_TOKENIZER_OPEN_CLIP)
        nc_added_tokens_free(tokenizer);
    return NC_OK;
}

int nc_added_tokens_load(struct nc_tokenizer *tokenizer, const char *where, const char *folder,
                         const cJSON *root)
{
    struct requests all = {.named = {[BOS] = {.content = "<|startoftext|>"},
                                     [EOS] = {.content = "<|endoftext|>"},
                                     [UNK] = {.content = "<|endoftext|>"},
                                     [PAD] = {.content = "<|endoftext|>"}}};
    cJSON *config = NULL, *map = NULL, *added = NULL;
    int status = NC_OK;
    if (folder)
        status = read_beside(folder, "tokenizer_config.json", &config, &all, read_config);
    if (folder && status == NC_OK)
        status = read_beside(folder, "special_tokens_map.json", &map, &all, read_special_map);
    if (folder && status == NC_OK)
        status = read_beside(folder, "added_tokens.json", &added, &all, read_added_map);
    if (root && status == NC_OK)
        status = read_tokenizer_json(where, root, &all);
    if (status == NC_OK)
        status = settle(tokenizer, where, &all);
    free(all.list);
    cJSON_Delete(config);
    cJSON_Delete(map);
    cJSON_Delete(added);
    return status;
}

void nc_added_tokens_free(struct nc_tokenizer *tokenizer)
{
    for (size_t i = 0; i < tokenizer->added_count; i++)
        free(tokenizer->added[i].text);
    free(tokenizer->added);
    tokenizer->added = NULL;
    tokenizer->added_count = 0;
}

const struct nc_added_token *nc_added_token_find(const struct nc_tokenizer *tokenizer,
                                                 bool normalized, const uint8_t *text, size_t from,
                                                 size_t length, size_t *at)
{
    if (!tokenizer->added_count)
        return NULL;
    const bool *first = tokenizer->added_first[normalized];
    for (size_t i = from; i < length; i++) {
        if (!first[text[i]])
            continue;
        const struct nc_added_token *best = NULL;
        for (size_t k = 0; k < tokenizer->added_count; k++) {
            const struct nc_added_token *token = &tokenizer->added[k];
            if (token->normalized == normalized && token->length <= length - i &&
                (!best || token->length > best->length) &&
                memcmp(token->text, text + i, token->length) == 0)
                best = token;
        }
        if (best) {
            *at = i;
            return best;
        }
    }
    return NULL;
}
