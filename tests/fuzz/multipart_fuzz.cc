// tests/fuzz/multipart_fuzz.cc - an upload's form: cut anywhere, it gives the same parts as whole.
//
// Input: a byte, the Content-Type, a line end, and the body. The byte is the length of the pieces.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proxy/files/multipart_reader.h"

namespace {

// What a form gives, as a text.
class Told final : public batchproxy::FormSink {
 public:
  void begin_part(const batchproxy::FormPart& part) override {
    if (inside_) std::abort();
    inside_ = true;
    text_ += "[" + part.name + "|" + part.filename.value_or("-") + "|";
  }
  void add_bytes(std::string_view bytes) override {
    if (!inside_) std::abort();
    text_ += bytes;
  }
  void end_part() override {
    if (!inside_) std::abort();
    inside_ = false;
    text_ += "]";
  }

  const std::string& text() const { return text_; }
  bool inside() const { return inside_; }

 private:
  std::string text_;
  bool inside_ = false;
};

struct Outcome {
  bool well_formed = true;
  bool done = false;
  std::string told{};
};

Outcome read(std::string_view boundary, std::string_view body, std::size_t piece) {
  Told told;
  batchproxy::MultipartReader reader(boundary, told);
  Outcome outcome;
  while (!body.empty() && outcome.well_formed) {
    const std::size_t size = std::min(piece, body.size());
    outcome.well_formed = reader.feed(body.substr(0, size));
    body.remove_prefix(size);
  }
  outcome.done = reader.done();
  if (outcome.done && told.inside()) std::abort();
  outcome.told = told.text();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t end = bytes.find('\n');
  if (end == std::string_view::npos || end == 0) return 0;
  const auto boundary = batchproxy::boundary_of(bytes.substr(1, end - 1));
  if (!boundary) return 0;
  const std::string_view body = bytes.substr(end + 1);
  const std::size_t piece = std::max<std::size_t>(1, data[0]);
  const Outcome whole = read(*boundary, body, std::max<std::size_t>(1, body.size()));
  const Outcome cut = read(*boundary, body, piece);
  if (whole.well_formed != cut.well_formed) std::abort();
  // One that is malformed may have told more or less by then.
  if (whole.well_formed && (whole.done != cut.done || whole.told != cut.told)) std::abort();
  return 0;
}
