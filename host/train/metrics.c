/* Writes metrics.jsonl and passes each value on to TensorBoard's files; cuts both back on
 * resuming. */
#include "metrics.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/number.h"
#include "nclip/support/progress.h"
#include "tensorboard.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct nc_metrics {
    char *path;
    FILE *file;
    struct nc_events *events;
    double flushed; /* nc_seconds() of the last flush */
};

/* ---- Resuming ----------------------------------------------------------------------------- */

/* Whether the line belongs to the part of the run that is kept; false in *good: not a line of
 * ours (torn by a crash). NC_FAILED without memory, which tells nothing about the line. */
static int judge(const char *path, const char *line, size_t length, uint64_t resume_step,
                 bool *good, bool *kept, uint64_t *last)
{
    errno = 0;
    cJSON *object = nc_json_try(line, length);
    if (!object && errno == ENOMEM)
        return nc_error(NC_FAILED, "%s: no memory to read it", path);
    const cJSON *step = nc_json_member(object, "step");
    *good = cJSON_IsObject(object) && cJSON_IsNumber(step);
    *kept = *good && step->valuedouble <= (double)resume_step;
    if (*kept && step->valuedouble > (double)*last)
        *last = (uint64_t)step->valuedouble;
    cJSON_Delete(object);
    return NC_OK;
}

/* Lines of the steps up to the checkpoint's are missing: curves and reports would be short without a
 * word. */
static int check_reaches(const char *path, uint64_t last, uint64_t resume_step)
{
    if (last >= resume_step)
        return NC_OK;
    return nc_error(NC_BAD_INPUT,
                    "%s: ends at step %llu, but the checkpoint is of step %llu: put back the lines "
                    "that are missing, or rename the file, and the run goes on with a new one",
                    path, (unsigned long long)last, (unsigned long long)resume_step);
}

/* Rewrites the file with the lines up to `resume_step`, unless it has just these. */
static int cut(const char *path, uint64_t resume_step)
{
    char *text;
    size_t size, kept = 0, torn_line = 0, line = 1;
    uint64_t last = 0;
    struct nc_writer *writer = NULL;
    if (!nc_file_exists(path)) {
        fprintf(stderr, "%s: is not there; steps before %llu are in no file\n", path,
                (unsigned long long)resume_step + 1);
        return NC_OK;
    }
    int status = nc_file_read(path, SIZE_MAX, &text, &size);
    if (status != NC_OK)
        return status;
    status = nc_writer_create(path, &writer);
    for (size_t start = 0; start < size && status == NC_OK; line++) {
        const char *newline = memchr(text + start, '\n', size - start);
        size_t length = newline ? (size_t)(newline - text) - start : size - start;
        bool good = false, belonging = false;
        status = judge(path, text + start, length, resume_step, &good, &belonging, &last);
        if (status != NC_OK)
            break;
        if (!good || !newline) {
            if (!torn_line)
                torn_line = line;
        } else if (torn_line && belonging) {
            status = nc_error(NC_BAD_INPUT, "%s: line %zu is damaged: repair or remove it", path,
                              torn_line);
        } else if (belonging) {
            status = nc_writer_write(writer, text + start, length + 1);
            kept += length + 1;
        }
        start += length + 1;
    }
    free(text);
    if (status == NC_OK)
        status = check_reaches(path, last, resume_step);
    if (status == NC_OK && kept != size)
        return nc_writer_commit(writer);
    nc_writer_abort(writer);
    return status;
}

/* A run that ended before its first checkpoint: it begins anew, and what it wrote is kept aside. */
static int set_aside(const char *path)
{
    struct stat information;
    char *aside = NULL;
    int status = NC_OK;
    if (stat(path, &information) != 0 || information.st_size == 0)
        return NC_OK;
    for (int number = 1; status == NC_OK && (!aside || nc_file_exists(aside)); number++) {
        free(aside);
        if (asprintf(&aside, "%s.before-%d", path, number) < 0) {
            aside = NULL;
            status = nc_error(NC_FAILED, "%s: no memory", path);
        }
    }
    if (status == NC_OK && rename(path, aside) != 0)
        status = nc_error(NC_FAILED, "%s: cannot rename: %s", path, strerror(errno));
    if (status == NC_OK)
        fprintf(stderr, "%s: of a run that left no checkpoint; it is now %s\n", path, aside);
    free(aside);
    return status;
}

/* ---- Writing -------------------------------------------------------------------------------- */

int nc_metrics_open(const char *run_folder, uint64_t resume_step, struct nc_metrics **out)
{
    *out = NULL;
    struct nc_metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics)
        metrics->path = nc_path_join(run_folder, "metrics.jsonl");
    if (!metrics || !metrics->path) {
        free(metrics);
        return nc_error(NC_FAILED, "%s: no memory", run_folder);
    }
    int status = resume_step ? cut(metrics->path, resume_step) : set_aside(metrics->path);
    if (status == NC_OK) {
        metrics->file = fopen(metrics->path, resume_step ? "ae" : "we");
        if (!metrics->file)
            status = nc_error(NC_FAILED, "%s: cannot write: %s", metrics->path, strerror(errno));
    }
    if (status == NC_OK)
        status = nc_events_create(run_folder, resume_step ? resume_step + 1 : 0, &metrics->events);
    if (status != NC_OK) {
        nc_metrics_close(metrics);
        return status;
    }
    metrics->flushed = nc_seconds();
    *out = metrics;
    return NC_OK;
}

static int push(struct nc_metrics *metrics)
{
    metrics->flushed = nc_seconds();
    if (fflush(metrics->file) != 0)
        return nc_error(NC_FAILED, "%s: cannot write: %s", metrics->path, strerror(errno));
    return nc_events_flush(metrics->events);
}

int nc_metrics_write(struct nc_metrics *metrics, const char *group, uint64_t step,
                     const struct nc_metric *values, size_t count)
{
    char number[NC_NUMBER_SIZE];
    fprintf(metrics->file, "{\"step\": %llu", (unsigned long long)step);
    for (size_t i = 0; i < count; i++) {
        double value = values[i].value; /* JSON has no infinity and no NaN */
        fprintf(metrics->file, ", \"%s\": %s", values[i].name,
                isfinite(value) ? nc_number_text(value, number) : "null");
    }
    fputs("}\n", metrics->file);
    if (ferror(metrics->file))
        return nc_error(NC_FAILED, "%s: cannot write: %s", metrics->path,
                        strerror(errno ? errno : EIO));
    int status = nc_events_write(metrics->events, group, step, values, count);
    /* Flushes at most once a second: people watch the file grow, and a step may take less than a
     * millisecond. */
    if (status == NC_OK && nc_seconds() - metrics->flushed >= 1)
        status = push(metrics);
    return status;
}

int nc_metrics_flush(struct nc_metrics *metrics)
{
    int status = push(metrics);
    if (status == NC_OK && fdatasync(fileno(metrics->file)) != 0 && errno != EINVAL)
        status = nc_error(NC_FAILED, "%s: cannot write: %s", metrics->path, strerror(errno));
    return status;
}

void nc_metrics_close(struct nc_metrics *metrics)
{
    if (!metrics)
        return;
    if (metrics->file)
        fclose(metrics->file);
    nc_events_close(metrics->events);
    free(metrics->path);
    free(metrics);
}
