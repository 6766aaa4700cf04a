/* The run that makes captions from questions, shared by its two ways: sentences by rules
 * (captions.c), and captions by another rewriter, such as a language model (requests.c). */
#ifndef NCLIP_HOST_GENERATE_VQA_GENERATOR_H
#define NCLIP_HOST_GENERATE_VQA_GENERATOR_H

#include "facts.h"
#include "nclip/captions/captions.h"
#include "nclip/captions/output.h"
#include "nclip/generate/vqa.h"
#include "nclip/support/files.h"

struct vqa_requests;

struct generator {
    const struct nc_vqa_questions *questions;
    const struct nc_vqa_options *options;
    struct nc_vqa_counts *counts;
    struct vqa_words words;
    struct nc_vqa_held_out held_out;
    struct nc_captions captions; /* given ones */
    size_t *caption_order;       /* their numbers, sorted by picture */
    struct named_picture *named; /* their pictures, sorted by file name */
    size_t *order;               /* questions, sorted by picture */
    unsigned char *facts;        /* of the picture at hand, one a word */
    struct nc_caption_output *out;
    struct nc_writer *rejects;
    char image_name[4096]; /* of the picture at hand */
    struct vqa_requests *requests;
    size_t annotations;
    bool no_memory; /* for a sentence: it is not that none fits */
};

/* A state of its own for each question. */
uint64_t vqa_chance_begin(uint64_t seed, size_t question);
double vqa_chance(uint64_t *state); /* 0 .. 1, never 1 */
size_t vqa_chance_below(uint64_t *state, size_t count);

int vqa_load_captions(struct generator *g);

/* "COCO_{id:12}.jpg": checks the pattern and writes one picture's name. */
int vqa_name_picture(const char *pattern, uint64_t id, char *name, size_t size);

/* The caption that the picture at hand has: one of the given ones, or what is known, which lies in
 * `text`. NULL: none. */
const char *vqa_own_caption(const struct generator *g, uint64_t *state, char *text, size_t size);

struct written {
    const char *caption; /* the picture's own */
    char *updated;       /* what is trained on */
    char *contradiction; /* or NULL */
    const char *phrasing;
};

int vqa_write_annotation(struct generator *g, const struct nc_vqa_question *question,
                         const struct written *written);
/* Counts the question in *count and lists it, if it is to be listed. */
int vqa_reject(struct generator *g, const struct nc_vqa_question *question, size_t *count,
               const char *reason);

/* Gathers what the rewriter of the options is to do, has it done, and writes it. */
struct vqa_requests {
    struct nc_vqa_request *items;
    size_t count, capacity;
};
int vqa_request_add(struct generator *g, const struct nc_vqa_question *question, size_t number);
int vqa_requests_write(struct generator *g);
void vqa_requests_free(struct vqa_requests *requests);

#endif
