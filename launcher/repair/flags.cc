// launcher/repair/flags.cc - where a flag stands among arguments.
#include "launcher/repair/flags.h"

#include <algorithm>
#include <cmath>

#include "configs/text/number.h"

namespace batchproxy {
namespace {

// "--max_model_len=5" is "--max-model-len".
std::string canonical(std::string_view word) {
  std::string name(word.substr(0, word.find('=')));
  if (name == "-tp") return "--tensor-parallel-size";
  if (name == "-pp") return "--pipeline-parallel-size";
  std::ranges::replace(name, '_', '-');
  return name;
}

bool is_flag(std::string_view word) {
  return word.size() > 1 && word[0] == '-' && (word[1] < '0' || word[1] > '9');
}

struct Place {
  std::size_t at = 0;
  std::size_t words = 1;  // 2 with a value behind it
};

std::optional<Place> find(const std::vector<std::string>& argv, std::string_view name) {
  for (std::size_t at = argv.size(); at-- > 0;) {
    if (!is_flag(argv[at]) || canonical(argv[at]) != name) continue;
    const bool has_own = argv[at].find('=') != std::string::npos;
    const bool has_next = !has_own && at + 1 < argv.size() && !is_flag(argv[at + 1]);
    return Place{at, has_next ? 2U : 1U};
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> flag_value(const std::vector<std::string>& argv, std::string_view name) {
  const auto place = find(argv, name);
  if (!place) return std::nullopt;
  if (place->words == 2) return argv[place->at + 1];
  const std::string& word = argv[place->at];
  const std::size_t equals = word.find('=');
  return equals == std::string::npos ? "" : word.substr(equals + 1);
}

std::optional<double> flag_number(const std::vector<std::string>& argv, std::string_view name) {
  auto value = flag_value(argv, name);
  if (!value || value->empty()) return std::nullopt;
  constexpr std::string_view kSuffixes = "kmgKMG";
  const std::size_t suffix = kSuffixes.find(value->back());
  double unit = 1;
  if (suffix != std::string_view::npos) {
    value->pop_back();
    unit = std::pow(suffix < 3 ? 1000.0 : 1024.0, static_cast<double>(suffix % 3 + 1));
  }
  const auto number = number_in<double>(*value);
  if (!number) return std::nullopt;
  return *number * unit;
}

void set_flag(std::vector<std::string>& argv, std::string_view name, const std::string& value) {
  const auto place = find(argv, name);
  const std::size_t at = place ? place->at : argv.size();
  if (place) {
    const auto begin = argv.begin() + static_cast<std::ptrdiff_t>(at);
    argv.erase(begin, begin + static_cast<std::ptrdiff_t>(place->words));
  }
  std::vector<std::string> words{std::string(name)};
  if (!value.empty()) words.push_back(value);
  argv.insert(argv.begin() + static_cast<std::ptrdiff_t>(at), words.begin(), words.end());
}

void remove_flag(std::vector<std::string>& argv, std::string_view name) {
  while (const auto place = find(argv, name)) {
    const auto begin = argv.begin() + static_cast<std::ptrdiff_t>(place->at);
    argv.erase(begin, begin + static_cast<std::ptrdiff_t>(place->words));
  }
}

}  // namespace batchproxy
