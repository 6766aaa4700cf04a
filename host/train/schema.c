/* The table of a training config's keys; reading, checking and printing single values by it. */
#include "schema.h"

#include "nclip/support/error.h"
#include "nclip/support/nearest.h"
#include "nclip/support/number.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const optimizers[] = {"adamw", "rmsprop", "sgd", NULL};
static const char *const schedules[] = {"constant", "cosine", NULL};
static const char *const splits[] = {"caption", "image", NULL};
static const char *const losses[] = {"clip", "con_clip", NULL};
static const char *const precisions[] = {"fp32", "bf16", NULL};
static const char *const too_long[] = {"truncate", "error", "skip", NULL};

/* A choice is stored through an int. */
_Static_assert(sizeof(enum nc_schedule) == sizeof(int) && sizeof(enum nc_split) == sizeof(int) &&
                   sizeof(enum nc_loss) == sizeof(int) && sizeof(enum nc_optimizer) == sizeof(int) &&
                   sizeof(enum nc_type) == sizeof(int) &&
                   sizeof(enum nc_too_long) == sizeof(int),
               "enums are as large as int");
_Static_assert(NC_SCHEDULE_CONSTANT == 0 && NC_SCHEDULE_COSINE == 1 && NC_SPLIT_CAPTION == 0 &&
                   NC_SPLIT_IMAGE == 1 && NC_LOSS_CLIP == 0 && NC_LOSS_CON_CLIP == 1 &&
                   NC_OPTIMIZER_ADAMW == 0 && NC_OPTIMIZER_RMSPROP == 1 &&
                   NC_OPTIMIZER_SGD == 2 && NC_FLOAT32 == 0 && NC_BFLOAT16 == 1 &&
                   NC_TOO_LONG_TRUNCATE == 0 && NC_TOO_LONG_ERROR == 1 && NC_TOO_LONG_SKIP == 2,
               "the strings stand in the order of the enums");

#define AT(member) offsetof(struct nc_config, member)

