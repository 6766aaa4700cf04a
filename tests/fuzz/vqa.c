/* Questions and answers. The first byte: a data set (questions, annotations), what is held out, or one
 * question for the grammar. */
#include "fuzz.h"

#include "nclip/generate/vqa.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

static void restate(const uint8_t *data, size_t size)
{
    char *question = malloc(size + 1);
    struct nc_vqa_statement statement;
    struct nc_vqa_claim claim;
    const char *reason = NULL;
    memcpy(question, data, size);
    question[size] = 0;
    bool good = nc_vqa_restate(question, &statement, &reason);
    if (!good && !reason)
        abort();
    if (good && (!memchr(statement.denied, 0, sizeof statement.denied) || !statement.denied[0]))
        abort();
    (void)nc_vqa_read(question, "no", &claim, &reason);
    (void)nc_vqa_read(question, "red", &claim, &reason);
    free(question);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned choice = fuzz_choose(&data, &size, 4);
    struct nc_vqa_questions questions = {0};
    struct nc_vqa_held_out held_out = {0};
    struct fuzz_part parts[2];
    if (choice == 3) {
        restate(data, size);
        return 0;
    }
    if (choice == 2) {
        fuzz_expect_sentence(
            nc_vqa_held_out_load(fuzz_file("held_out.json", data, size), &held_out));
        nc_vqa_held_out_free(&held_out);
        return 0;
    }
    fuzz_cut(data, size, parts, 2);
    char annotations[128];
    strcpy(annotations, fuzz_file("annotations.json", parts[1].data, parts[1].size));
    fuzz_expect_sentence(
        nc_vqa_questions_load(fuzz_file("questions.json", parts[0].data, parts[0].size),
                              choice ? annotations : NULL, 0.8, &questions));
    nc_vqa_questions_free(&questions);
    return 0;
}
