/* The list of all benchmarks, and finding and running one by its name. */
#include "nclip/evaluate/evaluate.h"
#include "nclip/support/error.h"

#include <string.h>

extern const struct nc_benchmark nc_benchmark_choices, nc_benchmark_negrefcocog, nc_benchmark_foils,
    nc_benchmark_retrieval, nc_benchmark_zeroshot, nc_benchmark_attributes;

const struct nc_benchmark *const nc_benchmarks[] = {
    &nc_benchmark_negrefcocog,
    &nc_benchmark_foils,
    &nc_benchmark_retrieval,
    &nc_benchmark_zeroshot,
    &nc_benchmark_attributes,
    &nc_benchmark_choices,
    NULL,
};

int nc_benchmark_find(const char *name, const struct nc_benchmark **benchmark)
{
    for (size_t i = 0; nc_benchmarks[i]; i++) {
        *benchmark = nc_benchmarks[i];
        if (strcmp(nc_benchmarks[i]->name, name) == 0)
            return NC_OK;
    }
    char names[256] = "";
    for (size_t i = 0; nc_benchmarks[i]; i++) {
        strcat(names, !i ? "" : nc_benchmarks[i + 1] ? ", " : " and ");
        strcat(names, nc_benchmarks[i]->name);
    }
    return nc_error(NC_USAGE, "evaluate: there is no benchmark \"%s\" here; there are %s", name,
                    names);
}

int nc_benchmark_run(const struct nc_benchmark *benchmark, struct nc_evaluator *evaluator,
                     const struct nc_request *request, struct nc_result *result)
{
    *result = (struct nc_result){.benchmark = benchmark->name, .definition = benchmark->definition};
    if (benchmark->annotations && !request->annotations)
        return nc_error(NC_USAGE, "evaluate %s: needs --annotations: %s", benchmark->name,
                        benchmark->annotations_help);
    if (request->composition.method != NC_METHOD_PLAIN && !benchmark->composes)
        return nc_error(NC_USAGE,
                        "evaluate %s: --method composes captions; there are none here, only names "
                        "and prompts",
                        benchmark->name);
    int status = nc_composition_check(&request->composition);
    if (status != NC_OK)
        return status;
    result->method = request->composition.method;
    status = benchmark->run(benchmark, evaluator, request, result);
    result->skipped = nc_evaluator_options(evaluator)->skip_unreadable;
    result->unreadable = nc_evaluator_unreadable(evaluator);
    nc_evaluator_tell(evaluator);
    return status;
}
