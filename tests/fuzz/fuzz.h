/* What the harnesses share. A harness is one file here: LLVMFuzzerTestOneInput() gives bytes to a
 * parser, which may refuse them or not, but must not crash, leak, hang or read what is not its own.
 *
 *     sh tests/fuzz/run.sh MINUTES|COUNTx [NAME ...]   fuzzes (clang), and prints a table
 *     ctest -R fuzz/                            replays seeds and past findings (any compiler)
 *
 * Inputs of seeds.sh start the search; found/NAME/ keeps what once failed.
 */
#ifndef NCLIP_TESTS_FUZZ_H
#define NCLIP_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A folder of this process alone, in memory where there is /dev/shm; removed at the end. */
const char *fuzz_folder(void);

/* Writes FOLDER/NAME, over an older one; the path is valid until the next call. */
const char *fuzz_file(const char *name, const uint8_t *data, size_t size);
void fuzz_remove(const char *name); /* where it is there */

/* Several inputs in one: parts are separated by a line "--8<--". Missing ones are empty. */
struct fuzz_part {
    const uint8_t *data;
    size_t size;
};
void fuzz_cut(const uint8_t *data, size_t size, struct fuzz_part *parts, size_t count);

/* The first byte, which chooses among `choices`, is taken away. */
unsigned fuzz_choose(const uint8_t **data, size_t *size, unsigned choices);

/* What a parser said: its status, and a sentence where it refused. */
void fuzz_expect_sentence(int status);

#endif
