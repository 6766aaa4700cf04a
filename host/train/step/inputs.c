/* Lays out a micro batch in page-locked memory, copies it to the backend and puts its parts in
 * place. */
#include "inputs.h"

#include "marks.h"
#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t part(size_t *top, size_t count, size_t size)
{
    size_t start = *top;
    *top += (count * size + NC_ARENA_ALIGNMENT - 1) / NC_ARENA_ALIGNMENT * NC_ARENA_ALIGNMENT;
    return start;
}

static struct nc_piece_layout lay_out(const struct nc_piece_capacity *c)
{
    struct nc_piece_layout l = {0};
    l.pace = part(&l.bytes, 1, sizeof(struct nc_paces));
    l.token = part(&l.bytes, c->rows, sizeof(int32_t));
    l.position = part(&l.bytes, c->rows, sizeof(int32_t));
    l.row_start = part(&l.bytes, c->texts + 1, sizeof(int32_t));
    l.path_start = part(&l.bytes, c->texts + 1, sizeof(int32_t));
    l.path = part(&l.bytes, c->tokens, sizeof(int32_t));
    l.last_row = part(&l.bytes, c->texts, sizeof(int32_t));
    l.group = part(&l.bytes, c->sides * c->examples, sizeof(int32_t));
    l.extra_image = part(&l.bytes, c->texts, sizeof(int32_t));
    l.base = part(&l.bytes, c->base ? c->examples * c->embedding : 0, sizeof(float));
    l.image = part(&l.bytes, c->sides * c->examples * c->embedding, sizeof(float));
    return l;
}

int nc_step_inputs_plan(struct nc_step_inputs *inputs, struct nc_ops *ops,
                        const struct nc_piece_capacity *capacity, struct nc_arena *arena)
{
    *inputs = (struct nc_step_inputs){.ops = ops, .layout = lay_out(capacity),
                                      .blocks = ops->host_memory ? 1 : NC_PIECE_BLOCKS,
                                      .embedding = capacity->embedding,
                                      .sides = capacity->sides};
    inputs->row = malloc(capacity->sides * capacity->examples * sizeof *inputs->row);
    if (!inputs->row)
        return nc_error(NC_FAILED, "train: no memory");
    int status = NC_OK;
    for (size_t i = 0; i < inputs->blocks && status == NC_OK; i++) {
        status = nc_arena_reserve(arena, "batch", inputs->layout.bytes, &inputs->device[i]);
        if (status == NC_OK && !ops->host_memory)
            status = ops->allocate_host(ops->backend, inputs->layout.bytes, (void **)&inputs->host[i]);
    }
    return status;
}

void nc_step_inputs_free(struct nc_step_inputs *inputs)
{
    for (size_t i = 0; i < inputs->blocks; i++)
        if (inputs->host[i] && !inputs->ops->host_memory)
            inputs->ops->release_host(inputs->ops->backend, inputs->host[i], inputs->layout.bytes);
    free(inputs->row);
    free(inputs->base);
    *inputs = (struct nc_step_inputs){0};
}

/* ---- The host's side ------------------------------------------------------------------- */

static void normalize(float *row, size_t width)
{
    double sum = 0;
    for (size_t k = 0; k < width; k++)
        sum += (double)row[k] * row[k];
    float factor = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (size_t k = 0; k < width; k++)
        row[k] *= factor;
}

/* The texts beside captions, role after role: which picture of the batch each belongs to. */
static void fill_owners(const struct nc_examples *examples, const uint32_t *list, size_t count,
                        size_t first, int32_t *owner)
{
    size_t texts;
    for (int role = NC_TEXT_CAPTION + 1; role < NC_TEXT_ROLES; role++)
        for (size_t i = 0; i < count && examples->text[role]; i++) {
            (void)nc_examples_text(examples, role, list[i], &texts);
            while (texts--)
                *owner++ = (int32_t)(first + i);
        }
}

static int fill_pictures(struct nc_step_inputs *inputs, char *block,
                         const struct nc_examples *examples, const uint32_t *list, size_t count,
                         size_t first)
{
    float *image = (float *)(block + inputs->layout.image);
    int32_t *group = (int32_t *)(block + inputs->layout.group);
    size_t width = inputs->embedding, row = width * sizeof(float);
    fill_owners(examples, list, count, first, (int32_t *)(block + inputs->layout.extra_image));
    for (size_t i = 0; i < count; i++) {
        inputs->row[i] = examples->embedding[list[i]];
        if (inputs->base)
            memcpy(block + inputs->layout.base + i * row, inputs->base + list[i] * width, row);
        group[i] = examples->image[list[i]];
        if (inputs->sides == 1)
            continue;
        inputs->row[count + i] = examples->distractor_embedding[list[i]];
        group[count + i] = examples->distractor_image[list[i]];
    }
    size_t pictures = inputs->sides * count;
    int status = nc_examples_gather(examples, inputs->row, pictures, image);
    if (status == NC_OK && !nc_embedding_store_info(examples->store)->normalized)
        for (size_t i = 0; i < pictures; i++)
            normalize(image + i * inputs->embedding, inputs->embedding);
    return status;
}

