/* Divides the sources among ranks, runs this rank's through the pipeline, and ends the store.
 *
 * Source i of those that are not complete is rank i % ranks' own. Ranks meet at the start, where
 * all learn the division, and at the end, where rank 0 joins what they wrote; between the two a
 * rank knows of the others by what is in the store alone. */
#include "many.h"

#include "feeder.h"
#include "join.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/progress.h"
#include "nclip/support/signals.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double TIMEOUT = 60; /* ranks hardly wait: a large batch is no hang */
static const double JOIN_TIMEOUT =
    86400;                    /* seconds that the others wait for the index of all keys */
static const double LOOK = 2; /* seconds between two looks at the others' stop */

struct many {
    struct embed_job *job;
    struct embed_list list;
    struct embed_selection selection;
    struct embed_source *todo; /* this rank's */
    size_t todo_count, undone; /* of all ranks */
    struct embed_feeder feeder;
    struct embed_sink sink;
    /* the calling thread's */
    struct nc_progress *progress; /* rank 0's */
    struct embed_mark mark;
    size_t told;    /* pictures */
    uint64_t ticks; /* of all ranks, at the start */
    double looked;
    bool stopped;
    char *stop_path;
};

/* ---- the pipeline's callbacks ---- */

static int feed(void *context, struct embed_batch *batch, size_t most)
{
    return embed_feeder_feed(&((struct many *)context)->feeder, batch, most);
}

static int store(void *context, struct embed_batch *batch)
{
    return embed_sink_take(&((struct many *)context)->sink, batch);
}

static void drop(void *context, struct embed_batch *batch)
{
    (void)context;
    embed_piece_release(batch->owner);
}

/* Pictures of all ranks' sources: counted where they are open, guessed from those where they are
 * not. */
static size_t estimate(struct many *m, char **remark)
{
    const struct embed_feeder *f = &m->feeder;
    double bytes = 0, others = 0, share = 1;
    pthread_mutex_lock(&m->feeder.lock);
    *remark = m->feeder.remark;
    m->feeder.remark = NULL;
    double pictures = f->pictures, mean = f->opened ? f->pictures / (double)f->opened : 0;
    double a_byte = f->tar_bytes > 0 ? f->tar_pictures / f->tar_bytes : 0;
    size_t opened = f->opened;
    pthread_mutex_unlock(&m->feeder.lock);
    for (size_t i = opened; i < m->todo_count; i++) {
        if (m->todo[i].bytes && a_byte > 0)
            bytes += (double)m->todo[i].bytes;
        else
            others++;
    }
    if (m->todo_count) /* the other ranks have like work */
        share = (double)m->undone / (double)m->todo_count;
    return (size_t)((pictures + a_byte * bytes + mean * others) * share);
}

static void tell(void *context, const struct nc_embed_stages *stages)
{
    struct many *m = context;
    struct nc_communicator *ranks = m->job->options->ranks;
    char note[64], *remark;
    for (; m->told < stages->pictures; m->told++)
        nc_communicator_tick(ranks); /* a tick a picture: so rank 0 knows what all have done */
    size_t total = estimate(m, &remark), done = stages->pictures;
    if (ranks && ranks->rank == 0)
        done += (size_t)(nc_communicator_ticks_of_others(ranks) - m->ticks);
    embed_note(&m->mark, stages, m->sink.skipped, note, sizeof note);
    if (remark)
        nc_progress_message(m->progress, "%s", remark);
    free(remark);
    nc_progress_total(m->progress, total > done ? total : done);
    nc_progress_update(m->progress, done, note);
}

