// tests/fuzz/config_fuzz.cc - the configuration file: any bytes give options or say what is wrong,
// in lines that a terminal can be shown.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "configs/describe.h"
#include "configs/loader.h"
#include "configs/schema/backend_source.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace batchproxy;
  if (size > 16 * 1024) return 0;
  LoadInputs inputs;
  inputs.file = "fuzz.yaml";
  inputs.text.emplace(reinterpret_cast<const char*>(data), size);
  const LoadResult result = load(inputs);
  for (const Diagnostic& one : result.diagnostics) {
    if (one.message.empty() || one.file.empty() || one.line < 0 || one.column < 0) std::abort();
    const std::string line = one.format();
    const bool odd = std::ranges::any_of(
        line, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    if (odd) std::abort();
  }
  (void)backend_source(result.options);
  if (result.ok() && show_effective(result.options).empty()) std::abort();
  return 0;
}