const struct config_key config_keys[CONFIG_KEYS] = {
    {"batch_size", CONFIG_COUNT, AT(batch_size), "optimisation", .least = 1, .most = INT32_MAX},
    {"micro_batch_size", CONFIG_COUNT, AT(micro_batch_size), .most = INT32_MAX},
    {"optimizer", CONFIG_CHOICE, AT(optimizer), .choices = optimizers, .before = "adamw"},
    {"learning_rate", CONFIG_NUMBER, AT(learning_rate), .least = 0, .not_least = true,
     .most = DBL_MAX},
    {"logit_scale_learning_rate", CONFIG_NUMBER, AT(logit_scale_learning_rate), .most = DBL_MAX,
     .before = "0"},
    {"beta1", CONFIG_NUMBER, AT(beta1), .most = 1, .not_most = true},
    {"beta2", CONFIG_NUMBER, AT(beta2), .most = 1, .not_most = true},
    {"epsilon", CONFIG_NUMBER, AT(epsilon), .not_least = true, .most = DBL_MAX},
    {"rmsprop_alpha", CONFIG_NUMBER, AT(rmsprop_alpha), .most = 1, .not_most = true,
     .before = "0.99"},
    {"momentum", CONFIG_NUMBER, AT(momentum), .most = 1, .not_most = true, .before = "0"},
    {"weight_decay", CONFIG_NUMBER, AT(weight_decay), .most = DBL_MAX},
    {"decay_norms_and_biases", CONFIG_SWITCH, AT(decay_norms_and_biases), .before = "true"},
    {"schedule", CONFIG_CHOICE, AT(schedule), .choices = schedules},
    {"rate_decay", CONFIG_NUMBER, AT(rate_decay), .not_least = true, .most = 1, .before = "1"},
    {"warmup_steps", CONFIG_COUNT, AT(warmup_steps), .most = 0x1p53},
    {"epochs", CONFIG_COUNT, AT(epochs), .least = 1, .most = INT32_MAX},
    {"gradient_clip", CONFIG_NUMBER, AT(gradient_clip), .most = DBL_MAX},
    /* exp(88) is the last that a float holds */
    {"logit_scale_max", CONFIG_NUMBER, AT(logit_scale_max), .most = 88},
    {"precision", CONFIG_CHOICE, AT(precision), .choices = precisions},
    {"loss", CONFIG_LOSS, AT(loss), .choices = losses},
    {"loss_precision", CONFIG_CHOICE, AT(loss_precision), .choices = precisions},
    {"infonce", CONFIG_NUMBER, AT(infonce), .most = 1e6, .before = "1"},
    {"choice", CONFIG_NUMBER, AT(choice), .most = 1e6, .before = "0"},
    {"hinge_picture", CONFIG_NUMBER, AT(hinge_picture), .most = 1e6, .before = "0"},
    {"hinge_picture_low", CONFIG_NUMBER, AT(hinge_picture_low), .least = -2, .most = 2,
     .before = "0.1"},
    {"hinge_picture_high", CONFIG_NUMBER, AT(hinge_picture_high), .least = -2, .most = 2,
     .before = "0.6"},
    {"hinge_text", CONFIG_NUMBER, AT(hinge_text), .most = 1e6, .before = "0"},
    {"hinge_text_low", CONFIG_NUMBER, AT(hinge_text_low), .least = -2, .most = 2,
     .before = "0.1"},
    {"hinge_text_high", CONFIG_NUMBER, AT(hinge_text_high), .least = -2, .most = 2,
     .before = "0.3"},
    {"hinge_apart", CONFIG_NUMBER, AT(hinge_apart), .most = 1e6, .before = "0"},
    {"hinge_apart_margin", CONFIG_NUMBER, AT(hinge_apart_margin), .least = -1, .most = 1,
     .before = "0.9"},
    {"preserve", CONFIG_NUMBER, AT(preserve), .most = 1e6, .before = "0"},
    {"trainable", CONFIG_LIST, AT(trainable)},
    {"validation_fraction", CONFIG_NUMBER, AT(validation_fraction), "data", .most = 1,
     .not_most = true},
    {"split", CONFIG_CHOICE, AT(split), .choices = splits},
    {"drop_last", CONFIG_SWITCH, AT(drop_last)},
    {"mask_same_image", CONFIG_SWITCH, AT(mask_same_image)},
    {"contradictions", CONFIG_SWITCH, AT(contradictions)},
    {"hard_negatives", CONFIG_SWITCH, AT(hard_negatives), .before = "true"},
    {"sources", CONFIG_COUNTS, AT(sources), .least = 1, .most = INT32_MAX, .before = ""},
    {"share_prefixes", CONFIG_SWITCH, AT(share_prefixes)},
    {"too_long", CONFIG_CHOICE, AT(too_long), .choices = too_long},
    {"seed", CONFIG_COUNT, AT(seed), .most = DBL_MAX},
    /* with a large set the order depends on it: the trainer sees to that */
    {"pool_bytes", CONFIG_COUNT, AT(pool_bytes), .most = 0x1p53, .of_the_ranks = true},
    {"shard_optimizer", CONFIG_SWITCH, AT(shard_optimizer), "many ranks", .of_the_ranks = true},
    {"deterministic", CONFIG_SWITCH, AT(deterministic), .of_the_ranks = true},
    {"bucket_bytes", CONFIG_COUNT, AT(bucket_bytes), .least = 64, .most = INT32_MAX,
     .of_the_ranks = true},
    {"rank_timeout", CONFIG_NUMBER, AT(rank_timeout), .least = 2, .most = 86400,
     .of_the_ranks = true},
};

const struct config_key *config_key_find(const char *name)
{
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        if (strcmp(config_keys[i].name, name) == 0)
            return &config_keys[i];
    }
    return NULL;
}

int config_key_unknown(const char *where, const char *name)
{
    const char *names[CONFIG_KEYS];
    char list[CONFIG_KEYS * 32] = "";
    size_t used = 0;
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        names[i] = config_keys[i].name;
        int length = snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
        used += length < 0 ? 0 : (size_t)length;
        if (used >= sizeof list)
            break;
    }
    const char *nearest = nc_nearest(name, names, CONFIG_KEYS);
    return nc_error(NC_BAD_INPUT, "%s: no key \"%s\"%s%s%s (the keys are %s)", where, name,
                    nearest ? ": did you mean " : "", nearest ? nearest : "", nearest ? "?" : "",
                    list);
}

