/* Asks a model that sees pictures whether the denied thing is there, by the prompt "check" of
 * object absence; each question about a picture is asked once. */
#include "nclip/scan/misalignment_judge.h"

#include "nclip/chat/quality.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <stdlib.h>

struct asking {
    const struct misalignment_judge *judge;
    struct nc_misalignment_question *questions;
    size_t count, begun, done;
    struct nc_progress *progress;
};

static int end(struct asking *asking)
{
    nc_progress_update(asking->progress, ++asking->done, NULL);
    return NC_OK;
}

static int next(void *context, struct nc_chat *chat, bool *more)
{
    struct asking *asking = context;
    const struct misalignment_judge *judge = asking->judge;
    uint8_t *bytes = NULL;
    size_t index, size = 0, number = asking->begun;
    *more = number < asking->count;
    if (!*more)
        return NC_OK;
    asking->begun++;
    const struct nc_misalignment_question *question = &asking->questions[number];
    int status = nc_image_source_find(judge->images, question->image, &index)
                     ? nc_image_source_read(judge->images, index, &bytes, &size)
                     : NC_BAD_INPUT;
    if (status != NC_OK && status != NC_BAD_INPUT) /* the machine's fault, not the picture's */
        return status;
    if (status != NC_OK || !nc_chat_can_show(bytes, size)) {
        free(bytes);
        return end(asking);
    }
    status = nc_prompt_ask(chat, judge->prompt,
                               &(struct nc_prompt_question){
                                   .server = NC_CHAT_VISION,
                                   .step = "check",
                                   .slots = {.object = question->thing},
                                   .picture = bytes,
                                   .picture_size = size,
                                   .temperature = judge->temperature,
                                   .top_p = judge->top_p,
                                   .seed = judge->seed,
                               },
                               number);
    free(bytes);
    return status;
}

static int answered(void *context, struct nc_chat *chat, size_t number,
                    const struct nc_chat_answer *answer)
{
    struct asking *asking = context;
    bool absent;
    (void)chat;
    enum nc_quality quality = answer && !answer->refused ? nc_quality_verdict(answer->text, &absent)
                                                         : NC_QUALITY_REFUSED;
    if (quality == NC_QUALITY_NO_MEMORY)
        return nc_error(NC_FAILED, "no memory to judge an answer");
    if (quality == NC_QUALITY_GOOD)
        asking->questions[number].answer = absent ? NC_MISALIGNMENT_ABSENT : NC_MISALIGNMENT_SHOWN;
    return end(asking);
}

int nc_misalignment_judge_ask(void *context, struct nc_misalignment_question *questions,
                              size_t count)
{
    const struct misalignment_judge *judge = context;
    struct asking asking = {.judge = judge, .questions = questions, .count = count};
    asking.progress = nc_progress_start("asking", "pictures", 0, count);
    int status = nc_chat_run(judge->chat, &(struct nc_chat_work){next, answered, &asking});
    nc_progress_finish(asking.progress);
    return status;
}
