/* A read that waits in vain, some functions deep: a forked child keeps the write
 * end. The lines that a test asks for are marked. With COUNTING, another thread
 * counts all the time. */

#ifdef COUNTING
#include <pthread.h>
#endif
#include <stdio.h>
#include <unistd.h>

static volatile int calls;

static __attribute__((noinline)) void keep(void)
{
    sleep(60); /* kept */
    calls++;
}

static __attribute__((noinline)) void wait_for_word(int fd)
{
    char word[8];
    calls += read(fd, word, sizeof word); /* waits */
}

static __attribute__((noinline)) void between(int fd)
{
    wait_for_word(fd); /* between */
    calls++;
}

static void tell(const char *fact)
{
    printf("{\"fact\":\"%s\"}\n", fact);
    fflush(stdout);
}

#ifdef COUNTING
static volatile long counted;

static void *count(void *nothing)
{
    for (;;)
        counted++;
    return nothing;
}

/* Returns once it has counted on: whatever it had to wait for is over. */
static void counts(void)
{
    long before = counted;
    while (counted < before + 1000)
        ;
}
#endif

int main(void)
{
    int ends[2];
    tell("ready");
    getchar();
#ifdef COUNTING
    pthread_t thread;
    if (pthread_create(&thread, 0, count, 0) != 0)
        return 1;
#endif
    if (pipe(ends) != 0)
        return 1;
    if (fork() == 0) {
        keep();
        return 0;
    }
    close(ends[1]);
#ifdef COUNTING
    counts();
    tell("counting");
#endif
    between(ends[0]); /* main */
    return calls;
}
