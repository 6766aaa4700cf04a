/* What a caption affirms and what it denies, as two texts. English only.
 *
 *     a street with no cars on it            a street             cars
 *     a man who is not wearing a hat         a man                a man wearing a hat
 *     a shape that is not red                a shape              a red shape
 *     a red ball, not a cube                 a red ball           a cube
 *     There is no dog, but a cat.            a cat                dog
 *     This is not a kitchen                  (none)               a kitchen
 *
 * Both keep the caption's words; a subject that says nothing on its own (there, this, it) goes with
 * what is denied of it, and so do words that hold the parts together. Several denials are joined
 * by "and". What denies nothing ("not only", "No. 5") is part of what is affirmed.
 */
#ifndef NCLIP_NEGATION_SPLIT_H
#define NCLIP_NEGATION_SPLIT_H

struct nc_negation_split {
    char *affirmed, *denied; /* owned; NULL: nothing */
};

/* NC_FAILED without memory. A caption that denies nothing is affirmed whole. */
int nc_negation_split(const char *caption, struct nc_negation_split *split);
void nc_negation_split_free(struct nc_negation_split *split); /* {0} is allowed */

#endif
