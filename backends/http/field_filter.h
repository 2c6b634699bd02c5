// backends/http/field_filter.h - FieldFilter: a set of header fields, by name.
//
// Asked for every field of every message, and nearly always the answer is no: a bit for each length
// and first letter says so before any name is compared.
//
// Threading: immutable once made, any thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/http/head.h"

namespace batchproxy::http {

class FieldFilter {
 public:
  // A name that ends in `*` stands for all that begin so.
  explicit FieldFilter(std::vector<std::string> names) : names_(std::move(names)) {
    for (const std::string& name : names_) {
      const bool open = name.ends_with('*');
      const std::size_t least = name.size() - (open ? 1 : 0);
      for (std::size_t size = least; size <= (open ? kLongest : least); ++size) {
        letters_[slot(size)] |= letter(name);
      }
    }
  }

  bool has(std::string_view name) const {
    return (letters_[slot(name.size())] & letter(name)) != 0 && is_listed(name);
  }

 private:
  static constexpr std::size_t kLongest = 63;  // and all that are longer

  static std::size_t slot(std::size_t size) { return std::min(size, kLongest); }
  // Case is another bit of an ASCII letter.
  static std::uint32_t letter(std::string_view name) {
    return name.empty() ? 0 : std::uint32_t{1} << (name.front() & 31);
  }

  bool is_listed(std::string_view name) const {
    return std::ranges::any_of(names_, [&](std::string_view listed) {
      if (!listed.ends_with('*')) return iequals(name, listed);
      listed.remove_suffix(1);
      return iequals(name.substr(0, listed.size()), listed);
    });
  }

  std::vector<std::string> names_;
  std::array<std::uint32_t, kLongest + 1> letters_{};
};

}  // namespace batchproxy::http
