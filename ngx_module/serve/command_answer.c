// SPDX-License-Identifier: Apache-2.0
// How each outcome of a command is answered and counted.
#include "answer/answer.h"
#include "serve/command.h"
#include "serve/document_answer.h"

static void count(struct ngx_http_comanda_command_job *job, enum command_outcome outcome)
{
    ngx_http_comanda_metric_add(job->conf->outcomes[outcome], 1);
}

static ngx_int_t problem(struct ngx_http_comanda_command_job *job, enum command_outcome outcome,
                         ngx_uint_t status, struct str slug, struct str detail)
{
    count(job, outcome);
    return ngx_http_comanda_problem(job->r, status, slug, detail, NULL);
}

static ngx_int_t add_location(struct ngx_http_comanda_command_job *job, struct uuid stream)
{
    const ngx_str_t *prefix = &job->conf->location;
    if (prefix->len == 0) {
        return NGX_OK;
    }
    char *location = arena_alloc(&job->arena, prefix->len + UUID_TEXT_LEN);
    if (location == NULL) {
        return NGX_ERROR;
    }
    ngx_memcpy(location, prefix->data, prefix->len);
    uuid_format(stream, location + prefix->len);
    return ngx_http_comanda_add_header(job->r, STR("Location"),
                                       (struct str){location, prefix->len + UUID_TEXT_LEN});
}

