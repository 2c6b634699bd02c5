// proxy/router.cc - see router.h.
#include "proxy/router.h"

#include <algorithm>
#include <array>

namespace batchproxy {

namespace {

constexpr std::array kRoutes = {
    Route{"POST", "/v1/completions", Action::kForward, BodyKind::kCompletion},
    Route{"POST", "/v1/chat/completions", Action::kForward, BodyKind::kChat},
    Route{"POST", "/v1/chat/completions/batch", Action::kForward, BodyKind::kChatBatch},
    Route{"POST", "/v1/embeddings", Action::kForward},
    Route{"POST", "/tokenize", Action::kForward},
    Route{"POST", "/detokenize", Action::kForward},
    Route{"POST", "/score", Action::kForward},
    Route{"POST", "/v1/score", Action::kForward},
    Route{"POST", "/rerank", Action::kForward},
    Route{"POST", "/v1/rerank", Action::kForward},
    Route{"POST", "/v2/rerank", Action::kForward},
    Route{"POST", "/pooling", Action::kForward},
    Route{"POST", "/classify", Action::kForward},
    Route{"GET", "/tokenizer_info", Action::kForward},
    Route{"GET", "/v1/models", Action::kModels},
    Route{"GET", "/health", Action::kHealth},
    Route{"GET", "/version", Action::kVersion},
};

const Route* find_path(std::string_view path) {
  const auto it = std::find_if(kRoutes.begin(), kRoutes.end(),
                               [&](const Route& route) { return route.path == path; });
  return it == kRoutes.end() ? nullptr : &*it;
}

}  // namespace

Result<const Route*> find_route(std::string_view method, std::string_view path) {
  const Route* route = find_path(path);
  if (route == nullptr) {
    return Error{Errc::kUnknownRoute, "There is nothing at " + std::string(path) + "."};
  }
  if (route->method != method) {
    return Error{Errc::kMethodNotAllowed, std::string(path) + " takes " +
                                              std::string(route->method) + ", not " +
                                              std::string(method) + "."};
  }
  return route;
}

std::string_view allowed_method(std::string_view path) {
  const Route* route = find_path(path);
  return route == nullptr ? std::string_view() : route->method;
}

}  // namespace batchproxy