const char *config_where(const char *path, const char *text, const char *key, char *where,
                         size_t size)
{
    size_t line = 1, length = strlen(key);
    for (; text && *text; line++) {
        const char *start = text + strspn(text, " {");
        if (strncmp(start, key, length) == 0 &&
            start[length + strspn(start + length, " ")] == ':') {
            snprintf(where, size, "%s line %zu", path, line);
            return where;
        }
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    snprintf(where, size, "%s", path);
    return where;
}

/* ---- Values ------------------------------------------------------------------------- */

/* "at least 1", "above 0", "at least 0 and below 1" */
static void describe_range(const struct config_key *key, char *text, size_t size)
{
    char least[NC_NUMBER_SIZE], most[NC_NUMBER_SIZE];
    int length = snprintf(text, size, "%s %s", key->not_least ? "above" : "at least",
                          nc_number_text(key->least, least));
    if (key->most < 0x1p53 && length > 0 && (size_t)length < size)
        snprintf(text + length, size - (size_t)length, " and %s %s",
                 key->not_most ? "below" : "at most", nc_number_text(key->most, most));
}

static int check_range(const struct config_key *key, const char *where, const char *text,
                       double value)
{
    bool low = key->not_least ? value <= key->least : value < key->least;
    bool high = key->not_most ? value >= key->most : value > key->most;
    if (!low && !high)
        return NC_OK;
    char range[128];
    describe_range(key, range, sizeof range);
    return nc_error(NC_BAD_INPUT, "%s: %s is %s: it must be %s", where, key->name, text, range);
}

static int set_count(const struct config_key *key, const char *where, const char *text,
                     uint64_t *target)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value =
        *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0; /* no sign, no spaces */
    if (!end || *end || errno == ERANGE)
        return nc_error(NC_BAD_INPUT, "%s: %s is \"%s\": it must be a whole number", where,
                        key->name, text);
    *target = value;
    return check_range(key, where, text, (double)value);
}

static int set_number(const struct config_key *key, const char *where, const char *text,
                      double *target)
{
    double value;
    if (!nc_number_read(text, &value))
        return nc_error(NC_BAD_INPUT, "%s: %s is \"%s\": it must be a number, as 0.01 or 1.0e-6",
                        where, key->name, text);
    *target = value;
    return check_range(key, where, text, value);
}

static int set_switch(const struct config_key *key, const char *where, const char *text,
                      bool *target)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) {
            *target = i % 2;
            return NC_OK;
        }
    }
    return nc_error(NC_BAD_INPUT, "%s: %s is \"%s\": it must be true or false", where, key->name,
                    text);
}

static int set_choice(const struct config_key *key, const char *where, const char *text,
                      int *target)
{
    char list[128] = "";
    for (int i = 0; key->choices[i]; i++) {
        if (strcmp(text, key->choices[i]) == 0) {
            *target = i;
            return NC_OK;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? " or " : "", key->choices[i]);
    }
    return nc_error(NC_BAD_INPUT, "%s: %s is \"%s\": it must be %s", where, key->name, text, list);
}

static void config_terms_clear(struct nc_config *config)
{
    free(config->terms);
    config->terms = NULL;
    config->term_count = 0;
}

static int set_list_from_text(const struct config_key *key, const char *where, const char *text,
                              struct nc_config *config)
{
    size_t count = 1, length = strlen(text);
    bool brackets = length >= 2 && text[0] == '[' && text[length - 1] == ']';
    char *copy = brackets ? strndup(text + 1, length - 2) : strdup(text);
    for (const char *comma = text; (comma = strchr(comma, ',')); comma++)
        count++;
    const char **items = calloc(count, sizeof *items);
    int status = copy && items ? NC_OK : nc_error(NC_FAILED, "%s: no memory", where);
    char *rest = copy;
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        char *item = strsep(&rest, ",");
        item += strspn(item, " ");
        size_t end = strlen(item);
        while (end && item[end - 1] == ' ')
            item[--end] = 0;
        items[i] = item;
    }
    if (status == NC_OK)
        status = key->kind == CONFIG_LIST
                     ? config_key_set_list(where, items, count, config)
                     : config_key_set_counts(key, where, items, count, config);
    free(items);
    free(copy);
    return status;
}

