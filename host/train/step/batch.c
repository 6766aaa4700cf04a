/* A rank's part of a batch: which examples, and where those of each source are. */
#include "parts.h"

#include <string.h>

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

/* Where each source's examples and texts are, [0] being all. Those of one source come together. */
static void find_sources(struct nc_batch *batch, const uint32_t *all, size_t total)
{
    const struct nc_examples *e = batch->examples;
    size_t first = 0, before[NC_TEXT_ROLES] = {0};
    for (unsigned s = 0; s <= (e->source ? NC_MOST_SOURCES : 1); s++) {
        struct nc_batch_source *own = &batch->source[s];
        own->first = first;
        own->count = nc_batch_count(e, batch->list, batch->count, s);
        own->total = nc_batch_count(e, all, total, s);
        memcpy(own->before, before, sizeof before);
        size_t beside = nc_examples_count_texts(e, batch->list + first, own->count, own->texts);
        if (!s) {
            batch->beside = beside;
            memcpy(batch->texts, own->texts, sizeof batch->texts);
        }
        first += s ? own->count : 0;
        for (int role = 0; role < NC_TEXT_ROLES && s; role++)
            before[role] += own->texts[role];
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
    find_sources(&batch, list, count);
    return batch;
}
