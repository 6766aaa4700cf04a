/* Makes the captions: joins what the answers say of a picture, chooses a sentence and writes the
 * annotation. Every choice depends on the seed and the question's number alone, so that adding or
 * removing a question changes no other caption. */
#include "generator.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- Held out ----------------------------------------------------------------------- */

static bool names_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at++) {
        bool starts = at == text || strchr(" ,", at[-1]);
        if (starts && (!at[length] || strchr(" ,.", at[length])))
            return true;
    }
    return false;
}

static bool names_held_out_pair(const struct generator *g, const char *text)
{
    for (size_t i = 0; i < g->held_out.pair_count; i++) {
        if (names_word(text, g->held_out.pairs[i][0]) && names_word(text, g->held_out.pairs[i][1]))
            return true;
    }
    return false;
}

static bool phrasing_held_out(const struct generator *g, const char *phrasing)
{
    for (size_t i = 0; i < g->held_out.phrasing_count; i++) {
        if (strcmp(g->held_out.phrasings[i], phrasing) == 0)
            return true;
    }
    return false;
}

/* A sentence that may be trained on, or NULL. */
static char *fill(struct generator *g, const char *sentence, const struct nc_vqa_slots *slots)
{
    char *text = nc_vqa_fill(sentence, slots);
    g->no_memory |= !text && errno == ENOMEM;
    if (text && names_held_out_pair(g, text)) {
        free(text);
        text = NULL;
    }
    return text;
}

/* ---- One caption -------------------------------------------------------------------- */

/* The strings behind the slots of a word of the subject. */
struct filling {
    struct nc_vqa_slots slots;
    char thing[2 * NC_VQA_TEXT + 2], known[2 * NC_VQA_TEXT + 2];
};

static void fill_slots(const struct generator *g, int word, struct filling *filling)
{
    const struct vqa_words *words = &g->words;
    const struct vqa_word *about = &words->items[word];
    bool noun = about->attribute[0] == 0;
    int other = vqa_fact_shown(words, g->facts, noun ? NULL : "");
    *filling = (struct filling){0};
    snprintf(filling->thing, sizeof filling->thing, noun ? "%s" : "%s %s", about->text,
             words->subject);
    if (other != VQA_NO_WORD)
        snprintf(filling->known, sizeof filling->known, noun ? "%s %s" : "%s",
                 words->items[other].text, words->subject);
    filling->slots = (struct nc_vqa_slots){
        .thing = filling->thing,
        .subject = words->subject,
        .quality = about->text,
        .known = other != VQA_NO_WORD ? filling->known : NULL,
        .noun = noun,
    };
}

/* For a claim outside of what is known about a subject. */
static void claim_slots(const struct nc_vqa_claim *claim, struct nc_vqa_slots *slots)
{
    *slots = (struct nc_vqa_slots){
        .thing = claim->thing[0] ? claim->thing : NULL,
        .subject = claim->subject[0] ? claim->subject : NULL,
        .quality = claim->quality[0] ? claim->quality : NULL,
        .plural = claim->plural,
        .bare = claim->bare,
        .noun = claim->noun,
    };
    if (claim->kind != NC_VQA_EXISTENCE && claim->statement.denied[0]) {
        slots->denial = claim->statement.denied;
        slots->assertion = claim->statement.affirmed;
    }
}

/* One phrasing of those that fit, by their weights. */
static const struct nc_vqa_phrasing *choose(struct generator *g, const struct nc_vqa_slots *slots, bool denied,
                                            uint64_t *state, char **text)
{
    size_t count, total = 0;
    const struct nc_vqa_phrasing *phrasings = nc_vqa_phrasings(&count), *chosen = NULL;
    *text = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct nc_vqa_phrasing *phrasing = &phrasings[i];
        if ((!denied && !phrasing->plain) || phrasing_held_out(g, phrasing->denied) ||
            (g->options->captions && !strstr(phrasing->denied, "{caption}")))
            continue;
        char *candidate = fill(g, denied ? phrasing->denied : phrasing->affirmed, slots);
        total += candidate ? phrasing->weight : 0;
        if (candidate && vqa_chance_below(state, total) < phrasing->weight) {
            free(*text);
            *text = candidate;
            chosen = phrasing;
        } else {
            free(candidate);
        }
    }
    return chosen;
}

/* What the picture shows where the word is denied, or VQA_NO_WORD. */
static int shown_instead(const struct generator *g, int word)
{
    return word == VQA_NO_WORD
               ? VQA_NO_WORD
               : vqa_fact_shown(&g->words, g->facts, g->words.items[word].attribute);
}

