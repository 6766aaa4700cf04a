/* A rank's part of a batch: which examples, and where those of each source are. */
#include "parts.h"

size_t nc_batch_count(const struct nc_examples *e, const uint32_t *list, size_t count,
                      unsigned source)
{
    size_t found = 0;
    if (!source || !e->source)
        return count;
    for (size_t i = 0; i < count; i++)
        found += e->source[list[i]] + 1u == source;
    return found;
}

/* Where each source's examples and texts are. Those of one source come together. */
static void find_sources(struct nc_batch *batch, const uint32_t *all, size_t total)
{
    struct nc_batch_source *before = NULL;
    for (unsigned s = 0; s <= NC_MOST_SOURCES; s++) {
        struct nc_batch_source *own = &batch->source[s];
        *own = (struct nc_batch_source){
            .count = nc_batch_count(batch->examples, batch->list, batch->count, s),
            .total = nc_batch_count(batch->examples, all, total, s)};
        if (batch->examples->source && before)
            own->first = before->first + before->count;
        for (int role = 0; role < NC_TEXT_ROLES && batch->examples->source && before; role++)
            own->before[role] = before->before[role] + before->texts[role];
        (void)nc_examples_count_texts(batch->examples, batch->list + own->first, own->count, own->texts);
        before = s ? own : NULL;
        if (!batch->examples->source && s == 1) /* there is no other */
            break;
    }
}

struct nc_batch nc_step_batch(struct nc_step *step, const struct nc_examples *examples,
                              const uint32_t *list, size_t count, size_t slot)
{
    struct nc_batch batch = {.examples = examples, .list = list, .count = count, .total = count};
    if (step->ranks) {
        struct nc_share *share = &step->shares[slot];
        nc_share_divide(share, examples, list, count);
        size_t first = share->first[step->ranks->rank];
        batch.share = share;
        batch.list = share->list + first;
        batch.count = share->first[step->ranks->rank + 1] - first;
    }
    batch.beside = nc_examples_count_texts(examples, batch.list, batch.count, batch.texts);
    find_sources(&batch, list, count);
    return batch;
}
