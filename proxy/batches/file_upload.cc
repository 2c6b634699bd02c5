// proxy/batches/file_upload.cc - see file_upload.h.
#include "proxy/batches/file_upload.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace batchproxy {

namespace {

constexpr std::size_t kLongestPurpose = 64;

Error invalid(std::string message, std::string param = {}) {
  return {Errc::kInvalidRequest, std::move(message), std::move(param)};
}

}  // namespace

FileUpload::FileUpload(std::string_view boundary, std::string path)
    : reader_(boundary, *this),
      path_(std::move(path)),
      file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) {
  if (file_.get() < 0) failed_ = errno;
}

FileUpload::~FileUpload() {
  if (!kept_) ::unlink(path_.c_str());
}

void FileUpload::begin_part(const FormPart& part) {
  part_ = part.name == "file"      ? Part::kFile
          : part.name == "purpose" ? Part::kPurpose
                                   : Part::kOther;
  if (part_ != Part::kFile) return;
  filename_ = part.filename.value_or("");
  seen_file_ = true;
}

void FileUpload::add_bytes(std::string_view bytes) {
  if (part_ == Part::kPurpose && purpose_.size() < kLongestPurpose) purpose_ += bytes;
  if (part_ != Part::kFile) return;
  bytes_ += static_cast<std::int64_t>(bytes.size());
  while (!bytes.empty() && failed_ == 0) {
    const ssize_t wrote = ::write(file_.get(), bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      failed_ = errno;
    } else {
      bytes.remove_prefix(static_cast<std::size_t>(wrote));
    }
  }
}

std::optional<Error> FileUpload::feed(std::string_view bytes) {
  if (!reader_.feed(bytes)) return invalid("The form (multipart/form-data) is malformed.");
  if (failed_ == 0) return std::nullopt;
  return Error{Errc::kJobsUnavailable,
               fmt::format("The file cannot be kept: {}.", std::strerror(failed_))};
}

std::optional<Error> FileUpload::finish() const {
  if (!reader_.done()) return invalid("The form (multipart/form-data) has no end.");
  if (!seen_file_) return invalid("The form has no part `file`.", "file");
  if (purpose_ != "batch") return invalid("The form's part `purpose` must be `batch`.", "purpose");
  return std::nullopt;
}

}  // namespace batchproxy
