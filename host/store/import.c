/* Brings .npy files of embeddings into a store, row by row or as shards that link to them. */
#include "nclip/store/exchange.h"

#include "nclip/formats/json.h"
#include "nclip/formats/npy.h"
#include "nclip/formats/table.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "nclip/support/signals.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHARD_BYTES = 1 << 26, LOOKED_AT = 1000, SIGNAL_ROWS = 4096 };
static const double LENGTH_TOLERANCE = 0.01; /* of length 1: fp16 rounds each number by 5e-4 */

/* The source at hand. */
struct part {
    const struct nc_store_source *source;
    struct nc_npy rows;
    struct nc_table table;
    struct nc_table_column columns[2]; /* keys, captions */
    char *key;                         /* room for a key that is made */
    char *stem;                        /* "img_emb_0000" */
};

struct import {
    const struct nc_store_import *options;
    const char *folder;
    struct nc_embedding_writer *writer;
    struct nc_embedding_info info;
    struct nc_writer *captions;
    struct nc_progress *progress;
    struct nc_store_imported *result;
    float *row;
    bool resuming; /* no row was new yet */
    size_t done;   /* rows looked at */
};

/* ---- one source ------------------------------------------------------------------------------- */

static void close_part(struct part *part)
{
    nc_npy_close(&part->rows);
    nc_table_free(&part->table);
    free(part->key);
    free(part->stem);
    *part = (struct part){0};
}

/* The name of a file without its folder and ending. */
static char *stem_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return strndup(name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

static int read_table(struct part *part, const char *key, const char *caption)
{
    const char *path = part->source->table;
    size_t columns = 0;
    if (key)
        part->columns[columns++] = (struct nc_table_column){.name = key};
    if (caption)
        part->columns[columns++] = (struct nc_table_column){.name = caption};
    if (!columns)
        return NC_OK;
    if (!path)
        return nc_error(NC_BAD_INPUT,
                        "%s: nothing tells what its rows are of: give --keys FILE, or --key-column "
                        "row for the rows' own numbers", part->source->rows);
    int status = nc_table_read(path, part->columns, columns, &part->table);
    if (status == NC_OK && part->table.rows != part->rows.count)
        status = nc_error(NC_BAD_INPUT, "%s and %s: %zu rows, but %zu keys", part->source->rows, path,
                          part->rows.count, part->table.rows);
    return status;
}

static int open_part(const struct nc_store_source *source, const char *key, const char *caption,
                     struct part *part)
{
    *part = (struct part){.source = source, .key = malloc(NC_EMBEDDING_MAX_KEY + 1),
                          .stem = stem_of(source->rows)};
    int status = part->key && part->stem ? NC_OK : nc_error(NC_FAILED, "import: no memory");
    if (status == NC_OK)
        status = nc_npy_open(source->rows, &part->rows);
    if (status == NC_OK)
        status = read_table(part, key, caption);
    if (status != NC_OK)
        close_part(part);
    return status;
}

/* The key of a row, valid until the next is asked for. */
static int key_of(struct part *part, const char *column, size_t row, const char **key)
{
    if (column) {
        *key = part->columns[0].cells[row];
        if (!*key || !**key)
            return nc_error(NC_BAD_INPUT, "%s: row %zu has no \"%s\"", part->source->table, row,
                            column);
        return NC_OK;
    }
    snprintf(part->key, NC_EMBEDDING_MAX_KEY + 1, "%s/%zu", part->stem, row);
    *key = part->key;
    return NC_OK;
}

static double length_of(const float *row, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)row[i] * (double)row[i];
    return sqrt(sum);
}

static const void *bytes_of(const struct nc_npy *npy, size_t row)
{
    return npy->rows + row * npy->columns * nc_type_size(npy->type);
}

/* Whether the first rows have length 1. */
static bool looks_normalized(const struct part *part, float *row)
{
    const struct nc_npy *npy = &part->rows;
    size_t looked = 0;
    for (size_t i = 0; i < npy->count && looked < LOOKED_AT; i++) {
        nc_convert(row, NC_FLOAT32, bytes_of(npy, i), npy->type, npy->columns);
        double length = length_of(row, npy->columns);
        if (!isfinite(length))
            continue; /* will be skipped */
        looked++;
        if (!(fabs(length - 1) <= LENGTH_TOLERANCE))
            return false;
    }
    return looked > 0;
}

/* ---- rows ------------------------------------------------------------------------------------- */

static int note_caption(struct import *job, const struct part *part, const char *key, size_t row)
{
    size_t column = job->options->key ? 1 : 0;
    const char *caption = part->columns[column].cells[row];
    if (!caption)
        return NC_OK;
    cJSON *object = cJSON_CreateObject();
    char *text = cJSON_AddStringToObject(object, "image", key) &&
                         cJSON_AddStringToObject(object, "caption", caption)
                     ? cJSON_PrintUnformatted(object)
                     : NULL;
    int status = text ? nc_writer_printf(job->captions, "%s\n", text)
                      : nc_error(NC_FAILED, "import: no memory");
    job->result->captions += status == NC_OK;
    cJSON_free(text);
    cJSON_Delete(object);
    return status;
}

