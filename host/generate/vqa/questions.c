/* Reads a data set's questions into one form; a function for each data set. */
#include "nclip/formats/json.h"
#include "nclip/formats/text.h"
#include "nclip/generate/vqa.h"
#include "nclip/support/error.h"
#include "v2.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* easy-VQA: [["is there a red shape?", "no", 0], ...]. Every picture shows one shape. */
static int read_easy_vqa(const char *path, const cJSON *root, struct nc_vqa_questions *questions)
{
    questions->subject = "shape";
    questions->literal = true;
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

struct owned {
    cJSON *root;
    struct nc_text_pool *texts;
};

static int read_array(const char *path, const char *text, size_t size,
                      struct nc_vqa_questions *questions)
{
    struct owned *owned = questions->owned;
    int status = nc_json_parse(path, text, size, &owned->root);
    if (status != NC_OK)
        return status;
    size_t count = 0;
    for (const cJSON *entry = owned->root->child; entry; entry = entry->next)
        count++;
    questions->items = calloc(count + 1, sizeof *questions->items);
    return questions->items
               ? read_easy_vqa(path, owned->root, questions)
               : nc_error(NC_FAILED, "%s: no memory for %zu questions", path, count);
}

int nc_vqa_questions_load(const char *path, const char *annotations, double agreement,
                          struct nc_vqa_questions *questions)
{
    struct owned *owned = calloc(1, sizeof *owned);
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    char *text = NULL;
    size_t size = 0;
    *questions = (struct nc_vqa_questions){.owned = owned};
    int status = owned ? nc_text_read(path, (size_t)4 << 30, &text, &size)
                       : nc_error(NC_FAILED, "%s: no memory", name);
    char first = text ? text[strspn(text, " \t\r\n")] : 0;
    if (status != NC_OK)
        goto done;
    if (first == '[' && annotations)
        status = nc_error(NC_USAGE, "%s: easy-VQA's questions hold their answers: leave "
                                    "--annotations out", name);
    else if (first == '[')
        status = read_array(name, text, size, questions);
    else if (first == '{' && !annotations)
        status = nc_error(NC_USAGE, "%s: VQA v2's questions: give the file with their answers as "
                                    "--annotations", name);
    else if (first == '{')
        status = vqa_v2_read(name, text, size, annotations, agreement, questions, &owned->texts);
    else
        status = nc_error(NC_BAD_INPUT,
                          "%s: neither easy-VQA's [[\"question\", \"answer\", picture's number], "
                          "...] nor VQA v2's {\"questions\": [...]}",
                          name);
done:
    free(text);
    if (status != NC_OK)
        nc_vqa_questions_free(questions);
    return status;
}

void nc_vqa_questions_free(struct nc_vqa_questions *questions)
{
    struct owned *owned = questions->owned;
    free(questions->items);
    if (owned) {
        cJSON_Delete(owned->root);
        nc_text_pool_free(owned->texts);
    }
    free(owned);
    *questions = (struct nc_vqa_questions){0};
}
