/* The pieces of which report.c and comparison_page.c make their pages. */
#ifndef NCLIP_HOST_EVALUATE_REPORT_PARTS_H
#define NCLIP_HOST_EVALUATE_REPORT_PARTS_H

#include "nclip/support/files.h"

#include <stddef.h>
#include <stdint.h>

/* Up to the title: document type, viewport, style. */
extern const char report_head[];

/* Text with the characters that HTML reads as its own replaced. */
void report_text(struct nc_writer *out, const char *text, size_t length);
void report_string(struct nc_writer *out, const char *text);
void report_base64(struct nc_writer *out, const uint8_t *data, size_t size);

/* The loss curve of RUN/metrics.jsonl as inline SVG, and a line of facts beneath it. A line that
 * cannot be read is NC_BAD_INPUT and named; a torn last line is passed over. */
int report_chart(struct nc_writer *out, const char *run);

#endif
