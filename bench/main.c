/* nclip-bench: runs a benchmark, and measures it against this machine's ceilings. */
#include "bench.h"
#include "nclip/support/error.h"
#include "nclip/support/threads.h"

#include <stdio.h>
#include <string.h>

static const struct nc_command *const commands[] = {&bench_kernels,  &bench_train, &bench_embed,
                                                    &bench_evaluate, &bench_scale, &bench_stream,
                                                    NULL};

static void print_help(FILE *out)
{
    fputs("nclip-bench measures nclip on this machine. Run nothing else meanwhile.\n\n"
          "Usage: nclip-bench COMMAND [options]        nclip-bench COMMAND --help tells more\n\n"
          "Commands:\n", out);
    for (size_t i = 0; commands[i]; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\nsh bench/train.sh runs it with PyTorch beside it and keeps the result.\n", out);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return nc_error(NC_USAGE, "a command is missing");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return NC_OK;
    }
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(argc - 1, argv + 1);
    return nc_error(NC_USAGE, "there is no benchmark \"%s\": `nclip-bench --help` lists them", argv[1]);
}

int main(int argc, char **argv)
{
    nc_threads_wait_passively(argv);
    int status = dispatch(argc, argv);
    if (status == NC_OK && fflush(stdout) != 0)
        status = nc_error(NC_FAILED, "standard output: cannot write");
    if (status != NC_OK)
        fprintf(stderr, "nclip-bench: %s\n", nc_error_message());
    return status;
}
