/* Puts a training config together: the default preset, a preset or file over it, --set over both.
 */
#include "nclip/train/config.h"

#include "nclip/formats/text.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/nearest.h"
#include "nclip/support/text_stream.h"
#include "losses/losses.h"
#include "presets.h"
#include "schema.h"

#include <stdlib.h>
#include <string.h>

enum { LARGEST_FILE = 1 << 20 };

static const char *preset_text(const char *name)
{
    for (size_t i = 0; nc_preset_names[i]; i++) {
        if (strcmp(nc_preset_names[i], name) == 0)
            return nc_preset_texts[i];
    }
    return NULL;
}

/* Lays what a YAML text says over `config`. */
static int apply_text(const char *path, const char *text, size_t size, struct nc_config *config)
{
    struct config_layer *layer;
    int status = config_layer_load(path, text, size, &layer);
    if (status != NC_OK)
        return status;
    for (size_t i = 0; i < CONFIG_KEYS && status == NC_OK; i++) {
        const struct config_key *key = &config_keys[i];
        char where[512];
        config_where(path, text, key->name, where, sizeof where);
        if (layer->values[i])
            status = config_key_set(key, where, layer->values[i], config);
        else if (key->kind == CONFIG_LIST && layer->list)
            status = config_key_set_list(where, (const char *const *)layer->list, layer->list_count,
                                         config);
        else if (key->kind == CONFIG_COUNTS && layer->counts)
            status = config_key_set_counts(key, where, (const char *const *)layer->counts,
                                           layer->counts_count, config);
        else if (key->kind == CONFIG_LOSS && layer->terms)
            status = config_key_set_terms(where, layer->terms, layer->terms_count, config);
    }
    config_layer_free(layer);
    return status;
}

static int apply_source(const char *source, struct nc_config *config)
{
    const char *preset = preset_text(source);
    if (preset)
        return apply_text(source, preset, strlen(preset), config);

    if (strcmp(source, "-") != 0 && !nc_file_exists(source)) {
        size_t count = 0;
        while (nc_preset_names[count])
            count++;
        const char *nearest = nc_nearest(source, nc_preset_names, count);
        char list[256] = "";
        for (size_t i = 0; i < count; i++)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "",
                     nc_preset_names[i]);
        return nc_error(
            NC_BAD_INPUT, "%s: no such config file or preset%s%s%s (the presets are %s)", source,
            nearest ? ": did you mean " : "", nearest ? nearest : "", nearest ? "?" : "", list);
    }
    char *text;
    size_t size;
    int status = nc_text_read(source, LARGEST_FILE, &text, &size);
    if (status != NC_OK)
        return status;
    status = apply_text(source, text, size, config);
    free(text);
    return status;
}

static int apply_override(const char *override, struct nc_config *config)
{
    char where[300], name[64];
    const char *equals = strchr(override, '=');
    if (!equals || equals == override)
        return nc_error(NC_USAGE, "--set %s: it must be key=value, as --set batch_size=256",
                        override);
    snprintf(where, sizeof where, "--set %s", override);
    snprintf(name, sizeof name, "%.*s", (int)(equals - override), override);
    const struct config_key *key = config_key_find(name);
    int status =
        key ? config_key_set(key, where, equals + 1, config) : config_key_unknown(where, name);
    return status == NC_BAD_INPUT ? NC_USAGE : status; /* it stands on the command line */
}

/* What no key alone can say. */
static int check_optimizer(const char *source, const struct nc_config *config)
{
    if (config->momentum != 0 && config->optimizer != NC_OPTIMIZER_SGD)
        return nc_error(NC_BAD_INPUT, "%s: momentum is a key of sgd: set optimizer to sgd, or "
                        "momentum to 0", source);
    return NC_OK;
}

int nc_config_load(const char *source, const char *const *overrides, size_t override_count,
                   struct nc_config **out)
{
    *out = NULL;
    struct nc_config *config = calloc(1, sizeof *config);
    if (!config)
        return nc_error(NC_FAILED, "%s: no memory", source);
    int status = apply_source("default", config); /* the values of keys that are left out */
    if (status == NC_OK)
        status = apply_source(source, config);
    for (size_t i = 0; i < override_count && status == NC_OK; i++)
        status = apply_override(overrides[i], config);
    if (status == NC_OK)
        status = nc_losses_check(source, config);
    if (status == NC_OK)
        status = check_optimizer(source, config);
    if (status != NC_OK) {
        nc_config_free(config);
        return status;
    }
    *out = config;
    return NC_OK;
}

void nc_config_free(struct nc_config *config)
{
    if (!config)
        return;
    for (unsigned i = 0; i < config->trainable_count; i++)
        free(config->trainable[i]);
    free(config->trainable);
    free(config->terms);
    free(config);
}

/* Whether a key has the value that runs had before there was such a key. */
static bool as_before(const struct config_key *key, const struct nc_config *config)
{
    struct nc_config before = {0};
    if (key->kind == CONFIG_COUNTS)
        return config->source_count == 0;
    size_t size = key->kind == CONFIG_SWITCH   ? sizeof(bool)
                  : key->kind == CONFIG_CHOICE ? sizeof(int)
                                               : sizeof(double);
    const char *then = (const char *)&before, *now = (const char *)config;
    return key->before && config_key_set(key, key->name, key->before, &before) == NC_OK &&
           memcmp(then + key->offset, now + key->offset, size) == 0;
}

static int write_text(const struct nc_config *config, bool all, char **text)
{
    struct nc_text_stream stream;
    *text = NULL;
    nc_text_stream_open(&stream);
    if (!stream.file)
        return nc_error(NC_FAILED, "config: no memory");
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        if (!all && (config_keys[i].of_the_ranks || as_before(&config_keys[i], config)))
            continue;
        if (config_keys[i].section)
            fprintf(stream.file, "%s# ---- %s ----\n", i ? "\n" : "", config_keys[i].section);
        config_key_print(&config_keys[i], config, stream.file);
    }
    *text = nc_text_stream_close(&stream);
    return *text ? NC_OK : nc_error(NC_FAILED, "config: no memory");
}

int nc_config_text(const struct nc_config *config, char **text)
{
    return write_text(config, false, text);
}

int nc_config_write(const struct nc_config *config, const char *path)
{
    char *text;
    int status = write_text(config, true, &text);
    if (status != NC_OK)
        return status;
    status = nc_file_write(path, text, strlen(text));
    free(text);
    return status;
}

const char *const *nc_config_presets(void)
{
    return nc_preset_names;
}
