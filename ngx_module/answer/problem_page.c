// SPDX-License-Identifier: Apache-2.0
// What each status means in words: titles of problems, and the problems that stand for nginx's own
// error pages.
#include "answer/problem_page.h"

#define TEXT(literal)                  \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

struct str ngx_http_comanda_problem_title(ngx_uint_t status)
{
    static const struct {
        ngx_uint_t status;
        struct str title;
    } titles[] = {
        {400, TEXT("Bad Request")},
        {401, TEXT("Unauthorized")},
        {403, TEXT("Forbidden")},
        {404, TEXT("Not Found")},
        {405, TEXT("Method Not Allowed")},
        {406, TEXT("Not Acceptable")},
        {408, TEXT("Request Timeout")},
        {409, TEXT("Conflict")},
        {410, TEXT("Gone")},
        {411, TEXT("Length Required")},
        {412, TEXT("Precondition Failed")},
        {413, TEXT("Content Too Large")},
        {414, TEXT("URI Too Long")},
        {415, TEXT("Unsupported Media Type")},
        {416, TEXT("Range Not Satisfiable")},
        {417, TEXT("Expectation Failed")},
        {421, TEXT("Misdirected Request")},
        {422, TEXT("Unprocessable Content")},
        {428, TEXT("Precondition Required")},
        {429, TEXT("Too Many Requests")},
        {431, TEXT("Request Header Fields Too Large")},
        {500, TEXT("Internal Server Error")},
        {501, TEXT("Not Implemented")},
        {502, TEXT("Bad Gateway")},
        {503, TEXT("Service Unavailable")},
        {504, TEXT("Gateway Timeout")},
        {505, TEXT("HTTP Version Not Supported")},
        {507, TEXT("Insufficient Storage")},
    };
    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
        if (titles[i].status == status) {
            return titles[i].title;
        }
    }
    return STR("Error");
}

static const struct ngx_http_comanda_problem_page pages[] = {
    {400, TEXT("bad-request"), TEXT("this is not valid HTTP, or its headers are too large")},
    {401, TEXT("unauthorized"), TEXT("say who you are, as WWW-Authenticate asks")},
    {403, TEXT("forbidden"), TEXT("this is not open to you")},
    {404, TEXT("not-found"), TEXT("there is nothing at this address")},
    {405, TEXT("method-not-allowed"), TEXT("use one of the methods that Allow lists")},
    {408, TEXT("request-timeout"), TEXT("the request did not arrive in time")},
    {412, TEXT("precondition-failed"), TEXT("a condition in the request's headers does not hold")},
    {413, TEXT("content-too-large"), TEXT("the body is larger than is taken here")},
    {414, TEXT("uri-too-long"), TEXT("the address is longer than is taken here")},
    {415, TEXT("unsupported-media-type"), TEXT("send application/json")},
    {416, TEXT("range-not-satisfiable"), TEXT("Range lies outside of it, see Content-Range")},
    {429, TEXT("rate-limited"), TEXT("too many requests: ask again later")},
    {501, TEXT("not-supported"), TEXT("no transfer coding but chunked is served")},
    {502, TEXT("bad-gateway"), TEXT("the server behind gave no good answer")},
    {503, TEXT("unavailable"), TEXT("not begun: ask again later")},
    {504, TEXT("gateway-timeout"), TEXT("the server behind did not answer in time")},
    {505, TEXT("not-supported"), TEXT("this version of HTTP is not served")},
};

struct ngx_http_comanda_problem_page ngx_http_comanda_problem_page(ngx_uint_t status)
{
    static const struct ngx_http_comanda_problem_page refused = {0, TEXT("bad-request"),
                                                                 TEXT("the request is refused")};
    static const struct ngx_http_comanda_problem_page failed = {0, TEXT("internal"),
                                                                TEXT("something went wrong here")};
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (pages[i].status == status) {
            return pages[i];
        }
    }
    return status < NGX_HTTP_INTERNAL_SERVER_ERROR ? refused : failed;
}
