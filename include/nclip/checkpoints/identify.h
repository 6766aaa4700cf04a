/* What a checkpoint is, whatever it is: its names, its towers, what of it nclip can use and what
 * not, and which command comes next. For people who hold a file and a question.
 *
 * A path is a folder of transformers' or open_clip's, a file of weights in any form that nclip
 * reads, an index of several, or a config without weights. What nclip would refuse is found by
 * doing all of nclip import but the writing, so that the command that is told is one that works. */
#ifndef NCLIP_CHECKPOINTS_IDENTIFY_H
#define NCLIP_CHECKPOINTS_IDENTIFY_H

#include "nclip/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Whether nclip can do something with it; if not, why; if so, sometimes how. */
struct nc_verdict {
    bool can;
    char why[512];
};

struct nc_identity {
    char *path;        /* what the next command takes: the path, or the folder it is in; owned */
    char *folder;      /* that the weights are in; owned */
    bool config_alone; /* `path` is a config without weights */
    size_t tensors;
    double bytes;
    const char *names;                                   /* whose names the tensors have: static */
    const char *text;                                    /* the text tower's kind; "none" */
    const char *vision;                                  /* the vision tower's kind; "none" */
    size_t text_width, text_layers, context, vocabulary; /* of CLIP's own text tower; 0: unknown */
    const char *mask, *pooling, *activation;             /* by the config: static; or NULL */
    const char *config; /* the name of the one beside the weights: static; NULL: there is none */
    bool has_tokenizer; /* beside the weights */
    bool has_vision;    /* a model whose vision tower nclip computes */
    enum nc_text_cleaning cleaning;
    enum {
        NC_CHECKPOINT_READY,     /* a folder that every command takes */
        NC_CHECKPOINT_IMPORT,    /* nclip import */
        NC_CHECKPOINT_TEXT_ONLY, /* nclip import --text-only */
        NC_CHECKPOINT_NEEDS,     /* a file that is not there: `trains.why` */
        NC_CHECKPOINT_REFUSED,   /* nclip does not compute it: `trains.why` */
    } use;
    struct nc_verdict trains, captions, pictures;
};

/* Whether a path looks like one: a file of weights, a model's config, or a folder with weights. */
bool nc_checkpoint_is_one(const char *path);

/* Reads names, shapes and small files alone. NC_BAD_INPUT when the file cannot be read at all. */
int nc_checkpoint_identify(const char *path, struct nc_identity *identity);
void nc_identity_free(struct nc_identity *identity);

/* For people, or as one JSON object. */
int nc_identity_print(const struct nc_identity *identity, FILE *out, bool json);

/* Both at once. */
int nc_checkpoint_tell(const char *path, FILE *out, bool json);

#endif
