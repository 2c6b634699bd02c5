// tests/fuzz/diagnose_fuzz.cc - an engine's log: any bytes give a diagnosis, the same in pieces,
// short, and such as a terminal and a JSON parser can be shown.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <simdjson.h>

#include "launcher/diagnosis/diagnosis.h"
#include "launcher/diagnosis/report.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace batchproxy;
  if (size == 0) return 0;
  const std::size_t piece = 1 + data[0] % 64U;
  const std::string_view log(reinterpret_cast<const char*>(data) + 1, size - 1);

  DiagnosisReader whole;
  whole.feed(log);
  const Diagnosis diagnosis = whole.diagnose();
  DiagnosisReader in_pieces;
  for (std::size_t at = 0; at < log.size(); at += piece) in_pieces.feed(log.substr(at, piece));
  const std::string json = diagnosis_json(diagnosis, "fuzz.log");
  if (json != diagnosis_json(in_pieces.diagnose(), "fuzz.log")) std::abort();

  if (diagnosis.cause.has_value() != (diagnosis.outcome == Diagnosis::Outcome::kFailed))
    std::abort();
  if (json.size() > 256UL * 1024) std::abort();
  simdjson::dom::parser parser;
  if (parser.parse(json).error() != simdjson::SUCCESS) std::abort();
  const std::string text = diagnosis_text(diagnosis, "fuzz.log");
  const bool odd = std::ranges::any_of(text, [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f;
  });
  if (odd) std::abort();
  return 0;
}
