/* Readers of data sets of questions. Each fills the same form; one function a data set. */
#include "nclip/error.h"
#include "nclip/json.h"
#include "nclip/vqa.h"

#include <math.h>
#include <stdlib.h>

/* easy-VQA: [["is there a red shape?", "no", 0], ...]. Every picture shows one shape. */
static int read_easy_vqa(const char *path, const cJSON *root, struct nc_vqa_questions *questions)
{
    questions->subject = "shape";
    const cJSON *entry;
    cJSON_ArrayForEach(entry, root)
    {
        const cJSON *question = cJSON_GetArrayItem(entry, 0);
        const cJSON *answer = cJSON_GetArrayItem(entry, 1);
        const cJSON *image = cJSON_GetArrayItem(entry, 2);
        if (!cJSON_IsArray(entry) || !cJSON_IsString(question) || !cJSON_IsString(answer) ||
            !cJSON_IsNumber(image) || !(image->valuedouble >= 0) || image->valuedouble > 0x1p53 ||
            image->valuedouble != floor(image->valuedouble))
            return nc_error(NC_BAD_INPUT,
                            "%s: question %zu is not [\"question\", \"answer\", picture's number]",
                            path, questions->count);
        questions->items[questions->count++] = (struct nc_vqa_question){
            question->valuestring, answer->valuestring, (uint64_t)image->valuedouble};
    }
    return NC_OK;
}

int nc_vqa_questions_load(const char *path, struct nc_vqa_questions *questions)
{
    *questions = (struct nc_vqa_questions){0};
    cJSON *root;
    int status = nc_json_load(path, &root);
    if (status != NC_OK)
        return status;
    questions->owned = root;
    if (!cJSON_IsArray(root)) {
        status = nc_error(NC_BAD_INPUT,
                          "%s: not a list of questions (known so far: easy-VQA's "
                          "[[\"question\", \"answer\", picture's number], ...])",
                          path);
        goto done;
    }
    size_t count = 0;
    for (const cJSON *entry = root->child; entry; entry = entry->next)
        count++;
    questions->items = calloc(count + 1, sizeof *questions->items);
    status = questions->items ? read_easy_vqa(path, root, questions)
                              : nc_error(NC_FAILED, "%s: no memory for %zu questions", path, count);
done:
    if (status != NC_OK)
        nc_vqa_questions_free(questions);
    return status;
}

void nc_vqa_questions_free(struct nc_vqa_questions *questions)
{
    free(questions->items);
    cJSON_Delete(questions->owned);
    *questions = (struct nc_vqa_questions){0};
}
