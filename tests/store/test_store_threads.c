/* Any number of threads may use an open store: what is mapped, checked and indexed when it is first
 * needed is needed by all of them at once. */
#include "fixture.h"

#include <pthread.h>
#include <unistd.h>

enum { DIMENSION = 64, ROWS = 3000, SHARD_ROWS = 200, THREADS = 8, ROUNDS = 6 };

static const struct nc_embedding_info info = {"model", "as it is", DIMENSION, NC_BFLOAT16, false};

struct user {
    const struct nc_embedding_store *store;
    pthread_barrier_t *start;
    size_t number, wrong;
    int status;
};

static void *use(void *context)
{
    struct user *user = context;
    pthread_barrier_wait(user->start);
    for (size_t i = 0; i < ROWS && user->status == NC_OK; i++) {
        char key[32];
        const char *stored;
        float row[DIMENSION];
        size_t n = (user->number * 37 + i * (user->number % 2 ? 1 : 1009)) % ROWS, found = 0;
        key_of(n, key);
        user->status = nc_embedding_store_find(user->store, key, &found);
        if (user->status == NC_OK)
            user->status = nc_embedding_store_key(user->store, n, &stored);
        if (user->status == NC_OK)
            user->status = nc_embedding_store_row_float(user->store, n, row);
        if (user->status == NC_OK)
            user->wrong += found != n || strcmp(stored, key) != 0 || row[3] != value(n, 3);
        if (user->status == NC_OK && i % 100 == 0)
            user->status = nc_embedding_store_check(user->store);
    }
    return NULL;
}

static void all_at_once(void **state)
{
    char *folder = temporary_folder_create(), *index = nc_path_join(folder, "keys.index");
    (void)state;
    write_version_1(folder, &info, 0, 0, 9);
    write_rows(folder, &info, SHARD_ROWS, 9, ROWS);
    for (int round = 0; round < ROUNDS; round++) {
        struct nc_embedding_store *store;
        struct user users[THREADS];
        pthread_t threads[THREADS];
        pthread_barrier_t start;
        if (round % 2)
            assert_int_equal(unlink(index), 0);
        pthread_barrier_init(&start, NULL, THREADS);
        CHECK(nc_embedding_store_open(folder, &store));
        for (size_t i = 0; i < THREADS; i++) {
            users[i] = (struct user){.store = store, .start = &start, .number = i};
            assert_int_equal(pthread_create(&threads[i], NULL, use, &users[i]), 0);
        }
        for (size_t i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(users[i].status, NC_OK);
            assert_int_equal(users[i].wrong, 0);
        }
        nc_embedding_store_close(store);
        pthread_barrier_destroy(&start);
    }
    temporary_folder_remove(folder);
    free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
