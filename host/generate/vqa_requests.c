/* What becomes of questions: annotations, lists of those left alone, and the captions that another
 * rewriter than the rules makes. */
#include "vqa_generator.h"

#include "nclip/error.h"
#include "nclip/json.h"

#include <stdlib.h>

int vqa_write_annotation(struct generator *g, const struct nc_vqa_question *question,
                            const struct written *written)
{
    int status = NC_FAILED;
    char *text = NULL;
    cJSON *root = cJSON_CreateObject();
    bool made = root && cJSON_AddNumberToObject(root, "id", (double)g->annotations) &&
                cJSON_AddNumberToObject(root, "image_id", (double)question->image) &&
                cJSON_AddStringToObject(root, "caption", written->caption) &&
                cJSON_AddStringToObject(root, "updated_caption", written->updated);
    made = made && (!written->contradiction ||
                    cJSON_AddStringToObject(root, "contradiction", written->contradiction));
    cJSON *source = made ? cJSON_AddObjectToObject(root, "source") : NULL;
    made = source && cJSON_AddStringToObject(source, "question", question->question) &&
           cJSON_AddStringToObject(source, "answer", question->answer) &&
           cJSON_AddStringToObject(source, "phrasing", written->phrasing);
    if (made)
        text = cJSON_PrintUnformatted(root);
    if (text) {
        status = nc_writer_printf(g->out, "%s%s", g->annotations ? ",\n" : "", text);
        g->annotations++;
        g->counts->contradictions += written->contradiction != NULL;
    } else {
        status = nc_error(NC_FAILED, "no memory for an annotation");
    }
    free(text);
    cJSON_Delete(root);
    return status;
}

int vqa_reject(struct generator *g, const struct nc_vqa_question *question, size_t *count,
                  const char *reason)
{
    ++*count;
    if (!g->rejects)
        return NC_OK;
    int status = NC_FAILED;
    cJSON *root = cJSON_CreateObject();
    char *text = NULL;
    if (root && cJSON_AddNumberToObject(root, "image_id", (double)question->image) &&
        cJSON_AddStringToObject(root, "question", question->question) &&
        cJSON_AddStringToObject(root, "answer", question->answer) &&
        cJSON_AddStringToObject(root, "reason", reason))
        text = cJSON_PrintUnformatted(root);
    status = text ? nc_writer_printf(g->rejects, "%s\n", text)
                  : nc_error(NC_FAILED, "no memory for a list of questions");
    free(text);
    cJSON_Delete(root);
    return status;
}

/* ---- Another rewriter ------------------------------------------------------------------ */

int vqa_request_add(struct generator *g, const struct nc_vqa_question *question, size_t number)
{
    struct vqa_requests *requests = g->requests;
    uint64_t state = vqa_chance_begin(g->options->seed, number);
    const char *caption = vqa_own_caption(g, &state, NULL, 0);
    if (!caption)
        return vqa_reject(g, question, &g->counts->unphrased, "the picture has no caption");
    if (requests->count == requests->capacity) {
        size_t capacity = requests->capacity ? 2 * requests->capacity : 256;
        struct nc_vqa_request *larger = reallocarray(requests->items, capacity, sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "no memory for %zu questions", capacity);
        requests->items = larger;
        requests->capacity = capacity;
    }
    requests->items[requests->count++] =
        (struct nc_vqa_request){.question = question, .caption = caption};
    return NC_OK;
}

int vqa_requests_write(struct generator *g)
{
    const struct nc_vqa_rewriter *rewriter = g->options->rewriter;
    const struct vqa_requests *requests = g->requests;
    struct nc_vqa_counts *counts = g->counts;
    int status = rewriter->rewrite(rewriter->context, requests->items, requests->count);
    for (size_t i = 0; i < requests->count && status == NC_OK; i++) {
        const struct nc_vqa_request *request = &requests->items[i];
        if (!request->updated) {
            status = vqa_reject(g, request->question, &counts->unphrased,
                                request->reason ? request->reason : "left alone");
            continue;
        }
        struct written written = {
            .caption = request->caption, .updated = request->updated, .phrasing = rewriter->name};
        status = vqa_write_annotation(g, request->question, &written);
        counts->negated += status == NC_OK;
        counts->pictures += !i || request->question->image != requests->items[i - 1].question->image;
    }
    return status;
}

void vqa_requests_free(struct vqa_requests *requests)
{
    for (size_t i = 0; i < requests->count; i++)
        free(requests->items[i].updated);
    free(requests->items);
    *requests = (struct vqa_requests){0};
}