/* A rank that is told to stop tells the others through a file in the store. */
static bool stop(void *context)
{
    struct many *m = context;
    double now = nc_seconds();
    if (nc_signals_stop() && !m->stopped) {
        m->stopped = true;
        int file =
            m->job->options->ranks ? open(m->stop_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;
        if (file >= 0)
            close(file);
    } else if (!m->stopped && m->job->options->ranks && now - m->looked > LOOK) {
        m->looked = now;
        m->stopped = nc_file_exists(m->stop_path);
        if (m->stopped)
            nc_signals_pass_on();
    }
    return m->stopped;
}

/* ---- the division ---- */

/* All ranks get rank 0's selection, and read the list that it wrote. */
static int share_selection(struct many *m)
{
    struct nc_communicator *ranks = m->job->options->ranks;
    struct embed_selection *selection = &m->selection;
    uint64_t counts[2] = {selection->count, selection->missing};
    if (!ranks)
        return NC_OK;
    int status = nc_communicator_share(ranks, counts, sizeof counts);
    if (status == NC_OK && ranks->rank) {
        selection->count = (size_t)counts[0];
        selection->missing = (size_t)counts[1];
        selection->items = calloc(selection->count + 1, sizeof *selection->items);
        if (!selection->items)
            status = nc_error(NC_FAILED, "embed: no memory");
    }
    if (status == NC_OK && selection->count)
        status = nc_communicator_share(ranks, selection->items,
                                       selection->count * sizeof *selection->items);
    if (status == NC_OK && ranks->rank)
        status = embed_list_load(m->job->options->store, &m->list);
    for (size_t i = 0; i < selection->count && status == NC_OK && ranks->rank; i++)
        if (selection->items[i].number < m->list.first ||
            selection->items[i].number - m->list.first >= m->list.paths.count)
            status = nc_error(NC_BAD_INPUT,
                              "%s: its list of sources is not that of rank 0: do all "
                              "hosts see the same folder?",
                              m->job->options->store);
    return status;
}

static int divide(struct many *m)
{
    const struct nc_communicator *ranks = m->job->options->ranks;
    size_t rank = ranks ? ranks->rank : 0, size = ranks ? ranks->size : 1;
    m->todo = calloc(m->selection.count + 1, sizeof *m->todo);
    if (!m->todo)
        return nc_error(NC_FAILED, "embed: no memory");
    for (size_t i = 0; i < m->selection.count; i++) {
        const struct embed_source *source = &m->selection.items[i];
        if (source->done)
            continue;
        if (size > 1 && strcmp(embed_path_of(&m->list, source->number), "-") == 0)
            return nc_error(NC_USAGE, "--images -: several ranks cannot share standard input; "
                                      "write the list into a file");
        if (m->undone++ % size == rank)
            m->todo[m->todo_count++] = *source;
    }
    return NC_OK;
}

/* ---- all of it ---- */

static int open_store(struct many *m, const struct embed_paths *paths)
{
    struct embed_job *job = m->job;
    int status = NC_OK;
    if (embed_is_first(job))
        status = nc_embedding_writer_open(job->options->store, &job->info, 1, &job->writer);
    if (status == NC_OK)
        status = embed_job_start(job);
    if (status == NC_OK && embed_is_first(job))
        status = embed_register(job->options, paths, &m->list, &m->selection);
    if (status == NC_OK)
        status = share_selection(m);
    if (status == NC_OK)
        status = divide(m);
    if (status == NC_OK)
        status = embed_feeder_create(&m->feeder, job, &m->list, m->todo, m->todo_count);
    if (status == NC_OK)
        status = embed_sink_create(&m->sink, job, &m->list);
    return status;
}

/* What was taken is kept, whatever came after it: `status` and its message pass through. */
static int run(struct many *m)
{
    const struct embed_work work = {m, feed, store, drop, tell, stop};
    struct nc_communicator *ranks = m->job->options->ranks;
    if (embed_is_first(m->job))
        m->progress = nc_progress_start("embed", "pictures", 0, 0);
    if (ranks)
        m->ticks = nc_communicator_ticks_of_others(ranks);
    int status = m->todo_count ? embed_job_run(m->job, m->list.captions, &work) : NC_OK;
    nc_progress_finish(m->progress);
    char *message = status != NC_OK ? strdup(nc_error_message()) : NULL;
    int saved = embed_sink_save(&m->sink);
    if (message)
        nc_error(status, "%s", message);
    free(message);
    return status == NC_OK ? saved : status;
}

/* Adds up what the ranks did. *stopped: one of them was told to. */
static int add_up(struct many *m, bool *stopped)
{
    struct nc_communicator *ranks = m->job->options->ranks;
    double sums[2] = {(double)m->sink.embedded, (double)(m->stopped || nc_signals_stop())};
    int status = ranks ? nc_communicator_sum(ranks, sums, 2) : NC_OK;
    m->job->result->embedded = (size_t)sums[0];
    *stopped = sums[1] > 0;
    return status;
}

int embed_many(struct embed_job *job, const struct embed_paths *paths)
{
    struct many m = {.job = job};
    struct nc_embed_result *result = job->result;
    if (job->options->ranks)
        nc_communicator_set_timeout(job->options->ranks, TIMEOUT);
    m.stop_path = nc_path_join(job->options->store, EMBED_STOP);
    int status = m.stop_path ? open_store(&m, paths) : nc_error(NC_FAILED, "embed: no memory");
    if (status == NC_OK)
        status = run(&m);
    if (status == NC_OK)
        status = add_up(&m, &result->stopped);
    result->sources = m.selection.count;
    result->missing = m.selection.missing;
    if (status == NC_OK && !result->stopped && embed_is_first(job)) {
        if (job->options->ranks)
            nc_communicator_set_timeout(job->options->ranks, JOIN_TIMEOUT);
        status = embed_join(job, &m.list);
    }
    nc_embedding_writer_abandon(job->writer);
    job->writer = NULL;
    if (m.sink.job)
        embed_sink_destroy(&m.sink);
    if (m.feeder.job)
        embed_feeder_destroy(&m.feeder);
    embed_list_free(&m.list);
    embed_selection_free(&m.selection);
    free(m.todo);
    free(m.stop_path);
    return status;
}
