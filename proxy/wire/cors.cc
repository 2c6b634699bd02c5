// proxy/wire/cors.cc - see cors.h.
#include "proxy/wire/cors.h"

#include <algorithm>

#include "proxy/wire/router.h"

namespace batchproxy {

namespace {

constexpr std::string_view kAny = "*";
// How long a browser may go by a preflight's answer, in seconds: a reload may change it.
constexpr std::string_view kMaxAge = "600";

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return text;
}

// Scripts may read every field that gets to them. `vary`: a cache must not give one page's answer
// to another.
std::string fields_of(std::string_view origin) {
  return "access-control-allow-origin: " + std::string(origin) +
         "\r\naccess-control-expose-headers: *\r\nvary: Origin\r\n";
}

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

// Names between commas, and nothing else: it goes into our answer as it is.
bool is_list_of_names(std::string_view list) {
  while (true) {
    std::string_view name = list.substr(0, list.find(','));
    const std::size_t size = name.size();
    while (!name.empty() && is_blank(name.front())) name.remove_prefix(1);
    while (!name.empty() && is_blank(name.back())) name.remove_suffix(1);
    if (name.empty() || !std::ranges::all_of(name, http::is_token_byte)) return false;
    if (size == list.size()) return true;
    list.remove_prefix(size + 1);
  }
}

// `*` would not do for the fields: it stands for all but `authorization`.
std::string preflight(std::string_view origin, std::string_view methods, std::string_view fields) {
  std::string lines = fields_of(origin);
  lines.append("access-control-allow-methods: ").append(methods).append("\r\n");
  if (is_list_of_names(fields)) {
    lines.append("access-control-allow-headers: ").append(fields).append("\r\n");
  }
  return lines.append("access-control-max-age: ").append(kMaxAge).append("\r\n");
}

}  // namespace

Cors::Cors(const std::vector<std::string>& origins) {
  for (const std::string& written : origins) {
    const std::string origin = lower(written);
    allowed_.push_back({origin, std::make_shared<const std::string>(fields_of(origin))});
  }
}

CorsFields Cors::fields_for(const http::RequestHead& request) const {
  const std::string_view origin = request.fields.get("origin");
  if (origin.empty()) return nullptr;
  const auto found = std::ranges::find_if(allowed_, [&](const Allowed& allowed) {
    return allowed.origin == kAny || allowed.origin == origin;
  });
  if (found == allowed_.end()) return nullptr;
  const bool asks_first =
      request.method == "OPTIONS" && !request.fields.get("access-control-request-method").empty();
  const std::string_view methods = allowed_methods(request.path());
  if (!asks_first || methods.empty()) return found->fields;
  return std::make_shared<const std::string>(
      preflight(found->origin, methods, request.fields.get("access-control-request-headers")));
}

}  // namespace batchproxy