int config_key_set(const struct config_key *key, const char *where, const char *text,
                   struct nc_config *config)
{
    void *target = (char *)config + key->offset;
    switch (key->kind) {
    case CONFIG_COUNT:
        return set_count(key, where, text, target);
    case CONFIG_NUMBER:
        return set_number(key, where, text, target);
    case CONFIG_SWITCH:
        return set_switch(key, where, text, target);
    case CONFIG_CHOICE:
        return set_choice(key, where, text, target);
    case CONFIG_LIST:
    case CONFIG_COUNTS:
        return set_list_from_text(key, where, text, config);
    case CONFIG_LOSS:
        config_terms_clear(config);
        return set_choice(key, where, text, target);
    }
    return nc_error(NC_FAILED, "%s: a key of no known kind", key->name);
}

int config_key_set_list(const char *where, const char *const *items, size_t count,
                        struct nc_config *config)
{
    int status = NC_OK;
    char **copies = calloc(count ? count : 1, sizeof *copies);
    if (!copies)
        return nc_error(NC_FAILED, "%s: no memory", where);
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        /* The trainer checks what the names mean; here they only must be such that they can be
         * written back. */
        if (!*items[i] ||
            strspn(items[i], "abcdefghijklmnopqrstuvwxyz_.-0123456789") != strlen(items[i]))
            status = nc_error(NC_BAD_INPUT,
                              "%s: trainable holds \"%s\": it must list names as blocks.0-3 or "
                              "projection",
                              where, items[i]);
        else if (!(copies[i] = strdup(items[i])))
            status = nc_error(NC_FAILED, "%s: no memory", where);
    }
    char **unneeded = status == NC_OK ? config->trainable : copies;
    size_t unneeded_count = status == NC_OK ? config->trainable_count : count;
    if (status == NC_OK) {
        config->trainable = copies;
        config->trainable_count = (unsigned)count;
    }
    for (size_t i = 0; i < unneeded_count; i++)
        free(unneeded[i]);
    free(unneeded);
    return status;
}

int config_key_set_counts(const struct config_key *key, const char *where,
                          const char *const *items, size_t count, struct nc_config *config)
{
    uint64_t counts[NC_MOST_SOURCES] = {0};
    int status = NC_OK;
    if (count == 1 && !*items[0]) /* "[]" */
        count = 0;
    if (count > NC_MOST_SOURCES)
        return nc_error(NC_BAD_INPUT, "%s: %s has %zu numbers, and %d are the most", where, key->name,
                        count, NC_MOST_SOURCES);
    for (size_t i = 0; i < count && status == NC_OK; i++)
        status = set_count(key, where, items[i], &counts[i]);
    if (status != NC_OK)
        return status;
    memcpy(config->sources, counts, sizeof counts);
    config->source_count = (unsigned)count;
    return NC_OK;
}

int config_key_set_terms(const char *where, const struct nc_term_layer *terms, unsigned count,
                         struct nc_config *config)
{
    int status = NC_OK;
    struct nc_loss_term *list = calloc(count ? count : 1, sizeof *list);
    if (!list)
        return nc_error(NC_FAILED, "%s: no memory", where);
    for (unsigned i = 0; i < count && status == NC_OK; i++) {
        char which[600];
        snprintf(which, sizeof which, "%s: term %u", where, i + 1);
        status = nc_term_read(which, &terms[i], &list[i]);
    }
    if (status != NC_OK) {
        free(list);
        return status;
    }
    config_terms_clear(config);
    config->terms = list;
    config->term_count = count;
    return NC_OK;
}

void config_key_print(const struct config_key *key, const struct nc_config *config, FILE *out)
{
    const void *value = (const char *)config + key->offset;
    char number[NC_NUMBER_SIZE];
    fprintf(out, "%s: ", key->name);
    switch (key->kind) {
    case CONFIG_COUNT:
        fprintf(out, "%llu\n", (unsigned long long)*(const uint64_t *)value);
        break;
    case CONFIG_NUMBER:
        fprintf(out, "%s\n", nc_number_yaml(*(const double *)value, number));
        break;
    case CONFIG_SWITCH:
        fprintf(out, "%s\n", *(const bool *)value ? "true" : "false");
        break;
    case CONFIG_CHOICE:
        fprintf(out, "%s\n", key->choices[*(const int *)value]);
        break;
    case CONFIG_LIST:
        for (unsigned i = 0; i < config->trainable_count; i++)
            fprintf(out, "%s%s", i ? ", " : "[", config->trainable[i]);
        fprintf(out, "]\n");
        break;
    case CONFIG_COUNTS:
        fputs("[", out);
        for (unsigned i = 0; i < config->source_count; i++)
            fprintf(out, "%s%llu", i ? ", " : "", (unsigned long long)config->sources[i]);
        fputs("]\n", out);
        break;
    case CONFIG_LOSS:
        if (!config->term_count)
            fprintf(out, "%s\n", key->choices[*(const int *)value]);
        for (unsigned i = 0; i < config->term_count; i++) {
            fputs(i ? "  - " : "\n  - ", out);
            nc_term_print(&config->terms[i], out);
            fputs("\n", out);
        }
        break;
    }
}

