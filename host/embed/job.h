/* What embedding one source and many have in common: the model on its device, the store, keys. */
#ifndef NCLIP_HOST_EMBED_JOB_H
#define NCLIP_HOST_EMBED_JOB_H

#include "nclip/checkpoints/folder.h"
#include "nclip/embed/embed.h"
#include "nclip/encoder/encoder.h"
#include "nclip/ops.h"
#include "nclip/pictures/source.h"
#include "nclip/ranks/communicator.h"
#include "nclip/store/store.h"
#include "pipeline.h"

struct nc_progress;

struct embed_job {
    const struct nc_embed_options *options;
    struct nc_embed_result *result;
    struct nc_model *model;
    struct nc_ops *ops;
    struct nc_encoder *encoder;
    struct nc_preprocess preprocess;
    char hash[17], *preprocessing;
    struct nc_embedding_info info;      /* of the store; its strings are the two above */
    struct nc_embedding_writer *writer; /* rank 0's, which holds the folder */
    bool caught;                        /* signals: from the device's start on */
    size_t values;                      /* floats of a picture that is prepared */
};

int embed_job_open(struct embed_job *job);  /* all but the writer and the device */
int embed_job_start(struct embed_job *job); /* the device; from here on signals only ask to stop */
void embed_job_close(struct embed_job *job);

static inline bool embed_is_first(const struct embed_job *job)
{
    return !job->options->ranks || job->options->ranks->rank == 0;
}

/* Runs the pipeline over this job's pictures. */
int embed_job_run(struct embed_job *job, bool captions, const struct embed_work *work);

/* The key of a picture in the store, for free(); NULL without memory: its key in the source `path`,
 * or with `by_path` behind that path, all behind the prefix (NULL: none). */
char *embed_key(const char *path, const struct nc_image_source *source, size_t index, bool by_path,
                const char *prefix);

/* The text beside the bar: what was skipped, and what limits. Keeps in *mark the stages as of some
 * seconds ago, and judges by what came since. */
struct embed_mark {
    struct nc_embed_stages then, before;
};
void embed_note(struct embed_mark *mark, const struct nc_embed_stages *now, size_t skipped,
                char *note, size_t size);

/* A line of captions; appended to a growing text. */
struct embed_text {
    char *text;
    size_t size, capacity;
};
int embed_text_add(struct embed_text *text, const char *bytes, size_t size);
/* {"FIRST":a,"SECOND":b} and a line feed. */
int embed_text_line(struct embed_text *text, const char *first, const char *a, const char *second,
                    const char *b);
void embed_text_free(struct embed_text *text);

#endif
