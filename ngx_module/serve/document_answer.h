// SPDX-License-Identifier: Apache-2.0
// The headers that every document carries: its version and its place in the log.
#pragma once

#include "application/ports/document_store.h"
#include "core/comanda.h"

// Sets ETag: "<version>".
ngx_int_t ngx_http_comanda_set_etag(ngx_http_request_t *r, int32_t version);

// Adds Comanda-Position, the document's place in the log.
ngx_int_t ngx_http_comanda_add_position(ngx_http_request_t *r, const struct document *document);
