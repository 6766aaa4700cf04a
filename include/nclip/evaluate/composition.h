/* Methods without training: a caption's features composed of those of what it affirms and of what
 * it denies. Baselines that any recipe must beat.
 *
 * a, n: features of the affirmed and the denied part, of length one; t: an angle's cosine.
 *
 *     difference   (a - w n) / |a - w n|
 *     space        (SpaceVLM: github.com/sepehrkr/SpaceVLM, Retrieval/ and MCQ/, "simplified") The
 *                  meaning lies within the angle A = arccos t of a, and outside of that angle of n.
 *                  Where those two caps meet (the angle T between a and n is below 2 A), it is the
 *                  middle of what is left, on the circle through both, A + T / 2 away from n:
 *                      cos(A + T/2) n + sin(A + T/2) / sin T (a - cos T n)
 *                  Else it is a.
 *
 * A caption that denies nothing keeps its own features; one that affirms nothing affirms "A photo
 * of something", as there. Where a and n are equal no direction leads away from n: a.
 *
 * Parts come from nclip/negation/split.h, or from a file:
 *
 *     JSONL        {"caption": "...", "affirmed": "...", "denied": "..."}   either may be missing,
 *                                                                           null or empty
 *     CSV          columns caption, affirmed, denied; also SpaceVLM's: "original sentence",
 *                  "affirmative part", "negation part", and Prompts, Affirmative, Negated
 *
 * A caption that denies something (nclip/negation/words.h) and is not in the file is NC_BAD_INPUT.
 */
#ifndef NCLIP_EVALUATE_COMPOSITION_H
#define NCLIP_EVALUATE_COMPOSITION_H

#include <stddef.h>

enum nc_method {
    NC_METHOD_PLAIN, /* the caption's own features */
    NC_METHOD_DIFFERENCE,
    NC_METHOD_SPACE,
    NC_METHODS,
};
extern const char *const nc_method_names[NC_METHODS + 1]; /* ends with NULL */

struct nc_composition {
    enum nc_method method;
    const char *splits; /* a file; NULL: split by rules */
    double weight;      /* w of the difference: 1 */
    double threshold;   /* t of the space: 0.92; SpaceVLM chooses it between 0.9 and 0.95 on other
                           data */
};

/* NC_USAGE: a threshold that is not between 0 and 1, a weight below 0. */
int nc_composition_check(const struct nc_composition *composition);

/* out[size], of length one; a and n may not overlap with it. */
void nc_compose(const struct nc_composition *composition, const float *a, const float *n,
                size_t size, float *out);

struct nc_evaluator;

/* nc_evaluator_texts() by the method; *composed (or NULL): how many texts had a denied part. */
int nc_composed_texts(struct nc_evaluator *evaluator, const struct nc_composition *composition,
                      const char *const *texts, size_t count, float *features, size_t *composed);

#endif
