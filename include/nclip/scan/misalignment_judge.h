#ifndef NCLIP_SCAN_MISALIGNMENT_JUDGE_H
#define NCLIP_SCAN_MISALIGNMENT_JUDGE_H

#include "nclip/chat/chat.h"
#include "nclip/chat/prompts.h"
#include "nclip/pictures/source.h"
#include "nclip/scan/misalignment.h"

struct misalignment_judge {
    struct nc_chat *chat;
    const struct nc_image_source *images; /* by the captions' names */
    const struct nc_prompt *prompt;       /* "check" */
    double temperature, top_p;            /* where the prompt's file does not say */
    uint64_t seed;
};

/* A struct nc_misalignment_judge's function; `context` is a struct misalignment_judge. Pictures
 * that are not there or cannot be sent stay unsure. */
int nc_misalignment_judge_ask(void *context, struct nc_misalignment_question *questions,
                              size_t count);

#endif
