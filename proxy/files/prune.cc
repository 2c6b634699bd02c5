// proxy/files/prune.cc - see prune.h.
#include "proxy/files/prune.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include <sys/stat.h>

#include "proxy/jobs/ledger.h"
#include "proxy/jobs/record_store.h"

namespace batchproxy {

namespace {

namespace fs = std::filesystem;

std::int64_t changed_ms(const std::string& path) {
  struct stat file{};
  return ::stat(path.c_str(), &file) == 0 ? std::int64_t{file.st_mtim.tv_sec} * 1000 : 0;
}

// Of a database and its log.
std::vector<std::string> old_ledgers(const std::string& folder, std::int64_t before_ms) {
  std::vector<std::string> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    const std::string path = entry.path().string();
    const bool is_ledger = entry.path().filename().string().find('-') == std::string::npos;
    const std::int64_t changed = std::max(changed_ms(path), changed_ms(path + "-wal"));
    if (is_ledger && changed < before_ms) found.push_back(path);
  }
  return found;
}

}  // namespace

Pruned prune_folder(const std::string& folder, std::int64_t before_ms) {
  Pruned pruned;
  for (const std::string& path : old_ledgers(folder + "/bulk", before_ms)) {
    try {
      const Ledger held(path);
      for (const char* part : {"-wal", "-shm", ""}) {
        std::error_code none;
        fs::remove(path + part, none);
      }
      ++pruned.ledgers;
    } catch (const LedgerError& error) {
      pruned.left_alone.emplace_back(error.what());
    }
  }
  std::error_code none;
  const std::string records = RecordStore::path_in(folder);
  if (!fs::exists(records, none)) return pruned;
  try {
    pruned.answers = RecordStore(records).prune(before_ms);
  } catch (const LedgerError& error) {
    pruned.left_alone.emplace_back(error.what());
  }
  return pruned;
}

}  // namespace batchproxy