/* A row of the wrong length would count for more or less than others in every comparison. */
static int check_row(struct import *job, const struct part *part, size_t row, bool *finite)
{
    double length = length_of(job->row, job->info.dimension);
    *finite = isfinite(length);
    if (*finite && job->info.normalized && !(fabs(length - 1) <= LENGTH_TOLERANCE))
        return nc_error(NC_BAD_INPUT,
                        "%s: row %zu has the length %.4g, not 1; if the rows are not normalised, say "
                        "so with --normalized no", part->source->rows, row, length);
    return NC_OK;
}

/* Whether the row is in the store already: then everything before it must be, too. */
static int already_there(struct import *job, const char *key, bool *there)
{
    *there = false;
    return job->resuming ? nc_embedding_writer_has(job->writer, key, there) : NC_OK;
}

static int advise(int status, const struct part *part, size_t row)
{
    return nc_error_prefix(status, "%s: row %zu", part->source->rows, row);
}

static int take_row(struct import *job, struct part *part, size_t row)
{
    const char *key;
    bool finite, there;
    int status = key_of(part, job->options->key, row, &key);
    nc_convert(job->row, NC_FLOAT32, bytes_of(&part->rows, row), part->rows.type,
               part->rows.columns);
    if (status == NC_OK)
        status = check_row(job, part, row, &finite);
    if (status == NC_OK && !finite) {
        job->result->skipped++;
        return nc_embedding_writer_skip(job->writer, key, "its embedding is not finite");
    }
    if (status == NC_OK)
        status = already_there(job, key, &there);
    if (status == NC_OK && there) {
        job->result->before++;
    } else if (status == NC_OK) {
        job->resuming = false;
        status = nc_embedding_writer_append(job->writer, key, job->row);
        if (status != NC_OK)
            return advise(status, part, row);
        job->result->rows++;
    }
    return status == NC_OK && job->captions ? note_caption(job, part, key, row) : status;
}

static int stopped(const struct import *job)
{
    return nc_error(NC_FAILED, "stopped by a signal at row %zu; the same command goes on", job->done);
}

static int take_rows(struct import *job, struct part *part)
{
    int status = NC_OK;
    for (size_t row = 0; row < part->rows.count && status == NC_OK; row++) {
        if (row % SIGNAL_ROWS == 0 && nc_signals_stop())
            return stopped(job);
        status = take_row(job, part, row);
        if (++job->done % SIGNAL_ROWS == 0)
            nc_progress_update(job->progress, job->done, NULL);
    }
    return status;
}

/* ---- links ------------------------------------------------------------------------------------ */

/* Every row is looked at before the file becomes a shard: a link cannot leave one out. */
static int look_at_rows(struct import *job, struct part *part, const char **keys)
{
    int status = NC_OK;
    for (size_t row = 0; row < part->rows.count && status == NC_OK; row++) {
        bool finite = true;
        const char *key;
        if (row % SIGNAL_ROWS == 0 && nc_signals_stop())
            return stopped(job);
        nc_convert(job->row, NC_FLOAT32, bytes_of(&part->rows, row), part->rows.type,
                   part->rows.columns);
        status = check_row(job, part, row, &finite);
        if (status == NC_OK && !finite)
            status = nc_error(NC_BAD_INPUT,
                              "%s: row %zu is not finite, and a link can leave no row out: import "
                              "without --link", part->source->rows, row);
        if (status == NC_OK)
            status = key_of(part, job->options->key, row, &key);
        if (status == NC_OK && !(keys[row] = strdup(key)))
            status = nc_error(NC_FAILED, "import: no memory for %zu keys", part->rows.count);
        if (status == NC_OK && job->captions)
            status = note_caption(job, part, key, row);
        if (++job->done % SIGNAL_ROWS == 0)
            nc_progress_update(job->progress, job->done, NULL);
    }
    return status;
}

static int link_rows(struct import *job, struct part *part)
{
    size_t count = part->rows.count;
    const char **keys = calloc(count + 1, sizeof *keys);
    char *path = realpath(part->source->rows, NULL);
    bool there = false;
    int status = keys && path ? NC_OK : nc_error(NC_FAILED, "import: no memory for %zu keys", count);
    if (status == NC_OK)
        status = look_at_rows(job, part, keys);
    if (status == NC_OK && count)
        status = already_there(job, keys[0], &there);
    if (status == NC_OK && there) {
        job->result->before += count;
    } else if (status == NC_OK && count) {
        job->resuming = false;
        status = nc_embedding_writer_link(job->writer, path, part->rows.offset, count, keys);
        job->result->rows += status == NC_OK ? count : 0;
    }
    for (size_t i = 0; keys && i < count; i++)
        free((void *)keys[i]);
    free(keys);
    free(path);
    return status;
}

