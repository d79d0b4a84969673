// SPDX-License-Identifier: Apache-2.0
// The operator's command line: a table of nouns, each with its verbs, options and examples. One
// file a noun; main.c reads the line, answers --help and calls the verb.
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "infrastructure/config/secret_file.h"
#include "infrastructure/config/settings.h"
#include "infrastructure/postgres/connection.h"

enum { ARENA_BLOCK = 64 * 1024, ARENA_MAX = 256 * 1024 * 1024, REPLY_TIMEOUT_MS = 600 * 1000 };

static const struct ctl_noun *const nouns[] = {
    &ctl_doctor,  //
    &ctl_migrate, //
    &ctl_product, //
    &ctl_stock,   //
    &ctl_token,   //
    &ctl_event,   //
    &ctl_log,
    &ctl_saga, //
    &ctl_dlq,  //
    &ctl_topology_noun,
    &ctl_projection, //
    &ctl_access,     //
};

static const struct ctl_option common_options[] = {
    {"--postgres", "CONNINFO", "PostgreSQL, as libpq reads it (else COMANDA_POSTGRES)"},
    {"--json", NULL, "answer in JSON, errors too"},
    {"--help", NULL, "this text"},
    {NULL, NULL, NULL},
};

static const char exit_codes[] = "exit codes:\n"
                                 "  0  done\n"
                                 "  1  done, and the answer is no (not up to date, not found, a"
                                 " fault found)\n"
                                 "  2  the line is wrong\n"
                                 "  3  a server cannot be reached\n"
                                 "  4  a server or a rule refuses\n"
                                 "  5  no memory, or a file that cannot be read or used\n";

// Whoever is on the machine sees the lines of all processes.
static const char secrets[] = "secrets:\n"
                              "  a file named by COMANDA_POSTGRES_FILE, COMANDA_AMQP_FILE or"
                              " COMANDA_REDIS_FILE holds\n"
                              "  what the variable without _FILE would: a password in an option"
                              " shows in `ps`\n";

static void print_options(FILE *out, const struct ctl_option *options)
{
    for (; options != NULL && options->name != NULL; options++) {
        char left[64];
        snprintf(left, sizeof(left), "%s%s%s", options->name, options->value == NULL ? "" : " ",
                 options->value == NULL ? "" : options->value);
        fprintf(out, "  %-24s %s\n", left, options->help);
    }
}

static void print_verb_line(FILE *out, const struct ctl_noun *noun, const struct ctl_verb *verb)
{
    char left[80];
    snprintf(left, sizeof(left), "%s%s%s%s%s", noun->name, verb->name[0] == '\0' ? "" : " ",
             verb->name, verb->arguments[0] == '\0' ? "" : " ", verb->arguments);
    fprintf(out, "  %-36s %s\n", left, verb->summary);
}

static void print_noun_help(FILE *out, const struct ctl_noun *noun)
{
    fprintf(out, "comandactl %s: %s\n\n", noun->name, noun->summary);
    for (const struct ctl_verb *verb = noun->verbs; verb->run != NULL; verb++) {
        print_verb_line(out, noun, verb);
        print_options(out, verb->options);
    }
    fprintf(out, "\noptions:\n");
    print_options(out, common_options);
    fprintf(out, "\nexamples:\n%s\n%s\n%s", noun->examples, secrets, exit_codes);
}

static void print_help(FILE *out)
{
    fprintf(out, "usage: comandactl NOUN [VERB] [ARGUMENT…] [OPTION…]\n\n");
    for (size_t i = 0; i < sizeof(nouns) / sizeof(nouns[0]); i++) {
        for (const struct ctl_verb *verb = nouns[i]->verbs; verb->run != NULL; verb++) {
            print_verb_line(out, nouns[i], verb);
        }
    }
    fprintf(out, "\noptions:\n");
    print_options(out, common_options);
    fprintf(out, "\n`comandactl NOUN --help` shows a noun's options and examples.\n\n%s\n%s",
            secrets, exit_codes);
}

const char *ctl_option_value(const struct ctl *ctl, const char *name)
{
    for (size_t i = 0; i < ctl->option_count; i++) {
        if (strcmp(ctl->option_names[i], name) == 0) {
            return ctl->option_values[i];
        }
    }
    return NULL;
}

