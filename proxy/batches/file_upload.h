// proxy/batches/file_upload.h - FileUpload: the form of an upload, whose file goes straight to
// disk.
//
// Threading: confined to one thread. Writes block.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "backends/net/descriptor.h"
#include "batcher/base/error.h"
#include "proxy/batches/multipart_reader.h"

namespace batchproxy {

class FileUpload final : private FormSink {
 public:
  // The file is written to `path`, and removed with the upload unless keep() was called.
  FileUpload(std::string_view boundary, std::string path);
  ~FileUpload();
  FileUpload(const FileUpload&) = delete;
  FileUpload& operator=(const FileUpload&) = delete;

  // The next bytes of the body; what is wrong with them.
  std::optional<Error> feed(std::string_view bytes);
  // At the body's end: what is wrong with the form.
  std::optional<Error> finish() const;
  void keep() { kept_ = true; }

  const std::string& filename() const { return filename_; }
  const std::string& purpose() const { return purpose_; }
  std::int64_t bytes() const { return bytes_; }  // of the file, so far

 private:
  void begin_part(const FormPart& part) override;
  void add_bytes(std::string_view bytes) override;
  void end_part() override {}

  enum class Part { kOther, kFile, kPurpose };

  MultipartReader reader_;
  const std::string path_;
  Descriptor file_;
  Part part_ = Part::kOther;
  std::string filename_;
  std::string purpose_;
  std::int64_t bytes_ = 0;
  int failed_ = 0;  // errno of a write
  bool seen_file_ = false;
  bool kept_ = false;
};

}  // namespace batchproxy
