// SPDX-License-Identifier: Apache-2.0
// Reads a file of JSON lines: all of it is checked first, then handed on in batches.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json_view.h"
#include "base/sha256.h"
#include "infrastructure/postgres/connection.h"
#include "infrastructure/postgres/event_store_postgres.h"
#include "loader.h"

enum {
    BATCH_BLOCK = 256 * 1024,
    BATCH_BYTES_MAX = 256 * 1024 * 1024,
    DIGEST_TEXT_LEN = 16, // of the file's digest, in hex: enough to tell files apart
    LINES_MAX = 10 * 1000 * 1000
};

struct load {
    struct ctl *ctl;
    const struct load_job *job;
    const struct command_type *type;
    struct str tenant;
    FILE *file;
    const char *path;
    char *line; // getline's
    size_t line_size;
    char digest[DIGEST_TEXT_LEN + 1];
    struct load_report report;
};

static instant_us now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (instant_us)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

// --- lines

enum next_line { LINE_READ, LINE_END, LINE_TOO_LONG };

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n'; // no NUL: strchr finds it
}

static enum next_line next_line(struct load *load, int64_t *number, struct str *text)
{
    ssize_t len;
    while ((len = getline(&load->line, &load->line_size, load->file)) >= 0) {
        (*number)++;
        while (len > 0 && is_blank(load->line[len - 1])) {
            len--;
        }
        if (len > LOAD_LINE_BYTES_MAX) {
            return LINE_TOO_LONG;
        }
        if (len > 0) {
            *text = (struct str){load->line, (size_t)len};
            return LINE_READ;
        }
    }
    return LINE_END; // or a fault of reading, which load->file tells
}

static struct str with_receipt(const struct load *load, struct str text, int64_t number,
                               struct arena *arena)
{
    struct str member = load->job->receipt_member;
    if (member.len == 0 || json_view_shape(text) != JSON_SHAPE_OBJECT ||
        json_view_member(text, member).data != NULL) {
        return arena_str(arena, text);
    }
    struct json_walk walk;
    struct str name, value;
    bool any = json_view_begin(text, &walk) && json_view_next(&walk, &name, &value);
    return arena_printf(arena, "%.*s%s\"%.*s\":\"%s:%lld\"}", (int)text.len - 1, text.data,
                        any ? "," : "", STR_FMT(member), load->digest, (long long)number);
}

// The line's object without the member that names the stream.
static struct str without_name(const struct load *load, struct str text, struct arena *arena)
{
    struct json_walk walk;
    struct str name, value;
    struct buffer out;
    struct json_writer writer;
    if (json_view_shape(text) != JSON_SHAPE_OBJECT || !json_view_begin(text, &walk)) {
        return arena_str(arena, text);
    }
    buffer_init(&out, arena, LOAD_LINE_BYTES_MAX * 2);
    json_writer_init(&writer, &out);
    json_object_begin(&writer);
    while (json_view_next(&walk, &name, &value)) {
        if (!str_eq(name, load->job->name_member)) {
            buffer_printf(&out, "%s\"%.*s\":%.*s", out.len > 1 ? "," : "", STR_FMT(name),
                          STR_FMT(value));
        }
    }
    json_object_end(&writer);
    return out.status == STATUS_OK ? buffer_view(&out) : (struct str){NULL, 0};
}

static struct str body_of(const struct load *load, struct str text, int64_t number,
                          struct arena *arena)
{
    return load->job->name_outside ? without_name(load, text, arena)
                                   : with_receipt(load, text, number, arena);
}

