// launcher/placement/placements.cc - the table.
#include "launcher/placement/placements.h"

#include <algorithm>
#include <array>

#include "launcher/placement/exec_placement.h"
#include "launcher/placement/ray_placement.h"
#include "launcher/placement/slurm_placement.h"

namespace batchproxy {
namespace {

constexpr std::array kRows{
    PlacementRow{"exec", &exec_lacks, &exec_shown, &make_exec_placement},
    PlacementRow{"slurm", &slurm_lacks, &slurm_shown, &make_slurm_placement},
    PlacementRow{"ray", &ray_lacks, &ray_shown, &make_ray_placement},
};

// A word of the configuration without its row, or a row that lacks something, does not compile.
constexpr bool has_row(std::string_view word) {
  return std::ranges::any_of(kRows, [word](const PlacementRow& row) {
    return row.name == word && row.lacks != nullptr && row.shown != nullptr && row.make != nullptr;
  });
}
static_assert(kRows.size() + 1 == kPlacementWords.size());
static_assert(std::all_of(kPlacementWords.begin() + 1, kPlacementWords.end(), has_row));

}  // namespace

const PlacementRow* placement_row(const Options& options) {
  const auto row = std::ranges::find(kRows, std::string_view(*options.proxy.launcher.placement),
                                     &PlacementRow::name);
  return row == kRows.end() ? nullptr : &*row;
}

}  // namespace batchproxy
