// backends/http/chunked.h - the strict decoder of `Transfer-Encoding: chunked`.
//
// Sans-io and incremental: give it bytes as they come, in any cut. Sizes are 1 to 15 hex digits,
// extensions are counted and dropped, trailers are bounded and dropped.
//
// Threading: confined to one I/O thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "batcher/base/error.h"

namespace batchproxy::http {

class ChunkDecoder {
 public:
  static constexpr std::size_t kMaxLine = 256;              // a size line with its extension
  static constexpr std::size_t kMaxExtensions = 16 * 1024;  // over the whole body
  static constexpr std::size_t kMaxTrailers = 8 * 1024;
  static constexpr std::size_t kMaxTrailerFields = 16;

  struct Step {
    std::size_t consumed = 0;  // bytes of the input dealt with
    std::string_view data;     // decoded bytes, a view into the input; may be empty
  };

  // Reads up to the end of one run of data. Call again with the rest until it consumes nothing.
  Result<Step> next(std::string_view input);

  bool done() const { return state_ == State::kDone; }

  // Bytes that the current chunk has announced and not yet delivered.
  std::uint64_t pending() const { return state_ == State::kData ? remaining_ : 0; }

 private:
  enum class State { kSize, kExtension, kSizeEnd, kData, kDataCr, kDataLf, kTrailer, kDone };
  // Where in `;name=value` an extension stands.
  enum class Extension {
    kBegin,
    kName,
    kAfterName,
    kValue,
    kToken,
    kQuoted,
    kEscaped,
    kAfterValue
  };

  std::optional<Error> size_byte(char c);
  std::optional<Error> extension_byte(char c);
  std::optional<Error> extension_grammar(char c);
  std::optional<Error> trailer_byte(char c);

  State state_ = State::kSize;
  Extension extension_ = Extension::kBegin;
  std::uint64_t remaining_ = 0;  // of the current chunk's size or data
  std::size_t digits_ = 0;
  std::size_t line_ = 0;  // bytes in the current size line
  std::size_t extensions_ = 0;
  std::size_t trailers_ = 0;
  std::size_t trailer_fields_ = 0;
  std::size_t trailer_line_ = 0;  // bytes in the current trailer line
  bool after_cr_ = false;
};

}  // namespace batchproxy::http
