// proxy/files/free_space.cc - see free_space.h.
#include "proxy/files/free_space.h"

#include <filesystem>
#include <system_error>

namespace batchproxy {

std::uint64_t free_bytes_at(const std::string& directory) {
  if (directory.empty()) return 0;
  std::error_code error;
  std::filesystem::path place = std::filesystem::absolute(directory, error).lexically_normal();
  // Also above one that we may not look into.
  while (!std::filesystem::is_directory(place, error) && place.has_relative_path()) {
    place = place.parent_path();
  }
  const auto space = std::filesystem::space(place, error);
  return error ? 0 : space.available;
}

}  // namespace batchproxy
