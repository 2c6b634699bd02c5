// proxy/wire/router.h - the data listener's allow-list: method and path -> who answers.
//
// Threading: pure functions over a constant table, any thread.
#pragma once

#include <span>
#include <string_view>

#include "backends/json/body_scan.h"
#include "batcher/base/error.h"
#include "proxy/wire/local_answers.h"

namespace batchproxy {

// How our own errors look to the clients of a path.
enum class ErrorForm {
  kPlain,  // {"error":{…}}, as in OpenAI's API
  // {"type":"error","error":{…}}, in a stream as an event of the name `error`: where events have
  // names, Anthropic's clients overlook one without.
  kTyped,
};

struct Route {
  std::string_view method;
  std::string_view path;
  Handler handler = nullptr;  // null: a backend answers
  BodyKind body = BodyKind::kOther;
  bool immediate = false;  // needs no slot of the engine: see Ticket
  ErrorForm errors = ErrorForm::kPlain;
  bool handed_over = false;  // the whole connection goes to the service of files and batches
  bool decides = false;      // batchproxy answers where an engine cannot: see proxy/decisions

  // Whether success is a JSON object here, unless it is a stream.
  bool expects_object() const { return body <= BodyKind::kChatBatch; }
};

// For `allow` where no path is asked for.
constexpr std::string_view kAllMethods = "GET, HEAD, POST, OPTIONS";

// All of them, for docs/ROUTES.md.
std::span<const Route> routes();

// Where connections are handed over. A segment of `pattern` in braces stands for any one.
struct ServicePath {
  std::string_view pattern;
  std::string_view allow;  // its methods
};
std::span<const ServicePath> service_paths();
// The row of `path`, null if there is none.
const ServicePath* find_service_path(std::string_view path);

// The route of `method` and `path`, or kUnknownRoute, or kMethodNotAllowed (with the methods that
// would do). A slash at the end makes no difference; HEAD is taken where we answer
// GET ourselves, OPTIONS everywhere.
Result<const Route*> find_route(std::string_view method, std::string_view path);
// For `allow`; empty where nothing is served.
std::string_view allowed_methods(std::string_view path);
// For a request that is refused before it has a route. `target`: a path, maybe with a query.
ErrorForm error_form(std::string_view target);

}  // namespace batchproxy
