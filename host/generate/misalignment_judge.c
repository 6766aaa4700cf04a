/* A model that sees pictures as the judge: the prompt "check" of object absence, the same question
 * of the same picture once. */
#include "misalignment_judge.h"

#include "nclip/error.h"
#include "nclip/progress.h"
#include "nclip/quality.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_PICTURE = 1 << 25 }; /* bytes that are sent */

struct asking {
    const struct misalignment_judge *judge;
    struct nc_misalignment_question *questions;
    size_t count, begun, done;
    struct nc_progress *progress;
};

static bool is_sendable(const uint8_t *bytes, size_t size)
{
    return size <= LARGEST_PICTURE && ((size > 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0) ||
                                       (size > 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0));
}

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
    if (!nc_image_source_find(judge->images, question->image, &index) ||
        nc_image_source_read(judge->images, index, &bytes, &size) != NC_OK ||
        !is_sendable(bytes, size)) {
        free(bytes);
        return end(asking);
    }
    const struct nc_prompt *prompt = judge->prompt;
    struct nc_chat_message *messages =
        nc_prompt_fill(prompt, &(struct nc_prompt_slots){.object = question->thing});
    int status =
        messages ? nc_chat_ask(chat,
                               &(struct nc_chat_request){
                                   .server = NC_CHAT_VISION,
                                   .step = "check",
                                   .prompt = prompt->hash,
                                   .messages = messages,
                                   .message_count = prompt->message_count,
                                   .picture = bytes,
                                   .picture_size = size,
                                   .temperature = isnan(prompt->temperature) ? judge->temperature
                                                                             : prompt->temperature,
                                   .top_p = isnan(prompt->top_p) ? judge->top_p : prompt->top_p,
                                   .most_tokens = prompt->most_tokens,
                                   .one_line = prompt->one_line,
                                   .seed = (uint32_t)(judge->seed & 0x7fffffff),
                               },
                               number)
                 : nc_error(NC_FAILED, "no memory for a request");
    free(messages);
    free(bytes);
    return status;
}

static int answered(void *context, struct nc_chat *chat, size_t number,
                    const struct nc_chat_answer *answer)
{
    struct asking *asking = context;
    bool absent;
    (void)chat;
    if (answer && !answer->refused && nc_quality_verdict(answer->text, &absent) == NC_QUALITY_GOOD)
        asking->questions[number].answer = absent ? NC_MISALIGNMENT_ABSENT : NC_MISALIGNMENT_SHOWN;
    return end(asking);
}

int misalignment_judge_ask(void *context, struct nc_misalignment_question *questions, size_t count)
{
    const struct misalignment_judge *judge = context;
    struct asking asking = {.judge = judge, .questions = questions, .count = count};
    asking.progress = nc_progress_start("asking", "pictures", 0, count);
    int status = nc_chat_run(judge->chat, &(struct nc_chat_work){next, answered, &asking});
    nc_progress_finish(asking.progress);
    return status;
}
