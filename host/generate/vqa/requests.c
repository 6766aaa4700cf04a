/* Writes annotations and the list of questions left alone, and hands questions over to a rewriter
 * other than the rules. */
#include "generator.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static cJSON *make_source(const struct generator *g, const struct nc_vqa_question *question,
                          const struct written *written)
{
    const struct nc_vqa_rewriter *rewriter = g->options->rewriter;
    cJSON *root = cJSON_CreateObject();
    bool made =
        root && cJSON_AddStringToObject(root, "pipeline", "vqa") &&
        cJSON_AddStringToObject(root, "rewriter", rewriter ? rewriter->name : "rules") &&
        cJSON_AddStringToObject(root, "question", question->question) &&
        cJSON_AddStringToObject(root, "answer", question->answer) &&
        (!written->phrasing || cJSON_AddStringToObject(root, "phrasing", written->phrasing)) &&
        (!rewriter || !rewriter->describe || rewriter->describe(rewriter->context, root));
    if (!made) {
        cJSON_Delete(root);
        root = NULL;
    }
    return root;
}

int vqa_write_annotation(struct generator *g, const struct nc_vqa_question *question,
                         const struct written *written)
{
    char id[24], image[24];
    snprintf(id, sizeof id, "%zu", g->annotations);
    snprintf(image, sizeof image, "%" PRIu64, question->image);
    int status = nc_caption_output_add(g->out, &(struct nc_caption_annotation){
                                                   .id = id,
                                                   .image_id = image,
                                                   .caption = written->caption,
                                                   .updated = written->updated,
                                                   .contradiction = written->contradiction,
                                                   .source = make_source(g, question, written),
                                               });
    if (status == NC_OK) {
        g->annotations++;
        g->counts->contradictions += written->contradiction != NULL;
    }
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
    const struct nc_vqa_request *last = NULL; /* that became a caption */
    struct nc_vqa_counts *counts = g->counts;
    struct nc_vqa_statement statement;
    const char *reason;
    int status = rewriter->rewrite(rewriter->context, requests->items, requests->count);
    for (size_t i = 0; i < requests->count && status == NC_OK; i++) {
        const struct nc_vqa_request *request = &requests->items[i];
        if (!request->updated) {
            status = vqa_reject(g, request->question, &counts->unphrased,
                                request->reason ? request->reason : "left alone");
            continue;
        }
        struct written written = {.caption = request->caption, .updated = request->updated};
        status = vqa_write_annotation(g, request->question, &written);
        counts->negated += status == NC_OK;
        (void)nc_vqa_restate(request->question->question, &statement, &reason); /* its form */
        counts->forms[statement.form].written += status == NC_OK;
        counts->pictures += !last || request->question->image != last->question->image;
        last = request;
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