/* *done is set to whether a sentence fitted. */
static int write_negated(struct generator *g, const struct nc_vqa_question *question,
                         const struct nc_vqa_claim *claim, uint64_t *state, bool *done)
{
    char own[2 * NC_VQA_TEXT + 8];
    int word = vqa_claim_word(&g->words, claim), instead = shown_instead(g, word);
    struct written written = {.caption = vqa_own_caption(g, state, own, sizeof own)};
    struct filling filling, twin;
    if (word != VQA_NO_WORD)
        fill_slots(g, word, &filling);
    else
        claim_slots(claim, &filling.slots);
    filling.slots.caption = written.caption;

    const struct nc_vqa_phrasing *phrasing =
        choose(g, &filling.slots, true, state, &written.updated);
    *done = phrasing != NULL;
    if (!phrasing)
        return g->no_memory ? nc_error(NC_FAILED, "no memory for a sentence") : NC_OK;
    written.phrasing = phrasing->denied;
    /* To deny what the picture shows is the harder falsehood, and teaches more. */
    if (instead != VQA_NO_WORD) {
        fill_slots(g, instead, &twin);
        twin.slots.caption = written.caption;
        written.contradiction = fill(g, phrasing->denied, &twin.slots);
    }
    if (!written.contradiction)
        written.contradiction = fill(g, phrasing->affirmed, &filling.slots);
    if (!written.caption)
        written.caption = written.updated;
    int status = g->no_memory ? nc_error(NC_FAILED, "no memory for a sentence")
                              : vqa_write_annotation(g, question, &written);
    g->counts->negated += status == NC_OK;
    free(written.updated);
    free(written.contradiction);
    return status;
}

/* A caption without negation: its twin denies what it says. */
static int write_plain(struct generator *g, const struct nc_vqa_question *question,
                       const struct nc_vqa_claim *claim, uint64_t *state, bool *done)
{
    char own[2 * NC_VQA_TEXT + 8], both[2 * NC_VQA_TEXT];
    int word = vqa_claim_word(&g->words, claim);
    struct written written = {.caption = vqa_own_caption(g, state, own, sizeof own)};
    struct filling filling;
    *done = false;
    if (word == VQA_NO_WORD && claim->kind == NC_VQA_VALUE)
        return NC_OK;
    if (word != VQA_NO_WORD)
        fill_slots(g, word, &filling);
    else
        claim_slots(claim, &filling.slots);
    if (word != VQA_NO_WORD && filling.slots.known && vqa_chance(state) < 0.5) {
        vqa_facts_describe(&g->words, g->facts, both, sizeof both);
        filling.slots = (struct nc_vqa_slots){.thing = both};
    }
    const struct nc_vqa_phrasing *phrasing =
        choose(g, &filling.slots, false, state, &written.updated);
    *done = phrasing != NULL;
    if (!phrasing)
        return g->no_memory ? nc_error(NC_FAILED, "no memory for a sentence") : NC_OK;
    written.phrasing = phrasing->affirmed;
    written.contradiction = fill(g, phrasing->denied, &filling.slots);
    if (!written.caption)
        written.caption = written.updated;
    int status = g->no_memory ? nc_error(NC_FAILED, "no memory for a sentence")
                              : vqa_write_annotation(g, question, &written);
    g->counts->plain += status == NC_OK;
    free(written.updated);
    free(written.contradiction);
    return status;
}

/* ---- All of them -------------------------------------------------------------------- */

static int write_by_rules(struct generator *g, const struct nc_vqa_question *question,
                          const struct nc_vqa_claim *claim, size_t number)
{
    struct nc_vqa_counts *counts = g->counts;
    bool done = true;
    uint64_t state = vqa_chance_begin(g->options->seed, number);
    if (!claim->holds) {
        int status = write_negated(g, question, claim, &state, &done);
        return status != NC_OK || done
                   ? status
                   : vqa_reject(g, question, &counts->unphrased, "no sentence fits");
    }
    if (vqa_chance(&state) >= g->options->plain) {
        counts->affirmed++;
        return NC_OK;
    }
    int status = write_plain(g, question, claim, &state, &done);
    counts->affirmed += !done;
    return status;
}

static int write_question(struct generator *g, size_t number)
{
    const struct nc_vqa_question *question = &g->questions->items[number];
    struct nc_vqa_counts *counts = g->counts;
    struct nc_vqa_claim claim;
    const char *reason;
    bool read = nc_vqa_read(question->question, question->answer, &claim, &reason);
    struct nc_vqa_coverage *coverage = &counts->forms[claim.statement.form];
    bool no = strcasecmp(question->answer, "no") == 0;
    bool denies = read && !g->options->rewriter ? !claim.holds : no;
    coverage->asked += denies;
    if (claim.statement.form == NC_VQA_NEGATIVE && !g->questions->literal) {
        read = false;
        reason = "an answer to a question with a negation can mean either";
    }
    if (g->options->rewriter)
        return no ? vqa_request_add(g, question, number) : (counts->affirmed++, NC_OK);
    if (!read)
        return vqa_reject(g, question, &counts->unread, reason);
    size_t before = g->annotations;
    int status = write_by_rules(g, question, &claim, number);
    coverage->written += denies && g->annotations > before;
    return status;
}

