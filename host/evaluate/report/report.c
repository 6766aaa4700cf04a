/* Writes a run's page. It holds its style, curve and pictures, so that it can be mailed as one
 * file. */
#include "nclip/evaluate/report.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "parts.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { EXAMPLES_PER_GROUP = 3 };

/* ---- The table ---------------------------------------------------------------------- */

static void write_table(struct nc_writer *out, const struct nc_report_scores *scores)
{
    nc_writer_printf(out, "<table>\n<tr><th>right choices<th>items<th>before<th>after\n");
    for (size_t i = 0; i < scores->group_count; i++) {
        const struct nc_report_group *group = &scores->groups[i];
        double count = (double)group->items;
        nc_writer_printf(out, "<tr class=\"%s\"><td>", group->part[0] ? "part" : "whole");
        report_string(out, group->part[0] ? group->part : *group->name ? group->name : "all");
        nc_writer_printf(out, "<td>%zu<td>%.1f%%<td>%.1f%%\n", group->items,
                         100 * (double)group->before / count, 100 * (double)group->after / count);
    }
    nc_writer_printf(out, "</table>\n");
}

/* ---- Examples ----------------------------------------------------------------------- */

static void write_picture(struct nc_writer *out, const char *folder, const char *name,
                          const struct nc_view *view)
{
    struct nc_mapping file = {0};
    char *path = nc_path_join(folder, name);
    int status = path ? nc_file_map(path, &file) : NC_FAILED;
    if (status == NC_FAILED) /* the machine's fault: the picture may well be there */
        nc_writer_fail(out, errno);
    nc_writer_printf(out, "<div class=\"picture\">");
    if (status != NC_OK || file.size < 4) {
        nc_writer_printf(out, "<span class=\"missing\">missing</span>");
    } else {
        const char *type = file.data[0] == 0xff ? "jpeg" : "png";
        if (view->has_box) /* the box is cut out by the view; the picture keeps its size */
            nc_writer_printf(out, "<svg viewBox=\"%g %g %g %g\"><image href=\"", view->box[0],
                             view->box[1], view->box[2], view->box[3]);
        else
            nc_writer_printf(out, "<img alt=\"\" src=\"");
        nc_writer_printf(out, "data:image/%s;base64,", type);
        report_base64(out, file.data, file.size);
        nc_writer_printf(out, view->has_box ? "\"/></svg>" : "\">");
    }
    nc_writer_printf(out, "</div>");
    nc_file_unmap(&file);
    free(path);
}

static void write_tags(struct nc_writer *out, bool before, bool after, bool right)
{
    const char *class = right ? "tag good" : "tag";
    if (before)
        nc_writer_printf(out, "<span class=\"%s\">before</span>", class);
    if (after)
        nc_writer_printf(out, "<span class=\"%s\">after</span>", class);
}

static void write_item(struct nc_writer *out, const struct nc_report_scores *scores, size_t index,
                       const char *folder)
{
    const struct nc_choice_items *items = &scores->items;
    const struct nc_choice_item *item = &items->items[index];
    const struct nc_view *views = items->views.items;
    nc_writer_printf(out, "<div class=\"item\">");
    if (item->phrases_vary) {
        const struct nc_view *view = &views[item->fixed];
        nc_writer_printf(out, "<div class=\"one\">");
        write_picture(out, folder, items->views.images[view->image], view);
        nc_writer_printf(out, "</div>");
    } else {
        nc_writer_printf(out, "<p class=\"phrase\">&ldquo;");
        report_string(out, items->phrases[item->fixed]);
        nc_writer_printf(out, "&rdquo;</p><div class=\"row\">\n");
    }
    for (size_t k = 0; k < item->count; k++) {
        size_t option = items->option[item->first + k];
        bool right = k == item->answer;
        nc_writer_printf(out, "<div class=\"%s%s\">", item->phrases_vary ? "line" : "option",
                         right ? " right" : "");
        if (item->phrases_vary) {
            nc_writer_printf(out, "<span>&ldquo;");
            report_string(out, items->phrases[option]);
            nc_writer_printf(out, "&rdquo;</span>");
        } else {
            write_picture(out, folder, items->views.images[views[option].image], &views[option]);
        }
        write_tags(out, scores->before[index] == k, scores->after[index] == k, right);
        nc_writer_printf(out, "</div>\n");
    }
    nc_writer_printf(out, item->phrases_vary ? "</div>\n" : "</div></div>\n");
}

static bool belongs(const struct nc_report_scores *scores, size_t index, const char *name)
{
    const char *group = scores->items.groups[scores->items.items[index].group];
    size_t length = strcspn(group, "/");
    return strlen(name) == length && memcmp(group, name, length) == 0;
}

/* Takes items evenly spaced in each group, not picked by their result. */
static void write_examples(struct nc_writer *out, const struct nc_report_scores *scores,
                           const char *folder)
{
    for (size_t g = 0; g < scores->group_count; g++) {
        const struct nc_report_group *group = &scores->groups[g];
        if (group->part[0])
            continue;
        nc_writer_printf(out, "<h2>");
        report_string(out, *group->name ? group->name : "all");
        nc_writer_printf(out, "</h2>\n");
        size_t shown = 0, seen = 0;
        for (size_t i = 0; i < scores->items.count; i++) {
            if (!belongs(scores, i, group->name))
                continue;
            if (seen++ * EXAMPLES_PER_GROUP >= shown * group->items && shown < EXAMPLES_PER_GROUP) {
                write_item(out, scores, i, folder);
                shown++;
            }
        }
    }
}

/* ---- The page ----------------------------------------------------------------------- */

static void write_config(struct nc_writer *out, const char *run)
{
    struct nc_mapping file = {0};
    char *path = nc_path_join(run, "config.yaml");
    int status = !path ? NC_FAILED : nc_file_exists(path) ? nc_file_map(path, &file) : NC_BAD_INPUT;
    if (status == NC_FAILED)
        nc_writer_fail(out, errno);
    if (status == NC_OK) {
        nc_writer_printf(out, "<details><summary>The resolved config</summary><pre>");
        report_text(out, (const char *)file.data, file.size);
        nc_writer_printf(out, "</pre></details>\n");
        nc_file_unmap(&file);
    }
    free(path);
}

int nc_report_write(const struct nc_report_options *options, const struct nc_report_scores *scores,
                    const char *path)
{
    struct nc_writer *out;
    int status = nc_writer_create(path, &out);
    if (status != NC_OK)
        return status;
    /* A failed write is remembered and reported by the commit. */
    nc_writer_printf(out, "%s<title>", report_head);
    report_string(out, options->title);
    nc_writer_printf(out, "</title>\n<h1>");
    report_string(out, options->title);
    nc_writer_printf(out, "</h1>\n");
    if (scores)
        write_table(out, scores);
    if (options->seconds >= 0)
        nc_writer_printf(out, "<p class=\"soft\">All of it took %.0f seconds.</p>\n",
                         options->seconds);
    nc_writer_printf(out, "<h2>Loss</h2>\n");
    status = report_chart(out, options->run);
    if (status != NC_OK) {
        nc_writer_abort(out);
        return status;
    }
    write_config(out, options->run);
    if (scores) {
        nc_writer_printf(out, "<h2>Examples</h2>\n<p class=\"soft\">Evenly spaced among the items, "
                              "not picked by how they came out. The right choice has a green "
                              "frame; the labels say what was chosen before and after.</p>\n");
        write_examples(out, scores, options->images);
    }
    nc_writer_printf(out, "</html>\n");
    return nc_writer_commit(out);
}