static ngx_int_t answer_done(struct ngx_http_comanda_command_job *job,
                             const struct command_answer *given)
{
    count(job, given->replayed   ? OUTCOME_REPLAYED
               : given->appended ? OUTCOME_ACCEPTED
                                 : OUTCOME_UNCHANGED);
    if (add_location(job, given->document.stream) != NGX_OK ||
        ngx_http_comanda_set_etag(job->r, given->document.version) != NGX_OK ||
        ngx_http_comanda_add_position(job->r, &given->document) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (given->replayed &&
        ngx_http_comanda_add_header(job->r, STR("Idempotency-Replayed"), STR("true")) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_comanda_send(job->r, (ngx_uint_t)given->status, STR("application/json"),
                                 given->document.body);
}

static ngx_int_t answer_precondition(struct ngx_http_comanda_command_job *job, int32_t version)
{
    if (version > 0 && ngx_http_comanda_set_etag(job->r, version) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return problem(job, OUTCOME_PRECONDITION, NGX_HTTP_PRECONDITION_FAILED,
                   STR("precondition-failed"),
                   STR("it has changed since: read it again and decide on what you see"));
}

static ngx_int_t answer_failed(struct ngx_http_comanda_command_job *job, enum status failure)
{
    switch (failure) {
    case STATUS_UNKNOWN:
        return problem(job, OUTCOME_UNKNOWN, NGX_HTTP_GATEWAY_TIME_OUT, STR("outcome-unknown"),
                       STR("the command may or may not have been done: send it again with the "
                           "same Idempotency-Key"));
    case STATUS_MALFORMED:
    case STATUS_INVALID:
        ngx_log_error(NGX_LOG_ERR, job->r->connection->log, 0, "comanda: command \"%V\" failed: %s",
                      &job->conf->name, status_text(failure));
        return problem(job, OUTCOME_FAILED, NGX_HTTP_INTERNAL_SERVER_ERROR, STR("internal"),
                       STR("the command could not be decided; nothing was done"));
    case STATUS_NO_MEMORY:
        ngx_log_error(NGX_LOG_ERR, job->r->connection->log, 0, "comanda: command \"%V\": %s",
                      &job->conf->name, status_text(failure));
        // fall through
    default:
        return problem(job, OUTCOME_UNAVAILABLE, NGX_HTTP_SERVICE_UNAVAILABLE, STR("unavailable"),
                       STR("the command was not begun: send it again later with the same "
                           "Idempotency-Key"));
    }
}

// How far it came is in the log, for whoever looks after the store.
static void log_limit(struct ngx_http_comanda_command_job *job, ngx_uint_t level,
                      const struct command_answer *given, const char *what)
{
    char stream[UUID_TEXT_LEN + 1] = {0};
    uuid_format(given->stream, stream);
    ngx_log_error(level, job->r->connection->log, 0,
                  "comanda: command \"%V\": stream %s, read up to version %D, %s", &job->conf->name,
                  stream, given->version, what);
}

static ngx_int_t answer_long_stream(struct ngx_http_comanda_command_job *job,
                                    const struct command_answer *given)
{
    log_limit(job, NGX_LOG_WARN, given, "is too long for the time that a command has");
    if (given->replayed) { // and 503 would say that it was not begun
        return problem(job, OUTCOME_LONG_STREAM, NGX_HTTP_GATEWAY_TIME_OUT, STR("long-stream"),
                       STR("the command was done before, its answer was read in part: send it "
                           "again with the same Idempotency-Key"));
    }
    return problem(job, OUTCOME_LONG_STREAM, NGX_HTTP_SERVICE_UNAVAILABLE, STR("long-stream"),
                   STR("the command was not begun, its stream was read in part: send it again "
                       "with the same Idempotency-Key, that begins where this ended"));
}

static ngx_int_t answer_too_large(struct ngx_http_comanda_command_job *job,
                                  const struct command_answer *given)
{
    log_limit(job, NGX_LOG_ERR, given, "is past a limit of memory");
    return problem(job, OUTCOME_TOO_LARGE, NGX_HTTP_INSUFFICIENT_STORAGE, STR("memory-limit"),
                   given->replayed
                       ? STR("the command was done before, but its answer has grown past what is "
                             "read into memory: sending it again does not help")
                       : STR("the command was not done: it needs more memory than one command "
                             "gets, and sending it again does not help"));
}

static ngx_int_t answer_invalid(struct ngx_http_comanda_command_job *job,
                                const struct fault_list *faults)
{
    count(job, OUTCOME_INVALID);
    return ngx_http_comanda_problem(job->r, 422, STR("invalid"),
                                    STR("the body holds values that are refused, see errors"),
                                    faults);
}

ngx_int_t ngx_http_comanda_command_answer(struct ngx_http_comanda_command_job *job)
{
    const struct command_answer *given = command_flow_answer(job->flow);
    switch (given->kind) {
    case ANSWER_DONE:
        return answer_done(job, given);
    case ANSWER_BAD_JSON:
        return problem(job, OUTCOME_MALFORMED, NGX_HTTP_BAD_REQUEST, STR("malformed-json"),
                       given->detail);
    case ANSWER_INVALID:
        return answer_invalid(job, given->faults);
    case ANSWER_NOT_FOUND:
        return problem(job, OUTCOME_NOT_FOUND, NGX_HTTP_NOT_FOUND, STR("not-found"),
                       STR("there is no such thing"));
    case ANSWER_REJECTED:
        return problem(job, OUTCOME_REJECTED, NGX_HTTP_CONFLICT, given->code, given->detail);
    case ANSWER_PRECONDITION:
        return answer_precondition(job, given->version);
    case ANSWER_KEY_REUSED:
        return problem(job, OUTCOME_KEY_REUSED, 422, STR("idempotency-key-reused"),
                       STR("this Idempotency-Key was used for another method, path or body"));
    case ANSWER_CONTENDED:
        return answer_failed(job, STATUS_UNAVAILABLE);
    case ANSWER_LONG_STREAM:
        return answer_long_stream(job, given);
    case ANSWER_TOO_LARGE:
        return answer_too_large(job, given);
    case ANSWER_FAILED:
        return answer_failed(job, given->failure);
    }
    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}

ngx_int_t ngx_http_comanda_command_in_flight(struct ngx_http_comanda_command_job *job)
{
    return problem(job, OUTCOME_IN_FLIGHT, NGX_HTTP_CONFLICT, STR("in-flight"),
                   STR("a command with this Idempotency-Key is still running: ask again"));
}
