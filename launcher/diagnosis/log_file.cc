// launcher/diagnosis/log_file.cc - reads a log in pieces.
#include "launcher/diagnosis/log_file.h"

#include <cstddef>
#include <memory>
#include <vector>

namespace batchproxy {
namespace {

constexpr std::size_t kPiece = 256 * 1024;

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

std::optional<Diagnosis> diagnose(std::FILE* file) {
  DiagnosisReader reader;
  std::vector<char> piece(kPiece);
  while (const std::size_t size = std::fread(piece.data(), 1, piece.size(), file)) {
    reader.feed({piece.data(), size});
  }
  if (std::ferror(file) != 0) return std::nullopt;
  return reader.diagnose();
}

std::optional<Diagnosis> diagnose_file(const std::string& path, std::uint64_t begin) {
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rbe"));
  if (!file || ::fseeko(file.get(), static_cast<off_t>(begin), SEEK_SET) != 0) return std::nullopt;
  return diagnose(file.get());
}

}  // namespace batchproxy
