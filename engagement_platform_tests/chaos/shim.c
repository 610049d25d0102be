/* Moves the clock of a process, and lets its look-ups of names fail, as a file says that can change at any time.

   The file has two 64-bit integers: nanoseconds to add to the time of day, and whether names cannot be looked up. Loaded by
   LD_PRELOAD; the file is named by CHAOS_SHIM. What counts seconds since the boot stays as it is. Whoever waits until a time
   of day waits by the same clock, as where the machine's own is set: else a wait would be as much too long as it is ahead. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifdef __x86_64__
#define VERSION "GLIBC_2.3.2" /* an older one of the same name, of which dlsym may tell, takes another condition */
#else
#define VERSION "GLIBC_2.17"
#endif

static volatile int64_t *told;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CHAOS_SHIM");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *mapped = mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
  if (mapped != MAP_FAILED) told = mapped;
  close(file);
}

static void move(struct timespec *at, int64_t by) {
  int64_t nanoseconds = at->tv_nsec + by;
  int64_t seconds = nanoseconds / 1000000000;
  nanoseconds %= 1000000000;
  if (nanoseconds < 0) { nanoseconds += 1000000000; seconds -= 1; }
  at->tv_sec += seconds;
  at->tv_nsec = nanoseconds;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int done = real(clock, at);
  if (!done && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) move(at, told ? told[0] : 0);
  return done;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
  if (at) { at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000; }
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}

/* Of what is waited for by the seconds since the boot, which are few, nothing is moved. */
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
  static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  struct timespec at = *until;
  if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", VERSION);
  if (!real) real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  if (told && at.tv_sec > 1000000000) move(&at, -told[0]);
  return real(condition, mutex, &at);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  if (!real) real = dlsym(RTLD_NEXT, "getaddrinfo");
  if (told && told[1] && node) return EAI_AGAIN;
  return real(node, service, hints, found);
}
