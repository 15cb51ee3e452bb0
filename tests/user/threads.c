/* threads.c - threads, mutexes, conditions, thread-local storage, signals to threads, cancellation. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int counter, turn;
static __thread int mine;
static int atomic;
static void *add(void *p)
{
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
        __atomic_add_fetch(&atomic, 1, __ATOMIC_SEQ_CST);
        mine++;
    }
    return (void *)(long)mine;
}
static void *ping(void *p)
{
    int me = (int)(long)p;
    for (int i = 0; i < 200; i++) {
        pthread_mutex_lock(&lock);
        while (turn != me) pthread_cond_wait(&cond, &lock);
        turn = !me;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}
static volatile int got;
static void handler(int s) { got = 1; }
static void *sleeper(void *p)
{
    for (;;) sleep(1);
}
int main(int argc, char **argv)
{
    pthread_t t[4];
    long sum = 0;
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, add, NULL);
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(t[i], &r);
        sum += (long)r;
    }
    printf("counter %d atomic %d local %ld\n", counter, atomic, sum);
    for (long i = 0; i < 2; i++) pthread_create(&t[i], NULL, ping, (void *)i);
    for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
    printf("turn %d\n", turn);
    struct sigaction sa = { .sa_handler = handler };
    sigaction(SIGUSR1, &sa, NULL);
    pthread_create(&t[0], NULL, sleeper, NULL);
    pthread_kill(t[0], SIGUSR1);
    for (int i = 0; i < 1000 && !got; i++) usleep(1000);
    printf("thread got signal %d\n", got);
    pthread_cancel(t[0]);
    void *r;
    pthread_join(t[0], &r);
    printf("cancelled %d\n", r == PTHREAD_CANCELED);
    fflush(stdout);
    pthread_create(&t[0], NULL, sleeper, NULL);
    exit(5);
}
