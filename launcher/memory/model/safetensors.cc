// launcher/memory/model/safetensors.cc - see safetensors.h.
#include "launcher/memory/model/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include <fmt/format.h>
#include <simdjson.h>

namespace batchproxy {
namespace {

namespace dom = simdjson::dom;

constexpr std::int64_t kMostElements = std::int64_t{1} << 50;

struct Dtype {
  std::string_view name;
  int bits;
};
constexpr std::array kDtypes{
    Dtype{"F64", 64},        Dtype{"F32", 32},        Dtype{"F16", 16},    Dtype{"BF16", 16},
    Dtype{"F8_E4M3", 8},     Dtype{"F8_E5M2", 8},     Dtype{"F8_E8M0", 8}, Dtype{"F6_E2M3", 6},
    Dtype{"F6_E3M2", 6},     Dtype{"F4", 4},          Dtype{"I64", 64},    Dtype{"I32", 32},
    Dtype{"I16", 16},        Dtype{"I8", 8},          Dtype{"U64", 64},    Dtype{"U32", 32},
    Dtype{"U16", 16},        Dtype{"U8", 8},          Dtype{"BOOL", 8},    Dtype{"C64", 64},
    Dtype{"F8_E4M3FNUZ", 8}, Dtype{"F8_E5M2FNUZ", 8},
};

// The product of the dimensions; nothing if one is negative, or all together are absurd.
std::optional<std::int64_t> elements_of(dom::array shape) {
  std::int64_t elements = 1;
  for (const dom::element item : shape) {
    std::int64_t size = 0;
    if (item.get(size) != simdjson::SUCCESS || size < 0) return std::nullopt;
    if (size > 0 && elements > kMostElements / size) return std::nullopt;
    elements *= size;
  }
  return elements;
}

struct Span {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

std::optional<Span> span_of(dom::array offsets) {
  Span span;
  if (offsets.size() != 2 || offsets.at(0).get(span.begin) != simdjson::SUCCESS ||
      offsets.at(1).get(span.end) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  if (span.begin < 0 || span.end < span.begin || span.end > kMostElements * 8) return std::nullopt;
  return span;
}

NotPlanned damaged(const std::string& file, const std::string& what) {
  return {fmt::format("{}: damaged safetensors header: {}", file, what)};
}

}  // namespace

Planned<std::int64_t> header_length(const std::string& file, std::string_view first_bytes,
                                    std::int64_t file_size) {
  if (first_bytes.size() < 8) {
    return NotPlanned{
        fmt::format("{}: only {} bytes, so it is no safetensors file", file, first_bytes.size())};
  }
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) {
    length = length << 8 | static_cast<unsigned char>(first_bytes[i]);
  }
  if (length < 2 || length > static_cast<std::uint64_t>(kLongestHeader)) {
    return damaged(file, fmt::format("its length is given as {} bytes", length));
  }
  if (static_cast<std::int64_t>(length) > file_size - 8) {
    return NotPlanned{fmt::format("{}: truncated: the header has {} bytes, the whole file {}", file,
                                  length, file_size)};
  }
  return static_cast<std::int64_t>(length);
}

Planned<TensorFile> read_header(const std::string& file, std::string_view header) {
  dom::parser parser;
  dom::object object;
  const auto error = parser.parse(simdjson::padded_string(header)).get(object);
  if (error != simdjson::SUCCESS) {
    return damaged(file, simdjson::error_message(error));
  }
  TensorFile found;
  for (const auto& [key, value] : object) {
    if (key == "__metadata__") continue;
    std::string_view dtype_name;
    dom::array shape;
    dom::array offsets;
    if (value["dtype"].get(dtype_name) != simdjson::SUCCESS ||
        value["shape"].get(shape) != simdjson::SUCCESS ||
        value["data_offsets"].get(offsets) != simdjson::SUCCESS) {
      return damaged(file, fmt::format("'{}' has no dtype, shape or data_offsets", key));
    }
    const auto elements = elements_of(shape);
    const auto span = span_of(offsets);
    if (!elements || !span) {
      return damaged(file, fmt::format("'{}' has an impossible shape or data_offsets", key));
    }
    const auto* const dtype = std::ranges::find(kDtypes, dtype_name, &Dtype::name);
    const std::int64_t bytes = span->end - span->begin;
    if (dtype != kDtypes.end() && (*elements * dtype->bits + 7) / 8 != bytes) {
      return damaged(file, fmt::format("'{}' of {} elements of {} takes {} bytes", key, *elements,
                                       dtype_name, bytes));
    }
    found.tensors.push_back({std::string(key), std::string(dtype_name), *elements, bytes});
    found.data_bytes = std::max(found.data_bytes, span->end);
  }
  return found;
}

Planned<ShardIndex> read_shard_index(const std::string& file, std::string_view text) {
  dom::parser parser;
  dom::object object;
  const auto error = parser.parse(simdjson::padded_string(text)).get(object);
  if (error != simdjson::SUCCESS) {
    return NotPlanned{fmt::format("{}: not valid JSON: {}", file, simdjson::error_message(error))};
  }
  dom::object weight_map;
  if (object["weight_map"].get(weight_map) != simdjson::SUCCESS) {
    return NotPlanned{file + ": weight_map is missing"};
  }
  ShardIndex index;
  for (const auto& [tensor, shard] : weight_map) {
    std::string_view name;
    if (shard.get(name) != simdjson::SUCCESS || name.empty() ||
        name.find('/') != std::string_view::npos) {
      return NotPlanned{fmt::format("{}: weight_map.{} must name a file beside it", file, tensor)};
    }
    index.shards.emplace_back(name);
  }
  std::ranges::sort(index.shards);
  const auto repeated = std::ranges::unique(index.shards);
  index.shards.erase(repeated.begin(), repeated.end());
  double total = 0;  // some tools write it as a real number
  if (object["metadata"]["total_size"].get(total) == simdjson::SUCCESS && total > 0 &&
      total < 1e16) {
    index.total_bytes = static_cast<std::int64_t>(total);
  }
  return index;
}

}  // namespace batchproxy
