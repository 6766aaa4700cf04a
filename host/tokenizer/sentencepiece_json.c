/* Vocabularies of pieces in a tokenizer.json: its normalizer and pre_tokenizer, step by step, its model
 * and its template. What is not computed here is refused by its name, for the ids would differ. */
#include "pieces.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct nc_tokenizer *tokenizer;
    struct nc_pieces *pieces;
    const char *where;
};

static const char *text_of(const cJSON *object, const char *key)
{
    const cJSON *item = nc_json_member(object, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static bool is_type(const cJSON *object, const char *type)
{
    return strcmp(text_of(object, "type"), type) == 0;
}

static int refuse(const struct reader *r, const char *stage, const cJSON *step)
{
    return nc_error(NC_BAD_INPUT, "%s: its %s has a step \"%.40s\" that nclip does not compute, and its "
                                  "ids would differ", r->where, stage, text_of(step, "type"));
}

bool nc_pieces_is_json(const cJSON *root)
{
    const cJSON *model = nc_json_member(root, "model");
    /* BPE of CLIP's kind marks the ends of words. */
    return is_type(model, "Unigram") ||
           (is_type(model, "BPE") && !*text_of(model, "end_of_word_suffix") &&
            (cJSON_IsTrue(nc_json_member(model, "byte_fallback")) ||
             cJSON_IsTrue(nc_json_member(model, "fuse_unk"))));
}

/* ---- Normalizer ---- */

/* Base64, in place; its size, 0 where it is none. */
static size_t decode_base64(char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    unsigned held = 0; /* bits that are no byte yet */
    size_t size = 0;
    for (const char *at = text; *at && *at != '='; at++) {
        const char *digit = strchr(digits, *at);
        if (!digit)
            return 0;
        bits = (bits << 6 | (uint32_t)(digit - digits)) & 0xffff;
        held += 6;
        if (held >= 8) {
            held -= 8;
            text[size++] = (char)(bits >> held & 0xff);
        }
    }
    return size;
}

static int read_charsmap(const struct reader *r, const cJSON *step)
{
    char *bytes = strdup(text_of(step, "precompiled_charsmap"));
    if (!bytes)
        return nc_error(NC_FAILED, "%s: no memory", r->where);
    size_t size = decode_base64(bytes);
    int status = nc_charsmap_read(r->where, (const uint8_t *)bytes, size, &r->pieces->steps.charsmap);
    free(bytes);
    return status == NC_OK ? nc_steps_add(&r->pieces->steps, r->where, NC_STEP_CHARSMAP, NULL, NULL)
                           : status;
}

/* Of regular expressions those that tokenizers of this kind have. */
static int read_replace(const struct reader *r, const cJSON *step)
{
    static const struct {
        const char *expression;
        enum nc_step_kind kind;
    } known[] = {{" {2,}", NC_STEP_RUNS},
                 {"\\s+", NC_STEP_WHITE},
                 {"[!\"#$%&'()*+,-./:;<=>?@\\[\\\\\\]^_`{|}~]", NC_STEP_PUNCTUATION},
                 {"[!\"\\#$%&'\\(\\)*\\+,\\-\\./:;<=>?@\\[\\\\\\]\\^_`\\{\\|\\}\\~]", NC_STEP_PUNCTUATION}};
    const cJSON *pattern = nc_json_member(step, "pattern");
    const char *string = text_of(pattern, "String"), *expression = text_of(pattern, "Regex");
    if (*string)
        return nc_steps_add(&r->pieces->steps, r->where, NC_STEP_REPLACE, string,
                            text_of(step, "content"));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(expression, known[i].expression) == 0)
            return nc_steps_add(&r->pieces->steps, r->where, known[i].kind, NULL,
                                text_of(step, "content"));
    return nc_error(NC_BAD_INPUT, "%s: its normalizer replaces \"%.60s\", which nclip does not compute, "
                                  "and its ids would differ", r->where, expression);
}

static int read_normalizer(const struct reader *r, const cJSON *step, int depth)
{
    struct nc_steps *steps = &r->pieces->steps;
    int status = NC_OK;
    if (!step || cJSON_IsNull(step))
        return NC_OK;
    if (is_type(step, "Sequence") && depth < 4) {
        const cJSON *part;
        cJSON_ArrayForEach(part, nc_json_member(step, "normalizers"))
        {
            if (status == NC_OK)
                status = read_normalizer(r, part, depth + 1);
        }
        return status;
    }
    if (is_type(step, "Precompiled"))
        return read_charsmap(r, step);
    if (is_type(step, "Replace"))
        return read_replace(r, step);
    if (is_type(step, "Lowercase"))
        return nc_steps_add(steps, r->where, NC_STEP_LOWER, NULL, NULL);
    if (is_type(step, "NFC"))
        return nc_steps_add(steps, r->where, NC_STEP_NFC, NULL, NULL);
    if (is_type(step, "Prepend"))
        return nc_steps_add(steps, r->where, NC_STEP_PREPEND, NULL, text_of(step, "prepend"));
    if (is_type(step, "Strip")) {
        status = nc_steps_add(steps, r->where, NC_STEP_STRIP, NULL, NULL);
        if (status == NC_OK) {
            steps->list[steps->count - 1].left = cJSON_IsTrue(nc_json_member(step, "strip_left"));
            steps->list[steps->count - 1].right = cJSON_IsTrue(nc_json_member(step, "strip_right"));
        }
        return status;
    }
    return refuse(r, "normalizer", step);
}

/* ---- Words ---- */

static int read_metaspace(const struct reader *r, const cJSON *step)
{
    struct nc_pieces *p = r->pieces;
    const char *scheme = text_of(step, "prepend_scheme");
    const cJSON *split = nc_json_member(step, "split");
    if (strcmp(text_of(step, "replacement"), NC_SPACE_PIECE) != 0)
        return refuse(r, "pre_tokenizer", step);
    if (!*scheme) /* of older files */
        scheme = cJSON_IsFalse(nc_json_member(step, "add_prefix_space")) ? "never" : "always";
    p->metaspace = strcmp(scheme, "always") == 0  ? NC_METASPACE_ALWAYS
                   : strcmp(scheme, "first") == 0 ? NC_METASPACE_FIRST
                                                  : NC_METASPACE_NEVER;
    p->metaspace_split = !cJSON_IsFalse(split);
    return NC_OK;
}

static int read_splitter(const struct reader *r, const cJSON *step, int depth)
{
    struct nc_pieces *p = r->pieces;
    int status = NC_OK;
    bool first = p->metaspace == NC_METASPACE_NONE && !p->split_behind_space;
    if (!step || cJSON_IsNull(step))
        return NC_OK;
    if (is_type(step, "Sequence") && depth < 4) {
        const cJSON *part;
        cJSON_ArrayForEach(part, nc_json_member(step, "pretokenizers"))
        {
            if (status == NC_OK)
                status = read_splitter(r, part, depth + 1);
        }
        return status;
    }
    if (is_type(step, "WhitespaceSplit") && first) {
        p->split_at_white = true;
        return NC_OK;
    }
    if (is_type(step, "Metaspace") && first)
        return read_metaspace(r, step);
    if (is_type(step, "Split") && first && !p->split_at_white &&
        strcmp(text_of(nc_json_member(step, "pattern"), "String"), " ") == 0 &&
        strcmp(text_of(step, "behavior"), "MergedWithPrevious") == 0 &&
        !cJSON_IsTrue(nc_json_member(step, "invert"))) {
        p->split_behind_space = true;
        return NC_OK;
    }
    return refuse(r, "pre_tokenizer", step);
}

/* ---- Model ---- */

static int allocate(const struct reader *r, size_t size)
{
    struct nc_pieces *p = r->pieces;
    if (size > NC_VOCABULARY_LIMIT)
        return nc_error(NC_BAD_INPUT, "%s: more than %d pieces", r->where, NC_VOCABULARY_LIMIT);
    p->score = calloc(size + 1, sizeof *p->score);
    p->normal = calloc(size + 1, sizeof *p->normal);
    p->size = size;
    return p->score && p->normal ? NC_OK : nc_error(NC_FAILED, "%s: no memory for its pieces", r->where);
}

/* [["piece", score], ...] by id. */
static int read_unigram(const struct reader *r, const cJSON *model)
{
    struct nc_pieces *p = r->pieces;
    struct nc_vocabulary *vocabulary = &r->tokenizer->vocabulary;
    const cJSON *list, *item;
    size_t id = 0, unknown = SIZE_MAX;
    int status = nc_json_array(r->where, model, "vocab", &list);
    if (status == NC_OK)
        status = allocate(r, (size_t)cJSON_GetArraySize(list));
    if (status == NC_OK && !cJSON_IsNull(nc_json_member(model, "unk_id")))
        status = nc_json_optional_size(r->where, model, "unk_id", &unknown);
    if (status != NC_OK)
        return status;
    cJSON_ArrayForEach(item, list)
    {
        const cJSON *piece = cJSON_IsArray(item) ? item->child : NULL, *score = piece ? piece->next : NULL;
        if (!cJSON_IsString(piece) || !cJSON_IsNumber(score) || !isfinite(score->valuedouble))
            return nc_error(NC_BAD_INPUT, "%s: piece %zu is not a string with its score", r->where, id);
        size_t length = strlen(piece->valuestring);
        p->score[id] = score->valuedouble;
        p->normal[id] = length > 0;
        /* Twice the same: what stands last has it. */
        status = nc_vocabulary_add(vocabulary, r->where, piece->valuestring, length, id, true);
        if (status != NC_OK)
            return status;
        id++;
    }
    if (unknown != SIZE_MAX && unknown >= id)
        return nc_error(NC_BAD_INPUT, "%s: \"unk_id\" %zu is beyond its %zu pieces", r->where, unknown, id);
    p->unknown = unknown == SIZE_MAX ? -1 : (int32_t)unknown;
    p->fuse_unknown = true;
    return NC_OK;
}

/* "left right" with one space, or two pieces. */
static int read_merge(const struct reader *r, const cJSON *item, uint32_t rank)
{
    const char *left = NULL, *right = NULL;
    size_t left_length = 0;
    if (cJSON_IsString(item)) {
        left = item->valuestring;
        const char *space = strchr(left, ' ');
        left_length = space ? (size_t)(space - left) : 0;
        right = space && !strchr(space + 1, ' ') ? space + 1 : NULL;
    } else if (cJSON_IsArray(item) && cJSON_IsString(item->child) && item->child->next &&
               cJSON_IsString(item->child->next) && !item->child->next->next) {
        left = item->child->valuestring;
        left_length = strlen(left);
        right = item->child->next->valuestring;
    }
    if (!right)
        return nc_error(NC_BAD_INPUT, "%s: merge %u is not two pieces", r->where, rank + 1);
    return nc_bpe_add_merge(&r->tokenizer->bpe, r->where, rank + 1, &r->tokenizer->vocabulary, left,
                            left_length, right, strlen(right), rank);
}

static int read_bpe(const struct reader *r, const cJSON *model)
{
    struct nc_pieces *p = r->pieces;
    struct nc_vocabulary *vocabulary = &r->tokenizer->vocabulary;
    const cJSON *pieces, *merges, *item;
    const char *prefix = "", *unknown = NULL;
    size_t size = 0;
    uint32_t rank = 0;
    int status = nc_json_object(r->where, model, "vocab", &pieces);
    if (status == NC_OK)
        status = nc_json_array(r->where, model, "merges", &merges);
    if (status == NC_OK)
        status = nc_json_optional_string(r->where, model, "continuing_subword_prefix", &prefix);
    if (status == NC_OK && *prefix)
        status = nc_error(NC_BAD_INPUT, "%s: its pieces begin with \"%.20s\" inside of words, which nclip "
                                        "does not compute", r->where, prefix);
    if (status == NC_OK)
        status = nc_json_optional_string(r->where, model, "unk_token", &unknown);
    if (status != NC_OK)
        return status;
    cJSON_ArrayForEach(item, pieces)
    {
        double id = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (!(id >= 0 && id < NC_VOCABULARY_LIMIT && id == (int)id))
            return nc_error(NC_BAD_INPUT, "%s: the id of \"%.40s\" is not a whole number from 0 to %d",
                            r->where, item->string, NC_VOCABULARY_LIMIT - 1);
        status = nc_vocabulary_add(vocabulary, r->where, item->string, strlen(item->string), (size_t)id,
                                   false);
        if (status != NC_OK)
            return status;
        size = vocabulary->size;
    }
    status = allocate(r, size);
    for (size_t id = 0; id < size && status == NC_OK; id++)
        p->normal[id] = vocabulary->offset[id] != UINT32_MAX;
    if (status == NC_OK)
        status = nc_bpe_reserve(&r->tokenizer->bpe, r->where, (size_t)cJSON_GetArraySize(merges));
    cJSON_ArrayForEach(item, merges)
    {
        if (status == NC_OK)
            status = read_merge(r, item, rank++);
    }
    p->is_bpe = true;
    p->merges = &r->tokenizer->bpe;
    p->fuse_unknown = cJSON_IsTrue(nc_json_member(model, "fuse_unk"));
    p->ignore_merges = cJSON_IsTrue(nc_json_member(model, "ignore_merges"));
    p->unknown = unknown ? nc_vocabulary_find(vocabulary, unknown, strlen(unknown)) : -1;
    return status;
}

/* ---- What stands around a text ---- */

int nc_pieces_add_token(struct nc_tokenizer *tokenizer, const char *where,
                        const struct nc_added_token *token)
{
    for (size_t i = 0; i < tokenizer->added_count; i++)
        if (tokenizer->added[i].id == token->id)
            return NC_OK;
    struct nc_added_token *added =
        realloc(tokenizer->added, (tokenizer->added_count + 1) * sizeof *added);
    tokenizer->added = added ? added : tokenizer->added;
    char *text = added ? strndup(token->text, token->length) : NULL;
    if (!text)
        return nc_error(NC_FAILED, "%s: no memory for the added tokens", where);
    added[tokenizer->added_count] = *token;
    added[tokenizer->added_count++].text = text;
    tokenizer->added_first[token->normalized][(uint8_t)text[0]] = true;
    return NC_OK;
}

static int read_added(const struct reader *r, const cJSON *item)
{
    struct nc_vocabulary *vocabulary = &r->tokenizer->vocabulary;
    const char *content;
    size_t id = SIZE_MAX;
    int status = nc_json_string(r->where, item, "content", &content);
    if (status == NC_OK)
        status = nc_json_optional_size(r->where, item, "id", &id);
    if (status == NC_OK && cJSON_IsTrue(nc_json_member(item, "single_word")))
        status = nc_error(NC_BAD_INPUT, "%s: the added token \"%.40s\" asks for single_word, which is not "
                                        "supported", r->where, content);
    if (status != NC_OK || !*content)
        return status;
    size_t length = strlen(content);
    int32_t there = nc_vocabulary_find(vocabulary, content, length);
    if (there < 0 && id >= NC_VOCABULARY_LIMIT)
        return nc_error(NC_BAD_INPUT, "%s: the added token \"%.40s\" has no id", r->where, content);
    if (there < 0)
        status = nc_vocabulary_add(vocabulary, r->where, content, length, id, false);
    if (status != NC_OK)
        return status;
    struct nc_added_token token = {
        .text = (char *)content, .length = length, .id = there < 0 ? (int32_t)id : there,
        .normalized = cJSON_IsTrue(nc_json_member(item, "normalized")),
        .left_space = cJSON_IsTrue(nc_json_member(item, "lstrip")),
        .right_space = cJSON_IsTrue(nc_json_member(item, "rstrip"))};
    struct nc_tokenizer_scratch scratch = {0};
    struct nc_buffer text = {0}, other = {0};
    bool begun;
    if (token.normalized) { /* it is looked for as the steps leave it */
        status = nc_buffer_reserve(&text, length);
        if (status == NC_OK) {
            memcpy(text.at, content, length);
            text.count = length;
            status = nc_steps_run(&r->pieces->steps, &scratch, &text, &other, &begun);
        }
        token.text = (char *)text.at;
        token.length = text.count;
    }
    if (status == NC_OK && token.length)
        status = nc_pieces_add_token(r->tokenizer, r->where, &token);
    nc_code_points_free(&scratch.text);
    nc_code_points_free(&scratch.spare);
    free(text.at);
    free(other.at);
    return status;
}

static int32_t named(const struct reader *r, const cJSON *config, const char *key)
{
    const cJSON *item = nc_json_member(config, key);
    if (cJSON_IsObject(item))
        item = nc_json_member(item, "content");
    return cJSON_IsString(item) ? nc_vocabulary_find(&r->tokenizer->vocabulary, item->valuestring,
                                                     strlen(item->valuestring))
                                : -1;
}

/* TemplateProcessing with one text, at most one token before and one behind it. */
static int read_template(const struct reader *r, const cJSON *processor)
{
    struct nc_pieces *p = r->pieces;
    const cJSON *item;
    bool behind = false;
    if (!processor || cJSON_IsNull(processor))
        return NC_OK;
    if (!is_type(processor, "TemplateProcessing"))
        return refuse(r, "post_processor", processor);
    cJSON_ArrayForEach(item, nc_json_member(processor, "single"))
    {
        const cJSON *special = nc_json_member(item, "SpecialToken");
        if (!special) {
            if (behind)
                return refuse(r, "post_processor", processor);
            behind = true;
            continue;
        }
        const char *name = text_of(special, "id");
        int32_t id = nc_vocabulary_find(&r->tokenizer->vocabulary, name, strlen(name));
        bool *has = behind ? &p->has_end : &p->has_start;
        if (id < 0 || *has)
            return nc_error(NC_BAD_INPUT, "%s: its template has \"%.40s\", which the vocabulary lacks or "
                                          "which is one token too many", r->where, name);
        *has = true;
        *(behind ? &r->tokenizer->end : &r->tokenizer->start) = id;
    }
    return behind ? NC_OK : refuse(r, "post_processor", processor);
}

/* What tokenizer_config.json says goes before the template. */
static int read_config(const struct reader *r, const cJSON *root, const cJSON *config)
{
    struct nc_pieces *p = r->pieces;
    const cJSON *start = nc_json_member(config, "add_bos_token");
    const cJSON *end = nc_json_member(config, "add_eos_token");
    const cJSON *padding = nc_json_member(nc_json_member(root, "padding"), "pad_id");
    if (cJSON_IsBool(start) || cJSON_IsBool(end)) {
        r->tokenizer->start = named(r, config, "bos_token");
        r->tokenizer->end = named(r, config, "eos_token");
        p->has_start = cJSON_IsTrue(start) && r->tokenizer->start >= 0;
        p->has_end = cJSON_IsTrue(end) && r->tokenizer->end >= 0;
    }
    p->pad = named(r, config, "pad_token");
    if (p->pad < 0 && cJSON_IsNumber(padding) && padding->valuedouble >= 0 &&
        padding->valuedouble < (double)r->tokenizer->vocabulary.size)
        p->pad = (int32_t)padding->valuedouble;
    return NC_OK;
}

static int read_all(const struct reader *r, const cJSON *root, const cJSON *config)
{
    struct nc_pieces *p = r->pieces;
    const cJSON *model = nc_json_member(root, "model"), *item;
    int status = NC_OK;
    if (strncmp(text_of(config, "tokenizer_class"), "Siglip2Tokenizer", 16) == 0)
        status = nc_steps_add(&p->steps, r->where, NC_STEP_LOWER, NULL, NULL); /* that class adds it */
    if (status == NC_OK)
        status = read_normalizer(r, nc_json_member(root, "normalizer"), 0);
    if (status == NC_OK)
        status = read_splitter(r, nc_json_member(root, "pre_tokenizer"), 0);
    p->byte_fallback = cJSON_IsTrue(nc_json_member(model, "byte_fallback"));
    if (status == NC_OK)
        status = is_type(model, "Unigram") ? read_unigram(r, model) : read_bpe(r, model);
    if (status == NC_OK)
        status = nc_pieces_index(p, r->where, &r->tokenizer->vocabulary);
    cJSON_ArrayForEach(item, nc_json_member(root, "added_tokens"))
    {
        if (status == NC_OK)
            status = read_added(r, item);
    }
    if (status == NC_OK)
        status = read_template(r, nc_json_member(root, "post_processor"));
    return status == NC_OK ? read_config(r, root, config) : status;
}

int nc_pieces_load_json(struct nc_tokenizer *tokenizer, const char *where, const char *folder,
                        const cJSON *root)
{
    struct nc_pieces *p = tokenizer->pieces = calloc(1, sizeof *p);
    struct reader r = {tokenizer, p, where};
    char *path = nc_path_join(folder, "tokenizer_config.json");
    cJSON *config = NULL;
    int status = p && path ? NC_OK : nc_error(NC_FAILED, "%s: no memory", where);
    tokenizer->start = tokenizer->end = -1;
    if (status == NC_OK) {
        p->unknown = p->pad = -1;
        if (nc_file_exists(path))
            status = nc_json_load(path, &config);
    }
    if (status == NC_OK)
        status = read_all(&r, root, config);
    cJSON_Delete(config);
    free(path);
    return status;
}
