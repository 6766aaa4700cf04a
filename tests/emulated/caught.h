/* Runs a kernel with a mistake in it, and checks that the emulation reports the mistake. */
#ifndef NCLIP_TESTS_EMULATED_CAUGHT_H
#define NCLIP_TESTS_EMULATED_CAUGHT_H

#include "kernels/cuda/device.h"

#include <cerrno>
#include <csetjmp>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

static void must(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

static void must(cudaError_t error)
{
    if (error != cudaSuccess)
        fail_msg("%s", cudaGetErrorString(error));
}

/* Runs `mistake` in a process of its own, which must not survive it, and must say `words`. */
static void must_be_caught(void (*mistake)(), const char *words)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(nullptr);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        mistake();
        _exit(0);
    }
    close(ends[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<size_t>(got));
    close(ends[0]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        fail_msg("nobody noticed: %s", words);
    if (text.find(words) == std::string::npos)
        fail_msg("\"%s\" is not in: %s", words, text.c_str());
}

#endif
