/* What model servers answer. The first byte: an answer, or the body of an error. */
#include "fuzz.h"

#include "../../host/chat/parts.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned choice = fuzz_choose(&data, &size, 2);
    char *text = malloc(size + 1); /* bodies end with a zero */
    memcpy(text, data, size);
    text[size] = 0;
    if (choice) {
        char complaint[300];
        chat_message_complaint(text, size, complaint, sizeof complaint);
        if (!memchr(complaint, 0, sizeof complaint) || strchr(complaint, '\n'))
            abort();
    } else {
        cJSON *record = cJSON_CreateObject();
        const char *reason;
        if (chat_message_read(text, size, record, &reason))
            (void)chat_message_answer(record);
        cJSON_Delete(record);
    }
    free(text);
    return 0;
}
