/* Has a language model make captions of questions answered "no": the rewriter `llm` of
 * `nclip generate vqa`, as in the paper ("Know 'No' Better", section 4). Its answers pass the same
 * checks as those of object absence (nclip/chat/quality.h). */
#ifndef NCLIP_GENERATE_VQA_LLM_H
#define NCLIP_GENERATE_VQA_LLM_H

#include "nclip/chat/chat.h"
#include "nclip/chat/prompts.h"
#include "nclip/chat/quality.h"
#include "nclip/generate/vqa.h"

struct nc_vqa_llm {
    struct nc_chat *chat; /* the text model is asked the prompt "join" */
    const struct nc_prompts *prompts;
    const struct nc_tokenizer *tokenizer; /* or NULL */
    double temperature, top_p;            /* where the prompt's file does not say */
    uint64_t seed;
    bool skip_unanswered; /* else questions without an answer are NC_FAILED at the end */
    /* Out. */
    size_t written, rejected[NC_QUALITY_REASONS], unanswered;
    bool all_rejected; /* then the rewriting is NC_FAILED, and its message tells why */
    char example[128]; /* the first answer that was rejected */
};

/* A rewriter for struct nc_vqa_options; `llm` must outlive it. */
struct nc_vqa_rewriter nc_vqa_llm_rewriter(struct nc_vqa_llm *llm);

#endif
