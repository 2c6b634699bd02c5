// configs/sources/usual_places.cc - see usual_places.h.
#include "configs/sources/usual_places.h"

namespace batchproxy {

std::vector<std::string> usual_places(const Environment& environment) {
  std::vector<std::string> places{"batchproxy.yaml"};
  const auto add = [&](const std::string& variable, const std::string& below) {
    const auto folder = environment.find(variable);
    if (folder == environment.end() || !folder->second.starts_with('/')) return false;
    places.push_back(folder->second + below);
    return true;
  };
  if (!add("XDG_CONFIG_HOME", "/batchproxy/batchproxy.yaml")) {
    add("HOME", "/.config/batchproxy/batchproxy.yaml");
  }
  places.emplace_back("/etc/batchproxy/batchproxy.yaml");
  return places;
}

}  // namespace batchproxy
