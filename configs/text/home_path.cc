// configs/text/home_path.cc - looks into HOME.
#include "configs/text/home_path.h"

#include <cstdlib>

namespace batchproxy {

std::string with_home(std::string path) {
  const char* const home = std::getenv("HOME");
  const bool meant = path == "~" || path.starts_with("~/");
  if (meant && home != nullptr) path.replace(0, 1, home);
  return path;
}

}  // namespace batchproxy
