/* Captions for training: COCO caption JSON or JSONL.
 *
 *     COCO   {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1,
 *             "caption": "...", "updated_caption": "...", "contradiction": "..."}]}
 *     JSONL  {"image": "a.jpg", "caption": "...", "contradiction": "..."}
 *
 * `updated_caption` is used where it stands, else `caption`. Which format it is, is
 * seen from the first bytes. "-" is standard input.
 */
#ifndef NCLIP_CAPTIONS_H
#define NCLIP_CAPTIONS_H

#include <stddef.h>
#include <stdint.h>

struct nc_caption {
    const char *text;          /* zero-terminated, owned by the set */
    const char *contradiction; /* or NULL */
    size_t image;              /* index into nc_captions.images */
};

struct nc_captions {
    struct nc_caption *items; /* in the file's order */
    size_t count;
    const char **images; /* file names, each once, in order of first appearance */
    size_t image_count;
    void *owned;
};

/* NC_BAD_INPUT names the file and the annotation's index or the line. */
int nc_captions_load(const char *path, struct nc_captions *captions);
void nc_captions_free(struct nc_captions *captions);

#endif
