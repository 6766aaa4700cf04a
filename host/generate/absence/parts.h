/* A run of object absence, and the functions with which its files call each other: captions with
 * their ids, drawn objects, the result. */
#ifndef NCLIP_HOST_GENERATE_ABSENCE_PARTS_H
#define NCLIP_HOST_GENERATE_ABSENCE_PARTS_H

#include "nclip/captions/captions.h"
#include "nclip/generate/absence.h"
#include "nclip/pictures/source.h"

enum absence_outcome {
    ABSENCE_OPEN,
    ABSENCE_WRITTEN,
    ABSENCE_PRESENT,
    ABSENCE_REJECTED,
    ABSENCE_UNANSWERED,
};

enum absence_step { ABSENCE_OBJECT, ABSENCE_CHECK, ABSENCE_REWRITE };

struct absence_item {
    char *object;                    /* or NULL */
    char *text;                      /* the rewritten caption, or the answer that was rejected */
    const struct nc_prompt *rewrite; /* the variant that was asked */
    unsigned char outcome, reason, step;
};

struct absence_ids {
    char **captions, **images; /* of each annotation, as texts; captions NULL: they are counted */
    size_t count, capacity;
    bool unnamed; /* an annotation has no id */
};

struct absence {
    const struct nc_absence_options *options;
    struct nc_absence_counts *counts;
    struct nc_chat *chat;
    struct nc_captions captions;
    struct absence_ids ids;
    struct absence_item *items; /* one a caption */
    size_t begun, done;
    struct nc_image_source *images;
    char **objects; /* to draw from */
    size_t object_count;
    const struct nc_prompt *object_prompt, *check_prompt;
    struct nc_progress *progress;
};

/* captions.c */
int absence_load_captions(struct absence *a);
void absence_free_captions(struct absence *a);
/* Of the first annotation of each picture, or the picture's number: [image_count], malloc'd. */
char **absence_image_ids(const struct absence *a);

/* objects.c */
int absence_load_objects(struct absence *a);
void absence_free_objects(struct absence *a);
/* One that the caption does not mention: the same one for the same seed, caption and picture.
 * NULL when none was found. */
const char *absence_draw_object(const struct absence *a, size_t caption);
/* A random number that depends on the run's seed, `purpose`, the caption, its picture and `number`
 * alone. */
uint64_t absence_chance(const struct absence *a, const char *purpose, size_t caption,
                        uint64_t number);

/* result.c */
int absence_write_result(const struct absence *a, const char *path);
int absence_write_rejects(const struct absence *a);

#endif
