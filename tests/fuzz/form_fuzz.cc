// tests/fuzz/form_fuzz.cc - a form: what is read of it lies within it, and is what a form made of
// that says.
//
// Input: the Content-Type, a line end, and the body.
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include "backends/json/form_scan.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t end = bytes.find('\n');
  if (end == std::string_view::npos) return 0;
  const std::string_view type = bytes.substr(0, end);
  const std::string_view body = bytes.substr(end + 1);
  const batchproxy::FormScan scan = batchproxy::scan_form(type, body);
  if (scan.model.empty()) return 0;
  const std::less_equal<> before;
  const bool inside = before(body.data(), scan.model.data()) &&
                      before(scan.model.data() + scan.model.size(), body.data() + body.size());
  if (!inside) std::abort();
  // A boundary that the value cannot hold: it is longer.
  const std::string boundary(70, 'b');
  if (scan.model.find(boundary) != std::string_view::npos) return 0;
  const std::string again = "--" + boundary +
                            "\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" +
                            std::string(scan.model) + "\r\n--" + boundary + "--\r\n";
  const auto same = batchproxy::scan_form("multipart/form-data; boundary=" + boundary, again);
  if (same.model != scan.model) std::abort();
  return 0;
}
