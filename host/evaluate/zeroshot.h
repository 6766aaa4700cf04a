/* The classes of zero-shot classification: their names, which picture is of which class, and their
 * features. */
#ifndef NCLIP_HOST_EVALUATE_ZEROSHOT_H
#define NCLIP_HOST_EVALUATE_ZEROSHOT_H

#include "nclip/evaluate/evaluate.h"

struct classes {
    const char **folders, **names;
    size_t count;
    void *owned;
};

/* From a file (FOLDER<tab>NAME a line), or (path NULL) the first folder of each picture's name,
 * whose underscores stand for blanks; sorted. */
int classes_load(const char *path, const char *const *pictures, size_t picture_count,
                 struct classes *classes);
void classes_free(struct classes *classes); /* {0} is allowed */

/* of[picture_count] = the class of each picture, by the first folder of its name. */
int classes_assign(const struct classes *classes, const char *const *pictures, size_t picture_count,
                   size_t *of);

/* weights[classes->count, embedding]: for each class the mean of the normalised features of its
 * name in each template, normalised (Radford et al. 2021, section 3.1.4). */
int classes_embed(const struct classes *classes, const char *templates_path,
                  struct nc_evaluator *evaluator, float *weights);

#endif
