// proxy/jobs/deterministic.cc - see deterministic.h.
#include "proxy/jobs/deterministic.h"

#include <cstdint>

#include <simdjson.h>

namespace batchproxy {

bool is_deterministic(std::string_view body) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(body.data(), body.size(), /*realloc_if_needed=*/true).get(object)) return false;
  bool streams = false;
  if (!object["stream"].get(streams) && streams) return false;
  double temperature = 1;
  if (!object["temperature"].get(temperature) && temperature == 0) return true;
  std::int64_t seed = 0;
  return !object["seed"].get(seed);
}

}  // namespace batchproxy
