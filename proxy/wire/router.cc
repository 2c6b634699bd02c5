// proxy/wire/router.cc - see router.h.
#include "proxy/wire/router.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "configs/text/nearest_name.h"

namespace batchproxy {

namespace {

constexpr Handler kBackend = nullptr;
constexpr bool kImmediate = true;
constexpr bool kQueued = false;
constexpr ErrorForm kTyped = ErrorForm::kTyped;

constexpr std::array kRoutes = {
    Route{"POST", "/v1/completions", kBackend, BodyKind::kCompletion},
    Route{"POST", "/v1/chat/completions", kBackend, BodyKind::kChat},
    Route{"POST", "/v1/chat/completions/batch", kBackend, BodyKind::kChatBatch},
    Route{"POST", "/v1/responses", kBackend, BodyKind::kPrompted, kQueued, kTyped},
    Route{"POST", "/v1/messages", kBackend, BodyKind::kPrompted, kQueued, kTyped},
    Route{"POST", "/v1/messages/count_tokens", kBackend, BodyKind::kOther, kImmediate, kTyped},
    Route{"POST", "/v1/embeddings", kBackend},
    Route{"POST", "/v2/embed", kBackend},
    Route{"POST", "/tokenize", kBackend, BodyKind::kOther, kImmediate},
    Route{"POST", "/detokenize", kBackend, BodyKind::kOther, kImmediate},
    Route{"POST", "/score", kBackend},
    Route{"POST", "/v1/score", kBackend},
    Route{"POST", "/rerank", kBackend},
    Route{"POST", "/v1/rerank", kBackend},
    Route{"POST", "/v2/rerank", kBackend},
    Route{"POST", "/pooling", kBackend},
    Route{"POST", "/classify", kBackend},
    Route{"POST", "/generative_scoring", kBackend},
    Route{"POST", "/invocations", kBackend, BodyKind::kPrompted},
    Route{"POST", "/inference/v1/generate", kBackend},
    Route{"POST", "/v1/systemone", kBackend, BodyKind::kPrompted},
    Route{.method = "POST", .path = "/v1/decisions", .body = BodyKind::kPrompted, .decides = true},
    Route{"POST", "/v1/audio/transcriptions", kBackend, BodyKind::kForm},
    Route{"POST", "/v1/audio/translations", kBackend, BodyKind::kForm},
    Route{"POST", "/v1/audio/speech", kBackend},
    Route{"POST", "/v1/completions/render", kBackend, BodyKind::kOther, kImmediate},
    Route{"POST", "/v1/chat/completions/render", kBackend, BodyKind::kOther, kImmediate},
    Route{"POST", "/v1/messages/render", kBackend, BodyKind::kOther, kImmediate, kTyped},
    Route{"POST", "/v1/responses/render", kBackend, BodyKind::kOther, kImmediate, kTyped},
    Route{"GET", "/tokenizer_info", kBackend, BodyKind::kOther, kImmediate},
    Route{"GET", "/v1/models", &list_models},
    Route{"GET", "/health", &tell_health},
    Route{"GET", "/ping", &tell_health},
    Route{"GET", "/version", &tell_version},
    Route{"GET", "/load", &tell_load},
};

constexpr bool has_one_row(std::string_view path) {
  return std::ranges::count(kRoutes, path, &Route::path) == 1;
}
static_assert(std::ranges::all_of(kRoutes, has_one_row, &Route::path), "each path has one row");

// Not in the table, so that nobody else's request is compared with it.
constexpr Route kOptions{"OPTIONS", "*", &tell_methods};

// Looked at when no row above has the path: nobody else's request pays for them.
constexpr std::array kServicePaths = {
    ServicePath{"/v1/files", "GET, POST, OPTIONS"},
    ServicePath{"/v1/files/{id}", "GET, DELETE, OPTIONS"},
    ServicePath{"/v1/files/{id}/content", "GET, OPTIONS"},
    ServicePath{"/v1/batches", "GET, POST, OPTIONS"},
    ServicePath{"/v1/batches/{id}", "GET, OPTIONS"},
    ServicePath{"/v1/batches/{id}/cancel", "POST, OPTIONS"},
    ServicePath{"/v1/bulk", "POST, OPTIONS"},
};
constexpr Route kHandedOver{.method = "", .path = "", .handed_over = true};

// Paths that people look for here, and why they are not.
struct NotHere {
  std::string_view path;  // with a slash at its end: all paths below it
  std::string_view why;
};
constexpr std::string_view kOnAdmin = "The admin address (batchproxy.admin) has this path.";
constexpr std::string_view kForAllEngines =
    "The admin address (batchproxy.admin) has this path, and asks all engines.";
constexpr std::array kNotHere = {
    NotHere{"/ui", kOnAdmin},
    NotHere{"/metrics", kOnAdmin},
    NotHere{"/status", kOnAdmin},
    NotHere{"/livez", kOnAdmin},
    NotHere{"/readyz", kOnAdmin},
    NotHere{"/admin/", kOnAdmin},
    NotHere{"/v1/load_lora_adapter", kForAllEngines},
    NotHere{"/v1/unload_lora_adapter", kForAllEngines},
    NotHere{"/v1/responses/",
            "Engines keep their own stored responses, and batchproxy cannot tell which engine has "
            "this one. Send the conversation with each request instead."},
};

std::string_view without_slash(std::string_view path) {
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path;
}

// The first segment of `path`, which is taken off it.
std::string_view next_segment(std::string_view& path) {
  const std::size_t end = std::min(path.find('/', 1), path.size());
  const std::string_view segment = path.substr(0, end);
  path.remove_prefix(end);
  return segment;
}

bool matches(std::string_view pattern, std::string_view path) {
  while (!pattern.empty() && !path.empty()) {
    const std::string_view wanted = next_segment(pattern);
    const std::string_view found = next_segment(path);
    if (wanted.starts_with("/{") ? found.size() < 2 : wanted != found) return false;
  }
  return pattern.empty() && path.empty();
}

bool names_method(std::string_view allow, std::string_view method) {
  const std::size_t at = allow.find(method);
  const std::size_t end = at + method.size();
  return at != std::string_view::npos && (end == allow.size() || allow[end] == ',');
}

const Route* find_path(std::string_view path) {
  const auto it = std::ranges::find(kRoutes, without_slash(path), &Route::path);
  return it == kRoutes.end() ? nullptr : &*it;
}

bool takes_head(const Route& route) {
  return route.method == "GET" && route.handler != kBackend;
}

// The served path that `path` may have meant; empty if there is none.
std::string_view nearest_path(std::string_view path, const std::vector<std::string_view>& served) {
  constexpr std::string_view kVersion = "/v1";
  if (const Route* route = find_path(std::string(kVersion).append(path))) return route->path;
  // A base URL that ends in what the client adds, too.
  for (auto tail = path; tail.starts_with(kVersion);) {
    tail.remove_prefix(kVersion.size());
    if (const Route* route = find_path(tail)) return route->path;
  }
  return nearest_name(without_slash(path), served).value_or(std::string_view());
}

Error nothing_at(std::string_view path) {
  std::string text = "batchproxy serves nothing at " + std::string(path) + ". ";
  const auto known = std::ranges::find_if(kNotHere, [&](const NotHere& other) {
    return other.path.ends_with('/') ? path.starts_with(other.path)
                                     : without_slash(path) == other.path;
  });
  if (known != kNotHere.end()) return {Errc::kUnknownRoute, text.append(known->why)};
  std::vector<std::string_view> served;
  for (const Route& route : kRoutes) served.push_back(route.path);
  for (const ServicePath& service : kServicePaths) {
    if (service.pattern.find('{') == std::string_view::npos) served.push_back(service.pattern);
  }
  const std::string_view nearest = nearest_path(path, served);
  if (!nearest.empty()) {
    return {Errc::kUnknownRoute, text.append("Did you mean ").append(nearest).append("?")};
  }
  return {Errc::kUnknownRoute,
          text.append("It serves /v1/completions, /v1/chat/completions, /v1/models and others: "
                      "docs/ROUTES.md lists them.")};
}

}  // namespace

std::span<const Route> routes() {
  return kRoutes;
}

std::span<const ServicePath> service_paths() {
  return kServicePaths;
}

const ServicePath* find_service_path(std::string_view path) {
  path = without_slash(path);
  const auto found = std::ranges::find_if(
      kServicePaths, [path](const ServicePath& row) { return matches(row.pattern, path); });
  return found == kServicePaths.end() ? nullptr : &*found;
}

namespace {

Error wrong_method(std::string_view path, std::string_view takes, std::string_view method,
                   std::string_view allow) {
  std::string text(path);
  text.append(" takes ").append(takes).append(", not ").append(method).append(".");
  return Error{Errc::kMethodNotAllowed, std::move(text), {}, allow};
}

Result<const Route*> find_service(std::string_view method, std::string_view path) {
  const ServicePath* service = find_service_path(path);
  if (service == nullptr) return nothing_at(path);
  if (method == kOptions.method) return &kOptions;
  if (names_method(service->allow, method)) return &kHandedOver;
  const std::string_view takes = service->allow.substr(0, service->allow.rfind(','));
  return wrong_method(path, takes, method, service->allow);
}

}  // namespace

Result<const Route*> find_route(std::string_view method, std::string_view path) {
  const Route* route = find_path(path);
  if (route == nullptr && method == kOptions.method && path == kOptions.path) return &kOptions;
  if (route == nullptr) return find_service(method, path);
  const bool taken = route->method == method || (method == "HEAD" && takes_head(*route));
  if (!taken && method == kOptions.method) return &kOptions;
  if (!taken) return wrong_method(path, route->method, method, allowed_methods(path));
  return route;
}

std::string_view allowed_methods(std::string_view path) {
  if (path == kOptions.path) return kAllMethods;
  const Route* route = find_path(path);
  if (route == nullptr) {
    const ServicePath* service = find_service_path(path);
    return service == nullptr ? std::string_view() : service->allow;
  }
  if (takes_head(*route)) return "GET, HEAD, OPTIONS";
  return route->method == "GET" ? "GET, OPTIONS" : "POST, OPTIONS";
}

ErrorForm error_form(std::string_view target) {
  const Route* route = find_path(target.substr(0, target.find('?')));
  return route == nullptr ? ErrorForm::kPlain : route->errors;
}

}  // namespace batchproxy
