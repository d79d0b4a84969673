// SPDX-License-Identifier: Apache-2.0
// What Prometheus expects of every process: memory, CPU, descriptors, when it started.
#include "infrastructure/telemetry/process_metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void add_gauge(struct buffer *out, const char *name, const char *help, double value)
{
    buffer_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %.15g\n", name, help, name, name, value);
}

static void add_memory(struct buffer *out)
{
    long long pages = 0;
    long long resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return;
    }
    if (fscanf(file, "%lld %lld", &pages, &resident) == 2) {
        add_gauge(out, "process_resident_memory_bytes", "Resident memory.",
                  (double)resident * (double)sysconf(_SC_PAGESIZE));
    }
    (void)fclose(file);
}

static void add_cpu(struct buffer *out)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        double seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
        buffer_printf(out,
                      "# HELP process_cpu_seconds_total CPU time, user and system.\n"
                      "# TYPE process_cpu_seconds_total counter\n"
                      "process_cpu_seconds_total %.6f\n",
                      seconds);
    }
}

static void add_descriptors(struct buffer *out)
{
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL) {
        return;
    }
    int count = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(folder);
    add_gauge(out, "process_open_fds", "Open descriptors.", count - 1); // without the folder's own
}

// Field 22 of /proc/self/stat counts clock ticks since the machine's start.
static void add_start(struct buffer *out)
{
    char text[1024] = "";
    FILE *file = fopen("/proc/self/stat", "re");
    size_t len = file == NULL ? 0 : fread(text, 1, sizeof(text) - 1, file);
    text[len] = '\0';
    const char *at = strrchr(text, ')'); // the name before it may hold anything
    long long ticks = 0;
    struct timespec now;
    struct timespec up;
    if (at != NULL &&
        sscanf(at + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
               "%*d %lld",
               &ticks) == 1 &&
        clock_gettime(CLOCK_REALTIME, &now) == 0 && clock_gettime(CLOCK_BOOTTIME, &up) == 0) {
        double booted = (double)now.tv_sec - (double)up.tv_sec;
        add_gauge(out, "process_start_time_seconds", "Start, seconds since 1970.",
                  booted + (double)ticks / (double)sysconf(_SC_CLK_TCK));
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

void process_metrics_render(struct buffer *out)
{
    add_memory(out);
    add_cpu(out);
    add_descriptors(out);
    add_start(out);
}
