/* Writes the page of several models side by side. It holds its style, plots and pictures. */
#include "nclip/evaluate/comparison.h"

#include "../samples.h"
#include "nclip/support/error.h"
#include "parts.h"
#include "thumbnail.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXAMPLES_PER_OUTCOME = 2, MOST_SIDES = 16 };

static const char style[] =
    "<style>\n"
    "h1, h2, h3, td, th, .phrase, .line, .soft, .tag { overflow-wrap: anywhere; }\n"
    "h3 { font-size: .95rem; font-weight: 600; margin: 20px 0 4px; }\n"
    "th, td { vertical-align: top; } th { line-height: 1.25; }\n"
    "td small { display: block; color: var(--soft); font-size: .72rem; white-space: nowrap; }\n"
    "a { color: var(--blue); } td:first-child { min-width: 92px; }\n"
    ".wide { overflow-x: auto; } .wide table { font-size: .9rem; }\n"
    ".bar { display: grid; grid-template-columns: minmax(80px, 26%) 1fr 52px; gap: 8px;\n"
    "  align-items: center; font-size: .85rem; margin: 5px 0; }\n"
    ".bar span:first-child { overflow-wrap: anywhere; line-height: 1.2; }\n"
    ".track { position: relative; display: block; height: 16px; background: var(--card);\n"
    "  border-radius: 4px; }\n"
    ".track i { position: absolute; left: 0; top: 0; bottom: 0; background: var(--blue);\n"
    "  border-radius: 4px; }\n"
    ".track b { position: absolute; top: 7px; height: 2px; background: var(--ink); }\n"
    ".bar.paper i { background: none; border: 1.5px dashed var(--soft); box-sizing: border-box; }\n"
    ".bar.paper { color: var(--soft); }\n"
    ".bar span:last-child { text-align: right; font-variant-numeric: tabular-nums; }\n"
    "details { margin: 8px 0; } summary { cursor: pointer; color: var(--blue); }\n"
    ".line { flex-wrap: wrap; } .line span:first-child { flex: 1 1 180px; }\n"
    ".lines .tag { margin: 0; }\n"
    ".item .one { max-width: 160px; }\n"
    ".option { max-width: 200px; }\n"
    "</style>\n";

/* ---- Scores -------------------------------------------------------------------------------- */

static void write_share(struct nc_writer *out, const struct nc_share *share)
{
    nc_writer_printf(out, "<td>%.1f<small>%.1f &ndash; %.1f</small>", 100 * share->score,
                     100 * share->low, 100 * share->high);
}

static void write_heads(struct nc_writer *out, const struct nc_comparison *comparison,
                        const char *first)
{
    nc_writer_printf(out, "<div class=\"wide\"><table>\n<tr><th>%s", first);
    for (size_t m = 0; m < comparison->model_count; m++) {
        nc_writer_printf(out, "<th>");
        report_string(out, comparison->models[m].name);
    }
    nc_writer_printf(out, "\n");
}

static void write_summary(struct nc_writer *out, const struct nc_comparison *comparison)
{
    const struct nc_suite *suite = comparison->suite;
    write_heads(out, comparison, "per cent");
    for (size_t e = 0; e < suite->entry_count; e++) {
        if (suite->entries[e].missing)
            continue;
        nc_writer_printf(out, "<tr><td><a href=\"#b%zu\">", e);
        report_string(out, suite->entries[e].name);
        nc_writer_printf(out, "</a>");
        for (size_t m = 0; m < comparison->model_count; m++)
            write_share(out, &comparison->results[e * comparison->model_count + m].score);
        nc_writer_printf(out, "\n");
    }
    nc_writer_printf(
        out, "</table></div>\n<p class=\"soft\">Beneath each score its 95%% interval, by the "
             "bootstrap.</p>\n");
}

static void write_bar(struct nc_writer *out, const char *name, double score,
                      const struct nc_share *share)
{
    nc_writer_printf(out, "<div class=\"bar%s\"><span>", share ? "" : " paper");
    report_string(out, name);
    nc_writer_printf(out, "%s</span><span class=\"track\"><i style=\"width:%.2f%%\"></i>",
                     share ? "" : " (paper)", fmin(100, fmax(0, score)));
    if (share)
        nc_writer_printf(out, "<b style=\"left:%.2f%%;width:%.2f%%\"></b>", 100 * share->low,
                         100 * (share->high - share->low));
    nc_writer_printf(out, "</span><span>%.2f</span></div>\n", score);
}

