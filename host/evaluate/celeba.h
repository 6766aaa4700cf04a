/* CelebA's pictures of faces, and which attributes each face has. */
#ifndef NCLIP_HOST_EVALUATE_CELEBA_H
#define NCLIP_HOST_EVALUATE_CELEBA_H

#include <stdbool.h>
#include <stddef.h>

enum { MOST_ATTRIBUTES = 256 };

struct faces {
    char *text, *partition_text; /* the names point into the first */
    char *attributes[MOST_ATTRIBUTES];
    size_t attribute_count;
    const char **pictures;
    size_t count, capacity;
    bool *labels;                 /* [capacity, attribute_count] */
    struct nc_string_map *wanted; /* pictures of the split; NULL: all */
};

/* `path`: the folder of list_attr_celeba.txt and list_eval_partition.txt, or the first of them,
 * with the other beside it. `split`: train, valid, test, or all. */
int faces_load(const char *path, const char *split, struct faces *faces);
void faces_free(struct faces *faces); /* {0} is allowed */

#endif
