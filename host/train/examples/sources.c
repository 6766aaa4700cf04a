/* Draws batches from several sources (sources.h). */
#include "sources.h"

#include "nclip/support/error.h"
#include "random.h"

#include <stdlib.h>
#include <string.h>

enum { STREAM_SOURCES = 7 };

/* How many batches the sources come to. */
static size_t batches_of(const struct nc_example_sources *s, const size_t *counts, bool whole)
{
    size_t most = 1;
    for (size_t i = 0; i < s->count; i++) {
        size_t batches = (counts[i] + (whole ? 0 : s->per_batch[i] - 1)) / s->per_batch[i];
        most = batches > most ? batches : most;
    }
    return most;
}

/* Source i's places in `batches` batches of a list. `state`: of its shuffles; NULL: as they are. */
static void place(const struct nc_example_sources *s, size_t i, uint32_t *const *examples,
                  const size_t *counts, size_t batches, uint64_t *state, uint32_t *list)
{
    size_t before = 0, batch = 0, at = 0;
    for (size_t k = 0; k < s->count; k++) {
        before += k < i ? s->per_batch[k] : 0;
        batch += s->per_batch[k];
    }
    for (size_t b = 0; b < batches; b++)
        for (size_t k = 0; k < s->per_batch[i]; k++, at++) {
            if (at % counts[i] == 0) {
                memcpy(s->scratch, examples[i], counts[i] * sizeof *s->scratch);
                if (state)
                    nc_random_shuffle(state, s->scratch, counts[i]);
            }
            list[b * batch + before + k] = s->scratch[at % counts[i]];
        }
}

/* *list = the list's examples, drawn from the sources; its count is that of what they come to. */
static int arrange(const struct nc_config *config, struct nc_example_sources *s,
                   uint32_t *const *examples, const size_t *counts, bool whole, uint32_t **list,
                   size_t *count)
{
    size_t batches = batches_of(s, counts, whole);
    *count = batches * (size_t)config->batch_size;
    free(*list);
    *list = malloc(*count * sizeof **list);
    if (!*list)
        return nc_error(NC_FAILED, "captions: no memory");
    for (size_t i = 0; i < s->count; i++)
        place(s, i, examples, counts, batches, NULL, *list);
    return NC_OK;
}

/* The list's examples by their sources. */
static int sort_out(const struct nc_examples *e, const uint32_t *list, size_t count,
                    uint32_t *sorted[NC_MOST_SOURCES], size_t counts[NC_MOST_SOURCES])
{
    for (size_t i = 0; i < e->sources->count; i++) {
        counts[i] = 0;
        sorted[i] = malloc((count + 1) * sizeof *sorted[i]);
        if (!sorted[i])
            return nc_error(NC_FAILED, "captions: no memory");
        for (size_t k = 0; k < count; k++)
            if (e->source[list[k]] == i)
                sorted[i][counts[i]++] = list[k];
        if (!counts[i])
            return nc_error(NC_BAD_INPUT, "captions: of source %zu none is left to %s; %s", i + 1,
                            list == e->training ? "train on" : "be held out",
                            list == e->training ? "lower validation_fraction, or leave it out"
                                                : "raise validation_fraction, or set it to 0");
    }
    return NC_OK;
}

int nc_example_sources_create(const struct nc_config *config, struct nc_examples *e)
{
    struct nc_example_sources *s = e->sources = calloc(1, sizeof *s);
    if (!s || !(s->scratch = malloc((e->count + 1) * sizeof *s->scratch)))
        return nc_error(NC_FAILED, "captions: no memory");
    s->count = config->source_count;
    for (size_t i = 0; i < s->count; i++)
        s->per_batch[i] = (size_t)config->sources[i];
    int status = sort_out(e, e->training, e->training_count, s->drawn, s->drawn_count);
    if (status == NC_OK)
        status = arrange(config, s, s->drawn, s->drawn_count, config->drop_last, &e->training,
                         &e->training_count);
    if (status == NC_OK && e->validation_count)
        status = sort_out(e, e->validation, e->validation_count, s->held_out,
                          s->held_out_count);
    if (status == NC_OK && e->validation_count)
        status = arrange(config, s, s->held_out, s->held_out_count, false, &e->validation,
                         &e->validation_count);
    return status;
}

void nc_example_sources_free(struct nc_example_sources *s)
{
    for (size_t i = 0; s && i < NC_MOST_SOURCES; i++) {
        free(s->drawn[i]);
        free(s->held_out[i]);
    }
    if (s)
        free(s->scratch);
    free(s);
}

void nc_example_sources_order(const struct nc_examples *e, uint64_t seed, uint64_t epoch,
                              uint32_t *order)
{
    const struct nc_example_sources *s = e->sources;
    size_t batch = 0;
    for (size_t i = 0; i < s->count; i++)
        batch += s->per_batch[i];
    for (size_t i = 0; i < s->count; i++) {
        uint64_t state = nc_random_stream(seed, STREAM_SOURCES + i, epoch);
        place(s, i, s->drawn, s->drawn_count, e->training_count / batch, &state, order);
    }
}