static void write_bars(struct nc_writer *out, const struct nc_comparison *comparison, size_t e)
{
    const struct nc_suite *suite = comparison->suite;
    for (size_t m = 0; m < comparison->model_count; m++) {
        const struct nc_share *share = &comparison->results[e * comparison->model_count + m].score;
        write_bar(out, comparison->models[m].name, 100 * share->score, share);
    }
    for (size_t p = 0; p < suite->paper_count; p++)
        if (isfinite(suite->entries[e].paper[p]))
            write_bar(out, suite->paper_models[p], suite->entries[e].paper[p], NULL);
}

/* All models have the same parts, in the same order. */
static void write_parts(struct nc_writer *out, const struct nc_comparison *comparison, size_t e)
{
    const struct nc_result *results = comparison->results + e * comparison->model_count;
    size_t count = results[0].part_count;
    if (!count)
        return;
    nc_writer_printf(out, "<details><summary>%zu part%s</summary>\n", count, count == 1 ? "" : "s");
    write_heads(out, comparison, "part");
    for (size_t i = 0; i < count; i++) {
        nc_writer_printf(out, "<tr><td>");
        report_string(out, results[0].parts[i].name);
        for (size_t m = 0; m < comparison->model_count; m++)
            if (i < results[m].part_count)
                write_share(out, &results[m].parts[i].share);
        nc_writer_printf(out, "\n");
    }
    nc_writer_printf(out, "</table></div></details>\n");
}

/* ---- Examples ------------------------------------------------------------------------------ */

static void write_picture(struct nc_writer *out, const char *folder, const struct sample_side *side)
{
    uint8_t *bytes = NULL;
    size_t size;
    nc_writer_printf(out, "<div class=\"picture\">");
    if (folder && thumbnail_make(folder, side->picture, side->box, &bytes, &size) == NC_OK) {
        nc_writer_printf(out, "<img alt=\"\" src=\"data:image/jpeg;base64,");
        report_base64(out, bytes, size);
        nc_writer_printf(out, "\">");
    } else {
        nc_writer_printf(out, "<span class=\"missing\">");
        report_string(out, side->picture);
        nc_writer_printf(out, "</span>");
    }
    nc_writer_printf(out, "</div>");
    free(bytes);
}

