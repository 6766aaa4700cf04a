/* Files of benchmarks. The first byte: which. */
#include "fuzz.h"

#include "../../host/evaluate/built_in_files.h"
#include "../../host/evaluate/celeba.h"
#include "../../host/evaluate/retrieval.h"
#include "../../host/evaluate/zeroshot.h"
#include "nclip/evaluate/comparison.h"
#include "nclip/evaluate/evaluate.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>

static void check_items(int status, struct nc_choice_items *items)
{
    fuzz_expect_sentence(status);
    if (status != NC_OK)
        return;
    for (size_t i = 0; i < items->count; i++) {
        const struct nc_choice_item *item = &items->items[i];
        size_t fixed = item->phrases_vary ? items->views.count : items->phrase_count;
        size_t varying = item->phrases_vary ? items->phrase_count : items->views.count;
        if (item->answer >= item->count || item->fixed >= fixed || item->group >= items->group_count)
            abort();
        for (size_t k = 0; k < item->count; k++)
            if (items->option[item->first + k] >= varying)
                abort();
    }
    nc_choice_items_free(items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const pictures[] = {"a/1.png", "a/2.png", "b/3.png"};
    struct nc_choice_items items;
    struct retrieval retrieval;
    struct classes classes = {0};
    struct nc_fields lines = {0};
    struct faces faces = {0};
    struct nc_suite suite = {0};
    struct fuzz_part parts[2];
    int status;
    switch (fuzz_choose(&data, &size, 8)) {
    case 0:
        check_items(nc_choice_items_load(fuzz_file("items.json", data, size), &items), &items);
        break;
    case 1:
        check_items(nc_foils_load(fuzz_file("foils.json", data, size), &items), &items);
        break;
    case 2:
        check_items(nc_foils_load(fuzz_file("foils.csv", data, size), &items), &items);
        break;
    case 3:
        status = retrieval_load(fuzz_file("retrieval.json", data, size), "test", &retrieval);
        fuzz_expect_sentence(status);
        if (status == NC_OK)
            retrieval_free(&retrieval);
        break;
    case 4:
        status = retrieval_load(fuzz_file("retrieval.csv", data, size), "test", &retrieval);
        fuzz_expect_sentence(status);
        if (status == NC_OK)
            retrieval_free(&retrieval);
        break;
    case 5:
        fuzz_cut(data, size, parts, 2);
        fuzz_file("list_eval_partition.txt", parts[1].data, parts[1].size);
        fuzz_file("list_attr_celeba.txt", parts[0].data, parts[0].size);
        fuzz_expect_sentence(faces_load(fuzz_folder(), "test", &faces));
        faces_free(&faces);
        break;
    case 6:
        status = classes_load(fuzz_file("classes.txt", data, size), pictures, 3, &classes);
        fuzz_expect_sentence(status);
        classes_free(&classes);
        fuzz_expect_sentence(built_in_fields(fuzz_file("classes.txt", data, size), 1, 3, &lines));
        nc_fields_free(&lines);
        break;
    default:
        fuzz_expect_sentence(nc_suite_load(fuzz_file("suite.json", data, size), "/", &suite));
        nc_suite_free(&suite);
    }
    return 0;
}