// Reads a line into a command. faults tells what is wrong with it; the line's bytes are copied.
static enum status read_command(const struct load *load, struct str text, int64_t number,
                                struct arena *arena, struct fault_list *faults,
                                struct load_line *line)
{
    size_t offset = 0;
    enum json_fault fault = json_check(text, &offset);
    if (fault != JSON_OK) {
        fault_list_add(faults, arena, STR(""),
                       arena_printf(arena, "byte %zu: %s", offset + 1, json_fault_text(fault)));
        return STATUS_OK;
    }
    struct str body = body_of(load, text, number, arena);
    void *parsed = NULL;
    enum status status =
        body.data == NULL ? STATUS_NO_MEMORY : load->type->parse(body, arena, faults, &parsed);
    struct str name = STR("");
    if (status == STATUS_OK && faults->total == 0 &&
        !json_view_string(json_view_member(text, load->job->name_member), arena, &name)) {
        fault_list_add(faults, arena, arena_printf(arena, "/%.*s", STR_FMT(load->job->name_member)),
                       STR("is required, and must be a string"));
    }
    if (status != STATUS_OK || faults->total > 0) {
        return status;
    }
    name = arena_str(arena, name);
    if (name.data == NULL) {
        return STATUS_NO_MEMORY;
    }
    *line = (struct load_line){
        .number = number,
        .command = {.tenant = load->tenant,
                    .target = uuid_named(load->tenant, load->type->category, name),
                    .actor = STR("comandactl"),
                    .now = now_us(),
                    .body = parsed}};
    if (load->job->once) {
        struct str mark = arena_printf(arena, "%s:%lld", load->digest, (long long)number);
        line->inbox = uuid_named(load->tenant, STR("loaded-line"), mark);
    }
    return STATUS_OK;
}

// --- the first pass: everything is checked before anything is loaded

static enum ctl_exit digest_file(struct load *load)
{
    struct arena scratch;
    arena_init(&scratch, 1 << 20, 1 << 20);
    char *block = arena_alloc(&scratch, 1 << 16);
    unsigned char digest[SHA256_LEN] = {0};
    size_t len;
    // A chain of digests: each over the one before and the next block.
    while (block != NULL && (len = fread(block, 1, 1 << 16, load->file)) > 0) {
        const struct str pieces[] = {{(const char *)digest, sizeof(digest)}, {block, len}};
        sha256(pieces, 2, digest);
    }
    bool failed = block == NULL || ferror(load->file) != 0;
    arena_free(&scratch);
    for (size_t at = 0; at < DIGEST_TEXT_LEN / 2; at++) {
        snprintf(load->digest + 2 * at, 3, "%02x", digest[at]);
    }
    return failed ? ctl_fail(load->ctl, CTL_INTERNAL, "%s cannot be read: %s", load->path,
                             strerror(errno))
                  : CTL_OK;
}

static void print_faults(const struct load *load, int64_t number, const struct fault_list *faults)
{
    for (size_t at = 0; at < faults->count; at++) {
        ctl_fail(load->ctl, CTL_REFUSED, "%s line %lld: %.*s%s%.*s", load->path, (long long)number,
                 STR_FMT(faults->items[at].pointer), faults->items[at].pointer.len > 0 ? " " : "",
                 STR_FMT(faults->items[at].detail));
    }
}

static enum ctl_exit check_line(struct load *load, struct str text, int64_t number,
                                struct arena *arena, int64_t *bad)
{
    struct fault_list faults = {.count = 0};
    struct load_line line;
    enum status status = read_command(load, text, number, arena, &faults, &line);
    if (status != STATUS_OK) {
        return ctl_fail(load->ctl, ctl_exit_of(status), "%s line %lld: %s", load->path,
                        (long long)number, status_text(status));
    }
    if (faults.total > 0) {
        print_faults(load, number, &faults);
        (*bad)++;
    }
    return CTL_OK;
}