/* ---- YAML ----------------------------------------------------------------------------- */

/* The rest of `text` when it starts with `start`, else NULL. */
static const char *after(const char *text, const char *start)
{
    size_t length = strlen(start);
    return strncmp(text, start, length) == 0 ? text + length : NULL;
}

/* What libcyaml complains about first, and the key where it stopped, from its backtrace. */
struct complaint {
    char text[256];
    char key[64];
    unsigned long line; /* where it stopped; 0: not known */
};

static void listen(cyaml_log_t level, void *context, const char *format, va_list arguments)
{
    struct complaint *complaint = context;
    char line[256];
    if (level < CYAML_LOG_WARNING || vsnprintf(line, sizeof line, format, arguments) < 0)
        return;
    line[strcspn(line, "\n")] = 0;
    const char *text = after(line, "Load: "), *key = after(line, "  in mapping field '");
    const char *at = *line == ' ' ? strstr(line, "(line: ") : NULL;
    if (at && !complaint->line)
        complaint->line = strtoul(at + 7, NULL, 10);
    if (key)
        snprintf(complaint->key, sizeof complaint->key, "%.*s", (int)strcspn(key, "'"), key);
    else if (!*complaint->text)
        snprintf(complaint->text, sizeof complaint->text, "%s", text ? text : line);
}

static const cyaml_config_t *reader(cyaml_config_t *config, struct complaint *complaint)
{
    *config = (cyaml_config_t){
        .log_fn = complaint ? listen : NULL,
        .log_ctx = complaint,
        .mem_fn = cyaml_mem,
        .log_level = CYAML_LOG_WARNING,
        .flags = CYAML_CFG_NO_ALIAS, /* aliases can make a small file huge */
    };
    return config;
}

/* Every value is read as a string, so that its check and its message are ours: libcyaml takes
 * "-1" for a count and "flase" for true. */
struct schema {
    cyaml_schema_value_t top, item;
    struct nc_term_schema term;
    cyaml_schema_field_t fields[CONFIG_KEYS + 1];
};

/* `terms`: loss is a list, and not a name. */
static void make_schema(struct schema *schema, bool terms)
{
    *schema = (struct schema){
        .top = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config_layer, schema->fields)},
        .item = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, 255)},
    };
    nc_term_make_schema(&schema->term);
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        if (config_keys[i].kind == CONFIG_LOSS && terms)
            schema->fields[i] = (cyaml_schema_field_t)CYAML_FIELD_SEQUENCE(
                config_keys[i].name, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config_layer,
                terms, &schema->term.item, 1, NC_MOST_TERMS);
        else if (config_keys[i].kind == CONFIG_COUNTS)
            schema->fields[i] = (cyaml_schema_field_t)CYAML_FIELD_SEQUENCE(
                config_keys[i].name, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config_layer,
                counts, &schema->item, 0, 4096);
        else if (config_keys[i].kind == CONFIG_LIST)
            schema->fields[i] = (cyaml_schema_field_t)CYAML_FIELD_SEQUENCE(
                config_keys[i].name, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config_layer,
                list, &schema->item, 1, 4096);
        else
            schema->fields[i] = (cyaml_schema_field_t){
                .key = config_keys[i].name,
                .data_offset =
                    (uint32_t)(offsetof(struct config_layer, values) + i * sizeof(char *)),
                .value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char, 0,
                                             255)},
            };
    }
}

/* What is wrong in the list of a loss. */
static int explain_terms(const char *where, const struct complaint *complaint, cyaml_err_t error)
{
    const char *name;
    if (error == CYAML_ERR_ALIAS)
        return nc_error(NC_BAD_INPUT, "%s: YAML anchors and aliases are not read here", where);
    if ((name = after(complaint->text, "Unexpected key: ")))
        return nc_term_member_unknown(where, name);
    if ((name = after(complaint->text, "Mapping field already seen: ")))
        return nc_error(NC_BAD_INPUT, "%s: a term has %s twice", where, name);
    return nc_error(NC_BAD_INPUT,
                    "%s: it must be a name, as clip, or a list of up to %d terms, as {term: infonce, "
                    "texts: [caption], pictures: [image]}", where, NC_MOST_TERMS);
}