/* The questions order[first .. last) are those of one picture. */
static int write_picture(struct generator *g, size_t first, size_t last)
{
    const struct nc_vqa_question *items = g->questions->items;
    bool fits = true, held_out = false;
    memset(g->facts, VQA_UNKNOWN, g->words.count);
    for (size_t i = first; i < last; i++) {
        struct nc_vqa_claim claim;
        const char *reason;
        if (nc_vqa_read(items[g->order[i]].question, items[g->order[i]].answer, &claim, &reason))
            fits &= vqa_facts_add(&g->words, &claim, g->facts);
    }
    for (size_t i = 0; i < g->held_out.pair_count && g->words.subject; i++)
        held_out |= vqa_facts_allow(&g->words, g->facts, g->held_out.pairs[i]);
    if (held_out) {
        g->counts->held_out += last - first;
        return NC_OK;
    }
    int status = vqa_name_picture(g->options->image_name, items[g->order[first]].image,
                                  g->image_name, sizeof g->image_name);
    for (size_t i = first; i < last && status == NC_OK; i++) {
        status = fits ? write_question(g, g->order[i])
                      : vqa_reject(g, &items[g->order[i]], &g->counts->contradicted,
                               "the answers about this picture contradict each other");
    }
    return status;
}

static int write_images(struct generator *g)
{
    int status = NC_OK;
    for (size_t i = 0; i < g->questions->count && status == NC_OK; i++) {
        uint64_t image = g->questions->items[g->order[i]].image;
        char id[24];
        if (i && image == g->questions->items[g->order[i - 1]].image)
            continue;
        snprintf(id, sizeof id, "%" PRIu64, image);
        status =
            vqa_name_picture(g->options->image_name, image, g->image_name, sizeof g->image_name);
        if (status == NC_OK)
            status = nc_caption_output_add_picture(g->out, id, g->image_name);
    }
    return status;
}

static int write_all(struct generator *g)
{
    const struct nc_vqa_question *items = g->questions->items;
    size_t count = g->questions->count;
    int status = NC_OK;
    for (size_t first = 0, last; first < count && status == NC_OK; first = last) {
        last = first + 1;
        while (last < count && items[g->order[last]].image == items[g->order[first]].image)
            last++;
        size_t before = g->annotations;
        status = write_picture(g, first, last);
        g->counts->pictures += g->annotations > before;
    }
    if (status == NC_OK && g->options->rewriter)
        status = vqa_requests_write(g);
    if (status == NC_OK)
        status = write_images(g);
    return status;
}

static int compare_questions(const void *a, const void *b, void *context)
{
    const struct nc_vqa_question *items = context;
    size_t first = *(const size_t *)a, second = *(const size_t *)b;
    uint64_t x = items[first].image, y = items[second].image;
    return x != y ? (x > y) - (x < y) : (first > second) - (first < second);
}

int nc_vqa_generate(const struct nc_vqa_questions *questions, const struct nc_vqa_options *options,
                    const char *path, struct nc_vqa_counts *counts)
{
    struct vqa_requests requests = {0};
    struct generator g = {
        .questions = questions, .options = options, .counts = counts, .requests = &requests};
    *counts = (struct nc_vqa_counts){.questions = questions->count,
                                     .undecided = questions->undecided,
                                     .unanswered = questions->unanswered};
    if (options->rewriter && !options->captions)
        return nc_error(NC_USAGE, "the rewriter \"%s\" needs captions to extend: give --captions",
                        options->rewriter->name);
    int status = vqa_name_picture(options->image_name, 0, g.image_name, sizeof g.image_name);
    if (status == NC_OK && options->held_out)
        status = nc_vqa_held_out_load(options->held_out, &g.held_out);
    if (status == NC_OK && options->captions)
        status = vqa_load_captions(&g);
    if (status == NC_OK)
        status = vqa_words_learn(questions, &g.words);
    if (status != NC_OK)
        goto done;
    g.order = malloc((questions->count + 1) * sizeof *g.order);
    g.facts = malloc(g.words.count + 1);
    if (!g.order || !g.facts) {
        status = nc_error(NC_FAILED, "no memory for %zu questions", questions->count);
        goto done;
    }
    for (size_t i = 0; i < questions->count; i++)
        g.order[i] = i;
    qsort_r(g.order, questions->count, sizeof *g.order, compare_questions, questions->items);

    status = nc_caption_output_create(path, &g.out);
    if (status == NC_OK && options->rejects)
        status = nc_writer_create(options->rejects, &g.rejects);
    if (status == NC_OK)
        status = write_all(&g);
    if (status == NC_OK && g.rejects) {
        status = nc_writer_commit(g.rejects);
        g.rejects = NULL;
    }
    if (status == NC_OK && options->rewriter && options->rewriter->conclude)
        status = options->rewriter->conclude(options->rewriter->context);
    if (status == NC_OK) {
        status = nc_caption_output_commit(g.out);
        g.out = NULL;
    }
done:
    nc_writer_abort(g.rejects);
    nc_caption_output_abort(g.out);
    free(g.order);
    free(g.facts);
    free(g.caption_order);
    free(g.named);
    vqa_requests_free(&requests);
    nc_captions_free(&g.captions);
    nc_vqa_held_out_free(&g.held_out);
    vqa_words_free(&g.words);
    return status;
}