// Secrets lie in files: NAME_FILE as the daemons read it. A file that is named and of no use ends
// the program, except the doctor's, which has more to look at.
static const char *setting_from_file(struct ctl *ctl, const char *variable)
{
    struct str name = arena_printf(ctl->arena, "%s_FILE", variable);
    const char *path = name.data == NULL ? NULL : getenv(name.data);
    char *bytes = arena_alloc(ctl->arena, SETTING_VALUE_MAX + 1);
    char fault[SECRET_FAULT_MAX];
    size_t len;
    if (path == NULL || path[0] == '\0' || bytes == NULL) {
        return NULL;
    }
    if (secret_file_read(path, 1, SETTING_VALUE_MAX, bytes, &len, fault) != STATUS_OK) {
        enum ctl_exit code = ctl_fail(ctl, CTL_INTERNAL, "%s: %s", name.data, fault);
        if (!ctl->goes_on) {
            exit(code);
        }
        return NULL;
    }
    return bytes;
}

const char *ctl_setting(struct ctl *ctl, const char *option, const char *variable,
                        const char *fallback)
{
    const char *value = ctl_option_value(ctl, option);
    if (value == NULL) {
        value = getenv(variable);
    }
    if (value == NULL || value[0] == '\0') {
        value = setting_from_file(ctl, variable);
    }
    return value == NULL || value[0] == '\0' ? fallback : value;
}

enum ctl_exit ctl_fail(const struct ctl *ctl, enum ctl_exit code, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (!ctl->json) {
        fprintf(stderr, "comandactl: %s\n", text);
        return code;
    }
    struct buffer out;
    buffer_init(&out, NULL, 4 * sizeof(text));
    struct json_writer writer;
    json_writer_init(&writer, &out);
    json_object_begin(&writer);
    json_name(&writer, STR("error"));
    json_string(&writer, str_from(text));
    json_name(&writer, STR("exit"));
    json_int(&writer, code);
    json_object_end(&writer);
    fprintf(stderr, "%.*s\n", STR_FMT(buffer_view(&out)));
    buffer_free(&out);
    return code;
}

enum ctl_exit ctl_exit_of(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return CTL_OK;
    case STATUS_TIMEOUT:
    case STATUS_UNAVAILABLE:
    case STATUS_UNKNOWN:
        return CTL_UNAVAILABLE;
    case STATUS_NOT_FOUND:
        return CTL_NO;
    case STATUS_REFUSED:
    case STATUS_INVALID:
    case STATUS_MALFORMED:
    case STATUS_FENCED:
    case STATUS_FULL:
        return CTL_REFUSED;
    case STATUS_NO_MEMORY:
    case STATUS_COUNT:
        break;
    }
    return CTL_INTERNAL;
}

void ctl_print_json(const struct buffer *json)
{
    printf("%.*s\n", STR_FMT(buffer_view(json)));
}

static struct postgres *connect_to(struct ctl *ctl, bool any_log, enum ctl_exit *code)
{
    const char *conninfo = ctl_setting(ctl, "--postgres", "COMANDA_POSTGRES", NULL);
    if (conninfo == NULL) {
        *code = ctl_fail(ctl, CTL_USAGE, "give --postgres CONNINFO or set COMANDA_POSTGRES");
        return NULL;
    }
    if (!postgres_conninfo_valid(conninfo)) {
        *code = ctl_fail(ctl, CTL_USAGE,
                         "--postgres or COMANDA_POSTGRES is no connection string of libpq; write"
                         " \"host=… port=… dbname=… user=… password=…\" or postgresql://…");
        return NULL;
    }
    struct postgres *postgres = postgres_new(&(struct postgres_options){
        .conninfo = conninfo,
        .application_name = "comandactl",
        .reply_timeout_ms = REPLY_TIMEOUT_MS,
        .any_log = any_log,
    });
    if (postgres == NULL) {
        *code = ctl_fail(ctl, CTL_INTERNAL, "no memory");
        return NULL;
    }
    enum status status = postgres_connect(postgres);
    if (status != STATUS_OK) {
        *code = ctl_fail(ctl, ctl_exit_of(status), "PostgreSQL: %s", postgres_error(postgres));
        postgres_free(postgres);
        return NULL;
    }
    return postgres;
}

struct postgres *ctl_postgres(struct ctl *ctl, enum ctl_exit *code)
{
    return connect_to(ctl, false, code);
}

struct postgres *ctl_postgres_any_log(struct ctl *ctl, enum ctl_exit *code)
{
    return connect_to(ctl, true, code);
}

static const struct ctl_noun *find_noun(const char *name)
{
    for (size_t i = 0; i < sizeof(nouns) / sizeof(nouns[0]); i++) {
        if (strcmp(nouns[i]->name, name) == 0) {
            return nouns[i];
        }
    }
    return NULL;
}

static const struct ctl_verb *find_verb(const struct ctl_noun *noun, const char *name)
{
    for (const struct ctl_verb *verb = noun->verbs; verb->run != NULL; verb++) {
        if (strcmp(verb->name, name) == 0) {
            return verb;
        }
    }
    return NULL;
}

