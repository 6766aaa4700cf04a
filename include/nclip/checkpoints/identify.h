/* What a checkpoint is, whatever it is: its names, its towers, what nclip can do with it, and which
 * command comes next. For people who hold a file and a question. */
#ifndef NCLIP_CHECKPOINTS_IDENTIFY_H
#define NCLIP_CHECKPOINTS_IDENTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct nc_identity {
    char *folder;       /* that the weights are in; owned */
    size_t tensors;
    double bytes;
    const char *names;  /* whose names the tensors have: static */
    const char *text;   /* the text tower's kind; "none" */
    const char *vision; /* the vision tower's kind; "none" */
    size_t text_width, text_layers, context, vocabulary; /* of CLIP's own text tower; 0: unknown */
    const char *mask, *pooling, *activation; /* of the config beside it: static; or NULL */
    bool has_config, has_tokenizer; /* beside the weights */
    enum {
        NC_CHECKPOINT_READY,     /* a folder that every command takes */
        NC_CHECKPOINT_IMPORT,    /* nclip import */
        NC_CHECKPOINT_TEXT_ONLY, /* nclip import --text-only */
        NC_CHECKPOINT_REFUSED,   /* nclip does not compute it: `why` */
    } use;
    const char *why; /* static, or `reason` */
    char reason[512];
};

/* Whether a path looks like one: a file of weights, or a folder with such and without a config.json
 * that nclip reads. */
bool nc_checkpoint_is_one(const char *path);

/* Reads names and shapes alone. NC_BAD_INPUT when the file cannot be read at all. */
int nc_checkpoint_identify(const char *path, struct nc_identity *identity);
void nc_identity_free(struct nc_identity *identity);

/* For people, or as one JSON object. */
int nc_identity_print(const struct nc_identity *identity, const char *path, FILE *out, bool json);

#endif
