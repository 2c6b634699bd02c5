// launcher/outlook/room.cc - the largest engines first, each to the fullest node that has room.
#include "launcher/outlook/room.h"

#include <algorithm>
#include <functional>
#include <map>
#include <span>

#include <fmt/format.h>

namespace batchproxy {
namespace {

constexpr std::size_t kNamesShown = 8;

std::string plural(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

// By size, the largest first.
using Counts = std::map<std::size_t, std::size_t, std::greater<>>;

// "8 engines of 2 GPUs, 1 engine of 1 GPU"
std::string in_words(const Counts& counts, std::string_view noun) {
  std::string text;
  for (const auto& [gpus, count] : counts) {
    text += text.empty() ? "" : ", ";
    text += plural(count, noun) + (gpus == 0 ? " without GPUs" : " of " + plural(gpus, "GPU"));
  }
  return text;
}

Counts counted(std::span<const std::size_t> sizes) {
  Counts counts;
  for (const std::size_t size : sizes) ++counts[size];
  return counts;
}

std::string nodes_text(const std::vector<NodeRoom>& nodes) {
  std::vector<std::size_t> sizes;
  std::vector<std::string> names;
  for (const NodeRoom& node : nodes) {
    sizes.push_back(node.gpus);
    names.push_back(node.name);
  }
  if (nodes.empty()) return "no node";
  return fmt::format("{} ({})", in_words(counted(sizes), "node"), some_of(names));
}

}  // namespace

Fit fit_engines(std::vector<std::size_t> needs, const std::vector<NodeRoom>& nodes) {
  std::ranges::sort(needs, std::greater<>());
  std::vector<std::size_t> left;
  for (const NodeRoom& node : nodes) left.push_back(node.gpus);
  std::vector<std::size_t> homeless;
  for (const std::size_t need : needs) {
    const auto has_room = [need](std::size_t gpus) { return gpus >= need; };
    auto best = left.end();
    for (auto it = left.begin(); it != left.end(); ++it) {
      if (has_room(*it) && (best == left.end() || *it < *best)) best = it;
    }
    if (best == left.end()) {
      homeless.push_back(need);
    } else {
      *best -= need;
    }
  }
  const std::string engines = in_words(counted(needs), "engine");
  const std::string text = nodes_text(nodes) + ": " + engines;
  if (homeless.empty()) return {true, text + (needs.size() == 1 ? " fits" : " fit")};
  const std::size_t most = nodes.empty() ? 0 : std::ranges::max(nodes, {}, &NodeRoom::gpus).gpus;
  if (needs.front() > most) {
    return {false, fmt::format("{}: no node has {}, and an engine does not span nodes",
                               nodes_text(nodes), plural(needs.front(), "GPU"))};
  }
  return {false, fmt::format("{} do not all fit: {} of them {} no room", text, homeless.size(),
                             homeless.size() == 1 ? "finds" : "find")};
}

std::string some_of(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kNamesShown) text += fmt::format(" and {} more", names.size() - kNamesShown);
  return text;
}

}  // namespace batchproxy
