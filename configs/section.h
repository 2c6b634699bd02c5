// configs/section.h - walks the aggregates of options.h member by member.
//
// A section is a plain struct whose members are Keys or further sections, so adding a key to
// options.h is all it takes for it to be loaded, checked, shown and documented.
//
// Threading: any thread; no state.
#pragma once

#include <string_view>
#include <vector>

#include <boost/pfr.hpp>

#include "configs/options.h"

namespace batchproxy {

template <class T>
constexpr std::string_view name_of(const Key<T>& key) {
  return key.name;
}
constexpr std::string_view name_of(const LauncherOptions&) {
  return "launcher";
}

template <class T>
inline constexpr bool is_key = false;
template <class T>
inline constexpr bool is_key<Key<T>> = true;

// Calls visit(member) for each Key and each nested section.
template <class Section, class Visit>
void for_each_member(Section& section, Visit visit) {
  boost::pfr::for_each_field(section, [&](auto& member) { visit(member); });
}

template <class Section>
std::vector<std::string_view> member_names(const Section& section) {
  std::vector<std::string_view> names;
  for_each_member(section, [&](const auto& member) { names.push_back(name_of(member)); });
  return names;
}

}  // namespace batchproxy
