/* Captions for training: COCO caption JSON or JSONL.
 *
 *     COCO   {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1,
 *             "caption": "...", "updated_caption": "...", "contradiction": "...",
 *             "distractor_id": 2}]}
 *     JSONL  {"image": "a.jpg", "caption": "...", "contradiction": "...", "distractor": "b.jpg"}
 *
 * A distractor is a picture that the contradiction is true for. `absence`, `paraphrase` and
 * `choices` are read as in nclip/captions/records.h. `updated_caption` is used where
 * there is one that is not null, else `caption`. COCO's ids are numbers or strings (42 and "42" are
 * the same). Other members are passed over. The keys of the first object tell which format it is.
 * "-" is standard input.
 */
#ifndef NCLIP_CAPTIONS_CAPTIONS_H
#define NCLIP_CAPTIONS_CAPTIONS_H

#include "nclip/captions/set.h"

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

#define NC_NO_PICTURE SIZE_MAX

struct nc_caption {
    const char *text; /* zero-terminated, owned by the set, as all of these */
    const char *original, *contradiction, *absence, *paraphrase; /* or NULL */
    const char **choices;
    size_t choice_count;
    size_t image;      /* index into nc_captions.images */
    size_t distractor; /* likewise, or NC_NO_PICTURE */
};

struct nc_captions {
    struct nc_caption *items; /* in the file's order */
    size_t count;
    const char **images; /* file names of the pictures that have a caption or are a distractor,
                            each once, in the order in which the captions name them */
    size_t image_count;
    void *owned;
};

/* Needs memory for the file and the result, not for a tree of all of it. NC_BAD_INPUT names the
 * file and the annotation's index or the line: wrong types, a missing caption, an image_id that
 * no image has, text that is not UTF-8, a file without captions. An empty caption is a caption. */
int nc_captions_load(const char *path, struct nc_captions *captions);

/* The same; `visit` sees the whole object of each caption, in the captions' order, and may refuse
 * it with an error. `where` names it ("FILE: annotations[7]"). */
typedef int (*nc_captions_visit)(void *context, const char *where, const cJSON *object);
int nc_captions_load_visiting(const char *path, struct nc_captions *captions,
                              nc_captions_visit visit, void *context);
void nc_captions_free(struct nc_captions *captions);

/* The texts that a caption has in a role, and how many. */
const char *const *nc_caption_texts(const struct nc_caption *caption, enum nc_text_role role,
                                    size_t *count);

#endif
