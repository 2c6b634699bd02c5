// configs/schema/section.h - walks the aggregates of options.h member by member.
//
// A section is a plain struct whose members are Keys or further sections, so adding a key to
// options.h is all it takes for it to be loaded, checked, shown and documented.
//
// Threading: any thread; no state.
#pragma once

#include <string_view>
#include <type_traits>
#include <vector>

#include <boost/pfr.hpp>

#include "configs/schema/options.h"

namespace batchproxy {

template <class T>
constexpr std::string_view name_of(const Key<T>& key) {
  return key.name;
}
constexpr std::string_view name_of(const JobsOptions&) {
  return "jobs";
}
constexpr std::string_view name_of(const TlsOptions&) {
  return "tls";
}
constexpr std::string_view name_of(const AccessLogOptions&) {
  return "access_log";
}
constexpr std::string_view name_of(const TracingOptions&) {
  return "tracing";
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

// Calls visit(key) for each Key of `section` and of the sections in it; not for those of lists.
template <class Section, class Visit>
void for_each_key(Section& section, const Visit& visit) {
  for_each_member(section, [&](auto& member) {
    if constexpr (is_key<std::remove_cvref_t<decltype(member)>>) {
      visit(member);
    } else {
      for_each_key(member, visit);
    }
  });
}

// Calls visit(key, other_key) for each Key of `section` and the same one of `other`.
template <class Section, class Visit>
void for_each_key_pair(Section& section, const Section& other, const Visit& visit) {
  boost::pfr::for_each_field(section, [&](auto& member, auto index) {
    const auto& twin = boost::pfr::get<index>(other);
    if constexpr (is_key<std::remove_cvref_t<decltype(member)>>) {
      visit(member, twin);
    } else {
      for_each_key_pair(member, twin, visit);
    }
  });
}

template <class Section>
std::vector<std::string_view> member_names(const Section& section) {
  std::vector<std::string_view> names;
  for_each_member(section, [&](const auto& member) { names.push_back(name_of(member)); });
  return names;
}

}  // namespace batchproxy
