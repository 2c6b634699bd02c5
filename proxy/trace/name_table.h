// proxy/trace/name_table.h - NameTable: one lasting copy of each name that requests have named, so
// that a record of a request holds a pointer and no text.
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
  // Names come from clients, who could make up any number of them.
  static constexpr std::size_t kMost = 1024;
  static constexpr std::size_t kLongest = 256;  // bytes; of a longer one this beginning is kept

  // Null for an empty name, and for a new one when the table is full. Nearly always the name is
  // that of the last call, and nothing is looked up.
  const std::string* keep(std::string_view name);

 private:
  std::set<std::string, std::less<>> names_;
  const std::string* last_ = nullptr;
};

}  // namespace batchproxy
