// launcher/memory/model/safetensors.h - the headers of safetensors files: which tensors, how large.
//
// A file is 8 bytes that tell the header's length (little endian), the header (JSON), and the
// tensors' bytes. Only the first two are looked at; no weights are loaded.
//
// Threading: pure functions and plain values, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/memory/model/not_planned.h"

namespace batchproxy {

struct Tensor {
  std::string name;
  std::string dtype;  // "BF16", "F8_E4M3", "I32"
  std::int64_t elements = 0;
  std::int64_t bytes = 0;

  friend bool operator==(const Tensor&, const Tensor&) = default;
};

// The format's own limit: a longer one is refused by those who load it, too.
inline constexpr std::int64_t kLongestHeader = 100'000'000;

// The header's length, from the first 8 bytes of a file of `file_size` bytes. `file` names it.
Planned<std::int64_t> header_length(const std::string& file, std::string_view first_bytes,
                                    std::int64_t file_size);

struct TensorFile {
  std::vector<Tensor> tensors;
  std::int64_t data_bytes = 0;  // that the header promises behind itself
};

// The tensors that a header tells of. Offsets that do not match a tensor's shape are a fault.
Planned<TensorFile> read_header(const std::string& file, std::string_view header);

// model.safetensors.index.json: the shards, each once, sorted; and the bytes of all tensors, 0
// where it does not say.
struct ShardIndex {
  std::vector<std::string> shards;
  std::int64_t total_bytes = 0;
};
Planned<ShardIndex> read_shard_index(const std::string& file, std::string_view text);

}  // namespace batchproxy
