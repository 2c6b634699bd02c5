// backends/http/head_writer.h - HeadWriter: composes the head of a message in a string.
//
// A head is made of many short pieces, and std::string looks for room at each of them. This has
// room from the beginning, and looks once for all pieces of a line.
//
//   HeadWriter head(text);
//   head.add("HTTP/1.1 ", status, " ", reason, "\r\n");
//   head.field("content-length", length);
//
// Threading: confined to one thread.
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

namespace batchproxy::http {

class HeadWriter {
 public:
  // Writes behind what `out` holds; `out` is whole when the writer is gone.
  explicit HeadWriter(std::string& out) : out_(out), size_(out.size()) {
    out_.resize(size_ + kRoom);
  }
  HeadWriter(const HeadWriter&) = delete;
  HeadWriter& operator=(const HeadWriter&) = delete;
  ~HeadWriter() { out_.resize(size_); }

  // Texts, and unsigned numbers.
  template <class... Pieces>
  void add(const Pieces&... pieces) {
    const std::size_t needed = size_ + (most_of(pieces) + ...);
    if (needed > out_.size()) out_.resize(2 * needed);
    char* at = out_.data() + size_;
    ((at = put(at, pieces)), ...);
    size_ = static_cast<std::size_t>(at - out_.data());
  }
  void field(std::string_view name, const auto& value) { add(name, ": ", value, "\r\n"); }

  // All that the string will hold.
  std::string_view text() const { return std::string_view(out_).substr(0, size_); }

 private:
  static constexpr std::size_t kRoom = 512;  // bytes, for most heads

  // A literal's size is part of its type, and its copy a few moves.
  template <std::size_t n>
  static constexpr std::size_t most_of(const char (&)[n]) {
    return n - 1;
  }
  static std::size_t most_of(std::string_view text) { return text.size(); }
  static constexpr std::size_t most_of(std::unsigned_integral auto) {
    return std::numeric_limits<std::size_t>::digits10 + 1;
  }

  template <std::size_t n>
  static char* put(char* at, const char (&text)[n]) {
    std::memcpy(at, text, n - 1);
    return at + n - 1;
  }
  static char* put(char* at, std::string_view text) {
    text.copy(at, text.size());  // which takes an empty one, too
    return at + text.size();
  }
  static char* put(char* at, std::unsigned_integral auto number) {
    return std::to_chars(at, at + most_of(number), number).ptr;
  }

  std::string& out_;
  std::size_t size_;  // of what is written; out_ is longer
};

}  // namespace batchproxy::http
