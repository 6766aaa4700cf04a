/* SentencePiece's own files: a ModelProto of protocol buffers, of which the pieces, the kind of model and
 * the normalizer are read. Source: sentencepiece's sentencepiece_model.proto.
 *
 * The file does not say which ids stand before and behind a text; tokenizer_config.json's
 * tokenizer_class does. Ids are those of transformers' slow tokenizers of that name. */
#include "pieces.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum piece_type { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };

/* ---- Protocol buffers ---- */

struct message {
    const char *where;
    const uint8_t *at, *end;
};

struct field {
    uint32_t number, wire;
    uint64_t value;      /* wire 0; the bits of wire 5 and 1 */
    struct message part; /* wire 2 */
};

static int broken(const struct message *m)
{
    return nc_error(NC_BAD_INPUT, "%s: this is no SentencePiece model: its fields end before its bytes "
                                  "do, or overlap", m->where);
}

static bool read_varint(struct message *m, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        uint8_t byte = *m->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* false at the end, and where *status is not NC_OK. */
static bool next_field(struct message *m, struct field *field, int *status)
{
    uint64_t key;
    if (m->at == m->end || *status != NC_OK)
        return false;
    *field = (struct field){.part = {.where = m->where}};
    bool valid = read_varint(m, &key) && key >> 3 && key >> 3 < 1 << 29;
    field->number = (uint32_t)(key >> 3);
    field->wire = key & 7;
    size_t fixed = field->wire == 1 ? 8 : field->wire == 5 ? 4 : 0;
    if (valid && (field->wire == 0 || field->wire == 2))
        valid = read_varint(m, &field->value);
    else if (valid && fixed && (size_t)(m->end - m->at) >= fixed) {
        for (size_t i = 0; i < fixed; i++)
            field->value |= (uint64_t)*m->at++ << (8 * i);
    } else
        valid = false;
    if (valid && field->wire == 2) {
        valid = field->value <= (uint64_t)(m->end - m->at);
        if (valid) {
            field->part.at = m->at;
            field->part.end = m->at += field->value;
        }
    }
    if (!valid)
        *status = broken(m);
    return valid;
}

static float float_of(uint64_t bits)
{
    uint32_t word = (uint32_t)bits;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

/* ---- What is in the file ---- */

struct reader {
    struct nc_tokenizer *tokenizer;
    struct nc_pieces *pieces;
    const char *where;
    size_t capacity;
    uint64_t model_type; /* 1 unigram, 2 bpe, 3 word, 4 char */
};

static int grow(struct reader *r)
{
    struct nc_pieces *p = r->pieces;
    size_t capacity = r->capacity ? 2 * r->capacity : 1024;
    double *score = realloc(p->score, capacity * sizeof *score);
    p->score = score ? score : p->score;
    bool *normal = realloc(p->normal, capacity * sizeof *normal);
    p->normal = normal ? normal : p->normal;
    bool *user = realloc(p->user, capacity * sizeof *user);
    p->user = user ? user : p->user;
    if (!score || !normal || !user)
        return nc_error(NC_FAILED, "%s: no memory for its pieces", r->where);
    r->capacity = capacity;
    return NC_OK;
}

static int read_piece(struct reader *r, struct message m)
{
    struct nc_vocabulary *vocabulary = &r->tokenizer->vocabulary;
    struct field field;
    struct message text = {r->where, m.at, m.at};
    float score = 0;
    uint64_t type = NORMAL;
    size_t id = vocabulary->size;
    int status = id < r->capacity ? NC_OK : grow(r);
    while (next_field(&m, &field, &status)) {
        if (field.number == 1 && field.wire == 2)
            text = field.part;
        else if (field.number == 2 && field.wire == 5)
            score = float_of(field.value);
        else if (field.number == 3 && field.wire == 0)
            type = field.value;
    }
    if (status != NC_OK)
        return status;
    size_t length = (size_t)(text.end - text.at);
    if (!length || !isfinite(score) || memchr(text.at, 0, length))
        return nc_error(NC_BAD_INPUT, "%s: piece %zu is empty, holds a zero byte, or has no score",
                        r->where, id);
    r->pieces->score[id] = (double)score;
    r->pieces->user[id] = type == USER_DEFINED;
    r->pieces->normal[id] = type == NORMAL || type == USER_DEFINED;
    if (type == UNKNOWN)
        r->pieces->unknown = (int32_t)id;
    return nc_vocabulary_add(vocabulary, r->where, (const char *)text.at, length, id, false);
}

static int read_trainer(struct reader *r, struct message m)
{
    struct field field;
    int status = NC_OK;
    while (next_field(&m, &field, &status)) {
        if (field.number == 3 && field.wire == 0)
            r->model_type = field.value;
        else if (field.number == 35 && field.wire == 0)
            r->pieces->byte_fallback = field.value != 0;
        else if (field.number == 24 && field.wire == 0 && field.value)
            return nc_error(NC_BAD_INPUT, "%s: treats white space as a suffix, which nclip does not",
                            r->where);
    }
    return status;
}

static int read_normalizer(struct reader *r, struct message m)
{
    struct nc_spm_rules *rules = &r->pieces->steps.spm;
    struct field field;
    int status = NC_OK;
    while (next_field(&m, &field, &status)) {
        if (field.number == 2 && field.wire == 2 && field.part.at < field.part.end)
            status = nc_charsmap_read(r->where, field.part.at, (size_t)(field.part.end - field.part.at),
                                      &r->pieces->steps.charsmap);
        else if (field.number == 3 && field.wire == 0)
            rules->dummy_prefix = field.value != 0;
        else if (field.number == 4 && field.wire == 0)
            rules->remove_extra_spaces = field.value != 0;
        else if (field.number == 5 && field.wire == 0)
            rules->escape_spaces = field.value != 0;
    }
    return status;
}

static int read_all(struct reader *r, struct message m)
{
    struct field field;
    int status = NC_OK;
    while (next_field(&m, &field, &status)) {
        if (field.wire != 2)
            continue;
        if (field.number == 1)
            status = read_piece(r, field.part);
        else if (field.number == 2)
            status = read_trainer(r, field.part);
        else if (field.number == 3)
            status = read_normalizer(r, field.part);
    }
    if (status != NC_OK)
        return status;
    if (!r->tokenizer->vocabulary.size)
        return nc_error(NC_BAD_INPUT, "%s: this is no SentencePiece model: it has no pieces", r->where);
    if (r->model_type != 1 && r->model_type != 2)
        return nc_error(NC_BAD_INPUT, "%s: is a model of kind %llu; nclip reads unigram (1) and BPE (2)",
                        r->where, (unsigned long long)r->model_type);
    r->pieces->is_bpe = r->model_type == 2;
    r->pieces->size = r->tokenizer->vocabulary.size;
    return NC_OK;
}

/* ---- What stands around a text ---- */

/* What each class does with a text before the model, and behind it. */
static const struct kind {
    const char *name;
    bool canonical; /* and a piece of a space in front, whatever the model says of it */
    bool lower;
    const char *start, *end, *pad; /* pieces; NULL: none */
} kinds[] = {
    {"SiglipTokenizer", true, false, NULL, "</s>", "</s>"},
    {"Siglip2Tokenizer", false, true, NULL, "<eos>", "<pad>"},
    {"GemmaTokenizer", false, false, "<bos>", NULL, "<pad>"},
};

static const cJSON *named(const cJSON *config, const char *key)
{
    const cJSON *item = nc_json_member(config, key);
    return cJSON_IsObject(item) ? nc_json_member(item, "content") : item;
}

/* The piece that the config names, or `name`, in *id; -1 for none. */
static int find_special(const struct reader *r, const cJSON *config, const char *key,
                        const char *name, int32_t *id)
{
    const cJSON *item = named(config, key);
    *id = -1;
    if (cJSON_IsString(item))
        name = item->valuestring;
    if (!name)
        return NC_OK;
    *id = nc_vocabulary_find(&r->tokenizer->vocabulary, name, strlen(name));
    return *id >= 0 ? NC_OK
                    : nc_error(NC_BAD_INPUT, "%s: the vocabulary lacks \"%.40s\"", r->where, name);
}

static int find_kind(const struct reader *r, const cJSON *config, const struct kind **kind)
{
    const char *slash = strrchr(r->where, '/'), *name = NULL;
    int status = nc_json_optional_string(r->where, config, "tokenizer_class", &name);
    if (status != NC_OK)
        return status;
    if (!name && strcmp(slash ? slash + 1 : r->where, "spiece.model") == 0)
        name = kinds[0].name; /* SigLIP's, by the name of the file */
    for (size_t i = 0; name && i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t length = strlen(kinds[i].name);
        if (strncmp(name, kinds[i].name, length) == 0 &&
            (!name[length] || strcmp(name + length, "Fast") == 0)) {
            *kind = &kinds[i];
            return NC_OK;
        }
    }
    return nc_error(NC_BAD_INPUT,
                    "%s: its tokenizer_class is \"%.60s\"; of SentencePiece's own files nclip reads "
                    "those of SiglipTokenizer, Siglip2Tokenizer and GemmaTokenizer, of others "
                    "tokenizer.json",
                    r->where, name ? name : "(none)");
}

/* Special pieces in a text are ids at once, and take white space beside them. */
static int add_special(const struct reader *r, int32_t id, bool spaces)
{
    const struct nc_vocabulary *vocabulary = &r->tokenizer->vocabulary;
    if (id < 0)
        return NC_OK;
    struct nc_added_token token = {.text = vocabulary->text + vocabulary->offset[id],
                                   .length = vocabulary->length[id], .id = id,
                                   .left_space = spaces, .right_space = spaces};
    return nc_pieces_add_token(r->tokenizer, r->where, &token);
}

static int settle(struct reader *r, const cJSON *config)
{
    struct nc_pieces *p = r->pieces;
    struct nc_steps *steps = &p->steps;
    const struct kind *kind = &kinds[0];
    int32_t start, end, pad;
    int status = find_kind(r, config, &kind);
    bool add_start = status == NC_OK && kind->start, add_end = status == NC_OK && kind->end;
    if (status == NC_OK)
        status = nc_json_optional_bool(r->where, config, "add_bos_token", &add_start);
    if (status == NC_OK)
        status = nc_json_optional_bool(r->where, config, "add_eos_token", &add_end);
    if (status == NC_OK)
        status = find_special(r, config, "bos_token", kind->start, &start);
    if (status == NC_OK)
        status = find_special(r, config, "eos_token", kind->end, &end);
    if (status == NC_OK)
        status = find_special(r, config, "pad_token", kind->pad, &pad);
    if (status != NC_OK)
        return status;
    if (kind->canonical)
        add_start = false, add_end = true;
    p->has_start = add_start && start >= 0;
    p->has_end = add_end && end >= 0;
    p->pad = pad;
    r->tokenizer->start = start;
    r->tokenizer->end = end;
    if (kind->canonical) {
        /* A piece of a space, and the text canonical, behind an unknown piece that is cut off again. */
        steps->spm.dummy_prefix = false;
        steps->spm.inside = true;
        p->space_first = p->end_once = true;
        status = nc_steps_add(steps, r->where, NC_STEP_CANONICAL, NULL, NULL);
    } else if (kind->lower) {
        status = nc_steps_add(steps, r->where, NC_STEP_LOWER, NULL, NULL);
    }
    if (status == NC_OK)
        status = nc_steps_add(steps, r->where, NC_STEP_SPM, NULL, NULL);
    const int32_t special[] = {start, end, pad, p->unknown};
    for (size_t i = 0; i < 4 && status == NC_OK; i++)
        status = add_special(r, special[i], kind->canonical);
    return status;
}

int nc_pieces_load_model(struct nc_tokenizer *tokenizer, const char *where, const char *folder,
                         const uint8_t *bytes, size_t size)
{
    struct nc_pieces *p = tokenizer->pieces = calloc(1, sizeof *p);
    struct reader r = {.tokenizer = tokenizer, .pieces = p, .where = where, .model_type = 1};
    char *path = nc_path_join(folder, "tokenizer_config.json");
    cJSON *config = NULL;
    int status = p && path ? NC_OK : nc_error(NC_FAILED, "%s: no memory", where);
    if (status == NC_OK) {
        p->unknown = p->pad = -1;
        p->single = p->fuse_unknown = true;
        p->steps.spm = (struct nc_spm_rules){true, true, true};
        status = read_all(&r, (struct message){where, bytes, bytes + size});
    }
    if (status == NC_OK)
        status = nc_pieces_index(p, where, &tokenizer->vocabulary);
    if (status == NC_OK && nc_file_exists(path))
        status = nc_json_load(path, &config);
    if (status == NC_OK)
        status = settle(&r, config);
    cJSON_Delete(config);
    free(path);
    return status;
}