static const struct ctl_option *find_option(const struct ctl_option *options, const char *name,
                                            size_t len)
{
    for (; options != NULL && options->name != NULL; options++) {
        if (strlen(options->name) == len && strncmp(options->name, name, len) == 0) {
            return options;
        }
    }
    return NULL;
}

// Reads "--name", "--name value" or "--name=value" at argv[*at]; moves *at on. False: it has said
// why not.
static bool read_option(struct ctl *ctl, int argc, char **argv, int *at)
{
    const char *text = argv[*at];
    const char *equals = strchr(text, '=');
    size_t len = equals == NULL ? strlen(text) : (size_t)(equals - text);
    const struct ctl_option *option =
        find_option(ctl->verb == NULL ? NULL : ctl->verb->options, text, len);
    option = option == NULL ? find_option(common_options, text, len) : option;
    if (option == NULL || ctl->option_count == CTL_OPTIONS_MAX) {
        ctl_fail(ctl, CTL_USAGE, "unknown option %.*s; try --help", (int)len, text);
        return false;
    }
    const char *value = equals == NULL ? "" : equals + 1;
    if (option->value == NULL && equals != NULL) {
        ctl_fail(ctl, CTL_USAGE, "%s takes no value", option->name);
        return false;
    }
    if (option->value != NULL && equals == NULL) {
        if (*at + 1 >= argc) {
            ctl_fail(ctl, CTL_USAGE, "%s wants a value (%s)", option->name, option->value);
            return false;
        }
        value = argv[++*at];
    }
    ctl->option_names[ctl->option_count] = option->name;
    ctl->option_values[ctl->option_count++] = value;
    ctl->json = ctl->json || strcmp(option->name, "--json") == 0;
    return true;
}

static bool read_line(struct ctl *ctl, int argc, char **argv, int from)
{
    for (int i = from; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0') {
            if (!read_option(ctl, argc, argv, &i)) {
                return false;
            }
        } else if (ctl->argument_count == CTL_ARGUMENTS_MAX) {
            ctl_fail(ctl, CTL_USAGE, "too many arguments");
            return false;
        } else {
            ctl->arguments[ctl->argument_count++] = argv[i];
        }
    }
    return true;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return argc >= 2 && strcmp(argv[1], "help") == 0;
}

static enum ctl_exit run_verb(struct ctl *ctl, int argc, char **argv)
{
    const struct ctl_verb *verb =
        argc > 2 && argv[2][0] != '-' ? find_verb(ctl->noun, argv[2]) : NULL;
    int from = verb == NULL ? 2 : 3;
    ctl->verb = verb == NULL ? find_verb(ctl->noun, "") : verb;
    if (ctl->verb == NULL) {
        return ctl_fail(ctl, CTL_USAGE, "%s wants a verb; try comandactl %s --help",
                        ctl->noun->name, ctl->noun->name);
    }
    if (!read_line(ctl, argc, argv, from)) {
        return CTL_USAGE;
    }
    if (ctl->argument_count < ctl->verb->arguments_min ||
        ctl->argument_count > ctl->verb->arguments_max) {
        return ctl_fail(ctl, CTL_USAGE, "%s%s%s takes %s; try comandactl %s --help",
                        ctl->noun->name, ctl->verb->name[0] == '\0' ? "" : " ", ctl->verb->name,
                        ctl->verb->arguments_max == 0 ? "no argument" : ctl->verb->arguments,
                        ctl->noun->name);
    }
    return ctl->verb->run(ctl);
}

// What was printed may have gone nowhere: a full disk, a closed descriptor. Nobody who reads the
// exit code may take half of an answer for all of it.
static enum ctl_exit end_output(const struct ctl *ctl, enum ctl_exit code)
{
    if (output_end()) {
        return code;
    }
    enum ctl_exit lost = ctl_fail(ctl, CTL_INTERNAL, "the output could not all be written");
    return code == CTL_OK || code == CTL_NO ? lost : code;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        print_help(stderr);
        return CTL_USAGE;
    }
    struct arena arena;
    arena_init(&arena, ARENA_BLOCK, ARENA_MAX);
    struct ctl ctl = {.noun = find_noun(argv[1]), .arena = &arena};
    if (wants_help(argc, argv)) {
        if (ctl.noun != NULL) {
            print_noun_help(stdout, ctl.noun);
        } else {
            print_help(stdout);
        }
        return end_output(&ctl, CTL_OK);
    }
    if (ctl.noun == NULL) {
        return ctl_fail(&ctl, CTL_USAGE, "unknown noun '%s'; try comandactl --help", argv[1]);
    }
    enum ctl_exit code = run_verb(&ctl, argc, argv);
    code = end_output(&ctl, code);
    arena_free(&arena);
    return code;
}
