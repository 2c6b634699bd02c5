// bench/sweep/sweep_plan.cc - see sweep_plan.h.
#include "bench/sweep/sweep_plan.h"

#include <algorithm>

#include <fmt/format.h>

namespace batchproxy::bench {

bool goes_by_batches(const Setting& setting) {
  return setting.flush == "fixed" || setting.merge == "always";
}

std::vector<Setting> settings_of(const SweepAxes& axes) {
  std::vector<Setting> settings;
  const auto add = [&](const Setting& setting) {
    if (std::ranges::find(settings, setting) == settings.end()) settings.push_back(setting);
  };
  for (const std::string& flush : axes.flush) {
    for (const std::string& merge : axes.merge) {
      for (const int size : axes.batch_sizes) {
        for (const double timeout : axes.batch_timeouts) {
          for (const std::size_t workers : axes.workers) {
            Setting setting{workers, flush, merge, size, timeout};
            if (!goes_by_batches(setting)) {
              setting.batch_size = axes.batch_sizes.front();
              setting.batch_timeout = axes.batch_timeouts.front();
            }
            add(setting);
          }
        }
      }
    }
  }
  return settings;
}

std::string query_of(const Setting& setting) {
  return fmt::format("enable_batching=true&flush={}&merge={}&batch_size={}&batch_timeout={}",
                     setting.flush, setting.merge, setting.batch_size, setting.batch_timeout);
}

std::string words_of(const Setting& setting) {
  const std::string merge = setting.merge == "auto" ? "" : fmt::format(", merge {}", setting.merge);
  if (!goes_by_batches(setting)) return setting.flush + merge;
  return fmt::format("{}, {} or {:g} s{}", setting.flush, setting.batch_size, setting.batch_timeout,
                     merge);
}

std::string yaml_of(const Setting& setting) {
  // Of the others size and time-out were not tried.
  const std::string batches = goes_by_batches(setting)
                                  ? fmt::format("batch_size: {}\nbatch_timeout: {:g}\n",
                                                setting.batch_size, setting.batch_timeout)
                                  : "";
  return fmt::format("{}parallel_workers: {}\nbatchproxy:\n  flush: {}\n  merge: {}\n", batches,
                     setting.workers, setting.flush,
                     setting.merge == "off" ? "\"off\"" : setting.merge);
}

}  // namespace batchproxy::bench