/* ---- all sources ------------------------------------------------------------------------------ */

/* What the first file says of all. */
static int begin(struct import *job, const struct part *part)
{
    const struct nc_store_import *o = job->options;
    job->row = malloc((part->rows.columns + 1) * sizeof *job->row);
    if (!job->row)
        return nc_error(NC_FAILED, "import: no memory");
    job->info = (struct nc_embedding_info){
        .model_hash = o->model_hash,
        .preprocessing = o->preprocessing,
        .dimension = part->rows.columns,
        .type = part->rows.type,
        .normalized = o->normalized ? *o->normalized : looks_normalized(part, job->row)};
    job->result->normalized = job->info.normalized;
    size_t row_bytes = part->rows.columns * nc_type_size(part->rows.type) + 1;
    size_t rows = SHARD_BYTES / row_bytes;
    return nc_embedding_writer_open(job->folder, &job->info,
                                    rows > NC_EMBEDDING_SHARD_ROWS ? rows : NC_EMBEDDING_SHARD_ROWS,
                                    &job->writer);
}

static int check_part(const struct import *job, const struct part *part)
{
    const struct nc_npy *npy = &part->rows;
    size_t wanted = job->options->dimension ? job->options->dimension
                    : job->writer           ? job->info.dimension
                                            : npy->columns;
    if (npy->columns != wanted)
        return nc_error(NC_BAD_INPUT, "%s: %zu columns, but %s %zu", part->source->rows,
                        npy->columns,
                        job->options->dimension ? "the model's embeddings have"
                                                : "the files before it have",
                        wanted);
    if (job->writer && npy->type != job->info.type)
        return nc_error(NC_BAD_INPUT, "%s: rows in %s, but those before it are in %s",
                        part->source->rows, nc_type_name(npy->type), nc_type_name(job->info.type));
    return NC_OK;
}

static int import_source(struct import *job, const struct nc_store_source *source)
{
    const struct nc_store_import *o = job->options;
    struct part part;
    int status = open_part(source, o->key, o->captions_out ? o->caption : NULL, &part);
    if (status != NC_OK)
        return status;
    status = check_part(job, &part);
    if (status == NC_OK && !job->writer)
        status = begin(job, &part);
    if (status == NC_OK)
        status = o->link ? link_rows(job, &part) : take_rows(job, &part);
    job->result->files += status == NC_OK;
    close_part(&part);
    return status;
}

/* What came before a failure is kept; the failure's message passes through. */
static int close_writer(struct import *job, int status)
{
    if (!job->writer)
        return status;
    char *message = status != NC_OK ? strdup(nc_error_message()) : NULL;
    int closed = nc_embedding_writer_close(job->writer);
    if (message)
        nc_error(status, "%s", message);
    free(message);
    return status == NC_OK ? closed : status;
}

int nc_store_import(const struct nc_store_sources *sources, const struct nc_store_import *options,
                    const char *folder, struct nc_store_imported *imported)
{
    struct import job = {.options = options, .folder = folder, .result = imported,
                         .resuming = true};
    *imported = (struct nc_store_imported){0};
    int status = options->captions_out ? nc_writer_create(options->captions_out, &job.captions)
                                       : NC_OK;
    size_t total = 0;
    for (size_t i = 0; i < sources->count && status == NC_OK; i++) {
        struct nc_npy npy; /* a header is read in no time, and a file of another kind noticed */
        status = nc_npy_open(sources->items[i].rows, &npy);
        total += status == NC_OK ? npy.count : 0;
        nc_npy_close(&npy);
    }
    job.progress = status == NC_OK ? nc_progress_start("import", "rows", 0, total) : NULL;
    for (size_t i = 0; i < sources->count && status == NC_OK; i++)
        status = import_source(&job, &sources->items[i]);
    nc_progress_finish(job.progress);
    status = close_writer(&job, status);
    if (status == NC_OK && job.captions)
        status = nc_writer_commit(job.captions);
    else
        nc_writer_abort(job.captions);
    free(job.row);
    return status;
}

int nc_store_source_keys(const struct nc_store_source *source, const char *column, size_t most,
                         char ***keys, size_t *count)
{
    struct part part;
    *keys = NULL;
    *count = 0;
    int status = open_part(source, column, NULL, &part);
    if (status != NC_OK)
        return status;
    size_t wanted = part.rows.count < most ? part.rows.count : most;
    *keys = calloc(wanted + 1, sizeof **keys);
    if (!*keys)
        status = nc_error(NC_FAILED, "import: no memory");
    for (size_t i = 0; i < wanted && status == NC_OK; i++) {
        const char *key;
        status = key_of(&part, column, i, &key);
        if (status == NC_OK && !((*keys)[(*count)++] = strdup(key)))
            status = nc_error(NC_FAILED, "import: no memory");
    }
    close_part(&part);
    return status;
}

void nc_store_source_keys_free(char **keys, size_t count)
{
    for (size_t i = 0; keys && i < count; i++)
        free(keys[i]);
    free(keys);
}
