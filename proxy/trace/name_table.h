// proxy/trace/name_table.h - NameTable: one lasting copy of each name, so that a record of a
// request holds a pointer and no text.
//
// Threading: grows on one thread; any thread may read a name that it was handed over, for as long
// as the table lives.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace batchproxy {

class NameTable {
 public:
  static constexpr std::size_t kMost = 4096;    // however often a reload brings other backends
  static constexpr std::size_t kLongest = 256;  // bytes; of a longer one this beginning is kept

  // Null for an empty name, and for a new one when the table is full. Nearly always the name is
  // that of the last call, and nothing is looked up.
  const std::string* keep(std::string_view name);

 private:
  std::set<std::string, std::less<>> names_;
  const std::string* last_ = nullptr;
};

}  // namespace batchproxy
