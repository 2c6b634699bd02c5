// proxy/jobs/json_line.cc - see json_line.h.
#include "proxy/jobs/json_line.h"

#include <algorithm>

#include <boost/json/serialize.hpp>
#include <simdjson.h>

namespace batchproxy {

std::string json_text(std::string_view text) {
  std::string valid(text);
  if (!simdjson::validate_utf8(valid)) {
    std::ranges::replace_if(
        valid, [](char c) { return static_cast<unsigned char>(c) > 0x7f; }, '?');
  }
  return boost::json::serialize(boost::json::string_view(valid.data(), valid.size()));
}

std::string json_value(const std::string& body) {
  thread_local simdjson::dom::parser parser;
  simdjson::dom::element value;
  if (parser.parse(body).get(value)) return json_text(body);
  return simdjson::minify(value);
}

}  // namespace batchproxy