static int explain(const char *path, const char *text, cyaml_err_t error,
                   const struct complaint *complaint)
{
    char where[512];
    const char *name;
    const struct config_key *key = config_key_find(complaint->key);
    if (key && key->kind == CONFIG_LOSS &&
        !after(complaint->text, "Mapping field already seen: loss")) {
        snprintf(where, sizeof where, "%s line %lu: loss", path, complaint->line);
        return explain_terms(where, complaint, error);
    }
    if ((name = after(complaint->text, "Unexpected key: ")))
        return config_key_unknown(config_where(path, text, name, where, sizeof where), name);
    if ((name = after(complaint->text, "Mapping field already seen: ")))
        return nc_error(NC_BAD_INPUT, "%s: %s stands there twice", path, name);

    if (key)
        config_where(path, text, key->name, where, sizeof where);
    if (key && error == CYAML_ERR_ALIAS)
        return nc_error(NC_BAD_INPUT, "%s: %s: YAML anchors and aliases are not read here", where,
                        key->name);
    if (key && key->kind == CONFIG_LIST && error != CYAML_ERR_LIBYAML_PARSER)
        return nc_error(NC_BAD_INPUT, "%s: %s must be a list, as [blocks, projection]", where,
                        key->name);
    if (key && key->kind == CONFIG_COUNTS && error != CYAML_ERR_LIBYAML_PARSER)
        return nc_error(NC_BAD_INPUT, "%s: %s must be a list of whole numbers, as [128, 128]", where,
                        key->name);
    if (key && error == CYAML_ERR_INVALID_VALUE)
        return nc_error(NC_BAD_INPUT, "%s: %s must be a single value", where, key->name);
    return nc_error(NC_BAD_INPUT, "%s: not a config of \"key: value\" lines: %s", path,
                    *complaint->text ? complaint->text : cyaml_strerror(error));
}

/* What a try to read the text with `terms` came to; *layer is there where nothing is complained of. */
static cyaml_err_t try_to_load(const char *text, size_t size, bool terms,
                               struct complaint *complaint, struct config_layer **layer)
{
    struct schema schema;
    cyaml_config_t config;
    cyaml_data_t *data = NULL;
    *complaint = (struct complaint){.text = ""};
    make_schema(&schema, terms);
    errno = 0;
    cyaml_err_t error = cyaml_load_data((const uint8_t *)text, size, reader(&config, complaint),
                                        &schema.top, &data, NULL);
    if (error == CYAML_OK && !*complaint->text) {
        *layer = data;
        return CYAML_OK;
    }
    if (errno == ENOMEM) /* libyaml's parser tells of none */
        error = CYAML_ERR_OOM;
    cyaml_free(reader(&config, NULL), &schema.top, data, 0);
    return error == CYAML_OK ? CYAML_ERR_INVALID_VALUE : error;
}

int config_layer_load(const char *path, const char *text, size_t size, struct config_layer **layer)
{
    *layer = NULL;
    if (memchr(text, 0, size))
        return nc_error(NC_BAD_INPUT, "%s: not YAML: it holds zero bytes", path);
    struct complaint complaint;
    cyaml_err_t error = try_to_load(text, size, false, &complaint, layer);
    if (error == CYAML_ERR_INVALID_VALUE && strcmp(complaint.key, "loss") == 0)
        error = try_to_load(text, size, true, &complaint, layer);
    if (error == CYAML_OK && !*layer) /* nothing but comments */
        *layer = calloc(1, sizeof **layer);
    if (error == CYAML_ERR_OOM || (error == CYAML_OK && !*layer))
        return nc_error(NC_FAILED, "%s: no memory", path);
    return error == CYAML_OK ? NC_OK : explain(path, text, error, &complaint);
}

void config_layer_free(struct config_layer *layer)
{
    struct schema schema;
    cyaml_config_t config;
    make_schema(&schema, layer && layer->terms);
    cyaml_free(reader(&config, NULL), &schema.top, layer, 0);
}