static enum ctl_exit check_all(struct load *load)
{
    struct arena arena;
    arena_init(&arena, BATCH_BLOCK, BATCH_BYTES_MAX);
    int64_t number = 0, bad = 0;
    struct str text;
    enum ctl_exit code = CTL_OK;
    enum next_line next = LINE_END;
    while (code == CTL_OK && bad < LOAD_FAULTS_MAX && number < LINES_MAX &&
           (next = next_line(load, &number, &text)) == LINE_READ) {
        arena_reset(&arena);
        load->report.lines++;
        code = check_line(load, text, number, &arena, &bad);
    }
    arena_free(&arena);
    if (code == CTL_OK && next == LINE_TOO_LONG) {
        return ctl_fail(load->ctl, CTL_REFUSED, "%s line %lld: longer than %d bytes", load->path,
                        (long long)number, LOAD_LINE_BYTES_MAX);
    }
    if (code == CTL_OK && number >= LINES_MAX) {
        return ctl_fail(load->ctl, CTL_REFUSED, "%s: more than %d lines; split it", load->path,
                        LINES_MAX);
    }
    return code == CTL_OK && bad > 0
               ? ctl_fail(
                     load->ctl, CTL_REFUSED, "%s: nothing was loaded; mend %s first", load->path,
                     bad == LOAD_FAULTS_MAX ? "these lines (there may be more)" : "these lines")
               : code;
}

// --- the second pass

static bool names_stream(const struct load_line *lines, size_t count, struct uuid target)
{
    for (size_t at = 0; at < count; at++) {
        if (uuid_eq(lines[at].command.target, target)) {
            return true;
        }
    }
    return false;
}

// A file that is changed is another file: what was counted from it would count again.
static const char *hint_after(const struct load *load, enum status status)
{
    if (status != STATUS_INVALID || !load->job->once) {
        return "load the same file again to go on";
    }
    return load->report.loaded + load->report.already == 0
               ? "nothing was loaded"
               : "what stands before is loaded: load the mended rest from a file of its own";
}

static enum ctl_exit run_batch(struct load *load, const struct load_batch *batch,
                               const struct load_line *lines, size_t count, struct arena *arena)
{
    struct str cause = STR("");
    enum status status =
        count == 0 ? STATUS_OK : load_batch_run(batch, lines, count, arena, &load->report, &cause);
    if (status == STATUS_OK) {
        return CTL_OK;
    }
    struct str why = cause.len > 0 ? cause : str_from(status_text(status));
    return ctl_fail(load->ctl, ctl_exit_of(status), "%s %.*s; %s", load->path, STR_FMT(why),
                    hint_after(load, status));
}

// What the second pass holds: a batch of lines and the memory of their commands.
struct gathered {
    const struct load_batch *batch;
    struct arena commands;
    struct arena work;
    struct load_line lines[LOAD_BATCH_MAX];
    size_t count;
};

static enum ctl_exit flush(struct load *load, struct gathered *gathered)
{
    enum ctl_exit code =
        run_batch(load, gathered->batch, gathered->lines, gathered->count, &gathered->work);
    gathered->count = 0;
    arena_reset(&gathered->work);
    arena_reset(&gathered->commands);
    return code;
}

static enum ctl_exit read_checked(struct load *load, struct str text, int64_t number,
                                  struct arena *arena, struct load_line *line)
{
    struct fault_list faults = {.count = 0};
    *line = (struct load_line){.number = 0};
    enum status status = read_command(load, text, number, arena, &faults, line);
    if (status == STATUS_OK && line->number != 0) {
        return CTL_OK;
    }
    return ctl_fail(load->ctl, CTL_REFUSED, "%s line %lld changed while it was loaded", load->path,
                    (long long)number);
}

// A line that names a stream of the batch begins the next one.
static enum ctl_exit gather(struct load *load, struct gathered *gathered, struct str text,
                            int64_t number)
{
    struct load_line line;
    enum ctl_exit code = read_checked(load, text, number, &gathered->commands, &line);
    if (code == CTL_OK && (gathered->count == LOAD_BATCH_MAX ||
                           names_stream(gathered->lines, gathered->count, line.command.target))) {
        code = flush(load, gathered);
        if (code == CTL_OK) { // its command went with the batch's memory
            code = read_checked(load, text, number, &gathered->commands, &line);
        }
    }
    if (code == CTL_OK) {
        gathered->lines[gathered->count++] = line;
    }
    return code;
}