static void fill_rows(const struct nc_piece_layout *l, char *block, const struct nc_packing *p)
{
    memcpy(block + l->token, p->token, p->rows * sizeof(int32_t));
    memcpy(block + l->position, p->position, p->rows * sizeof(int32_t));
    memcpy(block + l->row_start, p->row_start, (p->captions + 1) * sizeof(int32_t));
    memcpy(block + l->path_start, p->path_start, (p->captions + 1) * sizeof(int32_t));
    memcpy(block + l->path, p->path, p->tokens * sizeof(int32_t));
    memcpy(block + l->last_row, p->last_row, p->captions * sizeof(int32_t));
}

/* ---- The backend's side ---------------------------------------------------------------- */

static int place_pictures(const struct nc_step_inputs *inputs, const char *block, size_t count,
                          size_t first, size_t pairs, const struct nc_piece_texts *texts, bool paced,
                          const struct nc_batch_inputs *batch)
{
    struct nc_ops *ops = inputs->ops;
    const struct nc_piece_layout *l = &inputs->layout;
    size_t row = inputs->embedding * sizeof(float), others = inputs->sides == 2 ? count : 0;
    struct {
        void *to;
        size_t from, bytes;
    } parts[] = {
        {batch->image + first * inputs->embedding, l->image, count * row},
        {batch->group + first, l->group, count * sizeof(int32_t)},
        {batch->image + (pairs + first) * inputs->embedding, l->image + count * row, others * row},
        {batch->group + pairs + first, l->group + count * sizeof(int32_t), others * sizeof(int32_t)},
        {batch->pace, l->pace, paced ? sizeof *batch->pace : 0},
        {batch->base ? batch->base + first * inputs->embedding : NULL, l->base,
         batch->base ? count * row : 0},
    };
    int status = NC_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == NC_OK; i++)
        if (parts[i].bytes)
            status = ops->copy(ops->backend, parts[i].to, block + parts[i].from, parts[i].bytes);
    for (size_t role = 0, at = 0; role < NC_TEXT_ROLES && status == NC_OK; at += texts->count[role++])
        if (texts->count[role])
            status = ops->copy(ops->backend, batch->extra_image + texts->place[role],
                               block + l->extra_image + at * sizeof(int32_t),
                               texts->count[role] * sizeof(int32_t));
    return status;
}

static int place_rows(const struct nc_piece_layout *l, char *block, const struct nc_packing *packing,
                      struct nc_text_tower *tower)
{
    const struct nc_packing staged = {
        .token = (int32_t *)(block + l->token), .position = (int32_t *)(block + l->position),
        .row_start = (int32_t *)(block + l->row_start),
        .path_start = (int32_t *)(block + l->path_start), .path = (int32_t *)(block + l->path),
        .last_row = (int32_t *)(block + l->last_row)};
    return nc_text_tower_load(tower, packing, &staged);
}

int nc_step_inputs_load(struct nc_step_inputs *inputs, const struct nc_examples *examples,
                        const uint32_t *list, size_t count, size_t first, size_t pairs,
                        const struct nc_piece_texts *texts, const struct nc_packing *packing,
                        const struct nc_paces *pace, const struct nc_batch_inputs *batch,
                        struct nc_text_tower *tower)
{
    struct nc_ops *ops = inputs->ops;
    size_t turn = inputs->turn++ % inputs->blocks;
    unsigned placed = NC_MARK_PLACED + (unsigned)turn, over = NC_MARK_OVER + (unsigned)turn;
    char *device = inputs->device[turn], *host = ops->host_memory ? device : inputs->host[turn];
    int status = ops->host_wait(ops->backend, placed); /* of the piece that was here before */
    if (status != NC_OK)
        return status;
    if (pace)
        memcpy(host + inputs->layout.pace, pace, sizeof *pace);
    if (batch)
        status = fill_pictures(inputs, host, examples, list, count, first);
    if (status != NC_OK)
        return status;
    fill_rows(&inputs->layout, host, packing);
    if (host != device) {
        size_t pictures = inputs->layout.image +
                          inputs->sides * count * inputs->embedding * sizeof(float);
        size_t bytes = batch ? pictures : inputs->layout.group; /* rows come first */
        status = ops->copy_queued(ops->backend, NC_COPY, device, host, bytes);
        if (status == NC_OK)
            status = ops->mark(ops->backend, NC_COPY, over);
        if (status == NC_OK)
            status = ops->queue_wait(ops->backend, NC_COMPUTE, over);
    }
    if (status == NC_OK && batch)
        status = place_pictures(inputs, device, count, first, pairs, texts, pace != NULL, batch);
    if (status == NC_OK)
        status = place_rows(&inputs->layout, device, packing, tower);
    return status == NC_OK ? ops->mark(ops->backend, NC_COMPUTE, placed) : status;
}
