/* Turns the names in the config's `trainable` into flags for the rows of the parameter table. */
#include "nclip/train/train.h"

#include "nclip/support/error.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    enum nc_role role;
} single_names[] = {
    {"token_embedding", NC_TOKEN_EMBEDDING}, {"position_embedding", NC_POSITION_EMBEDDING},
    {"projection", NC_PROJECTION},           {"logit_scale", NC_LOGIT_SCALE},
    {"projection", NC_PROJECTION_BIAS},      {"logit_bias", NC_LOGIT_BIAS},
};

static bool is_named(enum nc_role role, const char *name)
{
    for (size_t i = 0; i < sizeof single_names / sizeof *single_names; i++)
        if (role == single_names[i].role && strcmp(name, single_names[i].name) == 0)
            return true;
    return false;
}

/* "blocks", "blocks.N" or "blocks.N-M" to a range; false when it is none of them. */
static bool parse_blocks(const char *name, size_t layers, size_t *first, size_t *last)
{
    if (strncmp(name, "blocks", 6) != 0)
        return false;
    *first = 0;
    *last = layers - 1;
    if (!name[6])
        return true;
    if (name[6] != '.' || !isdigit((unsigned char)name[7]))
        return false;
    char *end;
    *first = *last = strtoul(name + 7, &end, 10);
    if (*end == '-' && isdigit((unsigned char)end[1]))
        *last = strtoul(end + 1, &end, 10);
    return !*end;
}

static int mark(const char *name, const struct nc_parameter_table *table, size_t layers,
                bool *trainable)
{
    size_t first = 1, last = 0;
    bool all = strcmp(name, "all") == 0, norm = strcmp(name, "final_layer_norm") == 0;
    bool blocks = parse_blocks(name, layers, &first, &last);
    if (blocks && (last >= layers || first > last))
        return nc_error(NC_BAD_INPUT,
                        "trainable: \"%s\" is not in this model, which has blocks.0-%zu", name,
                        layers - 1);
    bool single = false, bias = is_named(NC_LOGIT_BIAS, name);
    for (int role = 0; role < NC_ROLES; role++)
        single = single || is_named((enum nc_role)role, name);
    if (bias && !nc_parameter_find(table, NC_TOWER_TEXT, NC_LOGIT_BIAS, NC_NO_BLOCK))
        return nc_error(NC_BAD_INPUT, "trainable: \"%s\" is not in this model: a sigmoid loss has "
                        "one", name);
    if (!all && !norm && !blocks && !single)
        return nc_error(NC_BAD_INPUT,
                        "trainable: \"%s\" is unknown; there are all, token_embedding, "
                        "position_embedding, blocks, blocks.N, blocks.N-M, final_layer_norm, "
                        "projection, logit_scale, logit_bias", name);
    for (size_t i = 0; i < table->count; i++) {
        const struct nc_parameter *row = &table->rows[i];
        if (row->tower != NC_TOWER_TEXT || (row->role == NC_LOGIT_BIAS && !bias))
            continue; /* `all` is what every loss trains: a bias that none reads would only decay */
        bool in_block = row->block != NC_NO_BLOCK;
        if (all ||
            (in_block && blocks && (size_t)row->block >= first && (size_t)row->block <= last) ||
            (!in_block && is_named(row->role, name)) ||
            (norm && (row->role == NC_FINAL_LN_WEIGHT || row->role == NC_FINAL_LN_BIAS)))
            trainable[i] = true;
    }
    return NC_OK;
}

int nc_trainable_parse(const char *const *names, size_t count,
                       const struct nc_parameter_table *table, const struct nc_model_shape *shape,
                       bool **out)
{
    bool *trainable = calloc(table->count, sizeof *trainable);
    *out = NULL;
    if (!trainable)
        return nc_error(NC_FAILED, "trainable: no memory");
    int status =
        count ? NC_OK
              : nc_error(NC_BAD_INPUT, "trainable: the list is empty, so nothing would train");
    for (size_t i = 0; i < count && status == NC_OK; i++)
        status = mark(names[i], table, shape->text.layers, trainable);
    if (status != NC_OK) {
        free(trainable);
        return status;
    }
    *out = trainable;
    return NC_OK;
}

/* What a row counts under in the printed table: its block, or itself. */
static void group_name(const struct nc_parameter *row, char *name, size_t size)
{
    if (row->block != NC_NO_BLOCK) {
        snprintf(name, size, "blocks.%d", row->block);
        return;
    }
    snprintf(name, size, "%s", row->role == NC_FINAL_LN_WEIGHT || row->role == NC_FINAL_LN_BIAS
                                   ? "final_layer_norm" : "?");
    for (size_t i = 0; i < sizeof single_names / sizeof *single_names; i++)
        if (single_names[i].role == row->role)
            snprintf(name, size, "%s", single_names[i].name);
}

void nc_trainable_print(const struct nc_parameter_table *table, const bool *trainable, FILE *out)
{
    size_t total = 0, training = 0;
    fprintf(out, "%-20s %12s %12s\n", "text tower", "parameters", "trained");
    for (size_t i = 0; i < table->count;) {
        if (table->rows[i].tower != NC_TOWER_TEXT) {
            i++;
            continue;
        }
        char name[32], next[32];
        size_t all = 0, trained = 0;
        group_name(&table->rows[i], name, sizeof name);
        for (; i < table->count && table->rows[i].tower == NC_TOWER_TEXT; i++) {
            group_name(&table->rows[i], next, sizeof next);
            if (strcmp(name, next) != 0)
                break;
            all += table->rows[i].count;
            trained += trainable[i] ? table->rows[i].count : 0;
        }
        fprintf(out, "%-20s %12zu %12zu%s\n", name, all, trained, trained ? "" : "  frozen");
        total += all;
        training += trained;
    }
    fprintf(out, "%-20s %12zu %12zu\n", "together", total, training);
}
