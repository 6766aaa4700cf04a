/* What model servers answer: completions and streams of them, complaints, refusals, reasoning. The first
 * byte: which. */
#include "fuzz.h"

#include "../../host/chat/parts.h"
#include "../../host/chat/refusal.h"

#include <stdlib.h>
#include <string.h>

static void read_answer(char *text, size_t size, bool one_line)
{
    struct chat_complaint complaint = {0};
    cJSON *answer = NULL;
    struct chat_reading reading = chat_answer_read(text, size, one_line, &answer, &complaint);
    if (reading.kind == CHAT_ANSWERED)
        (void)chat_answer_of(answer);
    if (reading.kind == CHAT_UNREADABLE && !reading.reason)
        abort();
    if (reading.kind == CHAT_COMPLAINED && strchr(complaint.text, '\n'))
        abort();
    cJSON_Delete(answer);
}

/* A complaint about a request, and what comes of the request then. */
static void refuse(const char *text, size_t size)
{
    static const char body[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":"
                               "\"s\"},{\"role\":\"user\",\"content\":\"u\"}],\"max_tokens\":100,"
                               "\"temperature\":0.6,\"top_p\":0.9,\"seed\":1,\"stop\":[\"\\n\"]}";
    struct chat_complaint complaint = {0};
    struct chat_changes changes = {0};
    chat_complaint_read(text, size, &complaint);
    cJSON *sent = cJSON_Parse(body);
    if (chat_refusal_read(sent, 0, &complaint, &changes.items[0]) == CHAT_LEARNED) {
        changes.count = 1;
        free(chat_changes_apply(&changes, 1, body, 0, false));
    }
    cJSON_Delete(sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned choice = fuzz_choose(&data, &size, 5);
    char *text = malloc(size + 1); /* bodies end with a zero */
    memcpy(text, data, size);
    text[size] = 0;
    if (choice <= 1) {
        read_answer(text, size, choice);
    } else if (choice == 2) {
        refuse(text, size);
    } else if (choice == 3) {
        (void)chat_reasoning_remove(text);
        size_t length = strlen(text);
        (void)chat_reasoning_remove(text);
        if (strlen(text) != length)
            abort();
    } else if (chat_stream_is(text, size)) {
        bool whole;
        cJSON_Delete(chat_stream_read(text, size, &whole));
    }
    free(text);
    return 0;
}
