/* nclip store export: a store for other programs. */
#include "nclip/cli/command.h"
#include "nclip/formats/json.h"
#include "nclip/store/exchange.h"
#include "nclip/support/error.h"
#include "nclip/support/signals.h"
#include "store_kinds.h"

#include <stdio.h>
#include <string.h>

static const struct nc_help help = {
    .usage = "nclip store export STORE --out DIR",
    .purpose =
        "Writes a store as clip-retrieval, autofaiss and faiss read it: DIR/img_emb/img_emb_NNNN.npy "
        "with the rows, and DIR/metadata/metadata_NNNN.parquet (or .jsonl) with their keys as "
        "image_path and, with --captions, each picture's first caption. Rows keep their order. bf16, "
        "which NumPy does not have, becomes fp16 or fp32.",
    .examples = "nclip store export stores/coco-l14 --out coco-npy\n"
                "autofaiss build_index --embeddings=coco-npy/img_emb --index_path=knn.index",
    .positional_least = 1,
    .positional_most = 1,
};

static int run(int argc, char **argv)
{
    const char *out = NULL, *type = "fp16", *metadata = "jsonl";
    struct nc_store_export options = {0};
    bool json = false;
    size_t files = 0;
    static const char *const types[] = {"fp16", "fp32", NULL};
    static const char *const kinds[] = {"jsonl", "parquet", NULL};
    const struct nc_option table[] = {
        {"--out", "DIR", "folder to write", NC_OPTION_STRING, &out, .required = true},
        {"--type", "TYPE", "of the numbers (default: fp16)", NC_OPTION_STRING, &type,
         .choices = types},
        {"--metadata", "KIND", "of the tables (default: jsonl)", NC_OPTION_STRING, &metadata,
         .choices = kinds},
        {"--captions", "FILE", "captions to put into the tables", NC_OPTION_STRING,
         &options.captions},
        {"--rows-per-file", "N", "default: 1000000", NC_OPTION_SIZE, &options.rows_per_file},
        {"--json", NULL, "print the result as one JSON object", NC_OPTION_FLAG, &json},
        {0},
    };
    struct nc_arguments arguments;
    struct nc_embedding_store *store = NULL;
    int status = nc_options_parse(&help, table, argc, argv, &arguments);
    if (status != NC_OK || arguments.help_shown)
        return status;
    options.type = nc_type_named(type);
    options.parquet = strcmp(metadata, "parquet") == 0;
    nc_signals_catch();
    status = nc_embedding_store_open(arguments.positional[0], &store);
    if (status == NC_OK)
        status = nc_store_export(store, &options, out, &files);
    nc_signals_release();
    size_t rows = store ? nc_embedding_store_count(store) : 0;
    if (status == NC_OK && json) {
        cJSON *root = cJSON_CreateObject();
        bool made = nc_json_add_count(root, "rows", rows) && nc_json_add_count(root, "files", files);
        status = nc_json_print(stdout, root, made);
    } else if (status == NC_OK) {
        printf("%s: %zu rows in %zu file%s\n", out, rows, files, files == 1 ? "" : "s");
    }
    nc_embedding_store_close(store);
    nc_arguments_free(&arguments, table);
    return status;
}

const struct nc_command store_export = {"store export",
                                                "a store as .npy files, for clip-retrieval and faiss",
                                                run, NULL};
