/* VQA v2: questions in one file, ten answers to each in another. Both are read element by element,
 * and only what is used is kept: the trees of 440,000 questions would take gigabytes. */
#include "v2.h"

#include "nclip/formats/json.h"
#include "nclip/formats/text.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct asked {
    uint64_t id, image;
    const char *question, *answer; /* no answer: nobody was asked, or too few agreed */
    bool answered;
    size_t order;
};

struct reader {
    const char *path;
    struct nc_text_pool *texts;
    struct asked *items;
    size_t count, capacity;
    double agreement;
};

static int read_question(void *context, size_t index, const cJSON *element)
{
    struct reader *reader = context;
    char where[512];
    size_t id, image;
    const char *text;
    snprintf(where, sizeof where, "%s: questions[%zu]", reader->path, index);
    int status = nc_json_id_number(where, element, "question_id", &id);
    if (status == NC_OK)
        status = nc_json_id_number(where, element, "image_id", &image);
    if (status == NC_OK)
        status = nc_json_string(where, element, "question", &text);
    if (status != NC_OK)
        return status;
    if (reader->count == reader->capacity) {
        size_t capacity = reader->capacity ? 2 * reader->capacity : 1024;
        struct asked *larger = reallocarray(reader->items, capacity, sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "%s: no memory for %zu questions", reader->path, capacity);
        reader->items = larger;
        reader->capacity = capacity;
    }
    const char *copy = nc_text_pool_copy(&reader->texts, text);
    if (!copy)
        return nc_error(NC_FAILED, "%s: no memory for its questions", reader->path);
    reader->items[reader->count] =
        (struct asked){.id = id, .image = image, .question = copy, .order = reader->count};
    reader->count++;
    return NC_OK;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t first = ((const struct asked *)a)->id, second = ((const struct asked *)b)->id;
    return (first > second) - (first < second);
}

static int compare_order(const void *a, const void *b)
{
    size_t first = ((const struct asked *)a)->order, second = ((const struct asked *)b)->order;
    return (first > second) - (first < second);
}

/* Whether enough of the answers are `answer`. Without a list of answers, the answer counts. */
static int agreed(const char *where, const cJSON *element, const char *answer, double agreement,
                  bool *enough)
{
    const cJSON *answers = nc_json_member(element, "answers"), *entry;
    size_t same = 0, all = 0;
    *enough = true;
    if (!answers)
        return NC_OK;
    if (!cJSON_IsArray(answers))
        return nc_error(NC_BAD_INPUT, "%s: \"answers\" is not an array", where);
    cJSON_ArrayForEach(entry, answers)
    {
        const char *text;
        int status = nc_json_string(where, entry, "answer", &text);
        if (status != NC_OK)
            return status;
        same += strcmp(text, answer) == 0;
        all++;
    }
    *enough = all && (double)same >= agreement * (double)all - 1e-9;
    return NC_OK;
}

static int read_annotation(void *context, size_t index, const cJSON *element)
{
    struct reader *reader = context;
    char where[512];
    size_t id, image;
    const char *answer;
    bool enough;
    snprintf(where, sizeof where, "%s: annotations[%zu]", reader->path, index);
    int status = nc_json_id_number(where, element, "question_id", &id);
    if (status == NC_OK)
        status = nc_json_id_number(where, element, "image_id", &image);
    if (status == NC_OK)
        status = nc_json_string(where, element, "multiple_choice_answer", &answer);
    if (status == NC_OK)
        status = agreed(where, element, answer, reader->agreement, &enough);
    if (status != NC_OK)
        return status;
    struct asked key = {.id = id};
    struct asked *asked = NULL;
    if (reader->count)
        asked = bsearch(&key, reader->items, reader->count, sizeof *reader->items, compare_ids);
    if (!asked)
        return NC_OK; /* of another split */
    if (asked->image != image)
        return nc_error(NC_BAD_INPUT, "%s: question %zu is about picture %llu, not %zu", where, id,
                        (unsigned long long)asked->image, image);
    if (asked->answered)
        return nc_error(NC_BAD_INPUT, "%s: question %zu is answered twice", where, id);
    asked->answered = true;
    if (enough && !(asked->answer = nc_text_pool_copy(&reader->texts, answer)))
        return nc_error(NC_FAILED, "%s: no memory for its answers", reader->path);
    return NC_OK;
}

static int read_answers(struct reader *reader, const char *path)
{
    char *text;
    size_t size;
    reader->path = strcmp(path, "-") == 0 ? "standard input" : path;
    int status = nc_text_read(path, (size_t)4 << 30, &text, &size);
    if (status == NC_OK)
        status = nc_json_each(reader->path, text, size, "annotations", read_annotation, reader);
    free(text);
    return status;
}

int vqa_v2_read(const char *path, const char *text, size_t size, const char *annotations,
                double agreement, struct nc_vqa_questions *questions, struct nc_text_pool **texts)
{
    struct reader reader = {.path = path, .agreement = agreement};
    int status = nc_json_each(path, text, size, "questions", read_question, &reader);
    if (status == NC_OK && reader.count)
        qsort(reader.items, reader.count, sizeof *reader.items, compare_ids);
    for (size_t i = 1; i < reader.count && status == NC_OK; i++)
        if (reader.items[i].id == reader.items[i - 1].id)
            status = nc_error(NC_BAD_INPUT, "%s: two questions have the question_id %llu", path,
                              (unsigned long long)reader.items[i].id);
    if (status == NC_OK)
        status = read_answers(&reader, annotations);
    if (status == NC_OK) {
        questions->items = calloc(reader.count + 1, sizeof *questions->items);
        if (!questions->items)
            status = nc_error(NC_FAILED, "%s: no memory for %zu questions", path, reader.count);
    }
    if (status == NC_OK && reader.count)
        qsort(reader.items, reader.count, sizeof *reader.items, compare_order);
    for (size_t i = 0; i < reader.count && status == NC_OK; i++) {
        const struct asked *asked = &reader.items[i];
        questions->unanswered += !asked->answered;
        questions->undecided += asked->answered && !asked->answer;
        if (asked->answer)
            questions->items[questions->count++] =
                (struct nc_vqa_question){asked->question, asked->answer, asked->image};
    }
    free(reader.items);
    *texts = reader.texts;
    return status;
}
