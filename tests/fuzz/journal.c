/* A journal of answers, opened twice: what the first time mends, the second finds whole. */
#include "fuzz.h"

#include "nclip/chat/journal.h"
#include "nclip/support/error.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file("journal", data, size);
    size_t count = 0;
    for (int time = 0; time < 2; time++) {
        struct nc_journal *journal;
        int status = nc_journal_open(path, &journal);
        fuzz_expect_sentence(status);
        if (status != NC_OK)
            return 0;
        cJSON *record;
        size_t first;
        fuzz_expect_sentence(
            nc_journal_find(journal, "0f3a0000000000000000000000000000", &record));
        cJSON_Delete(record);
        (void)nc_journal_damaged(journal, &first);
        if (time && (nc_journal_cut(journal) || nc_journal_count(journal) != count))
            abort();
        count = nc_journal_count(journal);
        nc_journal_close(journal);
    }
    return 0;
}
