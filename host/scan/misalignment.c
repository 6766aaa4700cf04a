/* Strips captions of their negation and compares both by the cosine with their picture. */
#include "nclip/scan/misalignment.h"

#include "nclip/negation/strip.h"
#include "nclip/negation/words.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 1024 }; /* captions encoded at once, each twice */

struct pair {
    size_t caption, row; /* of the captions, of the store */
    char *stripped;
};

struct measurement {
    const struct nc_captions *captions;
    const struct nc_embedding_store *store;
    struct nc_encoder *encoder;
    size_t embedding;
    const struct nc_misalignment_options *options;
    struct nc_misalignment *result;
    struct pair *pairs;
    size_t count, capacity;
};

static int no_memory(size_t count)
{
    return nc_error(NC_FAILED, "misalignment: no memory for %zu captions", count);
}

/* ---- Which captions ---------------------------------------------------------------------- */

static int add_pair(struct measurement *m, size_t index)
{
    const struct nc_caption *caption = &m->captions->items[index];
    struct nc_negation_match match;
    const char *reason;
    struct pair pair = {.caption = index};
    if (!nc_negation_find(caption->text, strlen(caption->text), 0, &match))
        return NC_OK;
    m->result->negated++;
    int status =
        nc_embedding_store_find(m->store, m->captions->images[caption->image], &pair.row);
    if (status != NC_OK)
        return status;
    if (pair.row == NC_EMBEDDING_NONE) {
        m->result->unembedded++;
        return NC_OK;
    }
    pair.stripped = nc_negation_strip(caption->text, &reason);
    if (!pair.stripped) {
        m->result->unstripped++;
        return NC_OK;
    }
    if (m->count == m->capacity) {
        size_t capacity = m->capacity ? 2 * m->capacity : 256;
        struct pair *larger = reallocarray(m->pairs, capacity, sizeof *larger);
        if (!larger) {
            free(pair.stripped);
            return no_memory(capacity);
        }
        m->pairs = larger;
        m->capacity = capacity;
    }
    m->pairs[m->count++] = pair;
    return NC_OK;
}

/* ---- Comparing --------------------------------------------------------------------------- */

/* Keeps the examples that are farthest apart; takes the stripped text of those. */
static void keep_example(struct measurement *m, struct pair *pair, float cosine, float stripped)
{
    struct nc_misalignment *result = m->result;
    const struct nc_caption *caption = &m->captions->items[pair->caption];
    size_t at = result->example_count;
    while (at && result->examples[at - 1].stripped_cosine - result->examples[at - 1].cosine <
                     stripped - cosine)
        at--;
    if (at == m->options->examples)
        return;
    if (result->example_count == m->options->examples)
        free(result->examples[--result->example_count].stripped);
    memmove(result->examples + at + 1, result->examples + at,
            (result->example_count - at) * sizeof *result->examples);
    result->examples[at] = (struct nc_misalignment_example){
        m->captions->images[caption->image], caption->text, pair->stripped, cosine, stripped};
    result->example_count++;
    pair->stripped = NULL;
}