static enum ctl_exit load_all(struct load *load, const struct load_batch *batch)
{
    struct gathered gathered = {.batch = batch};
    arena_init(&gathered.commands, BATCH_BLOCK, BATCH_BYTES_MAX);
    arena_init(&gathered.work, BATCH_BLOCK, BATCH_BYTES_MAX);
    int64_t number = 0;
    struct str text;
    enum ctl_exit code = CTL_OK;
    while (code == CTL_OK && next_line(load, &number, &text) == LINE_READ) {
        code = gather(load, &gathered, text, number);
    }
    if (code == CTL_OK && ferror(load->file)) {
        code = ctl_fail(load->ctl, CTL_INTERNAL, "%s cannot be read any more", load->path);
    }
    if (code == CTL_OK) {
        code = flush(load, &gathered);
    }
    arena_free(&gathered.commands);
    arena_free(&gathered.work);
    return code;
}

static void print_report(const struct load *load)
{
    const struct load_report *report = &load->report;
    if (!load->ctl->json) {
        printf("%lld lines: %lld loaded, %lld unchanged, %lld loaded before\n",
               (long long)report->lines, (long long)report->loaded, (long long)report->unchanged,
               (long long)report->already);
        return;
    }
    struct buffer out;
    buffer_init(&out, load->ctl->arena, 512);
    buffer_printf(&out, "{\"lines\":%lld,\"loaded\":%lld,\"unchanged\":%lld,\"already\":%lld}",
                  (long long)report->lines, (long long)report->loaded, (long long)report->unchanged,
                  (long long)report->already);
    ctl_print_json(&out);
}

static enum ctl_exit load_checked(struct load *load, struct postgres *postgres)
{
    struct event_store *store = event_store_postgres_new(postgres);
    const struct load_batch batch = {store, load->type, context_of_category(load->type->category),
                                     STR("comandactl")};
    enum ctl_exit code =
        store == NULL ? ctl_fail(load->ctl, CTL_INTERNAL, "no memory") : load_all(load, &batch);
    event_store_postgres_free(store);
    if (code == CTL_OK) {
        print_report(load);
    }
    return code;
}

static enum ctl_exit load_opened(struct load *load)
{
    enum ctl_exit code = digest_file(load);
    rewind(load->file);
    if (code == CTL_OK) {
        code = check_all(load);
    }
    rewind(load->file);
    struct postgres *postgres = code == CTL_OK ? ctl_postgres(load->ctl, &code) : NULL;
    if (postgres != NULL) {
        code = load_checked(load, postgres);
        postgres_free(postgres);
    }
    free(load->line);
    return code;
}

enum ctl_exit load_file(struct ctl *ctl, const struct load_job *job)
{
    struct load load = {
        .ctl = ctl,
        .job = job,
        .type = context_command(job->command),
        .tenant = str_from(ctl_setting(ctl, "--tenant", "COMANDA_TENANT", "main")),
        .path = ctl->arguments[0],
    };
    if (load.type == NULL) {
        return ctl_fail(ctl, CTL_REFUSED, "this program knows no command %.*s",
                        STR_FMT(job->command));
    }
    load.file = fopen(load.path, "re");
    if (load.file == NULL) {
        return ctl_fail(ctl, CTL_INTERNAL, "%s cannot be opened: %s", load.path, strerror(errno));
    }
    if (fseek(load.file, 0, SEEK_END) != 0) {
        (void)fclose(load.file);
        return ctl_fail(ctl, CTL_USAGE, "%s is no file: it has to be read twice", load.path);
    }
    rewind(load.file);
    enum ctl_exit code = load_opened(&load);
    (void)fclose(load.file);
    return code;
}
