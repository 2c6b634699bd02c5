// configs/sources/environment.cc - see environment.h.
#include "configs/sources/environment.h"

#include <string_view>

#include <unistd.h>

namespace batchproxy {

Environment process_environment() {
  Environment all;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view line(*entry);
    const std::size_t equals = line.find('=');
    if (equals != std::string_view::npos) {
      all.emplace(line.substr(0, equals), line.substr(equals + 1));
    }
  }
  return all;
}

}  // namespace batchproxy
