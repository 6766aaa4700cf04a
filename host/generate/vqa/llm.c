/* Has a language model join a caption and a question answered "no" into one caption, and checks
 * what it says. */
#include "nclip/generate/vqa_llm.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct rewriting {
    struct nc_vqa_llm *llm;
    const struct nc_prompt *prompt;
    struct nc_vqa_request *requests;
    size_t count, begun, done;
    struct nc_progress *progress;
};

static const struct nc_prompt *prompt_of(const struct nc_vqa_llm *llm)
{
    return nc_prompts_choose(llm->prompts, "join", NULL, 0, 0);
}

/* The same question about the same picture with the same caption has the same seed. */
static uint64_t seed_of(const struct nc_vqa_llm *llm, const struct nc_vqa_request *request)
{
    const struct nc_vqa_question *question = request->question;
    uint64_t seed = XXH3_64bits_withSeed(&question->image, sizeof question->image, llm->seed);
    seed = XXH3_64bits_withSeed(question->question, strlen(question->question), seed);
    seed = XXH3_64bits_withSeed(request->caption, strlen(request->caption), seed);
    return seed;
}

static int begin_next(void *context, struct nc_chat *chat, bool *more)
{
    struct rewriting *r = context;
    if (r->begun == r->count) {
        *more = false;
        return NC_OK;
    }
    const struct nc_vqa_request *request = &r->requests[r->begun];
    return nc_prompt_ask(chat, r->prompt,
                         &(struct nc_prompt_question){
                             .server = NC_CHAT_TEXT,
                             .step = "join",
                             .slots = {.caption = request->caption,
                                       .question = request->question->question,
                                       .answer = request->question->answer},
                             .temperature = r->llm->temperature,
                             .top_p = r->llm->top_p,
                             .seed = seed_of(r->llm, request),
                         },
                         r->begun++);
}

static int use_answer(void *context, struct nc_chat *chat, size_t number,
                      const struct nc_chat_answer *answer)
{
    struct rewriting *r = context;
    struct nc_vqa_request *request = &r->requests[number];
    enum nc_quality quality = NC_QUALITY_REFUSED;
    (void)chat;
    nc_progress_update(r->progress, ++r->done, NULL);
    if (!answer) {
        r->llm->unanswered++;
        request->reason = "no server has answered";
        return NC_OK;
    }
    if (!answer->refused)
        quality =
            nc_quality_statement(NULL, request->caption, NULL, request->question->question,
                                 answer->text, answer->cut, r->llm->tokenizer, &request->updated);
    if (quality == NC_QUALITY_NO_MEMORY)
        return nc_error(NC_FAILED, "no memory to judge an answer");
    if (quality == NC_QUALITY_GOOD) {
        r->llm->written++;
        return NC_OK;
    }
    if (!*r->llm->example)
        snprintf(r->llm->example, sizeof r->llm->example, "%.100s", answer->text);
    free(request->updated);
    request->updated = NULL;
    request->reason = nc_quality_text(quality);
    r->llm->rejected[quality]++;
    return NC_OK;
}

/* Every caption was rejected: the same commonest reason stands behind it. */
static int conclude(void *context)
{
    struct nc_vqa_llm *llm = context;
    size_t rejected = 0;
    int most = 0;
    for (int reason = 0; reason < NC_QUALITY_REASONS; reason++) {
        most = llm->rejected[reason] > llm->rejected[most] ? reason : most;
        rejected += llm->rejected[reason];
    }
    llm->all_rejected = rejected && !llm->written;
    if (!llm->all_rejected)
        return NC_OK;
    return nc_error(NC_FAILED,
                    "all %zu captions of the language model were rejected, most often (%zu) "
                    "because %s%s%s%s; %s",
                    rejected, llm->rejected[most], nc_quality_text((enum nc_quality)most),
                    *llm->example ? "; the first is \"" : "", llm->example,
                    *llm->example ? "\"" : "", nc_quality_advice((enum nc_quality)most));
}

static int rewrite(void *context, struct nc_vqa_request *requests, size_t count)
{
    struct nc_vqa_llm *llm = context;
    struct rewriting r = {
        .llm = llm, .prompt = prompt_of(llm), .requests = requests, .count = count};
    r.progress = nc_progress_start("rewrite", "questions", 0, count);
    int status = nc_chat_run(llm->chat, &(struct nc_chat_work){begin_next, use_answer, &r});
    nc_progress_finish(r.progress);
    if (status == NC_OK && llm->unanswered && !llm->skip_unanswered)
        status = nc_error(NC_FAILED,
                          "%zu of %zu questions have no answer (%s): the same command asks again, "
                          "--skip-unanswered leaves them out",
                          llm->unanswered, count, nc_chat_failure(llm->chat));
    return status;
}

static bool describe(void *context, cJSON *source)
{
    const struct nc_vqa_llm *llm = context;
    bool made =
        cJSON_AddStringToObject(source, "text_model", nc_chat_model(llm->chat, NC_CHAT_TEXT));
    cJSON *prompts = made ? cJSON_AddObjectToObject(source, "prompts") : NULL;
    return prompts && cJSON_AddStringToObject(prompts, "join", prompt_of(llm)->hash) &&
           cJSON_AddNumberToObject(source, "temperature", llm->temperature) &&
           cJSON_AddNumberToObject(source, "top_p", llm->top_p) &&
           nc_json_add_count(source, "seed", llm->seed);
}

struct nc_vqa_rewriter nc_vqa_llm_rewriter(struct nc_vqa_llm *llm)
{
    return (struct nc_vqa_rewriter){
        .name = "llm",
        .rewrite = rewrite,
        .describe = describe,
        .conclude = conclude,
        .context = llm,
    };
}
