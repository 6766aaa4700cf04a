/* Takes the negations out of a caption, and finds what it denies. English only. */
#ifndef NCLIP_NEGATION_STRIP_H
#define NCLIP_NEGATION_STRIP_H

#include <stdbool.h>
#include <stddef.h>

/* The caption without its negations: malloc'd. NULL, with a reason (static), when there is none, or
 * none that can be taken out. The rule, word by word:
 *
 *     no, not, never          go; "no one": someone; "no longer": goes; "but no(t)": and
 *     n't                     goes: isn't, is; can't, can; won't, will; shan't, shall; ain't, is
 *     without                 with            none                    some
 *     nothing                 something       nobody                  somebody
 *     nowhere                 somewhere       cannot                  can
 *     neither                 goes (before "of": both)                nor    and
 *     absent                  present         absence                 presence
 *     lack                    "lack of": presence of; else have
 *     lacks, lacked, lacking  has, had, having
 *
 * Behind a negation any, anyone, anybody, anything and anywhere become some, ... The first letter
 * stays a capital. Left alone: what denies nothing ("not only", "No. 5": words.h), and captions of which
 * nothing would be left.
 * All else stays as it is: no article is added, so that "there is no dog" becomes "there is dog".
 */
char *nc_negation_strip(const char *caption, const char **reason);

/* The thing that the caption says is not there, from no, without, lack(s) and absence: "a street
 * with no parked cars on it": "parked cars". False when it names none so. */
bool nc_negated_thing(const char *caption, char *thing, size_t size);

#endif
