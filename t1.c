#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <pthread.h>
#include <sys/stat.h>
#include <math.h>
static __thread int v = 5;
static void h(int s) { printf("sig %d\n", s); }
static void h3(int s, siginfo_t *i, void *u) { printf("sig3 %d code %d\n", s, i->si_code); }
static void *f(void *a) { v = 7; printf("thread %d\n", v); return a; }
int main(int c, char **v_) { struct stat st; stat("/etc/passwd", &st); printf("hello %d %s size %lld\n", c, v_[1] ? v_[1] : "", (long long)st.st_size);
 signal(SIGUSR1, h); raise(SIGUSR1); struct sigaction a = {0}; a.sa_sigaction = h3; a.sa_flags = SA_SIGINFO; sigaction(SIGUSR2, &a, 0); raise(SIGUSR2);
 pthread_t t; pthread_create(&t, 0, f, 0); pthread_join(t, 0); printf("%d %.17g %Lg\n", v, sin(1.0) * c, 1.0L / 3);
 fork(); printf("done\n"); return 0; }
