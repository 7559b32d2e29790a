/* Duplicates a descriptor from 32,768 places, each with a stack of its own. Of two pipes,
 * one made before and one after that, forked children keep the write ends, so that reads
 * wait in vain. It begins at a line of input, and makes the second pipe at the next. */

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define LEVELS 15

static volatile int calls;

static __attribute__((noinline)) void descend(unsigned path, int level)
{
    if (level == 0)
        close(dup(1));
    else if (path & 1)
        descend(path >> 1, level - 1);
    else
        descend(path >> 1, level - 1);
    calls++;
}

static __attribute__((noinline)) void make(int *ends)
{
    if (pipe(ends) != 0)
        _exit(1);
    calls++;
}

static void *hang(void *made)
{
    int *ends = made;
    char byte;
    if (fork() == 0)
        for (;;)
            pause();
    close(ends[1]);
    calls += read(ends[0], &byte, 1);
    return 0;
}

static void await_line(void)
{
    int byte;
    do
        byte = getchar();
    while (byte != '\n' && byte != EOF);
}

int main(void)
{
    pthread_t thread;
    int early[2], late[2];
    puts("{\"fact\":\"ready\"}");
    fflush(stdout);
    await_line();
    make(early);
    for (unsigned path = 0; path < 1u << LEVELS; path++)
        descend(path, LEVELS);
    pthread_create(&thread, 0, hang, early);
    await_line();
    make(late);
    hang(late);
    return 0;
}
