// proxy/wire/cors.h - Cors: which web pages may read our answers, and how their browsers are told.
//
// A browser asks with OPTIONS before it sends what a page's script wants to send (a preflight), and
// shows the script an answer only if that names the page's origin. Whom we serve is not decided
// here: a client that is no browser gets its answer either way.
//
// Threading: immutable once made, any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/http/head.h"

namespace batchproxy {

// Fields of an answer, as ready lines; null: none. Shared, as a request may outlive a reload.
using CorsFields = std::shared_ptr<const std::string>;

class Cors {
 public:
  // `origins`: batchproxy.allowed_origins, which the configuration has checked.
  explicit Cors(const std::vector<std::string>& origins = {});

  bool empty() const { return allowed_.empty(); }

  // The fields that mark the answer to `request`: null when it comes from no page, or from one that
  // is not allowed.
  CorsFields fields_for(const http::RequestHead& request) const;

 private:
  struct Allowed {
    std::string origin;  // in lower case, as browsers write it; `*`: any
    CorsFields fields;   // of all answers but those to preflights
  };
  std::vector<Allowed> allowed_;
};

}  // namespace batchproxy
