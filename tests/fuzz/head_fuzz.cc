// tests/fuzz/head_fuzz.cc - the head reader on arbitrary bytes: no crash, no read out of bounds,
// and the end of the head does not depend on how the bytes were cut.
#include <cstdlib>
#include <memory>

#include "backends/http/head.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace batchproxy::http;
  static const auto request = std::make_unique<RequestHead>();
  static const auto response = std::make_unique<ResponseHead>();
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto end = find_head_end(bytes, 0);
  const std::size_t cut = size / 2;
  const auto early = find_head_end(bytes.substr(0, cut), 0);
  if (end != (early ? early : find_head_end(bytes, cut))) std::abort();
  if (!end) {
    (void)check_partial_head(bytes, kRequestLimits);
    return 0;
  }
  const std::string_view head = bytes.substr(0, *end);
  if (!parse_request_head(head, kRequestLimits, *request)) {
    // What was accepted has one reading of where its body ends.
    const Framing& framing = request->fields.framing;
    if (framing.chunked && framing.content_length) std::abort();
    if (request->target.empty() || request->method.empty()) std::abort();
  }
  (void)parse_response_head(head, kResponseLimits, *response);
  return 0;
}
