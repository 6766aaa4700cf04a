/* Joins the texts of all sources. */
#include "join.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/string_map.h"
#include "nclip/support/text_pool.h"
#include "repeated.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int no_memory(const struct embed_job *job)
{
    return nc_error(NC_FAILED, "%s: no memory", job->options->store);
}

/* ---- skipped.jsonl and damaged.jsonl ---- */

/* "KEY of SOURCE", of the first line of the notes. */
static int name_first(void *context, const char *where, const cJSON *object)
{
    char **first = context;
    const char *key = NULL, *reason = NULL;
    int status = nc_json_string(where, object, "key", &key);
    if (status == NC_OK)
        status = nc_json_string(where, object, "reason", &reason);
    if (status == NC_OK && !*first && asprintf(first, "%s: %s", key, reason) < 0) {
        *first = NULL;
        status = nc_error(NC_FAILED, "embed: no memory");
    }
    return status;
}

static int append(const struct embed_job *job, size_t source, const char *ending,
                  struct nc_writer *writer, size_t *lines)
{
    char *path = embed_record_path(job->options->store, source, EMBED_WHOLE, ending);
    int status = path ? embed_append_file(path, writer, lines) : no_memory(job);
    free(path);
    nc_communicator_tick(job->options->ranks);
    return status;
}

static int append_repeated(const struct embed_job *job, size_t source, struct nc_writer *writer,
                           size_t *lines)
{
    struct nc_embed_result *result = job->result;
    size_t before = *lines;
    int status = append(job, source, EMBED_REPEATED, writer, lines);
    result->repeated += *lines - before;
    if (status != NC_OK || *lines == before || result->repeated_first)
        return status;
    char *path = embed_record_path(job->options->store, source, EMBED_WHOLE, EMBED_REPEATED);
    status = path ? nc_json_lines_load(path, false, name_first, &result->repeated_first)
                  : no_memory(job);
    free(path);
    return status;
}

/* One file of the store; there is none where it would be empty. */
static int join_notes(const struct embed_job *job, const struct embed_list *list, const char *name,
                      const char *before, enum embed_kind kind, size_t *lines)
{
    char *path = nc_path_join(job->options->store, name);
    char *earlier = nc_path_join(job->options->store, before);
    struct nc_writer *writer = NULL;
    int status = path && earlier ? nc_writer_create(path, &writer) : no_memory(job);
    if (status == NC_OK)
        status = embed_append_file(earlier, writer, lines);
    for (size_t i = 0; i < list->paths.count && status == NC_OK; i++) {
        status = append(job, list->first + i, embed_endings[kind], writer, lines);
        if (status == NC_OK && kind == EMBED_SKIPPED)
            status = append_repeated(job, list->first + i, writer, lines);
    }
    if (status == NC_OK && *lines) {
        status = nc_writer_commit(writer);
    } else {
        nc_writer_abort(writer);
        if (status == NC_OK && unlink(path) != 0 && errno != ENOENT)
            status = nc_error(NC_FAILED, "%s: cannot remove it: %s", path, strerror(errno));
    }
    free(path);
    free(earlier);
    return status;
}

/* ---- captions ---- */

struct filter {
    struct nc_text_pool *pool;
    struct nc_string_map *without; /* keys whose captions are left out */
    struct nc_writer *writer;
    struct embed_text line;
    size_t lines;
};

static int leave_out(void *context, const char *where, const cJSON *object)
{
    struct filter *filter = context;
    const char *key = NULL;
    size_t present;
    int status = nc_json_string(where, object, "key", &key);
    const char *copy = status == NC_OK ? nc_text_pool_copy(&filter->pool, key) : NULL;
    if (status == NC_OK)
        status = copy ? nc_string_map_add(filter->without, copy, 0, &present)
                      : nc_error(NC_FAILED, "embed: no memory");
    return status;
}

static int pass_on(void *context, const char *where, const cJSON *object)
{
    struct filter *filter = context;
    const char *key = NULL, *caption = NULL;
    size_t number;
    int status = nc_json_string(where, object, "image", &key);
    if (status == NC_OK)
        status = nc_json_string(where, object, "caption", &caption);
    if (status != NC_OK || nc_string_map_find(filter->without, key, &number))
        return status;
    filter->line.size = 0;
    filter->lines++;
    status = embed_text_line(&filter->line, "image", key, "caption", caption);
    return status == NC_OK ? nc_writer_write(filter->writer, filter->line.text, filter->line.size)
                           : status;
}

/* Without those of pictures that another source's took the place of. */
static int append_captions(const struct embed_job *job, size_t source, struct nc_writer *writer,
                           size_t *lines)
{
    struct filter filter = {.writer = writer};
    const char *store = job->options->store;
    char *path = embed_record_path(store, source, EMBED_WHOLE, embed_endings[EMBED_CAPTIONS]);
    char *repeated = embed_record_path(store, source, EMBED_WHOLE, EMBED_REPEATED);
    int status = path && repeated ? NC_OK : no_memory(job);
    if (status == NC_OK && !nc_file_exists(repeated)) {
        status = embed_append_file(path, writer, lines);
    } else if (status == NC_OK && nc_file_exists(path)) {
        status = nc_string_map_create(&filter.without);
        if (status == NC_OK)
            status = nc_json_lines_load(repeated, false, leave_out, &filter);
        if (status == NC_OK)
            status = nc_json_lines_load(path, false, pass_on, &filter);
        *lines += filter.lines;
    }
    nc_string_map_destroy(filter.without);
    nc_text_pool_free(filter.pool);
    embed_text_free(&filter.line);
    free(path);
    free(repeated);
    nc_communicator_tick(job->options->ranks);
    return status;
}

static int join_captions(const struct embed_job *job, const struct embed_list *list, size_t *lines)
{
    struct nc_writer *writer = NULL;
    int status = nc_writer_create(job->options->also_text, &writer);
    for (size_t i = 0; i < list->paths.count && status == NC_OK; i++)
        status = append_captions(job, list->first + i, writer, lines);
    if (status == NC_OK)
        status = nc_writer_commit(writer);
    else
        nc_writer_abort(writer);
    return status;
}

int embed_join(const struct embed_job *job, const struct embed_list *list)
{
    struct nc_embed_result *result = job->result;
    int status = embed_settle_keys(job, list, &result->rows);
    if (status == NC_OK)
        status = join_notes(job, list, "skipped.jsonl", EMBED_SOURCES "/before.skipped",
                            EMBED_SKIPPED, &result->skipped);
    if (status == NC_OK)
        status = join_notes(job, list, "damaged.jsonl", EMBED_SOURCES "/before.damaged",
                            EMBED_DAMAGED, &result->damaged);
    if (status == NC_OK && job->options->also_text)
        status = join_captions(job, list, &result->captions);
    return status;
}
