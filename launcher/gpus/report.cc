// launcher/gpus/report.cc - see report.h.
#include "launcher/gpus/report.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "configs/text/printable.h"

namespace batchproxy {
namespace {

namespace json = boost::json;

constexpr double kGib = 1024.0 * 1024.0 * 1024.0;

std::string gib(std::uint64_t bytes) {
  return fmt::format("{:.1f}", static_cast<double>(bytes) / kGib);
}

bool is_ours(const Gpu& gpu, const OurGpus& ours) {
  return std::ranges::count(ours.gpus, gpu) > 0;
}

std::string or_dash(const std::optional<unsigned>& value, const char* unit) {
  return value ? std::to_string(*value) + unit : "-";
}

// ---- text ----

using Row = std::vector<std::string>;

// Columns as wide as their widest cell; the first is on the right, the others as `to_right` says.
std::string table_text(const std::vector<Row>& rows, const std::vector<bool>& to_right) {
  std::vector<std::size_t> widths(to_right.size(), 0);
  for (const Row& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths.at(column) = std::max(widths.at(column), row[column].size());
    }
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      const std::string blanks(widths[column] - row[column].size(), ' ');
      line += (column == 0 ? "" : "  ");
      line += to_right[column] ? blanks + row[column] : row[column] + blanks;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string head_text(const Inventory& inventory) {
  const std::size_t count = inventory.gpus.size();
  std::string text = fmt::format("{} GPU{}", count, count == 1 ? "" : "s");
  if (!inventory.driver.empty()) text += ", NVIDIA driver " + inventory.driver;
  if (inventory.cuda > 0) text += ", CUDA up to " + cuda_version_text(inventory.cuda);
  return text + "\n";
}

std::string limit_text(const OurGpus& ours) {
  if (!ours.problem.empty()) return ours.problem + "\n";
  return ours.limited_by.empty() ? "" : ours.limited_by + ": only GPUs marked `yes` are ours\n";
}

std::string gpu_table(const Inventory& inventory, const OurGpus& ours) {
  std::vector<Row> rows{{"GPU", "name", "total GiB", "used", "free", "util", "temp", "ours"}};
  for (const GpuState& gpu : inventory.gpus) {
    const std::string index = std::to_string(gpu.index);
    if (!gpu.problem.empty()) {
      rows.push_back({index, "does not answer", "-", "-", "-", "-", "-", "-"});
      continue;
    }
    rows.push_back({index, printable(gpu.name), gib(gpu.memory.total), gib(gpu.memory.used),
                    gib(gpu.memory.free), or_dash(gpu.utilisation, " %"),
                    or_dash(gpu.temperature, " C"), is_ours(Gpu(gpu.index), ours) ? "yes" : "-"});
  }
  return table_text(rows, {true, false, true, true, true, true, true, false});
}

std::string problems_text(const Inventory& inventory) {
  std::string text;
  for (const GpuState& gpu : inventory.gpus) {
    if (!gpu.problem.empty()) text += gpu.problem + "\n";
  }
  return text;
}

std::string process_table(const Inventory& inventory) {
  std::vector<Row> rows{{"GPU", "pid", "used GiB", "process"}};
  for (const GpuState& gpu : inventory.gpus) {
    for (const GpuProcess& process : gpu.processes) {
      rows.push_back({std::to_string(gpu.index), std::to_string(process.pid),
                      process.used ? gib(*process.used) : "-",
                      process.name.empty() ? "(not seen from here)" : printable(process.name)});
    }
  }
  return rows.size() == 1 ? "" : "\n" + table_text(rows, {true, true, true, false});
}

std::string mig_table(const Inventory& inventory, const OurGpus& ours) {
  std::vector<Row> rows{{"GPU", "MIG instance", "name", "total GiB", "used", "ours"}};
  for (const GpuState& gpu : inventory.gpus) {
    for (const MigInstance& mig : gpu.mig) {
      rows.push_back({std::to_string(gpu.index), mig.uuid, printable(mig.name),
                      gib(mig.memory.total), gib(mig.memory.used),
                      is_ours(Gpu::by_uuid(mig.uuid), ours) ? "yes" : "-"});
    }
  }
  return rows.size() == 1 ? "" : "\n" + table_text(rows, {true, false, false, true, true, false});
}

std::string topology_table(const Inventory& inventory) {
  if (inventory.topology.size() < 2) return "";
  std::vector<Row> rows{{""}};
  for (const GpuState& gpu : inventory.gpus) rows[0].push_back("GPU" + std::to_string(gpu.index));
  for (std::size_t from = 0; from < inventory.topology.size(); ++from) {
    Row& row = rows.emplace_back(Row{"GPU" + std::to_string(inventory.gpus[from].index)});
    for (const GpuConnection& to : inventory.topology[from]) row.push_back(to_string(to));
  }
  return "\n" + table_text(rows, std::vector<bool>(rows[0].size(), false)) +
         "NVn: n NVLinks; PIX, PXB: PCIe switches; PHB: one PCIe root; NODE: one CPU; SYS: between "
         "CPUs\n";
}

// ---- JSON ----

json::value or_null(const std::optional<unsigned>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

json::object memory_json(const GpuMemory& memory) {
  return {{"total", memory.total}, {"used", memory.used}, {"free", memory.free}};
}

json::array processes_json(const GpuState& gpu) {
  json::array list;
  for (const GpuProcess& process : gpu.processes) {
    list.push_back(
        json::object{{"pid", process.pid},
                     {"used", process.used ? json::value(*process.used) : json::value(nullptr)},
                     {"name", process.name}});
  }
  return list;
}

json::array links_json(const GpuState& gpu) {
  json::array list;
  for (const NvLink& link : gpu.links) {
    list.push_back(
        json::object{{"link", link.link},
                     {"remote", link.remote},
                     {"peer", link.peer < 0 ? json::value(nullptr) : json::value(link.peer)}});
  }
  return list;
}

json::array mig_json(const GpuState& gpu, const OurGpus& ours) {
  json::array list;
  for (const MigInstance& mig : gpu.mig) {
    list.push_back(json::object{{"uuid", mig.uuid},
                                {"name", mig.name},
                                {"memory", memory_json(mig.memory)},
                                {"ours", is_ours(Gpu::by_uuid(mig.uuid), ours)}});
  }
  return list;
}

json::object gpu_json(const GpuState& gpu, const Inventory& inventory, const OurGpus& ours) {
  json::object object{{"index", gpu.index}};
  if (!gpu.problem.empty()) {
    object["problem"] = gpu.problem;
    return object;
  }
  object["uuid"] = gpu.uuid;
  object["name"] = gpu.name;
  object["pci"] = gpu.pci;
  object["memory"] = memory_json(gpu.memory);
  object["utilisation"] = or_null(gpu.utilisation);
  object["temperature"] = or_null(gpu.temperature);
  object["compute_capability"] =
      gpu.capability ? json::value(fmt::format("{}.{}", *gpu.capability / 10, *gpu.capability % 10))
                     : json::value(nullptr);
  object["ours"] = is_ours(Gpu(gpu.index), ours);
  object["processes"] = processes_json(gpu);
  object["nvlinks"] = links_json(gpu);
  json::array neighbours;
  for (const int index : inventory.nvlink_neighbours(gpu.index)) neighbours.push_back(index);
  object["nvlink_neighbours"] = std::move(neighbours);
  object["mig_enabled"] = gpu.mig_enabled;
  object["mig"] = mig_json(gpu, ours);
  return object;
}

}  // namespace

std::string gpus_text(const Inventory& inventory, const OurGpus& ours) {
  if (inventory.gpus.empty()) return "the NVIDIA driver is there, but has no GPU\n";
  return head_text(inventory) + limit_text(ours) + "\n" + gpu_table(inventory, ours) +
         problems_text(inventory) + process_table(inventory) + mig_table(inventory, ours) +
         topology_table(inventory);
}

std::string gpus_json(const Inventory& inventory, const OurGpus& ours) {
  json::array gpus;
  for (const GpuState& gpu : inventory.gpus) gpus.push_back(gpu_json(gpu, inventory, ours));
  json::array topology;
  for (const auto& row : inventory.topology) {
    json::array words;
    for (const GpuConnection& to : row) words.push_back(json::string(to_string(to)));
    topology.push_back(std::move(words));
  }
  const std::string cuda = inventory.cuda > 0 ? cuda_version_text(inventory.cuda) : "";
  return json::serialize(json::object{{"driver", inventory.driver},
                                      {"cuda", cuda},
                                      {"limited_by", ours.limited_by},
                                      {"gpus", std::move(gpus)},
                                      {"topology", std::move(topology)}}) +
         "\n";
}

}  // namespace batchproxy
