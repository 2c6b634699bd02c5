// tests/fuzz/chunked_fuzz.cc - the chunk decoder: any cut of the same bytes gives the same result.
#include <cstdlib>
#include <string>

#include "backends/http/chunked.h"

namespace {

struct Outcome {
  std::string data;
  bool failed = false;
  bool done = false;
  bool operator==(const Outcome&) const = default;
};

Outcome decode(std::string_view bytes, std::size_t cut) {
  batchproxy::http::ChunkDecoder decoder;
  Outcome outcome;
  while (!bytes.empty() && !decoder.done()) {
    std::string_view piece = bytes.substr(0, cut);
    bytes.remove_prefix(piece.size());
    while (!piece.empty() && !decoder.done()) {
      const auto step = decoder.next(piece);
      if (!step) {
        outcome.failed = true;
        return outcome;
      }
      outcome.data += step->data;
      piece.remove_prefix(step->consumed);
    }
  }
  outcome.done = decoder.done();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::size_t cut = 1 + data[0] % 16;
  if (decode(bytes, cut) != decode(bytes, bytes.size() + 1)) std::abort();
  return 0;
}
