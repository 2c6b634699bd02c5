// tests/fuzz/body_scan_fuzz.cc - the look at a request's JSON on arbitrary bytes.
#include <cstdlib>
#include <string>

#include "backends/json/body_scan.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static batchproxy::BodyScanner scanner;
  std::string padded(reinterpret_cast<const char*>(data), size);
  padded.append(batchproxy::BodyScanner::kPadding, '\0');
  const auto scan =
      scanner.scan(std::string_view(padded).substr(0, size), batchproxy::BodyKind::kCompletion);
  if (scan && scan->prompts == 0) std::abort();
  return 0;
}
