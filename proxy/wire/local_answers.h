// proxy/wire/local_answers.h - what batchproxy answers itself: the handlers of its local routes.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "backends/model_table.h"
#include "batcher/base/error.h"

namespace batchproxy {

// The facts that local answers are made of.
struct ProxyView {
  const ModelTable& models;
  bool any_ready;                              // a backend is
  const std::function<std::uint64_t()>& load;  // requests that wait, or are with a backend
  std::string_view target;                     // that is asked for
  bool head_only = false;                      // by HEAD
};

struct LocalAnswer {
  unsigned status = 200;
  std::string_view content_type = "application/json";
  std::string_view retry_after{};  // seconds
  std::string_view allow{};
  std::string body{};
};

// Nothing: a backend is to answer.
using LocalResult = std::optional<Result<LocalAnswer>>;
using Handler = LocalResult (*)(const ProxyView&);

// GET /v1/models, from what the backends have said.
LocalResult list_models(const ProxyView& proxy);
// GET /health and /ping: 200 while any backend is ready.
LocalResult tell_health(const ProxyView& proxy);
// GET /version: ours.
LocalResult tell_version(const ProxyView& proxy);
// GET /load: how many requests wait, or are with a backend.
LocalResult tell_load(const ProxyView& proxy);
// OPTIONS of any path, or of `*`: which methods it takes.
LocalResult tell_methods(const ProxyView& proxy);

}  // namespace batchproxy
