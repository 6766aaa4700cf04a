/* What a run leaves: metrics.jsonl, cut for going on and drawn; items that were chosen. */
#include "fuzz.h"

#include "../../host/evaluate/report/parts.h"
#include "../../host/train/metrics.h"
#include "nclip/evaluate/report.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void draw(void)
{
    char page[160];
    struct nc_writer *out;
    snprintf(page, sizeof page, "%s/page.html", fuzz_folder());
    if (nc_writer_create(page, &out) != NC_OK)
        return;
    fuzz_expect_sentence(report_chart(out, fuzz_folder()));
    nc_writer_abort(out);
}

static void remove_events(void)
{
    DIR *directory = opendir(fuzz_folder());
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (strncmp(entry->d_name, "events.", 7) == 0)
            fuzz_remove(entry->d_name);
    if (directory)
        closedir(directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (fuzz_choose(&data, &size, 2)) {
        struct fuzz_part parts[3];
        struct nc_report_scores scores = {0};
        char items[160], before[160];
        fuzz_cut(data, size, parts, 3);
        strcpy(items, fuzz_file("items.json", parts[0].data, parts[0].size));
        strcpy(before, fuzz_file("before.jsonl", parts[1].data, parts[1].size));
        fuzz_expect_sentence(nc_report_scores_load(
            items, before, fuzz_file("after.jsonl", parts[2].data, parts[2].size), &scores));
        nc_report_scores_free(&scores);
        return 0;
    }
    struct nc_metrics *metrics;
    fuzz_file("metrics.jsonl", data, size);
    draw();
    int status = nc_metrics_open(fuzz_folder(), 3, &metrics);
    fuzz_expect_sentence(status);
    if (status == NC_OK)
        nc_metrics_close(metrics);
    remove_events();
    return 0;
}
