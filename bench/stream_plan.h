/* What a data set of a given size takes: bytes and time, from rates that are stated. */
#ifndef NCLIP_BENCH_STREAM_PLAN_H
#define NCLIP_BENCH_STREAM_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/* Rates: those measured here in this run or named with an option, and the numbers that are assumed. */
struct stream_rates {
    double disk, file_system; /* bytes a second: of one node, and of all together */
    double link;              /* bytes a second between GPUs of different nodes, each */
    double decode;            /* pictures a second and core: decoding and resizing */
    double cores;             /* for each GPU */
    double embed;             /* pictures a second and GPU */
    double prepare;           /* captions a second and core */
    double train;             /* captions a second and GPU */
    double batch;             /* captions of all GPUs */
    double parameters;        /* of the text tower, trained */
    double tokens;            /* of a caption */
    bool measured_disk, measured_prepare;
};

/* "400000000x768" */
int stream_plan_parse(const char *text, uint64_t *rows, uint64_t *dimension);
void stream_plan_print(uint64_t rows, uint64_t dimension, const struct stream_rates *rates, bool json);

#endif
