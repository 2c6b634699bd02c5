// proxy/trace/name_table.cc - see name_table.h.
#include "proxy/trace/name_table.h"

namespace batchproxy {

const std::string* NameTable::keep(std::string_view name) {
  name = name.substr(0, kLongest);
  if (last_ != nullptr && *last_ == name) return last_;
  if (name.empty()) return nullptr;
  auto it = names_.find(name);
  if (it == names_.end()) {
    if (names_.size() >= kMost) return nullptr;
    it = names_.emplace(name).first;
  }
  return last_ = &*it;
}

}  // namespace batchproxy