static double dot(const float *a, const float *b, size_t size)
{
    double sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* pairs[first .. first + part): their texts, each beside its stripped one. */
static int compare(struct measurement *m, size_t first, size_t part, const char **texts,
                   float *features, float *picture)
{
    struct nc_misalignment *result = m->result;
    for (size_t i = 0; i < part; i++) {
        texts[2 * i] = m->captions->items[m->pairs[first + i].caption].text;
        texts[2 * i + 1] = m->pairs[first + i].stripped;
    }
    int status = nc_encoder_texts(m->encoder, texts, 2 * part, false, features);
    for (size_t i = 0; i < part && status == NC_OK; i++) {
        status = nc_embedding_store_row_float(m->store, m->pairs[first + i].row, picture);
        if (status != NC_OK)
            break;
        double norm = sqrt(dot(picture, picture, m->embedding));
        double scale = norm > 0 ? 1 / norm : 0;
        const float *text = features + 2 * i * m->embedding;
        double cosine = scale * dot(text, picture, m->embedding);
        double stripped = scale * dot(text + m->embedding, picture, m->embedding);
        result->compared++;
        result->difference += stripped - cosine;
        if (stripped > cosine) {
            result->stripped_preferred++;
            keep_example(m, &m->pairs[first + i], (float)cosine, (float)stripped);
        }
    }
    return status;
}

static int compare_all(struct measurement *m)
{
    size_t most = m->count < AT_ONCE ? m->count : AT_ONCE;
    const char **texts = calloc(2 * most + 1, sizeof *texts);
    float *features = calloc(2 * most * m->embedding + 1, sizeof *features);
    float *picture = calloc(m->embedding, sizeof *picture);
    int status = texts && features && picture ? NC_OK : no_memory(most);
    struct nc_progress *progress = nc_progress_start("misalignment", "captions", 0, m->count);
    for (size_t i = 0; i < m->count && status == NC_OK; i += most) {
        size_t part = m->count - i < most ? m->count - i : most;
        status = compare(m, i, part, texts, features, picture);
        nc_progress_update(progress, i + part, NULL);
    }
    nc_progress_finish(progress);
    if (m->result->compared)
        m->result->difference /= (double)m->result->compared;
    free(picture);
    free(features);
    free(texts);
    return status;
}

/* ---- Asking ------------------------------------------------------------------------------- */

static int ask(struct measurement *m)
{
    const struct nc_misalignment_judge *judge = m->options->judge;
    enum { THING = 128 };
    struct nc_misalignment_question *questions = calloc(m->count + 1, sizeof *questions);
    char *things = calloc(m->count + 1, THING);
    size_t count = 0;
    int status = questions && things ? NC_OK : no_memory(m->count);
    for (size_t i = 0; i < m->count && status == NC_OK; i++) {
        const struct nc_caption *caption = &m->captions->items[m->pairs[i].caption];
        char *thing = things + count * THING;
        if (nc_negated_thing(caption->text, thing, THING))
            questions[count++] = (struct nc_misalignment_question){
                .image = m->captions->images[caption->image], .thing = thing};
    }
    if (status == NC_OK)
        status = judge->judge(judge->context, questions, count);
    for (size_t i = 0; i < count && status == NC_OK; i++) {
        m->result->shown += questions[i].answer == NC_MISALIGNMENT_SHOWN;
        m->result->absent += questions[i].answer == NC_MISALIGNMENT_ABSENT;
    }
    m->result->asked = count;
    free(things);
    free(questions);
    return status;
}

int nc_misalignment_measure(const struct nc_captions *captions,
                            const struct nc_embedding_store *store, struct nc_encoder *encoder,
                            size_t embedding, const struct nc_misalignment_options *options,
                            struct nc_misalignment *result)
{
    struct measurement m = {.captions = captions,
                            .store = store,
                            .encoder = encoder,
                            .embedding = embedding,
                            .options = options,
                            .result = result};
    *result = (struct nc_misalignment){.captions = captions->count};
    result->examples = calloc(options->examples + 1, sizeof *result->examples);
    int status = result->examples ? NC_OK : no_memory(options->examples);
    for (size_t i = 0; i < captions->count && status == NC_OK; i++)
        status = add_pair(&m, i);
    if (status == NC_OK && !m.count)
        status =
            nc_error(NC_BAD_INPUT,
                     "no caption to compare: of %zu, %zu hold a negation; of these the picture "
                     "of %zu is not in the embedding store, and %zu cannot be stripped",
                     result->captions, result->negated, result->unembedded, result->unstripped);
    if (status == NC_OK)
        status = compare_all(&m);
    if (status == NC_OK && options->judge)
        status = ask(&m);
    for (size_t i = 0; i < m.count; i++)
        free(m.pairs[i].stripped);
    free(m.pairs);
    if (status != NC_OK)
        nc_misalignment_free(result);
    return status;
}

void nc_misalignment_free(struct nc_misalignment *result)
{
    for (size_t i = 0; i < result->example_count; i++)
        free(result->examples[i].stripped);
    free(result->examples);
    *result = (struct nc_misalignment){0};
}
