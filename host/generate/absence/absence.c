/* Takes each caption through its three questions: an object, whether the picture shows it, and the
 * caption that denies it. */
#include "nclip/generate/absence.h"

#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *caption_of(const struct absence *a, size_t number)
{
    return a->captions.items[number].text;
}

static void show(struct absence *a)
{
    char note[96];
    const struct nc_chat_counts *chat = nc_chat_counts(a->chat);
    snprintf(note, sizeof note, "%zu written", a->counts->written);
    if (chat->repeated)
        snprintf(note, sizeof note, "%zu written, %zu requests repeated", a->counts->written,
                 chat->repeated);
    nc_progress_update(a->progress, a->done, note);
}

static void end_item(struct absence *a, size_t number, enum absence_outcome outcome,
                     enum nc_quality reason)
{
    struct absence_item *item = &a->items[number];
    item->outcome = (unsigned char)outcome;
    item->reason = (unsigned char)reason;
    a->counts->written += outcome == ABSENCE_WRITTEN;
    a->counts->present += outcome == ABSENCE_PRESENT;
    a->counts->unanswered += outcome == ABSENCE_UNANSWERED;
    if (outcome == ABSENCE_REJECTED)
        a->counts->rejected[reason]++;
    a->done++;
    show(a);
}

/* `answer` is what was rejected, for people to read. */
static int reject(struct absence *a, size_t number, enum nc_quality reason, const char *answer)
{
    struct absence_item *item = &a->items[number];
    if (reason == NC_QUALITY_NO_MEMORY)
        return nc_error(NC_FAILED, "no memory to judge an answer");
    free(item->text);
    item->text = strndup(answer, 1000);
    end_item(a, number, ABSENCE_REJECTED, reason);
    return item->text ? NC_OK : nc_error(NC_FAILED, "no memory");
}

/* ---- Questions ---------------------------------------------------------------------------- */

static int ask(struct absence *a, size_t number, enum absence_step step,
               const struct nc_prompt *prompt, const uint8_t *picture, size_t picture_size)
{
    static const char *const names[] = {"object", "check", "rewrite"};
    struct absence_item *item = &a->items[number];
    /* The same object in the same picture is the same question, whichever caption it is for. */
    uint64_t seed =
        step == ABSENCE_CHECK ? a->options->seed : absence_chance(a, names[step], number, 0);
    item->step = (unsigned char)step;
    return nc_prompt_ask(
        a->chat, prompt,
        &(struct nc_prompt_question){
            .server = step == ABSENCE_CHECK ? NC_CHAT_VISION : NC_CHAT_TEXT,
            .step = names[step],
            .slots = {.caption = caption_of(a, number), .object = item->object},
            .picture = picture,
            .picture_size = picture_size,
            .temperature = a->options->temperature,
            .top_p = a->options->top_p,
            .seed = seed,
        },
        number);
}

static int ask_rewrite(struct absence *a, size_t number)
{
    const struct nc_absence_options *options = a->options;
    a->items[number].rewrite =
        nc_prompts_choose(options->prompts, "rewrite", options->phrasings, options->phrasing_count,
                          absence_chance(a, "phrasing", number, 0));
    return ask(a, number, ABSENCE_REWRITE, a->items[number].rewrite, NULL, 0);
}

/* The picture, where there is one to be asked about; else the next step. */
static int ask_check(struct absence *a, size_t number)
{
    const char *name = a->captions.images[a->captions.items[number].image];
    uint8_t *bytes = NULL;
    size_t index, size = 0;
    if (!a->options->vision_check)
        return ask_rewrite(a, number);
    int status = nc_image_source_find(a->images, name, &index)
                     ? nc_image_source_read(a->images, index, &bytes, &size)
                     : NC_BAD_INPUT;
    if (status != NC_OK && status != NC_BAD_INPUT) /* the machine's fault, not the picture's */
        return status;
    if (status != NC_OK || !nc_chat_can_show(bytes, size)) {
        free(bytes);
        return reject(a, number, NC_QUALITY_NO_PICTURE, "");
    }
    status = ask(a, number, ABSENCE_CHECK, a->check_prompt, bytes, size);
    free(bytes);
    return status;
}

static int begin_next(void *context, struct nc_chat *chat, bool *more)
{
    struct absence *a = context;
    (void)chat;
    if (a->begun == a->captions.count) {
        *more = false;
        return NC_OK;
    }
    size_t number = a->begun++;
    if (a->options->objects == NC_ABSENCE_MODEL)
        return ask(a, number, ABSENCE_OBJECT, a->object_prompt, NULL, 0);
    const char *object = absence_draw_object(a, number);
    if (!object)
        return reject(a, number, NC_QUALITY_MENTIONED, "");
    a->items[number].object = strdup(object);
    return a->items[number].object ? ask_check(a, number) : nc_error(NC_FAILED, "no memory");
}

/* ---- Answers ------------------------------------------------------------------------------ */

static int use_object(struct absence *a, size_t number, const struct nc_chat_answer *answer)
{
    char *clean;
    enum nc_quality quality = nc_quality_object(a->options->synonyms, caption_of(a, number),
                                                answer->text, answer->cut, &clean);
    if (quality != NC_QUALITY_GOOD) {
        free(clean);
        return reject(a, number, quality, answer->text);
    }
    a->items[number].object = clean;
    return ask_check(a, number);
}

static int use_verdict(struct absence *a, size_t number, const struct nc_chat_answer *answer)
{
    bool absent;
    enum nc_quality quality = nc_quality_verdict(answer->text, &absent);
    if (quality != NC_QUALITY_GOOD)
        return reject(a, number, quality, answer->text);
    if (absent)
        return ask_rewrite(a, number);
    end_item(a, number, ABSENCE_PRESENT, NC_QUALITY_GOOD);
    return NC_OK;
}

