// SPDX-License-Identifier: Apache-2.0
// comandactl doctor: looks at every server and at what should be there, and says what to do.
#include "doctor.h"

#include <string.h>
#include <sys/stat.h>

#include "infrastructure/config/secret_file.h"
#include "infrastructure/token/jwt.h"

static const struct table_column columns[] = {
    {"check", TABLE_TEXT}, {"status", TABLE_TEXT}, {"detail", TABLE_TEXT}, {"advice", TABLE_TEXT}};

static void look_at_sagas(struct doctor *doctor)
{
    const char *folder = ctl_setting(doctor->ctl, "--sagas", "COMANDA_SAGAS", "conf/sagas");
    if (ctl_sagas(doctor->ctl, &doctor->sagas) == CTL_OK) {
        doctor_say(doctor, "sagas", FINDING_OK,
                   DOCTOR_DETAIL(doctor, "%zu definitions in %s", doctor->sagas->count, folder),
                   "");
        return;
    }
    doctor_say(doctor, "sagas", FINDING_FAULT, DOCTOR_DETAIL(doctor, "%s cannot be read", folder),
               "name the folder by --sagas or COMANDA_SAGAS; the line above says what is wrong");
}

static void look_at_key(struct doctor *doctor)
{
    const char *path = ctl_setting(doctor->ctl, "--key-file", "COMANDA_JWT_KEY_FILE", NULL);
    struct stat file;
    char key[JWT_KEY_BYTES_MAX + 1];
    char fault[SECRET_FAULT_MAX];
    size_t len;
    if (path == NULL) {
        doctor_say(doctor, "token key", FINDING_OK, STR("not asked: no COMANDA_JWT_KEY_FILE"), "");
    } else if (secret_file_read(path, JWT_KEY_BYTES_MIN, JWT_KEY_BYTES_MAX, key, &len, fault) !=
               STATUS_OK) {
        doctor_say(doctor, "token key", FINDING_FAULT, DOCTOR_DETAIL(doctor, "%s", fault),
                   "make it: openssl rand -base64 48 > FILE, readable by nginx alone");
    } else if (stat(path, &file) == 0 && (file.st_mode & S_IROTH) != 0) {
        doctor_say(doctor, "token key", FINDING_WARNING,
                   DOCTOR_DETAIL(doctor, "%s is readable by everybody", path),
                   "take the right away: chmod o-r FILE");
    } else {
        doctor_say(doctor, "token key", FINDING_OK,
                   DOCTOR_DETAIL(doctor, "%s, %zu bytes", path, len), "");
    }
    explicit_bzero(key, sizeof(key));
}

static enum ctl_exit run_doctor(struct ctl *ctl)
{
    struct doctor doctor = {.ctl = ctl};
    ctl->goes_on = true;
    table_begin(&doctor.table, ctl, columns, sizeof(columns) / sizeof(columns[0]));
    look_at_sagas(&doctor);
    look_at_key(&doctor);
    doctor_postgres(&doctor);
    doctor_rabbitmq(&doctor);
    doctor_redis(&doctor);
    table_print(&doctor.table, "");
    return doctor.faults == 0 ? CTL_OK : CTL_NO;
}

static const struct ctl_option options[] = {
    {"--amqp", "URL", "RabbitMQ (else COMANDA_AMQP)"},
    {"--management", "URL",
     "RabbitMQ's management API (else COMANDA_AMQP_MANAGEMENT), for bindings"},
    {"--redis", "ADDRESS",
     "Redis (else COMANDA_REDIS): host:port or redis://user:password@host:port"},
    {"--sagas", "FOLDER", "the sagas' definitions (else COMANDA_SAGAS, else conf/sagas)"},
    {"--key-file", "FILE", "the token key (else COMANDA_JWT_KEY_FILE)"},
    {NULL, NULL, NULL},
};

static const struct ctl_verb verbs[] = {
    {"", "", 0, 0, "look at everything and say what to do; exit 1 when there is a fault", options,
     run_doctor},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct ctl_noun ctl_doctor = {
    .name = "doctor",
    .summary = "is everything there, and if not, what to do",
    .verbs = verbs,
    .examples = "  comandactl doctor\n"
                "  comandactl doctor --json\n",
};
