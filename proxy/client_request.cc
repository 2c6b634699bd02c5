// proxy/client_request.cc - see client_request.h.
#include "proxy/client_request.h"

#include <xxhash.h>

#include "backends/http/head.h"

namespace batchproxy {

std::uint64_t ClientRequest::content_key() const {
  return XXH3_64bits_withSeed(body.data(), body.size(), XXH3_64bits(target.data(), target.size()));
}

std::string without_field(std::string_view lines, std::string_view name) {
  std::string kept;
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n") + 2);
    if (!http::iequals(line.substr(0, line.find(':')), name)) kept += line;
    lines.remove_prefix(line.size());
  }
  return kept;
}

}  // namespace batchproxy