static int use_rewrite(struct absence *a, size_t number, const struct nc_chat_answer *answer)
{
    struct absence_item *item = &a->items[number];
    char *clean;
    enum nc_quality quality =
        nc_quality_statement(a->options->synonyms, caption_of(a, number), item->object, NULL,
                             answer->text, answer->cut, a->options->tokenizer, &clean);
    if (quality != NC_QUALITY_GOOD) {
        free(clean);
        return reject(a, number, quality, answer->text);
    }
    item->text = clean;
    end_item(a, number, ABSENCE_WRITTEN, NC_QUALITY_GOOD);
    return NC_OK;
}

static int use_answer(void *context, struct nc_chat *chat, size_t number,
                      const struct nc_chat_answer *answer)
{
    struct absence *a = context;
    (void)chat;
    if (!answer) {
        end_item(a, number, ABSENCE_UNANSWERED, NC_QUALITY_GOOD);
        return NC_OK;
    }
    if (answer->refused)
        return reject(a, number, NC_QUALITY_REFUSED, "");
    switch ((enum absence_step)a->items[number].step) {
    case ABSENCE_OBJECT:
        return use_object(a, number, answer);
    case ABSENCE_CHECK:
        return use_verdict(a, number, answer);
    case ABSENCE_REWRITE:
        return use_rewrite(a, number, answer);
    }
    return NC_OK;
}

/* ---- Nothing at all ------------------------------------------------------------------------ */

/* Every caption was rejected: the same commonest reason stands behind it, which a person must see.
 * Captions whose object is in the picture do not count: there the models did what was asked. */
static bool all_rejected(const struct nc_absence_counts *counts)
{
    size_t rejected = 0;
    for (int reason = 0; reason < NC_QUALITY_REASONS; reason++)
        rejected += counts->rejected[reason];
    return rejected && !counts->written && !counts->present;
}

static int tell_rejected(const struct absence *a)
{
    const struct nc_absence_counts *counts = a->counts;
    char example[128] = "";
    int most = 0;
    for (int reason = 0; reason < NC_QUALITY_REASONS; reason++)
        most = counts->rejected[reason] > counts->rejected[most] ? reason : most;
    for (size_t i = 0; i < a->captions.count && !*example; i++) {
        const struct absence_item *item = &a->items[i];
        if (item->outcome == ABSENCE_REJECTED && item->reason == most && item->text && *item->text)
            snprintf(example, sizeof example, ", such as \"%.100s\"", item->text);
    }
    return nc_error(NC_FAILED, "all %zu captions were rejected, most often (%zu) because %s%s; %s",
                    counts->captions, counts->rejected[most],
                    nc_quality_text((enum nc_quality)most), example,
                    nc_quality_advice((enum nc_quality)most));
}

/* ---- All of it ---------------------------------------------------------------------------- */

/* Each of the phrasings that are asked for is there. */
static int check_phrasings(const struct nc_absence_options *options)
{
    const struct nc_prompts *prompts = options->prompts;
    for (size_t i = 0; i < options->phrasing_count; i++) {
        char names[1024] = "";
        size_t used = 0;
        if (nc_prompts_choose(prompts, "rewrite", &options->phrasings[i], 1, 0))
            continue;
        for (size_t k = 0; k < prompts->count && used < sizeof names; k++)
            if (strncmp(prompts->items[k].name, "rewrite-", 8) == 0)
                used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                         used ? ", " : "", prompts->items[k].name + 8);
        return nc_error(NC_USAGE,
                        "--phrasing %s: there is no rewrite-%s.txt among the prompts; there are %s",
                        options->phrasings[i], options->phrasings[i], used ? names : "none");
    }
    return NC_OK;
}

static int prepare(struct absence *a)
{
    const struct nc_absence_options *options = a->options;
    int status = check_phrasings(options);
    if (status != NC_OK)
        return status;
    a->object_prompt = nc_prompts_choose(options->prompts, "object", NULL, 0, 0);
    a->check_prompt = nc_prompts_choose(options->prompts, "check", NULL, 0, 0);
    status = absence_load_captions(a);
    if (status == NC_OK)
        status = absence_load_objects(a);
    if (status == NC_OK && options->vision_check)
        status = nc_image_source_open(options->images, &a->images);
    return status;
}

int nc_absence_generate(const struct nc_absence_options *options, struct nc_chat *chat,
                        const char *path, struct nc_absence_counts *counts)
{
    struct absence a = {.options = options, .counts = counts, .chat = chat};
    *counts = (struct nc_absence_counts){0};
    int status = prepare(&a);
    if (status == NC_OK) {
        a.progress = nc_progress_start("absence", "captions", 0, a.captions.count);
        status = nc_chat_run(chat, &(struct nc_chat_work){begin_next, use_answer, &a});
        nc_progress_finish(a.progress);
    }
    if (status == NC_OK && counts->unanswered && !options->skip_unanswered)
        status = nc_error(NC_FAILED,
                          "%zu of %zu captions have no answer (%s): the same command asks again, "
                          "--skip-unanswered leaves them out",
                          counts->unanswered, counts->captions, nc_chat_failure(chat));
    if (status == NC_OK)
        status = absence_write_rejects(&a);
    counts->all_rejected = status == NC_OK && all_rejected(counts);
    if (counts->all_rejected)
        status = tell_rejected(&a);
    if (status == NC_OK)
        status = absence_write_result(&a, path);
    nc_image_source_close(a.images);
    absence_free_objects(&a);
    absence_free_captions(&a);
    return status;
}