static bool same_string(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_side(const struct sample_side *a, const struct sample_side *b)
{
    return same_string(a->text, b->text) && same_string(a->picture, b->picture) &&
           !a->box == !b->box && (!a->box || memcmp(a->box, b->box, 4 * sizeof *a->box) == 0);
}

/* One of the answers that were right or chosen, with the models that chose it. */
static void write_side(struct nc_writer *out, const struct nc_comparison *comparison,
                       const struct sample *sample, const struct sample_side *side,
                       const char *folder)
{
    bool right = same_side(side, &sample->right);
    nc_writer_printf(out, "<div class=\"%s%s\">", side->text ? "line" : "option",
                     right ? " right" : "");
    if (side->text) {
        nc_writer_printf(out, "<span>&ldquo;");
        report_string(out, side->text);
        nc_writer_printf(out, "&rdquo;</span>");
    } else {
        write_picture(out, folder, side);
    }
    for (size_t m = 0; m < sample->models; m++) {
        if (!same_side(side, &sample->chosen[m]))
            continue;
        nc_writer_printf(out, "<span class=\"tag%s\">", sample->is_right[m] ? " good" : "");
        report_string(out, comparison->models[m].name);
        nc_writer_printf(out, "</span>");
    }
    nc_writer_printf(out, "</div>\n");
}

static void write_sample(struct nc_writer *out, const struct nc_comparison *comparison,
                         const struct sample *sample, const char *folder)
{
    const struct sample_side *sides[MOST_SIDES] = {&sample->right};
    size_t count = 1;
    bool has_other = sample->other.text || sample->other.picture;
    for (size_t m = 0; m < sample->models + has_other && count < MOST_SIDES; m++) {
        const struct sample_side *side = m < sample->models ? &sample->chosen[m] : &sample->other;
        bool shown = false;
        for (size_t k = 0; k < count; k++)
            shown |= same_side(sides[k], side);
        if (!shown)
            sides[count++] = side;
    }
    nc_writer_printf(out, "<div class=\"item\">");
    if (sample->query.text) {
        nc_writer_printf(out, "<p class=\"phrase\">&ldquo;");
        report_string(out, sample->query.text);
        nc_writer_printf(out, "&rdquo;</p>");
    } else {
        nc_writer_printf(out, "<div class=\"one\">");
        write_picture(out, folder, &sample->query);
        nc_writer_printf(out, "</div>");
    }
    nc_writer_printf(out, "<div class=\"%s\">\n", sample->right.text ? "lines" : "row");
    for (size_t k = 0; k < count; k++)
        write_side(out, comparison, sample, sides[k], folder);
    nc_writer_printf(out, "</div></div>\n");
}

static bool disagreed(const struct sample *sample)
{
    for (size_t m = 1; m < sample->models; m++)
        if (sample->is_right[m] != sample->is_right[0])
            return true;
    return false;
}

/* Chooses samples that the last model got right, or wrong; those on which the models disagree come
 * first. */
static void write_outcome(struct nc_writer *out, const struct nc_comparison *comparison, size_t e,
                          bool right)
{
    const struct nc_samples *samples = &comparison->samples[e];
    size_t last = comparison->model_count - 1, shown = 0;
    for (int disagree = 1; disagree >= 0; disagree--) {
        for (size_t i = 0; i < samples->count && shown < EXAMPLES_PER_OUTCOME; i++) {
            const struct sample *sample = &samples->items[i];
            if (sample->models <= last || sample->is_right[last] != right ||
                disagreed(sample) != disagree)
                continue;
            if (!shown++) {
                nc_writer_printf(out, "<h3>%s by ", right ? "Right" : "Wrong");
                report_string(out, comparison->models[last].name);
                nc_writer_printf(out, "</h3>\n");
            }
            write_sample(out, comparison, sample, comparison->suite->entries[e].request.images);
        }
    }
}

/* ---- The page ------------------------------------------------------------------------------ */

static void write_benchmark(struct nc_writer *out, const struct nc_comparison *comparison, size_t e)
{
    const struct nc_suite_entry *entry = &comparison->suite->entries[e];
    const struct nc_result *result = &comparison->results[e * comparison->model_count];
    nc_writer_printf(out, "<h2 id=\"b%zu\">", e);
    report_string(out, entry->name);
    nc_writer_printf(out, "</h2>\n<p class=\"soft\">The ");
    report_string(out, result->definition);
    nc_writer_printf(out, ". %zu items.</p>\n", result->score.n);
    write_bars(out, comparison, e);
    write_parts(out, comparison, e);
    write_outcome(out, comparison, e, true);
    write_outcome(out, comparison, e, false);
}

static void write_missing(struct nc_writer *out, const struct nc_suite *suite)
{
    size_t count = 0;
    for (size_t e = 0; e < suite->entry_count; e++) {
        if (!suite->entries[e].missing)
            continue;
        nc_writer_printf(
            out, count++ ? ", " : "<p class=\"soft\">Not evaluated, their files are not there: ");
        report_string(out, suite->entries[e].name);
    }
    if (count)
        nc_writer_printf(out, ".</p>\n");
}

int nc_comparison_write(const struct nc_comparison *comparison, const char *title, const char *path)
{
    const struct nc_suite *suite = comparison->suite;
    struct nc_writer *out;
    int status = nc_writer_create(path, &out);
    if (status != NC_OK)
        return status;
    /* A failed write is remembered and reported by the commit. */
    nc_writer_printf(out, "%s%s<title>", report_head, style);
    report_string(out, title);
    nc_writer_printf(out, "</title>\n<h1>");
    report_string(out, title);
    nc_writer_printf(out, "</h1>\n");
    write_summary(out, comparison);
    if (suite->paper_count) {
        nc_writer_printf(out, "<p class=\"soft\">Dashed bars are as printed in ");
        report_string(out, suite->paper_title);
        nc_writer_printf(out, ".</p>\n");
    }
    write_missing(out, suite);
    nc_writer_printf(
        out, "<p class=\"soft\">Pictures are taken evenly from all items; of these, the ones on "
             "which the models disagree come first. The right answer has a green frame; the labels "
             "say who chose what.</p>\n");
    for (size_t e = 0; e < suite->entry_count; e++)
        if (!suite->entries[e].missing)
            write_benchmark(out, comparison, e);
    nc_writer_printf(out, "</html>\n");
    return nc_writer_commit(out);
}
