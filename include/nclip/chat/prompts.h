/* Prompts: the questions to models, in files that a person can edit (configs/prompts/).
 *
 *     # Lines before the first [role] are settings or comments.
 *     most_tokens: 10
 *     temperature: 0
 *
 *     [system]
 *     You answer with one word.
 *     [user]
 *     Is there {object} in this image?
 *
 * Settings: most_tokens, temperature and top_p (else the command line's), one_line (1: the model
 * stops at a line feed, which base models need; 0), weight (how often a variant is chosen against
 * the others; 1). Slots in braces are filled once: what stands in a
 * caption is never read as a slot. A prompt's variants are files of one beginning: rewrite-no.txt
 * and rewrite-without.txt are both "rewrite".
 */
#ifndef NCLIP_CHAT_PROMPTS_H
#define NCLIP_CHAT_PROMPTS_H

#include "nclip/chat/chat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nc_prompt {
    const char *name; /* "rewrite-no" */
    char hash[17];    /* of the file's bytes */
    struct nc_chat_message *messages;
    size_t message_count;
    size_t most_tokens; /* 256 unless the file says */
    bool one_line;
    double temperature, top_p; /* NAN: the file does not say */
    size_t weight;
    void *owned;
};

struct nc_prompts {
    struct nc_prompt *items; /* by name */
    size_t count;
};

/* The built-in prompts, replaced by those of `folder` (NULL: none): files there take the place of
 * all variants of the same prompt. NC_BAD_INPUT names the file and line: no message, an unknown
 * setting or slot, a last message that is not the user's, a file no prompt is asked from. */
int nc_prompts_load(const char *folder, struct nc_prompts *prompts);
void nc_prompts_free(struct nc_prompts *prompts); /* {0} is allowed */

/* Writes the built-in prompts to a folder, to be edited. Files that are there stay. */
int nc_prompts_write(const char *folder);

/* One of the variants, by weight; the same `chance` gives the same one. Those not in `only`
 * ("no", "without"; count 0: all) are left out. NULL when none is left. */
const struct nc_prompt *nc_prompts_choose(const struct nc_prompts *prompts, const char *prompt,
                                          const char *const *only, size_t only_count,
                                          uint64_t chance);

struct nc_prompt_slots {
    const char *caption, *object, *question, *answer; /* NULL: not there */
};

/* The messages with their slots filled, in one malloc'd block for free(); NULL without memory. A
 * slot that is not there is left empty. */
struct nc_chat_message *nc_prompt_fill(const struct nc_prompt *prompt,
                                       const struct nc_prompt_slots *slots);

struct nc_prompt_question {
    enum nc_chat_server server;
    const char *step; /* as in struct nc_chat_request */
    struct nc_prompt_slots slots;
    const uint8_t *picture; /* or NULL */
    size_t picture_size;
    double temperature, top_p; /* where the prompt's file does not say */
    uint64_t seed;             /* its lower 31 bits are sent */
};

/* nc_chat_ask() with the prompt's messages and settings. */
int nc_prompt_ask(struct nc_chat *chat, const struct nc_prompt *prompt,
                  const struct nc_prompt_question *question, size_t tag);

#endif
