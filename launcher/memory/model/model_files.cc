// launcher/memory/model/model_files.cc - files of bounded size, and the heads of large ones.
#include "launcher/memory/model/model_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "configs/text/home_path.h"

namespace batchproxy {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMostJson = 64 << 20;  // an index of a large model has 10 MB

std::string variable(const Environment& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

// Where Hugging Face's libraries look, in their order.
std::string hub_cache(const Environment& environment) {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (std::string path = variable(environment, name); !path.empty()) return path;
  }
  if (const std::string home = variable(environment, "HF_HOME"); !home.empty()) {
    return home + "/hub";
  }
  std::string cache = variable(environment, "XDG_CACHE_HOME");
  if (cache.empty()) cache = variable(environment, "HOME") + "/.cache";
  return cache + "/huggingface/hub";
}

std::string cache_folder(const std::string& model) {
  std::string folder = "models--";
  for (const char c : model) folder += c == '/' ? std::string("--") : std::string(1, c);
  return folder;
}

// The snapshot that refs/main names, else the one written last.
std::optional<fs::path> snapshot_in(const fs::path& repository) {
  std::string commit;
  std::ifstream(repository / "refs" / "main") >> commit;
  std::error_code error;
  const fs::path snapshots = repository / "snapshots";
  if (!commit.empty() && commit.find('/') == std::string::npos &&
      fs::exists(snapshots / commit / "config.json", error)) {
    return snapshots / commit;
  }
  std::optional<fs::path> newest;
  for (fs::directory_iterator entry(snapshots, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!fs::exists(entry->path() / "config.json", error)) continue;
    if (!newest || fs::last_write_time(entry->path(), error) > fs::last_write_time(*newest, error))
      newest = entry->path();
  }
  return newest;
}

Planned<ModelFile> read_json(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);  // of plain files only
  if (error) return NotPlanned{path.string() + " cannot be read"};
  if (size > static_cast<std::uintmax_t>(kMostJson)) {
    return NotPlanned{fmt::format("{} has {} bytes, which is too long", path.string(), size)};
  }
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return NotPlanned{path.string() + " cannot be read"};
  ModelFile file{path.string(), std::string(size, '\0')};
  stream.read(file.text.data(), static_cast<std::streamsize>(size));
  file.text.resize(static_cast<std::size_t>(stream.gcount()));
  return file;
}

Planned<TensorFile> read_shard(const fs::path& path, std::int64_t size) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return NotPlanned{path.string() + " cannot be read"};
  std::string first(8, '\0');
  stream.read(first.data(), 8);
  first.resize(static_cast<std::size_t>(stream.gcount()));
  const auto length = header_length(path.string(), first, size);
  if (!length) return length.error();
  std::string header(static_cast<std::size_t>(*length), '\0');
  stream.read(header.data(), *length);
  if (stream.gcount() != *length) return NotPlanned{path.string() + ": cannot be read to its end"};
  return read_header(path.string(), header);
}

// Whether all were there; `reason` is set if one is damaged.
bool read_shards(const std::vector<fs::path>& shards, ModelFiles& files, std::string& reason) {
  bool are_all_there = true;
  for (const fs::path& path : shards) {
    std::error_code error;
    const auto size = static_cast<std::int64_t>(fs::file_size(path, error));
    if (error) {
      files.warnings.push_back(path.string() + " is missing, so the model is not complete");
      are_all_there = false;
      continue;
    }
    auto shard = read_shard(path, size);
    if (!shard) {
      reason = shard.error().reason;
      return are_all_there;
    }
    const std::int64_t there = size - shard->data_bytes;
    if (there < 8) {
      files.warnings.push_back(fmt::format(
          "{} is truncated: its header tells of {} bytes of tensors, and the file has {} in all",
          path.string(), shard->data_bytes, size));
    }
    std::ranges::move(shard->tensors, std::back_inserter(files.tensors));
  }
  return are_all_there;
}

std::vector<fs::path> files_that_end_in(const fs::path& directory, std::string_view ending) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.ends_with(ending)) found.push_back(entry->path());
  }
  std::ranges::sort(found);
  return found;
}

// The same weights in Mistral's own form lie beside the others: vLLM loads one of the two.
std::vector<fs::path> shards_without_index(const fs::path& directory) {
  std::vector<fs::path> shards = files_that_end_in(directory, ".safetensors");
  const auto is_consolidated = [](const fs::path& path) {
    return path.filename().string().starts_with("consolidated");
  };
  if (!std::ranges::all_of(shards, is_consolidated)) std::erase_if(shards, is_consolidated);
  return shards;
}

std::int64_t bytes_of(const std::vector<fs::path>& paths) {
  std::int64_t bytes = 0;
  for (const fs::path& path : paths) {
    std::error_code error;
    const auto size = fs::file_size(path, error);
    if (!error) bytes += static_cast<std::int64_t>(size);
  }
  return bytes;
}

// Fills tensors and checkpoint_bytes; returns a reason, or "".
std::string read_weights(const fs::path& directory, ModelFiles& files) {
  std::vector<fs::path> shards;
  std::error_code error;
  const fs::path index_path = directory / "model.safetensors.index.json";
  std::int64_t told = 0;
  if (fs::exists(index_path, error)) {
    const auto text = read_json(index_path);
    if (!text) return text.error().reason;
    const auto index = read_shard_index(text->name, text->text);
    if (!index) return index.error().reason;
    told = index->total_bytes;
    for (const std::string& shard : index->shards) shards.push_back(directory / shard);
  } else {
    shards = shards_without_index(directory);
  }
  std::string reason;
  const bool are_all_there = read_shards(shards, files, reason);
  if (!reason.empty()) return reason;
  if (!are_all_there) {  // the headers that are there would tell too little
    files.tensors.clear();
    files.checkpoint_bytes = told;
  }
  if (shards.empty()) {
    files.checkpoint_bytes = bytes_of(files_that_end_in(directory, ".bin"));
    if (files.checkpoint_bytes > 0) {
      files.warnings.push_back(
          directory.string() +
          " has no safetensors: the weights are counted by the sizes of *.bin");
    }
  }
  return "";
}

}  // namespace

Planned<std::string> find_model(const std::string& model, const Environment& environment) {
  std::error_code error;
  const std::string path = with_home(model);
  if (fs::is_directory(path, error)) return {boost::system::in_place_value, path};
  if (model.empty() || model.front() == '/' || model.front() == '.' || model.front() == '~') {
    return NotPlanned{fmt::format("'{}' is no directory of this machine", model)};
  }
  const fs::path cache = hub_cache(environment);
  const auto snapshot = snapshot_in(cache / cache_folder(model));
  if (!snapshot) {
    return NotPlanned{
        fmt::format("'{}' is neither a directory nor in the cache {}", model, cache.string())};
  }
  return {boost::system::in_place_value, snapshot->string()};
}

Planned<ModelFiles> read_model_files(const std::string& directory) {
  ModelFiles files;
  files.directory = directory;
  auto config = read_json(fs::path(directory) / "config.json");
  if (!config) return config.error();
  files.config = *std::move(config);
  std::error_code error;
  const fs::path modelopt = fs::path(directory) / "hf_quant_config.json";
  if (fs::exists(modelopt, error)) {
    auto quantization = read_json(modelopt);
    if (!quantization) return quantization.error();
    files.quantization = *std::move(quantization);
  }
  const std::string reason = read_weights(directory, files);
  if (!reason.empty()) return NotPlanned{reason};
  return files;
}

}  // namespace batchproxy
